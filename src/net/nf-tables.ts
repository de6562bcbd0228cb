// nf_tables as a part of the kernel that may be missing, wholly or in parts: opened where it is there, and rehearsed,
// so that STATUS finds out what an ADD would meet without doing any of it.
import { isNetlinkError, NetlinkError, type Request } from "../netlink/message.ts";
import { createTable, deleteTable, getGeneration } from "../netlink/nftables.ts";
import type { TableName } from "../netlink/nftables-message.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import { isSystemError } from "../sys/libc.ts";
import { connectNetfilter } from "./connection.ts";
import { MissingFeatureError } from "./feature.ts";

/** Connections of which it is known already that nf_tables answers. */
const answering = new WeakSet<NetlinkSocket>();

/** Connects to the host's nf_tables; throws MissingFeatureError with this cure where the kernel has none. */
export function openNfTables(cure: string): NetlinkSocket {
  try {
    const nftables = connectNetfilter();
    if (!answering.has(nftables)) nftables.get(getGeneration());
    answering.add(nftables);
    return nftables;
  } catch (error) {
    // without netfilter there is no such protocol, without nf_tables no such subsystem
    const isMissing =
      isSystemError(error, "EPROTONOSUPPORT", "EAFNOSUPPORT") ||
      isNetlinkError(error, "EINVAL", "EOPNOTSUPP");
    throw isMissing ? new MissingFeatureError("nf_tables", cure, { cause: error }) : error;
  }
}

/** Connects to the host's nf_tables; undefined where the kernel has none, and then there is nothing of anybody's. */
export function openNfTablesIfAny(): NetlinkSocket | undefined {
  try {
    return openNfTables("");
  } catch (error) {
    if (error instanceof MissingFeatureError) return undefined;
    throw error;
  }
}

/** Rules of a table that is there for the rehearsal only, and what they are for. */
export interface Rehearsal {
  /** Such as `port maps`. */
  readonly purpose: string;
  readonly cure: string;
  readonly tables: readonly TableName[];
  readonly requests: readonly Request[];
}

/**
 * Lets the kernel go through requests without doing them: the last one of the transaction can't be granted, which
 * takes the others back. Throws MissingFeatureError for what the kernel doesn't know, NetlinkError for what else it
 * refuses.
 */
export function rehearseRules(nftables: NetlinkSocket, { purpose, cure, tables, requests }: Rehearsal): void {
  const impossible = deleteTable({ family: "inet", name: "warren-that-never-was" });
  try {
    nftables.transaction([...tables.map((table) => createTable(table)), ...requests, impossible]);
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    if (error.operation === impossible.operation) return;
    if (!isNetlinkError(error, "ENOENT", "EOPNOTSUPP", "EAFNOSUPPORT", "EPROTO")) throw error;
    throw new MissingFeatureError(`nf_tables for ${purpose} (${error.operation})`, cure, { cause: error });
  }
}
