// A pod comes, and what can be linked now is linked; a pod goes, and its links go with it. What is to be made is written
// down in one transaction, made after it, and looked at once more: whoever was ended meanwhile gets nothing.
import { openContainer } from "../attachment/container-interface.ts";
import { aliasOf } from "../attachment/identity.ts";
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { findAttachment } from "../ledger/attachments.ts";
import type { Holder, Owner } from "../ledger/owner.ts";
import { connectHost, connectInside } from "../net/connection.ts";
import { MirrorError } from "../net/mirror.ts";
import { EndNameTakenError, type LinkEnd, refuseTakenEnd, removeTaggedEnds } from "../net/private-link.ts";
import { VniTakenError } from "../net/vxlan.ts";
import { inExistingStore, openStore } from "../store/sqlite.ts";
import type { Transaction } from "../store/store.ts";
import { carryOut, hardwareAddressOf, removeMadeEnd, takeBack } from "./ends.ts";
import type { PodPlan } from "./link-plan.ts";
import {
  endsOfLink,
  endsOfOwner,
  enterPod,
  everythingPaired,
  leavePod,
  type NodePlan,
  PAIR_PLUGIN,
  type PairEndRow,
  type PairLinkRow,
  type PairPodRow,
  podOfOwner,
  retirePod,
} from "./links.ts";
import { type NodeSettings, nodePlan, transportOf } from "./node-settings.ts";
import { forgetMaking, isStillAsked, type Making, prospectsOf, remoteOf, type Waiting } from "./prospects.ts";

/** What became of the links of a pod that came. */
export interface Joined {
  readonly made: readonly Making[];
  readonly waiting: readonly Waiting[];
}

/**
 * Writes a pod down and makes what can be made of its links. `onWritten` is called as soon as there is something to take
 * back, with what does so. Throws what enterPod does, CniError 102 for a name or number that is taken, 7 for traffic
 * that can't be copied, and 104.
 */
export async function joinPod(
  plan: PodPlan,
  holder: Holder,
  settings: NodeSettings,
  onWritten: (undo: () => Promise<void>) => void,
): Promise<Joined> {
  using host = connectHost();
  const node = nodePlan(host, settings);
  const store = openStore(settings.dataDir);
  const made: Making[] = [];
  const undo = () => {
    // whoever has taken them out of the store may have looked for them before they were there
    for (const making of made) takeBack(making);
    return endPod(holder, settings.dataDir, "undo");
  };
  const prospects = await store.transaction(async (transaction) => {
    await enterPod(transaction, plan, holder, node);
    const pod = await podOfOwner(transaction, holder);
    if (pod === undefined) throw new Error("a pod was written down and is gone");
    onWritten(undo);
    return prospectsOf(transaction, pod, node);
  });
  const waiting = [...prospects.waiting];
  for (const making of prospects.makings) {
    if (await isMade(making, settings, () => transportOf(host, settings))) made.push(making);
    else waiting.push({ link: making.link, reason: "the other pod was deleted meanwhile" });
  }
  return { made, waiting };
}

/**
 * Makes a link and returns true, or false if one of its containers was ended meanwhile, and then nothing is left of it.
 * Throws as joinPod.
 */
async function isMade(
  making: Making,
  settings: NodeSettings,
  transport: Parameters<typeof carryOut>[1],
): Promise<boolean> {
  const isAsked = () => openStore(settings.dataDir).read((store) => isStillAsked(store, making));
  try {
    carryOutExplained(making, settings, transport);
  } catch (error) {
    // whoever ends a container takes its links away, also one that is half made
    if (await isAsked()) throw error;
    takeBack(making);
    return false;
  }
  if (await isAsked()) return true;
  takeBack(making);
  return false;
}

/**
 * Throws CniError 102 if the pod has an interface of the name that one of its own links is to have: the first pod of a link
 * is told, and not the second one, which can't help it.
 */
