// `warren conf add FILE PLUGIN` and `warren conf remove FILE TYPE`: a plugin put into a list and taken out again. Keys
// keep their order, what nobody knows stays, the file changes by one rename, and what it was before stands beside it
// until the plugin is taken out: then the file is the old one again, byte by byte.
import { existsSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { CniError, describeError, ErrorCode } from "../../cni/error.ts";
import { shown } from "../../cni/input.ts";
import { log } from "../../log.ts";
import { isObject, type JsonObject, memberOf, parseJson, sortedJson } from "../../runtime/json.ts";
import { operatorCommand, UsageError } from "../command.ts";
import { readList, replaceList } from "./list-file.ts";

/** No ending of a file that a runtime reads as a config. */
const BACKUP_ENDING = ".backup";

export const addCommand = operatorCommand({
  name: "add",
  description: "Put a plugin into a network list",
  args: {
    file: { type: "positional", required: true, description: "The .conflist" },
    plugin: { type: "positional", required: true, description: "Its type, or its whole config as JSON" },
    position: {
      type: "string",
      valueHint: "N",
      description: "Where it stands then, from 1 on: else behind all others",
    },
  },
  run({ args }) {
    const { file } = args;
    const list = readList(file);
    const plugins = pluginsOf(list, file);
    const plugin = pluginIn(args.plugin);
    const type = typeOf(plugin);
    const present = plugins.findIndex((one) => typeOf(one) === type);
    if (present >= 0) {
      if (sortedJson(plugins[present]) !== sortedJson(plugin)) {
        throw new CniError(
          ErrorCode.invalidConfig,
          `${file} has a plugin ${shown(type)} already, at position ${present + 1}, with another config`,
          `remove it first: warren conf remove ${file} ${type}`,
        );
      }
      log.info(`${file} has that plugin already, at position ${present + 1}: nothing was changed`);
      return 0;
    }
    const index = positionOf(args.position, plugins.length + 1) - 1;
    keepBackup(file);
    replaceList(file, textOf({ ...list, plugins: plugins.toSpliced(index, 0, plugin) }, file));
    log.info(`put ${type} into ${file} at position ${index + 1}; ${file}${BACKUP_ENDING} is what it was`);
    return 0;
  },
});

export const removeCommand = operatorCommand({
  name: "remove",
  description: "Take a plugin out of a network list",
  args: {
    file: { type: "positional", required: true, description: "The .conflist" },
    type: { type: "positional", required: true, description: "The plugin's type" },
  },
  run({ args }) {
    const { file, type } = args;
    const list = readList(file);
    const plugins = pluginsOf(list, file);
    const left = plugins.filter((one) => typeOf(one) !== type);
    if (left.length === plugins.length) {
      log.info(`${file} has no plugin ${shown(type)}: nothing was changed`);
      return 0;
    }
    if (left.length === 0) {
      throw new CniError(
        ErrorCode.invalidConfig,
        `${shown(type)} is the only plugin of ${file}`,
        "a list needs one: remove the file instead",
      );
    }
    const rest = { ...list, plugins: left };
    const backup = backupOf(file);
    const original = backup === undefined ? undefined : readBackup(backup);
    // an operator who has edited the list since then does not want his old one back
    if (backup !== undefined && original !== undefined && isSame(original, rest)) {
      replaceList(file, original);
      rmSync(backup);
      log.info(`took ${type} out of ${file}, which is as it was before`);
      return 0;
    }
    replaceList(file, textOf(rest, file));
    log.info(`took ${type} out of ${file}`);
    return 0;
  },
});

function pluginsOf(list: JsonObject, file: string): readonly unknown[] {
  const plugins = memberOf(list, "plugins");
  if (Array.isArray(plugins)) return plugins;
  throw new CniError(
    ErrorCode.invalidConfig,
    `${file}: "plugins" is ${shown(plugins)}`,
    "expected a list of plugins: a single config (.conf) has to become a .conflist first",
  );
}

function pluginIn(text: string): JsonObject {
  if (/^[A-Za-z0-9][\w.-]*$/.test(text)) return { type: text };
  const plugin = parseJson(text, "PLUGIN");
  if (isObject(plugin) && typeof plugin.type === "string" && plugin.type !== "") return plugin;
  throw new UsageError(`PLUGIN is ${shown(plugin)}; expected a type, or an object with one`);
}

function typeOf(plugin: unknown): unknown {
  return isObject(plugin) ? memberOf(plugin, "type") : undefined;
}

function positionOf(text: string | undefined, last: number): number {
  if (text === undefined) return last;
  const position = /^[1-9]\d{0,5}$/.test(text) ? Number(text) : 0;
  if (position >= 1 && position <= last) return position;
  throw new UsageError(`--position ${text} is no place in the list; expected 1 to ${last}`);
}

/** Returns the list as text, indented as the file is. */
function textOf(list: JsonObject, file: string): string {
  const indent = /^[{[]\r?\n([ \t]+)"/.exec(readFileSync(file, "utf8").trimStart())?.[1];
  return `${JSON.stringify(list, null, indent ?? 2)}\n`;
}

function backupOf(file: string): string | undefined {
  const backup = `${realpathSync(file)}${BACKUP_ENDING}`;
  return existsSync(backup) ? backup : undefined;
}

/** The first backup stays: what was before every change of ours is what taking them back leads to. */
function keepBackup(file: string): void {
  if (backupOf(file) !== undefined) return;
  const path = `${realpathSync(file)}${BACKUP_ENDING}`;
  try {
    writeFileSync(path, readFileSync(file), { mode: 0o600, flag: "wx" });
  } catch (error) {
    throw new CniError(
      ErrorCode.ioFailure,
      `can't write ${path}: ${describeError(error)}`,
      "nothing was changed",
      {
        cause: error,
      },
    );
  }
}

function readBackup(backup: string): Uint8Array | undefined {
  try {
    return readFileSync(backup);
  } catch {
    return undefined;
  }
}

function isSame(original: Uint8Array, list: JsonObject): boolean {
  try {
    return sortedJson(parseJson(new TextDecoder().decode(original), "backup")) === sortedJson(list);
  } catch {
    return false;
  }
}
