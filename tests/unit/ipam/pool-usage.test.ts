// How a pool is used, compared with counting every address of it one by one.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { formatAddress, parseAddress } from "../../../src/ip/address.ts";
import { parseRangeSets, type RangeSet, rangeOf } from "../../../src/ipam/pool.ts";
import { type Holding, type PoolUsage, usageOf } from "../../../src/ipam/pool-usage.ts";

const address = (text: string) => {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
};

function counted(set: RangeSet, holdings: readonly Holding[]): PoolUsage {
  const usage = { size: 0n, used: 0n, stale: 0n, resting: 0n, reserved: 0n, free: 0n };
  const base = address("10.0.0.0").value;
  for (let value = base; value < base + 512n; value++) {
    const one = { family: 4, value } as const;
    if (rangeOf(set, one) === undefined) continue;
    usage.size++;
    const holding = holdings.find((held) => held.address.value === value);
    const isReserved = set.reserved.some((span) => span.first.value <= value && value <= span.last.value);
    usage[holding?.state ?? (isReserved ? "reserved" : "free")]++;
  }
  return usage;
}

test("every address of the ranges is counted once, whatever overlaps", () => {
  const low = fc.integer({ min: 1, max: 120 });
  const exclusion = fc.oneof(
    fc.integer({ min: 0, max: 255 }).map((last) => `10.0.0.${last}`),
    fc.integer({ min: 0, max: 15 }).map((block) => `10.0.0.${block * 16}/28`),
    fc.tuple(low, fc.integer({ min: 120, max: 250 })).map(([from, to]) => `10.0.0.${from}-10.0.0.${to}`),
  );
  const state = fc.constantFrom("used" as const, "stale" as const, "resting" as const);
  const holdings = fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 511 }), state), {
    selector: ([at]) => at,
  });
  fc.assert(
    fc.property(low, fc.array(exclusion, { maxLength: 4 }), holdings, (start, exclude, held) => {
      const [set] = parseRangeSets({
        ranges: [
          [
            { subnet: "10.0.0.0/24", rangeStart: `10.0.0.${start}`, rangeEnd: "10.0.0.254" },
            { subnet: "10.0.1.0/25" },
          ],
        ],
        exclude,
      });
      if (set === undefined) throw new Error("no set");
      const base = address("10.0.0.0").value;
      const all = held.map(
        ([at, state]): Holding => ({ address: { family: 4, value: base + BigInt(at) }, state }),
      );
      expect(usageOf(set, all)).toEqual(counted(set, all));
    }),
  );
});

test("an IPv6 pool keeps every digit", () => {
  const [set] = parseRangeSets({ subnet: "fd00::/64" });
  if (set === undefined) throw new Error("no set");
  const usage = usageOf(set, [{ address: address("fd00::2"), state: "used" }]);
  expect(usage).toEqual({
    size: 18446744073709551615n,
    used: 1n,
    stale: 0n,
    resting: 0n,
    reserved: 1n,
    free: 18446744073709551613n,
  });
  expect(formatAddress(set.ranges[0]?.first ?? address("::"))).toBe("fd00::1");
});
