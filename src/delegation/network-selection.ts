// Which further networks a container wants, in the words of the Network Plumbing Working Group's specification: the value
// of the annotation k8s.v1.cni.cncf.io/networks, as a list of names with commas or as a JSON list of objects. Such
// objects stand in configs too, so that both say the same things in the same way.
import * as v from "valibot";
import { CniError, ErrorCode } from "../cni/error.ts";
import { parseInput, shown } from "../cni/input.ts";
import { interfaceNameProblem, isLegalName } from "../cni/names.ts";
import { type JsonObject, parseJson } from "../conflist/json.ts";
import { type Address, parseAddress } from "../ip/address.ts";
import { formatHardwareAddress, isAssignable, parseHardwareAddress } from "../ip/hardware-address.ts";

/** The annotation that names further networks of a pod. */
export const NETWORKS_ANNOTATION = "k8s.v1.cni.cncf.io/networks";

/** How many networks one container may ask for. */
const MOST_NETWORKS = 32;

/** Where a network's config is found: by name, in a namespace if one is given. */
export interface NetworkName {
  readonly name: string;
  readonly namespace: string | undefined;
}

/** What is wanted of a container's interface on one network; undefined and empty is what the network gives. */
export interface InterfaceWishes {
  readonly ifname: string | undefined;
  /** As they were written, with or without the length of a prefix. */
  readonly ips: readonly string[];
  readonly hardwareAddress: string | undefined;
  /** Gateways of the default routes that are to lead over this interface, at most one of each family. */
  readonly defaultGateways: readonly Address[];
  /** What goes into `args.cni` of every plugin of the network. */
  readonly cniArgs: JsonObject;
  /** Values by capability. */
  readonly capabilityArgs: JsonObject;
}

/** A network that a container wants by name, and how. */
export interface NetworkSelection {
  readonly network: NetworkName;
  readonly wishes: InterfaceWishes;
}

/** No wishes at all. */
export const NO_WISHES: InterfaceWishes = {
  ifname: undefined,
  ips: [],
  hardwareAddress: undefined,
  defaultGateways: [],
  cniArgs: {},
  capabilityArgs: {},
};

const interfaceName = v.pipe(
  v.string(),
  v.check((name) => interfaceNameProblem(name) === undefined, "the name of an interface, such as net1"),
);
const hardwareAddress = v.pipe(
  v.string(),
  v.check((text) => {
    const bytes = parseHardwareAddress(text);
    return bytes !== undefined && isAssignable(bytes);
  }, "a hardware address that an interface may have, such as 0a:58:0a:01:00:02"),
);
const address = v.pipe(
  v.string(),
  v.check((text) => parseAddress(text) !== undefined, "an IP address, such as 10.1.0.1"),
);
const requestedAddress = v.pipe(
  v.string(),
  v.check((text) => addressOf(text) !== undefined, "an IP address, such as 10.1.0.5 or 10.1.0.5/16"),
);

/** The schema of the keys that say what is wanted of an interface. */
export const wishEntries = {
  interface: v.nullish(interfaceName),
  ips: v.nullish(v.array(requestedAddress)),
  mac: v.nullish(hardwareAddress),
  "default-route": v.nullish(v.array(address)),
  "cni-args": v.nullish(v.record(v.string(), v.unknown())),
  portMappings: v.nullish(v.array(v.unknown())),
  bandwidth: v.nullish(v.record(v.string(), v.unknown())),
  deviceID: v.nullish(v.string()),
  // known so that they can be refused by name
  "infiniband-guid": v.optional(v.unknown()),
  "ipam-claim-reference": v.optional(v.unknown()),
};

/** The schema of the keys that say which network is meant. */
export const nameEntries = { name: v.string(), namespace: v.nullish(v.string()) };

const selectionSchema = v.strictObject({ ...nameEntries, ...wishEntries });

type WishKeys = v.InferOutput<v.ObjectSchema<typeof wishEntries, undefined>>;

/** Returns the address in `text`, which may have the length of a prefix behind it. */
export function addressOf(text: string): Address | undefined {
  const [address = "", length, ...more] = text.split("/");
  const parsed = parseAddress(address);
  if (length === undefined || parsed === undefined) return parsed;
  const fits = /^\d{1,3}$/.test(length) && Number(length) <= (parsed.family === 4 ? 32 : 128);
  return fits && more.length === 0 ? parsed : undefined;
}

