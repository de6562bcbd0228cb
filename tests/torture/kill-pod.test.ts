// kill -9 at every step of `warren pod create` and `pod rm`: whatever is left then is told by `pod list` and goes with the
// next `rm`. Steps are system calls, as in steps.ts, but of the operator's tool alone: its plugins live on.
import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { linkNames } from "../support/plugins.ts";
import { PodStage } from "../support/pod-stage.ts";
import { testWith, WARREN } from "../support/sandbox.ts";
import { sample } from "./extent.ts";
import { strace } from "./steps.ts";

/** What changes what others see: names, mounts, namespaces, messages to the kernel, processes. */
const CALLS =
  "mkdir,openat,write,rename,unlink,rmdir,mount,umount2,unshare,setns,sendto,vfork,clone,clone3,exit_group";

interface PodStep {
  readonly call: string;
  readonly ordinal: number;
  readonly text: string;
}

/** Runs `warren pod ...` under strace, killed at `step` if there is one; returns what strace wrote. */
async function traced(stage: PodStage, args: readonly string[], step?: PodStep): Promise<string> {
  const file = `${stage.host.directory}/trace`;
  const inject = step === undefined ? [] : ["-e", `inject=${step.call}:signal=KILL:when=${step.ordinal}`];
  await stage.host.run(["strace", "-o", file, "-e", `trace=${CALLS}`, ...inject, WARREN, "pod", ...args], {
    env: stage.env,
  });
  return readFileSync(file, "utf8");
}

/** Returns the steps from the first one that has to do with records on, without those that only read a file. */
function stepsOf(trace: string): PodStep[] {
  const counts = new Map<string, number>();
  const steps: PodStep[] = [];
  for (const line of trace.split("\n")) {
    const [, call = ""] = /^(\w+)\(/.exec(line) ?? [];
    if (call === "") continue;
    const ordinal = (counts.get(call) ?? 0) + 1;
    counts.set(call, ordinal);
    steps.push({ call, ordinal, text: line.slice(0, 140) });
  }
  const first = steps.findIndex(({ text }) => text.includes("warren-pods"));
  return steps.slice(first).filter(({ call, text }) => call !== "openat" || text.includes("O_CREAT"));
}

for (const verb of ["create", "rm"] as const) {
  testWith(strace)(
    `X-42 X-12 kill -9 at every step of pod ${verb}: what is left is listed, and goes with the next rm`,
    async () => {
      await using stage = await PodStage.create();
      const creation = ["create", "web", "--net", "red", "--net", "one"];
      const args = verb === "create" ? creation : ["rm", "web"];
      if (verb === "rm") await stage.succeed(...creation);
      const steps = stepsOf(await traced(stage, args));
      if (verb === "create") await stage.succeed("rm", "web");
      expect(steps.length).toBeGreaterThan(15);
      for (const step of sample(steps, 8)) {
        if (verb === "rm") await stage.succeed(...creation);
        await traced(stage, args, step);
        const list = await stage.pod("list", "--json");
        expect([step.text, list.exitCode, list.stderr]).toEqual([step.text, 0, ""]);
        const { exitCode, stderr } = await stage.pod("rm", "web");
        expect([step.text, exitCode, stderr.replace("there is no pod web\n", "")]).toEqual([
          step.text,
          0,
          "",
        ]);
        const bridges = (await linkNames(stage.host)).filter((name) => name === "red0");
        await stage.expectNothingLeft(bridges).catch((error: unknown) => {
          throw new Error(`after a kill at ${step.text}`, { cause: error });
        });
      }
    },
    600_000,
  );
}
