// Messages that come without being asked for: as Linux 6.18 sent them to a listener while iproute2 6.1 and nft 1.0.6
// changed things in a throwaway namespace.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CodecError } from "../../src/netlink/buffer.ts";
import { neighbourMessage } from "../../src/netlink/neighbour.ts";
import { generationMessage } from "../../src/netlink/nftables.ts";
import { type Notification, routeNotifications, rulesNotifications } from "../../src/netlink/notification.ts";
import { golden, message } from "./message.ts";

const NEIGHBOUR = message(
  "4c 00 00 00  1c 00  00 00  00 00 00 00  98 66 00 00", // length 76, RTM_NEWNEIGH
  "02 00 00 00  01 00 00 00", // AF_INET, link 1
  "80 00  00  03", // NUD_PERMANENT, flags, RTN_BROADCAST
  "08 00 01 00  0a 00 00 00", // NDA_DST 10.0.0.0, cut below
  "0a 00 02 00  02 00 00 00 00 01 00 00", // NDA_LLADDR
  "08 00 04 00  00 00 00 00", // NDA_PROBES
  "14 00 03 00  00 00 00 00  00 00 00 00  00 00 00 00  01 00 00 00", // NDA_CACHEINFO
);
NEIGHBOUR.set([10, 9, 9, 9], 32);
/** What Warren reads of it, without what it does not: bytes that a codec passes over can't be written again. */
const READ_NEIGHBOUR = NEIGHBOUR.slice(0, 48);

const ADDRESS = message(
  "4c 00 00 00  14 00  00 00  00 00 00 00  00 00 00 00", // length 76, RTM_NEWADDR
  "02 08 80 fe  01 00 00 00", // AF_INET /8, permanent, scope host, link 1
  "08 00 01 00  7f 00 00 01  08 00 02 00  7f 00 00 01", // IFA_ADDRESS, IFA_LOCAL
  "07 00 03 00  6c 6f 00 00  08 00 08 00  80 00 00 00", // IFA_LABEL, IFA_FLAGS
  "14 00 06 00  ff ff ff ff  ff ff ff ff  d9 79 06 00  d9 79 06 00", // IFA_CACHEINFO
);
const ROUTE = message(
  "3c 00 00 00  18 00  00 06  00 00 00 00  00 00 00 00", // length 60, RTM_NEWROUTE, flags 0x600
  "02 20 00 00  ff 02 fe 02  00 00 00 00", // AF_INET /32, table local, kernel, scope host, RTN_LOCAL
  "08 00 0f 00  ff 00 00 00  08 00 01 00  7f 00 00 01", // RTA_TABLE, RTA_DST
  "08 00 07 00  7f 00 00 01  08 00 04 00  01 00 00 00", // RTA_PREFSRC, RTA_OIF
);
const QDISC = message(
  "34 00 00 00  25 00  00 00  0e 35 0b 6b  7e 67 00 00", // length 52, RTM_DELQDISC
  "00 00 00 00  01 00 00 00  00 00 01 00  ff ff ff ff  02 00 00 00", // link 1, handle 1:, root
  "08 00 01 00  74 62 66 00  05 00 0c 00  00 00 00 00", // TCA_KIND, TCA_HW_OFFLOAD
);
const NAMESPACE = message(
  "1c 00 00 00  58 00  00 00  00 00 00 00  00 00 00 00", // length 28, RTM_NEWNSID
  "00 00 00 00  08 00 01 00  03 00 00 00", // NETNSA_NSID
);
const BRIDGE_PORT = message(
  "20 00 00 00  11 00  00 00  00 00 00 00  00 00 00 00", // length 32, RTM_DELLINK
  "07 00 01 00  05 00 00 00  00 00 00 00  00 00 00 00", // AF_BRIDGE: the port left its bridge
);
const rulesHeader = (length: string, type: string) =>
  `${length} 00 00 00  ${type} 0a  00 0c  01 00 00 00  15 69 00 00`;
const TABLE = message(
  rulesHeader("38", "00"), // length 56, NFT_MSG_NEWTABLE
  "01 00 00 02  06 00 01 00  74 00 00 00", // inet, NFTA_TABLE_NAME
  "08 00 03 00  00 00 00 00  0c 00 04 00  00 00 00 00  00 00 00 01  08 00 02 00  00 00 00 00",
);
const CHAIN = message(
  rulesHeader("30", "05"), // length 48, NFT_MSG_DELCHAIN
  "01 00 00 07  06 00 01 00  74 00 00 00  06 00 03 00  63 00 00 00", // NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME
  "0c 00 02 00  00 00 00 00  00 00 00 01", // NFTA_CHAIN_HANDLE
);
const RULE = message(
  rulesHeader("3c", "06"), // length 60, NFT_MSG_NEWRULE, its expressions left out
  "01 00 00 04  06 00 01 00  74 00 00 00  06 00 02 00  63 00 00 00", // NFTA_RULE_TABLE, NFTA_RULE_CHAIN
  "0c 00 03 00  00 00 00 00  00 00 00 02", // NFTA_RULE_HANDLE
  "0c 00 07 00  00 06 68 65 6c 6c 6f 00", // NFTA_RULE_USERDATA: a comment
);
const SET = message(
  rulesHeader("30", "0b"), // length 48, NFT_MSG_DELSET
  "01 00 00 07  06 00 01 00  74 00 00 00  06 00 02 00  73 00 00 00", // NFTA_SET_TABLE, NFTA_SET_NAME
  "0c 00 10 00  00 00 00 00  00 00 00 03", // NFTA_SET_HANDLE
);
const ELEMENT = message(
  rulesHeader("44", "0c"), // length 68, NFT_MSG_NEWSETELEM
  "01 00 00 06  06 00 01 00  74 00 00 00  06 00 02 00  73 00 00 00", // NFTA_SET_ELEM_LIST_TABLE, _SET
  "20 00 03 00  1c 00 01 00", // NFTA_SET_ELEM_LIST_ELEMENTS, one of them
  "0c 00 01 00  08 00 01 00  0a 00 00 01", // NFTA_SET_ELEM_KEY
  "0a 00 06 00  00 04 6f 6e  65 00 00 00", // NFTA_SET_ELEM_USERDATA: a comment
);
const GENERATION = message(
  rulesHeader("2c", "0f"), // length 44, NFT_MSG_NEWGEN
  "00 00 00 02  08 00 01 00  00 00 00 02", // NFTA_GEN_ID
  "08 00 02 00  00 00 68 0d  08 00 03 00  6e 66 74 00", // NFTA_GEN_PROC_PID, NFTA_GEN_PROC_NAME
);

