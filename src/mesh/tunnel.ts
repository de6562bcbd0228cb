// What carries the packets between nodes: a device in the namespace of the tunnel, whose own packets leave by the host, and
// what it is told of the other nodes. One such thing for each backend; the rest of the mesh knows no difference.
import type { MeshNode } from "./node.ts";
import type { MeshPlan } from "./plan.ts";
import type { Site } from "./site.ts";
import { vxlanTunnel } from "./vxlan-tunnel.ts";
import { wireguardTunnel } from "./wireguard-tunnel.ts";

/** What telling the tunnel of the nodes came to: their names, and of those that are gone what is known. */
export interface PeerChanges {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  /** Not touched. */
  readonly kept: readonly string[];
  readonly removed: readonly string[];
  /** Nodes that this tunnel can't lead to, and why. */
  readonly unfit: readonly UnfitNode[];
}

/** A node that a tunnel can't lead to. */
export interface UnfitNode {
  readonly name: string;
  /** Such as `it uses wireguard, this node vxlan`. */
  readonly reason: string;
}

/** A peer as it is now. */
export interface PeerState {
  readonly name: string;
  /** Everything that the tunnel has to know of it is there. */
  readonly known: boolean;
  /** Since 1970; undefined where there was none, or the backend has none. */
  readonly lastHandshakeMs: number | undefined;
  /** Undefined where the backend counts none. */
  readonly receivedBytes: number | undefined;
  readonly sentBytes: number | undefined;
}

/** A backend at work. */
export interface Tunnel {
  /** Throws MissingFeatureError, CniError or NetlinkError where such a tunnel can't be. */
  probe(site: Site): void;
  /** Returns what is wrong with the device, in words; undefined if nothing is. */
  problem(site: Site): string | undefined;
  /** Makes the device, or gives it what it lacks. */
  mend(site: Site): void;
  /** True where a packet to a block of nobody is told so by the device itself, and by a route otherwise. */
  readonly refusesUnknown: boolean;
  /** Brings what the device knows of other nodes in line with these. */
  sync(site: Site, nodes: readonly MeshNode[]): PeerChanges;
  /** Returns what is there of each node. */
  peers(site: Site, nodes: readonly MeshNode[]): PeerState[];
}

/** Returns the tunnel of the plan's backend. */
export function tunnelOf(plan: MeshPlan): Tunnel {
  return plan.backend === "wireguard" ? wireguardTunnel(plan) : vxlanTunnel(plan);
}
