// What becomes of a pod's links: which ends are to be made now, because the other pod is here or it is known where it is, and
// what the others wait for. An end is written down before it is made, and both ends of a veth at once.
import { deletePairEnd, putPairEnd } from "../../db/pair-queries.ts" with { type: "macro" };
import { shown } from "../cni/input.ts";
import type { AttachmentRow } from "../ledger/attachments.ts";
import type { Transaction } from "../store/store.ts";
import { announcedPlan } from "./announcements.ts";
import { nameOf, otherSide, type Side, sideOf, spelledAddress } from "./link-row.ts";
import {
  endsOfLink,
  ensureVni,
  findPod,
  isElsewhere,
  linksOfPod,
  livingAttachment,
  type NodePlan,
  type PairEndRow,
  type PairLinkRow,
  type PairPodRow,
} from "./links.ts";

const PUT_END = putPairEnd();
const DELETE_END = deletePairEnd();

/** A veth between two containers of this node, or this node's end of a vxlan, that is to be made now. */
export type Making =
  | {
      readonly kind: "veth";
      readonly link: PairLinkRow;
      readonly ends: readonly [MakingEnd, MakingEnd];
    }
  | {
      readonly kind: "vxlan";
      readonly link: PairLinkRow;
      readonly end: MakingEnd;
    };

/** An end that is to be made, with the routes of its pod. */
export interface MakingEnd {
  readonly row: PairEndRow;
  readonly addresses: string;
  readonly routes: string;
}

/** A link that can't be there yet, and what it waits for. */
export interface Waiting {
  readonly link: PairLinkRow;
  readonly reason: string;
}

/** What becomes of the links of a pod. */
export interface Prospects {
  readonly makings: readonly Making[];
  readonly waiting: readonly Waiting[];
}

/**
 * Writes down which ends of a pod's links are to be made now: those whose other pod is here, or of which is known where it
 * is. Ends that are written down for these same containers already are left to whoever wrote them.
 */
export async function prospectsOf(store: Transaction, pod: PairPodRow, node: NodePlan): Promise<Prospects> {
  const makings: Making[] = [];
  const waiting: Waiting[] = [];
  const own = await livingAttachment(store, pod, node);
  if (own === undefined) return { makings, waiting };
  for (const link of await linksOfPod(store, pod.network, pod)) {
    const side: Side = link.primaryName === pod.podName ? "primary" : "pair";
    const making = await makingOf(store, link, { side, pod, attachment: own }, node);
    if (typeof making === "string") waiting.push({ link, reason: making });
    else if (making !== undefined) makings.push(making);
  }
  return { makings, waiting };
}

interface Member {
  readonly side: Side;
  readonly pod: PairPodRow;
  readonly attachment: AttachmentRow;
}

/** Returns what is to be made; undefined where it is made, and in words what is missing where it can't be. */
async function makingOf(
  store: Transaction,
  link: PairLinkRow,
  member: Member,
  node: NodePlan,
): Promise<Making | string | undefined> {
  const { podNamespace, network } = link;
  const side = otherSide(member.side);
  const { podName } = sideOf(link, side);
  const other = await findPod(store, network, { podNamespace, podName });
  const attachment = await livingAttachment(store, other, node);
  const written = await endsOfLink(store, link);
  if (other !== undefined && attachment !== undefined) {
    const rows = [
      endRow(link, "veth", member, attachment),
      endRow(link, "veth", { side, attachment }, member.attachment),
    ] as const;
    if (rows.every((row) => written.some((one) => isSameEnd(one, row)))) return undefined;
    for (const row of rows) await store.run(PUT_END, row);
    return { kind: "veth", link, ends: [making(link, rows[0], member.pod), making(link, rows[1], other)] };
  }
  const remote = await remoteOf(store, link, side, node);
  if (remote === "" || remote === node.parentAddress) return `pod ${shown(podName)} is not there yet`;
  // of a link to a node with another store that one gives out the number, or whoever announces it
  if (link.vni === null && member.side === "pair" && other === undefined) {
    return `nobody said which VNI the link with ${shown(podName)} at ${remote} has`;
  }
  const vni = link.vni ?? (await ensureVni(store, link, node));
  const row = { ...endRow(link, "vxlan", member, undefined), vni, remote };
  if (written.some((one) => isSameEnd(one, row))) return undefined;
  await store.run(PUT_END, row);
  return { kind: "vxlan", link, end: making(link, row, member.pod) };
}

