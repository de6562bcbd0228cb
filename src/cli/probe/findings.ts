// What a probe finds, as --json prints it: each measurement that was asked for, in each direction where that makes a
// difference, or in words why it could not be made. One after the other, so that none disturbs another.
import { formatAddress } from "../../ip/address.ts";
import { UnreachableError } from "../../net/echo.ts";
import type { Netns } from "../../net/netns.ts";
import { measureLatency } from "../../net/probe/latency.ts";
import type { Direction, ProbePath } from "../../net/probe/path.ts";
import { measurePathMtu } from "../../net/probe/path-mtu.ts";
import { measureStalls } from "../../net/probe/stall.ts";
import { measureTcp, measureUdp, type Throughput, type UdpThroughput } from "../../net/probe/throughput.ts";
import { endsInNetns, type NamedPath } from "./ends.ts";

/** Everything that can be measured, in the order in which it is. */
export const MEASUREMENTS = ["latency", "mtu", "tcp", "udp", "stall"] as const;

/** Something that can be measured. */
export type Measurement = (typeof MEASUREMENTS)[number];

/** What needs somebody at the other end who plays along. */
export const NEEDS_NETNS: ReadonlySet<Measurement> = new Set(["tcp", "udp", "stall"]);

/** How to measure. */
export interface ProbeOptions {
  /** How many echoes, and how many rounds of write, write, read. */
  readonly count: number;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** How long each throughput is measured. */
  readonly durationMs: number;
  readonly runInMs: number;
  /** Of echoes and UDP packets; undefined for what suits each. */
  readonly payloadBytes: number | undefined;
  /** How much UDP is sent. */
  readonly bitsPerSecond: number;
}

/** How a list of times is spread. */
export interface Spread {
  readonly leastMs: number;
  readonly medianMs: number;
  /** 95 of 100 took no longer. */
  readonly percentile95Ms: number;
  readonly mostMs: number;
}

/** What was found. */
export interface Findings {
  readonly from: { readonly name: string; readonly address: string | undefined };
  readonly to: { readonly name: string; readonly address: string };
  latency?: {
    readonly sent: number;
    readonly answered: number;
    readonly lossPercent: number;
    readonly duplicates: number;
    readonly overtaken: number;
    /** Undefined where nothing was answered. */
    readonly spread: Spread | undefined;
    /** In the order of the questions; null for one that was not answered in time. */
    readonly roundTripsMs: readonly (number | null)[];
  };
  mtu?: Partial<Record<Direction, number>>;
  tcp?: Partial<Record<Direction, Throughput>>;
  udp?: Partial<Record<Direction, UdpThroughput & { readonly lossPercent: number }>>;
  stall?: {
    readonly stalled: number;
    readonly spread: Spread | undefined;
    readonly roundsMs: readonly number[];
  };
  /** Why something could not be measured, or was not answered at all. */
  readonly problems: {
    readonly measurement: Measurement;
    readonly direction: Direction;
    readonly problem: string;
  }[];
}

const UDP_PAYLOAD_BYTES = 1400;
const ECHO_PAYLOAD_BYTES = 56;
/** Enough to know how long a packet takes, for who must tell waiting from travelling. */
const SOUNDING = { count: 3, intervalMs: 5, payloadBytes: ECHO_PAYLOAD_BYTES } as const;

/** Returns how the times are spread; undefined for none. */
function spreadOf(timesMs: readonly number[]): Spread | undefined {
  const sorted = timesMs.toSorted((left, right) => left - right);
  const least = sorted[0];
  if (least === undefined) return undefined;
  // nearest rank: always a time that was measured
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? least;
  return { leastMs: least, medianMs: at(0.5), percentile95Ms: at(0.95), mostMs: at(1) };
}

/** Nanoseconds are noise. */
function rounded(timeMs: number): number {
  return Math.round(timeMs * 1000) / 1000;
}

function percent(part: number, whole: number): number {
  return whole === 0 ? 0 : Math.round((part / whole) * 10_000) / 100;
}

