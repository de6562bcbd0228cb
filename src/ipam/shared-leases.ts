// Leases in a store that nodes share. While it is out of reach a DEL is kept in the node's own store, and the next call
// that reaches it delivers what waits there: nothing is lost, and no pod stays because a database is away.
import { heldLeasesOfNodes } from "../../db/lease-queries.ts" with { type: "macro" };
import type { NodeLeaseRow } from "../../db/lease-queries.ts";
import {
  allSharedStores,
  forgetRelease,
  putSharedStore,
  queuedReleases,
  queueRelease,
} from "../../db/release-queries.ts" with { type: "macro" };
import type { ReleaseRow } from "../../db/release-queries.ts";
import type { Owner } from "../ledger/owner.ts";
import { inExistingStore, openStore } from "../store/sqlite.ts";
import { SharedStoreError, type Store, type Transaction } from "../store/store.ts";
import { leasesOf, listRestingLeases, release } from "./leases.ts";
import { type SharedStore, sharedStore } from "./shared-store.ts";

const ALL_SHARED_STORES = allSharedStores();
const PUT_SHARED_STORE = putSharedStore();
const QUEUE_RELEASE = queueRelease();
const QUEUED_RELEASES = queuedReleases();
const FORGET_RELEASE = forgetRelease();
const HELD_LEASES_OF_NODES = heldLeasesOfNodes();

export type { NodeLeaseRow, ReleaseRow };

/** The leases of a config that shares its store; `dataDir` is where the node's own store is. */
export class SharedLeases {
  readonly #shared: SharedStore;

  /** Throws as `sharedStore` does. */
  constructor(
    config: unknown,
    private readonly dataDir: string,
  ) {
    this.#shared = sharedStore(config, dataDir);
  }

  /** Where they are, in words. */
  get location(): string {
    return this.#shared.location;
  }

  /** The name of this node in it. */
  get node(): string {
    return this.#shared.node;
  }

  /** The store itself. */
  get store(): Store {
    return this.#shared.store;
  }

  /** Returns the leases of every node. Throws StoreError. */
  async list(): Promise<NodeLeaseRow[]> {
    return this.store.read((transaction) => transaction.all(HELD_LEASES_OF_NODES, {}));
  }

  /**
   * Runs `work` in a transaction that has delivered what waits for the network, and remembers the store on this node.
   * Throws StoreError.
   */
  async transaction<T>(network: string, work: (transaction: Transaction) => Promise<T>): Promise<T> {
    const waiting = (await this.waiting()).filter((one) => one.network === network);
    const result = await this.store.transaction(async (transaction) => {
      for (const one of waiting) {
        await release(transaction, one.network, await leasesOf(transaction, one), one.cooldownMs);
      }
      return work(transaction);
    });
    if (waiting.length > 0) {
      await openStore(this.dataDir).transaction(async (own) => {
        for (const { cooldownMs: _, ...one } of waiting) await own.run(FORGET_RELEASE, one);
      });
    }
    return result;
  }

  /** Makes sure that the node knows the store when no config names it any more. Throws StoreError. */
  async remember(): Promise<void> {
    const own = openStore(this.dataDir);
    const { location, settings } = this.#shared;
    const known = await own.read((store) => store.all(ALL_SHARED_STORES, {}));
    if (known.some((one) => one.location === location && one.settings === settings)) return;
    await own.transaction((store) => store.run(PUT_SHARED_STORE, { location, settings }));
  }

  /** Returns the releases that the store has yet to be told of, the longest queued first. */
  async waiting(): Promise<ReleaseRow[]> {
    const { location } = this.#shared;
    return inExistingStore(
      this.dataDir,
      async (own) => (own === undefined ? [] : own.all(QUEUED_RELEASES, { location })),
      "read",
    );
  }

  /**
   * Releases what an attachment holds, now or, if the store can't be used now, as soon as it can. Returns why it waits;
   * undefined if it is done. Throws StoreError where not even this node's own store can be written.
   */
  async release(owner: Owner, cooldownMs: number): Promise<SharedStoreError | undefined> {
    try {
      await this.transaction(owner.network, async (store) =>
        release(store, owner.network, await leasesOf(store, owner), cooldownMs),
      );
      return undefined;
    } catch (error) {
      if (!(error instanceof SharedStoreError)) throw error;
      await this.remember();
      const { location } = this.#shared;
      await openStore(this.dataDir).transaction((own) =>
        own.run(QUEUE_RELEASE, {
          location,
          network: owner.network,
          containerId: owner.containerId,
          ifname: owner.ifname,
          cooldownMs,
          queuedAtMs: Date.now(),
        }),
      );
      return error;
    }
  }

  /** Returns the leases of any node that were released and rest. */
  async resting(network: string): Promise<readonly { readonly address: Uint8Array }[]> {
    return this.store.read((transaction) => listRestingLeases(transaction, network));
  }
}

/** Returns the shared stores that a node remembers. Throws as SharedLeases does. */
export async function rememberedStores(dataDir: string): Promise<SharedLeases[]> {
  const known = await inExistingStore(
    dataDir,
    async (own) => (own === undefined ? [] : own.all(ALL_SHARED_STORES, {})),
    "read",
  );
  return known.map(({ settings }) => new SharedLeases(JSON.parse(settings), dataDir));
}
