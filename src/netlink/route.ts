// Routes: RTM_NEWROUTE, RTM_DELROUTE and RTM_GETROUTE (linux/rtnetlink.h). Addresses are raw bytes, as in address.ts.
import { type AddressFamily, addressText, FAMILIES, familyOf, Scope } from "./address.ts";
import { aligned, type Codec, CodecError, type Reader, type ValueOf } from "./buffer.ts";
import { attributes, bytes, headed, struct, type UnknownAttribute, u8, u16, u32 } from "./codec.ts";
import { MessageFlag, type Request } from "./message.ts";

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;

/** Routing tables with a fixed number (RT_TABLE_*). */
export const Table = { unspecified: 0, default: 253, main: 254, local: 255 } as const;

/** Who made a route (RTPROT_*). */
export const RouteProtocol = {
  unspecified: 0,
  redirect: 1,
  kernel: 2,
  boot: 3,
  static: 4,
  routerAdvertisement: 9,
} as const;

/** What a route does with a packet (RTN_*). */
export const RouteType = {
  unspecified: 0,
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
} as const;

const ON_LINK = 4; // RTNH_F_ONLINK

/** One way of several: struct rtnexthop without the length in front, and its own RTA_*. */
const nextHop = headed(
  struct({ flags: u8, hops: u8, outputIndex: u32 }),
  attributes({ gateway: [5, bytes] }),
);

/** The ways of a route one after the other, each behind its length, which counts itself. */
const nextHops: Codec<readonly ValueOf<typeof nextHop>[]> = {
  encode(writer, hops) {
    for (const hop of hops) {
      const start = writer.advance(2);
      nextHop.encode(writer, hop);
      writer.view.setUint16(start, writer.offset - start, true);
      writer.align();
    }
  },
  decode(reader) {
    const hops: ValueOf<typeof nextHop>[] = [];
    const end = reader.end;
    while (reader.left > 0) {
      const start = reader.offset;
      const length = u16.decode(reader);
      if (length < 2 || start + length > end) {
        throw new CodecError(`${hops.length}`, `length ${length} with ${end - start} bytes left`);
      }
      reader.end = start + length;
      hops.push(reader.whole(`${hops.length}`, nextHop));
      reader.end = end;
      reader.offset = Math.min(start + aligned(length), end);
    }
    return hops;
  },
};

/** The body of a route message: struct rtmsg and RTA_*. */
export const routeMessage = headed(
  struct({
    family: u8,
    destinationLength: u8,
    sourceLength: u8,
    serviceType: u8,
    table: u8,
    protocol: u8,
    scope: u8,
    type: u8,
    flags: u32,
  }),
  attributes({
    destination: [1, bytes], // RTA_DST
    outputIndex: [4, u32], // RTA_OIF
    gateway: [5, bytes], // RTA_GATEWAY
    priority: [6, u32], // RTA_PRIORITY
    preferredSource: [7, bytes], // RTA_PREFSRC
    metrics: [
      8, // RTA_METRICS
      attributes({
        mtu: [2, u32], // RTAX_MTU
        advertisedSegment: [8, u32], // RTAX_ADVMSS
        initialWindow: [11, u32], // RTAX_INITCWND
        quickAcknowledge: [15, u32], // RTAX_QUICKACK
      }),
    ],
    nextHops: [9, nextHops], // RTA_MULTIPATH: instead of RTA_OIF and RTA_GATEWAY
    table: [15, u32], // RTA_TABLE: the header has room only for tables up to 255
  }),
);

/** What the connections over a route start with. */
export interface RouteMetrics {
  readonly mtu?: number | undefined;
  /** The TCP segment size that is told to the other end (advmss). */
  readonly advertisedSegment?: number | undefined;
  readonly initialWindow?: number | undefined;
  readonly quickAcknowledge?: number | undefined;
  readonly unknown?: readonly UnknownAttribute[] | undefined;
}

