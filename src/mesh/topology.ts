// The mesh on one node as a list of pieces, in the order in which they stand on each other: each tells what is wrong with
// it, and mends that alone. So making all of it, repairing one piece and telling what is missing are one and the same.
import { CniError, ErrorCode, Failures } from "../cni/error.ts";
import { type Address, sameAddress } from "../ip/address.ts";
import { formatPrefix, type Prefix } from "../ip/prefix.ts";
import { ping, UnreachableError } from "../net/echo.ts";
import { probeLinkDriver } from "../net/link-driver.ts";
import { allLinks, knownAddresses, linksWithAlias, removeLinkNumber } from "../net/link-shape.ts";
import { removeClusterMasquerade } from "../net/masquerade.ts";
import { findLink, type Link } from "../net/veth.ts";
import { statFile } from "../sys/files.ts";
import { giveBack, keepSettings } from "./found-settings.ts";
import { piecesOf } from "./pieces.ts";
import { filesOf, type MeshNames, type MeshPlan } from "./plan.ts";
import { Site } from "./site.ts";
import { tunnelOf } from "./tunnel.ts";

/** A piece that is not as it should be. */
export interface Finding {
  readonly piece: string;
  /** Such as `is missing`. */
  readonly problem: string;
}

/** Returns what a finding says. */
export function findingText({ piece, problem }: Finding): string {
  return `${piece} ${problem}`;
}

/**
 * Makes what is missing of the mesh on this node, repairs what is wrong, touches nothing else, and returns what it mended,
 * in that order. Throws CniError, MissingFeatureError, NetlinkError or SystemError; what is made by then stays, and the
 * next call goes on from there.
 */
export function raise(plan: MeshPlan): Finding[] {
  using site = new Site(plan);
  refuseStrangers(plan, site);
  probeAt(plan, site);
  const mended: Finding[] = [];
  for (const piece of piecesOf(plan, site)) {
    const problem = piece.problem();
    if (problem === undefined) continue;
    piece.mend();
    const left = piece.problem();
    if (left !== undefined) throw new Error(`${piece.name} ${left}, although it was just mended`);
    mended.push({ piece: piece.name, problem });
  }
  return mended;
}

/** Throws MissingFeatureError where the kernel lacks a part that the mesh needs, CniError 7 for a tunnel that can't be. */
export function probe(plan: MeshPlan): void {
  using site = new Site(plan);
  probeAt(plan, site);
}

function probeAt(plan: MeshPlan, site: Site): void {
  probeLinkDriver(site.host, "bridge");
  probeLinkDriver(site.host, "veth");
  tunnelOf(plan).probe(site);
}

/** Returns what is missing or wrong of the mesh on this node. Throws as `raise`, and changes nothing. */
export function inspect(plan: MeshPlan): Finding[] {
  using site = new Site(plan);
  return piecesOf(plan, site).flatMap(({ name, problem }) => {
    const said = problem();
    return said === undefined ? [] : [{ piece: name, problem: said }];
  });
}

/**
 * Tries the way that a pod's packets go to other nodes, as far as it is on this one: the router of each block has to answer
 * over the bridge and the pair. Throws UnreachableError.
 */
export function tryOut(plan: MeshPlan): void {
  for (const { router, gateway } of plan.blocks) answers(router, gateway);
}

/** A bridge that has just come up may lose the first packet. */
const TRIES = 5;

function answers(router: Address, gateway: Address): void {
  for (let tries = 1; ; tries++) {
    try {
      ping(undefined, router, { count: 1, timeoutMs: 1000, source: gateway });
      return;
    } catch (error) {
      if (!(error instanceof UnreachableError) || tries === TRIES) throw error;
      Bun.sleepSync(50);
    }
  }
}

/** What `lower` came to. */
export interface Lowered {
  /** What was there and is no more. */
  readonly removed: readonly string[];
  /** What stays, and why. */
  readonly notes: readonly string[];
}

/**
 * Takes all of the mesh on this node away, also what an interrupted call left, and what was moved to the host's namespace;
 * missing pieces are success. Throws what failed when all the rest is done.
 */
