// Every query of the store, written in drizzle. Each function runs at build time only: import it
// `with { type: "macro" }`, and what stays in the executable is the SQL text.
import { and, asc, count, desc, eq, gt, isNotNull, isNull, lte, ne, or, type SQL, sql } from "drizzle-orm";
import { database, given } from "./builder.ts";
import { attachments, cursors, events, heartbeat, leases, objects, runs } from "./schema.ts";
import { type Statement, spelled, statement } from "./statement.ts";

type Row<Table extends { readonly $inferSelect: object }> = Table["$inferSelect"];
/** A lease as the store holds it. */
export type LeaseRow = Row<typeof leases>;
/** What is told of a lease that is released. */
export type ReleasedRow = Pick<LeaseRow, keyof typeof RELEASED>;
/** A run of held addresses as the store holds it. */
export type RunRow = Row<typeof runs>;
/** An attachment as the store holds it. */
export type AttachmentRow = Row<typeof attachments>;
/** A kernel object of an attachment as the store holds it. */
export type ObjectRow = Row<typeof objects>;
/** A call as the store remembers it. */
export type EventRow = Row<typeof events>;
/** A lease with the node that has it; empty in a store that is the node's own. */
export type NodeLeaseRow = LeaseRow & { readonly node: string };
type Empty = Readonly<Record<never, never>>;

