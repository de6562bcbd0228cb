// Links as rtnetlink speaks of them: what can be told to one, what the kernel says of one, and the requests that make,
// change, remove and list them (RTM_NEWLINK, RTM_SETLINK, RTM_DELLINK, RTM_GETLINK). How they are spelled is in
// link-message.ts.
import { CodecError, type Reader } from "./buffer.ts";
import {
  changeMessage,
  header,
  type LinkAttributes,
  type LinkDevice,
  LinkFlag,
  type LinkHeader,
  linkMessage,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_NEWLINK,
} from "./link-message.ts";
import { MessageFlag, type Request } from "./message.ts";

const RTEXT_FILTER_SKIP_STATS = 8; // linux/rtnetlink.h
const IN6_ADDR_GEN_MODE_NONE = 1; // linux/if_link.h

/** What can be told to a link, new or old. What is left out stays as it is. */
export interface LinkSettings {
  /** The device beneath: the parent of a vlan or macvlan. */
  readonly parent?: number | undefined;
  /** The number by which the socket's namespace knows that of the parent, where they differ (namespace-id.ts). */
  readonly parentNamespaceId?: number | undefined;
  /** Hardware address, such as `02:00:00:00:00:01`. */
  readonly address?: string | undefined;
  readonly mtu?: number | undefined;
  readonly txQueueLength?: number | undefined;
  readonly group?: number | undefined;
  /** Index of the bridge or VRF that it becomes a port of; 0 detaches it. */
  readonly master?: number | undefined;
  /** At most 255 bytes; the empty text removes it. */
  readonly alias?: string | undefined;
  /** An open descriptor of the network namespace in which it lives. */
  readonly netNamespaceFd?: number | undefined;
  readonly up?: boolean | undefined;
  readonly promiscuous?: boolean | undefined;
  readonly allMulticast?: boolean | undefined;
  readonly multicast?: boolean | undefined;
  readonly arp?: boolean | undefined;
}

/** What only a link that is there can be told. */
export interface LinkChanges extends LinkSettings {
  /** False where the kernel is to give it no IPv6 address by itself. It has to have IPv6 (EAFNOSUPPORT). */
  readonly ownAddress?: false | undefined;
}

// In the order of iproute2, so that our bytes can be compared with its own.
function settingAttributes(settings: LinkSettings, name: string | undefined): LinkAttributes {
  return {
    parent: settings.parent,
    address: settings.address,
    mtu: settings.mtu,
    txQueueLength: settings.txQueueLength,
    group: settings.group,
    master: settings.master,
    alias: settings.alias,
    netNamespaceFd: settings.netNamespaceFd,
    linkNamespaceId: settings.parentNamespaceId,
    name,
  };
}

function settingHeader(index: number, settings: LinkSettings): LinkHeader {
  let flags = 0;
  let change = 0;
  function apply(setting: boolean | undefined, flag: number): void {
    if (setting === undefined) return;
    change |= flag;
    if (setting) flags |= flag;
  }
  apply(settings.up, LinkFlag.up);
  apply(settings.promiscuous, LinkFlag.promiscuous);
  apply(settings.allMulticast, LinkFlag.allMulticast);
  apply(settings.multicast, LinkFlag.multicast);
  apply(settings.arp === undefined ? undefined : !settings.arp, LinkFlag.noArp);
  return header(index, flags, change);
}

/** The far end of a veth pair. It can't be born up: the kernel refuses that with ENOTCONN, as the pair isn't tied. */
export interface VethPeer extends Omit<LinkSettings, "up"> {
  readonly name: string;
}

/** Returns a veth device with its peer, which is born together with it, in another namespace if it says so. */
export function veth(peer: VethPeer): LinkDevice {
  return {
    kind: "veth",
    data: { peer: { header: settingHeader(0, peer), attributes: settingAttributes(peer, peer.name) } },
  };
}

