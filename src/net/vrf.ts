// A VRF: a routing table that a container's interfaces have for themselves, as an interface that they are ports of. The
// kernel takes an interface down and up again when it becomes a port, or ceases to be one, and forgets what it did not make
// itself: routes, and IPv6 addresses that are not kept.
import { addressBytes, addressFromBytes } from "../ip/address.ts";
import { formatPrefix, type Prefix, parsePrefix } from "../ip/prefix.ts";
import { addAddress, dumpAddresses, Scope } from "../netlink/address.ts";
import { createLink, dumpLinks, getLink, type Link, setLink } from "../netlink/link.ts";
import { ignoring, type Request } from "../netlink/message.ts";
import { RouteProtocol } from "../netlink/route.ts";
import { identityOf, inTable, type RouteCopy, sendRoute } from "../netlink/route-copy.ts";
import type { Connection } from "./connection.ts";
import { needing } from "./feature.ts";
import { missingAddresses } from "./interface.ts";
import { probeLinkDriver } from "./link-driver.ts";
import { routeText } from "./route-text.ts";
import { allRoutes, freeTables, mainRoutesOf, usedTables } from "./source-routing.ts";
import { removeLinkNumber } from "./veth.ts";

const FIRST_TABLE = 1;

/** Returns the table of a VRF; undefined for a link that is none. */
export function vrfTableOf({ device }: Link): number | undefined {
  return device?.kind === "vrf" ? device.data?.table : undefined;
}

/** Returns the tables that a VRF, rule or route of the container has. Throws NetlinkError. */
export function usedVrfTables(inside: Connection): Set<number> {
  const others = inside.dump(dumpLinks({ kind: "vrf" })).flatMap((link) => vrfTableOf(link) ?? []);
  return usedTables(inside).union(new Set(others));
}

/** Returns a table that is not among those in use. */
export function freeVrfTable(used: ReadonlySet<number>): number {
  return freeTables(1, used, FIRST_TABLE)[0] ?? FIRST_TABLE;
}

/** Makes a VRF that is up, and returns it. Throws MissingFeatureError or NetlinkError. */
export function createVrf(inside: Connection, name: string, table: number): Link {
  needing(
    () => probeLinkDriver(inside, "vrf"),
    () => inside.execute([createLink(name, { kind: "vrf", data: { table } }, { up: true })]),
  );
  const link = inside.get(getLink(name));
  if (link === undefined) throw new Error(`VRF ${name} was made and is gone`);
  return link;
}

/** What an interface has that the kernel forgets when its master changes. */
export interface PortState {
  /** IPv6 addresses of its own. */
  readonly addresses: readonly Prefix[];
  /** Routes of the main table that the kernel did not make. */
  readonly routes: readonly RouteCopy[];
}

/** Returns what the interface has. Throws NetlinkError. */
export function portStateOf(inside: Connection, index: number): PortState {
  return {
    addresses: inside
      .dump(dumpAddresses({ index, family: "ipv6" }))
      .filter(({ scope }) => scope === Scope.universe)
      .map(({ address, prefixLength }) => ({ address: addressFromBytes(address), length: prefixLength })),
    routes: mainRoutesOf(inside, index).filter(({ route }) => route.protocol !== RouteProtocol.kernel),
  };
}

/** Returns the addresses as texts, and back. */
export function spelledPrefixes(prefixes: readonly Prefix[]): string[] {
  return prefixes.map(formatPrefix);
}

/** Returns the prefixes of texts; what is none is left out. */
export function prefixesOf(texts: readonly string[]): Prefix[] {
  return texts.flatMap((text) => parsePrefix(text) ?? []);
}

/** Gives the interface its master, 0 for none, and then what it had, with its routes in this table. Throws NetlinkError. */
function changeMaster(
  inside: Connection,
  index: number,
  master: number,
  { addresses, routes }: { readonly addresses: readonly Prefix[]; readonly routes: readonly RouteCopy[] },
): void {
  inside.execute([setLink(index, { master })]);
  const lost = missingAddresses(inside, index, addresses);
  inside.execute(
    lost.map((prefix) =>
      ignoring(
        addAddress({
          index,
          address: addressBytes(prefix.address),
          prefixLength: prefix.length,
          skipDuplicateDetection: true,
        }),
        "EEXIST",
      ),
    ),
  );
  const known = new Set(allRoutes(inside).map(identityOf));
  // those that others lead by come first
  const wanted = routes
    .filter((copy) => !known.has(identityOf(copy)))
    .toSorted((left, right) => gatewayCount(left) - gatewayCount(right));
  const requests: Request<never>[] = wanted.map((copy) => ignoring(sendRoute(copy, "append"), "EEXIST"));
  inside.execute(requests);
}

function gatewayCount({ route }: RouteCopy): number {
  return route.paths.filter(({ gateway }) => gateway !== undefined).length;
}

/** Makes the interface a port of the VRF, with its addresses and routes in the VRF's table. Throws NetlinkError. */
export function joinVrf(inside: Connection, index: number, vrf: Link, table: number, state: PortState): void {
  const routes = state.routes.map((copy) => inTable(copy, table));
  changeMaster(inside, index, vrf.index, { addresses: state.addresses, routes });
}

/** Takes the interface out of its VRF, with its addresses and routes in the main table again. Throws NetlinkError. */
export function leaveVrf(inside: Connection, index: number, state: PortState): void {
  changeMaster(inside, index, 0, state);
}

/** Removes a VRF that has no ports any more; one that has some, or is gone, stays as it is. Throws NetlinkError. */
export function removeEmptyVrf(inside: Connection, name: string): void {
  const link = inside.get(getLink(name));
  if (link?.kind !== "vrf") return;
  if (inside.dump(dumpLinks({ master: link.index })).length > 0) return;
  removeLinkNumber(inside, link.index);
}

/** Returns what a port of the VRF lacks of what it had, in words; undefined if nothing. Throws NetlinkError. */
export function missingInVrf(
  inside: Connection,
  index: number,
  table: number,
  { addresses, routes }: PortState,
): string | undefined {
  const [address] = missingAddresses(inside, index, addresses);
  if (address !== undefined) return `the address ${formatPrefix(address)}`;
  const known = new Set(allRoutes(inside).map(identityOf));
  const lost = routes.map((copy) => inTable(copy, table)).find((copy) => !known.has(identityOf(copy)));
  return lost === undefined ? undefined : `the route ${routeText(lost.route)}`;
}
