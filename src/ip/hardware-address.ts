// An Ethernet address as text and as bytes. One spelling, lower-case hex with colons, is used everywhere.

/** Returns the six bytes that `text` spells (`aa:bb:cc:dd:ee:ff`, also with dashes), or undefined if none. */
export function parseHardwareAddress(text: string): Uint8Array<ArrayBuffer> | undefined {
  const parts = text.split(text.includes("-") ? "-" : ":");
  if (parts.length !== 6) return undefined;
  const bytes = new Uint8Array(new ArrayBuffer(6));
  for (const [index, part] of parts.entries()) {
    if (part.length !== 2) return undefined;
    for (const character of part) if (!"0123456789abcdefABCDEF".includes(character)) return undefined;
    bytes[index] = Number.parseInt(part, 16);
  }
  return bytes;
}

/** Returns the bytes as `aa:bb:cc:dd:ee:ff`. */
export function formatHardwareAddress(bytes: Uint8Array): string {
  const hex = bytes.toHex();
  let text = hex.slice(0, 2);
  for (let at = 2; at < hex.length; at += 2) text += `:${hex.slice(at, at + 2)}`;
  return text;
}

/** True if an interface may carry the address: six bytes, not all zero, and no group address (lowest bit set). */
export function isAssignable(bytes: Uint8Array): boolean {
  return bytes.length === 6 && ((bytes[0] ?? 1) & 1) === 0 && bytes.some((byte) => byte !== 0);
}
