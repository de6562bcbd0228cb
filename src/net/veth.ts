// The pair of interfaces that ties a container to the host: one end on the host, a port of a bridge where there is
// one, the other born inside the container under its final name. Both come to be in one message, or neither does.
import { formatHardwareAddress } from "../ip/hardware-address.ts";
import { setBridgePort } from "../netlink/bridge-port.ts";
import {
  createLink,
  deleteLink,
  deleteLinkGroup,
  dumpLinks,
  getLink,
  type Link,
  type LinkChanges,
  setLink,
  veth,
} from "../netlink/link.ts";
import { ignoring } from "../netlink/message.ts";
import type { Connection } from "./connection.ts";
import { needing } from "./feature.ts";
import { probeLinkDriver } from "./link-driver.ts";
import type { Netns } from "./netns.ts";
import { hasIpv6, preferSetting } from "./sysctl.ts";

export type { Link };

/** A pair that is to be. */
export interface VethSettings {
  readonly hostName: string;
  readonly hostAddress: string;
  /** Names the attachment to operators, and to a GC whose store was lost. */
  readonly alias: string | undefined;
  readonly containerName: string;
  readonly containerAddress: string;
  readonly mtu: number | undefined;
  /** The bridge that the host's end becomes a port of; without one it stands alone. */
  readonly bridge?: Link | undefined;
  readonly hairpin?: boolean | undefined;
  readonly isolated?: boolean | undefined;
}

/** Makes the pair, the host's end up and enslaved; returns the host's end. Throws MissingFeatureError or NetlinkError. */
export function createVeth(host: Connection, netns: Netns, settings: VethSettings): Link {
  const peer = veth({
    name: settings.containerName,
    address: settings.containerAddress,
    mtu: settings.mtu,
    netNamespaceFd: netns.fd,
  });
  const create = createLink(settings.hostName, peer, {
    address: settings.hostAddress,
    mtu: settings.mtu,
    master: settings.bridge?.index,
  });
  const [tried] = host.attempt([create]);
  // what its predecessor left, whose namespace the kernel may still be taking down, makes room
  if (tried.error?.errnoName === "EEXIST" && isLeftover(host, settings)) removeLink(host, settings.hostName);
  const again = () => host.execute([create]);
  const [made] = tried.error === undefined ? [tried] : needing(() => probeLinkDriver(host, "veth"), again);
  const link = made.replies[0] ?? host.get(getLink(settings.hostName));
  if (link === undefined) throw new Error(`interface ${settings.hostName} was made and is gone`);
  let changes: LinkChanges = {};
  if (settings.bridge === undefined) {
    // a pod must not give the host a default route, and nobody else has the host's own link-local address
    preferSetting(`ipv6/conf/${settings.hostName}/accept_ra`, 0);
    preferSetting(`ipv6/conf/${settings.hostName}/accept_dad`, 0);
  } else if (hasIpv6(settings.hostName)) {
    // the bridge speaks IPv6, and its port has nothing to say; where the host forwards IPv6, an address of the port's own
    // would make its removal wait for all processors a second time. disable_ipv6 would do as well, but whoever writes it
    // while others change links writes it again and again until they are done: 370,000 times in 50 ADDs at once
    changes = { ownAddress: false };
  }
  // the kernel takes no alias at birth
  const { alias } = settings;
  host.execute([
    setLink(settings.hostName, { ...changes, up: true, ...(alias === undefined ? {} : { alias }) }),
  ]);
  if (settings.hairpin === true || settings.isolated === true) {
    host.execute([
      setBridgePort(link.index, {
        ...(settings.hairpin ? { hairpin: true } : {}),
        ...(settings.isolated ? { isolated: true } : {}),
      }),
    ]);
  }
  return link;
}

function isLeftover(host: Connection, { hostName, alias }: VethSettings): boolean {
  return alias !== undefined && host.get(getLink(hostName))?.alias === alias;
}

/** Returns the link called `name`, or undefined if there is none. */
export function findLink(connection: Connection, name: string): Link | undefined {
  return connection.get(getLink(name));
}

