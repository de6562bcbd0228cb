// The leases of DHCP servers as the node's store holds them: what the daemon needs to go on after a restart, and what gives an
// address back where there is no daemon. A row is there before a server is asked to confirm, and until it was told.
import {
  allDhcpLeases,
  deleteDhcpLease,
  dhcpLeaseOf,
  loseDhcpLease,
  putDhcpLease,
  updateDhcpLease,
} from "../../db/dhcp-queries.ts" with { type: "macro" };
import type { DhcpLeaseRow } from "../../db/dhcp-queries.ts";
import type { Owner } from "../ledger/owner.ts";
import { openStore, storeExists } from "../store/sqlite.ts";
import type { Store } from "../store/store.ts";
import { currentBootId } from "../sys/process.ts";
import type { HeldLease } from "./client.ts";
import { decodeMessage } from "./message.ts";
import { termsOf } from "./terms.ts";

const PUT = putDhcpLease();
const UPDATE = updateDhcpLease();
const LOSE = loseDhcpLease();
const DELETE = deleteDhcpLease();
const ONE = dhcpLeaseOf();
const ALL = allDhcpLeases();

/** How long a write waits for others: whoever renews a lease has time. */
const PATIENCE_MS = 10_000;

export type { DhcpLeaseRow };

/** The leases in the store of a data directory. */
export class LeaseTable {
  #last: Promise<unknown> = Promise.resolve();

  constructor(private readonly dataDir: string) {}

  /** Writes down an address that a server is about to be asked for. Throws StoreError, as all of these do. */
  put(row: DhcpLeaseRow): Promise<void> {
    return this.#inTurn((store) => store.execute(PUT, row, PATIENCE_MS));
  }

  /** Writes down what a server confirmed; does nothing for a lease that is not there any more. */
  update(
    { network, containerId, ifname }: Owner,
    held: HeldLease,
    from: {
      readonly acknowledgement: Uint8Array;
      readonly serverHardwareAddress: Uint8Array;
      readonly server: Uint8Array;
    },
  ): Promise<void> {
    const row = { network, containerId, ifname, ...from, ...timesOf(held) };
    return this.#inTurn((store) => store.execute(UPDATE, row, PATIENCE_MS));
  }

  /** Writes down why the container has its address no more. */
  lose({ network, containerId, ifname }: Owner, lost: string): Promise<void> {
    return this.#inTurn((store) => store.execute(LOSE, { network, containerId, ifname, lost }, PATIENCE_MS));
  }

  /** Forgets a lease; a missing one is success. */
  async remove({ network, containerId, ifname }: Owner): Promise<void> {
    if (!storeExists(this.dataDir)) return;
    await this.#inTurn((store) => store.execute(DELETE, { network, containerId, ifname }, PATIENCE_MS));
  }

  /** Returns the lease of an attachment; undefined where there is none, or no store. */
  async find({ network, containerId, ifname }: Owner): Promise<DhcpLeaseRow | undefined> {
    if (!storeExists(this.dataDir)) return undefined;
    const owner = { network, containerId, ifname };
    return this.#inTurn((store) => store.read((reader) => reader.first(ONE, owner)));
  }

  /** Returns all leases; none where there is no store. */
  async all(): Promise<DhcpLeaseRow[]> {
    if (!storeExists(this.dataDir)) return [];
    return this.#inTurn((store) => store.read((reader) => reader.all(ALL, {})));
  }

  /** Commits a write, so that "ready" means that one can be: throws StoreError where none can. */
  async prove(beat: (store: Store) => Promise<void>): Promise<void> {
    await this.#inTurn(beat);
  }

  /** One after the other: two that overlap would share a transaction, and end it for each other. */
  #inTurn<T>(work: (store: Store) => Promise<T>): Promise<T> {
    const result = this.#last.then(() => work(openStore(this.dataDir)));
    this.#last = result.catch(() => undefined);
    return result;
  }
}

function timesOf(held: HeldLease) {
  const orNull = (timeMs: number) => (Number.isFinite(timeMs) ? Math.round(timeMs) : null);
  return {
    renewAtUptimeMs: orNull(held.renewAtMs),
    rebindAtUptimeMs: orNull(held.rebindAtMs),
    expiresAtUptimeMs: orNull(held.expiresAtMs),
  };
}

/** Returns the lease in a row; undefined for one that its server has not confirmed, or that is of an earlier boot. */
export function heldIn(row: DhcpLeaseRow): HeldLease | undefined {
  if (row.acknowledgement === null || row.bootId !== currentBootId()) return undefined;
  const message = decodeMessage(row.acknowledgement);
  const terms = message === undefined ? "not a message" : termsOf(message);
  if (typeof terms === "string") return undefined;
  const orNever = (timeMs: number | null) => timeMs ?? Number.POSITIVE_INFINITY;
  return {
    terms,
    renewAtMs: orNever(row.renewAtUptimeMs),
    rebindAtMs: orNever(row.rebindAtUptimeMs),
    expiresAtMs: orNever(row.expiresAtUptimeMs),
  };
}
