// Traffic control messages as tc sends them, and the question for a namespace's number as `ip netns` asks it.
import { describe, expect, test } from "bun:test";
import { Reader, Writer } from "../../src/netlink/buffer.ts";
import { HEADER_BYTES, writeMessage } from "../../src/netlink/message.ts";
import { getNamespaceId, namespaceIdMessage } from "../../src/netlink/namespace-id.ts";
import {
  createDiscipline,
  deleteDiscipline,
  disciplineMessage,
  getDiscipline,
  Handle,
  Parent,
  tokenBucket,
} from "../../src/netlink/traffic-control.ts";
import {
  createMirror,
  createRedirect,
  deleteFilter,
  dumpFilters,
  filterMessage,
} from "../../src/netlink/traffic-filter.ts";
import { golden, goldenRequest, message } from "./message.ts";

/** TCA_TBF_RTAB, 256 numbers of which each says how long so many cells take; kernels since 3.8 do without. */
const RATE_TABLE = new Uint8Array(1024);

const CREATE_FAST_BUCKET = message(
  "70 04 00 00  24 00  05 06  94 80 00 6b  00 00 00 00", // length 1136, RTM_NEWQDISC, flags 0x605, sequence, port
  "00 00 00 00  03 00 00 00  00 00 01 00  ff ff ff ff  00 00 00 00", // tcmsg: link 3, handle 1:, root
  "08 00 01 00  74 62 66 00", // TCA_KIND "tbf"
  "44 04 02 00", // TCA_OPTIONS, 1092 bytes
  "28 00 01 00", //   TCA_TBF_PARMS
  "03 01 00 00  ff ff 00 00  ff ff ff ff", //     rate: cells of 8, ethernet, alignment -1, more than 32 bits
  "00 00 00 00  00 00 00 00  00 00 00 00", //     peak rate
  "20 5f 40 13  fc 94 00 00  00 00 00 00", //     limit 322985760, buffer 38140 ticks, mtu
  "08 00 06 00  00 00 a0 00", //   TCA_TBF_BURST
  "0c 00 04 00  00 dd 0e e9  02 00 00 00", //   TCA_TBF_RATE64
  "04 04 02 00", //   TCA_TBF_RTAB
  Buffer.from(RATE_TABLE).toString("hex"),
);

const CREATE_INGRESS = message(
  "30 00 00 00  24 00  05 06  94 80 00 6b  00 00 00 00", // length 48, RTM_NEWQDISC, flags 0x605, sequence, port
  "00 00 00 00  04 00 00 00  00 00 ff ff  f1 ff ff ff  00 00 00 00", // tcmsg: link 4, handle ffff:, ingress
  "0c 00 01 00  69 6e 67 72  65 73 73 00", // TCA_KIND "ingress"
);

const DELETE_ROOT = message(
  "24 00 00 00  25 00  05 00  95 80 00 6b  00 00 00 00", // length 36, RTM_DELQDISC, flags 0x5, sequence, port
  "00 00 00 00  04 00 00 00  00 00 00 00  ff ff ff ff  00 00 00 00", // tcmsg: link 4, root
);

const CREATE_REDIRECT = message(
  "8c 00 00 00  2c 00  05 06  94 80 00 6b  00 00 00 00", // length 140, RTM_NEWTFILTER, flags 0x605, sequence, port
  "00 00 00 00  04 00 00 00  00 00 00 00  f2 ff ff ff  00 03 01 00", // tcmsg: link 4, ffff:fff2, priority 1, all
  "08 00 01 00  75 33 32 00", // TCA_KIND "u32"
  "60 00 02 00", // TCA_OPTIONS, 96 bytes
  "38 00 07 00", //   TCA_U32_ACT
  "34 00 01 00", //     the first action
  "0b 00 01 00  6d 69 72 72  65 64 00 00", //       TCA_ACT_KIND "mirred"
  "24 00 02 80", //       TCA_ACT_OPTIONS, nested
  "20 00 02 00", //         TCA_MIRRED_PARMS
  "00 00 00 00  00 00 00 00  04 00 00 00  00 00 00 00  00 00 00 00", //           tc_gen: stolen
  "01 00 00 00  02 00 00 00", //           redirect to link 2
  "24 00 05 00", //   TCA_U32_SEL
  "01 00 01 00  00 00 00 00  00 00 00 00  00 00 00 00", //     terminal, one key
  "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", //     which everything matches
);

