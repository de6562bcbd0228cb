// Labels of a container on their way to the plugins: `args.cni.labels` of each plugin's config (CNI CONVENTIONS.md). They
// are put into the list, not beside it, so that whoever keeps the list for the DEL keeps them too.

import { isObject, type JsonObject } from "./json.ts";
import type { NetworkList } from "./network-list.ts";

/** Labels by their keys. */
export type Labels = Readonly<Record<string, string>>;

/** Returns the network with these labels in the config of every plugin, in the place of those of the same keys. */
export function withLabels(list: NetworkList, labels: Labels): NetworkList {
  const added = Object.entries(labels).map(([key, value]) => ({ key, value }));
  if (added.length === 0) return list;
  const plugins = list.plugins.map((plugin) => {
    const args = objectAt(plugin.document, "args");
    const cni = objectAt(args, "cni");
    const others = Array.isArray(cni.labels)
      ? cni.labels.filter((label) => !isObject(label) || !Object.hasOwn(labels, String(label.key)))
      : [];
    const document = {
      ...plugin.document,
      args: { ...args, cni: { ...cni, labels: [...others, ...added] } },
    };
    return { ...plugin, document };
  });
  return { ...list, plugins };
}

function objectAt(object: JsonObject, key: string): JsonObject {
  const value = object[key];
  return isObject(value) ? value : {};
}
