// The addresses that a network may give out, as its config says: range sets, each giving one address to an
// attachment, less what is reserved. Pure: everything that can be refused about ranges is refused here, before
// a store or a kernel is touched.
import * as v from "valibot";
import { CniError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { optionalText, optionalTexts } from "../cni/value.ts";
import {
  type Address,
  addressAfter,
  bitsOf,
  type Family,
  formatAddress,
  parseAddress,
  sameAddress,
} from "../ip/address.ts";
import {
  contains,
  defaultGateway,
  firstAddress,
  formatPrefix,
  lastAddress,
  networkOf,
  overlap,
  type Prefix,
  parsePrefix,
} from "../ip/prefix.ts";

/** One range as configs spell it. */
export const rangeSchema = v.object({
  subnet: optionalText,
  rangeStart: optionalText,
  rangeEnd: optionalText,
  gateway: optionalText,
});

/** The keys of an IPAM config that describe its pools. */
export const poolSchema = v.object({
  ...rangeSchema.entries,
  ranges: v.nullish(v.array(v.array(rangeSchema))),
  exclude: optionalTexts,
});

/** The addresses from `first` to `last`, both included, within `subnet`. */
export interface Range {
  readonly subnet: Prefix;
  readonly first: Address;
  readonly last: Address;
  readonly gateway: Address | undefined;
}

/** Ranges of one family; an attachment gets one address out of them. */
export interface RangeSet {
  readonly family: Family;
  readonly ranges: readonly Range[];
  /** Addresses within the ranges that are never given out, as spans in ascending order. */
  readonly reserved: readonly Span[];
}

/** Consecutive addresses of one family, both ends included. */
export interface Span {
  readonly first: Address;
  readonly last: Address;
}

function refuse(message: string, cure: string): never {
  throw new CniError(ErrorCode.invalidConfig, message, cure);
}

function requireAddress(text: string, key: string): Address {
  return (
    parseAddress(text) ??
    refuse(`${key} ${shown(text)} is not an IP address`, "expected an address, such as 10.1.0.10")
  );
}

/** Returns the range sets of an IPAM config in their order; throws CniError 7 naming what is wrong. */
export function parseRangeSets(config: v.InferOutput<typeof poolSchema>): RangeSet[] {
  const lists = [...(config.ranges ?? [])];
  // a single range beside "ranges" is the first set (host-local's oldest form)
  if ((config.subnet ?? "") !== "") {
    lists.unshift([
      {
        subnet: config.subnet,
        rangeStart: config.rangeStart,
        rangeEnd: config.rangeEnd,
        gateway: config.gateway,
      },
    ]);
  } else {
    for (const key of ["rangeStart", "rangeEnd", "gateway"] as const) {
      if ((config[key] ?? "") !== "")
        refuse(`ipam: ${key} is ${shown(config[key])} without a subnet`, 'add "subnet"');
    }
  }
  const excluded = (config.exclude ?? []).map(parseSpan);
  const parsed = lists.map((list, number) => parseRanges(list, number));
  // no attachment may get an address that is the gateway of any range of the network
  const gateways = parsed.flat().flatMap(({ gateway }) => (gateway === undefined ? [] : [spanOf(gateway)]));
  const sets = parsed.map((ranges): RangeSet => {
    const family = ranges[0]?.subnet.address.family ?? 4;
    const reserved = [...excluded, ...gateways, ...ranges.flatMap(({ subnet }) => subnetReserved(subnet))];
    return { family, ranges, reserved: ordered(reserved.filter(({ first }) => first.family === family)) };
  });
  checkDistinct(sets);
  return sets;
}

function parseRanges(list: readonly v.InferOutput<typeof rangeSchema>[], number: number): Range[] {
  const place = `invalid range set ${number}`;
  if (list.length === 0) refuse(`${place}: empty range set`, "expected at least one object with a subnet");
  const ranges = list.map((range) => parseRange(range, place));
  for (const [index, range] of ranges.entries()) {
    const [first] = ranges;
    if (first !== undefined && range.subnet.address.family !== first.subnet.address.family) {
      refuse(
        `${place}: mixed address families: ${formatPrefix(first.subnet)} and ${formatPrefix(range.subnet)}`,
        "put IPv4 and IPv6 into sets of their own",
      );
    }
    for (const other of ranges.slice(0, index)) {
      if (range.first.value <= other.last.value && other.first.value <= range.last.value) {
        refuse(
          `${place}: subnets ${describeRange(other)} and ${describeRange(range)} overlap`,
          "separate the ranges",
        );
      }
    }
  }
  return ranges;
}

function parseRange(range: v.InferOutput<typeof rangeSchema>, place: string): Range {
  const text = range.subnet ?? "";
  if (text === "")
    refuse(`${place}: a range has no subnet`, 'expected "subnet" in CIDR notation, such as 10.1.0.0/16');
  const subnet =
    parsePrefix(text) ??
    refuse(`${place}: subnet ${shown(text)} is not in CIDR notation`, "expected, for example, 10.1.0.0/16");
  const network = networkOf(subnet);
  if (!sameAddress(network.address, subnet.address)) {
    refuse(
      `${place}: Network has host bits set. For a subnet mask of length ${subnet.length} the network address is ${formatAddress(network.address)}`,
      `subnet is ${shown(text)}`,
    );
  }
  const [lowest, highest] = usable(network);
  const within = (key: string, spelled: string | null | undefined, otherwise: Address): Address => {
    if ((spelled ?? "") === "") return otherwise;
    const address = requireAddress(spelled ?? "", `${place}: ${key}`);
    if (!contains(network, address)) {
      refuse(
        `${place}: ${key} ${spelled} not in network ${formatPrefix(network)}`,
        "choose an address in the subnet",
      );
    }
    return address;
  };
  const first = within("RangeStart", range.rangeStart, lowest);
  const last = within("RangeEnd", range.rangeEnd, highest);
  if (first.value > last.value) {
    // host-local's words, in which the one that the config names is outside of what the other one leaves
    const wrong =
      (range.rangeStart ?? "") === ""
        ? `RangeEnd ${formatAddress(last)}`
        : `RangeStart ${formatAddress(first)}`;
    refuse(
      `${place}: ${wrong} not in network ${formatPrefix(network)}: RangeStart ${formatAddress(first)} is after RangeEnd ${formatAddress(last)}`,
      "exchange them, or correct one",
    );
  }
  const gatewayText = range.gateway ?? "";
  const gateway =
    gatewayText === "" ? defaultGateway(network) : requireAddress(gatewayText, `${place}: gateway`);
  // it may stand outside the subnet, but packets of one family can't go through an address of the other
  if (gateway !== undefined && gateway.family !== network.address.family) {
    refuse(
      `${place}: gateway ${gatewayText} is not of the family of ${formatPrefix(network)}`,
      "choose an address of the subnet's family",
    );
  }
  // in a subnet of two addresses a gateway that nobody asked for would take half of them
  const wanted =
    gatewayText === "" && bitsOf(network.address.family) - network.length < 2 ? undefined : gateway;
  return { subnet: network, first, last, gateway: wanted };
}

/**
 * Returns the lowest and highest address that a host may have: all but the network and, in IPv4, the broadcast
 * address; in subnets of one or two addresses all of them (RFC 3021, RFC 6164).
 */
function usable(subnet: Prefix): [Address, Address] {
  const first = firstAddress(subnet);
  const last = lastAddress(subnet);
  if (bitsOf(subnet.address.family) - subnet.length < 2) return [first, last];
  const lowest = addressAfter(first) ?? first;
  return [lowest, subnet.address.family === 4 ? (addressAfter(last, -1n) ?? last) : last];
}

function subnetReserved(subnet: Prefix): Span[] {
  const [lowest, highest] = usable(subnet);
  const first = firstAddress(subnet);
  const last = lastAddress(subnet);
  return [
    ...(sameAddress(lowest, first) ? [] : [spanOf(first)]),
    ...(sameAddress(highest, last) ? [] : [spanOf(last)]),
  ];
}

function spanOf(address: Address): Span {
  return { first: address, last: address };
}

/** Reads an exclusion: an address, a prefix, or `first-last`. */
function parseSpan(text: string): Span {
  const dash = text.indexOf("-");
  if (dash > 0) {
    const first = requireAddress(text.slice(0, dash).trim(), "exclude");
    const last = requireAddress(text.slice(dash + 1).trim(), "exclude");
    if (first.family !== last.family || first.value > last.value) {
      refuse(`exclude ${shown(text)} is no span`, "expected first-last of one family, in ascending order");
    }
    return { first, last };
  }
  const prefix = text.includes("/") ? parsePrefix(text) : undefined;
  if (prefix !== undefined) return { first: firstAddress(prefix), last: lastAddress(prefix) };
  const address =
    parseAddress(text) ??
    refuse(`exclude ${shown(text)} is not an address`, "expected an address, a prefix, or first-last");
  return spanOf(address);
}

function ordered(spans: Span[]): Span[] {
  return spans.sort((left, right) =>
    left.first.value < right.first.value ? -1 : left.first.value > right.first.value ? 1 : 0,
  );
}

function checkDistinct(sets: readonly RangeSet[]): void {
  for (const [index, set] of sets.entries()) {
    for (const [earlier, other] of sets.slice(0, index).entries()) {
      const clash = set.ranges.some((range) =>
        other.ranges.some(
          (one) =>
            overlap(range.subnet, one.subnet) &&
            range.first.value <= one.last.value &&
            one.first.value <= range.last.value,
        ),
      );
      if (clash)
        refuse(`range set ${earlier} overlaps with ${index}`, "an address may stand in one set only");
    }
  }
}

/** Returns the range as messages show it: `10.1.0.2-10.1.0.254`. */
export function describeRange(range: Range): string {
  return `${formatAddress(range.first)}-${formatAddress(range.last)}`;
}

/** Returns the set as messages show it. */
export function describeRangeSet(set: RangeSet): string {
  return set.ranges.map(describeRange).join(",");
}

/** Returns a name for the set that stays the same as long as its ranges do; cursors are kept by it. */
export function poolName(set: RangeSet): string {
  return describeRangeSet(set);
}

/** Returns the range of the set that `address` lies in, or undefined if none has it. */
export function rangeOf(set: RangeSet, address: Address): Range | undefined {
  return set.ranges.find(
    (range) =>
      range.subnet.address.family === address.family &&
      range.first.value <= address.value &&
      address.value <= range.last.value,
  );
}

/** Returns why nobody may have `address` although it lies in the set's range, or undefined if somebody may. */
export function reservation(set: RangeSet, range: Range, address: Address): string | undefined {
  const spelled = formatAddress(address);
  if (set.ranges.some(({ gateway }) => gateway !== undefined && sameAddress(gateway, address))) {
    return `requested ip ${spelled} is subnet's gateway`;
  }
  const span = set.reserved.find(
    ({ first, last }) => first.value <= address.value && address.value <= last.value,
  );
  if (span === undefined) return undefined;
  if (sameAddress(address, firstAddress(range.subnet))) {
    return `requested ip ${spelled} is the network address of ${formatPrefix(range.subnet)}`;
  }
  if (address.family === 4 && sameAddress(address, lastAddress(range.subnet))) {
    return `requested ip ${spelled} is the broadcast address of ${formatPrefix(range.subnet)}`;
  }
  return `requested ip ${spelled} is excluded by the config`;
}

/** What is held, as the choice of an address needs to know it. */
export interface Holdings {
  /** Returns the last address of the run of held addresses that `address` is in; undefined if it is free. */
  endOfRun(address: Address): Promise<Address | undefined>;
}

/**
 * Returns the first free address of the set: the next after `cursor`, round the ranges and back, or the lowest
 * one if there is no cursor. Undefined if all are held or reserved. Each step jumps over a whole run or
 * reservation, so that a full pool costs no more than an empty one.
 */
export async function chooseAddress(
  set: RangeSet,
  cursor: Address | undefined,
  holdings: Holdings,
): Promise<{ readonly address: Address; readonly range: Range } | undefined> {
  const at = cursor === undefined ? -1 : set.ranges.findIndex((range) => inRange(range, cursor));
  const pieces: { readonly range: Range; readonly first: Address; readonly last: Address }[] = [];
  const current = set.ranges[at];
  if (cursor === undefined || current === undefined) {
    for (const range of set.ranges) pieces.push({ range, first: range.first, last: range.last });
  } else {
    const next = addressAfter(cursor);
    if (next !== undefined) pieces.push({ range: current, first: next, last: current.last });
    for (const range of [...set.ranges.slice(at + 1), ...set.ranges.slice(0, at)]) {
      pieces.push({ range, first: range.first, last: range.last });
    }
    pieces.push({ range: current, first: current.first, last: cursor });
  }
  for (const { range, first, last } of pieces) {
    const address = await firstFree(set, first, last, holdings);
    if (address !== undefined) return { address, range };
  }
  return undefined;
}

function inRange(range: Range, address: Address): boolean {
  return (
    range.subnet.address.family === address.family &&
    range.first.value <= address.value &&
    address.value <= range.last.value
  );
}

async function firstFree(
  set: RangeSet,
  first: Address,
  last: Address,
  holdings: Holdings,
): Promise<Address | undefined> {
  let candidate: Address | undefined = first;
  while (candidate !== undefined && candidate.value <= last.value) {
    const { value } = candidate;
    const blocked: Address | undefined =
      set.reserved.find((span) => span.first.value <= value && value <= span.last.value)?.last ??
      (await holdings.endOfRun(candidate));
    if (blocked === undefined) return candidate;
    candidate = addressAfter(blocked);
  }
  return undefined;
}

/** A requested or static address with the prefix length and gateway that it gets. */
export interface Assignment {
  readonly address: Address;
  readonly prefixLength: number;
  readonly gateway: Address | undefined;
}

/** Returns the assignment of an address out of a range. */
export function assignmentFrom(range: Range, address: Address): Assignment {
  return { address, prefixLength: range.subnet.length, gateway: range.gateway };
}

/** Returns the prefix of an assignment, such as 10.1.0.2/16. */
export function assignedPrefix(assignment: Assignment): Prefix {
  return { address: assignment.address, length: assignment.prefixLength };
}
