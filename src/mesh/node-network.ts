// The mesh on this node as its commands and its daemon drive it: up, in line with the other nodes, and down again. Whoever
// drives it has it for himself meanwhile, so that two calls never mend the same piece.
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import type { Prefix } from "../ip/prefix.ts";
import { UnreachableError } from "../net/echo.ts";
import { lockExclusively, makeDirectories, parentOf } from "../sys/directory.ts";
import { OpenFlag, openFile, statFile } from "../sys/files.ts";
import { conflistProblem, park, publish, withdraw } from "./conflist.ts";
import { ensureKey, type MeshKey, readKey } from "./key.ts";
import { forget, type Origin, recallAll, remember } from "./memory.ts";
import { type IncompleteNode, type KnownNodes, knownNodes, type NodeSource } from "./node.ts";
import { type MeshNames, type MeshPlan, namesOf, planOf } from "./plan.ts";
import type { MeshSettings, NodesSetting } from "./settings.ts";
import { Site } from "./site.ts";
import { type Finding, findingText, inspect, type Lowered, lower, raise, tryOut } from "./topology.ts";
import { type PeerChanges, type PeerState, tunnelOf } from "./tunnel.ts";
import { checkOwnNetworks, surveyUnderlay } from "./underlay.ts";

/** This node's place in the mesh: its blocks, and where the others are known from. */
export interface Membership {
  readonly blocks: readonly Prefix[];
  readonly source: NodeSource;
  /** Of which store all of it was learned; undefined where the configuration says it. */
  readonly origin?: Origin | undefined;
  /** Since when it was so, in ISO 8601, where the store is away and this node remembers it. */
  readonly rememberedSince?: string | undefined;
}

/** Returns the place that a configuration without a store says. */
export function fixedMembership({ blocks, peers }: NodesSetting & { readonly kind: "fixed" }): Membership {
  return { blocks, source: { nodes: async () => knownNodes(peers) } };
}

/** The mesh on this node. */
export interface NodeNetwork {
  readonly settings: MeshSettings;
  /** Where the settings were read from. */
  readonly configFile: string;
}

/** What bringing the mesh up came to. */
export interface BroughtUp {
  readonly plan: MeshPlan;
  /** What was made or repaired. */
  readonly mended: readonly Finding[];
  readonly peers: PeerChanges;
  readonly incomplete: readonly IncompleteNode[];
  /** The conflist was not there, or was another one. */
  readonly published: boolean;
}

/**
 * Returns what is to be on this node, with its key as it is now. Throws CniError 7 for what can't be, also where it is there
 * under another name, KeyFileError for a file that can't be a key.
 */
export async function planFor(
  network: NodeNetwork,
  { blocks }: Pick<Membership, "blocks">,
  keyOf: (path: string) => Promise<MeshKey | undefined> = readKey,
): Promise<MeshPlan> {
  const { settings } = network;
  refuseRenamed(network);
  checkOwnNetworks(settings, namesOf(settings));
  const underlay = surveyUnderlay(settings);
  const key = settings.backend === "wireguard" ? await keyOf(settings.keyFile) : undefined;
  return planOf(settings, blocks, underlay, key);
}

/**
 * Makes what is missing of the mesh, tells the tunnel of the other nodes, tries the network out, and only then lets runtimes
 * know of it. Where any of it fails they know of it no more. Throws CniError, MissingFeatureError, NetlinkError, and what
 * the source throws.
 */
export async function bringUp(network: NodeNetwork, membership: Membership): Promise<BroughtUp> {
  const plan = await planFor(network, membership, ensureKey);
  const { nodes, incomplete } = await membership.source.nodes();
  makeDirectories(parentOf(plan.record), 0o700);
  using _ = locked(plan);
  try {
    for (const names of namesOnNode(network)) if (names.conflist !== plan.conflist) withdraw(names);
    keepInMind(network, plan, membership, nodes);
    const mended = raise(plan);
    const peers = syncNow(plan, nodes);
    testNetwork(plan);
    const published = publish(plan, network.configFile);
    return { plan, mended, peers, incomplete, published };
  } catch (error) {
    parkAfter(plan, error);
    throw error;
  }
}

/** Tells the tunnel of the other nodes as they are now; the rest of the mesh is left alone. Throws as `bringUp`. */
export async function syncPeers(
  network: NodeNetwork,
  membership: Membership,
): Promise<Pick<BroughtUp, "peers" | "incomplete">> {
  const plan = await planFor(network, membership);
  const { nodes, incomplete } = await membership.source.nodes();
  const finding = inspect(plan).find(({ piece }) => piece === `tunnel ${plan.tunnel.name}`);
  if (finding !== undefined) {
    throw new CniError(
      ErrorCode.stateDiffers,
      findingText(finding),
      "bring the node up first: warren node up",
    );
  }
  using _ = locked(plan);
  keepInMind(network, plan, membership, nodes);
  return { peers: syncNow(plan, nodes), incomplete };
}

