// A node's place in the mesh where that is in a store: what it has there, what it remembers of it while the store is away, and
// what it has others know of itself.
import { CniError, ErrorCode } from "../cni/error.ts";
import { formatPrefix } from "../ip/prefix.ts";
import { NodeDirectory } from "./directory.ts";
import { readKey } from "./key.ts";
import { differenceOf, recall } from "./memory.ts";
import type { Membership } from "./node-network.ts";
import type { MeshNames, MeshPlan } from "./plan.ts";
import type { Presence, Registry } from "./registry.ts";

/** Makes this node one of the mesh, if it is none, and returns its place. Rejects as `Registry.join` does. */
export async function joinMesh(registry: Registry): Promise<Membership> {
  const blocks = await registry.join();
  const directory = new NodeDirectory(registry);
  await directory.readAll();
  return { blocks, source: directory, origin: registry.origin };
}

/** Returns the place that this node has. Rejects with CniError 3 where it has none, and SharedStoreError. */
export async function placeInMesh(registry: Registry): Promise<Membership> {
  const directory = new NodeDirectory(registry);
  await directory.readAll();
  const { own } = directory;
  if (own !== undefined && own.blocks.length > 0) {
    return { blocks: own.blocks, source: directory, origin: registry.origin };
  }
  throw new CniError(
    ErrorCode.unknownContainer,
    `node ${registry.node} is not in the mesh that the ${registry.location} has`,
    "make it one: warren node up",
  );
}

/**
 * Returns the place that this node remembers, for as long as the store is away; undefined if it remembers none. Throws CniError 7
 * where that is of other settings than now, 6 where nobody can read it.
 */
export function rememberedPlace(names: MeshNames, registry: Registry): Membership | undefined {
  const memory = recall(names);
  if (memory?.learned === undefined) return undefined;
  const { since, learned } = memory;
  const { origin, blocks, nodes } = learned;
  const difference = differenceOf(origin, registry.origin);
  if (difference === undefined) {
    const source = { nodes: async () => ({ nodes, incomplete: [] }) };
    return { blocks, source, origin, rememberedSince: since };
  }
  throw new CniError(
    ErrorCode.invalidConfig,
    `what this node remembers of the mesh is not used, because the configuration has changed since: it was for ${difference}`,
    "the store has to answer once",
  );
}

/** Returns what is told where such a place is all that there is. */
export function rememberedText({ blocks, rememberedSince }: Membership): string {
  const own = blocks.map(formatPrefix).join(" ");
  return `the mesh is as this node remembers it since ${rememberedSince}, with ${own}, until the store answers`;
}

/** Returns what the plan has others know of this node; rejects with KeyFileError. */
export async function presenceOf({ backend, tunnel, keyFile }: MeshPlan): Promise<Presence> {
  const { address, port, hardwareAddress } = tunnel;
  const key = backend === "wireguard" ? await readKey(keyFile) : undefined;
  return {
    ...{ address, port, publicKey: key?.publicKey },
    hardwareAddress: backend === "vxlan" ? hardwareAddress : undefined,
  };
}
