// One plugin call that is killed at a step, and what must be true after the DEL or the GC that follows: what was there
// before the plugin is there again and nothing else, the next ADD and its CHECK succeed, and its DEL leaves nothing.
import { expect } from "bun:test";
import { testWith } from "../support/sandbox.ts";
import { IS_FULL, sample } from "./extent.ts";
import { type Remains, remains } from "./remains.ts";
import { POD, type Scene, Stage, validList } from "./scenes.ts";
import { killAt, type PluginRun, recordSteps, type Step, StepMissed, strace } from "./steps.ts";

const VERBS = ["ADD", "DEL", "GC"] as const;

/** What comes after a killed call. */
export type Cure = "DEL" | "GC";

/** Which call of which plugin of a scene. */
export interface Ordeal {
  readonly scene: Scene;
  readonly index: number;
  readonly verb: (typeof VERBS)[number];
}

/** Returns the calls of a scene's tortured plugins. */
export function ordealsOf(scene: Scene): Ordeal[] {
  return scene.tortured.flatMap((index) => VERBS.map((verb) => ({ scene, index, verb })));
}

/** Returns the plugin and the scene of an ordeal in words. */
export function describeOrdeal({ scene, index, verb }: Ordeal): string {
  return `${verb} of ${String(scene.plugins[index]?.type)} in ${scene.name}`;
}

/** Returns what is on the host of a stage and in its pod. */
export function seen(stage: Stage): Promise<Remains> {
  return remains(stage.sandbox, stage.dataDir, ["pod1"]);
}

/** Where a call begins. */
export interface Lead {
  /** What was there before the chain, and before the plugin. */
  readonly clean: Remains;
  readonly without: Remains;
  /** The result of the plugins before it. */
  readonly previous: unknown;
  readonly run: PluginRun;
}

/** Brings a stage to where the call begins. */
export async function lead(stage: Stage, { scene, index, verb }: Ordeal): Promise<Lead> {
  const clean = await seen(stage);
  const previous = await stage.add(0, index);
  const without = index === 0 ? clean : await seen(stage);
  const last = scene.plugins.length - 1;
  if (verb === "ADD") {
    const config = stage.config(index, previous === undefined ? {} : { prevResult: previous });
    return { clean, without, previous, run: { verb, config, target: POD } };
  }
  const result = await stage.add(index, last + 1, previous);
  if (verb === "DEL") {
    await stage.del(last, index + 1, result);
    return {
      clean,
      without,
      previous,
      run: { verb, config: stage.config(index, { prevResult: result }), target: POD },
    };
  }
  await stage.gc([], index);
  return { clean, without, previous, run: { verb, config: stage.config(index, validList([])) } };
}

/** Returns the steps of the call on a host where nobody disturbs it. */
export async function stepsOf(ordeal: Ordeal): Promise<Step[]> {
  await using stage = await Stage.create(ordeal.scene);
  const { run } = await lead(stage, ordeal);
  const { outcome, steps } = await recordSteps(stage.sandbox, run);
  expect(outcome).toMatchObject({ exitCode: 0 });
  return steps;
}

/** Clears up after a call that did not end, and expects that nothing is left and that all works again. */
export async function recover(stage: Stage, ordeal: Ordeal, cure: Cure, { clean, without, previous }: Lead) {
  const { scene, index, verb } = ordeal;
  const last = scene.plugins.length - 1;
  // of a chain whose plugins before this one are still there, only this one has to be made good
  const partly = cure === "DEL" && verb !== "GC";
  if (partly) {
    await stage.del(index, index);
    expect(await seen(stage)).toEqual(without);
  } else {
    if (cure === "DEL") await stage.del(last, 0);
    else await stage.gc();
    expect(await seen(stage)).toEqual(clean);
  }
  const result = partly ? await stage.add(index, last + 1, previous) : await stage.add(0, last + 1);
  await stage.check(result);
  await stage.del(last, 0, result);
  expect(await seen(stage)).toEqual(clean);
}

/** Kills the call at the step and clears up. */
async function endure(ordeal: Ordeal, step: Step, cure: Cure): Promise<void> {
  await using stage = await Stage.create(ordeal.scene);
  const begun = await lead(stage, ordeal);
  await killAt(stage.sandbox, begun.run, step);
  await recover(stage, ordeal, cure, begun);
}

/** How many hosts there are at the same time: each waits for the kernel more than it works. */
const WIDTH = IS_FULL ? 4 : 1;

/** One thing to go through, and where it happens, so that it can be made again. */
export interface Trial {
  readonly what: string;
  readonly step: Step;
  readonly endure: (step: Step) => Promise<void>;
}

/** How often a run may turn out shorter than the one before. */
const MISSES = 4;

/** Goes through a trial, at another step where a run had fewer of them: what waits for others asks more often or less. */
async function goThrough({ step, endure }: Trial): Promise<void> {
  let at = step;
  for (let misses = 0; ; misses++) {
    try {
      return await endure(at);
    } catch (error) {
      if (!(error instanceof StepMissed) || misses === MISSES) throw error;
      at = error.instead;
    }
  }
}

/** Goes through all trials, some of them at the same time, each on a host of its own; returns what failed, in words. */
export async function problemsOf(trials: readonly Trial[]): Promise<string> {
  const problems: string[] = [];
  const waiting = trials.values();
  const work = async () => {
    for (const trial of waiting) {
      const { what, step } = trial;
      try {
        await goThrough(trial);
      } catch (error) {
        problems.push(`${what} ${step.call} number ${step.ordinal}:\n${step.text}\n${String(error)}`);
      }
    }
  };
  await Promise.all(Array.from({ length: WIDTH }, work));
  return problems.join("\n\n");
}

/** Returns a kill at each of the ordeal's steps, with each cure: all of them by `npm run torture`, and otherwise `count`. */
export async function killsOf(ordeal: Ordeal, count: number): Promise<Trial[]> {
  const { scene } = ordeal;
  const all = await stepsOf(ordeal);
  const isLooking = IS_FULL && scene.looks !== false;
  const steps = all.filter(({ call, looksOnly }) => {
    return (isLooking || !looksOnly) && (scene.storeWrites !== false || call !== "pwrite64");
  });
  const cures: readonly Cure[] = scene.cures ?? ["DEL", "GC"];
  return sample(steps, count).flatMap((step) =>
    sample(cures, 1).map((cure): Trial => {
      return { what: `killed, then ${cure}, before`, step, endure: (at) => endure(ordeal, at, cure) };
    }),
  );
}

const withStrace = testWith(strace);

/** Declares the test of an ordeal: all of its steps by `npm run torture`, and `count` of them otherwise. */
export function killTest(ordeal: Ordeal, count: number): void {
  withStrace(
    `X-12 killed at any step of ${describeOrdeal(ordeal)}: nothing is left, and the next ADD works`,
    async () => expect(await problemsOf(await killsOf(ordeal, count))).toBe(""),
    3_600_000,
  );
}
