// The configuration of the mesh: one file a node, the same for all its commands and for the daemon. Everything that can be
// refused without looking at the node is refused here, each refusal with the key, the value and what would be right.
import * as v from "valibot";
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import { InputError, type InputPath, parseInput, shown } from "../cni/input.ts";
import { interfaceNameProblem, isLegalName } from "../cni/names.ts";
import { absolutePath, optionalPath } from "../cni/value.ts";
import { type Address, bitsOf, type Family, parseAddress } from "../ip/address.ts";
import { parseHardwareAddress } from "../ip/hardware-address.ts";
import {
  contains,
  firstAddress,
  formatPrefix,
  networkOf,
  overlap,
  type Prefix,
  parsePrefix,
} from "../ip/prefix.ts";
import { isPublicKey } from "../net/wireguard-key.ts";
import { DEFAULT_DATA_DIR } from "../store/sqlite.ts";
import { readText } from "../sys/files.ts";
import { isSystemError } from "../sys/libc.ts";
import type { Backend, NodeDescription } from "./node.ts";

/** Where the configuration is, unless somebody says otherwise. */
export const DEFAULT_CONFIG = "/etc/warren/mesh.json";

/** The UDP port of each backend: that of the original's wireguard, and the registered one of vxlan (RFC 7348). */
const DEFAULT_PORTS: Readonly<Record<Backend, number>> = { wireguard: 28_384, vxlan: 4789 };

/** The number of the vxlan (VNI), unless the config says otherwise. */
const DEFAULT_VNI = 1;
const LARGEST_VNI = 0xff_ffff;

/** A node's block has room for the bridge, the way to the other nodes, and one pod at least. */
const LONGEST_MASK: Readonly<Record<Family, number>> = { 4: 29, 6: 125 };

const address = v.pipe(
  v.string(),
  v.check((text) => parseAddress(text) !== undefined, "an IP address, such as 192.0.2.1"),
);
const cidr = v.pipe(
  v.string(),
  v.check((text) => parsePrefix(text) !== undefined, "a subnet, such as 10.244.0.0/16"),
);
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const publicKey = v.pipe(v.string(), v.check(isPublicKey, "a public key: 44 characters of base64"));
const hardwareAddress = v.pipe(
  v.string(),
  v.check(
    (text) => parseHardwareAddress(text) !== undefined,
    "a hardware address, such as 0a:58:0a:f4:01:02",
  ),
);
const interfaceName = v.pipe(
  v.string(),
  v.check(
    (name) => interfaceNameProblem(name) === undefined,
    "an interface name: at most 15 bytes, no / or : or space",
  ),
);
const backend = v.picklist(["wireguard", "vxlan"]);

/** A node as the config of another one tells of it. What is left out is lacking, and the node is left out then. */
const peer = v.strictObject({
  name: v.pipe(v.string(), v.check(isLegalName, "a name: letters, digits, dots and hyphens")),
  address: v.nullish(address),
  port: v.nullish(port),
  publicKey: v.nullish(publicKey),
  hardwareAddress: v.nullish(hardwareAddress),
  nodeCIDRs: v.nullish(v.array(cidr), []),
});

/** The schema of the file. */
const meshSchema = v.strictObject({
  network: v.optional(
    v.pipe(
      v.string(),
      v.check(isLegalName, "a name of a network: letters, digits, dots, hyphens and underscores"),
    ),
    "mesh",
  ),
  clusterCIDRs: v.array(cidr),
  nodeMasks: v.optional(
    v.strictObject({
      ipv4: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(LONGEST_MASK[4])), 24),
      ipv6: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(LONGEST_MASK[6])), 64),
    }),
    {},
  ),
  serviceCIDRs: v.optional(v.array(cidr), []),
  backend: v.optional(backend, "wireguard"),
  port: v.nullish(port),
  vni: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(LARGEST_VNI)), DEFAULT_VNI),
  address: v.nullish(address),
  bridge: v.optional(interfaceName, "warren0"),
  // it is part of the name of an interface
  netns: v.optional(
    v.pipe(
      v.string(),
      v.regex(
        /^[A-Za-z0-9][A-Za-z0-9_.-]{0,10}$/,
        "a name of at most 11 letters, digits, dots, hyphens and underscores",
      ),
    ),
    "wg",
  ),
  dataDir: v.optional(absolutePath, DEFAULT_DATA_DIR),
  keyFile: optionalPath,
  conflist: v.optional(absolutePath, "/etc/cni/net.d/10-warren-mesh.conflist"),
  graceSeconds: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), 3600),
  // looked at only by who opens it (shared-store.ts)
  store: v.nullish(v.unknown()),
  nodeCIDRs: v.nullish(v.array(cidr)),
  peers: v.nullish(v.array(peer)),
});

