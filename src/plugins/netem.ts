// The plugin `netem`: makes a container's network as bad as one likes, with delays, losses, duplicates and more, to find
// out how a program bears it. It stands in a chain behind the plugin that makes the interface, and is asked for by the
// config or by the pod's annotations `lat` and `netem`. All that it makes is inside the container and written down first.
import * as v from "valibot";
import { type Addition, type AdditionCall, defineChained, requirePrevious } from "../attachment/addition.ts";
import { collectEntries, endEntry, takeBackEach } from "../attachment/chained-collection.ts";
import { openContainer, type RecordedContainer } from "../attachment/container-interface.ts";
import { entryOf } from "../attachment/reservation.ts";
import { dataDirOf, storeEntries } from "../attachment/settings.ts";
import { nothingWritten, writtenAttachment } from "../attachment/written.ts";
import { CniError, describeError, ErrorCode, stateDiffers } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import type { Attachment } from "../cni/plugin.ts";
import { podAnnotationEntries, podAnnotations } from "../cni/pod-annotations.ts";
import type { Result } from "../cni/result.ts";
import { type Entry, forgetAttachment, type KernelObject, recordAttachment } from "../ledger/attachments.ts";
import { describeOwner, holderOf } from "../ledger/owner.ts";
import { type Connection, connectInside } from "../net/connection.ts";
import { MissingFeatureError, needing } from "../net/feature.ts";
import {
  delayOnly,
  type Impairment,
  ImpairmentError,
  isHarmless,
  parseDelay,
  parseImpairments,
  WORDS,
} from "../net/impairment/impairment.ts";
import {
  endImpairment,
  endOrphanedDetours,
  impair,
  impairmentDifference,
  needsOf,
  probeImpairment,
  refuseOthers,
} from "../net/impairment/netem.ts";
import { netnsInode, openNetns } from "../net/netns.ts";
import { DisciplineTakenError } from "../net/shaping.ts";
import { findLink, type Link } from "../net/veth.ts";
import { proveWritable } from "../store/heartbeat.ts";

const PLUGIN = "netem";

const text = v.nullish(v.string());
const config = v.object({
  lat: text,
  netem: text,
  onMissing: v.nullish(v.picklist(["fail", "ignore"])),
  ...storeEntries,
  runtimeConfig: v.nullish(v.object(podAnnotationEntries)),
});
const cleanup = v.object(storeEntries);

type Config = v.InferOutput<typeof config>;

/** What the config amounts to, worked out before the store or the kernel is touched. */
interface Plan {
  /** None to leave the traffic as it is. */
  readonly rules: readonly Impairment[];
  /** The rules as they were said, to be written down. */
  readonly text: string;
  readonly ignoresMissing: boolean;
  readonly dataDir: string;
}

/** Returns the plan of a config; what a pod's annotations ask for counts before the config's own. Throws CniError 7. */
function planOf(config: Config): Plan {
  const annotations = podAnnotations(config.runtimeConfig);
  const asked = { lat: annotations.get("lat"), netem: annotations.get("netem") };
  const isAsked = (asked.lat ?? "") !== "" || (asked.netem ?? "") !== "";
  return {
    ...(isAsked ? rulesOf(asked, "annotation") : rulesOf(config, "config")),
    ignoresMissing: config.onMissing === "ignore",
    dataDir: dataDirOf(config),
  };
}

function rulesOf({ lat, netem }: Pick<Config, "lat" | "netem">, where: string): Pick<Plan, "rules" | "text"> {
  if ((netem ?? "") === "") return (lat ?? "") === "" ? { rules: [], text: "" } : delayOf(lat ?? "");
  if ((lat ?? "") !== "") {
    throw new CniError(
      ErrorCode.invalidConfig,
      `the ${where} says both "lat" and "netem"`,
      'say all of it in "netem": delay=50ms is what "lat" says with 50ms',
    );
  }
  try {
    return { rules: parseImpairments(netem ?? "").filter((rule) => !isHarmless(rule)), text: netem ?? "" };
  } catch (error) {
    if (!(error instanceof ImpairmentError)) throw error;
    throw new CniError(ErrorCode.invalidConfig, "Invalid netem", `${where} ${error.message}`, {
      cause: error,
    });
  }
}

/** Returns the rule of `lat`, whose errors clients of its original compare whole. */
function delayOf(lat: string): Pick<Plan, "rules" | "text"> {
  const delayNs = parseDelay(lat);
  if (delayNs !== undefined) {
    const rule = delayOnly(delayNs);
    return { rules: isHarmless(rule) ? [] : [rule], text: `delay=${lat}` };
  }
  throw new CniError(
    ErrorCode.invalidConfig,
    "Invalid lat",
    `${shown(lat)}: expected a time of at most an hour in ns, us, ms or s, such as ${WORDS.delay}`,
  );
}

/** Stands for an interface that this same call makes: it goes with the attachment, and what is ours on it bears a mark. */
const NOT_YET_MADE = 0;

/** Returns the container's interface; throws CniError 7 if it is not there. */
function interfaceOf(inside: Connection, ifname: string, netns: string): Link {
  const link = findLink(inside, ifname);
  if (link !== undefined) return link;
  throw new CniError(
    ErrorCode.invalidConfig,
    `container interface ${shown(ifname)} is not in ${netns}`,
    "the plugin before this one in the chain has to make it",
  );
}

/** Runs `work`; what somebody else has there, and what the kernel lacks, become errors that name the cure. */
function explained(rules: readonly Impairment[], work: () => void): void {
  try {
    needing(() => probeImpairment(needsOf(rules)), work);
  } catch (error) {
    if (!(error instanceof DisciplineTakenError)) throw error;
    throw new CniError(
      ErrorCode.nameTaken,
      error.message,
      `remove it (tc qdisc del dev ${error.link.name} root, in the container), or take netem out of the chain`,
      { cause: error },
    );
  }
}

