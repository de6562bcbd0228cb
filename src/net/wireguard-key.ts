// Keys of wireguard (Curve25519, RFC 7748): a public one is 44 characters of base64, as every tool of wireguard spells
// it; a private one is a value that shows itself to nobody, so that no log, error or record can carry it.

const KEY_BYTES = 32;

/** What Node and the Web call PKCS #8 (RFC 5208, RFC 8410): this, and then the key. */
const PKCS8_HEAD = Uint8Array.fromHex("302e020100300506032b656e04220420");

/** Returns the 32 bytes that `text` spells, or undefined if it is not the one spelling of as many. */
function parseKey(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (text.length !== 44) return undefined;
  try {
    const bytes = Uint8Array.fromBase64(text);
    return bytes.length === KEY_BYTES && bytes.toBase64() === text ? bytes : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** True for 44 characters of base64 that are a key which somebody may have: not all zeros, and nothing around it. */
export function isPublicKey(text: string): boolean {
  return parseKey(text)?.some((byte) => byte !== 0) ?? false;
}

/** Returns the 32 bytes of a public key; throws RangeError if it is none. */
export function publicKeyBytes(text: string): Uint8Array<ArrayBuffer> {
  const bytes = parseKey(text);
  if (bytes === undefined) throw new RangeError(`${JSON.stringify(text)} is not a public key`);
  return bytes;
}

/** Returns a public key as text: 44 characters. */
export function formatPublicKey(bytes: Uint8Array): string {
  return bytes.toBase64();
}

/** A private key. Whoever prints it, or turns it into JSON, gets none of it. */
export class PrivateKey {
  readonly #bytes: Uint8Array<ArrayBuffer>;

  private constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
  }

  /** Returns a new key, from the kernel's randomness. */
  static generate(): PrivateKey {
    const bytes = crypto.getRandomValues(new Uint8Array(new ArrayBuffer(KEY_BYTES)));
    // RFC 7748, section 5: bits that every key has, so that it is the same one to everybody
    bytes[0] = (bytes[0] ?? 0) & 0xf8;
    bytes[31] = ((bytes[31] ?? 0) & 0x7f) | 0x40;
    return new PrivateKey(bytes);
  }

  /** Returns the key that `text` spells, as `wg genkey` does; undefined if it spells none. */
  static parse(text: string): PrivateKey | undefined {
    const bytes = parseKey(text);
    return bytes === undefined || bytes.every((byte) => byte === 0) ? undefined : new PrivateKey(bytes);
  }

  /** Returns the public key that belongs to it: 44 characters. */
  async publicKey(): Promise<string> {
    const encoded = new Uint8Array([...PKCS8_HEAD, ...this.#bytes]);
    // only a key that can be exported tells its public half, as x of its JWK (RFC 8037)
    const key = await crypto.subtle.importKey("pkcs8", encoded, "X25519", true, ["deriveBits"]);
    const { x = "" } = await crypto.subtle.exportKey("jwk", key);
    return formatPublicKey(Uint8Array.fromBase64(x, { alphabet: "base64url" }));
  }

  /** Returns the 32 bytes, for the kernel alone. */
  reveal(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  /** Returns the key as text, for the file that keeps it. */
  spell(): string {
    return this.#bytes.toBase64();
  }
}
