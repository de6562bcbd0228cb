// `warren conf`: what an operator does with the configs of networks, beside writing them.
import { defineCommand } from "citty";

export const command = defineCommand({
  meta: { name: "conf", description: "Look at the configs of networks, examine and change them" },
  subCommands: {
    list: async () => (await import("./list.ts")).command,
    show: async () => (await import("./show.ts")).command,
    doctor: async () => (await import("./doctor.ts")).command,
    watch: async () => (await import("./watch.ts")).command,
    add: async () => (await import("./editing.ts")).addCommand,
    remove: async () => (await import("./editing.ts")).removeCommand,
    undo: async () => (await import("./editing.ts")).undoCommand,
    fuse: async () => (await import("./rewriting.ts")).fuseCommand,
    split: async () => (await import("./rewriting.ts")).splitCommand,
  },
});
