// The tables of the store, as drizzle describes them: the one place where a column has a name and a type. The
// SQL files under migrations/ create them; a test compares the two.
import { isNotNull, isNull, sql } from "drizzle-orm";
import { blob, index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";

const bytes = (name: string) => blob(name, { mode: "buffer" }).$type<Uint8Array>();

/** Canonical bytes of an address: 4 or 16, most significant first, so that bytes compare as addresses do. */
const addressBytes = bytes;

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

/** What was said of a pod before its container came, or of one on another node: labels, as a JSON object. */
export const pairAnnouncements = sqliteTable(
  "pair_announcements",
  {
    network: text("network").notNull(),
    /** Empty for the Kubernetes namespace default, here as in the tables below: it is that of pods that say none. */
    podNamespace: text("pod_namespace").notNull(),
    podName: text("pod_name").notNull(),
    labels: text("labels").notNull(),
    announcedAtMs: integer("announced_at_ms").notNull(),
  },
  (table) => [primaryKey({ columns: [table.network, table.podNamespace, table.podName] })],
);

/** Which attachment is which pod at the moment: the one that links are made to. */
export const pairPods = sqliteTable(
  "pair_pods",
  {
    network: text("network").notNull(),
    podNamespace: text("pod_namespace").notNull(),
    podName: text("pod_name").notNull(),
    containerId: text("container_id").notNull(),
    ifname: text("ifname").notNull(),
    /** Where other nodes reach its node; empty where nobody needs to know. */
    parentAddress: text("parent_address").notNull(),
    /** The routes by its links, as labels spell them, with commas between them. */
    routes: text("routes").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.network, table.podNamespace, table.podName] }),
    uniqueIndex("pair_pods_owner").on(table.network, table.containerId, table.ifname),
  ],
);

/** A link as it is asked for, whether or not it is there: by its primary's labels, its pair's, or an announcement. */
export const pairLinks = sqliteTable(
  "pair_links",
  {
    network: text("network").notNull(),
    podNamespace: text("pod_namespace").notNull(),
    primaryName: text("primary_name").notNull(),
    primaryIfname: text("primary_ifname").notNull(),
    /** In CIDR notation, with commas between them. */
    primaryAddresses: text("primary_addresses").notNull(),
    primaryMirror: text("primary_mirror").notNull(),
    /** Where the pod's node is, if the labels of the other one say so. */
    primaryParentAddress: text("primary_parent_address").notNull(),
    pairName: text("pair_name").notNull(),
    pairIfname: text("pair_ifname").notNull(),
    pairAddresses: text("pair_addresses").notNull(),
    pairMirror: text("pair_mirror").notNull(),
    pairParentAddress: text("pair_parent_address").notNull(),
    vni: integer("vni"),
    /** The VNI that somebody asks for; any other one is taken from the range, and given back. */
    saidVni: integer("said_vni"),
    mtu: integer("mtu"),
    /** 1 if an announcement asks for it. */
    announced: integer("announced").notNull(),
    /** The attachment whose labels ask for it: its container and its interface; empty if none does. */
    saidByPrimary: text("said_by_primary").notNull(),
    saidByPair: text("said_by_pair").notNull(),
    saidByPrimaryIfname: text("said_by_primary_ifname").notNull().default(""),
    saidByPairIfname: text("said_by_pair_ifname").notNull().default(""),
  },
  (table) => [
    primaryKey({
      columns: [table.network, table.podNamespace, table.primaryName, table.primaryIfname],
    }),
    uniqueIndex("pair_links_pair").on(table.network, table.podNamespace, table.pairName, table.pairIfname),
    uniqueIndex("pair_links_vni").on(table.vni).where(isNotNull(table.vni)),
  ],
);

/** An end of a link that is made, or about to be, and in which container. Both ends of a veth stand here, or neither. */
export const pairEnds = sqliteTable(
  "pair_ends",
  {
    network: text("network").notNull(),
    podNamespace: text("pod_namespace").notNull(),
    primaryName: text("primary_name").notNull(),
    primaryIfname: text("primary_ifname").notNull(),
    /** `primary` or `pair`. */
    side: text("side").notNull(),
    /** `veth` or `vxlan`. */
    kind: text("kind").notNull(),
    /** The attachment that it belongs to. */
    containerId: text("container_id").notNull(),
    ifname: text("ifname").notNull(),
    netns: text("netns").notNull(),
    netnsInode: text("netns_inode"),
    bootId: text("boot_id").notNull(),
    /** Its name in the container. */
    name: text("name").notNull(),
    mirror: text("mirror").notNull(),
    /** The attachment at the other end of a veth; empty for a vxlan. */
    otherContainerId: text("other_container_id").notNull(),
    otherIfname: text("other_ifname").notNull(),
    /** The number of a vxlan, and where its other end is; null and empty for a veth. */
    vni: integer("vni"),
    remote: text("remote").notNull(),
  },
  (table) => [
    primaryKey({
      columns: [table.network, table.podNamespace, table.primaryName, table.primaryIfname, table.side],
    }),
    index("pair_ends_owner").on(table.network, table.containerId, table.ifname),
  ],
);

/** The databases that this node shares with others, by their location. */
export const sharedStores = sqliteTable("shared_stores", {
  location: text("location").primaryKey().notNull(),
  /** The settings of the config as JSON; the password is never among them. */
  settings: text("settings").notNull(),
});

/** Releases of leases that a shared database has yet to be told of: it was out of reach when the attachment went. */
export const releases = sqliteTable(
  "releases",
  {
    location: text("location").notNull(),
    network: text("network").notNull(),
    containerId: text("container_id").notNull(),
    ifname: text("ifname").notNull(),
    /** How long the address rests once it is released. */
    cooldownMs: integer("cooldown_ms").notNull(),
    queuedAtMs: integer("queued_at_ms").notNull(),
  },
  (table) => [primaryKey({ columns: [table.location, table.network, table.containerId, table.ifname] })],
);

/** Leases that DHCP servers gave, as the daemon that renews them keeps them. */
export const dhcpLeases = sqliteTable(
  "dhcp_leases",
  {
    network: text("network").notNull(),
    containerId: text("container_id").notNull(),
    ifname: text("ifname").notNull(),
    podNamespace: text("pod_namespace"),
    podName: text("pod_name"),
    netns: text("netns").notNull(),
    netnsInode: text("netns_inode"),
    bootId: text("boot_id").notNull(),
    createdAtMs: integer("created_at_ms").notNull(),
    /** That of the container's interface. */
    hardwareAddress: bytes("hardware_address").notNull(),
    /** Whoever the server's answers came from: the server itself, or a router on the way to it. */
    serverHardwareAddress: bytes("server_hardware_address").notNull(),
    /** What goes with every message, packed as in a message. */
    options: bytes("options").notNull(),
    address: addressBytes("address").notNull(),
    server: addressBytes("server").notNull(),
    /** The server's DHCPACK; null as long as it has not confirmed the address. */
    acknowledgement: bytes("acknowledgement"),
    /** Milliseconds since the boot, here and below; null for what never ends. */
    renewAtUptimeMs: integer("renew_at_uptime_ms"),
    rebindAtUptimeMs: integer("rebind_at_uptime_ms"),
    expiresAtUptimeMs: integer("expires_at_uptime_ms"),
    /** Why the container has the address no more; empty as long as it has it. */
    lost: text("lost").notNull(),
  },
  (table) => [primaryKey({ columns: [table.network, table.containerId, table.ifname] })],
);
