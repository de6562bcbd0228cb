// A link that an operator ties by hand: a pair between two namespaces, or one interface inside a namespace that stands on
// one of the host's. Each is born in place under its final name, gets its addresses, and is either whole or not there.
import type { Address } from "../ip/address.ts";
import type { Prefix } from "../ip/prefix.ts";
import { deleteLink, dumpLinks, getLink, type Link } from "../netlink/link.ts";
import { ignoring, isNetlinkError } from "../netlink/message.ts";
import { getNamespaceId } from "../netlink/namespace-id.ts";
import { bornAsPair } from "./birth.ts";
import { type Connection, connectHost, connectInside } from "./connection.ts";
import { configureInterface } from "./interface.ts";
import { createMacvlan, finishMacvlan, type MacvlanModeName } from "./macvlan.ts";
import { isMirrored, type Mirror, startMirror, stopMirror } from "./mirror.ts";
import { type Netns, NetnsError, openNetns, visibleNetnses } from "./netns.ts";
import { createVlan } from "./vlan.ts";
import { createVxlan } from "./vxlan.ts";

/** One end of a link as it is to be. */
export interface DirectEnd {
  readonly netns: Netns;
  readonly name: string;
  readonly addresses: readonly Prefix[];
  /** The traffic of another interface of the namespace that leaves by this one too. */
  readonly mirrors: readonly Mirror[];
}

/** What an end stands on, where the other end is no namespace of this machine. */
export type Foundation =
  | {
      readonly kind: "vxlan";
      readonly vni: number;
      readonly remote: Address;
      readonly port: number | undefined;
    }
  | { readonly kind: "vlan"; readonly id: number }
  | { readonly kind: "macvlan"; readonly mode: MacvlanModeName };

/** A namespace has an interface of the name that an end is to have. */
export class LinkTakenError extends Error {
  override readonly name = "LinkTakenError";

  constructor(
    readonly netns: string,
    readonly link: Pick<Link, "name" | "kind">,
    options?: { readonly cause?: unknown },
  ) {
    super(`there is an interface ${link.name} in ${netns} already`, options);
  }
}

/** The interface of the host that a link is to stand on is not there. */
export class MissingParentError extends Error {
  override readonly name = "MissingParentError";

  constructor(readonly parent: string) {
    super(`there is no interface ${JSON.stringify(parent)} on the host`);
  }
}

/** An interface that is no link of the kinds that are made here. */
export class ForeignLinkError extends Error {
  override readonly name = "ForeignLinkError";

  constructor(
    readonly netns: string,
    readonly link: Pick<Link, "name" | "kind">,
  ) {
    super(
      `interface ${link.name} in ${netns} is a ${link.kind || "physical"} interface, none that is made here`,
    );
  }
}

/**
 * Makes a pair with an end in each of the two namespaces, both up, and returns the ends as they are then. Throws
 * LinkTakenError, MirrorError, MissingFeatureError or NetlinkError, and then there is none.
 */
export function tieNamespaces(
  one: DirectEnd,
  other: DirectEnd,
  mtu: number | undefined,
): readonly [Link, Link] {
  using here = connectInside(one.netns);
  using there = connectInside(other.netns);
  for (const [inside, end] of [[here, one] as const, [there, other] as const]) refuseTaken(inside, end);
  try {
    bornAsPair(here, one, other, mtu);
  } catch (error) {
    // somebody was quicker
    for (const [inside, end] of [[here, one] as const, [there, other] as const])
      refuseTaken(inside, end, error);
    throw error;
  }
  const made = linkAt(here, one.name);
  try {
    finish(here, one, made);
    finish(there, other, linkAt(there, other.name));
  } catch (error) {
    const far = there.get(getLink(other.name));
    if (far !== undefined) stopMirrors(there, far.index);
    stopMirrors(here, made.index);
    remove(here, made.index);
    throw error;
  }
  return [linkAt(here, one.name), linkAt(there, other.name)];
}

/**
 * Makes an interface inside the namespace on the host's interface called `parent`, and returns it. Throws as
 * tieNamespaces, and MissingParentError, VniTakenError or UnfitMasterError.
 */
