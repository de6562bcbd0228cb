// A prefix as a value: an address and a length, the way "10.1.2.3/24" is written. Host bits are kept, because an
// interface address has them; `networkOf` clears them, because a subnet has none.
import { type Address, addressAfter, bitsOf, formatAddress, highestValue, parseAddress } from "./address.ts";

/** An address with a prefix length, in CIDR notation. */
export interface Prefix {
  readonly address: Address;
  readonly length: number;
}

/** Returns the prefix that `text` spells in CIDR notation, host bits kept, or undefined if it spells none. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf("/");
  if (slash < 0) return undefined;
  const address = parseAddress(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  if (address === undefined || digits.length === 0 || digits.length > 3) return undefined;
  for (const character of digits) if (character < "0" || character > "9") return undefined;
  if (digits.length > 1 && digits.startsWith("0")) return undefined;
  const length = Number(digits);
  return length <= bitsOf(address.family) ? { address, length } : undefined;
}

/** Returns the prefix in CIDR notation. */
export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix.address)}/${prefix.length}`;
}

/** Returns the first address of the prefix: all host bits zero. */
export function firstAddress(prefix: Prefix): Address {
  const hostBits = BigInt(bitsOf(prefix.address.family) - prefix.length);
  return { family: prefix.address.family, value: (prefix.address.value >> hostBits) << hostBits };
}

/** Returns the last address of the prefix: all host bits one (the broadcast address of an IPv4 subnet). */
export function lastAddress(prefix: Prefix): Address {
  const hostBits = BigInt(bitsOf(prefix.address.family) - prefix.length);
  return { family: prefix.address.family, value: prefix.address.value | ((1n << hostBits) - 1n) };
}

/** Returns the subnet that the prefix lies in: the same length, host bits cleared. */
export function networkOf(prefix: Prefix): Prefix {
  return { address: firstAddress(prefix), length: prefix.length };
}

/** True if `address` lies within the prefix. */
export function contains(prefix: Prefix, address: Address): boolean {
  if (prefix.address.family !== address.family) return false;
  const hostBits = BigInt(bitsOf(address.family) - prefix.length);
  return prefix.address.value >> hostBits === address.value >> hostBits;
}

/** True if the two prefixes have an address in common. */
export function overlap(left: Prefix, right: Prefix): boolean {
  return left.length <= right.length ? contains(left, right.address) : contains(right, left.address);
}

/** Returns the prefix that holds just `address`: /32 or /128. */
export function hostPrefix(address: Address): Prefix {
  return { address, length: bitsOf(address.family) };
}

/** Returns the mask of a prefix length as an address of that family, such as 255.255.255.0. */
export function maskOf(family: 4 | 6, length: number): Address {
  const hostBits = BigInt(bitsOf(family) - length);
  return { family, value: (highestValue(family) >> hostBits) << hostBits };
}

/**
 * Returns the subnet's first usable address, where a gateway stands when nothing else is said: network + 1.
 * A /31 or /127 has no network address (RFC 3021, RFC 6164), so there it is the first of the two; a /32 or
 * /128 has no room for a gateway and gives undefined.
 */
export function defaultGateway(subnet: Prefix): Address | undefined {
  const hostBits = bitsOf(subnet.address.family) - subnet.length;
  if (hostBits === 0) return undefined;
  return hostBits === 1 ? firstAddress(subnet) : addressAfter(firstAddress(subnet));
}
