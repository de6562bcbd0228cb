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
import { EXECUTABLE } from "../installation.ts";
import { type ConfFile, enterSandbox, INSTALLED } from "./sandbox.ts";
import { Stage, StepError } from "./stage.ts";

/** A step of a story; it throws StepError for a promise that is not kept. */
export type Step = (stage: Stage) => void | Promise<void>;

/** What a lab consists of. */
export interface Lab {
  /** As `warren lab NAME` has it. */
  readonly name: string;
  readonly description: string;
  /** The networks that the sandbox comes with. */
  readonly confFiles: readonly ConfFile[];
  readonly steps: readonly Step[];
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
export function labCommand({ name, description, confFiles, steps }: Lab): CommandDef<Record<never, never>> {
  return operatorCommand({
    name,
    description,
    args: {},
    async run() {
      if (process.env[MARK] !== ownNetns()) {
        const variables = enterSandbox(confFiles);
        return replaceProcess(INSTALLED, [EXECUTABLE, "lab", name], { ...variables, [MARK]: ownNetns() });
      }
      delete process.env[MARK];
      const stage = new Stage();
      endOnSignals(stage);
      try {
        for (const step of steps) await step(stage);
      } catch (error) {
        const failure = `the lab failed in step ${stage.step}: ${describeError(error)}`;
        throw new StepError(failure, { cause: error });
      }
      return 0;
    },
  });
}