const CREATE_CLSACT = message(
  "30 00 00 00  24 00  05 06  66 f7 0a 6b  00 00 00 00", // length 48, RTM_NEWQDISC, flags 0x605, sequence, port
  "00 00 00 00  04 00 00 00  00 00 ff ff  f1 ff ff ff  00 00 00 00", // tcmsg: link 4, handle ffff:, clsact
  "0b 00 01 00  63 6c 73 61  63 74 00 00", // TCA_KIND "clsact"
);

/** A message of `tc filter add egress u32 match u32 0 0 action mirred egress mirror`, but for what follows a match. */
function createMirrorMessage(priority: string, verdict: string): Uint8Array {
  return message(
    "8c 00 00 00  2c 00  05 06  66 f7 0a 6b  00 00 00 00", // length 140, RTM_NEWTFILTER, flags 0x605, sequence, port
    `00 00 00 00  04 00 00 00  00 00 00 00  f3 ff ff ff  00 03 ${priority}`, // tcmsg: link 4, ffff:fff3, all
    "08 00 01 00  75 33 32 00", // TCA_KIND "u32"
    "60 00 02 00", // TCA_OPTIONS, 96 bytes
    "38 00 07 00", //   TCA_U32_ACT
    "34 00 01 00", //     the first action
    "0b 00 01 00  6d 69 72 72  65 64 00 00", //       TCA_ACT_KIND "mirred"
    "24 00 02 80", //       TCA_ACT_OPTIONS, nested
    "20 00 02 00", //         TCA_MIRRED_PARMS
    `00 00 00 00  00 00 00 00  ${verdict}  00 00 00 00  00 00 00 00`, //           tc_gen
    "02 00 00 00  02 00 00 00", //           mirror to link 2
    "24 00 05 00", //   TCA_U32_SEL
    "01 00 01 00  00 00 00 00  00 00 00 00  00 00 00 00", //     terminal, one key
    "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", //     which everything matches
  );
}

const PIPE = "03 00 00 00"; // TC_ACT_PIPE, what tc says if nothing else is asked for
const CONTINUE = "ff ff ff ff"; // TC_ACT_UNSPEC, `continue`

const DELETE_MIRROR = message(
  "2c 00 00 00  2d 00  05 00  66 f7 0a 6b  00 00 00 00", // length 44, RTM_DELTFILTER, flags 0x5, sequence, port
  "00 00 00 00  04 00 00 00  00 00 00 00  f3 ff ff ff  00 03 02 00", // tcmsg: link 4, ffff:fff3, priority 2, all
  "08 00 01 00  75 33 32 00", // TCA_KIND "u32"
);

const DELETE_REDIRECT = message(
  "2c 00 00 00  2d 00  05 00  95 80 00 6b  00 00 00 00", // length 44, RTM_DELTFILTER, flags 0x5, sequence, port
  "00 00 00 00  04 00 00 00  00 00 00 00  f2 ff ff ff  00 03 01 00", // tcmsg: link 4, ffff:fff2, priority 1, all
  "08 00 01 00  75 33 32 00", // TCA_KIND "u32"
);

const LIST_FILTERS = message(
  "24 00 00 00  2e 00  01 03  94 80 00 6b  00 00 00 00", // length 36, RTM_GETTFILTER, flags 0x301, sequence, port
  "00 00 00 00  04 00 00 00  00 00 00 00  f2 ff ff ff  00 00 00 00", // tcmsg: link 4, ffff:fff2
);

