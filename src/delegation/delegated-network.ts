// A network that a plugin hands a container on to, and what is written down about it: the list of plugins as it was run,
// for which interface, with which parameters, and what came of it. What was really used is kept, so that DEL and CHECK
// don't depend on a config that has changed since.
import * as v from "valibot";
import { CniError, ErrorCode } from "../cni/error.ts";
import { parseInput } from "../cni/input.ts";
import { checkNetworkName } from "../cni/names.ts";
import { asItCame, decodeResult, type Result } from "../cni/result.ts";
import { isSupportedVersion, SUPPORTED_VERSIONS } from "../cni/version.ts";
import { isObject, type JsonObject, memberOf, parseJson, sortedJson } from "../conflist/json.ts";
import { listOfOne, type NetworkList, parseNetworkList } from "../conflist/network-list.ts";
import { resultVersion } from "../conflist/verbs.ts";
import type { KernelObject } from "../ledger/attachments.ts";

/** A network that a container is to be attached to, beside or instead of the one that the runtime knows. */
export interface DelegatedNetwork {
  readonly list: NetworkList;
  readonly ifname: string;
  /** CNI_ARGS, which every plugin of the list gets. */
  readonly args: string;
  /** Values by capability; a plugin gets those that it declares. */
  readonly capabilityArgs: JsonObject;
  /** Folders in which the list's plugins are searched before those of CNI_PATH. */
  readonly folders: readonly string[];
}

/** A delegated network as it was added. */
export interface AddedNetwork extends DelegatedNetwork {
  /** Where it stands among those of its attachment. */
  readonly position: number;
  /** The document of the result, in the list's version; undefined as long as the ADD has not ended. */
  readonly result: object | undefined;
  /** What ended the ADD instead, where that is known. */
  readonly refusal?: Refusal | undefined;
}

/** The answer of a plugin that refused the ADD by itself and for good. */
export interface Refusal {
  /** How many plugins of the list had been called by then, with this one. */
  readonly called: number;
  readonly code: number;
  readonly message: string;
  readonly details: string;
}

/**
 * Returns the list in a config that stands inside another one: a whole list, or the config of one plugin. What it does not
 * say about name and version, it has from the network around it. Throws CniError 7 naming `what`, and 1 for a version
 * that is not supported.
 */
export function delegatedList(
  config: JsonObject,
  around: { readonly network: string; readonly cniVersion: string },
  what: string,
): NetworkList {
  const isList = memberOf(config, "plugins") !== undefined;
  const saysVersion = hasText(config, "cniVersion") || memberOf(config, "cniVersions") !== undefined;
  const document = {
    ...config,
    ...(hasText(config, "name") ? {} : { name: around.network }),
    ...(saysVersion ? {} : { cniVersion: around.cniVersion }),
  };
  const bytes = new TextEncoder().encode(sortedJson(document));
  const list = isList ? parseNetworkList(bytes, what) : listOfOne(document, what);
  checkNetworkName(list.name);
  const version = resultVersion(list);
  if (!isSupportedVersion(version)) {
    throw new CniError(
      ErrorCode.incompatibleVersion,
      `${what}: "cniVersion" is ${JSON.stringify(version)}`,
      `expected one of ${SUPPORTED_VERSIONS.join(", ")}, or none for that of the network around it`,
    );
  }
  return list;
}

function hasText(config: JsonObject, name: string): boolean {
  return (memberOf(config, name) ?? "") !== "";
}

/** Returns what an added network answered, as a plugin hands it on: in the list's version it is printed as it came. */
export function resultOf({ list, result }: AddedNetwork): Result {
  const version = resultVersion(list);
  const document = { ...result, cniVersion: version };
  return asItCame(
    decodeResult(document, version, `result of network ${JSON.stringify(list.name)}`),
    () => document,
  );
}

/** What is written down in an object's detail. */
const detailSchema = v.object({
  position: v.number(),
  ifname: v.string(),
  args: v.string(),
  folders: v.array(v.string()),
  capabilityArgs: v.custom<JsonObject>(isObject, "an object"),
  list: v.custom<JsonObject>(isObject, "an object"),
  result: v.optional(v.custom<JsonObject>(isObject, "an object")),
  refusal: v.optional(
    v.object({ called: v.number(), code: v.number(), message: v.string(), details: v.string() }),
  ),
});

/** Returns what is written down about a delegated network. */
export function writtenForm({ list, ...added }: AddedNetwork): KernelObject {
  const { name, cniVersion, disableCheck, disableGC } = list;
  const plugins = list.plugins.map(({ document }) => document);
  // with drop-ins and the negotiated version: as it was run, not as its file is
  const whole = { name, cniVersion, disableCheck, disableGC, loadOnlyInlinedPlugins: true, plugins };
  return { kind: "delegate", name: `${name} ${added.ifname}`, detail: sortedJson({ ...added, list: whole }) };
}

/** Returns the delegated network that an object tells of; throws CniError 6 if it tells of none. */
function readForm({ name, detail }: KernelObject): AddedNetwork {
  const what = `what the store has about delegate ${JSON.stringify(name)}`;
  const written = parseInput(detailSchema, parseJson(detail, what), ErrorCode.decodingFailure, what);
  const bytes = new TextEncoder().encode(sortedJson(written.list));
  return { ...written, result: written.result, list: parseNetworkList(bytes, what) };
}

/**
 * Returns the delegated networks among the objects of an entry, in the order of their ADDs. What can't be read goes to
 * `failed`.
 */
export function delegatesIn(
  objects: readonly KernelObject[],
  failed: (error: unknown) => void,
): AddedNetwork[] {
  const delegates = objects.filter(({ kind }) => kind === "delegate");
  return delegates
    .flatMap((object) => {
      try {
        return [readForm(object)];
      } catch (error) {
        failed(error);
        return [];
      }
    })
    .sort((left, right) => left.position - right.position);
}

/** Returns the name and the interface of a delegated network by the name of its object. */
export function delegateNamed(name: string): { readonly network: string; readonly ifname: string } {
  const [network = "", ifname = ""] = name.split(" ");
  return { network, ifname };
}
