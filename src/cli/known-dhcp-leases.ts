// The leases of DHCP servers as the node's own leases are shown: whoever asks which container has which address wants them all.
import { type DhcpLeaseRow, heldIn, LeaseTable } from "../dhcp/lease-table.ts";
import { addressFromBytes, formatAddress } from "../ip/address.ts";
import { formatPrefix } from "../ip/prefix.ts";
import { netnsIsGone, podOf } from "../ledger/owner.ts";
import { currentBootId } from "../sys/process.ts";
import type { ShownLease } from "./leases.ts";

/** Returns the address of a lease, with its prefix where the server has confirmed it. */
export function dhcpAddress(row: DhcpLeaseRow): string {
  const held = heldIn(row);
  return held === undefined ? formatAddress(addressFromBytes(row.address)) : formatPrefix(held.terms.address);
}

/** Returns the leases of DHCP servers in a data directory that has a store. Throws StoreError. */
export async function knownDhcpLeases(dataDir: string): Promise<ShownLease[]> {
  const rows = await new LeaseTable(dataDir).all();
  return rows
    .filter(({ lost }) => lost === "")
    .map((row) => ({
      network: row.network,
      address: dhcpAddress(row),
      container: row.containerId,
      ifname: row.ifname,
      pod: podOf(row) ?? "",
      since: new Date(row.createdAtMs).toISOString(),
      state: row.bootId !== currentBootId() ? "earlier boot" : netnsIsGone(row) ? "netns gone" : "alive",
    }));
}
