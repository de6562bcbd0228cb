// One container attached to a bridge and detached again: what a runtime does for every container, with and without
// masquerade, with one address and with two.
import { Network } from "../network.ts";
import { type Comparison, inTurn, repeat, Samples, type Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";

/** What is wanted of the median ratios, for IPv4. */
const BUDGETS: Readonly<Record<string, number>> = {
  "ADD bridge": 0.85,
  "DEL bridge": 0.95,
  "ADD bridge, masquerade": 0.35,
  "DEL bridge, masquerade": 0.45,
};

export const attachment: Scenario = {
  name: "attachment",
  about: "ADD and DEL of bridge and IPAM, with and without masquerade, IPv4 and dual stack",
  run(stage: Stage): Comparison[] {
    const samples = new Samples();
    const kinds = [false, true].flatMap((masquerade) =>
      [false, true].map((dualStack) => ({
        masquerade,
        dualStack,
        label: `bridge${masquerade ? ", masquerade" : ""}${dualStack ? ", dual stack" : ""}`,
      })),
    );
    const networks = kinds.flatMap(({ label, masquerade, dualStack }) =>
      stage.contestants.map((contestant) => ({
        label,
        who: contestant.name,
        network: new Network(stage, contestant, {
          name: `${masquerade ? "nat" : "plain"}${dualStack ? "-dual" : ""}`,
          masquerade,
          dualStack,
        }),
      })),
    );
    const netns = stage.pod("pod");
    // the first round makes bridges, tables and stores, and is not counted
    repeat(1 + stage.rounds(40, 5), (round) => {
      for (const { label, who, network } of inTurn(round, networks)) {
        const one = { container: `bench-${round}`, ifname: "eth0", netns };
        const addMs = network.call("ADD", one);
        const delMs = network.call("DEL", one);
        if (round === 0) continue;
        samples.add(`ADD ${label}`, who, addMs);
        samples.add(`DEL ${label}`, who, delMs);
      }
    });
    return samples.figures.map((name) => {
      const ratioBudget = BUDGETS[name];
      return {
        name,
        unit: "ms",
        samples: samples.of(name),
        ...(ratioBudget === undefined ? {} : { ratioBudget }),
      };
    });
  },
};
