// Where the time of a call goes, for whoever sets WARREN_TRACE=1: what a process waits for (the kernel, the store, other
// programs) is a phase with a name, and what lies between two phases is its own work. Off, a phase costs a comparison.

const isOn = process.env.WARREN_TRACE === "1";

interface Phase {
  readonly name: string;
  readonly startedAtMs: number;
  endedAtMs: number;
}

const phases: Phase[] = [];
let current: Phase | undefined;

// what comes from here until somebody ends it is the load of the program's other modules
if (isOn) {
  phases.push({ name: "start the runtime inside", startedAtMs: 0, endedAtMs: performance.now() });
  beginPhase("load the program");
}

/** Begins a phase; one that did not end yet ends here. */
export function beginPhase(name: string): void {
  if (!isOn) return;
  endPhase();
  const now = performance.now();
  current = { name, startedAtMs: now, endedAtMs: now };
  phases.push(current);
}

/** Ends the phase that began last. */
export function endPhase(): void {
  if (current === undefined) return;
  current.endedAtMs = performance.now();
  current = undefined;
}

const COLUMN = 8;

function line(atMs: number, tookMs: number, name: string): string {
  return `${atMs.toFixed(2).padStart(COLUMN)} ${tookMs.toFixed(2).padStart(COLUMN)}  ${name}\n`;
}

/**
 * Returns the phases as lines for standard error: when each began, in milliseconds since the start of the process, and
 * how long it took. Undefined unless WARREN_TRACE=1 asks for it.
 */
export function phaseReport(title: string): string | undefined {
  if (!isOn) return undefined;
  endPhase();
  const endedAtMs = performance.now();
  const lines = [`${title}\n`, `${"at ms".padStart(COLUMN)} ${"took".padStart(COLUMN)}  what\n`];
  let reached = 0;
  for (const { name, startedAtMs, endedAtMs: until } of phases) {
    if (startedAtMs > reached) lines.push(line(reached, startedAtMs - reached, "-"));
    lines.push(line(startedAtMs, until - startedAtMs, name));
    reached = until;
  }
  lines.push(line(reached, endedAtMs - reached, "-"), line(endedAtMs, 0, "end"));
  return lines.join("");
}
