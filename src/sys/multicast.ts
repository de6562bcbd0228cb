// Sockets that listen: told of what happens without asking, they have to be waited for, and a datagram may carry more than
// its bytes. Only commands that watch need any of this, so the calls are bound when first used.
import { dlopen, ptr } from "bun:ffi";
import { checkedInt, isSystemError, LIBC, lastErrno, libc, memory, retried, SystemError } from "./libc.ts";

let bound: ReturnType<typeof bind> | undefined;
function bind() {
  return dlopen(LIBC, {
    bind: { args: ["i32", "buffer", "u32"], returns: "i32" },
    poll: { args: ["buffer", "u64", "i32"], returns: "i32" },
    recvmsg: { args: ["i32", "buffer", "i32"], returns: "i32" },
  } as const).symbols;
}
function calls() {
  bound ??= bind();
  return bound;
}

const POLLIN = 1;
const EINTR = 4;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;

/** Gives a socket its address; throws SystemError. */
export function bindSocket(fd: number, address: Uint8Array<ArrayBuffer>, what: string): void {
  checkedInt(fd, "file descriptor");
  retried(`bind ${what}`, () => calls().bind(fd, address, address.length));
}

const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26; // asm-generic/socket.h

/** An instruction of a socket filter: struct sock_filter, linux/filter.h. */
export type FilterInstruction = readonly [code: number, jumpTrue: number, jumpFalse: number, value: number];

/** Lets only those datagrams in for which the program returns something else than 0; throws SystemError. */
export function attachFilter(fd: number, program: readonly FilterInstruction[]): void {
  const instructions = memory(program.length * 8);
  const view = new DataView(instructions.buffer);
  for (const [index, [code, jumpTrue, jumpFalse, value]] of program.entries()) {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, jumpTrue);
    view.setUint8(index * 8 + 3, jumpFalse);
    view.setUint32(index * 8 + 4, value, true);
  }
  // struct sock_fprog: how many, and where they are, which the kernel copies from during the call
  const whole = memory(16);
  const wholeView = new DataView(whole.buffer);
  wholeView.setUint16(0, program.length, true);
  wholeView.setBigUint64(8, BigInt(ptr(instructions)), true);
  retried("filter datagrams", () =>
    libc.setsockopt(checkedInt(fd, "file descriptor"), SOL_SOCKET, SO_ATTACH_FILTER, whole, whole.length),
  );
}

/** Bytes of struct pollfd: descriptor, wanted events, events that happened. */
const POLLED_BYTES = 8;

/**
 * Waits until there is something to read from one of these, at most so long. Returns whether there is; false also where a
 * signal came, so that its handler can run. Throws SystemError.
 */
export function awaitReadable(fds: readonly number[], timeoutMs: number): boolean {
  const polled = memory(fds.length * POLLED_BYTES);
  const view = new DataView(polled.buffer);
  for (const [index, fd] of fds.entries()) {
    view.setInt32(index * POLLED_BYTES, checkedInt(fd, "file descriptor"), true);
    view.setInt16(index * POLLED_BYTES + 4, POLLIN, true);
  }
  const result = calls().poll(polled, fds.length, checkedInt(timeoutMs, "timeout"));
  if (result < 0 && lastErrno() !== EINTR) throw new SystemError("poll", lastErrno());
  return result > 0;
}

const DATAGRAM_LIMIT_BYTES = 64 << 10;
const ANCILLARY_LIMIT_BYTES = 256;
/** Bytes of struct cmsghdr: length, level, type. */
const ANCILLARY_HEADER_BYTES = 16;

/** The memory that the kernel writes to, and the struct msghdr that says where it is. */
class Message {
  readonly bytes = memory(DATAGRAM_LIMIT_BYTES);
  readonly ancillary = memory(ANCILLARY_LIMIT_BYTES);
  readonly header = memory(56);
  readonly view = new DataView(this.header.buffer);
  readonly #part = memory(16);

  constructor() {
    // struct iovec; these addresses stay, because the memory is made over buffers that live as long as this does
    const part = new DataView(this.#part.buffer);
    part.setBigUint64(0, BigInt(ptr(this.bytes)), true);
    part.setBigUint64(8, BigInt(this.bytes.length), true);
    this.view.setBigUint64(16, BigInt(ptr(this.#part)), true);
    this.view.setBigUint64(24, 1n, true);
    this.view.setBigUint64(32, BigInt(ptr(this.ancillary)), true);
  }
}
let message: Message | undefined;

/** A datagram, valid until the next one is received. */
export interface ReceivedDatagram {
  readonly bytes: Uint8Array;
  /** Returns the number that the kernel sent beside the datagram under this level and type; undefined for none. */
  readonly ancillaryNumber: (level: number, type: number) => number | undefined;
}

/**
 * Returns the next datagram that has arrived; undefined if none has. Throws SystemError: ENOBUFS where datagrams were
 * lost because they were not fetched in time, EMSGSIZE for one that is too long.
 */
export function receiveDatagram(fd: number): ReceivedDatagram | undefined {
  message ??= new Message();
  const { bytes, ancillary, header, view } = message;
  view.setBigUint64(40, BigInt(ancillary.length), true);
  let length: number;
  try {
    const flags = MSG_DONTWAIT | MSG_TRUNC;
    length = retried("receive datagram", () =>
      calls().recvmsg(checkedInt(fd, "file descriptor"), header, flags),
    );
  } catch (error) {
    if (isSystemError(error, "EAGAIN")) return undefined;
    throw error;
  }
  if (length > bytes.length) throw new SystemError(`receive datagram of ${length} bytes`, 90);
  const ancillaryLength = Number(view.getBigUint64(40, true));
  return {
    bytes: bytes.subarray(0, length),
    ancillaryNumber: (level, type) => ancillaryNumber(ancillary.subarray(0, ancillaryLength), level, type),
  };
}

/** Looks through a chain of struct cmsghdr (cmsg(3)). */
function ancillaryNumber(bytes: Uint8Array<ArrayBuffer>, level: number, type: number): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at + ANCILLARY_HEADER_BYTES + 4 <= bytes.length) {
    const length = Number(view.getBigUint64(at, true));
    if (length < ANCILLARY_HEADER_BYTES) return undefined;
    if (view.getInt32(at + 8, true) === level && view.getInt32(at + 12, true) === type) {
      return view.getInt32(at + ANCILLARY_HEADER_BYTES, true);
    }
    at += (length + 7) & ~7;
  }
  return undefined;
}

/** Sends one datagram to the kernel's end of a socket; throws SystemError. */
export function sendDatagram(
  fd: number,
  bytes: Uint8Array<ArrayBuffer>,
  address: Uint8Array<ArrayBuffer>,
): void {
  checkedInt(fd, "file descriptor");
  retried("send datagram", () => libc.sendto(fd, bytes, bytes.length, 0, address, address.length));
}
