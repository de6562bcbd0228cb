// db/schema.ts describes what the migrations make: the same tables, columns, types, keys and indexes. The queries
// are written against the one and run against the other.
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { is } from "drizzle-orm";
import { getTableConfig, SQLiteColumn, SQLiteSyncDialect, SQLiteTable } from "drizzle-orm/sqlite-core";
import * as leaseQueries from "../../../db/lease-queries.ts";
import * as pairQueries from "../../../db/pair-queries.ts";
import * as queries from "../../../db/queries.ts";
import * as releaseQueries from "../../../db/release-queries.ts";
import * as schema from "../../../db/schema.ts";
import { sharedStatements } from "../../../db/shared-queries.ts";
import { SCHEMA_VERSION } from "../../../src/store/migrations.ts";

const MIGRATIONS = resolve(import.meta.dir, "../../../db/migrations");

function migrated(): Database {
  const database = new Database(":memory:");
  for (const file of readdirSync(MIGRATIONS).sort())
    database.run(readFileSync(join(MIGRATIONS, file), "utf8"));
  return database;
}

interface Index {
  readonly name: string;
  readonly unique: boolean;
  readonly columns: readonly string[];
  readonly where: string | undefined;
}

interface Description {
  readonly columns: readonly { name: string; type: string; notNull: boolean }[];
  readonly primaryKey: readonly string[];
  readonly indexes: readonly Index[];
}

/** SQL without the spelling that says nothing: quotes, case, and the table before a column. */
function plain(sql: string): string {
  return sql
    .toLowerCase()
    .replaceAll('"', "")
    .replace(/\b[a-z_]+\./g, "")
    .replace(/\s+/g, " ")
    .trim();
}

function byName<T extends { readonly name: string }>(list: readonly T[]): T[] {
  return list.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function made(database: Database, table: string): Description {
  const columns = database
    .query<{ name: string; type: string; notnull: number; pk: number }, [string]>(
      'SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?)',
    )
    .all(table);
  const indexes = database
    .query<{ name: string; unique: number; sql: string }, [string]>(
      "SELECT il.name, il.\"unique\", m.sql FROM pragma_index_list(?) AS il JOIN sqlite_master AS m ON m.name = il.name WHERE il.origin = 'c'",
    )
    .all(table);
  const key = columns.filter(({ pk }) => pk > 0).sort((a, b) => a.pk - b.pk);
  return {
    // an INTEGER PRIMARY KEY can't be null, though the pragma doesn't say so
    columns: columns.map(({ name, type, notnull, pk }) => ({ name, type, notNull: notnull === 1 || pk > 0 })),
    primaryKey: key.map(({ name }) => name),
    indexes: byName(
      indexes.map(({ name, unique, sql }) => ({
        name,
        unique: unique === 1,
        columns: database
          .query<{ name: string }, [string]>("SELECT name FROM pragma_index_info(?)")
          .all(name)
          .map((column) => column.name),
        where: /where (.*)$/is.exec(plain(sql))?.[1],
      })),
    ),
  };
}

function described(table: SQLiteTable): Description {
  const { columns, primaryKeys, indexes } = getTableConfig(table);
  const own = columns.filter(({ primary }) => primary).map(({ name }) => name);
  return {
    columns: columns.map((column) => ({
      name: column.name,
      type: column.getSQLType().toUpperCase(),
      notNull: column.notNull,
    })),
    primaryKey: own.length > 0 ? own : (primaryKeys[0]?.columns.map(({ name }) => name) ?? []),
    indexes: byName(
      indexes.map(({ config }) => ({
        name: config.name,
        unique: config.unique,
        columns: config.columns.map((column) => (is(column, SQLiteColumn) ? column.name : "an expression")),
        where:
          config.where === undefined
            ? undefined
            : plain(new SQLiteSyncDialect().sqlToQuery(config.where).sql),
      })),
    ),
  };
}

const TABLES = new Map(
  Object.values(schema)
    .filter((one) => is(one, SQLiteTable))
    .map((table) => [getTableConfig(table).name, table]),
);

test("the migrations make exactly the tables that the schema describes", () => {
  using database = migrated();
  const names = database
    .query("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
    .values();
  expect(names.flat()).toEqual([...TABLES.keys()].sort());
  expect(readdirSync(MIGRATIONS)).toHaveLength(SCHEMA_VERSION);
});

test.each([...TABLES])(
  "table %s has the columns, key and indexes that the schema describes",
  (name, table) => {
    using database = migrated();
    expect(made(database, name)).toEqual(described(table));
  },
);

test.each(Object.entries({ ...queries, ...leaseQueries, ...pairQueries, ...releaseQueries }))(
  "the query %s runs on what the migrations make, with the columns it names",
  (_name, query) => {
    using database = migrated();
    const { sql, columns } = query();
    const prepared = database.prepare(sql);
    expect(prepared.columnNames.length).toBe(columns.length);
    // each row is read by position, so every name has to stand at its own column
    for (const [at, column] of columns.entries()) {
      const snake = column.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      expect([snake, "count(*)"]).toContain(prepared.columnNames[at] ?? "nothing");
    }
  },
);

test("X-30 every query of the tables that nodes share has PostgreSQL's words, and no other has", () => {
  const shared = sharedStatements();
  const all: Readonly<Record<string, () => { sql: string }>> = {
    ...queries,
    ...leaseQueries,
    ...pairQueries,
    ...releaseQueries,
  };
  for (const [name, query] of Object.entries(all)) {
    const { sql } = query();
    const touches = /"(?:leases|runs|cursors|heartbeat)"/.test(sql);
    expect([name, Object.hasOwn(shared, sql)]).toEqual([name, touches]);
  }
  for (const { sql, parameters } of Object.values(shared)) {
    expect(sql).not.toMatch(/json_each|unhex|indexed by|\?|instr/);
    // each parameter is there once, in the order of its number
    const numbers = [...sql.matchAll(/\$(\d+)/g)].map(([, number]) => Number(number));
    expect(numbers).toEqual(parameters.map((_, index) => index + 1));
  }
});
