import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Codec, CodecError, Reader, Writer } from "../../../src/netlink/buffer.ts";
import {
  attributes,
  bareText,
  be16,
  be32Signed,
  be64,
  bytes,
  choice,
  headed,
  i32,
  list,
  nested,
  padding,
  struct,
  text,
  u8,
  u16,
  u32,
  u64,
} from "../../../src/netlink/codec.ts";

function encoded<T>(codec: Codec<T>, value: T): string {
  const writer = new Writer();
  // What was there before must not show through padding.
  writer.bytes.fill(0xee);
  codec.encode(writer, value);
  return Buffer.from(writer.written()).toString("hex");
}

function decoded<T>(codec: Codec<T>, hex: string): T {
  return new Reader(Uint8Array.from(Buffer.from(hex, "hex"))).whole("value", codec);
}

describe("numbers", () => {
  test("have the byte order of their name", () => {
    expect(encoded(u16, 0x1234)).toBe("3412");
    expect(encoded(be16, 0x1234)).toBe("1234");
    expect(encoded(u32, 0xfffffffe)).toBe("feffffff");
    expect(encoded(i32, -2)).toBe("feffffff");
    expect(encoded(be32Signed, -100)).toBe("ffffff9c");
    expect(encoded(u64, 1n)).toBe("0100000000000000");
    expect(encoded(be64, 1n)).toBe("0000000000000001");
  });

  test("that don't fit are refused, also undefined and NaN", () => {
    expect(() => encoded(u8, 256)).toThrow("256 is not an unsigned 8-bit number");
    expect(() => encoded(u8, 1.5)).toThrow(CodecError);
    expect(() => encoded(u32, -1)).toThrow(CodecError);
    expect(() => encoded(u32, Number.NaN)).toThrow(CodecError);
    expect(() => encoded(u32, undefined as unknown as number)).toThrow(CodecError);
    expect(() => encoded(i32, 0x80000000)).toThrow(CodecError);
    expect(() => encoded(u64, -1n)).toThrow(CodecError);
  });
});

describe("text", () => {
  test("ends with NUL, or goes without as bareText", () => {
    expect(encoded(text, "br0")).toBe("62723000");
    expect(encoded(bareText, "br0")).toBe("627230");
    expect(encoded(text, "é!")).toBe("c3a92100");
  });

  test("with NUL inside is refused, wherever it stands", () => {
    expect(() => encoded(text, "a\0b")).toThrow("text without NUL");
    expect(() => encoded(text, "é\0b")).toThrow("text without NUL");
  });

  test("comes back the same", () => {
    const withoutNul = fc.string({ unit: "grapheme" }).filter((value) => !value.includes("\0"));
    fc.assert(
      fc.property(withoutNul, (value) => {
        expect(decoded(text, encoded(text, value))).toBe(value);
        expect(decoded(bareText, encoded(bareText, value))).toBe(value);
      }),
    );
  });
});

describe("attributes", () => {
  const codec = attributes({
    mtu: [4, u32],
    name: [3, text],
    inner: [5, nested(attributes({ a: [1, u8] }))],
  });

  test("are written in the order of the value, undefined left out and 0 sent", () => {
    expect(encoded(codec, { name: "a", mtu: 0, inner: undefined })).toBe(
      "06000300" + "61000000" + "08000400" + "00000000",
    );
  });

  test("carry NLA_F_NESTED only through nested, and pad inside the nest", () => {
    expect(encoded(codec, { inner: { a: 7 } })).toBe("0c000580" + "05000100" + "07000000");
    expect(encoded(attributes({ inner: [5, attributes({})] }), { inner: {} })).toBe("04000500");
  });

  test("that nobody knows are kept, and written again", () => {
    const wire = "08000400" + "dc050000" + "06006300" + "aabb0000";
    const value = decoded(codec, wire);
    expect(value).toEqual({ mtu: 1500, unknown: [{ type: 0x63, bytes: Uint8Array.of(0xaa, 0xbb) }] });
    expect(encoded(codec, value)).toBe(wire);
    expect(decoded(codec, "08000400dc050000")).not.toHaveProperty("unknown");
    const reader = new Reader(Uint8Array.from(Buffer.from(wire, "hex")));
    reader.keepUnknown = false;
    expect(reader.whole("value", codec)).toEqual({ mtu: 1500 });
  });

  test("of a wrong width are named in the error, with their path", () => {
    expect(() => decoded(codec, "060004000100")).toThrow("value.mtu: 2 bytes left, 4 needed");
    expect(() => decoded(codec, "0c000400" + "0100000000000000")).toThrow("value.mtu: 8 bytes, expected 4");
    expect(() => decoded(codec, "0a000580" + "06000100" + "0102")).toThrow(
      "value.inner.a: 2 bytes, expected 1",
    );
    expect(() => encoded(codec, { inner: { a: 300 } })).toThrow("inner.a: 300 is not");
  });

  test("with an impossible length are refused", () => {
    expect(() => decoded(codec, "03000400")).toThrow("attribute 4: length 3");
    expect(() => decoded(codec, "ff000400")).toThrow("attribute 4: length 255");
    expect(() => decoded(codec, "0800")).toThrow(CodecError);
  });

  test("longer than 64 KiB are refused", () => {
    const big = attributes({ data: [1, bytes] });
    expect(() => encoded(big, { data: new Uint8Array(65532) })).toThrow("data: 65536 bytes");
    expect(encoded(big, { data: new Uint8Array(65531) }).length).toBe(2 * 65536);
  });

  test("that the table doesn't have are refused on writing", () => {
    expect(() => encoded(codec, { colour: 1 } as object)).toThrow("colour: no such attribute");
  });
});

