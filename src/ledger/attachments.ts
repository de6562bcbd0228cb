// What an ADD made, written down before the kernel is touched: for each plugin of the chain an entry with the names
// of its kernel objects. DEL and GC read it back, so that they need neither the namespace nor the config of the ADD.

import type { Entry } from "../../db/conditions.ts";
import {
  allAttachments,
  attachmentCount,
  attachmentOf,
  deleteAttachments,
  deleteAttachmentsOfOwners,
  deleteObjects,
  deleteObjectsOfOwners,
  networkPlugins,
  objectClaimants,
  objectClaims,
  objectsOfEntry,
  objectsOfKind,
  objectsOfOwners,
  ownerPlugins,
  putAttachment,
  putObject,
  staleAttachments,
  staleObjects,
  unclaimedObjects,
} from "../../db/queries.ts" with { type: "macro" };
import type { AttachmentRow, ObjectRow } from "../../db/queries.ts";
import type { AttachmentKey } from "../cni/network-config.ts";
import type { Transaction } from "../store/store.ts";
import { currentBootId } from "../sys/process.ts";
import { type Holder, netnsIsGone, type Owner } from "./owner.ts";

const PUT_ATTACHMENT = putAttachment();
const ATTACHMENT_OF = attachmentOf();
const ALL_ATTACHMENTS = allAttachments();
const STALE_ATTACHMENTS = staleAttachments();
const STALE_OBJECTS = staleObjects();
const ATTACHMENT_COUNT = attachmentCount();
const DELETE_ATTACHMENTS = deleteAttachments();
const DELETE_ATTACHMENTS_OF_OWNERS = deleteAttachmentsOfOwners();
const PUT_OBJECT = putObject();
const OBJECTS_OF_ENTRY = objectsOfEntry();
const OBJECTS_OF_KIND = objectsOfKind();
const OBJECTS_OF_OWNERS = objectsOfOwners();
const OBJECT_CLAIMS = objectClaims();
const OBJECT_CLAIMANTS = objectClaimants();
const UNCLAIMED_OBJECTS = unclaimedObjects();
const DELETE_OBJECTS = deleteObjects();
const DELETE_OBJECTS_OF_OWNERS = deleteObjectsOfOwners();
const OWNER_PLUGINS = ownerPlugins();
const NETWORK_PLUGINS = networkPlugins();

export type { AttachmentRow, Entry };

/** The kinds of objects that are written down; what a name says beyond them is its plugin's matter. */
const KINDS = [
  /** An interface of the host, by its name. */
  "link",
  /** One that a container has for a while. */
  "device",
  /** One that a container's interface stands on. */
  "master",
  /** A chain of the table `inet warren`. */
  "masquerade",
  /** A port of a bridge, and the hardware address that it allows. */
  "source check",
  /** An interface, and the address that it has for pods. */
  "gateway",
  /** What holds up the traffic of an interface of the host. */
  "limit",
  "redirection",
  /** Settings of a container, with what they were before. */
  "sysctl",
  "attributes",
  /** An interface by name, number and container, with the rules by which its traffic goes wrong. */
  "impairment",
  /** A table that needs the firewall's chain. */
  "firewall",
  /** An element of one of the firewall's sets. */
  "firewall element",
  /** An address in a zone of firewalld. */
  "firewalld source",
  /** A port of the host, with where it leads. */
  "port map",
  /** One that another interface of the container has first. */
  "waiting port map",
  /** A chain that such ports share. */
  "port map sources",
  /** Another network that the container was added to, and how: delegation/ reads it back. */
  "delegate",
  /** A default route of a container, which stands in the place of others. */
  "default route",
  /** Routes of an interface of a container that acknowledge at once. */
  "quick routes",
  /** The rules, tables and moved routes of an interface of a container. */
  "source routing",
  /** One in a container. */
  "vrf",
  /** An interface in a VRF, with what it had before. */
  "vrf port",
  /** No objects of the kernel's: what a runtime was told, and what is so. */
  "reported address",
  "real address",
] as const;

/** One of these kinds. */
export type ObjectKind = (typeof KINDS)[number];

/** A kernel object by kind and name. */
export interface KernelObject {
  readonly kind: ObjectKind;
  readonly name: string;
  /** What taking it back needs and the name does not say; empty for most kinds. */
  readonly detail: string;
}

function isKernelObject(
  row: Pick<ObjectRow, "kind" | "name" | "detail">,
): row is KernelObject & Pick<ObjectRow, "kind"> {
  const kinds: readonly string[] = KINDS;
  return kinds.includes(row.kind);
}

