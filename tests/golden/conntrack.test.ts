// Connection tracking messages: connections as Linux 6.18 lists them, and as conntrack 1.4.7 deletes one. The filtered
// dump is none of conntrack's; its attributes are those of linux/netfilter/nfnetlink_conntrack.h.
import { describe, expect, test } from "bun:test";
import { Reader, Writer } from "../../src/netlink/buffer.ts";
import { connectionMessage, deleteConnection, dumpConnections } from "../../src/netlink/conntrack.ts";
import { HEADER_BYTES } from "../../src/netlink/message.ts";
import { golden, goldenRequest, message } from "./message.ts";

const IPV4_TUPLES = [
  "34 00 01 80", // CTA_TUPLE_ORIG, 52 bytes NLA_F_NESTED
  "14 00 01 80", //   CTA_TUPLE_IP, 20 bytes NLA_F_NESTED
  "08 00 01 00  7f 00 00 01", //     CTA_IP_V4_SRC
  "08 00 02 00  7f 00 00 01", //     CTA_IP_V4_DST
  "1c 00 02 80", //   CTA_TUPLE_PROTO, 28 bytes NLA_F_NESTED
  "05 00 01 00  11 00 00 00", //     CTA_PROTO_NUM, UDP
  "06 00 02 00  9c 40 00 00", //     CTA_PROTO_SRC_PORT, 40000
  "06 00 03 00  1f 75 00 00", //     CTA_PROTO_DST_PORT, 8053
  "34 00 02 80", // CTA_TUPLE_REPLY, 52 bytes NLA_F_NESTED
  "14 00 01 80", //   CTA_TUPLE_IP, 20 bytes NLA_F_NESTED
  "08 00 01 00  7f 00 00 01", //     CTA_IP_V4_SRC
  "08 00 02 00  7f 00 00 01", //     CTA_IP_V4_DST
  "1c 00 02 80", //   CTA_TUPLE_PROTO, 28 bytes NLA_F_NESTED
  "05 00 01 00  11 00 00 00", //     CTA_PROTO_NUM, UDP
  "06 00 02 00  1f 75 00 00", //     CTA_PROTO_SRC_PORT, 8053
  "06 00 03 00  9c 40 00 00", //     CTA_PROTO_DST_PORT, 40000
];

const LISTED = message(
  "a4 00 00 00  00 01  02 00  01 00 00 00  00 00 00 00", // length 164, IPCTNL_MSG_CT_NEW, flags 0x2, sequence, port
  "02 00 00 00", // nfgenmsg
  ...IPV4_TUPLES,
  "08 00 03 00  00 00 00 08", // CTA_STATUS, confirmed
  "08 00 08 00  00 00 00 00", // CTA_MARK
  "08 00 0c 00  29 79 15 ca", // CTA_ID
  "08 00 0b 00  00 00 00 01", // CTA_USE
  "08 00 07 00  00 00 00 1d", // CTA_TIMEOUT, 29 s
);

const LOOPBACK_6 = "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 01";
const DELETE_6 = message(
  "c4 00 00 00  02 01  05 00  01 00 00 00  00 00 00 00", // length 196, IPCTNL_MSG_CT_DELETE, flags 0x5
  "0a 00 00 00", // nfgenmsg
  "4c 00 01 80", // CTA_TUPLE_ORIG, 76 bytes NLA_F_NESTED
  "2c 00 01 80", //   CTA_TUPLE_IP, 44 bytes NLA_F_NESTED
  `14 00 03 00  ${LOOPBACK_6}`, //     CTA_IP_V6_SRC
  `14 00 04 00  ${LOOPBACK_6}`, //     CTA_IP_V6_DST
  "1c 00 02 80", //   CTA_TUPLE_PROTO, 28 bytes NLA_F_NESTED
  "05 00 01 00  11 00 00 00", //     CTA_PROTO_NUM, UDP
  "06 00 02 00  9c 41 00 00", //     CTA_PROTO_SRC_PORT, 40001
  "06 00 03 00  1f 75 00 00", //     CTA_PROTO_DST_PORT, 8053
  "4c 00 02 80", // CTA_TUPLE_REPLY, 76 bytes NLA_F_NESTED
  "2c 00 01 80", //   CTA_TUPLE_IP, 44 bytes NLA_F_NESTED
  `14 00 03 00  ${LOOPBACK_6}`, //     CTA_IP_V6_SRC
  `14 00 04 00  ${LOOPBACK_6}`, //     CTA_IP_V6_DST
  "1c 00 02 80", //   CTA_TUPLE_PROTO, 28 bytes NLA_F_NESTED
  "05 00 01 00  11 00 00 00", //     CTA_PROTO_NUM, UDP
  "06 00 02 00  1f 75 00 00", //     CTA_PROTO_SRC_PORT, 8053
  "06 00 03 00  9c 41 00 00", //     CTA_PROTO_DST_PORT, 40001
  "08 00 03 00  00 00 00 08", // CTA_STATUS, confirmed
  "08 00 07 00  00 00 00 1d", // CTA_TIMEOUT, 29 s
  "08 00 08 00  00 00 00 00", // CTA_MARK
);

