// Routing by source: what a container sends from one of its addresses goes by a table of its own, whose routes are those
// of the address's interface. The routes leave the main table for it, and come back when it ends.
import {
  type Address,
  addressBytes,
  addressFromBytes,
  type Family,
  formatAddress,
  sameAddress,
} from "../ip/address.ts";
import { contains, firstAddress, formatPrefix, networkOf, type Prefix } from "../ip/prefix.ts";
import { ignoring, isNetlinkError, type Request } from "../netlink/message.ts";
import {
  addRoute,
  deleteRoute,
  dumpRoutes,
  type NewRoute,
  RouteProtocol,
  RouteType,
  Table,
} from "../netlink/route.ts";
import {
  deleteCopied,
  dumpRouteCopies,
  identityOf,
  inTable,
  placeOf,
  type RouteCopy,
  routeCopyOf,
  routeCopyText,
  sendRoute,
} from "../netlink/route-copy.ts";
import { addRule, deleteRule, dumpRules, type Rule } from "../netlink/rule.ts";
import { type Connection, connectHost } from "./connection.ts";
import { MissingFeatureError } from "./feature.ts";
import { rehearse } from "./rehearsal.ts";
import { routeText } from "./route-text.ts";
import { hasIpv6 } from "./sysctl.ts";

const FAMILIES = ["ipv4", "ipv6"] as const;
const FIRST_TABLE = 100;
const LINK_SCOPE = 253;
/** fe80::/10, which every IPv6 interface has for itself and needs in the main table. */
const LINK_LOCAL: Prefix = { address: { family: 6, value: 0xfe80n << 112n }, length: 10 };

/** An address whose packets go by a table. */
export interface Source {
  /** The address with the prefix length of its subnet. */
  readonly prefix: Prefix;
  /** Where the table's default route leads; undefined for none but what the interface has. */
  readonly gateway: Address | undefined;
  readonly table: number;
}

/** Routing by the source addresses of one interface. */
export interface SourceRouting {
  /** The number of the interface. */
  readonly index: number;
  readonly sources: readonly Source[];
  /** True where the tables are made here; false where somebody else fills them, and only rules are to be made. */
  readonly ownTables: boolean;
  /** The routes of the interface in the main table, as they were. */
  readonly routes: readonly RouteCopy[];
  /** Whether the main table keeps the subnets, each with the address that is used for it. */
  readonly hints: boolean;
}

function familyName(family: Family): "ipv4" | "ipv6" {
  return family === 4 ? "ipv4" : "ipv6";
}

function gatewaysOf({ route }: RouteCopy): Address[] {
  return route.paths.flatMap(({ gateway }) => (gateway === undefined ? [] : [addressFromBytes(gateway)]));
}

/** Returns all routes of the container, of every table and both families. Throws NetlinkError. */
export function allRoutes(inside: Connection): RouteCopy[] {
  return FAMILIES.flatMap((family) => inside.dump(dumpRouteCopies(family)));
}

/** Returns the routes of an interface in the main table, those that lead nowhere else. Throws NetlinkError. */
export function mainRoutesOf(inside: Connection, index: number): RouteCopy[] {
  return allRoutes(inside).filter(({ route }) => {
    const { table, type, paths, destination } = route;
    if (table !== Table.main || type !== RouteType.unicast || paths.length === 0) return false;
    if (destination !== undefined && contains(LINK_LOCAL, addressFromBytes(destination))) return false;
    return paths.every(({ outputIndex }) => outputIndex === index);
  });
}

/** Returns the routes as texts, to be written down. */
export function spelledRoutes(routes: readonly RouteCopy[]): string[] {
  return routes.map(routeCopyText);
}

/** Returns the routes that `spelledRoutes` made texts of. Throws CodecError. */
export function copiedRoutes(texts: readonly string[]): RouteCopy[] {
  return texts.map(routeCopyOf);
}

/** Returns the tables that a rule or a route of the container knows. Throws NetlinkError. */
export function usedTables(inside: Connection): Set<number> {
  const used = new Set<number>();
  for (const family of FAMILIES) {
    for (const { table } of inside.dump(dumpRules(family))) used.add(table);
    for (const { table } of inside.dump(dumpRoutes({ family }))) used.add(table);
  }
  return used;
}

/** Returns tables from `first` upward that are not among those in use. */
export function freeTables(count: number, used: ReadonlySet<number>, first = FIRST_TABLE): number[] {
  const free: number[] = [];
  for (let table = first; free.length < count; table++) if (!used.has(table)) free.push(table);
  return free;
}

