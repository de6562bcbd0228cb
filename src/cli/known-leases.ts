// Every lease that a node can know of: those in its own store, and those in stores that it shares with other nodes. One that
// can't be reached is told, and hides nothing else.
import { describeError } from "../cni/error.ts";
import { type LeaseRow, listLeases } from "../ipam/leases.ts";
import { type NodeLeaseRow, rememberedStores } from "../ipam/shared-leases.ts";
import { openStore } from "../store/sqlite.ts";

/** The leases that are known at a data directory. */
export interface KnownLeases {
  /** Of this node, with its name where they are in a shared store. */
  readonly own: readonly (LeaseRow & { readonly node?: string })[];
  /** Of the other nodes, in shared stores. */
  readonly elsewhere: readonly NodeLeaseRow[];
  /** Which shared stores can't be read, and why; which have yet to be told of releases. */
  readonly problems: readonly string[];
}

/** Returns the leases known at a data directory that has a store. Throws StoreError if that can't be read. */
export async function knownLeases(dataDir: string): Promise<KnownLeases> {
  const own: (LeaseRow & { readonly node?: string })[] = await openStore(dataDir).read(listLeases);
  const elsewhere: NodeLeaseRow[] = [];
  const problems: string[] = [];
  for (const shared of await rememberedStores(dataDir)) {
    try {
      for (const row of await shared.list()) (row.node === shared.node ? own : elsewhere).push(row);
    } catch (error) {
      problems.push(describeError(error));
    }
    const waiting = (await shared.waiting()).length;
    if (waiting > 0) {
      const releases = waiting === 1 ? "1 release waits" : `${waiting} releases wait`;
      problems.push(`${releases} until the ${shared.location} can be told`);
    }
  }
  return { own, elsewhere, problems };
}
