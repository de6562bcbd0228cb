// The write that STATUS makes: one row, the same one every time, so that "ready" means that the store takes
// writes and a thousand calls don't make it grow.
import { beat as beatStatement } from "../../db/queries.ts" with { type: "macro" };
import { freeBytes } from "../sys/directory.ts";
import { currentBootId } from "../sys/process.ts";
import { openStore } from "./sqlite.ts";
import { StoreError, type Transaction } from "./store.ts";

const BEAT = beatStatement();

/**
 * What an ADD must find: room for the write-ahead log to grow to its limit, and for the pages behind it. The beat
 * itself may find room in the log that an ADD does not.
 */
const ROOM_BYTES = 512n * 1024n;

/** Writes the heartbeat; the caller's transaction commits it. Throws StoreError where an ADD would find no room. */
export async function beat(store: Transaction): Promise<void> {
  if (!store.isShared) requireRoom(store.location);
  await store.run(BEAT, { bootId: currentBootId(), atMs: Date.now() });
}

/** STATUS: commits a heartbeat to the store in `dataDir`, and makes it where there is none. Throws StoreError. */
export async function proveWritable(dataDir: string): Promise<void> {
  await openStore(dataDir).transaction(beat);
}

function requireRoom(location: string): void {
  const free = freeBytes(location);
  if (free < ROOM_BYTES) {
    throw new StoreError(
      location,
      "disk full",
      `the store ${location} can't grow: the disk is full, ${free} bytes are left`,
      `make room for at least ${ROOM_BYTES} bytes, or move dataDir`,
    );
  }
}
