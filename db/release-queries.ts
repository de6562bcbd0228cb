// The queries about stores that this node shares with others, written in drizzle: which there are, and what each has yet to be
// told. Each function runs at build time only.
import { and, asc, eq, sql } from "drizzle-orm";
import { database, given } from "./builder.ts";
import { releases, sharedStores } from "./schema.ts";
import { type Statement, statement } from "./statement.ts";

/** A release that a shared store has yet to be told of. */
export type ReleaseRow = (typeof releases)["$inferSelect"];
type Empty = Readonly<Record<never, never>>;

const RELEASE = {
  location: releases.location,
  network: releases.network,
  containerId: releases.containerId,
  ifname: releases.ifname,
  cooldownMs: releases.cooldownMs,
  queuedAtMs: releases.queuedAtMs,
};
const RELEASE_COLUMNS = Object.keys(RELEASE);

/** Remembers a shared store with its settings as they are now. */
export function putSharedStore(): Statement<{ location: string; settings: string }, never> {
  return statement<{ location: string; settings: string }>()(
    database
      .insert(sharedStores)
      .values({ location: given("location"), settings: given("settings") })
      .onConflictDoUpdate({ target: sharedStores.location, set: { settings: sql`excluded.settings` } }),
  );
}

/** The shared stores that this node has used, with the settings that lead there. */
export function allSharedStores(): Statement<Empty, { location: string; settings: string }> {
  return statement<Empty>()(
    database
      .select({ location: sharedStores.location, settings: sharedStores.settings })
      .from(sharedStores)
      .orderBy(asc(sharedStores.location)),
    ["location", "settings"],
  );
}

/** Keeps a release for later; of one that waits already the last word counts. */
export function queueRelease(): Statement<ReleaseRow, never> {
  return statement<ReleaseRow>()(
    database
      .insert(releases)
      .values({
        location: given("location"),
        network: given("network"),
        containerId: given("containerId"),
        ifname: given("ifname"),
        cooldownMs: given("cooldownMs"),
        queuedAtMs: given("queuedAtMs"),
      })
      .onConflictDoUpdate({
        target: [releases.location, releases.network, releases.containerId, releases.ifname],
        set: { cooldownMs: sql`excluded.cooldown_ms`, queuedAtMs: sql`excluded.queued_at_ms` },
      }),
  );
}

/** The releases that a store has yet to be told of, the longest queued first. */
export function queuedReleases(): Statement<{ location: string }, ReleaseRow> {
  return statement<{ location: string }>()(
    database
      .select(RELEASE)
      .from(releases)
      .where(eq(releases.location, given("location")))
      .orderBy(asc(releases.queuedAtMs)),
    RELEASE_COLUMNS,
  );
}

/** Forgets a release that was delivered; one that was queued anew meanwhile stays. */
export function forgetRelease(): Statement<Omit<ReleaseRow, "cooldownMs">, never> {
  return statement<Omit<ReleaseRow, "cooldownMs">>()(
    database
      .delete(releases)
      .where(
        and(
          eq(releases.location, given("location")),
          eq(releases.network, given("network")),
          eq(releases.containerId, given("containerId")),
          eq(releases.ifname, given("ifname")),
          eq(releases.queuedAtMs, given("queuedAtMs")),
        ),
      ),
  );
}
