// Address messages as iproute2 sends them.
import { describe } from "bun:test";
import { addAddress, addressMessage, deleteAddress, dumpAddresses } from "../../src/netlink/address.ts";
import { golden, goldenRequest, message } from "./message.ts";

const ADD_IPV4 = message(
  "30 00 00 00  14 00  05 06  af 9a 00 6b  00 00 00 00", // length 48, RTM_NEWADDR, flags 0x605, sequence, port
  "02 18 00 00  05 00 00 00", // ifaddrmsg
  "08 00 02 00  0a 01 02 03", // IFA_LOCAL
  "08 00 04 00  0a 01 02 ff", // IFA_BROADCAST
  "08 00 01 00  0a 01 02 03", // IFA_ADDRESS
);

const ADD_IPV6 = message(
  "40 00 00 00  14 00  05 06  af 9a 00 6b  00 00 00 00", // length 64, RTM_NEWADDR, flags 0x605, sequence, port
  "0a 40 02 00  05 00 00 00", // ifaddrmsg
  // IFA_LOCAL
  "14 00 02 00  fd 00 00 00  00 00 00 00  00 00 00 00  00 00 00 03",
  // IFA_ADDRESS
  "14 00 01 00  fd 00 00 00  00 00 00 00  00 00 00 00  00 00 00 03",
);

const ADD_IPV6_WITHOUT_ROUTE = message(
  "48 00 00 00  14 00  05 06  af 9a 00 6b  00 00 00 00", // length 72, RTM_NEWADDR, flags 0x605, sequence, port
  "0a 40 00 00  05 00 00 00", // ifaddrmsg
  // IFA_LOCAL
  "14 00 02 00  fd 00 00 00  00 00 00 00  00 00 00 00  00 00 00 04",
  "08 00 08 00  02 02 00 00", // IFA_FLAGS
  // IFA_ADDRESS
  "14 00 01 00  fd 00 00 00  00 00 00 00  00 00 00 00  00 00 00 04",
);

const DELETE_IPV4 = message(
  "28 00 00 00  15 00  05 00  af 9a 00 6b  00 00 00 00", // length 40, RTM_DELADDR, flags 0x5, sequence, port
  "02 18 00 00  05 00 00 00", // ifaddrmsg
  "08 00 02 00  0a 01 02 03", // IFA_LOCAL
  "08 00 01 00  0a 01 02 03", // IFA_ADDRESS
);

const DUMP_OF_LINK = message(
  "18 00 00 00  16 00  01 03  b0 9a 00 6b  00 00 00 00", // length 24, RTM_GETADDR, flags 0x301, sequence, port
  "00 00 00 00  05 00 00 00", // ifaddrmsg
);

const IPV4 = Uint8Array.of(10, 1, 2, 3);
const BROADCAST = Uint8Array.of(10, 1, 2, 255);

function ipv6(last: number): Uint8Array {
  return Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last);
}

describe("ip address", () => {
  // ip addr add 10.1.2.3/24 brd 10.1.2.255 dev veth0
  golden("add IPv4", ADD_IPV4, addressMessage, {
    header: { family: 2, prefixLength: 24, flags: 0, scope: 0, index: 5 },
    attributes: { local: IPV4, broadcast: BROADCAST, address: IPV4 },
  });
  goldenRequest(
    "add IPv4",
    ADD_IPV4,
    addAddress({ index: 5, address: IPV4, prefixLength: 24, broadcast: BROADCAST }),
  );

  // ip addr add fd00::3/64 dev veth0 nodad
  golden("add IPv6", ADD_IPV6, addressMessage, {
    header: { family: 10, prefixLength: 64, flags: 2, scope: 0, index: 5 },
    attributes: { local: ipv6(3), address: ipv6(3) },
  });
  goldenRequest(
    "add IPv6",
    ADD_IPV6,
    addAddress({ index: 5, address: ipv6(3), prefixLength: 64, skipDuplicateDetection: true }),
  );

  // ip addr add fd00::4/64 dev veth0 nodad noprefixroute
  golden("add IPv6 without route", ADD_IPV6_WITHOUT_ROUTE, addressMessage, {
    header: { family: 10, prefixLength: 64, flags: 0, scope: 0, index: 5 },
    attributes: { local: ipv6(4), flags: 0x202, address: ipv6(4) },
  });
  goldenRequest(
    "add IPv6 without route",
    ADD_IPV6_WITHOUT_ROUTE,
    addAddress({
      index: 5,
      address: ipv6(4),
      prefixLength: 64,
      skipDuplicateDetection: true,
      noPrefixRoute: true,
    }),
  );

  // ip addr del 10.1.2.3/24 dev veth0
  golden("delete", DELETE_IPV4, addressMessage, {
    header: { family: 2, prefixLength: 24, flags: 0, scope: 0, index: 5 },
    attributes: { local: IPV4, address: IPV4 },
  });
  goldenRequest("delete", DELETE_IPV4, deleteAddress({ index: 5, address: IPV4, prefixLength: 24 }));

  // ip addr show dev veth0
  golden("show", DUMP_OF_LINK, addressMessage, {
    header: { family: 0, prefixLength: 0, flags: 0, scope: 0, index: 5 },
    attributes: {},
  });
  goldenRequest("show", DUMP_OF_LINK, dumpAddresses({ index: 5 }));
});
