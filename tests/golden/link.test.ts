// Link messages as iproute2 and bridge(8) send them.
import { describe, expect, test } from "bun:test";
import { parseAddress } from "../../src/ip/address.ts";
import { vxlanDevice } from "../../src/net/vxlan.ts";
import {
  addBridgeVlans,
  bridgeMessage,
  deleteBridgeVlans,
  setBridgePort,
} from "../../src/netlink/bridge-port.ts";
import { Reader } from "../../src/netlink/buffer.ts";
import {
  createLink,
  deleteLink,
  deleteLinkGroup,
  type Link,
  readLink,
  setLink,
  veth,
} from "../../src/netlink/link.ts";
import { IpvlanMode, linkMessage } from "../../src/netlink/link-message.ts";
import { HEADER_BYTES } from "../../src/netlink/message.ts";
import { golden, goldenRequest, message } from "./message.ts";

const CREATE_VETH = message(
  "8c 00 00 00  10 00  05 06  04 9c 00 6b  00 00 00 00", // length 140, RTM_NEWLINK, flags 0x605, sequence, port
  "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "0a 00 01 00  02 00 00 00  00 02 00 00", // IFLA_ADDRESS
  "08 00 04 00  78 05 00 00", // IFLA_MTU
  "0a 00 03 00  76 65 74 68  30 00 00 00", // IFLA_IFNAME "veth0"
  "4c 00 12 00", // IFLA_LINKINFO, 76 bytes
  "08 00 01 00  76 65 74 68", //   IFLA_INFO_KIND "veth"
  "40 00 02 00", //   IFLA_INFO_DATA, 64 bytes
  "3c 00 01 00", //     VETH_INFO_PEER, 60 bytes
  "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", //       ifinfomsg
  "0a 00 01 00  02 00 00 00  00 03 00 00", //       IFLA_ADDRESS
  "08 00 04 00  78 05 00 00", //       IFLA_MTU
  "08 00 1c 00  04 00 00 00", //       IFLA_NET_NS_FD
  "09 00 03 00  65 74 68 30  00 00 00 00", //       IFLA_IFNAME "eth0"
);

const CREATE_BRIDGE = message(
  "58 00 00 00  10 00  05 06  ae 9a 00 6b  00 00 00 00", // length 88, RTM_NEWLINK, flags 0x605, sequence, port
  "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "0a 00 01 00  02 00 00 00  00 01 00 00", // IFLA_ADDRESS
  "08 00 03 00  62 72 31 00", // IFLA_IFNAME "br1"
  "24 00 12 00", // IFLA_LINKINFO, 36 bytes
  "0a 00 01 00  62 72 69 64  67 65 00 00", //   IFLA_INFO_KIND "bridge"
  "14 00 02 00", //   IFLA_INFO_DATA, 20 bytes
  "05 00 07 00  01 00 00 00", //     IFLA_BR_VLAN_FILTERING
  "08 00 05 00  00 00 00 00", //     IFLA_BR_STP_STATE
);

const CREATE_VLAN = message(
  "48 00 00 00  10 00  05 06  af 9a 00 6b  00 00 00 00", // length 72, RTM_NEWLINK, flags 0x605, sequence, port
  "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "08 00 05 00  05 00 00 00", // IFLA_LINK
  "07 00 03 00  76 35 00 00", // IFLA_IFNAME "v5"
  "18 00 12 00", // IFLA_LINKINFO, 24 bytes
  "08 00 01 00  76 6c 61 6e", //   IFLA_INFO_KIND "vlan"
  "0c 00 02 00", //   IFLA_INFO_DATA, 12 bytes
  "06 00 01 00  05 00 00 00", //     IFLA_VLAN_ID
);

const CREATE_VXLAN = message(
  "64 00 00 00  10 00  05 06  af 9a 00 6b  00 00 00 00", // length 100, RTM_NEWLINK, flags 0x605, sequence, port
  "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "08 00 03 00  76 78 30 00", // IFLA_IFNAME "vx0"
  "3c 00 12 00", // IFLA_LINKINFO, 60 bytes
  "09 00 01 00  76 78 6c 61  6e 00 00 00", //   IFLA_INFO_KIND "vxlan"
  "2c 00 02 00", //   IFLA_INFO_DATA, 44 bytes
  "08 00 03 00  05 00 00 00", //     IFLA_VXLAN_LINK
  "08 00 01 00  07 00 00 00", //     IFLA_VXLAN_ID
  "08 00 02 00  0a 00 00 02", //     IFLA_VXLAN_GROUP
  "05 00 07 00  00 00 00 00", //     IFLA_VXLAN_LEARNING
  "06 00 0f 00  12 b5 00 00", //     IFLA_VXLAN_PORT
);

