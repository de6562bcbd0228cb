// What is to go wrong with a container's traffic, as operators, configs and annotations say it: rules of words such as
// `delay=50ms jitter=5ms loss=1% direction=both peer=10.1.2.0/24`, one after the other with semicolons. Pure text and
// numbers; netem.ts makes them so.
import { formatPrefix, networkOf, type Prefix, parsePrefix } from "../../ip/prefix.ts";
import type { Chance, LossModel, NetemSettings } from "../../netlink/netem.ts";
import { DISTRIBUTIONS, type Distribution, distributionTable } from "./delay-distribution.ts";

/** Words that say nothing sensible. */
export class ImpairmentError extends Error {
  override readonly name = "ImpairmentError";

  constructor(
    readonly word: string,
    readonly problem: string,
  ) {
    super(`${JSON.stringify(word)}: ${problem}`);
  }
}

/** `egress` is what the container sends, `ingress` what it receives. */
const DIRECTIONS = ["egress", "ingress", "both"] as const;
/** Which way of a container's traffic a rule is about. */
export type Direction = (typeof DIRECTIONS)[number];

/** One rule. */
export interface Impairment {
  readonly direction: Direction;
  /** Whom the container talks to; undefined for everybody whom no other rule is about. */
  readonly peer: Prefix | undefined;
  readonly distribution: Distribution;
  /** What netem is told, but for the table of the distribution. */
  readonly settings: NetemSettings;
}

/** The words that a rule is made of, with an example each, in the order in which they are documented. */
export const WORDS = {
  delay: "50ms",
  jitter: "5ms",
  "delay-correlation": "25%",
  distribution: "normal",
  loss: "1%",
  "loss-correlation": "25%",
  "loss-bursts": "1%,10%,70%,0.1%",
  "loss-states": "1%,10%,70%,5%,0%",
  duplicate: "1%",
  "duplicate-correlation": "25%",
  corrupt: "0.1%",
  "corrupt-correlation": "25%",
  reorder: "25%",
  "reorder-correlation": "50%",
  gap: "5",
  rate: "10mbit",
  limit: "2000",
  direction: "both",
  peer: "10.1.2.0/24",
} as const;
/** A word that a rule may begin with. */
export type Word = keyof typeof WORDS;

const UNIT_NS: Readonly<Record<string, number>> = { ns: 1, us: 1000, ms: 1_000_000, s: 1_000_000_000 };
const LONGEST_NS = 3600 * 1_000_000_000;
const LARGEST_32_BITS = 0xffff_ffff;
const LONGEST_QUEUE_PACKETS = 100_000_000;
/** What netem has if nobody says anything. */
const DEFAULT_QUEUE_PACKETS = 1000;
const FULL_PACKET_BYTES = 1500;
const BITS_A_BYTE = 8n;
const NANOSECONDS_A_SECOND = 1_000_000_000;

/** Returns the nanoseconds of a text such as `50ms`; undefined if it is none, or longer than an hour. */
export function parseDelay(text: string): number | undefined {
  const [, number = "", unit = ""] = /^(\d{1,13}(?:\.\d{1,9})?)(ns|us|ms|s)$/.exec(text) ?? [];
  const nanoseconds = Math.round(Number(number) * (UNIT_NS[unit] ?? 0));
  return number === "" || nanoseconds > LONGEST_NS ? undefined : nanoseconds;
}

/** Returns a length of time in the largest unit that says it without a fraction. */
function formatDelay(nanoseconds: number): string {
  const units = Object.entries(UNIT_NS).reverse();
  const [unit, size] = units.find(([, size]) => nanoseconds % size === 0 && nanoseconds >= size) ?? ["ns", 1];
  return nanoseconds === 0 ? "0ms" : `${nanoseconds / size}${unit}`;
}

function delayIn(text: string, word: string): number {
  const delay = parseDelay(text);
  if (delay !== undefined) return delay;
  throw new ImpairmentError(word, "expected a time of at most an hour in ns, us, ms or s, such as 50ms");
}

/** Rounds halves to even numbers, as C's rint does. */
function roundedToEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}

function probabilityIn(text: string, word: string): number {
  const percent = /^\d{1,3}(\.\d{1,9})?%$/.test(text) ? Number(text.slice(0, -1)) : Number.NaN;
  if (percent >= 0 && percent <= 100) return roundedToEven((percent / 100) * LARGEST_32_BITS);
  throw new ImpairmentError(word, "expected a share of 0% to 100%, such as 1%");
}

function probabilitiesIn(text: string, word: string, names: string): number[] {
  const parts = text.split(",");
  if (parts.length === names.split(",").length) return parts.map((part) => probabilityIn(part, word));
  throw new ImpairmentError(word, `expected ${names}, each a share such as 1%`);
}

