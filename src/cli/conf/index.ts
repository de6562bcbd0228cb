// `warren conf`: what an operator does with the configs of networks, beside writing them.
import { defineCommand } from "citty";

export const command = defineCommand({
  meta: { name: "conf", description: "Edit the configs of networks, and see what is wrong with them" },
  subCommands: {
    add: async () => (await import("./editing.ts")).addCommand,
    remove: async () => (await import("./editing.ts")).removeCommand,
    doctor: async () => (await import("./doctor.ts")).command,
    fuse: async () => (await import("./rewriting.ts")).fuseCommand,
    split: async () => (await import("./rewriting.ts")).splitCommand,
  },
});
