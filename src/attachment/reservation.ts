// What an attachment reserves before the kernel is touched: its addresses, and an entry with the name of everything
// that will be made. With an IPAM plugin in this process both are one transaction. Releasing gives all of it back.
import { CniError, ErrorCode, Failures } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import type { AddCall, Delegate } from "../cni/plugin.ts";
import { EMPTY_RESULT, type Result } from "../cni/result.ts";
import {
  type Entry,
  forgetAttachment,
  type KernelObject,
  kernelObject,
  recordAttachment,
  recordObjects,
} from "../ledger/attachments.ts";
import { describeOwner, holderOf } from "../ledger/owner.ts";
import { removeMasquerade } from "../net/masquerade.ts";
import { openStore, storeExists } from "../store/sqlite.ts";
import type { Transaction } from "../store/store.ts";
import { unclaimedHostLinkName } from "./identity.ts";

/** Who reserves what. */
export interface ReservationRequest {
  readonly plugin: string;
  readonly dataDir: string;
  /** The IPAM plugin; without one there are no addresses. */
  readonly ipam: Delegate | undefined;
  /** Returns the objects, beside the pair, that an attachment with these addresses needs. */
  readonly objectsFor: (leased: Result) => readonly KernelObject[];
}

/** What was reserved. */
export interface Reservation {
  /** The name that the host's end of the pair is to have. */
  readonly hostLink: string;
  /** What the IPAM plugin answered. */
  readonly leased: Result;
}

/** Returns the key of what `plugin` writes down about the attachment of a call. */
export function entryOf(
  { network, attachment }: Pick<AddCall<unknown>, "network" | "attachment">,
  plugin: string,
): Entry {
  return { network, containerId: attachment.containerId, ifname: attachment.ifname, plugin };
}

/**
 * Reserves what the attachment needs. `onReserved` is called as soon as there is something to release. Throws what
 * the IPAM plugin throws, StoreError, and CniError 106 for an IPAM plugin that gives no address.
 */
export async function reserve(
  call: AddCall<unknown>,
  request: ReservationRequest,
  onReserved: () => void,
): Promise<Reservation> {
  const { ipam } = request;
  const entry = entryOf(call, request.plugin);
  const store = openStore(request.dataDir);
  const begin = async (transaction: Transaction) => {
    const name = await unclaimedHostLinkName(transaction, entry);
    const holder = holderOf(call.network, call.attachment, call.args);
    await recordAttachment(transaction, holder, request.plugin, [kernelObject("link", name)]);
    return name;
  };
  const finish = async (transaction: Transaction, leased: Result) => {
    if (ipam !== undefined && leased.ips.length === 0) {
      throw new CniError(ErrorCode.delegateFailed, "IPAM plugin returned missing IP config", shown(leased));
    }
    await recordObjects(transaction, entry, request.objectsFor(leased));
    return leased;
  };
  if (ipam === undefined || ipam.inProcess) {
    // one transaction: the addresses and what is written about them are there together, or not at all
    const reserved = await store.transaction(async (transaction) => {
      const hostLink = await begin(transaction);
      return { hostLink, leased: await finish(transaction, (await ipam?.add()) ?? EMPTY_RESULT) };
    });
    onReserved();
    return reserved;
  }
  const hostLink = await store.transaction(begin);
  onReserved();
  const leased = await ipam.add();
  return { hostLink, leased: await store.transaction((transaction) => finish(transaction, leased)) };
}

/**
 * Gives the addresses back and forgets the entry, with the shared objects that nobody else needs. The addresses go
 * first and for good: an object that can't be removed stays written down for GC, and holds up nothing else.
 */
export async function release(entry: Entry, dataDir: string, ipam: Delegate | undefined): Promise<void> {
  const failures = new Failures();
  if (ipam !== undefined) await failures.collect(() => ipam.del());
  if (storeExists(dataDir)) {
    await failures.collect(() =>
      openStore(dataDir).transaction(async (store) => {
        // inside the transaction, so that no ADD can claim an object between the last claim and its removal
        removeShared(await forgetAttachment(store, entry));
      }),
    );
  }
  failures.rethrow(`release of ${describeOwner(entry)}`);
}

/** Removes objects that several attachments may have needed and that none needs any more. */
export function removeShared(objects: readonly KernelObject[]): void {
  removeMasquerade(objects.filter(({ kind }) => kind === "masquerade").map(({ name }) => name));
}
