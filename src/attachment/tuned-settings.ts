// The settings of a container that were changed, as they are written down: which one in which namespace, what it was
// before, and what it is to be. Several attachments of one container may set the same; the last one to go puts it back.
import * as v from "valibot";
import { CniError, ErrorCode, Failures } from "../cni/error.ts";
import {
  claimantsOf,
  type Entry,
  findAttachment,
  forgetAttachment,
  isNameClaimed,
  type KernelObject,
  listObjects,
  recordObjects,
} from "../ledger/attachments.ts";
import { describeOwner } from "../ledger/owner.ts";
import { connectInside } from "../net/connection.ts";
import { interfaceNameIn, restoreAttributes, sameLink } from "../net/link-attributes.ts";
import { inNetns, type Netns, NetnsError, netnsIdentity, openNetns } from "../net/netns.ts";
import { TunableError, writeTunable } from "../net/tunable.ts";
import type { Store, Transaction } from "../store/store.ts";
import { detailOf } from "./object-detail.ts";

const attributesSchema = v.object({
  mac: v.optional(v.string()),
  promisc: v.optional(v.boolean()),
  mtu: v.optional(v.number()),
  allmulti: v.optional(v.boolean()),
  txQLen: v.optional(v.number()),
});
const attributesDetail = v.object({ index: v.number(), before: attributesSchema, after: attributesSchema });
const sysctlDetail = v.object({
  index: v.number(),
  before: v.nullable(v.string()),
  after: v.string(),
  shown: v.optional(v.string()),
});

/**
 * A sysctl by its path below /proc/sys/net: `before` is null where there is nothing to put back, and `shown` is how the
 * kernel shows `after` where it spells it otherwise. `index` is the number of the interface that it is of, else 0.
 */
export type TunedSysctl = { readonly kind: "sysctl" } & Place & v.InferOutput<typeof sysctlDetail>;

/** Attributes of the interface called `what`, whose number is `index`; 0 is one that takes them with it. */
export type TunedAttributes = { readonly kind: "attributes" } & Place &
  v.InferOutput<typeof attributesDetail>;

/** What a setting is, in which namespace. Identities of namespaces have no spaces. */
interface Place {
  readonly what: string;
  readonly namespace: string;
}

/**
 * Returns the setting as the ledger has it. The namespace is in the name, so that attachments of one container that
 * set the same have the same object.
 */
export function tunedObject({
  kind,
  what,
  namespace,
  ...detail
}: TunedSysctl | TunedAttributes): KernelObject {
  return { kind, name: `${what} ${namespace}`, detail: JSON.stringify(detail) };
}

/** Returns the setting that an object of the ledger is; undefined for any other object. Throws CniError 105. */
export function tunedSetting(object: KernelObject): TunedSysctl | TunedAttributes | undefined {
  const { kind, name } = object;
  const space = name.lastIndexOf(" ");
  const place = { what: name.slice(0, space), namespace: name.slice(space + 1) };
  if (kind === "sysctl") return { kind, ...place, ...detailOf(sysctlDetail, object) };
  if (kind === "attributes") return { kind, ...place, ...detailOf(attributesDetail, object) };
  return undefined;
}

/**
 * Returns the settings with what was there before the first attachment that set them: `found` is what there is now,
 * which an earlier one may have made.
 */
export async function withEarlierValues(
  store: Transaction,
  found: readonly KernelObject[],
): Promise<KernelObject[]> {
  const merged: KernelObject[] = [];
  for (const object of found) merged.push(mergedWith(await claimsOf(store, object), object));
  return merged;
}

/** Returns what is written down about the very same object, by this attachment or another one of its container. */
async function claimsOf(store: Transaction, object: KernelObject): Promise<KernelObject[]> {
  const claims: KernelObject[] = [];
  for (const claimant of await claimantsOf(store, object)) {
    const written = await listObjects(store, claimant);
    claims.push(...written.filter(({ kind, name }) => kind === object.kind && name === object.name));
  }
  return claims;
}

/** What the first of the claims found is what was there before. */
function mergedWith(claims: readonly KernelObject[], object: KernelObject): KernelObject {
  const now = tunedSetting(object);
  for (const claim of claims) {
    const old = tunedSetting(claim);
    // another interface of that name has settings of its own
    if (now === undefined || old?.index !== now.index) continue;
    if (old.kind === "sysctl" && now.kind === "sysctl") return tunedObject({ ...now, before: old.before });
    if (old.kind === "attributes" && now.kind === "attributes") {
      return tunedObject({
        ...now,
        before: { ...now.before, ...old.before },
        after: { ...old.after, ...now.after },
      });
    }
  }
  return object;
}

