// What the command line of `pod create` asks of networks for the pod: labels, annotations, ports, limits, addresses. Each
// becomes what a container runtime would pass for it: a capability's value, or `args.cni.labels`.

import { CniError, ErrorCode } from "../../cni/error.ts";
import { shown } from "../../cni/input.ts";
import { POD_ANNOTATIONS } from "../../cni/pod-annotations.ts";
import { isObject, type JsonObject, memberOf } from "../../conflist/json.ts";
import type { Labels } from "../../conflist/labels.ts";
import type { NetworkList } from "../../conflist/network-list.ts";
import { parseAddress } from "../../ip/address.ts";
import { isAssignable, parseHardwareAddress } from "../../ip/hardware-address.ts";
import { parsePrefix } from "../../ip/prefix.ts";
import { ImpairmentError, parseImpairments } from "../../net/impairment/impairment.ts";
import { pluginCalled } from "../../plugins/names.ts";
import { type GivenFlag, UsageError } from "../command.ts";

/** A network that the pod is to be attached to. */
export interface NetworkWish {
  readonly network: string;
  readonly ifname: string;
  /** The values by capability that only this network gets. */
  readonly values: JsonObject;
  /** The flags that these values come from, by capability, for messages. */
  readonly flags: Readonly<Record<string, string>>;
}

/** All that the command line asks for. */
export interface PodWish {
  readonly networks: readonly NetworkWish[];
  readonly labels: Labels;
  readonly annotations: Labels;
}

/** The flags whose values become capabilities of the first network. */
const FIRST_NETWORKS = ["port", "bandwidth", "impair", "ip", "mac"];

/** Returns what the flags ask for; throws UsageError for a value that can't be meant. */
export function podWishOf(flags: readonly GivenFlag[]): PodWish {
  const valuesOf = (flag: string) => flags.filter(({ name }) => name === flag).map(({ value }) => value);
  const networks = valuesOf("net").map(networkWishOf);
  const [first, ...others] = networks;
  if (first === undefined) {
    const idle = flags.find(({ name }) => FIRST_NETWORKS.includes(name));
    if (idle !== undefined) throw new UsageError(`--${idle.name} needs a network: give one by --net`);
  }
  const repeated = networks.find(
    (one, index) => networks.findIndex((other) => other.ifname === one.ifname) < index,
  );
  if (repeated !== undefined) {
    throw new UsageError(
      `two networks are to be ${repeated.ifname} of the pod; give one of them another ifname`,
    );
  }
  const [ports, limits, impairments, addresses, hardware] = FIRST_NETWORKS.map(valuesOf);
  const annotations = pairsOf("--annotation", valuesOf("annotation"));
  if (impairments?.length === 1) {
    const other = IMPAIRMENT_ANNOTATIONS.find((name) => annotations[name] !== undefined);
    if (other !== undefined) throw new UsageError(`--impair and --annotation ${other}= are about the same`);
  }
  const extra = {
    ...capability("portMappings", "--port", ports?.map(portMappingOf)),
    ...capability("bandwidth", "--bandwidth", limits?.map(bandwidthOf), single),
    ...capability(POD_ANNOTATIONS, "--impair", impairments?.map(impairmentAnnotation), single),
    ...capability("ips", "--ip", addresses?.map(requestedAddress)),
    ...capability("mac", "--mac", hardware?.map(hardwareAddress), single),
  };
  return {
    networks: first === undefined ? [] : [enriched(first, extra), ...others],
    labels: pairsOf("--label", valuesOf("label")),
    annotations,
  };
}

/** A capability's value with the flag that it comes from. */
type Extra = Readonly<Record<string, { readonly flag: string; readonly value: unknown }>>;

function capability<T>(
  name: string,
  flag: string,
  values: readonly T[] | undefined,
  combined: (values: readonly T[], flag: string) => unknown = (all) => all,
): Extra {
  return values === undefined || values.length === 0
    ? {}
    : { [name]: { flag, value: combined(values, flag) } };
}

