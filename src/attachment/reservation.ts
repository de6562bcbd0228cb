// What an attachment reserves before the kernel is touched: its addresses, and an entry with the name of everything
// that will be made. With an IPAM plugin in this process both are one transaction. Releasing gives all of it back.
import { CniError, ErrorCode, Failures } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import type { AddCall, Delegate } from "../cni/plugin.ts";
import { EMPTY_RESULT, type Result } from "../cni/result.ts";
import {
  type AttachmentRow,
  type Entry,
  findAttachment,
  forgetAttachment,
  type KernelObject,
  kernelObject,
  type ObjectKind,
  recordAttachment,
  recordObjects,
} from "../ledger/attachments.ts";
import { describeOwner, holderOf, netnsIsGone } from "../ledger/owner.ts";
import type { Connection } from "../net/connection.ts";
import { bringUp } from "../net/interface.ts";
import { removeMasquerade } from "../net/masquerade.ts";
import { endSourceCheck } from "../net/spoof-check.ts";
import { findLink, type Link } from "../net/veth.ts";
import { openStore, storeExists } from "../store/sqlite.ts";
import type { Transaction } from "../store/store.ts";
import { currentBootId } from "../sys/process.ts";
import type { HostInterface } from "./addition.ts";
import type { Additions } from "./fused.ts";
import { unclaimedHostLinkName } from "./identity.ts";

/** Who reserves what. */
export interface ReservationRequest {
  readonly plugin: string;
  readonly dataDir: string;
  /** The IPAM plugin; without one there are no addresses. */
  readonly ipam: Delegate | undefined;
  /** False for an attachment without an interface on the host. */
  readonly pair?: boolean;
  /** What chained plugins add in the same go, if the plugin takes them inside. */
  readonly additions?: Additions;
  /** Returns the interfaces of the host that the attachment will have; none unless told. */
  readonly interfacesFor?: (hostLink: string) => readonly HostInterface[];
  /** Returns the objects, beside the pair, that an attachment with these addresses needs. */
  readonly objectsFor: (leased: Result, hostLink: string) => readonly KernelObject[];
}

/**
 * An ADD of an attachment that is alive would take over its entry, and give its addresses away when it fails. What an
 * earlier boot left, or a namespace that is gone, is taken over.
 */
function refuseLiving(row: AttachmentRow | undefined): void {
  if (row === undefined || row.bootId !== currentBootId() || netnsIsGone(row)) return;
  throw new CniError(
    ErrorCode.nameTaken,
    `${describeOwner(row)} is attached already, in ${row.netns}`,
    "DEL the attachment before it is added again",
  );
}

/** Returns true if the entry is one of an attachment that is alive: of this boot, and its namespace is there. */
export async function isLivingEntry(store: Transaction, entry: Entry): Promise<boolean> {
  const row = await findAttachment(store, entry);
  return row !== undefined && row.bootId === currentBootId() && !netnsIsGone(row);
}

/**
 * Makes room for the entry of an ADD that begins: what a boot before or a namespace that is gone left is forgotten, and
 * returned, because not all of it went with them. Throws CniError 102 if the attachment is alive, because a failure
 * would then take away what it has.
 */
export async function beginEntry(store: Transaction, entry: Entry): Promise<readonly KernelObject[]> {
  const row = await findAttachment(store, entry);
  refuseLiving(row);
  return row === undefined ? [] : forgetAttachment(store, entry);
}

/**
 * Throws CniError 11 unless the entry is still the one that this ADD wrote: a DEL or GC that ran meanwhile has given
 * the addresses away, and what was made since must not stay.
 */
export async function confirmReservation(entry: Entry, dataDir: string, netns: string): Promise<void> {
  const row = await openStore(dataDir).read((store) => findAttachment(store, entry));
  if (row?.netns === netns) return;
  throw new CniError(
    ErrorCode.tryAgainLater,
    `${describeOwner(entry)} was deleted while it was added`,
    "a runtime must not DEL or GC an attachment before its ADD has ended",
  );
}

/** What was reserved. */
export interface Reservation {
  /** The name that the host's end of the pair is to have; empty where there is no pair. */
  readonly hostLink: string;
  /** What the IPAM plugin answered; undefined for one that needs the interface, which `lease` asks. */
  readonly leased: Result | undefined;
  /** Has the addresses through the interface, which is there and up, and writes down what needs them. Throws as `reserve`. */
  lease(): Promise<Result>;
}

/**
 * Returns the addresses of an attachment, which the IPAM plugin gives now if it needs the interface: that is brought up for
 * it, and `isUp` called, which may wait for more. Returns the interface as it is then. Throws as `reserve`.
 */
export async function leasedThrough(
  inside: Connection,
  link: Link,
  { leased, lease }: Pick<Reservation, "lease" | "leased">,
  isUp: () => void = () => undefined,
): Promise<{ readonly leased: Result; readonly link: Link }> {
  if (leased !== undefined) return { leased, link };
  bringUp(inside, link.index);
  isUp();
  const late = await lease();
  // whoever gave the addresses may have given the interface an MTU as well
  return { leased: late, link: findLink(inside, link.name) ?? link };
}