/** A route that is to be, or to be no more. */
export interface NewRoute {
  /** Needed only when neither destination nor gateway tells it. */
  readonly family?: AddressFamily | undefined;
  /** Undefined is the default route. */
  readonly destination?: Uint8Array | undefined;
  readonly prefixLength?: number | undefined;
  readonly gateway?: Uint8Array | undefined;
  readonly outputIndex?: number | undefined;
  /** The main table if left out. */
  readonly table?: number | undefined;
  /** Called metric by iproute2; the lowest wins. */
  readonly priority?: number | undefined;
  readonly preferredSource?: Uint8Array | undefined;
  /** If left out: universe with a gateway or IPv6, link without. */
  readonly scope?: number | undefined;
  readonly protocol?: number | undefined;
  readonly type?: number | undefined;
  /** The gateway is on the link, also if no route says so. */
  readonly onLink?: boolean | undefined;
  readonly metrics?: RouteMetrics | undefined;
}

function routeFamily(route: NewRoute): AddressFamily {
  const known = route.destination ?? route.gateway ?? route.preferredSource;
  return route.family ?? (known === undefined ? "ipv4" : familyOf(known));
}

function routeText(route: NewRoute): string {
  const { destination, gateway } = route;
  const length = route.prefixLength ?? (destination?.length ?? 0) * 8;
  const where = destination === undefined ? "default" : `${addressText(destination)}/${length}`;
  return gateway === undefined ? where : `${where} via ${addressText(gateway)}`;
}

/** What happens if there is such a route already: `add` fails with EEXIST. */
export type RouteMode = "add" | "replace" | "append";

/** The flags of a message for each of them. */
export const MODE_FLAGS = {
  add: MessageFlag.create | MessageFlag.exclusive,
  replace: MessageFlag.create | MessageFlag.replace,
  append: MessageFlag.create | MessageFlag.append,
} as const;

function routeRequest(
  operation: string,
  type: number,
  flags: number,
  route: NewRoute,
  defaults: { readonly protocol: number; readonly scope: number; readonly type: number },
): Request<never> {
  return {
    operation,
    type,
    flags,
    encode(writer) {
      const table = route.table ?? Table.main;
      const { destination } = route;
      routeMessage.encode(writer, {
        header: {
          family: FAMILIES[routeFamily(route)],
          destinationLength: route.prefixLength ?? (destination?.length ?? 0) * 8,
          sourceLength: 0,
          serviceType: 0,
          // a lookup goes by the rules, not into one table
          table: type === RTM_GETROUTE || table > 0xff ? Table.unspecified : table,
          protocol: route.protocol ?? defaults.protocol,
          scope: route.scope ?? defaults.scope,
          type: route.type ?? defaults.type,
          flags: route.onLink ? ON_LINK : 0,
        },
        attributes: {
          destination,
          gateway: route.gateway,
          table: table <= 0xff ? undefined : table,
          priority: route.priority,
          preferredSource: route.preferredSource,
          outputIndex: route.outputIndex,
          metrics: route.metrics,
        },
      });
    },
  };
}

/** Makes a route. */
export function addRoute(route: NewRoute, mode: RouteMode = "add"): Request<never> {
  const direct = route.gateway === undefined && routeFamily(route) === "ipv4";
  return routeRequest(`${mode} route ${routeText(route)}`, RTM_NEWROUTE, MODE_FLAGS[mode], route, {
    protocol: RouteProtocol.boot,
    scope: direct ? Scope.link : Scope.universe,
    type: RouteType.unicast,
  });
}

/** Removes the first route that matches what is given; ESRCH if there is none. */
export function deleteRoute(route: NewRoute): Request<never> {
  return routeRequest(`delete route ${routeText(route)}`, RTM_DELROUTE, 0, route, {
    protocol: RouteProtocol.unspecified,
    scope: Scope.nowhere,
    type: RouteType.unspecified,
  });
}

