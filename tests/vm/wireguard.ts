// Wireguard devices: the test host's kernel has none. Two nodes on one wire, each with a namespace in which its device is,
// as the mesh has them, told of each other by what Warren itself is made of, and seen by wg.
import { parseAddress } from "../../src/ip/address.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { connectInside } from "../../src/net/connection.ts";
import { type Netns, openNetns } from "../../src/net/netns.ts";
import {
  createWireguard,
  type PeerChanges,
  peerChanges,
  startWireguard,
  WireguardControl,
  type WireguardDevice,
  type WireguardPeer,
} from "../../src/net/wireguard.ts";
import { formatPublicKey, PrivateKey } from "../../src/net/wireguard-key.ts";
import type { Sandbox } from "../support/sandbox.ts";
import { answers, type Case, holds, ip, same } from "./case.ts";

const PORT = 28384;

/** Returns what `parse` makes of the text, which it can read. */
function read<T>(parse: (text: string) => T | undefined, text: string): T {
  const value = parse(text);
  if (value === undefined) throw new Error(text);
  return value;
}

function namespaceOf(host: Sandbox, name: string): Netns {
  return openNetns(`/proc/${host.pid}/root/run/netns/${name}`);
}

/** A node with a device, of which only the kernel and this test know. */
class Node {
  private constructor(
    readonly host: Sandbox,
    readonly number: number,
    readonly publicKey: string,
  ) {}

  get netns(): string {
    return `tunnel${this.number}`;
  }

  /** Makes the node's device, with an address of each family in its namespace. */
  static async create(host: Sandbox, number: number): Promise<Node> {
    const privateKey = PrivateKey.generate();
    const node = new Node(host, number, await privateKey.publicKey());
    await host.addNetns(node.netns);
    using outside = namespaceOf(host, `node${number}`);
    using inside = namespaceOf(host, node.netns);
    using hostSocket = connectInside(outside);
    using socket = connectInside(inside);
    const settings = { name: "wg0", mtu: 1420, alias: "warren mesh" };
    const link = createWireguard(hostSocket, inside, socket, settings);
    using control = WireguardControl.open(inside);
    const identity = { privateKey, publicKey: node.publicKey, listenPort: PORT };
    same(control.setIdentity("wg0", node.device(), identity), ["key", "port"]);
    startWireguard(socket, link.index, PORT);
    same(control.setIdentity("wg0", node.device(), identity), []);
    const lines = [
      `addr add 10.244.${number}.2/32 dev wg0`,
      `addr add fd00:244:${number}::2/128 dev wg0`,
      "route add 10.244.0.0/16 dev wg0",
      "route add fd00:244::/32 dev wg0",
    ];
    await ip(host, lines, node.netns);
    return node;
  }

  /** The node as a peer of others. */
  peer(address: string): WireguardPeer {
    const blocks = [`10.244.${this.number}.0/24`, `fd00:244:${this.number}::/64`];
    return {
      publicKey: this.publicKey,
      endpoint: { address: read(parseAddress, address), port: PORT },
      allowedPrefixes: blocks.map((text) => read(parsePrefix, text)),
      keepaliveSeconds: 0,
    };
  }

  device(): WireguardDevice {
    using inside = namespaceOf(this.host, this.netns);
    using control = WireguardControl.open(inside);
    const device = control.read("wg0");
    if (device === undefined) throw new Error("no wg0");
    return device;
  }

  /** Brings the peers in line with those that are wanted, and returns what that took. */
  sync(wanted: readonly WireguardPeer[]): PeerChanges {
    using inside = namespaceOf(this.host, this.netns);
    using control = WireguardControl.open(inside);
    const changes = peerChanges(this.device(), wanted);
    control.changePeers("wg0", changes);
    same(peerChanges(this.device(), wanted).kept.length, wanted.length, "peers that are as told");
    return changes;
  }

  /** What `wg show wg0` says of its peers. */
  async wg(what: string): Promise<string[]> {
    const command = ["ip", "netns", "exec", this.netns, "wg", "show", "wg0", what];
    return (await this.host.text(command)).trim().split("\n");
  }
}

