// A query as the store runs it: SQL text, the order of its parameters and the names of its columns. It is made
// from a drizzle query at build time (a macro inlines it), because drizzle at run time costs 6 ms a process.
import type { SQL, SQLWrapper } from "drizzle-orm";
import { is, Param, Placeholder } from "drizzle-orm";
import { PgDialect } from "drizzle-orm/pg-core";
import { SQLiteSyncDialect } from "drizzle-orm/sqlite-core";

/** A value that a parameter may have and a column may hold. */
export type SqlValue = string | number | Uint8Array | null;

/** A query with named parameters; its type says what it takes and what its rows look like. */
export interface Statement<Parameters, Row> {
  readonly sql: string;
  /** The parameters in the order of the question marks: a name, or a value that is always the same. */
  readonly parameters: readonly ({ readonly name: string } | { readonly value: SqlValue })[];
  /** The names of the columns in their order; empty for a query that returns no rows. */
  readonly columns: readonly string[];
  /** Never there; it ties the types to the text. */
  readonly types?: { readonly parameters: Parameters; readonly row: Row };
}

/** In whose words queries are written: names and parameters look different, and a few functions have other names. */
const DIALECTS = { sqlite: new SQLiteSyncDialect(), postgres: new PgDialect() };

let dialect: keyof typeof DIALECTS = "sqlite";

/** Returns what `make` makes, written for PostgreSQL. */
export function inPostgres<T>(make: () => T): T {
  dialect = "postgres";
  try {
    return make();
  } finally {
    dialect = "sqlite";
  }
}

/** Returns the piece of a query that the two engines spell differently, as the one that is asked for spells it. */
export function spelled<T extends SQL | undefined>(sqlite: T, postgres: T): T {
  return dialect === "sqlite" ? sqlite : postgres;
}

type RowOf<B> = B extends { readonly _: { readonly result: readonly (infer Row)[] } } ? Row : never;

function parameterOf(parameter: unknown): { name: string } | { value: SqlValue } {
  if (is(parameter, Param)) return parameterOf(parameter.value);
  if (is(parameter, Placeholder)) return { name: String(parameter.name) };
  if (parameter === null || typeof parameter === "string" || typeof parameter === "number")
    return { value: parameter };
  throw new TypeError(`a query can't be built with the parameter ${String(parameter)}`);
}

/** Returns the statement of a drizzle query. Called with the type of its parameters first: `statement<P>()(query)`. */
export function statement<Parameters>() {
  return <B extends SQLWrapper>(
    builder: B,
    columns: readonly string[] = [],
  ): Statement<Parameters, RowOf<B>> => {
    const { sql: text, params } = DIALECTS[dialect].sqlToQuery(builder.getSQL());
    // the builder is SQLite's and names the table there too, where PostgreSQL takes a column only
    const sql =
      dialect === "postgres"
        ? text.replace(/on conflict \([^)]*\)/, (target) => target.replaceAll(/"\w+"\."/g, '"'))
        : text;
    return { sql, parameters: params.map(parameterOf), columns };
  };
}
