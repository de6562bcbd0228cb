// The small drawings: every value has its character, nothing is wider than it may be, and histograms lose no value.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { binned, histogramLines, sparkline } from "../../../src/cli/terminal/plot.ts";

test("a sparkline shows each value, or averages those that share a character", () => {
  expect(sparkline([1, 2, 3, 4, 5, 6, 7, 8], 8)).toBe("▁▂▃▄▅▆▇█");
  expect(sparkline([8, undefined, 8], 10)).toBe("█ █");
  expect(sparkline([0, 0], 10)).toBe("▁▁");
  expect(sparkline([2, 6, 8, 8], 2)).toBe("▄█");
  expect(sparkline([4, 4], 10, 8)).toBe("▄▄");
  expect(sparkline([], 10)).toBe("");
});

test("a sparkline is as wide as there are values, and no wider than it may be", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 1e12, noNaN: true })),
      fc.integer({ min: 1, max: 200 }),
      (values, columns) => {
        expect(Bun.stringWidth(sparkline(values, columns))).toBe(Math.min(values.length, columns));
      },
    ),
  );
});

test("a histogram has every value in the bin that its limits say, and few bins", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 1e4, noNaN: true }), { minLength: 1, maxLength: 100 }),
      (values) => {
        const bins = binned(values, 10, 0.01);
        expect(bins.reduce((sum, { count }) => sum + count, 0)).toBe(values.length);
        expect(bins.length).toBeLessThanOrEqual(11);
        const slack = 1e-6;
        expect(Math.min(...values)).toBeGreaterThanOrEqual((bins[0]?.from ?? 0) - slack);
        expect(Math.max(...values)).toBeLessThanOrEqual((bins.at(-1)?.until ?? 0) + slack);
      },
    ),
  );
});

test("its lines tell limits and counts, fold what is empty, and keep to the width", () => {
  const bins = binned([50.1, 50.2, 50.3, 52.4, 69.9], 10, 0.01);
  expect(histogramLines(bins, "ms", 40)).toEqual([
    "50.0 - 52.5 ms  █████████████████████  4",
    "           ...",
    "67.5 - 70.0 ms  █████▎  1",
  ]);
  for (const line of histogramLines(bins, "ms", 78)) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(78);
  expect(binned([], 10, 1)).toEqual([]);
  expect(histogramLines([], "ms", 80)).toEqual([]);
  // all alike
  expect(binned([3, 3, 3], 10, 0.5)).toEqual([{ from: 3, until: 3.5, count: 3 }]);
});
