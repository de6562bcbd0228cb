// What the kernel tells without being asked: messages to multicast groups, which come as things happen. Nobody waits for
// a slow listener, so what can be lost is told as lost.
import { type Descriptor, isSystemError } from "../sys/libc.ts";
import {
  attachFilter,
  awaitReadable,
  bindSocket,
  type FilterInstruction,
  receiveDatagram,
  sendDatagram,
} from "../sys/multicast.ts";
import {
  type Family,
  netlinkAddress,
  openSocket,
  SO_RCVBUFFORCE,
  SOL_NETLINK,
  SOL_SOCKET,
  setOption,
} from "./kernel.ts";

/** NETLINK_LISTEN_ALL_NSID, linux/netlink.h */
const LISTEN_ALL_NSID = 8;
/** NETLINK_NO_ENOBUFS is left alone: what was lost has to be known. */
const RECEIVE_BUFFER_BYTES = 8 << 20;

/** One datagram, or the word that some were lost. */
export type Heard =
  | {
      readonly kind: "datagram";
      /** Valid until the next one is asked for. */
      readonly bytes: Uint8Array;
      /** The number by which the socket's namespace knows the one that this comes from; undefined for its own. */
      readonly namespaceId: number | undefined;
    }
  | { readonly kind: "lost" };

/** A socket that listens; closed by `using`. */
export class NetlinkListener implements Disposable {
  readonly #socket: Descriptor;

  private constructor(socket: Descriptor) {
    this.#socket = socket;
  }

  /**
   * Opens a socket that hears these groups, numbered from 1, in the current network namespace of the calling thread, and
   * with `allNamespaces` in all others that have a number there. Throws SystemError, EPERM where that is not allowed.
   */
  static open(
    family: Family,
    groups: readonly number[],
    { allNamespaces = false }: { readonly allNamespaces?: boolean } = {},
  ): NetlinkListener {
    const socket = openSocket(family);
    try {
      setOption(socket.fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES);
      if (allNamespaces) setOption(socket.fd, SOL_NETLINK, LISTEN_ALL_NSID, 1);
      const bits = groups.reduce((all, group) => (all | (1 << (group - 1))) >>> 0, 0);
      bindSocket(socket.fd, netlinkAddress(bits), `netlink socket to groups ${groups.join(", ")}`);
      return new NetlinkListener(socket);
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  /** Sends a message to the kernel; throws SystemError. */
  send(bytes: Uint8Array<ArrayBuffer>): void {
    sendDatagram(this.#socket.fd, bytes, netlinkAddress());
  }

  /** Hears from now on only what the program lets through; throws SystemError. */
  filter(program: readonly FilterInstruction[]): void {
    attachFilter(this.#socket.fd, program);
  }

  /** Waits until there is something to hear, at most so long; false if there is nothing, or a signal came. */
  wait(timeoutMs: number): boolean {
    return NetlinkListener.waitForAny([this], timeoutMs);
  }

  /** Waits until one of them has something to hear, as `wait`. */
  static waitForAny(listeners: readonly NetlinkListener[], timeoutMs: number): boolean {
    return awaitReadable(
      listeners.map((listener) => listener.#socket.fd),
      timeoutMs,
    );
  }

  /** Returns what comes next; undefined if nothing has come. Throws SystemError. */
  next(): Heard | undefined {
    try {
      const datagram = receiveDatagram(this.#socket.fd);
      if (datagram === undefined) return undefined;
      const namespaceId = datagram.ancillaryNumber(SOL_NETLINK, LISTEN_ALL_NSID);
      return { kind: "datagram", bytes: datagram.bytes, namespaceId };
    } catch (error) {
      if (isSystemError(error, "ENOBUFS")) return { kind: "lost" };
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}
