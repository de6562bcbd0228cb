// The queries about leases: which address is whose, which runs of addresses are held, and which was given out last. They become
// SQL text at build time, as those in queries.ts do.
import { and, asc, count, desc, eq, gt, isNotNull, isNull, lte, ne, or, type SQL, sql } from "drizzle-orm";
import { database, given } from "./builder.ts";
import { type Empty, eachOf, eachPairOf, isStale, type Owner, own, ownedBy, unhex } from "./conditions.ts";
import { cursors, leases, runs } from "./schema.ts";
import { type Statement, spelled, statement } from "./statement.ts";

type Row<Table extends { readonly $inferSelect: object }> = Table["$inferSelect"];
/** A lease as the store holds it. */
export type LeaseRow = Row<typeof leases>;
/** What is told of a lease that is released. */
export type ReleasedRow = Pick<LeaseRow, keyof typeof RELEASED>;
/** A run of held addresses as the store holds it. */
export type RunRow = Row<typeof runs>;
/** A lease with the node that has it; empty in a store that is the node's own. */
export type NodeLeaseRow = LeaseRow & { readonly node: string };

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

const held = isNull(leases.releasedAtMs);

const nodeOf = () => spelled(sql<string>`''`, sql<string>`node`).as("node");

// leases ------------------------------------------------------------------------------------------------------

/** The lease of an address, also one that was released and rests. */
export function leaseAt(): Statement<{ network: string; address: Uint8Array }, NodeLeaseRow> {
  return statement<{ network: string; address: Uint8Array }>()(
    database
      .select({ ...LEASE, node: nodeOf() })
      .from(leases)
      .where(and(eq(leases.network, given("network")), eq(leases.address, given("address")))),
    [...LEASE_COLUMNS, "node"],
  );
}

/** The leases of an attachment, in the order in which they were asked for. */
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

/** Every lease that is held, by network and address; of a shared store those of this node. */
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

/** How many addresses of a network are held; of a shared store by all nodes. */
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

/** Writes a lease; fails where the address has one. */
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

/** Removes the leases of addresses, given as a JSON list in hexadecimal. */
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

/** The address that was given out last from a pool; no row before the first. */
export function cursorOf(): Statement<{ network: string; pool: string }, { last: Uint8Array }> {
  return statement<{ network: string; pool: string }>()(
    database
      .select({ last: cursors.last })
      .from(cursors)
      .where(and(eq(cursors.network, given("network")), eq(cursors.pool, given("pool")))),
    ["last"],
  );
}

/** Says which address of a pool was given out last. */
export function putCursor(): Statement<{ network: string; pool: string; last: Uint8Array }, never> {
  return statement<{ network: string; pool: string; last: Uint8Array }>()(
    database
      .insert(cursors)
      .values({ network: given("network"), pool: given("pool"), last: given("last") })
      .onConflictDoUpdate({ target: [cursors.network, cursors.pool], set: { last: sql`excluded.last` } }),
  );
}
