// Route messages as iproute2 sends them.
import { describe, expect, test } from "bun:test";
import { Reader } from "../../src/netlink/buffer.ts";
import { addRoute, deleteRoute, dumpRoutes, routeMessage } from "../../src/netlink/route.ts";
import { golden, goldenRequest, message } from "./message.ts";

const ADD_IPV4 = message(
  "60 00 00 00  18 00  05 06  af 9a 00 6b  00 00 00 00", // length 96, RTM_NEWROUTE, flags 0x605, sequence, port
  "02 10 00 00  00 03 00 01  00 00 00 00", // rtmsg
  "08 00 01 00  0a 09 00 00", // RTA_DST
  "08 00 05 00  0a 01 02 01", // RTA_GATEWAY
  "08 00 0f 00  e8 03 00 00", // RTA_TABLE
  "08 00 06 00  32 00 00 00", // RTA_PRIORITY
  "08 00 07 00  0a 01 02 03", // RTA_PREFSRC
  "08 00 04 00  05 00 00 00", // RTA_OIF
  "14 00 08 00", // RTA_METRICS, 20 bytes
  "08 00 02 00  14 05 00 00", //   RTAX_MTU
  "08 00 08 00  b0 04 00 00", //   RTAX_ADVMSS
);

const ADD_DEFAULT = message(
  "24 00 00 00  18 00  05 06  af 9a 00 6b  00 00 00 00", // length 36, RTM_NEWROUTE, flags 0x605, sequence, port
  "02 00 00 00  fe 03 00 01  00 00 00 00", // rtmsg
  "08 00 05 00  0a 01 02 01", // RTA_GATEWAY
);

const REPLACE_DEFAULT = message(
  "24 00 00 00  18 00  05 05  af 9a 00 6b  00 00 00 00", // length 36, RTM_NEWROUTE, flags 0x505, sequence, port
  "02 00 00 00  fe 03 00 01  00 00 00 00", // rtmsg
  "08 00 05 00  0a 01 02 02", // RTA_GATEWAY
);

const ADD_DIRECT = message(
  "2c 00 00 00  18 00  05 06  af 9a 00 6b  00 00 00 00", // length 44, RTM_NEWROUTE, flags 0x605, sequence, port
  "02 10 00 00  fe 03 fd 01  00 00 00 00", // rtmsg
  "08 00 01 00  0a 07 00 00", // RTA_DST
  "08 00 04 00  05 00 00 00", // RTA_OIF
);

const APPEND_IPV6 = message(
  "4c 00 00 00  18 00  05 0c  af 9a 00 6b  00 00 00 00", // length 76, RTM_NEWROUTE, flags 0xc05, sequence, port
  "0a 40 00 00  fe 03 00 01  00 00 00 00", // rtmsg
  // RTA_DST
  "14 00 01 00  fd 01 00 00  00 00 00 00  00 00 00 00  00 00 00 00",
  // RTA_GATEWAY
  "14 00 05 00  fd 00 00 00  00 00 00 00  00 00 00 00  00 00 00 01",
  "08 00 04 00  05 00 00 00", // RTA_OIF
);

const DELETE_ROUTE = message(
  "24 00 00 00  19 00  05 00  af 9a 00 6b  00 00 00 00", // length 36, RTM_DELROUTE, flags 0x5, sequence, port
  "02 10 00 00  fe 00 ff 00  00 00 00 00", // rtmsg
  "08 00 01 00  0a 07 00 00", // RTA_DST
);

const DUMP_OF_LINK = message(
  "24 00 00 00  1a 00  01 03  af 9a 00 6b  00 00 00 00", // length 36, RTM_GETROUTE, flags 0x301, sequence, port
  "00 00 00 00  00 00 00 00  00 00 00 00", // rtmsg
  "08 00 04 00  05 00 00 00", // RTA_OIF
);

const DUMP_OF_TABLE = message(
  "24 00 00 00  1a 00  01 03  af 9a 00 6b  00 00 00 00", // length 36, RTM_GETROUTE, flags 0x301, sequence, port
  "0a 00 00 00  00 00 00 00  00 00 00 00", // rtmsg
  "08 00 0f 00  fe 00 00 00", // RTA_TABLE
);

const SHARED_IPV6 = message(
  "94 00 00 00  18 00  22 00  00 00 00 00  00 00 00 00", // length 148, RTM_NEWROUTE, flags 0x22, sequence, port
  "0a 00 00 00  fe 03 00 01  00 00 00 00", // rtmsg
  "08 00 0f 00  fe 00 00 00", // RTA_TABLE
  "08 00 06 00  00 04 00 00", // RTA_PRIORITY
  "3c 00 09 00", // RTA_MULTIPATH, 60 bytes
  "1c 00 00 00  03 00 00 00", //   rtnexthop, 28 bytes, interface 3
  "14 00 05 00  fd 00 00 88  00 00 00 00  00 00 00 00  00 00 00 01", //   RTA_GATEWAY
  "1c 00 00 00  05 00 00 00", //   rtnexthop, 28 bytes, interface 5
  "14 00 05 00  fd 00 00 88  00 00 00 00  00 00 00 00  00 00 00 01", //   RTA_GATEWAY
  // RTA_CACHEINFO
  "24 00 0c 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00",
  "05 00 14 00  00 00 00 00", // RTA_PREF
);

function ipv4(...octets: number[]): Uint8Array {
  return Uint8Array.from(octets);
}

function ipv6(second: number, last: number): Uint8Array {
  return Uint8Array.of(0xfd, second, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last);
}

