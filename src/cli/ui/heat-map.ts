// A pool as a heat map: a grid with a cell for each address, or for as many neighbours as one cell has to stand for.
import { type Address, formatAddress } from "../../ip/address.ts";
import type { RangeSet } from "../../ipam/pool.ts";
import { type Holding, type HoldingState, usageOf } from "../../ipam/pool-usage.ts";

/** No map has more cells. */
const MOST_CELLS = 1024;

/** A cell: the addresses from `first` to `last`, and how many of them are what. */
export interface HeatCell {
  readonly first: Address;
  readonly last: Address;
  /** What most of it is that is not free: a single stale address in it is seen before any used one. */
  readonly state: HoldingState | "reserved" | "free";
  /** How much of it is not free, from 0 to 1. */
  readonly heat: number;
}

/** Returns the cells of the pool in the order of its addresses. */
export function heatMap(set: RangeSet, holdings: readonly Holding[]): HeatCell[] {
  const size = set.ranges.reduce((sum, { first, last }) => sum + last.value - first.value + 1n, 0n);
  const step = (size + BigInt(MOST_CELLS) - 1n) / BigInt(MOST_CELLS);
  return set.ranges.flatMap((range) => {
    const cells: HeatCell[] = [];
    const own = holdings
      .filter(({ address }) => range.first.value <= address.value && address.value <= range.last.value)
      .sort((one, other) => (one.address.value < other.address.value ? -1 : 1));
    let next = 0;
    for (let value = range.first.value; value <= range.last.value; value += step) {
      const end = value + step - 1n;
      const first: Address = { family: set.family, value };
      const last: Address = { family: set.family, value: end < range.last.value ? end : range.last.value };
      const inside: Holding[] = [];
      for (let held = own[next]; held !== undefined && held.address.value <= last.value; held = own[next]) {
        inside.push(held);
        next++;
      }
      cells.push(cellOf({ ...set, ranges: [{ ...range, first, last }] }, inside, first, last));
    }
    return cells;
  });
}

function cellOf(part: RangeSet, holdings: readonly Holding[], first: Address, last: Address): HeatCell {
  const { size, used, stale, resting, reserved, free } = usageOf(part, holdings);
  const state =
    stale > 0n
      ? "stale"
      : used > 0n
        ? "used"
        : resting > 0n
          ? "resting"
          : reserved * 2n > size
            ? "reserved"
            : "free";
  return { first, last, state, heat: Number(size - free) / Number(size) };
}

/** Returns the addresses of a cell as a person reads them. */
export function cellText({ first, last, state, heat }: HeatCell): string {
  const span =
    first.value === last.value ? formatAddress(first) : `${formatAddress(first)}-${formatAddress(last)}`;
  return first.value === last.value
    ? `${span}: ${state}`
    : `${span}: ${state}, ${(heat * 100).toFixed(1)} % taken`;
}
