// `warren replay FILE`: makes a recorded call of a plugin again, with the same variables and the same bytes on
// standard input. What it answers goes where an answer of this command goes, and its exit code is this one's.
import { readFileSync } from "node:fs";
import * as v from "valibot";
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import { findPlugin } from "../cni/execution.ts";
import { parseInput } from "../cni/input.ts";
import { log } from "../log.ts";
import { type CallRecord, callVariables, parseRecords } from "../record/call-record.ts";
import { MASK } from "../record/redaction.ts";
import { writeStdout } from "../sys/stdio.ts";
import { operatorCommand, UsageError } from "./command.ts";
import { replayLine } from "./replay-line.ts";
import { printTable } from "./terminal/table.ts";

const configSchema = v.object({ type: v.string(), name: v.optional(v.string(), "") });

export const command = operatorCommand({
  name: "replay",
  description: "Make a call again that warren-trace or warren snoop recorded",
  args: {
    file: { type: "positional", required: true, description: "The file of records, text or JSON lines" },
    index: { type: "string", valueHint: "N", description: "Which record, from 1 on: else the last one" },
    list: { type: "boolean", description: "List the records instead" },
    print: { type: "boolean", description: "Print the call as a line for a shell instead" },
    plugin: {
      type: "string",
      valueHint: "TYPE|PATH",
      description: "Call this plugin: else the one that the record is about",
    },
    "cni-bin-dir": {
      type: "string",
      valueHint: "DIR[:DIR...]",
      description: "Where plugins are: else the CNI_PATH of the record",
    },
    json: { type: "boolean", description: "List as JSON" },
  },
  async run({ args }) {
    const records = parseRecords(readRecords(args.file), args.file);
    if (args.list === true) {
      list(records, args.json === true);
      return 0;
    }
    const record = chosen(records, args.index, args.file);
    const file = pluginOf(record, args.plugin, args["cni-bin-dir"]);
    if (args.print === true) {
      writeStdout(`${replayLine(file, record)}\n`);
      return 0;
    }
    if (
      Buffer.from(record.stdin).includes(MASK) ||
      Object.values(record.variables).some((one) => one.includes(MASK))
    )
      log.warn(`secrets of this record are masked: the plugin gets ${MASK} in their place`);
    return runAgain(file, record);
  },
});

function readRecords(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new CniError(ErrorCode.ioFailure, `error reading ${file}: ${describeError(error)}`, "", {
      cause: error,
    });
  }
}

function chosen(records: readonly CallRecord[], index: string | undefined, file: string): CallRecord {
  if (index !== undefined && !/^[1-9]\d{0,8}$/.test(index)) {
    throw new UsageError(`--index ${index} is no number of a record; expected 1 to ${records.length}`);
  }
  const record = index === undefined ? records.at(-1) : records[Number(index) - 1];
  if (record !== undefined) return record;
  const wanted = index === undefined ? "a record" : `record ${index}`;
  throw new CniError(
    ErrorCode.invalidEnvironment,
    `${file} has no ${wanted.replace(/^a /, "")}`,
    records.length === 0 ? "it is empty" : `it has records 1 to ${records.length}; see --list`,
  );
}

/** Returns what the record's config says of itself; nothing where it is no config. */
function configOf({ stdin }: CallRecord): v.InferOutput<typeof configSchema> | undefined {
  try {
    const document: unknown = JSON.parse(new TextDecoder().decode(stdin));
    return parseInput(configSchema, document, ErrorCode.invalidConfig, "the recorded config");
  } catch {
    return undefined;
  }
}

function pluginOf(record: CallRecord, given: string | undefined, folders: string | undefined): string {
  const recorded = record.more?.plugin ?? "";
  const name = given ?? (recorded.includes("/") && folders === undefined ? recorded : configOf(record)?.type);
  if (name === undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      "the record does not say which plugin it is about: its config has no type",
      "name the plugin by --plugin",
    );
  }
  if (name.includes("/")) return name;
  const path = folders ?? record.variables.CNI_PATH ?? "";
  return findPlugin(
    name,
    path.split(":").filter((folder) => folder !== ""),
  );
}

async function runAgain(file: string, { variables, stdin }: CallRecord): Promise<number> {
  const own = callVariables(process.env);
  const others = Object.entries(process.env).filter(([name]) => !Object.hasOwn(own, name));
  try {
    const child = Bun.spawn([file], {
      env: { ...Object.fromEntries(others), ...variables },
      stdin,
      stdout: "inherit",
      stderr: "inherit",
    });
    const exitCode = await child.exited;
    if (child.signalCode !== null) log.error(`plugin ${file} was killed by ${child.signalCode}`);
    return exitCode;
  } catch (error) {
    throw new CniError(ErrorCode.delegateFailed, `plugin ${file} can't be run: ${describeError(error)}`, "", {
      cause: error,
    });
  }
}

function list(records: readonly CallRecord[], asJson: boolean): void {
  const rows = records.map((record, index) => ({
    index: index + 1,
    time: record.more === undefined ? "" : new Date(record.more.atMs).toISOString(),
    verb: record.variables.CNI_COMMAND ?? "",
    network: configOf(record)?.name ?? record.more?.network ?? "",
    container: record.variables.CNI_CONTAINERID ?? "",
    ifname: record.variables.CNI_IFNAME ?? "",
    plugin: configOf(record)?.type ?? record.more?.plugin ?? "",
    exit: record.more?.exitCode ?? "",
    bytes: record.stdin.length,
  }));
  if (asJson) writeStdout(`${JSON.stringify(rows, null, 4)}\n`);
  else if (rows.length === 0) writeStdout("no records\n");
  else printTable(rows);
}
