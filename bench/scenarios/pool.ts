// An address out of a pool that is empty, half full, almost full, and full but for six addresses: Warren's store
// against host-local's directory with as many files.
import { executable } from "../contestant.ts";
import { fillFiles, fillStore, usedAddresses } from "../filler.ts";
import { assertDone, type Run, timed, writeInput } from "../process.ts";
import { type Comparison, inTurn, repeat, Samples, type Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";

/** Shares of the pool that are taken, in percent. */
const FILLS = [0, 50, 99, 99.99];
const POOL = 65_533;

/** What an ADD into the fullest pool may cost of one into the empty pool. */
const FULLNESS_BUDGET = 1.2;

export const pool: Scenario = {
  name: "pool",
  about: "ADD of the IPAM plugin alone into a pool of 65,533 addresses, more and more of them taken",
  run(stage: Stage): Comparison[] {
    const samples = new Samples();
    const netns = stage.pod("pod");
    const calls = FILLS.flatMap((percent) =>
      stage.contestants.map((contestant) => {
        const subnet = `10.${contestant.octet}.0.0/16`;
        const dataDir = stage.dataDir(contestant, `pool-${percent}`);
        const used = usedAddresses(contestant.octet, Math.round((POOL * percent) / 100));
        if (used.length > 0 && contestant.isWarren) fillStore(dataDir, "pool", subnet, netns, used);
        else if (used.length > 0) fillFiles(dataDir, "pool", used);
        const config = {
          cniVersion: "1.1.0",
          name: "pool",
          type: contestant.ipam,
          ipam: { type: contestant.ipam, dataDir, ranges: [[{ subnet }]] },
        };
        const file = stage.file(`pool-${contestant.name}-${percent}`);
        const input = writeInput(`${file}.in`, config);
        const program = executable(contestant, contestant.isWarren ? "ipam" : "host-local");
        const run = (verb: string, container: string): number => {
          const env = {
            CNI_COMMAND: verb,
            CNI_PATH: contestant.folder,
            CNI_CONTAINERID: container,
            CNI_NETNS: netns,
            CNI_IFNAME: "eth0",
          };
          const one: Run = { file: program, env, input, output: `${file}.out` };
          const ended = timed(one);
          assertDone(one, ended);
          return ended.ms;
        };
        return { percent, contestant, run };
      }),
    );
    repeat(1 + stage.rounds(20, 3), (round) => {
      for (const { percent, contestant, run } of inTurn(round, calls)) {
        const ms = run("ADD", `pool-${round}`);
        run("DEL", `pool-${round}`);
        if (round > 0) samples.add(`${percent}`, contestant.name, ms);
      }
    });
    const byFill = FILLS.map(
      (percent): Comparison => ({
        name: `IPAM ADD, pool ${percent} % full`,
        unit: "ms",
        samples: samples.of(`${percent}`),
      }),
    );
    const [emptiest] = FILLS;
    const fullest = FILLS.at(-1);
    return [
      ...byFill,
      {
        name: `IPAM ADD, ${fullest} % full to empty`,
        unit: "ms",
        samples: {
          [`${fullest} % full`]: samples.of(`${fullest}`).warren ?? [],
          [`${emptiest} % full`]: samples.of(`${emptiest}`).warren ?? [],
        },
        ratioOf: [`${fullest} % full`, `${emptiest} % full`],
        ratioBudget: FULLNESS_BUDGET,
      },
    ];
  },
};
