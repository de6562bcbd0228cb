// The GC of the plugins that stand behind another one in a chain: it goes by what each of them wrote down itself.
import { Failures } from "../cni/error.ts";
import type { GcCall } from "../cni/plugin.ts";
import {
  type AttachmentRow,
  forgetAttachments,
  listStaleAttachments,
  listStaleEntries,
  type WrittenEntry,
} from "../ledger/attachments.ts";
import { describeOwner } from "../ledger/owner.ts";
import { openStore, storeExists } from "../store/sqlite.ts";
import type { Transaction } from "../store/store.ts";

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
 * one: `end` takes back one attachment and forgets it, in a transaction of its own that goes if it throws.
 */
export async function collectOneByOne(
  { network, valid, note }: GcCall<unknown>,
  { plugin, dataDir }: CollectedPlugin,
  end: (store: Transaction, row: AttachmentRow) => Promise<void>,
): Promise<void> {
  if (!storeExists(dataDir)) return;
  const store = openStore(dataDir);
  const failures = new Failures();
  for (const row of await store.read((reader) => listStaleAttachments(reader, network, plugin, valid))) {
    await failures.collect(async () => {
      await store.transaction((writer) => end(writer, row));
      note(`warren-${plugin}: removed ${describeOwner(row)}`);
    });
  }
  failures.rethrow(`GC of network ${network}`);
}
