// kill -9 at every step of ADD, DEL and GC of every plugin, alone or behind the plugin that it needs. Steps are system
// calls of the shipped executable (steps.ts).
import { describe } from "bun:test";
import { IS_FULL } from "./extent.ts";
import { killTest, ordealsOf } from "./ordeal.ts";
import { IDLE_SCENES, SCENES } from "./scenes.ts";

const ALL = IS_FULL ? [...SCENES, ...IDLE_SCENES] : SCENES;

describe.each(ALL.map((scene) => [scene.name, scene] as const))("kill -9 in %s", (_, scene) => {
  for (const ordeal of ordealsOf(scene)) killTest(ordeal, 1);
});
