// The process events connector (linux/connector.h, linux/cn_proc.h): on request the kernel tells of every process that
// executes a program or ends, whoever started it.

import type { FilterInstruction } from "../sys/multicast.ts";
import { CodecError, Reader, Writer } from "./buffer.ts";
import { i32, struct, u16, u32, u64 } from "./codec.ts";
import { MessageType, splitMessages, writeMessage } from "./message.ts";

/** The multicast group of process events, which is also their number among connectors (CN_IDX_PROC, CN_VAL_PROC). */
export const PROCESS_EVENTS = 1;

// PROC_CN_MCAST_*
const OPERATIONS = { listen: 1, ignore: 2 } as const;

/** struct cn_msg, linux/connector.h */
const connectorHeader = { index: u32, value: u32, sequence: u32, acknowledge: u32, length: u16, flags: u16 };

/** The body of a message that asks for events, or for none any more. */
export const subscriptionMessage = struct({ ...connectorHeader, operation: u32 });

// PROC_EVENT_*
const ACKNOWLEDGED = 0;
const EXECUTED = 2;
const EXITED = 0x8000_0000;

/** What every event begins with: struct proc_event up to its union. `time` is that of CLOCK_MONOTONIC in ns. */
const eventHeader = { ...connectorHeader, what: u32, processor: u32, time: u64 };
const acknowledgedMessage = struct({ ...eventHeader, error: u32 });

/** The body of the message about a thread that has executed a program, after which it is the only one of its process. */
export const executedMessage = struct({ ...eventHeader, thread: u32, process: u32 });

/** The body of the message about a thread that has ended; `status` is as wait(2) has it. */
export const exitedMessage = struct({
  ...eventHeader,
  thread: u32,
  process: u32,
  status: u32,
  signal: i32,
  parentThread: u32,
  parentProcess: u32,
});

/** Something that a process did. */
export type ProcessEvent =
  /** The answer to a subscription; `errno` 0 is success. */
  | { readonly kind: "acknowledged"; readonly errno: number }
  | { readonly kind: "executed"; readonly pid: number; readonly atNs: bigint }
  | {
      readonly kind: "exited";
      readonly pid: number;
      readonly atNs: bigint;
      /** Undefined if a signal ended it. */
      readonly exitCode: number | undefined;
      readonly signal: number | undefined;
    };

/** Returns the message that makes the kernel begin, or stop, to tell of processes. */
export function subscription(operation: keyof typeof OPERATIONS, sequence = 0): Uint8Array<ArrayBuffer> {
  const writer = new Writer();
  const request = {
    operation: `${operation} to process events`,
    // the connector has no types of its own
    type: MessageType.done,
    flags: 0,
    encode: (body: Writer) =>
      subscriptionMessage.encode(body, {
        index: PROCESS_EVENTS,
        value: PROCESS_EVENTS,
        sequence: 0,
        acknowledge: 0,
        length: 4,
        flags: 0,
        operation: OPERATIONS[operation],
      }),
  };
  writeMessage(writer, request, 0, sequence);
  return writer.written();
}

// linux/bpf_common.h: BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K and |BPF_X, BPF_MISC|BPF_TAX, BPF_RET|BPF_K
const FilterCode = { load: 0x20, jumpIfEqual: 0x15, jumpIfSame: 0x1d, keep: 0x07, end: 0x06 } as const;

/**
 * Lets through what `processEvents` reads, and nothing else: forks, names and the ends of threads are many times more, and
 * a listener that is woken by each comes too late. A filter reads in network order, the events are in the host's.
 */
export const PROCESS_FILTER: readonly FilterInstruction[] = [
  [FilterCode.load, 0, 0, 36], // what
  [FilterCode.jumpIfEqual, 6, 0, 0x0200_0000], // executed: accept
  [FilterCode.jumpIfEqual, 5, 0, 0], // acknowledged: accept
  [FilterCode.jumpIfEqual, 0, 5, 0x0000_0080], // exited, or refuse
  [FilterCode.load, 0, 0, 52], // thread
  [FilterCode.keep, 0, 0, 0],
  [FilterCode.load, 0, 0, 56], // process
  [FilterCode.jumpIfSame, 0, 1, 0],
  [FilterCode.end, 0, 0, 0xffff_ffff], // accept
  [FilterCode.end, 0, 0, 0], // refuse
];

/** Where `what` stands behind the message's header. */
const WHAT_OFFSET = 20;

/** Returns what a datagram tells of whole processes: not of their threads, forks and names. Throws CodecError. */
export function processEvents(datagram: Uint8Array): ProcessEvent[] {
  const reader = new Reader(datagram);
  const events: ProcessEvent[] = [];
  for (const { bodyStart, end } of splitMessages(reader)) {
    if (end - bodyStart < WHAT_OFFSET + 4) {
      throw new CodecError("process event", `${end - bodyStart} bytes, too few`);
    }
    reader.offset = bodyStart;
    reader.end = end;
    // most events are others, and there may be thousands a second: only those that matter are decoded
    const event = eventOf(reader, reader.view.getUint32(bodyStart + WHAT_OFFSET, true));
    if (event !== undefined) events.push(event);
  }
  return events;
}

function eventOf(reader: Reader, what: number): ProcessEvent | undefined {
  switch (what) {
    case ACKNOWLEDGED:
      return { kind: "acknowledged", errno: acknowledgedMessage.decode(reader).error };
    case EXECUTED: {
      const { process, time } = executedMessage.decode(reader);
      return { kind: "executed", pid: process, atNs: time };
    }
    case EXITED: {
      const { thread, process, status, time } = exitedMessage.decode(reader);
      if (thread !== process) return undefined;
      const signal = status & 0x7f;
      return {
        kind: "exited",
        pid: process,
        atNs: time,
        exitCode: signal === 0 ? (status >> 8) & 0xff : undefined,
        signal: signal === 0 ? undefined : signal,
      };
    }
    default:
      return undefined;
  }
}
