// VERSION, which does nothing but start and end: how much of every call is the program itself, next to a program of
// the same runtime with nothing in it, and to one of C.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { COMPILED } from "../../scripts/build.ts";
import { executable } from "../contestant.ts";
import { assertDone, type Run, timed } from "../process.ts";
import { type Comparison, inTurn, repeat, Samples, type Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";

export const startup: Scenario = {
  name: "startup",
  about: "VERSION, next to an empty program of the same runtime and an empty one of C",
  run(stage: Stage): Comparison[] {
    const samples = new Samples();
    const programs = new Map(stage.contestants.map((one) => [one.name, executable(one, "bridge")]));
    for (const [name, file] of emptyPrograms(stage)) programs.set(name, file);
    const input = stage.file("nothing");
    writeFileSync(input, "");
    repeat(1 + stage.rounds(100, 10), (round) => {
      for (const [who, file] of inTurn(round, [...programs])) {
        const env = { CNI_COMMAND: "VERSION" };
        const run: Run = { file, env, input, output: stage.file(`version-${who.replace(" ", "-")}`) };
        const ended = timed(run);
        assertDone(run, ended);
        if (round > 0) samples.add("VERSION", who, ended.ms);
      }
    });
    return [{ name: "VERSION", unit: "ms", samples: samples.of("VERSION") }];
  },
};

/** Compiles programs that do nothing; one of C only where there is a compiler. */
function emptyPrograms(stage: Stage): [string, string][] {
  const folder = join(stage.folder, "empty");
  mkdirSync(folder);
  const source = join(folder, "empty.js");
  writeFileSync(source, "");
  const ofBun = join(folder, "built");
  const options = JSON.stringify({
    entrypoints: [source],
    target: "bun",
    format: "esm",
    minify: true,
    bytecode: true,
    compile: { ...COMPILED, outfile: ofBun },
  });
  // in a process of its own, because building waits for what never comes up in this synchronous one
  const script = `const { success } = await Bun.build(${options}); process.exit(success ? 0 : 1)`;
  const { success, stderr } = Bun.spawnSync([process.execPath, "-e", script]);
  if (!success) throw new Error(`the empty program can't be built: ${stderr}`);
  const copied = join(folder, "bun");
  Bun.spawnSync(["cp", ofBun, copied]);
  const programs: [string, string][] = [["empty Bun", copied]];
  const compiler = Bun.which("cc");
  if (compiler !== null) {
    const file = join(folder, "c");
    writeFileSync(`${file}.c`, "int main(void) { return 0; }\n");
    if (Bun.spawnSync([compiler, "-O2", "-o", file, `${file}.c`]).success) programs.push(["empty C", file]);
  }
  return programs;
}