/** What a bridge makes of one of its ports. */
export interface BridgePort {
  /** Frames may leave by the port that they came in by, as a pod that reaches itself through a port map needs. */
  readonly hairpin: boolean;
  /** Isolated ports reach only those that are not. */
  readonly isolated: boolean;
  readonly state: "disabled" | "listening" | "learning" | "forwarding" | "blocking";
}

/** Operational states (RFC 2863, IF_OPER_*). */
const OPER_STATES = ["unknown", "notPresent", "down", "lowerLayerDown", "testing", "dormant", "up"] as const;
const PORT_STATES = ["disabled", "listening", "learning", "forwarding", "blocking"] as const;

/** A link as the kernel describes it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** LinkFlag bits. */
  readonly flags: number;
  readonly up: boolean;
  readonly promiscuous: boolean;
  /** Hardware address, such as `02:00:00:00:00:01`; empty where the device has none. */
  readonly address: string;
  readonly mtu: number;
  /** Index of the bridge or VRF that it is a port of; 0 if of none. */
  readonly master: number;
  /** Such as `veth` or `bridge`; empty for real hardware and the loopback device. */
  readonly kind: string;
  /** What makes it this kind; `other` for a kind that is unknown here, undefined where there is no kind. */
  readonly device: LinkDevice | undefined;
  readonly alias: string;
  readonly group: number;
  readonly txQueueLength: number;
  readonly operState: (typeof OPER_STATES)[number];
  /** Index of the other end of a veth, or of the device beneath; 0 if there is none (IFLA_LINK). */
  readonly peerIndex: number;
  /** The number by which this namespace knows that of the peer; undefined if it is the same one. */
  readonly peerNamespaceId: number | undefined;
  /** Undefined if it is not a port of a bridge. */
  readonly port: BridgePort | undefined;
}

/** Reads a message about a link. */
export function readLink(reader: Reader): Link {
  reader.keepUnknown = false;
  const message = linkMessage.decode(reader);
  const { index, flags } = message.header;
  const values = message.attributes;
  const own = values.info?.device;
  const asPort = values.info?.port;
  const portData = asPort?.kind === "bridge" ? asPort.data : undefined;
  return {
    index,
    name: values.name ?? "",
    flags,
    up: (flags & LinkFlag.up) !== 0,
    promiscuous: (flags & LinkFlag.promiscuous) !== 0,
    address: values.address ?? "",
    mtu: values.mtu ?? 0,
    master: values.master ?? 0,
    kind: own === undefined ? "" : own.kind === "other" ? own.name : own.kind,
    device: own,
    alias: values.alias ?? "",
    group: values.group ?? 0,
    txQueueLength: values.txQueueLength ?? 0,
    operState: OPER_STATES[values.operState ?? 0] ?? "unknown",
    peerIndex: values.parent ?? 0,
    peerNamespaceId: values.linkNamespaceId,
    port: portData && {
      hairpin: portData.hairpin === 1,
      isolated: portData.isolated === 1,
      state: PORT_STATES[portData.state ?? 0] ?? "disabled",
    },
  };
}

/**
 * Makes a link. From Linux 6.2 on the echo decodes to the new Link, as it was before it got its master; older
 * kernels don't echo it, so ask with `getLink` when there is none. A veth pair is born whole, or not at all:
 *
 *     createLink("veth0", veth({ name: "eth0", netNamespaceFd }), { master: bridge.index, up: true })
 */
export function createLink(name: string, device: LinkDevice, settings: LinkSettings = {}): Request<Link> {
  return {
    operation: `create link ${name}`,
    type: RTM_NEWLINK,
    flags: MessageFlag.create | MessageFlag.exclusive | MessageFlag.echo,
    encode(writer) {
      linkMessage.encode(writer, {
        header: settingHeader(0, settings),
        attributes: { ...settingAttributes(settings, name), info: { device } },
      });
    },
    decode: readLink,
  };
}

/** A link by its index, or by its name in the socket's namespace. */
export type LinkTarget = number | string;

