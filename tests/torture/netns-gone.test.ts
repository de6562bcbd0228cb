// The pod's namespace is taken away between any two steps of a call: the call ends by itself, an ADD that fails leaves
// nothing, and DEL and GC succeed as if nothing had happened.
import { describe, expect } from "bun:test";
import { testWith } from "../support/sandbox.ts";
import { IS_FULL, sample } from "./extent.ts";
import { describeOrdeal, lead, type Ordeal, ordealsOf, problemsOf, seen, stepsOf } from "./ordeal.ts";
import { SCENES, Stage } from "./scenes.ts";
import { haltAt, type Step, strace } from "./steps.ts";

async function endure(ordeal: Ordeal, step: Step): Promise<void> {
  const { scene, index, verb } = ordeal;
  await using stage = await Stage.create(scene);
  const { clean, run } = await lead(stage, ordeal);
  const outcome = await haltAt(stage.sandbox, run, step, async () => {
    await stage.sandbox.text(["ip", "netns", "del", "pod1"]);
  });
  if (verb !== "ADD") expect(outcome).toMatchObject({ exitCode: 0, stdout: "" });
  else if (outcome.exitCode !== 0) {
    expect(JSON.parse(outcome.stdout)).toMatchObject({ code: expect.any(Number), msg: expect.any(String) });
    // whoever gets an error keeps nothing of this plugin, before any DEL
    const type = String(scene.plugins[index]?.type).replace("warren-", "");
    const { rows } = await seen(stage);
    expect(rows.attachments?.filter((row) => row.includes(`"plugin":"${type}"`))).toEqual([]);
    if (index === 0) expect(rows.leases).toEqual([]);
  }
  const last = scene.plugins.length - 1;
  if (verb === "GC") await stage.gc();
  else await stage.del(last, 0);
  await stage.sandbox.addNetns("pod1");
  expect(await seen(stage)).toEqual(clean);
  const result = await stage.add(0, last + 1);
  await stage.check(result);
  await stage.del(last, 0, result);
  expect(await seen(stage)).toEqual(clean);
}

const withStrace = testWith(strace);

const LASTING = SCENES.filter(({ endsWithPod }) => endsWithPod !== true);

describe.each(LASTING.map((scene) => [scene.name, scene] as const))("netns deleted in %s", (_, scene) => {
  for (const ordeal of ordealsOf(scene)) {
    // the others hardly look into namespaces
    if (!IS_FULL && ordeal.verb !== "ADD") continue;
    withStrace(
      `after any step of ${describeOrdeal(ordeal)}: all goes on, and nothing is left`,
      async () => {
        // after the last one there is nobody to take it away from
        const steps = (await stepsOf(ordeal)).filter(({ call }) => call !== "exit_group");
        const chosen = IS_FULL ? steps : sample(steps, 2).slice(0, 1);
        const trials = chosen.map((step) => ({
          what: "netns deleted after",
          step,
          endure: (at: Step) => endure(ordeal, at),
        }));
        expect(await problemsOf(trials)).toBe("");
      },
      3_600_000,
    );
  }
});
