// How fast a container may receive and send. What it receives leaves the host by its end of the pair, where a token
// bucket holds it up. What it sends comes in there, where nothing can queue, so all of it takes a detour through an
// intermediate device (ifb) with a bucket of its own.
import { createLink, deleteLink, dumpLinks, getLink, type Link, setLink } from "../netlink/link.ts";
import { ignoring, isNetlinkError } from "../netlink/message.ts";
import {
  createDiscipline,
  deleteDiscipline,
  getDiscipline,
  Handle,
  type InstalledDiscipline,
  Parent,
  tokenBucket,
} from "../netlink/traffic-control.ts";
import { createRedirect, deleteFilter, dumpFilters } from "../netlink/traffic-filter.ts";
import { type Connection, connectHost } from "./connection.ts";
import { MissingFeatureError } from "./feature.ts";
import { rehearse } from "./rehearsal.ts";

const LARGEST_32_BITS = 0xffff_ffff;
const NANOSECONDS_A_SECOND = 1_000_000_000n;
const MILLISECONDS_A_SECOND = 1000n;
/** The unit in which the kernel tells how long a burst takes (/proc/net/psched); a tick has this many nanoseconds. */
const TICK_NANOSECONDS = 64n;
const TICKS_MODULUS = 1n << 32n;
const LARGEST_PRIORITY = 0xffff;

/** How fast traffic of one direction may be. */
export interface RateLimit {
  /** Bytes a second. */
  readonly rate: bigint;
  /** How many bytes may go at once after a pause: less than 2^32. */
  readonly burst: number;
  /** How long a packet may wait before it is dropped instead. */
  readonly latencyMs: number;
}

/** Returns the length of the queue in bytes: what goes within the latency, and a burst. */
export function queueBytes({ rate, burst, latencyMs }: RateLimit): number {
  const bytes = (rate * BigInt(latencyMs)) / MILLISECONDS_A_SECOND + BigInt(burst);
  return Number(bytes < BigInt(LARGEST_32_BITS) ? bytes : BigInt(LARGEST_32_BITS));
}

/** Returns the time that a burst takes as the kernel tells it: in ticks, of which it keeps only the lower 32 bits. */
export function burstTicks({ rate, burst }: RateLimit): number {
  return Number(((BigInt(burst) * NANOSECONDS_A_SECOND) / rate / TICK_NANOSECONDS) % TICKS_MODULUS);
}

/** A device has a queueing discipline already, and it is not ours to replace. */
export class DisciplineTakenError extends Error {
  override readonly name = "DisciplineTakenError";

  constructor(
    readonly link: Pick<Link, "name">,
    readonly kind: string,
  ) {
    super(`interface ${link.name} has a queueing discipline already: ${kind}`);
  }
}

/** Throws DisciplineTakenError if what leaves by `link` is held up already, by whomever. */
export function refuseDiscipline(host: Connection, link: Pick<Link, "name" | "index">): void {
  const found = disciplineAt(host, link.index, Parent.root);
  // those that a device has by itself have no handle
  if (found !== undefined && found.handle !== 0) throw new DisciplineTakenError(link, found.kind);
}

/** Holds what leaves by `link` to the limit. Throws DisciplineTakenError or NetlinkError. */
export function limitSending(host: Connection, link: Link, limit: RateLimit): void {
  const bucket = tokenBucket({ ...limit, limit: queueBytes(limit), burstTicks: burstTicks(limit) });
  try {
    host.execute([createDiscipline(link.index, Parent.root, Handle.first, bucket)]);
  } catch (error) {
    if (!isNetlinkError(error, "EEXIST")) throw error;
    throw new DisciplineTakenError(link, disciplineAt(host, link.index, Parent.root)?.kind ?? "unknown");
  }
}

/** Returns the discipline at a place of a device; undefined for what a device has by itself, or nothing. */
export function disciplineAt(
  host: Connection,
  index: number,
  parent: number,
): InstalledDiscipline | undefined {
  // the kernel doesn't tell what a device has by itself: it refuses, or says nothing but that it heard the question
  const [outcome] = host.execute([ignoring(getDiscipline(index, parent), "EINVAL", "ENOENT", "ENODEV")]);
  return outcome.replies[0];
}