/** Returns at which address the node of the pod at this side of a link is reached, by all that is known; empty if nothing is. */
export async function remoteOf(
  store: Transaction,
  link: PairLinkRow,
  side: Side,
  node: NodePlan,
): Promise<string> {
  const { network, podNamespace } = link;
  const { podName, parentAddress } = sideOf(link, side);
  const pod = await findPod(store, network, { podNamespace, podName });
  if (pod !== undefined && isElsewhere(pod, node)) return pod.parentAddress;
  if (parentAddress !== "") return parentAddress;
  const announced = await announcedPlan(store, network, { podNamespace, podName });
  return spelledAddress(announced?.parentAddress);
}

function making(link: PairLinkRow, row: PairEndRow, { routes }: PairPodRow): MakingEnd {
  return { row, addresses: sideOf(link, row.side === "primary" ? "primary" : "pair").addresses, routes };
}

function endRow(
  link: PairLinkRow,
  kind: "veth" | "vxlan",
  { side, attachment }: Pick<Member, "side" | "attachment">,
  other: AttachmentRow | undefined,
): PairEndRow {
  const { ifname, mirror } = sideOf(link, side);
  return {
    ...nameOf(link),
    side,
    kind,
    containerId: attachment.containerId,
    ifname: attachment.ifname,
    netns: attachment.netns,
    netnsInode: attachment.netnsInode,
    bootId: attachment.bootId,
    name: ifname,
    mirror,
    otherContainerId: other?.containerId ?? "",
    otherIfname: other?.ifname ?? "",
    vni: null,
    remote: "",
  };
}

/** True if the two are the same end of the same containers, and of the same namespace. */
function isSameEnd(left: PairEndRow, right: PairEndRow): boolean {
  return (
    left.side === right.side &&
    left.kind === right.kind &&
    left.containerId === right.containerId &&
    left.ifname === right.ifname &&
    left.netns === right.netns &&
    left.netnsInode === right.netnsInode &&
    left.bootId === right.bootId &&
    left.otherContainerId === right.otherContainerId &&
    left.otherIfname === right.otherIfname &&
    left.vni === right.vni &&
    left.remote === right.remote
  );
}

/** True if a making is still what is written down, and nobody ends one of its containers. */
export async function isStillAsked(store: Transaction, making: Making): Promise<boolean> {
  const { link } = making;
  const { network, podNamespace } = link;
  const written = await endsOfLink(store, link);
  for (const { row } of rowsOf(making)) {
    const { podName } = sideOf(link, row.side === "primary" ? "primary" : "pair");
    const pod = await findPod(store, network, { podNamespace, podName });
    if (pod?.containerId !== row.containerId || pod.ifname !== row.ifname) return false;
    if (!written.some((one) => isSameEnd(one, row))) return false;
  }
  return true;
}

/** Forgets the ends of a making that came to nothing. */
export async function forgetMaking(store: Transaction, making: Making): Promise<void> {
  const written = await endsOfLink(store, making.link);
  for (const { row } of rowsOf(making)) {
    if (!written.some((one) => isSameEnd(one, row))) continue;
    await store.run(DELETE_END, { ...nameOf(row), side: row.side });
  }
}

/** Returns the ends of a making. */
export function rowsOf(making: Making): readonly MakingEnd[] {
  return making.kind === "veth" ? making.ends : [making.end];
}
