// The default route of a container that has several interfaces: which of them it leads over is changed by taking the
// routes that are there away and setting another one, and the change can be taken back by what it is written down as.
import { type Address, addressBytes, addressFromBytes, type Family } from "../ip/address.ts";
import { ignoring, type Request } from "../netlink/message.ts";
import { addRoute, deleteRoute, dumpRoutes, type NewRoute, RouteType, Table } from "../netlink/route.ts";
import type { Connection } from "./connection.ts";
import { findLink } from "./veth.ts";

/** A default route of the main table. */
export interface DefaultRoute {
  readonly family: Family;
  /** The interface that it leads over. */
  readonly ifname: string;
  /** Undefined for one that takes the whole world to be on the link. */
  readonly gateway: Address | undefined;
  readonly priority: number;
  /** The gateway is on the link, also if no address of the interface says so. */
  readonly onLink: boolean;
  /** Who made it (RTPROT_*). */
  readonly protocol: number;
  readonly mtu: number | undefined;
}

/** The kernel gives IPv6 routes without a priority this one (IP6_RT_PRIO_USER). */
const IPV6_PRIORITY = 1024;

/** Returns the default routes of a family that lead over one of these interfaces. */
export function defaultRoutesOver(
  inside: Connection,
  family: Family,
  ifnames: readonly string[],
): DefaultRoute[] {
  const names = new Map(
    ifnames.flatMap((name) => {
      const link = findLink(inside, name);
      return link === undefined ? [] : [[link.index, name] as const];
    }),
  );
  const routes = inside.dump(dumpRoutes({ family: family === 4 ? "ipv4" : "ipv6", table: Table.main }));
  return routes
    .filter(({ prefixLength, type }) => prefixLength === 0 && type === RouteType.unicast)
    .flatMap(({ paths, priority, protocol, metrics }) =>
      paths.flatMap(({ outputIndex, gateway, onLink }) => {
        const ifname = names.get(outputIndex);
        if (ifname === undefined) return [];
        const by = gateway === undefined ? undefined : addressFromBytes(gateway);
        return [{ family, ifname, gateway: by, priority, onLink, protocol, mtu: metrics.mtu }];
      }),
    );
}

/** Returns the default route over an interface by a gateway, as the kernel takes it when nothing else is said. */
export function defaultRouteBy(ifname: string, gateway: Address): DefaultRoute {
  const { family } = gateway;
  const priority = family === 4 ? 0 : IPV6_PRIORITY;
  return { family, ifname, gateway, priority, onLink: false, protocol: 0, mtu: undefined };
}

/** Sets `route` in the place of the others; throws NetlinkError, and then some of them may be gone. */
export function replaceDefaultRoutes(
  inside: Connection,
  others: readonly DefaultRoute[],
  route: DefaultRoute,
): void {
  inside.execute([
    ...others.flatMap((one) => removal(inside, one)),
    ...requestsFor(inside, route, (spelled) => addRoute(spelled, "add")),
  ]);
}

/**
 * Takes a replacement back, as far as the interfaces are still there: what has gone with one, or can't be reached any
 * more, is nobody's loss. Throws NetlinkError.
 */
export function restoreDefaultRoutes(
  inside: Connection,
  others: readonly DefaultRoute[],
  route: DefaultRoute,
): void {
  inside.execute([
    ...removal(inside, route),
    ...others.flatMap((one) =>
      requestsFor(inside, one, (spelled) =>
        ignoring(addRoute(spelled, "add"), "EEXIST", "ENETUNREACH", "EHOSTUNREACH", "ENETDOWN"),
      ),
    ),
  ]);
}

function removal(inside: Connection, route: DefaultRoute): Request<never>[] {
  return requestsFor(inside, route, ({ protocol: _, metrics: __, onLink: ___, ...spelled }) =>
    ignoring(deleteRoute(spelled), "ESRCH"),
  );
}

/** Of an interface that is not there nothing has to be asked. */
function requestsFor(
  inside: Connection,
  { family, ifname, gateway, priority, onLink, protocol, mtu }: DefaultRoute,
  request: (route: NewRoute) => Request<never>,
): Request<never>[] {
  const link = findLink(inside, ifname);
  if (link === undefined) return [];
  return [
    request({
      family: family === 4 ? "ipv4" : "ipv6",
      prefixLength: 0,
      gateway: gateway === undefined ? undefined : addressBytes(gateway),
      outputIndex: link.index,
      priority,
      onLink,
      protocol: protocol === 0 ? undefined : protocol,
      metrics: mtu === undefined ? undefined : { mtu },
    }),
  ];
}
