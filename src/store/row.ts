// How values go into a statement and come out of its rows, whatever the engine: parameters by name, columns by place.
import type { SqlValue, Statement } from "../../db/statement.ts";

/** Returns the values of a statement's parameters in their order. Throws TypeError for one that no column can hold. */
export function bindings<Parameters extends object>(
  statement: Statement<Parameters, unknown>,
  parameters: Parameters,
): SqlValue[] {
  const named = new Map<string, unknown>(Object.entries(parameters));
  return statement.parameters.map((parameter) => {
    if ("value" in parameter) return parameter.value;
    const value = named.get(parameter.name);
    if (!isSqlValue(value)) {
      throw new TypeError(`query parameter ${parameter.name} is ${String(value)}: ${statement.sql}`);
    }
    return value;
  });
}

function isSqlValue(value: unknown): value is SqlValue {
  return (
    value === null || typeof value === "string" || typeof value === "number" || value instanceof Uint8Array
  );
}

/** Returns a row as an object. The statement's type was made from the same query as its columns, so it has that type. */
export function rowOf<Parameters, Row>(
  statement: Statement<Parameters, Row>,
  values: readonly unknown[],
): Row {
  const row: Record<string, unknown> = {};
  // ten thousand rows are read before the engine would make entries() fast
  let index = 0;
  for (const column of statement.columns) row[column] = values[index++];
  return row as Row;
}
