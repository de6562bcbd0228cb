// The plugin `trace`: stands anywhere in a chain, appends every call of it to a file, and passes the result on as it
// came. It is for looking at what a runtime says to plugins, so it must not be what a pod fails for.
import * as v from "valibot";
import { CniError, ErrorCode } from "../cni/error.ts";
import { parseInput } from "../cni/input.ts";
import { definePlugin, type Transcript } from "../cni/plugin.ts";
import { asItCame, EMPTY_RESULT, type Result } from "../cni/result.ts";
import { compareVersions } from "../cni/version.ts";
import {
  callVariables,
  jsonRecord,
  textRecord,
  thisProcess,
  withMaskedSecrets,
} from "../record/call-record.ts";
import { appendRecord, checkLogFile, LogFileError } from "../record/log-file.ts";

const PLUGIN = "trace";
const LARGEST_FILE_KIB = 10 * 1024;
const OLD_FILES = 5;
const CURE = "correct cniOutput, or what is in its place";

/** The verbs that `cniOutputRequired` is about; STATUS says by itself what is wrong with the log. */
const NEED_LOG: readonly string[] = ["ADD", "CHECK"];

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

const keys = {
  cniOutput: v.nullish(v.string()),
  cniOutputRequired: v.nullish(v.boolean()),
  format: v.nullish(v.picklist(["text", "json"])),
  redact: v.nullish(v.boolean()),
  maxSizeKiB: v.nullish(v.pipe(count, v.minValue(1))),
  maxFiles: v.nullish(count),
};
const config = v.object(keys);
const cleanup = v.object({});

type Config = v.InferOutput<typeof config>;

/** What the config says, each key for itself: a wrong one is refused by the call, and must not keep it from the log. */
function lenientConfig(stdin: Uint8Array): Config {
  const text = new TextDecoder().decode(stdin);
  try {
    const document: unknown = JSON.parse(text);
    const schema = v.object({
      cniOutput: v.fallback(keys.cniOutput, undefined),
      cniOutputRequired: v.fallback(keys.cniOutputRequired, undefined),
      format: v.fallback(keys.format, undefined),
      redact: v.fallback(keys.redact, undefined),
      maxSizeKiB: v.fallback(keys.maxSizeKiB, undefined),
      maxFiles: v.fallback(keys.maxFiles, undefined),
    });
    return parseInput(schema, document, ErrorCode.invalidConfig, "network config");
  } catch {
    // it is no JSON object; where the log is can mostly be read even so
    const found = /"cniOutput"\s*:\s*("(?:[^"\\\n]|\\.)*")/i.exec(text)?.[1];
    return found === undefined ? {} : { cniOutput: decodedString(found), format: formatIn(text) };
  }
}

function decodedString(token: string): string {
  try {
    return String(JSON.parse(token));
  } catch {
    return "";
  }
}

function formatIn(text: string): "json" | "text" {
  return /"format"\s*:\s*"json"/i.test(text) ? "json" : "text";
}

/** Returns the record of a call; with `redact`, without its secrets. */
function recordOf({ format, redact }: Config, transcript: Transcript): Uint8Array {
  const more = {
    ...thisProcess(),
    atMs: transcript.startedAtMs,
    durationMs: transcript.durationMs,
    plugin: PLUGIN,
    network: transcript.network,
    exitCode: transcript.exitCode,
    stdout: transcript.stdout,
  };
  const whole = { variables: callVariables(transcript.variables), stdin: transcript.stdin, more };
  const record = (redact ?? true) ? withMaskedSecrets(whole) : whole;
  return format === "json" ? jsonRecord({ ...record, more: record.more ?? more }) : textRecord(record);
}

/** A first plugin answers with nothing; the oldest versions have no other word for it than a result without addresses. */
function emptyResult(cniVersion: string): Result {
  const result = { ...EMPTY_RESULT };
  if (compareVersions(cniVersion, "0.3.0") >= 0) return result;
  return asItCame(result, () => ({ cniVersion, dns: {} }));
}

export const trace = definePlugin({
  name: PLUGIN,
  about: "Warren trace: writes every call of a chain into a file, and passes the result on",
  config,
  cleanup,
  readsArguments: false,

  async add({ previous, cniVersion }): Promise<Result> {
    return previous ?? emptyResult(cniVersion);
  },

  // it made nothing that could be missing or left
  async del(): Promise<void> {},
  async check(): Promise<void> {},

  async status({ config }): Promise<void> {
    const path = config.cniOutput ?? "";
    if (path === "") return;
    try {
      checkLogFile(path);
    } catch (error) {
      if (!(error instanceof LogFileError)) throw error;
      throw new CniError(ErrorCode.notReady, `the log ${error.message}`, CURE, { cause: error });
    }
  },

  record(transcript): void {
    const config = lenientConfig(transcript.stdin);
    const path = config.cniOutput ?? "";
    if (path === "") return;
    try {
      appendRecord(
        {
          path,
          largestBytes: (config.maxSizeKiB ?? LARGEST_FILE_KIB) * 1024,
          oldFiles: config.maxFiles ?? OLD_FILES,
        },
        recordOf(config, transcript),
      );
    } catch (error) {
      if (!(error instanceof LogFileError)) throw error;
      const problem = `the log ${error.message}`;
      const verb = transcript.variables.CNI_COMMAND ?? "";
      // a DEL or GC must go through whatever becomes of the log, and an error of the call itself is the one to tell
      if (config.cniOutputRequired === true && NEED_LOG.includes(verb) && transcript.exitCode === 0) {
        throw new CniError(ErrorCode.ioFailure, problem, CURE, { cause: error });
      }
      transcript.note(`warren-${PLUGIN}: ${problem}: this ${verb} is not in it`);
    }
  },
});