/** The file as the schema types it. */
type MeshDocument = v.InferOutput<typeof meshSchema>;

/** Where a node's blocks and the other nodes come from: a store, as docs/postgres.md has it, or the config itself. */
export type NodesSetting =
  | { readonly kind: "store"; readonly store: unknown }
  | {
      readonly kind: "fixed";
      readonly blocks: readonly Prefix[];
      readonly peers: readonly NodeDescription[];
    };

/** What a node's configuration says. Subnets have their host bits cleared, and stand with IPv4 first. */
export interface MeshSettings {
  readonly network: string;
  /** One, or one of each family. */
  readonly clusterCIDRs: readonly Prefix[];
  /** The prefix length of a node's block. */
  readonly nodeMasks: Readonly<Record<Family, number>>;
  readonly serviceCIDRs: readonly Prefix[];
  readonly backend: Backend;
  readonly port: number;
  readonly vni: number;
  /** Where other nodes reach this one; undefined is the source address of the default route. */
  readonly address: Address | undefined;
  readonly bridge: string;
  /** The name of the namespace of the tunnel. */
  readonly netns: string;
  /** What this node keeps of the mesh, and its leases if they can't be delivered. */
  readonly dataDir: string;
  readonly keyFile: string;
  readonly conflist: string;
  readonly graceSeconds: number;
  readonly nodes: NodesSetting;
}

/** Returns what the file says; throws CniError 5 or 6 where it can't be read, and InputError 7 for what is wrong in it. */
export function readMeshSettings(file: string): MeshSettings {
  let document: unknown;
  try {
    document = JSON.parse(readText(file));
  } catch (error) {
    const missing = isSystemError(error, "ENOENT", "ENOTDIR");
    throw new CniError(
      isSystemError(error) ? ErrorCode.ioFailure : ErrorCode.decodingFailure,
      isSystemError(error)
        ? `the configuration of the mesh can't be read: ${error.message}`
        : `${file} is not JSON: ${describeError(error)}`,
      missing ? "write it, or name another with --config" : "expected a JSON object",
      { cause: error },
    );
  }
  return parseMeshSettings(document, file);
}

/** Returns what a configuration says; `what` names it in refusals. Throws InputError 7. */
export function parseMeshSettings(document: unknown, what: string): MeshSettings {
  const said = parseInput(meshSchema, document, ErrorCode.invalidConfig, what);
  const refuse: Refuse = (path, message, cure) => {
    throw new InputError(ErrorCode.invalidConfig, path, `${what}: ${message}`, cure);
  };
  const clusterCIDRs = onePerFamily(said.clusterCIDRs, ["clusterCIDRs"], refuse);
  if (clusterCIDRs.length === 0) {
    refuse(["clusterCIDRs"], '"clusterCIDRs" is []', "expected one subnet, or one of each family");
  }
  const nodeMasks = { 4: said.nodeMasks.ipv4 ?? 24, 6: said.nodeMasks.ipv6 ?? 64 };
  for (const cluster of clusterCIDRs) checkMask(cluster, nodeMasks, said.nodeMasks, refuse);
  const serviceCIDRs = said.serviceCIDRs.map(subnetOf);
  for (const [index, service] of serviceCIDRs.entries()) {
    const cluster = clusterCIDRs.find((one) => overlap(one, service));
    if (cluster === undefined) continue;
    refuse(
      ["serviceCIDRs", index],
      `the service CIDR ${formatPrefix(service)} overlaps with the cluster CIDR ${formatPrefix(cluster)}`,
      "choose ranges that have no address in common",
    );
  }
  const own = said.address ?? undefined;
  const settings = {
    ...{ network: said.network, clusterCIDRs, nodeMasks, serviceCIDRs, backend: said.backend },
    ...{ port: said.port ?? DEFAULT_PORTS[said.backend], vni: said.vni },
    address: own === undefined ? undefined : parseAddress(own),
    ...{ bridge: said.bridge, netns: said.netns, conflist: said.conflist, dataDir: said.dataDir },
    keyFile: said.keyFile ?? `${said.dataDir}/mesh.key`,
    graceSeconds: said.graceSeconds,
  };
  const outer = outerOf(said.netns);
  if (said.bridge === outer) {
    refuse(
      ["bridge"],
      `"bridge" is ${shown(said.bridge)}, which is the interface that leads to the namespace ${shown(said.netns)}`,
      "expected another name",
    );
  }
  if (settings.address !== undefined) {
    refuseInside(settings.address, clusterCIDRs, ["address"], "this node's address", refuse);
  }
  return { ...settings, nodes: nodesOf(said, settings, refuse) };
}