function countIn(text: string, word: string, largest: number): number {
  const count = /^\d{1,10}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= largest) return count;
  throw new ImpairmentError(word, `expected a whole number from 1 to ${largest}`);
}

const RATE_UNIT: Readonly<Record<string, bigint>> = {
  bit: 1n,
  kbit: 1000n,
  mbit: 1_000_000n,
  gbit: 1_000_000_000n,
};

/** Returns bytes a second. */
function rateIn(text: string, word: string): bigint {
  const [, number = "0", unit = ""] = /^(\d{1,12})(bit|kbit|mbit|gbit)$/.exec(text) ?? [];
  const rate = (BigInt(number) * (RATE_UNIT[unit] ?? 0n)) / BITS_A_BYTE;
  if (rate >= 1n && rate < 1n << 62n) return rate;
  throw new ImpairmentError(word, "expected bits a second, at least 8bit, such as 10mbit");
}

function oneOf<T extends string>(known: readonly T[], text: string, word: string): T {
  const found = known.find((one) => one === text);
  if (found !== undefined) return found;
  throw new ImpairmentError(word, `expected one of ${known.join(", ")}`);
}

function peerIn(text: string, word: string): Prefix {
  const prefix = parsePrefix(text.includes("/") ? text : `${text}/${text.includes(":") ? 128 : 32}`);
  if (prefix !== undefined) return networkOf(prefix);
  throw new ImpairmentError(word, "expected an address or a prefix, such as 10.1.2.0/24");
}

/** Returns the queue that holds twice what is on its way at that rate, and never less than netem's own. */
function queuePackets(rate: bigint, delayNs: number): number {
  const packets = Math.ceil((2 * Number(rate) * (delayNs / NANOSECONDS_A_SECOND)) / FULL_PACKET_BYTES);
  return Math.min(LONGEST_QUEUE_PACKETS, Math.max(DEFAULT_QUEUE_PACKETS, packets));
}

/** Returns a rule of words; throws ImpairmentError. */
export function parseImpairment(words: readonly string[]): Impairment {
  const said = new Map<string, string>();
  for (const word of words) {
    const equals = word.indexOf("=");
    const key = word.slice(0, Math.max(0, equals));
    if (!Object.hasOwn(WORDS, key)) {
      throw new ImpairmentError(word, `expected NAME=VALUE, with a name of ${Object.keys(WORDS).join(", ")}`);
    }
    if (said.has(key)) throw new ImpairmentError(word, `${key} is said twice`);
    said.set(key, word.slice(equals + 1));
  }
  const value = <T>(key: Word, read: (text: string, word: string) => T, otherwise: T): T => {
    const text = said.get(key);
    return text === undefined ? otherwise : read(text, `${key}=${text}`);
  };
  const needs = (key: Word, other: Word) => {
    if (!said.has(key) || said.has(other)) return;
    throw new ImpairmentError(`${key}=${said.get(key)}`, `it means nothing without ${other}`);
  };
  for (const key of ["jitter", "reorder"] as const) needs(key, "delay");
  for (const key of ["distribution", "delay-correlation"] as const) needs(key, "jitter");
  for (const key of ["loss", "duplicate", "corrupt", "reorder"] as const) needs(`${key}-correlation`, key);
  needs("gap", "reorder");
  const losses = (["loss", "loss-bursts", "loss-states"] as const).filter((key) => said.has(key));
  if (losses.length > 1)
    throw new ImpairmentError(losses.join(" and "), "packets are lost by one model alone");
  const share = (key: Word) => value(key, probabilityIn, 0);
  const chanceOf = (key: "loss" | "duplicate" | "corrupt" | "reorder"): Chance => ({
    probability: share(key),
    correlation: share(`${key}-correlation`),
  });
  const delayNs = value("delay", delayIn, 0);
  const jitterNs = value("jitter", delayIn, 0);
  const rate = value("rate", rateIn, 0n);
  return {
    direction: value("direction", (text, word) => oneOf(DIRECTIONS, text, word), "egress"),
    peer: value<Prefix | undefined>("peer", peerIn, undefined),
    distribution: value("distribution", (text, word) => oneOf(DISTRIBUTIONS, text, word), "uniform"),
    settings: {
      delayNs,
      jitterNs,
      delayCorrelation: share("delay-correlation"),
      distribution: undefined,
      loss: value(
        "loss-bursts",
        burstsIn,
        value("loss-states", statesIn, { kind: "random", ...chanceOf("loss") }),
      ),
      duplicate: chanceOf("duplicate"),
      reorder: chanceOf("reorder"),
      gap: value("gap", (text, word) => countIn(text, word, LARGEST_32_BITS), share("reorder") > 0 ? 1 : 0),
      corrupt: chanceOf("corrupt"),
      rate,
      limit: value(
        "limit",
        (text, word) => countIn(text, word, LONGEST_QUEUE_PACKETS),
        queuePackets(rate, delayNs + jitterNs),
      ),
    },
  };
}