const rules = { family: "inet", table: "t", name: "", handle: 0n, comments: [], count: 0 };
const CASES: readonly (readonly [what: string, bytes: Uint8Array, told: object | undefined])[] = [
  [
    "a neighbour",
    NEIGHBOUR,
    {
      isRemoval: false,
      object: "neighbour",
      neighbour: {
        index: 1,
        address: Uint8Array.of(10, 9, 9, 9),
        hardwareAddress: "02:00:00:00:00:01",
        master: 0,
        state: "permanent",
      },
    },
  ],
  ["an address", ADDRESS, { object: "address", address: { index: 1, family: "ipv4", prefixLength: 8 } }],
  ["a route", ROUTE, { object: "route", route: { table: 255, paths: [{ outputIndex: 1 }], type: 2 } }],
  [
    "a discipline that goes",
    QDISC,
    {
      isRemoval: true,
      object: "qdisc",
      traffic: { index: 1, handle: 0x10000, parent: 0xffff_ffff, kind: "tbf" },
    },
  ],
  ["a namespace", NAMESPACE, { isRemoval: false, object: "namespace", id: 3 }],
  ["a port that leaves its bridge is no link that is removed", BRIDGE_PORT, undefined],
  ["a table", TABLE, { isRemoval: false, object: "nft", rules: { ...rules, kind: "table" } }],
  ["a chain", CHAIN, { isRemoval: true, object: "nft", rules: { ...rules, kind: "chain", name: "c" } }],
  [
    "a rule",
    RULE,
    { object: "nft", rules: { ...rules, kind: "rule", name: "c", handle: 2n, comments: ["hello"] } },
  ],
  ["a set", SET, { isRemoval: true, object: "nft", rules: { ...rules, kind: "set", name: "s" } }],
  [
    "an element",
    ELEMENT,
    { object: "nft", rules: { ...rules, kind: "elements", name: "s", count: 1, comments: ["one"] } },
  ],
  ["the end of a transaction", GENERATION, { object: "transaction", processId: 0x680d, processName: "nft" }],
];

function told(bytes: Uint8Array): Notification[] {
  return (bytes[5] === 10 ? rulesNotifications : routeNotifications)(bytes);
}

describe("notifications", () => {
  golden("a neighbour", READ_NEIGHBOUR, neighbourMessage, {
    header: { family: 2, index: 1, state: 0x80, flags: 0, type: 3 },
    attributes: {
      destination: Uint8Array.of(10, 9, 9, 9),
      hardwareAddress: Uint8Array.of(2, 0, 0, 0, 0, 1),
    },
  });
  golden("the end of a transaction", GENERATION, generationMessage, {
    header: { family: 0, version: 0, resource: 2 },
    attributes: { id: 2, processId: 0x680d, processName: "nft" },
  });

  test.each(CASES)("%s", (_what, bytes, expected) => {
    const [first, ...more] = told(bytes);
    if (expected === undefined) expect(first).toBeUndefined();
    else expect(first).toMatchObject(expected);
    expect(more).toEqual([]);
  });

  test("whatever byte of a message is damaged, it is read, told as unreadable, or refused as a whole", () => {
    const recorded = CASES.map(([, bytes]) => bytes);
    const damaged = fc
      .constantFrom(...recorded)
      .chain((bytes) =>
        fc.tuple(
          fc.constant(bytes),
          fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        ),
      );
    fc.assert(
      fc.property(damaged, ([bytes, changes]) => {
        const copy = bytes.slice();
        for (const [at, value] of changes) copy[at] = value;
        for (const read of [routeNotifications, rulesNotifications]) {
          try {
            read(copy);
          } catch (error) {
            expect(error).toBeInstanceOf(CodecError);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("several in a datagram are told one by one, and one that nobody can read hides no other", () => {
    const broken = ROUTE.slice();
    // an attribute that is longer than its message
    broken[28] = 0xff;
    const all = new Uint8Array([...ADDRESS, ...broken, ...QDISC]);
    expect(told(all).map(({ object }) => object)).toEqual(["address", "unreadable", "qdisc"]);
    expect(() => told(ADDRESS.subarray(0, 20))).toThrow(CodecError);
  });
});
