// STATUS, which runtimes ask every few seconds. Warren's commits a write and looks for a free address; the
// reference's asks nobody.
import { Network } from "../network.ts";
import { type Comparison, inTurn, repeat, Samples, type Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";

export const status: Scenario = {
  name: "status",
  about: "STATUS of bridge and IPAM",
  run(stage: Stage): Comparison[] {
    const samples = new Samples();
    const networks = stage.contestants.map(
      (contestant) => new Network(stage, contestant, { name: "status", masquerade: true }),
    );
    const attachmentOf = ({ contestant }: Network) => ({
      container: "status",
      ifname: "eth0",
      netns: stage.pod(`status-${contestant.name}`),
    });
    for (const network of networks) network.call("ADD", attachmentOf(network));
    repeat(1 + stage.rounds(40, 5), (round) => {
      for (const network of inTurn(round, networks)) {
        const ms = network.call("STATUS", attachmentOf(network));
        if (round > 0) samples.add("STATUS", network.contestant.name, ms);
      }
    });
    for (const network of networks) network.call("DEL", attachmentOf(network));
    return [{ name: "STATUS", unit: "ms", samples: samples.of("STATUS") }];
  },
};
