// The kernel's table of connections as nfnetlink speaks of it (linux/netfilter/nfnetlink_conntrack.h): a connection
// is known by two tuples, one for each direction, of which the reply's shows what address translation made of it.
import type { Codec } from "./buffer.ts";
import { attributes, be16, be32, bytes, headed, nested, struct, u8, u32 } from "./codec.ts";
import type { Request } from "./message.ts";

const SUBSYSTEM = 1 << 8; // NFNL_SUBSYS_CTNETLINK
const GET_CONNECTION = SUBSYSTEM | 1; // IPCTNL_MSG_CT_GET
const DELETE_CONNECTION = SUBSYSTEM | 2; // IPCTNL_MSG_CT_DELETE

const FAMILIES = { ipv4: 2, ipv6: 10 } as const;

/** A family of connections. */
export type ConnectionFamily = keyof typeof FAMILIES;

const tuple = nested(
  attributes({
    addresses: [
      1, // CTA_TUPLE_IP
      nested(
        attributes({
          ipv4Source: [1, bytes], // CTA_IP_V4_SRC
          ipv4Destination: [2, bytes], // CTA_IP_V4_DST
          ipv6Source: [3, bytes], // CTA_IP_V6_SRC
          ipv6Destination: [4, bytes], // CTA_IP_V6_DST
        }),
      ),
    ],
    protocol: [
      2, // CTA_TUPLE_PROTO
      nested(
        attributes({
          number: [1, u8], // CTA_PROTO_NUM
          sourcePort: [2, be16], // CTA_PROTO_SRC_PORT
          destinationPort: [3, be16], // CTA_PROTO_DST_PORT
        }),
      ),
    ],
    zone: [3, be16], // CTA_TUPLE_ZONE
  }),
);

type Tuple = typeof tuple extends Codec<infer Value> ? Value : never;

/** The body of a message about a connection. */
export const connectionMessage = headed(
  struct({ family: u8, version: u8, resource: be16 }), // struct nfgenmsg
  attributes({
    original: [1, tuple], // CTA_TUPLE_ORIG
    reply: [2, tuple], // CTA_TUPLE_REPLY
    status: [3, be32], // CTA_STATUS
    timeout: [7, be32], // CTA_TIMEOUT
    mark: [8, be32], // CTA_MARK
    use: [11, be32], // CTA_USE
    id: [12, be32], // CTA_ID
    zone: [18, be16], // CTA_ZONE
    filter: [
      25, // CTA_FILTER
      nested(
        attributes({
          original: [1, u32], // CTA_FILTER_ORIG_FLAGS
          reply: [2, u32], // CTA_FILTER_REPLY_FLAGS
        }),
      ),
    ],
  }),
);

type ConnectionAttributes =
  typeof connectionMessage extends Codec<infer Message extends { readonly attributes: unknown }>
    ? Message["attributes"]
    : never;

/** Which connections to list. */
export interface ConnectionFilter {
  readonly family: ConnectionFamily;
  /** The number of a protocol above IP: 17 is UDP. */
  readonly protocol: number;
  /** The port that the first packet was sent to; any if left out. */
  readonly destinationPort?: number | undefined;
}

/** One direction of a connection. */
export interface Direction {
  readonly source: Uint8Array;
  readonly sourcePort: number;
  readonly destination: Uint8Array;
  readonly destinationPort: number;
}

/** A connection as the kernel describes it. */
export interface TrackedConnection {
  readonly family: ConnectionFamily;
  readonly original: Direction;
  /** Where answers come from: with destination translation another place than the original's destination. */
  readonly reply: Direction;
  /** What deleting just this one needs. */
  readonly identity: Pick<ConnectionAttributes, "original" | "id" | "zone">;
}

function directionOf(value: Tuple | undefined, family: ConnectionFamily): Direction {
  const { addresses, protocol } = value ?? {};
  const nothing = new Uint8Array(0);
  return {
    source: (family === "ipv4" ? addresses?.ipv4Source : addresses?.ipv6Source) ?? nothing,
    sourcePort: protocol?.sourcePort ?? 0,
    destination: (family === "ipv4" ? addresses?.ipv4Destination : addresses?.ipv6Destination) ?? nothing,
    destinationPort: protocol?.destinationPort ?? 0,
  };
}

// CTA_FILTER_FLAG_*
const BY_PROTOCOL = 1 << 3;
const BY_DESTINATION_PORT = 1 << 5;

/**
 * Asks for the connections that the filter lets through. Linux before 5.8 lists those of the whole family; they are
 * passed over here.
 */
export function dumpConnections(filter: ConnectionFilter): Request<TrackedConnection> {
  const { family, protocol, destinationPort } = filter;
  return {
    operation: `list ${family} connections`,
    type: GET_CONNECTION,
    flags: 0,
    encode(writer) {
      const flags = BY_PROTOCOL | (destinationPort === undefined ? 0 : BY_DESTINATION_PORT);
      connectionMessage.encode(writer, {
        header: { family: FAMILIES[family], version: 0, resource: 0 },
        attributes: {
          original: { protocol: { number: protocol, destinationPort } },
          filter: { original: flags, reply: 0 },
        },
      });
    },
    decode(reader) {
      reader.keepUnknown = false;
      const { header, attributes: values } = connectionMessage.decode(reader);
      if (header.family !== FAMILIES[family] || values.original?.protocol?.number !== protocol)
        return undefined;
      const original = directionOf(values.original, family);
      if (destinationPort !== undefined && original.destinationPort !== destinationPort) return undefined;
      return {
        family,
        original,
        reply: directionOf(values.reply, family),
        identity: { original: values.original, id: values.id, zone: values.zone },
      };
    },
  };
}

/** Makes the kernel forget a connection; ENOENT if it is gone, or another one has taken its place. */
export function deleteConnection({ family, identity }: TrackedConnection): Request<never> {
  return {
    operation: `delete an ${family} connection`,
    type: DELETE_CONNECTION,
    flags: 0,
    encode: (writer) =>
      connectionMessage.encode(writer, {
        header: { family: FAMILIES[family], version: 0, resource: 0 },
        attributes: identity,
      }),
  };
}