const GET_NAMESPACE_ID = message(
  "1c 00 00 00  5a 00  01 00  e6 80 00 6b  00 00 00 00", // length 28, RTM_GETNSID, flags 0x1, sequence, port
  "00 00 00 00", // rtgenmsg
  "08 00 03 00  06 00 00 00", // NETNSA_FD
);

const CLSACT = { kind: "other", name: "clsact" } as const;
const NO_ACTION = { index: 0, capabilities: 0, references: 0, bindings: 0 };
const ONE_KEY = {
  flags: 1,
  offsetShift: 0,
  keyCount: 1,
  offsetMask: 0,
  offset: 0,
  variableOffset: 0,
  hashOffset: 0,
  hashMask: 0,
};
const NOTHING = { cellLog: 0, linkLayer: 0, overhead: 0, cellAlign: 0, smallestPacket: 0, rate: 0 };

describe("queueing disciplines", () => {
  golden(
    "tc qdisc add root tbf rate 100gbit burst 80mbit latency 25ms",
    CREATE_FAST_BUCKET,
    disciplineMessage,
    {
      header: { family: 0, index: 3, handle: Handle.first, parent: Parent.root, info: 0 },
      attributes: {
        kind: "tbf",
        data: {
          parameters: {
            rate: { ...NOTHING, cellLog: 3, linkLayer: 1, cellAlign: 0xffff, rate: 0xffff_ffff },
            peak: NOTHING,
            limit: 0x1340_5f20,
            buffer: 0x94fc,
            mtu: 0,
          },
          burst: 0xa0_0000,
          rate64: 12_500_000_000n,
          rateTable: RATE_TABLE,
        },
      },
    },
  );
  goldenRequest(
    "tc qdisc add ingress",
    CREATE_INGRESS,
    createDiscipline(4, Parent.ingress, Handle.ingress, { kind: "other", name: "ingress" }),
  );
  goldenRequest("tc qdisc del root", DELETE_ROOT, deleteDiscipline(4, Parent.root));

  test("ours says as much as tc does, but for the table of rates", () => {
    const bucket = { rate: 12_500_000_000n, burst: 0xa0_0000, limit: 0x1340_5f20, burstTicks: 0x94fc };
    const writer = new Writer();
    writeMessage(writer, createDiscipline(3, Parent.root, Handle.first, tokenBucket(bucket)), 0x5, 0);
    const ours = disciplineMessage.decode(new Reader(writer.written(), HEADER_BYTES));
    expect(ours.attributes).toEqual({
      kind: "tbf",
      data: {
        parameters: {
          rate: { ...NOTHING, linkLayer: 1, rate: 0xffff_ffff },
          peak: NOTHING,
          limit: bucket.limit,
          buffer: bucket.burstTicks,
          mtu: 0,
        },
        rate64: bucket.rate,
        burst: bucket.burst,
      },
    });
    const read = getDiscipline(3, Parent.root).decode?.(new Reader(CREATE_FAST_BUCKET, HEADER_BYTES), 36);
    expect(read).toEqual({
      index: 3,
      parent: Parent.root,
      handle: Handle.first,
      kind: "tbf",
      bucket: { rate: bucket.rate, limit: bucket.limit, burstTicks: bucket.burstTicks },
      netem: undefined,
    });
  });
});

