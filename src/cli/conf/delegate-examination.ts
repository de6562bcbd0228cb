// The networks inside the config of a plugin that hands attachments on, examined: each is found and read as the plugin
// would, and those whose config stands there are the doctor's patients like any other.
import { CniError, ErrorCode } from "../../cni/error.ts";
import { InputError, type InputPath } from "../../cni/input.ts";
import { isObject, type JsonObject, memberOf } from "../../conflist/json.ts";
import { requestContext } from "../../delegation/delegates-config.ts";
import {
  assignInterfaces,
  CHOICE_KEYS,
  type NetworkRequest,
  parseRequest,
} from "../../delegation/network-request.ts";
import { delegatesConfigIn, PAIR_NETWORKS } from "../delegated-lists.ts";

/** A plugin's config inside the one of a plugin that delegates. */
export interface NestedConfig {
  readonly at: InputPath;
  readonly document: JsonObject;
  /** Its number in its own list. */
  readonly index: number;
  /** Keys that are not meant for it. */
  readonly alsoKnown: readonly string[];
  /** The version that its list says; empty where that is the one around it. */
  readonly version: string;
}

/** Returns the configs of plugins inside the config of one that delegates, as far as there are any. */
export function nestedConfigs(document: JsonObject): NestedConfig[] {
  const items = memberOf(document, "delegates");
  return [
    ...(Array.isArray(items) ? items.flatMap((item, index) => configsIn(item, ["delegates", index])) : []),
    ...PAIR_NETWORKS.flatMap((key) => configsIn(memberOf(document, key), [key], [])),
  ];
}

function configsIn(
  item: unknown,
  at: InputPath,
  choiceKeys: readonly string[] = CHOICE_KEYS,
): NestedConfig[] {
  if (!isObject(item)) return [];
  const own = memberOf(item, "cniVersion");
  const version = typeof own === "string" ? own : "";
  const plugins = memberOf(item, "plugins");
  if (Array.isArray(plugins)) {
    return plugins.flatMap((document, index) =>
      isObject(document) ? [{ at: [...at, "plugins", index], document, index, alsoKnown: [], version }] : [],
    );
  }
  if (typeof memberOf(item, "type") === "string") {
    return [{ at, document: item, index: 0, alsoKnown: choiceKeys, version }];
  }
  const conf = memberOf(item, "conf");
  return conf === undefined ? [] : configsIn(conf, [...at, "conf"]);
}

/** Returns the folder in which the delegates are searched first; none where CNI_PATH is all. */
export function delegateFolders(document: JsonObject): string[] {
  const folder = memberOf(document, "binDir");
  return typeof folder === "string" && folder !== "" ? [folder] : [];
}

/** Tells what the plugin would refuse beyond its schema: items that it can't read, and names that it does not find. */
export function examineDelegates(
  document: JsonObject,
  cniVersion: string,
  report: (path: InputPath, message: string, cure: string) => void,
): void {
  const tell = (path: InputPath, error: unknown) => {
    if (!(error instanceof CniError)) throw error;
    const inside = error instanceof InputError ? error.path : [];
    report([...path, ...inside], error.message, error.details);
  };
  let config: ReturnType<typeof delegatesConfigIn>;
  try {
    config = delegatesConfigIn(document, "network config");
  } catch (error) {
    // the schema's own words come from the examination of keys
    if (error instanceof CniError && error.code === ErrorCode.invalidConfig) return;
    throw error;
  }
  // any name will do: what a delegate inherits is right by itself
  const context = requestContext({ network: "network", cniVersion, config }, undefined);
  const requests: NetworkRequest[] = [];
  for (const [index, item] of (config.delegates ?? []).entries()) {
    try {
      requests.push(parseRequest(item, `delegates[${index}]`, context));
    } catch (error) {
      tell(["delegates", index], error);
    }
  }
  if (requests.length === 0) return;
  try {
    assignInterfaces(requests, "eth0", config.firstInterfaceNumber ?? undefined);
  } catch (error) {
    tell(["delegates"], error);
  }
}
