// A heat map has every address of its pool in one cell, says of each cell what is worst in it, and never grows too large.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { cellText, heatMap } from "../../../src/cli/ui/heat-map.ts";
import { parseAddress } from "../../../src/ip/address.ts";
import { parseRangeSets } from "../../../src/ipam/pool.ts";
import type { Holding } from "../../../src/ipam/pool-usage.ts";

const BASE = parseAddress("10.0.0.0")?.value ?? 0n;

test("every address is in exactly one cell, which has the state of the worst in it", () => {
  const state = fc.constantFrom("used" as const, "stale" as const, "resting" as const);
  const held = fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 8000 }), state), { selector: ([at]) => at });
  fc.assert(
    fc.property(fc.integer({ min: 18, max: 30 }), held, (length, addresses) => {
      const [set] = parseRangeSets({ subnet: `10.0.0.0/${length}` });
      if (set === undefined) throw new Error("no set");
      const [range] = set.ranges;
      const holdings = addresses.map(
        ([at, state]): Holding => ({ address: { family: 4, value: BASE + BigInt(at) }, state }),
      );
      const cells = heatMap(set, holdings);
      expect(cells.length).toBeLessThanOrEqual(1024);
      expect([cells[0]?.first.value, cells.at(-1)?.last.value]).toEqual([
        range?.first.value,
        range?.last.value,
      ]);
      for (const [index, cell] of cells.entries()) {
        const next = cells[index + 1];
        if (next !== undefined) expect(next.first.value).toBe(cell.last.value + 1n);
        const inside = holdings.filter(
          ({ address: { value } }) => cell.first.value <= value && value <= cell.last.value,
        );
        const worst = (["stale", "used", "resting"] as const).find((one) =>
          inside.some((held) => held.state === one),
        );
        if (worst === undefined) expect(["reserved", "free"]).toContain(cell.state);
        else expect(cell.state).toBe(worst);
        expect(cell.heat > 0).toBe(inside.length > 0 || cell.first.value === BASE + 1n);
      }
    }),
  );
});

test("an IPv6 pool fits, and a cell says what it stands for", () => {
  const [set] = parseRangeSets({ subnet: "fd00::/64" });
  if (set === undefined) throw new Error("no set");
  const address = parseAddress("fd00::2");
  if (address === undefined) throw new Error("no address");
  const cells = heatMap(set, [{ address, state: "used" }]);
  expect(cells).toHaveLength(1024);
  expect(cells[0]?.state).toBe("used");
  expect(cells[1] === undefined ? "" : cellText(cells[1])).toBe(
    "fd00::40:0:0:1-fd00::80:0:0:0: free, 0.0 % taken",
  );
});
