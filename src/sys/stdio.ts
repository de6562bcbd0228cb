// Standard input, output and error by plain read and write. process.stdout and process.stderr cost 10 ms when
// merely looked at, cut a result short on a full pipe, or swallow the error of a closed one.
import { readAll, writeAll } from "./files.ts";
import { isSystemError } from "./libc.ts";
import { beginPhase, endPhase } from "./phases.ts";

/** The longest configuration that is read; a larger one is refused instead of filling the memory. */
export const STDIN_LIMIT_BYTES = 16 << 20;

const encoder = new TextEncoder();

/** Reads standard input to its end; throws SystemError, EFBIG above the limit. */
export function readStdin(): Uint8Array {
  beginPhase("read standard input");
  const input = readAll(0, "standard input", STDIN_LIMIT_BYTES);
  endPhase();
  return input;
}

const STDOUT = "standard output";

/** Writes all of `text` to standard output; throws SystemError (EPIPE, ENOSPC) when the reader didn't get it. */
export function writeStdout(text: string): void {
  beginPhase("write the answer");
  writeAll(1, encoder.encode(text), STDOUT);
  endPhase();
}

/** True if `error` came of writing to a standard output whose reader is gone, as `head` is after ten lines. */
export function isUnreadStdout(error: unknown): boolean {
  return isSystemError(error, "EPIPE") && error.call === `write ${STDOUT}`;
}

/** Writes `text` to standard error. A lost log line must not fail the call, so errors are let go. */
export function writeStderr(text: string): void {
  try {
    writeAll(2, encoder.encode(text), "standard error");
  } catch {
    // nobody is left to tell
  }
}
