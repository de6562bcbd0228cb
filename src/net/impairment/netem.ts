// Impairments in the kernel, all of them inside the container's namespace: what it sends goes through a netem at its
// interface, and what it receives takes a detour through an intermediate device (ifb) with a netem of its own. Where
// peers have rules of their own, a sorter stands before: `htb`, because it passes what no rule is about at once and has
// room for any number of classes, where `prio` has sixteen and not every kernel has it. A handle marks what is ours.
import { addressBytes, addressFromBytes } from "../../ip/address.ts";
import { firstAddress, formatPrefix, maskOf, type Prefix } from "../../ip/prefix.ts";
import { createLink, deleteLink, dumpLinks, getLink, type Link } from "../../netlink/link.ts";
import { ignoring } from "../../netlink/message.ts";
import { type NetemSettings, TIME_PRECISION_NS } from "../../netlink/netem.ts";
import { classSorter, createClass, createClassifier } from "../../netlink/traffic-class.ts";
import {
  createDiscipline,
  deleteDiscipline,
  networkEmulator,
  Parent,
} from "../../netlink/traffic-control.ts";
import { dumpFilters, type PacketWord, type SortingRule } from "../../netlink/traffic-filter.ts";
import { type Connection, connectHost } from "../connection.ts";
import { rehearse } from "../rehearsal.ts";
import {
  DisciplineTakenError,
  disciplineAt,
  FIRST_REDIRECTION,
  planRedirection,
  redirect,
  stopRedirection,
  tryOut,
} from "../shaping.ts";
import { findLink } from "../veth.ts";
import { type Direction, type Impairment, parseImpairment, settingsOf, wordsOf } from "./impairment.ts";

/** The handle of our discipline at a root, which tc shows as `1a7:`. */
const IMPAIRMENT_HANDLE = 0x01a7_0000;

/** The class of what no peer's rule is about; classes of peers follow. */
const EVERYBODY = 1;

/** Where a header has its addresses, and the Ethernet type of the protocol (RFC 791, RFC 8200, linux/if_ether.h). */
const HEADERS = {
  4: { protocol: 0x0800, source: 12, destination: 16 },
  6: { protocol: 0x86dd, source: 8, destination: 24 },
} as const;
const WORD_BYTES = 4;

/** Either way of a container's traffic. */
export type Way = Exclude<Direction, "both">;
const WAYS: readonly Way[] = ["egress", "ingress"];

/** Returns the name of the device through which what the interface receives takes its detour. */
function detourName(link: Pick<Link, "index">): string {
  return `impair${link.index}`;
}

const DETOUR_NAME = /^impair([1-9]\d*)$/;

function isFor(way: Way): (rule: Impairment) => boolean {
  return ({ direction }) => direction === way || direction === "both";
}

/** The most specific peers come first. */
function inOrder(rules: readonly Impairment[]): readonly (Impairment & { readonly peer: Prefix })[] {
  return rules
    .flatMap((rule) => (rule.peer === undefined ? [] : [{ ...rule, peer: rule.peer }]))
    .sort((left, right) => right.peer.length - left.peer.length);
}

/** Throws DisciplineTakenError if what leaves by `link` is held up already, by anybody but us. */
export function refuseOthers(inside: Connection, link: Link): void {
  const found = disciplineAt(inside, link.index, Parent.root);
  // those that a device has by itself have no handle
  if (found === undefined || found.handle === 0 || found.handle === IMPAIRMENT_HANDLE) return;
  throw new DisciplineTakenError(link, found.kind);
}

/**
 * Makes the traffic of `link` obey the rules, in place of those before. What waits in a queue of those before is lost.
 * Throws DisciplineTakenError or NetlinkError; what was made of it until then stays for `endImpairment`.
 */
export function impair(inside: Connection, link: Link, rules: readonly Impairment[]): void {
  refuseOthers(inside, link);
  endImpairment(inside, link);
  const egress = rules.filter(isFor("egress"));
  const ingress = rules.filter(isFor("ingress"));
  if (egress.length > 0) impairLeaving(inside, link.index, egress, "destination");
  if (ingress.length === 0) return;
  const name = detourName(link);
  inside.execute([createLink(name, { kind: "other", name: "ifb" }, { mtu: link.mtu, up: true })]);
  const device = inside.get(getLink(name));
  if (device === undefined) throw new Error(`interface ${name} was made and is gone`);
  impairLeaving(inside, device.index, ingress, "source");
  redirect(inside, link, device, planRedirection(inside, link));
}

