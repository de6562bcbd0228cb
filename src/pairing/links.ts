// What the store has of links: which attachment is which pod, which links are asked for and by whom, and which ends are
// made. Everything in here runs inside one transaction of its caller's, and none of it touches the kernel.
import {
  allPairEnds,
  allPairLinks,
  allPairPods,
  deletePairEnd,
  deletePairLink,
  deletePairPod,
  pairEndsOfLink,
  pairEndsOfOwner,
  pairLinkNamed,
  pairLinksOfPod,
  pairLinksSaidBy,
  pairLinkWithVni,
  pairPodNamed,
  pairPodOfOwner,
  putPairLink,
  putPairPod,
  vniBeforeGap,
} from "../../db/pair-queries.ts" with { type: "macro" };
import type { LinkName, PairEndRow, PairLinkRow, PairPodRow, PodName } from "../../db/pair-queries.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { type AttachmentRow, findAttachment } from "../ledger/attachments.ts";
import { type Holder, netnsIsGone, type Owner } from "../ledger/owner.ts";
import type { Transaction } from "../store/store.ts";
import { currentBootId } from "../sys/process.ts";
import { announcedPlan } from "./announcements.ts";
import { describePod, formatRoute, type LinkPlan, type PodKey, type PodPlan } from "./link-plan.ts";
import {
  contradiction,
  isSameLink,
  merged,
  NOTHING_SAID,
  nameOf,
  PAIRS_ALONE,
  PRIMARYS_ALONE,
  rowOf,
  SAYING_NAMES,
  type Sayer,
  type Side,
  saidBy,
  sayerOf,
  sideOf,
} from "./link-row.ts";

const PUT_POD = putPairPod();
const POD_NAMED = pairPodNamed();
const POD_OF_OWNER = pairPodOfOwner();
const ALL_PODS = allPairPods();
const DELETE_POD = deletePairPod();
const PUT_LINK = putPairLink();
const LINK_NAMED = pairLinkNamed();
const LINKS_OF_POD = pairLinksOfPod();
const LINKS_SAID_BY = pairLinksSaidBy();
const LINK_WITH_VNI = pairLinkWithVni();
const ALL_LINKS = allPairLinks();
const DELETE_LINK = deletePairLink();
const VNI_BEFORE_GAP = vniBeforeGap();
const ENDS_OF_LINK = pairEndsOfLink();
const ENDS_OF_OWNER = pairEndsOfOwner();
const ALL_ENDS = allPairEnds();
const DELETE_END = deletePairEnd();

export type { LinkName, PairEndRow, PairLinkRow, PairPodRow };

/** The plugin's name in the ledger. */
export const PAIR_PLUGIN = "pair";

/** What is the same for all links that one node makes. */
export interface NodePlan {
  /** Where other nodes reach this one; empty where there are no others. */
  readonly parentAddress: string;
  readonly vnis: { readonly first: number; readonly last: number };
}

function ownerOf({ network, containerId, ifname }: Owner): Owner {
  return { network, containerId, ifname };
}

function podNameOf(network: string, { podNamespace, podName }: PodKey): PodName {
  return { network, podNamespace, podName };
}

/** True if the pod is on another node, by the addresses at which nodes are reached. */
export function isElsewhere(
  { parentAddress }: Pick<PairPodRow, "parentAddress">,
  node: Pick<NodePlan, "parentAddress">,
): boolean {
  return parentAddress !== "" && node.parentAddress !== "" && parentAddress !== node.parentAddress;
}

/** Returns the entry of the attachment that is a pod of this node, if its container can be alive. */
export async function livingAttachment(
  store: Transaction,
  pod: PairPodRow | undefined,
  node: Pick<NodePlan, "parentAddress">,
): Promise<AttachmentRow | undefined> {
  if (pod === undefined || isElsewhere(pod, node)) return undefined;
  const row = await findAttachment(store, { ...ownerOf(pod), plugin: PAIR_PLUGIN });
  return row !== undefined && row.bootId === currentBootId() && !netnsIsGone(row) ? row : undefined;
}

