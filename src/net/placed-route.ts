// A route that has to be there just as somebody says, also when another one to the same destination has got into its place:
// looked for, and set in the place of whatever else leads there.
import { type Address, addressBytes, addressFromBytes, formatAddress, sameAddress } from "../ip/address.ts";
import type { Prefix } from "../ip/prefix.ts";
import { isNetlinkError } from "../netlink/message.ts";
import {
  addRoute,
  deleteRoute,
  dumpRoutes,
  type NewRoute,
  type Route,
  RouteType,
  Table,
} from "../netlink/route.ts";
import type { Connection } from "./connection.ts";

/** A route of the main table. */
export interface PlacedRoute {
  /** Without host bits. */
  readonly destination: Prefix;
  /** The interface that it leads out of, by a gateway or straight; or nowhere, and whoever asks is told so. */
  readonly way: { readonly index: number; readonly gateway: Address | undefined } | "unreachable";
}

/** The lowest metric wins, and IPv6 has none below this one unless somebody says so (IP6_RT_PRIO_USER). */
const PRIORITIES = { ipv4: 0, ipv6: 1024 } as const;

function familyNameOf({ destination }: PlacedRoute): "ipv4" | "ipv6" {
  return destination.address.family === 4 ? "ipv4" : "ipv6";
}

/** Returns what is wrong with the route, in words; undefined if it is there. Throws NetlinkError. */
export function placedRouteProblem(connection: Connection, wanted: PlacedRoute): string | undefined {
  const [present] = rivalsOf(connection, wanted);
  if (present === undefined) return "is missing";
  return leadsAs(present, wanted) ? undefined : `leads ${wayText(present)}`;
}

/** Sets the route in the place of those that lead to the same destination otherwise. Throws NetlinkError. */
export function placeRoute(connection: Connection, wanted: PlacedRoute): void {
  for (const rival of rivalsOf(connection, wanted)) {
    if (!leadsAs(rival, wanted)) remove(connection, wanted, rival);
  }
  const { way } = wanted;
  const route: NewRoute =
    way === "unreachable"
      ? { ...destinationOf(wanted), type: RouteType.unreachable }
      : {
          ...destinationOf(wanted),
          outputIndex: way.index,
          gateway: way.gateway === undefined ? undefined : addressBytes(way.gateway),
        };
  connection.execute([addRoute(route, "replace")]);
}

function destinationOf(wanted: PlacedRoute): NewRoute {
  const { address, length } = wanted.destination;
  return {
    family: familyNameOf(wanted),
    destination: length === 0 ? undefined : addressBytes(address),
    prefixLength: length,
    table: Table.main,
    priority: PRIORITIES[familyNameOf(wanted)],
  };
}

function remove(connection: Connection, wanted: PlacedRoute, { paths, type }: Route): void {
  const requests =
    paths.length === 0
      ? [deleteRoute({ ...destinationOf(wanted), type })]
      : paths.map(({ outputIndex, gateway }) =>
          deleteRoute({ ...destinationOf(wanted), outputIndex, gateway, type }),
        );
  for (const { error } of connection.attempt(requests)) {
    if (error !== undefined && !isNetlinkError(error, "ESRCH")) throw error;
  }
}

/** Routes to the destination that the kernel would take at once or one after the other. */
function rivalsOf(connection: Connection, wanted: PlacedRoute): Route[] {
  const family = familyNameOf(wanted);
  const { address, length } = wanted.destination;
  return connection
    .dump(dumpRoutes({ family, table: Table.main }))
    .filter(({ prefixLength, destination, priority }) => {
      if (prefixLength !== length || priority !== PRIORITIES[family]) return false;
      return destination === undefined ? length === 0 : sameAddress(addressFromBytes(destination), address);
    });
}

function leadsAs({ type, paths }: Route, { way }: PlacedRoute): boolean {
  if (way === "unreachable") return type === RouteType.unreachable;
  const [path, ...others] = paths;
  if (type !== RouteType.unicast || path === undefined || others.length > 0) return false;
  if (path.outputIndex !== way.index) return false;
  if (path.gateway === undefined || way.gateway === undefined) return path.gateway === way.gateway;
  return sameAddress(addressFromBytes(path.gateway), way.gateway);
}

function wayText({ paths: [path], type }: Route): string {
  if (type !== RouteType.unicast || path === undefined) return "nowhere";
  const { gateway, outputIndex } = path;
  const by = gateway === undefined ? "" : `by ${formatAddress(addressFromBytes(gateway))} `;
  return `${by}out of interface number ${outputIndex}`;
}
