// What the verbs of every plugin that gives out addresses have in common: leasing by a plan, releasing, comparing
// and collecting, each in one transaction of the node's store. Where the plan came from is the plugin's own matter.
import { CniError, ErrorCode } from "../cni/error.ts";
import type { AddCall, AttachmentCall, Call, CheckCall, GcCall } from "../cni/plugin.ts";
import type { Dns, Result, Route } from "../cni/result.ts";
import { bitsOf, formatAddress } from "../ip/address.ts";
import { formatPrefix } from "../ip/prefix.ts";
import { describeOwner, holderOf, type Owner } from "../ledger/owner.ts";
import { beat } from "../store/heartbeat.ts";
import { openStore, storeExists } from "../store/sqlite.ts";
import type { Transaction } from "../store/store.ts";
import { type LeaseFileOwner, LeaseFiles } from "./lease-files.ts";
import {
  assignmentOf,
  countLeases,
  describeHolder,
  exhaustedSets,
  type LeaseRequest,
  lease,
  leasesOf,
  release,
  releaseStale,
  UNKNOWN_INTERFACE,
} from "./leases.ts";
import { type Assignment, assignedPrefix, describeRangeSet, type RangeSet, rangeOf } from "./pool.ts";
import type { SharedLeases } from "./shared-leases.ts";
import { assignmentsOf, dropReclaimed, takeOver } from "./take-over.ts";

/** Where a plugin keeps the addresses of a network. */
export interface Place {
  /** The plugin's name in notes. */
  readonly plugin: string;
  /** The directory of the node's own store. */
  readonly dataDir: string;
  /** The config's key `store`, not yet looked at: the leases are in a store that nodes share. */
  readonly shared?: unknown;
  /** Where host-local keeps its files; without it they are not looked for. */
  readonly filesDir?: string;
  /** How long a released address rests before it is given out again. */
  readonly cooldownMs: number;
}

/** What an ADD gives. */
export interface AddressPlan extends Omit<LeaseRequest, "cooldownMs"> {
  readonly routes: readonly Route[];
  readonly dns: Dns;
}

interface SharedKeys {
  readonly store?: unknown;
  readonly ipam?: { readonly store?: unknown } | null | undefined;
}

/** Returns what the config says of a store that nodes share; undefined where the node's own has the leases. */
export function sharedOf(config: SharedKeys): unknown {
  return config.store ?? config.ipam?.store ?? undefined;
}

/** Most nodes share no store, and their calls don't pay for loading what it takes. */
async function sharedLeases({ shared, dataDir }: Place): Promise<SharedLeases | undefined> {
  if (shared === undefined) return undefined;
  return new (await import("./shared-leases.ts")).SharedLeases(shared, dataDir);
}

function filesOf(place: Place, network: string): LeaseFiles | undefined {
  return place.filesDir === undefined ? undefined : LeaseFiles.open(place.filesDir, network);
}

async function storeOf<T>(
  place: Place,
  network: string,
  work: (store: Transaction, files: LeaseFiles | undefined) => Promise<T>,
): Promise<T> {
  const shared = await sharedLeases(place);
  if (shared !== undefined) return shared.transaction(network, (store) => work(store, undefined));
  return openStore(place.dataDir).transaction(async (store) => {
    // the store is locked before the files, by every verb: two orders would wait for each other
    using files = filesOf(place, network);
    return await work(store, files);
  });
}

