// The choice of a node's block against its plain definition: of all blocks in their order the first that meets no taken one.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Address, bitsOf } from "../../../src/ip/address.ts";
import { formatPrefix, networkOf, overlap, type Prefix, parsePrefix } from "../../../src/ip/prefix.ts";
import { type BlockPool, blockCount, isBlockOf, lowestFreeBlock } from "../../../src/mesh/blocks.ts";

function subnet(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new Error(text);
  return prefix;
}

function pool(cluster: string, blockLength: number): BlockPool {
  return { cluster: subnet(cluster), blockLength };
}

function lowest(cluster: string, blockLength: number, ...taken: string[]): string | undefined {
  const block = lowestFreeBlock(pool(cluster, blockLength), taken.map(subnet));
  return block === undefined ? undefined : formatPrefix(block);
}

/** A cluster of at most 64 blocks anywhere, also at the ends of all addresses. */
const anyPool: fc.Arbitrary<BlockPool> = fc.constantFrom<4 | 6>(4, 6).chain((family) => {
  const bits = bitsOf(family);
  const highest = (1n << BigInt(bits)) - 1n;
  return fc
    .record({
      value: fc.oneof(fc.bigInt({ min: 0n, max: highest }), fc.constantFrom(0n, highest)),
      length: fc.integer({ min: 0, max: bits }),
      more: fc.integer({ min: 0, max: 6 }),
    })
    .map(({ value, length, more }) => ({
      cluster: networkOf({ address: { family, value }, length }),
      blockLength: Math.min(bits, length + more),
    }));
});

function blocksOf({ cluster, blockLength }: BlockPool): Prefix[] {
  const { family, value } = cluster.address;
  const size = 1n << BigInt(bitsOf(family) - blockLength);
  const count = Number(1n << BigInt(blockLength - cluster.length));
  return Array.from({ length: count }, (_, index) => ({
    address: { family, value: value + BigInt(index) * size },
    length: blockLength,
  }));
}

/** Subnets in and around the cluster: larger, smaller, of the other family. */
function takenAround({ cluster, blockLength }: BlockPool): fc.Arbitrary<Prefix[]> {
  const { family, value } = cluster.address;
  const bits = bitsOf(family);
  const room = (1n << BigInt(bits - cluster.length)) - 1n;
  const one = fc
    .record({
      offset: fc.bigInt({ min: 0n, max: room }),
      length: fc.integer({ min: Math.max(0, blockLength - 3), max: Math.min(bits, blockLength + 3) }),
      isOther: fc.integer({ min: 0, max: 9 }).map((number) => number === 0),
    })
    .map(({ offset, length, isOther }): Prefix => {
      const address: Address = isOther
        ? { family: family === 4 ? 6 : 4, value: offset & 0xffff_ffffn }
        : { family, value: value + offset };
      return networkOf({ address, length: isOther ? Math.min(length, 32) : length });
    });
  return fc.array(one, { maxLength: 40 });
}

test("S3-I01 the block is the lowest that has no address in common with any that is taken", () => {
  fc.assert(
    fc.property(
      anyPool.chain((one) => fc.tuple(fc.constant(one), takenAround(one))),
      ([one, taken]) => {
        const expected = blocksOf(one).find((block) => !taken.some((other) => overlap(block, other)));
        expect(lowestFreeBlock(one, taken)).toEqual(expected);
      },
    ),
    { numRuns: 2000 },
  );
});

test("S3-I01 nodes that come one after the other get every block once, in order, and then none is left", () => {
  fc.assert(
    fc.property(anyPool, (one) => {
      const taken: Prefix[] = [];
      for (;;) {
        const block = lowestFreeBlock(one, taken);
        if (block === undefined) break;
        expect(isBlockOf(one, block)).toBe(true);
        // in whatever order the store tells of them
        taken.unshift(block);
      }
      expect(taken.toReversed()).toEqual(blocksOf(one));
      expect(blockCount(one)).toBe(BigInt(taken.length));
    }),
  );
});

test("S3-I02 masks of both families cut the cluster, and a block that went is the next to be given out", () => {
  expect(lowest("10.244.0.0/16", 24)).toBe("10.244.0.0/24");
  expect(lowest("10.244.0.0/16", 24, "10.244.0.0/24", "10.244.2.0/24")).toBe("10.244.1.0/24");
  expect(lowest("10.244.0.0/16", 20, "10.244.0.0/24")).toBe("10.244.16.0/20");
  expect(lowest("fd00:10::/56", 64, "fd00:10::/64")).toBe("fd00:10:0:1::/64");
  expect(lowest("fd00:10::/32", 48, "10.244.0.0/24")).toBe("fd00:10::/48");
  expect(lowest("10.0.0.0/24", 24, "10.0.0.128/25")).toBeUndefined();
  // up to the very last address there is
  expect(lowest("255.255.255.0/24", 25, "255.255.255.0/25")).toBe("255.255.255.128/25");
  expect(lowest("255.255.255.0/24", 25, "255.255.255.0/24")).toBeUndefined();
});

test("S3-I02 what is no block of the cluster is told from one: another size, another place, host bits", () => {
  const blocks = pool("10.244.0.0/16", 24);
  expect(isBlockOf(blocks, subnet("10.244.7.0/24"))).toBe(true);
  for (const other of ["10.244.7.0/25", "10.245.7.0/24", "10.244.7.1/24", "fd00::/64"]) {
    expect(isBlockOf(blocks, subnet(other))).toBe(false);
  }
});
