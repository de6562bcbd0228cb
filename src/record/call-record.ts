// A call of a plugin as a file keeps it, in two forms: the layout of the debug logger that CNI's users know, for eyes,
// and one JSON object a line, for programs and with all that was known. Both can be read back, byte by byte, so that a
// call can be made again.
import * as v from "valibot";
import { CniError, ErrorCode } from "../cni/error.ts";
import { parseExactly } from "../cni/exact-json.ts";
import { parseInput } from "../cni/input.ts";
import { type ProcessName, parentProcess } from "../sys/process.ts";
import { maskBytes, maskJson, maskText } from "./redaction.ts";

/** A call. */
export interface CallRecord {
  readonly variables: Readonly<Record<string, string>>;
  readonly stdin: Uint8Array;
  /** What only the JSON form knows. */
  readonly more?: CallDetails | undefined;
}

/** How a call went. */
export interface CallDetails {
  readonly atMs: number;
  readonly durationMs: number;
  /** The plugin's name, or the path of the file that was run. */
  readonly plugin: string;
  /** The network that its config names; empty where it names none. */
  readonly network: string;
  readonly pid: number;
  readonly parent: ProcessName;
  readonly exitCode: number;
  /** The document that it printed; empty for none. */
  readonly stdout: string;
  readonly stderr?: string;
  /** The signal that ended it. */
  readonly signal?: string;
  /** How many recorded calls it is part of: 1 for a delegate of a plugin that was called by a runtime. */
  readonly depth?: number;
}

/** How much is known of a call whose standard streams were caught in passing. */
export interface Caught {
  /** What is to be said of a stream that was not caught whole. */
  readonly gaps: { readonly stdin?: string; readonly stdout?: string; readonly stderr?: string };
  /** True if standard input is known to be all that the call had. */
  readonly isRepeatable: boolean;
}

const RULER = "-".repeat(22);

/** The lines of the layout, in their order, and the variables that they show. */
const LINES = [
  ["CNI Command", "CNI_COMMAND"],
  ["ContainerID", "CNI_CONTAINERID"],
  ["Netns", "CNI_NETNS"],
  ["IfName", "CNI_IFNAME"],
  ["Args", "CNI_ARGS"],
  ["Path", "CNI_PATH"],
] as const;

/** Variables of a call that its record keeps, beside the CNI_* ones: where a call belongs in a trace (W3C). */
const TRACE_VARIABLES: readonly string[] = ["TRACEPARENT", "TRACESTATE", "BAGGAGE"];

/** Returns those of a process's variables that make a call what it is. */
export function callVariables(
  variables: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(variables)) {
    if (value !== undefined && (name.startsWith("CNI_") || TRACE_VARIABLES.includes(name)))
      kept[name] = value;
  }
  return kept;
}

/** Returns the record with its secrets masked, wherever they stand. */
export function withMaskedSecrets({ variables, stdin, more }: CallRecord): CallRecord {
  const masked = Object.entries(variables).map(([name, value]) => [name, maskText(value)]);
  return {
    variables: Object.fromEntries(masked),
    stdin: maskBytes(stdin),
    more:
      more === undefined
        ? undefined
        : {
            ...more,
            parent: { pid: more.parent.pid, command: maskText(more.parent.command) },
            stdout: maskJson(more.stdout),
            ...(more.stderr === undefined ? {} : { stderr: maskText(more.stderr) }),
          },
  };
}

/** Returns what a record says of the process that writes it. */
export function thisProcess(): Pick<CallDetails, "pid" | "parent"> {
  return { pid: process.pid, parent: parentProcess() };
}

const encoder = new TextEncoder();

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

/** Returns the record in the debug logger's layout: an empty line, seven labelled lines, a ruler. */
export function textRecord({ variables, stdin }: CallRecord): Uint8Array {
  const lines = LINES.map(([label, name]) => `${label}: ${onOneLine(variables[name] ?? "")}\n`).join("");
  return joined(encoder.encode(`\n${lines}StdinData: `), stdin, encoder.encode(`\n${RULER}\n`));
}

/** A line break in a variable would make lines of its own, which could say anything. */
function onOneLine(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\r", "\\r");
}

