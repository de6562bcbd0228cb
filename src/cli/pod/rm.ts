// `warren pod rm NAME ... | --all`: detaches pods from all their networks and removes them, whatever state they are in.
import { CniError, describeError, ErrorCode, throwFailures } from "../../cni/error.ts";
import { loadNetwork, type NetworkList, parseNetworkList } from "../../conflist/network-list.ts";
import { log } from "../../log.ts";
import { isInhabited } from "../../net/netns.ts";
import type { CachedAttachment } from "../../runtime/cache.ts";
import type { Runtime } from "../../runtime/chain.ts";
import { type PlannedAttachment, type PodRecord, PodRecords } from "../../runtime/pod-record.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand, UsageError } from "../command.ts";
import { networkFlags, runtimeOf, type Settings, settingsOf } from "../settings.ts";
import { attachmentsOf, checkPodName, rememberedAttachments } from "./known.ts";
import { hasOwnNetns, takeBack, whenPluginsAreDone } from "./life.ts";

/** How long another process may have the pod in its hands. */
const PATIENCE_MS = 30_000;

export const command = operatorCommand({
  name: "rm",
  description: "Remove pods, whatever has become of them: rm POD ..., or rm --all",
  variadic: true,
  args: {
    pods: { type: "positional", required: false, description: "The pods' names" },
    all: { type: "boolean", description: "Remove all pods" },
    ...networkFlags,
  },
  async run({ args, rawArgs }) {
    const given = args._;
    if (rawArgs.includes("--")) throw new UsageError("unexpected --");
    if ((given.length === 0) === (args.all !== true)) {
      throw new UsageError("expected: pod rm POD ..., or pod rm --all");
    }
    for (const name of given) checkPodName(name);
    const settings = settingsOf(args, process.env);
    const runtime = runtimeOf(settings);
    const records = new PodRecords(settings.cacheFolder);
    const removed: string[] = [];
    const failures: CniError[] = [];
    for (const name of new Set(args.all === true ? records.names() : given)) {
      try {
        const outcome = await removePod(records, name, runtime, settings, args.all === true);
        if (outcome === "removed") removed.push(name);
        if (outcome === "absent" && args.all !== true) log.info(`there is no pod ${name}`);
      } catch (error) {
        const code = error instanceof CniError ? error.code : ErrorCode.internal;
        failures.push(
          new CniError(code, `pod ${name} can't be removed: ${describeError(error)}`, "", { cause: error }),
        );
      }
    }
    throwFailures(failures);
    if (settings.json) writeStdout(`${JSON.stringify({ removed }, null, 4)}\n`);
    return 0;
  },
});

async function removePod(
  records: PodRecords,
  name: string,
  runtime: Runtime,
  settings: Settings,
  sparesRuns: boolean,
): Promise<"removed" | "absent" | "spared"> {
  const record = await takeRecord(records, name, sparesRuns);
  if (record === undefined) return "absent";
  if (record === "spared") return "spared";
  using _ = record;
  const { plan, progress } = record;
  if (!(await whenPluginsAreDone(plan, PATIENCE_MS))) {
    throw new CniError(ErrorCode.tryAgainLater, "a plugin that was called for it is still at work");
  }
  if (hasOwnNetns(plan, progress) && isInhabited(plan.netns)) {
    log.warn(`processes are still in pod ${name}; they go on without its networks`);
  }
  const cached = attachmentsOf(plan, rememberedAttachments(runtime.cache));
  const isPlanned = ({ network, ifname }: CachedAttachment) =>
    plan.attachments.some(({ list, attachment }) => list.name === network && attachment.ifname === ifname);
  const later = cached.filter((one) => !isPlanned(one)).map((one) => plannedOf(one, settings));
  await takeBack(runtime, record, [...plan.attachments, ...later]);
  return "removed";
}

/** Waits for the record as long as somebody else has it locked. A `warren run` at work is never disturbed. */
async function takeRecord(
  records: PodRecords,
  name: string,
  sparesRuns: boolean,
): Promise<PodRecord | "spared" | undefined> {
  const end = Date.now() + PATIENCE_MS;
  let tries = 0;
  for (;;) {
    const record = takeReadable(records, name);
    if (record !== "busy") return record;
    // a look at the lock takes it for a moment too
    if (++tries > 5 && records.find(name)?.plan.kind === "run") {
      if (sparesRuns) return "spared";
      throw new CniError(
        ErrorCode.tryAgainLater,
        "it is that of a warren run, and goes when its command ends",
      );
    }
    if (Date.now() > end) {
      const problem = `another process has been making or removing it for ${PATIENCE_MS / 1000} s`;
      throw new CniError(ErrorCode.tryAgainLater, problem);
    }
    await Bun.sleep(10);
  }
}

function takeReadable(records: PodRecords, name: string): PodRecord | "busy" | undefined {
  try {
    return records.take(name);
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    log.warn(`${describeError(error)}; the record is removed, and what it told of is left to warren gc`);
    records.discard(name);
    return undefined;
  }
}

/** What was added to a pod later, by the network as it is now, or as it was then if there is no such network any more. */
function plannedOf(cached: CachedAttachment, settings: Settings): PlannedAttachment {
  return { list: networkOf(cached, settings), attachment: cached };
}

function networkOf({ network, config }: CachedAttachment, settings: Settings): NetworkList {
  try {
    return loadNetwork(settings.confFolder, network);
  } catch {
    return parseNetworkList(config, `cached config of network ${network}`);
  }
}
