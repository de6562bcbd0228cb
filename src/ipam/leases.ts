// Leases: which attachment holds which address. Everything here runs inside a transaction of the caller, so
// that an ADD either has all of its addresses or none, and nobody ever sees half of one.

import {
  coolingLeases,
  coolLeases,
  coolStaleLeases,
  cursorOf,
  deleteLeases,
  deleteStaleLeases,
  heldCount,
  heldLeases,
  insertLease,
  leaseAt,
  leasesOfEarlierBoots,
  leasesOfOwner,
  moveLeases,
  putCursor,
  restFromNow,
  staleLeases,
} from "../../db/lease-queries.ts" with { type: "macro" };
import type { LeaseRow, ReleasedRow } from "../../db/lease-queries.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import type { AttachmentKey } from "../cni/network-config.ts";
import { type Address, addressBytes, addressFromBytes, formatAddress, sameAddress } from "../ip/address.ts";
import { forgetOwners, keys } from "../ledger/attachments.ts";
import { type Holder, netnsIsGone, type Owner, podOf } from "../ledger/owner.ts";
import type { Transaction } from "../store/store.ts";
import { currentBootId } from "../sys/process.ts";
import {
  type Assignment,
  assignmentFrom,
  chooseAddress,
  describeRangeSet,
  poolName,
  type RangeSet,
  rangeOf,
  reservation,
} from "./pool.ts";
import { freeFromRuns, hexList, runWith, takeFromRuns } from "./runs.ts";

const LEASE_AT = leaseAt();
const LEASES_OF_OWNER = leasesOfOwner();
const HELD_LEASES = heldLeases();
const HELD_COUNT = heldCount();
const STALE_LEASES = staleLeases();
const EARLIER_BOOTS = leasesOfEarlierBoots();
const COOLING_LEASES = coolingLeases();
const INSERT_LEASE = insertLease();
const DELETE_LEASES = deleteLeases();
const COOL_LEASES = coolLeases();
const DELETE_STALE_LEASES = deleteStaleLeases();
const COOL_STALE_LEASES = coolStaleLeases();
const MOVE_LEASES = moveLeases();
const REST_FROM_NOW = restFromNow();
const CURSOR_OF = cursorOf();
const PUT_CURSOR = putCursor();

export type { LeaseRow };

/** The interface of a lease that came from a host-local of old, which wrote down the container's id only. */
export const UNKNOWN_INTERFACE = "";

/** What an attachment asks for. */
export interface LeaseRequest {
  /** One address is given out of each. */
  readonly sets: readonly RangeSet[];
  /** Addresses that are asked for by name; each must lie in a set of its own. */
  readonly requested: readonly Address[];
  /** Addresses that the config itself gives, outside of any set. */
  readonly fixed: readonly Assignment[];
  /** The next address after the last one given, or the lowest that is free. */
  readonly order: "round-robin" | "lowest";
  /** How long a released address rests before it is given out again, unless nothing else is left. */
  readonly cooldownMs: number;
}

/** Returns the assignment that a lease stands for. */
export function assignmentOf(lease: LeaseRow): Assignment {
  return {
    address: addressFromBytes(lease.address),
    prefixLength: lease.prefixLength,
    gateway: lease.gateway === null ? undefined : addressFromBytes(lease.gateway),
  };
}

/** Returns the holder of a lease as messages name it. */
export function describeHolder(lease: ReleasedRow): string {
  const pod = podOf(lease);
  const ofPod = pod === undefined ? "" : ` of pod ${pod}`;
  const ofInterface = lease.ifname === UNKNOWN_INTERFACE ? "" : `, interface ${lease.ifname}`;
  return `container ${lease.containerId}${ofPod}${ofInterface}`;
}

/**
 * Gives the holder its addresses and returns them, those of the sets in their order before the fixed ones. A
 * holder that has addresses already gets the same ones again. Throws CniError 7 for a requested address that
 * nobody may have, 100 for one that somebody else holds, 101 when a set is used up.
 */