/** Returns how many bytes a second a token bucket lets leave by `link`; undefined if there is none. */
export function sendingRate(host: Connection, link: Link): bigint | undefined {
  return disciplineAt(host, link.index, Parent.root)?.bucket?.rate;
}

/** Lets everything leave at once again, unless what holds it up is not a token bucket of ours. */
export function unlimitSending(host: Connection, index: number): void {
  const found = disciplineAt(host, index, Parent.root);
  if (found?.kind !== "tbf" || found.handle !== Handle.first) return;
  host.execute([ignoring(deleteDiscipline(index, Parent.root), "ENOENT", "EINVAL", "ENODEV")]);
}

/** Returns in words how what holds up `link` differs from the limit, or undefined if it doesn't. */
export function limitDifference(host: Connection, link: Link, limit: RateLimit): string | undefined {
  const found = disciplineAt(host, link.index, Parent.root);
  const bucket = found?.bucket;
  if (bucket === undefined) return `interface ${link.name} has no token bucket`;
  if (bucket.rate !== limit.rate) {
    return `interface ${link.name} lets ${bucket.rate} bytes a second pass, not ${limit.rate}`;
  }
  if (bucket.limit !== queueBytes(limit)) {
    return `interface ${link.name} queues ${bucket.limit} bytes, not ${queueBytes(limit)}`;
  }
  if (!areAboutEqual(bucket.burstTicks, burstTicks(limit))) {
    return `interface ${link.name} has another burst than ${limit.burst} bytes`;
  }
  return undefined;
}

/** The kernel divides by multiplying with a rounded inverse, so its ticks are off by one part in a billion or so. */
function areAboutEqual(ticks: number, expected: number): boolean {
  const distance = Math.abs(ticks - expected);
  const aroundTheEnd = Math.min(distance, Number(TICKS_MODULUS) - distance);
  return aroundTheEnd <= 2 + expected / 1_000_000;
}

/** The way from an interface to the device through which all that comes in takes its detour. */
export interface Redirection {
  /** Where our filter stands among others. */
  readonly priority: number;
  /** True if the place for filters is ours too, and goes with our filter if it is empty then. */
  readonly ownsPlace: boolean;
}

/** How to redirect what comes in by an interface where nobody has anything yet, as at one that was just made. */
export const FIRST_REDIRECTION: Redirection = { priority: 1, ownsPlace: true };

/**
 * Returns how to redirect what comes in by an interface beside what others have there: behind their filters, so that
 * no rule of theirs is passed by. Changes nothing.
 */
export function planRedirection(host: Connection, link: Link): Redirection {
  const place = disciplineAt(host, link.index, Parent.ingress);
  if (place === undefined) return FIRST_REDIRECTION;
  const others = host.dump(dumpFilters(link.index, Parent.ingressFilters));
  const last = Math.max(0, ...others.map(({ priority }) => priority));
  return { priority: Math.min(last + 1, LARGEST_PRIORITY), ownsPlace: false };
}

/** A device for a detour that is to be. */
export interface DetourSettings {
  readonly name: string;
  /** Names the attachment to operators, and to a GC whose store was lost. */
  readonly alias: string | undefined;
  /** The interface whose traffic takes the detour. */
  readonly from: Link;
  readonly limit: RateLimit;
}

/** Makes the device of a detour, with its limit; returns it. Throws NetlinkError. */
export function createDetour(host: Connection, { name, alias, from, limit }: DetourSettings): Link {
  // the bucket is its queue, so it has none by itself
  const settings = { mtu: from.mtu, txQueueLength: 0, up: true };
  host.execute([createLink(name, { kind: "other", name: "ifb" }, settings)]);
  try {
    // the kernel takes no alias at birth
    if (alias !== undefined) host.execute([setLink(name, { alias })]);
    const device = host.get(getLink(name));
    if (device === undefined) throw new Error(`interface ${name} was made and is gone`);
    limitSending(host, device, limit);
    return device;
  } catch (error) {
    host.attempt([deleteLink(name)]);
    throw error;
  }
}