const CREATE_VXLAN_WITH_MISSES = message(
  "74 00 00 00  10 00  05 06  65 f7 0a 6b  00 00 00 00", // length 116, RTM_NEWLINK, flags 0x605, sequence, port
  "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "08 00 03 00  76 78 30 00", // IFLA_IFNAME "vx0"
  "4c 00 12 00", // IFLA_LINKINFO, 76 bytes
  "09 00 01 00  76 78 6c 61  6e 00 00 00", //   IFLA_INFO_KIND "vxlan"
  "3c 00 02 00", //   IFLA_INFO_DATA, 60 bytes
  "08 00 03 00  03 00 00 00", //     IFLA_VXLAN_LINK
  "05 00 0d 00  01 00 00 00", //     IFLA_VXLAN_L2MISS
  "05 00 0e 00  01 00 00 00", //     IFLA_VXLAN_L3MISS
  "08 00 01 00  0b 00 00 00", //     IFLA_VXLAN_ID
  "08 00 02 00  0a 00 00 02", //     IFLA_VXLAN_GROUP
  "05 00 07 00  01 00 00 00", //     IFLA_VXLAN_LEARNING
  "06 00 0f 00  12 b5 00 00", //     IFLA_VXLAN_PORT
);

const CREATE_VXLAN_OVER_IPV6 = message(
  "84 00 00 00  10 00  05 06  65 f7 0a 6b  00 00 00 00", // length 132, RTM_NEWLINK, flags 0x605, sequence, port
  "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "08 00 03 00  76 78 31 00", // IFLA_IFNAME "vx1"
  "5c 00 12 00", // IFLA_LINKINFO, 92 bytes
  "09 00 01 00  76 78 6c 61  6e 00 00 00", //   IFLA_INFO_KIND "vxlan"
  "4c 00 02 00", //   IFLA_INFO_DATA, 76 bytes
  "08 00 03 00  03 00 00 00", //     IFLA_VXLAN_LINK
  "08 00 01 00  0c 00 00 00", //     IFLA_VXLAN_ID
  "14 00 11 00  fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01", //     IFLA_VXLAN_LOCAL6
  "14 00 10 00  fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02", //     IFLA_VXLAN_GROUP6
  "05 00 07 00  00 00 00 00", //     IFLA_VXLAN_LEARNING
  "06 00 0f 00  12 b5 00 00", //     IFLA_VXLAN_PORT
);

const CREATE_MACVLAN = message(
  "4c 00 00 00  10 00  05 06  af 9a 00 6b  00 00 00 00", // length 76, RTM_NEWLINK, flags 0x605, sequence, port
  "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "08 00 05 00  05 00 00 00", // IFLA_LINK
  "08 00 03 00  6d 76 30 00", // IFLA_IFNAME "mv0"
  "1c 00 12 00", // IFLA_LINKINFO, 28 bytes
  "0b 00 01 00  6d 61 63 76  6c 61 6e 00", //   IFLA_INFO_KIND "macvlan"
  "0c 00 02 00", //   IFLA_INFO_DATA, 12 bytes
  "08 00 01 00  04 00 00 00", //     IFLA_MACVLAN_MODE
);

const CREATE_IPVLAN = message(
  "58 00 00 00  10 00  05 06  f1 66 0b 6b  00 00 00 00", // length 88, RTM_NEWLINK, flags 0x605, sequence, port
  "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "08 00 05 00  03 00 00 00", // IFLA_LINK
  "09 00 03 00  69 70 76 30  00 00 00 00", // IFLA_IFNAME "ipv0"
  "24 00 12 00", // IFLA_LINKINFO, 36 bytes
  "0a 00 01 00  69 70 76 6c  61 6e 00 00", //   IFLA_INFO_KIND "ipvlan"
  "14 00 02 00", //   IFLA_INFO_DATA, 20 bytes
  "06 00 01 00  01 00 00 00", //     IFLA_IPVLAN_MODE
  "06 00 02 00  00 00 00 00", //     IFLA_IPVLAN_FLAGS
);

