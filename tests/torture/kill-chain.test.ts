// kill -9 at every step of ADD, DEL and GC of each plugin of one long chain, with the others around it.
import { describe } from "bun:test";
import { sample } from "./extent.ts";
import { killTest, ordealsOf } from "./ordeal.ts";
import { CHAIN } from "./scenes.ts";

describe("kill -9 in the whole chain", () => {
  for (const ordeal of sample(ordealsOf(CHAIN), 5)) killTest(ordeal, 1);
});