/** Puts the interface's attributes back where it is still there; all of them, even if a part fails. */
export async function restoreInterface(
  netns: Netns,
  ifname: string,
  objects: readonly KernelObject[],
  failures: Failures,
): Promise<void> {
  for (const object of objects) {
    await failures.collect(() => {
      const setting = tunedSetting(object);
      // one that takes them with it is not looked for
      if (setting?.kind !== "attributes" || setting.index === 0) return;
      using inside = connectInside(netns);
      const { index, before } = setting;
      if (sameLink(inside, ifname, index) !== undefined) restoreAttributes(inside, index, before);
    });
  }
}

/** Puts the sysctls back that are still there; all of them, even if a part fails. Asks nothing that one has to wait for. */
export async function restoreSysctls(
  netns: Netns,
  ifname: string,
  objects: readonly KernelObject[],
  failures: Failures,
): Promise<void> {
  for (const object of objects) {
    await failures.collect(() => {
      const setting = tunedSetting(object);
      if (setting?.kind !== "sysctl") return;
      const { index, before, what } = setting;
      if (before === null) return;
      // another interface of that name has settings of its own
      if (index !== 0 && interfaceNameIn(netns, index) !== ifname) return;
      inNetns(netns, () => restoreTunable(what, before));
    });
  }
}

function restoreTunable(path: string, value: string): void {
  try {
    writeTunable(path, value);
  } catch (error) {
    // it went with its interface or its module
    if (!(error instanceof TunableError && error.problem === "missing")) throw error;
  }
}

/** Opens the namespace of that identity (netnsIdentity), if one of the paths still leads there. */
export function openRecorded(namespace: string, ...paths: readonly string[]): Netns | undefined {
  for (const path of paths) {
    if (path === "") continue;
    try {
      const netns = openNetns(path);
      // a path and even an inode may by now belong to another namespace
      if (netnsIdentity(netns) === namespace) return netns;
      netns[Symbol.dispose]();
    } catch (error) {
      if (!(error instanceof NetnsError)) throw error;
    }
  }
  return undefined;
}

/**
 * Puts back what no other attachment of the container has set, and forgets the entry. Throws if a part of it failed, and
 * CniError 11 for one that was set again meanwhile; the entry then stays for the next DEL or GC.
 */
export async function endTuning(store: Store, entry: Entry, path: string): Promise<void> {
  const { row, objects, own } = await store.read(async (reading) => {
    const written = await listObjects(reading, entry);
    const attributes = written.find(({ kind }) => kind === "attributes");
    const isOwn = attributes !== undefined && !(await isNameClaimed(reading, entry, attributes));
    return {
      row: await findAttachment(reading, entry),
      objects: written,
      own: isOwn ? [attributes] : [],
    };
  });
  if (row === undefined) return;
  const [first] = objects.flatMap((object) => tunedSetting(object) ?? []);
  // a namespace that is gone took everything with it
  using netns = first === undefined ? undefined : openRecorded(first.namespace, path, row.netns);
  const failures = new Failures();
  // before the transaction: the kernel changes a link when nobody else does any more, and all others would wait with us
  if (netns !== undefined) await restoreInterface(netns, row.ifname, own, failures);
  await store.transaction(async (transaction) => {
    const found = await listObjects(transaction, entry);
    if (JSON.stringify(found) !== JSON.stringify(objects)) throw setAgain(entry);
    // inside the transaction, so that no ADD can set one of them between the last claim and its restoring
    const unclaimed = await forgetAttachment(transaction, entry);
    if (netns !== undefined) await restoreSysctls(netns, row.ifname, unclaimed, failures);
    failures.rethrow(describeOwner(entry));
  });
}

function setAgain(entry: Entry): CniError {
  return new CniError(
    ErrorCode.tryAgainLater,
    `${describeOwner(entry)} was tuned again while it was deleted`,
    "a runtime must not ADD an attachment before its DEL has ended",
  );
}

/** Writes down how the kernel spells what was set: "010" is 8, and lists are sorted. CHECK compares with that. */
export async function recordSpellings(
  store: Transaction,
  entry: Entry,
  spellings: ReadonlyMap<string, string>,
): Promise<void> {
  for (const object of await listObjects(store, entry)) {
    const setting = tunedSetting(object);
    const found = setting === undefined ? undefined : spellings.get(setting.what);
    if (setting?.kind !== "sysctl" || found === undefined) continue;
    await recordObjects(store, entry, [tunedObject({ ...setting, shown: found })]);
  }
}
