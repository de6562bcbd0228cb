// The plugin `bandwidth`: limits how fast a container receives (ingress) and sends (egress). It stands in a chain
// behind the plugin that makes the container's pair of interfaces, and shapes at the host's end of it, where the
// container can't undo it. All that it makes is written down first, so that DEL and GC need the store alone.
import * as v from "valibot";
import {
  type Addition,
  type AdditionCall,
  defineChained,
  requirePrevious,
  type Site,
} from "../attachment/addition.ts";
import { collectEntries } from "../attachment/chained-collection.ts";
import { interfaceIn } from "../attachment/container-interface.ts";
import { aliasOf } from "../attachment/identity.ts";
import { beginEntry, entryOf, isLivingEntry } from "../attachment/reservation.ts";
import { dataDirOf, storeEntries } from "../attachment/settings.ts";
import {
  BANDWIDTH_PLUGIN,
  collectLostDetours,
  detourName,
  detoursOf,
  endShaping,
  freeDetourName,
  makeRoomFor,
  NOT_YET_MADE,
  removeDetours,
  shapingObject,
  takeBack,
  unclaimedDetourName,
} from "../attachment/shaping-entry.ts";
import { nothingWritten, writtenAttachment } from "../attachment/written.ts";
import { CniError, ErrorCode, stateDiffers } from "../cni/error.ts";
import type { Attachment } from "../cni/plugin.ts";
import { podAnnotationEntries } from "../cni/pod-annotations.ts";
import { podBandwidth } from "../cni/pod-bandwidth.ts";
import type { Result } from "../cni/result.ts";
import {
  type Entry,
  type KernelObject,
  kernelObject,
  listObjects,
  recordAttachment,
} from "../ledger/attachments.ts";
import { describeOwner, holderOf } from "../ledger/owner.ts";
import { type Connection, connectHost, connectInside } from "../net/connection.ts";
import { needing } from "../net/feature.ts";
import { openNetns } from "../net/netns.ts";
import { findPeer } from "../net/peer.ts";
import {
  createDetour,
  DisciplineTakenError,
  FIRST_REDIRECTION,
  isRedirected,
  limitDifference,
  limitSending,
  planRedirection,
  probeShaping,
  type RateLimit,
  type Redirection,
  redirect,
  refuseDiscipline,
  type ShapingNeeds,
} from "../net/shaping.ts";
import { findLink, type Link, removeLink } from "../net/veth.ts";
import { proveWritable } from "../store/heartbeat.ts";
import type { Transaction } from "../store/store.ts";

const BITS_A_BYTE = 8;
const DEFAULT_LATENCY_MS = 25;
const LONGEST_LATENCY_MS = 10_000;
/** Room for a few packets of any usual MTU, so that small rates get through at all. */
const LEAST_BURST_BYTES = 16_384;
/** The kernel counts a burst in 32 bits. */
const BURST_LIMIT_BYTES = 0xffff_ffff;

// beyond 2^53 a number in JSON is rounded when it is read, and a limit that is not what was asked for is none
const bits = v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER)));
const subnets = v.nullish(v.array(v.unknown()));
const limits = {
  ingressRate: bits,
  ingressBurst: bits,
  egressRate: bits,
  egressBurst: bits,
  shapedSubnets: subnets,
  unshapedSubnets: subnets,
};

const config = v.object({
  ...limits,
  latencyMs: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(LONGEST_LATENCY_MS))),
  ...storeEntries,
  runtimeConfig: v.nullish(v.object({ bandwidth: v.nullish(v.object(limits)), ...podAnnotationEntries })),
});
const cleanup = v.object(storeEntries);

type Config = v.InferOutput<typeof config>;

/** What the config amounts to, worked out before the store or the kernel is touched. */
interface Plan {
  /** What the container receives; undefined for no limit. */
  readonly ingress: RateLimit | undefined;
  /** What the container sends; undefined for no limit. */
  readonly egress: RateLimit | undefined;
  readonly dataDir: string;
}

/** True if one of the keys of a limit is there: then that source counts, and no other is asked. */
function saysLimits(source: object): boolean {
  return Object.keys(limits).some((key) => (Reflect.get(source, key) ?? null) !== null);
}

/**
 * Returns the plan of a config: its own limits, else those of the capability, else those of the pod's annotations. Throws
 * CniError 7 (or 2 for what is not offered) naming the value.
 */
