// The GC of the plugins that stand behind another one in a chain: it goes by what each of them wrote down itself.
import type { Failures } from "../cni/error.ts";
import type { AttachmentKey } from "../cni/network-config.ts";
import { forgetAttachments, listStaleEntries, type WrittenEntry } from "../ledger/attachments.ts";
import { describeOwner } from "../ledger/owner.ts";
import { openStore, storeExists } from "../store/sqlite.ts";

/** What an attachment that is not valid left behind. */
export type StaleEntry = WrittenEntry;

/** An entry whose objects could not all be taken back, and why. */
export interface StuckEntry {
  readonly entry: StaleEntry;
  readonly error: unknown;
}

/** The GC of a chained plugin. */
export interface ChainedCollection {
  readonly network: string;
  readonly dataDir: string;
  readonly plugin: string;
  readonly valid: readonly AttachmentKey[];
  /** Every step that fails is kept here, and the others go on. */
  readonly failures: Failures;
  readonly note: (text: string) => void;
  /** Takes back what was made; returns the entries of which something stays. */
  takeBack(entries: readonly StaleEntry[]): readonly StuckEntry[] | Promise<readonly StuckEntry[]>;
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

/** Takes back what is written down about attachments that are not valid, and forgets it. */
export async function collectEntries(collection: ChainedCollection): Promise<void> {
  const { network, dataDir, plugin, valid, failures, note } = collection;
  if (!storeExists(dataDir)) return;
  const store = openStore(dataDir);
  const stale = await store.read((transaction) => listStaleEntries(transaction, network, plugin, valid));
  const stuck = new Map((await collection.takeBack(stale)).map(({ entry, error }) => [entry, error]));
  for (const error of stuck.values()) {
    await failures.collect(() => {
      throw error;
    });
  }
  // what could not be taken back stays written down, so that the next GC tries again
  const gone = stale.filter((entry) => !stuck.has(entry));
  await failures.collect(() =>
    store.transaction(async (transaction) => {
      await forgetAttachments(
        transaction,
        network,
        plugin,
        gone.map(({ row }) => row),
      );
    }),
  );
  for (const { row } of gone) note(`warren-${plugin}: removed ${describeOwner(row)}`);
}
