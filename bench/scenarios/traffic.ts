// What the rules cost those who send: packets and new connections a second, out through the NAT and in through a port
// map, with 1, 100 and 1,000 pods configured. A packet of a known connection asks no rule; a new one asks them all.
import { join } from "node:path";
import { inNetns, openNetns } from "../../src/net/netns.ts";
import { assertSuccess } from "../command.ts";
import type { Contestant } from "../contestant.ts";
import { type Attachment, Network } from "../network.ts";
import { addRules, copiedRules, currentRules, type PodRules } from "../reference-rules.ts";
import { type Comparison, Samples, type Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";

const FLOOD = join(import.meta.dir, "../flood.ts");
const OUTSIDE = "192.0.2.2";
const HOST = "192.0.2.1";
const POD_PORT = 80;
const OUTSIDE_PORT = 8000;
const FIRST_HOST_PORT = 20_000;

/** A host with pods, and a machine outside of it. */
interface Host {
  readonly who: string;
  /** The namespaces of the measured pod and of the machine outside. */
  readonly pod: string;
  readonly outside: string;
  readonly hostPort: number;
}

export const traffic: Scenario = {
  name: "traffic",
  about: "packets and new connections a second through NAT and port maps, with 1, 100 and 1,000 pods",
  async run(stage: Stage): Promise<Comparison[]> {
    const comparisons: Comparison[] = [];
    for (const pods of stage.quick ? [1, 100] : [1, 100, 1000]) {
      const hosts = stage.contestants.map((contestant) => hostWith(stage, contestant, pods));
      comparisons.push(...(await compare(hosts, pods, stage.rounds(5, 2))));
    }
    return comparisons;
  },
};

async function compare(hosts: readonly Host[], pods: number, rounds: number): Promise<Comparison[]> {
  const samples = new Samples();
  for (let round = 0; round < rounds; round++) {
    for (const { who, pod, outside, hostPort } of hosts) {
      const out = { from: pod, to: outside, address: OUTSIDE, port: OUTSIDE_PORT, listen: OUTSIDE_PORT };
      const inward = { from: outside, to: pod, address: HOST, port: hostPort, listen: POD_PORT };
      samples.add("new connections, NAT", who, await connectionRate(out));
      samples.add("new connections, port map", who, await connectionRate(inward));
      samples.add("packets, NAT", who, await packetRate(out));
      samples.add("packets, port map", who, await packetRate(inward));
    }
  }
  return samples.figures.map((figure) => ({
    name: `${figure}, ${pods.toLocaleString("en")} ${pods === 1 ? "pod" : "pods"}`,
    unit: "1/s",
    samples: samples.of(figure),
  }));
}

/** Makes a host whose rules are those of this many pods; the measured one is in the middle. */
function hostWith(stage: Stage, contestant: Contestant, pods: number): Host {
  const name = `${contestant.name}-${pods}`;
  const [host, outside, pod, crowd] = ["host", "out", "pod", "crowd"].map((kind) => {
    stage.pod(`${kind}-${name}`);
    return `${kind}-${name}`;
  }) as [string, string, string, string];
  const ip = (namespace: string, command: string) =>
    assertSuccess(["ip", "-n", namespace, ...command.split(" ")]);
  for (const namespace of [host, outside, pod, crowd]) ip(namespace, "link set lo up");
  ip(host, `link add out0 type veth peer name eth0 netns ${outside}`);
  ip(host, `addr add ${HOST}/24 dev out0`);
  ip(host, "link set out0 up");
  ip(outside, `addr add ${OUTSIDE}/24 dev eth0`);
  ip(outside, "link set eth0 up");

  const network = new Network(stage, contestant, {
    name: `traffic-${pods}`,
    store: `traffic-${pods}`,
    masquerade: true,
    chain: { portmap: {} },
    fused: contestant.isWarren,
  });
  const middle = Math.floor(pods / 2);
  const attachmentOf = (index: number, namespace: string): Attachment => ({
    container: `pod-${index}`,
    ifname: namespace === pod ? "eth0" : `eth${index}`,
    netns: stage.pod(namespace),
    runtimeConfig: {
      portMappings: ["tcp", "udp"].map((protocol) => ({
        hostPort: FIRST_HOST_PORT + index,
        containerPort: POD_PORT,
        protocol,
      })),
    },
  });
  const measured = attachmentOf(middle, pod);
  using opened = openNetns(stage.pod(host));
  inNetns(opened, () => {
    if (contestant.isWarren || pods === 1) {
      for (let index = 0; index < pods; index++) {
        network.call("ADD", index === middle ? measured : attachmentOf(index, crowd));
      }
      return;
    }
    // one pod as the pattern; when it goes, the chains that all pods share stay
    network.call("ADD", measured);
    const pattern = rulesOf(middle, addressIn(pod));
    const rules = currentRules();
    network.call("DEL", measured);
    const copies = (from: number, to: number) => {
      const others = Array.from({ length: to - from }, (_, at) =>
        rulesOf(from + at, `10.${contestant.octet}.${100 + ((from + at) >> 8)}.${(from + at) & 0xff}`),
      );
      addRules(copiedRules(rules, pattern, others));
    };
    copies(0, middle);
    network.call("ADD", measured);
    copies(middle + 1, pods);
  });
  return { who: contestant.name, pod, outside, hostPort: FIRST_HOST_PORT + middle };
}

function rulesOf(index: number, address: string): PodRules {
  return { address, hostPort: FIRST_HOST_PORT + index, container: `pod-${index}` };
}

/** Returns the IPv4 address of a pod. */
function addressIn(pod: string): string {
  const [link] = JSON.parse(assertSuccess(["ip", "-n", pod, "-j", "-4", "addr", "show", "dev", "eth0"]));
  return link.addr_info[0].local;
}

/** Who sends and who answers; where `listen` is the port at the end of the way. */
interface Way {
  readonly from: string;
  readonly to: string;
  readonly address: string;
  readonly port: number;
  readonly listen: number;
}

const SECONDS = 1;

function flood(namespace: string, command: string, ...rest: readonly (string | number)[]) {
  const args = ["ip", "netns", "exec", namespace, process.execPath, FLOOD, command, ...rest.map(String)];
  return Bun.spawn(args, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
}

/** Runs `work` while a server answers; returns what it returns. */
async function served<T>(way: Way, command: string, work: () => Promise<T>): Promise<T> {
  const server = flood(way.to, command, way.listen);
  try {
    const reader = server.stdout.getReader();
    const { value } = await reader.read();
    if (new TextDecoder().decode(value).trim() !== "ready")
      throw new Error(`no server on port ${way.listen}`);
    return await work();
  } finally {
    server.kill("SIGKILL");
    await server.exited;
  }
}

async function connectionRate(way: Way): Promise<number> {
  return served(way, "accept", async () => {
    const client = flood(way.from, "connect", way.address, way.port, SECONDS);
    const made = Number(await new Response(client.stdout).text());
    if (!(made > 0)) throw new Error(`no connection from ${way.from} to ${way.address}:${way.port}`);
    return made / SECONDS;
  });
}

async function packetRate(way: Way): Promise<number> {
  return served(way, "swallow", async () => {
    const before = received(way.to);
    const client = flood(way.from, "send", way.address, way.port, SECONDS);
    await client.exited;
    const packets = received(way.to) - before;
    if (!(packets > 100)) throw new Error(`no packets from ${way.from} to ${way.address}:${way.port}`);
    return packets / SECONDS;
  });
}

function received(namespace: string): number {
  const [link] = JSON.parse(
    assertSuccess(["ip", "-n", namespace, "-j", "-s", "link", "show", "dev", "eth0"]),
  );
  return link.stats64.rx.packets;
}
