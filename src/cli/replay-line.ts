// A recorded call as a command line for a POSIX shell: pasted into one, it makes the call again with the same bytes.
import type { CallRecord } from "../record/call-record.ts";

/** Returns the text in single quotes, in which a shell takes every character but the quote itself for what it is. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Returns the command that prints exactly these bytes. */
function printing(bytes: Uint8Array): string {
  try {
    const text = strict.decode(bytes);
    if (!text.includes("\0")) return `printf %s ${quoted(text) || "''"}`;
  } catch {
    // no text: a shell has no word for it
  }
  return `printf %s ${Buffer.from(bytes).toString("base64")} | base64 -d`;
}

/** Returns the line that calls the plugin at `file` as the record has it. */
export function replayLine(file: string, { variables, stdin }: CallRecord): string {
  const assignments = Object.entries(variables).map(([name, value]) => `${name}=${quoted(value)}`);
  return `${printing(stdin)} | env ${assignments.join(" ")} ${quoted(file)}`;
}