const TOLD_TAP = message(
  "70 00 00 00  10 00  00 00  00 00 00 00  00 00 00 00", // length 112, RTM_NEWLINK, of all attributes these two
  "00 00 00 00  02 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "50 00 12 00", // IFLA_LINKINFO, 80 bytes
  "08 00 01 00  74 75 6e 00", //   IFLA_INFO_KIND "tun"
  "44 00 02 00", //   IFLA_INFO_DATA, 68 bytes
  "05 00 03 00  02 00 00 00", //     IFLA_TUN_TYPE, a tap
  "08 00 01 00  e8 03 00 00", //     IFLA_TUN_OWNER, 1000
  "05 00 04 00  00 00 00 00", //     IFLA_TUN_PI
  "05 00 05 00  00 00 00 00", //     IFLA_TUN_VNET_HDR
  "05 00 06 00  01 00 00 00", //     IFLA_TUN_PERSIST
  "05 00 07 00  01 00 00 00", //     IFLA_TUN_MULTI_QUEUE
  "08 00 08 00  00 00 00 00", //     IFLA_TUN_NUM_QUEUES
  "08 00 09 00  00 00 00 00", //     IFLA_TUN_NUM_DISABLED_QUEUES
);

const CREATE_VRF = message(
  "44 00 00 00  10 00  05 06  af 9a 00 6b  00 00 00 00", // length 68, RTM_NEWLINK, flags 0x605, sequence, port
  "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "09 00 03 00  76 72 66 30  00 00 00 00", // IFLA_IFNAME "vrf0"
  "18 00 12 00", // IFLA_LINKINFO, 24 bytes
  "07 00 01 00  76 72 66 00", //   IFLA_INFO_KIND "vrf"
  "0c 00 02 00", //   IFLA_INFO_DATA, 12 bytes
  "08 00 01 00  0a 00 00 00", //     IFLA_VRF_TABLE
);

const CREATE_IFB = message(
  "38 00 00 00  10 00  05 06  af 9a 00 6b  00 00 00 00", // length 56, RTM_NEWLINK, flags 0x605, sequence, port
  "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "09 00 03 00  69 66 62 31  00 00 00 00", // IFLA_IFNAME "ifb1"
  "0c 00 12 00", // IFLA_LINKINFO, 12 bytes
  "07 00 01 00  69 66 62 00", //   IFLA_INFO_KIND "ifb"
);

const CREATE_WIREGUARD = message(
  "3c 00 00 00  10 00  05 06  e0 57 0b 6b  00 00 00 00", // length 60, RTM_NEWLINK, flags 0x605, sequence, port
  "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "08 00 03 00  77 67 30 00", // IFLA_IFNAME "wg0"
  "14 00 12 00", // IFLA_LINKINFO, 20 bytes
  "0d 00 01 00  77 69 72 65  67 75 61 72  64 00 00 00", //   IFLA_INFO_KIND "wireguard"
);

const CREATE_DUMMY = message(
  "38 00 00 00  10 00  05 06  af 9a 00 6b  00 00 00 00", // length 56, RTM_NEWLINK, flags 0x605, sequence, port
  "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "08 00 03 00  64 6d 30 00", // IFLA_IFNAME "dm0"
  "10 00 12 00", // IFLA_LINKINFO, 16 bytes
  "09 00 01 00  64 75 6d 6d  79 00 00 00", //   IFLA_INFO_KIND "dummy"
);

const SET_UP = message(
  "20 00 00 00  10 00  05 00  04 9c 00 6b  00 00 00 00", // length 32, RTM_NEWLINK, flags 0x5, sequence, port
  "00 00 00 00  02 00 00 00  01 00 00 00  01 00 00 00", // ifinfomsg
);

const SET_MASTER = message(
  "28 00 00 00  10 00  05 00  04 9c 00 6b  00 00 00 00", // length 40, RTM_NEWLINK, flags 0x5, sequence, port
  "00 00 00 00  02 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "08 00 0a 00  03 00 00 00", // IFLA_MASTER
);

