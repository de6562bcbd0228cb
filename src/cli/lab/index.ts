// `warren lab`: a private machine to try networks on, the demonstrations that play on it, and the small tools that
// make it independent of what is installed: namespaces, pings and a look at what is left.
import { defineCommand } from "citty";

export const command = defineCommand({
  meta: { name: "lab", description: "Demonstrations, and a throwaway sandbox to try networks in" },
  subCommands: {
    "status-gc": async () => (await import("./status-gc.ts")).command,
    trace: async () => (await import("./trace.ts")).command,
    "fake-ip": async () => (await import("./fake-ip.ts")).command,
    "two-conflists": async () => (await import("./two-conflists.ts")).command,
    "multi-net": async () => (await import("./multi-net.ts")).command,
    pair: async () => (await import("./pair.ts")).command,
    chain: async () => (await import("./chain.ts")).command,
    quickack: async () => (await import("./quickack.ts")).command,
    shaping: async () => (await import("./shaping.ts")).command,
    "two-nodes": async () => (await import("./two-nodes.ts")).command,
    mesh: async () => (await import("./mesh.ts")).command,
    poc: async () => (await import("./poc.ts")).command,
    latency: async () => (await import("./latency.ts")).command,
    shell: async () => (await import("./shell.ts")).command,
    netns: async () => (await import("./netns.ts")).command,
    ping: async () => (await import("./ping.ts")).command,
    interfaces: async () => (await import("./interfaces.ts")).command,
    wire: async () => (await import("./wire.ts")).command,
    inventory: async () => (await import("./inventory.ts")).command,
  },
});