/** Measures. Throws SystemError for what the machine does not allow; what the way does not allow is a finding. */
export function probe(
  path: NamedPath,
  measurements: ReadonlySet<Measurement>,
  options: ProbeOptions,
): Findings {
  const findings: Findings = {
    from: {
      name: path.fromName,
      address: path.source === undefined ? undefined : formatAddress(path.source),
    },
    to: { name: path.toName, address: formatAddress(path.address) },
    problems: [],
  };
  const attempt = <T>(measurement: Measurement, direction: Direction, measure: () => T): T | undefined => {
    try {
      return measure();
    } catch (error) {
      if (!(error instanceof UnreachableError)) throw error;
      findings.problems.push({ measurement, direction, problem: error.reason });
      return undefined;
    }
  };
  if (measurements.has("latency")) findLatency(path, options, findings);
  if (measurements.has("mtu")) {
    findings.mtu = {};
    const { timeoutMs } = options;
    const there = attempt("mtu", "there", () => measurePathMtu(path.from, path.address, timeoutMs));
    if (there !== undefined) findings.mtu.there = there;
    const { to, source } = path;
    if (to !== undefined && source !== undefined) {
      const back = attempt("mtu", "back", () => measurePathMtu(to, source, timeoutMs));
      if (back !== undefined) findings.mtu.back = back;
    }
  }
  if (!endsInNetns(path)) return findings;
  for (const direction of ["there", "back"] as const) {
    if (!measurements.has("tcp")) continue;
    const found = attempt("tcp", direction, () => measureTcp(path, direction, options));
    findings.tcp = { ...findings.tcp, ...(found === undefined ? {} : { [direction]: found }) };
  }
  for (const direction of ["there", "back"] as const) {
    if (!measurements.has("udp")) continue;
    const payloadBytes = options.payloadBytes ?? UDP_PAYLOAD_BYTES;
    const found = attempt("udp", direction, () => measureUdp(path, direction, { ...options, payloadBytes }));
    if (found === undefined) continue;
    const lossPercent = percent(found.sent - found.received, found.sent);
    findings.udp = { ...findings.udp, [direction]: { ...found, lossPercent } };
  }
  if (measurements.has("stall")) {
    const found = attempt("stall", "there", () => findStalls(path, options));
    if (found !== undefined) findings.stall = found;
  }
  return findings;
}

function findLatency(path: ProbePath, options: ProbeOptions, findings: Findings): void {
  const payloadBytes = options.payloadBytes ?? ECHO_PAYLOAD_BYTES;
  const { roundTripsMs, duplicates, overtaken, reason } = measureLatency(path, { ...options, payloadBytes });
  const answered = roundTripsMs.filter((timeMs) => timeMs !== undefined).map(rounded);
  findings.latency = {
    sent: roundTripsMs.length,
    answered: answered.length,
    lossPercent: percent(roundTripsMs.length - answered.length, roundTripsMs.length),
    duplicates,
    overtaken,
    spread: spreadOf(answered),
    roundTripsMs: roundTripsMs.map((timeMs) => (timeMs === undefined ? null : rounded(timeMs))),
  };
  if (answered.length > 0) return;
  const problem = reason ?? `nothing came within ${options.timeoutMs} ms`;
  findings.problems.push({ measurement: "latency", direction: "there", problem });
}

function findStalls(path: ProbePath<Netns>, options: ProbeOptions): NonNullable<Findings["stall"]> {
  const { timeoutMs } = options;
  const sounded = measureLatency(path, { ...SOUNDING, timeoutMs }).roundTripsMs;
  // the median, and nothing where echoes are not let through
  const roundTripMs = spreadOf(sounded.filter((timeMs) => timeMs !== undefined))?.medianMs ?? 0;
  const { stalled, roundsMs } = measureStalls(path, { rounds: options.count, roundTripMs, timeoutMs });
  const told = roundsMs.map(rounded);
  return { stalled, spread: spreadOf(told), roundsMs: told };
}
