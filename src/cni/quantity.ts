// Quantities as Kubernetes writes them: 10M, 1.5Gi, 1e6, 500k. The grammar is that of
// k8s.io/apimachinery/pkg/api/resource, and numbers stay exact, for a rate may have more digits than a number of
// JavaScript keeps.

const QUANTITY = /^(?<sign>[+-]?)(?<whole>\d*)(?:\.(?<fraction>\d*))?(?<suffix>[A-Za-z]?i?|[eE][+-]?\d+)$/;

/** What a suffix multiplies by, as a power of two or of ten. "E" is exa here, and an exponent where digits follow. */
const SUFFIXES: Readonly<Record<string, { readonly base: bigint; readonly power: number }>> = {
  n: { base: 10n, power: -9 },
  u: { base: 10n, power: -6 },
  m: { base: 10n, power: -3 },
  "": { base: 10n, power: 0 },
  k: { base: 10n, power: 3 },
  M: { base: 10n, power: 6 },
  G: { base: 10n, power: 9 },
  T: { base: 10n, power: 12 },
  P: { base: 10n, power: 15 },
  E: { base: 10n, power: 18 },
  Ki: { base: 2n, power: 10 },
  Mi: { base: 2n, power: 20 },
  Gi: { base: 2n, power: 30 },
  Ti: { base: 2n, power: 40 },
  Pi: { base: 2n, power: 50 },
  Ei: { base: 2n, power: 60 },
};

/** Exponents beyond it make any number of digits that fits a line zero or larger than all that can be meant. */
const LARGEST_EXPONENT = 10_000;

/**
 * Returns the whole number that the quantity is, a fraction rounded away from zero as Kubernetes' `Value()` does;
 * undefined for what is no quantity.
 */
export function parseQuantity(text: string): bigint | undefined {
  const { sign, whole = "", fraction = "", suffix = "" } = QUANTITY.exec(text)?.groups ?? {};
  if (sign === undefined || `${whole}${fraction}` === "") return undefined;
  const exponent = /^[eE]([+-]?\d+)$/.exec(suffix)?.[1];
  const scale =
    exponent === undefined
      ? Object.hasOwn(SUFFIXES, suffix)
        ? SUFFIXES[suffix]
        : undefined
      : { base: 10n, power: clamped(Number(exponent)) };
  if (scale === undefined) return undefined;
  const digits = BigInt(`${whole}${fraction}`);
  const places = 10n ** BigInt(fraction.length);
  const factor = scale.base ** BigInt(Math.abs(scale.power));
  const [numerator, denominator] = scale.power < 0 ? [digits, places * factor] : [digits * factor, places];
  const magnitude = (numerator + denominator - 1n) / denominator;
  return sign === "-" ? -magnitude : magnitude;
}

function clamped(exponent: number): number {
  return Math.min(LARGEST_EXPONENT, Math.max(-LARGEST_EXPONENT, exponent));
}
