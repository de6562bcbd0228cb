// `warren pod`: throwaway pods, to try networks with and to test plugins. A pod is a network namespace with a hostname,
// labels and a resolv.conf of its own, on any networks; no container engine is needed.
import { defineCommand } from "citty";

export const command = defineCommand({
  meta: { name: "pod", description: "Throwaway pods: namespaces on networks, without a container engine" },
  subCommands: {
    create: async () => (await import("./create.ts")).command,
    exec: async () => (await import("./exec.ts")).command,
    list: async () => (await import("./list.ts")).command,
    rm: async () => (await import("./rm.ts")).command,
  },
});