/** Returns the wishes in checked keys; throws CniError 2 for what can't be fulfilled, 7 for what contradicts itself. */
export function wishesIn(keys: WishKeys, what: string): InterfaceWishes {
  for (const key of ["infiniband-guid", "ipam-claim-reference"] as const) {
    if ((keys[key] ?? undefined) === undefined) continue;
    const cure =
      key === "infiniband-guid"
        ? "InfiniBand interfaces are not supported: remove it"
        : "claims are objects of an API server, which is not asked: ask for addresses by ips";
    throw new CniError(ErrorCode.unsupportedField, `${what}: "${key}" is ${shown(keys[key])}`, cure);
  }
  const gateways = (keys["default-route"] ?? []).flatMap((text) => parseAddress(text) ?? []);
  for (const family of [4, 6]) {
    if (gateways.filter((one) => one.family === family).length <= 1) continue;
    throw new CniError(
      ErrorCode.invalidConfig,
      `${what}: "default-route" is ${shown(keys["default-route"])}`,
      "expected at most one gateway of each family",
    );
  }
  const mac = parseHardwareAddress(keys.mac ?? "");
  const ips = keys.ips ?? [];
  const capabilities = {
    ...(ips.length === 0 ? {} : { ips }),
    ...(mac === undefined ? {} : { mac: formatHardwareAddress(mac) }),
    ...given("portMappings", keys.portMappings),
    ...given("bandwidth", keys.bandwidth),
    ...given("deviceID", keys.deviceID),
  };
  return {
    ifname: keys.interface ?? undefined,
    ips,
    hardwareAddress: mac === undefined ? undefined : formatHardwareAddress(mac),
    defaultGateways: gateways,
    cniArgs: keys["cni-args"] ?? {},
    capabilityArgs: capabilities,
  };
}

function given(name: string, value: unknown): JsonObject {
  return (value ?? undefined) === undefined ? {} : { [name]: value };
}

/** Returns the name in `namespace/name` or `name`; throws CniError 7. */
export function parseNetworkName(text: string, what: string): NetworkName {
  const parts = text.split("/");
  const [first = "", second] = parts;
  return checkedName(
    second === undefined ? { name: first } : { name: second, namespace: first },
    what,
    text,
    parts.length,
  );
}

function checkedName(
  { name, namespace }: { readonly name: string; readonly namespace?: string | null | undefined },
  what: string,
  written: unknown,
  parts = 1,
): NetworkName {
  // both become parts of paths
  const isNamespace = (namespace ?? "") === "" || isLegalName(namespace ?? "");
  if (parts <= 2 && isLegalName(name) && isNamespace && !(parts === 2 && namespace === "")) {
    return { name, namespace: (namespace ?? "") === "" ? undefined : (namespace ?? undefined) };
  }
  throw new CniError(
    ErrorCode.invalidConfig,
    `${what}: ${shown(written)} is no name of a network`,
    "expected NAME or NAMESPACE/NAME, of letters, digits, -, _ and .",
  );
}

/** Returns the network in `namespace/name@interface`, of which only the name has to be there; throws CniError 7. */
export function parseShortSelection(text: string, what: string): NetworkSelection {
  const [name = "", ifname, ...more] = text.split("@");
  const network = parseNetworkName(name, what);
  if (ifname === undefined) return { network, wishes: NO_WISHES };
  const problem = more.length > 0 ? "there is more than one @" : interfaceNameProblem(ifname)?.message;
  if (problem === undefined) return { network, wishes: { ...NO_WISHES, ifname } };
  throw new CniError(
    ErrorCode.invalidConfig,
    `${what}: ${shown(text)}: ${problem}`,
    "expected NAME@INTERFACE",
  );
}

/** Returns the network in an object that names one; throws CniError 7 naming what is wrong in it, and 2. */
export function parseSelection(document: unknown, what: string): NetworkSelection {
  const keys = parseInput(selectionSchema, document, ErrorCode.invalidConfig, what);
  return { network: checkedName(keys, what, keys.name), wishes: wishesIn(keys, what) };
}

/** Returns the networks that an annotation names, in either of its forms; throws CniError 7 and 2, naming the place. */
export function parseNetworksAnnotation(
  text: string,
  what = `annotation ${NETWORKS_ANNOTATION}`,
): NetworkSelection[] {
  const trimmed = text.trim();
  if (trimmed === "") return [];
  const selections = /^[[{"]/.test(trimmed) ? jsonSelections(trimmed, what) : shortSelections(trimmed, what);
  if (selections.length <= MOST_NETWORKS) return selections;
  throw new CniError(
    ErrorCode.invalidConfig,
    `${what}: there are ${selections.length} networks`,
    `expected at most ${MOST_NETWORKS}`,
  );
}

function shortSelections(text: string, what: string): NetworkSelection[] {
  return text.split(",").map((item, index) => parseShortSelection(item.trim(), `${what}, item ${index + 1}`));
}

function jsonSelections(text: string, what: string): NetworkSelection[] {
  let document: unknown;
  try {
    document = parseJson(text, what);
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    throw new CniError(ErrorCode.invalidConfig, error.message, error.details, { cause: error });
  }
  if (!Array.isArray(document)) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `${what} is ${shown(document)}`,
      "expected a list of objects",
    );
  }
  return document.map((one, index) => parseSelection(one, `${what}, item ${index + 1}`));
}