export function refuseTakenNames(
  place: Pick<LinkEnd, "netns" | "inside">,
  owner: Owner,
  { podName, links }: PodPlan,
): void {
  for (const { primary, pair } of links) {
    const { ifname: name } = primary.podName === podName ? primary : pair;
    const identity = { ...owner, name };
    try {
      refuseTakenEnd({ ...place, name, hardwareAddress: hardwareAddressOf(identity), alias: aliasOf(owner) });
    } catch (error) {
      throw explained(error, { primaryName: primary.podName, pairName: pair.podName });
    }
  }
}

function carryOutExplained(
  making: Making,
  { mtu }: NodeSettings,
  transport: Parameters<typeof carryOut>[1],
): void {
  const link = mtu === undefined ? making.link : { ...making.link, mtu: making.link.mtu ?? mtu };
  try {
    carryOut({ ...making, link }, transport);
  } catch (error) {
    throw explained(error, making.link);
  }
}

function explained(
  error: unknown,
  { primaryName, pairName }: Pick<PairLinkRow, "primaryName" | "pairName">,
): unknown {
  const what = `link of ${shown(primaryName)} and ${shown(pairName)}`;
  if (error instanceof EndNameTakenError) {
    return new CniError(
      ErrorCode.nameTaken,
      `${what}: ${error.message}`,
      `it is a ${error.kind || "physical"} interface: remove it, or give the link another name`,
      { cause: error },
    );
  }
  if (error instanceof VniTakenError) {
    return new CniError(
      ErrorCode.nameTaken,
      `${what}: ${error.message}`,
      "give the link another vni, or the network another port or vniRange",
      { cause: error },
    );
  }
  if (error instanceof MirrorError) {
    return new CniError(ErrorCode.invalidConfig, `${what}: ${error.message}`, "correct the label mirror", {
      cause: error,
    });
  }
  return error;
}

/** Why a pod goes: it ends, or its ADD has failed and all is to be as before. */
export type Ending = "end" | "undo";

/**
 * Removes the links of an attachment from the kernel, then from the store; before that nobody makes new ones to it.
 * What is missing is success; other pods' links wait again. Throws NetlinkError or StoreError, and what could not be
 * removed stays written down.
 */
export async function endPod(owner: Owner, dataDir: string, ending: Ending): Promise<void> {
  const ends = await inExistingStore(dataDir, async (store) => {
    if (store === undefined) return [];
    await retirePod(store, owner);
    return bothEnds(store, owner);
  });
  // the other ends' mirrors go first, because with one end of a veth the other goes
  for (const { own, other } of ends) {
    if (other !== undefined && other.mirror !== "") removeMadeEnd(other);
    removeMadeEnd(own);
  }
  await inExistingStore(dataDir, async (store) => {
    if (store === undefined) return;
    // an end whose own namespace is out of reach goes by the other one, and by one that was made meanwhile as well
    for (const { other } of await bothEnds(store, owner)) if (other !== undefined) removeMadeEnd(other);
    await leavePod(store, owner, { undo: ending === "undo" });
  });
}

interface BothEnds {
  readonly own: PairEndRow;
  /** Undefined for a vxlan, and where another container has taken this one's place. */
  readonly other: PairEndRow | undefined;
}

async function bothEnds(store: Transaction, owner: Owner): Promise<BothEnds[]> {
  const both: BothEnds[] = [];
  for (const own of await endsOfOwner(store, owner)) {
    const other = (await endsOfLink(store, own)).find(
      (one) => one.otherContainerId === owner.containerId && one.otherIfname === owner.ifname,
    );
    both.push({ own, other });
  }
  return both;
}

/** Removes what the aliases in a container say is an end of this attachment: for a DEL whose store was lost. */
export function endUnwritten(owner: Owner, netnsPath: string): void {
  const alias = aliasOf(owner);
  if (alias === undefined) return;
  // what is left of a path whose namespace is gone can be an ordinary file
  using netns = openContainer({ netns: netnsPath, netnsInode: null });
  if (netns === undefined) return;
  using inside = connectInside(netns);
  removeTaggedEnds(inside, alias);
}

