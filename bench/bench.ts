// How fast is Warren next to the reference plugins? Contestants take turns round by round, by exec as a runtime does
// it, on the same host, in throwaway namespaces; only ratios within one run mean anything. `npm run bench -- NAME`
// measures some of the scenarios, `--quick` all of them with few rounds, `--baseline FOLDER` an older build beside.
// A full run, and one with `--write`, puts what it found into results.json, the chart and the table of budgets, in place of
// what was there.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { tools } from "../scripts/tools.ts";
import { withBudgets } from "./budgets.ts";
import { chartOf } from "./chart.ts";
import { assertSuccess } from "./command.ts";
import { type Contestant, install } from "./contestant.ts";
import { machine, merged, type Run, resultOf, tableOf } from "./report.ts";
import type { Scenario } from "./scenario.ts";
import { attachment } from "./scenarios/attachment.ts";
import { chain } from "./scenarios/chain.ts";
import { collection } from "./scenarios/collection.ts";
import { memory } from "./scenarios/memory.ts";
import { mesh } from "./scenarios/mesh.ts";
import { parallel } from "./scenarios/parallel.ts";
import { pool } from "./scenarios/pool.ts";
import { shared } from "./scenarios/shared.ts";
import { startup } from "./scenarios/startup.ts";
import { status } from "./scenarios/status.ts";
import { traffic } from "./scenarios/traffic.ts";
import { Stage } from "./stage.ts";

const SCENARIOS: readonly Scenario[] = [
  ...[startup, attachment, chain, parallel, pool, collection, status, traffic, memory, shared, mesh],
];

const ROOT = resolve(import.meta.dir, "..");
/** Where Warren's own build is. */
const OURS = join(ROOT, "dist/bin");

const OPTIONS = {
  quick: { type: "boolean", default: false },
  list: { type: "boolean", default: false },
  /** The folder of another build of Warren. */
  baseline: { type: "string" },
  write: { type: "boolean", default: false },
  /** Set by this program itself when it is inside its namespaces. */
  inside: { type: "boolean", default: false },
} as const;

function referenceFolder(): string {
  const reference = tools.referencePlugins;
  if (reference.path === undefined) throw new Error(`there is nothing to compare with: ${reference.reason}`);
  return reference.path;
}

/** Returns the version of Go's module that an executable was built from. */
function versionOfModule(file: string): string {
  const version = /^\tmod\t\S+\t(?<version>\S+)/m.exec(assertSuccess(["go", "version", "-m", file]));
  return version?.groups?.version ?? "unknown";
}

/** Returns the commit that the sources are at, and whether they were changed since. */
function versionOfSources(): string {
  const git = (...command: readonly string[]) => assertSuccess(["git", "-C", ROOT, ...command]).trim();
  const changed = git("status", "--porcelain", "--", "src", "db") !== "";
  return `${git("rev-parse", "--short", "HEAD")}${changed ? ", changed" : ""}`;
}

function contestants(folder: string, baseline: string | undefined): Contestant[] {
  return [
    install("reference", referenceFolder(), join(folder, "reference"), false, 201),
    ...(baseline === undefined ? [] : [install("baseline", baseline, join(folder, "baseline"), true, 203)]),
    install("warren", OURS, join(folder, "warren"), true, 202),
  ];
}

/** Measures the scenarios in the namespaces that this process is in, and prints each table as it comes. */
async function measure(
  scenarios: readonly Scenario[],
  quick: boolean,
  baseline: string | undefined,
): Promise<Run[]> {
  using stage = new Stage(quick, (folder) => contestants(folder, baseline));
  const versions = {
    warren: versionOfSources(),
    bun: Bun.version,
    "reference plugins": versionOfModule(join(referenceFolder(), "bridge")),
  };
  const runs: Run[] = [];
  for (const scenario of scenarios) {
    const measuredAt = new Date().toISOString();
    const results = (await scenario.run(stage)).map(resultOf);
    console.log(`${scenario.name}: ${scenario.about}\n\n${tableOf(results)}`);
    runs.push({ scenario: scenario.name, measuredAt, quick, machine: machine(), versions, results });
  }
  return runs;
}

/** Puts runs into results.json, in place of older ones of the same scenarios, and makes chart and table anew. */
function writeResults(runs: readonly Run[]): void {
  const file = join(import.meta.dir, "results.json");
  const older: readonly Run[] = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : [];
  const all = merged(
    older,
    runs,
    SCENARIOS.map(({ name }) => name),
  );
  writeFileSync(file, `${JSON.stringify(all, null, 2)}\n`);
  writeFileSync(join(import.meta.dir, "chart.svg"), chartOf(all));
  const page = join(ROOT, "docs/performance.md");
  writeFileSync(page, withBudgets(readFileSync(page, "utf8"), all));
}

const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
const unknown = positionals.filter((name) => !SCENARIOS.some((scenario) => scenario.name === name));
if (values.list || unknown.length > 0) {
  if (unknown.length > 0) console.error(`there is no scenario ${unknown.join(", ")}; there are:`);
  for (const { name, about } of SCENARIOS) console.log(`${name.padEnd(12)}${about}`);
  process.exit(unknown.length > 0 ? 2 : 0);
}
if (values.inside) {
  const chosen = SCENARIOS.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  const runs = await measure(chosen, values.quick, values.baseline);
  if (values.write || (chosen.length === SCENARIOS.length && !values.quick)) writeResults(runs);
} else {
  const { kernel, processor, processors } = machine();
  console.log(`Linux ${kernel}, ${processors} x ${processor}, Bun ${Bun.version}; medians of one run\n`);
  // what is mounted and made inside is gone with the last process of it
  // links settle at once: a container lives longer than the two seconds that its IPv6 addresses are not confirmed
  const inside = [
    "mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up",
    "for one in all default; do echo 0 > /proc/sys/net/ipv6/conf/$one/accept_dad; done",
    'exec "$0" "$@" --inside',
  ].join("\n");
  const program = [process.execPath, import.meta.path, ...process.argv.slice(2)];
  const { exitCode } = Bun.spawnSync(
    ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", inside, ...program],
    { stdout: "inherit", stderr: "inherit", stdin: "ignore" },
  );
  process.exitCode = exitCode;
}
