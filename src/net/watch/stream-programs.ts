// Two programs for the kernel: one marks every process that executes a program with CNI_COMMAND among its variables, before
// that program has done anything; the other copies what marked processes read from their standard input and write to their
// standard output and error. They run at raw tracepoints, for which nothing in the kernel has to be named or laid out so.
import {
  add,
  assemble,
  call,
  copy,
  exit,
  jump,
  jumpIf,
  jumpIfOther,
  type Line,
  load32,
  load64,
  put32,
  put64,
  set,
  setMap,
  setWide,
  shiftRight,
  store32,
  store64,
} from "../../sys/bpf-assembly.ts";

/** The descriptors of the maps that the programs share with us. */
export interface StreamMaps {
  /** Marked processes: of each the number of transfers that were seen. */
  readonly marked: number;
  /** A record that is being made, one a processor. */
  readonly scratch: number;
  readonly ring: number;
}

/** What differs between machines: where struct pt_regs has what (asm/ptrace.h), and numbers of system calls (asm/unistd.h). */
export interface Machine {
  readonly registers: {
    readonly call: number;
    readonly first: number;
    readonly second: number;
    readonly third: number;
    readonly fourth: number;
  };
  readonly execve: number;
  readonly execveat: number;
  readonly read: number;
  readonly write: number;
  /** Other calls that move bytes through their first argument; only how many is known of them. */
  readonly others: readonly number[];
  /** Calls that give the descriptor in their first argument, or in their second, another meaning. */
  readonly closing: readonly number[];
  readonly replacing: readonly number[];
}

/** What is different between the machines: registers in pt_regs, and numbers of system calls. */
export const MACHINES: Readonly<Record<"x64" | "arm64", Machine>> = {
  x64: {
    registers: { call: 120, first: 112, second: 104, third: 96, fourth: 56 },
    ...{ execve: 59, execveat: 322, read: 0, write: 1 },
    // pread64 pwrite64 readv writev sendfile sendto recvfrom sendmsg recvmsg splice tee vmsplice preadv(2) pwritev(2)
    others: [17, 18, 19, 20, 40, 44, 45, 46, 47, 275, 276, 278, 295, 296, 327, 328],
    closing: [3, 436],
    replacing: [33, 292],
  },
  arm64: {
    // the first argument is overwritten by the result, but kept in orig_x0
    registers: { call: 280, first: 272, second: 8, third: 16, fourth: 24 },
    ...{ execve: 221, execveat: 281, read: 63, write: 64 },
    others: [67, 68, 65, 66, 71, 206, 207, 211, 212, 76, 77, 75, 69, 70, 286, 287],
    closing: [57, 436],
    replacing: [24],
  },
};

/** So many bytes are copied at a time, and of one transfer at most so many times that. */
export const CHUNK_BYTES = 4096;
const LARGEST_TRANSFER_BYTES = 1 << 20;
/** So many variables of a program are looked at. */
const VARIABLES_LIMIT = 1024;
/** struct of a record, in words: process, kind, descriptor, number, total, offset, length, nothing; then the bytes. */
export const RECORD = {
  process: 0,
  kind: 4,
  descriptor: 8,
  number: 12,
  total: 16,
  offset: 20,
  length: 24,
  bytes: 32,
} as const;
/**
 * What a record is about: bytes, bytes that went by another call, or a descriptor that leads elsewhere from now on.
 */
export const RecordKind = { copied: 0, uncopied: 1, redirected: 2 } as const;

const NO_EXIST = 1;
/** BPF_RB_NO_WAKEUP: we look by ourselves. */
const NO_WAKEUP = 1;
const STDERR = 2;

function word(text: string): bigint {
  return new DataView(new TextEncoder().encode(text).buffer).getBigUint64(0, true);
}

/** `*(u32 *)(r10 - 4) = the process`; r0 is lost. */
const PROCESS_ON_STACK: readonly Line[] = [
  call("get_current_pid_tgid"),
  shiftRight(0, 32), // r0 >>= 32
  store32(10, -4, 0), // *(u32 *)(r10 - 4) = r0
];

/** `*(r10 + slot) = *(r + offset)` in the kernel's memory; r1 to r3 are lost. */
function readKernel(slot: number, bytes: number, register: 7 | 9, offset: number): readonly Line[] {
  return [
    copy(1, 10), // r1 = r10
    add(1, slot), // r1 += slot
    set(2, bytes), // r2 = bytes
    copy(3, register), // r3 = register
    add(3, offset), // r3 += offset
    call("probe_read_kernel"),
  ];
}

