// Routes as Linux 6.18 told them, recorded in a throwaway namespace, and the messages that send them again with one
// metric changed: what `ip route replace ... quickack 1` sends, in the order in which the kernel told it.
import { describe, expect, test } from "bun:test";
import { Reader } from "../../src/netlink/buffer.ts";
import { HEADER_BYTES, type Request } from "../../src/netlink/message.ts";
import {
  deleteCopied,
  dumpRouteCopies,
  identityOf,
  inTable,
  isQuick,
  placeOf,
  type RouteCopy,
  routeCopyOf,
  routeCopyText,
  sendRoute,
  withQuick,
} from "../../src/netlink/route-copy.ts";
import { goldenRequest, message } from "./message.ts";

// 10.1.0.0/16 via 192.0.2.1 onlink metric 50 src 10.88.0.2 mtu lock 1400 congctl reno
const MANY_METRICS = [
  "08 00 0f 00  fe 00 00 00", // RTA_TABLE
  "08 00 01 00  0a 01 00 00", // RTA_DST
  "08 00 06 00  32 00 00 00", // RTA_PRIORITY
];
const LOCKED = [
  "08 00 01 00  04 00 00 00", //   RTAX_LOCK: the MTU
  "08 00 02 00  78 05 00 00", //   RTAX_MTU
];
const RENO = "09 00 10 00  72 65 6e 6f 00 00 00 00"; //   RTAX_CC_ALGO, padded
const QUICK = "08 00 0f 00  01 00 00 00"; //   RTAX_QUICKACK
const WAY = [
  "08 00 07 00  0a 58 00 02", // RTA_PREFSRC
  "08 00 05 00  c0 00 02 01", // RTA_GATEWAY
  "08 00 04 00  03 00 00 00", // RTA_OIF
];

const TOLD = message(
  "7c 00 00 00  18 00  22 00  00 00 00 00  00 00 00 00", // RTM_NEWROUTE out of a dump
  "02 10 00 00  fe 03 00 01  14 00 00 00", // rtmsg: onlink, and the state that the link is down
  ...MANY_METRICS,
  "20 00 08 00", // RTA_METRICS, 32 bytes
  ...LOCKED,
  RENO,
  ...WAY,
);
const SENT = message(
  "74 00 00 00  18 00  05 05  af 9a 00 6b  00 00 00 00", // length 116, flags 0x505: replace, create
  "02 10 00 00  fe 03 00 01  04 00 00 00", // rtmsg: onlink
  ...MANY_METRICS,
  "28 00 08 00", // RTA_METRICS, 40 bytes
  ...LOCKED,
  RENO,
  QUICK,
  ...WAY,
);

// default via fd00:88::9 metric 512 proto ra pref high, for 1000 seconds more
const ADVERTISED = [
  "08 00 06 00  00 02 00 00", // RTA_PRIORITY
  "14 00 05 00  fd 00 00 88  00 00 00 00  00 00 00 00  00 00 00 09", // RTA_GATEWAY
  "08 00 04 00  03 00 00 00", // RTA_OIF
];
const PREFERENCE = "05 00 14 00  01 00 00 00"; // RTA_PREF, padded
const TOLD_ADVERTISED = message(
  "84 00 00 00  18 00  22 00  00 00 00 00  00 00 00 00",
  "0a 00 00 00  fe 09 00 01  00 00 00 00", // rtmsg
  "08 00 0f 00  fe 00 00 00", // RTA_TABLE
  ...ADVERTISED,
  // RTA_CACHEINFO, 36 bytes, with the hundredths of a second that are left
  "24 00 0c 00  00 00 00 00  00 00 00 00  91 86 01 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00",
  PREFERENCE,
);
const SENT_ADVERTISED = message(
  "64 00 00 00  18 00  05 05  af 9a 00 6b  00 00 00 00",
  "0a 00 00 00  fe 09 00 01  00 00 00 00", // rtmsg
  "08 00 0f 00  fe 00 00 00", // RTA_TABLE
  ...ADVERTISED,
  "08 00 17 00  e8 03 00 00", // RTA_EXPIRES: seconds
  PREFERENCE,
  "0c 00 08 00", // RTA_METRICS, 12 bytes
  QUICK,
);

// 10.3.0.0/16 by two ways, over a link that is down
const TOLD_MULTIPATH = message(
  "50 00 00 00  18 00  22 00  00 00 00 00  00 00 00 00",
  "02 10 00 00  fe 03 00 01  10 00 00 00",
  "08 00 0f 00  fe 00 00 00", // RTA_TABLE
  "08 00 01 00  0a 03 00 00", // RTA_DST
  "24 00 09 00", // RTA_MULTIPATH, 36 bytes
  "10 00 10 02  03 00 00 00  08 00 05 00  0a 58 00 01", //   down, weight 3
  "10 00 14 00  03 00 00 00  08 00 05 00  0a 58 00 09", //   onlink, down, weight 1
);
const SENT_MULTIPATH = message(
  "5c 00 00 00  18 00  05 0c  af 9a 00 6b  00 00 00 00", // flags 0xc05: append, create
  "02 10 00 00  fe 03 00 01  00 00 00 00",
  "08 00 0f 00  fe 00 00 00", // RTA_TABLE
  "08 00 01 00  0a 03 00 00", // RTA_DST
  "24 00 09 00", // RTA_MULTIPATH, 36 bytes
  "10 00 00 02  03 00 00 00  08 00 05 00  0a 58 00 01",
  "10 00 04 00  03 00 00 00  08 00 05 00  0a 58 00 09",
  "0c 00 08 00", // RTA_METRICS, 12 bytes
  QUICK,
);

