// Two versions of the executable on one store: the newer one brings the schema up to date, once, whoever else is at
// work, and the older one says so and touches nothing.
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { beat } from "../../../src/store/heartbeat.ts";
import { MIGRATIONS, migrate, SCHEMA_VERSION } from "../../../src/store/migrations.ts";
import { WARREN } from "../../support/sandbox.ts";
import { TestHost } from "../../support/world.ts";

const MIGRATOR = join(import.meta.dir, "../../support/migrator.ts");

async function status(host: TestHost): Promise<string> {
  const child = Bun.spawn([`${WARREN}-ipam`], {
    env: { CNI_COMMAND: "STATUS", CNI_PATH: "/nowhere" },
    stdin: new Blob([JSON.stringify(host.config())]),
    stdout: "pipe",
  });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) === 0) return "ready";
  const { code, msg } = JSON.parse(text);
  return `${code} ${msg}`;
}

test("X-24 many that migrate at once do it once, beside an older executable that is told to be upgraded", async () => {
  using host = new TestHost();
  await host.add(host.config());
  const leases = host.leases();
  const path = join(host.dataDir, "warren.db");
  const refusal = `50 the store ${path} has schema version ${SCHEMA_VERSION + 1}, this executable knows versions up to ${SCHEMA_VERSION}`;
  const migrators = Array.from({ length: 6 }, () =>
    Bun.spawn([process.execPath, MIGRATOR, path], { stdout: "pipe", stderr: "pipe" }),
  );
  const olderOnes = Array.from({ length: 12 }, async (_, at) => {
    await Bun.sleep(at * 10);
    return status(host);
  });
  const problems = await Promise.all(migrators.map(({ stderr }) => new Response(stderr).text()));
  expect(problems).toEqual(problems.map(() => ""));
  for (const answer of await Promise.all(olderOnes)) expect(["ready", refusal]).toContain(answer);
  using database = host.database();
  expect(database.query("PRAGMA user_version").values()).toEqual([[SCHEMA_VERSION + 1]]);
  expect(database.query("SELECT count(*) FROM colours").values()).toEqual([[0]]);
  expect(database.query("PRAGMA integrity_check").values()).toEqual([["ok"]]);
  expect(host.leases()).toEqual(leases);
  expect(await status(host)).toBe(refusal);
});

test("X-24 one that had the store open before another version migrated it writes nothing more", async () => {
  using host = new TestHost();
  const { store } = host;
  await store.transaction(beat);
  const child = Bun.spawn([process.execPath, MIGRATOR, join(host.dataDir, "warren.db")]);
  expect(await child.exited).toBe(0);
  using database = host.database();
  const before = database.query("SELECT * FROM heartbeat").values();
  for (const work of [store.transaction(beat), store.read(async () => 0)]) {
    expect(await work.catch((error: unknown) => error)).toMatchObject({ problem: "newer schema" });
  }
  expect(database.query("SELECT * FROM heartbeat").values()).toEqual(before);
});

test("X-24 links that are written down are those of the interface of their pod, or of its attachment", () => {
  using database = new Database(":memory:");
  migrate(database, "memory", MIGRATIONS.slice(0, 5));
  const link = (name: string, primarys: string, pairs: string) =>
    database.run(
      "INSERT INTO pair_links VALUES ('lab','',?,'in1','','','',?,'in2','','','',NULL,NULL,NULL,0,?,?)",
      [...[name, `${name}-pair`, primarys, pairs]],
    );
  database.run(
    "INSERT INTO pair_pods VALUES ('lab','','one','c1','eth0','',''), ('lab','','two','c1','eth1','','')",
  );
  database.run(
    "INSERT INTO attachments (network, container_id, ifname, plugin, netns, boot_id, created_at_ms) VALUES ('lab','c2','net1','pair','','',0)",
  );
  link("one", "c1", "");
  link("two", "c1", "c2");
  link("three", "", "c3");
  migrate(database, "memory");
  const columns = "primary_name, said_by_primary, said_by_primary_ifname, said_by_pair, said_by_pair_ifname";
  expect(database.query(`SELECT ${columns} FROM pair_links ORDER BY primary_name`).values()).toEqual([
    ["one", "c1", "eth0", "", ""],
    ["three", "", "", "c3", ""],
    ["two", "c1", "eth1", "c2", "net1"],
  ]);
});

test("X-24 pods of the namespace default are those that say none, and none of either is lost", () => {
  using database = new Database(":memory:");
  migrate(database, "memory", MIGRATIONS.slice(0, 6));
  for (const [namespace, pod, owner] of [
    ...[
      ["default", "one", "c1"],
      ["", "two", "c2"],
      ["default", "two", "c3"],
      ["team", "one", "c4"],
    ],
  ] as [string, string, string][]) {
    database.run("INSERT INTO pair_pods VALUES ('lab',?,?,?,'eth0','','')", [namespace, pod, owner]);
    database.run("INSERT INTO pair_announcements VALUES ('lab',?,?,?,0)", [
      namespace,
      pod,
      `{"of":"${owner}"}`,
    ]);
  }
  migrate(database, "memory");
  const rows = (table: string, column: string) =>
    database.query(`SELECT pod_namespace, pod_name, ${column} FROM ${table} ORDER BY ${column}`).values();
  expect(rows("pair_pods", "container_id")).toEqual([
    ["", "one", "c1"],
    ["", "two", "c2"],
    ["default", "two", "c3"],
    ["team", "one", "c4"],
  ]);
  expect(rows("pair_announcements", "labels")).toEqual([
    ["", "one", '{"of":"c1"}'],
    ["", "two", '{"of":"c3"}'],
    ["team", "one", '{"of":"c4"}'],
  ]);
});
