// Ethernet addresses: one spelling out, four spellings in, and which of them an interface may carry.
import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  formatHardwareAddress,
  isAssignable,
  parseHardwareAddress,
} from "../../../src/ip/hardware-address.ts";

test("six bytes are spelled with colons in lower case, and read back, also in upper case, with dashes, dots or nothing", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
      const text = formatHardwareAddress(bytes);
      expect(text).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
      const digits = text.replaceAll(":", "");
      const dotted = digits.replace(/(.{4})(?=.)/g, "$1.");
      for (const spelling of [text, text.toUpperCase(), text.replaceAll(":", "-"), dotted, digits]) {
        expect(parseHardwareAddress(spelling)).toEqual(bytes);
      }
    }),
  );
});

test.each([
  "",
  "aa",
  "aa:bb:cc:dd:ee",
  "aa:bb:cc:dd:ee:ff:00",
  "aa:bb:cc:dd:ee:f",
  "aa:bb:cc:dd:ee:fff",
  "aa:bb:cc:dd:ee:0g",
  "aa:bb:cc:dd:ee-ff",
  "aabb.ccdd.eef",
  "aabb:ccdd:eeff",
  "aa.bb.cc.dd.ee.ff",
  "aabbccddeef",
  " a:bb:cc:dd:ee:ff",
])("%p is no hardware address", (text) => expect(parseHardwareAddress(text)).toBeUndefined());

test.each([
  ["02:00:00:00:00:01", true],
  ["fe:ff:ff:ff:ff:ff", true],
  ["00:00:00:00:00:00", false],
  ["01:00:5e:00:00:01", false],
  ["ff:ff:ff:ff:ff:ff", false],
])("whether an interface may carry %p: %p", (text, assignable) => {
  expect(isAssignable(parseHardwareAddress(text) ?? new Uint8Array())).toBe(assignable);
});
