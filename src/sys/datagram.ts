// Sockets that carry single packets, such as the ICMP of a reachability probe. A socket belongs for ever to the
// network namespace in which it was opened, so a probe opens its own inside a window and uses it outside.
import { checkedInt, Descriptor, libc, memory, retried, SystemError } from "./libc.ts";
import {
  AF_INET,
  AF_INET6,
  EAGAIN,
  SOL_SOCKET,
  setSocketOption,
  socketAddress,
  socketCalls,
} from "./socket-calls.ts";

// asm-generic/socket.h and linux/in.h, the same on x86_64 and arm64
const SOCK_RAW_CLOEXEC = 0o2000003;
const SO_RCVTIMEO = { level: SOL_SOCKET, option: 20 } as const;
const IP_MTU_DISCOVER = { level: 0, option: 10 } as const;
const IP_RECVERR = { level: 0, option: 11 } as const;
const IPV6_MTU_DISCOVER = { level: 41, option: 23 } as const;
const IPV6_RECVERR = { level: 41, option: 25 } as const;
const IPV6_DONTFRAG = { level: 41, option: 62 } as const;
/** Never in fragments, whatever the kernel has heard about the way: for who wants to find that out. */
const PMTUDISC_PROBE = 3;

/** No IP packet is longer. */
const LONGEST_PACKET_BYTES = 65_535;

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
   * thread's network namespace; its packets come from `source`, or from the address that the kernel chooses. Throws
   * SystemError: EPERM without CAP_NET_RAW, ENETUNREACH without a route, EADDRNOTAVAIL for a source that is not ours.
   */
  static open(destination: Uint8Array, protocol: number, source?: Uint8Array): PacketSocket {
    const version6 = destination.length === 16;
    const socket = new PacketSocket(
      new Descriptor(
        retried("open raw socket", () =>
          libc.socket(version6 ? AF_INET6 : AF_INET, SOCK_RAW_CLOEXEC, checkedInt(protocol, "protocol")),
        ),
      ),
      socketAddress(destination, 0),
    );
    try {
      // what routers and the own kernel say about the way there arrives as the error of a receive
      socket.#setOption("report errors of the way", version6 ? IPV6_RECVERR : IP_RECVERR, [1]);
      if (source !== undefined) socket.#bind(socketAddress(source, 0));
      socket.#connect();
      return socket;
    } catch (error) {
      socket[Symbol.dispose]();
      throw error;
    }
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
    this.#setOption("limit the waiting time", SO_RCVTIMEO, words);
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

  /** Sends every packet whole from now on, or not at all: then `send` or `receive` throws EMSGSIZE. */
  refuseFragments(): void {
    const version6 = this.#destination[0] === AF_INET6;
    this.#setOption("send no fragments", version6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, [PMTUDISC_PROBE]);
    if (version6) this.#setOption("send no fragments", IPV6_DONTFRAG, [1]);
  }

  #bind(source: Uint8Array<ArrayBuffer>): void {
    const { fd } = this.#descriptor;
    retried("bind raw socket", () => socketCalls().bind(fd, source, source.length));
  }

  /** A connected socket hears nobody else, and gets the errors of its own packets. */
  #connect(): void {
    const { fd } = this.#descriptor;
    const { length } = this.#destination;
    retried("connect raw socket", () => socketCalls().connect(fd, this.#destination, length));
  }

  #setOption(
    what: string,
    option: { readonly level: number; readonly option: number },
    words: readonly number[],
  ): void {
    setSocketOption(what, this.#descriptor.fd, option, words);
  }
}
