// What is said of many measurements of the same thing: the quantiles, and never the mean, which one pause of the
// machine would carry away.

/** Samples in order of size, summed up. */
export interface Summary {
  readonly min: number;
  readonly median: number;
  readonly p95: number;
  readonly p99: number;
  readonly runs: number;
}

/** Returns the least sample that this share of them stays at or below (the nearest rank); NaN for none. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((left, right) => left - right);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

/** Returns what is said of samples, to three decimals. */
export function summaryOf(samples: readonly number[]): Summary {
  const rounded = (value: number) => Math.round(value * 1000) / 1000;
  return {
    min: rounded(Math.min(...samples)),
    median: rounded(quantile(samples, 0.5)),
    p95: rounded(quantile(samples, 0.95)),
    p99: rounded(quantile(samples, 0.99)),
    runs: samples.length,
  };
}
