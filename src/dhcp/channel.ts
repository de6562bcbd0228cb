// The way from a container's interface to a DHCP server, as long as somebody waits for an answer: a socket in the container's
// namespace that needs no address there.
import { addressBytes, formatAddress } from "../ip/address.ts";
import { parseHardwareAddress } from "../ip/hardware-address.ts";
import { connectInside } from "../net/connection.ts";
import { bringDown, bringUp, setMtu } from "../net/interface.ts";
import { inNetns, type Netns } from "../net/netns.ts";
import { findLink, type Link } from "../net/veth.ts";
import { InetSocket } from "../sys/inet-socket.ts";
import { isSystemError } from "../sys/libc.ts";
import { LinkSocket } from "../sys/link-socket.ts";
import type { Outgoing } from "./client.ts";
import { type DhcpMessage, decodeMessage, encodeMessage } from "./message.ts";
import { CLIENT_PORT, decodePacket, encodePacket, SERVER_PORT } from "./packet.ts";

const EVERYBODY = new Uint8Array(6).fill(0xff);
const BROADCAST = { family: 4, value: 0xffff_ffffn } as const;

/** Whoever floods an interface must not keep all others from their answers. */
const PACKETS_A_LOOK = 64;

/** A container's interface that is not fit for DHCP. */
export class InterfaceError extends Error {
  override readonly name = "InterfaceError";
}

/** What a server said. */
export interface HeardMessage {
  readonly message: DhcpMessage;
  /** The message as it came, for the store. */
  readonly payload: Uint8Array;
  readonly hardwareAddress: Uint8Array;
}

/** An open way. */
export class Channel implements Disposable {
  private constructor(
    private readonly socket: LinkSocket,
    /** Has the port, so that the kernel does not tell servers that nobody listens there; what it hears is not read. */
    private readonly port: InetSocket | undefined,
    readonly hardwareAddress: Uint8Array,
    /** An interface without a hardware address of its own hears nothing but what everybody hears. */
    readonly needsBroadcast: boolean,
  ) {}

  /** Opens the interface, and brings it up if it is down. Throws InterfaceError, NetnsError, NetlinkError, SystemError. */
  static open(netns: Netns, ifname: string): Channel {
    using inside = connectInside(netns);
    const link = requireLink(findLink(inside, ifname), netns, ifname);
    const hardwareAddress = parseHardwareAddress(link.address);
    if (hardwareAddress === undefined) {
      throw new InterfaceError(
        `interface ${ifname} in ${netns.path} has no Ethernet address: DHCP needs one`,
      );
    }
    if (!link.up) bringUp(inside, link.index);
    return inNetns(netns, () => {
      const socket = LinkSocket.open(link.index, CLIENT_PORT);
      return new Channel(socket, clientPort(), hardwareAddress, link.kind === "ipvlan");
    });
  }

  /** Sends a message, to the server's hardware address where it is for the server. Throws SystemError. */
  send({ message, source, to }: Outgoing, server: Uint8Array): void {
    const packet = encodePacket({ source, destination: to ?? BROADCAST, payload: encodeMessage(message) });
    this.socket.send(packet, to === undefined ? EVERYBODY : server);
  }

  /** Returns what servers have said since the last look, a few messages at most. Throws SystemError. */
  take(): HeardMessage[] {
    const messages: HeardMessage[] = [];
    for (let packets = 0; packets < PACKETS_A_LOOK; packets++) {
      const heard = this.socket.take();
      if (heard === undefined) break;
      const packet = decodePacket(heard.bytes);
      const message = packet === undefined ? undefined : decodeMessage(packet.payload);
      // what is no message of a server is nobody's question
      if (packet === undefined || message === undefined) continue;
      messages.push({ message, payload: packet.payload.slice(), hardwareAddress: heard.hardwareAddress });
    }
    return messages;
  }

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
    this.port?.[Symbol.dispose]();
  }
}

function requireLink(link: Link | undefined, netns: Netns, ifname: string): Link {
  if (link !== undefined) return link;
  throw new InterfaceError(`interface ${ifname} is not in ${netns.path}`);
}

function clientPort(): InetSocket | undefined {
  const socket = InetSocket.open("udp", 4);
  try {
    socket.bind({ address: new Uint8Array(4), port: CLIENT_PORT });
    return socket;
  } catch (error) {
    socket[Symbol.dispose]();
    // another interface of the container, or a client of its own, has the port, which does as well
    if (isSystemError(error, "EADDRINUSE", "EACCES")) return undefined;
    throw error;
  }
}

/** Takes the interface of a container down, whose address is somebody else's by now; a missing one is down. */
export function closeInterface(netns: Netns, ifname: string): void {
  using inside = connectInside(netns);
  const link = findLink(inside, ifname);
  if (link !== undefined) bringDown(inside, link.index);
}

/** Lets an interface send no larger packets than this; one that sends smaller ones stays as it is. */
export function limitMtu(netns: Netns, ifname: string, mtu: number): void {
  using inside = connectInside(netns);
  const link = requireLink(findLink(inside, ifname), netns, ifname);
  if (link.mtu > mtu) setMtu(inside, link.index, mtu);
}

/** Sends a message to the server as this machine reaches it, where the container is gone. Throws SystemError. */
export function sendFromHost({ message, to }: Outgoing): void {
  if (to === undefined) return;
  using socket = InetSocket.open("udp", 4);
  socket.connect({ address: addressBytes(to), port: SERVER_PORT });
  if (socket.send(encodeMessage(message)) === undefined) {
    throw new Error(`nothing can be sent to ${formatAddress(to)} now`);
  }
}
