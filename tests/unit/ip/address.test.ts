// Addresses against ipaddr.js as a second opinion: what one reads, the other reads, and both spell it the same.
import { expect, test } from "bun:test";
import fc from "fast-check";
import ipaddr from "ipaddr.js";
import {
  type Address,
  addressAfter,
  addressBytes,
  addressFromBytes,
  formatAddress,
  highestValue,
  parseAddress,
  sameAddress,
} from "../../../src/ip/address.ts";

const bytes = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
  // many zeros, so that "::" has something to choose from
  fc
    .array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 })
    .map((some) => Uint8Array.from(some)),
);

/**
 * Returns the bytes that ipaddr.js reads in `text` by the rules that we keep: no short or octal IPv4. It takes
 * `::1.2.3.4` for `::ffff:1.2.3.4`, which RFC 4291 (2.5.5.1) and every kernel don't.
 */
function oracle(text: string): number[] | undefined {
  if (/^::\d+\./.test(text)) return oracle(`0${text}`);
  if (text.includes(":") ? !ipaddr.IPv6.isValid(text) : !ipaddr.IPv4.isValidFourPartDecimal(text))
    return undefined;
  return ipaddr.process(text).toByteArray();
}

function read(text: string): number[] | undefined {
  const address = parseAddress(text);
  return address === undefined ? undefined : [...addressBytes(address)];
}

test("bytes make an address and the address makes the same bytes", () => {
  fc.assert(fc.property(bytes, (some) => expect(addressBytes(addressFromBytes(some))).toEqual(some)));
});

test("an address is spelled as RFC 5952 has it, and its spelling is read as the same address", () => {
  fc.assert(
    fc.property(bytes, (some) => {
      const address = addressFromBytes(some);
      const theirs = ipaddr.fromByteArray([...some]);
      const text = formatAddress(address);
      expect(text).toBe(theirs instanceof ipaddr.IPv6 ? theirs.toRFC5952String() : theirs.toString());
      expect(read(text)).toEqual(ipaddr.process(text).toByteArray());
    }),
    { numRuns: 1000 },
  );
});

test("every spelling of an address is read as ipaddr.js reads it", () => {
  const spelled = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.ipV6().map((text) => text.toUpperCase()),
    fc.ipV4().map((text) => `::ffff:${text}`),
    fc.ipV4().map((text) => `64:ff9b::${text}`),
  );
  fc.assert(
    fc.property(spelled, (text) => expect(read(text)).toEqual(oracle(text))),
    { numRuns: 1000 },
  );
});

test("what is nearly an address is read exactly if ipaddr.js reads it", () => {
  const pieces = fc.constantFrom(
    "0",
    "1",
    "01",
    "255",
    "256",
    ".",
    ".",
    ":",
    ":",
    "::",
    "f",
    "ffff",
    "10000",
    "g",
    " ",
    "-",
  );
  const garbage = fc.array(pieces, { maxLength: 16 }).map((some) => some.join(""));
  fc.assert(
    fc.property(garbage, (text) => expect([text, read(text)]).toEqual([text, oracle(text)])),
    { numRuns: 20_000 },
  );
});

test.each([
  ["", undefined],
  ["1.2.3", undefined],
  ["1.2.3.4.5", undefined],
  ["01.2.3.4", undefined],
  ["1.2.3.256", undefined],
  [" 1.2.3.4", undefined],
  ["1.2.3.4\n", undefined],
  ["0x1.2.3.4", undefined],
  ["1:2:3:4:5:6:7", undefined],
  ["1:2:3:4:5:6:7:8:9", undefined],
  ["1::2::3", undefined],
  [":::", undefined],
  [":1::", undefined],
  ["1:2:3:4:5:6:7::8", undefined],
  ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ["fe80::1%eth0", undefined],
  ["::ffff:1.2.3.4", "1.2.3.4"],
  ["::FFFF:0a00:0001", "10.0.0.1"],
  ["::1.2.3.4", "::102:304"],
  ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["0:0:0:0:0:0:0:0", "::"],
])("%p is the address %p", (text, spelling) => {
  const address = parseAddress(text);
  expect(address === undefined ? undefined : formatAddress(address)).toBe(spelling);
});

test("only 4 or 16 bytes are an address", () => {
  for (const length of [0, 3, 5, 15, 17])
    expect(() => addressFromBytes(new Uint8Array(length))).toThrow(RangeError);
});

test("the address after another one is a distance away, and there is none before the first or after the last", () => {
  for (const family of [4, 6] as const) {
    const first: Address = { family, value: 0n };
    const last: Address = { family, value: highestValue(family) };
    expect(addressAfter(first, -1n)).toBeUndefined();
    expect(addressAfter(last)).toBeUndefined();
    expect(addressAfter(first)).toEqual({ family, value: 1n });
    expect(addressAfter(last, -highestValue(family))).toEqual(first);
  }
  expect(sameAddress({ family: 4, value: 1n }, { family: 6, value: 1n })).toBeFalse();
});
