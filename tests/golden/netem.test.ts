// What `tc qdisc replace dev ... root netem ...` sends for every option that a rule of words can say, and the tables of the
// distributions, which are worked out here and lie in files there.
import { describe, expect, test } from "bun:test";
import { distributionTable } from "../../src/net/impairment/delay-distribution.ts";
import { parseImpairment, settingsOf, wordsOf } from "../../src/net/impairment/impairment.ts";
import { Reader, Writer } from "../../src/netlink/buffer.ts";
import { HEADER_BYTES, MessageFlag, writeMessage } from "../../src/netlink/message.ts";
import { netemData, netemOptions, netemSettings } from "../../src/netlink/netem.ts";
import { classSorter, createClassifier } from "../../src/netlink/traffic-class.ts";
import {
  createDiscipline,
  getDiscipline,
  networkEmulator,
  Parent,
} from "../../src/netlink/traffic-control.ts";
import { goldenRequest, message } from "./message.ts";

/** Arguments of tc, ours, and what is in TCA_OPTIONS: struct tc_netem_qopt, and an attribute a row. */
const ROWS: readonly (readonly [tc: string, ours: string, ...recorded: string[]])[] = [
  [
    "delay 50ms",
    "delay=50ms",
    "c2 eb 0b 00  e8 03 00 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // latency, limit, loss, gap, duplicate, jitter
  ],
  [
    "delay 7us",
    "delay=7us",
    "6d 00 00 00  e8 03 00 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // latency, limit, loss, gap, duplicate, jitter
  ],
  [
    "delay 50ms 10ms",
    "delay=50ms jitter=10ms",
    "c2 eb 0b 00  e8 03 00 00  00 00 00 00  00 00 00 00  00 00 00 00  5a 62 02 00", // latency, limit, loss, gap, duplicate, jitter
  ],
  [
    "delay 50ms 10ms 25%",
    "delay=50ms jitter=10ms delay-correlation=25%",
    "c2 eb 0b 00  e8 03 00 00  00 00 00 00  00 00 00 00  00 00 00 00  5a 62 02 00", // latency, limit, loss, gap, duplicate, jitter
    "10 00 01 00  00 00 00 40  00 00 00 00  00 00 00 00", // TCA_NETEM_CORR: delay, loss, duplicate
  ],
  [
    "loss 1%",
    "loss=1%",
    "00 00 00 00  e8 03 00 00  29 5c 8f 02  00 00 00 00  00 00 00 00  00 00 00 00", // latency, limit, loss, gap, duplicate, jitter
  ],
  [
    "loss random 1% 25%",
    "loss=1% loss-correlation=25%",
    "00 00 00 00  e8 03 00 00  29 5c 8f 02  00 00 00 00  00 00 00 00  00 00 00 00", // latency, limit, loss, gap, duplicate, jitter
    "10 00 01 00  00 00 00 00  00 00 00 40  00 00 00 00", // TCA_NETEM_CORR: delay, loss, duplicate
  ],
  [
    "loss gemodel 1% 10% 70% 0.1%",
    "loss-bursts=1%,10%,70%,0.1%",
    "00 00 00 00  e8 03 00 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // latency, limit, loss, gap, duplicate, jitter
    "18 00 05 80  14 00 02 00  29 5c 8f 02  9a 99 99 19  cd cc cc 4c  37 89 41 00", // TCA_NETEM_LOSS, nested
  ],
  [
    "loss state 1% 10% 20% 30% 5%",
    "loss-states=1%,10%,20%,30%,5%",
    "00 00 00 00  e8 03 00 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // latency, limit, loss, gap, duplicate, jitter
    "1c 00 05 80  18 00 01 00  29 5c 8f 02  9a 99 99 19  33 33 33 33  cd cc cc 0c  cc cc cc 4c", // TCA_NETEM_LOSS, nested
  ],
  [
    "duplicate 1%",
    "duplicate=1%",
    "00 00 00 00  e8 03 00 00  00 00 00 00  00 00 00 00  29 5c 8f 02  00 00 00 00", // latency, limit, loss, gap, duplicate, jitter
  ],
  // tc 6.1 forgets the correlation of duplicates unless there is another one
  [
    "loss random 1% 25% duplicate 1% 25%",
    "loss=1% loss-correlation=25% duplicate=1% duplicate-correlation=25%",
    "00 00 00 00  e8 03 00 00  29 5c 8f 02  00 00 00 00  29 5c 8f 02  00 00 00 00", // latency, limit, loss, gap, duplicate, jitter
    "10 00 01 00  00 00 00 00  00 00 00 40  00 00 00 40", // TCA_NETEM_CORR: delay, loss, duplicate
  ],
  [
    "corrupt 0.1% 10%",
    "corrupt=0.1% corrupt-correlation=10%",
    "00 00 00 00  e8 03 00 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // latency, limit, loss, gap, duplicate, jitter
    "10 00 01 00  00 00 00 00  00 00 00 00  00 00 00 00", // TCA_NETEM_CORR: delay, loss, duplicate
    "0c 00 04 00  37 89 41 00  9a 99 99 19", // TCA_NETEM_CORRUPT
  ],
  [
    "delay 10ms reorder 25% 50%",
    "delay=10ms reorder=25% reorder-correlation=50%",
    "5a 62 02 00  e8 03 00 00  00 00 00 00  01 00 00 00  00 00 00 00  00 00 00 00", // latency, limit, loss, gap, duplicate, jitter
    "10 00 01 00  00 00 00 00  00 00 00 00  00 00 00 00", // TCA_NETEM_CORR: delay, loss, duplicate
    "0c 00 03 00  00 00 00 40  00 00 00 80", // TCA_NETEM_REORDER
  ],
  [
    "delay 10ms reorder 25% 50% gap 5",
    "delay=10ms reorder=25% reorder-correlation=50% gap=5",
    "5a 62 02 00  e8 03 00 00  00 00 00 00  05 00 00 00  00 00 00 00  00 00 00 00", // latency, limit, loss, gap, duplicate, jitter
    "10 00 01 00  00 00 00 00  00 00 00 00  00 00 00 00", // TCA_NETEM_CORR: delay, loss, duplicate
    "0c 00 03 00  00 00 00 40  00 00 00 80", // TCA_NETEM_REORDER
  ],
  [
    "rate 10mbit",
    "rate=10mbit",
    "00 00 00 00  e8 03 00 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // latency, limit, loss, gap, duplicate, jitter
    "14 00 06 00  d0 12 13 00  00 00 00 00  00 00 00 00  00 00 00 00", // TCA_NETEM_RATE, struct tc_netem_rate
  ],
  [
    "rate 100gbit",
    "rate=100gbit",
    "00 00 00 00  e8 03 00 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // latency, limit, loss, gap, duplicate, jitter
    "0c 00 08 00  00 dd 0e e9  02 00 00 00", // TCA_NETEM_RATE64
    "14 00 06 00  ff ff ff ff  00 00 00 00  00 00 00 00  00 00 00 00", // TCA_NETEM_RATE, struct tc_netem_rate
  ],
  [
    "delay 100ms rate 1gbit limit 16667",
    "delay=100ms rate=1gbit",
    "84 d7 17 00  1b 41 00 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // latency, limit, loss, gap, duplicate, jitter
    "14 00 06 00  40 59 73 07  00 00 00 00  00 00 00 00  00 00 00 00", // TCA_NETEM_RATE, struct tc_netem_rate
  ],
  [
    "delay 50ms 10ms 25% loss 1% 25% duplicate 2% corrupt 3% reorder 4% gap 2 rate 1mbit limit 77",
    "delay=50ms jitter=10ms delay-correlation=25% loss=1% loss-correlation=25% duplicate=2% corrupt=3% reorder=4% gap=2 rate=1mbit limit=77",
    "c2 eb 0b 00  4d 00 00 00  29 5c 8f 02  02 00 00 00  52 b8 1e 05  5a 62 02 00", // latency, limit, loss, gap, duplicate, jitter
    "10 00 01 00  00 00 00 40  00 00 00 40  00 00 00 00", // TCA_NETEM_CORR: delay, loss, duplicate
    "0c 00 03 00  a4 70 3d 0a  00 00 00 00", // TCA_NETEM_REORDER
    "0c 00 04 00  7b 14 ae 07  00 00 00 00", // TCA_NETEM_CORRUPT
    "14 00 06 00  48 e8 01 00  00 00 00 00  00 00 00 00  00 00 00 00", // TCA_NETEM_RATE, struct tc_netem_rate
  ],
];

