// The other ends of a vxlan that has several: for each a forwarding entry, the neighbours that stand for it, and the routes
// that lead over those. All of it is said, and nothing is ever asked of the network or learnt from it.
import { type Address, addressBytes, addressFromBytes, formatAddress } from "../ip/address.ts";
import { formatHardwareAddress, parseHardwareAddress } from "../ip/hardware-address.ts";
import { formatPrefix, networkOf, type Prefix } from "../ip/prefix.ts";
import { ignoring, type Request } from "../netlink/message.ts";
import {
  deleteNeighbour,
  deleteTunnelEntry,
  dumpNeighbours,
  setNeighbour,
  setTunnelEntry,
} from "../netlink/neighbour.ts";
import { addRoute, deleteRoute, dumpRoutes, type NewRoute, RouteType, Table } from "../netlink/route.ts";
import type { Connection } from "./connection.ts";

/** A subnet behind another end, and the address there that it is reached by. */
export interface VxlanSubnet {
  readonly subnet: Prefix;
  readonly router: Address;
}

/** Another end of a vxlan. */
export interface VxlanPeer {
  readonly hardwareAddress: string;
  readonly endpoint: Address;
  readonly port: number;
  readonly subnets: readonly VxlanSubnet[];
}

/** One thing that the kernel is told of another end: by what it is known, what it says, and how it is set and taken away. */
interface Fact {
  /** The same for what the kernel can have only once. */
  readonly key: string;
  readonly value: string;
  readonly set: readonly Request<never>[];
  readonly unset: Request<never>;
}

/** Which of the peers the kernel was told anew, and how many entries of others it has forgotten. */
export interface VxlanChange {
  readonly added: readonly VxlanPeer[];
  readonly changed: readonly VxlanPeer[];
  readonly kept: readonly VxlanPeer[];
  /** The endpoints of those that are no peers any more. */
  readonly removed: readonly string[];
}

/** A request of a thousand peers would not fit into one message to the kernel. */
const BATCH = 256;

/**
 * Brings what the kernel knows of the other ends of the vxlan in line with `peers`; `ownPort` is the vxlan's port. What is
 * right is not touched. Throws NetlinkError.
 */
export function syncVxlanPeers(
  inside: Connection,
  index: number,
  ownPort: number,
  peers: readonly VxlanPeer[],
): VxlanChange {
  const present = presentFacts(inside, index, ownPort);
  const known = new Map(present.map(({ key, value }) => [key, value]));
  const wanted = peers.map((peer) => ({ peer, facts: factsOf(index, ownPort, peer) }));
  const keys = new Set(wanted.flatMap(({ facts }) => facts.map(({ key }) => key)));
  const surplus = present.filter(({ key }) => !keys.has(key));
  const lacking = wanted.flatMap(({ facts }) => facts).filter(({ key, value }) => known.get(key) !== value);
  // routes need the neighbours' device only, but a packet should not meet a route without its neighbour
  executeAll(inside, [...surplus.map(({ unset }) => unset), ...lacking.flatMap(({ set }) => set)]);
  const states = wanted.map(({ peer, facts }) => {
    const right = facts.filter(({ key, value }) => known.get(key) === value).length;
    const some = facts.some(({ key }) => known.has(key));
    return { peer, state: right === facts.length ? "kept" : some ? "changed" : "added" } as const;
  });
  const having = (wish: (typeof states)[number]["state"]) =>
    states.filter(({ state }) => state === wish).map(({ peer }) => peer);
  return {
    ...{ added: having("added"), changed: having("changed"), kept: having("kept") },
    removed: surplus.filter(({ key }) => key.startsWith("end ")).map(({ value }) => value),
  };
}

/** Returns the peers of which not everything is as it should be. */
export function brokenVxlanPeers(
  inside: Connection,
  index: number,
  ownPort: number,
  peers: readonly VxlanPeer[],
): VxlanPeer[] {
  const known = new Map(presentFacts(inside, index, ownPort).map(({ key, value }) => [key, value]));
  return peers.filter((peer) =>
    factsOf(index, ownPort, peer).some(({ key, value }) => known.get(key) !== value),
  );
}

function executeAll(inside: Connection, requests: readonly Request<never>[]): void {
  for (let at = 0; at < requests.length; at += BATCH) inside.execute(requests.slice(at, at + BATCH));
}

