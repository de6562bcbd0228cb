// Addresses of links: RTM_NEWADDR, RTM_DELADDR and RTM_GETADDR (linux/if_addr.h). An address is 4 or 16 raw bytes
// here; what a text means is for ip/ to know.
import { CodecError, type Reader, sameBytes } from "./buffer.ts";
import { attributes, bytes, headed, struct, text, u8, u32 } from "./codec.ts";
import { MessageFlag, type Request } from "./message.ts";

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;

/** Address families by name (AF_*). */
export const FAMILIES = { ipv4: 2, ipv6: 10 } as const;

/** A family of addresses. */
export type AddressFamily = keyof typeof FAMILIES;

/** Returns the family of an address by its length; throws CodecError for one of neither 4 nor 16 bytes. */
export function familyOf(address: Uint8Array): AddressFamily {
  if (address.length === 4) return "ipv4";
  if (address.length === 16) return "ipv6";
  throw new CodecError("address", `${address.length} bytes, expected 4 or 16`);
}

/** Returns an address as text for error messages: `10.0.0.1`, or the eight groups of IPv6, not shortened. */
export function addressText(address: Uint8Array): string {
  if (address.length === 4) return address.join(".");
  const groups: string[] = [];
  for (let index = 0; index < address.length; index += 2) {
    groups.push((((address[index] ?? 0) << 8) | (address[index + 1] ?? 0)).toString(16));
  }
  return groups.join(":");
}

/** How far an address or route means something (RT_SCOPE_*, linux/rtnetlink.h). */
export const Scope = { universe: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const;

// IFA_F_*
const NO_DUPLICATE_DETECTION = 0x02;
const DUPLICATE_FOUND = 0x08;
const TENTATIVE = 0x40;
const PERMANENT = 0x80;
const NO_PREFIX_ROUTE = 0x200;

/** The body of an address message: struct ifaddrmsg and IFA_*. */
export const addressMessage = headed(
  struct({ family: u8, prefixLength: u8, flags: u8, scope: u8, index: u32 }),
  attributes({
    address: [1, bytes], // IFA_ADDRESS: the other end of a point-to-point link, else the same as local
    local: [2, bytes], // IFA_LOCAL
    label: [3, text], // IFA_LABEL
    broadcast: [4, bytes], // IFA_BROADCAST
    flags: [8, u32], // IFA_FLAGS: all flags; the header has room only for the first eight
  }),
);

/** An address that a link is to have. */
export interface NewAddress {
  /** Index of the link. */
  readonly index: number;
  readonly address: Uint8Array;
  readonly prefixLength: number;
  /** The address of the other end, where that is not in the same subnet. */
  readonly peer?: Uint8Array | undefined;
  readonly broadcast?: Uint8Array | undefined;
  /** IPv6: usable at once, without asking the network whether somebody has it (IFA_F_NODAD). */
  readonly skipDuplicateDetection?: boolean | undefined;
  /** Without the route to the subnet that the kernel adds by itself. */
  readonly noPrefixRoute?: boolean | undefined;
  readonly scope?: number | undefined;
}

function addressOperation(verb: string, address: NewAddress, preposition: string): string {
  const where = `${preposition} link ${address.index}`;
  return `${verb} address ${addressText(address.address)}/${address.prefixLength} ${where}`;
}

/** Gives a link an address; EEXIST if it has it. */
export function addAddress(address: NewAddress): Request<never> {
  return {
    operation: addressOperation("add", address, "to"),
    type: RTM_NEWADDR,
    flags: MessageFlag.create | MessageFlag.exclusive,
    encode(writer) {
      const flags =
        (address.skipDuplicateDetection ? NO_DUPLICATE_DETECTION : 0) |
        (address.noPrefixRoute ? NO_PREFIX_ROUTE : 0);
      addressMessage.encode(writer, {
        header: {
          family: FAMILIES[familyOf(address.address)],
          prefixLength: address.prefixLength,
          flags: flags <= 0xff ? flags : 0,
          scope: address.scope ?? Scope.universe,
          index: address.index,
        },
        attributes: {
          local: address.address,
          broadcast: address.broadcast,
          flags: flags <= 0xff ? undefined : flags,
          address: address.peer ?? address.address,
        },
      });
    },
  };
}

/** Takes an address from a link; EADDRNOTAVAIL if it hasn't got it. */
export function deleteAddress(address: NewAddress): Request<never> {
  return {
    operation: addressOperation("delete", address, "from"),
    type: RTM_DELADDR,
    flags: 0,
    encode(writer) {
      addressMessage.encode(writer, {
        header: {
          family: FAMILIES[familyOf(address.address)],
          prefixLength: address.prefixLength,
          flags: 0,
          scope: 0,
          index: address.index,
        },
        attributes: { local: address.address, address: address.peer ?? address.address },
      });
    },
  };
}

/** An address of a link as the kernel describes it. */
export interface LinkAddress {
  /** Index of the link. */
  readonly index: number;
  readonly family: AddressFamily;
  readonly address: Uint8Array;
  readonly prefixLength: number;
  /** The other end's address where it differs. */
  readonly peer: Uint8Array | undefined;
  readonly broadcast: Uint8Array | undefined;
  readonly label: string;
  readonly scope: number;
  /** IPv6: not usable yet, the network is still asked whether somebody has it. */
  readonly tentative: boolean;
  /** IPv6: not usable, somebody else has it. */
  readonly duplicateFound: boolean;
  readonly permanent: boolean;
}

/** Which addresses to list. */
export interface AddressFilter {
  /** Only those of this link. */
  readonly index?: number | undefined;
  readonly family?: AddressFamily | undefined;
}

/** Asks for all addresses that the filter lets through. */
export function dumpAddresses(filter: AddressFilter = {}): Request<LinkAddress> {
  return {
    operation: filter.index === undefined ? "list addresses" : `list addresses of link ${filter.index}`,
    type: RTM_GETADDR,
    flags: 0,
    encode(writer) {
      addressMessage.encode(writer, {
        header: {
          family: filter.family === undefined ? 0 : FAMILIES[filter.family],
          prefixLength: 0,
          flags: 0,
          scope: 0,
          index: filter.index ?? 0,
        },
        attributes: {},
      });
    },
    decode(reader) {
      const address = readAddress(reader);
      // Linux before 4.20 doesn't filter by link.
      return filter.index !== undefined && address?.index !== filter.index ? undefined : address;
    },
  };
}

/** Reads a message about an address; undefined for one of another family. */
export function readAddress(reader: Reader): LinkAddress | undefined {
  const { header, attributes: values } = addressMessage.decode(reader);
  const address = values.local ?? values.address;
  if (address === undefined || (header.family !== FAMILIES.ipv4 && header.family !== FAMILIES.ipv6)) {
    return undefined;
  }
  const flags = values.flags ?? header.flags;
  const peer = values.address;
  return {
    index: header.index,
    family: familyOf(address),
    address,
    prefixLength: header.prefixLength,
    peer: peer === undefined || sameBytes(peer, address) ? undefined : peer,
    broadcast: values.broadcast,
    label: values.label ?? "",
    scope: header.scope,
    tentative: (flags & TENTATIVE) !== 0,
    duplicateFound: (flags & DUPLICATE_FOUND) !== 0,
    permanent: (flags & PERMANENT) !== 0,
  };
}
