// The end of what plugins made that stand behind another one in a chain: DEL of one attachment, and GC of all that are not
// valid. Both go by what each plugin wrote down itself. The kernel is asked and changed while the store is free, for it answers
// when nobody changes links any more, and all others would wait, too.
import { Failures } from "../cni/error.ts";
import type { GcCall } from "../cni/plugin.ts";
import {
  type AttachmentRow,
  type Entry,
  findAttachment,
  forgetAttachments,
  forgetUnlessReplaced,
  listObjects,
  listStaleAttachments,
  listStaleEntries,
  type WrittenEntry,
} from "../ledger/attachments.ts";
import { describeOwner } from "../ledger/owner.ts";
import { openStore, storeExists } from "../store/sqlite.ts";
import type { Store } from "../store/store.ts";

/**
 * Takes back what an entry knows of, and forgets it; returns false if nothing is written down. Throws what `takeBack` throws,
 * and the entry then stays for the next DEL or GC. It has to be of a plugin whose objects are no other attachment's. An entry
 * that an ADD has put in its place meanwhile stays, too.
 */
export async function endEntry(
  dataDir: string,
  entry: Entry,
  takeBack: (written: WrittenEntry) => void,
): Promise<boolean> {
  if (!storeExists(dataDir)) return false;
  const store = openStore(dataDir);
  const { row, objects } = await store.read(async (transaction) => ({
    row: await findAttachment(transaction, entry),
    objects: await listObjects(transaction, entry),
  }));
  if (row === undefined) return false;
  takeBack({ row, objects });
  await store.transaction((transaction) => forgetUnlessReplaced(transaction, row));
  return true;
}

/** What an attachment that is not valid left behind. */
export type StaleEntry = WrittenEntry;

/** An entry whose objects could not all be taken back, and why. */
export interface StuckEntry {
  readonly entry: StaleEntry;
  readonly error: unknown;
}

/** Whose entries are collected, and where they are. */
export interface CollectedPlugin {
  readonly plugin: string;
  readonly dataDir: string;
}

/** The GC of a chained plugin that can take many attachments back at once. */
export interface ChainedCollection extends CollectedPlugin {
  /** Takes back what was made; returns the entries of which something stays. */
  takeBack(entries: readonly StaleEntry[]): readonly StuckEntry[] | Promise<readonly StuckEntry[]>;
  /** What else there is to do, whatever becomes of the entries. */
  also?(): void | Promise<void>;
}

/** Takes the entries back one by one; returns those of which something stays, with what `takeBack` threw. */
export function takeBackEach(
  entries: readonly StaleEntry[],
  takeBack: (entry: StaleEntry) => void,
): StuckEntry[] {
  return entries.flatMap((entry): StuckEntry[] => {
    try {
      takeBack(entry);
      return [];
    } catch (error) {
      return [{ entry, error }];
    }
  });
}

/**
 * Takes back what is written down about attachments that are not valid, and forgets it. Everything is tried; throws the
 * only failure, or CniError 107 naming all.
 */
export async function collectEntries(call: GcCall<unknown>, collection: ChainedCollection): Promise<void> {
  const failures = new Failures();
  await failures.collect(() => collectStale(call, collection, failures));
  await failures.collect(() => collection.also?.());
  failures.rethrow(`GC of network ${call.network}`);
}

async function collectStale(
  { network, valid, note }: GcCall<unknown>,
  { plugin, dataDir, takeBack }: ChainedCollection,
  failures: Failures,
): Promise<void> {
  if (!storeExists(dataDir)) return;
  const store = openStore(dataDir);
  const stale = await store.read((reader) => listStaleEntries(reader, network, plugin, valid));
  const stuck = new Map((await takeBack(stale)).map(({ entry, error }) => [entry, error]));
  for (const error of stuck.values()) failures.keep(error);
  // what could not be taken back stays written down, so that the next GC tries again
  const gone = stale.filter((entry) => !stuck.has(entry)).map(({ row }) => row);
  await failures.collect(async () => {
    await store.transaction((writer) => forgetAttachments(writer, network, plugin, gone));
  });
  for (const row of gone) note(`warren-${plugin}: removed ${describeOwner(row)}`);
}

/**
 * The same for a plugin whose attachments share what they have, so that it takes a transaction to know who is the last
 * one: `end` takes back one attachment and forgets it.
 */
export async function collectOneByOne(
  { network, valid, note }: GcCall<unknown>,
  { plugin, dataDir }: CollectedPlugin,
  end: (store: Store, row: AttachmentRow) => Promise<void>,
): Promise<void> {
  if (!storeExists(dataDir)) return;
  const store = openStore(dataDir);
  const failures = new Failures();
  for (const row of await store.read((reader) => listStaleAttachments(reader, network, plugin, valid))) {
    await failures.collect(async () => {
      await end(store, row);
      note(`warren-${plugin}: removed ${describeOwner(row)}`);
    });
  }
  failures.rethrow(`GC of network ${network}`);
}