/** Throws CniError 7 for an IPAM plugin that has its addresses from somebody whom the interfaces of `plugin` don't reach. */
export function refuseThroughInterface(ipam: Delegate | undefined, plugin: string): void {
  if (ipam?.needsInterface !== true) return;
  throw new CniError(
    ErrorCode.invalidConfig,
    `${plugin}: its ipam asks a server by the container's interface, and behind that of ${plugin} there is none`,
    "have the addresses from warren-ipam, or the interface from bridge, macvlan, ipvlan, vlan or host-device",
  );
}

/** Returns the key of what `plugin` writes down about the attachment of a call. */
export function entryOf(
  { network, attachment }: Pick<AddCall<unknown>, "network" | "attachment">,
  plugin: string,
): Entry {
  return { network, containerId: attachment.containerId, ifname: attachment.ifname, plugin };
}

/**
 * Reserves what the attachment needs. `onReserved` is called as soon as there is something to release, with what
 * releases it. Throws what the IPAM plugin throws, StoreError, CniError 102 for an attachment that is alive, and 106
 * for an IPAM plugin that gives no address.
 */
export async function reserve(
  call: AddCall<unknown>,
  request: ReservationRequest,
  onReserved: (undo: () => Promise<void>) => void,
): Promise<Reservation> {
  const { ipam } = request;
  const entry = entryOf(call, request.plugin);
  const store = openStore(request.dataDir);
  let leasedSomething = false;
  const begin = async (transaction: Transaction) => {
    refuseLiving(await findAttachment(transaction, entry));
    const name = request.pair === false ? "" : await unclaimedHostLinkName(transaction, entry);
    const holder = holderOf(call.network, call.attachment, call.args);
    const pair = name === "" ? [] : [kernelObject("link", name)];
    await recordAttachment(transaction, holder, request.plugin, pair);
    // from here on there is something to release, in whatever store
    onReserved(() => release(entry, request.dataDir, ipam, { leased: leasedSomething }));
    return name;
  };
  const lease = async () => {
    const leased = (await ipam?.add()) ?? EMPTY_RESULT;
    leasedSomething = ipam !== undefined;
    return leased;
  };
  const finish = async (transaction: Transaction, leased: Result, hostLink: string) => {
    if (ipam !== undefined && leased.ips.length === 0) {
      throw new CniError(ErrorCode.delegateFailed, "IPAM plugin returned missing IP config", shown(leased));
    }
    await recordObjects(transaction, entry, request.objectsFor(leased, hostLink));
    const { additions, interfacesFor } = request;
    if (additions !== undefined) {
      await additions.claim(transaction, { result: leased, planned: interfacesFor?.(hostLink) ?? [] });
      onReserved(() => additions.release());
    }
    return leased;
  };
  const reservation = (hostLink: string, leased: Result | undefined): Reservation => ({
    hostLink,
    leased,
    lease: async () => {
      // what undoes the reservation comes when the interface is gone
      onReserved(async () => ipam?.del());
      const late = await lease();
      return store.transaction((transaction) => finish(transaction, late, hostLink));
    },
  });
  if (ipam?.needsInterface === true) {
    return store.transaction(async (transaction) => {
      const hostLink = await begin(transaction);
      await recordObjects(transaction, entry, request.objectsFor(EMPTY_RESULT, hostLink));
      return reservation(hostLink, undefined);
    });
  }
  if (ipam === undefined || ipam.inProcess) {
    // one transaction: the addresses and what is written about them are there together, or not at all
    return store.transaction(async (transaction) => {
      const hostLink = await begin(transaction);
      return reservation(hostLink, await finish(transaction, await lease(), hostLink));
    });
  }
  const hostLink = await store.transaction(begin);
  const leased = await lease();
  return reservation(
    hostLink,
    await store.transaction((transaction) => finish(transaction, leased, hostLink)),
  );
}

/**
 * Gives the addresses back and forgets the entry, with the shared objects that nobody else needs. The addresses go
 * first and for good: an object that can't be removed stays written down for GC, and holds up nothing else. An entry
 * whose addresses could not be given back stays too, so that the next DEL or GC tries again, unless `leased` says
 * that there never were any.
 */
export async function release(
  entry: Entry,
  dataDir: string,
  ipam: Delegate | undefined,
  { leased }: { readonly leased: boolean } = { leased: true },
): Promise<void> {
  const failures = new Failures();
  if (ipam !== undefined) await failures.collect(() => ipam.del());
  const stuck = failures.any && leased;
  if (!stuck && storeExists(dataDir)) {
    await failures.collect(() =>
      openStore(dataDir).transaction(async (store) => {
        // inside the transaction, so that no ADD can claim an object between the last claim and its removal
        removeObjects(await forgetAttachment(store, entry));
      }),
    );
  }
  failures.rethrow(`release of ${describeOwner(entry)}`);
}

/** Removes objects that no entry needs any more; those that are gone already are success. Throws NetlinkError. */
export function removeObjects(objects: readonly KernelObject[]): void {
  removeMasquerade(namesOf("masquerade", objects));
  for (const name of namesOf("source check", objects)) {
    const [link = "", hardwareAddress = ""] = name.split(" ");
    endSourceCheck({ link, hardwareAddress });
  }
}

function namesOf(kind: ObjectKind, objects: readonly KernelObject[]): string[] {
  return objects.filter((object) => object.kind === kind).map(({ name }) => name);
}
