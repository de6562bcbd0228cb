// What is said of pods without them: of one whose container is still to come, or of one on another node. An announcement
// is the pod's labels, and is read as if they had come with it.

import * as v from "valibot";
import {
  allAnnouncements,
  announcementOf,
  deleteAnnouncement,
  putAnnouncement,
} from "../../db/pair-queries.ts" with { type: "macro" };
import type { AnnouncementRow } from "../../db/pair-queries.ts";
import { ErrorCode } from "../cni/error.ts";
import { parseInput } from "../cni/input.ts";
import type { Transaction } from "../store/store.ts";
import { readLabels } from "./labels.ts";
import { describePod, type PodKey, type PodPlan, podPlan } from "./link-plan.ts";

const PUT = putAnnouncement();
const OF_POD = announcementOf();
const ALL = allAnnouncements();
const DELETE = deleteAnnouncement();

/** An announcement as it was made. */
export interface Announcement extends PodKey {
  readonly network: string;
  /** By their full names. */
  readonly labels: Readonly<Record<string, string>>;
  readonly announcedAtMs: number;
}

const labelsSchema = v.record(v.string(), v.string());

function announcementIn({ labels, ...row }: AnnouncementRow): Announcement {
  const what = `what the store has of the announced pod ${describePod(row)}`;
  return { ...row, labels: parseInput(labelsSchema, JSON.parse(labels), ErrorCode.storeUnusable, what) };
}

/** Returns what was announced of a pod; throws CniError 105 for what is no announcement. */
export async function findAnnouncement(
  store: Transaction,
  network: string,
  { podNamespace, podName }: PodKey,
): Promise<Announcement | undefined> {
  const row = await store.first(OF_POD, { network, podNamespace, podName });
  return row && announcementIn(row);
}

/** Returns what the labels of an announced pod amount to; undefined if it was not announced. */
export async function announcedPlan(
  store: Transaction,
  network: string,
  pod: PodKey,
): Promise<PodPlan | undefined> {
  const found = await findAnnouncement(store, network, pod);
  return found && podPlan(readLabels([Object.entries(found.labels)]), pod);
}

/** Returns all announcements of all networks. */
export async function listAnnouncements(store: Transaction): Promise<Announcement[]> {
  return (await store.all(ALL, {})).map(announcementIn);
}

/** Writes an announcement down, in the place of the one before of the same pod. */
export async function recordAnnouncement(store: Transaction, announcement: Announcement): Promise<void> {
  const { network, podNamespace, podName, announcedAtMs } = announcement;
  const labels = JSON.stringify(announcement.labels);
  await store.run(PUT, { network, podNamespace, podName, labels, announcedAtMs });
}

/** Forgets an announcement; a missing one is success. */
export async function forgetAnnouncement(
  store: Transaction,
  network: string,
  { podNamespace, podName }: PodKey,
): Promise<void> {
  await store.run(DELETE, { network, podNamespace, podName });
}
