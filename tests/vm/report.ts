// How the outcome of a case gets out of a virtual machine: as a line on its console, which the test outside reads.
import { writeStdout } from "../../src/sys/stdio.ts";
import type { Console } from "./machine.ts";

/** What a line about a case begins with on the console. */
const CASE_MARK = "VM-CASE ";

/** What the console said about a case: a line, or one of each boot. */
export interface CaseReport {
  readonly name: string;
  readonly error?: string;
  readonly seconds: number;
}

/** Runs a case, or a half of one, and prints a line about it. */
export async function runCase(name: string, work: () => Promise<void>): Promise<void> {
  const startedAt = performance.now();
  let error: string | undefined;
  try {
    await work();
  } catch (thrown) {
    error = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  }
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
  writeStdout(`${CASE_MARK}${JSON.stringify({ name, error, seconds })}\n`);
}

/** Returns what a console said about cases. */
export function caseReports({ lines }: Console): CaseReport[] {
  return (
    lines
      .filter((line) => line.includes(CASE_MARK))
      // the firmware's last escapes may stand before the first line
      .map((line) => JSON.parse(line.slice(line.indexOf(CASE_MARK) + CASE_MARK.length)))
  );
}