/** The kernel gives IPv6 routes without a priority this one (IP6_RT_PRIO_USER). */
const PRIORITY: Readonly<Record<Family, number>> = { 4: 0, 6: 1024 };

/** True for a default route that stands where that of the source's gateway is to be. */
function isInItsPlace({ route }: RouteCopy, { prefix }: Source): boolean {
  return route.prefixLength === 0 && route.priority === PRIORITY[prefix.address.family];
}

function leadsBy(copy: RouteCopy, gateway: Address): boolean {
  return gatewaysOf(copy).some((one) => sameAddress(one, gateway));
}

/**
 * Returns the routes that go into the table of a source: those by or from its subnet, and those that say nothing of
 * either. A default route by another gateway leaves its place to the source's own.
 */
function routesFor(source: Source, routes: readonly RouteCopy[]): RouteCopy[] {
  const { prefix, gateway, table } = source;
  return routes
    .filter((copy) => {
      if (copy.route.family !== familyName(prefix.address.family)) return false;
      if (gateway !== undefined && isInItsPlace(copy, source) && !leadsBy(copy, gateway)) return false;
      const { preferredSource } = copy.route;
      const gateways = gatewaysOf(copy);
      if (preferredSource === undefined && gateways.length === 0) return true;
      if (preferredSource !== undefined && contains(prefix, addressFromBytes(preferredSource))) return true;
      return gateways.some((one) => contains(prefix, one) || contains(LINK_LOCAL, one));
    })
    .map((copy) => inTable(copy, table));
}

function defaultRouteOf({ prefix, gateway, table }: Source, index: number): NewRoute | undefined {
  if (gateway === undefined) return undefined;
  const family = familyName(prefix.address.family);
  return { family, prefixLength: 0, gateway: addressBytes(gateway), outputIndex: index, table };
}

/** The route to a source's subnet that says which address to use. */
function hintOf({ prefix }: Source, index: number): NewRoute {
  const { address, length } = networkOf(prefix);
  return {
    destination: addressBytes(address),
    prefixLength: length,
    preferredSource: addressBytes(prefix.address),
    outputIndex: index,
    scope: prefix.address.family === 4 ? LINK_SCOPE : undefined,
  };
}

/** True for a route that leaves the main table. */
function leavesMain({ route }: RouteCopy, hints: boolean): boolean {
  return !hints || route.scope !== LINK_SCOPE;
}

function ruleOf({ prefix, table }: Source): { readonly source: Uint8Array; readonly table: number } {
  return { source: addressBytes(prefix.address), table };
}

/** Makes the rules and their tables, and takes the routes out of the main one. Throws NetlinkError. */
export function setSourceRouting(inside: Connection, routing: SourceRouting): void {
  const { index, sources, ownTables, hints } = routing;
  const routes = ownTables ? routing.routes : [];
  const requests: Request<never>[] = [];
  for (const source of sources) {
    requests.push(addRule(ruleOf(source)));
    if (!ownTables) continue;
    const byGateway = defaultRouteOf(source, index);
    if (byGateway !== undefined) requests.push(addRoute(byGateway));
    const places = new Set<string>();
    for (const copy of routesFor(source, routes)) {
      // of several ways to one place none may take that of another
      requests.push(sendRoute(copy, places.has(placeOf(copy)) ? "append" : "replace"));
      places.add(placeOf(copy));
    }
  }
  if (hints && ownTables) {
    for (const source of sources) requests.push(addRoute(hintOf(source, index), "replace"));
  }
  for (const copy of routes) {
    // the kernel may have taken one for the other
    if (leavesMain(copy, hints)) requests.push(ignoring(deleteCopied(copy), "ESRCH"));
  }
  inside.execute(requests);
}

/**
 * Takes the rules away and, where the interface is still there (`isThere`), puts its routes back into the main table.
 * Killed at any step it can be done again; what is gone already, or can't be reached any more, is success. Throws NetlinkError.
 */
