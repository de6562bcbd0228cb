// The queries about attachments and their kernel objects, calls, and the heartbeat, written in drizzle. Each function runs at
// build time only: import it `with { type: "macro" }`, and what stays in the executable is the SQL text.
import { and, asc, count, eq, gt, sql } from "drizzle-orm";
import { database, given } from "./builder.ts";
import {
  type Empty,
  type Entry,
  eachPairOf,
  enteredBy,
  isOfOwners,
  isStale,
  type Owner,
  ownedBy,
} from "./conditions.ts";
import { attachments, events, heartbeat, objects } from "./schema.ts";
import { type Statement, spelled, statement } from "./statement.ts";

type Row<Table extends { readonly $inferSelect: object }> = Table["$inferSelect"];
/** An attachment as the store holds it. */
export type AttachmentRow = Row<typeof attachments>;
/** A kernel object of an attachment as the store holds it. */
export type ObjectRow = Row<typeof objects>;
/** A call as the store remembers it. */
export type EventRow = Row<typeof events>;

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

// attachments and their kernel objects --------------------------------------------------------------------------

/** Writes down what a plugin has of an attachment, over what it had. */
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

/** What a plugin has of an attachment. */
export function attachmentOf(): Statement<Entry, AttachmentRow> {
  return statement<Entry>()(
    database.select(ATTACHMENT).from(attachments).where(enteredBy(attachments)),
    ATTACHMENT_COLUMNS,
  );
}

/** What every plugin has of every attachment, by network, the oldest first. */
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

/** How many attachments of a network a plugin has written down. */
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

/** Writes down an object of the kernel that an attachment needs. */
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

/** The objects that a plugin wrote down for an attachment. */
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

/** Forgets the objects that a plugin wrote down for attachments, given as a JSON list. */
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

/**
 * Notes that the store could be written to: in a file there is one row for that, in a shared store one a node.
 */
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
