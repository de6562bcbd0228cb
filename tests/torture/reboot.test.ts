// A reboot with containers that nobody took down: the kernel has forgotten everything, the store nothing. A second host
// with the store of the first and a boot id of its own (a file mounted over the kernel's) stands for it.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { sample } from "./extent.ts";
import { remains } from "./remains.ts";
import { CHAIN, SCENES, type Scene, Stage } from "./scenes.ts";

const BOOT_ID = "/proc/sys/kernel/random/boot_id";
const NEXT_BOOT = "00000000-1111-4222-8333-444444444444";

/** The same machine after a reboot: nothing in the kernel, a new namespace of the old name, the store as it was. */
async function rebooted(stage: Stage): Promise<Stage> {
  const next = await Stage.create(stage.scene, stage.dataDir);
  await Bun.write(join(next.sandbox.directory, "boot-id"), `${NEXT_BOOT}\n`);
  await next.sandbox.text(["mount", "--bind", "boot-id", BOOT_ID]);
  return next;
}

/** What the first thing after the reboot is. */
const FIRSTS: readonly (readonly [name: string, begin: (stage: Stage) => Promise<void>])[] = [
  ["DEL", async (stage) => stage.del(stage.scene.plugins.length - 1, 0)],
  ["GC", async (stage) => stage.gc()],
  ["an ADD of the same container", async () => undefined],
];

const CASES = [...sample(SCENES, 4), CHAIN].flatMap((scene) =>
  FIRSTS.map(([name, begin]): [string, string, Scene, (stage: Stage) => Promise<void>] => [
    scene.name,
    name,
    scene,
    begin,
  ]),
);

test.each(CASES)(
  "after a reboot of %s, %s first: all works, and nothing is left",
  async (_, __, scene, begin) => {
    await using stage = await Stage.create(scene);
    await stage.add(0, scene.plugins.length);
    await using next = await rebooted(stage);
    // the store is as it was, so that only the rest can be compared
    const { rows: _rows, ...clean } = await remains(next.sandbox, stage.dataDir, ["pod1"]);
    await begin(next);
    const result = await next.add(0, scene.plugins.length);
    await next.check(result);
    await next.del(scene.plugins.length - 1, 0, result);
    const { rows, ...left } = await remains(next.sandbox, stage.dataDir, ["pod1"]);
    expect(left).toEqual(clean);
    expect(Object.values(rows).flat()).toEqual([]);
  },
);