const SET_NO_MASTER = message(
  "28 00 00 00  10 00  05 00  af 9a 00 6b  00 00 00 00", // length 40, RTM_NEWLINK, flags 0x5, sequence, port
  "00 00 00 00  05 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "08 00 0a 00  00 00 00 00", // IFLA_MASTER
);

const SET_ALIAS = message(
  "30 00 00 00  10 00  05 00  af 9a 00 6b  00 00 00 00", // length 48, RTM_NEWLINK, flags 0x5, sequence, port
  "00 00 00 00  05 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "0e 00 14 00  77 61 72 72  65 6e 20 6c  61 62 00 00", // IFLA_IFALIAS "warren lab"
);

const SET_GROUP = message(
  "28 00 00 00  10 00  05 00  af 9a 00 6b  00 00 00 00", // length 40, RTM_NEWLINK, flags 0x5, sequence, port
  "00 00 00 00  05 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "08 00 1b 00  4d 00 00 00", // IFLA_GROUP
);

const SET_NAME = message(
  "2c 00 00 00  10 00  05 00  af 9a 00 6b  00 00 00 00", // length 44, RTM_NEWLINK, flags 0x5, sequence, port
  "00 00 00 00  05 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "0a 00 03 00  76 65 74 68  31 00 00 00", // IFLA_IFNAME "veth1"
);

const SET_PROMISCUOUS = message(
  "20 00 00 00  10 00  05 00  af 9a 00 6b  00 00 00 00", // length 32, RTM_NEWLINK, flags 0x5, sequence, port
  "00 00 00 00  05 00 00 00  00 01 00 00  00 01 00 00", // ifinfomsg
);

const SET_QUEUE = message(
  "28 00 00 00  10 00  05 00  af 9a 00 6b  00 00 00 00", // length 40, RTM_NEWLINK, flags 0x5, sequence, port
  "00 00 00 00  05 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "08 00 0d 00  f4 01 00 00", // IFLA_TXQLEN
);

const SET_NO_OWN_ADDRESS = message(
  "30 00 00 00  10 00  05 00  af 9a 00 6b  00 00 00 00", // length 48, RTM_NEWLINK, flags 0x5, sequence, port
  "00 00 00 00  05 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "10 00 1a 00", // IFLA_AF_SPEC, 16 bytes
  "0c 00 0a 00", //   AF_INET6, 12 bytes
  "05 00 08 00  01 00 00 00", //     IFLA_INET6_ADDR_GEN_MODE none
);

const GET_BY_NAME = message(
  "34 00 00 00  12 00  01 00  af 9a 00 6b  00 00 00 00", // length 52, RTM_GETLINK, flags 0x1, sequence, port
  "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "08 00 1d 00  09 00 00 00", // IFLA_EXT_MASK
  "0a 00 03 00  76 65 74 68  30 00 00 00", // IFLA_IFNAME "veth0"
);

const DUMP_PORTS = message(
  "3c 00 00 00  12 00  01 03  af 9a 00 6b  00 00 00 00", // length 60, RTM_GETLINK, flags 0x301, sequence, port
  "11 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "08 00 1d 00  01 00 00 00", // IFLA_EXT_MASK
  "08 00 0a 00  02 00 00 00", // IFLA_MASTER
  "0c 00 12 00", // IFLA_LINKINFO, 12 bytes
  "08 00 01 00  76 65 74 68", //   IFLA_INFO_KIND "veth"
);

const DELETE_LINK = message(
  "20 00 00 00  11 00  05 00  af 9a 00 6b  00 00 00 00", // length 32, RTM_DELLINK, flags 0x5, sequence, port
  "00 00 00 00  05 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
);

const DELETE_GROUP = message(
  "28 00 00 00  11 00  05 00  af 9a 00 6b  00 00 00 00", // length 40, RTM_DELLINK, flags 0x5, sequence, port
  "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "08 00 1b 00  4d 00 00 00", // IFLA_GROUP
);

const SET_HAIRPIN = message(
  "2c 00 00 00  13 00  05 00  05 9c 00 6b  00 00 00 00", // length 44, RTM_SETLINK, flags 0x5, sequence, port
  "07 00 00 00  02 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "0c 00 0c 80", // IFLA_PROTINFO, 12 bytes NLA_F_NESTED
  "05 00 04 00  01 00 00 00", //   IFLA_BRPORT_MODE
);