/** At `sys_enter`: marks a process that is about to execute a plugin, or anything that a plugin runs. */
export function markingProgram(
  { marked }: Pick<StreamMaps, "marked">,
  machine: Machine,
): Uint8Array<ArrayBuffer> {
  const { registers, execve, execveat } = machine;
  return assemble([
    load64(2, 1, 8), // r2 = *(u64 *)(r1 + 8): which call
    load64(7, 1, 0), // r7 = *(u64 *)(r1 + 0): struct pt_regs
    jumpIf(2, "==", execve, "execve"),
    jumpIf(2, "==", execveat, "execveat"),
    set(0, 0), // r0 = 0
    exit,
    "execve",
    ...readKernel(-16, 8, 7, registers.third),
    jump("variables"),
    "execveat",
    ...readKernel(-16, 8, 7, registers.fourth),
    "variables",
    ...PROCESS_ON_STACK,
    load64(7, 10, -16), // r7 = *(u64 *)(r10 - 16): where the list of variables stands
    set(8, 0), // r8 = 0: how many were looked at
    "variable",
    copy(1, 10), // r1 = r10
    add(1, -24), // r1 += -24
    set(2, 8), // r2 = 8
    copy(3, 7), // r3 = r7
    call("probe_read_user"),
    jumpIf(0, "!=", 0, "none"),
    load64(3, 10, -24), // r3 = *(u64 *)(r10 - 24): the variable
    jumpIf(3, "==", 0, "none"),
    copy(1, 10), // r1 = r10
    add(1, -40), // r1 += -40
    set(2, 12), // r2 = 12
    call("probe_read_user"),
    jumpIf(0, "!=", 0, "next"),
    load64(1, 10, -40), // r1 = *(u64 *)(r10 - 40)
    setWide(2, word("CNI_COMM")), // r2 = "CNI_COMM" ll
    jumpIfOther(1, 2, "next"),
    load32(1, 10, -32), // r1 = *(u32 *)(r10 - 32)
    jumpIf(1, "!=", Number(word("AND=\0\0\0\0")), "next"),
    // update(marked, process, 0, BPF_NOEXIST): a wrapper that becomes the plugin is one call with it
    put64(10, -16, 0), // *(u64 *)(r10 - 16) = 0
    setMap(1, marked), // r1 = marked
    copy(2, 10), // r2 = r10
    add(2, -4), // r2 += -4
    copy(3, 10), // r3 = r10
    add(3, -16), // r3 += -16
    set(4, NO_EXIST), // r4 = 1
    call("map_update_elem"),
    set(0, 0), // r0 = 0
    exit,
    "next",
    add(7, 8), // r7 += 8
    add(8, 1), // r8 += 1
    jumpIf(8, "<", VARIABLES_LIMIT, "variable"),
    "none",
    // delete(marked, process): it becomes something else, or had the number of one that is gone
    setMap(1, marked), // r1 = marked
    copy(2, 10), // r2 = r10
    add(2, -4), // r2 += -4
    call("map_delete_elem"),
    set(0, 0), // r0 = 0
    exit,
  ]);
}

/** `output(ring, r7, r3)`: puts the record out; r0 is 0 if there was room for it. */
function output(ring: number): readonly Line[] {
  return [
    setMap(1, ring), // r1 = ring
    copy(2, 7), // r2 = r7
    set(4, NO_WAKEUP), // r4 = 1
    call("ringbuf_output"),
  ];
}

/** `r0 = probe_read_user(r7 + 32, r2, r9)`: copies what the process has read or is about to have written. */
const COPY_BYTES: readonly Line[] = [
  copy(1, 7), // r1 = r7
  add(1, RECORD.bytes), // r1 += 32
  copy(3, 9), // r3 = r9
  call("probe_read_user"),
];

