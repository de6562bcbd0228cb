// Connections over which every packet is acknowledged at once. By itself the kernel waits up to 40 ms for something to
// acknowledge it with, and a client that writes twice before it reads waits with it. It is an attribute of the route
// (quickack), which is all that a plugin can set for programs that it doesn't know.
import { getLink } from "../netlink/link.ts";
import type { Request } from "../netlink/message.ts";
import { addRoute, RouteProtocol, RouteType } from "../netlink/route.ts";
import {
  deleteCopied,
  dumpRouteCopies,
  identityOf,
  isQuick,
  placeOf,
  type RouteCopy,
  sendRoute,
  withQuick,
} from "../netlink/route-copy.ts";
import { type Connection, connectHost } from "./connection.ts";
import { bringUp } from "./interface.ts";
import { rehearse } from "./rehearsal.ts";
import { routeText } from "./route-text.ts";

/** Which routes of an interface are meant. */
export type RouteChoice = "default" | "all";

/** A route out of an interface, as it is. */
export interface LeadingRoute {
  /** The same as long as the route is the same, whatever its metrics. */
  readonly identity: string;
  /** For people: `default via 10.88.0.1`. */
  readonly text: string;
  readonly quick: boolean;
  /** True for one that a router advertises, and that comes and goes with it. */
  readonly advertised: boolean;
}

function leadsOut(copy: RouteCopy, index: number): boolean {
  const { type, paths } = copy.route;
  return type === RouteType.unicast && paths.some(({ outputIndex }) => outputIndex === index);
}

function dumpAll(inside: Connection): RouteCopy[] {
  return (["ipv4", "ipv6"] as const).flatMap((family) => inside.dump(dumpRouteCopies(family)));
}

/** Returns the unicast routes out of the interface, of every table and both families. Throws NetlinkError. */
export function leadingRoutes(inside: Connection, index: number, choice: RouteChoice): LeadingRoute[] {
  return dumpAll(inside)
    .filter((copy) => leadsOut(copy, index) && (choice === "all" || copy.route.prefixLength === 0))
    .map((copy) => ({
      identity: identityOf(copy),
      text: routeText(copy.route),
      quick: isQuick(copy),
      advertised: copy.route.protocol === RouteProtocol.routerAdvertisement,
    }));
}

/**
 * Lets connections over those of the interface's routes acknowledge at once, or wait again; whatever else a route has
 * stays. Routes that are gone are passed over. Throws NetlinkError.
 */
export function setQuick(
  inside: Connection,
  index: number,
  identities: ReadonlySet<string>,
  quick: boolean,
): void {
  const all = dumpAll(inside);
  const isMeant = (copy: RouteCopy) =>
    leadsOut(copy, index) && isQuick(copy) !== quick && identities.has(identityOf(copy));
  const places = Map.groupBy(all, placeOf);
  const requests: Request<never>[] = [];
  for (const alike of places.values()) {
    if (!alike.some(isMeant)) continue;
    const [only, ...others] = alike;
    if (only !== undefined && others.length === 0) {
      requests.push(sendRoute(withQuick(only, quick), "replace"));
      continue;
    }
    // "replace" would hit the first of those that are alike, also another interface's: so each of them leaves and
    // comes again behind the others, after which they stand as they stood
    for (const copy of alike) {
      const renewed = isMeant(copy) ? withQuick(copy, quick) : copy;
      requests.push(deleteCopied(copy), sendRoute(renewed, "append"));
    }
  }
  inside.execute(requests);
}

/** True if the kernel keeps the attribute: tried on a route in a namespace of its own. Throws SystemError. */
export function canAcknowledgeQuickly(): boolean {
  return rehearse(() => {
    using connection = connectHost();
    const lo = connection.get(getLink("lo"));
    if (lo === undefined) throw new Error("a new network namespace has no loopback interface");
    bringUp(connection, lo.index);
    connection.execute([addRoute({ destination: DOCUMENTATION, prefixLength: 24, outputIndex: lo.index })]);
    const [route] = leadingRoutes(connection, lo.index, "all");
    if (route === undefined) return false;
    setQuick(connection, lo.index, new Set([route.identity]), true);
    return leadingRoutes(connection, lo.index, "all").some(({ quick }) => quick);
  });
}

/** TEST-NET-1 (RFC 5737). */
const DOCUMENTATION = new Uint8Array([192, 0, 2, 0]);
