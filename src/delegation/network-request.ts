// The networks that a config, or a container, asks for: each a config of its own or a name, with what is wanted of the
// interface. From all that one attachment asks for comes which interface is which, and what each network is run with.
import * as v from "valibot";
import { CniError, ErrorCode } from "../cni/error.ts";
import { parseInput, shown } from "../cni/input.ts";
import { saysYes } from "../cni/labels.ts";
import { isObject, type JsonObject, memberOf } from "../conflist/json.ts";
import { listOfPlugins, type NetworkList } from "../conflist/network-list.ts";
import { withPlace } from "../conflist/verbs.ts";
import { type DelegatedNetwork, delegatedList } from "./delegated-network.ts";
import {
  type InterfaceWishes,
  type NetworkName,
  type NetworkSelection,
  NO_WISHES,
  nameEntries,
  parseNetworkName,
  parseSelection,
  parseShortSelection,
  wishEntries,
  wishesIn,
} from "./network-selection.ts";

/** A network that is asked for. */
export interface NetworkRequest {
  /** Where it is asked for, in messages. */
  readonly what: string;
  readonly list: NetworkList;
  /** True where the config stands in that of the network that delegates; false for a name, which others may use too. */
  readonly isInline: boolean;
  /** True for the one that is marked as that whose interface and result are the attachment's own. */
  readonly isMaster: boolean;
  /** Labels that a container must have to get it: a value, or yes or no. */
  readonly matchLabels: Readonly<Record<string, string | boolean>>;
  readonly wishes: InterfaceWishes;
}

/** What reading requests takes. */
export interface RequestContext {
  readonly network: string;
  readonly cniVersion: string;
  /** Returns the network of a name; throws CniError. */
  readonly find: (name: NetworkName) => NetworkList;
}

const choiceEntries = {
  masterplugin: v.nullish(v.boolean(), false),
  matchLabels: v.nullish(v.record(v.string(), v.union([v.string(), v.boolean()])), {}),
};
/** The keys that may stand beside a plugin's own. */
export const CHOICE_KEYS: readonly string[] = Object.keys(choiceEntries);

const choiceSchema = v.object(choiceEntries);
const namedSchema = v.strictObject({ ...choiceEntries, ...nameEntries, ...wishEntries });
const inlineSchema = v.strictObject({
  ...choiceEntries,
  ...wishEntries,
  conf: v.custom<JsonObject>(isObject, "an object: the config of a plugin, or a list"),
});

/**
 * Returns the network that an item of a config asks for: a name with or without namespace and interface, an object that
 * names one, a config, or an object with a config in `conf`. Throws CniError 7 naming the place.
 */
export function parseRequest(item: unknown, what: string, context: RequestContext): NetworkRequest {
  if (typeof item === "string") return requestOf(parseShortSelection(item, what), what, context);
  if (!isObject(item)) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `${what} is ${shown(item)}`,
      "expected the config of a plugin, a list of plugins, or the name of a network",
    );
  }
  if (memberOf(item, "type") !== undefined || memberOf(item, "plugins") !== undefined) {
    // a config as the plugin knows it, with no more beside it than what can't be meant for the plugin
    const choice = parseInput(choiceSchema, item, ErrorCode.invalidConfig, what);
    return inlineRequest(withoutChoice(item), choice, NO_WISHES, what, context);
  }
  if (memberOf(item, "conf") !== undefined) {
    const { conf, ...keys } = parseInput(inlineSchema, item, ErrorCode.invalidConfig, what);
    return inlineRequest(conf, keys, wishesIn(keys, what), what, context);
  }
  const { masterplugin, matchLabels, ...keys } = parseInput(namedSchema, item, ErrorCode.invalidConfig, what);
  return {
    ...requestOf(parseSelection(keys, what), what, context),
    isMaster: masterplugin ?? false,
    matchLabels: matchLabels ?? {},
  };
}