/** ADD: leases what the plan says, all or nothing. Throws as `lease` does, StoreError, SystemError. */
export async function giveAddresses(
  call: AddCall<unknown>,
  place: Place,
  plan: AddressPlan,
): Promise<Result> {
  const { network, attachment, args, note } = call;
  const owner = { network, containerId: attachment.containerId, ifname: attachment.ifname };
  const request = { ...plan, cooldownMs: place.cooldownMs };
  await (await sharedLeases(place))?.remember();
  const assignments = await storeOf(place, network, async (store, files) => {
    const holder = holderOf(network, attachment, args);
    if (files === undefined) return lease(store, holder, request);
    await takeOver(store, files, network, { owner, sets: plan.sets, note: noteOf(place, note) });
    if ((await leasesOf(store, owner)).length > 0) return lease(store, holder, request);
    const held = await countLeases(store, network);
    const given = await lease(store, holder, request);
    if ((await countLeases(store, network)) < held + given.length) {
      await dropReclaimed(store, files, network);
    }
    writeFiles(files, owner, given, plan.sets);
    return given;
  });
  return {
    interfaces: [],
    ips: assignments.map((assignment) => ({
      address: formatPrefix(assignedPrefix(assignment)),
      ...(assignment.gateway === undefined ? {} : { gateway: formatAddress(assignment.gateway) }),
    })),
    routes: plan.routes,
    dns: plan.dns,
  };
}

function writeFiles(
  files: LeaseFiles,
  owner: LeaseFileOwner,
  given: readonly Assignment[],
  sets: readonly RangeSet[],
): void {
  try {
    for (const { address } of given) {
      files.write(
        { ...owner, address },
        sets.findIndex((set) => rangeOf(set, address) !== undefined),
      );
    }
  } catch (error) {
    files.removeOf(owner);
    throw error;
  }
}

/** DEL: releases what the attachment holds. Throws StoreError, SystemError. */
export async function takeAddressesBack(call: AttachmentCall<unknown>, place: Place): Promise<void> {
  const { network, attachment, note } = call;
  const owner = { network, containerId: attachment.containerId, ifname: attachment.ifname };
  const shared = await sharedLeases(place);
  if (shared !== undefined) {
    const reason = await shared.release(owner, place.cooldownMs);
    if (reason !== undefined)
      note(
        `warren-${place.plugin}: ${describeOwner(owner)}: its release waits on this node: ${reason.message}`,
      );
    return;
  }
  // a store that was never made holds nothing, and DEL is no reason to make one
  if (!storeExists(place.dataDir)) {
    using files = filesOf(place, network);
    files?.removeOf(owner);
    return;
  }
  await storeOf(place, network, async (store, files) => {
    let rows = await leasesOf(store, owner);
    if (rows.length === 0 && place.filesDir !== undefined) {
      rows = await leasesOf(store, { ...owner, ifname: UNKNOWN_INTERFACE });
    }
    await release(store, network, rows, place.cooldownMs);
    files?.removeOf(owner);
  });
}

/** CHECK: throws CniError 103 if the attachment holds no address, or one that its result does not have. */
export async function checkAddresses(
  call: CheckCall<unknown>,
  place: Place,
  sets: readonly RangeSet[],
): Promise<void> {
  const { network, attachment, previous, note } = call;
  const owner = { network, containerId: attachment.containerId, ifname: attachment.ifname };
  const held = await heldBy(place, owner, sets, note);
  if (held.length === 0) {
    throw new CniError(
      ErrorCode.stateDiffers,
      `no address is leased to ${describeOwner(owner)}`,
      "DEL it, and ADD it again",
    );
  }
  if (previous === undefined) return;
  const reported = new Set(previous.ips.map(({ address }) => address));
  for (const assignment of held) {
    if (isReported(assignment, reported)) continue;
    throw new CniError(
      ErrorCode.stateDiffers,
      `${describeOwner(owner)} holds the address ${formatPrefix(assignedPrefix(assignment))}, which its result does not have`,
      `the result has ${[...reported].join(", ") || "none"}; DEL it, and ADD it again`,
    );
  }
}

