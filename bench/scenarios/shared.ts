// Many nodes on one pool: ADD with the leases in PostgreSQL next to ADD with each node's own file, one at a time and ten nodes
// with twenty ADDs each at once. What the database costs is a connection and a dozen round trips.
import { executable } from "../contestant.ts";
import { Database } from "../database.ts";
import { assertDone, type Run, timed, timedTogether, writeInput } from "../process.ts";
import { type Comparison, inTurn, repeat, Samples, type Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";

const NODES = 10;
const PODS = 20;

export const shared: Scenario = {
  name: "shared",
  about: `ADD of the IPAM plugin alone on PostgreSQL, and ${NODES} nodes with ${PODS} ADDs each at once`,
  async run(stage: Stage): Promise<Comparison[]> {
    await using database = await Database.start();
    const warren = stage.contestants.find(({ name }) => name === "warren");
    if (warren === undefined) throw new Error("Warren is not among the contestants");
    const netns = stage.pod("pod");
    const samples = new Samples();
    const storesOf = (store: string, node: string) =>
      store === "file" ? {} : { store: { postgres: { ...database.settings, nodeName: node } } };
    const stores = ["file", "postgres"].map((store) => {
      const inputs = Array.from({ length: NODES }, (_, index) => {
        const node = `node${index}`;
        const dataDir = stage.dataDir(warren, `shared-${store}-${node}`);
        const ipam = { type: "warren-ipam", subnet: "10.9.0.0/16", dataDir, ...storesOf(store, node) };
        const config = { cniVersion: "1.1.0", name: "shared", type: "warren-ipam", ipam };
        return writeInput(stage.file(`shared-${store}-${node}.in`), config);
      });
      const call = (verb: string, node: number, pod: number): Run => ({
        file: executable(warren, "ipam"),
        env: {
          CNI_COMMAND: verb,
          CNI_PATH: warren.folder,
          CNI_CONTAINERID: `pod${pod}`,
          CNI_NETNS: netns,
          CNI_IFNAME: "eth0",
        },
        input: inputs[node] ?? "",
        output: stage.file(`shared-${store}-${node}-${pod}.out`),
      });
      return { store, call };
    });
    const done = (run: Run): number => {
      const ended = timed(run);
      assertDone(run, ended);
      return ended.ms;
    };
    repeat(1 + stage.rounds(30, 3), (round) => {
      for (const { store, call } of inTurn(round, stores)) {
        const ms = done(call("ADD", 0, 0));
        done(call("DEL", 0, 0));
        if (round > 0) samples.add("one", store, ms);
      }
    });
    const everybody = Array.from(
      { length: NODES * PODS },
      (_, at) => [at % NODES, Math.floor(at / NODES)] as const,
    );
    repeat(1 + stage.rounds(5, 1), (round) => {
      for (const { store, call } of inTurn(round, stores)) {
        const ended = timedTogether(everybody.map(([node, pod]) => call("ADD", node, pod)));
        // whoever waited for too long is told to try again, and a runtime does
        const again = ended.filter(({ exitCode }) => exitCode !== 0);
        for (const { run } of again) done(run);
        if (again.length > 0) console.log(`${store}: ${again.length} of ${ended.length} had to try again`);
        for (const [node, pod] of everybody) done(call("DEL", node, pod));
        if (round === 0) continue;
        for (const { ms } of ended) samples.add("each", store, ms);
        samples.add("all", store, Math.max(...ended.map(({ ms }) => ms)));
      }
    });
    const ratioOf = ["postgres", "file"] as const;
    return [
      { name: "IPAM ADD", unit: "ms", samples: samples.of("one"), ratioOf },
      { name: `${NODES} nodes x ${PODS} ADDs, total`, unit: "ms", samples: samples.of("all"), ratioOf },
      { name: `${NODES} nodes x ${PODS} ADDs, each`, unit: "ms", samples: samples.of("each"), ratioOf },
    ];
  },
};