function planOf(config: Config): Plan {
  const isStatic = saysLimits(config);
  const source = isStatic ? config : (config.runtimeConfig?.bandwidth ?? {});
  if (!isStatic && !saysLimits(source)) return annotatedPlan(config);
  const place = isStatic ? "" : "runtimeConfig.bandwidth.";
  for (const key of ["shapedSubnets", "unshapedSubnets"] as const) {
    if ((source[key] ?? []).length === 0) continue;
    throw new CniError(
      ErrorCode.unsupportedField,
      `bandwidth: "${place}${key}" is not supported`,
      "remove the key: a limit is for all that the container receives or sends",
    );
  }
  const latencyMs = config.latencyMs ?? DEFAULT_LATENCY_MS;
  const limitOf = (direction: "ingress" | "egress") =>
    rateLimit(
      `${place}${direction}`,
      source[`${direction}Rate`] ?? 0,
      source[`${direction}Burst`] ?? 0,
      latencyMs,
    );
  return {
    ingress: limitOf("ingress"),
    egress: limitOf("egress"),
    dataDir: dataDirOf(config),
  };
}

/** An annotation says no burst: this is what goes in a tenth of a second, within what makes sense to the kernel. */
function annotatedPlan(config: Config): Plan {
  const { ingress, egress } = podBandwidth(config.runtimeConfig);
  const limitOf = (rateBits: bigint | undefined): RateLimit | undefined => {
    if (rateBits === undefined) return undefined;
    const rate = rateBits / BigInt(BITS_A_BYTE);
    const burst = Math.min(BURST_LIMIT_BYTES - 1, Math.max(LEAST_BURST_BYTES, Number(rate / 10n)));
    return { rate, burst, latencyMs: config.latencyMs ?? DEFAULT_LATENCY_MS };
  };
  return { ingress: limitOf(ingress), egress: limitOf(egress), dataDir: dataDirOf(config) };
}

function rateLimit(
  place: string,
  rateBits: number,
  burstBits: number,
  latencyMs: number,
): RateLimit | undefined {
  // clients compare these messages whole, so they carry no details
  if (rateBits !== 0 && burstBits === 0) {
    throw new CniError(ErrorCode.invalidConfig, "if rate is set, burst must also be set");
  }
  if (rateBits === 0 && burstBits !== 0) {
    throw new CniError(ErrorCode.invalidConfig, "if burst is set, rate must also be set");
  }
  if (rateBits === 0) return undefined;
  const burst = Math.floor(burstBits / BITS_A_BYTE);
  if (burst >= BURST_LIMIT_BYTES) {
    throw new CniError(
      ErrorCode.invalidConfig,
      "burst cannot be more than 4GB",
      `"${place}Burst" is ${burstBits} bits`,
    );
  }
  for (const [key, value] of [["Rate", rateBits] as const, ["Burst", burstBits] as const]) {
    if (value >= BITS_A_BYTE) continue;
    throw new CniError(
      ErrorCode.invalidConfig,
      `"${place}${key}" is ${value}`,
      `expected at least ${BITS_A_BYTE}: it is counted in bits, and the kernel counts in bytes`,
    );
  }
  return { rate: BigInt(rateBits) / BigInt(BITS_A_BYTE), burst, latencyMs };
}

/** Where an attachment is to be shaped. */
interface Place {
  /** The container's interface. */
  readonly link: Link;
  /** The host's end of its pair. */
  readonly hostLink: Link;
}

function placeOf(host: Connection, attachment: Attachment): Place {
  using netns = openNetns(attachment.netns);
  using inside = connectInside(netns);
  const link = interfaceIn(inside, netns, attachment.ifname);
  const hostLink = findPeer(host, netns, link);
  if (hostLink !== undefined) return { link, hostLink };
  throw new CniError(
    ErrorCode.invalidConfig,
    `container interface ${link.name} has no veth peer on the host`,
    link.kind === "veth"
      ? "its other end is in another network namespace"
      : `it is a ${link.kind || "physical"} interface, and only pairs (bridge, ptp) can be shaped`,
  );
}

/** Without limits of its own a config leaves them to the runtime, which may want either. */
function needsOf({ ingress, egress }: Plan): ShapingNeeds {
  const any = ingress === undefined && egress === undefined;
  return { receiving: any || ingress !== undefined, sending: any || egress !== undefined };
}

/**
 * Runs `work` on an interface; one that somebody else shapes already, and a kernel that lacks what the plan needs,
 * become errors that name the cure.
 */
