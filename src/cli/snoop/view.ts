// A recorded call as `warren snoop` shows it: a block each for the start, what went in, what came out and the end, under a
// rule, with what it takes to make a failed call again.
import { type CallRecord, withMaskedSecrets } from "../../record/call-record.ts";
import { replayLine } from "../replay-line.ts";

const RULE = "-".repeat(80);
/** How much a delegate's call stands to the right of the one that it is part of. */
const INDENT = "  ";

/** What is shown. */
export interface ViewOptions {
  /** Secrets as they are. */
  readonly raw: boolean;
  /** A line that makes the call again: for calls that failed, for all, or for none. */
  readonly replay: "failed" | "always" | "never";
  readonly coloured: boolean;
}

/** Returns the blocks of a call. */
export function viewOf(call: CallRecord, { raw, replay, coloured }: ViewOptions): string {
  const record = raw ? call : withMaskedSecrets(call);
  const { variables, stdin, more } = record;
  if (more === undefined) return "";
  const endMs = more.atMs + more.durationMs;
  const failed = more.exitCode !== 0;
  const paint = (code: number, text: string) => (coloured ? `\u001b[${code}m${text}\u001b[0m` : text);
  const blocks: string[] = [];
  const block = (atMs: number, event: string, lines: readonly string[]) => {
    const time = new Date(atMs).toISOString().slice(11, 23);
    const name = more.plugin.slice(more.plugin.lastIndexOf("/") + 1);
    const title = `${time} ${more.pid}/${more.parent.pid} ${name} ${variables.CNI_COMMAND ?? ""}`;
    blocks.push(RULE, `${title} ${paint(failed && event === "EXIT" ? 31 : 1, event)}`, ...lines);
  };
  const assignments = Object.entries(variables).map(([key, value]) => `${key}=${value}`);
  block(more.atMs, "EXEC", [
    more.plugin,
    `called by ${more.parent.pid} ${more.parent.command}`,
    ...assignments,
  ]);
  if (stdin.length > 0) block(more.atMs, "STDIN", linesOf(Buffer.from(stdin).toString()));
  if (more.stdout !== "") block(endMs, "STDOUT", linesOf(more.stdout));
  if ((more.stderr ?? "") !== "") block(endMs, "STDERR", linesOf(more.stderr ?? ""));
  const ending = more.signal === undefined ? `${more.exitCode}` : `killed by ${more.signal}`;
  const again = replay === "always" || (replay === "failed" && failed);
  block(endMs, "EXIT", [
    `${ending} after ${more.durationMs.toFixed(1)} ms`,
    ...(again ? ["to make this call again:", replayLine(more.plugin, record)] : []),
  ]);
  const indent = INDENT.repeat(more.depth ?? 0);
  return `${blocks.map((line) => `${indent}${line}`).join("\n")}\n`;
}

function linesOf(text: string): string[] {
  return text.replace(/\n$/, "").split("\n");
}
