// A link between two containers and nobody else: a pair of interfaces of which each is born in one of the two, under its
// final name, in one message; or, where the other container is on another node, this node's end of a vxlan.
import { formatPrefix, type Prefix } from "../ip/prefix.ts";
import { deleteLink, dumpLinks, getLink, type Link, setLink } from "../netlink/link.ts";
import { ignoring, isNetlinkError } from "../netlink/message.ts";
import { getNamespaceId } from "../netlink/namespace-id.ts";
import { bornAsPair } from "./birth.ts";
import type { Connection } from "./connection.ts";
import { configureInterface, type InterfaceRoute, missingAddresses, missingRoutes } from "./interface.ts";
import { formatMirror, isMirrored, type Mirror, startMirror, stopMirror } from "./mirror.ts";
import type { Netns } from "./netns.ts";
import { waitForCarrier } from "./veth.ts";
import { createVxlan, type VxlanSettings, vxlanOf } from "./vxlan.ts";

/** One end of a link as it is to be, and the container that it is in. */
export interface LinkEnd {
  readonly netns: Netns;
  /** A connection to the container's namespace. */
  readonly inside: Connection;
  readonly name: string;
  /** Follows from the container and the name, so that an end can be told from an interface that is somebody else's. */
  readonly hardwareAddress: string;
  readonly alias: string | undefined;
  readonly addresses: readonly Prefix[];
  readonly routes: readonly InterfaceRoute[];
  readonly mirror: Mirror | undefined;
}

/** A container has an interface of the name that the link is to have there. */
export class EndNameTakenError extends Error {
  override readonly name = "EndNameTakenError";

  constructor(
    readonly ifname: string,
    readonly path: string,
    readonly kind: string,
  ) {
    super(`interface ${ifname} already exists in ${path}`);
  }
}

type Identity = Pick<LinkEnd, "inside" | "name" | "hardwareAddress" | "alias">;

/** True if the link is an end of ours; what an operator has changed of it is either its address or its alias. */
function isOurs(link: Link, { hardwareAddress, alias }: Omit<Identity, "inside">): boolean {
  if (link.kind !== "veth" && link.kind !== "vxlan") return false;
  return link.address === hardwareAddress || (alias !== undefined && link.alias === alias);
}

/** Returns the end if it is there. */
function findEnd(end: Identity): Link | undefined {
  const link = end.inside.get(getLink(end.name));
  return link !== undefined && isOurs(link, end) ? link : undefined;
}

/** Throws EndNameTakenError if the container has an interface of that name which is not a former end of ours. */
export function refuseTakenEnd(end: Identity & Pick<LinkEnd, "netns">): void {
  const link = end.inside.get(getLink(end.name));
  if (link !== undefined && !isOurs(link, end)) {
    throw new EndNameTakenError(end.name, end.netns.path, link.kind);
  }
}

/** Removes an end with all that it has brought, a veth with its other half; what is missing is success. */
export function removeEnd(end: Identity, mirror: Mirror | undefined): void {
  const link = findEnd(end);
  if (mirror !== undefined) stopMirror(end.inside, mirror.of, link?.index);
  if (link !== undefined) end.inside.execute([ignoring(deleteLink(link.index), "ENODEV")]);
}

/** Removes every veth and vxlan of a container that has this alias. */
export function removeTaggedEnds(inside: Connection, alias: string): void {
  for (const kind of ["veth", "vxlan"]) {
    for (const link of inside.dump(dumpLinks({ kind }))) {
      if (link.alias === alias) inside.execute([ignoring(deleteLink(link.index), "ENODEV")]);
    }
  }
}

/**
 * Makes both ends at once, gives each what it is to have, and waits until packets pass. A former link of these ends makes
 * room. Throws EndNameTakenError, MissingFeatureError, MirrorError or NetlinkError, and then there is none.
 */