function explained<T>(plan: Plan, work: () => T): T {
  try {
    return needing(() => probeShaping(needsOf(plan)), work);
  } catch (error) {
    if (!(error instanceof DisciplineTakenError)) throw error;
    throw new CniError(
      ErrorCode.nameTaken,
      error.message,
      `remove it (tc qdisc del dev ${error.link.name} root), or take bandwidth out of the chain`,
      { cause: error },
    );
  }
}

/** The host's end of the attachment's pair, and what stands before ours there. */
interface Foundation {
  readonly hostLink: Pick<Link, "name" | "index">;
  readonly redirection: Redirection;
}

/** Looks at the host's end where it is there, and works out what it will be where it is not. */
function foundationOf(host: Connection, attachment: Attachment, { planned }: Site): Foundation {
  if (planned === undefined) {
    const { hostLink } = placeOf(host, attachment);
    return { hostLink, redirection: planRedirection(host, hostLink) };
  }
  const hostEnd = planned.find(({ role }) => role !== "gateway");
  if (hostEnd !== undefined) {
    return { hostLink: { name: hostEnd.name, index: NOT_YET_MADE }, redirection: FIRST_REDIRECTION };
  }
  throw new CniError(
    ErrorCode.invalidConfig,
    `container interface ${attachment.ifname} has no veth peer on the host`,
    "only pairs (bridge, ptp) can be shaped: remove bandwidth",
  );
}

function limitsFor(call: AdditionCall<Config>, plan: Plan): Addition {
  const { network, attachment, note } = call;
  const { dataDir, ingress, egress } = plan;
  const entry = entryOf(call, BANDWIDTH_PLUGIN);
  let foundation: Foundation;
  let where: Site;
  let device = "";
  // by a plugin before this one in the chain, which has the capability, too
  let isLimited = false;
  // both before the lock: the kernel answers when nobody changes links any more, and all others would wait with us
  const freeName = egress === undefined ? "" : freeDetourName(entry);
  let refusal: unknown;
  return {
    dataDir,

    survey(site): void {
      using host = connectHost();
      where = site;
      foundation = foundationOf(host, attachment, site);
      if (site.planned !== undefined || ingress === undefined) return;
      try {
        explained(plan, () => refuseDiscipline(host, foundation.hostLink));
      } catch (error) {
        refusal = error;
      }
    },

    async claim(store): Promise<void> {
      using host = connectHost();
      isLimited = where.planned === undefined && (await hasLimits(store, host, { entry, attachment, plan }));
      if (isLimited) return;
      // what stands there may have been the limits that are there already
      if (refusal !== undefined) throw refusal;
      // what an ADD made whose namespace is gone did not go with it
      for (const name of detoursOf(await beginEntry(store, entry))) removeLink(host, name);
      device = await unclaimedDetourName(store, entry);
      if (egress !== undefined && device !== freeName && makeRoomFor(host, device, entry)) {
        foundation = foundationOf(host, attachment, where);
      }
      const { hostLink, redirection } = foundation;
      await recordAttachment(store, holderOf(network, attachment, call.args), BANDWIDTH_PLUGIN, [
        ...(ingress === undefined ? [] : [shapingObject("limit", hostLink)]),
        ...(egress === undefined
          ? []
          : [shapingObject("redirection", hostLink, redirection), kernelObject("link", device)]),
      ]);
    },

    async make(result): Promise<Result> {
      if (isLimited) return result;
      using host = connectHost();
      const { hostLink } = placeOf(host, attachment);
      for (const limit of [ingress, egress]) {
        if (limit === undefined || limit.burst >= hostLink.mtu) continue;
        note(
          `warren-bandwidth: a burst of ${limit.burst} bytes lets no packet of ${hostLink.mtu} bytes (MTU) pass`,
        );
      }
      if (ingress !== undefined) explained(plan, () => limitSending(host, hostLink, ingress));
      if (egress === undefined) return result;
      const settings = { name: device, alias: aliasOf(entry), from: hostLink, limit: egress };
      const detour = explained(plan, () => createDetour(host, settings));
      explained(plan, () => redirect(host, hostLink, detour, foundation.redirection));
      const { name, address, mtu } = detour;
      return { ...result, interfaces: [...result.interfaces, { name, mac: address, mtu }] };
    },

    async release(): Promise<void> {
      if (isLimited) return;
      using host = connectHost();
      await endShaping(host, dataDir, entry);
    },
  };
}