/** The whole message of `tc qdisc replace dev d0 root netem delay 50ms`. */
const FIFTY_MILLISECONDS = message(
  "4c 00 00 00  24 00  05 05  7f 1e 0b 6b  00 00 00 00", // length 76, RTM_NEWQDISC, flags 0x505, sequence, port
  "00 00 00 00  03 00 00 00  00 00 00 00  ff ff ff ff  00 00 00 00", // tcmsg: link 3, root
  "0a 00 01 00  6e 65 74 65  6d 00 00 00", // TCA_KIND "netem"
  "1c 00 02 00", // TCA_OPTIONS, 28 bytes
  "c2 eb 0b 00  e8 03 00 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", //   latency 781250, limit 1000
);

const ADD_SORTER = message(
  "48 00 00 00  24 00  05 06  7f 1e 0b 6b  00 00 00 00", // length 72, RTM_NEWQDISC, flags 0x605, sequence, port
  "00 00 00 00  03 00 00 00  00 00 a7 01  ff ff ff ff  00 00 00 00", // tcmsg: link 3, handle 1a7:, root
  "08 00 01 00  68 74 62 00", // TCA_KIND "htb"
  "1c 00 02 00", // TCA_OPTIONS
  "18 00 02 00  03 00 00 00  0a 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", //   TCA_HTB_INIT: version, ratio, default
);

