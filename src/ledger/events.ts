// The journal: what was called, when, for whom, how long it took and how it ended, the last calls of all networks of a
// store. It is for looking back, so it costs one statement and never stands in the way of a call.
import { eventsAfter, insertEvent } from "../../db/queries.ts" with { type: "macro" };
import type { EventRow } from "../../db/queries.ts";
import type { Store, Transaction } from "../store/store.ts";

const INSERT_EVENT = insertEvent();
const EVENTS_AFTER = eventsAfter();

/** How long a row may wait for other writers: a call that is answered must not be held up by its own memory. */
const PATIENCE_MS = 250;

/** A call as it is remembered. */
export type Event = EventRow;

/** Writes a call down; throws StoreError, also where others write for too long. */
export function recordEvent(store: Store, event: Omit<Event, "sequence">): Promise<void> {
  return store.execute(INSERT_EVENT, event, PATIENCE_MS);
}

/** Returns the calls whose number is larger than `sequence`, the oldest first. */
export function listEvents(store: Transaction, sequence = 0): Promise<Event[]> {
  return store.all(EVENTS_AFTER, { sequence });
}
