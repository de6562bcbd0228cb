// What is known of a network's attachments without asking a plugin: the runtime's cache, and the stores of the
// plugins that are ours. `gc` finds there whom an operator means, and shows what it would remove.
import { resolve } from "node:path";
import * as v from "valibot";
import { ErrorCode } from "../cni/error.ts";
import { parseInput } from "../cni/input.ts";
import type { AttachmentKey } from "../cni/network-config.ts";
import type { NetworkList } from "../conflist/network-list.ts";
import { delegateNamed } from "../delegation/delegated-network.ts";
import { listLeases, listStaleLeases } from "../ipam/leases.ts";
import { SharedLeases } from "../ipam/shared-leases.ts";
import { listAttachments, listObjects, listObjectsOfKind } from "../ledger/attachments.ts";
import type { Runtime } from "../runtime/chain.ts";
import { DEFAULT_DATA_DIR, openStore, storeExists } from "../store/sqlite.ts";
import type { Store } from "../store/store.ts";
import { shownLease } from "./leases.ts";

const placeSchema = v.object({
  dataDir: v.nullish(v.string()),
  store: v.nullish(v.unknown()),
  ipam: v.nullish(v.object({ dataDir: v.nullish(v.string()), store: v.nullish(v.unknown()) })),
});

function placesOf(list: NetworkList): v.InferOutput<typeof placeSchema>[] {
  const what = `network config ${JSON.stringify(list.name)}`;
  return list.plugins.map(({ document }) => parseInput(placeSchema, document, ErrorCode.invalidConfig, what));
}

/** Returns where the network's plugins, those that are ours, keep their stores. Throws CniError 7. */
export function dataDirsOf(list: NetworkList): string[] {
  const dirs = placesOf(list).flatMap(({ dataDir, ipam }) => [
    dataDir ?? ipam?.dataDir ?? DEFAULT_DATA_DIR,
    ipam?.dataDir ?? DEFAULT_DATA_DIR,
  ]);
  return [...new Set(dirs)];
}

/** Returns where the node's own stores of the network's plugins of ours are, as far as they exist. */
function ownStoresOf(list: NetworkList): Store[] {
  return dataDirsOf(list).filter(storeExists).map(openStore);
}

/** Returns the stores that have leases of the network: the node's own, and those that it shares with others. */
function leaseStoresOf(list: NetworkList): Store[] {
  const shared = placesOf(list).flatMap(({ store, ipam, dataDir }) => {
    const settings = store ?? ipam?.store ?? undefined;
    const own = dataDir ?? ipam?.dataDir ?? DEFAULT_DATA_DIR;
    return settings === undefined ? [] : [new SharedLeases(settings, own).store];
  });
  return [...ownStoresOf(list), ...shared];
}

/** An attachment that the cache or a store knows. */
export interface KnownAttachment extends AttachmentKey {
  readonly netns: string;
}

/** Returns every attachment of the network that is known. Throws StoreError. */
export async function knownAttachments(runtime: Runtime, list: NetworkList): Promise<KnownAttachment[]> {
  const known: KnownAttachment[] = [...runtime.cache.list(list.name, runtime.note)];
  const rows: (KnownAttachment & { readonly network: string })[] = [];
  // those that a plugin has added by itself are parts of the attachment for which it did
  const parts = new Set<string>();
  for (const store of ownStoresOf(list)) {
    const delegates = await store.read(async (transaction) => {
      rows.push(...(await listAttachments(transaction)));
      return listObjectsOfKind(transaction, "delegate");
    });
    for (const { name, ...by } of delegates) {
      const { network, ifname } = delegateNamed(name);
      if (network !== list.name || (by.network === network && by.ifname === ifname)) continue;
      parts.add(`${by.containerId}/${ifname}`);
    }
  }
  for (const store of leaseStoresOf(list)) rows.push(...(await store.read(listLeases)));
  const isPart = ({ containerId, ifname }: AttachmentKey) => parts.has(`${containerId}/${ifname}`);
  known.push(...rows.filter((row) => row.network === list.name && !isPart(row)));
  return known.map(({ containerId, ifname, netns }) => ({
    containerId,
    ifname,
    netns: netns === "" ? "" : resolve(netns),
  }));
}

/** One thing that a GC would remove. */
export interface DoomedItem {
  readonly kind: "cached attachment" | "attachment" | "lease";
  readonly container: string;
  readonly ifname: string;
  /** The namespace, the kernel objects, or the address. */
  readonly what: string;
  readonly state: string;
}

/** Returns what a GC of the network that keeps `valid` would remove; changes nothing. Throws StoreError. */
export async function previewCollection(
  runtime: Runtime,
  list: NetworkList,
  valid: readonly AttachmentKey[],
): Promise<DoomedItem[]> {
  const isValid = (one: AttachmentKey) =>
    valid.some(({ containerId, ifname }) => containerId === one.containerId && ifname === one.ifname);
  const doomed: DoomedItem[] = runtime.cache
    .list(list.name, runtime.note)
    .filter((cached) => !isValid(cached))
    .map(({ containerId, ifname, netns }) => ({
      kind: "cached attachment",
      container: containerId,
      ifname,
      what: netns,
      state: "",
    }));
  for (const store of ownStoresOf(list)) {
    await store.read(async (transaction) => {
      for (const row of await listAttachments(transaction)) {
        if (row.network !== list.name || isValid(row)) continue;
        const objects = await listObjects(transaction, row);
        doomed.push({
          kind: "attachment",
          container: row.containerId,
          ifname: row.ifname,
          what: objects.map(({ kind, name }) => `${kind} ${name}`).join(", "),
          state: "",
        });
      }
    });
  }
  for (const store of leaseStoresOf(list)) {
    for (const row of await store.read((leases) => listStaleLeases(leases, list.name, valid))) {
      const { container, ifname, address, state } = shownLease(row);
      doomed.push({ kind: "lease", container, ifname, what: address, state });
    }
  }
  return doomed;
}
