// Prefixes against ipaddr.js and against the plain definition of "lies within": the first `length` bits are equal.
import { expect, test } from "bun:test";
import fc from "fast-check";
import ipaddr from "ipaddr.js";
import { type Address, addressBytes, bitsOf, formatAddress, parseAddress } from "../../../src/ip/address.ts";
import {
  contains,
  defaultGateway,
  firstAddress,
  formatPrefix,
  hostPrefix,
  lastAddress,
  maskOf,
  networkOf,
  overlap,
  type Prefix,
  parsePrefix,
} from "../../../src/ip/prefix.ts";

const address: fc.Arbitrary<Address> = fc.oneof(
  fc.bigInt({ min: 0n, max: (1n << 32n) - 1n }).map((value): Address => ({ family: 4, value })),
  fc.bigInt({ min: 1n << 64n, max: (1n << 128n) - 1n }).map((value): Address => ({ family: 6, value })),
);
const prefix: fc.Arbitrary<Prefix> = address.chain((one) =>
  fc.integer({ min: 0, max: bitsOf(one.family) }).map((length) => ({ address: one, length })),
);

function bitsIn(one: Address): string {
  return [...addressBytes(one)].map((byte) => byte.toString(2).padStart(8, "0")).join("");
}

/** Returns an address that is often, but not always, in the prefix. */
function nearby({ address: { family, value }, length }: Prefix): fc.Arbitrary<Address> {
  const bits = bitsOf(family);
  return fc.array(fc.integer({ min: 0, max: bits - 1 }), { maxLength: 3 }).map((flipped) => {
    const mask = flipped.reduce(
      (sum, at) => sum ^ (1n << BigInt(Math.max(0, bits - length - 1 + (at % 3)))),
      0n,
    );
    return { family, value: (value ^ mask) & ((1n << BigInt(bits)) - 1n) };
  });
}

test("a prefix is spelled in CIDR notation, host bits kept, and read back as the same one", () => {
  fc.assert(fc.property(prefix, (one) => expect(parsePrefix(formatPrefix(one))).toEqual(one)));
});

test("the first and the last address are those of ipaddr.js", () => {
  fc.assert(
    fc.property(prefix, (one) => {
      const Version = one.address.family === 4 ? ipaddr.IPv4 : ipaddr.IPv6;
      const spelled = (their: { toByteArray(): number[] }) => their.toByteArray();
      const text = formatPrefix(one);
      expect([...addressBytes(firstAddress(one))]).toEqual(spelled(Version.networkAddressFromCIDR(text)));
      expect([...addressBytes(lastAddress(one))]).toEqual(spelled(Version.broadcastAddressFromCIDR(text)));
      expect([...addressBytes(maskOf(one.address.family, one.length))]).toEqual(
        spelled(Version.subnetMaskFromPrefixLength(one.length)),
      );
      expect(networkOf(one)).toEqual({ address: firstAddress(one), length: one.length });
    }),
    { numRuns: 500 },
  );
});

test("a prefix contains exactly the addresses that begin with the same bits", () => {
  const pair = prefix.chain((one) => fc.tuple(fc.constant(one), fc.oneof(nearby(one), address)));
  fc.assert(
    fc.property(pair, ([one, other]) => {
      const same =
        other.family === one.address.family &&
        bitsIn(other).slice(0, one.length) === bitsIn(one.address).slice(0, one.length);
      expect(contains(one, other)).toBe(same);
    }),
    { numRuns: 2000 },
  );
});

test("two prefixes overlap exactly if one contains the first address of the other", () => {
  const pair = prefix.chain((one) =>
    fc.tuple(
      fc.constant(one),
      nearby(one).chain((other) =>
        fc
          .integer({ min: 0, max: bitsOf(other.family) })
          .map((length): Prefix => ({ address: other, length })),
      ),
    ),
  );
  fc.assert(
    fc.property(pair, ([one, other]) => {
      expect(overlap(one, other)).toBe(
        contains(one, firstAddress(other)) || contains(other, firstAddress(one)),
      );
      expect(overlap(one, other)).toBe(overlap(other, one));
    }),
    { numRuns: 2000 },
  );
});

test.each([
  "10.0.0.0",
  "10.0.0.0/",
  "10.0.0.0/33",
  "10.0.0.0/08",
  "10.0.0.0/-1",
  "10.0.0.0/+8",
  "10.0.0.0/8/8",
  "/8",
  "10.0.0/8",
  "::/129",
  "::/1000",
  "::/1e1",
  "10.0.0.0/ 8",
  "10.0.0.0/8 ",
])("%p is no prefix", (text) => expect(parsePrefix(text)).toBeUndefined());

test.each([
  ["10.0.0.0/24", "10.0.0.1"],
  ["10.0.0.4/30", "10.0.0.5"],
  ["10.0.0.4/31", "10.0.0.4"],
  ["10.0.0.4/32", undefined],
  ["fd00::/64", "fd00::1"],
  ["fd00::2/127", "fd00::2"],
  ["fd00::2/128", undefined],
])("the default gateway of %p is %p", (subnet, gateway) => {
  const parsed = parsePrefix(subnet);
  const chosen = parsed === undefined ? undefined : defaultGateway(parsed);
  expect(chosen === undefined ? undefined : formatAddress(chosen)).toBe(gateway);
});

test("the prefix of a host holds just that address", () => {
  const host = parseAddress("10.0.0.7");
  expect(host === undefined ? "" : formatPrefix(hostPrefix(host))).toBe("10.0.0.7/32");
});
