// The versions of the schema that nodes share. Whoever meets an older one, or none, brings it up to date under a lock of the
// database, so that of many nodes that start at once the first does it and the others find it done.
import { migrationsOf } from "../../db/migrations.ts" with { type: "macro" };
import { lockQuery } from "./postgres-queue.ts";
import { SharedStoreError } from "./store.ts";

/** Each migration's SQL; applying number N takes the schema from version N to N + 1. Only ever append. */
const MIGRATIONS: readonly string[] = migrationsOf("postgres");

/** The version of the schema that this executable writes. */
export const SHARED_SCHEMA_VERSION = MIGRATIONS.length;

/** Runs statements without parameters and returns the rows of the last one that has any. */
export type Send = (sql: string) => Promise<readonly (readonly unknown[])[]>;

/** Throws SharedStoreError for a schema that only a later executable knows. */
export function refuseNewerSchema(version: number, location: string): void {
  if (version <= SHARED_SCHEMA_VERSION) return;
  throw new SharedStoreError(
    location,
    "newer schema",
    `the ${location} has schema version ${version}, this executable knows versions up to ${SHARED_SCHEMA_VERSION}`,
    "upgrade Warren on this node to the version that the other nodes have",
  );
}

/** Makes the schema, or brings it up to date. `schema` is a plain identifier. Rejects as `send` does. */
export async function migrateShared(send: Send, schema: string, location: string): Promise<void> {
  // all of it in two answers where it is done already: the others who found nothing wait behind this one
  const hasTable = `SELECT to_regclass('"${schema}".schema_version') IS NOT NULL`;
  const [table] = await send(`BEGIN; ${lockQuery(`'warren schema ${schema}'`)}; ${hasTable}`);
  if (table?.[0] !== true) {
    // not IF NOT EXISTS: that asks for the right to make one also where it is there
    const [found] = await send(`SELECT to_regnamespace('"${schema}"') IS NOT NULL`);
    if (found?.[0] !== true) await send(`CREATE SCHEMA "${schema}"`);
    await send(
      `CREATE TABLE "${schema}".schema_version (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL); INSERT INTO "${schema}".schema_version VALUES (1, 0)`,
    );
  }
  const [row] = await send(`SET LOCAL search_path TO "${schema}"; SELECT version FROM schema_version`);
  const version = Number(row?.[0] ?? 0);
  refuseNewerSchema(version, location);
  for (const sql of MIGRATIONS.slice(version)) await send(sql);
  if (version < MIGRATIONS.length) await send(`UPDATE schema_version SET version = ${MIGRATIONS.length}`);
  await send("COMMIT");
}
