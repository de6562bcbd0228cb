// What is there in a network namespace, as an operator wants to see it: interfaces with their addresses and limits, and
// the routes that packets take. Everything is read, nothing is asked for by name.
import { type Address, addressFromBytes, formatAddress } from "../ip/address.ts";
import { formatPrefix } from "../ip/prefix.ts";
import { dumpAddresses, Scope } from "../netlink/address.ts";
import { dumpLinks, type Link } from "../netlink/link.ts";
import { getNamespaceId } from "../netlink/namespace-id.ts";
import { dumpRoutes, type Route, RouteType, Table } from "../netlink/route.ts";
import type { Connection } from "./connection.ts";
import type { Netns } from "./netns.ts";
import { sendingRate } from "./shaping.ts";

/** An interface as it is. */
export interface SeenInterface {
  readonly index: number;
  readonly name: string;
  /** Such as `veth` or `bridge`; `device` for real hardware. */
  readonly kind: string;
  readonly up: boolean;
  readonly hardwareAddress: string;
  readonly mtu: number;
  readonly alias: string;
  /** The name of the bridge or VRF that it is a port of. */
  readonly master: string | undefined;
  /** Index of the other end of a pair, or of the device beneath; 0 if there is none. */
  readonly peerIndex: number;
  /** The number by which this namespace knows that of the peer; undefined if it is the same one. */
  readonly peerNamespaceId: number | undefined;
  /** With prefix lengths, and without those that every IPv6 interface has by itself. */
  readonly addresses: readonly string[];
  /** How much may leave by it, in bits a second; undefined for as much as can. */
  readonly sendingLimit: bigint | undefined;
}

/** A route of the main table. */
export interface SeenRoute {
  /** A prefix, or `default`. */
  readonly destination: string;
  readonly gateway: string | undefined;
  /** The name of the interface that it leads out of. */
  readonly device: string;
  readonly index: number;
}

/** A namespace as it is. */
export interface SeenNamespace {
  readonly interfaces: readonly SeenInterface[];
  readonly routes: readonly SeenRoute[];
}

/** Returns what is there in the namespace of the connection. Throws NetlinkError or SystemError. */
export function inspectNamespace(connection: Connection): SeenNamespace {
  const links = connection.dump(dumpLinks()).filter(({ name }) => name !== "lo");
  const addresses = connection.dump(dumpAddresses()).filter(({ scope }) => scope === Scope.universe);
  const names = new Map(links.map(({ index, name }) => [index, name]));
  const routes = (["ipv4", "ipv6"] as const).flatMap((family) =>
    connection.dump(dumpRoutes({ family, table: Table.main })).flatMap((route) => seenRoutes(route, names)),
  );
  const interfaces = links.map((link): SeenInterface => {
    const { index, name, up, mtu, alias, peerIndex, peerNamespaceId } = link;
    const own = addresses
      .filter((address) => address.index === index)
      .map(({ address, prefixLength }) =>
        formatPrefix({ address: addressFromBytes(address), length: prefixLength }),
      );
    return {
      ...{ index, name, up, mtu, alias, peerIndex, peerNamespaceId },
      kind: link.kind === "" ? "device" : link.kind,
      hardwareAddress: link.address,
      master: link.master === 0 ? undefined : names.get(link.master),
      addresses: own,
      sendingLimit: limitOf(connection, link),
    };
  });
  return { interfaces, routes };
}

function limitOf(connection: Connection, link: Link): bigint | undefined {
  const rate = sendingRate(connection, link);
  return rate === undefined ? undefined : rate * 8n;
}

/** Several ways of one route are several routes to who looks at them. */
function seenRoutes(route: Route, names: ReadonlyMap<number, string>): SeenRoute[] {
  if (route.type !== RouteType.unicast) return [];
  const address = route.destination === undefined ? undefined : addressFromBytes(route.destination);
  if (address !== undefined && isLinkLocal(address)) return [];
  const destination =
    address === undefined ? "default" : formatPrefix({ address, length: route.prefixLength });
  return route.paths.flatMap(({ gateway, outputIndex }): SeenRoute[] => {
    const device = names.get(outputIndex);
    if (device === undefined) return [];
    const via = gateway === undefined ? undefined : formatAddress(addressFromBytes(gateway));
    return [{ destination, gateway: via, device, index: outputIndex }];
  });
}

/** True for fe80::/10 and ff00::/8, which every IPv6 interface has routes to by itself. */
function isLinkLocal({ family, value }: Address): boolean {
  return family === 6 && (value >> 118n === 0x3fan || value >> 120n === 0xffn);
}

/** Returns the number by which the namespace of the connection knows `netns`; undefined if it has no link into it. */
export function namespaceNumber(connection: Connection, netns: Netns): number | undefined {
  return connection.get(getNamespaceId(netns.fd));
}
