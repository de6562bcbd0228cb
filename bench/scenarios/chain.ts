// A container with all that a pod usually has: bridge, masquerade, two port maps, a limit of its traffic and the
// firewall. As a chain of four plugins, which is the only way of the reference, and in one process.
import { Network, type NetworkSettings } from "../network.ts";
import { type Comparison, inTurn, repeat, Samples, type Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";

const CHAIN: Readonly<Record<string, object>> = { portmap: {}, bandwidth: {}, firewall: {} };

const RUNTIME_CONFIG = {
  portMappings: [
    { hostPort: 18_080, containerPort: 80, protocol: "tcp" },
    { hostPort: 18_443, containerPort: 443, protocol: "tcp" },
  ],
  bandwidth: {
    ingressRate: 100_000_000,
    ingressBurst: 8_000_000,
    egressRate: 100_000_000,
    egressBurst: 8_000_000,
  },
};

export const chain: Scenario = {
  name: "chain",
  about: "ADD and DEL of bridge, portmap (2 ports), bandwidth and firewall, chained and in one process",
  run(stage: Stage): Comparison[] {
    const samples = new Samples();
    const settings: NetworkSettings = { name: "chain", masquerade: true, chain: CHAIN };
    const networks = stage.contestants.flatMap((contestant) => [
      { who: contestant.name, network: new Network(stage, contestant, settings) },
      ...(contestant.isWarren
        ? [
            {
              who: `${contestant.name} fused`,
              network: new Network(stage, contestant, { ...settings, name: "fused", fused: true }),
            },
          ]
        : []),
    ]);
    const netns = stage.pod("pod");
    repeat(1 + stage.rounds(20, 3), (round) => {
      for (const { who, network } of inTurn(round, networks)) {
        const one = { container: `chain-${round}`, ifname: "eth0", netns, runtimeConfig: RUNTIME_CONFIG };
        const addMs = network.call("ADD", one);
        const delMs = network.call("DEL", one);
        if (round === 0) continue;
        samples.add("ADD chain", who, addMs);
        samples.add("DEL chain", who, delMs);
      }
    });
    const fusedTo = (name: string, who: "warren" | "warren fused", ratioBudget?: number): Comparison => {
      const all = samples.of(name);
      return {
        name: `${name}, ${who === "warren" ? "four processes" : "one process"}`,
        unit: "ms",
        samples: Object.fromEntries(
          Object.entries(all).filter(
            ([key]) => key.endsWith(" fused") === (who !== "warren") || key === "reference",
          ),
        ),
        ratioOf: [who, "reference"],
        ...(ratioBudget === undefined ? {} : { ratioBudget }),
      };
    };
    return [
      fusedTo("ADD chain", "warren", 0.6),
      fusedTo("ADD chain", "warren fused", 0.2),
      fusedTo("DEL chain", "warren"),
      fusedTo("DEL chain", "warren fused"),
    ];
  },
};