function burstsIn(text: string, word: string): LossModel {
  const [p = 0, r = 0, lossOutside = 0, k1 = 0] = probabilitiesIn(text, word, "P,R,1-H,1-K");
  return { kind: "bursts", p, r, h: LARGEST_32_BITS - lossOutside, k1 };
}

function statesIn(text: string, word: string): LossModel {
  const [p13 = 0, p31 = 0, p32 = 0, p23 = 0, p14 = 0] = probabilitiesIn(text, word, "P13,P31,P32,P23,P14");
  return { kind: "states", p13, p31, p32, p23, p14 };
}

/** Returns the rules of a text, which are parted by semicolons; none of an empty one. Throws ImpairmentError. */
export function parseImpairments(text: string): Impairment[] {
  const rules = text
    .split(";")
    .map((rule) => rule.split(/\s+/).filter((word) => word !== ""))
    .filter((words) => words.length > 0)
    .map(parseImpairment);
  const places = new Set<string>();
  for (const { direction, peer } of rules) {
    const whom = peer === undefined ? "everybody" : formatPrefix(peer);
    for (const one of direction === "both" ? DIRECTIONS.slice(0, 2) : [direction]) {
      const place = `${one} of ${whom}`;
      if (places.has(place)) throw new ImpairmentError(text, `two rules are for ${place}`);
      places.add(place);
    }
  }
  return rules;
}

/** Returns the one rule of a delay alone, as the annotation `lat` has it; undefined for 0 and what is no delay. */
export function delayOnly(nanoseconds: number): Impairment {
  const { settings, ...rest } = parseImpairment([]);
  return { ...rest, settings: { ...settings, delayNs: nanoseconds } };
}

/** True if a rule changes nothing. */
export function isHarmless({ settings }: Impairment): boolean {
  const { delayNs, loss, duplicate, corrupt, rate } = settings;
  const loses = loss.kind !== "random" || loss.probability > 0;
  return delayNs === 0 && !loses && duplicate.probability === 0 && corrupt.probability === 0 && rate === 0n;
}

/** Returns what netem is told, with the table of the distribution. */
export function settingsOf({ settings, distribution }: Impairment): NetemSettings {
  return { ...settings, distribution: distributionTable(distribution) };
}

function percent(probability: number): string {
  return `${Number(((probability / LARGEST_32_BITS) * 100).toPrecision(6))}%`;
}

/** Returns what the kernel tells of a netem in the words of a rule. It does not tell the distribution of a jitter. */
export function wordsOf(settings: NetemSettings): string[] {
  const { delayNs, jitterNs, delayCorrelation, loss, duplicate, corrupt, reorder, gap, rate, limit } =
    settings;
  const chance = (name: string, { probability, correlation }: Chance) =>
    probability === 0
      ? []
      : [
          `${name}=${percent(probability)}`,
          ...(correlation === 0 ? [] : [`${name}-correlation=${percent(correlation)}`]),
        ];
  return [
    ...(delayNs === 0 ? [] : [`delay=${formatDelay(delayNs)}`]),
    ...(jitterNs === 0 ? [] : [`jitter=${formatDelay(jitterNs)}`]),
    ...(delayCorrelation === 0 ? [] : [`delay-correlation=${percent(delayCorrelation)}`]),
    ...(loss.kind === "random" ? chance("loss", loss) : []),
    ...(loss.kind === "bursts"
      ? [`loss-bursts=${[loss.p, loss.r, LARGEST_32_BITS - loss.h, loss.k1].map(percent).join(",")}`]
      : []),
    ...(loss.kind === "states"
      ? [`loss-states=${[loss.p13, loss.p31, loss.p32, loss.p23, loss.p14].map(percent).join(",")}`]
      : []),
    ...chance("duplicate", duplicate),
    ...chance("corrupt", corrupt),
    ...chance("reorder", reorder),
    ...(reorder.probability === 0 || gap === 1 ? [] : [`gap=${gap}`]),
    ...(rate === 0n ? [] : [`rate=${formatRate(rate)}`]),
    ...(limit === DEFAULT_QUEUE_PACKETS ? [] : [`limit=${limit}`]),
  ];
}

function formatRate(rate: bigint): string {
  const bits = rate * BITS_A_BYTE;
  const [unit, size] = Object.entries(RATE_UNIT)
    .reverse()
    .find(([, size]) => bits % size === 0n) ?? ["bit", 1n];
  return `${bits / size}${unit}`;
}
