// The catalogue: every plugin in the executable, by the name that chooses it. They are loaded in five pieces, and VERSION
// needs none: what a call does not use, it does not pay for.
import type { ChainedPiece } from "../attachment/fused.ts";
import type { Plugin } from "../cni/plugin.ts";

const bridging = () => import("./bridging.ts");
const interfaces = () => import("./interfaces.ts");
const chained = () => import("./chained.ts");
const delegating = () => import("./delegating.ts");

/** What an interface plugin can have in its own process, in the order in which it is added. */
export const CHAIN: readonly ChainedPiece[] = [
  { name: "portmap", capability: "portMappings", load: async () => (await chained()).portmap },
  { name: "bandwidth", capability: "bandwidth", load: async () => (await chained()).bandwidth },
  { name: "firewall", load: async () => (await chained()).firewall },
  {
    name: "tuning",
    uniqueKeys: ["sysctl", "args.cni.sysctl"],
    load: async () => (await chained()).tuning,
  },
  { name: "netem", load: async () => (await chained()).netem },
  { name: "mesh", statusOnly: true, load: async () => (await import("./mesh.ts")).mesh },
];

const PLUGINS: Readonly<Record<string, () => Promise<Plugin>>> = {
  bridge: () => bridging().then(({ fused, bridge }) => fused(bridge, CHAIN)),
  macvlan: () => interfaces().then(({ fused, macvlan }) => fused(macvlan, CHAIN)),
  ptp: () => interfaces().then(({ fused, ptp }) => fused(ptp, CHAIN)),
  ipvlan: async () => (await interfaces()).ipvlan,
  vlan: async () => (await interfaces()).vlan,
  dummy: async () => (await interfaces()).dummy,
  "host-device": async () => (await interfaces()).hostDevice,
  delegates: async () => (await delegating()).delegates,
  loopback: async () => (await interfaces()).loopback,
  pair: async () => (await delegating()).pair,
  ...Object.fromEntries(CHAIN.map(({ name, load }) => [name, load])),
  sbr: async () => (await chained()).sbr,
  quickack: async () => (await chained()).quickack,
  lat: async () => (await chained()).lat,
  rewrite: async () => (await chained()).rewrite,
  trace: async () => (await chained()).trace,
  "host-local": async () => (await bridging()).hostLocal,
  ipam: async () => (await bridging()).ipam,
  static: async () => (await bridging()).fixedAddresses,
};

/** The names of all plugins. */
export const PLUGIN_NAMES: readonly string[] = Object.keys(PLUGINS);

/** Other plugins whose configs one of ours takes, where a host calls the executable by their name. */
const OTHER_NAMES: Readonly<Record<string, string>> = { multus: "delegates", ratchet: "pair" };

/** Returns the name of the plugin that an executable of this name is; undefined if it is none. */
export function pluginCalled(name: string): string | undefined {
  const own = name.startsWith("warren-") ? name.slice("warren-".length) : name;
  const plain = Object.hasOwn(OTHER_NAMES, own) ? (OTHER_NAMES[own] ?? own) : own;
  return Object.hasOwn(PLUGINS, plain) ? plain : undefined;
}

/** Loads the plugin of this name; throws RangeError for a name that is not in the catalogue. */
export async function loadPlugin(name: string): Promise<Plugin> {
  const load = PLUGINS[name];
  if (load === undefined) throw new RangeError(`there is no plugin ${JSON.stringify(name)}`);
  return load();
}
