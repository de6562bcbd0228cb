// Leases that the reference plugin host-local gave, entered into the store: on a host that switches while pods run,
// no address is given out twice, and an old pod is checked and released like a new one.
import { bitsOf, formatAddress } from "../ip/address.ts";
import type { Owner } from "../ledger/owner.ts";
import type { Transaction } from "../store/store.ts";
import { currentBootId } from "../sys/process.ts";
import type { LeaseFile, LeaseFiles } from "./lease-files.ts";
import {
  adopt,
  assignmentOf,
  describeHolder,
  type LeaseRow,
  listStaleLeases,
  moveCursor,
  nameInterface,
  UNKNOWN_INTERFACE,
} from "./leases.ts";
import { type Assignment, assignmentFrom, type RangeSet, rangeOf } from "./pool.ts";

/** What a take-over needs to know. */
export interface TakeOver {
  /** The attachment of the call; a lease of its container that names no interface becomes its own. */
  readonly owner?: Owner;
  readonly sets: readonly RangeSet[];
  readonly note: (text: string) => void;
}

/**
 * Enters what stands in the files of a network and not in the store, and goes on giving out addresses where the
 * reference plugin stopped. What is entered already stays as it is, so that this may be done on every call.
 */
export async function takeOver(
  store: Transaction,
  files: LeaseFiles,
  network: string,
  { owner, sets, note }: TakeOver,
): Promise<void> {
  const found = files.tidy((name) => note(`network ${network}: removed the empty file ${name}`));
  // one query for all: mostly every one of them is known
  const held = found.length === 0 ? new Map<string, LeaseRow>() : await heldLeases(store, network);
  let adopted = 0;
  for (const file of found) {
    const row = held.get(formatAddress(file.address));
    if (row === undefined) {
      await adopt(store, holderIn(file, files, network), assignmentIn(file, sets));
      adopted++;
    } else if (row.containerId !== file.containerId || !isOfInterface(file, row)) {
      note(
        `network ${network}: ${formatAddress(file.address)} is held by ${describeHolder(row)}, but its file in ${files.directory} names container ${file.containerId}`,
      );
    }
  }
  if (adopted > 0) note(`network ${network}: took over ${adopted} leases from ${files.directory}`);
  for (const [index, set] of sets.entries()) {
    const last = files.lastOf(index);
    if (last !== undefined) await moveCursor(store, network, set, last);
  }
  if (owner !== undefined) await nameInterface(store, owner);
}

/** Returns what the files alone say that an attachment holds. */
export function assignmentsOf(files: LeaseFiles, owner: Owner, sets: readonly RangeSet[]): Assignment[] {
  const { leases } = files.list();
  const own = leases.filter(({ containerId }) => containerId === owner.containerId);
  const named = own.filter(({ ifname }) => ifname === owner.ifname);
  const held = named.length > 0 ? named : own.filter(({ ifname }) => ifname === UNKNOWN_INTERFACE);
  return held.map((file) => assignmentIn(file, sets));
}

/** A file of old names no interface, and then its container's may be any. */
function isOfInterface({ ifname }: LeaseFile, row: LeaseRow): boolean {
  return ifname === row.ifname || ifname === UNKNOWN_INTERFACE;
}

async function heldLeases(store: Transaction, network: string): Promise<Map<string, LeaseRow>> {
  // where no attachment is valid, every lease of the network is stale
  const rows = await listStaleLeases(store, network, []);
  return new Map(rows.map((row) => [formatAddress(assignmentOf(row).address), row]));
}

/** Removes the files of leases that the store has given up: they were of an earlier boot, and their pods are gone. */
export async function dropReclaimed(store: Transaction, files: LeaseFiles, network: string): Promise<void> {
  const held = await heldLeases(store, network);
  files.remove(({ address }) => !held.has(formatAddress(address)));
}

/** The namespace is not known, so such a lease never passes for dead: only DEL and GC release it. */
function holderIn({ address, containerId, ifname }: LeaseFile, files: LeaseFiles, network: string) {
  return {
    network,
    containerId,
    ifname,
    podNamespace: null,
    podName: null,
    podUid: null,
    netns: "",
    netnsInode: null,
    bootId: currentBootId(),
    createdAtMs: files.givenAtMs(address),
  };
}

function assignmentIn({ address }: LeaseFile, sets: readonly RangeSet[]): Assignment {
  for (const set of sets) {
    const range = rangeOf(set, address);
    if (range !== undefined) return assignmentFrom(range, address);
  }
  return { address, prefixLength: bitsOf(address.family), gateway: undefined };
}
