// bpf(2): maps and programs in the kernel. Everything lives as long as its descriptor is open, so nothing stays behind,
// however the process ends. Only a command that watches needs any of this, so the calls are bound when first used.
import { dlopen, ptr, toArrayBuffer } from "bun:ffi";
import {
  checkedInt,
  Descriptor,
  isSystemError,
  LIBC,
  lastErrno,
  memory,
  retried,
  SystemError,
} from "./libc.ts";

function bind() {
  return dlopen(LIBC, {
    syscall: { args: ["i64", "i32", "buffer", "u32"], returns: "i32" },
    mmap: { args: ["u64", "u64", "i32", "i32", "i32", "i64"], returns: "i64" },
    munmap: { args: ["u64", "u64"], returns: "i32" },
    getpagesize: { args: [], returns: "i32" },
  } as const).symbols;
}
let bound: ReturnType<typeof bind> | undefined;
function calls() {
  bound ??= bind();
  return bound;
}

/** Number of bpf(2), which has no function of its own in the C library. */
const SYS_BPF = process.arch === "arm64" ? 280 : 321;

// enum bpf_cmd, linux/bpf.h
const Command = {
  createMap: 0,
  lookup: 1,
  update: 2,
  remove: 3,
  loadProgram: 5,
  openRawTracepoint: 17,
} as const;

/** union bpf_attr as far as we fill it; the kernel takes the rest for zero. */
const ATTRIBUTE_BYTES = 72;

function bpf(call: string, command: number, fill: (view: DataView) => void): number {
  const attribute = memory(ATTRIBUTE_BYTES);
  fill(new DataView(attribute.buffer));
  return retried(call, () => calls().syscall(SYS_BPF, command, attribute, attribute.length));
}

/** The address of memory that is made by `memory` and held by the caller during the call. */
function address(bytes: Uint8Array<ArrayBuffer>): bigint {
  return BigInt(ptr(bytes));
}

// enum bpf_map_type
const MAP_TYPES = { "per processor": 6, "least recently used": 9, ring: 27 } as const;

/** What a map is like. */
export interface MapShape {
  readonly type: keyof typeof MAP_TYPES;
  readonly keyBytes: number;
  readonly valueBytes: number;
  /** How many it holds; of a ring its bytes. */
  readonly entries: number;
}

/** Creates a map; throws SystemError: EPERM where that is not allowed, EINVAL where the kernel has no such map. */
export function createMap({ type, keyBytes, valueBytes, entries }: MapShape): Descriptor {
  return new Descriptor(
    bpf(`create a bpf map (${type})`, Command.createMap, (view) => {
      const words = [MAP_TYPES[type], keyBytes, valueBytes, entries];
      for (const [index, word] of words.entries()) view.setUint32(index * 4, checkedInt(word, "map"), true);
    }),
  );
}

const NO_EXIST = 1n;

/** Puts an entry into a map where there is none; returns whether there was none. Throws SystemError. */
export function addToMap(
  map: Descriptor,
  key: Uint8Array<ArrayBuffer>,
  value: Uint8Array<ArrayBuffer>,
): boolean {
  try {
    bpf("add to a bpf map", Command.update, (view) => {
      aboutEntry(view, map, key, value);
      view.setBigUint64(24, NO_EXIST, true);
    });
    return true;
  } catch (error) {
    if (isSystemError(error, "EEXIST")) return false;
    throw error;
  }
}

/** Reads an entry of a map into `value`; returns whether there is one. Throws SystemError. */
export function readFromMap(
  map: Descriptor,
  key: Uint8Array<ArrayBuffer>,
  value: Uint8Array<ArrayBuffer>,
): boolean {
  return ifThere(() => bpf("read a bpf map", Command.lookup, (view) => aboutEntry(view, map, key, value)));
}

/** Removes an entry of a map; returns whether there was one. Throws SystemError. */
export function removeFromMap(map: Descriptor, key: Uint8Array<ArrayBuffer>): boolean {
  return ifThere(() => bpf("remove from a bpf map", Command.remove, (view) => aboutEntry(view, map, key)));
}

function aboutEntry(
  view: DataView,
  map: Descriptor,
  key: Uint8Array<ArrayBuffer>,
  value?: Uint8Array<ArrayBuffer>,
): void {
  view.setUint32(0, map.fd, true);
  view.setBigUint64(8, address(key), true);
  if (value !== undefined) view.setBigUint64(16, address(value), true);
}

function ifThere(attempt: () => unknown): boolean {
  try {
    attempt();
    return true;
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return false;
    throw error;
  }
}

const RAW_TRACEPOINT = 17; // BPF_PROG_TYPE_RAW_TRACEPOINT
const INSTRUCTION_BYTES = 8;
const LOG_BYTES = 4 << 20;
/** What of the verifier's log is told: the reason stands at its end. */
const TOLD_LOG_LINES = 20;
/** The kernel gives most of its functions only to programs under this licence or one that goes with it. */
const LICENCE = terminated("Dual MIT/GPL");

function terminated(text: string): Uint8Array<ArrayBuffer> {
  const encoded = new TextEncoder().encode(text);
  const bytes = memory(encoded.length + 1);
  bytes.set(encoded);
  return bytes;
}

const NAME_LIMIT_BYTES = 15;

