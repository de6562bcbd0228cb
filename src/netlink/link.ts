// Links as rtnetlink speaks of them: RTM_NEWLINK, RTM_SETLINK, RTM_DELLINK and RTM_GETLINK, with the kinds of device
// that Warren makes. Attribute numbers are those of linux/if_link.h; attributes are written in iproute2's order.
import { type Codec, CodecError, type Reader } from "./buffer.ts";
import {
  type Attributes,
  attributes,
  bareText,
  be16,
  bytes,
  type Choice,
  choice,
  headed,
  i32,
  padding,
  type Struct,
  struct,
  text,
  u8,
  u16,
  u32,
} from "./codec.ts";
import { MessageFlag, type Request } from "./message.ts";

// linux/rtnetlink.h
const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_SETLINK = 19;
const RTEXT_FILTER_SKIP_STATS = 8;

/** Device flags (IFF_*, linux/if.h). */
export const LinkFlag = {
  up: 0x1,
  broadcast: 0x2,
  loopback: 0x8,
  pointToPoint: 0x10,
  running: 0x40,
  noArp: 0x80,
  promiscuous: 0x100,
  allMulticast: 0x200,
  multicast: 0x1000,
  lowerUp: 0x10000,
} as const;

/** A hardware address as `02:00:00:00:00:01`. */
const hardwareAddress: Codec<string> = {
  encode(writer, value) {
    for (const part of value.split(":")) {
      const octet = part.length === 2 ? Number(`0x${part}`) : Number.NaN;
      if (Number.isNaN(octet)) throw new CodecError("", `${JSON.stringify(value)} is not a hardware address`);
      u8.encode(writer, octet);
    }
  },
  decode(reader) {
    let value = "";
    while (reader.left > 0) {
      const octet = u8.decode(reader).toString(16).padStart(2, "0");
      value += value === "" ? octet : `:${octet}`;
    }
    return value;
  },
};

/** struct ifinfomsg, linux/rtnetlink.h */
export const linkHeader = struct({
  family: u8,
  padding: padding(1),
  deviceType: u16,
  index: i32,
  flags: u32,
  change: u32,
});

type LinkHeader = Struct<{
  family: Codec<number>;
  deviceType: Codec<number>;
  index: Codec<number>;
  flags: Codec<number>;
  change: Codec<number>;
}>;

/** Returns the header of a message about a link. */
export function header(index: number, flags = 0, change = 0, family = 0): LinkHeader {
  return { family, deviceType: 0, index, flags, change };
}

// What every link has; the peer inside a veth is written with these too.
const plainTable = {
  address: [1, hardwareAddress], // IFLA_ADDRESS
  broadcast: [2, hardwareAddress], // IFLA_BROADCAST
  name: [3, text], // IFLA_IFNAME
  mtu: [4, u32], // IFLA_MTU
  parent: [5, u32], // IFLA_LINK
  master: [10, u32], // IFLA_MASTER
  txQueueLength: [13, u32], // IFLA_TXQLEN
  operState: [16, u8], // IFLA_OPERSTATE
  // The length limit counts a NUL as a character of the alias, so it goes without.
  alias: [20, bareText], // IFLA_IFALIAS
  group: [27, u32], // IFLA_GROUP
  netNamespaceFd: [28, u32], // IFLA_NET_NS_FD
  extensionMask: [29, u32], // IFLA_EXT_MASK
  promiscuity: [30, u32], // IFLA_PROMISCUITY
  linkNamespaceId: [37, i32], // IFLA_LINK_NETNSID
} as const;

/** What a bridge has of a port. */
export const bridgePort = attributes({
  state: [1, u8], // IFLA_BRPORT_STATE
  priority: [2, u16], // IFLA_BRPORT_PRIORITY
  cost: [3, u32], // IFLA_BRPORT_COST
  hairpin: [4, u8], // IFLA_BRPORT_MODE
  guard: [5, u8], // IFLA_BRPORT_GUARD
  learning: [8, u8], // IFLA_BRPORT_LEARNING
  unicastFlood: [9, u8], // IFLA_BRPORT_UNICAST_FLOOD
  multicastFlood: [27, u8], // IFLA_BRPORT_MCAST_FLOOD
  isolated: [33, u8], // IFLA_BRPORT_ISOLATED
});

