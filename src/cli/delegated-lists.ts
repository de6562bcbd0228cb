// The networks that stand in another one's config, or that it names, for commands that look at configs: what a plugin hands
// containers on to is as much a part of the node as what runtimes know.
import { ErrorCode } from "../cni/error.ts";
import { parseInput } from "../cni/input.ts";
import type { JsonObject } from "../conflist/json.ts";
import type { NetworkList, PluginConfig } from "../conflist/network-list.ts";
import { configuredRequests, type DelegatesConfig, delegatesSchema } from "../delegation/delegates-config.ts";
import { pluginCalled } from "../plugins/index.ts";

/** True if it is the config of a plugin that hands attachments on to others. */
export function delegatesOthers({ type }: Pick<PluginConfig, "type">): boolean {
  return pluginCalled(type) === "delegates";
}

/** Returns the config of such a plugin; throws CniError 7. */
export function delegatesConfigIn(document: JsonObject, what: string): DelegatesConfig {
  return parseInput(delegatesSchema, document, ErrorCode.invalidConfig, what);
}

/** Returns the networks that the list's plugins hand containers on to; none of what is wrong, which the doctor tells. */
export function delegatedLists({ name, cniVersion, plugins }: NetworkList): NetworkList[] {
  return plugins.filter(delegatesOthers).flatMap(({ document }) => {
    try {
      const config = delegatesConfigIn(document, `network config ${JSON.stringify(name)}`);
      return configuredRequests({ network: name, cniVersion, config }, undefined).map(({ list }) => list);
    } catch {
      return [];
    }
  });
}