const FILTERED_DUMP = message(
  "40 00 00 00  01 01  01 03  01 00 00 00  00 00 00 00", // length 64, IPCTNL_MSG_CT_GET, flags 0x301
  "02 00 00 00", // nfgenmsg
  "18 00 01 80", // CTA_TUPLE_ORIG, 24 bytes NLA_F_NESTED
  "14 00 02 80", //   CTA_TUPLE_PROTO, 20 bytes NLA_F_NESTED
  "05 00 01 00  11 00 00 00", //     CTA_PROTO_NUM, UDP
  "06 00 03 00  1f 75 00 00", //     CTA_PROTO_DST_PORT, 8053
  "14 00 19 80", // CTA_FILTER, 20 bytes NLA_F_NESTED
  "08 00 01 00  28 00 00 00", //   CTA_FILTER_ORIG_FLAGS: CTA_PROTO_NUM, CTA_PROTO_DST_PORT
  "08 00 02 00  00 00 00 00", //   CTA_FILTER_REPLY_FLAGS
);

function tuples(source: Uint8Array, sourcePort: number) {
  const one = (from: number, to: number) => ({
    addresses:
      source.length === 4
        ? { ipv4Source: source, ipv4Destination: source }
        : { ipv6Source: source, ipv6Destination: source },
    protocol: { number: 17, sourcePort: from, destinationPort: to },
  });
  return { original: one(sourcePort, 8053), reply: one(8053, sourcePort) };
}

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const IPV6_LOOPBACK = Uint8Array.of(...Array(15).fill(0), 1);

describe("connection tracking", () => {
  golden("a listed connection", LISTED, connectionMessage, {
    header: { family: 2, version: 0, resource: 0 },
    attributes: {
      ...tuples(LOOPBACK, 40_000),
      status: 8,
      mark: 0,
      id: 0x297915ca,
      use: 1,
      timeout: 29,
    },
  });
  golden("a deleted connection", DELETE_6, connectionMessage, {
    header: { family: 10, version: 0, resource: 0 },
    attributes: { ...tuples(IPV6_LOOPBACK, 40_001), status: 8, timeout: 29, mark: 0 },
  });
  goldenRequest(
    "connections to a port",
    FILTERED_DUMP,
    dumpConnections({ family: "ipv4", protocol: 17, destinationPort: 8053 }),
  );

  const read = (destinationPort?: number, protocol = 17, family: "ipv4" | "ipv6" = "ipv4") =>
    dumpConnections({ family, protocol, destinationPort }).decode?.(new Reader(LISTED, HEADER_BYTES), 0x100);

  test("a listed one is read in both directions, and deleted by its first and its number", () => {
    const connection = read(8053);
    if (connection === undefined) throw new Error("not read");
    expect(connection.original).toEqual({
      source: LOOPBACK,
      sourcePort: 40_000,
      destination: LOOPBACK,
      destinationPort: 8053,
    });
    expect(connection.reply.sourcePort).toBe(8053);
    const writer = new Writer();
    deleteConnection(connection).encode(writer);
    const sent = connectionMessage.decode(new Reader(writer.written()));
    expect(sent.attributes).toEqual({ original: tuples(LOOPBACK, 40_000).original, id: 0x297915ca });
  });

  test("a kernel that does not filter is no reason to take another's connection", () => {
    expect(read()).toBeDefined();
    expect([read(8054), read(8053, 6), read(8053, 17, "ipv6")]).toEqual([undefined, undefined, undefined]);
  });
});