describe("structs, lists and choices", () => {
  test("a struct has its fields in order and takes no place for padding", () => {
    const codec = struct({ family: u8, gap: padding(3), index: i32 });
    expect(encoded(codec, { family: 2, index: 5 })).toBe("0200000005000000");
    expect(decoded(codec, "0200000005000000")).toEqual({ family: 2, index: 5 });
    expect(() => decoded(codec, "02000000")).toThrow("value.index");
  });

  test("a header is followed by attributes", () => {
    const codec = headed(struct({ family: u8, gap: padding(3) }), attributes({ mtu: [4, u32] }));
    const value = { header: { family: 2 }, attributes: { mtu: 1 } };
    expect(encoded(codec, value)).toBe("02000000" + "08000400" + "01000000");
    expect(decoded(codec, encoded(codec, value))).toEqual(value);
  });

  test("a list reads entries of any type", () => {
    expect(encoded(list(u16), [1, 2])).toBe("06000100" + "01000000" + "06000100" + "02000000");
    expect(decoded(list(u16), "06000100" + "01000000" + "06000200" + "02000000")).toEqual([1, 2]);
  });

  test("a choice reads its data by kind, whichever comes first, and keeps kinds that it doesn't know", () => {
    const codec = choice([1, bareText], 2, { vlan: attributes({ id: [1, u16] }) });
    const kind = "08000100" + "766c616e";
    const data = "0c000200" + "06000100" + "05000000";
    expect(encoded(codec, { kind: "vlan", data: { id: 5 } })).toBe(kind + data);
    expect(decoded(codec, kind + data)).toEqual({ kind: "vlan", data: { id: 5 } });
    expect(decoded(codec, data + kind)).toEqual({ kind: "vlan", data: { id: 5 } });
    const foreign = "07000100" + "74756e00" + "05000200" + "01000000";
    expect(decoded(codec, foreign)).toEqual({ kind: "other", name: "tun", data: Uint8Array.of(1) });
    expect(encoded(codec, decoded(codec, foreign))).toBe(foreign);
    expect(decoded(codec, "0d000100" + "746f537472696e6700000000")).toMatchObject({ kind: "other" });
    expect(decoded(codec, "")).toBeUndefined();
  });
});

describe("a reader", () => {
  test("never leaves its bounds or throws anything but CodecError, whatever it reads", () => {
    const codec = headed(
      struct({ family: u8, gap: padding(3) }),
      attributes({
        a: [1, u32],
        b: [2, text],
        c: [3, list(attributes({ d: [1, u64] }))],
        e: [4, choice([1, text], 2, { x: bytes })],
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (random) => {
        try {
          new Reader(random).whole("random", codec);
        } catch (error) {
          expect(error).toBeInstanceOf(CodecError);
        }
      }),
    );
  });

  test("gives bytes that stay when the buffer below is used again", () => {
    const buffer = Uint8Array.of(1, 2, 3);
    const copy = new Reader(buffer).whole("copy", bytes);
    buffer.fill(0);
    expect(copy).toEqual(Uint8Array.of(1, 2, 3));
  });
});

describe("a writer", () => {
  test("grows without losing what is there", () => {
    const codec = list(bytes);
    const values = Array.from({ length: 200 }, (_, index) => new Uint8Array(100).fill(index));
    expect(decoded(codec, encoded(codec, values))).toEqual(values);
  });
});