export function joinContainers(one: LinkEnd, other: LinkEnd, mtu: number | undefined): void {
  for (const end of [one, other]) {
    refuseTakenEnd(end);
    removeEnd(end, undefined);
  }
  try {
    bornAsPair(one.inside, one, other, mtu);
  } catch (error) {
    // somebody was quicker than the look above
    if (isNetlinkError(error, "EEXIST")) for (const end of [one, other]) refuseTakenEnd(end);
    throw error;
  }
  try {
    const links = [one, other].map((end) => ({ end, link: finish(end) }));
    for (const { end, link } of links) waitForCarrier(end.inside, link.index);
  } catch (error) {
    for (const end of [one, other]) removeEnd(end, end.mirror);
    throw error;
  }
}

/** Gives an end that was just born what it is to have, and brings it up. */
function finish(end: LinkEnd): Link {
  const { inside, netns, name, alias, addresses, routes, mirror } = end;
  const link = inside.get(getLink(name));
  if (link === undefined) throw new Error(`interface ${name} was made and is gone`);
  // the kernel takes no alias at birth
  if (alias !== undefined) inside.execute([setLink(link.index, { alias })]);
  configureInterface(inside, netns, {
    ...{ name, index: link.index },
    addresses: addresses.map((prefix) => ({ prefix, gateway: undefined })),
    routes,
    detectDuplicates: false,
  });
  if (mirror !== undefined) startMirror(inside, mirror, link);
  return link;
}

/**
 * Makes this node's end of a link to another node, on a connection of the host. Throws EndNameTakenError, VniTakenError,
 * MissingFeatureError, MirrorError or NetlinkError, and then there is none.
 */
export function joinNodes(
  host: Connection,
  end: LinkEnd,
  settings: Pick<VxlanSettings, "vni" | "parent" | "remote" | "local" | "port" | "mtu">,
): void {
  refuseTakenEnd(end);
  removeEnd(end, undefined);
  const { name, hardwareAddress: address } = end;
  createVxlan(host, end.netns, end.inside, { ...settings, name, address });
  try {
    finish(end);
  } catch (error) {
    removeEnd(end, end.mirror);
    throw error;
  }
}

/** What is true of an end, in words, that should not be; undefined if it is as it was made. */
export function endProblem(
  end: LinkEnd,
  kind: "veth" | "vxlan",
  vni?: number | undefined,
): string | undefined {
  const { inside, netns, name, addresses, routes, mirror } = end;
  const link = inside.get(getLink(name));
  if (link === undefined) return `interface ${name} is gone from ${netns.path}`;
  if (link.kind !== kind)
    return `interface ${name} in ${netns.path} is a ${link.kind || "physical interface"}, not a ${kind}`;
  if (kind === "vxlan" && vxlanOf(link)?.vni !== vni) {
    return `interface ${name} in ${netns.path} has the VNI ${vxlanOf(link)?.vni}, not ${vni}`;
  }
  if (!link.up) return `interface ${name} in ${netns.path} is down`;
  const [address] = missingAddresses(inside, link.index, addresses);
  if (address !== undefined)
    return `interface ${name} in ${netns.path} lacks the address ${formatPrefix(address)}`;
  const [route] = missingRoutes(inside, link.index, routes);
  if (route !== undefined) {
    return `interface ${name} in ${netns.path} lacks the route to ${formatPrefix(route.destination)}`;
  }
  if (mirror !== undefined && !isMirrored(inside, mirror, link.index)) {
    return `interface ${name} in ${netns.path} gets no copy of ${formatMirror(mirror)}`;
  }
  return undefined;
}

type Place = Pick<LinkEnd, "inside" | "netns" | "name">;

/** Returns in words why the two interfaces are not the two ends of one link; undefined if they are. */
export function jointProblem(one: Place, other: Place): string | undefined {
  const [left, right] = [one, other].map(({ inside, name }) => inside.get(getLink(name)));
  if (
    left === undefined ||
    right === undefined ||
    left.peerIndex !== right.index ||
    right.peerIndex !== left.index
  ) {
    return `the other end of ${one.name} in ${one.netns.path} is not ${other.name} in ${other.netns.path}`;
  }
  // an index alone may be that of somebody else's interface: every namespace counts by itself
  if (left.peerNamespaceId === one.inside.get(getNamespaceId(other.netns.fd))) return undefined;
  return `the other end of ${one.name} in ${one.netns.path} is in another namespace than ${other.netns.path}`;
}
