// What the C library has for sockets beyond what netlink needs (libc.ts): bound when first used, for no plugin call
// needs them. Addresses are their raw bytes here, 4 or 16.
import { dlopen } from "bun:ffi";
import { checkedInt, LIBC, lastErrno, libc, memory, SystemError } from "./libc.ts";

// asm-generic/socket.h and linux/in.h, the same on x86_64 and arm64
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOL_SOCKET = 1;
export const EAGAIN = 11;

/** The longest of the structures below, sockaddr_in6. */
export const SOCKET_ADDRESS_BYTES = 28;

function bind() {
  return dlopen(LIBC, {
    accept4: { args: ["i32", "buffer", "buffer", "i32"], returns: "i32" },
    bind: { args: ["i32", "buffer", "u32"], returns: "i32" },
    connect: { args: ["i32", "buffer", "u32"], returns: "i32" },
    getsockname: { args: ["i32", "buffer", "buffer"], returns: "i32" },
    getsockopt: { args: ["i32", "i32", "i32", "buffer", "buffer"], returns: "i32" },
    listen: { args: ["i32", "i32"], returns: "i32" },
    ppoll: { args: ["buffer", "u64", "buffer", "ptr"], returns: "i32" },
    recvfrom: { args: ["i32", "buffer", "u64", "i32", "buffer", "buffer"], returns: "i32" },
    send: { args: ["i32", "buffer", "u64", "i32"], returns: "i32" },
  } as const).symbols;
}
let bound: ReturnType<typeof bind> | undefined;

/** Returns the C library's calls for sockets. */
export function socketCalls(): ReturnType<typeof bind> {
  bound ??= bind();
  return bound;
}

/** Returns struct sockaddr_in or sockaddr_in6 of an address of 4 or 16 bytes. */
export function socketAddress(address: Uint8Array, port: number): Uint8Array<ArrayBuffer> {
  const version6 = address.length === 16;
  const bytes = memory(version6 ? SOCKET_ADDRESS_BYTES : 16);
  bytes[0] = version6 ? AF_INET6 : AF_INET;
  new DataView(bytes.buffer).setUint16(2, checkedInt(port, "port"));
  bytes.set(address, version6 ? 8 : 4);
  return bytes;
}

/** Returns address and port in a struct sockaddr_in or sockaddr_in6. */
export function readSocketAddress(bytes: Uint8Array<ArrayBuffer>): {
  readonly address: Uint8Array<ArrayBuffer>;
  readonly port: number;
} {
  const port = new DataView(bytes.buffer, bytes.byteOffset).getUint16(2);
  return { address: bytes[0] === AF_INET6 ? bytes.slice(8, 24) : bytes.slice(4, 8), port };
}

/** Sets an option whose value is one or more `int`; throws SystemError. `what` says what it is for. */
export function setSocketOption(
  what: string,
  fd: number,
  { level, option }: { readonly level: number; readonly option: number },
  words: readonly number[],
): void {
  const value = new Int32Array(new ArrayBuffer(words.length * 4));
  value.set(words);
  const result = libc.setsockopt(fd, level, option, value, value.byteLength);
  if (result < 0) throw new SystemError(what, lastErrno());
}
