// The suites of leases and of the plugins that give them out, once more with the leases in PostgreSQL: what they say of a store
// holds for both engines. By themselves, in their own files, they run on a file.
import { expect } from "bun:test";
import { resolve } from "node:path";
import type { SharedServer } from "../support/engine.ts";
import { PASSWORD, PostgresServer, postgres } from "../support/postgres.ts";
import { Sandbox, testWith } from "../support/sandbox.ts";

const ROOT = resolve(import.meta.dir, "../..");
const SUITES = [
  "tests/unit/ipam/leases.test.ts",
  "tests/protocol/ipam.test.ts",
  "tests/protocol/static.test.ts",
];

testWith(postgres)(
  "X-30 the suites of leases, ipam and static hold on PostgreSQL, too",
  async () => {
    await using host = await Sandbox.create();
    await using server = await PostgresServer.start(host);
    await server.query(
      "CREATE FUNCTION public.hex(bytea) RETURNS text LANGUAGE sql AS $$ SELECT upper(encode($1, 'hex')) $$",
    );
    const settings = { ...server.config().postgres, host: server.folder };
    const child = Bun.spawn([process.execPath, "test", "--timeout=60000", ...SUITES], {
      cwd: ROOT,
      env: {
        ...process.env,
        WARREN_TEST_SERVER: JSON.stringify({ settings, password: PASSWORD } satisfies SharedServer),
      },
      stdout: "pipe",
      stderr: "pipe",
    });
    const told = await new Response(child.stderr).text();
    const failed = told.split("\n").filter((line) => line.startsWith("(fail)"));
    expect(failed).toEqual([]);
    expect(await child.exited).toBe(0);
    expect(Number(/(\d+) pass/.exec(told)?.[1])).toBeGreaterThan(60);
  },
  300_000,
);