/** Returns which attachment is the pod. */
export async function findPod(
  store: Transaction,
  network: string,
  pod: PodKey,
): Promise<PairPodRow | undefined> {
  return store.first(POD_NAMED, podNameOf(network, pod));
}

/** Returns which pod the attachment is; undefined if it is none, or another attachment has taken its place. */
export async function podOfOwner(store: Transaction, owner: Owner): Promise<PairPodRow | undefined> {
  return store.first(POD_OF_OWNER, ownerOf(owner));
}

/** Returns the links that a pod is one side of. */
export async function linksOfPod(store: Transaction, network: string, pod: PodKey): Promise<PairLinkRow[]> {
  return store.all(LINKS_OF_POD, podNameOf(network, pod));
}

/** Returns the ends of a link that are made, or about to be. */
export async function endsOfLink(store: Transaction, link: LinkName): Promise<PairEndRow[]> {
  return store.all(ENDS_OF_LINK, nameOf(link));
}

/** Returns the link of an end; undefined if nobody asks for it any more. */
async function linkOfEnd(store: Transaction, end: LinkName): Promise<PairLinkRow | undefined> {
  return store.first(LINK_NAMED, nameOf(end));
}

/** Returns the ends that an attachment has. */
export async function endsOfOwner(store: Transaction, owner: Owner): Promise<PairEndRow[]> {
  return store.all(ENDS_OF_OWNER, ownerOf(owner));
}

/** Everything about links that is in the store. */
export interface EverythingPaired {
  readonly pods: readonly PairPodRow[];
  readonly links: readonly PairLinkRow[];
  readonly ends: readonly PairEndRow[];
}

/** Returns everything about links of all networks. */
export async function everythingPaired(store: Transaction): Promise<EverythingPaired> {
  return {
    pods: await store.all(ALL_PODS, {}),
    links: await store.all(ALL_LINKS, {}),
    ends: await store.all(ALL_ENDS, {}),
  };
}

/**
 * Writes down that an attachment is the pod of the plan, and which links its labels ask for. What an attachment that is
 * not there any more left under that name is forgotten. Throws CniError 102 if another container that is alive is this
 * pod, 7 for links that contradict what is written, 100 for a VNI that another link has, 101 if none is left.
 */
export async function enterPod(
  store: Transaction,
  plan: PodPlan,
  holder: Holder,
  node: NodePlan,
): Promise<void> {
  const { network } = holder;
  const before = await findPod(store, network, plan);
  if (before !== undefined && !isSameOwner(before, holder)) {
    if ((await livingAttachment(store, before, node)) !== undefined) {
      throw new CniError(
        ErrorCode.nameTaken,
        `container ${before.containerId} of network ${network} is the pod ${describePod(plan)} already`,
        "DEL it first, or give the pods different names",
      );
    }
    await leavePod(store, before);
  }
  await store.run(PUT_POD, {
    ...podNameOf(network, plan),
    containerId: holder.containerId,
    ifname: holder.ifname,
    parentAddress: node.parentAddress,
    routes: plan.routes.map(formatRoute).join(", "),
  });
  for (const link of plan.links) {
    const side: Side = link.primary.podName === plan.podName ? "primary" : "pair";
    const row = await askForLink(store, network, plan.podNamespace, link, node, saidBy(side, holder));
    if (side === "primary") await ensureVni(store, row, node);
  }
}

function isSameOwner(left: Sayer, right: Sayer): boolean {
  return left.containerId === right.containerId && left.ifname === right.ifname;
}

/**
 * Writes down that somebody asks for a link, and returns it as it is then: what others have said of the same link stays,
 * and must not contradict. `who` is what saidBy returns, or `announced`. Throws as enterPod.
 */
