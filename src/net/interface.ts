// An interface inside a container: addresses, routes and the settings that go with them, given in one batch, and
// compared again when CHECK asks.
import { type Address, addressBytes, addressFromBytes, type Family, parseAddress } from "../ip/address.ts";
import { firstAddress, formatPrefix, type Prefix, parsePrefix } from "../ip/prefix.ts";
import { addAddress, dumpAddresses, type LinkAddress } from "../netlink/address.ts";
import { setLink } from "../netlink/link.ts";
import { ignoring, isNetlinkError, type Request } from "../netlink/message.ts";
import { addRoute, dumpRoutes, type NewRoute, type Route } from "../netlink/route.ts";
import { allowAnnouncements } from "./announcement.ts";
import { broadcastOf } from "./bridge.ts";
import type { Connection } from "./connection.ts";
import { inNetns, type Netns } from "./netns.ts";
import { ensureIpv6, hasIpv6, preferSetting, writeSettingIfPresent } from "./sysctl.ts";

/** An address that an interface gets, with the gateway of its subnet if there is one. */
export interface InterfaceAddress {
  readonly prefix: Prefix;
  readonly gateway: Address | undefined;
}

/** A route that an interface gets. Without a gateway the destination is on the link. */
export interface InterfaceRoute {
  readonly destination: Prefix;
  readonly gateway: Address | undefined;
  readonly mtu: number | undefined;
  readonly advertisedSegment: number | undefined;
  readonly priority: number | undefined;
  readonly table: number | undefined;
  readonly scope: number | undefined;
  /** The address that what goes this way comes from; the kernel's choice if left out. */
  readonly source?: Address | undefined;
}

/** Spellings of a route in a result (cni/result.ts), which this layer doesn't know. */
interface SpelledRoute {
  readonly dst: string;
  readonly gw?: string;
  readonly mtu?: number;
  readonly advmss?: number;
  readonly priority?: number;
  readonly table?: number;
  readonly scope?: number;
}

/**
 * Returns the route as the kernel is to get it: one without a gateway of its own goes by the first gateway of its
 * family. Throws RangeError for a spelling that is no route.
 */
export function routeFrom(route: SpelledRoute, addresses: readonly InterfaceAddress[]): InterfaceRoute {
  const destination = parsePrefix(route.dst);
  if (destination === undefined)
    throw new RangeError(`route ${JSON.stringify(route.dst)} is not in CIDR notation`);
  const { family } = destination.address;
  const said = route.gw === undefined || route.gw === "" ? undefined : parseAddress(route.gw);
  // 0.0.0.0 says in so many words that there is none
  const isOnLink = said?.value === 0n;
  const usual = addresses.find((one) => one.gateway?.family === family)?.gateway;
  const gateway = isOnLink ? undefined : (said ?? usual);
  return {
    destination: { address: firstAddress(destination), length: destination.length },
    gateway,
    mtu: route.mtu,
    advertisedSegment: route.advmss,
    priority: route.priority,
    table: route.table,
    scope: route.scope,
  };
}

/** How an interface of a container is to be set up. */
export interface InterfaceSettings {
  readonly name: string;
  readonly index: number;
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly InterfaceRoute[];
  /** Ask the network whether somebody has the IPv6 address already; it takes one to two seconds. */
  readonly detectDuplicates: boolean;
  /** The addresses bring no route to their subnets with them: `routes` has all there are. */
  readonly withoutSubnetRoutes?: boolean | undefined;
}

/** Gives the interface its settings, addresses and routes, and brings it up. Throws HardwareAddressTakenError, NetlinkError or SystemError. */
export function configureInterface(inside: Connection, netns: Netns, settings: InterfaceSettings): void {
  inNetns(netns, () => writeSettings(settings));
  const { index, addresses, routes } = settings;
  const ofFamily = (family: Family) => addresses.filter(({ prefix }) => prefix.address.family === family);
  executeUp(inside, [
    ...ofFamily(4).map((address) => newAddress(settings, address)),
    setLink(index, { up: true }),
    ...ofFamily(6).map((address) => newAddress(settings, address)),
    // "append" lets several gateways share a destination; the very same route twice is one route
    ...routes.map((route) => ignoring(addRoute(newRoute(index, route), "append"), "EEXIST")),
  ]);
}

/** Brings an interface up. Throws HardwareAddressTakenError or NetlinkError. */
export function bringUp(connection: Connection, index: number): void {
  executeUp(connection, [setLink(index, { up: true })]);
}

/** Another interface that stands on the same one has the hardware address already, and is up. */
export class HardwareAddressTakenError extends Error {
  override readonly name = "HardwareAddressTakenError";
}

/** Executes requests that bring an interface up, which is when the kernel finds two of one hardware address on a master. */
function executeUp(connection: Connection, requests: readonly Request<never>[]): void {
  try {
    connection.execute(requests);
  } catch (error) {
    if (!isNetlinkError(error, "EADDRINUSE")) throw error;
    throw new HardwareAddressTakenError(
      "the hardware address that is asked for is that of another interface on the same master",
      { cause: error },
    );
  }
}

/** Lets an interface send no larger packets than this. */
export function setMtu(connection: Connection, index: number, mtu: number): void {
  connection.execute([setLink(index, { mtu })]);
}

/** Takes an interface down. */
export function bringDown(connection: Connection, index: number): void {
  connection.execute([setLink(index, { up: false })]);
}

