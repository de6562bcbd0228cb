// How the kernel spells a place below IP: an interface, a protocol and a hardware address.
import { checkedInt, memory } from "./libc.ts";

/** linux/if_packet.h */
export const AF_PACKET = 17;

/** struct sockaddr_ll: family, protocol, interface, hardware type, packet type, length of the address, address. */
export const LINK_ADDRESS_BYTES = 20;
const LENGTH_OFFSET = 11;
const HARDWARE_ADDRESS_OFFSET = 12;
const HARDWARE_ADDRESS_BYTES = 6;

/** Returns a struct sockaddr_ll; the protocol is one of linux/if_ether.h. */
export function linkAddress(
  index: number,
  protocol: number,
  hardwareAddress: Uint8Array = new Uint8Array(),
): Uint8Array<ArrayBuffer> {
  const address = memory(LINK_ADDRESS_BYTES);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, protocol);
  view.setInt32(4, checkedInt(index, "interface index"), true);
  address[LENGTH_OFFSET] = hardwareAddress.length;
  address.set(hardwareAddress.subarray(0, HARDWARE_ADDRESS_BYTES), HARDWARE_ADDRESS_OFFSET);
  return address;
}

/** Returns the hardware address in a struct sockaddr_ll, as a copy. */
export function hardwareAddressIn(address: Uint8Array): Uint8Array {
  return address.slice(HARDWARE_ADDRESS_OFFSET, HARDWARE_ADDRESS_OFFSET + HARDWARE_ADDRESS_BYTES);
}
