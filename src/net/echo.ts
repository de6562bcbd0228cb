// Is an address reachable from a namespace? Our own ICMP echo, so that no ping program is needed on the host: the
// socket is opened inside the namespace, and the kernel that has the address answers.
import { type Address, addressBytes, formatAddress } from "../ip/address.ts";
import { PacketSocket } from "../sys/datagram.ts";
import { isSystemError, memory } from "../sys/libc.ts";
import { inNetns, type Netns } from "./netns.ts";

/** What differs between ICMP (RFC 792) and ICMPv6 (RFC 4443); the echo itself is laid out alike. */
const PROTOCOLS = {
  4: { number: 1, request: 8, reply: 0 },
  6: { number: 58, request: 128, reply: 129 },
} as const;

const HEADER_BYTES = 8;
/** What other ping programs send. */
const PAYLOAD_BYTES = 56;

const DEFAULT_COUNT = 3;
const DEFAULT_TIMEOUT_MS = 1000;

/** An address that did not answer, and why, as far as anybody said. */
export class UnreachableError extends Error {
  override readonly name = "UnreachableError";

  constructor(
    readonly destination: Address,
    readonly reason: string,
    options?: { readonly cause?: unknown },
  ) {
    super(`${formatAddress(destination)} does not answer: ${reason}`, options);
  }
}

/** Asks one address for echoes, over a socket of its own. */
export class EchoSocket implements Disposable {
  readonly #socket: PacketSocket;
  readonly #destination: Address;
  readonly #identifier = crypto.getRandomValues(new Uint16Array(1))[0] ?? 0;

  private constructor(socket: PacketSocket, destination: Address) {
    this.#socket = socket;
    this.#destination = destination;
  }

  /**
   * Opens the socket in the namespace `from`, or in this process's own; it asks from `source`, or from the address that
   * the kernel chooses. Throws SystemError: EPERM without CAP_NET_RAW, and what `reasonOf` knows for an address that can't
   * be reached.
   */
  static open(from: Netns | undefined, destination: Address, source?: Address): EchoSocket {
    const { number } = PROTOCOLS[destination.family];
    const own = source && addressBytes(source);
    const open = () => PacketSocket.open(addressBytes(destination), number, own);
    return new EchoSocket(from === undefined ? open() : inNetns(from, open), destination);
  }

  /** Sends every request whole from now on, or not at all: then `send` or `receive` throws EMSGSIZE. */
  refuseFragments(): void {
    this.#socket.refuseFragments();
  }

  /** Sends request number `sequence`, which is less than 2^16. Throws SystemError as PacketSocket. */
  send(sequence: number, payloadBytes = PAYLOAD_BYTES): void {
    this.#socket.send(this.#request(sequence, payloadBytes));
  }

  /**
   * Waits up to `timeoutMs` for an answer and returns the number of its request; undefined if none came. Throws
   * SystemError for what was said about an earlier request.
   */
  receive(timeoutMs: number): number | undefined {
    const deadlineMs = performance.now() + timeoutMs;
    for (let leftMs = timeoutMs; leftMs > 0; leftMs = deadlineMs - performance.now()) {
      const packet = this.#socket.receive(leftMs);
      if (packet === undefined) return undefined;
      const sequence = this.#answered(packet);
      if (sequence !== undefined) return sequence;
    }
    return undefined;
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }

