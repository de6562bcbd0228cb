// The kernel as netlink sees it: something that takes bytes and gives bytes. It is an interface so that in tests
// the kernel can be a plain function; the real one is a socket of the network namespace in which it was opened.
import { checkedInt, Descriptor, lastErrno, libc, memory, retried, SystemError } from "../sys/libc.ts";

/** Where requests go to and answers come from. */
export interface Kernel {
  /** Sends one datagram, which may hold several messages; throws SystemError. */
  send(datagram: Uint8Array<ArrayBuffer>): void;
  /** Waits for one datagram, which is valid until the next call; throws SystemError, EAGAIN after the time limit. */
  receive(): Uint8Array;
  close(): void;
}

/** How long an answer may take. The kernel answers within milliseconds, so this only keeps us from hanging. */
export const ANSWER_LIMIT_SECONDS = 5;

// NETLINK_ROUTE, NETLINK_CONNECTOR, NETLINK_NETFILTER and NETLINK_GENERIC, linux/netlink.h
const PROTOCOLS = { route: 0, connector: 11, netfilter: 12, generic: 16 } as const;

/**
 * A family of netlink: `route` for links, addresses and routes, `netfilter` for nf_tables, `connector` for processes,
 * `generic` for parts of the kernel that have none of their own.
 */
export type Family = keyof typeof PROTOCOLS;

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 0o2000003; // SOCK_CLOEXEC is O_CLOEXEC, the same on x86_64 and arm64
const MSG_TRUNC = 0x20;
/** Socket options as such, and those of netlink (asm-generic/socket.h, linux/socket.h). */
export const SOL_SOCKET = 1;
export const SOL_NETLINK = 270;
const SO_RCVTIMEO = 20;
const SO_SNDBUFFORCE = 32;
/** How much may wait to be received, whatever the limit for others is. */
export const SO_RCVBUFFORCE = 33;
const NETLINK_CAP_ACK = 10; // errors repeat only the header of the request
const NETLINK_EXT_ACK = 11; // errors carry the kernel's words
const NETLINK_GET_STRICT_CHK = 12; // dumps honour filters, and refuse those that they don't know

// Every answer of a batch waits in the receive buffer while the batch runs, and is charged about 1 KiB or more.
const RECEIVE_BUFFER_BYTES = 4 << 20;
// A datagram must fit the send buffer; the usual limit of 208 KiB is enough for all but large sets.
const USUAL_SEND_BYTES = 128 << 10;
// Dumps come in pieces as large as the buffer that waits for them, up to 32 KiB; an echo may be larger.
const DATAGRAM_LIMIT_BYTES = 64 << 10;

// One datagram is read and decoded before the next is asked for, so all sockets can share the memory.
let datagram: Uint8Array<ArrayBuffer> | undefined;

/** Sets an option of a socket to these 32-bit words; returns what the kernel returns. */
export function setOption(fd: number, level: number, option: number, ...words: number[]): number {
  const value = new Int32Array(new ArrayBuffer(words.length * 4));
  value.set(words);
  return libc.setsockopt(fd, level, option, value, value.byteLength);
}

/** Opens the bare socket of a family in the current network namespace of the calling thread; throws SystemError. */
export function openSocket(family: Family): Descriptor {
  return new Descriptor(
    retried("open netlink socket", () => libc.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, PROTOCOLS[family])),
  );
}

/** Returns struct sockaddr_nl: port 0, which is the kernel, and the multicast groups as bits. */
export function netlinkAddress(groups = 0): Uint8Array<ArrayBuffer> {
  const address = memory(12);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_NETLINK, true);
  view.setUint32(8, groups, true);
  return address;
}

/**
 * Opens a netlink socket in the current network namespace of the calling thread, to which it then belongs for ever.
 * Throws SystemError.
 */
export function openKernel(family: Family): Kernel {
  const socket = openSocket(family);
  const { fd } = socket;
  // struct timeval: two 64-bit numbers, seconds and microseconds.
  if (setOption(fd, SOL_SOCKET, SO_RCVTIMEO, ANSWER_LIMIT_SECONDS, 0, 0, 0) < 0) {
    const errno = lastErrno();
    socket.close();
    throw new SystemError("limit the waiting time of a netlink socket", errno);
  }
  // What these give is missed, not needed: more room, words beside errors, filtered dumps.
  setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES);
  setOption(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
  setOption(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
  setOption(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
  const address = netlinkAddress();
  return {
    send(bytes) {
      if (bytes.length > USUAL_SEND_BYTES) setOption(socket.fd, SOL_SOCKET, SO_SNDBUFFORCE, bytes.length * 2);
      checkedInt(bytes.length, "datagram length");
      retried("netlink send", () => libc.sendto(socket.fd, bytes, bytes.length, 0, address, address.length));
    },
    receive() {
      datagram ??= memory(DATAGRAM_LIMIT_BYTES);
      const buffer = datagram;
      const length = retried("netlink receive", () => libc.recv(socket.fd, buffer, buffer.length, MSG_TRUNC));
      // With MSG_TRUNC the length is the datagram's own, also when the buffer was too small for it.
      if (length > buffer.length) throw new SystemError(`netlink receive of ${length} bytes`, 90);
      return buffer.subarray(0, length);
    },
    close() {
      socket.close();
    },
  };
}
