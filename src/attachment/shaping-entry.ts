// What is written down of the limits of an attachment: the limit at the host's end of its pair, the redirection there, and the
// device of the detour; and how that is taken back, from the ledger or, where the store was lost, by name and alias.
import * as v from "valibot";
import { CniError, ErrorCode, Failures } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import type { GcCall } from "../cni/plugin.ts";
import {
  type Entry,
  findAttachment,
  forgetAttachment,
  isNameClaimed,
  type KernelObject,
  listObjects,
} from "../ledger/attachments.ts";
import { describeOwner, type Owner } from "../ledger/owner.ts";
import { type Connection, connectHost } from "../net/connection.ts";
import { endRedirectionsTo, listTaggedDetours, stopRedirection, unlimitSending } from "../net/shaping.ts";
import { findLink, type Link, removeLink, removeLinks } from "../net/veth.ts";
import { openStore, storeExists } from "../store/sqlite.ts";
import type { Transaction } from "../store/store.ts";
import type { StaleEntry, StuckEntry } from "./chained-collection.ts";
import { aliasOf, attachmentHash, ownerFromAlias } from "./identity.ts";
import { detailOf } from "./object-detail.ts";

/** The plugin's name in the ledger. */
export const BANDWIDTH_PLUGIN = "bandwidth";

/** Returns a name for the device of the detour that no other attachment has. */
export async function unclaimedDetourName(store: Transaction, entry: Entry): Promise<string> {
  for (let salt = 0; ; salt++) {
    const name = detourName(entry, salt);
    if (!(await isNameClaimed(store, entry, { kind: "link", name }))) return name;
  }
}

/** Returns the name that an attachment's device has almost always, if no link has it now; an empty one otherwise. */
export function freeDetourName(entry: Entry): string {
  using host = connectHost();
  const name = detourName(entry);
  return findLink(host, name) === undefined ? name : "";
}

/** Returns the name of the device of an attachment's detour; `salt` gives others, where that one is taken. */
export function detourName(entry: Entry, salt = 0): string {
  return `bwp${attachmentHash(entry, salt).toString(16).padStart(16, "0").slice(0, 12)}`;
}

/** Stands for an interface that this same call makes: the name is the attachment's own, and goes with it. */
export const NOT_YET_MADE = 0;

const indexSchema = v.object({ index: v.number() });
const redirectionSchema = v.object({ index: v.number(), priority: v.number(), ownsPlace: v.boolean() });

/** What is written down of a limit or redirection: names can be given again, so the interface's number too. */
export function shapingObject(
  kind: "limit" | "redirection",
  { name, index }: Pick<Link, "name" | "index">,
  more: object = {},
): KernelObject {
  return { kind, name, detail: JSON.stringify({ index, ...more }) };
}

/** Takes back a limit or a redirection, unless its interface is gone or another one has its name. */
function stopShaping(host: Connection, object: KernelObject): void {
  if (object.kind !== "limit" && object.kind !== "redirection") return;
  const link = findLink(host, object.name);
  if (link === undefined) return;
  const isMeant = (index: number) => index === NOT_YET_MADE || index === link.index;
  if (object.kind === "limit") {
    if (isMeant(detailOf(indexSchema, object).index)) unlimitSending(host, link.index);
    return;
  }
  const redirection = detailOf(redirectionSchema, object);
  if (isMeant(redirection.index)) stopRedirection(host, link.index, redirection);
}

/** Takes back what is written down of an attachment, every part even if another fails, and forgets it. */
export async function endShaping(host: Connection, dataDir: string, entry: Entry): Promise<void> {
  const store = openStore(dataDir);
  const failures = new Failures();
  const objects = await store.read((reader) => listObjects(reader, entry));
  // the redirection before the device that it leads to
  for (const object of objects) await failures.collect(() => stopShaping(host, object));
  for (const name of detoursOf(objects)) await failures.collect(() => removeLink(host, name));
  if (!failures.any) await store.transaction(async (writer) => void (await forgetAttachment(writer, entry)));
  failures.rethrow(`the limits of ${describeOwner(entry)}`);
}

/** Returns the names of the devices among what is written down. */
export function detoursOf(objects: readonly KernelObject[]): string[] {
  return objects.filter(({ kind }) => kind === "link").map(({ name }) => name);
}

/**
 * A detour of this attachment that a lost store left behind goes; anybody else's interface is refused. Returns whether
 * there was one.
 */
export function makeRoomFor(host: Connection, name: string, entry: Entry): boolean {
  const found = findLink(host, name);
  if (found === undefined) return false;
  if (found.kind !== "ifb" || found.alias === "" || found.alias !== aliasOf(entry)) {
    throw new CniError(
      ErrorCode.nameTaken,
      `interface ${shown(name)} already exists on the host`,
      `it is a ${found.kind || "physical"} interface; remove it`,
    );
  }
  removeDetours(host, [found]);
  return true;
}

/** Removes devices that no store knows, after the redirections to them: what is redirected to nowhere is dropped. */
export function removeDetours(host: Connection, detours: readonly Link[]): void {
  endRedirectionsTo(host, new Set(detours.map(({ index }) => index)));
  for (const { name } of detours) removeLink(host, name);
}

/** Takes back many attachments, the devices as one group; returns those of which something stays. */
export function takeBack(host: Connection, entries: readonly StaleEntry[]): StuckEntry[] {
  const stuck: StuckEntry[] = [];
  const owners = new Map<string, StaleEntry>();
  for (const entry of entries) {
    try {
      for (const object of entry.objects) stopShaping(host, object);
      for (const name of detoursOf(entry.objects)) owners.set(name, entry);
    } catch (error) {
      stuck.push({ entry, error });
    }
  }
  for (const { name, error } of removeLinks(host, [...owners.keys()])) {
    const entry = owners.get(name);
    if (entry !== undefined) stuck.push({ entry, error });
  }
  return stuck;
}

/** Removes devices whose attachment is not valid and that no store knows: by the tag that names the attachment. */
export async function collectLostDetours(
  host: Connection,
  { network, valid, note }: GcCall<unknown>,
  dataDir: string,
): Promise<void> {
  // devices first, then the store: an ADD writes before it makes its device, so one without an entry is nobody's
  const tagged = listTaggedDetours(host);
  const lost: { readonly detour: Link; readonly owner: Owner }[] = [];
  for (const detour of tagged) {
    const owner = ownerFromAlias(detour.alias);
    if (owner?.network !== network) continue;
    if (valid.some((one) => one.containerId === owner.containerId && one.ifname === owner.ifname)) continue;
    const entry = { ...owner, plugin: BANDWIDTH_PLUGIN };
    const known =
      storeExists(dataDir) &&
      (await openStore(dataDir).transaction((store) => findAttachment(store, entry))) !== undefined;
    if (!known) lost.push({ detour, owner });
  }
  removeDetours(
    host,
    lost.map(({ detour }) => detour),
  );
  for (const { detour, owner } of lost)
    note(`warren-bandwidth: removed interface ${detour.name} of ${describeOwner(owner)}`);
}
