// Running other networks on behalf of an attachment, with all verbs, as a runtime would: in order, undone in reverse, each
// with its previous result. Before a network is touched it is written into the store, as an object of the entry of the
// plugin that delegates; DEL, CHECK and GC go by what stands there.
import { CniError, describeError, ErrorCode, Failures } from "../cni/error.ts";
import type { AttachmentKey } from "../cni/network-config.ts";
import type { Attachment, Call, GcCall } from "../cni/plugin.ts";
import type { UndoList } from "../cni/undo.ts";
import { versionAllows } from "../cni/version.ts";
import {
  addThroughList,
  checkThroughList,
  collectThroughList,
  deleteThroughList,
  isChecked,
  type PluginCaller,
  resultVersion,
  statusThroughList,
  withPlace,
} from "../conflist/verbs.ts";
import {
  type AttachmentRow,
  type Entry,
  findAttachment,
  forgetUnlessReplaced,
  type KernelObject,
  listAttachments,
  listObjects,
  listObjectsOfKind,
  listStaleAttachments,
  listStaleEntries,
  pluginsOfOwner,
  recordObjects,
} from "../ledger/attachments.ts";
import { describeOwner, netnsIsGone } from "../ledger/owner.ts";
import { inExistingStore, openStore } from "../store/sqlite.ts";
import { currentBootId } from "../sys/process.ts";
import {
  type AddedNetwork,
  type DelegatedNetwork,
  delegateNamed,
  delegatesIn,
  type Refusal,
  writtenForm,
} from "./delegated-network.ts";

/** What calling other plugins takes of a call. */
type Caller = Pick<Call<unknown>, "invoke" | "requirePlugin" | "note">;

/** The plugins of a network that are asked without an attachment, as for STATUS and GC. */
type NetworkPlugins = Pick<DelegatedNetwork, "list" | "folders">;

function callerFor(
  { invoke }: Caller,
  { folders, ...network }: NetworkPlugins & Partial<DelegatedNetwork>,
  attachment?: Attachment,
): PluginCaller {
  const { ifname, args = "" } = network;
  const delegated =
    attachment === undefined || ifname === undefined ? undefined : { ...attachment, ifname, args };
  return (verb, { type }, config) => invoke({ verb, type, folders, config, attachment: delegated });
}

function describe({ list, ifname }: Pick<DelegatedNetwork, "list" | "ifname">): string {
  return `network ${JSON.stringify(list.name)} on ${ifname}`;
}

/**
 * Adds the attachment to the networks, one after the other, and returns them with their results. `entry` is the one of the
 * plugin that delegates, and has to be in the store. For everything that was begun there is a step in `undo`, which takes
 * it back by DEL; running that, on failure, is the caller's. Throws the failed plugin's CniError, its message naming
 * network and plugin, and CniError 11 if the entry goes meanwhile.
 */
export async function addDelegates(
  call: Caller & { readonly attachment: Attachment },
  { entry, dataDir }: { readonly entry: Entry; readonly dataDir: string },
  networks: readonly DelegatedNetwork[],
  undo: UndoList,
): Promise<AddedNetwork[]> {
  const added: AddedNetwork[] = [];
  // what is missing can't be DELed either, so it must not be found out half way
  for (const network of networks) {
    try {
      for (const { type } of network.list.plugins) call.requirePlugin(type, network.folders);
    } catch (error) {
      throw withPlace(describe(network), error);
    }
  }
  for (const [position, network] of networks.entries()) {
    const begun: AddedNetwork = { ...network, position, result: undefined };
    await refuseAttached(entry, dataDir, network);
    await writeDelegate(entry, dataDir, begun);
    const ended = await addOne(call, { entry, dataDir }, begun, undo);
    await writeDelegate(entry, dataDir, ended);
    added.push(ended);
  }
  return added;
}

