// The networks that stand in another one's config, or that it names, for commands that look at configs: what a plugin hands
// containers on to is as much a part of the node as what runtimes know.
import { ErrorCode } from "../cni/error.ts";
import { parseInput } from "../cni/input.ts";
import { isObject, type JsonObject, memberOf } from "../conflist/json.ts";
import type { NetworkList, PluginConfig } from "../conflist/network-list.ts";
import { delegatedList } from "../delegation/delegated-network.ts";
import { configuredRequests, type DelegatesConfig, delegatesSchema } from "../delegation/delegates-config.ts";
import { pluginCalled } from "../plugins/names.ts";

/** True if it is the config of a plugin that hands attachments on to others. */
export function delegatesOthers({ type }: Pick<PluginConfig, "type">): boolean {
  const name = pluginCalled(type);
  return name === "delegates" || name === "pair";
}

/** The keys under which the plugin pair has networks. */
export const PAIR_NETWORKS = ["delegate", "boot_network"] as const;

/** Returns the config of such a plugin; throws CniError 7. */
export function delegatesConfigIn(document: JsonObject, what: string): DelegatesConfig {
  return parseInput(delegatesSchema, document, ErrorCode.invalidConfig, what);
}

/** Returns the networks that the list's plugins hand containers on to; none of what is wrong, which the doctor tells. */
export function delegatedLists({ name, cniVersion, plugins }: NetworkList): NetworkList[] {
  const what = `network config ${JSON.stringify(name)}`;
  const around = { network: name, cniVersion };
  return plugins.filter(delegatesOthers).flatMap(({ type, document }) => {
    try {
      if (pluginCalled(type) === "pair") return pairNetworks(document, around, what);
      const config = delegatesConfigIn(document, what);
      return configuredRequests({ ...around, config }, undefined).map(({ list }) => list);
    } catch {
      return [];
    }
  });
}

/** Pods with links and those without have mostly the same network, which then stands twice in the config. */
function pairNetworks(
  document: JsonObject,
  around: { readonly network: string; readonly cniVersion: string },
  what: string,
): NetworkList[] {
  const configs = PAIR_NETWORKS.map((key) => memberOf(document, key)).filter(isObject);
  const distinct = new Map(configs.map((config) => [JSON.stringify(config), config]));
  return [...distinct.values()].map((config) => delegatedList(config, around, what));
}
