// `warren snoop`: every call of every plugin as it happens, whoever makes it. For as long as it runs there is a folder of
// recorders; a runtime that has it first among its plugin folders calls those. When it ends the folder is gone, and the
// runtime finds the plugins themselves again. With --kernel there are no recorders (kernel-mode.ts).
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { isatty } from "node:tty";
import { CniError, describeError, ErrorCode } from "../../cni/error.ts";
import { log } from "../../log.ts";
import { type CallRecord, jsonRecord, parseRecords, withMaskedSecrets } from "../../record/call-record.ts";
import { RECORDER_FOLDER, RECORDER_LOG } from "../../record/recorder-folder.ts";
import { DEFAULT_CACHE_FOLDER } from "../../runtime/cache.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand, UsageError } from "../command.ts";
import { endOnSignals } from "../interruption.ts";
import { networkFlags, settingsOf } from "../settings.ts";
import { watchByKernel } from "./kernel-mode.ts";
import { isSelected } from "./selection.ts";
import { viewOf } from "./view.ts";

/** How often it looks for new records. */
const LOOK_PAUSE_MS = 100;

/** What is said first without recorders. */
const WATCHING = [
  "watching every program for calls of plugins, until Ctrl-C. What goes through their standard",
  "streams is not seen this way: that needs --streams, or recorders (without --kernel).",
];
const WATCHING_STREAMS = [
  "watching every program for calls of plugins, and their standard streams, until Ctrl-C.",
];

export const command = operatorCommand({
  name: "snoop",
  description:
    "Show every call of every plugin as it happens, by recorders in front of them or by the kernel",
  args: {
    dir: {
      type: "string",
      valueHint: "DIR",
      default: "/run",
      description: `Where the recorders are made: in DIR/${RECORDER_FOLDER}`,
    },
    kernel: {
      type: "boolean",
      description:
        "No recorders: what the kernel tells of programs, without standard input, output and replay",
    },
    streams: {
      type: "boolean",
      description: "As --kernel, with standard input, output and errors, which programs in the kernel copy",
    },
    network: { type: "string", valueHint: "NET", description: "Only calls about this network" },
    container: {
      type: "string",
      valueHint: "ID",
      description: "Only calls about this container, or the beginning of its id",
    },
    verb: { type: "string", valueHint: "VERB", description: "Only calls of this verb" },
    failed: { type: "boolean", description: "Only calls that failed" },
    raw: { type: "boolean", description: "Show secrets as they are" },
    replay: {
      type: "boolean",
      default: true,
      description: "Show how to make a failed call again; --no-replay does not",
    },
    "always-replay": { type: "boolean", description: "Show how to make any call again" },
    "cni-bin-dir": networkFlags["cni-bin-dir"],
    "cache-dir": {
      ...networkFlags["cache-dir"],
      description: `With --kernel, where runtimes remember the networks of attachments: ${DEFAULT_CACHE_FOLDER}`,
    },
    json: { type: "boolean", description: "One JSON object a call and line, which warren replay reads" },
  },
  async run({ args }) {
    const { pluginPath, cacheFolder } = settingsOf(
      { "cni-bin-dir": args["cni-bin-dir"], "cache-dir": args["cache-dir"] },
      process.env,
    );
    const selection = {
      network: args.network,
      container: args.container,
      verb: args.verb,
      failed: args.failed,
    };
    const view = {
      raw: args.raw === true,
      replay: args["always-replay"] === true ? "always" : args.replay === false ? "never" : "failed",
      coloured: isatty(1) && (process.env.NO_COLOR ?? "") === "",
    } as const;
    const streams = args.streams === true;
    if (args.kernel === true || streams) {
      if (args["always-replay"] === true && !streams) {
        throw new UsageError(
          "--kernel sees no standard input, so there is nothing to replay: use --streams, or recorders",
        );
      }
      const started = (summary: () => string | undefined) => {
        endOnSignals(() => {
          const words = summary();
          if (words !== undefined) log.info(words);
        });
        for (const line of streams ? WATCHING_STREAMS : WATCHING) log.info(line);
      };
      return watchByKernel({ selection, view, json: args.json === true, streams, cacheFolder, started });
    }
    const folder = join(resolve(args.dir), RECORDER_FOLDER);
    const names = namesIn(pluginPath);
    if (names.length === 0) throw new UsageError(`there are no plugins in ${pluginPath.join(":")}`);
    makeFolder(folder, names);
    endOnSignals(() => rmSync(folder, { recursive: true, force: true }));
    log.info(
      `recording ${names.length} plugins: put ${folder} in front of ${pluginPath.join(":")} where your runtime`,
    );
    log.info(
      "has its plugin folders (CNI_PATH, bin_dirs, cni_plugin_dirs). Ctrl-C ends it and takes the folder away.",
    );
    const tail = new Tail(join(folder, RECORDER_LOG));
    for (;;) {
      for (const call of tail.fresh()) {
        if (!isSelected(call, selection)) continue;
        writeStdout(args.json === true ? jsonLine(call, view.raw) : viewOf(call, view));
      }
      await Bun.sleep(LOOK_PAUSE_MS);
    }
  },
});

function jsonLine(call: CallRecord, raw: boolean): string {
  const { more, ...record } = raw ? call : withMaskedSecrets(call);
  return more === undefined ? "" : new TextDecoder().decode(jsonRecord({ ...record, more }));
}

/** Returns the names of the plugins in these folders. */
function namesIn(folders: readonly string[]): string[] {
  const names = folders.flatMap((folder) => {
    try {
      return readdirSync(folder).filter(
        (name) => !name.startsWith(".") && statSync(join(folder, name)).isFile(),
      );
    } catch {
      // a folder that is not there has none
      return [];
    }
  });
  return [...new Set(names)].filter((name) => name !== "warren" && name !== "cnitool").sort();
}

/** Makes the folder anew, for root alone: what goes by has secrets in it. It is whole when it gets its name. */
function makeFolder(folder: string, names: readonly string[]): void {
  const unfinished = `${folder}.new`;
  try {
    for (const old of [unfinished, folder]) rmSync(old, { recursive: true, force: true });
    mkdirSync(unfinished, { mode: 0o700 });
    chmodSync(unfinished, 0o700);
    for (const name of names) symlinkSync(process.execPath, join(unfinished, name));
    renameSync(unfinished, folder);
  } catch (error) {
    throw new CniError(
      ErrorCode.ioFailure,
      `can't make ${folder}: ${describeError(error)}`,
      "name another place by --dir",
      {
        cause: error,
      },
    );
  }
}

function bytesFrom(path: string, offset: number, length: number): Uint8Array {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, readSync(file, bytes, 0, length, offset));
  } finally {
    closeSync(file);
  }
}

/** A file of records that grows. */
class Tail {
  #offset = 0;
  #inode = 0;
  #rest = Buffer.alloc(0);

  constructor(private readonly path: string) {}

  /** Returns the records that are whole and were not returned yet. */
  fresh(): CallRecord[] {
    const status = statSync(this.path, { throwIfNoEntry: false });
    if (status === undefined) return [];
    if (status.ino !== this.#inode) {
      // the first look, or a full file was moved away
      this.#inode = status.ino;
      this.#offset = 0;
      this.#rest = Buffer.alloc(0);
    }
    if (status.size === this.#offset) return [];
    const bytes = bytesFrom(this.path, this.#offset, status.size - this.#offset);
    this.#offset += bytes.length;
    const all = Buffer.concat([this.#rest, bytes]);
    const end = all.lastIndexOf("\n") + 1;
    this.#rest = all.subarray(end);
    return parseRecords(all.subarray(0, end), this.path);
  }
}