/** An ADD that fails because somebody has the attachment already would be taken back by a DEL of what he has. */
async function refuseAttached(
  entry: Entry,
  dataDir: string,
  { list, ifname }: DelegatedNetwork,
): Promise<void> {
  const owner = { network: list.name, containerId: entry.containerId, ifname };
  await openStore(dataDir).read(async (store) => {
    for (const plugin of await pluginsOfOwner(store, owner)) {
      const isOwn = plugin === entry.plugin && owner.network === entry.network && ifname === entry.ifname;
      const row = isOwn ? undefined : await findAttachment(store, { ...owner, plugin });
      if (row === undefined || row.bootId !== currentBootId() || netnsIsGone(row)) continue;
      throw new CniError(
        ErrorCode.nameTaken,
        `${describeOwner(owner)} is attached already, in ${row.netns}`,
        "DEL that attachment, or ask for another interface",
      );
    }
  });
}

/** Writes what is so about a network of the entry into the store; throws CniError 11 if the entry is not there any more. */
export async function writeDelegate(entry: Entry, dataDir: string, network: AddedNetwork): Promise<void> {
  await openStore(dataDir).transaction(async (store) => {
    if ((await findAttachment(store, entry)) === undefined) {
      throw new CniError(
        ErrorCode.tryAgainLater,
        `${describeOwner(entry)} was deleted while it was added`,
        "a runtime must not DEL or GC an attachment before its ADD has ended",
      );
    }
    await recordObjects(store, entry, [writtenForm(network)]);
  });
}

async function addOne(
  call: Caller & { readonly attachment: Attachment },
  { entry, dataDir }: { readonly entry: Entry; readonly dataDir: string },
  network: AddedNetwork,
  undo: UndoList,
): Promise<AddedNetwork> {
  const { list, capabilityArgs } = network;
  const { attachment } = call;
  const what = describe(network);
  let called = 0;
  let refusal: Refusal | undefined;
  try {
    const result = await addThroughList(
      list,
      callerFor(call, network, attachment),
      capabilityArgs,
      async (plugins, previous) => {
        called = plugins.length;
        const part = { ...network, list: { ...list, plugins }, result: previous, isUnfinished: true };
        undo.push(what, () => deleteDelegates(call, attachment, [{ ...part, refusal }]));
      },
    );
    const added = { ...network, result };
    undo.push(what, () => deleteDelegates(call, attachment, [added]));
    return added;
  } catch (error) {
    refusal = refusalIn(error, called);
    // for the DEL that comes if nobody is there any more to take it back; without it that DEL knows less
    if (refusal !== undefined)
      await writeDelegate(entry, dataDir, { ...network, refusal }).catch(() => undefined);
    throw withPlace(what, error);
  }
}

/** Returns the plugin's answer in an error of a list; undefined where it gave none by itself and for good. */
function refusalIn(error: unknown, called: number): Refusal | undefined {
  const own = error instanceof CniError ? error.cause : undefined;
  if (!(own instanceof CniError)) return undefined;
  // one that died may have done anything before, and one that asks for patience says something else later
  if (own.code === ErrorCode.delegateFailed || own.code === ErrorCode.tryAgainLater) return undefined;
  return { called, code: own.code, message: own.message, details: own.details };
}

/**
 * Returns the networks that are written down for an entry, in the order of their ADDs; none where there is no store. What
 * can't be read goes to `failed`, and the others are returned all the same.
 */
export async function writtenDelegates(
  entry: Entry,
  dataDir: string,
  failed: (error: unknown) => void,
): Promise<AddedNetwork[]> {
  const objects = await inExistingStore(
    dataDir,
    async (store) => (store === undefined ? [] : listObjects(store, entry)),
    "read",
  );
  return delegatesIn(objects, failed);
}

/** A network to DEL. */
type NetworkToDelete = AddedNetwork & {
  /** True where its ADD has not come to its end, whatever its first plugins answered. */
  readonly isUnfinished?: boolean;
};

/**
 * True if the failed DEL of a plugin leaves nothing behind: it refuses the config that it got, and the ADD, which has not
 * come to its end, had the same. Nobody can mend a config that is written down, so its DEL would fail for ever. Plugins of
 * others have no code for it (the reference's answer 999 whatever is wrong), but say of the DEL what they said of the ADD.
 */