export async function lease(
  store: Transaction,
  holder: Holder,
  request: LeaseRequest,
): Promise<Assignment[]> {
  const existing = (await leasesOf(store, holder)).map(assignmentOf);
  if (existing.length > 0) {
    checkSameAsBefore(existing, holder, request);
    // the attachment lives on in another namespace or boot: by the old ones it would pass for dead
    await store.run(MOVE_LEASES, holder);
    return existing;
  }
  await freeRested(store, holder.network, request.cooldownMs);
  const assignments: Assignment[] = [];
  const open = [...request.requested];
  for (const [ordinal, set] of request.sets.entries()) {
    const at = open.findIndex((address) => rangeOf(set, address) !== undefined);
    const [wanted] = at < 0 ? [] : open.splice(at, 1);
    const assignment =
      wanted === undefined
        ? await nextOf(store, holder.network, set, ordinal, request)
        : await requestedOf(store, holder.network, set, ordinal, wanted);
    await hold(store, holder, assignment, ordinal);
    assignments.push(assignment);
  }
  if (open.length > 0) throw outsideOf(open, request.sets);
  for (const [index, assignment] of request.fixed.entries()) {
    await claim(store, holder.network, assignment.address, { before: "", place: "the config's addresses" });
    await hold(store, holder, assignment, request.sets.length + index);
    assignments.push(assignment);
  }
  return assignments;
}

function checkSameAsBefore(existing: readonly Assignment[], holder: Holder, request: LeaseRequest): void {
  for (const wanted of [...request.requested, ...request.fixed.map(({ address }) => address)]) {
    if (existing.some(({ address }) => sameAddress(address, wanted))) continue;
    throw new CniError(
      ErrorCode.addressInUse,
      `requested ip ${formatAddress(wanted)}: container ${holder.containerId}, interface ${holder.ifname} holds ${existing
        .map(({ address }) => formatAddress(address))
        .join(", ")} already`,
      "DEL the attachment before it is added with another address",
    );
  }
}

function outsideOf(addresses: readonly Address[], sets: readonly RangeSet[]): CniError {
  // clients look for this text as a prefix
  return new CniError(
    ErrorCode.invalidConfig,
    `failed to allocate all requested IPs: ${addresses.map(formatAddress).join(" ")}`,
    sets.length === 0
      ? "the config has no ranges to take them from"
      : `the config gives one address out of each of: ${sets.map(describeRangeSet).join("; ")}`,
  );
}

async function requestedOf(
  store: Transaction,
  network: string,
  set: RangeSet,
  ordinal: number,
  address: Address,
): Promise<Assignment> {
  const range = rangeOf(set, address);
  if (range === undefined) throw outsideOf([address], [set]);
  const reserved = reservation(set, range, address);
  if (reserved !== undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `failed to allocate for range ${ordinal}: ${reserved}`,
      `choose another address in ${describeRangeSet(set)}`,
    );
  }
  await claim(store, network, address, {
    before: `failed to allocate for range ${ordinal}: `,
    place: `range set ${describeRangeSet(set)}`,
  });
  return assignmentFrom(range, address);
}

/** Makes sure that nobody holds `address`: a resting or dead holder yields. Throws CniError 100. */
async function claim(
  store: Transaction,
  network: string,
  address: Address,
  { before, place }: { readonly before: string; readonly place: string },
): Promise<void> {
  const row = await store.first(LEASE_AT, { network, address: addressBytes(address) });
  if (row === undefined) return;
  if (row.releasedAtMs !== null) return free(store, network, [row]);
  // among this node's own: of another's namespaces nothing is known here
  const dead = row.bootId === currentBootId() ? [] : await deadLeases(store, network);
  if (dead.some((one) => sameAddress(addressFromBytes(one.address), address)))
    return reclaim(store, network, [row]);
  throw new CniError(
    ErrorCode.addressInUse,
    `${before}requested IP address ${formatAddress(address)} is not available in ${place}: it is held by ${describeHolder(row)}${row.node === "" ? "" : ` on node ${row.node}`}`,
    `since ${new Date(row.createdAtMs).toISOString()}; DEL that attachment, or ask for another address`,
  );
}

