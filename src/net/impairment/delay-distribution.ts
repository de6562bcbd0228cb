// How a jitter is spread around its delay, as the tables of numbers that netem draws from: the inverse of a
// distribution function at evenly spaced places, in 8192nds of the jitter. They are worked out from the formulas when
// they are needed, and come out as the ones that tc brings along in files.

/** Where netem draws from; `uniform` needs no table. */
export const DISTRIBUTIONS = ["uniform", "normal", "pareto", "paretonormal"] as const;
/** How a jitter is spread around its delay. */
export type Distribution = (typeof DISTRIBUTIONS)[number];

const ENTRIES = 4096;
/** NETEM_DIST_SCALE, linux/pkt_sched.h */
const SCALE = 8192;
const [SMALLEST, LARGEST] = [-32_768, 32_767];

/** The normal distribution is looked up on a grid as fine as this, in standard deviations. */
const STEP = 0.00005;
const LAST_STEP = 10 / STEP;
/** A density of four to an entry, of which every fourth is kept: an entry ends where the next one would be as near. */
const PLACES = ENTRIES * 4;

const PARETO_SHAPE = 3;
/** The mean of a Pareto distribution of that shape that begins at 1. */
const PARETO_MEAN = PARETO_SHAPE / (PARETO_SHAPE - 1);
const PARETO_SCALE = 4 / 3;
/** What is normal of the mixture; the rest is Pareto. */
const NORMAL_SHARE = 0.25;

/** Returns the table of a distribution; undefined for the one that needs none. */
export function distributionTable(name: Distribution): Int16Array | undefined {
  const entry = ENTRY[name];
  return entry === undefined
    ? undefined
    : Int16Array.from({ length: ENTRIES }, (_, index) => clamped(entry(index)));
}

const ENTRY: Readonly<Record<Distribution, ((index: number) => number) | undefined>> = {
  uniform: undefined,
  normal: (index) => Math.round(normalQuantile(index) * SCALE),
  pareto: paretoEntry,
  paretonormal: (index) =>
    Math.trunc(
      Math.round(normalQuantile(index) * SCALE) * NORMAL_SHARE + paretoEntry(index) * (1 - NORMAL_SHARE),
    ),
};

function clamped(value: number): number {
  return Math.max(SMALLEST, Math.min(LARGEST, value));
}

function paretoEntry(index: number): number {
  const quantile = (1 - index / ENTRIES) ** (-1 / PARETO_SHAPE);
  return Math.min(LARGEST, Math.round((quantile - PARETO_MEAN) * PARETO_SCALE * SCALE));
}

/** Returns the last place on the grid that is still nearer to this entry than to the next one. */
function normalQuantile(index: number): number {
  const wanted = (index * 4 + 0.5) / PLACES;
  let [below, above] = [-LAST_STEP, LAST_STEP];
  while (above - below > 1) {
    const middle = (below + above) >> 1;
    if (normalShareBelow(middle * STEP) <= wanted) below = middle;
    else above = middle;
  }
  return below * STEP;
}

function normalShareBelow(x: number): number {
  return x < 0 ? normalTail(-x) : 1 - normalTail(x);
}

/** From here on a continued fraction is quicker than the series, and both are as exact as the numbers. */
const SERIES_END = 3;
const FRACTION_DEPTH = 120;

/** Returns the share of a normal distribution above `x`, which is not negative. */
function normalTail(x: number): number {
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  if (x >= SERIES_END) {
    let fraction = 0;
    for (let depth = FRACTION_DEPTH; depth > 0; depth--) fraction = depth / (x + fraction);
    return density / (x + fraction);
  }
  let [term, sum] = [x, x];
  for (let odd = 3; term > sum * Number.EPSILON; odd += 2) {
    term *= (x * x) / odd;
    sum += term;
  }
  return 0.5 - sum * density;
}