/** Returns the name of the interface on the bridge that leads to the namespace of the tunnel. */
export function outerOf(netns: string): string {
  return `veth${netns}`;
}

type Refuse = (path: InputPath, message: string, cure: string) => never;

function subnetOf(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new RangeError(`${shown(text)} has passed the schema and is no subnet`);
  return networkOf(prefix);
}

function keyText([key = "", ...rest]: InputPath): string {
  return rest.reduce<string>(
    (text, step) => `${text}${typeof step === "number" ? `[${step}]` : `.${step}`}`,
    `${key}`,
  );
}

/** Returns the subnets, IPv4 first. */
function onePerFamily(texts: readonly string[], path: InputPath, refuse: Refuse): Prefix[] {
  const subnets = texts.map(subnetOf);
  for (const [index, subnet] of subnets.entries()) {
    const other = subnets.slice(0, index).find((one) => one.address.family === subnet.address.family);
    if (other === undefined) continue;
    refuse(
      [...path, index],
      `"${keyText(path)}" has two of IPv${subnet.address.family}: ${formatPrefix(other)} and ${formatPrefix(subnet)}`,
      "expected one of each family at most",
    );
  }
  return subnets.toSorted((a, b) => a.address.family - b.address.family);
}

function checkMask(
  cluster: Prefix,
  masks: Readonly<Record<Family, number>>,
  said: MeshDocument["nodeMasks"],
  refuse: Refuse,
): void {
  const { family } = cluster.address;
  const mask = masks[family];
  if (mask >= cluster.length) return;
  const key = `ipv${family}` as const;
  refuse(
    ["nodeMasks", key],
    `"nodeMasks.${key}" is ${said[key] ?? mask}, and the cluster CIDR is ${formatPrefix(cluster)}`,
    `a node's block lies within the cluster's: expected ${cluster.length} to ${LONGEST_MASK[family]}, or a larger cluster CIDR`,
  );
}

/** An address within the cluster is behind the very tunnel that is to reach it. */
function refuseInside(
  one: Address,
  clusterCIDRs: readonly Prefix[],
  path: InputPath,
  whose: string,
  refuse: Refuse,
): void {
  const cluster = clusterCIDRs.find((range) => contains(range, one));
  if (cluster === undefined) return;
  refuse(
    path,
    `${whose} ${formatPrefix({ address: one, length: bitsOf(one.family) })} lies in the cluster CIDR ${formatPrefix(cluster)}`,
    "expected an address of the network between the nodes, which no cluster CIDR contains",
  );
}

type WithoutNodes = Omit<MeshSettings, "nodes">;

