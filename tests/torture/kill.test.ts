// kill -9 at every step of ADD, DEL and GC of every plugin, alone or behind the plugin that it needs. Steps are system
// calls of the shipped executable (steps.ts).
import { describe } from "bun:test";
import { killTest, ordealsOf } from "./ordeal.ts";
import { SCENES } from "./scenes.ts";

describe.each(SCENES.map((scene) => [scene.name, scene] as const))("kill -9 in %s", (_, scene) => {
  for (const ordeal of ordealsOf(scene)) killTest(ordeal, 1);
});