/** Names one attachment in the store. */
export interface Owner {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

/** Names what one plugin of a chain made for an attachment. */
export interface Entry extends Owner {
  readonly plugin: string;
}

const LEASE = {
  network: leases.network,
  address: leases.address,
  family: leases.family,
  prefixLength: leases.prefixLength,
  gateway: leases.gateway,
  containerId: leases.containerId,
  ifname: leases.ifname,
  ordinal: leases.ordinal,
  podNamespace: leases.podNamespace,
  podName: leases.podName,
  podUid: leases.podUid,
  netns: leases.netns,
  netnsInode: leases.netnsInode,
  bootId: leases.bootId,
  createdAtMs: leases.createdAtMs,
  releasedAtMs: leases.releasedAtMs,
};
const LEASE_COLUMNS = Object.keys(LEASE);

/** What there is to say of a lease that was released. */
const RELEASED = {
  address: leases.address,
  containerId: leases.containerId,
  ifname: leases.ifname,
  podNamespace: leases.podNamespace,
  podName: leases.podName,
};
const RELEASED_COLUMNS = Object.keys(RELEASED);

const RUN = { network: runs.network, family: runs.family, first: runs.first, last: runs.last };
const RUN_COLUMNS = Object.keys(RUN);

const ATTACHMENT = {
  network: attachments.network,
  containerId: attachments.containerId,
  ifname: attachments.ifname,
  plugin: attachments.plugin,
  podNamespace: attachments.podNamespace,
  podName: attachments.podName,
  netns: attachments.netns,
  netnsInode: attachments.netnsInode,
  bootId: attachments.bootId,
  createdAtMs: attachments.createdAtMs,
};
const ATTACHMENT_COLUMNS = Object.keys(ATTACHMENT);

const EVENT = {
  sequence: events.sequence,
  atMs: events.atMs,
  durationUs: events.durationUs,
  verb: events.verb,
  plugin: events.plugin,
  network: events.network,
  containerId: events.containerId,
  ifname: events.ifname,
  netns: events.netns,
  podNamespace: events.podNamespace,
  podName: events.podName,
  addresses: events.addresses,
  code: events.code,
  message: events.message,
  traceId: events.traceId,
  spanId: events.spanId,
  parentSpanId: events.parentSpanId,
  traceState: events.traceState,
  baggage: events.baggage,
};

const OBJECT = {
  network: objects.network,
  containerId: objects.containerId,
  ifname: objects.ifname,
  plugin: objects.plugin,
  kind: objects.kind,
  name: objects.name,
  detail: objects.detail,
};
const OBJECT_COLUMNS = Object.keys(OBJECT);

const held = isNull(leases.releasedAtMs);

/** True in SQL if this node made the row: in a file it made them all. */
const own = () => spelled<SQL | undefined>(undefined, sql`${leases}.node = current_setting('warren.node')`);

const nodeOf = () => spelled(sql<string>`''`, sql<string>`node`).as("node");

/** The rows of a JSON list given as a parameter; the text of each is `value`. */
function eachOf(list: string): SQL {
  return spelled(
    sql`json_each(${given(list)})`,
    sql`jsonb_array_elements_text(cast(${given(list)} as jsonb)) as listed(value)`,
  );
}

/** The rows of a JSON list of pairs given as a parameter; those of each are `value ->> 0` and `value ->> 1`. */
function eachPairOf(list: string): SQL {
  return spelled(
    sql`json_each(${given(list)})`,
    sql`jsonb_array_elements(cast(${given(list)} as jsonb)) as listed(value)`,
  );
}

/** The bytes of a text in hexadecimal. */
function unhex(text: SQL): SQL {
  return spelled(sql`unhex(${text})`, sql`decode(${text}, 'hex')`);
}

function ownedBy(table: typeof leases | typeof attachments | typeof objects): SQL | undefined {
  return and(
    eq(table.network, given("network")),
    eq(table.containerId, given("containerId")),
    eq(table.ifname, given("ifname")),
  );
}

function enteredBy(table: typeof attachments | typeof objects): SQL | undefined {
  return and(ownedBy(table), eq(table.plugin, given("plugin")));
}

/**
 * True in SQL if the row's attachment is not in the JSON list of `containerId/ifname` given as `valid`. As texts a list
 * is five times as fast to read as pairs are, and among pairs, which could be null, SQLite would look at each in turn.
 */
function isStale(table: typeof leases | typeof attachments | typeof objects): SQL {
  return sql`${table.containerId} || '/' || ${table.ifname} not in (select value from ${eachOf("valid")})`;
}

/** True in SQL if the row's attachment is in the JSON list of `[containerId, ifname]` pairs given as `owners`. */
function isOfOwners(table: typeof attachments | typeof objects): SQL {
  return sql`(${table.containerId}, ${table.ifname}) in (select value ->> 0, value ->> 1 from ${eachPairOf("owners")})`;
}

// leases ------------------------------------------------------------------------------------------------------

export function leaseAt(): Statement<{ network: string; address: Uint8Array }, NodeLeaseRow> {
  return statement<{ network: string; address: Uint8Array }>()(
    database
      .select({ ...LEASE, node: nodeOf() })
      .from(leases)
      .where(and(eq(leases.network, given("network")), eq(leases.address, given("address")))),
    [...LEASE_COLUMNS, "node"],
  );
}

export function leasesOfOwner(): Statement<Owner, LeaseRow> {
  return statement<Owner>()(
    database
      .select(LEASE)
      .from(leases)
      .where(and(ownedBy(leases), held, own()))
      .orderBy(asc(leases.ordinal), asc(leases.address)),
    LEASE_COLUMNS,
  );
}

export function heldLeases(): Statement<Empty, LeaseRow> {
  return statement<Empty>()(
    database
      .select(LEASE)
      .from(leases)
      .where(and(held, own()))
      .orderBy(asc(leases.network), asc(leases.address)),
    LEASE_COLUMNS,
  );
}

/** Those of every node that shares the store. */
export function heldLeasesOfNodes(): Statement<Empty, NodeLeaseRow> {
  return statement<Empty>()(
    database
      .select({ ...LEASE, node: nodeOf() })
      .from(leases)
      .where(held)
      .orderBy(asc(leases.network), asc(leases.address)),
    [...LEASE_COLUMNS, "node"],
  );
}

export function heldCount(): Statement<{ network: string }, { held: number }> {
  return statement<{ network: string }>()(
    database
      .select({ held: count() })
      .from(leases)
      .where(and(eq(leases.network, given("network")), held)),
    ["held"],
  );
}

/**
 * True in SQL if the lease's attachment is not among the valid ones of `isStale`. One whose interface nobody knows is
 * somebody's as long as its container is.
 */
function isStaleLease(): SQL | undefined {
  const container = spelled(sql`substr(value, 1, instr(value, '/') - 1)`, sql`split_part(value, '/', 1)`);
  const validContainers = sql`select ${container} from ${eachOf("valid")}`;
  return and(
    eq(leases.network, given("network")),
    held,
    own(),
    isStale(leases),
    or(ne(leases.ifname, ""), sql`${leases.containerId} not in (${validContainers})`),
  );
}

/** The leases of a network whose attachment is not among the valid ones, given as `containerId/ifname`. */
export function staleLeases(): Statement<{ network: string; valid: string }, LeaseRow> {
  return statement<{ network: string; valid: string }>()(
    database.select(LEASE).from(leases).where(isStaleLease()).orderBy(asc(leases.address)),
    LEASE_COLUMNS,
  );
}

/** Removes what `staleLeases` finds and returns it: looking for it once and not twice. */
export function deleteStaleLeases(): Statement<{ network: string; valid: string }, ReleasedRow> {
  return statement<{ network: string; valid: string }>()(
    database.delete(leases).where(isStaleLease()).returning(RELEASED),
    RELEASED_COLUMNS,
  );
}

/** Marks what `staleLeases` finds as released, and returns it. */
export function coolStaleLeases(): Statement<
  { network: string; valid: string; releasedAtMs: number },
  ReleasedRow
> {
  return statement<{ network: string; valid: string; releasedAtMs: number }>()(
    database
      .update(leases)
      .set({ releasedAtMs: sql`${given("releasedAtMs")}` })
      .where(isStaleLease())
      .returning(RELEASED),
    RELEASED_COLUMNS,
  );
}

/** The leases of a network that were made in another boot than the one given. */
export function leasesOfEarlierBoots(): Statement<{ network: string; bootId: string }, LeaseRow> {
  return statement<{ network: string; bootId: string }>()(
    database
      .select(LEASE)
      .from(leases)
      .where(and(eq(leases.network, given("network")), ne(leases.bootId, given("bootId")), held, own())),
    LEASE_COLUMNS,
  );
}

/** The cooling leases of a network that were released at or before a time, the longest released first. */
export function coolingLeases(): Statement<{ network: string; releasedAtMs: number }, LeaseRow> {
  return statement<{ network: string; releasedAtMs: number }>()(
    database
      .select(LEASE)
      .from(leases)
      .where(
        and(
          eq(leases.network, given("network")),
          isNotNull(leases.releasedAtMs),
          lte(leases.releasedAtMs, given("releasedAtMs")),
        ),
      )
      .orderBy(asc(leases.releasedAtMs)),
    LEASE_COLUMNS,
  );
}

export function insertLease(): Statement<LeaseRow, never> {
  return statement<LeaseRow>()(
    database.insert(leases).values({
      network: given("network"),
      address: given("address"),
      family: given("family"),
      prefixLength: given("prefixLength"),
      gateway: given("gateway"),
      containerId: given("containerId"),
      ifname: given("ifname"),
      ordinal: given("ordinal"),
      podNamespace: given("podNamespace"),
      podName: given("podName"),
      podUid: given("podUid"),
      netns: given("netns"),
      netnsInode: given("netnsInode"),
      bootId: given("bootId"),
      createdAtMs: given("createdAtMs"),
      releasedAtMs: given("releasedAtMs"),
    }),
  );
}

/** True in SQL if the row's address is in the JSON list of addresses, in hexadecimal, given as `addresses`. */
function isAmongAddresses(): SQL {
  return sql`${leases.address} in (select ${unhex(sql`value`)} from ${eachOf("addresses")})`;
}

export function deleteLeases(): Statement<{ network: string; addresses: string }, never> {
  return statement<{ network: string; addresses: string }>()(
    database.delete(leases).where(and(eq(leases.network, given("network")), isAmongAddresses())),
  );
}

/** Marks leases as released: their addresses cool down and belong to nobody. */
export function coolLeases(): Statement<{ network: string; addresses: string; releasedAtMs: number }, never> {
  return statement<{ network: string; addresses: string; releasedAtMs: number }>()(
    database
      .update(leases)
      .set({ releasedAtMs: sql`${given("releasedAtMs")}` })
      .where(and(eq(leases.network, given("network")), isAmongAddresses())),
  );
}

/** Says of leases that were released later than now that they were released now. */
export function restFromNow(): Statement<{ network: string; nowMs: number }, never> {
  return statement<{ network: string; nowMs: number }>()(
    database
      .update(leases)
      .set({ releasedAtMs: sql`${given("nowMs")}` })
      .where(and(eq(leases.network, given("network")), gt(leases.releasedAtMs, given("nowMs")))),
  );
}

/** Says of an attachment's leases where it lives now. */
export function moveLeases(): Statement<
  Owner & { netns: string; netnsInode: string | null; bootId: string },
  never
> {
  return statement<Owner & { netns: string; netnsInode: string | null; bootId: string }>()(
    database
      .update(leases)
      .set({
        netns: sql`${given("netns")}`,
        netnsInode: sql`${given("netnsInode")}`,
        bootId: sql`${given("bootId")}`,
      })
      .where(and(ownedBy(leases), held, own())),
  );
}

// runs --------------------------------------------------------------------------------------------------------

/** The run that starts last at or before an address: the one that holds it, if any does. */
export function runAtOrBefore(): Statement<{ network: string; family: number; address: Uint8Array }, RunRow> {
  return statement<{ network: string; family: number; address: Uint8Array }>()(
    database
      .select(RUN)
      .from(runs)
      .where(
        and(
          eq(runs.network, given("network")),
          eq(runs.family, given("family")),
          lte(runs.first, given("address")),
        ),
      )
      .orderBy(desc(runs.first))
      .limit(1),
    RUN_COLUMNS,
  );
}

/** All runs of a network in their order. */
export function runsOfNetwork(): Statement<{ network: string }, RunRow> {
  return statement<{ network: string }>()(
    database
      .select(RUN)
      .from(runs)
      .where(eq(runs.network, given("network")))
      .orderBy(asc(runs.family), asc(runs.first)),
    RUN_COLUMNS,
  );
}

/** The runs that hold any of the addresses of a family, given as a JSON list in hexadecimal, in their order. */
export function runsHolding(): Statement<{ network: string; family: number; addresses: string }, RunRow> {
  // for each address the run that starts last at or before it, as in runAtOrBefore
  const starts = sql`select (select nearest.first from ${runs} as nearest where nearest.network = ${given("network")} and nearest.family = ${given("family")} and nearest.first <= ${unhex(sql`value`)} order by nearest.first desc limit 1) from ${eachOf("addresses")}`;
  return statement<{ network: string; family: number; addresses: string }>()(
    database
      .select(RUN)
      .from(runs)
      .where(
        and(
          eq(runs.network, given("network")),
          eq(runs.family, given("family")),
          sql`${runs.first} in (${starts})`,
        ),
      )
      .orderBy(asc(runs.first)),
    RUN_COLUMNS,
  );
}

/** Writes a run; one that starts at the same address gets the new end. */
export function putRun(): Statement<RunRow, never> {
  return statement<RunRow>()(
    database
      .insert(runs)
      .values({
        network: given("network"),
        family: given("family"),
        first: given("first"),
        last: given("last"),
      })
      .onConflictDoUpdate({
        target: [runs.network, runs.family, runs.first],
        set: { last: sql`excluded.last` },
      }),
  );
}

/** Writes new runs, given as JSON pairs of their ends in hexadecimal. */
export function insertRuns(): Statement<{ network: string; family: number; runs: string }, never> {
  return statement<{ network: string; family: number; runs: string }>()(
    database
      .insert(runs)
      .select(
        sql`select ${given("network")}, ${given("family")}, ${unhex(sql`value ->> 0`)}, ${unhex(sql`value ->> 1`)} from ${eachPairOf("runs")}`,
      ),
  );
}

/** Removes the runs that start at one of the addresses, given as a JSON list in hexadecimal. */
export function deleteRuns(): Statement<{ network: string; family: number; firsts: string }, never> {
  return statement<{ network: string; family: number; firsts: string }>()(
    database
      .delete(runs)
      .where(
        and(
          eq(runs.network, given("network")),
          eq(runs.family, given("family")),
          sql`${runs.first} in (select ${unhex(sql`value`)} from ${eachOf("firsts")})`,
        ),
      ),
  );
}

// cursors -----------------------------------------------------------------------------------------------------

export function cursorOf(): Statement<{ network: string; pool: string }, { last: Uint8Array }> {
  return statement<{ network: string; pool: string }>()(
    database
      .select({ last: cursors.last })
      .from(cursors)
      .where(and(eq(cursors.network, given("network")), eq(cursors.pool, given("pool")))),
    ["last"],
  );
}

export function putCursor(): Statement<{ network: string; pool: string; last: Uint8Array }, never> {
  return statement<{ network: string; pool: string; last: Uint8Array }>()(
    database
      .insert(cursors)
      .values({ network: given("network"), pool: given("pool"), last: given("last") })
      .onConflictDoUpdate({ target: [cursors.network, cursors.pool], set: { last: sql`excluded.last` } }),
  );
}

// attachments and their kernel objects --------------------------------------------------------------------------

export function putAttachment(): Statement<AttachmentRow, never> {
  return statement<AttachmentRow>()(
    database
      .insert(attachments)
      .values({
        network: given("network"),
        containerId: given("containerId"),
        ifname: given("ifname"),
        plugin: given("plugin"),
        podNamespace: given("podNamespace"),
        podName: given("podName"),
        netns: given("netns"),
        netnsInode: given("netnsInode"),
        bootId: given("bootId"),
        createdAtMs: given("createdAtMs"),
      })
      .onConflictDoUpdate({
        target: [attachments.network, attachments.containerId, attachments.ifname, attachments.plugin],
        set: {
          netns: sql`excluded.netns`,
          netnsInode: sql`excluded.netns_inode`,
          bootId: sql`excluded.boot_id`,
          createdAtMs: sql`excluded.created_at_ms`,
        },
      }),
  );
}

export function attachmentOf(): Statement<Entry, AttachmentRow> {
  return statement<Entry>()(
    database.select(ATTACHMENT).from(attachments).where(enteredBy(attachments)),
    ATTACHMENT_COLUMNS,
  );
}

export function allAttachments(): Statement<Empty, AttachmentRow> {
  return statement<Empty>()(
    database
      .select(ATTACHMENT)
      .from(attachments)
      .orderBy(asc(attachments.network), asc(attachments.createdAtMs)),
    ATTACHMENT_COLUMNS,
  );
}

/** What a plugin made for attachments of a network that are not among the valid ones, given as `containerId/ifname`. */
export function staleAttachments(): Statement<
  { network: string; plugin: string; valid: string },
  AttachmentRow
> {
  return statement<{ network: string; plugin: string; valid: string }>()(
    database
      .select(ATTACHMENT)
      .from(attachments)
      .where(
        and(
          eq(attachments.network, given("network")),
          eq(attachments.plugin, given("plugin")),
          isStale(attachments),
        ),
      ),
    ATTACHMENT_COLUMNS,
  );
}

/** The objects of `staleAttachments`. */
export function staleObjects(): Statement<{ network: string; plugin: string; valid: string }, ObjectRow> {
  return statement<{ network: string; plugin: string; valid: string }>()(
    database
      .select(OBJECT)
      .from(objects)
      .where(
        and(eq(objects.network, given("network")), eq(objects.plugin, given("plugin")), isStale(objects)),
      ),
    OBJECT_COLUMNS,
  );
}

export function attachmentCount(): Statement<{ network: string; plugin: string }, { attached: number }> {
  return statement<{ network: string; plugin: string }>()(
    database
      .select({ attached: count() })
      .from(attachments)
      .where(and(eq(attachments.network, given("network")), eq(attachments.plugin, given("plugin")))),
    ["attached"],
  );
}

/** What one plugin wrote down about attachments, given as JSON pairs. */
export function deleteAttachments(): Statement<{ network: string; plugin: string; owners: string }, never> {
  return statement<{ network: string; plugin: string; owners: string }>()(
    database
      .delete(attachments)
      .where(
        and(
          eq(attachments.network, given("network")),
          eq(attachments.plugin, given("plugin")),
          isOfOwners(attachments),
        ),
      ),
  );
}

/** What every plugin of the chain wrote down about them. */
export function deleteAttachmentsOfOwners(): Statement<{ network: string; owners: string }, never> {
  return statement<{ network: string; owners: string }>()(
    database
      .delete(attachments)
      .where(and(eq(attachments.network, given("network")), isOfOwners(attachments))),
  );
}

export function putObject(): Statement<ObjectRow, never> {
  return statement<ObjectRow>()(
    database
      .insert(objects)
      .values({
        network: given("network"),
        containerId: given("containerId"),
        ifname: given("ifname"),
        plugin: given("plugin"),
        kind: given("kind"),
        name: given("name"),
        detail: given("detail"),
      })
      .onConflictDoUpdate({
        target: [
          objects.network,
          objects.containerId,
          objects.ifname,
          objects.plugin,
          objects.kind,
          objects.name,
        ],
        set: { detail: sql`excluded.detail` },
      }),
  );
}

export function objectsOfEntry(): Statement<Entry, { kind: string; name: string; detail: string }> {
  return statement<Entry>()(
    database
      .select({ kind: objects.kind, name: objects.name, detail: objects.detail })
      .from(objects)
      .where(enteredBy(objects)),
    ["kind", "name", "detail"],
  );
}

/** The objects of one kind, of every entry. */
export function objectsOfKind(): Statement<{ kind: string }, ObjectRow> {
  return statement<{ kind: string }>()(
    database
      .select(OBJECT)
      .from(objects)
      .where(eq(objects.kind, given("kind"))),
    OBJECT_COLUMNS,
  );
}

/** How many attachments need an object. */
export function objectClaims(): Statement<{ kind: string; name: string }, { claims: number }> {
  return statement<{ kind: string; name: string }>()(
    database
      .select({ claims: count() })
      .from(objects)
      .where(and(eq(objects.kind, given("kind")), eq(objects.name, given("name")))),
    ["claims"],
  );
}

/** The plugins that have an entry about an attachment. */
export function ownerPlugins(): Statement<Owner, { plugin: string }> {
  return statement<Owner>()(
    database.select({ plugin: attachments.plugin }).from(attachments).where(ownedBy(attachments)),
    ["plugin"],
  );
}

/** The plugins that have an entry about any attachment of a network. */
export function networkPlugins(): Statement<{ network: string }, { plugin: string }> {
  return statement<{ network: string }>()(
    database
      .selectDistinct({ plugin: attachments.plugin })
      .from(attachments)
      .where(eq(attachments.network, given("network"))),
    ["plugin"],
  );
}

/** The entries that need an object. */
export function objectClaimants(): Statement<{ kind: string; name: string }, AttachmentRow> {
  return statement<{ kind: string; name: string }>()(
    database
      .select(ATTACHMENT)
      .from(objects)
      .innerJoin(
        attachments,
        and(
          eq(attachments.network, objects.network),
          eq(attachments.containerId, objects.containerId),
          eq(attachments.ifname, objects.ifname),
          eq(attachments.plugin, objects.plugin),
        ),
      )
      .where(and(eq(objects.kind, given("kind")), eq(objects.name, given("name")))),
    ATTACHMENT_COLUMNS,
  );
}

/** The objects that one plugin wrote down for attachments, given as JSON pairs. */
export function objectsOfOwners(): Statement<{ network: string; plugin: string; owners: string }, ObjectRow> {
  return statement<{ network: string; plugin: string; owners: string }>()(
    database
      .select(OBJECT)
      .from(objects)
      .where(
        and(eq(objects.network, given("network")), eq(objects.plugin, given("plugin")), isOfOwners(objects)),
      ),
    OBJECT_COLUMNS,
  );
}

export function deleteObjects(): Statement<{ network: string; plugin: string; owners: string }, never> {
  return statement<{ network: string; plugin: string; owners: string }>()(
    database
      .delete(objects)
      .where(
        and(eq(objects.network, given("network")), eq(objects.plugin, given("plugin")), isOfOwners(objects)),
      ),
  );
}

/** Those of every plugin of the chain. */
export function deleteObjectsOfOwners(): Statement<{ network: string; owners: string }, never> {
  return statement<{ network: string; owners: string }>()(
    database.delete(objects).where(and(eq(objects.network, given("network")), isOfOwners(objects))),
  );
}

/** Those of the objects, given as JSON pairs of kind and name, that no attachment needs. */
export function unclaimedObjects(): Statement<{ objects: string }, { kind: string; name: string }> {
  return statement<{ objects: string }>()(
    database
      .select({ kind: sql<string>`value ->> 0`.as("kind"), name: sql<string>`value ->> 1`.as("name") })
      .from(eachPairOf("objects"))
      .where(
        sql`not exists (select 1 from ${objects} where ${objects.kind} = value ->> 0 and ${objects.name} = value ->> 1)`,
      ),
    ["kind", "name"],
  );
}

// heartbeat ---------------------------------------------------------------------------------------------------

export function beat(): Statement<{ bootId: string; atMs: number }, never> {
  const inFile = database
    .insert(heartbeat)
    .values({ id: 1, bootId: given("bootId"), atMs: given("atMs") })
    .onConflictDoUpdate({
      target: heartbeat.id,
      set: { bootId: sql`excluded.boot_id`, atMs: sql`excluded.at_ms` },
    });
  // a row a node
  const shared = sql`insert into ${heartbeat} (boot_id, at_ms) values (${given("bootId")}, ${given("atMs")}) on conflict (node) do update set boot_id = excluded.boot_id, at_ms = excluded.at_ms`;
  return statement<{ bootId: string; atMs: number }>()(spelled(inFile.getSQL(), shared));
}

// events ------------------------------------------------------------------------------------------------------

/** Writes a row of the ring; its number is the next one. */
export function insertEvent(): Statement<Omit<EventRow, "sequence">, never> {
  return statement<Omit<EventRow, "sequence">>()(
    database.insert(events).values({
      atMs: given("atMs"),
      durationUs: given("durationUs"),
      verb: given("verb"),
      plugin: given("plugin"),
      network: given("network"),
      containerId: given("containerId"),
      ifname: given("ifname"),
      netns: given("netns"),
      podNamespace: given("podNamespace"),
      podName: given("podName"),
      addresses: given("addresses"),
      code: given("code"),
      message: given("message"),
      traceId: given("traceId"),
      spanId: given("spanId"),
      parentSpanId: given("parentSpanId"),
      traceState: given("traceState"),
      baggage: given("baggage"),
    }),
  );
}

/** The rows after a number, the oldest first. */
export function eventsAfter(): Statement<{ sequence: number }, EventRow> {
  return statement<{ sequence: number }>()(
    database
      .select(EVENT)
      .from(events)
      .where(gt(events.sequence, given("sequence")))
      .orderBy(asc(events.sequence)),
    Object.keys(EVENT),
  );
}