/** Takes back what is written down of an attachment, if its container is still there, and forgets it; false if nothing is. */
function endRecorded(dataDir: string, entry: Entry): Promise<boolean> {
  return endEntry(dataDir, entry, ({ row, objects }) => takeAway(row, objects));
}

/** Takes what bears our mark from a container of which no store knows. */
function endUnrecorded({ netns: path, ifname }: Pick<Attachment, "netns" | "ifname">): void {
  if (netnsInode(path) === undefined) return;
  using netns = openNetns(path);
  using inside = connectInside(netns);
  const link = findLink(inside, ifname);
  if (link !== undefined) endImpairment(inside, link);
  endOrphanedDetours(inside);
}

/** Takes the impairments among these objects from a container; one that is gone took them with it. */
function takeAway(container: RecordedContainer, objects: readonly KernelObject[]): void {
  using netns = openContainer(container);
  if (netns === undefined) return;
  using inside = connectInside(netns);
  for (const { kind, name } of objects) {
    if (kind !== "impairment") continue;
    const [ifname = "", index] = name.split(" ");
    const link = findLink(inside, ifname);
    // another interface of that name has nothing of ours
    const isMeant = Number(index) === NOT_YET_MADE || Number(index) === link?.index;
    if (link !== undefined && isMeant) endImpairment(inside, link);
  }
  // a GC takes interfaces away before what stands behind them in the chain
  endOrphanedDetours(inside);
}

function impairmentFor(call: AdditionCall<Config>, plan: Plan): Addition {
  const { network, attachment, note } = call;
  const { netns: path, ifname } = attachment;
  const { dataDir, rules } = plan;
  const entry = entryOf(call, PLUGIN);
  let index = NOT_YET_MADE;
  return {
    dataDir,

    survey({ planned }): void {
      if (planned !== undefined) return;
      using netns = openNetns(path);
      using inside = connectInside(netns);
      const link = interfaceOf(inside, ifname, path);
      if (rules.length > 0) explained(rules, () => refuseOthers(inside, link));
      index = link.index;
    },

    async claim(store): Promise<void> {
      // an ADD that comes again says anew what is to be
      await forgetAttachment(store, entry);
      if (rules.length === 0) return;
      const holder = holderOf(network, attachment, call.args);
      // the number tells an interface from a later one of its name, and the container from those of others
      const name = `${ifname} ${index} ${attachment.containerId}`;
      const object: KernelObject = { kind: "impairment", name, detail: plan.text };
      await recordAttachment(store, holder, PLUGIN, [object]);
    },

    async make(result): Promise<Result> {
      using netns = openNetns(path);
      using inside = connectInside(netns);
      const link = interfaceOf(inside, ifname, path);
      try {
        if (rules.length === 0) endImpairment(inside, link);
        else explained(rules, () => impair(inside, link, rules));
      } catch (error) {
        if (!(plan.ignoresMissing && error instanceof MissingFeatureError)) throw error;
        await endRecorded(dataDir, entry);
        note(`warren-netem: ${describeError(error)}: ${describeOwner(entry)} goes on without`);
      }
      return result;
    },

    async release(): Promise<void> {
      await endRecorded(dataDir, entry);
    },
  };
}

export const netem = defineChained({
  name: PLUGIN,
  about: "Warren netem: delays, loses and spoils what a container sends and receives",
  config,
  cleanup,

  additionOf(call): Addition | undefined {
    const plan = planOf(call.config);
    // rules that change nothing are still an order: to take back those of an ADD before
    return plan.text === "" ? undefined : impairmentFor(call, plan);
  },

  async del({ network, config, attachment }): Promise<void> {
    const wasKnown = await endRecorded(dataDirOf(config), entryOf({ network, attachment }, PLUGIN));
    if (!wasKnown) endUnrecorded(attachment);
  },

  async check(call): Promise<void> {
    const { attachment } = call;
    const { netns: path, ifname } = attachment;
    const plan = planOf(call.config);
    requirePrevious(call.previous);
    if (plan.rules.length === 0) return;
    const entry = entryOf(call, PLUGIN);
    const { objects } = await writtenAttachment(call, PLUGIN, plan.dataDir);
    if (objects.length === 0) {
      // an ADD that passed over a kernel without netem wrote nothing down
      if (plan.ignoresMissing && isMissing(plan.rules)) return;
      throw nothingWritten(entry);
    }
    using netns = openNetns(path);
    using inside = connectInside(netns);
    const link = findLink(inside, ifname);
    if (link === undefined) throw stateDiffers(`interface ${ifname} is gone from ${path}`);
    const difference = impairmentDifference(inside, link, plan.rules);
    if (difference !== undefined) throw stateDiffers(difference);
  },

  async status({ config }): Promise<void> {
    const plan = planOf(config);
    await proveWritable(plan.dataDir);
    if (!plan.ignoresMissing) probeImpairment(needsOf(plan.rules));
  },

  gc: (call) =>
    collectEntries(call, {
      plugin: PLUGIN,
      dataDir: dataDirOf(call.config),
      takeBack: (entries) => takeBackEach(entries, ({ objects, row }) => takeAway(row, objects)),
    }),
});

/** The same by the name that a plugin for delays alone has in existing lists. */
export const lat = { ...netem, name: "lat" };

function isMissing(rules: readonly Impairment[]): boolean {
  try {
    probeImpairment(needsOf(rules));
    return false;
  } catch (error) {
    if (error instanceof MissingFeatureError) return true;
    throw error;
  }
}