function hasMadeNothing({ isUnfinished, result, refusal }: NetworkToDelete, error: CniError): boolean {
  if (!(isUnfinished ?? result === undefined)) return false;
  const { code } = error;
  return (
    isSameAnswer(refusal, refusalIn(error, 0)) ||
    code === ErrorCode.invalidConfig ||
    code === ErrorCode.unsupportedField ||
    code === ErrorCode.incompatibleVersion
  );
}

function isSameAnswer(one: Refusal | undefined, other: Refusal | undefined): boolean {
  if (one === undefined || other === undefined) return false;
  return one.code === other.code && one.message === other.message && one.details === other.details;
}

/**
 * DELs the networks, the last one first, each plugin even if another one fails, with what was used at ADD. Throws the only
 * failure, or CniError 107 naming all. The store is left as it is: forgetting the entry is the caller's.
 */
export async function deleteDelegates(
  call: Caller,
  attachment: Attachment,
  networks: readonly NetworkToDelete[],
): Promise<void> {
  const failures = new Failures();
  for (const network of networks.toReversed()) {
    const { list, capabilityArgs, result: previousResult, refusal } = network;
    await deleteThroughList(
      // those behind the one that refused were never called
      { ...list, plugins: list.plugins.slice(0, refusal?.called) },
      callerFor(call, network, attachment),
      { previousResult, capabilityArgs },
      (error) => {
        if (!hasMadeNothing(network, error)) failures.keep(withPlace(describe(network), error));
      },
    );
  }
  failures.rethrow(`DEL of the networks of container ${attachment.containerId}`);
}

/**
 * DELs the networks of an attachment that is gone, before its entry is taken over: it is of an earlier boot, or its
 * namespace is not there any more. What fails is told, and holds up nothing.
 */
export async function deleteFormerDelegates(
  call: Caller & { readonly attachment: Attachment },
  { entry, dataDir }: { readonly entry: Entry; readonly dataDir: string },
): Promise<void> {
  const tell = (error: unknown) =>
    call.note(`warren-${entry.plugin}: of an earlier ${describeOwner(entry)}: ${describeError(error)}`);
  const former = await writtenDelegates(entry, dataDir, tell);
  await deleteDelegates(call, { ...call.attachment, netns: "" }, former).catch(tell);
}

/** Asks every plugin of the networks whether they are as they were added. Throws the first one's CniError. */
export async function checkDelegates(
  call: Caller,
  attachment: Attachment,
  networks: readonly AddedNetwork[],
): Promise<void> {
  for (const network of networks) {
    const { list, capabilityArgs, result: previousResult } = network;
    // a network of a version without CHECK can't be asked, and must not keep the others from being asked
    if (!versionAllows(resultVersion(list), "CHECK") || !isChecked(list)) continue;
    try {
      await checkThroughList(list, callerFor(call, network, attachment), { previousResult, capabilityArgs });
    } catch (error) {
      throw withPlace(describe(network), error);
    }
  }
}

/**
 * Asks every plugin of the networks whether an ADD would work. Where a network's version has no STATUS, its plugins only
 * have to be there and to run. Throws the first one's own CniError, with the network's name in its message.
 */
export async function checkDelegatesStatus(call: Caller, networks: readonly NetworkPlugins[]): Promise<void> {
  for (const network of networks) {
    const { list, folders } = network;
    try {
      if (versionAllows(resultVersion(list), "STATUS")) {
        await statusThroughList(list, callerFor(call, network));
      } else {
        const config = JSON.stringify({ cniVersion: resultVersion(list) });
        for (const { type } of list.plugins) await call.invoke({ verb: "VERSION", type, folders, config });
      }
    } catch (error) {
      throw withPlace(`network ${JSON.stringify(list.name)}`, error);
    }
  }
}

