// The pieces of the mesh on a node, in the order in which they stand on each other. Each tells what is wrong with it and
// mends that alone: what is right is never touched, so that its number, its counters and its connections stay.
import { type Address, addressBytes, type Family } from "../ip/address.ts";
import { formatPrefix, type Prefix } from "../ip/prefix.ts";
import { ensureBridge } from "../net/bridge.ts";
import type { Connection } from "../net/connection.ts";
import { enableForwarding, forwards } from "../net/forwarding.ts";
import { addressProblem, placeAddress, removeLinkNumber, reshape, shapeProblem } from "../net/link-shape.ts";
import { ensureClusterMasquerade, hasClusterMasquerade } from "../net/masquerade.ts";
import { inNetns } from "../net/netns.ts";
import { type PlacedRoute, placedRouteProblem, placeRoute } from "../net/placed-route.ts";
import { ensureIpv6, hasIpv6, preferSetting } from "../net/sysctl.ts";
import { createVeth, findLink, hardwareAddressFor, type Link, waitForPort } from "../net/veth.ts";
import { forwardFrom } from "./found-settings.ts";
import type { MeshPlan, NodeBlock } from "./plan.ts";
import type { Site } from "./site.ts";
import { tunnelOf } from "./tunnel.ts";

/** One thing of the mesh on a node. */
export interface Piece {
  /** Such as `bridge warren0`. */
  readonly name: string;
  /** Returns what is wrong with it, in words that follow its name; undefined if nothing is. */
  problem(): string | undefined;
  /** Makes it, or changes what is wrong with it; those before it are right. Throws what the kernel refuses. */
  mend(): void;
}

/** Returns the pieces of the plan at this site. */
export function piecesOf(plan: MeshPlan, site: Site): Piece[] {
  const { blocks, bridge, pair } = plan;
  const tunnel = tunnelOf(plan);
  const inside = ` in ${plan.netns.name}`;
  const onBridge = () => place(site.host, bridge);
  const onPair = () => insidePlace(site, pair.inner);
  return [
    ...blocks.map(({ family }) => hostForwarding(plan, family)),
    namespacePiece(plan, site),
    bridgePiece(plan, site),
    ...blocks.map((block) => addressPiece(bridge, block, block.gateway, onBridge)),
    pairPiece(plan, site),
    ...blocks.map((block) => addressPiece(`${pair.inner}${inside}`, block, block.router, onPair)),
    ...blocks.map(({ family }) => insideForwarding(plan, site, family)),
    ...blocks.map(({ family, gateway }) =>
      routePiece(inside, { address: { family, value: 0n }, length: 0 }, onPair, gateway),
    ),
    ...plan.tunnelNames
      .filter((name) => name !== plan.tunnel.name)
      .map((name) => formerTunnel(name, plan, site)),
    {
      name: `tunnel ${plan.tunnel.name}`,
      problem: () => tunnel.problem(site),
      mend: () => tunnel.mend(site),
    },
    ...blocks.map(({ cluster }) =>
      tunnel.refusesUnknown
        ? routePiece(inside, cluster, () => insidePlace(site, plan.tunnel.name), undefined)
        : nowherePiece(inside, cluster, site),
    ),
    ...blocks.map(({ cluster, router }) => routePiece("", cluster, onBridge, router)),
    ...blocks.map((block) => masqueradePiece(plan, block)),
  ];
}

/** An interface, and the connection to where it is. */
interface Place {
  readonly connection: Connection;
  readonly link: Link;
}

function place(connection: Connection, name: string): Place | undefined {
  const link = findLink(connection, name);
  return link && { connection, link };
}

function insidePlace(site: Site, name: string): Place | undefined {
  const inside = site.inside();
  return inside && place(inside.connection, name);
}

function required(found: Place | undefined, what: string): Place {
  if (found === undefined) throw new Error(`the interface for ${what} was made and is gone`);
  return found;
}

function hostForwarding(plan: MeshPlan, family: Family): Piece {
  return {
    name: `forwarding of IPv${family}`,
    problem: () => (forwards(family) ? undefined : "is off"),
    mend: () => forwardFrom(plan.record, family),
  };
}

function insideForwarding(plan: MeshPlan, site: Site, family: Family): Piece {
  return {
    name: `forwarding of IPv${family} in ${plan.netns.name}`,
    problem() {
      const inside = site.inside();
      return inside !== undefined && inNetns(inside.netns, () => forwards(family)) ? undefined : "is off";
    },
    mend: () => inNetns(site.requireInside().netns, () => enableForwarding(family)),
  };
}

function namespacePiece(plan: MeshPlan, site: Site): Piece {
  return {
    name: `namespace ${plan.netns.name}`,
    problem() {
      const inside = site.inside();
      if (inside === undefined) return "is missing";
      return findLink(inside.connection, "lo")?.up === true ? undefined : "has its loopback down";
    },
    mend() {
      if (site.inside() === undefined) site.createInside();
      const { connection } = site.requireInside();
      const lo = findLink(connection, "lo");
      if (lo !== undefined) reshape(connection, lo, {});
    },
  };
}