const SORT_IPV4 = message(
  "5c 00 00 00  2c 00  05 06  7f 1e 0b 6b  00 00 00 00", // length 92, RTM_NEWTFILTER, flags 0x605, sequence, port
  "00 00 00 00  03 00 00 00  00 00 00 00  00 00 a7 01  08 00 02 00", // tcmsg: link 3, 1a7:, priority 2, IPv4
  "08 00 01 00  75 33 32 00", // TCA_KIND "u32"
  "30 00 02 00", // TCA_OPTIONS
  "08 00 01 00  02 00 a7 01", //   TCA_U32_CLASSID 1a7:2
  "24 00 05 00  01 00 01 00  00 00 00 00  00 00 00 00  00 00 00 00", //   TCA_U32_SEL: terminal, one key
  "ff ff ff 00  0a 01 02 00  10 00 00 00  00 00 00 00", //     mask, 10.1.2.0, offset 16
);

const SORT_IPV6 = message(
  "6c 00 00 00  2c 00  05 06  7f 1e 0b 6b  00 00 00 00", // length 108, RTM_NEWTFILTER, flags 0x605, sequence, port
  "00 00 00 00  03 00 00 00  00 00 00 00  00 00 a7 01  86 dd 03 00", // tcmsg: link 3, 1a7:, priority 3, IPv6
  "08 00 01 00  75 33 32 00", // TCA_KIND "u32"
  "40 00 02 00", // TCA_OPTIONS
  "08 00 01 00  03 00 a7 01", //   TCA_U32_CLASSID 1a7:3
  "34 00 05 00  01 00 02 00  00 00 00 00  00 00 00 00  00 00 00 00", //   TCA_U32_SEL: terminal, two keys
  "ff ff ff ff  fd 00 00 01  18 00 00 00  00 00 00 00", //     mask, fd00:1, offset 24
  "ff ff ff ff  00 02 00 03  1c 00 00 00  00 00 00 00", //     mask, 2:3, offset 28
);

const HANDLE = 0x01a7_0000;

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

