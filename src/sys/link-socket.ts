// A socket for IPv4 packets of one interface, below the kernel's own IP: for who has no address yet, and says which hardware
// address a packet goes to. It hears the UDP packets to one port only, whatever else comes.
import { Descriptor, isSystemError, libc, memory, retried } from "./libc.ts";
import { AF_PACKET, hardwareAddressIn, LINK_ADDRESS_BYTES, linkAddress } from "./link-address.ts";
import { attachFilter, type FilterInstruction } from "./multicast.ts";
import { socketCalls } from "./socket-calls.ts";

// linux/if_ether.h; SOCK_DGRAM leaves the link's header to the kernel
const SOCK_DGRAM_CLOEXEC_NONBLOCK = 0o2004002;
const ETH_P_IP = 0x0800;
const UDP = 17;

const LONGEST_PACKET_BYTES = 65_535;

// linux/bpf_common.h
const LOAD_BYTE = 0x30;
const LOAD_HALF = 0x28;
const LOAD_HALF_BEHIND_HEADER = 0x48;
const HEADER_LENGTH_TO_INDEX = 0xb1;
const JUMP_IF_EQUAL = 0x15;
const JUMP_IF_SET = 0x45;
const RETURN = 0x06;

/** Lets whole UDP packets to the port through, and the first piece of one in fragments. */
function portFilter(port: number): FilterInstruction[] {
  return [
    [LOAD_BYTE, 0, 0, 9],
    [JUMP_IF_EQUAL, 0, 6, UDP],
    [LOAD_HALF, 0, 0, 6],
    [JUMP_IF_SET, 4, 0, 0x1fff],
    [HEADER_LENGTH_TO_INDEX, 0, 0, 0],
    [LOAD_HALF_BEHIND_HEADER, 0, 0, 2],
    [JUMP_IF_EQUAL, 0, 1, port],
    [RETURN, 0, 0, LONGEST_PACKET_BYTES],
    [RETURN, 0, 0, 0],
  ];
}

/** What was received last, by whichever socket: hundreds of them may wait at once. */
let received: Uint8Array<ArrayBuffer> | undefined;

/** A packet that came, and the hardware address that it came from; valid until the next one is taken. */
export interface LinkPacket {
  readonly bytes: Uint8Array;
  readonly hardwareAddress: Uint8Array;
}

/** Speaks and hears on an interface. */
export class LinkSocket implements Disposable {
  readonly #descriptor: Descriptor;
  readonly #index: number;

  private constructor(descriptor: Descriptor, index: number) {
    this.#descriptor = descriptor;
    this.#index = index;
  }

  /**
   * Opens a socket on the interface number `index` of the calling thread's network namespace that hears UDP packets to
   * `port`. Throws SystemError, EPERM without CAP_NET_RAW.
   */
  static open(index: number, port: number): LinkSocket {
    // of no protocol, and so deaf, until it has its filter and its interface
    const descriptor = new Descriptor(
      retried("open packet socket", () => libc.socket(AF_PACKET, SOCK_DGRAM_CLOEXEC_NONBLOCK, 0)),
    );
    try {
      attachFilter(descriptor.fd, portFilter(port));
      const address = linkAddress(index, ETH_P_IP);
      retried("bind packet socket", () => socketCalls().bind(descriptor.fd, address, address.length));
    } catch (error) {
      descriptor.close();
      throw error;
    }
    return new LinkSocket(descriptor, index);
  }

  /** Sends an IPv4 packet to the hardware address; throws SystemError, ENETDOWN where the interface is down. */
  send(packet: Uint8Array<ArrayBuffer>, hardwareAddress: Uint8Array): void {
    const address = linkAddress(this.#index, ETH_P_IP, hardwareAddress);
    retried("send packet", () =>
      libc.sendto(this.#descriptor.fd, packet, packet.length, 0, address, address.length),
    );
  }

  /** Returns a packet that was heard; undefined if there is none now. Throws SystemError. */
  take(): LinkPacket | undefined {
    const address = memory(LINK_ADDRESS_BYTES);
    received ??= memory(LONGEST_PACKET_BYTES);
    const buffer = received;
    const length = new Uint32Array(new ArrayBuffer(4)).fill(address.length);
    try {
      const bytes = retried("receive packet", () =>
        socketCalls().recvfrom(this.#descriptor.fd, buffer, buffer.length, 0, address, length),
      );
      return { bytes: buffer.subarray(0, bytes), hardwareAddress: hardwareAddressIn(address) };
    } catch (error) {
      if (isSystemError(error, "EAGAIN")) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#descriptor.close();
  }
}