async function nextOf(
  store: Transaction,
  network: string,
  set: RangeSet,
  ordinal: number,
  request: LeaseRequest,
): Promise<Assignment> {
  const pool = poolName(set);
  const cursor = request.order === "lowest" ? undefined : await store.first(CURSOR_OF, { network, pool });
  const after = cursor === undefined ? undefined : addressFromBytes(cursor.last);
  const chosen = await chooseOrReclaim(store, network, set, after);
  if (chosen === undefined) {
    throw new CniError(
      ErrorCode.noAddressLeft,
      `failed to allocate for range ${ordinal}: no IP addresses available in range set: ${describeRangeSet(set)}`,
      `run "warren gc", or widen the range`,
    );
  }
  await store.run(PUT_CURSOR, { network, pool, last: addressBytes(chosen.address) });
  return assignmentFrom(chosen.range, chosen.address);
}

async function chooseOrReclaim(
  store: Transaction,
  network: string,
  set: RangeSet,
  after: Address | undefined,
) {
  const choose = () =>
    chooseAddress(set, after, {
      endOfRun: async (address) => (await runWith(store, network, address))?.last,
    });
  const first = await choose();
  if (first !== undefined) return first;
  // only now: looking at every namespace of an earlier boot is too much for an ADD that finds an address
  await reclaim(store, network, await deadLeases(store, network));
  const second = await choose();
  if (second !== undefined) return second;
  const resting = await listRestingLeases(store, network);
  const yielding = resting.find((row) => rangeOf(set, addressFromBytes(row.address)) !== undefined);
  if (yielding === undefined) return undefined;
  await free(store, network, [yielding]);
  return choose();
}

async function hold(
  store: Transaction,
  holder: Holder,
  assignment: Assignment,
  ordinal: number,
): Promise<void> {
  await store.run(INSERT_LEASE, {
    ...holder,
    address: addressBytes(assignment.address),
    family: assignment.address.family,
    prefixLength: assignment.prefixLength,
    gateway: assignment.gateway === undefined ? null : addressBytes(assignment.gateway),
    ordinal,
    releasedAtMs: null,
  });
  await takeFromRuns(store, holder.network, assignment.address);
}

async function free(store: Transaction, network: string, rows: readonly LeaseRow[]): Promise<void> {
  if (rows.length === 0) return;
  const addresses = rows.map((row) => addressFromBytes(row.address));
  await store.run(DELETE_LEASES, { network, addresses: hexList(addresses) });
  await freeFromRuns(store, network, addresses);
}

/** Returns the leases of an earlier boot of this node whose namespace is gone: they can't be alive. */
async function deadLeases(store: Transaction, network: string): Promise<LeaseRow[]> {
  return (await store.all(EARLIER_BOOTS, { network, bootId: currentBootId() })).filter(netnsIsGone);
}

/** Frees leases of an earlier boot; the kernel objects of their attachments went with that boot. */
async function reclaim(store: Transaction, network: string, rows: readonly LeaseRow[]): Promise<void> {
  if (rows.length === 0) return;
  await free(store, network, rows);
  await forgetOwners(store, network, rows);
}

async function freeRested(store: Transaction, network: string, cooldownMs: number): Promise<void> {
  const nowMs = Date.now();
  // a clock that was put back makes releases of the future, which would rest until it is there again
  if (cooldownMs > 0) await store.run(REST_FROM_NOW, { network, nowMs });
  const releasedAtMs = cooldownMs > 0 ? nowMs - cooldownMs : Number.MAX_SAFE_INTEGER;
  await free(store, network, await store.all(COOLING_LEASES, { network, releasedAtMs }));
}

/** Returns the addresses that an attachment holds, in the order of its range sets. */
export async function leasesOf(store: Transaction, owner: Owner): Promise<LeaseRow[]> {
  return store.all(LEASES_OF_OWNER, {
    network: owner.network,
    containerId: owner.containerId,
    ifname: owner.ifname,
  });
}

/**
 * Enters a lease that another program gave of an address that nobody holds. An attachment's addresses are numbered in
 * the order in which they come.
 */
export async function adopt(store: Transaction, holder: Holder, assignment: Assignment): Promise<void> {
  const key = { network: holder.network, address: addressBytes(assignment.address) };
  const resting = await store.first(LEASE_AT, key);
  if (resting !== undefined) await free(store, holder.network, [resting]);
  const last = (await leasesOf(store, holder)).at(-1);
  await hold(store, holder, assignment, last === undefined ? 0 : last.ordinal + 1);
}

