// Which engine has the leases in tests that hold for both: the node's own file, or, where WARREN_TEST_SERVER says so, a
// PostgreSQL server, with a schema of its own for each test (tests/e2e/both-engines.test.ts runs them so).
import { sharedStore } from "../../src/ipam/shared-store.ts";
import type { Store } from "../../src/store/store.ts";
import type { Json } from "./world.ts";

/** A server as a test hands it to another process. */
export interface SharedServer {
  /** The settings of the key `store.postgres`, but for the schema. */
  readonly settings: Json;
  readonly password: string;
}

const said = process.env.WARREN_TEST_SERVER;

/** The server that has the leases; undefined where a file has them. */
export const SHARED: SharedServer | undefined = said === undefined ? undefined : JSON.parse(said);

/** What a refusal adds to the holder of an address in a shared store. */
export const ON_NODE = SHARED === undefined ? "" : " on node node1";

/** What a test does behind a store's back. */
export interface LookedInto extends Disposable {
  query<Row = unknown>(sql: string): { values(): unknown[][]; all(): Row[] };
  run(sql: string): unknown;
}

function schemaOf(dataDir: string): string {
  return `test_${Bun.hash(dataDir).toString(36)}`;
}

/** The key `store` for a node whose own store is in that directory. */
export function sharedConfig(dataDir: string): Json {
  return { postgres: { ...SHARED?.settings, schema: schemaOf(dataDir) } };
}

/** The store that such a config has. */
export function sharedStoreOf(dataDir: string): Store {
  return sharedStore(sharedConfig(dataDir), dataDir).store;
}

/** Opens its tables, by a client that is not ours, and waits for each answer. */
export function sharedDatabase(dataDir: string): LookedInto {
  const { host, user, database } = SHARED?.settings ?? {};
  const psql = (sql: string): string => {
    const schema = schemaOf(dataDir);
    const session = `SET search_path TO ${schema}, public; SET warren.node TO 'node1';`;
    const child = Bun.spawnSync(
      [
        ...["psql", "--host", `${host}`, "--username", `${user}`, "--dbname", `${database}`, "--no-psqlrc"],
        ...["--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--command", session],
        ...["--command", sql],
      ],
      { env: { ...process.env, PGPASSWORD: SHARED?.password } },
    );
    if (child.exitCode !== 0) throw new Error(child.stderr.toString());
    return child.stdout.toString();
  };
  const rows = (sql: string): Record<string, unknown>[] =>
    JSON.parse(psql(`SELECT coalesce(json_agg(row_to_json(rows)), '[]') FROM (${sql}) AS rows`));
  const plain = (value: unknown): unknown =>
    typeof value === "string" && value.startsWith("\\x") ? Uint8Array.fromHex(value.slice(2)) : value;
  const all = (sql: string) =>
    rows(sql).map((row) =>
      Object.fromEntries(Object.entries(row).map(([key, value]) => [key, plain(value)])),
    );
  return {
    // what the rows are is the test's to say, as with SQLite's own client
    query: <Row>(sql: string) => ({
      all: () => all(sql) as Row[],
      values: () => all(sql).map((row) => Object.values(row)),
    }),
    run: psql,
    [Symbol.dispose]: () => undefined,
  };
}
