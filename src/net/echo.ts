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

/** How often to ask, and how long to wait for each answer. */
export interface PingOptions {
  readonly count?: number;
  readonly timeoutMs?: number;
  /** How many bytes the packet carries beside its headers, an even number; 56 if left out. */
  readonly payloadBytes?: number;
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
  const identifier = crypto.getRandomValues(new Uint16Array(1))[0] ?? 0;
  try {
    using socket = openSocket(from, destination);
    if (options.unfragmented === true) socket.refuseFragments();
    return Array.from({ length: count }, (_, index) => {
      const request = echoRequest(destination, identifier, index + 1, payloadBytes);
      const sentAt = performance.now();
      socket.send(request);
      awaitReply(socket, destination, request, sentAt + timeoutMs, timeoutMs);
      return performance.now() - sentAt;
    });
  } catch (error) {
    const reason = reasonOf(error);
    if (reason === undefined) throw error;
    throw new UnreachableError(destination, reason, { cause: error });
  }
}

function openSocket(from: Netns | undefined, destination: Address): PacketSocket {
  const open = () => PacketSocket.open(addressBytes(destination), PROTOCOLS[destination.family].number);
  return from === undefined ? open() : inNetns(from, open);
}

/** What the kernel's errors about the way to an address mean; undefined for errors of another kind. */
function reasonOf(error: unknown): string | undefined {
  if (isSystemError(error, "ENETUNREACH")) return "there is no route to it";
  if (isSystemError(error, "EHOSTUNREACH")) return "nobody on its network has the address";
  if (isSystemError(error, "EACCES", "EPERM", "ECONNREFUSED") && error.call !== "open raw socket")
    return `it is refused on the way (${error.errnoName})`;
  if (isSystemError(error, "EADDRNOTAVAIL", "ENETDOWN"))
    return `its network is not up here (${error.errnoName})`;
  if (isSystemError(error, "EMSGSIZE")) return "the packet is too long for the way in one piece";
  // fe80::/10 is on every link at once
  if (isSystemError(error, "EINVAL") && error.call === "connect raw socket")
    return "a link-local address needs an interface, which a probe can't name";
  return undefined;
}

function echoRequest(
  destination: Address,
  identifier: number,
  sequence: number,
  payloadBytes: number,
): Uint8Array<ArrayBuffer> {
  const packet = memory(HEADER_BYTES + payloadBytes);
  const view = new DataView(packet.buffer);
  view.setUint8(0, PROTOCOLS[destination.family].request);
  view.setUint16(4, identifier);
  view.setUint16(6, sequence);
  for (let index = 0; index < payloadBytes; index++) packet[HEADER_BYTES + index] = index;
  // for ICMPv6 the kernel does it, because the sum covers the source address, which it chooses
  if (destination.family === 4) view.setUint16(2, checksum(view));
  return packet;
}

/** The Internet checksum (RFC 1071) of an even number of bytes. */
function checksum(view: DataView): number {
  let sum = 0;
  for (let offset = 0; offset < view.byteLength; offset += 2) sum += view.getUint16(offset);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Returns when the answer to `request` has come; a raw socket hears other echoes too, and our own on loopback. */
function awaitReply(
  socket: PacketSocket,
  destination: Address,
  request: Uint8Array,
  deadlineMs: number,
  timeoutMs: number,
): void {
  for (;;) {
    const leftMs = deadlineMs - performance.now();
    const packet = leftMs > 0 ? socket.receive(leftMs) : undefined;
    if (packet === undefined) throw new UnreachableError(destination, `nothing came within ${timeoutMs} ms`);
    // an IPv4 raw socket gets the IP header as well; its length is counted in words of four bytes
    const reply = destination.family === 4 ? packet.subarray(((packet[0] ?? 0) & 0xf) * 4) : packet;
    if (reply[0] !== PROTOCOLS[destination.family].reply) continue;
    // identifier, sequence number and payload come back as they were sent
    if (Buffer.compare(reply.subarray(4), request.subarray(4)) === 0) return;
  }
}
