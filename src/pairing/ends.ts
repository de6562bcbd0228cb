// The ends of links in the kernel, by what the store has of them: made, removed and looked at. A container is always
// reached by the path that was written down, and only if that is the same namespace still.
import { openContainer } from "../attachment/container-interface.ts";
import { aliasOf, attachmentHash } from "../attachment/identity.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { type Address, parseAddress } from "../ip/address.ts";
import { contains, networkOf, type Prefix, parsePrefix } from "../ip/prefix.ts";
import { type Connection, connectInside } from "../net/connection.ts";
import type { InterfaceRoute } from "../net/interface.ts";
import { parseMirror } from "../net/mirror.ts";
import type { Netns } from "../net/netns.ts";
import {
  endProblem,
  joinContainers,
  joinNodes,
  jointProblem,
  type LinkEnd,
  removeEnd,
} from "../net/private-link.ts";
import { hardwareAddressFor, type Link } from "../net/veth.ts";
import { currentBootId } from "../sys/process.ts";
import { type PlannedRoute, plannedRoute } from "./link-plan.ts";
import { sideOf } from "./link-row.ts";
import type { PairEndRow, PairLinkRow, PairPodRow } from "./links.ts";
import { type Making, type MakingEnd, rowsOf } from "./prospects.ts";

/** By what packets of links to other nodes leave this one. */
export interface Transport {
  readonly host: Connection;
  readonly parent: Link;
  readonly parentAddress: Address | undefined;
  readonly port: number | undefined;
}

/** Returns the hardware address of an end. */
export function hardwareAddressOf({ network, containerId, ifname, name }: EndIdentity): string {
  return hardwareAddressFor(
    attachmentHash({ network, containerId, ifname: `${ifname}/${name}` }, 2),
    undefined,
  );
}

/** What an end is known by: the attachment that it belongs to, and its name in there. */
export type EndIdentity = Pick<PairEndRow, "network" | "containerId" | "ifname" | "name">;

/** An end whose container is open. */
class OpenEnd implements Disposable, LinkEnd {
  readonly inside: Connection;
  readonly name: string;
  readonly hardwareAddress: string;
  readonly alias: string | undefined;
  readonly mirror: LinkEnd["mirror"];

  private constructor(
    readonly netns: Netns,
    row: PairEndRow,
    readonly addresses: readonly Prefix[],
    readonly routes: readonly InterfaceRoute[],
  ) {
    this.inside = connectInside(netns);
    this.name = row.name;
    this.hardwareAddress = hardwareAddressOf(row);
    this.alias = aliasOf(row);
    this.mirror = parseMirror(row.mirror);
  }

  /** Returns the end, or undefined if its container is not there any more. */
  static open({ row, addresses, routes }: MakingEnd): OpenEnd | undefined {
    const netns = row.bootId === currentBootId() ? openContainer(row) : undefined;
    if (netns === undefined) return undefined;
    if (row.netnsInode !== null && netns.inode.toString() !== row.netnsInode) {
      // another namespace has taken the place between the look and the opening
      netns[Symbol.dispose]();
      return undefined;
    }
    const prefixes = prefixesIn(addresses);
    return new OpenEnd(netns, row, prefixes, routesBy(prefixes, routes));
  }

  [Symbol.dispose](): void {
    this.inside[Symbol.dispose]();
    this.netns[Symbol.dispose]();
  }
}

function prefixesIn(text: string): Prefix[] {
  return text.split(",").flatMap((one) => parsePrefix(one) ?? []);
}

/** Returns those of a pod's routes, spelled as in the store, whose gateways are neighbours on a link with these addresses. */
export function routesIn(text: string, addresses: readonly Prefix[]): PlannedRoute[] {
  return text.split(", ").flatMap((one) => {
    const [destination = "", gateway = ""] = one.split(" via ");
    const route = plannedRoute(destination, gateway);
    if (route === undefined) return [];
    return addresses.some((address) => contains(networkOf(address), route.gateway)) ? [route] : [];
  });
}

function routesBy(addresses: readonly Prefix[], routes: string): InterfaceRoute[] {
  return routesIn(routes, addresses).map(({ destination, gateway }) => ({
    destination,
    gateway,
    mtu: undefined,
    advertisedSegment: undefined,
    priority: undefined,
    table: undefined,
    scope: undefined,
  }));
}

function requireOpen(end: MakingEnd): OpenEnd {
  const open = OpenEnd.open(end);
  if (open !== undefined) return open;
  throw new CniError(
    ErrorCode.tryAgainLater,
    `the namespace ${end.row.netns} of container ${end.row.containerId} is gone`,
    "it went while its link was made: DEL that container, and try again",
  );
}

/** Makes what is to be made; `transport` is asked only for a link to another node. Throws what net/private-link.ts does. */
export function carryOut(making: Making, transport: () => Transport): void {
  const mtu = making.link.mtu ?? undefined;
  if (making.kind === "veth") {
    using one = requireOpen(making.ends[0]);
    using other = requireOpen(making.ends[1]);
    if (one.netns.inode === other.netns.inode) {
      throw new CniError(
        ErrorCode.invalidConfig,
        `pods ${shown(making.link.primaryName)} and ${shown(making.link.pairName)} are in one network namespace`,
        "a link needs two",
      );
    }
    joinContainers(one, other, mtu);
    return;
  }
  using end = requireOpen(making.end);
  const { host, parent, parentAddress, port } = transport();
  const { vni } = making.end.row;
  const remote = parseAddress(making.end.row.remote);
  if (vni === null || remote === undefined)
    throw new Error("an end of a vxlan has no number or no other end");
  const local = parentAddress?.family === remote.family ? parentAddress : undefined;
  joinNodes(host, end, { vni, parent, remote, local, port, mtu });
}

/** Takes back what was made of it; what is missing is success. Throws NetlinkError. */
export function takeBack(making: Making): void {
  for (const { row } of rowsOf(making)) removeMadeEnd(row);
}

/** Removes an end, with the other one if it is a veth, where its container can be reached. Throws NetlinkError. */
export function removeMadeEnd(row: PairEndRow): void {
  using end = OpenEnd.open({ row, addresses: "", routes: "" });
  if (end !== undefined) removeEnd(end, end.mirror);
}

/** What the store has of one end and of what is around it. */
export interface WrittenEnd {
  readonly link: PairLinkRow;
  readonly row: PairEndRow;
  readonly pod: Pick<PairPodRow, "routes"> | undefined;
}

/** Returns what is wrong with an end, and with the joint to the other end if that is here, in words; undefined if nothing is. */
export function problemOf(written: WrittenEnd, other: WrittenEnd | undefined): string | undefined {
  using end = OpenEnd.open(makingOf(written));
  if (end === undefined)
    return `the namespace ${written.row.netns} of container ${written.row.containerId} is gone`;
  const kind = written.row.kind === "vxlan" ? "vxlan" : "veth";
  const problem = endProblem(end, kind, written.row.vni ?? undefined);
  if (problem !== undefined || kind === "vxlan") return problem;
  if (other === undefined) return `nothing is written down about the other end of ${end.name}`;
  using far = OpenEnd.open(makingOf(other));
  if (far === undefined)
    return `the namespace ${other.row.netns} of container ${other.row.containerId} is gone`;
  return jointProblem(end, far);
}

function makingOf({ link, row, pod }: WrittenEnd): MakingEnd {
  const { addresses } = sideOf(link, row.side === "primary" ? "primary" : "pair");
  return { row, addresses, routes: pod?.routes ?? "" };
}
