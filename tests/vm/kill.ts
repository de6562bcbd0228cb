// kill -9 of plugins whose links only this kernel has, each at one step of one verb: another one each time. All of them by
// `npm run torture` (tests/torture/kill-machine.test.ts).
import { sample } from "../torture/extent.ts";
import { describeOrdeal, killsOf, ordealsOf, problemsOf } from "../torture/ordeal.ts";
import { MACHINE_SCENES, type Scene } from "../torture/scenes.ts";
import { type Case, same } from "./case.ts";

async function killOne(scene: Scene): Promise<void> {
  for (const ordeal of sample(ordealsOf(scene), 1))
    same(await problemsOf(await killsOf(ordeal, 1)), "", describeOrdeal(ordeal));
}

export const KILL_CASES: readonly Case[] = MACHINE_SCENES.map((scene) => ({
  name: `kill -9 in ${scene.name} leaves nothing that the next DEL or GC does not clear, and the next ADD works`,
  run: () => killOne(scene),
}));