/** A link that could not be made, and why. */
export interface FailedLink {
  readonly link: PairLinkRow;
  readonly reason: string;
}

/**
 * Makes what can be made now of all links of a network whose ends on this node are missing, or lead where the other pod is
 * not any more: since their pods came, the other ones were announced, or came on other nodes. Each is tried. Returns what
 * was made and what could not be.
 */
export async function completeLinks(
  network: string,
  settings: NodeSettings,
): Promise<{ readonly made: readonly Making[]; readonly failed: readonly FailedLink[] }> {
  using host = connectHost();
  const node = nodePlan(host, settings);
  const store = openStore(settings.dataDir);
  const made: Making[] = [];
  const failed: FailedLink[] = [];
  for (const pod of await store.read((reader) => incompletePods(reader, network, node))) {
    // no DEL follows when this is killed, so that a link is written down for good only when it is there
    await store.transaction(async (transaction) => {
      const current = await podOfOwner(transaction, pod);
      if (current === undefined) return;
      for (const making of (await prospectsOf(transaction, current, node)).makings) {
        try {
          carryOutExplained(making, settings, () => transportOf(host, settings));
          made.push(making);
        } catch (error) {
          failed.push({ link: making.link, reason: describeError(error) });
          await forgetMaking(transaction, making);
        }
      }
    });
  }
  return { made, failed };
}

/** Returns the pods to look after; runtimes ask often, and a write transaction for each pod is dear. */
async function incompletePods(store: Transaction, network: string, node: NodePlan): Promise<PairPodRow[]> {
  const { pods, links, ends } = await everythingPaired(store);
  const found: PairPodRow[] = [];
  for (const pod of pods) {
    if (pod.network !== network) continue;
    const own = links.filter(
      (link) =>
        link.network === network &&
        link.podNamespace === pod.podNamespace &&
        (link.primaryName === pod.podName || link.pairName === pod.podName),
    );
    const has = ends.filter(
      (end) => end.network === network && end.containerId === pod.containerId && end.ifname === pod.ifname,
    );
    if (own.length > has.length || (await hasStrayEnd(store, own, has, node))) found.push(pod);
  }
  return found;
}

/** True if one of a pod's vxlans has another number than its link, or does not lead to where the other pod is. */
async function hasStrayEnd(
  store: Transaction,
  links: readonly PairLinkRow[],
  ends: readonly PairEndRow[],
  node: NodePlan,
): Promise<boolean> {
  for (const end of ends) {
    if (end.kind !== "vxlan") continue;
    const link = links.find(
      ({ primaryName, primaryIfname }) =>
        primaryName === end.primaryName && primaryIfname === end.primaryIfname,
    );
    if (link === undefined) continue;
    const remote = await remoteOf(store, link, end.side === "primary" ? "pair" : "primary", node);
    if (remote === "" || remote === node.parentAddress) continue;
    if (remote !== end.remote || (link.vni !== null && link.vni !== end.vni)) return true;
  }
  return false;
}

/** Ends pods whose attachments the ledger has forgotten, such as those of an earlier boot. Throws as endPod. */
export async function endStrays(network: string, dataDir: string): Promise<void> {
  const strays = await inExistingStore(
    dataDir,
    async (store) => {
      if (store === undefined) return [];
      const { pods, ends } = await everythingPaired(store);
      const found: Owner[] = [];
      for (const { containerId, ifname } of [...pods, ...ends].filter((one) => one.network === network)) {
        const owner = { network, containerId, ifname };
        if ((await findAttachment(store, { ...owner, plugin: PAIR_PLUGIN })) === undefined) found.push(owner);
      }
      return found;
    },
    "read",
  );
  for (const owner of strays) await endPod(owner, dataDir, "end");
}
