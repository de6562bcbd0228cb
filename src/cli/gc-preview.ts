// What a GC would remove: the attachments in the runtime's cache, and the entries in the stores of the network's
// plugins, that are not among the valid ones. Nothing is called and nothing is changed.
import * as v from "valibot";
import type { AttachmentKey } from "../cni/network-config.ts";
import { listStaleLeases } from "../ipam/leases.ts";
import { listObjects, listStaleAttachments } from "../ledger/attachments.ts";
import type { Runtime } from "../runtime/chain.ts";
import type { NetworkList } from "../runtime/conflist.ts";
import { DEFAULT_DATA_DIR, openStore, storeExists } from "../store/sqlite.ts";
import { shownLease } from "./leases.ts";

/** One thing that a GC would remove. */
export interface DoomedItem {
  readonly kind: "cached attachment" | "attachment" | "lease";
  readonly container: string;
  readonly ifname: string;
  /** The namespace, the kernel objects, or the address. */
  readonly what: string;
  readonly state: string;
}

const dataDirSchema = v.object({
  dataDir: v.optional(v.string()),
  ipam: v.optional(v.object({ dataDir: v.optional(v.string()) })),
});

/** Returns the directories in which the network's plugins of ours keep their stores. */
function dataDirsOf(list: NetworkList): string[] {
  const dirs = list.plugins.flatMap(({ document }) => {
    const parsed = v.safeParse(dataDirSchema, document);
    if (!parsed.success) return [];
    const { dataDir, ipam } = parsed.output;
    return [dataDir ?? ipam?.dataDir ?? DEFAULT_DATA_DIR, ipam?.dataDir ?? DEFAULT_DATA_DIR];
  });
  return [...new Set(dirs)].filter(storeExists);
}

/** Returns what a GC of the network that keeps `valid` would remove. Throws StoreError. */
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
  for (const dataDir of dataDirsOf(list)) {
    await openStore(dataDir).transaction(async (store) => {
      for (const row of await listStaleAttachments(store, list.name, valid)) {
        const objects = await listObjects(store, row);
        doomed.push({
          kind: "attachment",
          container: row.containerId,
          ifname: row.ifname,
          what: objects.map(({ kind, name }) => `${kind} ${name}`).join(", "),
          state: "",
        });
      }
      for (const row of await listStaleLeases(store, list.name, valid)) {
        const { container, ifname, address, state } = shownLease(row);
        doomed.push({ kind: "lease", container, ifname, what: address, state });
      }
    });
  }
  return doomed;
}