function factsOf(index: number, ownPort: number, peer: VxlanPeer): Fact[] {
  return [
    endFact(index, ownPort, peer.hardwareAddress, peer.endpoint, peer.port),
    ...peer.subnets.map(({ router }) => neighbourFact(index, router, peer.hardwareAddress)),
    ...peer.subnets.map(({ subnet, router }) => routeFact(index, subnet, router)),
  ];
}

function endFact(
  index: number,
  ownPort: number,
  hardwareAddress: string,
  endpoint: Address,
  port: number,
): Fact {
  const entry = {
    index,
    hardwareAddress: bytesOf(hardwareAddress),
    tunnelEnd: addressBytes(endpoint),
    port: port === ownPort ? undefined : port,
  };
  return {
    key: `end ${hardwareAddress}`,
    value: `${formatAddress(endpoint)} port ${port}`,
    set: [setTunnelEntry(entry)],
    unset: ignoring(deleteTunnelEntry(entry), "ENOENT"),
  };
}

function neighbourFact(index: number, router: Address, hardwareAddress: string): Fact {
  const address = addressBytes(router);
  return {
    key: `neighbour ${formatAddress(router)}`,
    value: hardwareAddress,
    set: [setNeighbour({ index, address, hardwareAddress: bytesOf(hardwareAddress) })],
    unset: ignoring(deleteNeighbour({ index, address }), "ENOENT"),
  };
}

function routeFact(index: number, subnet: Prefix, router: Address): Fact {
  const network = networkOf(subnet);
  const to: NewRoute = {
    destination: addressBytes(network.address),
    prefixLength: network.length,
    outputIndex: index,
    table: Table.main,
  };
  const route: NewRoute = { ...to, gateway: addressBytes(router), onLink: true };
  return {
    key: `route ${formatPrefix(network)}`,
    value: formatAddress(router),
    set: [addRoute(route, "replace")],
    unset: ignoring(deleteRoute(to), "ESRCH"),
  };
}

function presentFacts(inside: Connection, index: number, ownPort: number): Fact[] {
  const ends = inside.dump(dumpNeighbours("bridge")).filter((entry) => entry.index === index);
  const neighbours = [...inside.dump(dumpNeighbours("ipv4")), ...inside.dump(dumpNeighbours("ipv6"))];
  const routes = (["ipv4", "ipv6"] as const).flatMap((family) =>
    inside.dump(dumpRoutes({ family, outputIndex: index, table: Table.main })),
  );
  return [
    ...ends.flatMap(({ hardwareAddress, tunnelEnd }) =>
      tunnelEnd === undefined
        ? []
        : [
            endFact(
              index,
              ownPort,
              hardwareAddress,
              addressFromBytes(tunnelEnd.address),
              tunnelEnd.port ?? ownPort,
            ),
          ],
    ),
    ...neighbours.flatMap(({ index: on, address, hardwareAddress, state }) =>
      on === index && address !== undefined && state === "permanent"
        ? [neighbourFact(index, addressFromBytes(address), hardwareAddress)]
        : [],
    ),
    ...routes.flatMap(({ destination, prefixLength, paths, type }) => {
      const gateway = paths.find(({ outputIndex }) => outputIndex === index)?.gateway;
      if (type !== RouteType.unicast || destination === undefined || gateway === undefined) return [];
      return [
        routeFact(
          index,
          { address: addressFromBytes(destination), length: prefixLength },
          addressFromBytes(gateway),
        ),
      ];
    }),
  ];
}

function bytesOf(hardwareAddress: string): Uint8Array {
  const bytes = parseHardwareAddress(hardwareAddress);
  if (bytes === undefined) throw new RangeError(`${JSON.stringify(hardwareAddress)} is no hardware address`);
  return bytes;
}

/**
 * Returns the hardware address of the end of a vxlan that this address stands for: made of it, so that every node knows
 * those of all others.
 */
export function vxlanHardwareAddress(router: Address): string {
  const bytes = new Uint8Array(6);
  bytes.set([0x0e, 0x58]);
  // folded, so that routers that differ in any 32 bits in a row have addresses that differ
  for (const [index, byte] of addressBytes(router).entries()) {
    const at = 2 + (index % 4);
    bytes[at] = (bytes[at] ?? 0) ^ byte;
  }
  return formatHardwareAddress(bytes);
}
