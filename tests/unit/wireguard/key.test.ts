// Keys of wireguard: one spelling of a public one, and a private one that nothing shows.
import { describe, expect, test } from "bun:test";
import { inspect } from "node:util";
import { isPublicKey, PrivateKey, publicKeyBytes } from "../../../src/net/wireguard-key.ts";

// `wg pubkey` of wireguard-tools 1.0.20210914 makes the second of the first
const SECRET = "AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09o=";
const GOOD = "yP7Kgb4ZbN8sreq/E8SQPXYy3OSVWqaLbl2a3vVOJhY=";

describe("S3-W07 keys", () => {
  test("a public key is 44 characters with nothing around them, in the one spelling of its bytes", () => {
    expect(isPublicKey(GOOD)).toBe(true);
    const bad = [
      ...["", `${GOOD}\n`, ` ${GOOD}`, GOOD.slice(1), `${GOOD}=`, GOOD.replace("=", "A")],
      // bits beyond the 256th, another alphabet, nobody's key
      ...[GOOD.replace("Y=", "Z="), GOOD.replace("/", "_"), new Uint8Array(32).toBase64()],
      `${GOOD.slice(0, 42)}\n=`,
    ];
    expect(bad.filter(isPublicKey)).toEqual([]);
    expect(() => publicKeyBytes("x")).toThrow('"x" is not a public key');
  });

  test("the public key is that of the private one", async () => {
    expect(await PrivateKey.parse(SECRET)?.publicKey()).toBe(GOOD);
    const own = PrivateKey.generate();
    expect(await PrivateKey.parse(own.spell())?.publicKey()).toBe(await own.publicKey());
    expect([PrivateKey.parse(`${SECRET}\n`), PrivateKey.parse(GOOD.slice(4))]).toEqual([
      undefined,
      undefined,
    ]);
  });

  test("a private key shows itself nowhere", () => {
    const key = PrivateKey.generate();
    const bytes = key.reveal();
    const shown = [
      inspect(key, { showHidden: true, depth: 9 }),
      Bun.inspect(key),
      JSON.stringify({ key }),
      `${key}`,
    ];
    for (const text of shown) {
      expect(text).not.toContain(key.spell());
      expect(text).not.toContain(`${bytes[3]}, ${bytes[4]}`);
    }
  });

  test("a new key is another one each time, and has the bits that every key has", () => {
    const keys = Array.from({ length: 64 }, () => PrivateKey.generate());
    expect(new Set(keys.map((key) => key.spell())).size).toBe(64);
    for (const key of keys) {
      const bytes = key.reveal();
      expect([(bytes[0] ?? 1) & 7, (bytes[31] ?? 0) >> 6]).toEqual([0, 1]);
    }
  });
});
