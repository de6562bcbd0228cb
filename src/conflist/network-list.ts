// Network configuration lists: reading one from a file, finding one by name in a folder, and the config that each
// plugin of the list gets for a call. The rules are libcni's (libcni/conf.go), so that a folder means the same
// networks to Warren as to containerd, CRI-O and cnitool.
import * as v from "valibot";
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import { InputError, parseInput, shown } from "../cni/input.ts";
import type { AttachmentKey } from "../cni/network-config.ts";
import { CURRENT_VERSION, compareVersions, parseVersion } from "../cni/version.ts";
import { directoryEntries, parentOf } from "../sys/directory.ts";
import { readBytes } from "../sys/files.ts";
import { isSystemError } from "../sys/libc.ts";
import { STDIN_LIMIT_BYTES } from "../sys/stdio.ts";
import { isObject, type JsonObject, memberOf, parseJson, sortedJson } from "./json.ts";

/** One plugin of a list. */
export interface PluginConfig {
  readonly type: string;
  /** The name in the plugin's own object, which only single configs and drop-ins have; empty without. */
  readonly name: string;
  /** The cniVersion in the plugin's own object; empty without. */
  readonly cniVersion: string;
  /** The capabilities that the plugin declares with `true`. */
  readonly capabilities: readonly string[];
  readonly document: JsonObject;
}

/** A network: its plugins in the order of an ADD. */
export interface NetworkList {
  readonly name: string;
  /** The version that the list is run with, as `cniVersion` and `cniVersions` negotiate it; may be empty. */
  readonly cniVersion: string;
  readonly disableCheck: boolean;
  readonly disableGC: boolean;
  readonly plugins: readonly PluginConfig[];
  /** The list as it was read, which the cache keeps. */
  readonly bytes: Uint8Array;
  /** The paths of the files that the last plugins come from, one each. */
  readonly dropIns: readonly string[];
}

/** A list as its file alone says it, before drop-ins. */
interface InlinedList extends NetworkList {
  readonly loadOnlyInlinedPlugins: boolean;
}

const flagSchema = v.optional(
  v.union([
    v.boolean(),
    v.pipe(
      v.string(),
      v.toLowerCase(),
      v.picklist(["true", "false"]),
      v.transform((word) => word === "true"),
    ),
  ]),
  false,
);

const versionSchema = v.pipe(
  v.string(),
  v.check((version) => parseVersion(version) !== undefined, 'a version, such as "1.1.0"'),
);

const listSchema = v.object({
  name: v.string(),
  cniVersion: v.optional(v.string(), ""),
  cniVersions: v.optional(v.array(versionSchema)),
  disableCheck: flagSchema,
  disableGC: flagSchema,
  loadOnlyInlinedPlugins: flagSchema,
  plugins: v.optional(
    v.pipe(
      v.array(v.unknown()),
      v.check((plugins) => plugins.length > 0, "at least one plugin"),
    ),
  ),
});

/** The keys that libcni reads of a list. */
export const LIST_KEYS: readonly string[] = Object.keys(listSchema.entries);

const pluginSchema = v.object({
  type: v.pipe(
    v.string(),
    v.check((type) => type !== "", "the name of a plugin"),
  ),
  name: v.nullish(v.string(), ""),
  cniVersion: v.nullish(v.string(), ""),
  capabilities: v.nullish(v.record(v.string(), v.boolean()), {}),
});

/**
 * Returns the network in the file at `path` with its drop-ins, `<folder>/<name>/*.conf`. Throws CniError 5 if a
 * file can't be read, 6 if it is no JSON, 7 if a key is wrong.
 */
export function loadNetworkFile(path: string): NetworkList {
  const list = parseNetworkList(bytesOf(path), path);
  const folder = `${parentOf(path)}/${list.name}`;
  const dropIns = list.loadOnlyInlinedPlugins ? [] : filesIn(folder, ".conf");
  const plugins = [...list.plugins, ...dropIns.map(loadPluginFile)];
  if (plugins.length === 0) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `${path}: no plugin configs found`,
      `expected "plugins" there, or .conf files in ${folder}`,
    );
  }
  return { ...list, plugins, dropIns };
}

