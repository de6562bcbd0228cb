// Networks made bad by warren-netem and `warren impair`, as tc shows it and as echoes feel it. This machine is slow, so a
// delay is only ever a lower bound, and what is compared was measured in one go.
import { type Config, linkNames, succeed } from "../support/plugins.ts";
import type { Printed } from "../support/printed.ts";
import { type Sandbox, WARREN } from "../support/sandbox.ts";
import { seenLink } from "../support/witness.ts";
import {
  add,
  type Case,
  chained,
  collect,
  dataDirOf,
  network,
  pod,
  refusal,
  remove,
  same,
  traces,
} from "./case.ts";

const LAB = { isDefaultGateway: true };
const MARK = "1a7:";

function annotated(host: Sandbox, annotations: Readonly<Record<string, string>>, more: Config = {}): Config {
  return chained(host, "warren-netem", {
    runtimeConfig: { "io.kubernetes.cri.pod-annotations": annotations },
    ...more,
  });
}

/** Returns the disciplines of a pod's interfaces, by the interface. */
async function allDisciplines(host: Sandbox, name: string): Promise<ReadonlyMap<string, Printed[]>> {
  const all = (await host.json(["tc", "-netns", name, "-s", "-json", "qdisc", "show"])) as Printed[];
  return Map.groupBy(all, ({ dev }) => dev as string);
}

/** Returns the disciplines of an interface of a pod. */
async function disciplines(host: Sandbox, name: string): Promise<Printed[]> {
  return (await allDisciplines(host, name)).get("eth0") ?? [];
}

/** Returns the options of the netem that is at the root; undefined if there is none. */
function rootOf(found: readonly Printed[] = []): Printed | undefined {
  return found.find(({ kind, root }) => kind === "netem" && root === true)?.options;
}

/** Returns what tc says of the netem at the root of a pod's interface; undefined if there is none. */
async function rootNetem(host: Sandbox, name: string, device = "eth0"): Promise<Printed | undefined> {
  return rootOf((await allDisciplines(host, name)).get(device));
}

/** Returns the shortest of some round trips from a pod, in milliseconds. */
async function roundTrip(host: Sandbox, name: string, address: string): Promise<number> {
  const flags = ["--from", name, "--count", "3", "--timeout-ms", "10000"];
  const said = await host.text([WARREN, "lab", "ping", address, ...flags]);
  const [, times = ""] = /after (.*) ms/.exec(said) ?? [];
  return Math.min(...times.split(", ").map(Number));
}

function atLeast(actual: number, least: number, what: string): void {
  if (actual < least) throw new Error(`${what}: expected at least ${least}, got ${actual}`);
}

/** Options as words and as tc shows them. */
const OPTIONS: readonly (readonly [words: string, shown: Readonly<Record<string, unknown>>])[] = [
  [
    "delay=50ms jitter=10ms delay-correlation=25% limit=5000",
    { limit: 5000, delay: { delay: 0.05, jitter: 0.01, correlation: 0.25 } },
  ],
  [
    "delay=20ms jitter=5ms distribution=paretonormal",
    { delay: { delay: 0.02, jitter: 0.005, correlation: 0 } },
  ],
  ["loss=50% loss-correlation=25%", { "loss-random": { loss: 0.5, correlation: 0.25 } }],
  ["loss-bursts=25%,50%,75%,0%", { "loss-gemodel": { p: 0.25, r: 0.5, "1-h": 0.75, "1-k": 0 } }],
  ["duplicate=25%", { duplicate: { duplicate: 0.25, correlation: 0 } }],
  ["corrupt=50%", { corrupt: { corrupt: 0.5, correlation: 0 } }],
  [
    "delay=10ms reorder=25% reorder-correlation=50% gap=5",
    { gap: 5, reorder: { reorder: 0.25, correlation: 0.5 } },
  ],
  ["delay=100ms rate=1gbit", { limit: 16_667 }],
];