/** Removes a link and, if it is half of a pair, the other half; a missing one is success. */
export function removeLink(host: Connection, name: string): void {
  host.execute([ignoring(deleteLink(name), "ENODEV")]);
}

/** Removes a link by its number, so that never another one goes in its place; a missing one is success. */
export function removeLinkNumber(connection: Connection, index: number): void {
  connection.execute([ignoring(deleteLink(index), "ENODEV")]);
}

/** A link that could not be removed, and why. */
export interface StuckLink {
  readonly name: string;
  readonly error: unknown;
}

/**
 * Removes many links as one group, because the kernel waits once for a group and once for each single link: 64
 * links in 45 ms instead of 1.3 s. Missing ones are success. One that the kernel won't let go stops the whole
 * group, so then each is removed by itself; returns those that stay.
 */
export function removeLinks(host: Connection, names: readonly string[]): StuckLink[] {
  if (names.length > 1) {
    // a group of this call's own: 0 is where every link is that never got one
    const group = 0x4000_0000 | ((crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) & 0x3fff_ffff);
    host.attempt(names.map((name) => setLink(name, { group })));
    const [outcome] = host.attempt([deleteLinkGroup(group)]);
    if (outcome?.error === undefined || outcome.error.errnoName === "ENODEV") return [];
    host.attempt(names.map((name) => setLink(name, { group: 0 })));
  }
  const outcomes = host.attempt(names.map((name) => deleteLink(name)));
  return names.flatMap((name, index) => {
    const error = outcomes[index]?.error;
    return error === undefined || error.errnoName === "ENODEV" ? [] : [{ name, error }];
  });
}

/** Returns the host's ends of all pairs that have an alias. */
export function listTaggedVeths(host: Connection): { readonly name: string; readonly alias: string }[] {
  return host.dump(dumpLinks({ kind: "veth" })).filter(({ alias }) => alias !== "");
}

/** How often the state of an interface is looked at before it is taken for broken, and the pause in between. */
const PORT_TRIES = 400;
const PORT_PAUSE_MS = 5;

const WORKING_STATES: readonly string[] = ["forwarding", "listening", "learning"];

/** A host's end that never carried traffic. */
export class PortStateError extends Error {
  override readonly name = "PortStateError";

  constructor(readonly link: Link) {
    super(`${link.port === undefined ? "interface" : "bridge port"} in error state: ${link.operState}`);
  }
}

/**
 * Waits until the bridge forwards what comes by a port, so that the first packet of a pod is not lost; returns
 * the link as it is then. Throws PortStateError after two seconds.
 */
export function waitForPort(host: Connection, index: number): Link {
  return waitUntil(
    host,
    index,
    // a bridge that runs the spanning tree protocol listens and learns for half a minute: that is its operator's wish
    (link) => link.operState === "up" && link.port !== undefined && WORKING_STATES.includes(link.port.state),
  );
}

/** Waits until an interface that is no port carries traffic, a millisecond or so; throws as `waitForPort` does. */
export function waitForCarrier(host: Connection, index: number): Link {
  return waitUntil(host, index, (link) => link.operState === "up");
}

function waitUntil(host: Connection, index: number, isReady: (link: Link) => boolean): Link {
  for (let tries = 1; ; tries++) {
    const link = host.get(getLink(index));
    if (link === undefined) throw new Error(`interface number ${index} is gone`);
    if (isReady(link)) return link;
    if (tries === PORT_TRIES) throw new PortStateError(link);
    Bun.sleepSync(tries < 10 ? 0.2 : PORT_PAUSE_MS);
  }
}

/**
 * Returns a hardware address for an end of the pair, the same for the same attachment: locally administered, and
 * for a container with an IPv4 address made of it, so that neighbours who remember a former holder are not wrong.
 */
export function hardwareAddressFor(hash: bigint, ipv4: Uint8Array | undefined): string {
  const bytes = new Uint8Array(6);
  bytes[0] = 0x0a;
  bytes[1] = 0x58;
  if (ipv4 !== undefined) bytes.set(ipv4, 2);
  else {
    for (let index = 1; index < 6; index++) bytes[index] = Number((hash >> BigInt(8 * index)) & 0xffn);
  }
  return formatHardwareAddress(bytes);
}
