// The GC of a net plugin that makes pairs: whatever belongs to an attachment that is not valid goes, by what is
// written down and, where the store was lost, by the tags on the kernel's objects.
import type { Failures } from "../cni/error.ts";
import type { AttachmentKey } from "../cni/network-config.ts";
import type { Delegate } from "../cni/plugin.ts";
import {
  countAttachments,
  findAttachment,
  forgetAttachments,
  isClaimed,
  type KernelObject,
  kernelObject,
  listStaleEntries,
} from "../ledger/attachments.ts";
import { describeOwner, type Owner } from "../ledger/owner.ts";
import { connectHost } from "../net/connection.ts";
import { listMasquerade } from "../net/masquerade.ts";
import { listTaggedVeths, removeLinks } from "../net/veth.ts";
import { inExistingStore } from "../store/sqlite.ts";
import type { Transaction } from "../store/store.ts";
import { ownerFromAlias } from "./identity.ts";
import { removeObjects } from "./reservation.ts";

/** What a GC works with. */
export interface Collection {
  readonly network: string;
  readonly dataDir: string;
  /** The plugin's name in notes. */
  readonly plugin: string;
  readonly valid: readonly AttachmentKey[];
  readonly ipam: Delegate | undefined;
  /** Every step that fails is kept here, and the others go on. */
  readonly failures: Failures;
  readonly note: (text: string) => void;
  /** Removes what an attachment has inside its container and on the host does not show. */
  readonly removeInside?: ((stale: StaleAttachment) => void) | undefined;
}

/** Removes everything of attachments that are not valid: links, chains, and what is written about them. */
export async function collectAttachments(collection: Collection): Promise<void> {
  const { network, dataDir, plugin, ipam, failures, note } = collection;
  using host = connectHost();
  // links first, then the store: an ADD writes before it makes its link, so a link without an entry is nobody's
  const tagged = listTaggedVeths(host).flatMap(({ name, alias }) => {
    const owner = ownerFromAlias(alias);
    return owner?.network === network ? [{ name, owner }] : [];
  });
  const stale = await inExistingStore(
    dataDir,
    (store) => staleAttachments(store, collection, tagged),
    "read",
  );
  // another plugin's GC may do nothing, but every one has DEL, here as long as the interfaces are there
  const asksEarly = ipam?.inProcess === false && ipam.needsInterface;
  const releases = (one: StaleAttachment) => ipam?.delOf({ ...one.owner, netns: one.netns });
  if (asksEarly) for (const one of stale) await failures.collect(async () => releases(one));
  const names = stale.flatMap(({ links }) => links);
  const stuck = new Map(removeLinks(host, names).map(({ name, error }) => [name, error]));
  const gone: Owner[] = [];
  for (const one of stale) {
    const { owner, links } = one;
    await failures.collect(async () => {
      const [error] = links.flatMap((name) => stuck.get(name) ?? []);
      // what can't be removed stays written down, so that the next GC tries again
      if (error !== undefined) throw error;
      collection.removeInside?.(one);
      // ours compares its own leases with the list
      if (ipam?.inProcess === false && !asksEarly) await releases(one);
      gone.push(owner);
    });
  }
  await failures.collect(async () => {
    await inExistingStore(dataDir, async (store) => {
      const unclaimed = store === undefined ? [] : await forgetAttachments(store, network, plugin, gone);
      removeObjects([...unclaimed, ...(await unclaimedChains(store, collection))]);
    });
    for (const owner of gone) note(`warren-${plugin}: removed ${describeOwner(owner)}`);
  });
}

/** An attachment that is not valid, and the host's ends of its pairs. */
export interface StaleAttachment {
  readonly owner: Owner;
  /** The namespace that it was made in; empty where nothing was written down. */
  readonly netns: string;
  readonly netnsInode: string | null;
  readonly links: readonly string[];
  /** Everything that was written down; nothing where the store was lost. */
  readonly objects: readonly KernelObject[];
}

interface TaggedLink {
  readonly name: string;
  readonly owner: Owner;
}

/** Returns the attachments that are not valid with their links, and links whose attachment nobody wrote down. */
async function staleAttachments(
  store: Transaction | undefined,
  { network, plugin, valid }: Collection,
  tagged: readonly TaggedLink[],
): Promise<StaleAttachment[]> {
  const entries = store === undefined ? [] : await listStaleEntries(store, network, plugin, valid);
  const stale = entries.map(({ row, objects }): StaleAttachment => {
    const owner: Owner = { network, containerId: row.containerId, ifname: row.ifname };
    const links = objects.filter(({ kind }) => kind === "link").map(({ name }) => name);
    return { owner, netns: row.netns, netnsInode: row.netnsInode, links, objects };
  });
  const known = new Set(stale.flatMap(({ links }) => links));
  for (const { name, owner } of tagged) {
    const isValid = valid.some(
      ({ containerId, ifname }) => containerId === owner.containerId && ifname === owner.ifname,
    );
    if (isValid || known.has(name)) continue;
    if (store !== undefined && (await findAttachment(store, { ...owner, plugin })) !== undefined) continue;
    stale.push({ owner, netns: "", netnsInode: null, links: [name], objects: [] });
  }
  return stale;
}

/** Returns the network's chains that a lost store left behind: nobody claims them, and nobody needs them. */
async function unclaimedChains(
  store: Transaction | undefined,
  { network, plugin, valid }: Collection,
): Promise<KernelObject[]> {
  // who is valid and not written down was lost with the store, and may be alive behind such a chain
  if (valid.length > 0) return [];
  if (store !== undefined && (await countAttachments(store, network, plugin)) > 0) return [];
  const left: KernelObject[] = [];
  for (const name of listMasquerade(network)) {
    if (store === undefined || !(await isClaimed(store, "masquerade", name)))
      left.push(kernelObject("masquerade", name));
  }
  return left;
}
