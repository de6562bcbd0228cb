// A clock that was put back by a year: every time that the store has is one of the future. Nothing is decided by it, so
// that all verbs and commands go on, tell these times as they are, and clear up.
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { WARREN } from "../support/sandbox.ts";
import { sample } from "./extent.ts";
import { seen } from "./ordeal.ts";
import { SCENES, Stage } from "./scenes.ts";

const YEAR_MS = 365 * 86_400_000;

const TIMES =
  "SELECT one.name, place.name FROM sqlite_schema AS one, pragma_table_info(one.name) AS place " +
  "WHERE one.type = 'table' AND place.name LIKE '%at_ms'";

/** Puts every time that the store has one year ahead, and returns in how many tables there was one. */
function putBack(dataDir: string): number {
  using database = new Database(`${dataDir}/warren.db`, { readwrite: true, create: false });
  const changes = (database.query(TIMES).values() as string[][]).map(
    ([table, column]) => database.run(`UPDATE ${table} SET ${column} = ${column} + ${YEAR_MS}`).changes,
  );
  return changes.filter((count) => count > 0).length;
}

const COMMANDS = [
  "leases",
  "leases --leaked",
  "events",
  "show pod-1",
  "status",
  "status --prometheus",
  "links",
];

/** A loopback has nothing in any store. */
const SCENES_WITH_STORE = SCENES.filter(({ name }) => name !== "loopback");

test.each(sample(SCENES_WITH_STORE, 3).map((scene) => [scene.name, scene] as const))(
  "a clock that is put back by a year changes nothing for %s",
  async (_, scene) => {
    await using stage = await Stage.create(scene);
    const clean = await seen(stage);
    const last = scene.plugins.length - 1;
    const result = await stage.add(0, last + 1);
    for (const index of scene.plugins.keys()) await stage.call("STATUS", index);
    expect(putBack(stage.dataDir)).toBeGreaterThan(0);
    const before = await seen(stage);
    await stage.check(result);
    // what is valid stays, and nothing passes for old or new
    await stage.gc([{ containerId: "pod-1", netns: "pod1" }]);
    expect(await seen(stage)).toEqual(before);
    for (const command of COMMANDS) {
      const args = [...command.split(" "), "--data-dir", stage.dataDir];
      const { exitCode, stderr } = await stage.sandbox.run([WARREN, ...args]);
      expect([command, exitCode, stderr]).toEqual([command, 0, ""]);
    }
    const { stdout } = await stage.sandbox.run([WARREN, "events", "--json", "--data-dir", stage.dataDir]);
    const events: { readonly sequence: number; readonly verb: string }[] = JSON.parse(stdout);
    // in the order in which they came, and not by a time that went back
    expect(events.map(({ sequence }) => sequence)).toEqual(
      events.map(({ sequence }) => sequence).toSorted((one, other) => one - other),
    );
    await stage.del(last, 0, result);
    expect(await seen(stage)).toEqual(clean);
    await stage.add(0, last + 1);
    putBack(stage.dataDir);
    await stage.gc();
    expect(await seen(stage)).toEqual(clean);
  },
  60_000,
);