function withoutChoice(config: JsonObject): JsonObject {
  const choices = CHOICE_KEYS.map((key) => key.toLowerCase());
  return Object.fromEntries(Object.entries(config).filter(([key]) => !choices.includes(key.toLowerCase())));
}

function inlineRequest(
  config: JsonObject,
  { masterplugin, matchLabels }: v.InferOutput<typeof choiceSchema>,
  wishes: InterfaceWishes,
  what: string,
  context: RequestContext,
): NetworkRequest {
  const list = delegatedList(config, context, what);
  const choice = { isMaster: masterplugin ?? false, matchLabels: matchLabels ?? {} };
  return { what, list, isInline: true, wishes, ...choice };
}

/** Returns the network that is asked for by name alone. Throws CniError 7 if it isn't there. */
export function requestByName(text: string, what: string, context: RequestContext): NetworkRequest {
  return requestOf({ network: parseNetworkName(text, what), wishes: NO_WISHES }, what, context);
}

/** Returns the network that a selection asks for. Throws CniError 7 if it isn't there. */
export function requestOf(
  { network, wishes }: NetworkSelection,
  what: string,
  { find }: RequestContext,
): NetworkRequest {
  try {
    const list = find(network);
    return { what, list, isInline: false, isMaster: false, matchLabels: {}, wishes };
  } catch (error) {
    throw withPlace(what, error);
  }
}

/** True if a container with these labels gets the network; throws CniError 7 for a label that says neither yes nor no. */
export function isFor({ matchLabels, what }: NetworkRequest, labels: ReadonlyMap<string, string>): boolean {
  return Object.entries(matchLabels).every(([name, wanted]) => {
    const value = labels.get(name);
    if (typeof wanted === "string") return value === wanted;
    const answer = saysYes(value);
    if (answer !== undefined) return answer === wanted;
    throw new CniError(
      ErrorCode.invalidConfig,
      `${what}: the container's label ${JSON.stringify(name)} is ${shown(value)}`,
      "expected true, yes, 1 or nothing, or else false, no or 0",
    );
  });
}

/** A request with the interface that it is for. */
export interface AssignedRequest extends NetworkRequest {
  readonly ifname: string;
}

/**
 * Returns the requests with their interfaces. The master, which is the one marked so or else the first, gets `ifname`, the
 * others what they ask for or net1, net2, ...: their place among them, counted from `firstNumber`. Where a master is
 * marked the count begins at 0, as in the plugin that the mark comes from. Throws CniError 7 for two masters, for an
 * interface that two are to have, and for no request at all.
 */
export function assignInterfaces(
  requests: readonly NetworkRequest[],
  ifname: string,
  firstNumber: number | undefined,
): AssignedRequest[] {
  const marked = requests.filter(({ isMaster }) => isMaster);
  const [first, second] = marked;
  if (first !== undefined && second !== undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `${second.what} is a master, and so is ${first.what}`,
      'only one delegate can have "masterplugin": its interface and result are those of the container',
    );
  }
  const master = first ?? requests[0];
  if (master === undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      "there is no delegate for this container",
      "have one without matchLabels, or give the container the labels of one",
    );
  }
  const start = firstNumber ?? (first === undefined ? 1 : 0);
  let place = 0;
  const assigned = requests.map((request): AssignedRequest => {
    if (request !== master) {
      const own = `net${start + place++}`;
      return { ...request, isMaster: false, ifname: request.wishes.ifname ?? own };
    }
    const wanted = request.wishes.ifname ?? ifname;
    if (wanted === ifname) return { ...request, isMaster: true, ifname };
    throw new CniError(
      ErrorCode.invalidConfig,
      `${request.what}: "interface" is ${JSON.stringify(wanted)}, and the runtime asks for ${JSON.stringify(ifname)}`,
      'this delegate is the master, which has the interface that the runtime names: remove "interface"',
    );
  });
  for (const [index, { ifname: name, what }] of assigned.entries()) {
    const other = assigned.slice(0, index).find((one) => one.ifname === name);
    if (other === undefined) continue;
    throw new CniError(
      ErrorCode.invalidConfig,
      `${what} and ${other.what} are both to be the interface ${name}`,
      "ask for another one, as in NAME@INTERFACE",
    );
  }
  return assigned;
}

