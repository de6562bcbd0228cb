// What is written down of the firewall for an attachment: which elements of its sets it claims, and which sources of zones of
// firewalld; and how that is taken back, from the ledger or, where the store was lost, by what the kernel says of whose it is.
import { Failures } from "../cni/error.ts";
import {
  type Entry,
  findAttachment,
  forgetAttachments,
  isClaimed,
  type KernelObject,
  kernelObject,
  type WrittenEntry,
} from "../ledger/attachments.ts";
import type { Owner } from "../ledger/owner.ts";
import type { Claimant } from "../net/firewall/claims.ts";
import {
  listClaims,
  listFirewall,
  removeFromFirewall,
  removeUnusedFirewall,
  type SharedClaim,
  type TaggedElement,
  withdrawFromFirewall,
} from "../net/firewall/firewall.ts";
import { removeZoneSources, type ZoneSource } from "../net/firewall/firewalld.ts";
import {
  elementNamed,
  type FirewallElement,
  type FirewallFamily,
  isShared,
  nameOfElement,
} from "../net/firewall/parts.ts";
import type { Transaction } from "../store/store.ts";
import { aliasOf, claimantName, ownerFromAlias } from "./identity.ts";

/** The plugin's name in the ledger. */
export const FIREWALL_PLUGIN = "firewall";

/** Returns what the kernel is told about whose an element is. */
export function claimantOf(owner: Owner): Claimant {
  return { name: claimantName(owner), tag: aliasOf(owner) ?? "" };
}

/** What an attachment claims: the firewall in each table, so that the last claim is seen to go, and its elements. */
export function objectsFor(
  elements: readonly FirewallElement[],
  sources: readonly ZoneSource[],
): KernelObject[] {
  return [
    kernelObject("firewall", "inet"),
    ...(elements.some(({ set }) => set === "isolated-ports") ? [kernelObject("firewall", "bridge")] : []),
    ...elements.map((element) => kernelObject("firewall element", nameOfElement(element))),
    ...sources.map(({ zone, source }) => kernelObject("firewalld source", `${zone} ${source}`)),
  ];
}

/** Returns the elements among what is written down. */
export function elementsOf(objects: readonly KernelObject[]): FirewallElement[] {
  return objects.flatMap(({ kind, name }) => {
    const element = kind === "firewall element" ? elementNamed(name) : undefined;
    return element === undefined ? [] : [element];
  });
}

/** Returns the sources of zones among what is written down. */
export function sourcesOf(objects: readonly KernelObject[]): ZoneSource[] {
  return objects.flatMap(({ kind, name }) => {
    // names of zones have no spaces, and addresses have none
    const space = name.lastIndexOf(" ");
    return kind === "firewalld source" ? [{ zone: name.slice(0, space), source: name.slice(space + 1) }] : [];
  });
}

/**
 * Forgets a network's attachments and takes back what only they needed, the firewall itself after the last one. Call
 * it inside a transaction of the store, so that no ADD can claim an element between the last claim and its removal.
 */
export async function forget(store: Transaction, entries: readonly WrittenEntry<Entry>[]): Promise<void> {
  const [first] = entries;
  if (first === undefined) return;
  const claims = entries.flatMap(({ row, objects }): SharedClaim[] => {
    const claimant = claimantOf(row);
    const shared = elementsOf(objects).filter(isShared);
    return shared.map((element) => ({ ...element, claimant }));
  });
  const rows = entries.map(({ row }) => row);
  const unclaimed = await forgetAttachments(store, first.row.network, FIREWALL_PLUGIN, rows);
  const failures = new Failures();
  // of what attachments share the kernel knows the last claim, which may stand in another store
  await failures.collect(() => withdrawFromFirewall(claims));
  await failures.collect(() =>
    removeFromFirewall(elementsOf(unclaimed).filter((element) => !isShared(element))),
  );
  await failures.collect(() => removeUnused(store));
  await failures.collect(() => removeZoneSources(sourcesOf(unclaimed)));
  failures.rethrow("what nobody needs any more");
}

/** Removes what no attachment of this store needs; what those of another one need the kernel keeps. */
export async function removeUnused(store: Transaction | undefined): Promise<void> {
  const families: FirewallFamily[] = [];
  for (const family of ["inet", "bridge"] as const) {
    if (store === undefined || !(await isClaimed(store, "firewall", family))) families.push(family);
  }
  removeUnusedFirewall(families);
}

/**
 * Takes out of the kernel what attachments for which `isDoomed` have there and no entry knows, as after the loss of a
 * store. Returns whose it was.
 */
export async function removeOrphans(
  store: Transaction | undefined,
  isDoomed: (owner: Owner) => boolean,
): Promise<Owner[]> {
  const owners = new Map<string, Owner>();
  const doomed: TaggedElement[] = [];
  for (const element of listFirewall()) {
    const owner = ownerFromAlias(element.tag);
    if (owner === undefined || !isDoomed(owner)) continue;
    // the tag is that of the first who had the address
    if (store !== undefined && (await isClaimed(store, "firewall element", nameOfElement(element)))) continue;
    doomed.push(element);
    owners.set(element.tag, owner);
  }
  const claims: SharedClaim[] = [];
  for (const claim of listClaims()) {
    const owner = ownerFromAlias(claim.claimant.tag);
    if (owner === undefined || !isDoomed(owner)) continue;
    const entry = { ...owner, plugin: FIREWALL_PLUGIN };
    if (store !== undefined && (await findAttachment(store, entry)) !== undefined) continue;
    claims.push(claim);
    owners.set(claim.claimant.tag, owner);
  }
  removeFromFirewall(doomed);
  withdrawFromFirewall(claims);
  return [...owners.values()];
}