function nodesOf(said: MeshDocument, settings: WithoutNodes, refuse: Refuse): NodesSetting {
  const { store, nodeCIDRs, peers } = said;
  if ((store ?? null) !== null) {
    const both = (nodeCIDRs ?? null) !== null ? "nodeCIDRs" : (peers ?? null) !== null ? "peers" : undefined;
    if (both !== undefined) {
      refuse(
        [both],
        `both "store" and "${both}" are there`,
        `with a store, blocks and nodes are in it: remove "${both}"`,
      );
    }
    return { kind: "store", store };
  }
  if ((nodeCIDRs ?? null) === null) {
    refuse(
      ["nodeCIDRs"],
      'neither "store" nor "nodeCIDRs" is there',
      "say the store of the nodes, or this node's own blocks",
    );
  }
  const blocks = blocksOf(nodeCIDRs ?? [], ["nodeCIDRs"], settings, refuse);
  if (blocks.length === 0) {
    refuse(["nodeCIDRs"], '"nodeCIDRs" is []', "expected one block, or one of each family");
  }
  // all have the same size: two that overlap are one and the same
  const taken = new Map(blocks.map((block) => [formatPrefix(block), "this node"]));
  const names = new Set<string>();
  const descriptions = (peers ?? []).map((one, index): NodeDescription => {
    const path = ["peers", index] as const;
    if (names.has(one.name)) {
      refuse(
        [...path, "name"],
        `two peers are called ${shown(one.name)}`,
        "expected a name for each of its own",
      );
    }
    names.add(one.name);
    const theirs = blocksOf(one.nodeCIDRs ?? [], [...path, "nodeCIDRs"], settings, refuse);
    for (const block of theirs.map(formatPrefix)) {
      const whose = taken.get(block);
      if (whose !== undefined) {
        refuse(
          [...path, "nodeCIDRs"],
          `the block ${block} of ${one.name} overlaps with ${block} of ${whose}`,
          "expected blocks that have no address in common",
        );
      }
      taken.set(block, one.name);
    }
    const endpoint = one.address ?? undefined;
    const at = endpoint === undefined ? undefined : parseAddress(endpoint);
    if (at !== undefined) {
      refuseInside(at, settings.clusterCIDRs, [...path, "address"], `the address of ${one.name}`, refuse);
    }
    return {
      ...{ name: one.name, address: at, port: one.port ?? settings.port, blocks: theirs },
      ...{ publicKey: one.publicKey ?? undefined, backend: settings.backend },
      hardwareAddress: one.hardwareAddress?.toLowerCase() ?? undefined,
    };
  });
  return { kind: "fixed", blocks, peers: descriptions };
}

/** Returns the blocks of a node, each of which lies in the cluster CIDR of its family and has its size. */
function blocksOf(
  texts: readonly string[],
  path: InputPath,
  { clusterCIDRs, nodeMasks }: Pick<MeshSettings, "clusterCIDRs" | "nodeMasks">,
  refuse: Refuse,
): Prefix[] {
  const blocks = onePerFamily(texts, path, refuse);
  for (const block of blocks) {
    const { family } = block.address;
    const cluster = clusterCIDRs.find((one) => one.address.family === family);
    if (
      cluster === undefined ||
      !contains(cluster, firstAddress(block)) ||
      block.length !== nodeMasks[family]
    ) {
      const within =
        cluster === undefined
          ? "no cluster CIDR of its family is there"
          : `the cluster CIDR is ${formatPrefix(cluster)}`;
      refuse(
        path,
        `"${keyText(path)}" has ${formatPrefix(block)}, and ${within}`,
        cluster === undefined
          ? 'add one to "clusterCIDRs", or remove the block'
          : `expected a block in it with the mask /${nodeMasks[family]} ("nodeMasks.ipv${family}")`,
      );
    }
  }
  return blocks;
}

/**
 * Throws CniError 7, with both ranges named, where a cluster or service CIDR overlaps with a network that this node is in:
 * `networks` are those of its interfaces, without the mesh's own.
 */
export function refuseOwnNetworks(
  { clusterCIDRs, serviceCIDRs }: Pick<MeshSettings, "clusterCIDRs" | "serviceCIDRs">,
  networks: readonly { readonly prefix: Prefix; readonly interfaceName: string }[],
): void {
  const ranges = [
    ...clusterCIDRs.map((range) => ({ what: "cluster CIDR", range })),
    ...serviceCIDRs.map((range) => ({ what: "service CIDR", range })),
  ];
  for (const { what, range } of ranges) {
    const met = networks.find(({ prefix }) => overlap(range, prefix));
    if (met === undefined) continue;
    throw new CniError(
      ErrorCode.invalidConfig,
      `the ${what} ${formatPrefix(range)} overlaps with ${formatPrefix(networkOf(met.prefix))}, which this node is in by ${met.interfaceName}`,
      "choose a range for the mesh that has no address in common with the node's own network",
    );
  }
}