export function endSourceRouting(inside: Connection, routing: SourceRouting, isThere: boolean): void {
  const { index, sources, ownTables, routes, hints } = routing;
  const requests: Request<never>[] = sources.map((source) =>
    ignoring(deleteRule(ruleOf(source)), "ENOENT", "ESRCH", "EAFNOSUPPORT"),
  );
  if (isThere && ownTables) {
    const tables = new Set(sources.map(({ table }) => table));
    const present = allRoutes(inside);
    if (hints) {
      for (const source of sources) {
        const hint = { ...hintOf(source, index), protocol: RouteProtocol.boot };
        requests.push(ignoring(deleteRoute(hint), "ESRCH"));
      }
    }
    const known = new Set(present.map(identityOf));
    // those that others lead by come first
    const ordered = routes.toSorted((left, right) => gatewaysOf(left).length - gatewaysOf(right).length);
    for (const copy of ordered) {
      if (known.has(identityOf(copy))) continue;
      requests.push(
        ignoring(sendRoute(copy, "append"), "EEXIST", "ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "EINVAL"),
      );
    }
    for (const copy of present) {
      const { table, paths } = copy.route;
      if (!tables.has(table) || !paths.every(({ outputIndex }) => outputIndex === index)) continue;
      requests.push(ignoring(deleteCopied(copy), "ESRCH"));
    }
  }
  inside.execute(requests);
}

/** Returns what is not as `setSourceRouting` made it, in words; undefined if all is. Throws NetlinkError. */
export function sourceRoutingDifference(inside: Connection, routing: SourceRouting): string | undefined {
  const { index, sources, ownTables, routes, hints } = routing;
  const rules = FAMILIES.flatMap((family) => inside.dump(dumpRules(family)));
  const present = allRoutes(inside);
  const known = new Set(present.map(identityOf));
  for (const source of sources) {
    const { prefix, gateway, table } = source;
    if (!rules.some((rule) => isRuleOf(rule, source))) {
      return `the rule from ${formatAddress(prefix.address)} lookup ${table} is gone`;
    }
    if (!ownTables) continue;
    const lost = routesFor(source, routes).find(
      (copy) => !known.has(identityOf(copy)) && !isAdvertised(copy),
    );
    if (lost !== undefined) return `the route ${routeText(lost.route)} is gone`;
    const isLed = (by: Address) =>
      present.some((copy) => copy.route.table === table && isInItsPlace(copy, source) && leadsBy(copy, by));
    if (gateway !== undefined && !isLed(gateway)) {
      return `the route default via ${formatAddress(gateway)} in table ${table} is gone`;
    }
    if (hints && !present.some((copy) => isHint(copy, source, index))) {
      return `the route to ${formatPrefix(networkOf(prefix))} from ${formatAddress(prefix.address)} is gone`;
    }
  }
  if (!ownTables) return undefined;
  const back = routes.find(
    (copy) => leavesMain(copy, hints) && known.has(identityOf(copy)) && !isAdvertised(copy),
  );
  return back === undefined ? undefined : `the route ${routeText(back.route)} is in the main table again`;
}

function isAdvertised({ route }: RouteCopy): boolean {
  return route.protocol === RouteProtocol.routerAdvertisement;
}

function isRuleOf({ source, sourceLength, table }: Rule, { prefix, table: wanted }: Source): boolean {
  if (source === undefined || sourceLength !== source.length * 8 || table !== wanted) return false;
  return sameAddress(addressFromBytes(source), prefix.address);
}

function isHint({ route }: RouteCopy, { prefix }: Source, index: number): boolean {
  const { table, destination, prefixLength, preferredSource, paths } = route;
  if (table !== Table.main || destination === undefined || prefixLength !== prefix.length) return false;
  if (preferredSource === undefined || paths.every(({ outputIndex }) => outputIndex !== index)) return false;
  return (
    sameAddress(addressFromBytes(destination), firstAddress(prefix)) &&
    sameAddress(addressFromBytes(preferredSource), prefix.address)
  );
}

/** An address for examples in each family (RFC 5737, RFC 3849). */
const DOCUMENTATION: readonly Address[] = [
  { family: 4, value: 0xc000_0201n },
  { family: 6, value: (0x2001_0db8n << 96n) | 1n },
];

/** Throws MissingFeatureError if the kernel has no rules for a family that it has, tried in a namespace of its own. */
export function probeRules(): void {
  for (const address of DOCUMENTATION) {
    try {
      rehearse(() => {
        if (address.family === 6 && !hasIpv6()) return;
        using connection = connectHost();
        connection.execute([addRule({ source: addressBytes(address), table: FIRST_TABLE })]);
      });
    } catch (error) {
      if (!isNetlinkError(error, "EOPNOTSUPP", "EAFNOSUPPORT")) throw error;
      const cure = "take sbr out of the chain, or use a kernel with policy routing (IP_MULTIPLE_TABLES)";
      throw new MissingFeatureError(`routing rules for IPv${address.family}`, cure, { cause: error });
    }
  }
}
