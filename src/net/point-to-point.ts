// A pair of interfaces with no bridge in between: everything that the container sends goes to the host's end, also
// what is meant for its own subnet. The host's end has the gateway's address and a route to the container alone.
import { type Address, addressBytes, bitsOf, formatAddress } from "../ip/address.ts";
import { formatPrefix, hostPrefix, networkOf, type Prefix } from "../ip/prefix.ts";
import { addAddress, Scope } from "../netlink/address.ts";
import { addRoute } from "../netlink/route.ts";
import type { Connection } from "./connection.ts";
import { type InterfaceRoute, missingAddresses, missingRoutes } from "./interface.ts";
import { ensureIpv6, preferSetting } from "./sysctl.ts";
import type { Link } from "./veth.ts";

/** An address of the container, and the one of the host's end that everything goes through. */
export interface PointToPointAddress {
  readonly prefix: Prefix;
  readonly gateway: Address;
}

const PLAIN = {
  mtu: undefined,
  advertisedSegment: undefined,
  priority: undefined,
  table: undefined,
  scope: undefined,
} as const;

/**
 * Returns the routes inside the container in the place of the kernel's own to the subnets: the gateways are on the
 * link, and the subnets behind them. Routes to the gateways come first, because others need them.
 */
export function pointToPointRoutes(addresses: readonly PointToPointAddress[]): InterfaceRoute[] {
  const toGateways = addresses.map(({ prefix, gateway }) => ({
    ...PLAIN,
    destination: hostPrefix(gateway),
    gateway: undefined,
    source: prefix.address,
  }));
  const toSubnets = addresses
    // a subnet of one address has nobody else in it
    .filter(({ prefix }) => prefix.length < bitsOf(prefix.address.family))
    .map(({ prefix, gateway }) => ({
      ...PLAIN,
      destination: networkOf(prefix),
      gateway,
      source: prefix.address,
    }));
  return [...toGateways, ...toSubnets];
}

/** Returns the routes of the host's end: to each address of the container, and to nobody else. */
function hostRoutes(addresses: readonly PointToPointAddress[]): InterfaceRoute[] {
  return addresses.map(({ prefix }) => ({
    ...PLAIN,
    destination: hostPrefix(prefix.address),
    gateway: undefined,
  }));
}

/** Two addresses of a container may have the same gateway. */
function gatewaysOf(addresses: readonly PointToPointAddress[]): Prefix[] {
  const distinct = new Map(addresses.map(({ gateway }) => [formatAddress(gateway), hostPrefix(gateway)]));
  return [...distinct.values()];
}

/**
 * Gives the host's end the gateways' addresses and the routes to the container. Call it while the container's end is
 * down, so that the settings are there before the link is. Throws NetlinkError or SystemError.
 */
export function configureHostEnd(
  host: Connection,
  link: Pick<Link, "index" | "name">,
  addresses: readonly PointToPointAddress[],
): void {
  if (addresses.some(({ prefix }) => prefix.address.family === 6)) {
    ensureIpv6(link.name);
    // nobody else is on this link, and the first packet to the container should not wait for a proof of that
    preferSetting(`ipv6/conf/${link.name}/accept_dad`, 0);
  }
  host.execute([
    ...gatewaysOf(addresses).map(({ address, length }) =>
      addAddress({
        index: link.index,
        address: addressBytes(address),
        prefixLength: length,
        skipDuplicateDetection: address.family === 6,
      }),
    ),
    ...addresses.map(({ prefix }) =>
      // an address that the host itself leads elsewhere is not taken over silently: EEXIST is an error
      addRoute({
        destination: addressBytes(prefix.address),
        outputIndex: link.index,
        scope: prefix.address.family === 4 ? Scope.host : undefined,
      }),
    ),
  ]);
}

/** Returns what the host's end lacks, in words; undefined if it lacks nothing. */
export function missingAtHostEnd(
  host: Connection,
  link: Pick<Link, "index" | "name">,
  addresses: readonly PointToPointAddress[],
): string | undefined {
  const [gateway] = missingAddresses(host, link.index, gatewaysOf(addresses));
  if (gateway !== undefined) return `the gateway address ${formatPrefix(gateway)}`;
  const [route] = missingRoutes(host, link.index, hostRoutes(addresses));
  return route === undefined ? undefined : `the route to ${formatPrefix(route.destination)}`;
}
