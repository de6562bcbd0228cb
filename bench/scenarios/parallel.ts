// Fifty containers that come at once, as after a reboot: how long until the last one has its network, and how long
// each of them waits, the slowest of a hundred too.
import { Network } from "../network.ts";
import { assertDone, timedTogether } from "../process.ts";
import { type Comparison, inTurn, repeat, Samples, type Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";

const CONTAINERS = 50;

export const parallel: Scenario = {
  name: "parallel",
  about: `${CONTAINERS} ADDs at once, with masquerade`,
  run(stage: Stage): Comparison[] {
    const samples = new Samples();
    const attachments = Array.from({ length: CONTAINERS }, (_, index) => ({
      container: `parallel-${index}`,
      ifname: "eth0",
      netns: stage.pod(`parallel-${index}`),
    }));
    const networks = stage.contestants.map(
      (contestant) => new Network(stage, contestant, { name: "parallel", masquerade: true }),
    );
    repeat(1 + stage.rounds(8, 2), (round) => {
      for (const network of inTurn(round, networks)) {
        const ended = timedTogether(attachments.map((one) => network.run("ADD", one)));
        for (const one of ended) assertDone(one.run, one);
        if (round > 0) {
          for (const { ms } of ended) samples.add("each", network.contestant.name, ms);
          samples.add("total", network.contestant.name, Math.max(...ended.map(({ ms }) => ms)));
        }
        for (const one of attachments) network.call("DEL", one);
      }
    });
    return [
      {
        name: `${CONTAINERS} parallel ADDs, total`,
        unit: "ms",
        samples: samples.of("total"),
        ratioBudget: 0.33,
      },
      { name: `${CONTAINERS} parallel ADDs, each`, unit: "ms", samples: samples.of("each") },
    ];
  },
};
