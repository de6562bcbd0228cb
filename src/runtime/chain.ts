// The verbs over a whole network: every plugin of its list in the right order with the right previous result, and
// the cache kept in step (libcni/api.go). Three things differ from libcni, on purpose: an ADD that fails half way
// is undone, a DEL or CHECK without parameters gets those of its ADD, and each result is converted to the list's
// version before the next plugin sees it.
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import { checkNetworkName } from "../cni/names.ts";
import type { AttachmentKey } from "../cni/network-config.ts";
import { compareVersions, type Verb, versionAllows } from "../cni/version.ts";
import { type Attachment, checkAttachment } from "./attachment.ts";
import { type AttachmentCache, type CachedAttachment, convertResult } from "./cache.ts";
import { configFor, type Injection, type NetworkList, type PluginConfig } from "./conflist.ts";
import { invokeAdd, invokePlugin, type PluginHost } from "./invocation.ts";

/** What the verbs work with. */
export interface Runtime {
  readonly host: PluginHost;
  readonly cache: AttachmentCache;
  /** Is told, line by line, what was done beyond what was asked: undone, removed, passed over. */
  readonly note: (line: string) => void;
}

/** The version that the list's results have; an absent one is the oldest (cni pkg/version/plugin.go). */
function resultVersion(list: NetworkList): string {
  return list.cniVersion === "" ? "0.1.0" : list.cniVersion;
}

/**
 * Adds the container to the network and returns the document of the last plugin's result. If plugin k fails, k to
 * the first are DELeted again, unless the attachment was there before this call: then the DEL would take away what
 * an earlier ADD made. Throws the failed plugin's CniError, its message naming the plugin.
 */
export async function addToNetwork(
  runtime: Runtime,
  list: NetworkList,
  attachment: Attachment,
): Promise<object> {
  checkNetworkName(list.name);
  checkAttachment(attachment);
  const wasThere = recall(runtime, list, attachment) !== undefined;
  let result: object | undefined;
  for (const [index, plugin] of list.plugins.entries()) {
    try {
      result = await invokeAdd(
        runtime.host,
        {
          type: plugin.type,
          attachment,
          config: configFor(list, plugin, {
            previousResult: result,
            capabilityArgs: attachment.capabilityArgs,
          }),
        },
        resultVersion(list),
      );
    } catch (error) {
      if (wasThere) {
        runtime.note(
          `not undone: ${attachment.containerId} ${attachment.ifname} was added to ${list.name} before; DEL removes it`,
        );
      } else await undo(runtime, list, attachment, index, result);
      throw failureOf(plugin, "add", error);
    }
  }
  const cached = { ...attachment, network: list.name, config: list.bytes, result: { ...result } };
  try {
    runtime.cache.write(cached);
  } catch (error) {
    // without its cache file nobody would ever DEL this attachment
    if (!wasThere) await undo(runtime, list, attachment, list.plugins.length - 1, result);
    throw error;
  }
  return result ?? {};
}

/** DELs the plugins `last` to 0 after a failed ADD. Their failures are noted; the ADD's own error is what counts. */
async function undo(
  runtime: Runtime,
  list: NetworkList,
  attachment: Attachment,
  last: number,
  result: object | undefined,
): Promise<void> {
  const undone: string[] = [];
  for (const plugin of list.plugins.slice(0, last + 1).reverse()) {
    try {
      await deletePlugin(runtime, list, plugin, attachment, result);
      undone.push(plugin.type);
    } catch (error) {
      runtime.note(`while undoing the failed ADD: ${describeError(failureOf(plugin, "delete", error))}`);
    }
  }
  if (undone.length > 0) runtime.note(`undone after the failed ADD: ${undone.join(", ")}`);
}

/**
 * Asks every plugin whether the attachment is still as its ADD made it; returns for a list with disableCheck.
 * Throws the first plugin's CniError, and CniError 1 for a version without CHECK.
 */
export async function checkNetwork(
  runtime: Runtime,
  list: NetworkList,
  attachment: Attachment,
): Promise<void> {
  checkAttachment(attachment);
  if (!versionAllows(resultVersion(list), "CHECK")) {
    throw new CniError(
      ErrorCode.incompatibleVersion,
      `configuration version ${JSON.stringify(list.cniVersion)} does not support the CHECK command`,
    );
  }
  if (list.disableCheck) return;
  const cached = runtime.cache.read({ ...attachment, network: list.name });
  const complete = withParametersOf(cached, attachment);
  const previousResult = resultOf(cached, list);
  for (const plugin of list.plugins) {
    await invokePlugin(runtime.host, {
      verb: "CHECK",
      type: plugin.type,
      attachment: complete,
      config: configFor(list, plugin, { previousResult, capabilityArgs: complete.capabilityArgs }),
    });
  }
}

/**
 * Removes the container from the network, last plugin first, and forgets it. The first failure ends it and keeps
 * the cache file, so that the DEL can be repeated. A broken cache file is removed and the DEL goes on without it.
 * Throws the failed plugin's CniError, its message naming the plugin.
 */
export async function deleteFromNetwork(
  runtime: Runtime,
  list: NetworkList,
  attachment: Attachment,
): Promise<void> {
  checkNetworkName(list.name);
  checkAttachment(attachment);
  const key = { ...attachment, network: list.name };
  const cached = recall(runtime, list, attachment);
  const complete = withParametersOf(cached, attachment);
  // the specification gives DEL a result since 0.4.0
  const previousResult =
    compareVersions(resultVersion(list), "0.4.0") < 0 ? undefined : lenientResultOf(runtime, cached, list);
  for (const plugin of list.plugins.toReversed()) {
    try {
      await deletePlugin(runtime, list, plugin, complete, previousResult);
    } catch (error) {
      throw failureOf(plugin, "delete", error);
    }
  }
  runtime.cache.remove(key);
}