/**
 * Loads a program for raw tracepoints, under a name that lists show; throws SystemError, whose cause has the verifier's
 * words where it has some.
 */
export function loadProgram(name: string, program: Uint8Array<ArrayBuffer>): Descriptor {
  const load = (log?: Uint8Array<ArrayBuffer>) =>
    bpf("load a bpf program", Command.loadProgram, (view) => {
      view.setUint32(0, RAW_TRACEPOINT, true);
      view.setUint32(4, program.length / INSTRUCTION_BYTES, true);
      view.setBigUint64(8, address(program), true);
      view.setBigUint64(16, address(LICENCE), true);
      const spelled = new TextEncoder().encode(name).subarray(0, NAME_LIMIT_BYTES);
      for (const [index, byte] of spelled.entries()) view.setUint8(48 + index, byte);
      if (log === undefined) return;
      view.setUint32(24, 1, true);
      view.setUint32(28, log.length, true);
      view.setBigUint64(32, address(log), true);
    });
  try {
    return new Descriptor(load());
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    const log = memory(LOG_BYTES);
    try {
      // it is not done with a log at once, because writing one takes long
      return new Descriptor(load(log));
    } catch {
      const words = new TextDecoder().decode(log.subarray(0, log.indexOf(0))).trimEnd();
      if (words !== "") error.cause = new Error(words.split("\n").slice(-TOLD_LOG_LINES).join("\n"));
      throw error;
    }
  }
}

/** Has a program run at a tracepoint for as long as the descriptor is open; throws SystemError. */
export function attachToTracepoint(name: string, program: Descriptor): Descriptor {
  const spelled = terminated(name);
  return new Descriptor(
    bpf(`attach a bpf program to ${name}`, Command.openRawTracepoint, (view) => {
      view.setBigUint64(0, address(spelled), true);
      view.setUint32(8, program.fd, true);
    }),
  );
}

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
/** In the length of a record: it is still being written, or was given up (BPF_RINGBUF_BUSY_BIT, _DISCARD_BIT). */
const BUSY = 0x8000_0000;
const DISCARDED = 0x4000_0000;
const RECORD_HEADER_BYTES = 8;

/** The records that programs put into a ring, in their order; closed by `using`. */
export class RingReader implements Disposable {
  readonly #mappings: readonly { readonly at: bigint; readonly bytes: number }[];
  readonly #consumed: BigInt64Array<ArrayBuffer>;
  readonly #produced: BigInt64Array<ArrayBuffer>;
  readonly #lengths: Int32Array<ArrayBuffer>;
  readonly #data: Uint8Array<ArrayBuffer>;
  readonly #ringBytes: number;

  /** Maps a ring of so many bytes; throws SystemError. */
  constructor(map: Descriptor, ringBytes: number) {
    const page = calls().getpagesize();
    const consumer = mapped(map.fd, 0, page, PROT_READ | PROT_WRITE);
    // the data stand there twice, one behind the other, so that no record is broken at the end
    let producer: bigint;
    try {
      producer = mapped(map.fd, page, page + 2 * ringBytes, PROT_READ);
    } catch (error) {
      calls().munmap(consumer, page);
      throw error;
    }
    this.#mappings = [
      { at: consumer, bytes: page },
      { at: producer, bytes: page + 2 * ringBytes },
    ];
    this.#ringBytes = ringBytes;
    this.#consumed = new BigInt64Array(bufferAt(consumer, 8));
    this.#produced = new BigInt64Array(bufferAt(producer, 8));
    const data = bufferAt(producer + BigInt(page), 2 * ringBytes);
    this.#lengths = new Int32Array(data);
    this.#data = new Uint8Array(data);
  }

  /** Hands every record that is there to `take`, which must copy what it keeps. */
  drain(take: (record: Uint8Array<ArrayBuffer>) => void): void {
    let at = Atomics.load(this.#consumed, 0);
    while (at < Atomics.load(this.#produced, 0)) {
      const start = Number(at % BigInt(this.#ringBytes));
      const header = Atomics.load(this.#lengths, start / 4) >>> 0;
      if ((header & BUSY) !== 0) return;
      const length = header & ~(BUSY | DISCARDED);
      const from = start + RECORD_HEADER_BYTES;
      if ((header & DISCARDED) === 0) take(this.#data.subarray(from, from + length));
      at += BigInt((RECORD_HEADER_BYTES + length + 7) & ~7);
      Atomics.store(this.#consumed, 0, at);
    }
  }

  [Symbol.dispose](): void {
    for (const { at, bytes } of this.#mappings) calls().munmap(at, bytes);
  }
}

function mapped(fd: number, offset: number, bytes: number, protection: number): bigint {
  const at = calls().mmap(0n, bytes, protection, MAP_SHARED, fd, BigInt(offset));
  if (BigInt(at) === -1n) throw new SystemError("map a bpf ring", lastErrno());
  return BigInt(at);
}

/** Memory that the kernel owns: nothing frees it but munmap(2). */
function bufferAt(at: bigint, bytes: number): ArrayBuffer {
  // an address of user space has 47 bits, which a number carries exactly
  return toArrayBuffer(Number(at) as Parameters<typeof toArrayBuffer>[0], 0, bytes);
}
