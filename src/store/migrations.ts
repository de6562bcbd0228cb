// The schema's versions: which one a database has, and how an older one becomes the one that this executable writes.
// Every transaction looks, because another version of the executable may be at work on the same store.
import type { Database } from "bun:sqlite";
import { migrationsOf } from "../../db/migrations.ts" with { type: "macro" };
import { StoreError } from "./store.ts";

/** Each migration's SQL; applying number N takes the schema from version N to N + 1. Only ever append. */
export const MIGRATIONS: readonly string[] = migrationsOf("migrations");

/** The version of the schema that this executable writes. */
export const SCHEMA_VERSION = MIGRATIONS.length;

/** Returns the version of a database's schema; 0 for an empty one. */
export function schemaVersion(database: Database): number {
  const version = database.query("PRAGMA user_version").values()[0]?.[0];
  return typeof version === "number" ? version : 0;
}

/** Throws StoreError for a schema that only a later executable knows. */
export function refuseNewer(version: number, location: string, known = SCHEMA_VERSION): void {
  if (version <= known) return;
  throw new StoreError(
    location,
    "newer schema",
    `the store ${location} has schema version ${version}, this executable knows versions up to ${known}`,
    "upgrade Warren to the version that wrote the store",
  );
}

/**
 * Brings the schema of an older store up to date, in one transaction; of callers that meet there the first does it.
 * Throws SQLiteError, and StoreError for a newer schema.
 */
export function migrate(database: Database, location: string, migrations = MIGRATIONS): void {
  // IMMEDIATE: it asks for the right to write before it reads, and so waits for others
  database.run("BEGIN IMMEDIATE");
  try {
    const version = schemaVersion(database);
    refuseNewer(version, location, migrations.length);
    for (const sql of migrations.slice(version)) database.run(sql);
    database.run(`PRAGMA user_version=${migrations.length}`);
    database.run("COMMIT");
  } catch (error) {
    if (database.inTransaction) database.run("ROLLBACK");
    throw error;
  }
}
