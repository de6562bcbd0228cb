// The write that STATUS makes: one row, the same one every time, so that "ready" means that the store takes
// writes and a thousand calls don't make it grow.
import { beat as beatStatement } from "../../db/queries.ts" with { type: "macro" };
import { currentBootId } from "../sys/process.ts";
import type { Transaction } from "./store.ts";

const BEAT = beatStatement();

/** Writes the heartbeat; the caller's transaction commits it. */
export async function beat(store: Transaction): Promise<void> {
  await store.run(BEAT, { bootId: currentBootId(), atMs: Date.now() });
}
