// The results as a picture for the README: for each scenario a bar as long as Warren's share of the reference's time.
// It is plain SVG with a style for light pages and one for dark ones, because a page shows it as an image.
import type { Result, Run } from "./report.ts";

const WIDTH = 800;
const LABEL_WIDTH = 290;
const ROW_HEIGHT = 26;
const BAR_HEIGHT = 14;
const TOP = 58;
const BOTTOM = 34;
const RIGHT = 170;
/** The share that fills the width: a bit above the reference itself, or the worst there is. */
const LEAST_FULL_SHARE = 1.1;

const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .quiet { fill: #59636e }
  .bar { fill: #2da44e }
  .slower { fill: #bf8700 }
  .line { stroke: #59636e; stroke-dasharray: 3 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .quiet { fill: #9198a1 }
    .bar { fill: #3fb950 }
    .slower { fill: #d29922 }
    .line { stroke: #9198a1 }
  }`;

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function milliseconds(value: number | undefined): string {
  if (value === undefined) return "?";
  return `${value >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(1)} ms`;
}

/** Returns the chart of those results that are times of Warren next to the reference's, as SVG. */
export function chartOf(runs: readonly Run[]): string {
  const rows = runs
    .flatMap(({ results }) => results)
    .filter((result) => result.unit === "ms" && result.ratioOf?.[1] === "reference");
  const full = Math.max(LEAST_FULL_SHARE, ...rows.map(({ ratio }) => ratio ?? 0));
  const scale = (share: number) => Math.round(((WIDTH - LABEL_WIDTH - RIGHT) * share * 10) / full) / 10;
  const bottom = TOP + rows.length * ROW_HEIGHT;
  const height = bottom + BOTTOM;
  const line = LABEL_WIDTH + scale(1);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>Time of Warren's calls, as a share of the reference plugins' time</title>`,
    `<style>${STYLE}\n</style>`,
    `<text class="title" x="8" y="22">Time of a call, as a share of the reference plugins' (shorter is better)</text>`,
    `<text class="quiet" x="${line}" y="${TOP - 10}" text-anchor="middle">reference = 1</text>`,
    `<text class="quiet" x="${WIDTH - 8}" y="${TOP - 10}" text-anchor="end">ratio, Warren / reference</text>`,
    ...rows.map((row, index) => rowOf(row, TOP + index * ROW_HEIGHT, scale)),
    `<line class="line" x1="${line}" y1="${TOP - 4}" x2="${line}" y2="${bottom}"/>`,
    `<text class="quiet" x="8" y="${height - 12}">${escaped(noteOf(runs))}</text>`,
    "</svg>",
    "",
  ].join("\n");
}

function noteOf(runs: readonly Run[]): string {
  const last = runs.at(-1);
  if (last === undefined) return "";
  const { machine, versions, measuredAt } = last;
  return (
    `Medians, measured in turn on ${measuredAt.slice(0, 10)}. Reference plugins ${versions["reference plugins"] ?? "?"}, ` +
    `Linux ${machine.kernel}, ${machine.processors} processors.`
  );
}

function rowOf(
  { name, ratio = 0, ratioOf, sides }: Result,
  top: number,
  scale: (share: number) => number,
): string {
  const [first = "", second = ""] = ratioOf ?? [];
  const middle = top + ROW_HEIGHT / 2 + 4;
  const ours = milliseconds(sides[first]?.median);
  const theirs = milliseconds(sides[second]?.median);
  return [
    `<text x="${LABEL_WIDTH - 10}" y="${middle}" text-anchor="end">${escaped(name)}</text>`,
    `<rect class="${ratio > 1 ? "slower" : "bar"}" x="${LABEL_WIDTH}" y="${top + (ROW_HEIGHT - BAR_HEIGHT) / 2}" width="${scale(ratio)}" height="${BAR_HEIGHT}" rx="2"/>`,
    `<text x="${LABEL_WIDTH + scale(Math.max(ratio, 1)) + 8}" y="${middle}">${ratio.toFixed(2)}<tspan class="quiet" dx="8">${ours} / ${theirs}</tspan></text>`,
  ].join("\n");
}
