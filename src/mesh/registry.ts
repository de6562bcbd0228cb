// The nodes of a mesh in the store that they share: who is one, which blocks are whose, where each is reached, and who has left.
// What one node writes the others are told of; what a node tells of itself it tells as a whole, and again as often as it likes.
import {
  blocksOfOthers,
  deleteBlock,
  dissentingNode,
  forgetNodes,
  leaveNode,
  nodeNamed,
  nodesSince,
  nodeWithKey,
  notify,
  putBlock,
  putNode,
  putPresence,
  seeNode,
} from "../../db/node-queries.ts" with { type: "macro" };
import type { BlockRow, NodeName, NodeRow } from "../../db/node-queries.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import { addressBytes, addressFromBytes } from "../ip/address.ts";
import { overlap, type Prefix } from "../ip/prefix.ts";
import { type SharedStore, sharedStore } from "../ipam/shared-store.ts";
import type { Listening } from "../store/postgres-listening.ts";
import { SharedStoreError, type Transaction } from "../store/store.ts";
import { type BlockPool, blockCount, isBlockOf, lowestFreeBlock, poolText } from "./blocks.ts";
import type { Origin } from "./memory.ts";
import type { NodeDescription } from "./node.ts";
import type { MeshSettings } from "./settings.ts";

const BLOCKS_OF_OTHERS = blocksOfOthers();
const DELETE_BLOCK = deleteBlock();
const DISSENTING_NODE = dissentingNode();
const FORGET_NODES = forgetNodes();
const LEAVE_NODE = leaveNode();
const NODE_NAMED = nodeNamed();
const NODES_SINCE = nodesSince();
const NODE_WITH_KEY = nodeWithKey();
const NOTIFY = notify();
const PUT_BLOCK = putBlock();
const PUT_NODE = putNode();
const PUT_PRESENCE = putPresence();
const SEE_NODE = seeNode();

/** Where the tables tell of changes: db/postgres/0002-nodes.sql. */
const CHANGES = "warren_nodes";

/** How long a node that has left is remembered at least, so that everybody sees it go. */
const MEMORY_MS = 24 * 60 * 60 * 1000;

/**
 * How long a node that joins waits for others that do: where a whole cluster is switched on all of them come at once, and to give
 * up early and come again would be to stand at the end of the queue. A service manager hears of the daemon every two minutes.
 */
const JOIN_PATIENCE_MS = 90_000;

/** A node as the store tells of it. Times are the server's. */
export interface RegisteredNode extends NodeDescription {
  readonly joinedAtMs: number;
  readonly seenAtMs: number;
  /** Undefined for one that is in the mesh. */
  readonly leftAtMs: number | undefined;
  /** Until when the blocks of one that has left stay its own. */
  readonly reservedUntilMs: number | undefined;
  readonly revision: number;
  /** What the server's clock said when this was read. */
  readonly readAtMs: number;
  /** What this node's clock said then. */
  readonly heardAtMs: number;
}

/** What a node tells of itself. */
export type Presence = Pick<RegisteredNode, "address" | "port" | "publicKey" | "hardwareAddress">;

/** What is told to who watches. */
export interface Watcher {
  /** Something has changed, or may have. */
  changed(): void;
  /** What `beat` has sent came back: whatever changes is heard of. */
  heard(): void;
  /** Nothing is heard of any more; said once. */
  lost(error: SharedStoreError): void;
}

/** What of the settings all nodes of a mesh have to have in common, and what a registry needs. */
type RegistrySettings = Pick<
  MeshSettings,
  "network" | "clusterCIDRs" | "nodeMasks" | "backend" | "vni" | "port" | "graceSeconds"
>;

/** Returns the registry that the settings name, with nothing connected yet. Throws CniError 7 where they name none. */
export function openRegistry(settings: MeshSettings): Registry {
  if (settings.nodes.kind === "store") {
    return new Registry(sharedStore(settings.nodes.store, settings.dataDir), settings);
  }
  throw new CniError(
    ErrorCode.invalidConfig,
    "the configuration of the mesh names no store: its nodes are those in it",
    'say "store" in it, or use what needs none: warren node up, show, sync',
  );
}

/** The nodes of one mesh, as one of them uses it. Every call is a transaction and rejects with SharedStoreError. */
export class Registry {
  readonly #name: NodeName;
  readonly #pools: readonly BlockPool[];
  readonly #agreement: string;

