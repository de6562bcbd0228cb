// What the commands about the mesh have in common: the flag of its configuration, where the other nodes are known from, and
// the lines that tell what was done.
import { CniError, ErrorCode } from "../../cni/error.ts";
import { log } from "../../log.ts";
import { KeyFileError } from "../../mesh/key.ts";
import { type IncompleteNode, incompleteText } from "../../mesh/node.ts";
import { fixedMembership, type Membership, type NodeNetwork } from "../../mesh/node-network.ts";
import { DEFAULT_CONFIG, type MeshSettings, readMeshSettings } from "../../mesh/settings.ts";
import type { PeerChanges } from "../../mesh/tunnel.ts";
import { MissingFeatureError } from "../../net/feature.ts";

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
export function openMesh(configFile: string): NodeNetwork {
  return { settings: readMeshSettings(configFile), configFile };
}

/** Returns this node's place in the mesh. Throws CniError. */
export async function membershipOf({ nodes }: MeshSettings): Promise<Membership> {
  if (nodes.kind === "fixed") return fixedMembership(nodes);
  throw new CniError(
    ErrorCode.unsupportedField,
    "nodes can't be read from a store yet",
    'say "nodeCIDRs" and "peers" in place of "store"',
  );
}

/** Returns what the work returns; what the kernel lacks, or is wrong with a key, is thrown as a CniError with its cure. */
export async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof MissingFeatureError) {
      throw new CniError(ErrorCode.unsupportedField, error.message, error.cure, { cause: error });
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
