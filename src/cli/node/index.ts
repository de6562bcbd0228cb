// `warren node`: this node's part of a network of many nodes, made, looked at, kept in line and taken away.
import { defineCommand } from "citty";

export const command = defineCommand({
  meta: { name: "node", description: "This node's part of the mesh, the network between nodes" },
  subCommands: {
    up: async () => (await import("./up.ts")).command,
    down: async () => (await import("./down.ts")).command,
    show: async () => (await import("./show.ts")).command,
    list: async () => (await import("./list.ts")).command,
    remove: async () => (await import("./remove.ts")).command,
    run: async () => (await import("./run.ts")).command,
    rotate: async () => (await import("./rotate.ts")).command,
    sync: async () => (await import("./sync.ts")).command,
  },
});
