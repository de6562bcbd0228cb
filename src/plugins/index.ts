// The catalogue: every plugin in the executable, by the name that chooses it. All are loaded at the start: one piece
// of bytecode costs a plugin's process 1 ms less than pieces that are fetched when they are called for.
import { fused } from "../attachment/fused.ts";
import type { Plugin } from "../cni/plugin.ts";
import { bandwidth } from "./bandwidth.ts";
import { bridge } from "./bridge.ts";
import { firewall } from "./firewall.ts";
import { hostLocal } from "./host-local.ts";
import { ipam } from "./ipam.ts";
import { loopback } from "./loopback.ts";
import { macvlan } from "./macvlan.ts";
import { portmap } from "./portmap.ts";
import { ptp } from "./ptp.ts";
import { rewrite } from "./rewrite.ts";
import { fixedAddresses } from "./static.ts";
import { trace } from "./trace.ts";
import { tuning } from "./tuning.ts";

/** What an interface plugin can have in its own process, in the order in which it is added. */
const CHAIN = [portmap, bandwidth, firewall, tuning];

const PLUGINS: ReadonlyMap<string, Plugin> = new Map(
  [
    ...[fused(bridge, CHAIN), fused(macvlan, CHAIN), fused(ptp, CHAIN), loopback],
    ...[bandwidth, firewall, portmap, rewrite, trace, tuning],
    ...[hostLocal, ipam, fixedAddresses],
  ].map((plugin: Plugin) => [plugin.name, plugin]),
);

/** The names of all plugins. */
export const PLUGIN_NAMES: readonly string[] = [...PLUGINS.keys()];

/** Returns the plugin that `name`, the name that the executable is called by, stands for; undefined for none. */
export function pluginCalled(name: string): Plugin | undefined {
  return PLUGINS.get(name.startsWith("warren-") ? name.slice("warren-".length) : name);
}