function targetText(target: LinkTarget): string {
  return typeof target === "number" ? `link ${target}` : target;
}

/**
 * Changes a link. A new name can be given only to a link that is told by index. Moving to another namespace
 * happens first, so changes that go with a `netNamespaceFd` apply there.
 */
export function setLink(target: number, settings: LinkChanges & { readonly name?: string }): Request<never>;
export function setLink(target: LinkTarget, settings: LinkChanges): Request<never>;
export function setLink(
  target: LinkTarget,
  settings: LinkChanges & { readonly name?: string },
): Request<never> {
  const byIndex = typeof target === "number";
  return {
    operation: `set link ${target}`,
    type: RTM_NEWLINK,
    flags: 0,
    encode(writer) {
      changeMessage.encode(writer, {
        header: settingHeader(byIndex ? checkedIndex(target) : 0, settings),
        attributes: {
          ...settingAttributes(settings, byIndex ? settings.name : target),
          protocols:
            settings.ownAddress === false ? { ipv6: { addressMode: IN6_ADDR_GEN_MODE_NONE } } : undefined,
        },
      });
    },
  };
}

/** Returns the index; throws CodecError for 0, which means "all of the group" or "a new link" to some kernels. */
export function checkedIndex(index: number): number {
  if (Number.isInteger(index) && index > 0) return index;
  throw new CodecError("index", `${index} is not the index of a link`);
}

/** Removes a link. With one end of a veth pair the other goes too. */
export function deleteLink(target: LinkTarget): Request<never> {
  return {
    operation: `delete ${targetText(target)}`,
    type: RTM_DELLINK,
    flags: 0,
    encode(writer) {
      linkMessage.encode(
        writer,
        typeof target === "number"
          ? { header: header(checkedIndex(target)), attributes: {} }
          : { header: header(0), attributes: { name: target } },
      );
    },
  };
}

/**
 * Removes all links of a group, waiting only once for the kernel to let go of them: 64 links in 45 ms instead of
 * 1.3 s. Group 0 is refused, because that is where every link is that was never given a group.
 */
export function deleteLinkGroup(group: number): Request<never> {
  return {
    operation: `delete links of group ${group}`,
    type: RTM_DELLINK,
    flags: 0,
    encode(writer) {
      if (group === 0) throw new CodecError("group", "0 is the group of all other links");
      linkMessage.encode(writer, { header: header(0), attributes: { group } });
    },
  };
}

/** Asks for one link. */
export function getLink(target: LinkTarget): Request<Link> {
  return {
    operation: `get ${targetText(target)}`,
    type: RTM_GETLINK,
    flags: 0,
    encode(writer) {
      linkMessage.encode(
        writer,
        typeof target === "number"
          ? { header: header(checkedIndex(target)), attributes: { extensionMask: RTEXT_FILTER_SKIP_STATS } }
          : { header: header(0), attributes: { extensionMask: RTEXT_FILTER_SKIP_STATS, name: target } },
      );
    },
    decode: readLink,
  };
}

/** Which links to list. */
export interface LinkFilter {
  /** Only ports of this bridge or VRF. */
  readonly master?: number | undefined;
  /** Only this kind, such as `veth`. */
  readonly kind?: string | undefined;
}

/** Asks for all links that the filter lets through; the kernel filters, and we check. */
export function dumpLinks(filter: LinkFilter = {}): Request<Link> {
  const { master, kind } = filter;
  return {
    operation: "list links",
    type: RTM_GETLINK,
    flags: 0,
    encode(writer) {
      linkMessage.encode(writer, {
        header: header(0),
        attributes: {
          extensionMask: RTEXT_FILTER_SKIP_STATS,
          master,
          info: kind === undefined ? undefined : { device: { kind: "other", name: kind } },
        },
      });
    },
    decode(reader) {
      const link = readLink(reader);
      if (master !== undefined && link.master !== master) return undefined;
      if (kind !== undefined && link.kind !== kind) return undefined;
      return link;
    },
  };
}