/** Hangs the rules on the root of a device; `side` is where a packet has the peer's address. */
function impairLeaving(
  inside: Connection,
  index: number,
  rules: readonly Impairment[],
  side: "source" | "destination",
): void {
  const ofPeers = inOrder(rules);
  const general = rules.find(({ peer }) => peer === undefined);
  if (ofPeers.length === 0) {
    if (general === undefined) return;
    const emulator = networkEmulator(settingsOf(general));
    inside.execute([createDiscipline(index, Parent.root, IMPAIRMENT_HANDLE, emulator)]);
    return;
  }
  const sorter = classSorter(general === undefined ? 0 : EVERYBODY);
  inside.execute([createDiscipline(index, Parent.root, IMPAIRMENT_HANDLE, sorter)]);
  const addClass = (number: number, rule: Impairment) =>
    inside.execute([
      createClass(index, IMPAIRMENT_HANDLE, number),
      createDiscipline(index, IMPAIRMENT_HANDLE + number, 0, networkEmulator(settingsOf(rule))),
    ]);
  if (general !== undefined) addClass(EVERYBODY, general);
  for (const [place, rule] of ofPeers.entries()) {
    const number = EVERYBODY + 1 + place;
    addClass(number, rule);
    const { protocol } = HEADERS[rule.peer.address.family];
    const match = { protocol, priority: place + 1, words: addressWords(rule.peer, side) };
    inside.execute([createClassifier(index, IMPAIRMENT_HANDLE, number, match)]);
  }
}

/** Returns the words of a header that have to be so for an address to be in the prefix, and one that always is so. */
function addressWords(prefix: Prefix, side: "source" | "destination"): PacketWord[] {
  const offset = HEADERS[prefix.address.family][side];
  const value = new DataView(addressBytes(firstAddress(prefix)).buffer);
  const mask = new DataView(addressBytes(maskOf(prefix.address.family, prefix.length)).buffer);
  const words = Array.from({ length: value.byteLength / WORD_BYTES }, (_, index) => ({
    offset: offset + index * WORD_BYTES,
    mask: mask.getUint32(index * WORD_BYTES),
    value: value.getUint32(index * WORD_BYTES),
  }));
  const asked = words.filter((word) => word.mask !== 0);
  return asked.length === 0 ? words.slice(0, 1) : asked;
}

/** Takes away all that is ours of an interface; what is missing is success. Throws NetlinkError. */
export function endImpairment(inside: Connection, link: Link): void {
  const root = disciplineAt(inside, link.index, Parent.root);
  if (root?.handle === IMPAIRMENT_HANDLE) {
    inside.execute([ignoring(deleteDiscipline(link.index, Parent.root), "ENOENT", "EINVAL", "ENODEV")]);
  }
  const device = findLink(inside, detourName(link));
  if (device?.kind !== "ifb") return;
  // before the device: what is redirected to nowhere is dropped
  const filters = inside.dump(ignoring(dumpFilters(link.index, Parent.ingressFilters), "EINVAL", "ENODEV"));
  for (const { redirectsTo, priority } of filters) {
    if (redirectsTo === device.index) stopRedirection(inside, link.index, { priority, ownsPlace: true });
  }
  inside.execute([ignoring(deleteLink(device.name), "ENODEV")]);
}

/** Takes away the detours of interfaces that are gone: nothing leads to them any more. Throws NetlinkError. */
export function endOrphanedDetours(inside: Connection): void {
  for (const { name } of inside.dump(dumpLinks({ kind: "ifb" }))) {
    const [, number] = DETOUR_NAME.exec(name) ?? [];
    if (number === undefined || inside.get(getLink(Number(number))) !== undefined) continue;
    inside.execute([ignoring(deleteLink(name), "ENODEV")]);
  }
}

/** A rule as the kernel has it. */
export interface InstalledImpairment {
  readonly way: Way;
  /** Undefined for everybody else. */
  readonly peer: string | undefined;
  readonly settings: NetemSettings;
}

/** Returns the rules of an interface that are ours, as the kernel has them now. */
export function installedImpairments(inside: Connection, link: Pick<Link, "index">): InstalledImpairment[] {
  return WAYS.flatMap((way) => {
    const device = way === "egress" ? link : findLink(inside, detourName(link));
    if (device === undefined) return [];
    const root = disciplineAt(inside, device.index, Parent.root);
    if (root?.handle !== IMPAIRMENT_HANDLE) return [];
    if (way === "ingress" && !isDetoured(inside, link, device)) return [];
    if (root.netem !== undefined) return [{ way, peer: undefined, settings: root.netem }];
    const peers = new Map([[EVERYBODY, undefined as string | undefined]]);
    for (const { sorts } of inside.dump(ignoring(dumpFilters(device.index, IMPAIRMENT_HANDLE), "EINVAL"))) {
      if (sorts !== undefined) peers.set(sorts.classId - IMPAIRMENT_HANDLE, peerOf(sorts));
    }
    return [...peers].flatMap(([number, peer]) => {
      const settings = disciplineAt(inside, device.index, IMPAIRMENT_HANDLE + number)?.netem;
      return settings === undefined ? [] : [{ way, peer, settings }];
    });
  });
}

