// `warren conf`: what an operator does with the configs of networks, beside writing them.
import { defineCommand } from "citty";

export const command = defineCommand({
  meta: { name: "conf", description: "Rewrite the configs of networks" },
  subCommands: {
    fuse: async () => (await import("./rewriting.ts")).fuseCommand,
    split: async () => (await import("./rewriting.ts")).splitCommand,
  },
});