function withLineBreaks(text: string): string {
  return text.replace(/\\([\\nr])/g, (_, sign: string) => (sign === "n" ? "\n" : sign === "r" ? "\r" : sign));
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Input that is no text is kept in base64. */
function inputFields(stdin: Uint8Array): { readonly stdin: string } | { readonly stdinBase64: string } {
  try {
    return { stdin: strict.decode(stdin) };
  } catch {
    return { stdinBase64: Buffer.from(stdin).toString("base64") };
  }
}

/** A record with all that is known of how the call went. */
type DetailedRecord = CallRecord & { readonly more: CallDetails };

/** Returns the record as one line of JSON. */
export function jsonRecord({ variables, stdin, more }: DetailedRecord): Uint8Array {
  return line({ ...outlineFields({ variables, more }), ...inputFields(stdin), ...answerFields(more) });
}

/**
 * Returns the record of a call whose streams were caught in passing. What was missed is said; input that may not be all
 * is left out, so that nobody makes another call of it.
 */
export function caughtRecord(
  { variables, stdin, more }: DetailedRecord,
  { gaps, isRepeatable }: Caught,
): Uint8Array {
  const missed = isRepeatable ? gaps : { stdin: "it is not sure that all of it was caught", ...gaps };
  return line({
    ...outlineFields({ variables, more }),
    ...(isRepeatable ? inputFields(stdin) : {}),
    ...answerFields(more),
    ...(Object.keys(missed).length === 0 ? {} : { missed }),
  });
}

function answerFields({ stdout, stderr, exitCode }: CallDetails): object {
  const answer = documentIn(stdout);
  return {
    ...(answer === undefined ? {} : { [exitCode === 0 ? "result" : "error"]: answer }),
    ...(stderr === undefined || stderr === "" ? {} : { stderr }),
  };
}

/** Returns the record of a call of whose standard streams nothing was seen; nobody can make that call again. */
export function outlineRecord(record: Omit<DetailedRecord, "stdin">): Uint8Array {
  return line(outlineFields(record));
}

function outlineFields({ variables, more }: Omit<DetailedRecord, "stdin">): object {
  const { atMs, durationMs, stdout: _stdout, stderr: _stderr, ...others } = more;
  return {
    time: new Date(atMs).toISOString(),
    verb: variables.CNI_COMMAND ?? "",
    ...others,
    durationMs: Number(durationMs.toFixed(3)),
    env: variables,
  };
}

function line(document: object): Uint8Array {
  return encoder.encode(`${JSON.stringify(document)}\n`);
}

/** Returns the network that a plugin's config names; empty where it names none, or is no config. */
export function networkIn(stdin: Uint8Array): string {
  try {
    const document: unknown = JSON.parse(new TextDecoder().decode(stdin));
    const name = typeof document === "object" && document !== null ? Reflect.get(document, "name") : "";
    return typeof name === "string" ? name : "";
  } catch {
    return "";
  }
}

function documentIn(stdout: string): unknown {
  if (stdout.trim() === "") return undefined;
  try {
    return parseExactly(stdout);
  } catch {
    return stdout;
  }
}

const lineSchema = v.object({
  time: v.string(),
  plugin: v.string(),
  network: v.optional(v.string(), ""),
  durationMs: v.number(),
  pid: v.number(),
  parent: v.object({ pid: v.number(), command: v.string() }),
  env: v.record(v.string(), v.string()),
  stdin: v.optional(v.string()),
  stdinBase64: v.optional(v.string()),
  exitCode: v.number(),
  result: v.optional(v.unknown()),
  error: v.optional(v.unknown()),
  stderr: v.optional(v.string()),
  signal: v.optional(v.string()),
  depth: v.optional(v.number()),
});

/** Returns the records in a file of either form, in their order; throws CniError 6 naming the place of what is none. */
export function parseRecords(bytes: Uint8Array, what: string): CallRecord[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  return text.trimStart().startsWith("{") ? parseLines(text, what) : parseLayout(text, what);
}

/** Bytes were taken for characters one by one; this is what they say. */
function decoded(latin1: string): string {
  return Buffer.from(latin1, "latin1").toString();
}

function parseLines(text: string, what: string): CallRecord[] {
  return text
    .split("\n")
    .flatMap((line, index) => (line === "" ? [] : [parseLine(decoded(line), `${what}:${index + 1}`)]));
}

function parseLine(text: string, what: string): CallRecord {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw new CniError(ErrorCode.decodingFailure, `${what} is no record: ${String(error)}`, "", {
      cause: error,
    });
  }
  const fields = parseInput(lineSchema, document, ErrorCode.decodingFailure, what);
  if (fields.stdin === undefined && fields.stdinBase64 === undefined) {
    throw new CniError(
      ErrorCode.decodingFailure,
      `${what} has no standard input, so the call can't be made again`,
      "warren snoop --kernel sees none, and --streams not always: record calls by warren snoop, or by warren-trace",
    );
  }
  const answer = fields.result ?? fields.error;
  return {
    variables: fields.env,
    stdin:
      fields.stdinBase64 === undefined
        ? encoder.encode(fields.stdin ?? "")
        : Buffer.from(fields.stdinBase64, "base64"),
    more: {
      atMs: Date.parse(fields.time),
      durationMs: fields.durationMs,
      plugin: fields.plugin,
      network: fields.network,
      pid: fields.pid,
      parent: fields.parent,
      exitCode: fields.exitCode,
      stdout: answer === undefined ? "" : typeof answer === "string" ? answer : JSON.stringify(answer),
      ...(fields.stderr === undefined ? {} : { stderr: fields.stderr }),
      ...(fields.signal === undefined ? {} : { signal: fields.signal }),
      ...(fields.depth === undefined ? {} : { depth: fields.depth }),
    },
  };
}

const HEAD = new RegExp(`\\n${LINES.map(([label]) => `${label}: (.*)\\n`).join("")}StdinData: `, "y");
/** A ruler ends a record only at the end, or in front of the next one: no JSON has such a line, but input may be none. */
const END = new RegExp(`\\n${RULER}\\n(?=$|\\n${LINES[0][0]}: )`, "g");

function parseLayout(text: string, what: string): CallRecord[] {
  const records: CallRecord[] = [];
  let offset = 0;
  while (offset < text.length) {
    HEAD.lastIndex = offset;
    const head = HEAD.exec(text);
    END.lastIndex = HEAD.lastIndex;
    const end = head === null ? null : END.exec(text);
    if (head === null || end === null) {
      const line = text.slice(0, offset).split("\n").length;
      throw new CniError(
        ErrorCode.decodingFailure,
        `${what}: no record at line ${line}`,
        "expected what warren-trace writes, as text or as JSON lines",
      );
    }
    const values = head.slice(1).map((value) => withLineBreaks(decoded(value)));
    records.push({
      variables: Object.fromEntries(LINES.map(([, name], index) => [name, values[index] ?? ""])),
      stdin: Buffer.from(text.slice(head.index + head[0].length, end.index), "latin1"),
    });
    offset = END.lastIndex;
  }
  return records;
}
