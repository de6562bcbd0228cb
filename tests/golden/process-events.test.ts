// Messages of the process events connector: as Linux 6.18 sent them to a listener, recorded with a few lines of Python.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CodecError, Writer } from "../../src/netlink/buffer.ts";
import {
  executedMessage,
  exitedMessage,
  processEvents,
  subscription,
  subscriptionMessage,
} from "../../src/netlink/process-events.ts";
import { golden, message } from "./message.ts";

const SUBSCRIPTION = message(
  "28 00 00 00  03 00  00 00  01 00 00 00  00 00 00 00", // length 40, NLMSG_DONE, sequence 1
  "01 00 00 00  01 00 00 00", // CN_IDX_PROC, CN_VAL_PROC
  "00 00 00 00  00 00 00 00", // sequence, acknowledgement
  "04 00  00 00", // 4 bytes follow, flags
  "01 00 00 00", // PROC_CN_MCAST_LISTEN
);
const CONNECTOR = [
  "4c 00 00 00  03 00  00 00  01 00 00 00  00 00 00 00", // length 76, NLMSG_DONE, sequence 1
  "01 00 00 00  01 00 00 00", // CN_IDX_PROC, CN_VAL_PROC
  "01 00 00 00  00 00 00 00", // sequence, acknowledgement
  "28 00  00 00", // 40 bytes follow, flags
];
const EXECUTED = message(
  ...CONNECTOR,
  "02 00 00 00  01 00 00 00", // PROC_EVENT_EXEC, processor 1
  "5c f0 bd 1c  a9 01 00 00", // time
  "98 77 00 00  98 77 00 00", // thread and process
  "00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00", // what the union has room for
);
const exited = (thread: string, status: string) =>
  message(
    ...CONNECTOR,
    "00 00 00 80  01 00 00 00", // PROC_EVENT_EXIT, processor 1
    "b6 af ba 1c  a9 01 00 00", // time
    `${thread}  96 77 00 00`, // thread and process
    `${status}  11 00 00 00`, // status as wait(2) has it, SIGCHLD
    "71 77 00 00  71 77 00 00", // the parent
  );
const EXITED = exited("96 77 00 00", "00 01 00 00");
const FORKED = message(
  ...CONNECTOR,
  "01 00 00 00  00 00 00 00  aa 8e bb 1c  a9 01 00 00", // PROC_EVENT_FORK
  "71 77 00 00  71 77 00 00  98 77 00 00  98 77 00 00  00 00 00 00  00 00 00 00",
);
const header = { index: 1, value: 1, sequence: 1, acknowledge: 0, length: 40, flags: 0, processor: 1 };

/** The message without the bytes that a shorter member leaves of the union. */
const withoutRest = (recorded: Uint8Array, count: number) => recorded.slice(0, recorded.length - count);

describe("process events", () => {
  golden("a subscription", SUBSCRIPTION, subscriptionMessage, {
    ...{ index: 1, value: 1, sequence: 0, acknowledge: 0, length: 4, flags: 0 },
    operation: 1,
  });
  golden("a program was executed", withoutRest(EXECUTED, 16), executedMessage, {
    ...header,
    what: 2,
    time: 0x1a9_1cbd_f05cn,
    thread: 0x7798,
    process: 0x7798,
  });
  golden("a process has ended", EXITED, exitedMessage, {
    ...{ ...header, what: 0x8000_0000, time: 0x1a9_1cba_afb6n, thread: 0x7796, process: 0x7796 },
    ...{ status: 256, signal: 17, parentThread: 0x7771, parentProcess: 0x7771 },
  });

  test("the subscription is the whole recorded message", () => {
    expect(Buffer.from(subscription("listen", 1)).toString("hex")).toBe(
      Buffer.from(SUBSCRIPTION).toString("hex"),
    );
  });

  test("ends have the code or the signal; threads, forks and names are nobody's end", () => {
    const pid = 0x7796;
    const atNs = 0x1a9_1cba_afb6n;
    const ended = { kind: "exited", pid, atNs, exitCode: undefined, signal: undefined } as const;
    expect(processEvents(EXITED)).toEqual([{ ...ended, exitCode: 1 }]);
    expect(processEvents(exited("96 77 00 00", "09 00 00 00"))).toEqual([{ ...ended, signal: 9 }]);
    // dumped core, too
    expect(processEvents(exited("96 77 00 00", "8b 00 00 00"))).toEqual([{ ...ended, signal: 11 }]);
    expect(processEvents(exited("97 77 00 00", "00 00 00 00"))).toEqual([]);
    expect(processEvents(FORKED)).toEqual([]);
    expect(processEvents(EXECUTED)).toEqual([{ kind: "executed", pid: 0x7798, atNs: 0x1a9_1cbd_f05cn }]);
  });

  test("whatever byte of a message is damaged, it is read or refused", () => {
    const damage = fc.tuple(
      fc.constantFrom(EXECUTED, EXITED, FORKED),
      fc.nat(EXITED.length - 1),
      fc.nat(255),
    );
    fc.assert(
      fc.property(damage, ([bytes, at, value]) => {
        const copy = bytes.slice();
        copy[at] = value;
        try {
          processEvents(copy);
        } catch (error) {
          expect(error).toBeInstanceOf(CodecError);
        }
      }),
    );
  });

  test("a refusal has its errno, and a message that is cut short is told", () => {
    const refused = EXECUTED.slice();
    refused.set([0, 0, 0, 0], 36);
    refused.set([1, 0, 0, 0], 52);
    expect(processEvents(refused)).toEqual([{ kind: "acknowledged", errno: 1 }]);
    const short = new Writer();
    short.advance(16);
    short.view.setUint32(0, 16, true);
    expect(() => processEvents(short.written())).toThrow("too few");
  });
});
