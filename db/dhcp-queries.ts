// The queries about leases of DHCP servers, which become SQL text at build time as those in queries.ts do.
import { and, asc, eq, getTableColumns, type SQL, sql } from "drizzle-orm";
import { database, given } from "./builder.ts";
import type { Empty, Owner } from "./conditions.ts";
import { dhcpLeases } from "./schema.ts";
import { type Statement, statement } from "./statement.ts";

/** A lease as the store holds it. */
export type DhcpLeaseRow = (typeof dhcpLeases)["$inferSelect"];

/** What a confirmation or a renewal changes of a lease. */
export type DhcpTermsRow = Owner &
  Pick<
    DhcpLeaseRow,
    | "serverHardwareAddress"
    | "acknowledgement"
    | "server"
    | "renewAtUptimeMs"
    | "rebindAtUptimeMs"
    | "expiresAtUptimeMs"
  >;

const LEASE = getTableColumns(dhcpLeases);
const LEASE_COLUMNS = Object.keys(LEASE);

const ofOwner = (): SQL | undefined =>
  and(
    eq(dhcpLeases.network, given("network")),
    eq(dhcpLeases.containerId, given("containerId")),
    eq(dhcpLeases.ifname, given("ifname")),
  );

/** Writes a lease down, in the place of one that the attachment had before. */
export function putDhcpLease(): Statement<DhcpLeaseRow, never> {
  const { network, containerId, ifname, ...others } = LEASE;
  return statement<DhcpLeaseRow>()(
    database
      .insert(dhcpLeases)
      .values({
        network: given("network"),
        containerId: given("containerId"),
        ifname: given("ifname"),
        podNamespace: given("podNamespace"),
        podName: given("podName"),
        netns: given("netns"),
        netnsInode: given("netnsInode"),
        bootId: given("bootId"),
        createdAtMs: given("createdAtMs"),
        hardwareAddress: given("hardwareAddress"),
        serverHardwareAddress: given("serverHardwareAddress"),
        options: given("options"),
        address: given("address"),
        server: given("server"),
        acknowledgement: given("acknowledgement"),
        renewAtUptimeMs: given("renewAtUptimeMs"),
        rebindAtUptimeMs: given("rebindAtUptimeMs"),
        expiresAtUptimeMs: given("expiresAtUptimeMs"),
        lost: given("lost"),
      })
      .onConflictDoUpdate({
        target: [network, containerId, ifname],
        set: Object.fromEntries(
          Object.entries(others).map(([key, column]) => [key, sql.raw(`excluded.${column.name}`)]),
        ),
      }),
  );
}

/** What a server confirmed or renewed. */
export function updateDhcpLease(): Statement<DhcpTermsRow, never> {
  return statement<DhcpTermsRow>()(
    database
      .update(dhcpLeases)
      .set({
        serverHardwareAddress: sql`${given("serverHardwareAddress")}`,
        acknowledgement: sql`${given("acknowledgement")}`,
        server: sql`${given("server")}`,
        renewAtUptimeMs: sql`${given("renewAtUptimeMs")}`,
        rebindAtUptimeMs: sql`${given("rebindAtUptimeMs")}`,
        expiresAtUptimeMs: sql`${given("expiresAtUptimeMs")}`,
      })
      .where(ofOwner()),
  );
}

/** The container has the address no more. */
export function loseDhcpLease(): Statement<Owner & Pick<DhcpLeaseRow, "lost">, never> {
  return statement<Owner & Pick<DhcpLeaseRow, "lost">>()(
    database
      .update(dhcpLeases)
      .set({ lost: sql`${given("lost")}` })
      .where(ofOwner()),
  );
}

/** Forgets a lease. */
export function deleteDhcpLease(): Statement<Owner, never> {
  return statement<Owner>()(database.delete(dhcpLeases).where(ofOwner()));
}

/** The lease of an attachment. */
export function dhcpLeaseOf(): Statement<Owner, DhcpLeaseRow> {
  return statement<Owner>()(database.select(LEASE).from(dhcpLeases).where(ofOwner()), LEASE_COLUMNS);
}

/** All leases, by their networks. */
export function allDhcpLeases(): Statement<Empty, DhcpLeaseRow> {
  return statement<Empty>()(
    database.select(LEASE).from(dhcpLeases).orderBy(asc(dhcpLeases.network), asc(dhcpLeases.createdAtMs)),
    LEASE_COLUMNS,
  );
}
