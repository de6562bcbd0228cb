// Pods as an operator sees them: found by name, with what they are attached to and what has become of them.
import { CniError, ErrorCode } from "../../cni/error.ts";
import { shown } from "../../cni/input.ts";
import { isLegalName } from "../../cni/names.ts";
import type { AttachmentCache, CachedAttachment } from "../../runtime/cache.ts";
import type { PodPlan, PodRecords, RecordedPod } from "../../runtime/pod-record.ts";
import { currentBootId } from "../../sys/process.ts";
import { UsageError } from "../command.ts";
import { type ReportedInterface, reportedInterfaces } from "../reported-addresses.ts";
import { hasOwnNetns } from "./life.ts";

/** The longest name: a label of the DNS, which is also a legal hostname and file name. */
const LONGEST_NAME = 63;

/** Throws UsageError unless `name` may be a pod's. */
export function checkPodName(name: string): void {
  if (isLegalName(name) && name.length <= LONGEST_NAME) return;
  throw new UsageError(
    `${shown(name)} is no pod's name: expected a letter or digit, then those and . _ -, ${LONGEST_NAME} at most`,
  );
}

/**
 * What has become of a pod. `half made` and `killed` are of a `pod create` and a `warren run` that were killed; `netns gone`
 * is a namespace that somebody else unpinned.
 */
export type PodState = "alive" | "being made" | "half made" | "killed" | "netns gone" | "earlier boot";

/** Returns what has become of the pod. */
export function stateOf({ plan, progress, isLocked }: RecordedPod): PodState {
  if (plan.bootId !== currentBootId()) return "earlier boot";
  if (plan.kind === "run" && !isLocked) return "killed";
  if (progress === undefined || (plan.kind === "pod" && !progress.isComplete)) {
    return isLocked ? "being made" : "half made";
  }
  return hasOwnNetns(plan, progress) ? "alive" : "netns gone";
}

/** Returns the pod of that name. Throws CniError 3 if there is none, UsageError for what can't be a name. */
export function existingPod(records: PodRecords, name: string): RecordedPod {
  checkPodName(name);
  const pod = records.find(name);
  if (pod !== undefined) return pod;
  const names = records.names();
  throw new CniError(
    ErrorCode.unknownContainer,
    `there is no pod ${shown(name)}`,
    names.length === 0 ? "make one by warren pod create" : `there are ${names.join(", ")}`,
  );
}

/** An interface of a pod, and the network that it is of. */
export interface ShownNetwork {
  readonly network: string;
  readonly ifname: string;
  /** What the network said at its ADD. */
  readonly addresses: readonly string[];
  /** False where it was planned but not added yet, or was detached since. */
  readonly attached: boolean;
}

/** A pod as it is shown. */
export interface ShownPod {
  readonly name: string;
  readonly state: PodState;
  readonly networks: readonly ShownNetwork[];
  readonly hostname: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly containerId: string;
  readonly netns: string;
  readonly created: string;
}

/** Returns the cached attachments of a pod: those that it was planned with, and those that were added to it later. */
export function attachmentsOf(plan: PodPlan, cached: readonly CachedAttachment[]): CachedAttachment[] {
  // a container id that was chosen by hand may be another runtime's too
  return cached.filter((one) => one.containerId === plan.containerId && one.netns === plan.netns);
}

/** Returns the pod as it is shown; `cached` are all attachments that the runtime remembers. */
export function shownPod(pod: RecordedPod, cached: readonly CachedAttachment[]): ShownPod {
  const { name, plan } = pod;
  const own = attachmentsOf(plan, cached);
  const isOf = (network: string, ifname: string) => (one: { network: string; ifname: string }) =>
    one.network === network && one.ifname === ifname;
  const planned = plan.attachments.flatMap(({ list, attachment: { ifname } }) => {
    const found = own.find(isOf(list.name, ifname));
    const absent = { network: list.name, ifname, addresses: [], attached: false };
    return found === undefined ? [absent] : networksOf(found);
  });
  const later = own
    .filter(
      (one) => !plan.attachments.some(({ list, attachment }) => isOf(list.name, attachment.ifname)(one)),
    )
    .flatMap(networksOf);
  return {
    name,
    state: stateOf(pod),
    networks: [...planned, ...later],
    hostname: plan.hostname,
    labels: plan.labels,
    annotations: plan.annotations,
    containerId: plan.containerId,
    netns: plan.netns,
    created: new Date(plan.createdAtMs).toISOString(),
  };
}

function networksOf(cached: CachedAttachment): ShownNetwork[] {
  const { network, ifname } = cached;
  let interfaces: readonly ReportedInterface[];
  try {
    interfaces = reportedInterfaces(cached);
  } catch {
    // what somebody wrote into the cache is no result, but the pod is there all the same
    interfaces = [{ ifname, addresses: [] }];
  }
  return interfaces.map((one) => ({ network, ...one, attached: true }));
}

/** Returns all attachments that the runtime remembers; broken files of others are none of ours. */
export function rememberedAttachments(cache: AttachmentCache): CachedAttachment[] {
  return cache.list(undefined, () => undefined);
}

/** Returns how long ago that was, in its largest unit: `42s`, `5m`, `3h`, `2d`. */
export function ageSince(timeMs: number, nowMs = Date.now()): string {
  const seconds = Math.max(0, Math.floor((nowMs - timeMs) / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / (24 * 3600))}d`;
}