/** Counts by a rule of nft what comes in by the wire; what a link needs to find its neighbours is none of it. */
const WIRE_RULES = `
table netdev wire { chain in {
  type filter hook ingress device "eth0" priority 0
  ether type arp return
  icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, mld-listener-report, mld2-listener-report } return
  udp dport ${PORT} counter return comment "tunnel"
  counter comment "other"
  }
}`;

/** Returns how many packets came in by the wire of a node, those of the tunnel and all others. */
export async function onTheWire(host: Sandbox, node: string): Promise<{ tunnel: number; other: number }> {
  const text = await host.text(["ip", "netns", "exec", node, "nft", "list", "table", "netdev", "wire"]);
  const packets = (comment: string) =>
    Number(new RegExp(`packets (\\d+) bytes \\d+ .*comment "${comment}"`).exec(text)?.[1] ?? Number.NaN);
  return { tunnel: packets("tunnel"), other: packets("other") };
}

/** Begins to count what comes in by the wire of a node, its interface eth0. */
export async function watchWire(host: Sandbox, node: string): Promise<void> {
  await host.text(["ip", "netns", "exec", node, "nft", "-f", "-"], { stdin: WIRE_RULES });
}

async function wire(host: Sandbox): Promise<void> {
  for (const name of ["node1", "node2"]) await host.addNetns(name);
  await ip(host, ["link add eth0 netns node1 type veth peer name eth0 netns node2"]);
  for (const number of [1, 2]) {
    const lines = [
      "link set eth0 up",
      `addr add 192.0.2.${number}/24 dev eth0`,
      `addr add 2001:db8::${number}/64 dev eth0 nodad`,
    ];
    await ip(host, lines, `node${number}`);
    await watchWire(host, `node${number}`);
  }
}

export const WIREGUARD_CASES: readonly Case[] = [
  {
    name: "S3-W04 S3-W06 S3-W14 peers keep their session while others come and go and their own endpoint moves to IPv6",
    async run(host) {
      await wire(host);
      const one = await Node.create(host, 1);
      const two = await Node.create(host, 2);
      two.sync([one.peer("192.0.2.1")]);
      holds(one.sync([two.peer("192.0.2.2")]), { removed: [], changed: [], kept: [] });
      same(await answers(host, "10.244.2.2", one.netns), true);
      const session = () => one.device().peers.find(({ publicKey }) => publicKey === two.publicKey);
      const began = session()?.lastHandshakeMs ?? 0;
      same(await one.wg("latest-handshakes"), [`${two.publicKey}\t${Math.floor(began / 1000)}`]);
      same(began > 0, true, "a handshake");

      // so many that the kernel is told of them, and tells of them, in several messages
      const others = Array.from({ length: 1000 }, (_, index): WireguardPeer => {
        const [high, low] = [index >> 8, index & 255];
        const publicKey = formatPublicKey(new Uint8Array(32).fill(high + 1, 0, 16).fill(low + 1, 16));
        const allowedPrefixes = [read(parsePrefix, `10.${240 + high}.${low}.0/25`)];
        return { ...two.peer("192.0.2.9"), publicKey, allowedPrefixes, keepaliveSeconds: 25 };
      });
      same(one.sync([two.peer("192.0.2.2"), ...others]).kept, [two.publicKey]);
      same((await one.wg("peers")).length, 1001);
      const moved = one.sync([two.peer("2001:db8::2")]);
      same(
        [moved.removed.length, moved.changed.map(({ gained, replaced }) => [gained, replaced])],
        [1000, [[[], undefined]]],
      );
      same(await one.wg("endpoints"), [`${two.publicKey}\t[2001:db8::2]:${PORT}`]);
      same(await one.wg("allowed-ips"), [`${two.publicKey}\t10.244.2.0/24 fd00:244:2::/64`]);
      for (const address of ["10.244.2.2", "fd00:244:2::2"]) {
        same(await answers(host, address, one.netns), true, address);
      }
      same(session()?.lastHandshakeMs, began, "the handshake");
      for (const name of ["node1", "node2"]) {
        const { tunnel, other } = await onTheWire(host, name);
        same([tunnel >= 4, other], [true, 0], `packets to ${name}`);
      }
      // born inside: with its namespace it goes, and is nowhere else
      await host.text(["ip", "netns", "del", one.netns]);
      same(await host.text(["ip", "-netns", "node1", "link", "show", "type", "wireguard"]), "");
    },
  },
];
