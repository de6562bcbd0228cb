// Quantities of Kubernetes: the grammar of k8s.io/apimachinery/pkg/api/resource, and exact numbers.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseQuantity } from "../../../src/cni/quantity.ts";

test.each([
  ["0", 0n],
  ["10", 10n],
  ["+10", 10n],
  ["-10", -10n],
  ["007", 7n],
  ["1k", 1000n],
  ["500k", 500_000n],
  ["10M", 10_000_000n],
  ["1G", 1_000_000_000n],
  ["1T", 10n ** 12n],
  ["1P", 10n ** 15n],
  ["1E", 10n ** 18n],
  ["1Ki", 1024n],
  ["1Mi", 1n << 20n],
  ["1Gi", 1n << 30n],
  ["1Ti", 1n << 40n],
  ["1Pi", 1n << 50n],
  ["3Ei", 3n << 60n],
  ["1e6", 1_000_000n],
  ["1E6", 1_000_000n],
  ["1e+6", 1_000_000n],
  ["1.5e3", 1500n],
  ["1500000e-3", 1500n],
  ["0.5M", 500_000n],
  [".5M", 500_000n],
  ["1.M", 1_000_000n],
  ["1.5Gi", 1_610_612_736n],
  ["0.1Ki", 103n], // 102.4, rounded away from zero
  ["100m", 1n],
  ["1500m", 2n],
  ["-1500m", -2n],
  ["1n", 1n],
  ["2000000u", 2n],
  ["9007199254740993", 9_007_199_254_740_993n],
  ["18446744073709551616", 18_446_744_073_709_551_616n],
  ["1e-99999999999999999999", 1n],
  ["0e99999999999999999999", 0n],
] as const)("%s is %d", (text, expected) => {
  expect(parseQuantity(text)).toBe(expected);
});

test.each([
  ...[
    "",
    " ",
    "M",
    "+",
    ".",
    "e3",
    "1K",
    "1KI",
    "1ki",
    "1i",
    "1 M",
    " 1M",
    "1M ",
    "1MB",
    "1m1",
    "1e",
    "1e+",
    "1e1.5",
  ],
  ...[
    "1.2.3",
    "1,5M",
    "--1",
    "0x10",
    "ten",
    "1Mbit",
    "1M\n",
    "NaN",
    "Infinity",
    "1__proto__",
    "constructor",
    "١",
  ],
])("%j is no quantity", (text) => {
  expect(parseQuantity(text)).toBeUndefined();
});

test("every whole number is itself, and a suffix multiplies it", () => {
  fc.assert(
    fc.property(fc.bigInt(), (value) => {
      expect(parseQuantity(`${value}`)).toBe(value);
      expect(parseQuantity(`${value}k`)).toBe(value * 1000n);
      expect(parseQuantity(`${value}Mi`)).toBe(value << 20n);
    }),
  );
});
