// The queries about the nodes of a mesh, in PostgreSQL's words only: as all others they become SQL text at build time. What
// names its network by `network` writes while nobody else does. Times are the server's: clocks of nodes differ.
import { and, asc, eq, gt, isNotNull, isNull, lt, ne, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/pg-proxy";
import { given } from "./builder.ts";
import { nodeBlocks, nodes } from "./node-schema.ts";
import { inPostgres, type Statement, statement } from "./statement.ts";

/** Builds queries, and runs none. */
const database = drizzle(async () => ({ rows: [] }));

const nowMs = sql<number>`cast(extract(epoch from clock_timestamp()) * 1000 as bigint)`;

/** True in SQL for a node that has left, and whose blocks others may have. */
const isOver = lt(nodes.reservedUntilMs, nowMs);

const NODE = {
  node: nodes.node,
  agreement: nodes.agreement,
  address: nodes.address,
  port: nodes.port,
  publicKey: nodes.publicKey,
  hardwareAddress: nodes.hardwareAddress,
  backend: nodes.backend,
  joinedAtMs: nodes.joinedAtMs,
  seenAtMs: nodes.seenAtMs,
  leftAtMs: nodes.leftAtMs,
  reservedUntilMs: nodes.reservedUntilMs,
  revision: nodes.revision,
  first: nodeBlocks.first,
  prefixLength: nodeBlocks.prefixLength,
  // whose clock the times are by
  nowMs: nowMs.as("now_ms"),
};

const BLOCK = {
  node: nodeBlocks.node,
  first: nodeBlocks.first,
  prefixLength: nodeBlocks.prefixLength,
  /** Not 0 for one whose node has left, and whose time is over. */
  abandoned: sql<number>`case when ${isOver} then 1 else 0 end`.as("abandoned"),
  leftAtMs: nodes.leftAtMs,
};

/** Names a node in the store. */
export interface NodeName {
  readonly network: string;
  readonly node: string;
}

/** A node as the store holds it, once for each of its blocks, or once with none. */
export type NodeRow = Omit<(typeof nodes)["$inferSelect"], "network"> & {
  readonly first: Uint8Array | null;
  readonly prefixLength: number | null;
  readonly nowMs: number;
};

/** A block and whose it is. */
export type BlockRow = Pick<(typeof nodeBlocks)["$inferSelect"], "node" | "first" | "prefixLength"> & {
  readonly abandoned: number;
  readonly leftAtMs: number | null;
};

/** What a node says of itself. */
export type PresenceRow = Pick<
  (typeof nodes)["$inferSelect"],
  "address" | "port" | "publicKey" | "hardwareAddress"
>;

const isNode = and(eq(nodes.network, given("network")), eq(nodes.node, given("node")));
const withBlocks = and(eq(nodeBlocks.network, nodes.network), eq(nodeBlocks.node, nodes.node));

/** The nodes that have changed after a revision, all after 0, in the order of their names and blocks. */
export function nodesSince(): Statement<{ network: string; revision: number }, NodeRow> {
  return inPostgres(() =>
    statement<{ network: string; revision: number }>()(
      database
        .select(NODE)
        .from(nodes)
        .leftJoin(nodeBlocks, withBlocks)
        .where(and(eq(nodes.network, given("network")), gt(nodes.revision, given("revision"))))
        .orderBy(asc(nodes.node), asc(nodeBlocks.first)),
      Object.keys(NODE),
    ),
  );
}

/** A node with its blocks: a row for each, or one without where it has none. */
export function nodeNamed(): Statement<NodeName, NodeRow> {
  return inPostgres(() =>
    statement<NodeName>()(
      database
        .select(NODE)
        .from(nodes)
        .leftJoin(nodeBlocks, withBlocks)
        .where(isNode)
        .orderBy(asc(nodeBlocks.first)),
      Object.keys(NODE),
    ),
  );
}

/** Another node that is there and has not agreed to the same. */
export function dissentingNode(): Statement<
  NodeName & { agreement: string },
  { node: string; agreement: string }
> {
  return inPostgres(() =>
    statement<NodeName & { agreement: string }>()(
      database
        .select({ node: nodes.node, agreement: nodes.agreement })
        .from(nodes)
        .where(
          and(
            eq(nodes.network, given("network")),
            ne(nodes.node, given("node")),
            isNull(nodes.leftAtMs),
            ne(nodes.agreement, given("agreement")),
          ),
        )
        .orderBy(asc(nodes.node))
        .limit(1),
      ["node", "agreement"],
    ),
  );
}

/** Another node that has the same key. */
export function nodeWithKey(): Statement<NodeName & { publicKey: string }, { node: string }> {
  return inPostgres(() =>
    statement<NodeName & { publicKey: string }>()(
      database
        .select({ node: nodes.node })
        .from(nodes)
        .where(
          and(
            eq(nodes.network, given("network")),
            ne(nodes.node, given("node")),
            eq(nodes.publicKey, given("publicKey")),
          ),
        ),
      ["node"],
    ),
  );
}

/** The blocks that are written down for other nodes, in their order. */
export function blocksOfOthers(): Statement<NodeName, BlockRow> {
  return inPostgres(() =>
    statement<NodeName>()(
      database
        .select(BLOCK)
        .from(nodeBlocks)
        .innerJoin(nodes, withBlocks)
        .where(and(eq(nodeBlocks.network, given("network")), ne(nodeBlocks.node, given("node"))))
        .orderBy(asc(nodeBlocks.first)),
      Object.keys(BLOCK),
    ),
  );
}

/** Makes the node known, or known again. */
export function putNode(): Statement<NodeName & { agreement: string; backend: string }, never> {
  return inPostgres(() =>
    statement<NodeName & { agreement: string; backend: string }>()(
      database
        .insert(nodes)
        .values({
          network: given("network"),
          node: given("node"),
          agreement: given("agreement"),
          backend: given("backend"),
          joinedAtMs: nowMs,
          seenAtMs: nowMs,
          revision: 0,
        })
        .onConflictDoUpdate({
          target: [nodes.network, nodes.node],
          set: {
            agreement: sql`excluded.agreement`,
            backend: sql`excluded.backend`,
            seenAtMs: sql`excluded.seen_at_ms`,
            joinedAtMs: sql`case when ${nodes.leftAtMs} is null then ${nodes.joinedAtMs} else excluded.joined_at_ms end`,
            leftAtMs: null,
            reservedUntilMs: null,
          },
        }),
    ),
  );
}

/** Writes down that a block is a node's; fails where it is somebody's. */
export function putBlock(): Statement<NodeName & { first: Uint8Array; prefixLength: number }, never> {
  return inPostgres(() =>
    statement<NodeName & { first: Uint8Array; prefixLength: number }>()(
      database.insert(nodeBlocks).values({
        network: given("network"),
        first: given("first"),
        prefixLength: given("prefixLength"),
        node: given("node"),
      }),
    ),
  );
}

/** Gives a block back, whosever it is. */
export function deleteBlock(): Statement<{ network: string; first: Uint8Array }, never> {
  return inPostgres(() =>
    statement<{ network: string; first: Uint8Array }>()(
      database
        .delete(nodeBlocks)
        .where(and(eq(nodeBlocks.network, given("network")), eq(nodeBlocks.first, given("first")))),
    ),
  );
}

/** Writes what a node says of itself; nothing for one that has left, or that nobody knows. */
export function putPresence(): Statement<NodeName & PresenceRow, never> {
  return inPostgres(() =>
    statement<NodeName & PresenceRow>()(
      database
        .update(nodes)
        .set({
          address: sql`${given("address")}`,
          port: sql`${given("port")}`,
          publicKey: sql`${given("publicKey")}`,
          hardwareAddress: sql`${given("hardwareAddress")}`,
          seenAtMs: nowMs,
        })
        .where(and(isNode, isNull(nodes.leftAtMs))),
    ),
  );
}

/** Notes that a node is alive. It needs nobody else to wait, and so names its network otherwise. */
export function seeNode(): Statement<{ mesh: string; node: string }, never> {
  return inPostgres(() =>
    statement<{ mesh: string; node: string }>()(
      database
        .update(nodes)
        .set({ seenAtMs: nowMs })
        .where(and(eq(nodes.network, given("mesh")), eq(nodes.node, given("node")), isNull(nodes.leftAtMs))),
    ),
  );
}

/** Notes that a node has left, for whom nobody is reached any more; its blocks stay its own for that time. */
export function leaveNode(): Statement<NodeName & { graceMs: number }, never> {
  return inPostgres(() =>
    statement<NodeName & { graceMs: number }>()(
      database
        .update(nodes)
        .set({
          ...{ address: null, port: null, publicKey: null, hardwareAddress: null },
          leftAtMs: nowMs,
          reservedUntilMs: sql`${nowMs} + ${given("graceMs")}`,
        })
        .where(and(isNode, isNull(nodes.leftAtMs))),
    ),
  );
}

/** Forgets other nodes whose time is over, and that everybody has had the time to see go. */
export function forgetNodes(): Statement<NodeName & { ageMs: number }, never> {
  return inPostgres(() =>
    statement<NodeName & { ageMs: number }>()(
      database
        .delete(nodes)
        .where(
          and(
            eq(nodes.network, given("network")),
            ne(nodes.node, given("node")),
            isNotNull(nodes.leftAtMs),
            isOver,
            sql`${nodes.leftAtMs} + ${given("ageMs")} < ${nowMs}`,
          ),
        ),
    ),
  );
}

/** Tells a channel something when the transaction is committed. */
export function notify(): Statement<{ channel: string; payload: string }, never> {
  return inPostgres(() =>
    statement<{ channel: string; payload: string }>()(
      sql`select pg_notify(${given("channel")}, ${given("payload")})`,
    ),
  );
}