async function heldBy(
  place: Place,
  owner: Owner,
  sets: readonly RangeSet[],
  note: (text: string) => void,
): Promise<Assignment[]> {
  const { network } = owner;
  const shared = await sharedLeases(place);
  if (shared !== undefined)
    return (await shared.store.read((store) => leasesOf(store, owner))).map(assignmentOf);
  if (!storeExists(place.dataDir)) {
    // to look is no reason to make a store: the files say it too
    using files = filesOf(place, network);
    return files === undefined ? [] : assignmentsOf(files, owner, sets);
  }
  // only where the reference's files may have to be taken over there is something to write
  const rows =
    place.filesDir === undefined
      ? await openStore(place.dataDir).read((store) => leasesOf(store, owner))
      : await storeOf(place, network, async (store, files) => {
          if (files !== undefined)
            await takeOver(store, files, network, { owner, sets, note: noteOf(place, note) });
          return leasesOf(store, owner);
        });
  return rows.map(assignmentOf);
}

function isReported({ address, prefixLength }: Assignment, reported: ReadonlySet<string>): boolean {
  if (reported.has(formatPrefix({ address, length: prefixLength }))) return true;
  // the file of an address that no range has any more says nothing of a prefix
  if (prefixLength < bitsOf(address.family)) return false;
  return [...reported].some((text) => text.startsWith(`${formatAddress(address)}/`));
}

/** STATUS: commits a write, and throws CniError 50 if a set has no free address. */
export async function checkReady(
  call: Call<unknown>,
  place: Place,
  sets: readonly RangeSet[],
): Promise<void> {
  const { network, note } = call;
  const look = async (store: Transaction) => ({
    sets: await exhaustedSets(store, network, sets),
    held: await countLeases(store, network),
  });
  const shared = await sharedLeases(place);
  // of a shared store the look waits for no other node
  await shared?.transaction(network, beat);
  const exhausted =
    (await shared?.store.read(look)) ??
    (await storeOf(place, network, async (store, files) => {
      await beat(store);
      if (files !== undefined) await takeOver(store, files, network, { sets, note: noteOf(place, note) });
      return look(store);
    }));
  const [first] = exhausted.sets;
  if (first === undefined) return;
  throw new CniError(
    ErrorCode.notReady,
    `no free addresses in ${first.ranges.map(({ subnet }) => formatPrefix(subnet)).join(", ")}`,
    `network ${network} holds ${exhausted.held} addresses; the set is ${describeRangeSet(first)}: run "warren gc", or widen the range`,
  );
}

/** GC: releases what belongs to attachments that are not valid. Throws StoreError. */
export async function collectAddresses(call: GcCall<unknown>, place: Place): Promise<void> {
  const { network, valid } = call;
  const note = noteOf(place, call.note);
  const isStale = ({ containerId, ifname }: { readonly containerId: string; readonly ifname: string }) =>
    !valid.some(
      (one) => one.containerId === containerId && (one.ifname === ifname || ifname === UNKNOWN_INTERFACE),
    );
  const released = new Map<string, string>();
  const collectFiles = (files: LeaseFiles | undefined) => {
    files?.tidy((name) => note(`network ${network}: removed the empty file ${name}`));
    for (const one of files?.remove(isStale) ?? []) {
      released.set(formatAddress(one.address), describeOwner({ network, ...one }));
    }
  };
  if (place.shared !== undefined || storeExists(place.dataDir)) {
    await storeOf(place, network, async (store, files) => {
      collectFiles(files);
      for (const { address, row } of await releaseStale(store, network, valid, place.cooldownMs))
        released.set(formatAddress(address), describeHolder(row));
    });
  } else {
    using files = filesOf(place, network);
    collectFiles(files);
  }
  if (released.size === 0) return;
  const lines = [...released].map(
    ([address, holder]) => `network ${network}: released ${address} of ${holder}`,
  );
  note([...lines, `network ${network}: ${released.size} leases released`]);
}

/** Returns a note that names the plugin in every line; several lines are one write. */
function noteOf(place: Place, note: (text: string) => void): (lines: string | readonly string[]) => void {
  return (lines) =>
    note(
      [lines]
        .flat()
        .map((line) => `warren-${place.plugin}: ${line}`)
        .join("\n"),
    );
}