/** Gives the container's leases without an interface to the attachment, if it has no others. */
export async function nameInterface(store: Transaction, owner: Owner): Promise<void> {
  if ((await leasesOf(store, owner)).length > 0) return;
  for (const row of await leasesOf(store, { ...owner, ifname: UNKNOWN_INTERFACE })) {
    const addresses = hexList([addressFromBytes(row.address)]);
    await store.run(DELETE_LEASES, { network: row.network, addresses });
    await store.run(INSERT_LEASE, { ...row, ifname: owner.ifname });
  }
}

/** Goes on after `address` when the set gives out the next one. */
export async function moveCursor(
  store: Transaction,
  network: string,
  set: RangeSet,
  address: Address,
): Promise<void> {
  if (rangeOf(set, address) === undefined) return;
  await store.run(PUT_CURSOR, { network, pool: poolName(set), last: addressBytes(address) });
}

/** Returns every address that is held on any network. */
export async function listLeases(store: Transaction): Promise<LeaseRow[]> {
  return store.all(HELD_LEASES, {});
}

/** Returns the addresses of a network that were released and rest. */
export async function listRestingLeases(store: Transaction, network: string): Promise<LeaseRow[]> {
  return store.all(COOLING_LEASES, { network, releasedAtMs: Number.MAX_SAFE_INTEGER });
}

/** Returns how many addresses a network's attachments hold. */
export async function countLeases(store: Transaction, network: string): Promise<number> {
  return (await store.first(HELD_COUNT, { network }))?.held ?? 0;
}

/** Releases leases of a network: they are free at once, or rest for `cooldownMs`. */
export async function release(
  store: Transaction,
  network: string,
  rows: readonly LeaseRow[],
  cooldownMs: number,
): Promise<void> {
  if (cooldownMs === 0) return free(store, network, rows);
  const addresses = hexList(rows.map((row) => addressFromBytes(row.address)));
  await store.run(COOL_LEASES, { network, addresses, releasedAtMs: Date.now() });
}

/** A lease that GC has released. */
export interface Released {
  readonly address: Address;
  /** What there is to say of it. */
  readonly row: ReleasedRow;
}

/** Releases the leases that `listStaleLeases` returns, and returns them. */
export async function releaseStale(
  store: Transaction,
  network: string,
  valid: readonly AttachmentKey[],
  cooldownMs: number,
): Promise<Released[]> {
  const which = { network, valid: keys(valid) };
  const rows =
    cooldownMs > 0
      ? await store.all(COOL_STALE_LEASES, { ...which, releasedAtMs: Date.now() })
      : await store.all(DELETE_STALE_LEASES, which);
  const released = rows.map((row) => ({ address: addressFromBytes(row.address), row }));
  if (cooldownMs > 0) return released;
  await freeFromRuns(
    store,
    network,
    released.map(({ address }) => address),
  );
  return released;
}

/**
 * Returns the leases of a network whose attachment is not among `valid`. One whose interface nobody knows is
 * somebody's as long as its container is.
 */
export async function listStaleLeases(
  store: Transaction,
  network: string,
  valid: readonly AttachmentKey[],
): Promise<LeaseRow[]> {
  return store.all(STALE_LEASES, { network, valid: keys(valid) });
}

/** Returns the sets out of which an ADD would get no address now; nothing is changed. */
export async function exhaustedSets(
  store: Transaction,
  network: string,
  sets: readonly RangeSet[],
): Promise<RangeSet[]> {
  const exhausted: RangeSet[] = [];
  for (const set of sets) {
    const next = await chooseAddress(set, undefined, {
      endOfRun: async (address) => (await runWith(store, network, address))?.last,
    });
    if (next !== undefined) continue;
    const yielding = [...(await deadLeases(store, network)), ...(await listRestingLeases(store, network))];
    if (!yielding.some((row) => rangeOf(set, addressFromBytes(row.address)) !== undefined))
      exhausted.push(set);
  }
  return exhausted;
}
