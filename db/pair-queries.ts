// The queries about private links between pods, which become SQL text at build time as those in queries.ts do.
import { and, asc, eq, or, type SQL, sql } from "drizzle-orm";
import { database, given } from "./builder.ts";
import { pairAnnouncements, pairEnds, pairLinks, pairPods } from "./schema.ts";
import { type Statement, statement } from "./statement.ts";

/** What was announced of a pod. */
export type AnnouncementRow = (typeof pairAnnouncements)["$inferSelect"];
/** Which attachment a pod is. */
export type PairPodRow = (typeof pairPods)["$inferSelect"];
/** A link as it is asked for. */
export type PairLinkRow = (typeof pairLinks)["$inferSelect"];
/** An end of a link that is made. */
export type PairEndRow = (typeof pairEnds)["$inferSelect"];

/** Names a pod in the store. */
export type PodName = Pick<PairPodRow, "network" | "podNamespace" | "podName">;
/** Names a link in the store. */
export type LinkName = Pick<PairLinkRow, "network" | "podNamespace" | "primaryName" | "primaryIfname">;
type PairOwner = Pick<PairPodRow, "network" | "containerId" | "ifname">;
type Empty = Readonly<Record<never, never>>;

const ANNOUNCEMENT = {
  network: pairAnnouncements.network,
  podNamespace: pairAnnouncements.podNamespace,
  podName: pairAnnouncements.podName,
  labels: pairAnnouncements.labels,
  announcedAtMs: pairAnnouncements.announcedAtMs,
};
const POD = {
  network: pairPods.network,
  podNamespace: pairPods.podNamespace,
  podName: pairPods.podName,
  containerId: pairPods.containerId,
  ifname: pairPods.ifname,
  parentAddress: pairPods.parentAddress,
  routes: pairPods.routes,
};
const LINK = {
  network: pairLinks.network,
  podNamespace: pairLinks.podNamespace,
  primaryName: pairLinks.primaryName,
  primaryIfname: pairLinks.primaryIfname,
  primaryAddresses: pairLinks.primaryAddresses,
  primaryMirror: pairLinks.primaryMirror,
  primaryParentAddress: pairLinks.primaryParentAddress,
  pairName: pairLinks.pairName,
  pairIfname: pairLinks.pairIfname,
  pairAddresses: pairLinks.pairAddresses,
  pairMirror: pairLinks.pairMirror,
  pairParentAddress: pairLinks.pairParentAddress,
  vni: pairLinks.vni,
  saidVni: pairLinks.saidVni,
  mtu: pairLinks.mtu,
  announced: pairLinks.announced,
  saidByPrimary: pairLinks.saidByPrimary,
  saidByPair: pairLinks.saidByPair,
  saidByPrimaryIfname: pairLinks.saidByPrimaryIfname,
  saidByPairIfname: pairLinks.saidByPairIfname,
};
const END = {
  network: pairEnds.network,
  podNamespace: pairEnds.podNamespace,
  primaryName: pairEnds.primaryName,
  primaryIfname: pairEnds.primaryIfname,
  side: pairEnds.side,
  kind: pairEnds.kind,
  containerId: pairEnds.containerId,
  ifname: pairEnds.ifname,
  netns: pairEnds.netns,
  netnsInode: pairEnds.netnsInode,
  bootId: pairEnds.bootId,
  name: pairEnds.name,
  mirror: pairEnds.mirror,
  otherContainerId: pairEnds.otherContainerId,
  otherIfname: pairEnds.otherIfname,
  vni: pairEnds.vni,
  remote: pairEnds.remote,
};

/** Parameters of the same names as the columns. */
function allGiven<Columns extends object>(
  columns: Columns,
): { [Name in keyof Columns]: ReturnType<typeof given> } {
  const entries = Object.keys(columns).map((name) => [name, given(name)]);
  return Object.fromEntries(entries) as { [Name in keyof Columns]: ReturnType<typeof given> };
}

/** What an insertion that meets the same key writes over: every column with what was to be inserted. */
function overwritten<Columns extends Readonly<Record<string, { readonly name: string }>>>(
  columns: Columns,
): { [Name in keyof Columns]: SQL } {
  const entries = Object.entries(columns).map(([key, { name }]) => [key, sql.raw(`excluded.${name}`)]);
  return Object.fromEntries(entries) as { [Name in keyof Columns]: SQL };
}

function isPod(table: typeof pairAnnouncements | typeof pairPods): SQL | undefined {
  return and(
    eq(table.network, given("network")),
    eq(table.podNamespace, given("podNamespace")),
    eq(table.podName, given("podName")),
  );
}

