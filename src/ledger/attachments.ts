// What an ADD made, written down before the kernel is touched: one attachment and the names of its kernel
// objects. DEL and GC read it back, so that they need neither the namespace nor the config of the ADD.

import {
  allAttachments,
  attachmentCount,
  attachmentOf,
  deleteAttachment,
  deleteObjectsOfOwner,
  objectClaims,
  objectsOfOwner,
  putAttachment,
  putObject,
  staleAttachments,
} from "../../db/queries.ts" with { type: "macro" };
import type { AttachmentRow, ObjectRow } from "../../db/queries.ts";
import type { AttachmentKey } from "../cni/network-config.ts";
import type { Transaction } from "../store/store.ts";
import type { Holder, Owner } from "./owner.ts";

const PUT_ATTACHMENT = putAttachment();
const ATTACHMENT_OF = attachmentOf();
const ALL_ATTACHMENTS = allAttachments();
const STALE_ATTACHMENTS = staleAttachments();
const ATTACHMENT_COUNT = attachmentCount();
const DELETE_ATTACHMENT = deleteAttachment();
const PUT_OBJECT = putObject();
const OBJECTS_OF_OWNER = objectsOfOwner();
const OBJECT_CLAIMS = objectClaims();
const DELETE_OBJECTS = deleteObjectsOfOwner();

export type { AttachmentRow };

/**
 * The kinds of kernel objects that are written down. `link` is an interface of the host by its name, and
 * `masquerade` a chain of the table `inet warren`.
 */
export type ObjectKind = "link" | "masquerade";

/** A kernel object by kind and name. */
export interface KernelObject {
  readonly kind: ObjectKind;
  readonly name: string;
}

const KINDS: readonly string[] = ["link", "masquerade"] satisfies ObjectKind[];

function isKernelObject(row: Pick<ObjectRow, "kind" | "name">): row is KernelObject {
  return KINDS.includes(row.kind);
}

/** Writes down an attachment of `plugin` and its objects; what is written down already stays. */
export async function recordAttachment(
  store: Transaction,
  holder: Holder,
  plugin: string,
  objects: readonly KernelObject[],
): Promise<void> {
  await store.run(PUT_ATTACHMENT, { ...holder, plugin });
  await recordObjects(store, holder, objects);
}

/** Adds objects to an attachment. */
export async function recordObjects(
  store: Transaction,
  owner: Owner,
  objects: readonly KernelObject[],
): Promise<void> {
  const { network, containerId, ifname } = owner;
  for (const { kind, name } of objects)
    await store.run(PUT_OBJECT, { network, containerId, ifname, kind, name });
}

/** Returns the attachment, or undefined if it isn't written down. */
export async function findAttachment(store: Transaction, owner: Owner): Promise<AttachmentRow | undefined> {
  return store.first(ATTACHMENT_OF, owner);
}

/** Returns every attachment of every network, the oldest of each network first. */
export async function listAttachments(store: Transaction): Promise<AttachmentRow[]> {
  return store.all(ALL_ATTACHMENTS, {});
}

/** Returns the network's attachments that are not among `valid`. */
export async function listStaleAttachments(
  store: Transaction,
  network: string,
  valid: readonly AttachmentKey[],
): Promise<AttachmentRow[]> {
  return store.all(STALE_ATTACHMENTS, { network, valid: pairs(valid) });
}

/** Returns the pairs as the JSON that the queries compare with: as pairs, never as joined strings. */
export function pairs(valid: readonly AttachmentKey[]): string {
  return JSON.stringify(valid.map(({ containerId, ifname }) => [containerId, ifname]));
}

/** Returns how many attachments a network has. */
export async function countAttachments(store: Transaction, network: string): Promise<number> {
  return (await store.first(ATTACHMENT_COUNT, { network }))?.attached ?? 0;
}

/** Returns the objects of an attachment. */
export async function listObjects(store: Transaction, owner: Owner): Promise<KernelObject[]> {
  return (await store.all(OBJECTS_OF_OWNER, owner)).filter(isKernelObject);
}

/**
 * Forgets an attachment and returns those of its objects that no other attachment needs. Call it when the
 * objects that only it has are gone, and remove the returned shared ones inside the same transaction, so that
 * nobody claims one meanwhile.
 */
export async function forgetAttachment(store: Transaction, owner: Owner): Promise<KernelObject[]> {
  const objects = await listObjects(store, owner);
  await store.run(DELETE_OBJECTS, owner);
  await store.run(DELETE_ATTACHMENT, owner);
  const unclaimed: KernelObject[] = [];
  for (const { kind, name } of objects) {
    if (((await store.first(OBJECT_CLAIMS, { kind, name }))?.claims ?? 0) === 0)
      unclaimed.push({ kind, name });
  }
  return unclaimed;
}

/** True if another attachment than `owner` has an object of that kind and name. */
export async function isNameClaimed(
  store: Transaction,
  owner: Owner,
  object: KernelObject,
): Promise<boolean> {
  const claims = (await store.first(OBJECT_CLAIMS, { kind: object.kind, name: object.name }))?.claims ?? 0;
  if (claims === 0) return false;
  const own = await listObjects(store, owner);
  return claims > own.filter(({ kind, name }) => kind === object.kind && name === object.name).length;
}
