// A node's place in the mesh where that is in a store: what it has there, and what it has others know of itself.
import { CniError, ErrorCode } from "../cni/error.ts";
import { NodeDirectory } from "./directory.ts";
import { readKey } from "./key.ts";
import type { Membership } from "./node-network.ts";
import type { MeshPlan } from "./plan.ts";
import type { Presence, Registry } from "./registry.ts";

/** Makes this node one of the mesh, if it is none, and returns its place. Rejects as `Registry.join` does. */
export async function joinMesh(registry: Registry): Promise<Membership> {
  const blocks = await registry.join();
  const directory = new NodeDirectory(registry);
  await directory.readAll();
  return { blocks, source: directory };
}

/** Returns the place that this node has. Rejects with CniError 3 where it has none, and SharedStoreError. */
export async function placeInMesh(registry: Registry): Promise<Membership> {
  const directory = new NodeDirectory(registry);
  await directory.readAll();
  const { own } = directory;
  if (own !== undefined && own.blocks.length > 0) return { blocks: own.blocks, source: directory };
  throw new CniError(
    ErrorCode.unknownContainer,
    `node ${registry.node} is not in the mesh that the ${registry.location} has`,
    "make it one: warren node up",
  );
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
