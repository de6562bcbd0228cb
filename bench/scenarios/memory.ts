// What a call costs in memory: the highest charge of a control group that it runs in, with all the programs that it
// starts. Pages of executables that other processes have brought in are charged to those.
import { existsSync, mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { Network } from "../network.ts";
import { assertDone, type Run, timed } from "../process.ts";
import { type Comparison, inTurn, repeat, Samples, type Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";

const BUDGET_MB = 6;

export const memory: Scenario = {
  name: "memory",
  about: "memory charged to the control group of an ADD and of a DEL",
  run(stage: Stage): Comparison[] {
    const groups = memoryGroups();
    const samples = new Samples();
    const networks = stage.contestants.map(
      (contestant) => new Network(stage, contestant, { name: "memory", masquerade: true }),
    );
    const netns = stage.pod("pod");
    repeat(1 + stage.rounds(10, 3), (round) => {
      for (const network of inTurn(round, networks)) {
        for (const verb of ["ADD", "DEL"] as const) {
          const run = network.run(verb, { container: `memory-${round}`, ifname: "eth0", netns });
          const bytes = groups.highestCharge(run);
          if (round > 0) samples.add(`memory of ${verb}`, network.contestant.name, bytes / 1e6);
        }
      }
    });
    return samples.figures.map((name) => ({
      name,
      unit: "MB",
      samples: samples.of(name),
      budget: BUDGET_MB,
    }));
  },
};

/** The control groups of memory, in their first or second version. */
function memoryGroups(): { highestCharge(run: Run): number } {
  const [root, peak] = existsSync("/sys/fs/cgroup/memory/memory.usage_in_bytes")
    ? ["/sys/fs/cgroup/memory", "memory.max_usage_in_bytes"]
    : ["/sys/fs/cgroup", "memory.peak"];
  let count = 0;
  return {
    highestCharge(run) {
      const group = `${root}/warren-bench-${process.pid}-${count++}`;
      mkdirSync(group);
      try {
        if (!existsSync(`${group}/${peak}`)) throw new Error(`${root} does not tell the memory of a group`);
        // the shell moves itself, and then becomes the plugin
        const entered: Run = {
          ...run,
          file: "/bin/sh",
          arguments: ["-c", `echo $$ > ${group}/cgroup.procs && exec ${run.file}`],
        };
        assertDone(entered, timed(entered));
        return Number(readFileSync(`${group}/${peak}`, "utf8"));
      } finally {
        rmdirSync(group);
      }
    },
  };
}
