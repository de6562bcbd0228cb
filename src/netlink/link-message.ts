// The messages of rtnetlink about links: their header, what every link has, and what each kind of device is told besides.
// Attribute numbers are those of linux/if_link.h; attributes are written in iproute2's order.
import { type Codec, CodecError } from "./buffer.ts";
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
  later,
  padding,
  type Struct,
  struct,
  text,
  u8,
  u16,
  u32,
} from "./codec.ts";

/** Types of messages (linux/rtnetlink.h). */
export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_SETLINK = 19;

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

/** What the header says. */
export type LinkHeader = Struct<{
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

/** What every link has, as it is told. */
export type LinkAttributes = Attributes<typeof plainTable>;

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
  vxlan: later(() =>
    attributes({
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
  ),
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
  tun: later(() =>
    attributes({
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
  ),
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
export const changeMessage = headed(linkHeader, attributes({ ...linkTable, protocols: [26, protocols] })); // IFLA_AF_SPEC
