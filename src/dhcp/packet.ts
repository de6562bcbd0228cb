// A DHCP message in the IPv4 packet that carries it. A client without an address can't leave that to the kernel: it has to
// speak from 0.0.0.0, and to hear what is said to an address that it does not have (RFC 2131, section 4.1).
import { type Address, addressBytes, addressFromBytes } from "../ip/address.ts";

/** The UDP ports of DHCP. */
export const CLIENT_PORT = 68;
export const SERVER_PORT = 67;

const IP_HEADER_BYTES = 20;
const UDP_HEADER_BYTES = 8;
const UDP = 17;
const TIME_TO_LIVE = 64;

/** A UDP packet between a client and a server. */
export interface Packet {
  readonly source: Address;
  readonly destination: Address;
  readonly payload: Uint8Array;
}

/** Returns the packet of a client's message, with both headers (RFC 791, RFC 768). */
export function encodePacket({ source, destination, payload }: Packet): Uint8Array<ArrayBuffer> {
  const udpLength = UDP_HEADER_BYTES + payload.length;
  const bytes = new Uint8Array(new ArrayBuffer(IP_HEADER_BYTES + udpLength));
  const view = new DataView(bytes.buffer);
  view.setUint8(0, 0x45);
  // network control, as other clients mark it
  view.setUint8(1, 0x10);
  view.setUint16(2, bytes.length);
  view.setUint8(8, TIME_TO_LIVE);
  view.setUint8(9, UDP);
  bytes.set(addressBytes(source), 12);
  bytes.set(addressBytes(destination), 16);
  view.setUint16(10, checksum(bytes.subarray(0, IP_HEADER_BYTES)));
  view.setUint16(20, CLIENT_PORT);
  view.setUint16(22, SERVER_PORT);
  view.setUint16(24, udpLength);
  bytes.set(payload, IP_HEADER_BYTES + UDP_HEADER_BYTES);
  view.setUint16(26, udpChecksum(bytes, udpLength));
  return bytes;
}

/** The sum over addresses, protocol, length and the UDP packet; zero would mean that there is none. */
function udpChecksum(bytes: Uint8Array<ArrayBuffer>, udpLength: number): number {
  const pseudo = new Uint8Array(12 + udpLength);
  pseudo.set(bytes.subarray(12, 20));
  pseudo[9] = UDP;
  new DataView(pseudo.buffer).setUint16(10, udpLength);
  pseudo.set(bytes.subarray(IP_HEADER_BYTES), 12);
  return checksum(pseudo) || 0xffff;
}

/** Returns the internet checksum (RFC 1071). */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/**
 * Returns the packet that a server sent to a client; undefined for any other one, for a fragment, and for one that is cut.
 * The UDP checksum is not looked at: of a packet that never left this machine it is not filled in yet.
 */
export function decodePacket(bytes: Uint8Array): Packet | undefined {
  if (bytes.length < IP_HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerLength = (view.getUint8(0) & 0xf) * 4;
  const total = view.getUint16(2);
  if (view.getUint8(0) >> 4 !== 4 || headerLength < IP_HEADER_BYTES) return undefined;
  if (total > bytes.length || total < headerLength + UDP_HEADER_BYTES) return undefined;
  // the lowest bits are the place of a fragment, the one above them says that more follow
  if ((view.getUint16(6) & 0x3fff) !== 0 || view.getUint8(9) !== UDP) return undefined;
  if (checksum(bytes.subarray(0, headerLength)) !== 0) return undefined;
  const udpLength = view.getUint16(headerLength + 4);
  if (view.getUint16(headerLength) !== SERVER_PORT || view.getUint16(headerLength + 2) !== CLIENT_PORT) {
    return undefined;
  }
  if (udpLength < UDP_HEADER_BYTES || headerLength + udpLength > total) return undefined;
  return {
    source: addressFromBytes(bytes.subarray(12, 16)),
    destination: addressFromBytes(bytes.subarray(16, 20)),
    payload: bytes.subarray(headerLength + UDP_HEADER_BYTES, headerLength + udpLength),
  };
}