export async function lower(names: MeshNames): Promise<Lowered> {
  using site = new Site(names);
  const removed: string[] = [];
  const notes: string[] = [];
  const failures = new Failures();
  await failures.collect(() => {
    const inside = site.inside();
    if (inside === undefined) return;
    for (const link of allLinks(inside.connection)) {
      if (link.alias !== names.alias && ![names.pair.inner, ...names.tunnelNames].includes(link.name))
        continue;
      removeLinkNumber(inside.connection, link.index);
      if (link.name !== names.pair.inner) removed.push(`tunnel ${link.name}`);
    }
    const [stranger] = site.foreignLinks(inside);
    if (stranger === undefined) return;
    notes.push(
      `namespace ${names.netns.name} stays: it has the interface ${stranger.name}, which is not the mesh's`,
    );
  });
  await failures.collect(() => {
    if (notes.length > 0 || (site.inside() === undefined && !site.isUnfinished())) return;
    site.deleteInside();
    removed.push(`namespace ${names.netns.name}`);
  });
  await failures.collect(() => {
    for (const link of linksWithAlias(site.host, names.alias)) {
      removeLinkNumber(site.host, link.index);
      removed.push(`${link.kind} ${link.name}`);
    }
    // one whose making was interrupted before it could say whose it is
    const unnamed = findLink(site.host, names.bridge);
    if (unnamed === undefined || unnamed.kind !== "bridge" || unnamed.alias !== "") return;
    if (strangeAddresses(site, unnamed).length > 0) {
      notes.push(`bridge ${names.bridge} stays: nothing says that it is the mesh's`);
      return;
    }
    removeLinkNumber(site.host, unnamed.index);
    removed.push(`bridge ${unnamed.name}`);
  });
  await failures.collect(() => {
    removed.push(...removeClusterMasquerade(names.network).map((chain) => `nftables chain ${chain}`));
  });
  await failures.collect(() => {
    const links = allLinks(site.host);
    const pods = links.filter(({ alias }) => isPod(alias, names)).length;
    if (pods > 0)
      notes.push(`${pods} ${pods === 1 ? "pod has" : "pods have"} lost the network: DEL what is attached`);
    const user = links.find(({ kind, alias }) => kind === "bridge" || isOfOthers(alias, names));
    if (user !== undefined) keepSettings(names.record, heirOf(names, links));
    else removed.push(...giveBack(names.record).map((family) => `forwarding of IPv${family}`));
  });
  failures.rethrow(`mesh ${names.network} on this node`);
  return { removed, notes };
}

/** True for the alias of the host's end of a pod on this network: with the container and the interface, it has four words. */
function isPod(alias: string, { network }: MeshNames): boolean {
  const [warren, ofNetwork, container, ifname] = alias.split(" ");
  return warren === "warren" && ofNetwork === network && container !== undefined && ifname !== undefined;
}

/** True for the alias of something on another network, a pod's interface or a piece of another mesh. */
function isOfOthers(alias: string, names: MeshNames): boolean {
  return alias.startsWith("warren ") && alias !== names.alias && !isPod(alias, names);
}

/** Returns where another mesh that is on this node writes down what it found; undefined where there is none. */
function heirOf({ dataDir }: MeshNames, links: readonly Link[]): string | undefined {
  return links
    .flatMap(({ alias }) => /^warren mesh (\S+)$/.exec(alias)?.[1] ?? [])
    .map((network) => filesOf(dataDir, network))
    .find(({ memory }) => statFile(memory) !== undefined)?.record;
}

/** Throws CniError 102 where the namespace of the tunnel, or the bridge, is somebody else's. */
function refuseStrangers(plan: MeshPlan, site: Site): void {
  const inside = site.inside();
  const [stranger] = inside === undefined ? [] : site.foreignLinks(inside);
  if (stranger !== undefined) {
    throw new CniError(
      ErrorCode.nameTaken,
      `namespace ${plan.netns.name} has the interface ${stranger.name}, which is not the mesh's`,
      'give the mesh another "netns" in its configuration, or take the interface out',
    );
  }
  const bridge = site.ownLink(plan.bridge, "bridge");
  if (bridge === undefined || bridge.alias !== "") return;
  // a pod's ADD makes it again where it was gone, with the gateway's address; whatever else it has is somebody's
  const [strange] = strangeAddresses(site, bridge).filter(
    (prefix) => !plan.blocks.some(({ gateway }) => sameAddress(prefix.address, gateway)),
  );
  if (strange === undefined) return;
  throw new CniError(
    ErrorCode.nameTaken,
    `there is a bridge ${bridge.name} already, with the address ${formatPrefix(strange)}`,
    'give the mesh another "bridge" in its configuration',
  );
}

/** Addresses that somebody gave the bridge: those of the link alone come by themselves. */
function strangeAddresses(site: Site, bridge: Link): Prefix[] {
  return knownAddresses(site.host)
    .filter(({ index }) => index === bridge.index)
    .map(({ prefix }) => prefix);
}