function single<T>(values: readonly T[], flag: string): T | undefined {
  if (values.length > 1) throw new UsageError(`${flag} may be given only once`);
  return values[0];
}

function enriched(wish: NetworkWish, extra: Extra): NetworkWish {
  for (const [name, { flag }] of Object.entries(extra)) {
    const other = wish.flags[name];
    if (other !== undefined)
      throw new UsageError(`${flag} and ${other} say the same of network ${wish.network}`);
  }
  const part = <K extends "flag" | "value">(key: K) =>
    Object.fromEntries(Object.entries(extra).map(([name, one]) => [name, one[key]]));
  return {
    ...wish,
    values: { ...wish.values, ...part("value") },
    flags: { ...wish.flags, ...part("flag") },
  };
}

/** Returns what `NAME[:ifname=I,ip=A,mac=M]` asks for. */
function networkWishOf(text: string, index: number): NetworkWish {
  const colon = text.indexOf(":");
  const network = colon < 0 ? text : text.slice(0, colon);
  const options = colon < 0 ? [] : text.slice(colon + 1).split(",");
  const refuse = (problem: string) =>
    new UsageError(`--net ${shown(text)}: ${problem}; expected NAME[:ifname=NAME,ip=ADDRESS,mac=ADDRESS]`);
  if (network === "") throw refuse("no name");
  let ifname = `eth${index}`;
  const addresses: string[] = [];
  const hardware: string[] = [];
  for (const option of options) {
    const [key, value = ""] = option.split(/=(.*)/s);
    if (value === "") throw refuse(`${shown(option)} is no KEY=VALUE`);
    if (key === "ifname") ifname = value;
    else if (key === "ip") addresses.push(requestedAddress(value));
    else if (key === "mac") hardware.push(hardwareAddress(value));
    else throw refuse(`there is no ${shown(key)}`);
  }
  return enriched(
    { network, ifname, values: {}, flags: {} },
    { ...capability("ips", "ip=", addresses), ...capability("mac", "mac=", hardware, single) },
  );
}

function requestedAddress(text: string): string {
  if (parseAddress(text) !== undefined || parsePrefix(text) !== undefined) return text;
  throw new UsageError(`${shown(text)} is no IP address`);
}

function hardwareAddress(text: string): string {
  const bytes = parseHardwareAddress(text);
  if (bytes !== undefined && isAssignable(bytes)) return text;
  throw new UsageError(`${shown(text)} is no hardware address that an interface may have`);
}

const PORT =
  /^(?:(?<ip>\[[^\]]*\]|[^:[\]]+):)?(?<host>\d{1,5}):(?<container>\d{1,5})(?:\/(?<protocol>[a-z]+))?$/;

/** Returns the mapping that `[HOSTIP:]HOSTPORT:PORT[/PROTOCOL]` spells; what the plugin knows better is left to it. */
function portMappingOf(text: string): object {
  const { ip, host, container, protocol } = PORT.exec(text)?.groups ?? {};
  const hostIP = ip?.replace(/^\[|\]$/g, "");
  if (
    host === undefined ||
    container === undefined ||
    (hostIP !== undefined && parseAddress(hostIP) === undefined)
  ) {
    throw new UsageError(
      `--port ${shown(text)}: expected [HOSTIP:]HOSTPORT:PORT[/PROTOCOL], such as 8080:80/tcp`,
    );
  }
  return {
    hostPort: Number(host),
    containerPort: Number(container),
    protocol: protocol ?? "tcp",
    ...(hostIP === undefined ? {} : { hostIP }),
  };
}

const RATE = /^(?<number>\d{1,9}(?:\.\d{1,3})?)(?<unit>[kMG]?)(?:bit)?$/;
const UNITS: Readonly<Record<string, number>> = { "": 1, k: 1e3, M: 1e6, G: 1e9 };

/** A tenth of a second's traffic, but never less than some large packets. */
const burstFor = (rate: number) => Math.min(Math.max(Math.ceil(rate / 10), 256_000), 0xffff_ffff);

