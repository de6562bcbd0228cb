// How a pool is used: every address of its ranges is exactly one of used, stale, resting, reserved and free. Pure; who
// holds what and whether he can still be alive is told by the caller.
import type { Address } from "../ip/address.ts";
import { type RangeSet, rangeOf, type Span } from "./pool.ts";

/** What an address that is not free can be: held, held by somebody dead, or released a moment ago. */
export type HoldingState = "used" | "stale" | "resting";

/** An address that is not free. */
export interface Holding {
  readonly address: Address;
  readonly state: HoldingState;
}

/** How many addresses of a pool are what; the five add up to `size`. IPv6 pools are too large for numbers. */
export interface PoolUsage {
  readonly size: bigint;
  readonly used: bigint;
  /** Held by attachments whose namespace is gone. */
  readonly stale: bigint;
  /** Released, and not given out again until nothing else is left or their time is over. */
  readonly resting: bigint;
  /** Never given out: gateways, exclusions, the ends of subnets. */
  readonly reserved: bigint;
  readonly free: bigint;
}

/** Returns how the set is used by those of the holdings that lie in its ranges. */
export function usageOf(set: RangeSet, holdings: readonly Holding[]): PoolUsage {
  const counts = { used: 0n, stale: 0n, resting: 0n };
  const spans = distinctSpans(set.reserved);
  let reserved = 0n;
  let size = 0n;
  for (const { first, last } of set.ranges) {
    size += last.value - first.value + 1n;
    for (const span of spans) {
      const low = span.first.value > first.value ? span.first.value : first.value;
      const high = span.last.value < last.value ? span.last.value : last.value;
      if (low <= high) reserved += high - low + 1n;
    }
  }
  for (const { address, state } of holdings) {
    if (rangeOf(set, address) === undefined) continue;
    counts[state]++;
    // given out before the config reserved it
    if (spans.some((span) => span.first.value <= address.value && address.value <= span.last.value))
      reserved--;
  }
  return { size, ...counts, reserved, free: size - counts.used - counts.stale - counts.resting - reserved };
}

/** Returns spans in ascending order as such that don't overlap. */
function distinctSpans(spans: readonly Span[]): Span[] {
  const distinct: Span[] = [];
  for (const span of spans) {
    const last = distinct.at(-1);
    if (last === undefined || span.first.value > last.last.value) distinct.push(span);
    else if (span.last.value > last.last.value) distinct[distinct.length - 1] = { ...last, last: span.last };
  }
  return distinct;
}