/** Returns the object of a row; none for a kind that only a later version knows. */
function objectsIn(row: Pick<ObjectRow, "kind" | "name" | "detail">): KernelObject[] {
  return isKernelObject(row) ? [{ kind: row.kind, name: row.name, detail: row.detail }] : [];
}

/** Returns an object whose name says all. */
export function kernelObject(kind: ObjectKind, name: string): KernelObject {
  return { kind, name, detail: "" };
}

/** Writes down that `plugin` makes these objects for an attachment; what is written down already stays. */
export async function recordAttachment(
  store: Transaction,
  holder: Holder,
  plugin: string,
  objects: readonly KernelObject[],
): Promise<void> {
  await store.run(PUT_ATTACHMENT, { ...holder, plugin });
  await recordObjects(store, { ...holder, plugin }, objects);
}

/** Adds objects to an entry. */
export async function recordObjects(
  store: Transaction,
  entry: Entry,
  objects: readonly KernelObject[],
): Promise<void> {
  for (const object of objects) await store.run(PUT_OBJECT, { ...keyOf(entry), ...object });
}

/** Rows carry more columns than a key has, and a query takes just its own parameters. */
function keyOf({ network, containerId, ifname, plugin }: Entry): Entry {
  return { network, containerId, ifname, plugin };
}

/** Returns what a plugin wrote down about an attachment, or undefined if it wrote nothing. */
export async function findAttachment(store: Transaction, entry: Entry): Promise<AttachmentRow | undefined> {
  return store.first(ATTACHMENT_OF, keyOf(entry));
}

/** Returns the plugins that wrote down something about an attachment. */
export async function pluginsOfOwner(store: Transaction, owner: Owner): Promise<string[]> {
  return (await store.all(OWNER_PLUGINS, owner)).map(({ plugin }) => plugin);
}

/** Returns the plugins that wrote down something about any attachment of a network. */
export async function pluginsOfNetwork(store: Transaction, network: string): Promise<string[]> {
  return (await store.all(NETWORK_PLUGINS, { network })).map(({ plugin }) => plugin);
}

/** Returns every entry of every network, the oldest of each network first. */
export async function listAttachments(store: Transaction): Promise<AttachmentRow[]> {
  return store.all(ALL_ATTACHMENTS, {});
}

/** Returns the entries of a plugin on a network whose attachments are not among `valid`. */
export async function listStaleAttachments(
  store: Transaction,
  network: string,
  plugin: string,
  valid: readonly AttachmentKey[],
): Promise<AttachmentRow[]> {
  return store.all(STALE_ATTACHMENTS, { network, plugin, valid: keys(valid) });
}

/** What one plugin wrote down about an attachment. */
export interface WrittenEntry<Row extends Entry = AttachmentRow> {
  readonly row: Row;
  readonly objects: readonly KernelObject[];
}

/** Returns an entry with its objects. */
export async function writtenAbout(store: Transaction, entry: Entry): Promise<WrittenEntry<Entry>> {
  return { row: entry, objects: await listObjects(store, entry) };
}

/** Returns what `listStaleAttachments` does, with the objects. */
export async function listStaleEntries(
  store: Transaction,
  network: string,
  plugin: string,
  valid: readonly AttachmentKey[],
): Promise<WrittenEntry[]> {
  const rows = await listStaleAttachments(store, network, plugin, valid);
  const written = await store.all(STALE_OBJECTS, { network, plugin, valid: keys(valid) });
  const objects = Map.groupBy(written, attachmentKey);
  return rows.map((row) => ({ row, objects: objects.get(attachmentKey(row))?.flatMap(objectsIn) ?? [] }));
}

/** Returns what names the attachment within its network: neither of the two that are in a store has a slash in it. */
function attachmentKey({ containerId, ifname }: AttachmentKey): string {
  return `${containerId}/${ifname}`;
}

/** Returns the attachments as the JSON that is compared with rows one by one; one with more slashes is no row's. */
export function keys(valid: readonly AttachmentKey[]): string {
  return JSON.stringify(valid.map(attachmentKey));
}

/** Returns the attachments as the JSON by which their rows are sought. */
function pairs(owners: readonly AttachmentKey[]): string {
  return JSON.stringify(owners.map(({ containerId, ifname }) => [containerId, ifname]));
}