export function tieToHost(
  end: DirectEnd,
  parentName: string,
  foundation: Foundation,
  mtu: number | undefined,
): Link {
  using host = connectHost();
  using inside = connectInside(end.netns);
  const parent = host.get(getLink(parentName));
  if (parent === undefined) throw new MissingParentError(parentName);
  refuseTaken(inside, end);
  let made: Link;
  try {
    made = born(host, inside, end, parent, foundation, mtu);
  } catch (error) {
    refuseTaken(inside, end, error);
    throw error;
  }
  try {
    finish(inside, end, made);
  } catch (error) {
    stopMirrors(inside, made.index);
    remove(inside, made.index);
    throw error;
  }
  return linkAt(inside, end.name);
}

function born(
  host: Connection,
  inside: Connection,
  { netns, name }: DirectEnd,
  parent: Link,
  foundation: Foundation,
  mtu: number | undefined,
): Link {
  switch (foundation.kind) {
    case "vxlan":
      return createVxlan(host, netns, inside, { name, parent, mtu, ...foundation });
    case "vlan":
      return createVlan(inside, { name, parent, mtu, id: foundation.id });
    case "macvlan": {
      const settings = {
        ...{ name, master: parent, masterInside: false, mode: foundation.mode, mtu },
        ...{ address: undefined, alias: undefined, broadcastQueueLength: undefined },
      };
      return finishMacvlan(inside, createMacvlan(inside, settings), settings);
    }
  }
}

function refuseTaken(inside: Connection, { netns, name }: DirectEnd, cause?: unknown): void {
  if (cause !== undefined && !isNetlinkError(cause, "EEXIST")) return;
  const found = inside.get(getLink(name));
  if (found !== undefined) throw new LinkTakenError(netns.path, found, { cause });
}

function linkAt(inside: Connection, name: string): Link {
  const link = inside.get(getLink(name));
  if (link === undefined) throw new Error(`interface ${name} was made and is gone`);
  return link;
}

function finish(inside: Connection, { netns, name, addresses, mirrors }: DirectEnd, { index }: Link): void {
  configureInterface(inside, netns, {
    ...{ name, index, routes: [], detectDuplicates: false },
    addresses: addresses.map((prefix) => ({ prefix, gateway: undefined })),
  });
  for (const mirror of mirrors) startMirror(inside, mirror, linkAt(inside, name));
}

function remove(inside: Connection, index: number): void {
  inside.execute([ignoring(deleteLink(index), "ENODEV")]);
}

/** Ends every mirror of the namespace that leaves by this interface. */
function stopMirrors(inside: Connection, index: number): void {
  for (const { name } of inside.dump(dumpLinks())) {
    const mirrors = (["ingress", "egress"] as const).map((direction) => ({ direction, of: name }));
    if (mirrors.some((mirror) => isMirrored(inside, mirror, index))) stopMirror(inside, name, index);
  }
}

const KINDS: readonly string[] = ["veth", "vxlan", "vlan", "macvlan"];

/**
 * Removes the interface called `name` with its mirrors, of a pair both ends with the mirrors of both; returns it, or
 * undefined where there is none. Throws ForeignLinkError for an interface of another kind, and NetlinkError.
 */
export function untie(netns: Netns, name: string): Link | undefined {
  using inside = connectInside(netns);
  const link = inside.get(getLink(name));
  if (link === undefined) return undefined;
  if (!KINDS.includes(link.kind)) throw new ForeignLinkError(netns.path, link);
  if (link.kind === "veth") stopMirrorsOfPeer(inside, link);
  stopMirrors(inside, link.index);
  remove(inside, link.index);
  return link;
}

/** The kernel would leave dead filters at the other end's mirrored interfaces. Who can't be found has none to be seen. */
function stopMirrorsOfPeer(inside: Connection, link: Link): void {
  if (link.peerNamespaceId === undefined) {
    stopMirrors(inside, link.peerIndex);
    return;
  }
  for (const path of visibleNetnses()) {
    try {
      using netns = openNetns(path);
      if (inside.get(getNamespaceId(netns.fd)) !== link.peerNamespaceId) continue;
      using there = connectInside(netns);
      stopMirrors(there, link.peerIndex);
      return;
    } catch (error) {
      // its process ended meanwhile
      if (!(error instanceof NetnsError)) throw error;
    }
  }
}
