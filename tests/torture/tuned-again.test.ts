// An ADD of tuning comes again while its DEL is at work, which no runtime may do: what the DEL has found before it had the
// store does not hold any more. It says so and forgets nothing, and the next DEL puts back what was there before all of them.
import { expect } from "bun:test";
import { testWith } from "../support/sandbox.ts";
import { seenLink } from "../support/witness.ts";
import { lead, seen } from "./ordeal.ts";
import { POD, SCENES, Stage } from "./scenes.ts";
import { haltAt, recordSteps, strace } from "./steps.ts";

const SCENE = SCENES.find(({ name }) => name === "bridge and tuning");
const DEL = { index: 1, verb: "DEL" } as const;

testWith(strace)(
  "a container that is tuned again during its DEL keeps its entry, and the next DEL puts all of it back",
  async () => {
    if (SCENE === undefined) throw new Error("there is no scene of tuning");
    const ordeal = { ...DEL, scene: SCENE };
    const steps = await (async () => {
      await using stage = await Stage.create(SCENE);
      const { run } = await lead(stage, ordeal);
      return (await recordSteps(stage.sandbox, run)).steps;
    })();
    // the last attribute of the interface is back, and the store is not taken yet
    const step = steps.findLast(({ call, looksOnly }) => call === "sendto" && !looksOnly);
    if (step === undefined) throw new Error("the DEL changes no link");

    await using stage = await Stage.create(SCENE);
    const { run, without, previous } = await lead(stage, ordeal);
    const { exitCode, stdout } = await haltAt(stage.sandbox, run, step, async () => {
      const again = await stage.call("ADD", 1, { mtu: 1300, prevResult: previous });
      expect(again).toMatchObject({ exitCode: 0 });
    });
    expect([exitCode, JSON.parse(stdout)]).toMatchObject([
      1,
      { code: 11, msg: expect.stringContaining("was tuned again while it was deleted") },
    ]);
    expect(await seenLink(stage.sandbox, "eth0", POD.netns)).toMatchObject({ mtu: 1300 });
    await stage.del(1, 1);
    expect(await seen(stage)).toEqual(without);
  },
  60_000,
);
