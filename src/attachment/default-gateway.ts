// Which of a container's interfaces the default route leads over, where somebody asks for another one than its networks
// give. What is taken away and what is set is written down first, so that DEL and GC can put things back, and a call that
// was killed in between leaves nothing that nobody knows of.
import * as v from "valibot";
import { ErrorCode, stateDiffers } from "../cni/error.ts";
import { parseInput } from "../cni/input.ts";
import { type Address, formatAddress, parseAddress } from "../ip/address.ts";
import { type Entry, type KernelObject, recordObjects } from "../ledger/attachments.ts";
import { type Connection, connectInside } from "../net/connection.ts";
import {
  type DefaultRoute,
  defaultRouteBy,
  defaultRoutesOver,
  replaceDefaultRoutes,
  restoreDefaultRoutes,
} from "../net/default-route.ts";
import type { Netns } from "../net/netns.ts";
import { openStore } from "../store/sqlite.ts";
import { openContainer, type RecordedContainer } from "./container-interface.ts";

const routeSchema = v.object({
  family: v.picklist([4, 6]),
  ifname: v.string(),
  gateway: v.optional(v.string()),
  priority: v.number(),
  onLink: v.boolean(),
  protocol: v.number(),
  mtu: v.optional(v.number()),
});
const detailSchema = v.object({ route: routeSchema, others: v.array(routeSchema) });

/** A default route in the place of others. */
interface Replacement {
  readonly route: DefaultRoute;
  readonly others: readonly DefaultRoute[];
}

/**
 * Lets the default route of the gateway's family lead over `ifname`, in the place of every one that leads over one of
 * `ifnames`. `onBegun` is called with what takes that back, before anything is changed. Throws NetlinkError where the
 * gateway can't be reached.
 */
export async function setDefaultGateway(
  netns: Netns,
  { entry, dataDir }: { readonly entry: Entry; readonly dataDir: string },
  { ifname, gateway, ifnames }: { ifname: string; gateway: Address; ifnames: readonly string[] },
  onBegun: (undo: (netns: Netns) => void) => void,
): Promise<void> {
  using inside = connectInside(netns);
  const route = defaultRouteBy(ifname, gateway);
  const replacement = { route, others: defaultRoutesOver(inside, gateway.family, ifnames) };
  await openStore(dataDir).transaction((store) => recordObjects(store, entry, [writtenForm(replacement)]));
  onBegun((again) => {
    using inside = connectInside(again);
    restoreDefaultRoutes(inside, replacement.others, route);
  });
  replaceDefaultRoutes(inside, replacement.others, route);
}

/** Puts back the default routes that were there, in a container that is still alive. Throws NetlinkError. */
export function takeDefaultGatewaysBack(
  container: RecordedContainer,
  objects: readonly KernelObject[],
): void {
  const replacements = replacementsIn(objects);
  if (replacements.length === 0) return;
  using netns = openContainer(container);
  if (netns === undefined) return;
  using inside = connectInside(netns);
  for (const { route, others } of replacements) restoreDefaultRoutes(inside, others, route);
}

/** Throws CniError 103 unless the default routes that were set are there, and no other one is beside them. */
export function checkDefaultGateways(inside: Connection, objects: readonly KernelObject[]): void {
  for (const { route, others } of replacementsIn(objects)) {
    const names = new Set([route.ifname, ...others.map(({ ifname }) => ifname)]);
    const present = defaultRoutesOver(inside, route.family, [...names]);
    if (!present.some((one) => isSame(one, route))) {
      throw stateDiffers(`there is no route ${describe(route)}`);
    }
    const other = present.find((one) => !isSame(one, route));
    if (other !== undefined)
      throw stateDiffers(`there is the route ${describe(other)} beside ${describe(route)}`);
  }
}

function isSame(left: DefaultRoute, right: DefaultRoute): boolean {
  return left.ifname === right.ifname && left.gateway?.value === right.gateway?.value;
}

function describe({ ifname, gateway }: DefaultRoute): string {
  return `default ${gateway === undefined ? "" : `via ${formatAddress(gateway)} `}dev ${ifname}`;
}

function writtenForm({ route, others }: Replacement): KernelObject {
  const spelled = ({ gateway, ...one }: DefaultRoute) => ({
    ...one,
    gateway: gateway === undefined ? undefined : formatAddress(gateway),
  });
  const detail = JSON.stringify({ route: spelled(route), others: others.map(spelled) });
  return { kind: "default route", name: describe(route), detail };
}

function replacementsIn(objects: readonly KernelObject[]): Replacement[] {
  return objects
    .filter(({ kind }) => kind === "default route")
    .map(({ name, detail }) => {
      const what = `what the store has about ${name}`;
      const written = parseInput(detailSchema, JSON.parse(detail), ErrorCode.decodingFailure, what);
      return { route: routeIn(written.route), others: written.others.map(routeIn) };
    });
}

function routeIn({ gateway, mtu, ...route }: v.InferOutput<typeof routeSchema>): DefaultRoute {
  return { ...route, mtu, gateway: gateway === undefined ? undefined : parseAddress(gateway) };
}