  constructor(
    private readonly shared: SharedStore,
    private readonly settings: RegistrySettings,
  ) {
    this.#name = { network: settings.network, node: shared.node };
    this.#pools = settings.clusterCIDRs.map((cluster) => ({
      cluster,
      blockLength: settings.nodeMasks[cluster.address.family],
    }));
    this.#agreement = agreementOf(this.#pools, settings);
  }

  /** The name of this node. */
  get node(): string {
    return this.shared.node;
  }

  /** By what this node's place here is told from one in another store, or of other settings. */
  get origin(): Origin {
    return { store: this.location, node: this.node, agreement: this.#agreement };
  }

  /** Where the store is, in words. */
  get location(): string {
    return this.shared.location;
  }

  /**
   * Makes this node one of the mesh and returns its blocks, IPv4 first: those that it had, if nobody else has them by now
   * and they are what the settings ask for, or the lowest that are free. Rejects with CniError 7 where the settings are not
   * those of the other nodes, and 101 where no block is left.
   */
  async join(): Promise<readonly Prefix[]> {
    return (await this.#presentBlocks()) ?? this.#takePlace();
  }

  /**
   * Returns the blocks of a node that is in the mesh as its settings have it; undefined if it is not. It waits for nobody: a
   * cluster that boots is back at once.
   */
  async #presentBlocks(): Promise<readonly Prefix[] | undefined> {
    try {
      return await this.shared.store.read(async (transaction) => {
        await this.#refuseDissent(transaction);
        const own = await transaction.all(NODE_NAMED, this.#name);
        const held = own.flatMap(blockOf);
        const blocks = this.#pools.flatMap((pool) => held.find((block) => isBlockOf(pool, block)) ?? []);
        const isIn = own.some(
          ({ leftAtMs, agreement }) => leftAtMs === null && agreement === this.#agreement,
        );
        return isIn && blocks.length === this.#pools.length && blocks.length === held.length
          ? blocks
          : undefined;
      });
    } catch (error) {
      if (error instanceof SharedStoreError && error.problem === "table missing") return undefined;
      throw error;
    }
  }

  async #takePlace(): Promise<readonly Prefix[]> {
    const { backend } = this.settings;
    return this.shared.store.transaction(async (transaction) => {
      await transaction.run(FORGET_NODES, { ...this.#name, ageMs: MEMORY_MS });
      await this.#refuseDissent(transaction);
      const own = await transaction.all(NODE_NAMED, this.#name);
      const held = own.flatMap(blockOf);
      await transaction.run(PUT_NODE, { ...this.#name, agreement: this.#agreement, backend });
      const kept = held.filter((block) => this.#pools.some((pool) => isBlockOf(pool, block)));
      for (const block of held) if (!kept.includes(block)) await this.#giveBack(transaction, block);
      const blocks: Prefix[] = [];
      for (const pool of this.#pools) {
        blocks.push(
          kept.find((block) => isBlockOf(pool, block)) ?? (await this.#takeBlock(transaction, pool)),
        );
      }
      return blocks;
    }, JOIN_PATIENCE_MS);
  }

  async #refuseDissent(transaction: Transaction): Promise<void> {
    const other = await transaction.first(DISSENTING_NODE, { ...this.#name, agreement: this.#agreement });
    if (other === undefined) return;
    throw new CniError(
      ErrorCode.invalidConfig,
      `the nodes of the mesh ${this.settings.network} disagree: node ${other.node} has ${other.agreement}, node ${this.node} has ${this.#agreement}`,
      "correct the one that is wrong; to change it for all, take every node out of the mesh first (warren node down)",
    );
  }

  async #takeBlock(transaction: Transaction, pool: BlockPool): Promise<Prefix> {
    const others = await transaction.all(BLOCKS_OF_OTHERS, this.#name);
    const reserved = others.filter(({ abandoned }) => abandoned === 0);
    const block = lowestFreeBlock(pool, reserved.flatMap(blockOf));
    if (block === undefined) throw this.#noBlockLeft(pool, reserved);
    for (const other of others.flatMap(blockOf)) {
      if (overlap(block, other)) await this.#giveBack(transaction, other);
    }
    const { network, node } = this.#name;
    await transaction.run(PUT_BLOCK, {
      ...{ network, node, first: addressBytes(block.address), prefixLength: block.length },
    });
    return block;
  }

  async #giveBack(transaction: Transaction, block: Prefix): Promise<void> {
    const { network } = this.#name;
    await transaction.run(DELETE_BLOCK, { network, first: addressBytes(block.address) });
  }

  #noBlockLeft(pool: BlockPool, reserved: readonly BlockRow[]): CniError {
    const left = new Set(reserved.filter(({ leftAtMs }) => leftAtMs !== null).map(({ node }) => node));
    const waiting = left.size === 0 ? "" : `, some still reserved for ${left.size} that have left`;
    return new CniError(
      ErrorCode.noAddressLeft,
      `no block is left for node ${this.node} of the mesh ${this.settings.network}: ${poolText(pool)} has ${blockCount(pool)}, and other nodes have them all${waiting}`,
      "remove nodes that are gone (warren node list, warren node remove NODE), or give the mesh a larger cluster CIDR or smaller blocks",
    );
  }

  /**
   * Tells the others where this node is reached. Returns false if it is none of the mesh: somebody has removed it, and it
   * has to join again. Rejects with CniError 7 where another node has the same key.
   */
  async announce(presence: Presence): Promise<boolean> {
    const { address, port, publicKey, hardwareAddress } = presence;
    return this.shared.store.transaction(async (transaction) => {
      const [own] = await transaction.all(NODE_NAMED, this.#name);
      if (own === undefined || own.leftAtMs !== null) return false;
      if (publicKey !== undefined) await this.#refuseSameKey(transaction, publicKey);
      await transaction.run(PUT_PRESENCE, {
        ...this.#name,
        ...{ port, publicKey: publicKey ?? null, hardwareAddress: hardwareAddress ?? null },
        address: address === undefined ? null : addressBytes(address),
      });
      return true;
    });
  }

  async #refuseSameKey(transaction: Transaction, publicKey: string): Promise<void> {
    const other = await transaction.first(NODE_WITH_KEY, { ...this.#name, publicKey });
    if (other === undefined) return;
    throw new CniError(
      ErrorCode.invalidConfig,
      `node ${other.node} of the mesh ${this.settings.network} has the same public key as node ${this.node}: ${publicKey}`,
      `is this node a copy of the other: remove its keyFile, and a new key is made; has it got another name: warren node remove ${other.node}`,
    );
  }

  /** Tells that this node is alive, and asks for what `watch` hears again. */
  async beat(): Promise<void> {
    const { network, node } = this.#name;
    await this.shared.store.transaction(async (transaction) => {
      await transaction.run(SEE_NODE, { mesh: network, node });
      await transaction.run(NOTIFY, { channel: this.#ownChannel(), payload: "" });
    });
  }

  /** Takes a node out of the mesh, this one or another; its blocks stay its own for the time of grace. */
  async leave(node = this.node): Promise<void> {
    const { network } = this.#name;
    const graceMs = this.settings.graceSeconds * 1000;
    await this.shared.store.transaction((transaction) =>
      transaction.run(LEAVE_NODE, { network, node, graceMs }),
    );
  }

  /** Returns the nodes that have changed after a revision, by default all, in the order of their names. */
  async list(afterRevision = 0): Promise<RegisteredNode[]> {
    const { network } = this.#name;
    const rows = await this.shared.store.read((transaction) =>
      transaction.all(NODES_SINCE, { network, revision: afterRevision }),
    );
    return [...Map.groupBy(rows, ({ node }) => node).values()].flatMap((one) =>
      nodeOf(one, this.settings.port),
    );
  }

  /**
   * Tells `watcher` of changes until that is closed or the connection is lost. What changed before, or while nobody
   * listened, is not told: list all once this has begun.
   */
  async watch(watcher: Watcher): Promise<Listening> {
    const own = this.#ownChannel();
    const network = `${this.shared.store.schema}/${this.settings.network}`;
    return this.shared.store.listen([CHANGES, own], {
      notified: (channel, payload) => {
        if (channel === own) watcher.heard();
        else if (payload === network) watcher.changed();
      },
      lost: (error) => watcher.lost(error),
    });
  }

  /** The name of a channel has 63 bytes at most, which those that it is made of may exceed. */
  #ownChannel(): string {
    const { network, node } = this.#name;
    return `warren_node_${Bun.hash(`${this.shared.store.schema}/${network}/${node}`).toString(16)}`;
  }
}

function agreementOf(pools: readonly BlockPool[], { backend, vni }: RegistrySettings): string {
  const carrier = backend === "vxlan" ? `vxlan ${vni}` : backend;
  return `${pools.map(poolText).join(" and ")}, carried by ${carrier}`;
}

function blockOf({ first, prefixLength }: Pick<NodeRow, "first" | "prefixLength">): Prefix[] {
  if (first === null || prefixLength === null) return [];
  return [{ address: addressFromBytes(first), length: prefixLength }];
}

/** Returns the node that its rows tell of, one for each block. */
function nodeOf(rows: readonly NodeRow[], defaultPort: number): RegisteredNode[] {
  const [row] = rows;
  if (row === undefined) return [];
  return [
    {
      name: row.node,
      address: row.address === null ? undefined : addressFromBytes(row.address),
      port: row.port ?? defaultPort,
      blocks: rows.flatMap(blockOf).toSorted((a, b) => a.address.family - b.address.family),
      publicKey: row.publicKey ?? undefined,
      hardwareAddress: row.hardwareAddress ?? undefined,
      backend: row.backend === "vxlan" ? "vxlan" : "wireguard",
      joinedAtMs: row.joinedAtMs,
      seenAtMs: row.seenAtMs,
      leftAtMs: row.leftAtMs ?? undefined,
      reservedUntilMs: row.reservedUntilMs ?? undefined,
      revision: row.revision,
      readAtMs: row.nowMs,
      heardAtMs: Date.now(),
    },
  ];
}
