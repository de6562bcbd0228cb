// The two messages by which a macvlan is born inside a container, as iproute2 sends them.
import { describe } from "bun:test";
import { createLink } from "../../src/netlink/link.ts";
import { linkMessage } from "../../src/netlink/link-message.ts";
import { assignNamespaceId, namespaceIdMessage } from "../../src/netlink/namespace-id.ts";
import { golden, goldenRequest, message } from "./message.ts";

const ASSIGN_NUMBER = message(
  "24 00 00 00  58 00  05 00  f8 af 00 6b  00 00 00 00", // length 36, RTM_NEWNSID, flags 5, sequence, port
  "00 00 00 00", // rtgenmsg, padded
  "08 00 03 00  06 00 00 00", // NETNSA_FD
  "08 00 01 00  07 00 00 00", // NETNSA_NSID
);

const CREATE_MACVLAN = message(
  "6c 00 00 00  10 00  05 06  f8 af 00 6b  00 00 00 00", // length 108, RTM_NEWLINK, flags 0x605, sequence, port
  "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // ifinfomsg
  "0a 00 01 00  02 00 00 00  00 05 00 00", // IFLA_ADDRESS
  "08 00 04 00  78 05 00 00", // IFLA_MTU
  "08 00 25 00  07 00 00 00", // IFLA_LINK_NETNSID
  "09 00 03 00  65 74 68 30  00 00 00 00", // IFLA_IFNAME "eth0"
  "24 00 12 00", // IFLA_LINKINFO, 36 bytes
  "0b 00 01 00  6d 61 63 76  6c 61 6e 00", //   IFLA_INFO_KIND "macvlan"
  "14 00 02 00", //   IFLA_INFO_DATA, 20 bytes
  "08 00 07 00  f4 01 00 00", //     IFLA_MACVLAN_BC_QUEUE_LEN
  "08 00 01 00  01 00 00 00", //     IFLA_MACVLAN_MODE
);

describe("a macvlan", () => {
  // ip netns set host 7
  golden("number of a namespace", ASSIGN_NUMBER, namespaceIdMessage, {
    header: { family: 0 },
    attributes: { descriptor: 6, id: 7 },
  });
  goldenRequest("number of a namespace", ASSIGN_NUMBER, assignNamespaceId(6, 7));

  // ip link add eth0 address 02:00:00:00:00:05 mtu 1400 link-netnsid 7 type macvlan mode private bcqueuelen 500
  const device = { kind: "macvlan", data: { broadcastQueueLength: 500, mode: 1 } } as const;
  golden("birth", CREATE_MACVLAN, linkMessage, {
    header: { family: 0, deviceType: 0, index: 0, flags: 0, change: 0 },
    attributes: {
      address: "02:00:00:00:00:05",
      mtu: 1400,
      linkNamespaceId: 7,
      name: "eth0",
      info: { device },
    },
  });
  goldenRequest(
    "birth",
    CREATE_MACVLAN,
    createLink("eth0", device, { address: "02:00:00:00:00:05", mtu: 1400, parentNamespaceId: 7 }),
  );
});
