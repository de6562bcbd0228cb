// The catalogue: every plugin in the executable, by the name that chooses it. A process loads what it is called for and
// what that delegates to, so that a call costs the same however many plugins there are.
import type { ChainedPiece, FusedKeys, InterfacePlugin } from "../attachment/fused.ts";
import type { Plugin } from "../cni/plugin.ts";

/** What an interface plugin can have in its own process, in the order in which it is added. */
export const CHAIN: readonly ChainedPiece[] = [
  {
    name: "portmap",
    capability: "portMappings",
    load: async () => (await import("./portmap.ts")).portmap,
  },
  {
    name: "bandwidth",
    capability: "bandwidth",
    load: async () => (await import("./bandwidth.ts")).bandwidth,
  },
  { name: "firewall", load: async () => (await import("./firewall.ts")).firewall },
  {
    name: "tuning",
    uniqueKeys: ["sysctl", "args.cni.sysctl"],
    load: async () => (await import("./tuning.ts")).tuning,
  },
];

/** Returns an interface plugin with the chain that it can have. */
async function withChain<Config extends FusedKeys, Cleanup extends FusedKeys>(
  plugin: InterfacePlugin<Config, Cleanup>,
): Promise<Plugin<Config, Cleanup>> {
  const { fused } = await import("../attachment/fused.ts");
  return fused(plugin, CHAIN);
}

const PLUGINS: Readonly<Record<string, () => Promise<Plugin>>> = {
  bridge: async () => withChain((await import("./bridge.ts")).bridge),
  macvlan: async () => withChain((await import("./macvlan.ts")).macvlan),
  ptp: async () => withChain((await import("./ptp.ts")).ptp),
  loopback: async () => (await import("./loopback.ts")).loopback,
  ...Object.fromEntries(CHAIN.map(({ name, load }) => [name, load])),
  rewrite: async () => (await import("./rewrite.ts")).rewrite,
  trace: async () => (await import("./trace.ts")).trace,
  "host-local": async () => (await import("./host-local.ts")).hostLocal,
  ipam: async () => (await import("./ipam.ts")).ipam,
  static: async () => (await import("./static.ts")).fixedAddresses,
};

/** The names of all plugins. */
export const PLUGIN_NAMES: readonly string[] = Object.keys(PLUGINS);

/** Returns the name of the plugin that an executable of this name is; undefined if it is none. */
export function pluginCalled(name: string): string | undefined {
  const plain = name.startsWith("warren-") ? name.slice("warren-".length) : name;
  return Object.hasOwn(PLUGINS, plain) ? plain : undefined;
}

/** Loads the plugin of this name; throws RangeError for a name that is not in the catalogue. */
export async function loadPlugin(name: string): Promise<Plugin> {
  const load = PLUGINS[name];
  if (load === undefined) throw new RangeError(`there is no plugin ${JSON.stringify(name)}`);
  return load();
}