/** What an attachment was asked for with, for all its networks. */
export interface SharedParameters {
  /** CNI_ARGS. */
  readonly argumentText: string;
  readonly runtimeConfig: JsonObject;
  readonly folders: readonly string[];
}

/** Values that one interface has for itself: those that the runtime gives are the master's. */
const OF_ONE_INTERFACE = ["mac", "ips", "infinibandGUID", "deviceID"];
const ARGUMENTS_OF_ONE_INTERFACE = ["IP", "GATEWAY", "MAC"];

/** Returns what a network is run with; throws CniError 7 for a wish that nobody in it can fulfil. */
export function networkFor(request: AssignedRequest, shared: SharedParameters): DelegatedNetwork {
  const { list, wishes, isMaster, ifname, what } = request;
  const given = Object.entries(shared.runtimeConfig).filter(
    ([capability]) => isMaster || !OF_ONE_INTERFACE.includes(capability),
  );
  for (const capability of Object.keys(wishes.capabilityArgs)) {
    const byArguments = capability === "mac" || (capability === "ips" && wishes.ips.length === 1);
    if (byArguments || declares(list, capability)) continue;
    throw new CniError(
      ErrorCode.invalidConfig,
      `${what}: no plugin of network ${JSON.stringify(list.name)} has the capability ${capability}`,
      `declare it there, as in "capabilities": {"${capability}": true}, or don't ask for it`,
    );
  }
  return {
    list: withCniArgs(list, wishes.cniArgs),
    ifname,
    args: argumentsFor(request, shared.argumentText),
    capabilityArgs: { ...Object.fromEntries(given), ...wishes.capabilityArgs },
    folders: shared.folders,
  };
}

function declares({ plugins }: NetworkList, capability: string): boolean {
  return plugins.some(({ capabilities }) => capabilities.includes(capability));
}

/** A plugin that has no capability for an address can still read it in CNI_ARGS. */
function argumentsFor({ list, wishes, isMaster }: AssignedRequest, text: string): string {
  const pairs = text.split(";").filter((pair) => pair !== "");
  const { ips, hardwareAddress } = wishes;
  const wanted = [
    ...(ips.length === 0 || declares(list, "ips") ? [] : [`IP=${ips[0]}`]),
    ...(hardwareAddress === undefined || declares(list, "mac") ? [] : [`MAC=${hardwareAddress}`]),
  ];
  const replaced = [
    ...(isMaster ? [] : ARGUMENTS_OF_ONE_INTERFACE),
    ...(ips.length === 0 ? [] : ["IP"]),
    ...(hardwareAddress === undefined ? [] : ["MAC"]),
  ];
  const kept = pairs.filter((pair) => !replaced.includes(pair.split("=")[0] ?? ""));
  if (wanted.length === 0) return kept.length === pairs.length ? text : kept.join(";");
  const lenient = kept.some((pair) => pair.startsWith("IgnoreUnknown=")) ? [] : ["IgnoreUnknown=1"];
  return [...lenient, ...kept, ...wanted].join(";");
}

function withCniArgs(list: NetworkList, cniArgs: JsonObject): NetworkList {
  if (Object.keys(cniArgs).length === 0) return list;
  const objectAt = (object: JsonObject, key: string): JsonObject => {
    const value = memberOf(object, key);
    return isObject(value) ? value : {};
  };
  const documents = list.plugins.map(({ document }) => {
    const args = objectAt(document, "args");
    return { ...document, args: { ...args, cni: { ...objectAt(args, "cni"), ...cniArgs } } };
  });
  return listOfPlugins(list, documents);
}