/** Returns the entries of a plugin on a network whose containers can still be alive, with their objects. */
export async function listLivingEntries(
  store: Transaction,
  network: string,
  plugin: string,
): Promise<WrittenEntry[]> {
  const entries = await listStaleEntries(store, network, plugin, []);
  return entries.filter(({ row }) => row.bootId === currentBootId() && !netnsIsGone(row));
}

/** Returns how many attachments a plugin has on a network. */
export async function countAttachments(store: Transaction, network: string, plugin: string): Promise<number> {
  return (await store.first(ATTACHMENT_COUNT, { network, plugin }))?.attached ?? 0;
}

/** Returns the objects of an entry. */
export async function listObjects(store: Transaction, entry: Entry): Promise<KernelObject[]> {
  return (await store.all(OBJECTS_OF_ENTRY, keyOf(entry))).filter(isKernelObject);
}

/** Returns the objects of that kind, of every entry of every network, with whose they are. */
export async function listObjectsOfKind(store: Transaction, kind: ObjectKind): Promise<ObjectRow[]> {
  return store.all(OBJECTS_OF_KIND, { kind });
}

/**
 * Forgets an entry and returns those of its objects that no other entry needs. Call it when the objects that only
 * it has are gone, and remove the returned shared ones inside the same transaction, so that nobody claims one
 * meanwhile.
 */
export async function forgetAttachment(store: Transaction, entry: Entry): Promise<KernelObject[]> {
  return forgetAttachments(store, entry.network, entry.plugin, [entry]);
}

/**
 * Does as `forgetAttachment`, unless an ADD that has begun since the row was read has put an entry of its own in its place:
 * where a container comes back in a new namespace while its DEL is under way.
 */
export async function forgetUnlessReplaced(store: Transaction, row: AttachmentRow): Promise<KernelObject[]> {
  const found = await findAttachment(store, row);
  const isSame = found?.createdAtMs === row.createdAtMs && found.netnsInode === row.netnsInode;
  return isSame ? forgetAttachment(store, row) : [];
}

/** Does as `forgetAttachment` for many attachments that the plugin has on a network, in as many steps as for one. */
export async function forgetAttachments(
  store: Transaction,
  network: string,
  plugin: string,
  attachments: readonly AttachmentKey[],
): Promise<KernelObject[]> {
  const which = { network, plugin, owners: pairs(attachments) };
  const objects = (await store.all(OBJECTS_OF_OWNERS, which)).flatMap(objectsIn);
  await store.run(DELETE_OBJECTS, which);
  await store.run(DELETE_ATTACHMENTS, which);
  if (objects.length === 0) return [];
  const byName = new Map(objects.map((object) => [JSON.stringify([object.kind, object.name]), object]));
  const unclaimed = await store.all(UNCLAIMED_OBJECTS, { objects: `[${[...byName.keys()].join()}]` });
  return unclaimed.flatMap(({ kind, name }) => byName.get(JSON.stringify([kind, name])) ?? []);
}

/** Forgets what every plugin wrote down about attachments: their objects went with the boot that they were made in. */
export async function forgetOwners(
  store: Transaction,
  network: string,
  owners: readonly AttachmentKey[],
): Promise<void> {
  const which = { network, owners: pairs(owners) };
  await store.run(DELETE_OBJECTS_OF_OWNERS, which);
  await store.run(DELETE_ATTACHMENTS_OF_OWNERS, which);
}

async function claimsOf(
  store: Transaction,
  { kind, name }: Pick<KernelObject, "kind" | "name">,
): Promise<number> {
  return (await store.first(OBJECT_CLAIMS, { kind, name }))?.claims ?? 0;
}

/** Returns the entries of every network that have an object of that kind and name. */
export async function claimantsOf(
  store: Transaction,
  { kind, name }: Pick<KernelObject, "kind" | "name">,
): Promise<AttachmentRow[]> {
  return store.all(OBJECT_CLAIMANTS, { kind, name });
}

/** True if any entry has an object of that kind and name. */
export async function isClaimed(store: Transaction, kind: ObjectKind, name: string): Promise<boolean> {
  return (await claimsOf(store, { kind, name })) > 0;
}

/** True if another entry has an object of that kind and name. */
export async function isNameClaimed(
  store: Transaction,
  entry: Entry,
  object: Pick<KernelObject, "kind" | "name">,
): Promise<boolean> {
  const claims = await claimsOf(store, object);
  if (claims === 0) return false;
  const own = await listObjects(store, entry);
  return claims > own.filter(({ kind, name }) => kind === object.kind && name === object.name).length;
}