/** A way that a route leads. */
export interface RoutePath {
  readonly gateway: Uint8Array | undefined;
  readonly outputIndex: number;
  /** The gateway is on the link, also if no route says so. */
  readonly onLink: boolean;
}

/** A route as the kernel describes it. */
export interface Route {
  readonly family: AddressFamily;
  /** Undefined is the default route. */
  readonly destination: Uint8Array | undefined;
  readonly prefixLength: number;
  /**
   * One for most routes, none for one that leads nowhere. IPv6 routes that differ in nothing but their way are one
   * route of several ways to the kernel, whoever made them.
   */
  readonly paths: readonly RoutePath[];
  readonly table: number;
  readonly priority: number;
  readonly preferredSource: Uint8Array | undefined;
  readonly scope: number;
  readonly protocol: number;
  readonly type: number;
  /** Those of the first path. */
  readonly metrics: RouteMetrics;
  /** What came beside, such as the preference of a router (RTA_PREF 20). */
  readonly unknown: readonly UnknownAttribute[];
}

/** Asks by which route a packet to this address would go; ENETUNREACH and the like if by none. */
export function lookUpRoute(destination: Uint8Array): Request<Route> {
  const family = familyOf(destination);
  return {
    ...routeRequest(
      `look up the route to ${addressText(destination)}`,
      RTM_GETROUTE,
      0,
      { destination },
      { protocol: RouteProtocol.unspecified, scope: Scope.universe, type: RouteType.unspecified },
    ),
    decode: (reader) => decodeRoute(reader, family),
  };
}

/** Which routes to list. */
export interface RouteFilter {
  readonly family: AddressFamily;
  readonly outputIndex?: number | undefined;
  readonly table?: number | undefined;
}

/** Asks for all routes that the filter lets through; a table that doesn't exist has none. */
export function dumpRoutes(filter: RouteFilter): Request<Route> {
  const { family, outputIndex, table } = filter;
  return {
    operation: `list ${family} routes`,
    type: RTM_GETROUTE,
    flags: 0,
    ignore: ["ENOENT"],
    encode(writer) {
      routeMessage.encode(writer, {
        header: {
          family: FAMILIES[family],
          destinationLength: 0,
          sourceLength: 0,
          serviceType: 0,
          table: 0,
          protocol: 0,
          scope: 0,
          type: 0,
          flags: 0,
        },
        attributes: { table, outputIndex },
      });
    },
    decode(reader) {
      const route = decodeRoute(reader, family);
      if (route === undefined) return undefined;
      if (outputIndex !== undefined && !route.paths.some((path) => path.outputIndex === outputIndex))
        return undefined;
      if (table !== undefined && route.table !== table) return undefined;
      return route;
    },
  };
}

/** Reads a message about a route; undefined for one of another family. */
export function decodeRoute(reader: Reader, family: AddressFamily): Route | undefined {
  const decoded = routeMessage.decode(reader);
  const { header, attributes: values } = decoded;
  if (header.family !== FAMILIES[family]) return undefined;
  return {
    family,
    destination: values.destination,
    prefixLength: header.destinationLength,
    paths: pathsOf(decoded),
    table: values.table ?? header.table,
    priority: values.priority ?? 0,
    preferredSource: values.preferredSource,
    scope: header.scope,
    protocol: header.protocol,
    type: header.type,
    metrics: values.metrics ?? {},
    unknown: values.unknown ?? [],
  };
}

function pathsOf({ header, attributes: values }: ValueOf<typeof routeMessage>): RoutePath[] {
  const { nextHops, gateway, outputIndex } = values;
  if (nextHops !== undefined) {
    return nextHops.map((hop) => ({
      gateway: hop.attributes.gateway,
      outputIndex: hop.header.outputIndex,
      onLink: (hop.header.flags & ON_LINK) !== 0,
    }));
  }
  return outputIndex === undefined ? [] : [{ gateway, outputIndex, onLink: (header.flags & ON_LINK) !== 0 }];
}