  /** A raw socket hears echoes that others asked for, too, and our own questions on loopback. */
  #answered(packet: Uint8Array): number | undefined {
    const { family } = this.#destination;
    // an IPv4 raw socket gets the IP header as well; its length is counted in words of four bytes
    const reply = family === 4 ? packet.subarray(((packet[0] ?? 0) & 0xf) * 4) : packet;
    if (reply[0] !== PROTOCOLS[family].reply || reply.length < HEADER_BYTES) return undefined;
    const sequence = new DataView(reply.buffer, reply.byteOffset).getUint16(6);
    // identifier, sequence number and payload come back as they were sent
    const request = this.#request(sequence, reply.length - HEADER_BYTES);
    return Buffer.compare(reply.subarray(4), request.subarray(4)) === 0 ? sequence : undefined;
  }

  #request(sequence: number, payloadBytes: number): Uint8Array<ArrayBuffer> {
    const packet = memory(HEADER_BYTES + payloadBytes);
    const view = new DataView(packet.buffer);
    view.setUint8(0, PROTOCOLS[this.#destination.family].request);
    view.setUint16(4, this.#identifier);
    view.setUint16(6, sequence);
    for (let index = 0; index < payloadBytes; index++) packet[HEADER_BYTES + index] = index;
    // for ICMPv6 the kernel does it, because the sum covers the source address, which it chooses
    if (this.#destination.family === 4) view.setUint16(2, checksum(packet));
    return packet;
  }
}

/** How often to ask, and how long to wait for each answer. */
export interface PingOptions {
  readonly count?: number;
  readonly timeoutMs?: number;
  /** How many bytes the packet carries beside its headers; 56 if left out. */
  readonly payloadBytes?: number;
  /** The address that the question comes from, and the answer goes to; the kernel's choice if left out. */
  readonly source?: Address | undefined;
  /** True sends in one piece or not at all, so that a size that passes is a size that the way can carry. */
  readonly unfragmented?: boolean;
}

/**
 * Asks `destination` for an echo `count` times, one after the other, from the namespace `from` or, if undefined,
 * from this process's own. Returns the round-trip times in milliseconds. Throws UnreachableError at the first
 * request without an answer, SystemError where raw sockets are not allowed (CAP_NET_RAW).
 */
export function ping(from: Netns | undefined, destination: Address, options: PingOptions = {}): number[] {
  const { count = DEFAULT_COUNT, timeoutMs = DEFAULT_TIMEOUT_MS, payloadBytes = PAYLOAD_BYTES } = options;
  try {
    using socket = EchoSocket.open(from, destination, options.source);
    if (options.unfragmented === true) socket.refuseFragments();
    return Array.from({ length: count }, (_, index) => {
      const sentAt = performance.now();
      socket.send(index & 0xffff, payloadBytes);
      awaitAnswer(socket, destination, index & 0xffff, sentAt + timeoutMs, timeoutMs);
      return performance.now() - sentAt;
    });
  } catch (error) {
    const reason = reasonOf(error);
    if (reason === undefined) throw error;
    throw new UnreachableError(destination, reason, { cause: error });
  }
}

function awaitAnswer(
  socket: EchoSocket,
  destination: Address,
  sequence: number,
  deadlineMs: number,
  timeoutMs: number,
): void {
  for (;;) {
    const answered = socket.receive(deadlineMs - performance.now());
    if (answered === undefined) {
      throw new UnreachableError(destination, `nothing came within ${timeoutMs} ms`);
    }
    if (answered === sequence) return;
  }
}

/** Returns what the kernel's errors about the way to an address mean; undefined for errors of another kind. */
export function reasonOf(error: unknown): string | undefined {
  if (isSystemError(error, "ENETUNREACH")) return "there is no route to it";
  if (isSystemError(error, "EHOSTUNREACH")) return "nobody on its network has the address";
  if (isSystemError(error, "EACCES", "EPERM", "ECONNREFUSED") && error.call !== "open raw socket")
    return `it is refused on the way (${error.errnoName})`;
  if (isSystemError(error, "EADDRNOTAVAIL", "ENETDOWN"))
    return `its network is not up here (${error.errnoName})`;
  if (isSystemError(error, "EMSGSIZE")) return "the packet is too long for the way in one piece";
  if (isSystemError(error, "ENOBUFS")) return "what holds up packets here dropped it (ENOBUFS)";
  // fe80::/10 is on every link at once
  if (isSystemError(error, "EINVAL") && error.call === "connect raw socket")
    return "a link-local address needs an interface, which a probe can't name";
  return undefined;
}

/** The Internet checksum (RFC 1071). */
function checksum(packet: Uint8Array): number {
  let sum = 0;
  for (const [index, byte] of packet.entries()) sum += index % 2 === 0 ? byte << 8 : byte;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
