// What a `warren run` leaves that is killed by SIGKILL: the next `run` or `gc` takes it back, as soon as the command
// of that run has ended too.
import { describeError } from "../cni/error.ts";
import { log } from "../log.ts";
import { isInhabited } from "../net/netns.ts";
import type { Runtime } from "../runtime/chain.ts";
import type { PodRecords } from "../runtime/pod-record.ts";
import { takeBack, whenPluginsAreDone } from "./pod/life.ts";

/** How long a plugin that a killed run has called may hold up the command at hand. */
const PATIENCE_MS = 2000;

/**
 * Takes back what runs left that were killed: attachments in reverse order, then the namespace. A run that can't be
 * taken back whole stays for the next time, with a warning: it is no reason for the command at hand to fail.
 */
export async function collectAbandonedRuns(runtime: Runtime, records: PodRecords): Promise<void> {
  for (const { name, plan } of records.list((problem) => log.warn(problem))) {
    if (plan.kind !== "run") continue;
    const record = records.take(name);
    if (record === "busy" || record === undefined) continue;
    using _ = record;
    try {
      // the command outlives its `warren run`, and has the network for as long as it needs it
      if (isInhabited(plan.netns)) continue;
      if (!(await whenPluginsAreDone(plan, PATIENCE_MS))) continue;
      await takeBack(runtime, record);
      runtime.note(`removed ${plan.netns}, which a killed run left`);
    } catch (error) {
      log.warn(`${plan.netns}, which a killed run left, can't be removed: ${describeError(error)}`);
    }
  }
}