const SET_ISOLATED = message(
  "2c 00 00 00  13 00  05 00  05 9c 00 6b  00 00 00 00", // length 44, RTM_SETLINK, flags 0x5, sequence, port
  "07 00 00 00  02 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "0c 00 0c 80", // IFLA_PROTINFO, 12 bytes NLA_F_NESTED
  "05 00 21 00  01 00 00 00", //   IFLA_BRPORT_ISOLATED
);

const ADD_VLAN = message(
  "2c 00 00 00  13 00  05 00  05 9c 00 6b  00 00 00 00", // length 44, RTM_SETLINK, flags 0x5, sequence, port
  "07 00 00 00  02 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "0c 00 1a 00", // IFLA_AF_SPEC, 12 bytes
  "08 00 02 00  06 00 05 00", //   IFLA_BRIDGE_VLAN_INFO
);

const DELETE_VLAN = message(
  "2c 00 00 00  11 00  05 00  31 9c 00 6b  00 00 00 00", // length 44, RTM_DELLINK, flags 0x5, sequence, port
  "07 00 00 00  02 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "0c 00 1a 00", // IFLA_AF_SPEC, 12 bytes
  "08 00 02 00  00 00 05 00", //   IFLA_BRIDGE_VLAN_INFO
);

const DUMP_VLANS = message(
  "28 00 00 00  12 00  01 03  31 9c 00 6b  00 00 00 00", // length 40, RTM_GETLINK, flags 0x301, sequence, port
  "07 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "08 00 1d 00  02 00 00 00", // IFLA_EXT_MASK: RTEXT_FILTER_BRVLAN
);

function header(index = 0, flags = 0, change = 0, family = 0) {
  return { family, deviceType: 0, index, flags, change };
}

