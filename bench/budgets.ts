// Which budgets are met, as the table in docs/performance.md: written there by the run that measured it, so that no figure
// is copied by hand.
import type { Result, Run } from "./report.ts";

const BEGIN = "<!-- budgets: written by npm run bench -->";
const END = "<!-- end of budgets -->";

function spelled(value: number, unit: string): string {
  return `${value >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(1)} ${unit}`;
}

function rowOf({ name, unit, sides, ratio, ratioOf, ratioBudget, budget, met }: Result): string[] {
  if (met === undefined) return [];
  const [first, second] = (ratioOf ?? Object.keys(sides)).map((who) => sides[who]?.median);
  const cells = [
    name,
    first === undefined ? "" : spelled(first, unit),
    second === undefined ? "" : spelled(second, unit),
    ratioBudget === undefined ? "" : (ratio?.toFixed(2) ?? ""),
    ratioBudget === undefined ? `${budget} ${unit}` : `${ratioBudget}`,
    met ? "yes" : "no",
  ];
  return [`| ${cells.join(" | ")} |`];
}

/** Returns the table of the results that have a budget, in Markdown. */
export function budgetTable(runs: readonly Run[]): string {
  return [
    "| | Warren | beside it | ratio | budget | met |",
    "|---|---|---|---|---|---|",
    ...runs.flatMap(({ results }) => results.flatMap(rowOf)),
  ].join("\n");
}

/** Returns the page with the table in place of the one that it has; throws Error if it has no place for one. */
export function withBudgets(page: string, runs: readonly Run[]): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`there is no place for the budgets: ${BEGIN} ... ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n${budgetTable(runs)}\n${page.slice(end)}`;
}