export async function askForLink(
  store: Transaction,
  network: string,
  podNamespace: string,
  plan: LinkPlan,
  node: NodePlan,
  who: Partial<PairLinkRow>,
): Promise<PairLinkRow> {
  const asked = rowOf(network, podNamespace, plan);
  for (const end of [plan.primary, plan.pair]) {
    for (const row of await linksOfPod(store, network, { podNamespace, podName: end.podName })) {
      const reason = contradiction(row, asked);
      if (reason === undefined) continue;
      if (await isAbandoned(store, row, node)) await forgetLink(store, row);
      else throw reason;
    }
  }
  const before = await store.first(LINK_NAMED, nameOf(asked));
  const row = { ...(before === undefined ? asked : merged(before, asked)), ...who };
  if (row.saidVni !== null && row.saidVni !== row.vni) {
    await refuseTakenVni(store, row, row.saidVni);
    row.vni = row.saidVni;
  }
  await store.run(PUT_LINK, row);
  return row;
}

/** True if nobody asks for a link but containers that are not there any more. */
async function isAbandoned(store: Transaction, row: PairLinkRow, node: NodePlan): Promise<boolean> {
  if (row.announced === 1) return false;
  for (const side of ["primary", "pair"] as const) {
    const sayer = sayerOf(row, side);
    const { podName } = sideOf(row, side);
    const pod = await findPod(store, row.network, { podNamespace: row.podNamespace, podName });
    if (sayer === undefined || pod === undefined || !isSameOwner(pod, sayer)) continue;
    if (isElsewhere(pod, node) || (await livingAttachment(store, pod, node)) !== undefined) return false;
  }
  return true;
}

async function forgetLink(store: Transaction, row: PairLinkRow): Promise<void> {
  for (const side of ["primary", "pair"]) await store.run(DELETE_END, { ...nameOf(row), side });
  await store.run(DELETE_LINK, nameOf(row));
}

async function refuseTakenVni(store: Transaction, row: PairLinkRow, vni: number): Promise<void> {
  const holder = await store.first(LINK_WITH_VNI, { vni });
  if (holder === undefined || isSameLink(holder, row)) return;
  throw new CniError(
    ErrorCode.addressInUse,
    `the VNI ${vni} is that of the link of ${shown(holder.primaryName)} and ${shown(holder.pairName)} on network ${holder.network}`,
    "ask for another one",
  );
}

/** Gives the link a VNI unless it has one, and returns it. Throws CniError 101 if none is left. */
export async function ensureVni(store: Transaction, row: PairLinkRow, { vnis }: NodePlan): Promise<number> {
  if (row.vni !== null) return row.vni;
  const isFree = async (vni: number) => (await store.first(LINK_WITH_VNI, { vni })) === undefined;
  const before = (await isFree(vnis.first)) ? vnis.first - 1 : (await store.first(VNI_BEFORE_GAP, vnis))?.vni;
  if (before === undefined) {
    throw new CniError(
      ErrorCode.noAddressLeft,
      `no VNI is left for the link of ${shown(row.primaryName)} and ${shown(row.pairName)}: all from ${vnis.first} to ${vnis.last} are taken`,
      "enlarge vniRange, or delete links that nobody needs: see warren links",
    );
  }
  await store.run(PUT_LINK, { ...row, vni: before + 1 });
  return before + 1;
}

/**
 * Forgets what an attachment is and has: its ends, the other ends of its veths, the links that only its labels ask for,
 * and their VNIs. Where the other pod stays, its link waits again, as it did before an ADD that failed. Call it when the
 * kernel's part is gone.
 */
