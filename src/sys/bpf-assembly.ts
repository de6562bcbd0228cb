// Programs for the kernel's own machine (BPF), as lists of instructions with labels, and the bytes that they become
// (linux/bpf.h, Documentation/bpf/standardization/instruction-set.rst). Only the instructions that our programs need.

/** r0 is what a call returns, r1 to r5 are its arguments and lost by it, r6 to r9 are kept, r10 is the end of the stack. */
export type Register = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10;

interface Instruction {
  readonly code: number;
  readonly to?: Register;
  readonly from?: number;
  readonly offset?: number | string;
  readonly value?: number;
  /** The upper half of a number of 64 bits, which takes a second instruction. */
  readonly upper?: number;
}

/** An instruction, or the name of the place where the next one stands. */
export type Line = Instruction | string;

// BPF_ALU64, BPF_MEM, BPF_JMP and their operations
/** `to = from` */
export const copy = (to: Register, from: Register): Line => ({ code: 0xbf, to, from });
/** `to = value` */
export const set = (to: Register, value: number): Line => ({ code: 0xb7, to, value });
/** `to += value` */
export const add = (to: Register, value: number): Line => ({ code: 0x07, to, value });
/** `to >>= value` */
export const shiftRight = (to: Register, value: number): Line => ({ code: 0x77, to, value });
/** `to = *(u32 *)(from + offset)` */
export const load32 = (to: Register, from: Register, offset: number): Line => ({
  code: 0x61,
  to,
  from,
  offset,
});
/** `to = *(u64 *)(from + offset)` */
export const load64 = (to: Register, from: Register, offset: number): Line => ({
  code: 0x79,
  to,
  from,
  offset,
});
/** `*(u32 *)(to + offset) = from` */
export const store32 = (to: Register, offset: number, from: Register): Line => ({
  code: 0x63,
  to,
  from,
  offset,
});
/** `*(u64 *)(to + offset) = from` */
export const store64 = (to: Register, offset: number, from: Register): Line => ({
  code: 0x7b,
  to,
  from,
  offset,
});
/** `*(u32 *)(to + offset) = value` */
export const put32 = (to: Register, offset: number, value: number): Line => ({
  code: 0x62,
  to,
  offset,
  value,
});
/** `*(u64 *)(to + offset) = value` */
export const put64 = (to: Register, offset: number, value: number): Line => ({
  code: 0x7a,
  to,
  offset,
  value,
});
/** `goto offset` */
export const jump = (offset: string): Line => ({ code: 0x05, offset });

const COMPARISONS = { "==": 0x15, ">": 0x25, "!=": 0x55, "<": 0xa5, "s<": 0xc5 } as const;
/** `if to COMPARISON value goto offset` */
export const jumpIf = (
  to: Register,
  comparison: keyof typeof COMPARISONS,
  value: number,
  offset: string,
): Line => ({ code: COMPARISONS[comparison], to, value, offset });
/** `if to != from goto offset` */
export const jumpIfOther = (to: Register, from: Register, offset: string): Line => ({
  code: 0x5d,
  to,
  from,
  offset,
});

const WIDE = 0x18;
/** BPF_PSEUDO_MAP_FD: the number is the descriptor of a map, which the kernel replaces by its address. */
const IS_MAP = 1;
/** `to = value ll` */
export const setWide = (to: Register, value: bigint): Line => ({
  code: WIDE,
  to,
  value: Number(BigInt.asIntN(32, value)),
  upper: Number(BigInt.asIntN(32, value >> 32n)),
});
/** `to = map` */
export const setMap = (to: Register, fd: number): Line => ({
  code: WIDE,
  to,
  from: IS_MAP,
  value: fd,
  upper: 0,
});

/** Functions of the kernel, by their numbers in linux/bpf.h. */
const HELPERS = {
  map_lookup_elem: 1,
  map_update_elem: 2,
  map_delete_elem: 3,
  get_current_pid_tgid: 14,
  probe_read_user: 112,
  probe_read_kernel: 113,
  ringbuf_output: 130,
} as const;
/** `call helper` */
export const call = (helper: keyof typeof HELPERS): Line => ({ code: 0x85, value: HELPERS[helper] });
/** `exit` */
export const exit: Line = { code: 0x95 };

const INSTRUCTION_BYTES = 8;

function slots(line: Line): number {
  if (typeof line === "string") return 0;
  return line.upper === undefined ? 1 : 2;
}

/** Returns the program's bytes, in the order of the machines that we run on; throws an Error for an unknown label. */
export function assemble(lines: readonly Line[]): Uint8Array<ArrayBuffer> {
  const places = new Map<string, number>();
  let count = 0;
  for (const line of lines) {
    if (typeof line === "string") places.set(line, count);
    count += slots(line);
  }
  const bytes = new Uint8Array(new ArrayBuffer(count * INSTRUCTION_BYTES));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const line of lines) {
    if (typeof line === "string") continue;
    const { code, to = 0, from = 0, offset = 0, value = 0, upper } = line;
    const next = at + slots(line);
    view.setUint8(at * INSTRUCTION_BYTES, code);
    view.setUint8(at * INSTRUCTION_BYTES + 1, to | (from << 4));
    view.setInt16(
      at * INSTRUCTION_BYTES + 2,
      typeof offset === "string" ? distance(offset, next) : offset,
      true,
    );
    view.setInt32(at * INSTRUCTION_BYTES + 4, value, true);
    if (upper !== undefined) view.setInt32((at + 1) * INSTRUCTION_BYTES + 4, upper, true);
    at = next;
  }
  return bytes;

  function distance(label: string, from: number): number {
    const place = places.get(label);
    if (place === undefined) throw new Error(`no label ${label} in the program`);
    return place - from;
  }
}
