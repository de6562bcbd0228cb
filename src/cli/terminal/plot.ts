// Small drawings of numbers, in characters and without colour, so that a pipe and a file show them too: the course of a
// value in one line, and how values are spread.

const EIGHTHS = "▁▂▃▄▅▆▇█";
const PARTS_OF_A_CELL = " ▏▎▍▌▋▊▉█";

/**
 * Returns the course of a value in a line of at most `columns` characters: several values that share a character are
 * averaged. The highest character stands for `most`, without it for the largest of what is drawn. A value that is
 * undefined is a gap.
 */
export function sparkline(values: readonly (number | undefined)[], columns: number, most?: number): string {
  const cells = Math.min(values.length, Math.max(1, columns));
  const averages = Array.from({ length: cells }, (_, cell) => {
    const from = Math.floor((cell * values.length) / cells);
    const until = Math.max(from + 1, Math.floor(((cell + 1) * values.length) / cells));
    const shared = values.slice(from, until).filter((value) => value !== undefined);
    return shared.length === 0 ? undefined : shared.reduce((sum, value) => sum + value, 0) / shared.length;
  });
  const top = most ?? Math.max(0, ...averages.map((value) => value ?? 0));
  return averages
    .map((value) => {
      if (value === undefined) return " ";
      const step = top <= 0 ? 0 : Math.ceil((value / top) * EIGHTHS.length) - 1;
      return EIGHTHS.charAt(Math.min(EIGHTHS.length - 1, Math.max(0, step)));
    })
    .join("");
}

/** How many values lie from `from` until `until`, which is not among them unless it is the last one. */
export interface Bin {
  readonly from: number;
  readonly until: number;
  readonly count: number;
}

/** Steps between bins that are easy to read, in each power of ten. */
const ROUND_STEPS = [1, 2, 2.5, 5, 10];

/**
 * Returns how the values are spread over at most `most` equal bins with round limits, the empty ones in between too.
 * None for no values. Spans narrower than `narrowest` are one bin of that width, so that noise is not magnified.
 */
export function binned(values: readonly number[], most: number, narrowest: number): Bin[] {
  if (values.length === 0) return [];
  const least = Math.min(...values);
  const largest = Math.max(...values);
  const rough = Math.max(narrowest, (largest - least) / Math.max(1, most - 1));
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * (ROUND_STEPS.find((one) => one * power >= rough * (1 - 1e-9)) ?? 10);
  // limits are multiples of the step: counted in steps, for sums of fractions drift
  const first = Math.floor(least / step + 1e-9);
  const last = Math.max(first, Math.floor(largest / step + 1e-9));
  const counts = new Array<number>(last - first + 1).fill(0);
  for (const value of values) {
    const bin = Math.min(last, Math.floor(value / step + 1e-9)) - first;
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  return counts.map((count, index) => ({
    from: rounded((first + index) * step),
    until: rounded((first + index + 1) * step),
    count,
  }));
}

function rounded(value: number): number {
  return Number(value.toPrecision(12));
}

/**
 * Returns a histogram as lines no wider than `columns`: the limits of each bin, a bar, and how many values lie in it.
 * Rows of empty bins are one line. `unit` stands behind the limits.
 */
export function histogramLines(bins: readonly Bin[], unit: string, columns: number): string[] {
  const digits = Math.max(0, ...bins.flatMap(({ from, until }) => [decimals(from), decimals(until)]));
  const labels = bins.map(({ from, until }) => `${from.toFixed(digits)} - ${until.toFixed(digits)} ${unit}`);
  const labelWidth = Math.max(0, ...labels.map((label) => label.length));
  const countWidth = Math.max(0, ...bins.map(({ count }) => `${count}`.length));
  const room = Math.max(8, Math.min(60, columns - labelWidth - countWidth - 4));
  const most = Math.max(1, ...bins.map(({ count }) => count));
  const lines: string[] = [];
  let empty = 0;
  for (const [index, { count }] of bins.entries()) {
    empty = count === 0 ? empty + 1 : 0;
    if (empty > 1) {
      if (empty === 2) lines[lines.length - 1] = "...".padStart(labelWidth);
      continue;
    }
    const label = (labels[index] ?? "").padStart(labelWidth);
    lines.push(`${label}  ${bar(count / most, room)}  ${count}`.trimEnd());
  }
  return lines;
}

function decimals(value: number): number {
  return (String(value).split(".")[1] ?? "").length;
}

/** A bar whose length is that share of `columns`, to an eighth of a character. */
function bar(share: number, columns: number): string {
  const eighths = Math.round(share * columns * 8);
  // what is there at all can be seen
  const drawn = share > 0 ? Math.max(1, eighths) : 0;
  return "█".repeat(Math.floor(drawn / 8)) + (drawn % 8 === 0 ? "" : PARTS_OF_A_CELL.charAt(drawn % 8));
}