function writeSettings(settings: InterfaceSettings): void {
  const { name } = settings;
  allowAnnouncements(name);
  if (!hasIpv6()) return;
  if (settings.addresses.some(({ prefix }) => prefix.address.family === 6)) {
    ensureIpv6("lo");
    ensureIpv6(name);
    preferSetting(`ipv6/conf/${name}/keep_addr_on_down`, 1);
  }
  if (settings.detectDuplicates) {
    writeSettingIfPresent(`ipv6/conf/${name}/enhanced_dad`, 1);
    writeSettingIfPresent(`ipv6/conf/${name}/accept_dad`, 1);
  } else {
    preferSetting(`ipv6/conf/${name}/accept_dad`, 0);
  }
}

function newAddress(settings: InterfaceSettings, { prefix }: InterfaceAddress): Request<never> {
  return addAddress({
    index: settings.index,
    address: addressBytes(prefix.address),
    prefixLength: prefix.length,
    broadcast: broadcastOf(prefix),
    skipDuplicateDetection: prefix.address.family === 6 && !settings.detectDuplicates,
    noPrefixRoute: settings.withoutSubnetRoutes,
  });
}

function newRoute(index: number, route: InterfaceRoute): NewRoute {
  const { destination, gateway } = route;
  const { family } = destination.address;
  return {
    family: family === 4 ? "ipv4" : "ipv6",
    destination: destination.length === 0 ? undefined : addressBytes(destination.address),
    prefixLength: destination.length,
    gateway: gateway === undefined ? undefined : addressBytes(gateway),
    outputIndex: index,
    table: route.table,
    priority: route.priority,
    scope: route.scope,
    preferredSource: route.source === undefined ? undefined : addressBytes(route.source),
    metrics:
      route.mtu === undefined && route.advertisedSegment === undefined
        ? undefined
        : { mtu: route.mtu, advertisedSegment: route.advertisedSegment },
  };
}

/** An IPv6 address that somebody else on the network has, or that never got usable. */
export class DuplicateAddressError extends Error {
  override readonly name = "DuplicateAddressError";
}

/** How long duplicate address detection may take; the kernel needs one to two seconds. */
const DETECTION_TIMEOUT_MS = 5000;

/** Waits until no IPv6 address of the interface is tentative; throws DuplicateAddressError. */
export function waitForAddresses(inside: Connection, index: number): void {
  const deadline = Date.now() + DETECTION_TIMEOUT_MS;
  for (;;) {
    const addresses = inside.dump(dumpAddresses({ index, family: "ipv6" }));
    const duplicate = addresses.find(({ duplicateFound }) => duplicateFound);
    if (duplicate !== undefined) {
      throw new DuplicateAddressError(`${spelled(duplicate)} is used by somebody else on the network`);
    }
    const tentative = addresses.find((address) => address.tentative);
    if (tentative === undefined) return;
    if (Date.now() > deadline) {
      throw new DuplicateAddressError(
        `${spelled(tentative)} is still tentative after ${DETECTION_TIMEOUT_MS} ms`,
      );
    }
    Bun.sleepSync(20);
  }
}

function spelled(address: LinkAddress): string {
  return formatPrefix({ address: addressFromBytes(address.address), length: address.prefixLength });
}

/** Returns the addresses that the interface lacks. */
export function missingAddresses(inside: Connection, index: number, wanted: readonly Prefix[]): Prefix[] {
  const present = new Set(inside.dump(dumpAddresses({ index })).map(spelled));
  return wanted.filter((prefix) => !present.has(formatPrefix(prefix)));
}

/** Returns the routes that lead out of the interface no more. */
export function missingRoutes(
  inside: Connection,
  index: number,
  wanted: readonly InterfaceRoute[],
): InterfaceRoute[] {
  const families = new Set(wanted.map(({ destination }) => destination.address.family));
  const present = [...families].flatMap((family) =>
    inside.dump(dumpRoutes({ family: family === 4 ? "ipv4" : "ipv6", outputIndex: index })),
  );
  return wanted.filter((route) => !present.some((one) => leadsAs(one, index, route)));
}

/** True if one of the ways of `present` leads out of the interface as `wanted` says. */
function leadsAs(present: Route, index: number, wanted: InterfaceRoute): boolean {
  const { destination, gateway } = wanted;
  const { family } = destination.address;
  if (present.family !== (family === 4 ? "ipv4" : "ipv6") || present.prefixLength !== destination.length)
    return false;
  if (destination.length > 0) {
    if (present.destination === undefined) return false;
    if (addressFromBytes(present.destination).value !== destination.address.value) return false;
  }
  if (wanted.table !== undefined && present.table !== wanted.table) return false;
  if (wanted.priority !== undefined && present.priority !== wanted.priority) return false;
  if (wanted.source !== undefined) {
    const { preferredSource } = present;
    if (preferredSource === undefined) return false;
    if (addressFromBytes(preferredSource).value !== wanted.source.value) return false;
  }
  return present.paths.some((path, position) => {
    // of several ways the kernel tells only what connections over the first start with
    if (position === 0 && wanted.mtu !== undefined && present.metrics.mtu !== wanted.mtu) return false;
    if (path.outputIndex !== index) return false;
    if (path.gateway === undefined || gateway === undefined) return path.gateway === gateway;
    return addressFromBytes(path.gateway).value === gateway.value;
  });
}
