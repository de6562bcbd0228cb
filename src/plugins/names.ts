// What the plugins in the executable are called. It is all that a start has to know before it loads any of them.

/** The names of all plugins. */
export const PLUGIN_NAMES = [
  "bridge",
  "macvlan",
  "ptp",
  "ipvlan",
  "vlan",
  "tap",
  "dummy",
  "host-device",
  "delegates",
  "loopback",
  "pair",
  "portmap",
  "bandwidth",
  "firewall",
  "tuning",
  "netem",
  "mesh",
  "sbr",
  "vrf",
  "quickack",
  "lat",
  "rewrite",
  "trace",
  "host-local",
  "ipam",
  "static",
  "dhcp",
] as const;

/** The name of a plugin. */
export type PluginName = (typeof PLUGIN_NAMES)[number];

/** Other plugins whose configs one of ours takes, where a host calls the executable by their name. */
const OTHER_NAMES: Readonly<Record<string, PluginName>> = { multus: "delegates", ratchet: "pair" };

/** Returns the name of the plugin that an executable of this name is; undefined if it is none. */
export function pluginCalled(name: string): PluginName | undefined {
  const own = name.startsWith("warren-") ? name.slice("warren-".length) : name;
  const plain = Object.hasOwn(OTHER_NAMES, own) ? OTHER_NAMES[own] : own;
  return isPlugin(plain) ? plain : undefined;
}

function isPlugin(name: string | undefined): name is PluginName {
  const names: readonly (string | undefined)[] = PLUGIN_NAMES;
  return names.includes(name);
}
