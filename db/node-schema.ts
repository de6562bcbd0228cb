// The tables of the nodes of a mesh, which are in PostgreSQL only. postgres/0002-nodes.sql creates them; a test compares the
// two.
import { bigint, customType, integer, pgTable, primaryKey, text } from "drizzle-orm/pg-core";

/** Canonical bytes of an address: 4 or 16, most significant first, so that bytes compare as addresses do. */
const addressBytes = customType<{ data: Uint8Array }>({ dataType: () => "bytea" });
const milliseconds = (name: string) => bigint(name, { mode: "number" });

/** One row a node, also for one that has left: the others have to be told that. */
export const nodes = pgTable(
  "nodes",
  {
    network: text("network").notNull(),
    node: text("node").notNull(),
    /** What all nodes of the network have to have in common, in words. */
    agreement: text("agreement").notNull(),
    /** Where others reach it; null as long as it has not said so, and once it has left. */
    address: addressBytes("address"),
    port: integer("port"),
    publicKey: text("public_key"),
    hardwareAddress: text("hardware_address"),
    backend: text("backend").notNull(),
    joinedAtMs: milliseconds("joined_at_ms").notNull(),
    seenAtMs: milliseconds("seen_at_ms").notNull(),
    leftAtMs: milliseconds("left_at_ms"),
    /** From when on others may have the blocks of a node that has left. */
    reservedUntilMs: milliseconds("reserved_until_ms"),
    /** Higher than that of every change before; the server's doing. */
    revision: bigint("revision", { mode: "number" }).notNull(),
  },
  (table) => [primaryKey({ columns: [table.network, table.node] })],
);

/** One row a block. Two blocks of a network have no address in common: whoever writes has locked the network. */
export const nodeBlocks = pgTable(
  "node_blocks",
  {
    network: text("network").notNull(),
    first: addressBytes("first").notNull(),
    prefixLength: integer("prefix_length").notNull(),
    node: text("node").notNull(),
  },
  (table) => [primaryKey({ columns: [table.network, table.first] })],
);
