// What a run found, for people and for programs: the table, and the results with the machine and the versions, because
// a figure without them says nothing.
import { cpus, release } from "node:os";
import { formatTable } from "../src/cli/terminal/table.ts";
import type { Comparison } from "./scenario.ts";
import { type Summary, summaryOf } from "./statistics.ts";

/** A comparison summed up. */
export interface Result {
  readonly name: string;
  readonly unit: string;
  readonly sides: Readonly<Record<string, Summary>>;
  /** Of which two the ratio is, the first to the second; undefined where one of them is missing. */
  readonly ratioOf?: readonly [string, string] | undefined;
  /** Of the medians; of a rate it is how many times more, of a time how many times longer. */
  readonly ratio?: number | undefined;
  readonly ratioBudget?: number | undefined;
  readonly budget?: number | undefined;
  /** Whether the budget is met; undefined where there is none. */
  readonly met?: boolean | undefined;
}

/** What one run of a scenario found, on which machine and of which versions. */
export interface Run {
  readonly scenario: string;
  readonly measuredAt: string;
  readonly quick: boolean;
  readonly machine: { readonly kernel: string; readonly processor: string; readonly processors: number };
  readonly versions: Readonly<Record<string, string>>;
  readonly results: readonly Result[];
}

/** Returns the runs with the new ones in place of older ones of the same scenarios, in the order of `scenarios`. */
export function merged(older: readonly Run[], newer: readonly Run[], scenarios: readonly string[]): Run[] {
  const byScenario = new Map([...older, ...newer].map((run) => [run.scenario, run]));
  return scenarios.flatMap((scenario) => byScenario.get(scenario) ?? []);
}

/** Returns a comparison summed up. */
export function resultOf(comparison: Comparison): Result {
  const { name, unit, samples, ratioOf = ["warren", "reference"], ratioBudget, budget } = comparison;
  const sides = Object.fromEntries(Object.entries(samples).map(([who, values]) => [who, summaryOf(values)]));
  const [first, second] = ratioOf.map((who) => sides[who]?.median);
  const ratio =
    first === undefined || second === undefined ? undefined : Math.round((first / second) * 1000) / 1000;
  const met =
    ratioBudget !== undefined && ratio !== undefined
      ? ratio <= ratioBudget
      : budget !== undefined && first !== undefined
        ? first <= budget
        : undefined;
  return {
    name,
    unit,
    sides,
    ratioOf: ratio === undefined ? undefined : ratioOf,
    ratio,
    ratioBudget,
    budget,
    met,
  };
}

/** Returns the machine that this is. */
export function machine(): Run["machine"] {
  const [first] = cpus();
  return {
    kernel: release(),
    processor: first?.model ?? "unknown",
    processors: cpus().length,
  };
}

function spelled(value: number | undefined): string {
  if (value === undefined) return "";
  return value >= 1000 ? Math.round(value).toLocaleString("en") : value.toFixed(value < 10 ? 2 : 1);
}

/** Returns the results as a table: who in a line, and of whom the ratio is in the first line. */
export function tableOf(results: readonly Result[]): string {
  return formatTable(
    results.flatMap(({ name, unit, sides, ratio, ratioOf, ratioBudget, budget, met }) =>
      Object.entries(sides).map(([who, { min, median, p95, p99, runs }], index) => ({
        scenario: index === 0 ? name : "",
        who,
        unit,
        min: spelled(min),
        median: spelled(median),
        p95: spelled(p95),
        p99: runs >= 100 ? spelled(p99) : "",
        runs,
        ratio: who === ratioOf?.[0] ? (ratio?.toFixed(2) ?? "") : "",
        budget: budgetOf(who, ratioOf, ratioBudget, budget, index),
        met: met === undefined || index > 0 ? "" : met ? "yes" : "NO",
      })),
    ),
  );
}

function budgetOf(
  who: string,
  ratioOf: Result["ratioOf"],
  ratioBudget: number | undefined,
  budget: number | undefined,
  index: number,
): string {
  if (ratioBudget !== undefined) return who === ratioOf?.[0] ? `<= ${ratioBudget}` : "";
  return budget !== undefined && index === 0 ? `<= ${budget}` : "";
}
