// Neighbours as rtnetlink speaks of them: which hardware address an address on a link has, and which port of a bridge a
// hardware address is behind (linux/neighbour.h).
import { addressText, FAMILIES, familyOf } from "./address.ts";
import type { Reader } from "./buffer.ts";
import { attributes, be16, bytes, headed, i32, padding, struct, u8, u16, u32 } from "./codec.ts";
import { MessageFlag, type Request } from "./message.ts";

const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;
const AF_BRIDGE = 7;

/** Bits of a state (NUD_*): without ARP, and permanent. */
const NO_ARP = 0x40;
const PERMANENT = 0x80;

/** The entry is the device's own, and not its bridge's (NTF_SELF). */
const OWN = 0x02;

/** States by their bit (NUD_*). */
const STATES = [
  "incomplete",
  "reachable",
  "stale",
  "delay",
  "probe",
  "failed",
  "without arp",
  "permanent",
] as const;

/** The body of a message about a neighbour: struct ndmsg and NDA_*. */
export const neighbourMessage = headed(
  struct({ family: u8, padding: padding(3), index: i32, state: u16, flags: u8, type: u8 }),
  attributes({
    destination: [1, bytes], // NDA_DST
    hardwareAddress: [2, bytes], // NDA_LLADDR
    port: [6, be16], // NDA_PORT
    master: [9, u32], // NDA_MASTER
  }),
);

/** A neighbour as the kernel describes it. */
export interface Neighbour {
  /** Index of the link that it is on, or behind. */
  readonly index: number;
  /** Its address; undefined for one that a bridge knows by its hardware address only. */
  readonly address: Uint8Array | undefined;
  /** Empty as long as nobody has answered. */
  readonly hardwareAddress: string;
  /** Where a tunnel sends what is for this hardware address, as the device itself knows it; undefined elsewhere. */
  readonly tunnelEnd: { readonly address: Uint8Array; readonly port: number | undefined } | undefined;
  /** Index of the bridge; 0 for none. */
  readonly master: number;
  /** Such as `reachable`; empty for none. */
  readonly state: (typeof STATES)[number] | "";
}

/** Reads a message about a neighbour; undefined for one of a family that is neither IP nor a bridge's. */
export function readNeighbour(reader: Reader): Neighbour | undefined {
  reader.keepUnknown = false;
  const { header, attributes: values } = neighbourMessage.decode(reader);
  const isIp = header.family === FAMILIES.ipv4 || header.family === FAMILIES.ipv6;
  if (!isIp && header.family !== AF_BRIDGE) return undefined;
  return {
    index: header.index,
    address: isIp ? values.destination : undefined,
    hardwareAddress: hardwareText(values.hardwareAddress),
    tunnelEnd:
      isIp || values.destination === undefined
        ? undefined
        : { address: values.destination, port: values.port },
    master: values.master ?? 0,
    state: STATES.find((_, bit) => (header.state & (1 << bit)) !== 0) ?? "",
  };
}

function hardwareText(address: Uint8Array = new Uint8Array()): string {
  return [...address].map((octet) => octet.toString(16).padStart(2, "0")).join(":");
}

/** Asks for all neighbours of an address family, or for what bridges and tunnels know by hardware addresses. */
export function dumpNeighbours(family: keyof typeof FAMILIES | "bridge"): Request<Neighbour> {
  return {
    operation: `list ${family} neighbours`,
    type: RTM_GETNEIGH,
    flags: 0,
    encode(writer) {
      const number = family === "bridge" ? AF_BRIDGE : FAMILIES[family];
      neighbourMessage.encode(writer, {
        header: { family: number, index: 0, state: 0, flags: 0, type: 0 },
        attributes: {},
      });
    },
    decode: readNeighbour,
  };
}

/** A neighbour that somebody says is there, and that is never asked for. */
export interface PermanentNeighbour {
  readonly index: number;
  readonly address: Uint8Array;
  readonly hardwareAddress: Uint8Array;
}

/** Makes the neighbour, or gives it another hardware address. */
export function setNeighbour(neighbour: PermanentNeighbour): Request<never> {
  const operation = `set neighbour ${addressText(neighbour.address)}`;
  return neighbourRequest(operation, RTM_NEWNEIGH, neighbour, neighbour.hardwareAddress);
}

/** Removes the neighbour; ENOENT if there is none. */
export function deleteNeighbour(neighbour: Omit<PermanentNeighbour, "hardwareAddress">): Request<never> {
  const operation = `delete neighbour ${addressText(neighbour.address)}`;
  return neighbourRequest(operation, RTM_DELNEIGH, neighbour);
}

function neighbourRequest(
  operation: string,
  type: number,
  { index, address }: Omit<PermanentNeighbour, "hardwareAddress">,
  hardwareAddress?: Uint8Array,
): Request<never> {
  return {
    operation,
    type,
    flags: type === RTM_NEWNEIGH ? MessageFlag.create | MessageFlag.replace : 0,
    encode(writer) {
      neighbourMessage.encode(writer, {
        header: { family: FAMILIES[familyOf(address)], index, state: PERMANENT, flags: 0, type: 0 },
        attributes: { destination: address, hardwareAddress },
      });
    },
  };
}

/** Where a tunnel is to send what is for a hardware address. */
export interface TunnelEntry {
  readonly index: number;
  readonly hardwareAddress: Uint8Array;
  readonly tunnelEnd: Uint8Array;
  /** Undefined is the tunnel's own. */
  readonly port: number | undefined;
}

/** Tells a tunnel where a hardware address is, or where it is now. */
export function setTunnelEntry(entry: TunnelEntry): Request<never> {
  return tunnelRequest("set", RTM_NEWNEIGH, MessageFlag.create | MessageFlag.replace, entry);
}

/** Lets a tunnel forget a hardware address; ENOENT if it has none. */
export function deleteTunnelEntry(entry: TunnelEntry): Request<never> {
  return tunnelRequest("delete", RTM_DELNEIGH, 0, entry);
}

function tunnelRequest(verb: string, type: number, flags: number, entry: TunnelEntry): Request<never> {
  const { index, hardwareAddress, tunnelEnd, port } = entry;
  return {
    operation: `${verb} forwarding entry ${hardwareText(hardwareAddress)} of link ${index}`,
    type,
    flags,
    encode(writer) {
      neighbourMessage.encode(writer, {
        header: { family: AF_BRIDGE, index, state: NO_ARP | PERMANENT, flags: OWN, type: 0 },
        attributes: { hardwareAddress, destination: tunnelEnd, port },
      });
    },
  };
}
