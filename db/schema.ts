// The tables of the store, as drizzle describes them: the one place where a column has a name and a type. The
// SQL files under migrations/ create them; a test compares the two.
import { isNotNull, isNull, sql } from "drizzle-orm";
import { blob, index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";

/** Canonical bytes of an address: 4 or 16, most significant first, so that bytes compare as addresses do. */
const addressBytes = (name: string) => blob(name, { mode: "buffer" }).$type<Uint8Array>();

/**
 * One row an address that is held. A row with `released_at_ms` is cooling down: nobody has it, and it is given
 * out again only when the time is over or nothing else is left.
 */
export const leases = sqliteTable(
  "leases",
  {
    network: text("network").notNull(),
    address: addressBytes("address").notNull(),
    family: integer("family").notNull(),
    prefixLength: integer("prefix_length").notNull(),
    gateway: addressBytes("gateway"),
    containerId: text("container_id").notNull(),
    ifname: text("ifname").notNull(),
    /** Which address of the attachment: the number of the range set, or of the static address. */
    ordinal: integer("ordinal").notNull(),
    podNamespace: text("pod_namespace"),
    podName: text("pod_name"),
    podUid: text("pod_uid"),
    netns: text("netns").notNull(),
    netnsInode: text("netns_inode"),
    bootId: text("boot_id").notNull(),
    createdAtMs: integer("created_at_ms").notNull(),
    releasedAtMs: integer("released_at_ms"),
  },
  (table) => [
    primaryKey({ columns: [table.network, table.address] }),
    uniqueIndex("leases_owner")
      .on(table.network, table.containerId, table.ifname, table.family, table.ordinal)
      .where(isNull(table.releasedAtMs)),
    index("leases_released").on(table.network, table.releasedAtMs).where(isNotNull(table.releasedAtMs)),
  ],
);

/**
 * The held addresses of a network as runs without a gap: two runs never touch. The address after a run is free,
 * which is how the next free one is found in a few steps however full the pool is.
 */
export const runs = sqliteTable(
  "runs",
  {
    network: text("network").notNull(),
    family: integer("family").notNull(),
    first: addressBytes("first").notNull(),
    last: addressBytes("last").notNull(),
  },
  (table) => [primaryKey({ columns: [table.network, table.family, table.first] })],
);

/** The last address that a range set gave out, where the search for the next one goes on. */
export const cursors = sqliteTable(
  "cursors",
  {
    network: text("network").notNull(),
    pool: text("pool").notNull(),
    last: addressBytes("last").notNull(),
  },
  (table) => [primaryKey({ columns: [table.network, table.pool] })],
);

/** One row for everything that one plugin of a chain made for a container's interface. */
export const attachments = sqliteTable(
  "attachments",
  {
    network: text("network").notNull(),
    containerId: text("container_id").notNull(),
    ifname: text("ifname").notNull(),
    plugin: text("plugin").notNull(),
    podNamespace: text("pod_namespace"),
    podName: text("pod_name"),
    netns: text("netns").notNull(),
    netnsInode: text("netns_inode"),
    bootId: text("boot_id").notNull(),
    createdAtMs: integer("created_at_ms").notNull(),
  },
  (table) => [primaryKey({ columns: [table.network, table.containerId, table.ifname, table.plugin] })],
);

/**
 * The kernel objects that an attachment needs, written before the kernel is touched. An object that several
 * attachments name (a masquerade rule) goes with the last of them.
 */
export const objects = sqliteTable(
  "objects",
  {
    network: text("network").notNull(),
    containerId: text("container_id").notNull(),
    ifname: text("ifname").notNull(),
    plugin: text("plugin").notNull(),
    kind: text("kind").notNull(),
    name: text("name").notNull(),
    /** What the name does not say and taking the object back needs, in a form of the kind's own. */
    detail: text("detail").notNull(),
  },
  (table) => [
    primaryKey({
      columns: [table.network, table.containerId, table.ifname, table.plugin, table.kind, table.name],
    }),
    index("objects_name").on(table.kind, table.name),
  ],
);

/** One row that STATUS writes to, so that "ready" means that a write was committed. */
export const heartbeat = sqliteTable("heartbeat", {
  id: integer("id").primaryKey(),
  bootId: text("boot_id").notNull(),
  atMs: integer("at_ms").notNull(),
});

/**
 * The last calls of plugins, one row a call. Triggers make it a ring of 10,000 rows, and keep only the last STATUS of each
 * network and plugin.
 */
export const events = sqliteTable(
  "events",
  {
    sequence: integer("sequence").primaryKey(),
    /** When the call began. */
    atMs: integer("at_ms").notNull(),
    durationUs: integer("duration_us").notNull(),
    verb: text("verb").notNull(),
    plugin: text("plugin").notNull(),
    network: text("network").notNull(),
    containerId: text("container_id").notNull(),
    ifname: text("ifname").notNull(),
    netns: text("netns").notNull(),
    podNamespace: text("pod_namespace"),
    podName: text("pod_name"),
    /** In CIDR notation, with spaces between them. */
    addresses: text("addresses").notNull(),
    /** The code of the error; 0 for a success. */
    code: integer("code").notNull(),
    message: text("message").notNull(),
    traceId: text("trace_id"),
    spanId: text("span_id"),
    parentSpanId: text("parent_span_id"),
    traceState: text("trace_state"),
    baggage: text("baggage"),
  },
  (table) => [index("events_status").on(table.network, table.plugin).where(sql`${table.verb} = 'STATUS'`)],
);
