// GC: what is left of containers that went without a DEL. The reference plugins have none, so a runtime that uses them
// has to call DEL for each; that is what stands beside it.
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { executable } from "../contestant.ts";
import { fillStore, usedAddresses } from "../filler.ts";
import { Network } from "../network.ts";
import { assertDone, type Run, timed, writeInput } from "../process.ts";
import { type Comparison, repeat, Samples, type Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";

const LEASES = 60_000;
const STALE_LEASES = 10_000;
const LEASES_BUDGET_MS = 150;
/** What GC of 64 stale attachments may cost, in DELs of one. */
const LINKS_BUDGET = 4;

export const collection: Scenario = {
  name: "gc",
  about: `GC of ${STALE_LEASES} stale leases among ${LEASES}, and of 64 and 500 attachments with their links`,
  run(stage: Stage): Comparison[] {
    const counts = stage.quick ? [64] : [64, 500];
    return [...ofLeases(stage), ...counts.flatMap((count) => ofAttachments(stage, count))];
  },
};

/** Returns when the process reached its end, in milliseconds since its own clock began, as WARREN_TRACE=1 tells it. */
function endInTrace(file: string): number {
  const [, atMs] = /^ *([\d.]+) +[\d.]+ {2}end$/m.exec(readFileSync(file, "utf8")) ?? [];
  if (atMs === undefined) throw new Error(`${file} does not tell when the process ended`);
  return Number(atMs);
}

function ofLeases(stage: Stage): Comparison[] {
  const samples = new Samples();
  const netns = stage.pod("pod");
  const valid = Array.from({ length: LEASES - STALE_LEASES }, (_, index) => ({
    containerID: `filler-${index + STALE_LEASES}`,
    ifname: "eth0",
  }));
  for (const contestant of stage.contestants) {
    if (!contestant.isWarren) continue;
    const filled = stage.dataDir(contestant, "gc-filled");
    const subnet = `10.${contestant.octet}.0.0/16`;
    fillStore(filled, "gc", subnet, netns, usedAddresses(contestant.octet, LEASES));
    repeat(1 + stage.rounds(10, 2), (round) => {
      const dataDir = stage.dataDir(contestant, `gc-${round}`);
      mkdirSync(dataDir, { recursive: true });
      copyFileSync(join(filled, "warren.db"), join(dataDir, "warren.db"));
      const run: Run = {
        file: executable(contestant, "ipam"),
        env: { CNI_COMMAND: "GC", CNI_PATH: contestant.folder, WARREN_TRACE: "1" },
        input: writeInput(stage.file("gc.in"), {
          cniVersion: "1.1.0",
          name: "gc",
          type: contestant.ipam,
          ipam: { type: contestant.ipam, dataDir, ranges: [[{ subnet }]] },
          "cni.dev/valid-attachments": valid,
        }),
        output: stage.file("gc.out"),
      };
      const ended = timed(run);
      assertDone(run, ended);
      if (round === 0) return;
      samples.add("whole", contestant.name, ended.ms);
      samples.add("inside", contestant.name, endInTrace(`${run.output}.err`));
    });
  }
  const what = `GC of ${STALE_LEASES.toLocaleString("en")} leases among ${LEASES.toLocaleString("en")}`;
  return [
    { name: `${what}, in the process`, unit: "ms", samples: samples.of("inside"), budget: LEASES_BUDGET_MS },
    { name: `${what}, whole process`, unit: "ms", samples: samples.of("whole") },
  ];
}

function ofAttachments(stage: Stage, count: number): Comparison[] {
  const samples = new Samples();
  const netns = stage.pod("crowded");
  const attachments = Array.from({ length: count }, (_, index) => ({
    container: `stale-${index}`,
    ifname: `eth${index}`,
    netns,
  }));
  const networks = stage.contestants.map(
    (contestant) => new Network(stage, contestant, { name: "gc", masquerade: false }),
  );
  repeat(stage.rounds(count > 100 ? 2 : 5, 1), () => {
    for (const network of networks) {
      const { name, isWarren } = network.contestant;
      for (const one of attachments) network.call("ADD", one);
      const [first, ...others] = attachments;
      if (first === undefined) continue;
      if (isWarren) {
        samples.add("one DEL", name, network.call("DEL", first));
        network.call("ADD", first);
        samples.add("all", name, network.call("GC", first, { "cni.dev/valid-attachments": [] }));
      } else {
        const oneMs = network.call("DEL", first);
        samples.add(
          "all",
          name,
          others.reduce((sum, one) => sum + network.call("DEL", one), oneMs),
        );
      }
    }
  });
  const all = samples.of("all");
  const what = `GC of ${count} attachments`;
  return [
    { name: `${what}, to a DEL for each`, unit: "ms", samples: all },
    ...(count === 64
      ? [
          {
            name: `${what}, to one DEL`,
            unit: "ms" as const,
            samples: { GC: all.warren ?? [], DEL: samples.of("one DEL").warren ?? [] },
            ratioOf: ["GC", "DEL"] as const,
            ratioBudget: LINKS_BUDGET,
          },
        ]
      : []),
  ];
}