export async function leavePod(
  store: Transaction,
  owner: Owner,
  { undo }: { readonly undo: boolean } = { undo: false },
): Promise<void> {
  for (const end of await endsOfOwner(store, owner)) {
    await store.run(DELETE_END, { ...nameOf(end), side: end.side });
    if (end.kind !== "veth") continue;
    const other = (await endsOfLink(store, end)).find(
      (one) => one.otherContainerId === owner.containerId && one.otherIfname === owner.ifname,
    );
    if (other !== undefined) await store.run(DELETE_END, { ...nameOf(other), side: other.side });
    const link = await linkOfEnd(store, end);
    // a number that no device has is worth nothing to a link that waits
    if (!undo && link !== undefined && link.vni !== link.saidVni)
      await store.run(PUT_LINK, { ...link, vni: link.saidVni });
  }
  for (const row of await store.all(LINKS_SAID_BY, ownerOf(owner))) {
    const primarys = sayerOf(row, "primary");
    const side: Side = primarys !== undefined && isSameOwner(primarys, owner) ? "primary" : "pair";
    const left = { ...row, ...saidBy(side, undefined) };
    if (isUnasked(left)) await store.run(DELETE_LINK, nameOf(row));
    else await store.run(PUT_LINK, await withoutSayings(store, left, side));
  }
  await store.run(DELETE_POD, ownerOf(owner));
}

function isUnasked({ announced, saidByPrimary, saidByPair }: PairLinkRow): boolean {
  return announced === 0 && saidByPrimary === "" && saidByPair === "";
}

/**
 * Returns a link without what a pod that left has said of it: its mirror, where the other pod is, and of a primary the
 * number. Where no pod asks for the link any more, what was announced is all that is left. What both pods may say stays
 * while the other one asks for it.
 */
async function withoutSayings(store: Transaction, row: PairLinkRow, side: Side): Promise<PairLinkRow> {
  const said = await announcedRows(store, row);
  const isAnnouncedAlone = row.saidByPrimary === "" && row.saidByPair === "";
  const own = side === "primary" ? PRIMARYS_ALONE : PAIRS_ALONE;
  const stale = SAYING_NAMES.filter((name) => isAnnouncedAlone || own.includes(name));
  const sayings = stale.map((name) => [
    name,
    said.map((one) => one[name]).find(Boolean) ?? NOTHING_SAID[name],
  ]);
  const left: PairLinkRow = { ...row, ...Object.fromEntries(sayings) };
  // another pod's vxlan may still have the number
  const isInUse = (await endsOfLink(store, row)).some(({ vni }) => vni !== null);
  return (side === "primary" || isAnnouncedAlone) && !isInUse ? { ...left, vni: left.saidVni } : left;
}

/** Returns a link as each announcement asks for it: of its primary, of its pair, or of both. */
async function announcedRows(store: Transaction, row: PairLinkRow): Promise<PairLinkRow[]> {
  const said: PairLinkRow[] = [];
  for (const side of ["primary", "pair"] as const) {
    const { podName } = sideOf(row, side);
    const announced = await announcedPlan(store, row.network, { podNamespace: row.podNamespace, podName });
    for (const link of announced?.links ?? []) {
      const asked = rowOf(row.network, row.podNamespace, link);
      if (isSameLink(asked, row)) said.push(asked);
    }
  }
  return said;
}

/** Lets nobody make a link to an attachment any more: its container is about to go. */
export async function retirePod(store: Transaction, owner: Owner): Promise<void> {
  await store.run(DELETE_POD, ownerOf(owner));
}

/**
 * Takes back the word of an announcement that is forgotten already; a link that nobody else asks for is forgotten, too.
 * The other pod may be announced with the same link.
 */
export async function unaskForLink(
  store: Transaction,
  network: string,
  { podNamespace, podName }: PodKey,
  { primary }: LinkPlan,
): Promise<void> {
  const row = await store.first(LINK_NAMED, {
    network,
    podNamespace,
    primaryName: primary.podName,
    primaryIfname: primary.ifname,
  });
  if (row === undefined) return;
  const left = { ...row, announced: (await announcedRows(store, row)).length > 0 ? 1 : 0 };
  if (isUnasked(left)) await store.run(DELETE_LINK, nameOf(row));
  else {
    const side: Side = podName === primary.podName ? "primary" : "pair";
    // what the pod itself says is not told apart from what was said of it
    const isSaid = sayerOf(row, side) !== undefined;
    await store.run(PUT_LINK, isSaid ? left : await withoutSayings(store, left, side));
  }
}
