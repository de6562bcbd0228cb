// A node of the mesh as the others have to know it: where it is reached, which addresses are behind it, and by which key.
// Who tells of it (a config, a store) may lack something; such a node is left out, and what it lacks is named.
import type { Address } from "../ip/address.ts";
import type { Prefix } from "../ip/prefix.ts";

/** What carries the packets between nodes. */
export type Backend = "wireguard" | "vxlan";

/** A node as the others have to know it. */
export interface MeshNode {
  readonly name: string;
  readonly endpoint: Endpoint;
  /** Its node CIDRs, one of each family, host bits cleared. */
  readonly blocks: readonly Prefix[];
  /** Of its wireguard device: 44 characters of base64. A node with that backend has one. */
  readonly publicKey: string | undefined;
  /** Of its vxlan device; undefined is the one that follows from its blocks. */
  readonly hardwareAddress: string | undefined;
  readonly backend: Backend;
}

/** An address and a UDP port. */
export interface Endpoint {
  readonly address: Address;
  readonly port: number;
}

/** What is said of a node by somebody who may not know all of it yet. */
export interface NodeDescription extends Omit<MeshNode, "endpoint"> {
  readonly address: Address | undefined;
  readonly port: number;
}

/** What a node may lack. */
export type NodePart = "address" | "CIDR" | "key";

/** A node that can't be a peer, because not all is known of it. */
export interface IncompleteNode {
  readonly name: string;
  /** In this order, and never empty. */
  readonly missing: readonly NodePart[];
}

/** Nodes as somebody tells of them: those that can be peers, and those that can't. */
export interface KnownNodes {
  readonly nodes: readonly MeshNode[];
  readonly incomplete: readonly IncompleteNode[];
}

/**
 * Where the nodes of the mesh are known from: a config with all of them, or a store. `nodes` returns all but this one, in
 * the order of their names; it throws what the source throws.
 */
export interface NodeSource {
  nodes(): Promise<KnownNodes>;
}

/** Returns the nodes of which everything is known, and of the others what they lack; both in the order of their names. */
export function knownNodes(descriptions: readonly NodeDescription[]): KnownNodes {
  const nodes: MeshNode[] = [];
  const incomplete: IncompleteNode[] = [];
  for (const { address, port, ...rest } of descriptions.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const missing: NodePart[] = [];
    if (address === undefined) missing.push("address");
    if (rest.blocks.length === 0) missing.push("CIDR");
    if (rest.backend === "wireguard" && (rest.publicKey ?? "") === "") missing.push("key");
    if (address === undefined || missing.length > 0) incomplete.push({ name: rest.name, missing });
    else nodes.push({ ...rest, endpoint: { address, port } });
  }
  return { nodes, incomplete };
}

/** Returns what is said of a node that is left out, such as `node b is left out: it has no address and no key`. */
export function incompleteText({ name, missing }: IncompleteNode): string {
  return `node ${name} is left out: it has ${missing.map((part) => `no ${part}`).join(" and ")}`;
}
