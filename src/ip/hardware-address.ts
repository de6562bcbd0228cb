// An Ethernet address as text and as bytes. One spelling, lower-case hex with colons, is used everywhere.

/** What Go's net.ParseMAC takes, which the reference plugins read them with. */
const SPELLINGS = [
  /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i,
  /^([0-9a-f]{2}-){5}[0-9a-f]{2}$/i,
  /^([0-9a-f]{4}\.){2}[0-9a-f]{4}$/i,
  /^[0-9a-f]{12}$/i,
];

/** Returns the six bytes that `text` spells (`aa:bb:cc:dd:ee:ff`, `aabb.ccdd.eeff` and the like), or undefined if none. */
export function parseHardwareAddress(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!SPELLINGS.some((spelling) => spelling.test(text))) return undefined;
  const bytes = new Uint8Array(new ArrayBuffer(6));
  bytes.set(Uint8Array.fromHex(text.replace(/[:.-]/g, "")));
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
