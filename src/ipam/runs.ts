// The runs of held addresses, kept exact in the transaction that takes or frees addresses: taking one joins it with
// its neighbours, freeing some splits their runs. A few queries each, however many are held, and however many are freed.

import { deleteRuns, insertRuns, putRun, runAtOrBefore, runsHolding } from "../../db/lease-queries.ts" with {
  type: "macro",
};
import type { RunRow } from "../../db/lease-queries.ts";
import { type Address, addressAfter, addressBytes, addressFromBytes, bitsOf } from "../ip/address.ts";
import type { Transaction } from "../store/store.ts";

const RUN_AT_OR_BEFORE = runAtOrBefore();
const PUT_RUN = putRun();
const RUNS_HOLDING = runsHolding();
const INSERT_RUNS = insertRuns();
const DELETE_RUNS = deleteRuns();

/** Consecutive held addresses of one family, both ends included. */
export interface Run {
  readonly first: Address;
  readonly last: Address;
}

function runOf(row: RunRow): Run {
  return { first: addressFromBytes(row.first), last: addressFromBytes(row.last) };
}

/** Returns the run that `address` is in, or undefined if it is free. */
export async function runWith(
  store: Transaction,
  network: string,
  address: Address,
): Promise<Run | undefined> {
  const row = await store.first(RUN_AT_OR_BEFORE, {
    network,
    family: address.family,
    address: addressBytes(address),
  });
  if (row === undefined) return undefined;
  const run = runOf(row);
  return run.last.value >= address.value ? run : undefined;
}

/** Records that `address`, which was free, is held now. */
export async function takeFromRuns(store: Transaction, network: string, address: Address): Promise<void> {
  const neighbour = async (next: Address | undefined) =>
    next === undefined ? undefined : runWith(store, network, next);
  const before = await neighbour(addressAfter(address, -1n));
  const after = await neighbour(addressAfter(address));
  const { family } = address;
  if (after !== undefined) await store.run(DELETE_RUNS, { network, family, firsts: hexList([after.first]) });
  await store.run(PUT_RUN, {
    network,
    family,
    first: addressBytes(before?.first ?? address),
    last: addressBytes(after?.last ?? address),
  });
}

/** Records that addresses, which were held, are free now. */
export async function freeFromRuns(
  store: Transaction,
  network: string,
  addresses: readonly Address[],
): Promise<void> {
  for (const [family, freed] of Map.groupBy(addresses, (address) => address.family)) {
    const ascending = freed.toSorted((one, other) => (one.value < other.value ? -1 : 1));
    const rows = await store.all(RUNS_HOLDING, { network, family, addresses: hexList(ascending) });
    const whole = rows.map(runOf);
    const pieces = withoutAddresses(whole, ascending).map(({ first, last }) => [hex(first), hex(last)]);
    await store.run(DELETE_RUNS, { network, family, firsts: hexList(whole.map(({ first }) => first)) });
    await store.run(INSERT_RUNS, { network, family, runs: JSON.stringify(pieces) });
  }
}

/** Returns what is left of runs without some addresses; both are of one family and in ascending order. */
function withoutAddresses(whole: readonly Run[], freed: readonly Address[]): Run[] {
  const pieces: Run[] = [];
  let at = 0;
  for (const { first, last } of whole) {
    let start: Address | undefined = first;
    for (; start !== undefined; at++) {
      const next: Address | undefined = freed[at];
      if (next === undefined || next.value > last.value) break;
      // between two runs, or twice in the list: nothing to take out
      if (next.value < start.value) continue;
      const before = addressAfter(next, -1n);
      if (before !== undefined && start.value < next.value) pieces.push({ first: start, last: before });
      start = addressAfter(next);
    }
    if (start !== undefined && start.value <= last.value) pieces.push({ first: start, last });
  }
  return pieces;
}

/** Returns addresses as the JSON that queries take. */
export function hexList(addresses: readonly Address[]): string {
  return JSON.stringify(addresses.map(hex));
}

/** Returns the bytes of the address in hexadecimal, without making them: GC does it for thousands. */
function hex({ family, value }: Address): string {
  return value.toString(16).padStart(bitsOf(family) / 4, "0");
}
