// A mesh of a thousand nodes, as one of them sees it: what it takes to tell the tunnel of all the others at once, of one more,
// and of nothing new, by `warren node sync`; what the same entries take by iproute2, which gets them in two files; and how soon
// a change in the store is in the kernel of a node whose daemon follows it.
import { writeFileSync } from "node:fs";
import { assertSuccess } from "../command.ts";
import { timeChanges } from "../following.ts";
import { assertDone, type Run, timed, writeInput } from "../process.ts";
import { type Comparison, repeat, Samples, type Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";

const PEERS = 1000;

/** Of the node itself, on a network that it has with all others. */
const ADDRESS = "172.16.255.1";

/** Where the tunnel is, as iproute2 names it. */
const TUNNEL = { netns: "wg", device: "vxlan0" };

/** A peer of the configuration, the first of which has the number 1. */
function peer(number: number): object {
  const place = `${number >> 8}.${number & 255}`;
  return { name: `node${number}`, address: `172.16.${place}`, nodeCIDRs: [`10.${place}.0/24`] };
}

/** The three entries that a vxlan has of a peer, in the words of `ip -batch` and `bridge -batch`. */
function entries(number: number): { readonly ip: string; readonly bridge: string } {
  const place = `${number >> 8}.${number & 255}`;
  const bytes = [10, number >> 8, number & 255, 2].map((byte) => byte.toString(16).padStart(2, "0"));
  const hardwareAddress = `0e:58:${bytes.join(":")}`;
  const { device } = TUNNEL;
  return {
    ip: `neigh replace 10.${place}.2 lladdr ${hardwareAddress} nud permanent dev ${device}\nroute replace 10.${place}.0/24 via 10.${place}.2 dev ${device} onlink\n`,
    bridge: `fdb replace ${hardwareAddress} dev ${device} dst 172.16.${place} self permanent\n`,
  };
}

export const mesh: Scenario = {
  name: "mesh",
  about: `node sync with ${PEERS} peers over vxlan, beside iproute2 with the same entries, and a change in the store`,
  async run(stage: Stage): Promise<Comparison[]> {
    const warren = stage.contestants.find(({ name }) => name === "warren");
    if (warren === undefined) throw new Error("Warren is not among the contestants");
    const underlay = [
      "link add under type bridge",
      `address add ${ADDRESS}/12 dev under`,
      "link set under up",
    ];
    for (const line of underlay) assertSuccess(["ip", ...line.split(" ")]);
    const config = stage.file("mesh.json");
    const nothing = writeInput(stage.file("mesh.in"), {});
    const all = Array.from({ length: PEERS }, (_, index) => entries(index + 1));
    const know = (count: number) =>
      writeFileSync(
        config,
        JSON.stringify({
          ...{ clusterCIDRs: ["10.0.0.0/12"], backend: "vxlan", address: ADDRESS },
          ...{ nodeCIDRs: ["10.0.0.0/24"], dataDir: stage.file("mesh") },
          conflist: stage.file("mesh.conflist"),
          peers: Array.from({ length: count }, (_, index) => peer(index + 1)),
        }),
      );
    const done = (file: string, ...words: readonly string[]): number => {
      const output = stage.file("mesh.out");
      const run: Run = { file, arguments: words, env: { CNI_PATH: warren.folder }, input: nothing, output };
      const ended = timed(run);
      assertDone(run, ended);
      return ended.ms;
    };
    const node = (verb: string) => done(`${warren.folder}/warren`, "node", verb, "--config", config);
    const sync = (count: number) => {
      know(count);
      return node("sync");
    };
    const [ip, bridge] = ["ip", "bridge"].map((name) => Bun.which(name) ?? name) as [string, string];
    const files = { ip: stage.file("mesh.ip"), bridge: stage.file("mesh.bridge") };
    for (const program of ["ip", "bridge"] as const) {
      writeFileSync(files[program], all.map((one) => one[program]).join(""));
    }
    const samples = new Samples();
    know(0);
    node("up");
    repeat(1 + stage.rounds(10, 2), (round) => {
      const ms = { new: sync(PEERS), same: sync(PEERS), more: sync(PEERS + 1), gone: sync(0) };
      const batches =
        done(ip, "-n", TUNNEL.netns, "-batch", files.ip) +
        done(bridge, "-n", TUNNEL.netns, "-batch", files.bridge);
      sync(0);
      if (round === 0) return;
      samples.add("new", "warren", ms.new);
      samples.add("new", "iproute2", batches);
      samples.add("same", "warren", ms.same);
      samples.add("more", "warren", ms.more);
      samples.add("gone", "warren", ms.gone);
    });
    node("down");
    const changes = await timeChanges(stage, `${warren.folder}/warren`, ADDRESS, stage.rounds(50, 3));
    for (const ms of changes) samples.add("change", "warren", ms);
    return [
      {
        name: `${PEERS} peers, all new`,
        unit: "ms",
        samples: samples.of("new"),
        ratioOf: ["warren", "iproute2"],
      },
      { name: `${PEERS} peers, none new`, unit: "ms", samples: samples.of("same") },
      { name: `${PEERS} peers, and one that is new`, unit: "ms", samples: samples.of("more") },
      { name: `${PEERS} peers, all gone`, unit: "ms", samples: samples.of("gone") },
      { name: "a change in the store, until the peer is set", unit: "ms", samples: samples.of("change") },
    ];
  },
};