async function deletePlugin(
  runtime: Runtime,
  list: NetworkList,
  plugin: PluginConfig,
  attachment: Attachment,
  previousResult: object | undefined,
): Promise<void> {
  const injection: Injection = { previousResult, capabilityArgs: attachment.capabilityArgs };
  const config = configFor(list, plugin, injection);
  await invokePlugin(runtime.host, { verb: "DEL", type: plugin.type, attachment, config });
}

/**
 * Asks every plugin whether an ADD would work; returns without asking for a version before 1.1.0, as libcni does.
 * Throws the first plugin's own CniError.
 */
export async function checkStatus(runtime: Runtime, list: NetworkList): Promise<void> {
  if (!versionAllows(resultVersion(list), "STATUS")) return;
  for (const plugin of list.plugins) {
    await invokePlugin(runtime.host, {
      verb: "STATUS",
      type: plugin.type,
      config: configFor(list, plugin),
    });
  }
}

/**
 * Removes every attachment of the network that `valid` does not name: DELs the cached ones that are stale, each
 * with the parameters of its ADD, then hands the list to every plugin's GC (from 1.1.0 on). `undefined` is a
 * caller that has no list: everything cached is stale, and plugins get no list. Does nothing for disableGC.
 * Everything is tried. Returns the attachments that it removed; throws the only failure, or CniError 107 naming all.
 */
export async function collectGarbage(
  runtime: Runtime,
  list: NetworkList,
  valid: readonly AttachmentKey[] | undefined,
): Promise<AttachmentKey[]> {
  checkNetworkName(list.name);
  if (list.disableGC) return [];
  const removed: AttachmentKey[] = [];
  const failures: CniError[] = [];
  for (const cached of runtime.cache.list(list.name, (problem) => runtime.note(`passed over: ${problem}`))) {
    const { containerId, ifname } = cached;
    // pairs are compared, never joined strings: "a-b" with "c" is not "a" with "b-c"
    if (valid?.some((one) => one.containerId === containerId && one.ifname === ifname) === true) continue;
    try {
      await deleteFromNetwork(runtime, list, cached);
      removed.push({ containerId, ifname });
      runtime.note(`removed ${containerId} ${ifname} (${cached.netns || "no netns"}) from ${list.name}`);
    } catch (error) {
      failures.push(wrapped(`failed to delete stale attachment ${containerId} ${ifname}`, error));
    }
  }
  for (const plugin of versionAllows(resultVersion(list), "GC") ? list.plugins : []) {
    try {
      await invokePlugin(runtime.host, {
        verb: "GC",
        type: plugin.type,
        config: configFor(list, plugin, { valid }),
      });
    } catch (error) {
      failures.push(wrapped(`failed to GC plugin ${plugin.type}`, error));
    }
  }
  const [first] = failures;
  if (first === undefined) return removed;
  if (failures.length === 1) throw first;
  throw new CniError(ErrorCode.incomplete, failures.map(describeError).join("\n"), "", { cause: first });
}

/** Throws CniError 1 if the list's version does not have the verb, which libcni passes over in silence. */
export function requireVerb(list: NetworkList, verb: Verb): void {
  if (versionAllows(resultVersion(list), verb)) return;
  throw new CniError(
    ErrorCode.incompatibleVersion,
    `network ${JSON.stringify(list.name)}: config version does not allow ${verb}`,
    `the list has cniVersion ${JSON.stringify(list.cniVersion)}; ${verb} needs 1.1.0`,
  );
}

/** Returns what is remembered of the attachment; a broken file is removed, so that it can't stop a DEL (cni#1072). */
function recall(runtime: Runtime, list: NetworkList, attachment: Attachment): CachedAttachment | undefined {
  const key = { ...attachment, network: list.name };
  try {
    return runtime.cache.read(key);
  } catch (error) {
    runtime.note(`broken cache file removed: ${describeError(error)}`);
    runtime.cache.remove(key);
    return undefined;
  }
}

/** A caller without CNI_ARGS or capability values means those of the ADD: DEL of a port map needs its ports. */
function withParametersOf(cached: CachedAttachment | undefined, attachment: Attachment): Attachment {
  if (cached === undefined) return attachment;
  const { args, capabilityArgs } = attachment;
  return {
    ...attachment,
    args: args.length === 0 ? cached.args : args,
    capabilityArgs: Object.keys(capabilityArgs).length === 0 ? cached.capabilityArgs : capabilityArgs,
  };
}

function resultOf(cached: CachedAttachment | undefined, list: NetworkList): object | undefined {
  if (cached?.result === undefined) return undefined;
  return convertResult(cached.result, resultVersion(list), `cached result of network "${list.name}"`);
}

function lenientResultOf(
  runtime: Runtime,
  cached: CachedAttachment | undefined,
  list: NetworkList,
): object | undefined {
  try {
    return resultOf(cached, list);
  } catch (error) {
    runtime.note(`cached result not usable: ${describeError(error)}`);
    return undefined;
  }
}

/** The texts are libcni's, which operators know: `plugin type="bridge" failed (add): ...`. */
function failureOf(plugin: PluginConfig, verb: "add" | "delete", error: unknown): CniError {
  const name = plugin.name === "" ? "" : ` name=${JSON.stringify(plugin.name)}`;
  return wrapped(`plugin type=${JSON.stringify(plugin.type)}${name} failed (${verb})`, error);
}

function wrapped(where: string, error: unknown): CniError {
  if (error instanceof CniError) {
    return new CniError(error.code, `${where}: ${error.message}`, error.details, { cause: error });
  }
  return new CniError(ErrorCode.internal, `${where}: ${describeError(error)}`, "", { cause: error });
}
