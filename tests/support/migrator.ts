// A Warren of the version to come: one that knows a migration more than this one. Run as a program it brings the store
// at the path that it is given up to its own schema.
import { Database } from "bun:sqlite";
import { MIGRATIONS, migrate } from "../../src/store/migrations.ts";

/** Twice applied it fails. */
export const NEXT_MIGRATION =
  "ALTER TABLE leases ADD COLUMN colour TEXT; CREATE TABLE colours (name TEXT) STRICT;";

if (import.meta.main) {
  const [path = ""] = process.argv.slice(2);
  using database = new Database(path, { readwrite: true, create: false });
  database.run("PRAGMA busy_timeout=10000");
  migrate(database, path, [...MIGRATIONS, NEXT_MIGRATION]);
}