/** Returns the network in a single config (.conf, .json) as a list of one. Throws as loadNetworkFile. */
export function loadSingleFile(path: string): NetworkList {
  return listOfPlugin(loadPluginFile(path), path);
}

/**
 * Returns the network called `name` in `folder`: the first list (.conflist) of that name, else the first single
 * config (.conf, .json) as a list of one, files in the order of their names. Throws as loadNetworkFile, and
 * CniError 7 where there is none, which says how to name another folder; a broken file in front of the one that is sought is
 * an error, as in libcni.
 */
export function loadNetwork(
  folder: string,
  name: string,
  otherFolder = "name another folder by --cni-conf-dir or NETCONFPATH",
): NetworkList {
  const lists = filesIn(folder, ".conflist");
  const names: string[] = [];
  for (const file of lists) {
    const list = loadNetworkFile(file);
    if (list.name === name) return list;
    names.push(list.name);
  }
  const singles = filesIn(folder, ".conf", ".json");
  for (const file of singles) {
    const plugin = loadPluginFile(file);
    if (plugin.name === name) return listOfPlugin(plugin, file);
    names.push(plugin.name);
  }
  if (lists.length + singles.length === 0) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `no net configurations found in ${folder}`,
      `expected .conflist files; ${otherFolder}`,
    );
  }
  const known = [...new Set(names)].filter((one) => one !== "");
  throw new CniError(
    ErrorCode.invalidConfig,
    `no net configuration with name ${JSON.stringify(name)} in ${folder}`,
    `networks there: ${known.join(", ")}`,
  );
}

/**
 * Returns the list in `bytes`; `what` names it in messages. Throws CniError 6 if it is no JSON object, 7 if a key
 * is wrong.
 */
export function parseNetworkList(bytes: Uint8Array, what: string): InlinedList {
  const list = parseInput(listSchema, objectIn(bytes, what), ErrorCode.invalidConfig, what);
  if (list.plugins === undefined && list.loadOnlyInlinedPlugins) {
    throw new InputError(
      ErrorCode.invalidConfig,
      ["loadOnlyInlinedPlugins"],
      `${what}: "loadOnlyInlinedPlugins" is true and there is no "plugins"`,
      "expected a list of plugins",
    );
  }
  return {
    name: list.name,
    cniVersion:
      list.cniVersions === undefined ? list.cniVersion : negotiate(list.cniVersion, list.cniVersions),
    disableCheck: list.disableCheck,
    disableGC: list.disableGC,
    loadOnlyInlinedPlugins: list.loadOnlyInlinedPlugins,
    plugins: (list.plugins ?? []).map((plugin, index) => itemOf(plugin, index, what)),
    bytes,
    dropIns: [],
  };
}

function itemOf(plugin: unknown, index: number, what: string): PluginConfig {
  try {
    return pluginOf(plugin, `${what}: plugins[${index}]`);
  } catch (error) {
    throw error instanceof InputError ? error.at(["plugins", index]) : error;
  }
}

/** Returns the highest version that we speak, or `single` as it is written if all are newer. */
function negotiate(single: string, several: readonly string[]): string {
  return (
    [...several, ...(single === "" ? [] : [single])]
      .filter((version) => compareVersions(version, CURRENT_VERSION) <= 0)
      .sort(compareVersions)
      .at(-1) ?? single
  );
}

function loadPluginFile(path: string): PluginConfig {
  return pluginOf(objectIn(bytesOf(path), path), path);
}