function isLink(table: typeof pairLinks | typeof pairEnds): SQL | undefined {
  return and(
    eq(table.network, given("network")),
    eq(table.podNamespace, given("podNamespace")),
    eq(table.primaryName, given("primaryName")),
    eq(table.primaryIfname, given("primaryIfname")),
  );
}

function isOwner(table: typeof pairPods | typeof pairEnds): SQL | undefined {
  return and(
    eq(table.network, given("network")),
    eq(table.containerId, given("containerId")),
    eq(table.ifname, given("ifname")),
  );
}

// announcements -----------------------------------------------------------------------------------------------

/** Writes down what is announced of a pod, over what was announced before. */
export function putAnnouncement(): Statement<AnnouncementRow, never> {
  const { labels, announcedAtMs } = overwritten(ANNOUNCEMENT);
  return statement<AnnouncementRow>()(
    database
      .insert(pairAnnouncements)
      .values(allGiven(ANNOUNCEMENT))
      .onConflictDoUpdate({
        target: [pairAnnouncements.network, pairAnnouncements.podNamespace, pairAnnouncements.podName],
        set: { labels, announcedAtMs },
      }),
  );
}

/** What was announced of a pod. */
export function announcementOf(): Statement<PodName, AnnouncementRow> {
  return statement<PodName>()(
    database.select(ANNOUNCEMENT).from(pairAnnouncements).where(isPod(pairAnnouncements)),
    Object.keys(ANNOUNCEMENT),
  );
}

/** Every announcement, by network, namespace and name. */
export function allAnnouncements(): Statement<Empty, AnnouncementRow> {
  return statement<Empty>()(
    database
      .select(ANNOUNCEMENT)
      .from(pairAnnouncements)
      .orderBy(
        asc(pairAnnouncements.network),
        asc(pairAnnouncements.podNamespace),
        asc(pairAnnouncements.podName),
      ),
    Object.keys(ANNOUNCEMENT),
  );
}

/** Takes back what was announced of a pod. */
export function deleteAnnouncement(): Statement<PodName, never> {
  return statement<PodName>()(database.delete(pairAnnouncements).where(isPod(pairAnnouncements)));
}

// pods --------------------------------------------------------------------------------------------------------

/** Writes down which attachment a pod is, over the one that it was. */
export function putPairPod(): Statement<PairPodRow, never> {
  const { containerId, ifname, parentAddress, routes } = overwritten(POD);
  return statement<PairPodRow>()(
    database
      .insert(pairPods)
      .values(allGiven(POD))
      .onConflictDoUpdate({
        target: [pairPods.network, pairPods.podNamespace, pairPods.podName],
        set: { containerId, ifname, parentAddress, routes },
      }),
  );
}

/** The pod of this name. */
export function pairPodNamed(): Statement<PodName, PairPodRow> {
  return statement<PodName>()(database.select(POD).from(pairPods).where(isPod(pairPods)), Object.keys(POD));
}

/** The pod that an attachment is. */
export function pairPodOfOwner(): Statement<PairOwner, PairPodRow> {
  return statement<PairOwner>()(
    database.select(POD).from(pairPods).where(isOwner(pairPods)),
    Object.keys(POD),
  );
}

/** Every pod, by network, namespace and name. */
export function allPairPods(): Statement<Empty, PairPodRow> {
  return statement<Empty>()(
    database
      .select(POD)
      .from(pairPods)
      .orderBy(asc(pairPods.network), asc(pairPods.podNamespace), asc(pairPods.podName)),
    Object.keys(POD),
  );
}

/** Forgets the pod that an attachment is. */
export function deletePairPod(): Statement<PairOwner, never> {
  return statement<PairOwner>()(database.delete(pairPods).where(isOwner(pairPods)));
}

// links -------------------------------------------------------------------------------------------------------

/** Writes a link, over what it was. */
export function putPairLink(): Statement<PairLinkRow, never> {
  const {
    network: _,
    podNamespace: __,
    primaryName: ___,
    primaryIfname: ____,
    ...others
  } = overwritten(LINK);
  return statement<PairLinkRow>()(
    database
      .insert(pairLinks)
      .values(allGiven(LINK))
      .onConflictDoUpdate({
        target: [pairLinks.network, pairLinks.podNamespace, pairLinks.primaryName, pairLinks.primaryIfname],
        set: others,
      }),
  );
}

/** The links of which a pod is one side, in the order of their names in the primary. */
export function pairLinksOfPod(): Statement<PodName, PairLinkRow> {
  return statement<PodName>()(
    database
      .select(LINK)
      .from(pairLinks)
      .where(
        and(
          eq(pairLinks.network, given("network")),
          eq(pairLinks.podNamespace, given("podNamespace")),
          or(eq(pairLinks.primaryName, given("podName")), eq(pairLinks.pairName, given("podName"))),
        ),
      )
      .orderBy(asc(pairLinks.primaryName), asc(pairLinks.primaryIfname)),
    Object.keys(LINK),
  );
}

