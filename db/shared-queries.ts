// The queries of the tables that many nodes can share, as PostgreSQL takes them. The same functions make both texts; each
// is found by the other's, so that the store of a single node carries nothing for it.
import {
  coolingLeases,
  coolLeases,
  coolStaleLeases,
  cursorOf,
  deleteLeases,
  deleteRuns,
  deleteStaleLeases,
  heldCount,
  heldLeases,
  heldLeasesOfNodes,
  insertLease,
  insertRuns,
  leaseAt,
  leasesOfEarlierBoots,
  leasesOfOwner,
  moveLeases,
  putCursor,
  putRun,
  restFromNow,
  runAtOrBefore,
  runsHolding,
  runsOfNetwork,
  staleLeases,
} from "./lease-queries.ts";
import * as nodeQueries from "./node-queries.ts";
import { beat } from "./queries.ts";
import { inPostgres, type Statement } from "./statement.ts";

const SHARED: readonly (() => Statement<object, unknown>)[] = [
  ...[beat, leaseAt, leasesOfOwner, heldLeases, heldLeasesOfNodes, heldCount, staleLeases, deleteStaleLeases],
  ...[coolStaleLeases, leasesOfEarlierBoots, coolingLeases, insertLease, deleteLeases, coolLeases],
  ...[restFromNow, moveLeases, runAtOrBefore, runsOfNetwork, runsHolding, putRun, insertRuns, deleteRuns],
  ...[cursorOf, putCursor],
];

/**
 * Returns PostgreSQL's statement of each query of the shared tables, by SQLite's text of it; by its own where the table is in
 * PostgreSQL only. Runs at build time.
 */
export function sharedStatements(): Readonly<Record<string, Statement<object, unknown>>> {
  const statements = [
    ...SHARED.map((make) => [make().sql, inPostgres(make)] as const),
    ...Object.values(nodeQueries).map((make) => [make().sql, make()] as const),
  ];
  return Object.fromEntries(statements);
}
