// The settings of a container that were changed, as they are written down: which one in which namespace, what it was
// before, and what it is to be. Several attachments of one container may set the same; the last one to go puts it back.
import * as v from "valibot";
import { Failures } from "../cni/error.ts";
import {
  claimantsOf,
  type Entry,
  findAttachment,
  forgetAttachment,
  type KernelObject,
  listObjects,
  recordObjects,
} from "../ledger/attachments.ts";
import { describeOwner } from "../ledger/owner.ts";
import { connectInside } from "../net/connection.ts";
import { restoreAttributes, sameLink } from "../net/link-attributes.ts";
import { inNetns, type Netns, NetnsError, netnsIdentity, openNetns } from "../net/netns.ts";
import { TunableError, writeTunable } from "../net/tunable.ts";
import type { Transaction } from "../store/store.ts";
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

/** Puts everything back that is still there to be put back; all of it, even if a part fails. */
export async function restoreSettings(
  netns: Netns,
  ifname: string,
  objects: readonly KernelObject[],
  failures: Failures,
): Promise<void> {
  using inside = connectInside(netns);
  for (const object of objects) {
    await failures.collect(() => {
      const setting = tunedSetting(object);
      if (setting?.kind === "sysctl") {
        const { index, before, what } = setting;
        if (before === null) return;
        // another interface of that name has settings of its own
        if (index !== 0 && sameLink(inside, ifname, index) === undefined) return;
        inNetns(netns, () => restoreTunable(what, before));
      } else if (setting !== undefined) {
        const { index, before } = setting;
        // one that takes them with it is not asked for: the answer waits for whoever changes links, and others for us
        if (index !== 0 && sameLink(inside, ifname, index) !== undefined) {
          restoreAttributes(inside, index, before);
        }
      }
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
 * Forgets an entry and puts back what no other attachment of the container has set. Throws if a part of it failed; the
 * entry then stays with the transaction that is rolled back, so that the next DEL or GC tries again.
 */
export async function endTuning(store: Transaction, entry: Entry, path: string): Promise<void> {
  const row = await findAttachment(store, entry);
  // inside the transaction, so that no ADD can set one of them between the last claim and its restoring
  const unclaimed = await forgetAttachment(store, entry);
  const [first] = unclaimed.flatMap((object) => tunedSetting(object) ?? []);
  if (row === undefined || first === undefined) return;
  const failures = new Failures();
  await failures.collect(async () => {
    using netns = openRecorded(first.namespace, path, row.netns);
    // a namespace that is gone took everything with it
    if (netns !== undefined) await restoreSettings(netns, row.ifname, unclaimed, failures);
  });
  failures.rethrow(describeOwner(entry));
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
