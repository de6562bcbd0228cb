// What is on a wire: the frames of an interface, counted by what they are and between whom they go. Nothing of what they
// carry is kept.
import { addressFromBytes, formatAddress } from "../ip/address.ts";
import { FrameSocket } from "../sys/frame-socket.ts";
import { connectInside } from "./connection.ts";
import { inNetns, type Netns } from "./netns.ts";
import { findLink } from "./veth.ts";

/** Frames of one kind. */
export interface WireTraffic {
  /** Such as `UDP`; `neighbours` is who asks who has an address, by ARP or ICMPv6. */
  readonly what: string;
  readonly from: string;
  readonly to: string;
  /** The port that they go to; undefined where there are none. */
  readonly port: number | undefined;
  readonly packets: number;
}

/** The interface is not there. */
class NoInterfaceError extends Error {
  override readonly name = "NoInterfaceError";

  constructor(netns: Netns, name: string) {
    super(`there is no interface ${JSON.stringify(name)} in ${netns.path}`);
  }
}

const HEADER_BYTES = 14;
const PROTOCOLS: Readonly<Record<number, string>> = { 1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6" };
/** Multicast listeners, routers and neighbours (RFC 2710, RFC 4861, RFC 3810). */
const HOUSEKEEPING: readonly number[] = [130, 131, 132, 133, 134, 135, 136, 143];

/** Counts the frames of one interface. */
export class WireWatch implements Disposable {
  readonly #counts = new Map<string, WireTraffic>();

  private constructor(private readonly socket: FrameSocket) {}

  /** Begins to hear an interface of the namespace. Throws NoInterfaceError, NetlinkError or SystemError. */
  static open(netns: Netns, name: string): WireWatch {
    using inside = connectInside(netns);
    const link = findLink(inside, name);
    if (link === undefined) throw new NoInterfaceError(netns, name);
    return new WireWatch(inNetns(netns, () => FrameSocket.open(link.index)));
  }

  /** Counts what was heard since the last time. Throws SystemError. */
  listen(): void {
    for (let frame = this.socket.take(); frame !== undefined; frame = this.socket.take()) {
      const traffic = trafficOf(frame);
      const key = JSON.stringify([traffic.what, traffic.from, traffic.to, traffic.port]);
      const known = this.#counts.get(key);
      this.#counts.set(key, { ...traffic, packets: (known?.packets ?? 0) + 1 });
    }
  }

  /** Returns all that was counted, the most first. */
  traffic(): WireTraffic[] {
    return [...this.#counts.values()].toSorted((a, b) => b.packets - a.packets);
  }

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
  }
}

type Kind = Omit<WireTraffic, "packets">;

function trafficOf(frame: Uint8Array): Kind & { readonly packets: 1 } {
  return { ...kindOf(frame), packets: 1 };
}

function kindOf(frame: Uint8Array): Kind {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const type = frame.length < HEADER_BYTES ? 0 : view.getUint16(12);
  const packet = frame.subarray(HEADER_BYTES);
  if (type === 0x0800 && packet.length >= 20) return version4(packet);
  if (type === 0x86dd && packet.length >= 40) return version6(packet);
  const what = type === 0x0806 ? "neighbours" : `frame of type 0x${type.toString(16).padStart(4, "0")}`;
  return { what, from: "", to: "", port: undefined };
}

function version4(packet: Uint8Array): Kind {
  const header = ((packet[0] ?? 0) & 0xf) * 4;
  return ipPacket(packet[9] ?? 0, packet.slice(12, 16), packet.slice(16, 20), packet.subarray(header));
}

function version6(packet: Uint8Array): Kind {
  const next = packet[6] ?? 0;
  const [from, to] = [packet.slice(8, 24), packet.slice(24, 40)];
  // a report of a multicast listener comes behind an option for routers (hop-by-hop, 8 bytes)
  if (next === 0 && packet[40] === 58) return ipPacket(58, from, to, packet.subarray(48));
  return ipPacket(next, from, to, packet.subarray(40));
}

function ipPacket(protocol: number, from: Uint8Array, to: Uint8Array, payload: Uint8Array): Kind {
  if (protocol === 58 && HOUSEKEEPING.includes(payload[0] ?? 0)) {
    return { what: "neighbours", from: "", to: "", port: undefined };
  }
  const hasPorts = (protocol === 6 || protocol === 17) && payload.length >= 4;
  return {
    what: PROTOCOLS[protocol] ?? `IP protocol ${protocol}`,
    from: formatAddress(addressFromBytes(from)),
    to: formatAddress(addressFromBytes(to)),
    port: hasPorts ? ((payload[2] ?? 0) << 8) | (payload[3] ?? 0) : undefined,
  };
}
