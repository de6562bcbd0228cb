// The verbs over the plugins of one list, each in its order and with the previous result that it needs (libcni/api.go).
// Who calls a plugin, and where an attachment is remembered, is the caller's affair: a runtime does both in one way, and
// a plugin that delegates to a list in another.
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import type { AttachmentKey } from "../cni/network-config.ts";
import { decodeResult, encodeResult, type Result } from "../cni/result.ts";
import { compareVersions, type Verb, versionAllows } from "../cni/version.ts";
import { isObject, type JsonObject, parseJson } from "./json.ts";
import { configFor, type Injection, type NetworkList, type PluginConfig } from "./network-list.ts";

/**
 * Calls one plugin of a list with this config on standard input, and returns what it printed. Throws the CniError that
 * the plugin answered with, or CniError 106 if it gave no answer.
 */
export type PluginCaller = (verb: Verb, plugin: PluginConfig, config: string) => Promise<string>;

/** The version that the list's results have; an absent one is the oldest (cni pkg/version/plugin.go). */
export function resultVersion(list: NetworkList): string {
  return list.cniVersion === "" ? "0.1.0" : list.cniVersion;
}

/**
 * ADDs through the whole list and returns the document of the last plugin's result, each result converted to the list's
 * version before the next plugin sees it. If plugin k fails, `undo` gets what takes k to the first back. Throws the failed
 * plugin's CniError, its message naming the plugin.
 */
export async function addThroughList(
  list: NetworkList,
  call: PluginCaller,
  capabilityArgs: JsonObject,
  undo: (begun: readonly PluginConfig[], result: object | undefined) => Promise<void>,
): Promise<object> {
  let previousResult: object | undefined;
  for (const [index, plugin] of list.plugins.entries()) {
    try {
      const config = configFor(list, plugin, { previousResult, capabilityArgs });
      previousResult = resultIn(await call("ADD", plugin, config), list, plugin);
    } catch (error) {
      await undo(list.plugins.slice(0, index + 1), previousResult);
      throw failureOf(plugin, "add", error);
    }
  }
  return previousResult ?? {};
}

function resultIn(answer: string, list: NetworkList, { type }: PluginConfig): object {
  const what = `result of plugin ${type}`;
  if (answer.trim() === "") {
    throw new CniError(
      ErrorCode.delegateFailed,
      `plugin ${type} printed no result`,
      "expected one JSON document on standard output",
    );
  }
  // null is what some plugins print for a result without anything in it (cni pkg/invoke/exec.go)
  const document = parseJson(answer, what) ?? {};
  if (isObject(document)) return convertResult(document, resultVersion(list), what);
  throw new CniError(ErrorCode.decodingFailure, `${what} is ${shown(document)}`, "expected an object");
}

/** Takes an ADD that failed back, the last plugin first. What fails is noted: the ADD's own error is what counts. */
export async function undoThroughList(
  list: NetworkList,
  begun: readonly PluginConfig[],
  call: PluginCaller,
  injection: Injection,
  note: (line: string) => void,
): Promise<void> {
  const undone: string[] = [];
  for (const plugin of begun.toReversed()) {
    try {
      await call("DEL", plugin, configFor(list, plugin, injection));
      undone.push(plugin.type);
    } catch (error) {
      note(`while undoing the failed ADD: ${describeError(failureOf(plugin, "delete", error))}`);
    }
  }
  if (undone.length > 0) note(`undone after the failed ADD: ${undone.join(", ")}`);
}

/** False for a list with disableCheck; throws CniError 1 for a version without CHECK. */
export function isChecked(list: NetworkList): boolean {
  if (!versionAllows(resultVersion(list), "CHECK")) {
    throw new CniError(
      ErrorCode.incompatibleVersion,
      `configuration version ${JSON.stringify(list.cniVersion)} does not support the CHECK command`,
    );
  }
  return !list.disableCheck;
}

/** Asks every plugin of the list whether an attachment is as its ADD made it. Throws the first plugin's CniError. */
export async function checkThroughList(
  list: NetworkList,
  call: PluginCaller,
  injection: Injection,
): Promise<void> {
  for (const plugin of list.plugins) await call("CHECK", plugin, configFor(list, plugin, injection));
}

/**
 * DELs through the list, the last plugin first. A failure goes to `failed`, which throws it to end the DEL there, or
 * keeps it. Before 0.4.0 the specification gives DEL no result.
 */
export async function deleteThroughList(
  list: NetworkList,
  call: PluginCaller,
  { previousResult, ...injection }: Injection,
  failed: (error: CniError) => void,
): Promise<void> {
  const told = compareVersions(resultVersion(list), "0.4.0") < 0 ? undefined : previousResult;
  for (const plugin of list.plugins.toReversed()) {
    try {
      await call("DEL", plugin, configFor(list, plugin, { ...injection, previousResult: told }));
    } catch (error) {
      failed(failureOf(plugin, "delete", error));
    }
  }
}

/**
 * Asks every plugin of the list whether an ADD would work; returns without asking for a version before 1.1.0, as libcni
 * does. Throws the first plugin's own CniError.
 */
export async function statusThroughList(list: NetworkList, call: PluginCaller): Promise<void> {
  if (!versionAllows(resultVersion(list), "STATUS")) return;
  for (const plugin of list.plugins) await call("STATUS", plugin, configFor(list, plugin));
}

/**
 * Hands the attachments to keep to every plugin's GC, undefined for a caller without a list; returns without a call for
 * disableGC and for a version before 1.1.0. Every plugin is called, and what fails goes to `failed`.
 */
export async function collectThroughList(
  list: NetworkList,
  call: PluginCaller,
  valid: readonly AttachmentKey[] | undefined,
  failed: (error: CniError) => void,
): Promise<void> {
  if (list.disableGC || !versionAllows(resultVersion(list), "GC")) return;
  for (const plugin of list.plugins) {
    try {
      await call("GC", plugin, configFor(list, plugin, { valid }));
    } catch (error) {
      failed(withPlace(`failed to GC plugin ${plugin.type}`, error));
    }
  }
}

/** The texts are libcni's, which operators know: `plugin type="bridge" failed (add): ...`. */
function failureOf(plugin: PluginConfig, verb: "add" | "delete", error: unknown): CniError {
  const name = plugin.name === "" ? "" : ` name=${JSON.stringify(plugin.name)}`;
  return withPlace(`plugin type=${JSON.stringify(plugin.type)}${name} failed (${verb})`, error);
}

/** Returns the error with where it happened in front of its message. */
export function withPlace(where: string, error: unknown): CniError {
  if (error instanceof CniError) {
    return new CniError(error.code, `${where}: ${error.message}`, error.details, { cause: error });
  }
  return new CniError(ErrorCode.internal, `${where}: ${describeError(error)}`, "", { cause: error });
}

/**
 * Returns the document of a result in `version`: what a plugin printed or somebody remembered, checked and
 * converted. A document that names no version has `version` already. Throws CniError 6 if it is no result, 1 if
 * `version` can't say it.
 */
export function convertResult(document: JsonObject, version: string, what: string): object {
  const own =
    typeof document.cniVersion === "string" && document.cniVersion !== "" ? document.cniVersion : version;
  const result: Result = decodeResult(document, own, what);
  // the oldest shape can't be made of a result without addresses, but a plugin may well answer with it
  const isOldest = [own, version].every((one) => compareVersions(one, "0.3.0") < 0);
  if (isOldest && result.ips.length === 0) return { cniVersion: version, dns: result.dns };
  return encodeResult(result, version);
}
