// What stands behind the name of a plugin in a config: which file runtimes would run, whether that is Warren, and which
// versions of the specification it says that it speaks.
import { basename, dirname } from "node:path";
import * as v from "valibot";
import { describeError, ErrorCode } from "../../cni/error.ts";
import { executePlugin, findPlugin } from "../../cni/execution.ts";
import { parseInput } from "../../cni/input.ts";
import type { Plugin } from "../../cni/plugin.ts";
import { CURRENT_VERSION } from "../../cni/version.ts";
import { parseJson } from "../../conflist/json.ts";
import { loadPlugin } from "../../plugins/index.ts";
import { pluginCalled } from "../../plugins/names.ts";
import { ownerOf } from "../install/installation.ts";

/** How long a plugin may take to say which versions it speaks. */
const VERSION_TIMEOUT_MS = 10_000;

const versionsSchema = v.object({ supportedVersions: v.array(v.string()) });

/** A plugin by the name that configs have for it. */
export interface FoundPlugin {
  readonly type: string;
  /** Undefined if it is in none of the folders. */
  readonly file: string | undefined;
  /** Whose it is: by what the file is, or, without a file, by the name. */
  readonly isOurs: boolean;
  /** The plugin itself, if it is ours. */
  readonly plugin: Plugin | undefined;
  /** Undefined if it does not say. */
  readonly versions: readonly string[] | undefined;
  /** Why it can't be found or does not answer. */
  readonly problem: string | undefined;
}

/** Returns the plugin of ours that an executable of this name is; undefined if it is none. */
async function ownPlugin(type: string): Promise<Plugin | undefined> {
  const name = pluginCalled(type);
  return name === undefined ? undefined : loadPlugin(name);
}

/** Finds plugins in the folders of CNI_PATH, each once. */
export class PluginFinder {
  readonly #found = new Map<string, Promise<FoundPlugin>>();

  constructor(readonly path: readonly string[]) {}

  /** Returns what is known of the plugin called `type`. */
  find(type: string): Promise<FoundPlugin> {
    const known = this.#found.get(type) ?? this.#look(type);
    this.#found.set(type, known);
    return known;
  }

  async #look(type: string): Promise<FoundPlugin> {
    let file: string;
    try {
      file = findPlugin(type, this.path);
    } catch (error) {
      const isOurs = type.startsWith("warren-");
      const plugin = isOurs ? await ownPlugin(type) : undefined;
      return { type, file: undefined, isOurs, plugin, versions: undefined, problem: describeError(error) };
    }
    const isOurs = ownerOf(dirname(file), basename(file)) === "ours";
    const found = { type, file, isOurs, plugin: isOurs ? await ownPlugin(type) : undefined };
    try {
      const versions = await this.#versionsOf(file);
      return { ...found, versions, problem: undefined };
    } catch (error) {
      return { ...found, versions: undefined, problem: describeError(error) };
    }
  }

  async #versionsOf(file: string): Promise<string[]> {
    const answer = await executePlugin(file, {
      variables: { ...process.env, CNI_COMMAND: "VERSION", CNI_PATH: this.path.join(":") },
      stdin: new TextEncoder().encode(JSON.stringify({ cniVersion: CURRENT_VERSION })),
      timeoutMs: VERSION_TIMEOUT_MS,
    });
    const what = `${file}, asked for its VERSION`;
    return parseInput(versionsSchema, parseJson(answer, what), ErrorCode.decodingFailure, what)
      .supportedVersions;
  }
}
