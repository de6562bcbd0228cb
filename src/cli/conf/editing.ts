// `warren conf add`, `remove` and `undo`: one step in one file, which a runtime sees as a whole or not at all, and which
// can be taken back.
import { readFileSync } from "node:fs";
import { CniError, describeError, ErrorCode } from "../../cni/error.ts";
import { countUndoable, editConfFile, readConfText, undoEdit } from "../../runtime/conf-file.ts";
import { chooseByName, confPath } from "../../runtime/conf-folder.ts";
import { type Position, withoutPlugin, withPlugin } from "../../runtime/list-edit.ts";
import { readStdin, writeStdout } from "../../sys/stdio.ts";
import { operatorCommand, UsageError } from "../command.ts";
import type { Flags } from "../settings.ts";
import { describeChoice, folderFlags, openFolder } from "./folder.ts";

/** The flags that say which file is meant. */
export const fileFlags = {
  file: {
    type: "string",
    valueHint: "FILE",
    description: "The .conflist, by its path or its name in the folder; else the one that containerd takes",
  },
  network: { type: "string", valueHint: "NET", description: "The .conflist of this network" },
  "cni-conf-dir": folderFlags["cni-conf-dir"],
  "max-conf-num": folderFlags["max-conf-num"],
  json: folderFlags.json,
} as const;

/** The flags that say where in a list a plugin is to stand. */
export const positionFlags = {
  first: { type: "boolean", description: "As the first plugin" },
  last: { type: "boolean", description: "As the last plugin, which is where a new one goes anyway" },
  before: { type: "string", valueHint: "TYPE", description: "In front of the plugin of this type" },
  after: { type: "string", valueHint: "TYPE", description: "Behind the plugin of this type" },
} as const;

const dryRun = {
  "dry-run": { type: "boolean", description: "Print the new text, and leave the file as it is" },
} as const;

/** Returns the path of the file that the flags mean; throws CniError where it is not clear which. */
export function fileOf(flags: Flags): string {
  const { file, network } = flags;
  if (typeof file === "string" && typeof network === "string") {
    throw new UsageError("--file and --network exclude each other: name the file by one of them");
  }
  const opened = openFolder(flags);
  if (typeof file === "string") return confPath(opened.folder.path, file);
  const { chosen, blockedBy } = opened.choice;
  if (typeof network !== "string") {
    const [only, ...more] = chosen;
    if (only !== undefined && more.length === 0) return only.path;
    if (more.length > 0) throw new UsageError("several files are taken: name one of them by --file");
    const cure =
      blockedBy === undefined ? "name a file by --file" : "see warren conf doctor, or name another by --file";
    throw new CniError(ErrorCode.invalidConfig, describeChoice(opened), cure);
  }
  const found = chooseByName(opened.folder, network);
  if (found?.problem !== undefined) throw found.problem;
  if (found !== undefined) return found.path;
  const message = `no network ${JSON.stringify(network)} in ${opened.folder.path}`;
  throw new CniError(ErrorCode.invalidConfig, message, "see warren conf list");
}

/** Writes the new text, or prints it, and says what became of the file. */
function edit(path: string, before: string, after: string, flags: Flags, what: string): number {
  if (flags["dry-run"] === true) {
    writeStdout(after);
    return 0;
  }
  editConfFile(path, before, after);
  const changed = before !== after;
  writeStdout(
    flags.json === true
      ? `${JSON.stringify({ file: path, changed, undoable: countUndoable(path) }, null, 4)}\n`
      : changed
        ? `${path}: ${what}; warren conf undo takes it back\n`
        : `${path}: nothing to change\n`,
  );
  return 0;
}

/** Returns the text of the plugin that the argument means: the JSON itself, `-` for standard input, or a file. */
export function pluginText(argument: string): string {
  if (argument.trimStart().startsWith("{")) return argument;
  try {
    return argument === "-" ? new TextDecoder().decode(readStdin()) : readFileSync(argument, "utf8");
  } catch (error) {
    throw new CniError(ErrorCode.ioFailure, `can't read ${argument}: ${describeError(error)}`, "", {
      cause: error,
    });
  }
}

/** Returns where the flags say; undefined if they don't. Throws UsageError where they say it twice. */
export function positionOf(flags: Flags): Position | undefined {
  const { first, last, before, after } = flags;
  const said: Position[] = [
    ...(first === true ? ["first" as const] : []),
    ...(last === true ? ["last" as const] : []),
    ...(typeof before === "string" ? [{ before }] : []),
    ...(typeof after === "string" ? [{ after }] : []),
  ];
  if (said.length > 1) throw new UsageError("--first, --last, --before and --after exclude each other");
  return said[0];
}

export const addCommand = operatorCommand({
  name: "add",
  description: "Put a plugin into a list, in the place of the one of its type if there is one",
  args: {
    plugin: {
      type: "positional",
      required: true,
      description: "A file with the plugin's JSON object, - for standard input, or the object itself",
    },
    ...positionFlags,
    ...fileFlags,
    ...dryRun,
  },
  run({ args }) {
    const position = positionOf(args);
    const path = fileOf(args);
    const before = readConfText(path);
    const after = withPlugin(before, pluginText(args.plugin), position, path);
    return edit(path, before, after, args, "the plugin is in the list");
  },
});

export const removeCommand = operatorCommand({
  name: "remove",
  description: "Take a plugin out of a list",
  args: {
    type: { type: "positional", required: true, description: "The plugin's type" },
    ...fileFlags,
    ...dryRun,
  },
  run({ args }) {
    const path = fileOf(args);
    const before = readConfText(path);
    return edit(
      path,
      before,
      withoutPlugin(before, args.type, path),
      args,
      `${args.type} is out of the list`,
    );
  },
});

export const undoCommand = operatorCommand({
  name: "undo",
  description: "Take back the last edit of a config that warren conf has made",
  args: fileFlags,
  run({ args }) {
    const path = fileOf(args);
    undoEdit(path);
    const undoable = countUndoable(path);
    writeStdout(
      args.json === true
        ? `${JSON.stringify({ file: path, undoable }, null, 4)}\n`
        : `${path}: as it was before the last edit; ${undoable === 0 ? "no more edits" : `${undoable} more`} to take back\n`,
    );
    return 0;
  },
});