/** What a GC of delegated networks works with. */
export interface DelegateCollection {
  /** The plugin that delegates. */
  readonly plugin: string;
  readonly dataDir: string;
  /** The networks whose plugins get a GC: those that nobody but this network hands containers to. */
  readonly networks: readonly NetworkPlugins[];
  /** Takes back what an entry has beside its networks, before they are DELed. */
  readonly release?: (row: AttachmentRow, objects: readonly KernelObject[]) => void | Promise<void>;
}

/**
 * Removes what attachments that are not valid have: DELs their networks with what was used at ADD, and forgets them. Then
 * the plugins of the networks get a GC, with the attachments there that are somebody's. Everything is tried. Throws the
 * only failure, or CniError 107 naming all.
 */
export async function collectDelegates(call: GcCall<unknown>, collection: DelegateCollection): Promise<void> {
  const { network, valid, note } = call;
  const { plugin, dataDir } = collection;
  const failures = new Failures();
  const stale = await inExistingStore(
    dataDir,
    async (store) => (store === undefined ? [] : listStaleEntries(store, network, plugin, valid)),
    "read",
  );
  for (const { row, objects } of stale) {
    await failures.collect(async () => {
      // in a namespace that has taken the place of the one of the ADD there is nothing of it
      const attachment = { ...row, netns: netnsIsGone(row) ? "" : row.netns };
      const own = new Failures();
      await own.collect(() => collection.release?.(row, objects));
      const networks = delegatesIn(objects, (error) => own.keep(error));
      await own.collect(() => deleteDelegates(call, attachment, networks));
      // what can't be removed stays written down, so that the next GC tries again
      own.rethrow(`GC of ${describeOwner(row)}`);
      await openStore(dataDir).transaction((store) => forgetUnlessReplaced(store, row));
      note(`warren-${plugin}: removed ${describeOwner(row)}`);
    });
  }
  await failures.collect(() => forwardCollection(call, collection, failures));
  failures.rethrow(`GC of network ${network}`);
}

async function forwardCollection(
  call: GcCall<unknown>,
  { plugin, dataDir, networks }: DelegateCollection,
  failures: Failures,
): Promise<void> {
  const { valid } = call;
  if (networks.length === 0) return;
  const known = await inExistingStore(
    dataDir,
    async (store) => {
      if (store === undefined) return { delegates: [], rows: [], strangers: [...valid] };
      const written = new Set((await listStaleAttachments(store, call.network, plugin, [])).map(keyOf));
      return {
        delegates: await listObjectsOfKind(store, "delegate"),
        rows: await listAttachments(store),
        strangers: valid.filter((one) => !written.has(keyOf(one))),
      };
    },
    "read",
  );
  const [stranger] = known.strangers;
  if (stranger !== undefined) {
    // its interfaces on other networks are not known, and a GC would take them away from a container that is alive
    call.note(
      `warren-${plugin}: no GC for the plugins of other networks: nothing is written about ${describeOwner({ network: call.network, ...stranger })}, which is valid`,
    );
    return;
  }
  const delegated = known.delegates.map(({ name, containerId }) => ({ containerId, ...delegateNamed(name) }));
  const kept = (name: string): AttachmentKey[] => {
    const handedOn = delegated.filter(({ network }) => network === name);
    // what a runtime has attached there by itself is not for this network's list to judge
    const others = known.rows.filter(({ network }) => network === name);
    const keys = [...(name === call.network ? valid : others), ...handedOn].map(
      ({ containerId, ifname }) => ({ containerId, ifname }),
    );
    return [...new Map(keys.map((key) => [keyOf(key), key])).values()];
  };
  for (const network of networks) {
    const { list } = network;
    await collectThroughList(list, callerFor(call, network), kept(list.name), (error) =>
      failures.keep(withPlace(`network ${JSON.stringify(list.name)}`, error)),
    );
  }
}

/** Neither of the two has a slash in it. */
function keyOf({ containerId, ifname }: AttachmentKey): string {
  return `${containerId}/${ifname}`;
}
