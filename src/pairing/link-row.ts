// A link as the store has it: its two sides, and what the labels of both pods, and announcements, have said of it. They may
// say parts of it or all, and must not contradict each other. Pure: nothing in here reads or writes.
import type { LinkName, PairLinkRow, PairPodRow } from "../../db/pair-queries.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { type Address, formatAddress } from "../ip/address.ts";
import { formatPrefix, type Prefix } from "../ip/prefix.ts";
import { formatMirror, type Mirror } from "../net/mirror.ts";
import type { LinkPlan } from "./link-plan.ts";

/** One of the two pods of a link. */
export type Side = "primary" | "pair";

/** One side of a link as it stands in the store. */
export interface SideOfLink {
  readonly podName: string;
  readonly ifname: string;
  readonly addresses: string;
  readonly mirror: string;
  readonly parentAddress: string;
}

/** Returns one side of a link. */
export function sideOf(link: PairLinkRow, side: Side): SideOfLink {
  return side === "primary"
    ? {
        podName: link.primaryName,
        ifname: link.primaryIfname,
        addresses: link.primaryAddresses,
        mirror: link.primaryMirror,
        parentAddress: link.primaryParentAddress,
      }
    : {
        podName: link.pairName,
        ifname: link.pairIfname,
        addresses: link.pairAddresses,
        mirror: link.pairMirror,
        parentAddress: link.pairParentAddress,
      };
}

/** Returns the other side. */
export function otherSide(side: Side): Side {
  return side === "primary" ? "pair" : "primary";
}

/** Returns the key of a link. */
export function nameOf({ network, podNamespace, primaryName, primaryIfname }: LinkName): LinkName {
  return { network, podNamespace, primaryName, primaryIfname };
}

/** True if both name the same link of a namespace. */
export function isSameLink(left: LinkName, right: LinkName): boolean {
  return left.primaryName === right.primaryName && left.primaryIfname === right.primaryIfname;
}

/** Returns the address as the store has it; empty for none. */
export function spelledAddress(address: Address | undefined): string {
  return address === undefined ? "" : formatAddress(address);
}

function spelledPrefixes(prefixes: readonly Prefix[]): string {
  return prefixes.map(formatPrefix).join(",");
}

function spelledMirror(mirror: Mirror | undefined): string {
  return mirror === undefined ? "" : formatMirror(mirror);
}

/** Returns the link as it would be written down if nobody else asked for it. */
export function rowOf(
  network: string,
  podNamespace: string,
  { primary, pair, vni, mtu }: LinkPlan,
): PairLinkRow {
  return {
    network,
    podNamespace,
    primaryName: primary.podName,
    primaryIfname: primary.ifname,
    primaryAddresses: spelledPrefixes(primary.addresses),
    primaryMirror: spelledMirror(primary.mirror),
    primaryParentAddress: spelledAddress(primary.parentAddress),
    pairName: pair.podName,
    pairIfname: pair.ifname,
    pairAddresses: spelledPrefixes(pair.addresses),
    pairMirror: spelledMirror(pair.mirror),
    pairParentAddress: spelledAddress(pair.parentAddress),
    vni: null,
    saidVni: vni ?? null,
    mtu: mtu ?? null,
    announced: 0,
    ...{ saidByPrimary: "", saidByPrimaryIfname: "" },
    ...{ saidByPair: "", saidByPairIfname: "" },
  };
}

/** The attachment of a pod whose labels ask for a link. */
export type Sayer = Pick<PairPodRow, "containerId" | "ifname">;

/** Returns the attachment whose labels ask for a link from this side; undefined if none does. */
export function sayerOf(link: PairLinkRow, side: Side): Sayer | undefined {
  const [containerId, ifname] =
    side === "primary"
      ? [link.saidByPrimary, link.saidByPrimaryIfname]
      : [link.saidByPair, link.saidByPairIfname];
  return containerId === "" ? undefined : { containerId, ifname };
}

