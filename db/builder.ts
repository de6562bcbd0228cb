// What queries are written with: drizzle's builder on a driver that has no database behind it, and the parameters of a
// query by their names. It is used at build time only.
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/sqlite-proxy";

/** Builds queries, and runs none. */
export const database = drizzle(async () => ({ rows: [] }));

/** A parameter of this name. */
export const given = sql.placeholder;