function bridgePiece(plan: MeshPlan, site: Site): Piece {
  const shape = { mtu: plan.mtu, alias: plan.alias };
  return {
    name: `bridge ${plan.bridge}`,
    problem() {
      const link = site.ownLink(plan.bridge, "bridge");
      return link === undefined ? "is missing" : shapeProblem(link, shape);
    },
    mend() {
      const settings = { name: plan.bridge, promiscuous: false, vlanFiltering: false };
      // told when it is there, the MTU is the bridge's own, and does not follow that of its ports
      reshape(site.host, ensureBridge(site.host, { ...settings, mtu: undefined }), shape);
      if (hasFamily(plan, 6)) ensureIpv6(plan.bridge);
    },
  };
}

function hasFamily({ blocks }: MeshPlan, wanted: Family): boolean {
  return wanted === 4
    ? blocks.some(({ family }) => family === 4)
    : hasIpv6() && blocks.some(({ family }) => family === 6);
}

function addressPiece(
  where: string,
  block: NodeBlock,
  address: Address,
  find: () => Place | undefined,
): Piece {
  const prefix: Prefix = { address, length: block.subnet.length };
  const name = `address ${formatPrefix(prefix)} of ${where}`;
  return {
    name,
    problem() {
      const found = find();
      if (found === undefined) return "is missing";
      return addressProblem(found.connection, found.link.index, prefix, block.cluster);
    },
    mend() {
      const { connection, link } = required(find(), name);
      placeAddress(connection, link.index, prefix, block.cluster);
    },
  };
}

function pairPiece(plan: MeshPlan, site: Site): Piece {
  const { outer, inner } = plan.pair;
  const shape = { mtu: plan.mtu, alias: plan.alias };
  const outerShape = () => ({ ...shape, master: findLink(site.host, plan.bridge)?.index });
  const ends = () => ({
    near: site.ownLink(outer, "veth"),
    far: insidePlace(site, inner)?.link,
  });
  return {
    name: `pair ${outer}`,
    problem() {
      const { near, far } = ends();
      if (near === undefined) return "is missing";
      if (far === undefined || !arePair(near, far)) return `has no end ${inner} in ${plan.netns.name}`;
      return shapeProblem(near, outerShape()) ?? shapeProblem(far, shape);
    },
    mend() {
      const { netns, connection } = site.requireInside();
      let { near, far } = ends();
      if (near === undefined || far === undefined || !arePair(near, far)) {
        if (near !== undefined) removeLinkNumber(site.host, near.index);
        if (far !== undefined) removeLinkNumber(connection, far.index);
        near = createVeth(site.host, netns, {
          ...{ hostName: outer, containerName: inner, alias: plan.alias, mtu: plan.mtu },
          hostAddress: hardwareAddressFor(BigInt(Bun.hash(plan.alias)), undefined),
          containerAddress: innerAddress(plan),
          bridge: required(place(site.host, plan.bridge), plan.bridge).link,
        });
        far = required(place(connection, inner), inner).link;
        inNetns(netns, () => {
          if (!hasFamily(plan, 6)) return;
          ensureIpv6(inner);
          preferSetting(`ipv6/conf/${inner}/accept_dad`, 0);
        });
      }
      reshape(connection, far, shape);
      reshape(site.host, required(place(site.host, outer), outer).link, outerShape());
      waitForPort(site.host, near.index);
    },
  };
}

function arePair(near: Link, far: Link): boolean {
  return near.peerIndex === far.index && far.peerIndex === near.index;
}

/** The same each time, so that pods whose neighbour it was do not have to ask again. */
function innerAddress({ blocks, alias }: MeshPlan): string {
  const version4 = blocks.find(({ family }) => family === 4);
  return hardwareAddressFor(
    BigInt(Bun.hash(`${alias} inside`)),
    version4 === undefined ? undefined : addressBytes(version4.router),
  );
}

/** What a node had before its configuration said another backend. */
function formerTunnel(name: string, plan: MeshPlan, site: Site): Piece {
  return {
    name: `tunnel ${name}`,
    problem: () =>
      insidePlace(site, name) === undefined ? undefined : `is left of another backend than ${plan.backend}`,
    mend() {
      const { connection, link } = required(insidePlace(site, name), name);
      removeLinkNumber(connection, link.index);
    },
  };
}

function routePiece(
  where: string,
  destination: Prefix,
  find: () => Place | undefined,
  gateway: Address | undefined,
): Piece {
  const to = (link: Link): PlacedRoute => ({ destination, way: { index: link.index, gateway } });
  const name =
    destination.length === 0 ? `default route${where}` : `route to ${formatPrefix(destination)}${where}`;
  return {
    name,
    problem() {
      const found = find();
      return found === undefined ? "is missing" : placedRouteProblem(found.connection, to(found.link));
    },
    mend() {
      const { connection, link } = required(find(), name);
      placeRoute(connection, to(link));
    },
  };
}

/** Blocks of no node: without it, such a packet would go round between the bridge and the namespace until it dies. */
function nowherePiece(where: string, destination: Prefix, site: Site): Piece {
  const route: PlacedRoute = { destination, way: "unreachable" };
  return {
    name: `route to ${formatPrefix(destination)}${where}`,
    problem() {
      const inside = site.inside();
      return inside === undefined ? "is missing" : placedRouteProblem(inside.connection, route);
    },
    mend: () => placeRoute(site.requireInside().connection, route),
  };
}

function masqueradePiece({ network }: MeshPlan, { subnet, cluster }: NodeBlock): Piece {
  return {
    name: `masquerade of ${formatPrefix(subnet)}`,
    problem: () => (hasClusterMasquerade(network, subnet, cluster) ? undefined : "is missing"),
    mend: () => ensureClusterMasquerade(network, subnet, cluster),
  };
}
