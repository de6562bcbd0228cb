// `warren leases`: who holds which address, since when, and whether the container can still be alive.
import { CniError, ErrorCode } from "../cni/error.ts";
import { formatPrefix } from "../ip/prefix.ts";
import { assignmentOf, type LeaseRow } from "../ipam/leases.ts";
import { assignedPrefix } from "../ipam/pool.ts";
import type { NodeLeaseRow } from "../ipam/shared-leases.ts";
import { netnsIsGone, podOf } from "../ledger/owner.ts";
import { log } from "../log.ts";
import { DEFAULT_DATA_DIR, openStore, storeExists, storePath } from "../store/sqlite.ts";
import type { Store } from "../store/store.ts";
import { currentBootId } from "../sys/process.ts";
import { writeStdout } from "../sys/stdio.ts";
import { operatorCommand } from "./command.ts";
import { knownDhcpLeases } from "./known-dhcp-leases.ts";
import { knownLeases } from "./known-leases.ts";
import { printTable } from "./terminal/table.ts";

/** The flag of the commands that read the store. */
export const storeFlags = {
  "data-dir": {
    type: "string",
    valueHint: "DIR",
    default: DEFAULT_DATA_DIR,
    description: "Where the store is: the dataDir of the network's config",
  },
} as const;

/** Returns the store in a data directory without making one; throws CniError 105 where there is none. */
export function existingStore(dataDir: string): Store {
  if (storeExists(dataDir)) return openStore(dataDir);
  throw new CniError(
    ErrorCode.storeUnusable,
    `there is no store at ${storePath(dataDir)}`,
    "nothing was ever attached, or the network's config names another dataDir: give it as --data-dir",
  );
}

/** A lease as it is shown. */
export interface ShownLease {
  readonly network: string;
  readonly address: string;
  readonly container: string;
  readonly ifname: string;
  readonly pod: string;
  readonly since: string;
  /** Whether the container's namespace is there. */
  readonly state: "alive" | "netns gone" | "earlier boot" | "elsewhere";
  /** The node that has it, where the store is one that nodes share. */
  readonly node?: string;
}

/** Returns another node's lease as it is shown: of its namespaces nothing is known here. */
function shownElsewhere(row: NodeLeaseRow): ShownLease {
  return { ...shownLease(row), state: "elsewhere", node: row.node };
}

/** Returns the lease as it is shown. */
export function shownLease(row: LeaseRow): ShownLease {
  const gone = netnsIsGone(row);
  return {
    network: row.network,
    address: formatPrefix(assignedPrefix(assignmentOf(row))),
    container: row.containerId,
    ifname: row.ifname,
    pod: podOf(row) ?? "",
    since: new Date(row.createdAtMs).toISOString(),
    state: gone ? (row.bootId === currentBootId() ? "netns gone" : "earlier boot") : "alive",
  };
}

export const command = operatorCommand({
  name: "leases",
  description: "List which container holds which address",
  args: {
    network: { type: "positional", required: false, description: "Only leases of this network" },
    ...storeFlags,
    leaked: { type: "boolean", description: "Only leases whose container's namespace is gone" },
    json: { type: "boolean", description: "Answer with JSON" },
  },
  async run({ args }) {
    existingStore(args["data-dir"]);
    const { own, elsewhere, problems } = await knownLeases(args["data-dir"]);
    const all = own.map(
      (row): ShownLease => ({
        ...shownLease(row),
        ...(row.node === undefined ? {} : { node: row.node }),
      }),
    );
    const dhcp = await knownDhcpLeases(args["data-dir"]);
    const shown = [...all, ...dhcp, ...elsewhere.map(shownElsewhere)]
      .filter((lease) => args.network === undefined || lease.network === args.network)
      .filter((lease) => args.leaked !== true || !["alive", "elsewhere"].includes(lease.state));
    for (const problem of problems) log.warn(problem);
    if (args.json === true) writeStdout(`${JSON.stringify(shown, null, 4)}\n`);
    else if (shown.length === 0) writeStdout("no leases\n");
    else {
      // of one node alone its name says nothing
      const isOne = shown.every(({ state }) => state !== "elsewhere");
      printTable(
        shown.map(({ node, ...lease }) => ({
          ...lease,
          since: lease.since.replace(/T|\.\d+Z/g, " ").trimEnd(),
          ...(isOne ? {} : { node: node ?? "" }),
        })),
      );
    }
    return problems.length === 0 ? 0 : 1;
  },
});
