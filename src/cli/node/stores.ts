// What the stores of a node hold, all of it at once: one that can't be read is told with the others and stops nobody.
import { describeError } from "../../cni/error.ts";
import { type LeaseRow, listRestingLeases } from "../../ipam/leases.ts";
import {
  type AttachmentRow,
  type KernelObject,
  listAttachments,
  listObjects,
} from "../../ledger/attachments.ts";
import { type Event, listEvents } from "../../ledger/events.ts";
import { netnsIsGone } from "../../ledger/owner.ts";
import { openStore, storeExists, storePath } from "../../store/sqlite.ts";
import { statFile } from "../../sys/files.ts";
import { knownLeases } from "../known-leases.ts";

/** A lease, and whether its holder can still be alive. */
export interface KnownLease extends LeaseRow {
  readonly state: "used" | "stale" | "resting";
}

/** What a plugin made for an attachment. */
export interface KnownEntry extends AttachmentRow {
  readonly objects: readonly KernelObject[];
  readonly stale: boolean;
}

/** One store of the node. */
export interface NodeStore {
  readonly dataDir: string;
  readonly path: string;
  readonly bytes: number;
  /** The length of the write-ahead log. */
  readonly logBytes: number;
  /** Why it can't be read; empty if it can. */
  readonly problem: string;
  readonly leases: readonly KnownLease[];
  /** Those of other nodes, where the store is one that nodes share. */
  readonly elsewhere: readonly KnownLease[];
  readonly entries: readonly KnownEntry[];
  /** The calls that the journal holds, the oldest first. */
  readonly events: readonly Event[];
}

/** Returns the stores in those directories that have one, or of which that can't be found out. */
export async function surveyStores(dataDirs: Iterable<string>): Promise<NodeStore[]> {
  const stores = await Promise.all([...new Set(dataDirs)].map(surveyStore));
  return stores.filter((store) => store !== undefined);
}

async function surveyStore(dataDir: string): Promise<NodeStore | undefined> {
  const path = storePath(dataDir);
  const bytesOf = (file: string) => Number(statFile(file)?.bytes ?? 0n);
  let place = { dataDir, path, bytes: 0, logBytes: 0 };
  try {
    // whoever is not root may not even look
    if (!storeExists(dataDir)) return undefined;
    place = { ...place, bytes: bytesOf(path), logBytes: bytesOf(`${path}-wal`) };
    const { own, elsewhere, problems } = await knownLeases(dataDir);
    const held = own.map((row): KnownLease => ({ ...row, state: netnsIsGone(row) ? "stale" : "used" }));
    return await openStore(dataDir).read(async (store) => {
      const rows = await listAttachments(store);
      const entries: KnownEntry[] = [];
      for (const row of rows) {
        entries.push({ ...row, objects: await listObjects(store, row), stale: netnsIsGone(row) });
      }
      const resting: KnownLease[] = [];
      for (const network of new Set([...held, ...rows].map((row) => row.network))) {
        const released = await listRestingLeases(store, network);
        resting.push(...released.map((row): KnownLease => ({ ...row, state: "resting" })));
      }
      return {
        ...place,
        problem: problems.join("; "),
        leases: [...held, ...resting],
        elsewhere: elsewhere.map((row): KnownLease => ({ ...row, state: "used" })),
        entries,
        events: await listEvents(store),
      };
    });
  } catch (error) {
    return { ...place, problem: describeError(error), leases: [], elsewhere: [], entries: [], events: [] };
  }
}
