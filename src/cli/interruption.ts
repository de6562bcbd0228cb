// The signals that ask a command to end: for commands that must not end before they have taken back what they made, and for
// those that would never end without one.
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { exitNow } from "../sys/process.ts";

const ENDING_SIGNALS = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"] as const;

/** The exit code that shells give to an end by this signal. */
export function exitCodeOf(signal: NodeJS.Signals | number): number {
  return 128 + (typeof signal === "number" ? signal : constants.signals[signal]);
}

/** Catches the ending signals for as long as it lives, so that what was added is always taken away again. */
export class Interruption implements Disposable {
  /** The first signal that came. */
  signal: NodeJS.Signals | undefined;
  #child: Bun.Subprocess | undefined;
  readonly #handlers = ENDING_SIGNALS.map((name) => ({ name, handle: () => this.#take(name) }));

  /** `caught` is called for the first one. */
  constructor(private readonly caught: () => void = () => undefined) {
    for (const { name, handle } of this.#handlers) process.on(name, handle);
  }

  /** From now on signals are the child's business too. */
  passTo(child: Bun.Subprocess): void {
    this.#child = child;
    if (this.signal !== undefined) child.kill(this.signal);
  }

  #take(name: NodeJS.Signals): void {
    const isFirst = this.signal === undefined;
    this.signal ??= name;
    if (isFirst) this.caught();
    // a terminal sends its signals to the whole foreground group, so the child has this one already and would take
    // it twice; nothing tells a signal of the terminal from one of kill(1), but no terminal sends SIGTERM
    const isTerminals = name !== "SIGTERM" && isForeground();
    if (!isTerminals) this.#child?.kill(name);
  }

  [Symbol.dispose](): void {
    for (const { name, handle } of this.#handlers) process.off(name, handle);
  }
}

/** True if this process is in the foreground group of its terminal: fields pgrp and tpgid of proc(5) stat. */
function isForeground(): boolean {
  const fields = readFileSync("/proc/self/stat", "utf8").split(") ").at(-1)?.split(" ") ?? [];
  return fields[2] !== undefined && fields[2] === fields[5];
}

/**
 * Lets Ctrl-C be the end that a command without an end of its own is meant to have, with exit code 0; other signals end it
 * with theirs. `cleanUp` runs before, and must not wait for anything.
 */
export function endOnSignals(cleanUp: () => void = () => undefined): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      cleanUp();
      exitNow(signal === "SIGINT" ? 0 : exitCodeOf(signal));
    });
  }
}
