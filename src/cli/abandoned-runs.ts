// What a `warren run` leaves that is killed by SIGKILL: the next `run` or `gc` takes it back, as soon as the command
// of that run has ended too.
import { describeError } from "../cni/error.ts";
import { log } from "../log.ts";
import { deleteNetns, isInhabited } from "../net/netns.ts";
import { deleteFromNetwork, type Runtime } from "../runtime/chain.ts";
import { RunRecord } from "../runtime/run-record.ts";

/**
 * Takes back what runs left that were killed: attachments in reverse order, then the namespace. A run that can't be
 * taken back whole stays for the next time, with a warning: it is no reason for the command at hand to fail.
 */
export async function collectAbandonedRuns(runtime: Runtime, cacheFolder: string): Promise<void> {
  for (const record of RunRecord.abandoned(cacheFolder, (problem) => log.warn(problem))) {
    using _ = record;
    const { netns, attachments } = record.plan;
    try {
      // the command outlives its `warren run`, and has the network for as long as it needs it
      if (isInhabited(netns)) continue;
      for (const { list, attachment } of attachments.toReversed()) {
        await deleteFromNetwork(runtime, list, attachment);
      }
      deleteNetns(netns);
      record.end();
      runtime.note(`removed ${netns}, which a killed run left`);
    } catch (error) {
      log.warn(`${netns}, which a killed run left, can't be removed: ${describeError(error)}`);
    }
  }
}