describe("filters", () => {
  golden("tc filter add u32 mirred redirect", CREATE_REDIRECT, filterMessage, {
    header: { family: 0, index: 4, handle: 0, parent: Parent.ingressFilters, info: 0x1_0300 },
    attributes: {
      kind: "u32",
      data: {
        actions: [
          {
            kind: "mirred",
            data: {
              parameters: {
                index: 0,
                capabilities: 0,
                verdict: 4,
                references: 0,
                bindings: 0,
                direction: 1,
                device: 2,
              },
            },
          },
        ],
        selector: {
          header: {
            flags: 1,
            offsetShift: 0,
            keyCount: 1,
            offsetMask: 0,
            offset: 0,
            variableOffset: 0,
            hashOffset: 0,
            hashMask: 0,
          },
          attributes: [{ mask: 0, value: 0, offset: 0, offsetMask: 0 }],
        },
      },
    },
  });
  goldenRequest("tc filter add u32 mirred redirect", CREATE_REDIRECT, createRedirect(4, 1, 2));
  goldenRequest("tc filter del prio 1 u32", DELETE_REDIRECT, deleteFilter(4, Parent.ingressFilters, 1));
  goldenRequest("tc filter show ingress", LIST_FILTERS, dumpFilters(4, Parent.ingressFilters));

  golden("tc filter add egress u32 mirred mirror", createMirrorMessage("01 00", PIPE), filterMessage, {
    header: { family: 0, index: 4, handle: 0, parent: Parent.egressFilters, info: 0x1_0300 },
    attributes: {
      kind: "u32",
      data: {
        actions: [
          { kind: "mirred", data: { parameters: { ...NO_ACTION, verdict: 3, direction: 2, device: 2 } } },
        ],
        selector: { header: ONE_KEY, attributes: [{ mask: 0, value: 0, offset: 0, offsetMask: 0 }] },
      },
    },
  });
  goldenRequest(
    "tc qdisc add clsact",
    CREATE_CLSACT,
    createDiscipline(4, Parent.ingress, Handle.ingress, CLSACT),
  );
  goldenRequest(
    "tc filter add egress u32 mirred mirror continue",
    createMirrorMessage("02 00", CONTINUE),
    createMirror(4, Parent.egressFilters, 2, 2),
  );
  goldenRequest("tc filter del egress", DELETE_MIRROR, deleteFilter(4, Parent.egressFilters, 2));

  test("a mirror is told by where the copies go, whatever the verdict", () => {
    const read = (bytes: Uint8Array) =>
      dumpFilters(4, Parent.egressFilters).decode?.(new Reader(bytes, HEADER_BYTES), 44);
    for (const verdict of [PIPE, CONTINUE]) {
      const seen = { priority: 2, kind: "u32", redirectsTo: undefined, mirrorsTo: 2, sorts: undefined };
      expect(read(createMirrorMessage("02 00", verdict))).toEqual(seen);
    }
  });

  test("a redirection is told from filters that do anything else", () => {
    const read = (bytes: Uint8Array) =>
      dumpFilters(4, Parent.ingressFilters).decode?.(new Reader(bytes, HEADER_BYTES), 44);
    expect(read(CREATE_REDIRECT)).toEqual({
      priority: 1,
      kind: "u32",
      redirectsTo: 2,
      mirrorsTo: undefined,
      sorts: undefined,
    });
    const changed = (offset: number, value: number) => {
      const copy = CREATE_REDIRECT.slice();
      copy[offset] = value;
      return read(copy)?.redirectsTo;
    };
    const verdict = 16 + 20 + 8 + 4 + 4 + 4 + 12 + 4 + 4 + 8;
    expect(changed(verdict, 4)).toBe(2);
    expect(changed(verdict, 3)).toBeUndefined();
    expect(changed(verdict + 12, 2)).toBeUndefined(); // mirrors
    expect(changed(CREATE_REDIRECT.length - 16, 0xff)).toBeUndefined(); // a mask that asks for something
    expect(changed(33, 8)).toBeUndefined(); // another protocol than all
  });
});

describe("namespace numbers", () => {
  golden("ip netns list", GET_NAMESPACE_ID, namespaceIdMessage, {
    header: { family: 0 },
    attributes: { descriptor: 6 },
  });
  goldenRequest("ip netns list", GET_NAMESPACE_ID, getNamespaceId(6));
});