function isDetoured(inside: Connection, link: Pick<Link, "index">, device: Pick<Link, "index">): boolean {
  return inside
    .dump(ignoring(dumpFilters(link.index, Parent.ingressFilters), "EINVAL"))
    .some(({ redirectsTo }) => redirectsTo === device.index);
}

/** Returns the prefix that a filter asks for. */
function peerOf({ words }: SortingRule): string {
  const isIpv4 = words.every(
    ({ offset }) => offset === HEADERS[4].source || offset === HEADERS[4].destination,
  );
  const family = isIpv4 && words.length === 1 ? 4 : 6;
  const bytes = new Uint8Array(family === 4 ? 4 : 16);
  const view = new DataView(bytes.buffer);
  let length = 0;
  for (const [index, { mask, value }] of words.entries()) {
    view.setUint32(index * WORD_BYTES, value);
    length += mask === 0 ? 0 : WORD_BYTES * 8 - trailingZeros(mask);
  }
  return formatPrefix({ address: addressFromBytes(bytes), length });
}

function trailingZeros(mask: number): number {
  return 31 - Math.clz32(mask & -mask);
}

/** Returns in words how the traffic of `link` differs from what the rules want; undefined if it doesn't. */
export function impairmentDifference(
  inside: Connection,
  link: Link,
  rules: readonly Impairment[],
): string | undefined {
  const found = installedImpairments(inside, link);
  for (const way of WAYS) {
    for (const rule of rules.filter(isFor(way))) {
      const peer = rule.peer === undefined ? undefined : formatPrefix(rule.peer);
      const what = `interface ${link.name}, ${way}${peer === undefined ? "" : ` to ${peer}`}`;
      const one = found.find((other) => other.way === way && other.peer === peer);
      if (one === undefined) return `${what}, has no netem`;
      if (isSame(one.settings, rule.settings)) continue;
      const words = (settings: NetemSettings) => wordsOf(settings).join(" ") || "nothing";
      return `${what}, has ${words(one.settings)}, not ${words(rule.settings)}`;
    }
  }
  return undefined;
}

/** True if both ask for the same, times within what the kernel can tell apart. */
function isSame(left: NetemSettings, right: NetemSettings): boolean {
  const plain = (settings: NetemSettings) =>
    JSON.stringify(wordsOf({ ...settings, delayNs: 0, jitterNs: 0 }));
  return (
    Math.abs(left.delayNs - right.delayNs) <= TIME_PRECISION_NS &&
    Math.abs(left.jitterNs - right.jitterNs) <= TIME_PRECISION_NS &&
    plain(left) === plain(right)
  );
}

/** What of the kernel rules need. */
export interface ImpairmentNeeds {
  readonly ingress: boolean;
  readonly peers: boolean;
}

/** Returns what rules need. */
export function needsOf(rules: readonly Impairment[]): ImpairmentNeeds {
  return { ingress: rules.some(isFor("ingress")), peers: rules.some(({ peer }) => peer !== undefined) };
}

/** Tries in a namespace of its own what rules need. Throws MissingFeatureError or SystemError. */
export function probeImpairment({ ingress, peers }: ImpairmentNeeds): void {
  rehearse(() => {
    using host = connectHost();
    const lo = host.get(getLink("lo"));
    if (lo === undefined) throw new Error("a new network namespace has no loopback interface");
    const general = parseImpairment(["delay=1ms"]);
    tryOut("netem qdisc", "netem", () => impair(host, lo, [general]));
    if (peers) {
      tryOut("classes for peers (sch_htb, cls_u32)", "netem", () =>
        impair(host, lo, [parseImpairment(["delay=1ms", "peer=10.0.0.0/8"])]),
      );
    }
    if (!ingress) return;
    const ifb = { kind: "other", name: "ifb" } as const;
    tryOut("intermediate device (ifb)", "netem", () =>
      host.execute([createLink("probe", ifb, { up: true })]),
    );
    const device = host.get(getLink("probe"));
    if (device === undefined) throw new Error("interface probe was made and is gone");
    tryOut("redirection (sch_ingress, cls_u32, act_mirred)", "netem", () =>
      redirect(host, lo, device, FIRST_REDIRECTION),
    );
  });
}