/** At `sys_exit`: records what a marked process has moved through a standard stream. */
export function copyingProgram(maps: StreamMaps, machine: Machine): Uint8Array<ArrayBuffer> {
  const { registers } = machine;
  return assemble([
    copy(6, 1), // r6 = r1
    ...PROCESS_ON_STACK,
    setMap(1, maps.marked), // r1 = marked
    copy(2, 10), // r2 = r10
    add(2, -4), // r2 += -4
    call("map_lookup_elem"),
    jumpIf(0, "==", 0, "end"),
    copy(7, 0), // r7 = r0: its counter
    load64(8, 6, 8), // r8 = *(u64 *)(r6 + 8): what the call returns
    jumpIf(8, "s<", 0, "end"),
    load64(9, 6, 0), // r9 = *(u64 *)(r6 + 0): struct pt_regs
    ...readKernel(-16, 4, 9, registers.call),
    ...readKernel(-24, 8, 9, registers.first),
    ...readKernel(-32, 8, 9, registers.second),
    load32(1, 10, -16), // r1 = *(u32 *)(r10 - 16): which call
    load32(2, 10, -24), // r2 = *(u32 *)(r10 - 24): which descriptor
    jumpIf(1, "==", machine.read, "read"),
    jumpIf(1, "==", machine.write, "write"),
    ...machine.others.map((number) => jumpIf(1, "==", number, "uncopied")),
    ...machine.closing.map((number) => jumpIf(1, "==", number, "redirected")),
    ...machine.replacing.map((number) => jumpIf(1, "==", number, "replaced")),
    "end",
    set(0, 0), // r0 = 0
    exit,
    "replaced",
    load32(2, 10, -32), // r2 = *(u32 *)(r10 - 32)
    "redirected",
    set(9, RecordKind.redirected), // r9 = 2
    jump("standard"),
    "uncopied",
    set(9, RecordKind.uncopied), // r9 = 1
    jump("standard"),
    "read",
    jumpIf(2, "!=", 0, "end"),
    set(9, RecordKind.copied), // r9 = 0
    jump("standard"),
    "write",
    jumpIf(2, "==", 0, "end"),
    set(9, RecordKind.copied), // r9 = 0
    "standard",
    jumpIf(2, ">", STDERR, "end"),
    store32(10, -24, 2), // *(u32 *)(r10 - 24) = r2
    load64(6, 7, 0), // r6 = *(u64 *)(r7 + 0)
    add(6, 1), // r6 += 1
    store64(7, 0, 6), // *(u64 *)(r7 + 0) = r6: the number of this transfer
    put32(10, -16, 0), // *(u32 *)(r10 - 16) = 0
    setMap(1, maps.scratch), // r1 = scratch
    copy(2, 10), // r2 = r10
    add(2, -16), // r2 += -16
    call("map_lookup_elem"),
    jumpIf(0, "==", 0, "end"),
    copy(7, 0), // r7 = r0: the record
    load32(1, 10, -4), // r1 = *(u32 *)(r10 - 4)
    store32(7, RECORD.process, 1), // *(u32 *)(r7 + 0) = r1
    store32(7, RECORD.kind, 9), // *(u32 *)(r7 + 4) = r9
    load32(1, 10, -24), // r1 = *(u32 *)(r10 - 24)
    store32(7, RECORD.descriptor, 1), // *(u32 *)(r7 + 8) = r1
    store32(7, RECORD.number, 6), // *(u32 *)(r7 + 12) = r6
    store32(7, RECORD.total, 8), // *(u32 *)(r7 + 16) = r8
    put32(7, RECORD.offset, 0), // *(u32 *)(r7 + 20) = 0
    put32(7, RECORD.length, 0), // *(u32 *)(r7 + 24) = 0
    put32(7, RECORD.length + 4, 0), // *(u32 *)(r7 + 28) = 0
    jumpIf(9, "!=", RecordKind.copied, "bare"),
    jumpIf(8, "!=", 0, "copied"),
    "bare",
    set(3, RECORD.bytes), // r3 = 32
    ...output(maps.ring),
    jump("end"),
    "copied",
    load64(9, 10, -32), // r9 = *(u64 *)(r10 - 32): where the bytes are
    set(6, 0), // r6 = 0: how many were copied
    "chunk",
    store32(7, RECORD.offset, 6), // *(u32 *)(r7 + 20) = r6
    jumpIf(8, ">", CHUNK_BYTES, "whole"),
    // what is left, and that is all; as two ways, because the kernel's verifier follows a loop step by step
    store32(7, RECORD.length, 8), // *(u32 *)(r7 + 24) = r8
    copy(2, 8), // r2 = r8
    ...COPY_BYTES,
    jumpIf(0, "!=", 0, "end"),
    copy(3, 8), // r3 = r8
    add(3, RECORD.bytes), // r3 += 32
    ...output(maps.ring),
    jump("end"),
    "whole",
    put32(7, RECORD.length, CHUNK_BYTES), // *(u32 *)(r7 + 24) = 4096
    set(2, CHUNK_BYTES), // r2 = 4096
    ...COPY_BYTES,
    jumpIf(0, "!=", 0, "end"),
    set(3, RECORD.bytes + CHUNK_BYTES), // r3 = 4128
    ...output(maps.ring),
    jumpIf(0, "!=", 0, "end"),
    add(8, -CHUNK_BYTES), // r8 += -4096
    add(9, CHUNK_BYTES), // r9 += 4096
    add(6, CHUNK_BYTES), // r6 += 4096
    jumpIf(6, "<", LARGEST_TRANSFER_BYTES, "chunk"),
    jump("end"),
  ]);
}
