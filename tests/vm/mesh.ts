// The mesh of nodes over wireguard, which the test host's kernel does not have: two nodes on one wire, a pod on each, and
// wg as the witness.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseAddress } from "../../src/ip/address.ts";
import { EchoSocket } from "../../src/net/echo.ts";
import { openNetns } from "../../src/net/netns.ts";
import { PrivateKey } from "../../src/net/wireguard-key.ts";
import { isSystemError } from "../../src/sys/libc.ts";
import { type MeshNodeStage, MeshStage } from "../support/mesh.ts";
import type { Printed } from "../support/printed.ts";
import { type Sandbox, WARREN } from "../support/sandbox.ts";
import { answers, type Case, holds, ip, same } from "./case.ts";
import { onTheWire, watchWire } from "./wireguard.ts";

const PORT = 28384;
const ANSWER_TIMEOUT_MS = 20_000;

/** How the nodes of a case reach each other, and what is left for pods of a wire's 1500 bytes. */
interface Underlay {
  readonly address: (number: number) => string;
  readonly endpoint: (number: number) => string;
  readonly mtu: number;
}
const OVER_IPV4: Underlay = {
  address: (number) => `192.0.2.${number}`,
  endpoint: (number) => `192.0.2.${number}:${PORT}`,
  mtu: 1440,
};
const OVER_IPV6: Underlay = {
  address: (number) => `2001:db8::${number}`,
  endpoint: (number) => `[2001:db8::${number}]:${PORT}`,
  mtu: 1420,
};

/** What `node up` says where all is there and the other node known. */
const UNCHANGED = ["left 1 peer as it was", "everything of this node is there"];

const blocksOf = (number: number) => [`10.244.${number}.0/24`, `fd00:244:0:${number}::/64`];

/** Gives each node a key, as an operator does who brings one, and tells it of the others; returns the keys. */
async function configure(nodes: readonly MeshNodeStage[], { address }: Underlay): Promise<PrivateKey[]> {
  const keys = nodes.map(() => PrivateKey.generate());
  const peers = await Promise.all(
    nodes.map(async ({ number, name }, index) => ({
      name,
      address: address(number),
      publicKey: await keys[index]?.publicKey(),
      nodeCIDRs: blocksOf(number),
    })),
  );
  for (const [index, node] of nodes.entries()) {
    const keyFile = join(node.config.dataDir as string, "mesh.key");
    mkdirSync(dirname(keyFile), { recursive: true, mode: 0o700 });
    writeFileSync(keyFile, `${keys[index]?.spell()}\n`, { mode: 0o600 });
    await node.configure({
      backend: "wireguard",
      address: address(node.number),
      clusterCIDRs: ["10.244.0.0/16", "fd00:244::/48"],
      nodeCIDRs: blocksOf(node.number),
      peers: peers.filter(({ name }) => name !== node.name),
    });
  }
  return keys;
}

/** Returns what `wg show wg0` says on a node, one line for each peer. */
export async function wg(node: MeshNodeStage, what: string): Promise<string[]> {
  const command = ["ip", "netns", "exec", `wg${node.number}`, "wg", "show", "wg0", what];
  return (await node.sandbox.text(command)).trim().split("\n");
}

/** True if a packet of this many bytes gets whole from a pod to an address; false if that is refused on the way. */
function passes(stage: MeshStage, pod: string, to: string, bytes: number): boolean {
  using netns = openNetns(`/proc/${stage.sandbox.pid}/root/run/netns/${pod}`);
  const address = parseAddress(to);
  if (address === undefined) throw new Error(to);
  using socket = EchoSocket.open(netns, address);
  socket.refuseFragments();
  try {
    socket.send(1, bytes - (address.family === 4 ? 28 : 48));
    const answer = socket.receive(ANSWER_TIMEOUT_MS);
    if (answer === undefined) throw new Error(`${bytes} bytes to ${to}: neither an answer nor a refusal`);
    return true;
  } catch (error) {
    if (isSystemError(error, "EMSGSIZE")) return false;
    throw error;
  }
}