describe("ip link add", () => {
  // ip link add veth0 address 02:00:00:00:00:02 mtu 1400 type veth
  //   peer name eth0 address 02:00:00:00:00:03 mtu 1400 netns pod
  golden("veth", CREATE_VETH, linkMessage, {
    header: header(),
    attributes: {
      address: "02:00:00:00:00:02",
      mtu: 1400,
      name: "veth0",
      info: {
        device: {
          kind: "veth",
          data: {
            peer: {
              header: header(),
              attributes: { address: "02:00:00:00:00:03", mtu: 1400, netNamespaceFd: 4, name: "eth0" },
            },
          },
        },
      },
    },
  });
  goldenRequest(
    "veth",
    CREATE_VETH,
    createLink("veth0", veth({ name: "eth0", address: "02:00:00:00:00:03", mtu: 1400, netNamespaceFd: 4 }), {
      address: "02:00:00:00:00:02",
      mtu: 1400,
    }),
  );

  // ip link add br1 address 02:00:00:00:00:01 type bridge vlan_filtering 1 stp_state 0
  const bridge = { kind: "bridge", data: { vlanFiltering: 1, spanningTree: 0 } } as const;
  golden("bridge", CREATE_BRIDGE, linkMessage, {
    header: header(),
    attributes: { address: "02:00:00:00:00:01", name: "br1", info: { device: bridge } },
  });
  goldenRequest("bridge", CREATE_BRIDGE, createLink("br1", bridge, { address: "02:00:00:00:00:01" }));

  // ip link add link veth0 name v5 type vlan id 5
  const vlan = { kind: "vlan", data: { id: 5 } } as const;
  golden("vlan", CREATE_VLAN, linkMessage, {
    header: header(),
    attributes: { parent: 5, name: "v5", info: { device: vlan } },
  });
  goldenRequest("vlan", CREATE_VLAN, createLink("v5", vlan, { parent: 5 }));

  // ip link add vx0 type vxlan id 7 dstport 4789 dev veth0 remote 10.0.0.2 nolearning
  const vxlan = {
    kind: "vxlan",
    data: { parent: 5, id: 7, remote: Uint8Array.of(10, 0, 0, 2), learning: 0, port: 4789 },
  } as const;
  golden("vxlan", CREATE_VXLAN, linkMessage, {
    header: header(),
    attributes: { name: "vx0", info: { device: vxlan } },
  });
  goldenRequest("vxlan", CREATE_VXLAN, createLink("vx0", vxlan));

  // ip link add vx0 type vxlan id 11 dev u0 remote 10.0.0.2 dstport 4789 l2miss l3miss
  const withMisses = {
    kind: "vxlan",
    data: {
      parent: 3,
      linkMisses: 1,
      addressMisses: 1,
      id: 11,
      remote: Uint8Array.of(10, 0, 0, 2),
      learning: 1,
      port: 4789,
    },
  } as const;
  golden("vxlan with misses", CREATE_VXLAN_WITH_MISSES, linkMessage, {
    header: header(),
    attributes: { name: "vx0", info: { device: withMisses } },
  });
  goldenRequest("vxlan with misses", CREATE_VXLAN_WITH_MISSES, createLink("vx0", withMisses));

  // ip link add vx1 type vxlan id 12 dev u0 local fd00::1 remote fd00::2 dstport 4789 nolearning
  const parent = { index: 3 } as Link;
  const [local, remote] = [parseAddress("fd00::1"), parseAddress("fd00::2")];
  if (remote === undefined) throw new Error("no address");
  const overIpv6 = vxlanDevice({ vni: 12, parent, local, remote });
  golden("vxlan over IPv6", CREATE_VXLAN_OVER_IPV6, linkMessage, {
    header: header(),
    attributes: { name: "vx1", info: { device: overIpv6 } },
  });
  goldenRequest("vxlan over IPv6", CREATE_VXLAN_OVER_IPV6, createLink("vx1", overIpv6));

  // ip link add link veth0 name mv0 type macvlan mode bridge
  const macvlan = { kind: "macvlan", data: { mode: 4 } } as const;
  golden("macvlan", CREATE_MACVLAN, linkMessage, {
    header: header(),
    attributes: { parent: 5, name: "mv0", info: { device: macvlan } },
  });
  goldenRequest("macvlan", CREATE_MACVLAN, createLink("mv0", macvlan, { parent: 5 }));

  // ip link add link veth0 name ipv0 type ipvlan mode l3
  const ipvlan = { kind: "ipvlan", data: { mode: IpvlanMode.l3, flags: 0 } } as const;
  golden("ipvlan", CREATE_IPVLAN, linkMessage, {
    header: header(),
    attributes: { parent: 3, name: "ipv0", info: { device: ipvlan } },
  });
  goldenRequest("ipvlan", CREATE_IPVLAN, createLink("ipv0", ipvlan, { parent: 3 }));

  // told of: ip tuntap add dev t0 mode tap user 1000 multi_queue
  test("tap: as the kernel tells of it", () => {
    const { kind, device } = readLink(new Reader(TOLD_TAP, HEADER_BYTES));
    const data = {
      ...{ type: 2, owner: 1000, packetInformation: 0, headers: 0, persistent: 1, multiQueue: 1 },
      ...{ queues: 0, disabledQueues: 0 },
    };
    expect<unknown>([kind, device]).toEqual(["tun", { kind: "tun", data }]);
  });

  // ip link add vrf0 type vrf table 10
  const vrf = { kind: "vrf", data: { table: 10 } } as const;
  golden("vrf", CREATE_VRF, linkMessage, {
    header: header(),
    attributes: { name: "vrf0", info: { device: vrf } },
  });
  goldenRequest("vrf", CREATE_VRF, createLink("vrf0", vrf));

  // ip link add ifb1 type ifb
  golden("ifb", CREATE_IFB, linkMessage, {
    header: header(),
    attributes: { name: "ifb1", info: { device: { kind: "ifb" } } },
  });
  goldenRequest("ifb", CREATE_IFB, createLink("ifb1", { kind: "ifb" }));

  // ip link add dm0 type dummy
  golden("dummy", CREATE_DUMMY, linkMessage, {
    header: header(),
    attributes: { name: "dm0", info: { device: { kind: "dummy" } } },
  });
  goldenRequest("dummy", CREATE_DUMMY, createLink("dm0", { kind: "dummy" }));

  goldenRequest("wireguard", CREATE_WIREGUARD, createLink("wg0", { kind: "wireguard" }));
});