function keepInMind(
  { configFile }: NodeNetwork,
  plan: MeshPlan,
  { blocks, origin }: Membership,
  nodes: KnownNodes["nodes"],
): void {
  remember(plan, configFile, origin && { origin, blocks, nodes });
}

/**
 * Returns the names of everything that this configuration has made on this node: as it is called now and, behind that,
 * as it was.
 */
export function namesOnNode({ settings, configFile }: NodeNetwork): MeshNames[] {
  const now = namesOf(settings);
  const remembered = recallAll(now, configFile).map(({ names }) => namesOf({ ...settings, ...names }));
  return [now, ...remembered.filter((names) => !Bun.deepEquals(names, now))];
}

/** What was made under another name would stay beside what is made now, and pods on it. */
function refuseRenamed(network: NodeNetwork): void {
  const spelled = ({ network, bridge, netns }: MeshNames) =>
    `network ${network}, bridge ${bridge}, namespace ${netns.name}`;
  const [now, ...former] = namesOnNode(network).map(spelled);
  const was = former.find((names) => names !== now);
  if (was === undefined) return;
  throw new CniError(
    ErrorCode.invalidConfig,
    `the mesh of ${network.configFile} is on this node under other names: ${was}; the configuration says ${now}`,
    "take down what is there, and bring it up under its new names then: warren node down",
  );
}

function syncNow(plan: MeshPlan, nodes: KnownNodes["nodes"]): PeerChanges {
  using site = new Site(plan);
  return tunnelOf(plan).sync(site, nodes);
}

function testNetwork(plan: MeshPlan): void {
  try {
    tryOut(plan);
  } catch (error) {
    if (!(error instanceof UnreachableError)) throw error;
    throw new CniError(
      ErrorCode.notReady,
      `everything of the mesh is there, but the way to the tunnel does not carry packets: ${error.message}`,
      `look for rules that drop what goes over ${plan.bridge}: nft list ruleset`,
      { cause: error },
    );
  }
}

/** What is told is why the network is not ready, and not that the list could not be parked on top of it. */
function parkAfter(names: MeshNames, reason: unknown): void {
  try {
    park(names);
  } catch (error) {
    throw new SuppressedError(error, reason, `the conflist could not be parked: ${describeError(error)}`);
  }
}

/** What there is of the mesh on this node. */
export interface Shown {
  readonly plan: MeshPlan;
  /** What is missing or wrong. */
  readonly findings: readonly Finding[];
  readonly peers: readonly (PeerState & { readonly node: KnownNodes["nodes"][number] })[];
  readonly incomplete: readonly IncompleteNode[];
  readonly rememberedSince: string | undefined;
}

/** Looks at the mesh, and changes nothing. Throws as `bringUp`. */
export async function look(network: NodeNetwork, membership: Membership): Promise<Shown> {
  const plan = await planFor(network, membership);
  const { nodes, incomplete } = await membership.source.nodes();
  using site = new Site(plan);
  const listProblem = conflistProblem(plan, network.configFile);
  const list =
    listProblem === undefined ? [] : [{ piece: `conflist ${plan.conflist}`, problem: listProblem }];
  const states = tunnelOf(plan).peers(site, nodes);
  return {
    plan,
    findings: [...inspect(plan), ...list],
    peers: nodes.flatMap((node, index) => {
      const state = states[index];
      return state === undefined ? [] : [{ ...state, node }];
    }),
    incomplete,
    rememberedSince: membership.rememberedSince,
  };
}

/**
 * Takes the mesh of these names away: first what lets new pods come, then all the rest, and what is remembered of it at last.
 * Throws when everything was tried.
 */
export async function takeDown(names: MeshNames): Promise<Lowered> {
  // where nothing was ever made nobody else is at work either
  using _ = statFile(parentOf(names.record)) === undefined ? undefined : locked(names);
  let withdrawn: string[] = [];
  let failure: unknown;
  try {
    withdrawn = withdraw(names);
  } catch (error) {
    failure = error;
  }
  const { removed, notes } = await lower(names);
  if (failure !== undefined) throw failure;
  forget(names);
  return { removed: [...withdrawn.map((path) => `conflist ${path}`), ...removed], notes };
}

/** The lock is on the directory of the record, which no other lock is on, and goes with the process. */
function locked({ record }: MeshNames): Disposable {
  const folder = parentOf(record);
  const descriptor = openFile(folder, OpenFlag.readOnly | OpenFlag.directory);
  lockExclusively(descriptor.fd, folder);
  return { [Symbol.dispose]: () => descriptor.close() };
}