function pluginOf(document: unknown, what: string): PluginConfig {
  if (!isObject(document)) {
    throw new InputError(ErrorCode.invalidConfig, [], `${what} is ${shown(document)}`, "expected an object");
  }
  const keys = {
    type: memberOf(document, "type"),
    name: memberOf(document, "name"),
    cniVersion: memberOf(document, "cniVersion"),
    capabilities: memberOf(document, "capabilities"),
  };
  const { type, name, cniVersion, capabilities } = parseInput(
    pluginSchema,
    keys,
    ErrorCode.invalidConfig,
    what,
  );
  return {
    type,
    name,
    cniVersion,
    capabilities: Object.keys(capabilities).filter((capability) => capabilities[capability] === true),
    document,
  };
}

/** Returns the config of one plugin as a list of one; throws as parseNetworkList. */
export function listOfOne(document: JsonObject, what: string): NetworkList {
  return listOfPlugin(pluginOf(document, what), what);
}

/** Returns the list with these plugins instead of its own; throws CniError 7 for one that is none. */
export function listOfPlugins(list: NetworkList, documents: readonly JsonObject[]): NetworkList {
  const plugins = documents.map((document, index) =>
    itemOf(document, index, `network ${JSON.stringify(list.name)}`),
  );
  return { ...list, plugins };
}

function listOfPlugin(plugin: PluginConfig, what: string): NetworkList {
  const text = sortedJson({ cniVersion: plugin.cniVersion, name: plugin.name, plugins: [plugin.document] });
  return parseNetworkList(new TextEncoder().encode(text), what);
}

function objectIn(bytes: Uint8Array, what: string): JsonObject {
  const document = parseJson(new TextDecoder().decode(bytes), what);
  if (isObject(document)) return document;
  throw new CniError(ErrorCode.decodingFailure, `${what} is ${shown(document)}`, "expected a JSON object");
}

function bytesOf(path: string): Uint8Array {
  try {
    return readBytes(path, STDIN_LIMIT_BYTES);
  } catch (error) {
    throw new CniError(ErrorCode.ioFailure, `error reading ${path}: ${describeError(error)}`, "", {
      cause: error,
    });
  }
}

/** Returns the paths of the files in `folder` with one of these endings, sorted; none if it does not exist. */
export function filesIn(folder: string, ...endings: readonly string[]): string[] {
  try {
    return directoryEntries(folder)
      .filter(({ name, isDirectory }) => !isDirectory && endings.some((ending) => name.endsWith(ending)))
      .map(({ name }) => `${folder.replace(/\/+$/, "")}/${name}`)
      .sort();
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return [];
    throw new CniError(ErrorCode.ioFailure, `error reading ${folder}: ${describeError(error)}`, "", {
      cause: error,
    });
  }
}

/** What a call adds to a plugin's config. */
export interface Injection {
  /** The document of the result so far; absent for a first plugin, and where none is known. */
  readonly previousResult?: object | undefined;
  readonly capabilityArgs?: JsonObject;
  /** GC: the attachments to keep; absent where the caller has no list. */
  readonly valid?: readonly AttachmentKey[] | undefined;
}

/**
 * Returns the config that `plugin` gets on standard input: its object with the list's name and version, and what
 * the call adds (libcni/api.go, buildOneConfig). Capability values replace `runtimeConfig` only if there is one
 * for a declared capability, so a `runtimeConfig` written into the file survives otherwise.
 */
export function configFor(list: NetworkList, plugin: PluginConfig, injection: Injection = {}): string {
  const values = injection.capabilityArgs ?? {};
  const declared = plugin.capabilities.filter((capability) => Object.hasOwn(values, capability));
  const valid = injection.valid?.map(({ containerId, ifname }) => ({ containerID: containerId, ifname }));
  return sortedJson({
    ...plugin.document,
    name: list.name,
    cniVersion: list.cniVersion,
    ...(injection.previousResult === undefined ? {} : { prevResult: injection.previousResult }),
    ...(declared.length === 0
      ? {}
      : {
          runtimeConfig: Object.fromEntries(declared.map((capability) => [capability, values[capability]])),
        }),
    // the key of the specification, and the one that libcni wrote before it was corrected (cni#1101)
    ...(valid === undefined ? {} : { "cni.dev/valid-attachments": valid, "cni.dev/attachments": valid }),
  });
}