/** Returns what a row has of whose labels ask for the link from this side. */
export function saidBy(side: Side, sayer: Sayer | undefined): Partial<PairLinkRow> {
  const { containerId = "", ifname = "" } = sayer ?? {};
  return side === "primary"
    ? { saidByPrimary: containerId, saidByPrimaryIfname: ifname }
    : { saidByPair: containerId, saidByPairIfname: ifname };
}

/** What two may say of one link, by the words of the labels. */
const SAYINGS = {
  primaryAddresses: "addresses of the primary",
  primaryMirror: "mirror of the primary",
  primaryParentAddress: "parent address of the primary",
  pairAddresses: "addresses of the pair",
  pairMirror: "mirror of the pair",
  pairParentAddress: "parent address of the pair",
  saidVni: "vni",
  mtu: "mtu",
} as const;

/** Something about a link that pods may say. */
export type Saying = keyof typeof SAYINGS;

/** All that pods may say about a link. */
export const SAYING_NAMES = Object.keys(SAYINGS) as Saying[];

/** What only the one pod says, or an announcement of it. */
export const PRIMARYS_ALONE: readonly Saying[] = ["primaryMirror", "pairParentAddress"];

/** The same of the other pod. */
export const PAIRS_ALONE: readonly Saying[] = ["pairMirror", "primaryParentAddress"];

/** A link about which nobody has said anything. */
export const NOTHING_SAID: Readonly<Pick<PairLinkRow, Saying>> = {
  ...{ primaryAddresses: "", primaryMirror: "", primaryParentAddress: "" },
  ...{ pairAddresses: "", pairMirror: "", pairParentAddress: "" },
  ...{ saidVni: null, mtu: null },
};

function differing(row: PairLinkRow, asked: PairLinkRow): string | undefined {
  const name = SAYING_NAMES.find((one) => (row[one] || asked[one]) !== (asked[one] || row[one]));
  return name === undefined ? undefined : `${SAYINGS[name]} ${row[name]} and ${asked[name]}`;
}

/** Returns the link with what is asked where nothing was said before. Both must not contradict each other. */
export function merged(before: PairLinkRow, asked: PairLinkRow): PairLinkRow {
  const sayings = SAYING_NAMES.map((name) => [name, before[name] || asked[name]]);
  return { ...before, ...Object.fromEntries(sayings) };
}

/** Returns why a link can't be there beside another one that is asked for; undefined if it can, or is the same. */
export function contradiction(row: PairLinkRow, asked: PairLinkRow): CniError | undefined {
  const refused = (problem: string, cure: string) => new CniError(ErrorCode.invalidConfig, problem, cure);
  if (row.primaryName === asked.pairName && row.pairName === asked.primaryName) {
    return refused(
      `pods ${shown(asked.primaryName)} and ${shown(row.primaryName)} both are the primary of their link`,
      "say primary: true of one of the two only",
    );
  }
  if (isSameLink(row, asked) && row.pairName === asked.pairName && row.pairIfname === asked.pairIfname) {
    const different = differing(row, asked);
    if (different === undefined) return undefined;
    return refused(
      `the link of ${shown(asked.primaryName)} and ${shown(asked.pairName)} is asked for in two ways: ${different}`,
      "let both sides, and what was announced, say the same: see warren links",
    );
  }
  const shared = ends(row).find((one) =>
    ends(asked).some(({ podName, ifname }) => podName === one.podName && ifname === one.ifname),
  );
  if (shared === undefined) return undefined;
  return refused(
    `interface ${shared.ifname} of pod ${shown(shared.podName)} is to be the end of two links: of ${shown(row.primaryName)} with ${shown(row.pairName)}, and of ${shown(asked.primaryName)} with ${shown(asked.pairName)}`,
    "a pair has one primary: give the second link a pair_ifname of its own, or another pair",
  );
}

function ends(row: PairLinkRow): SideOfLink[] {
  return [sideOf(row, "primary"), sideOf(row, "pair")];
}
