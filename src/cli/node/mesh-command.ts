// What the commands about the mesh have in common: the flag of its configuration, where the other nodes are known from, and
// the lines that tell what was done.
import { resolve } from "node:path";
import { CniError, ErrorCode } from "../../cni/error.ts";
import { log } from "../../log.ts";
import { KeyFileError } from "../../mesh/key.ts";
import { type IncompleteNode, incompleteText } from "../../mesh/node.ts";
import { fixedMembership, type Membership, type NodeNetwork } from "../../mesh/node-network.ts";
import { namesOf } from "../../mesh/plan.ts";
import { openRegistry, type Registry } from "../../mesh/registry.ts";
import { DEFAULT_CONFIG, type MeshSettings, readMeshSettings } from "../../mesh/settings.ts";
import { placeInMesh, rememberedPlace, rememberedText } from "../../mesh/store-membership.ts";
import type { Finding } from "../../mesh/topology.ts";
import type { PeerChanges } from "../../mesh/tunnel.ts";
import { MissingFeatureError } from "../../net/feature.ts";
import { SharedStoreError, StoreError } from "../../store/store.ts";

/** The flags of every command about the mesh. */
export const meshFlags = {
  config: {
    type: "string",
    valueHint: "FILE",
    default: DEFAULT_CONFIG,
    description: "The configuration of the mesh",
  },
  json: { type: "boolean", description: "Answer with JSON" },
} as const;

/** Returns what the configuration says. Throws CniError. */
export function openMesh(file: string): NodeNetwork {
  // the conflist names it, for processes that start elsewhere
  const configFile = resolve(file);
  return { settings: readMeshSettings(configFile), configFile };
}

/** Returns the store of the nodes, with nothing connected yet; undefined where the configuration has them all. */
export function registryOf(settings: MeshSettings): Registry | undefined {
  return settings.nodes.kind === "store" ? openRegistry(settings) : undefined;
}

/** Returns the place that this node has in the mesh. Throws CniError, and what the store throws. */
export async function membershipOf(
  settings: MeshSettings,
  askStore: (registry: Registry) => Promise<Membership> = placeInMesh,
): Promise<Membership> {
  if (settings.nodes.kind === "fixed") return fixedMembership(settings.nodes);
  return askStore(openRegistry(settings));
}

/** The same, or what this node remembers of it while the store is away, which is told then. */
export async function knownMembershipOf(
  settings: MeshSettings,
  askStore?: (registry: Registry) => Promise<Membership>,
): Promise<Membership> {
  try {
    return await membershipOf(settings, askStore);
  } catch (error) {
    if (!(error instanceof SharedStoreError)) throw error;
    const place = placeRemembered(settings);
    if (place === undefined) throw error;
    log.warn(`${error.message}; ${error.cure}`);
    log.warn(rememberedText(place));
    return place;
  }
}

function placeRemembered(settings: MeshSettings): Membership | undefined {
  try {
    return rememberedPlace(namesOf(settings), openRegistry(settings));
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    log.warn(`${error.message}; ${error.details}`);
    return undefined;
  }
}

/**
 * Returns what the work returns; what the kernel lacks, and what is wrong with a key or with the store, is thrown as a CniError
 * with its cure.
 */
export async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof MissingFeatureError) {
      throw new CniError(ErrorCode.unsupportedField, error.message, error.cure, { cause: error });
    }
    if (error instanceof StoreError) {
      const code = error.isPassing ? ErrorCode.tryAgainLater : ErrorCode.storeUnusable;
      throw new CniError(code, error.message, error.cure, { cause: error });
    }
    if (error instanceof KeyFileError) {
      throw new CniError(ErrorCode.ioFailure, error.message, error.cure, { cause: error });
    }
    throw error;
  }
}

/** Warns of nodes that are left out, one line for each. */
export function warnOf({ unfit }: Pick<PeerChanges, "unfit">, incomplete: readonly IncompleteNode[]): void {
  for (const node of incomplete) log.warn(incompleteText(node));
  for (const { name, reason } of unfit) log.warn(`node ${name} is left out: ${reason}`);
}

/** Returns a line for each peer that is new, other, or gone, and one that counts the rest. */
export function peerLines({ added, changed, removed, kept }: PeerChanges): string[] {
  return [
    ...added.map((name) => `added peer ${name}`),
    ...changed.map((name) => `changed peer ${name}`),
    ...removed.map((what) => `removed peer at ${what}`),
    ...(kept.length === 0 ? [] : [`left ${kept.length} ${kept.length === 1 ? "peer" : "peers"} as it was`]),
  ];
}

/** Returns the line that tells what was made or repaired. */
export function mendedLine({ piece, problem }: Finding): string {
  if (problem === "is missing") return `made ${piece}`;
  return `repaired ${piece}, which ${problem.replace(/^is\b/, "was").replace(/^has\b/, "had")}`;
}
