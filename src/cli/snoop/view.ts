// A recorded call as `warren snoop` shows it: a block each for the start, what went in, what came out and the end, under a
// rule, with what it takes to make a failed call again.
import {
  type CallDetails,
  type CallRecord,
  type Caught,
  withMaskedSecrets,
} from "../../record/call-record.ts";
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

/** Of a recorder's calls everything is known. */
const WHOLE: Caught = { gaps: {}, isRepeatable: true };

/** Returns the blocks of a call. */
export function viewOf(call: CallRecord, options: ViewOptions): string {
  const record = options.raw ? call : withMaskedSecrets(call);
  if (record.more === undefined) return "";
  const blocks = new Blocks(record, record.more, options.coloured);
  blocks.begin();
  blocks.streams(WHOLE);
  blocks.end(againOf(record, record.more, options, WHOLE));
  return blocks.text();
}

/** Returns the blocks of a call that has ended, of whose streams this much was caught. */
export function streamsOf(call: CallRecord, options: ViewOptions, caught: Caught): string {
  const record = options.raw ? call : withMaskedSecrets(call);
  if (record.more === undefined) return "";
  const blocks = new Blocks(record, record.more, options.coloured);
  blocks.streams(caught);
  const { network } = record.more;
  const again = againOf(record, record.more, options, caught);
  blocks.end(network === "" ? again : [`network ${network}`, ...again]);
  return blocks.text();
}

/** Returns how to make the call again, where that is wanted. */
function againOf(record: CallRecord, more: CallDetails, { replay }: ViewOptions, caught: Caught): string[] {
  if (replay !== "always" && (replay === "never" || more.exitCode === 0)) return [];
  return caught.isRepeatable
    ? ["to make this call again:", replayLine(more.plugin, record)]
    : ["no line makes this call again: it is not sure that all of its standard input was caught"];
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

  /** What went in and came out; of what is missing there is a line in its place. */
  streams({ gaps }: Caught): void {
    const { atMs, durationMs, stdout, stderr = "" } = this.more;
    const endMs = atMs + durationMs;
    this.#stream(atMs, "STDIN", Buffer.from(this.record.stdin).toString(), gaps.stdin);
    this.#stream(endMs, "STDOUT", stdout, gaps.stdout);
    this.#stream(endMs, "STDERR", stderr, gaps.stderr);
  }

  #stream(atMs: number, event: string, text: string, gap: string | undefined): void {
    const lines = text === "" ? [] : linesOf(text);
    if (gap !== undefined) lines.push(`... ${gap}`);
    if (lines.length > 0) this.add(atMs, event, lines);
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
