// What queries of several tables ask alike, in the words of both databases: whose a row is, and whether it is in a list. Like
// the queries they exist at build time only.
import { and, eq, type SQL, sql } from "drizzle-orm";
import { given } from "./builder.ts";
import { type attachments, leases, type objects } from "./schema.ts";
import { spelled } from "./statement.ts";

/** Names one attachment in the store. */
export interface Owner {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

/** Names what one plugin of a chain made for an attachment. */
export interface Entry extends Owner {
  readonly plugin: string;
}

/** The parameters of a query that has none. */
export type Empty = Readonly<Record<never, never>>;

/** True in SQL if this node made the row: in a file it made them all. */
export const own = () =>
  spelled<SQL | undefined>(undefined, sql`${leases}.node = current_setting('warren.node')`);

/** The rows of a JSON list given as a parameter; the text of each is `value`. */
export function eachOf(list: string): SQL {
  return spelled(
    sql`json_each(${given(list)})`,
    sql`jsonb_array_elements_text(cast(${given(list)} as jsonb)) as listed(value)`,
  );
}

/** The rows of a JSON list of pairs given as a parameter; those of each are `value ->> 0` and `value ->> 1`. */
export function eachPairOf(list: string): SQL {
  return spelled(
    sql`json_each(${given(list)})`,
    sql`jsonb_array_elements(cast(${given(list)} as jsonb)) as listed(value)`,
  );
}

/** The bytes of a text in hexadecimal. */
export function unhex(text: SQL): SQL {
  return spelled(sql`unhex(${text})`, sql`decode(${text}, 'hex')`);
}

/** True in SQL if the row is of the attachment that is given. */
export function ownedBy(table: typeof leases | typeof attachments | typeof objects): SQL | undefined {
  return and(
    eq(table.network, given("network")),
    eq(table.containerId, given("containerId")),
    eq(table.ifname, given("ifname")),
  );
}

/** True in SQL if the row is of the entry that is given. */
export function enteredBy(table: typeof attachments | typeof objects): SQL | undefined {
  return and(ownedBy(table), eq(table.plugin, given("plugin")));
}

/**
 * True in SQL if the row's attachment is not in the JSON list of `containerId/ifname` given as `valid`. As texts a list
 * is five times as fast to read as pairs are, and among pairs, which could be null, SQLite would look at each in turn.
 */
export function isStale(table: typeof leases | typeof attachments | typeof objects): SQL {
  return sql`${table.containerId} || '/' || ${table.ifname} not in (select value from ${eachOf("valid")})`;
}

/** True in SQL if the row's attachment is in the JSON list of `[containerId, ifname]` pairs given as `owners`. */
export function isOfOwners(table: typeof attachments | typeof objects): SQL {
  return sql`(${table.containerId}, ${table.ifname}) in (select value ->> 0, value ->> 1 from ${eachPairOf("owners")})`;
}