describe("ip link set", () => {
  golden("up", SET_UP, linkMessage, { header: header(2, 1, 1), attributes: {} });
  goldenRequest("up", SET_UP, setLink(2, { up: true }));
  golden("master br0", SET_MASTER, linkMessage, { header: header(2), attributes: { master: 3 } });
  goldenRequest("master br0", SET_MASTER, setLink(2, { master: 3 }));
  golden("nomaster", SET_NO_MASTER, linkMessage, { header: header(5), attributes: { master: 0 } });
  goldenRequest("nomaster", SET_NO_MASTER, setLink(5, { master: 0 }));
  golden("alias", SET_ALIAS, linkMessage, { header: header(5), attributes: { alias: "warren lab" } });
  goldenRequest("alias", SET_ALIAS, setLink(5, { alias: "warren lab" }));
  golden("group 77", SET_GROUP, linkMessage, { header: header(5), attributes: { group: 77 } });
  goldenRequest("group 77", SET_GROUP, setLink(5, { group: 77 }));
  golden("name veth1", SET_NAME, linkMessage, { header: header(5), attributes: { name: "veth1" } });
  goldenRequest("name veth1", SET_NAME, setLink(5, { name: "veth1" }));
  golden("promisc on", SET_PROMISCUOUS, linkMessage, { header: header(5, 0x100, 0x100), attributes: {} });
  goldenRequest("promisc on", SET_PROMISCUOUS, setLink(5, { promiscuous: true }));
  golden("txqueuelen 500", SET_QUEUE, linkMessage, { header: header(5), attributes: { txQueueLength: 500 } });
  goldenRequest("txqueuelen 500", SET_QUEUE, setLink(5, { txQueueLength: 500 }));
  goldenRequest("addrgenmode none", SET_NO_OWN_ADDRESS, setLink(5, { ownAddress: false }));
});

describe("ip link show and del", () => {
  // We ask with the mask 8 (no statistics) where ip asks with 9 and 1, so only the codec is compared.
  golden("show dev veth0", GET_BY_NAME, linkMessage, {
    header: header(),
    attributes: { extensionMask: 9, name: "veth0" },
  });
  golden("show master br0 type veth", DUMP_PORTS, linkMessage, {
    header: header(0, 0, 0, 17),
    attributes: { extensionMask: 1, master: 2, info: { device: { kind: "veth" } } },
  });
  golden("del veth0", DELETE_LINK, linkMessage, { header: header(5), attributes: {} });
  goldenRequest("del veth0", DELETE_LINK, deleteLink(5));
  golden("del group 77", DELETE_GROUP, linkMessage, { header: header(), attributes: { group: 77 } });
  goldenRequest("del group 77", DELETE_GROUP, deleteLinkGroup(77));
});

describe("bridge", () => {
  golden("link set hairpin on", SET_HAIRPIN, bridgeMessage, {
    header: header(2, 0, 0, 7),
    attributes: { port: { hairpin: 1 } },
  });
  goldenRequest("link set hairpin on", SET_HAIRPIN, setBridgePort(2, { hairpin: true }));
  golden("link set isolated on", SET_ISOLATED, bridgeMessage, {
    header: header(2, 0, 0, 7),
    attributes: { port: { isolated: 1 } },
  });
  goldenRequest("link set isolated on", SET_ISOLATED, setBridgePort(2, { isolated: true }));
  golden("vlan add vid 5 pvid untagged", ADD_VLAN, bridgeMessage, {
    header: header(2, 0, 0, 7),
    attributes: { vlans: [{ flags: 6, id: 5 }] },
  });
  goldenRequest(
    "vlan add vid 5 pvid untagged",
    ADD_VLAN,
    addBridgeVlans(2, [{ id: 5, primary: true, untagged: true }]),
  );
  golden("vlan del vid 5", DELETE_VLAN, bridgeMessage, {
    header: header(2, 0, 0, 7),
    attributes: { vlans: [{ flags: 0, id: 5 }] },
  });
  goldenRequest("vlan del vid 5", DELETE_VLAN, deleteBridgeVlans(2, [{ id: 5 }]));
  golden("vlan show", DUMP_VLANS, bridgeMessage, {
    header: header(0, 0, 0, 7),
    attributes: { extensionMask: 2 },
  });
});