/** Sends datagrams from a pod to a port where nobody listens. */
async function sendDatagrams(host: Sandbox, name: string, address: string, count: number): Promise<void> {
  const script = `const socket = await Bun.udpSocket({});
// that nobody listens is an error of the send behind it, which then has sent nothing
const send = () => { try { return socket.send("x", 9, "${address}"); } catch { return false; } };
for (let sent = 0; sent < ${count}; sent++) { while (!send()) await Bun.sleep(1); }
process.exit(0);`;
  await host.text(["ip", "netns", "exec", name, process.execPath, "-e", script]);
}

async function impair(host: Sandbox, ...args: string[]): Promise<string> {
  return host.text([WARREN, "impair", ...args, "--data-dir", dataDirOf(host)]);
}

export const NETEM_CASES: readonly Case[] = [
  {
    name: "S3-L01 S3-L07 S3-L08 S3-L09 S3-L13 annotation lat delays what the pod sends, comes again with another value, is checked and goes",
    async run(host) {
      const lab = network(host, "warren-bridge", LAB);
      const slow = annotated(host, { lat: "50ms" });
      const target = await pod(host, "pod");
      const before = await traces(host, target);
      const second = { ...target, ifname: "eth1" };
      const prevResult = await add(host, [lab, slow], target);
      // behind the first one, so that packets to their common subnet leave by that
      await add(host, [lab], second);
      same((await rootNetem(host, "pod")).delay.delay, 0.05);
      same(await rootNetem(host, "pod", "eth1"), undefined);
      atLeast(await roundTrip(host, "pod", "10.88.0.1"), 50, "round trip of a pod with a delay of 50 ms");
      await succeed(host, "CHECK", { ...slow, prevResult }, target);
      const tc = (...words: string[]) => host.text(["tc", "-netns", "pod", ...words]);
      await tc("qdisc", "change", "dev", "eth0", "root", "netem", "delay", "51ms");
      const altered = await refusal(host, "CHECK", { ...slow, prevResult }, target);
      same([altered.code, altered.msg.includes("delay=51ms, not delay=50ms")], [103, true]);
      const faster = annotated(host, { lat: "20ms" });
      await succeed(host, "ADD", { ...faster, prevResult }, target);
      same((await rootNetem(host, "pod")).delay.delay, 0.02);
      await succeed(host, "CHECK", { ...faster, prevResult }, target);
      await tc("qdisc", "del", "dev", "eth0", "root");
      same((await refusal(host, "CHECK", { ...faster, prevResult }, target)).code, 103);
      await succeed(host, "ADD", { ...slow, prevResult }, target);
      await succeed(host, "ADD", { ...annotated(host, { lat: "0ms" }), prevResult }, target);
      same(await rootNetem(host, "pod"), undefined, "a delay of 0ms takes the one before back");
      await succeed(host, "ADD", { ...slow, prevResult }, target);
      await succeed(host, "DEL", slow, target);
      same(await rootNetem(host, "pod"), undefined, "after DEL");
      // and where no store knows of it
      await succeed(host, "ADD", { ...slow, prevResult }, target);
      await succeed(host, "DEL", { ...slow, dataDir: `${host.directory}/other` }, target);
      same(await rootNetem(host, "pod"), undefined, "after DEL without a store");
      await remove(host, [lab, slow], target);
      await remove(host, [lab], second);
      same(await traces(host, target), { ...before, links: ["cni0"] }, "what is left");
    },
  },
  {
    name: "S3-L11 every option is what tc shows of it, for what the pod sends and receives, and a queue that somebody else has is refused",
    async run(host) {
      const lab = network(host, "warren-bridge", LAB);
      const target = await pod(host, "pod");
      const prevResult = await add(host, [lab], target);
      const index = (await seenLink(host, "eth0", "pod"))?.ifindex;
      for (const [words, shown] of OPTIONS) {
        const plugin = chained(host, "warren-netem", { netem: `${words} direction=both` });
        await succeed(host, "ADD", { ...plugin, prevResult }, target);
        const all = await allDisciplines(host, "pod");
        for (const device of ["eth0", `impair${index}`]) {
          const found = rootOf(all.get(device));
          for (const [key, value] of Object.entries(shown)) {
            same(Bun.deepEquals(rounded(found[key]), value) ? value : found, value, `${words} at ${device}`);
          }
        }
        await succeed(host, "CHECK", { ...plugin, prevResult }, target);
      }
      await succeed(host, "GC", {
        ...chained(host, "warren-netem"),
        "cni.dev/valid-attachments": [],
      });
      same(
        (await disciplines(host, "pod")).map(({ kind }) => kind),
        ["noqueue"],
        "after GC",
      );
      await host.text(["tc", "-netns", "pod", "qdisc", "add", "dev", "eth0", "root", "pfifo"]);
      const slow = chained(host, "warren-netem", { netem: "delay=5ms", prevResult });
      const taken = await refusal(host, "ADD", slow, target);
      same([taken.code, taken.msg.includes("has a queueing discipline already: pfifo")], [102, true]);
      same((await disciplines(host, "pod")).length, 1);
    },
  },
  {
    name: "S3-L11 losses and duplicates come about as often as was said, and only in the direction that was said",
    async run(host) {
      const lab = network(host, "warren-bridge", LAB);
      const lossy = annotated(host, { netem: "loss=25%; peer=10.88.0.1 delay=1ms" });
      await add(host, [lab, lossy], await pod(host, "lossy"));
      await add(host, [lab, annotated(host, { netem: "duplicate=100%" })], await pod(host, "doubled"));
      const count = 400;
      await sendDatagrams(host, "lossy", "10.88.0.3", count);
      await sendDatagrams(host, "lossy", "10.88.0.1", count);
      await sendDatagrams(host, "doubled", "10.88.0.2", count);
      const all = await disciplines(host, "lossy");
      const [general, peer] = [`${MARK}1`, `${MARK}2`].map((parent) =>
        all.find((one) => one.kind === "netem" && one.parent === parent),
      );
      // of 400 packets 100 are lost, and 5 standard deviations are 43
      const share = general.drops / (general.packets + general.drops);
      same([share > 0.14, share < 0.36], [true, true], `${general.drops} of ${count} were lost`);
      same(peer.drops, 0, "of those to a peer with a rule of its own");
      const [doubled] = (await disciplines(host, "doubled")).filter(({ root }) => root === true);
      atLeast(doubled.packets, 2 * count, "packets where each is doubled");
      // the kernel lets no netem double what another one doubled
      const both = { ...chained(host, "warren-netem"), netem: "loss=1%; duplicate=1% peer=10.88.0.1" };
      const prevResult = await add(host, [lab], await pod(host, "both"));
      const refused = await refusal(
        host,
        "ADD",
        { ...both, prevResult },
        { containerId: "both", netns: "both" },
      );
      same([refused.code, refused.msg.includes("cannot mix duplicating netems")], [104, true]);
      same(
        (await disciplines(host, "both")).map(({ kind }) => kind),
        ["noqueue"],
        "after a refused ADD",
      );
    },
  },
  {
    name: "S3-L11 peers have delays of their own, in both families and directions, and all others have none",
    async run(host) {
      const lab = network(host, "warren-bridge", LAB);
      const far = annotated(host, {
        netem:
          "delay=60ms direction=both peer=10.88.0.2/31; delay=150ms peer=fd00:88::3; delay=200ms direction=ingress peer=fd00:88::/64",
      });
      // the first pod gets .2, and whoever asks .4
      await add(host, [lab], await pod(host, "near"));
      await add(host, [lab], await pod(host, "there"));
      const prevResult = await add(host, [lab, far], await pod(host, "pod"));
      const target = { containerId: "pod", netns: "pod" };
      await succeed(host, "CHECK", { ...far, prevResult }, target);
      // the first echo pays for asking where the other one is
      const gateway = await roundTrip(host, "pod", "10.88.0.1");
      const peer = await roundTrip(host, "pod", "10.88.0.3");
      atLeast(peer, 120, "round trip to a peer with 60 ms both ways");
      atLeast(peer - gateway, 60, "what the peer is farther away than the gateway");
      const gateway6 = await roundTrip(host, "pod", "fd00:88::1");
      atLeast(gateway6, 200, "round trip to a peer of the wide prefix");
      atLeast(await roundTrip(host, "pod", "fd00:88::3"), 350, "round trip to the peer of the narrow prefix");
      const shown = JSON.parse(await impair(host, "--list", "--json")) as Printed[];
      same(
        shown.map(({ container, direction, peer, rules }) => [container, direction, peer, rules]),
        [
          ["pod", "egress", "fd00:88::3/128", "delay=150ms"],
          ["pod", "egress", "10.88.0.2/31", "delay=60ms"],
          ["pod", "ingress", "fd00:88::/64", "delay=200ms"],
          ["pod", "ingress", "10.88.0.2/31", "delay=60ms"],
        ],
      );
      const drawn = await host.text([WARREN, "map", "--data-dir", dataDirOf(host)]);
      for (const line of [
        "sends to fd00:88::3/128 with delay=150ms",
        "sends to 10.88.0.2/31 with delay=60ms",
        "receives from fd00:88::/64 with delay=200ms",
        "receives from 10.88.0.2/31 with delay=60ms",
      ]) {
        same([line, drawn.split(line).length - 1], [line, 1], drawn);
      }
      same(drawn.includes("impair"), false, drawn);
    },
  },
  {
    name: "S3-L12 netem and bandwidth on one interface: a delay at the pod's end and limits at the host's, each with every verb",
    async run(host) {
      const limits = {
        ...{ ingressRate: 8_000_000, ingressBurst: 160_000, egressRate: 4_000_000, egressBurst: 80_000 },
      };
      for (const order of [0, 1]) {
        const behind = [
          chained(host, "warren-bandwidth", { runtimeConfig: { bandwidth: limits } }),
          chained(host, "warren-netem", { netem: "delay=20ms direction=both" }),
        ];
        const chain = [network(host, "warren-bridge", LAB), ...(order === 0 ? behind : behind.toReversed())];
        const target = await pod(host, `pod${order}`);
        const result = await add(host, chain, target);
        for (const config of behind) {
          if (order === 0) await succeed(host, "STATUS", config);
          await succeed(host, "CHECK", { ...config, prevResult: result }, target);
        }
        const hostEnd = result.interfaces[1].name;
        const atHost = (await host.json(["tc", "-json", "qdisc", "show", "dev", hostEnd])) as Printed[];
        same(atHost.map(({ kind }) => kind).sort(), ["ingress", "tbf"]);
        const kinds = (await disciplines(host, target.netns)).map(({ kind }) => kind);
        same(kinds.sort(), ["ingress", "netem"]);
        atLeast(await roundTrip(host, target.netns, "10.88.0.1"), 40, "round trip with 20 ms each way");
        // one order goes by DEL and the other one by GC
        const take = (configs: readonly Config[]) =>
          order === 0 ? remove(host, configs, target) : collect(host, configs);
        await take(behind);
        const left = (await disciplines(host, target.netns)).map(({ kind }) => kind);
        same(left, ["noqueue"], "in the pod");
        await take(chain.slice(0, 1));
      }
      same(await linkNames(host), ["cni0"]);
    },
  },
  {
    name: "S3-L12 netem inside bridge, ptp and macvlan, beside bandwidth where there is a pair, with every verb",
    async run(host) {
      const limits = {
        ingressRate: 8_000_000,
        ingressBurst: 160_000,
        egressRate: 4_000_000,
        egressBurst: 80_000,
      };
      await host.text(["ip", "link", "add", "uplink", "type", "dummy"]);
      await host.text(["ip", "link", "set", "uplink", "up"]);
      for (const [type, more] of [
        ["warren-bridge", { ...LAB, bandwidth: limits }],
        ["warren-ptp", { bandwidth: limits }],
        ["warren-macvlan", { master: "uplink" }],
      ] as const) {
        const target = await pod(host, type);
        const annotations = { lat: "20ms" };
        const config = {
          ...network(host, type, more),
          netem: { netem: "loss=50%", onMissing: "ignore" },
          runtimeConfig: { "io.kubernetes.cri.pod-annotations": annotations },
        };
        const before = await traces(host, target);
        await succeed(host, "STATUS", config);
        const { document } = await succeed(host, "ADD", config, target);
        const current = { ...config, prevResult: document };
        same((await rootNetem(host, type)).delay.delay, 0.02, type);
        const ends = JSON.parse(await host.text(["tc", "-json", "qdisc", "show"])) as Printed[];
        same(ends.filter(({ kind }) => kind === "tbf").length, "bandwidth" in more ? 2 : 0, type);
        await succeed(host, "CHECK", current, target);
        const shown = JSON.parse(await impair(host, "--list", "--json")) as Printed[];
        same(
          shown.map(({ container, rules }) => [container, rules]),
          [[type, "delay=20ms"]],
        );
        await host.text(["tc", "-netns", type, "qdisc", "del", "dev", "eth0", "root"]);
        same((await refusal(host, "CHECK", current, target)).code, 103, type);
        // back to what ADD set, by what is written down
        await impair(host, type, "delay=1ms");
        await impair(host, type, "--clear");
        await succeed(host, "CHECK", current, target);
        if (type === "warren-ptp") await collect(host, [config]);
        else await succeed(host, "DEL", network(host, type, more), target);
        const after = await traces(host, target);
        same({ ...after, links: [] }, { ...before, links: [] }, `what is left of ${type}`);
      }
    },
  },
  {
    name: "warren impair: now, for a while, until a signal, and back to what the annotation wants",
    async run(host) {
      const chain = [network(host, "warren-bridge", LAB), annotated(host, { lat: "5ms" })];
      await add(host, chain, await pod(host, "pod"));
      await add(host, chain.slice(0, 1), await pod(host, "plain"));
      const delayOf = async (name: string) => (await rootNetem(host, name))?.delay.delay;
      same((await impair(host, "plain", "delay=70ms", "loss=0.5%")).includes("delay=70ms loss=0.5%"), true);
      same(await delayOf("plain"), 0.07);
      await impair(host, "plain", "--clear");
      same(await delayOf("plain"), undefined);
      const shown = await impair(host, "pod", "delay=80ms", "--for", "300ms");
      same([shown.includes("delay=80ms"), await delayOf("pod")], [true, 0.005], "after its time");
      const waiting = host.start([
        ...[WARREN, "impair", "/run/netns/pod", "delay=90ms", "--for", "1000s"],
        ...["--data-dir", dataDirOf(host)],
      ]);
      while ((await delayOf("pod")) !== 0.09) await Bun.sleep(100);
      waiting.kill("SIGINT");
      same([await waiting.exited, await delayOf("pod")], [130, 0.005], "after Ctrl-C");
      // after kill -9 it stays, until --clear
      const killed = host.start([
        WARREN,
        "impair",
        "pod",
        "delay=90ms",
        "--for",
        "1000s",
        "--data-dir",
        dataDirOf(host),
      ]);
      while ((await delayOf("pod")) !== 0.09) await Bun.sleep(100);
      killed.kill("SIGKILL");
      await killed.exited;
      same(await delayOf("pod"), 0.09, "after kill -9");
      await impair(host, "pod", "--clear");
      same(await delayOf("pod"), 0.005, "after --clear");
    },
  },
  {
    name: "warren lab latency draws a wall before and a curve after",
    // it compares round trips with and without a delay, and on one processor others make either longer
    alone: true,
    async run(host) {
      const said = await host.text([WARREN, "lab", "latency"]);
      same((said.match(/60 echoes from pod1/g) ?? []).length, 3);
      same(said.includes("the same echoes, and a curve where there was a wall"), true);
      same(said.includes("nothing is left"), true);
    },
  },
];

/** The kernel's probabilities are parts of 2^32. */
function rounded(value: Printed): Printed {
  if (typeof value === "number") return Number(value.toPrecision(6));
  if (typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, rounded(one)]));
}
