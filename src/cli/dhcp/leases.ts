// `warren dhcp leases`: which container has which address of which server, and until when, as the store says it; no daemon
// is asked.
import { type DhcpLeaseRow, heldIn, LeaseTable } from "../../dhcp/lease-table.ts";
import { addressFromBytes, formatAddress } from "../../ip/address.ts";
import { formatHardwareAddress } from "../../ip/hardware-address.ts";
import { netnsIsGone, podOf } from "../../ledger/owner.ts";
import { uptimeMs } from "../../sys/clock.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { dhcpAddress } from "../known-dhcp-leases.ts";
import { existingStore, storeFlags } from "../leases.ts";
import { printTable } from "../terminal/table.ts";

function shownLease(row: DhcpLeaseRow, bootedAtMs: number) {
  const held = heldIn(row);
  const time = (uptime: number | undefined) =>
    uptime === undefined
      ? ""
      : Number.isFinite(uptime)
        ? new Date(bootedAtMs + uptime).toISOString()
        : "never";
  return {
    network: row.network,
    address: dhcpAddress(row),
    server: formatAddress(addressFromBytes(row.server)),
    container: row.containerId,
    ifname: row.ifname,
    pod: podOf(row) ?? "",
    mac: formatHardwareAddress(row.hardwareAddress),
    renews: time(held?.renewAtMs),
    expires: time(held?.expiresAtMs),
    state: stateOf(row, held !== undefined),
  };
}

function stateOf(row: DhcpLeaseRow, isHeld: boolean): string {
  if (row.lost !== "") return row.lost;
  if (netnsIsGone(row)) return "netns gone";
  return isHeld ? "leased" : "not confirmed";
}

export const command = operatorCommand({
  name: "leases",
  description: "List which container has which address of which DHCP server, and until when",
  args: {
    network: { type: "positional", required: false, description: "Only leases of this network" },
    ...storeFlags,
    json: { type: "boolean", description: "Answer with JSON" },
  },
  async run({ args }) {
    existingStore(args["data-dir"]);
    const bootedAtMs = Date.now() - uptimeMs();
    const rows = await new LeaseTable(args["data-dir"]).all();
    const shown = rows
      .filter((row) => args.network === undefined || row.network === args.network)
      .map((row) => shownLease(row, bootedAtMs));
    if (args.json === true) writeStdout(`${JSON.stringify(shown, null, 4)}\n`);
    else if (shown.length === 0) writeStdout("no leases\n");
    else
      printTable(
        shown.map((lease) => ({ ...lease, renews: short(lease.renews), expires: short(lease.expires) })),
      );
    return 0;
  },
});

function short(time: string): string {
  return time.replace(/T|\.\d+Z/g, " ").trimEnd();
}