describe("netem", () => {
  for (const [tc, ours, ...recorded] of ROWS) {
    test(`S3-L11 what tc sends for ${tc}, both ways`, () => {
      const bytes = message(...recorded);
      const { settings } = parseImpairment(ours.split(" "));
      const writer = new Writer();
      netemOptions.encode(writer, netemData(settings));
      expect(hex(writer.written())).toBe(hex(bytes));
      const read = netemSettings(netemOptions.decode(new Reader(bytes)));
      // in ticks of 64 ns
      const exact = { ...settings, delayNs: settings.delayNs - (settings.delayNs % 64) };
      expect(read).toEqual(exact);
      const limit = settings.limit === 1000 || ours.includes("limit") ? [] : [`limit=${settings.limit}`];
      if (exact.delayNs === settings.delayNs) expect(wordsOf(read)).toEqual([...ours.split(" "), ...limit]);
    });
  }

  test("S3-L02 a delay of 50 ms is the message of tc qdisc replace, byte by byte", () => {
    const emulator = networkEmulator(settingsOf(parseImpairment(["delay=50ms"])));
    const request = {
      ...createDiscipline(3, Parent.root, 0, emulator),
      // ours is made anew where tc replaces
      flags: MessageFlag.create | MessageFlag.replace,
    };
    const writer = new Writer();
    const sequence = new DataView(FIFTY_MILLISECONDS.buffer).getUint32(8, true);
    writeMessage(writer, request, MessageFlag.request | MessageFlag.acknowledge, sequence);
    expect(hex(writer.written())).toBe(hex(FIFTY_MILLISECONDS));
    const read = getDiscipline(3, Parent.root).decode?.(new Reader(FIFTY_MILLISECONDS, HEADER_BYTES), 36);
    expect(read?.netem).toMatchObject({ delayNs: 50_000_000, limit: 1000 });
  });

  test("times that ticks can't say are told in nanoseconds beside them, as kernels since 4.15 know", () => {
    for (const [words, latency, latency64] of [
      ["delay=9ns", 0xffff_ffff, 9n],
      ["delay=300s", 0xffff_ffff, 300_000_000_000n],
      ["delay=64ns", 1, undefined],
    ] as const) {
      const { header, attributes } = netemData(parseImpairment([words]).settings);
      expect([words, header.latency, attributes.latency64]).toEqual([words, latency, latency64]);
    }
  });

  test("the tables of the distributions are those that tc sends, byte by byte", () => {
    const digests = {
      normal: "ea496767068d0be9eb46cb69ee90470105525b9090a6d479dadf04db0f3d44a5",
      pareto: "bb133e76721f7df4fd75dd647aad368fa8e9eaf9b9797fc8d208dde5f9ffbd2a",
      paretonormal: "ca372e5f4871aa11f38e71c82bd18e074e068f0704291e8a859ebd1aaee2f9f1",
    };
    for (const name of ["normal", "pareto", "paretonormal"] as const) {
      const table = distributionTable(name);
      expect(table?.length).toBe(4096);
      const digest = new Bun.CryptoHasher("sha256").update(table ?? "").digest("hex");
      expect([name, digest]).toEqual([name, digests[name]]);
    }
    expect(distributionTable("uniform")).toBeUndefined();
    const words = ["delay=50ms", "jitter=10ms", "distribution=normal"];
    const { attributes } = netemData(settingsOf(parseImpairment(words)));
    expect(attributes.distribution?.subarray(0, 4)).toEqual(new Uint8Array([0x00, 0x80, 0x6d, 0x91]));
  });
});

describe("classes", () => {
  goldenRequest(
    "tc qdisc add root htb",
    ADD_SORTER,
    createDiscipline(3, Parent.root, HANDLE, classSorter(0)),
  );
  goldenRequest(
    "tc filter add protocol ip u32 match ip dst 10.1.2.0/24",
    SORT_IPV4,
    createClassifier(3, HANDLE, 2, {
      protocol: 0x0800,
      priority: 2,
      words: [{ offset: 16, mask: 0xffff_ff00, value: 0x0a01_0200 }],
    }),
  );
  goldenRequest(
    "tc filter add protocol ipv6 u32 match ip6 dst fd00:1:2:3::/64",
    SORT_IPV6,
    createClassifier(3, HANDLE, 3, {
      protocol: 0x86dd,
      priority: 3,
      words: [
        { offset: 24, mask: 0xffff_ffff, value: 0xfd00_0001 },
        { offset: 28, mask: 0xffff_ffff, value: 0x0002_0003 },
      ],
    }),
  );
});