/** An attachment as it is asked to be. */
interface Shaped {
  readonly entry: Entry;
  readonly attachment: Attachment;
  readonly plan: Plan;
}

/**
 * True if all limits of the plan are set already. Throws CniError 102 for an attachment that is alive and has other ones:
 * two plugins of a chain may say the same, and nothing else.
 */
async function hasLimits(store: Transaction, host: Connection, shaped: Shaped): Promise<boolean> {
  const { entry } = shaped;
  if (!(await isLivingEntry(store, entry))) return false;
  const objects = await listObjects(store, entry);
  try {
    checkShaping(host, objects, shaped);
    return true;
  } catch (error) {
    if (!(error instanceof CniError) || error.code !== ErrorCode.stateDiffers) throw error;
    throw new CniError(
      ErrorCode.nameTaken,
      `${describeOwner(entry)} has limits already, and not the same: ${error.message}`,
      "DEL the attachment before it is added again; if a plugin before this one in the chain has the capability bandwidth, too, take it from one of the two",
      { cause: error },
    );
  }
}

/** Throws CniError 103 unless the limits of the plan are set by what is written down. */
function checkShaping(
  host: Connection,
  objects: readonly KernelObject[],
  { entry, attachment, plan }: Shaped,
): void {
  const { hostLink } = placeOf(host, attachment);
  if (objects.length === 0) throw nothingWritten(entry);
  if (plan.ingress !== undefined) checkLimit(host, hostLink, plan.ingress);
  if (plan.egress === undefined) return;
  const name = objects.find(({ kind }) => kind === "link")?.name;
  if (name === undefined)
    throw stateDiffers(`${describeOwner(entry)} was added without a limit on what it sends`);
  const detour = findLink(host, name);
  if (detour === undefined) throw stateDiffers(`interface ${name} is gone from the host`);
  if (detour.kind !== "ifb") throw stateDiffers(`interface ${name} is a ${detour.kind}, not an ifb`);
  if (!detour.up) throw stateDiffers(`interface ${name} is down`);
  checkLimit(host, detour, plan.egress);
  if (!isRedirected(host, hostLink, detour)) {
    throw stateDiffers(`what comes in by interface ${hostLink.name} is not redirected to ${name}`);
  }
}

export const bandwidth = defineChained({
  name: BANDWIDTH_PLUGIN,
  about: "Warren bandwidth: limits how fast a container receives and sends",
  config,
  cleanup,

  capability: "bandwidth",
  isOnPair: true,

  additionOf(call): Addition | undefined {
    const plan = planOf(call.config);
    return plan.ingress === undefined && plan.egress === undefined ? undefined : limitsFor(call, plan);
  },

  async del({ network, config, attachment }): Promise<void> {
    const entry = entryOf({ network, attachment }, BANDWIDTH_PLUGIN);
    const dataDir = dataDirOf(config);
    using host = connectHost();
    const { row } = await writtenAttachment({ network, attachment }, BANDWIDTH_PLUGIN, dataDir);
    if (row !== undefined) {
      await endShaping(host, dataDir, entry);
      return;
    }
    // a store that was lost knows nothing, but the name follows from the attachment
    const detour = findLink(host, detourName(entry));
    if (detour?.kind === "ifb") removeDetours(host, [detour]);
  },

  async check(call): Promise<void> {
    const { attachment } = call;
    const plan = planOf(call.config);
    requirePrevious(call.previous);
    if (plan.ingress === undefined && plan.egress === undefined) return;
    const entry = entryOf(call, BANDWIDTH_PLUGIN);
    using host = connectHost();
    const { objects } = await writtenAttachment(call, BANDWIDTH_PLUGIN, plan.dataDir);
    checkShaping(host, objects, { entry, attachment, plan });
  },

  async status({ config }): Promise<void> {
    const plan = planOf(config);
    await proveWritable(plan.dataDir);
    probeShaping(needsOf(plan));
  },

  async gc(call): Promise<void> {
    const dataDir = dataDirOf(call.config);
    using host = connectHost();
    await collectEntries(call, {
      plugin: BANDWIDTH_PLUGIN,
      dataDir,
      takeBack: (entries) => takeBack(host, entries),
      also: () => collectLostDetours(host, call, dataDir),
    });
  },
});

function checkLimit(host: Connection, link: Link, limit: RateLimit): void {
  const difference = limitDifference(host, link, limit);
  if (difference !== undefined) throw stateDiffers(difference);
}
