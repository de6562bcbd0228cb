// Runs every suite that can run here, after installing the programs that the tests drive, and says at the end
// what was skipped and why, and which files took longest. Files run in parallel; the whole takes a few minutes on two
// cores.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { installTools } from "./tools.ts";

const ROOT = resolve(import.meta.dir, "..");

/** Two for each of two cores: much of a test is waiting for the kernel, and one of them only waits for virtual machines. */
const WORKERS = 4;

/**
 * How long files once took, in milliseconds, so that the longest start first. `npm test -- --update-timings` writes the
 * times of its own run.
 */
const TIMINGS = "tests/timings.json";

/** How many of the longest files are named at the end. */
const LONGEST = 15;

/** What became of one test, as the report of `bun test` has it. */
interface Case {
  readonly file: string;
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
}

function decodeEntities(text: string): string {
  return text
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'")
    .replaceAll("&#39;", "'")
    .replaceAll("&amp;", "&");
}

/** Returns the cases of a report in JUnit's format. */
function parseReport(xml: string): Case[] {
  const cases: Case[] = [];
  for (const [, attributes = "", rest = ""] of xml.matchAll(
    /<testcase\b([^>]*?)(\/>|>[\s\S]*?<\/testcase>)/g,
  )) {
    const attribute = (name: string) =>
      decodeEntities(new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1] ?? "");
    const outcome =
      rest.includes("<failure") || rest.includes("<error")
        ? "failed"
        : rest.includes("<skipped")
          ? "skipped"
          : "passed";
    cases.push({ file: attribute("file") || attribute("classname"), name: attribute("name"), outcome });
  }
  return cases;
}

/** Returns how long each file of a report took, in seconds, the longest first. */
function parseTimes(xml: string): { readonly file: string; readonly seconds: number }[] {
  return [...xml.matchAll(/<testsuite name="([^"]*)" file="\1"[^>]*? time="([\d.]+)"/g)]
    .map(([, file = "", seconds]) => ({ file, seconds: Number(seconds) }))
    .sort((one, other) => other.seconds - one.seconds);
}

const folder = mkdtempSync(join(tmpdir(), "warren-report-"));
const report = join(folder, "report.xml");
try {
  installTools();
  const startedAt = performance.now();
  const tests = Bun.spawn(
    [
      process.execPath,
      "test",
      `--parallel=${WORKERS}`,
      `--timings=${TIMINGS}`,
      "--timeout=120000",
      "--reporter=junit",
      `--reporter-outfile=${report}`,
      ...process.argv.slice(2),
    ],
    { cwd: ROOT, stdin: "ignore", stdout: "inherit", stderr: "inherit" },
  );
  const exitCode = await tests.exited;
  const xml = readFileSync(report, "utf8");
  const cases = parseReport(xml);
  const count = (outcome: Case["outcome"]) => cases.filter((one) => one.outcome === outcome).length;
  for (const { file, name } of cases.filter((one) => one.outcome === "skipped"))
    console.log(`skipped: ${file}: ${name}`);
  for (const { file, name } of cases.filter((one) => one.outcome === "failed"))
    console.log(`FAILED: ${file}: ${name}`);
  for (const { file, seconds } of parseTimes(xml).slice(0, LONGEST))
    console.log(`${seconds.toFixed(0).padStart(5)} s  ${file}`);
  console.log(`${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
  console.log(`${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped`);
  process.exitCode = exitCode === 0 && count("failed") === 0 && count("passed") > 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