/** Returns the limits that `ingress=RATE,egress=RATE` spells, in bits a second. */
function bandwidthOf(text: string): object {
  const limits: Record<string, number> = {};
  for (const part of text.split(",")) {
    const [direction = "", rateText = ""] = part.split(/=(.*)/s);
    const { number = "", unit = "" } = RATE.exec(rateText)?.groups ?? {};
    const rate = Math.round(Number(number) * (UNITS[unit] ?? 1));
    if (!["ingress", "egress"].includes(direction) || rate <= 0 || `${direction}Rate` in limits) {
      throw new UsageError(
        `--bandwidth ${shown(text)}: expected ingress=RATE,egress=RATE in bits a second, such as ingress=10M`,
      );
    }
    limits[`${direction}Rate`] = rate;
    limits[`${direction}Burst`] = burstFor(rate);
  }
  return limits;
}

/** The annotations of a pod by which warren-netem is told what is to go wrong. */
const IMPAIRMENT_ANNOTATIONS = ["netem", "lat"];

/** Returns the annotation that says what `--impair` does. */
function impairmentAnnotation(text: string): Readonly<Record<"netem", string>> {
  try {
    if (parseImpairments(text).length > 0) return { netem: text };
  } catch (error) {
    if (!(error instanceof ImpairmentError)) throw error;
    throw new UsageError(`--impair ${shown(text)}: ${error.message}`);
  }
  throw new UsageError(`--impair ${shown(text)}: expected rules such as 'delay=50ms loss=1%'`);
}

/** True if a plugin of the network reads in the pod's annotations what is to go wrong. */
function readsImpairments({ plugins }: NetworkList): boolean {
  return plugins.some(
    ({ type, capabilities, document }) =>
      capabilities.includes(POD_ANNOTATIONS) &&
      (["netem", "lat"].includes(pluginCalled(type) ?? "") || isObject(memberOf(document, "netem"))),
  );
}

function pairsOf(flag: string, texts: readonly string[]): Record<string, string> {
  const pairs = new Map<string, string>();
  for (const text of texts) {
    const [key = "", value] = text.split(/=(.*)/s);
    if (key === "" || value === undefined) throw new UsageError(`${flag} ${shown(text)}: expected KEY=VALUE`);
    if (pairs.has(key)) throw new UsageError(`${flag} gives ${shown(key)} twice`);
    pairs.set(key, value);
  }
  return Object.fromEntries(pairs);
}

/**
 * Returns the values by capability for a network: those of `given` (CAP_ARGS), the pod's annotations, and what the flags
 * ask of this one. Throws CniError 2 if no plugin of the network declares a capability that a flag needs.
 */
export function capabilityArgsFor(
  list: NetworkList,
  wish: NetworkWish,
  annotations: Labels,
  given: JsonObject,
): JsonObject {
  for (const [name, flag] of Object.entries(wish.flags)) {
    if (name === POD_ANNOTATIONS && !readsImpairments(list)) {
      throw new CniError(
        ErrorCode.unsupportedField,
        `no plugin of network ${list.name} takes impairments, so ${flag} would have no effect`,
        `add a warren-netem with "capabilities": {"${POD_ANNOTATIONS}": true}, or say it by warren impair when the pod is there`,
      );
    }
    if (list.plugins.some(({ capabilities }) => capabilities.includes(name))) continue;
    throw new CniError(
      ErrorCode.unsupportedField,
      `no plugin of network ${list.name} takes the capability ${name}, so ${flag} would have no effect`,
      `give one that can do it "capabilities": {"${name}": true}`,
    );
  }
  const own = wish.values[POD_ANNOTATIONS];
  const all = { ...annotations, ...(isObject(own) ? own : {}) };
  const noted = Object.keys(all).length === 0 ? {} : { [POD_ANNOTATIONS]: all };
  return { ...given, ...wish.values, ...noted };
}
