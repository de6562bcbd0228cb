// The runs of held addresses, kept exact in the transaction that takes or frees an address: taking one joins it
// with its neighbours, freeing one splits its run. Two to four small queries each, however many are held.

import { deleteRun, putRun, runAtOrBefore } from "../../db/queries.ts" with { type: "macro" };
import type { RunRow } from "../../db/queries.ts";
import { type Address, addressAfter, addressBytes, addressFromBytes } from "../ip/address.ts";
import type { Transaction } from "../store/store.ts";

const RUN_AT_OR_BEFORE = runAtOrBefore();
const PUT_RUN = putRun();
const DELETE_RUN = deleteRun();

interface Run {
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
  if (after !== undefined) await dropRun(store, network, after);
  await writeRun(store, network, { first: before?.first ?? address, last: after?.last ?? address });
}

/** Records that `address`, which was held, is free now. */
export async function freeFromRuns(store: Transaction, network: string, address: Address): Promise<void> {
  const run = await runWith(store, network, address);
  if (run === undefined) return;
  const before = addressAfter(address, -1n);
  const after = addressAfter(address);
  if (before !== undefined && run.first.value < address.value) {
    await writeRun(store, network, { first: run.first, last: before });
  } else {
    await dropRun(store, network, run);
  }
  if (after !== undefined && address.value < run.last.value) {
    await writeRun(store, network, { first: after, last: run.last });
  }
}

async function writeRun(store: Transaction, network: string, run: Run): Promise<void> {
  await store.run(PUT_RUN, {
    network,
    family: run.first.family,
    first: addressBytes(run.first),
    last: addressBytes(run.last),
  });
}

async function dropRun(store: Transaction, network: string, run: Run): Promise<void> {
  await store.run(DELETE_RUN, { network, family: run.first.family, first: addressBytes(run.first) });
}
