// A recorded call as `warren snoop` shows it: a block each for the start, what went in, what came out and the end, under a
// rule, with what it takes to make a failed call again.
import { type CallDetails, type CallRecord, withMaskedSecrets } from "../../record/call-record.ts";
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
export function viewOf(call: CallRecord, options: ViewOptions): string {
  const record = options.raw ? call : withMaskedSecrets(call);
  const { stdin, more } = record;
  if (more === undefined) return "";
  const endMs = more.atMs + more.durationMs;
  const blocks = new Blocks(record, more, options.coloured);
  blocks.begin();
  if (stdin.length > 0) blocks.add(more.atMs, "STDIN", linesOf(Buffer.from(stdin).toString()));
  if (more.stdout !== "") blocks.add(endMs, "STDOUT", linesOf(more.stdout));
  if ((more.stderr ?? "") !== "") blocks.add(endMs, "STDERR", linesOf(more.stderr ?? ""));
  const again =
    options.replay === "always" || (options.replay === "failed" && more.exitCode !== 0)
      ? ["to make this call again:", replayLine(more.plugin, record)]
      : [];
  blocks.end(again);
  return blocks.text();
}

/** Returns the block of a call that has just begun. */
export function beginningOf(call: CallRecord, { raw, coloured }: ViewOptions): string {
  const record = raw ? call : withMaskedSecrets(call);
  if (record.more === undefined) return "";
  const blocks = new Blocks(record, record.more, coloured);
  blocks.begin();
  return blocks.text();
}

/** Returns the block of a call that has ended, of whose streams nothing is known. */
export function endingOf(call: CallRecord, { coloured }: ViewOptions): string {
  if (call.more === undefined) return "";
  const { network } = call.more;
  const blocks = new Blocks(call, call.more, coloured);
  blocks.end(network === "" ? [] : [`network ${network}`]);
  return blocks.text();
}

/** The blocks of a call, one below the other. */
class Blocks {
  readonly #lines: string[] = [];

  constructor(
    private readonly record: CallRecord,
    private readonly more: CallDetails,
    private readonly coloured: boolean,
  ) {}

  begin(): void {
    const { atMs, plugin, parent } = this.more;
    const assignments = Object.entries(this.record.variables).map(([key, value]) => `${key}=${value}`);
    this.add(atMs, "EXEC", [plugin, `called by ${parent.pid} ${parent.command}`, ...assignments]);
  }

  end(others: readonly string[]): void {
    const { atMs, durationMs, exitCode, signal } = this.more;
    const ending = signal === undefined ? `${exitCode}` : `killed by ${signal}`;
    this.add(atMs + durationMs, "EXIT", [`${ending} after ${durationMs.toFixed(1)} ms`, ...others]);
  }

  add(atMs: number, event: string, lines: readonly string[]): void {
    const { plugin, pid, parent, exitCode } = this.more;
    const time = new Date(atMs).toISOString().slice(11, 23);
    const name = plugin.slice(plugin.lastIndexOf("/") + 1);
    const title = `${time} ${pid}/${parent.pid} ${name} ${this.record.variables.CNI_COMMAND ?? ""}`;
    const colour = exitCode !== 0 && event === "EXIT" ? 31 : 1;
    const painted = this.coloured ? `\u001b[${colour}m${event}\u001b[0m` : event;
    this.#lines.push(RULE, `${title} ${painted}`, ...lines);
  }

  text(): string {
    const indent = INDENT.repeat(this.more.depth ?? 0);
    return `${this.#lines.map((line) => `${indent}${line}`).join("\n")}\n`;
  }
}

function linesOf(text: string): string[] {
  return text.replace(/\n$/, "").split("\n");
}