/** The links that the labels of an attachment ask for. */
export function pairLinksSaidBy(): Statement<PairOwner, PairLinkRow> {
  return statement<PairOwner>()(
    database
      .select(LINK)
      .from(pairLinks)
      .where(
        and(
          eq(pairLinks.network, given("network")),
          or(
            and(
              eq(pairLinks.saidByPrimary, given("containerId")),
              eq(pairLinks.saidByPrimaryIfname, given("ifname")),
            ),
            and(
              eq(pairLinks.saidByPair, given("containerId")),
              eq(pairLinks.saidByPairIfname, given("ifname")),
            ),
          ),
        ),
      ),
    Object.keys(LINK),
  );
}

/** The link of this name. */
export function pairLinkNamed(): Statement<LinkName, PairLinkRow> {
  return statement<LinkName>()(
    database.select(LINK).from(pairLinks).where(isLink(pairLinks)),
    Object.keys(LINK),
  );
}

/** Every link, by network, namespace, and pod and interface of its primary. */
export function allPairLinks(): Statement<Empty, PairLinkRow> {
  return statement<Empty>()(
    database
      .select(LINK)
      .from(pairLinks)
      .orderBy(
        asc(pairLinks.network),
        asc(pairLinks.podNamespace),
        asc(pairLinks.primaryName),
        asc(pairLinks.primaryIfname),
      ),
    Object.keys(LINK),
  );
}

/** Forgets a link. */
export function deletePairLink(): Statement<LinkName, never> {
  return statement<LinkName>()(database.delete(pairLinks).where(isLink(pairLinks)));
}

/** The link that has a number, whatever its network. */
export function pairLinkWithVni(): Statement<{ vni: number }, PairLinkRow> {
  return statement<{ vni: number }>()(
    database
      .select(LINK)
      .from(pairLinks)
      .where(eq(pairLinks.vni, given("vni"))),
    Object.keys(LINK),
  );
}

/** The lowest number after one that has been given out, from which on nobody has the next; none if that is none. */
export function vniBeforeGap(): Statement<{ first: number; last: number }, { vni: number }> {
  return statement<{ first: number; last: number }>()(
    database
      .select({ vni: sql<number>`${pairLinks.vni}`.as("vni") })
      .from(pairLinks)
      .where(
        and(
          sql`${pairLinks.vni} >= ${given("first")}`,
          sql`${pairLinks.vni} < ${given("last")}`,
          sql`not exists (select 1 from ${pairLinks} as follower where follower.vni = ${pairLinks.vni} + 1)`,
        ),
      )
      .orderBy(asc(pairLinks.vni))
      .limit(1),
    ["vni"],
  );
}

// ends --------------------------------------------------------------------------------------------------------

/** Writes down an end of a link, over what it was. */
export function putPairEnd(): Statement<PairEndRow, never> {
  const {
    network: _,
    podNamespace: __,
    primaryName: ___,
    primaryIfname: ____,
    side: _____,
    ...others
  } = overwritten(END);
  return statement<PairEndRow>()(
    database
      .insert(pairEnds)
      .values(allGiven(END))
      .onConflictDoUpdate({
        target: [
          pairEnds.network,
          pairEnds.podNamespace,
          pairEnds.primaryName,
          pairEnds.primaryIfname,
          pairEnds.side,
        ],
        set: others,
      }),
  );
}

/** The ends of a link that are made, the pair's before the primary's. */
export function pairEndsOfLink(): Statement<LinkName, PairEndRow> {
  return statement<LinkName>()(
    database.select(END).from(pairEnds).where(isLink(pairEnds)).orderBy(asc(pairEnds.side)),
    Object.keys(END),
  );
}

/** The ends that an attachment has. */
export function pairEndsOfOwner(): Statement<PairOwner, PairEndRow> {
  return statement<PairOwner>()(
    database.select(END).from(pairEnds).where(isOwner(pairEnds)),
    Object.keys(END),
  );
}

/** Every end of every link, in no order. */
export function allPairEnds(): Statement<Empty, PairEndRow> {
  return statement<Empty>()(database.select(END).from(pairEnds), Object.keys(END));
}

/** Forgets an end of a link. */
export function deletePairEnd(): Statement<LinkName & { side: string }, never> {
  return statement<LinkName & { side: string }>()(
    database.delete(pairEnds).where(and(isLink(pairEnds), eq(pairEnds.side, given("side")))),
  );
}
