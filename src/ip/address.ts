// An IP address as a value: family and number. Parsing is strict (no leading zeros, no zones) and formatting is
// RFC 5952, so that one address has one spelling everywhere: in results, in messages and in the store.

/** 4 for IPv4, 6 for IPv6. */
export type Family = 4 | 6;

/** An IPv4 or IPv6 address. An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) is the IPv4 address, as in Go. */
export interface Address {
  readonly family: Family;
  readonly value: bigint;
}

/** How many bits an address of this family has. */
export function bitsOf(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128;
}

/** The highest number that an address of this family can have. */
export function highestValue(family: Family): bigint {
  return family === 4 ? 0xffff_ffffn : (1n << 128n) - 1n;
}

/** Returns the address that `text` spells, or undefined if it spells none. */
export function parseAddress(text: string): Address | undefined {
  return text.includes(":") ? parseVersion6(text) : parseVersion4(text);
}

function parseVersion4(text: string): Address | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!isDecimal(part, 3) || (part.length > 1 && part.startsWith("0"))) return undefined;
    const octet = Number(part);
    if (octet > 255) return undefined;
    value = value * 256 + octet;
  }
  return { family: 4, value: BigInt(value) };
}

function isDecimal(text: string, maxLength: number): boolean {
  if (text.length === 0 || text.length > maxLength) return false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 0x30 || code > 0x39) return false;
  }
  return true;
}

function parseVersion6(text: string): Address | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [left = "", right] = halves;
  const head = groupsOf(left, right === undefined);
  const tail = right === undefined ? [] : groupsOf(right, true);
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  // "::" stands for at least one group of zeros
  if (right === undefined ? missing !== 0 : missing < 1) return undefined;
  let value = 0n;
  for (const group of head) value = (value << 16n) | BigInt(group);
  value <<= BigInt(16 * (missing + tail.length));
  let low = 0n;
  for (const group of tail) low = (low << 16n) | BigInt(group);
  return canonical(value | low);
}

function groupsOf(text: string, mayEndInVersion4: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (mayEndInVersion4 && index === parts.length - 1 && part.includes(".")) {
      const embedded = parseVersion4(part);
      if (embedded === undefined) return undefined;
      groups.push(Number(embedded.value >> 16n), Number(embedded.value & 0xffffn));
    } else {
      if (!isHexadecimal(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

function isHexadecimal(text: string): boolean {
  if (text.length === 0 || text.length > 4) return false;
  for (const character of text) if (!"0123456789abcdefABCDEF".includes(character)) return false;
  return true;
}

function canonical(value: bigint): Address {
  return value >> 32n === 0xffffn ? { family: 4, value: value & 0xffff_ffffn } : { family: 6, value };
}

/** Returns the address in its one spelling: dotted decimal, or RFC 5952. */
export function formatAddress(address: Address): string {
  return address.family === 4 ? formatVersion4(address.value) : formatVersion6(address.value);
}

function formatVersion4(value: bigint): string {
  const number = Number(value);
  return `${number >>> 24}.${(number >>> 16) & 255}.${(number >>> 8) & 255}.${number & 255}`;
}

function formatVersion6(value: bigint): string {
  const groups: number[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(Number((value >> shift) & 0xffffn));
  // the longest run of at least two zero groups becomes "::", the first one where two are equal
  let start = -1;
  let length = 1;
  for (let index = 0; index < 8; index++) {
    let end = index;
    while (end < 8 && groups[end] === 0) end++;
    if (end - index > length) {
      start = index;
      length = end - index;
    }
    if (end > index) index = end;
  }
  const spelled = groups.map((group) => group.toString(16));
  if (start < 0) return spelled.join(":");
  return `${spelled.slice(0, start).join(":")}::${spelled.slice(start + length).join(":")}`;
}

/** Returns the address as the kernel and the store hold it: 4 or 16 bytes, most significant first. */
export function addressBytes(address: Address): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(bitsOf(address.family) / 8));
  if (address.family === 4) {
    // without big numbers, of which a GC of ten thousand leases would make a hundred thousand
    new DataView(bytes.buffer).setUint32(0, Number(address.value));
    return bytes;
  }
  let rest = address.value;
  for (let index = bytes.length - 1; index >= 0; index--) {
    bytes[index] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

/** Returns the address in `bytes`; throws RangeError unless there are 4 or 16 of them. */
export function addressFromBytes(bytes: Uint8Array): Address {
  if (bytes.length !== 4 && bytes.length !== 16) {
    throw new RangeError(`an address has 4 or 16 bytes, got ${bytes.length}`);
  }
  if (bytes.length === 4) {
    let number = 0;
    for (let index = 0; index < 4; index++) number = number * 256 + (bytes[index] ?? 0);
    return { family: 4, value: BigInt(number) };
  }
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return { family: 6, value };
}

/** Returns the address `distance` places further; undefined beyond the first or the last of its family. */
export function addressAfter(address: Address, distance = 1n): Address | undefined {
  const value = address.value + distance;
  if (value < 0n || value > highestValue(address.family)) return undefined;
  return { family: address.family, value };
}

/** True if both are the same address. */
export function sameAddress(left: Address, right: Address): boolean {
  return left.family === right.family && left.value === right.value;
}
