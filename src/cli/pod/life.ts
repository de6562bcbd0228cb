// How a pod of the operator's tool comes into being and goes: a namespace with its loopback up, attached to networks one
// after the other, and all of it taken back in reverse. `warren pod` and `warren run` both stand on this; the record
// (runtime/pod-record.ts) is written first, so that what a killed process leaves can be taken back by any other.
import { describeError, throwFailures } from "../../cni/error.ts";
import { log } from "../../log.ts";
import { setLoopback } from "../../net/loopback.ts";
import { createNetns, deleteNetns, NetnsError, netnsIdentity, openNetns } from "../../net/netns.ts";
import { addToNetwork, deleteFromNetwork, type Runtime } from "../../runtime/chain.ts";
import type { PlannedAttachment, PodPlan, PodProgress, PodRecord } from "../../runtime/pod-record.ts";
import { currentBootId, processesWith } from "../../sys/process.ts";
import type { Interruption } from "../interruption.ts";

/** A pod that was made. */
export interface MadePod {
  /** The documents of the networks' results, in the order of the plan. */
  readonly results: readonly object[];
  /** Takes the pod back when it is disposed of. */
  readonly undo: AsyncDisposableStack;
}

/**
 * Makes what the record plans: namespace, loopback, then the networks in order, until `interruption` has a signal. Throws
 * what an ADD throws, and CniError 102 where the namespace's name is taken; then everything is taken back.
 */
export async function makePod(
  runtime: Runtime,
  record: PodRecord,
  interruption: Interruption,
): Promise<MadePod> {
  const { netns, attachments } = record.plan;
  const attached: PlannedAttachment[] = [];
  const results: object[] = [];
  try {
    createNetns(netns);
  } catch (error) {
    // nothing is made yet, and what stands in the way is somebody else's
    record.end();
    throw error;
  }
  await using undo = new AsyncDisposableStack();
  undo.defer(() => takeBack(runtime, record, attached));
  const identity = prepareNetns(netns);
  record.note({ netnsIdentity: identity, isComplete: false });
  for (const planned of attachments) {
    if (interruption.signal !== undefined) break;
    results.push(await addToNetwork(runtime, planned.list, planned.attachment));
    attached.push(planned);
  }
  return { results, undo: undo.move() };
}

/** Programs expect a loopback, and no network list speaks of it: container runtimes set it up by themselves too. */
function prepareNetns(path: string): string {
  using netns = openNetns(path);
  setLoopback(netns, true);
  return netnsIdentity(netns);
}

const PAUSE_MS = 20;

/**
 * Waits until no plugin is at work for the container any more, so that no DEL overtakes the ADD of a process that was
 * killed: plugins go on without whoever called them. Returns false if one still is after that time.
 */
export async function whenPluginsAreDone({ containerId }: PodPlan, patienceMs: number): Promise<boolean> {
  const end = Date.now() + patienceMs;
  while (processesWith("CNI_CONTAINERID", containerId).length > 0) {
    if (Date.now() > end) return false;
    await Bun.sleep(PAUSE_MS);
  }
  return true;
}

/**
 * Takes back a pod: DELs `attachments` in reverse, each tried twice, then removes the namespace and forgets the record.
 * A failing DEL keeps none of the others from being done; the record then stays, so that it can be tried again. Throws
 * the only failure, or CniError 107 naming all.
 */
export async function takeBack(
  runtime: Runtime,
  record: PodRecord,
  attachments: readonly PlannedAttachment[] = record.plan.attachments,
): Promise<void> {
  const { plan, progress } = record;
  // another namespace that got the pod's path meanwhile is none of the pod's, whatever has its interfaces' names
  const remains = remainsOf(plan, progress);
  const failures: unknown[] = [];
  for (const { list, attachment } of attachments.toReversed()) {
    const own = remains === "namespace" ? attachment : { ...attachment, netns: "" };
    try {
      try {
        await deleteFromNetwork(runtime, list, own);
      } catch (error) {
        // a second Ctrl-C reaches the plugin too, which is in our process group; DEL may be repeated at will
        log.warn(`${describeError(error)}; trying once more`);
        await deleteFromNetwork(runtime, list, own);
      }
    } catch (error) {
      failures.push(error);
    }
  }
  if (remains !== "nothing") deleteNetns(plan.netns);
  throwFailures(failures);
  record.end();
}

/** What stands at the path of a pod's namespace: that namespace, a file where one was or was to be, or nothing of the pod's. */
type NetnsRemains = "namespace" | "file" | "nothing";

function remainsOf(plan: PodPlan, progress: PodProgress | undefined): NetnsRemains {
  try {
    using netns = openNetns(plan.netns);
    if (plan.bootId !== currentBootId()) return "nothing";
    // killed between the namespace and the note of it: nobody else has made it, for then there was no record
    if (progress === undefined) return "namespace";
    return netnsIdentity(netns) === progress.netnsIdentity ? "namespace" : "nothing";
  } catch (error) {
    if (!(error instanceof NetnsError)) throw error;
    // killed in the middle of pinning or unpinning, or left by a boot before
    return error.problem === "not a network namespace" ? "file" : "nothing";
  }
}

/**
 * True if the path of the pod's namespace leads to the namespace that was made for it. False after a reboot, and where it
 * was unpinned or another one stands there.
 */
export function hasOwnNetns(plan: PodPlan, progress: PodProgress | undefined): boolean {
  return remainsOf(plan, progress) === "namespace";
}
