// Neighbours as rtnetlink speaks of them: which hardware address an address on a link has, and which port of a bridge a
// hardware address is behind (linux/neighbour.h).
import { FAMILIES } from "./address.ts";
import { attributes, bytes, headed, i32, padding, type Reader, struct, u8, u16, u32 } from "./codec.ts";
import type { Request } from "./message.ts";

const RTM_GETNEIGH = 30;
const AF_BRIDGE = 7;

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
    master: values.master ?? 0,
    state: STATES.find((_, bit) => (header.state & (1 << bit)) !== 0) ?? "",
  };
}

function hardwareText(address: Uint8Array = new Uint8Array()): string {
  return [...address].map((octet) => octet.toString(16).padStart(2, "0")).join(":");
}

/** Asks for all neighbours of an address family. */
export function dumpNeighbours(family: keyof typeof FAMILIES): Request<Neighbour> {
  return {
    operation: `list ${family} neighbours`,
    type: RTM_GETNEIGH,
    flags: 0,
    encode(writer) {
      neighbourMessage.encode(writer, {
        header: { family: FAMILIES[family], index: 0, state: 0, flags: 0, type: 0 },
        attributes: {},
      });
    },
    decode: readNeighbour,
  };
}
