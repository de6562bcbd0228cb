// `warren dhcp`: the daemon that renews what the plugin dhcp gets, and what it holds.
import { defineCommand } from "citty";

export const command = defineCommand({
  meta: { name: "dhcp", description: "Addresses by DHCP: the daemon that renews them, and what it holds" },
  subCommands: {
    daemon: async () => (await import("./daemon.ts")).command,
    leases: async () => (await import("./leases.ts")).command,
  },
});