/** Two nodes, each with a pod, that talk over this underlay, and over nothing else. */
async function talk(stage: MeshStage, underlay: Underlay): Promise<void> {
  const [one, two] = [stage.node(1), stage.node(2)];
  const keys = await configure(stage.nodes, underlay);
  // with every message of netlink in the log
  const up = await one.run([WARREN, "node", "up", "--config", one.configFile], { WARREN_NLDEBUG: "1" });
  same(up.exitCode, 0, up.stderr.slice(-2000));
  for (const key of keys) {
    const hidden = [key.spell(), Buffer.from(key.reveal()).toString("hex").replace(/../g, "$& ").trim()];
    same(
      hidden.filter((text) => `${up.stdout}${up.stderr}`.includes(text)),
      [],
      "a private key",
    );
  }
  await two.node("up");
  // before it was, it refused what the first one sent, as any host does
  for (const node of stage.nodes) await watchWire(stage.sandbox, node.name);
  await one.attach("pod1");
  const addresses = (await two.attach("pod2")).map((address) => address.replace(/\/.*/, ""));
  same(addresses, ["10.244.2.3", "fd00:244:0:2::3"]);
  const fits = () =>
    addresses.map((address) =>
      [1400, underlay.mtu, underlay.mtu + 1].map((bytes) => passes(stage, "pod1", address, bytes)),
    );
  const asTheyShould = addresses.map(() => [true, true, false]);
  same(fits(), asTheyShould, "whole packets of a pod");
  // of one that knows nothing of it, too: then its node says so
  await ip(stage.sandbox, ["link set eth0 mtu 1500"], "pod1");
  same(fits(), asTheyShould, "whole packets of a pod with a larger MTU");

  const shown: Printed = JSON.parse(
    await one.text([WARREN, "node", "show", "--json", "--config", one.configFile]),
  );
  const [peer] = shown.peers;
  holds(shown, { complete: true, backend: "wireguard", mtu: underlay.mtu });
  holds(peer, { name: "node2", known: true, endpoint: underlay.endpoint(2), nodeCIDRs: blocksOf(2) });
  const publicKey = await keys[1]?.publicKey();
  const seconds = Math.floor(Date.parse(peer.lastHandshake) / 1000);
  same(seconds > 0, true, "a handshake");
  same(await wg(one, "latest-handshakes"), [`${publicKey}\t${seconds}`]);
  same(await wg(one, "endpoints"), [`${publicKey}\t${underlay.endpoint(2)}`]);
  same(await wg(one, "allowed-ips"), [`${publicKey}\t${blocksOf(2).join(" ")}`]);
  same(await one.node("up"), UNCHANGED, "up again");
  for (const { name } of stage.nodes) {
    const { tunnel, other } = await onTheWire(stage.sandbox, name);
    same([tunnel >= 8, other], [true, 0], `packets to ${name}`);
  }
}

/** What somebody does to the device of a node, and that nothing is left of it when the node goes down. */
async function takeApart(stage: MeshStage, before: Printed): Promise<void> {
  const one = stage.node(1);
  await ip(stage.sandbox, ["link set wg0 netns node1"], "wg1");
  await one.node("up");
  same(await answers(stage.sandbox, "10.244.2.3", "pod1"), true);
  await ip(stage.sandbox, ["link add wg0 type wireguard", 'link set wg0 alias "warren mesh mesh"'], "node1");
  // the kernel takes a namespace's interfaces away some time after the namespace, and one that is named at once
  await ip(stage.sandbox, ["link del eth0"], "pod1");
  await stage.sandbox.text(["ip", "netns", "del", "pod1"]);
  await one.node("down");
  same(await stateOf(one), before, "what is left");
}

/** Returns what there is on a node, in its kernel. */
export async function stateOf(node: MeshNodeStage): Promise<Printed> {
  const names = async (what: string) =>
    ((await node.sandbox.json(["ip", "-netns", node.name, "-json", ...what.split(" ")])) as Printed[]).map(
      ({ ifname, dst, name }) => ifname ?? dst ?? name,
    );
  const rules = await node.text(["nft", "list", "ruleset", "inet"]);
  return {
    links: await names("link"),
    routes: await names("route"),
    namespaces: (await names("netns")).filter((name) => !/^(node|pod|wg2)/.test(name)),
    rules: rules.replace(/table inet warren \{\s*\}\s*/, ""),
  };
}

export const MESH_CASES: readonly Case[] = [
  {
    name: "S3-W02 S3-W03 S3-W07 S3-W09 pods of two nodes talk by wireguard over IPv4 and by nothing else, until a node goes down",
    async run(host) {
      const stage = await MeshStage.on(host, 2);
      const before = await stateOf(stage.node(1));
      await talk(stage, OVER_IPV4);
      await takeApart(stage, before);
    },
  },
  {
    name: "S3-W03 S3-W09 S3-W14 pods of two nodes talk by wireguard over IPv6 and by nothing else",
    run: async (host) => talk(await MeshStage.on(host, 2), OVER_IPV6),
  },
  // the other suites play them by vxlan; their own words fail where a ping or what is on the wire is not as told
  ...(
    [
      ["S3-W06", "mesh", "on the wire there is only UDP between the nodes"],
      ["S3-W15", "poc", "interfaces, namespaces, rules, routes and forwarding are as they were"],
    ] as const
  ).map(([row, lab, end]) => ({
    name: `${row} the lab ${lab} by wireguard`,
    async run(host: Sandbox) {
      const told = await host.text([WARREN, "lab", lab]);
      const said = told.replace(/\s+/g, " ");
      same(
        ["tunnel is wireguard", "made tunnel wg0", end].filter((words) => !said.includes(words)),
        [],
        told,
      );
    },
  })),
];