/** Sends what comes in by `link` through the device of the detour. Throws NetlinkError. */
export function redirect(host: Connection, link: Link, device: Link, { priority }: Redirection): void {
  host.execute([
    // somebody else's place is as good (containernetworking/plugins issue 894)
    ignoring(
      createDiscipline(link.index, Parent.ingress, Handle.ingress, { kind: "other", name: "ingress" }),
      "EEXIST",
    ),
    createRedirect(link.index, priority, device.index),
  ]);
}

/**
 * Lets what comes in by the interface go its direct way again. It must be done before the device of the detour goes:
 * the kernel drops what is redirected to nowhere. What is missing is success.
 */
export function stopRedirection(host: Connection, index: number, { priority, ownsPlace }: Redirection): void {
  const place = disciplineAt(host, index, Parent.ingress);
  if (place === undefined) return;
  const filters = host.dump(ignoring(dumpFilters(index, Parent.ingressFilters), "EINVAL", "ENODEV"));
  const isOurs = filters.some((filter) => filter.priority === priority && filter.kind === "u32");
  if (isOurs) {
    host.execute([
      ignoring(deleteFilter(index, Parent.ingressFilters, priority), "ENOENT", "EINVAL", "ENODEV"),
    ]);
  }
  const others = filters.some((filter) => filter.priority !== priority || filter.kind !== "u32");
  if (!ownsPlace || others || place.kind !== "ingress") return;
  host.execute([ignoring(deleteDiscipline(index, Parent.ingress), "ENOENT", "EINVAL", "ENODEV")]);
}

/**
 * Lets what comes in go its direct way again wherever it is redirected to one of these devices, by their numbers. For
 * devices of which nobody knows any more whose traffic they take; every pair of the host is looked at.
 */
export function endRedirectionsTo(host: Connection, devices: ReadonlySet<number>): void {
  if (devices.size === 0) return;
  for (const { index } of host.dump(dumpLinks({ kind: "veth" }))) {
    const filters = host.dump(ignoring(dumpFilters(index, Parent.ingressFilters), "EINVAL", "ENODEV"));
    for (const { redirectsTo, priority } of filters) {
      if (redirectsTo === undefined || !devices.has(redirectsTo)) continue;
      // a place for filters with nothing in it is of no use to anybody
      stopRedirection(host, index, { priority, ownsPlace: true });
    }
  }
}

/** True if all that comes in by `link`, and that no filter before ours has taken, goes to `device`. */
export function isRedirected(host: Connection, link: Link, device: Link): boolean {
  return host
    .dump(ignoring(dumpFilters(link.index, Parent.ingressFilters), "EINVAL"))
    .some(({ redirectsTo }) => redirectsTo === device.index);
}

/** Returns all devices of detours that have an alias. */
export function listTaggedDetours(host: Connection): Link[] {
  return host.dump(dumpLinks({ kind: "ifb" })).filter(({ alias }) => alias !== "");
}

/** What the kernel has to be able to do for a limit. */
export interface ShapingNeeds {
  readonly receiving: boolean;
  readonly sending: boolean;
}

/** Runs a step of which it is known what of the kernel it needs; `plugin` is what can do without. */
export function tryOut<T>(feature: string, plugin: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!isNetlinkError(error)) throw error;
    const cure = `${error.message}: load the modules, or take ${plugin} out of the chain`;
    throw new MissingFeatureError(feature, cure, { cause: error });
  }
}

/** Tries in a namespace of its own what a limit needs. Throws MissingFeatureError or SystemError. */
export function probeShaping({ receiving, sending }: ShapingNeeds): void {
  if (!receiving && !sending) return;
  rehearse(() => {
    using host = connectHost();
    const lo = host.get(getLink("lo"));
    if (lo === undefined) throw new Error("a new network namespace has no loopback interface");
    const limit: RateLimit = { rate: 125_000n, burst: 4096, latencyMs: 25 };
    tryOut("token bucket (sch_tbf)", "bandwidth", () => limitSending(host, lo, limit));
    if (!sending) return;
    const device = tryOut("intermediate device (ifb)", "bandwidth", () =>
      createDetour(host, { name: "probe", alias: undefined, from: lo, limit }),
    );
    tryOut("redirection (sch_ingress, cls_u32, act_mirred)", "bandwidth", () =>
      redirect(host, lo, device, FIRST_REDIRECTION),
    );
  });
}
