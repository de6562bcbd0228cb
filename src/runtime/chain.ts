// The verbs over a whole network as a runtime has them: every plugin of its list is called as a process, and the cache
// is kept in step (libcni/api.go). Three things differ from libcni, on purpose: an ADD that fails half way is undone, a
// DEL or CHECK without parameters gets those of its ADD, and each result is converted to the list's version before the
// next plugin sees it.
import { CniError, describeError, ErrorCode, throwFailures } from "../cni/error.ts";
import { checkNetworkName } from "../cni/names.ts";
import type { AttachmentKey } from "../cni/network-config.ts";
import { type Verb, versionAllows } from "../cni/version.ts";
import type { NetworkList, PluginConfig } from "../conflist/network-list.ts";
import {
  addThroughList,
  checkThroughList,
  collectThroughList,
  convertResult,
  deleteThroughList,
  isChecked,
  type PluginCaller,
  resultVersion,
  statusThroughList,
  undoThroughList,
  withPlace,
} from "../conflist/verbs.ts";
import { type Attachment, checkAttachment } from "./attachment.ts";
import type { AttachmentCache, CachedAttachment } from "./cache.ts";
import { invokePlugin, type PluginHost } from "./invocation.ts";

/** What the verbs work with. */
export interface Runtime {
  readonly host: PluginHost;
  readonly cache: AttachmentCache;
  /** Is told, line by line, what was done beyond what was asked: undone, removed, passed over. */
  readonly note: (line: string) => void;
  /** Is told how many attachments are done, where that may take long. */
  readonly progress?: (done: number, all: number) => void;
}

function callerFor({ host }: Runtime, attachment?: Attachment): PluginCaller {
  return (verb, { type }, config) =>
    invokePlugin(host, { verb, type, config, ...(attachment === undefined ? {} : { attachment }) });
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
  const { capabilityArgs } = attachment;
  const call = callerFor(runtime, attachment);
  const wasThere = recall(runtime, list, attachment) !== undefined;
  const undo = async (begun: readonly PluginConfig[], previousResult: object | undefined) => {
    if (wasThere) {
      runtime.note(
        `not undone: ${attachment.containerId} ${attachment.ifname} was added to ${list.name} before; DEL removes it`,
      );
    } else await undoThroughList(list, begun, call, { previousResult, capabilityArgs }, runtime.note);
  };
  const result = await addThroughList(list, call, capabilityArgs, undo);
  const cached = { ...attachment, network: list.name, config: list.bytes, result: { ...result } };
  try {
    runtime.cache.write(cached);
  } catch (error) {
    // without its cache file nobody would ever DEL this attachment
    if (!wasThere) await undo(list.plugins, result);
    throw error;
  }
  return result;
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
  if (!isChecked(list)) return;
  const cached = runtime.cache.read({ ...attachment, network: list.name });
  const complete = withParametersOf(cached, attachment);
  const injection = {
    previousResult: resultOf(cached, list),
    capabilityArgs: complete.capabilityArgs,
  };
  await checkThroughList(list, callerFor(runtime, complete), injection);
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
  const injection = {
    previousResult: lenientResultOf(runtime, cached, list),
    capabilityArgs: complete.capabilityArgs,
  };
  await deleteThroughList(list, callerFor(runtime, complete), injection, (error) => {
    throw error;
  });
  runtime.cache.remove(key);
}

/**
 * Asks every plugin whether an ADD would work; returns without asking for a version before 1.1.0, as libcni does.
 * Throws the first plugin's own CniError.
 */
export async function checkStatus(runtime: Runtime, list: NetworkList): Promise<void> {
  await statusThroughList(list, callerFor(runtime));
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
  const stale = runtime.cache
    .list(list.name, (problem) => runtime.note(`passed over: ${problem}`))
    // pairs are compared, never joined strings: "a-b" with "c" is not "a" with "b-c"
    .filter(
      (cached) =>
        valid?.some((one) => one.containerId === cached.containerId && one.ifname === cached.ifname) !== true,
    );
  for (const [done, cached] of stale.entries()) {
    const { containerId, ifname } = cached;
    runtime.progress?.(done, stale.length);
    try {
      await deleteFromNetwork(runtime, list, cached);
      removed.push({ containerId, ifname });
      runtime.note(`removed ${containerId} ${ifname} (${cached.netns || "no netns"}) from ${list.name}`);
    } catch (error) {
      failures.push(withPlace(`failed to delete stale attachment ${containerId} ${ifname}`, error));
    }
  }
  await collectThroughList(list, callerFor(runtime), valid, (error) => failures.push(error));
  throwFailures(failures);
  return removed;
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