function header(
  destinationLength: number,
  table: number,
  protocol: number,
  scope: number,
  type: number,
  family = 2,
) {
  return {
    family,
    destinationLength,
    sourceLength: 0,
    serviceType: 0,
    table,
    protocol,
    scope,
    type,
    flags: 0,
  };
}

describe("ip route", () => {
  // ip route add 10.9.0.0/16 via 10.1.2.1 dev veth0 table 1000 metric 50 src 10.1.2.3 mtu 1300 advmss 1200
  golden("add with everything", ADD_IPV4, routeMessage, {
    header: header(16, 0, 3, 0, 1),
    attributes: {
      destination: ipv4(10, 9, 0, 0),
      gateway: ipv4(10, 1, 2, 1),
      table: 1000,
      priority: 50,
      preferredSource: ipv4(10, 1, 2, 3),
      outputIndex: 5,
      metrics: { mtu: 1300, advertisedSegment: 1200 },
    },
  });
  goldenRequest(
    "add with everything",
    ADD_IPV4,
    addRoute({
      destination: ipv4(10, 9, 0, 0),
      prefixLength: 16,
      gateway: ipv4(10, 1, 2, 1),
      outputIndex: 5,
      table: 1000,
      priority: 50,
      preferredSource: ipv4(10, 1, 2, 3),
      metrics: { mtu: 1300, advertisedSegment: 1200 },
    }),
  );

  // ip route add default via 10.1.2.1
  golden("add default", ADD_DEFAULT, routeMessage, {
    header: header(0, 254, 3, 0, 1),
    attributes: { gateway: ipv4(10, 1, 2, 1) },
  });
  goldenRequest("add default", ADD_DEFAULT, addRoute({ gateway: ipv4(10, 1, 2, 1) }));

  // ip route replace default via 10.1.2.2
  golden("replace default", REPLACE_DEFAULT, routeMessage, {
    header: header(0, 254, 3, 0, 1),
    attributes: { gateway: ipv4(10, 1, 2, 2) },
  });
  goldenRequest("replace default", REPLACE_DEFAULT, addRoute({ gateway: ipv4(10, 1, 2, 2) }, "replace"));

  // ip route add 10.7.0.0/16 dev veth0 scope link
  golden("add direct", ADD_DIRECT, routeMessage, {
    header: header(16, 254, 3, 253, 1),
    attributes: { destination: ipv4(10, 7, 0, 0), outputIndex: 5 },
  });
  goldenRequest(
    "add direct",
    ADD_DIRECT,
    addRoute({ destination: ipv4(10, 7, 0, 0), prefixLength: 16, outputIndex: 5 }),
  );

  // ip -6 route append fd01::/64 via fd00::1 dev veth0
  golden("append IPv6", APPEND_IPV6, routeMessage, {
    header: header(64, 254, 3, 0, 1, 10),
    attributes: { destination: ipv6(1, 0), gateway: ipv6(0, 1), outputIndex: 5 },
  });
  goldenRequest(
    "append IPv6",
    APPEND_IPV6,
    addRoute({ destination: ipv6(1, 0), prefixLength: 64, gateway: ipv6(0, 1), outputIndex: 5 }, "append"),
  );

  // ip route del 10.7.0.0/16
  golden("delete", DELETE_ROUTE, routeMessage, {
    header: header(16, 254, 0, 255, 0),
    attributes: { destination: ipv4(10, 7, 0, 0) },
  });
  goldenRequest("delete", DELETE_ROUTE, deleteRoute({ destination: ipv4(10, 7, 0, 0), prefixLength: 16 }));

  // ip route show dev veth0 table all: ip asks for all families at once, we for one, so only the codec is compared.
  golden("show dev veth0", DUMP_OF_LINK, routeMessage, {
    header: header(0, 0, 0, 0, 0, 0),
    attributes: { outputIndex: 5 },
  });

  // ip -6 route show table 254
  golden("show table 254", DUMP_OF_TABLE, routeMessage, {
    header: header(0, 0, 0, 0, 0, 10),
    attributes: { table: 254 },
  });
  goldenRequest("show table 254", DUMP_OF_TABLE, dumpRoutes({ family: "ipv6", table: 254 }));

  // what the kernel answers to that where fd00:88::1 is the default gateway on two interfaces
  const gateway = Uint8Array.of(0xfd, 0, 0, 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
  golden("a route that two interfaces share", SHARED_IPV6, routeMessage, {
    header: header(0, 254, 3, 0, 1, 10),
    attributes: {
      table: 254,
      priority: 1024,
      nextHops: [
        { header: { flags: 0, hops: 0, outputIndex: 3 }, attributes: { gateway } },
        { header: { flags: 0, hops: 0, outputIndex: 5 }, attributes: { gateway } },
      ],
      unknown: [
        { type: 12, bytes: new Uint8Array(32) },
        { type: 20, bytes: Uint8Array.of(0) },
      ],
    },
  });
  test.each([
    ["1c 00", "nextHops.0: length 28 with 8 bytes left"],
    ["01 00", "nextHops.0: length 1 with 8 bytes left"],
    ["04 00", "nextHops.0.outputIndex: 0 bytes left, 4 needed"],
  ])("a way of the length %s in 8 bytes is refused", (length, problem) => {
    const body = message(
      "0a 00 00 00  fe 03 00 01  00 00 00 00",
      "0c 00 09 00",
      `${length} 00 00  03 00 00 00`,
    );
    expect(() => new Reader(body).whole("route", routeMessage)).toThrow(problem);
  });
});
