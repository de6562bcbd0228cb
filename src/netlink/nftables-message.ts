// What messages about nf_tables have in common, whatever they are about: the header with the family of the table, what is
// kept beside an object for whoever lists it, and the shape of a request. Numbers: linux/netfilter/nf_tables.h.
import { type Codec, CodecError } from "./buffer.ts";
import { be16, bytes, struct, u8 } from "./codec.ts";
import type { Request } from "./message.ts";

/** What the type of every message begins with (NFNL_SUBSYS_NFTABLES). */
export const SUBSYSTEM = 10 << 8;

// NFPROTO_*
const TABLE_FAMILIES = { inet: 1, ipv4: 2, arp: 3, netdev: 5, bridge: 7, ipv6: 10 } as const;

/** Which packets a table sees; `inet` sees IPv4 and IPv6. */
export type TableFamily = keyof typeof TABLE_FAMILIES;

/** A table by its full name. */
export interface TableName {
  readonly family: TableFamily;
  readonly name: string;
}

/** struct nfgenmsg, linux/netfilter/nfnetlink.h */
export const genericHeader = struct({ family: u8, version: u8, resource: be16 });

/**
 * What libnftnl keeps beside an object for whoever lists it: entries of one byte type, one byte length, and value.
 * Only the comment matters to us; its type differs between objects.
 */
export interface UserData {
  readonly type: number;
  readonly bytes: Uint8Array;
}

/** What programs note beside an object for themselves (NFTNL_UDATA_*): a list of types and bytes. */
export const userData: Codec<readonly UserData[]> = {
  encode(writer, entries) {
    for (const entry of entries) {
      if (entry.bytes.length > 0xff) {
        throw new CodecError("", `${entry.bytes.length} bytes, user data holds at most 255`);
      }
      u8.encode(writer, entry.type);
      u8.encode(writer, entry.bytes.length);
      bytes.encode(writer, entry.bytes);
    }
  },
  decode(reader) {
    const entries: UserData[] = [];
    while (reader.left > 0) {
      const type = u8.decode(reader);
      const length = u8.decode(reader);
      const start = reader.take(length);
      entries.push({ type, bytes: reader.copy(start, start + length) });
    }
    return entries;
  },
};

/** Which type of user data is the comment of an object (NFTNL_UDATA_*_COMMENT). */
export const COMMENT = { table: 0, chain: 0, rule: 0, element: 0, set: 7 } as const;

/** Returns a comment as it is kept beside an object. */
export function commentData(type: number, comment: string | undefined): readonly UserData[] | undefined {
  if (comment === undefined) return undefined;
  if (comment.includes("\0")) throw new CodecError("comment", "contains NUL");
  return [{ type, bytes: new TextEncoder().encode(`${comment}\0`) }];
}

/** Returns the comment among what is kept beside an object; empty for none. */
export function commentOf(type: number, entries: readonly UserData[] | undefined): string {
  const found = entries?.find((entry) => entry.type === type)?.bytes ?? new Uint8Array(0);
  const end = found.indexOf(0);
  return new TextDecoder().decode(end < 0 ? found : found.subarray(0, end));
}

/** Returns the header of a message about what is in a table. */
export function header(table: TableName): { family: number; version: number; resource: number } {
  return { family: TABLE_FAMILIES[table.family], version: 0, resource: 0 };
}

/** Returns the name of a table's family by its number; undefined for one that is unknown here. */
export function familyName(family: number): TableFamily | undefined {
  for (const name of Object.keys(TABLE_FAMILIES) as TableFamily[]) {
    if (TABLE_FAMILIES[name] === family) return name;
  }
  return undefined;
}

/** Returns a request that changes something, and has no answer of its own. */
export function request<Body>(
  operation: string,
  type: number,
  flags: number,
  codec: Codec<Body>,
  body: () => Body,
): Request<never> {
  return { operation, type, flags, encode: (writer) => codec.encode(writer, body()) };
}
