// A query as the store runs it: SQL text, the order of its parameters and the names of its columns. It is made
// from a drizzle query at build time (a macro inlines it), because drizzle at run time costs 6 ms a process.
import type { SQLWrapper } from "drizzle-orm";
import { is, Param, Placeholder } from "drizzle-orm";

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

interface Builder extends SQLWrapper {
  toSQL(): { readonly sql: string; readonly params: readonly unknown[] };
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
  return <B extends Builder>(
    builder: B,
    columns: readonly string[] = [],
  ): Statement<Parameters, RowOf<B>> => {
    const { sql, params } = builder.toSQL();
    return { sql, parameters: params.map(parameterOf), columns };
  };
}
