// What the mesh consists of on one node, worked out of its configuration, its blocks and its way to the others, before the
// kernel is touched: every name, address, route and MTU. Pure, so that what will be there can be told without making it.
import { CniError, ErrorCode } from "../cni/error.ts";
import { type Address, addressAfter, type Family, formatAddress } from "../ip/address.ts";
import { firstAddress, formatPrefix, networkOf, type Prefix } from "../ip/prefix.ts";
import { netnsPath } from "../net/netns.ts";
import { vxlanOverhead } from "../net/vxlan.ts";
import { vxlanHardwareAddress } from "../net/vxlan-peers.ts";
import { wireguardOverhead } from "../net/wireguard.ts";
import type { MeshKey } from "./key.ts";
import type { Backend } from "./node.ts";
import { type MeshSettings, outerOf } from "./settings.ts";

/** The least that IPv6 asks of a link, in bytes (RFC 8200), and IPv4 of what anybody would want to use. */
const LEAST_MTU: Readonly<Record<Family, number>> = { 4: 576, 6: 1280 };

/** Returns how many bytes of a packet the tunnel takes that goes over this family. */
function overheadOf(backend: Backend, over: Family): number {
  return backend === "wireguard" ? wireguardOverhead(over) : vxlanOverhead(over);
}

/** A block of the node with the addresses in it that are not for pods. */
export interface NodeBlock {
  readonly family: Family;
  readonly subnet: Prefix;
  readonly cluster: Prefix;
  /** The first: the bridge's, by which pods leave the node. */
  readonly gateway: Address;
  /** The second: of the namespace of the tunnel, by which everything goes to other nodes. */
  readonly router: Address;
  /** The third. */
  readonly firstPod: Address;
}

/** By what other nodes are reached. */
export interface MeshUnderlay {
  readonly address: Address;
  readonly mtu: number;
}

/** How a node's things are called, which follows from the configuration alone: enough to find and remove them. */
export interface MeshNames {
  readonly network: string;
  /** On everything that can carry it. */
  readonly alias: string;
  readonly bridge: string;
  readonly netns: { readonly name: string; readonly path: string };
  /** The pair between the bridge and the namespace of the tunnel. */
  readonly pair: { readonly outer: string; readonly inner: string };
  /** Of any backend. */
  readonly tunnelNames: readonly string[];
  readonly keyFile: string;
  readonly conflist: string;
  readonly dataDir: string;
  /** Where it is written down how the node's own settings were found. */
  readonly record: string;
  /** Where it is written down how everything is called, and what was learned from the store (memory.ts). */
  readonly memory: string;
}

/** What of a configuration the names follow from. */
export type NameSettings = Pick<
  MeshSettings,
  "network" | "bridge" | "netns" | "keyFile" | "conflist" | "dataDir"
>;

/** The mesh on this node. */
export interface MeshPlan extends MeshNames {
  readonly backend: Backend;
  /** IPv4 first. */
  readonly blocks: readonly NodeBlock[];
  /** Of the tunnel, the pair, the bridge and the pods. */
  readonly mtu: number;
  readonly tunnel: {
    readonly name: string;
    /** Where other nodes reach this one. */
    readonly address: Address;
    readonly port: number;
    readonly vni: number;
    readonly hardwareAddress: string;
    /** Of a wireguard tunnel; undefined where there is none yet, and for other backends. */
    readonly key: MeshKey | undefined;
  };
}

const TUNNEL_NAMES: Readonly<Record<Backend, string>> = { wireguard: "wg0", vxlan: "vxlan0" };
const INNER = "veth0";

/** How the files begin in which a node remembers its meshes; the network's name comes behind it. */
export const MEMORY_PREFIX = "remembered-mesh-";

/** Returns where a mesh writes things down. */
export function filesOf(dataDir: string, network: string): Pick<MeshNames, "record" | "memory"> {
  return { record: `${dataDir}/mesh-${network}.json`, memory: `${dataDir}/${MEMORY_PREFIX}${network}.json` };
}

/** Returns the names of a configuration. */
export function namesOf(settings: NameSettings): MeshNames {
  const { network, bridge, netns, keyFile, conflist, dataDir } = settings;
  return {
    ...{ network, bridge, keyFile, conflist },
    alias: `warren mesh ${network}`,
    netns: { name: netns, path: netnsPath(netns) },
    pair: { outer: outerOf(netns), inner: INNER },
    ...{ dataDir, ...filesOf(dataDir, network) },
    tunnelNames: Object.values(TUNNEL_NAMES),
  };
}

/** Returns the plan; throws CniError 7 where a tunnel over this underlay has no room for a packet. */
export function planOf(
  settings: MeshSettings,
  blocks: readonly Prefix[],
  { address, mtu: underlayMtu }: MeshUnderlay,
  key?: MeshKey,
): MeshPlan {
  const { backend, port, vni } = settings;
  const nodeBlocks = blocks.map((block) => blockOf(block, settings));
  const mtu = underlayMtu - overheadOf(backend, address.family);
  const least = Math.max(...nodeBlocks.map(({ family }) => LEAST_MTU[family]));
  if (mtu < least) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `the way to other nodes takes packets of ${underlayMtu} bytes, which leaves ${mtu} for pods`,
      `expected ${least} at least: raise the MTU of the interface that has ${formatAddress(address)}`,
    );
  }
  const [first] = nodeBlocks;
  if (first === undefined) throw new RangeError("a node without a block has no part in a mesh");
  return {
    ...namesOf(settings),
    ...{ backend, blocks: nodeBlocks, mtu },
    tunnel: {
      name: TUNNEL_NAMES[backend],
      ...{ address, port, vni },
      hardwareAddress: vxlanHardwareAddress(first.router),
      key,
    },
  };
}

function blockOf(block: Prefix, { clusterCIDRs }: Pick<MeshSettings, "clusterCIDRs">): NodeBlock {
  const subnet = networkOf(block);
  const { family } = subnet.address;
  const cluster = clusterCIDRs.find((one) => one.address.family === family);
  const [gateway, router, firstPod] = [1n, 2n, 3n].map((place) => addressAfter(firstAddress(subnet), place));
  if (cluster === undefined || gateway === undefined || router === undefined || firstPod === undefined) {
    throw new RangeError(`${formatPrefix(subnet)} has passed the settings and has no place in the cluster`);
  }
  return { family, subnet, cluster, gateway, router, firstPod };
}

/** Returns the address in a node's block that is its router, and that the other nodes reach the block by. */
export function routerOf(block: Prefix): Address {
  const router = addressAfter(firstAddress(block), 2n);
  if (router === undefined) throw new RangeError(`${formatPrefix(block)} has no second address`);
  return router;
}
