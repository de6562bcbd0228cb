// The queueing discipline `netem`, which does to packets what bad networks do: its settings in the kernel's own units
// and wire format. Numbers are those of linux/pkt_sched.h.
import { attributes, bytes, headed, i32, nested, struct, u32, u64 } from "./codec.ts";

const LARGEST_32_BITS = 0xffff_ffff;
/** The kernel's unit of time here (/proc/net/psched). */
const NANOSECONDS_A_TICK = 64;

const chance = struct({ probability: u32, correlation: u32 });

/** TCA_OPTIONS of netem: struct tc_netem_qopt, and attributes behind it. */
export const netemOptions = headed(
  struct({ latency: u32, limit: u32, loss: u32, gap: u32, duplicate: u32, jitter: u32 }),
  attributes({
    correlation: [1, struct({ delay: u32, loss: u32, duplicate: u32 })], // TCA_NETEM_CORR
    distribution: [2, bytes], // TCA_NETEM_DELAY_DIST, numbers of 16 bits
    reorder: [3, chance], // TCA_NETEM_REORDER
    corrupt: [4, chance], // TCA_NETEM_CORRUPT
    // TCA_NETEM_LOSS
    lossModel: [
      5,
      nested(
        attributes({
          // NETEM_LOSS_GI, struct tc_netem_gimodel
          states: [1, struct({ p13: u32, p31: u32, p32: u32, p14: u32, p23: u32 })],
          // NETEM_LOSS_GE, struct tc_netem_gemodel
          bursts: [2, struct({ p: u32, r: u32, h: u32, k1: u32 })],
        }),
      ),
    ],
    rate64: [8, u64], // TCA_NETEM_RATE64
    rate: [6, struct({ rate: u32, packetOverhead: i32, cellSize: u32, cellOverhead: i32 })], // TCA_NETEM_RATE
    latency64: [10, u64], // TCA_NETEM_LATENCY64, nanoseconds
    jitter64: [11, u64], // TCA_NETEM_JITTER64, nanoseconds
  }),
);

/** A probability as the kernel has it, from 0 to 2^32 - 1, and how much each packet's fate is that of the one before. */
export interface Chance {
  readonly probability: number;
  readonly correlation: number;
}

/** By which model packets are lost: each by itself, in bursts (Gilbert and Elliott), or by a chain of four states. */
export type LossModel =
  | ({ readonly kind: "random" } & Chance)
  | {
      readonly kind: "bursts";
      readonly p: number;
      readonly r: number;
      readonly h: number;
      readonly k1: number;
    }
  | {
      readonly kind: "states";
      readonly p13: number;
      readonly p31: number;
      readonly p32: number;
      readonly p23: number;
      readonly p14: number;
    };

/** What netem is told. Times are nanoseconds. */
export interface NetemSettings {
  readonly delayNs: number;
  readonly jitterNs: number;
  readonly delayCorrelation: number;
  /** How the jitter is distributed, as 16-bit numbers; undefined for evenly. The kernel does not tell it later. */
  readonly distribution: Int16Array | undefined;
  readonly loss: LossModel;
  readonly duplicate: Chance;
  readonly reorder: Chance;
  /** With reordering: every so many packets one may go at once. */
  readonly gap: number;
  readonly corrupt: Chance;
  /** Bytes a second; 0 for no limit. */
  readonly rate: bigint;
  /** The longest queue, in packets. */
  readonly limit: number;
}

/** Returns the time in ticks; undefined where ticks can't say it, and nanoseconds have to. */
function ticksOf(nanoseconds: number): number | undefined {
  const ticks = Math.floor(nanoseconds / NANOSECONDS_A_TICK);
  return ticks > LARGEST_32_BITS || (ticks === 0 && nanoseconds > 0) ? undefined : ticks;
}

/** Settings that differ from others only below this are the same. */
export const TIME_PRECISION_NS = NANOSECONDS_A_TICK;

function isAny(...values: readonly number[]): boolean {
  return values.some((value) => value !== 0);
}

/** Returns the settings as netem takes them; what is not asked for is left out, as tc does. */
export function netemData(settings: NetemSettings) {
  const { delayNs, jitterNs, delayCorrelation, distribution, loss, duplicate, reorder, corrupt, rate } =
    settings;
  const isRandom = loss.kind === "random";
  const lossCorrelation = isRandom ? loss.correlation : 0;
  const [latency, jitter] = [ticksOf(delayNs), ticksOf(jitterNs)];
  const is64 = rate > BigInt(LARGEST_32_BITS);
  const correlates = isAny(
    delayCorrelation,
    lossCorrelation,
    duplicate.correlation,
    reorder.probability,
    corrupt.probability,
  );
  return {
    header: {
      latency: latency ?? LARGEST_32_BITS,
      limit: settings.limit,
      loss: isRandom ? loss.probability : 0,
      gap: reorder.probability === 0 ? 0 : settings.gap,
      duplicate: duplicate.probability,
      jitter: jitter ?? LARGEST_32_BITS,
    },
    attributes: {
      correlation: correlates
        ? { delay: delayCorrelation, loss: lossCorrelation, duplicate: duplicate.correlation }
        : undefined,
      reorder: reorder.probability === 0 ? undefined : reorder,
      corrupt: corrupt.probability === 0 ? undefined : corrupt,
      lossModel: isRandom ? undefined : lossModelData(loss),
      rate64: is64 ? rate : undefined,
      rate:
        rate === 0n
          ? undefined
          : { rate: is64 ? LARGEST_32_BITS : Number(rate), packetOverhead: 0, cellSize: 0, cellOverhead: 0 },
      latency64: latency === undefined ? BigInt(delayNs) : undefined,
      jitter64: jitter === undefined ? BigInt(jitterNs) : undefined,
      distribution:
        distribution === undefined
          ? undefined
          : new Uint8Array(distribution.buffer, distribution.byteOffset, distribution.byteLength),
    },
  };
}

function lossModelData(loss: Exclude<LossModel, { kind: "random" }>) {
  if (loss.kind === "bursts") {
    const { p, r, h, k1 } = loss;
    return { bursts: { p, r, h, k1 } };
  }
  const { p13, p31, p32, p14, p23 } = loss;
  return { states: { p13, p31, p32, p14, p23 } };
}

const NO_CHANCE: Chance = { probability: 0, correlation: 0 };

/** Returns the settings that the kernel tells of an installed netem. */
export function netemSettings(data: ReturnType<typeof netemOptions.decode>): NetemSettings {
  const { header, attributes: more } = data;
  const { correlation, reorder, corrupt, lossModel, rate, rate64, latency64, jitter64 } = more;
  const { states, bursts } = lossModel ?? {};
  const random: LossModel = {
    kind: "random",
    probability: header.loss,
    correlation: correlation?.loss ?? 0,
  };
  return {
    delayNs: latency64 === undefined ? header.latency * NANOSECONDS_A_TICK : Number(latency64),
    jitterNs: jitter64 === undefined ? header.jitter * NANOSECONDS_A_TICK : Number(jitter64),
    delayCorrelation: correlation?.delay ?? 0,
    distribution: undefined,
    loss:
      bursts !== undefined
        ? { kind: "bursts", ...bursts }
        : states !== undefined
          ? { kind: "states", ...states }
          : random,
    duplicate: { probability: header.duplicate, correlation: correlation?.duplicate ?? 0 },
    reorder: header.gap === 0 ? NO_CHANCE : (reorder ?? NO_CHANCE),
    gap: header.gap,
    corrupt: corrupt ?? NO_CHANCE,
    rate: rate64 ?? BigInt(rate?.rate ?? 0),
    limit: header.limit,
  };
}
