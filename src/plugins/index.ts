// The catalogue: every plugin in the executable, by the name that chooses it. Each is loaded only when it is
// called, so that a plugin never pays for another one's imports.
import type { Plugin } from "../cni/plugin.ts";

/** Every plugin by its name without the `warren-`. */
const PLUGINS: Readonly<Record<string, () => Promise<Plugin>>> = {
  bridge: async () => (await import("./bridge.ts")).bridge,
  ipam: async () => (await import("./ipam.ts")).ipam,
  loopback: async () => (await import("./loopback.ts")).loopback,
};

/** The names of all plugins. */
export const PLUGIN_NAMES: readonly string[] = Object.keys(PLUGINS);

/** Returns the plugin that `name`, the name that the executable is called by, stands for; undefined for none. */
export async function loadPlugin(name: string): Promise<Plugin | undefined> {
  const plain = name.startsWith("warren-") ? name.slice("warren-".length) : name;
  return Object.hasOwn(PLUGINS, plain) ? PLUGINS[plain]?.() : undefined;
}