// 10.10.0.0/16 nhid 11 quickack 1
const TOLD_BY_OBJECT = message(
  "50 00 00 00  18 00  22 00  00 00 00 00  00 00 00 00",
  "02 10 00 00  fe 03 00 01  00 00 00 00",
  "08 00 0f 00  fe 00 00 00", // RTA_TABLE
  "08 00 01 00  0a 0a 00 00", // RTA_DST
  "0c 00 08 00", // RTA_METRICS, 12 bytes
  QUICK,
  "08 00 1e 00  0b 00 00 00", // RTA_NH_ID
  "08 00 05 00  0a 58 00 01", // RTA_GATEWAY, which the object says
  "08 00 04 00  03 00 00 00", // RTA_OIF, which the object says
);
const SENT_BY_OBJECT = message(
  "38 00 00 00  18 00  05 05  af 9a 00 6b  00 00 00 00",
  "02 10 00 00  fe 03 00 01  00 00 00 00",
  "08 00 0f 00  fe 00 00 00", // RTA_TABLE
  "08 00 01 00  0a 0a 00 00", // RTA_DST
  "04 00 08 00", // RTA_METRICS, empty: without it the old ones come back
  "08 00 1e 00  0b 00 00 00", // RTA_NH_ID
);

// the same as it was, in table 4096
const SENT_TO_TABLE = message(
  "6c 00 00 00  18 00  05 05  af 9a 00 6b  00 00 00 00", // length 108, flags 0x505: replace, create
  "02 10 00 00  00 03 00 01  04 00 00 00", // rtmsg: no table that fits, onlink
  "08 00 0f 00  00 10 00 00", // RTA_TABLE
  ...MANY_METRICS.slice(1),
  "20 00 08 00", // RTA_METRICS, 32 bytes
  ...LOCKED,
  RENO,
  ...WAY,
);

function copyOf(recorded: Uint8Array): RouteCopy {
  const family = recorded[HEADER_BYTES] === 2 ? "ipv4" : "ipv6";
  const copy = dumpRouteCopies(family).decode?.(new Reader(recorded, HEADER_BYTES), 24);
  if (copy === undefined) throw new Error("no route in the message");
  return copy;
}

describe("a route is sent again", () => {
  const requests: readonly (readonly [string, Uint8Array, Request])[] = [
    ["in another table", SENT_TO_TABLE, sendRoute(inTable(copyOf(TOLD), 4096), "replace")],
    [
      "after it was written down",
      SENT_TO_TABLE,
      sendRoute(inTable(routeCopyOf(routeCopyText(copyOf(TOLD))), 4096), "replace"),
    ],
    ["with all its metrics", SENT, sendRoute(withQuick(copyOf(TOLD), true), "replace")],
    [
      "with its preference and lifetime",
      SENT_ADVERTISED,
      sendRoute(withQuick(copyOf(TOLD_ADVERTISED), true), "replace"),
    ],
    ["with all its ways", SENT_MULTIPATH, sendRoute(withQuick(copyOf(TOLD_MULTIPATH), true), "append")],
    [
      "by its next hop object",
      SENT_BY_OBJECT,
      sendRoute(withQuick(copyOf(TOLD_BY_OBJECT), false), "replace"),
    ],
  ];
  for (const [name, sent, request] of requests) goldenRequest(name, sent, request);
});

describe("copies", () => {
  const all = [TOLD, TOLD_ADVERTISED, TOLD_MULTIPATH, TOLD_BY_OBJECT].map(copyOf);

  test("changed and changed back are as they were, and known again in between", () => {
    for (const copy of all) {
      const quick = withQuick(copy, true);
      expect([isQuick(copy), identityOf(quick), placeOf(quick)]).toEqual([
        copy === all[3],
        identityOf(copy),
        placeOf(copy),
      ]);
      if (copy === all[3]) continue;
      expect(withQuick(quick, false).attributes).toEqual(copy.attributes);
    }
    expect(new Set(all.map(identityOf)).size).toBe(all.length);
    expect(new Set(all.map(placeOf)).size).toBe(all.length);
  });

  test("are deleted by all that they have", () => {
    for (const copy of all) expect(deleteCopied(copy)).toMatchObject({ type: 25, flags: 0 });
  });
});
