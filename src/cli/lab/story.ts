// What every lab has in common: a sandbox with networks in it, a story that is played there step by step, and an end at
// the first step that does not give what the story promises.
import { readlinkSync } from "node:fs";
import { constants } from "node:os";
import type { CommandDef } from "citty";
import { describeError } from "../../cni/error.ts";
import { replaceProcess } from "../../sys/exec.ts";
import { exitNow } from "../../sys/process.ts";
import { writeStderr } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { EXECUTABLE } from "../install/installation.ts";
import { type ConfFile, enterSandbox, INSTALLED } from "./sandbox.ts";
import { Stage, StepError } from "./stage.ts";

/** A step of a story; it throws StepError for a promise that is not kept. */
export type Step = (stage: Stage) => void | Promise<void>;

/** What a story needs that nobody sees, inside of the sandbox: made before the first step, and ended behind the last. */
export interface Backstage extends AsyncDisposable {
  readonly prepare: () => Promise<void>;
}

/** What is played. */
export interface Story {
  /** The networks that the sandbox comes with. */
  readonly confFiles: readonly ConfFile[];
  readonly steps: readonly Step[];
  readonly backstage?: Backstage | undefined;
}

/** What a lab consists of. */
export interface Lab extends Story {
  /** As `warren lab NAME` has it. */
  readonly name: string;
  readonly description: string;
}

/** Tells a lab that it is in its sandbox, by the namespace's name, so that a stale word is not believed. */
const MARK = "WARREN_LAB_NETNS";

function ownNetns(): string {
  return readlinkSync("/proc/thread-self/ns/net");
}

/** Ctrl-C and the like end the lab at once: all that there is vanishes with its last process. */
function endOnSignals(stage: Stage): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      stage.stop();
      writeStderr("\nInterrupted: the sandbox and all that was in it are gone.\n");
      exitNow(128 + constants.signals[signal]);
    });
  }
}

/** Returns the command that plays the lab. */
export function labCommand({ name, description, ...story }: Lab): CommandDef<Record<never, never>> {
  return operatorCommand({ name, description, args: {}, run: () => play([name], story) });
}

/**
 * Plays a story in a sandbox, where this executable is started anew as `warren lab` with these words. Returns 0; throws
 * StepError for a step that did not give what it should.
 */
export async function play(
  words: readonly string[],
  { confFiles, steps, backstage }: Story,
): Promise<number> {
  if (process.env[MARK] !== ownNetns()) {
    const variables = enterSandbox(confFiles);
    return replaceProcess(INSTALLED, [EXECUTABLE, "lab", ...words], { ...variables, [MARK]: ownNetns() });
  }
  delete process.env[MARK];
  const stage = new Stage();
  endOnSignals(stage);
  await using _ended = backstage;
  await backstage?.prepare();
  try {
    for (const step of steps) await step(stage);
  } catch (error) {
    const failure = `the lab failed in step ${stage.step}: ${describeError(error)}`;
    throw new StepError(failure, { cause: error });
  }
  return 0;
}
