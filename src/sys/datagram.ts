// Sockets that carry single packets, such as the ICMP of a reachability probe. A socket belongs for ever to the
// network namespace in which it was opened, so a probe opens its own inside a window and uses it outside.
import { dlopen } from "bun:ffi";
import { checkedInt, Descriptor, LIBC, lastErrno, libc, memory, retried, SystemError } from "./libc.ts";

// asm-generic/socket.h and linux/in.h, the same on x86_64 and arm64
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_RAW_CLOEXEC = 0o2000003;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const IP_RECVERR = { level: 0, option: 11 } as const;
const IPV6_RECVERR = { level: 41, option: 25 } as const;
const IP_MTU_DISCOVER = { level: 0, option: 10 } as const;
const IPV6_MTU_DISCOVER = { level: 41, option: 23 } as const;
/** IP_PMTUDISC_PROBE: never in fragments, and what the kernel remembers of the path is not asked. */
const NEVER_FRAGMENT = 3;
/** The largest packet that IP knows. */
const LONGEST_PACKET_BYTES = 65_536;

const EAGAIN = 11;

// bound when first used: no plugin needs it
let bound: ReturnType<typeof bind> | undefined;
function bind() {
  return dlopen(LIBC, {
    connect: { args: ["i32", "buffer", "u32"], returns: "i32" },
  } as const).symbols;
}

/** A raw socket that talks to one other address. */
export class PacketSocket implements Disposable {
  readonly #descriptor: Descriptor;
  readonly #destination: Uint8Array<ArrayBuffer>;
  readonly #received = memory(LONGEST_PACKET_BYTES);

  private constructor(descriptor: Descriptor, destination: Uint8Array<ArrayBuffer>) {
    this.#descriptor = descriptor;
    this.#destination = destination;
  }

  /**
   * Opens a socket of IP protocol number `protocol` to the address in `destination` (4 or 16 bytes), in the calling
   * thread's network namespace. Throws SystemError: EPERM without CAP_NET_RAW, ENETUNREACH without a route.
   */
  static open(destination: Uint8Array, protocol: number): PacketSocket {
    const version6 = destination.length === 16;
    const socket = new PacketSocket(
      new Descriptor(
        retried("open raw socket", () =>
          libc.socket(version6 ? AF_INET6 : AF_INET, SOCK_RAW_CLOEXEC, checkedInt(protocol, "protocol")),
        ),
      ),
      socketAddress(destination),
    );
    try {
      // what routers and the own kernel say about the way there arrives as the error of a receive
      const { level, option } = version6 ? IPV6_RECVERR : IP_RECVERR;
      socket.#setOption("report errors of the way", level, option, [1]);
      socket.#connect();
      return socket;
    } catch (error) {
      socket[Symbol.dispose]();
      throw error;
    }
  }

  /** From here on what is too long for the way is refused, with EMSGSIZE, and not sent in pieces. */
  refuseFragments(): void {
    const { level, option } = this.#destination[0] === AF_INET6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER;
    this.#setOption("send without fragments", level, option, [NEVER_FRAGMENT]);
  }

  /** Sends one packet; throws SystemError. */
  send(packet: Uint8Array<ArrayBuffer>): void {
    const { fd } = this.#descriptor;
    const { length } = this.#destination;
    retried("send packet", () => libc.sendto(fd, packet, packet.length, 0, this.#destination, length));
  }

  /**
   * Waits up to `timeoutMs` for one packet, which is valid until the next call; undefined if none came. Throws
   * SystemError, EHOSTUNREACH and the like for what was said about an earlier packet.
   */
  receive(timeoutMs: number): Uint8Array | undefined {
    const { fd } = this.#descriptor;
    // struct timeval, where zero would mean to wait for ever
    const microseconds = Math.max(1, Math.round(timeoutMs * 1000));
    const words = [Math.floor(microseconds / 1e6), 0, microseconds % 1e6, 0];
    this.#setOption("limit the waiting time", SOL_SOCKET, SO_RCVTIMEO, words);
    try {
      const length = retried("receive packet", () => libc.recv(fd, this.#received, this.#received.length, 0));
      return this.#received.subarray(0, length);
    } catch (error) {
      if (error instanceof SystemError && error.errno === EAGAIN) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#descriptor.close();
  }

  /** A connected socket hears nobody else, and gets the errors of its own packets. */
  #connect(): void {
    bound ??= bind();
    const { connect } = bound;
    const { fd } = this.#descriptor;
    const { length } = this.#destination;
    retried("connect raw socket", () => connect(fd, this.#destination, length));
  }

  #setOption(what: string, level: number, option: number, words: readonly number[]): void {
    const value = new Int32Array(new ArrayBuffer(words.length * 4));
    value.set(words);
    const result = libc.setsockopt(this.#descriptor.fd, level, option, value, value.byteLength);
    if (result < 0) throw new SystemError(what, lastErrno());
  }
}

/** Returns struct sockaddr_in or sockaddr_in6 with port 0. */
function socketAddress(address: Uint8Array): Uint8Array<ArrayBuffer> {
  const version6 = address.length === 16;
  const bytes = memory(version6 ? 28 : 16);
  bytes[0] = version6 ? AF_INET6 : AF_INET;
  bytes.set(address, version6 ? 8 : 4);
  return bytes;
}