/** What each kind of device is told in IFLA_INFO_DATA. */
const deviceKinds = {
  bridge: attributes({
    forwardDelay: [1, u32], // IFLA_BR_FORWARD_DELAY, in 1/100 s
    helloTime: [2, u32], // IFLA_BR_HELLO_TIME, in 1/100 s
    maxAge: [3, u32], // IFLA_BR_MAX_AGE, in 1/100 s
    ageingTime: [4, u32], // IFLA_BR_AGEING_TIME, in 1/100 s
    spanningTree: [5, u32], // IFLA_BR_STP_STATE
    priority: [6, u16], // IFLA_BR_PRIORITY
    vlanFiltering: [7, u8], // IFLA_BR_VLAN_FILTERING
    vlanProtocol: [8, be16], // IFLA_BR_VLAN_PROTOCOL
    multicastSnooping: [23, u8], // IFLA_BR_MCAST_SNOOPING
    vlanDefaultId: [39, u16], // IFLA_BR_VLAN_DEFAULT_PVID
  }),
  veth: attributes({
    peer: [1, headed(linkHeader, attributes(plainTable))], // VETH_INFO_PEER
  }),
  vlan: attributes({
    id: [1, u16], // IFLA_VLAN_ID
    protocol: [5, be16], // IFLA_VLAN_PROTOCOL
  }),
  vxlan: attributes({
    id: [1, u32], // IFLA_VXLAN_ID
    remote: [2, bytes], // IFLA_VXLAN_GROUP, an IPv4 address: multicast group or the other end
    parent: [3, u32], // IFLA_VXLAN_LINK
    local: [4, bytes], // IFLA_VXLAN_LOCAL, an IPv4 address
    hopLimit: [5, u8], // IFLA_VXLAN_TTL
    learning: [7, u8], // IFLA_VXLAN_LEARNING
    ageing: [8, u32], // IFLA_VXLAN_AGEING
    linkMisses: [13, u8], // IFLA_VXLAN_L2MISS
    addressMisses: [14, u8], // IFLA_VXLAN_L3MISS
    port: [15, be16], // IFLA_VXLAN_PORT
    remote6: [16, bytes], // IFLA_VXLAN_GROUP6
    local6: [17, bytes], // IFLA_VXLAN_LOCAL6
  }),
  macvlan: attributes({
    broadcastQueueLength: [7, u32], // IFLA_MACVLAN_BC_QUEUE_LEN, since Linux 5.11
    mode: [1, u32], // IFLA_MACVLAN_MODE
  }),
  ipvlan: attributes({
    mode: [1, u16], // IFLA_IPVLAN_MODE
    flags: [2, u16], // IFLA_IPVLAN_FLAGS
  }),
  vrf: attributes({
    table: [1, u32], // IFLA_VRF_TABLE
  }),
  // only told: what they are is said by /dev/net/tun
  tun: attributes({
    type: [3, u8], // IFLA_TUN_TYPE: 2 is a tap
    owner: [1, u32], // IFLA_TUN_OWNER
    group: [2, u32], // IFLA_TUN_GROUP
    packetInformation: [4, u8], // IFLA_TUN_PI
    headers: [5, u8], // IFLA_TUN_VNET_HDR
    persistent: [6, u8], // IFLA_TUN_PERSIST
    multiQueue: [7, u8], // IFLA_TUN_MULTI_QUEUE
    queues: [8, u32], // IFLA_TUN_NUM_QUEUES
    disabledQueues: [9, u32], // IFLA_TUN_NUM_DISABLED_QUEUES
  }),
  dummy: attributes({}),
  ifb: attributes({}),
  // keys and peers are told by generic netlink (wireguard.ts)
  wireguard: attributes({}),
} as const;

/** The modes of macvlan (MACVLAN_MODE_*). */
export const MacvlanMode = { private: 1, vepa: 2, bridge: 4, passthru: 8, source: 16 } as const;

/** The modes of ipvlan (IPVLAN_MODE_*). */
export const IpvlanMode = { l2: 0, l3: 1, l3s: 2 } as const;

/** A kind of device with what makes it this kind, such as `{ kind: "vlan", data: { id: 5 } }`. */
export type LinkDevice = Choice<typeof deviceKinds>;

const device = choice([1, bareText], 2, deviceKinds); // IFLA_INFO_KIND, IFLA_INFO_DATA
const port = choice([4, bareText], 5, { bridge: bridgePort }); // IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA

/** IFLA_LINKINFO: what the device is, and what its master makes of it as a port, side by side in one nest. */
const linkInfo: Codec<{ device?: ValueOfDevice; port?: ValueOfPort }> = {
  encode(writer, value) {
    device.encode(writer, value.device);
    port.encode(writer, value.port);
  },
  decode(reader) {
    const start = reader.offset;
    const own = device.decode(reader);
    reader.offset = start;
    return { device: own, port: port.decode(reader) };
  },
};
type ValueOfDevice = LinkDevice | undefined;
type ValueOfPort = Choice<{ bridge: typeof bridgePort }> | undefined;

const linkTable = {
  ...plainTable,
  info: [18, linkInfo], // IFLA_LINKINFO
} as const;

/** The body of a link message. */
export const linkMessage = headed(linkHeader, attributes(linkTable));

// What is set in this nest is not looked at in answers, where it is long.
const protocols = attributes({
  ipv6: [10, attributes({ addressMode: [8, u8] })], // AF_INET6 with IFLA_INET6_ADDR_GEN_MODE
});

/** The body of a message that changes a link. */
const changeMessage = headed(linkHeader, attributes({ ...linkTable, protocols: [26, protocols] })); // IFLA_AF_SPEC

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
function settingAttributes(settings: LinkSettings, name: string | undefined): Attributes<typeof plainTable> {
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
