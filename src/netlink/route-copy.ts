// A route as the kernel told it, to be sent again with one thing changed and everything else as it was, byte for byte:
// also what this code has no name for. Only what the kernel tells and does not take is left out (linux/rtnetlink.h).
import { type AddressFamily, FAMILIES } from "./address.ts";
import { CodecError, Reader, type Writer } from "./buffer.ts";
import { bytes } from "./codec.ts";
import type { Request } from "./message.ts";
import { decodeRoute, dumpRoutes, MODE_FLAGS, type Route, type RouteMode, Table } from "./route.ts";

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;

/** struct rtmsg, and in it rtm_flags. */
const HEADER_BYTES = 12;
const FLAGS_AT = 8;
/** What of the flags of a route and of a next hop is a wish, and not a state: RTNH_F_PERVASIVE and RTNH_F_ONLINK. */
const KEPT_FLAGS = 0x02 | 0x04;

/** The RTA_* that matter here. */
const Attribute = {
  source: 2,
  outputIndex: 4,
  gateway: 5,
  metrics: 8,
  multipath: 9,
  cacheInfo: 12,
  via: 18,
  encapsulationType: 21,
  encapsulation: 22,
  expires: 23,
  table: 15,
  nextHopId: 30,
} as const;

/** Where in struct rtmsg the table stands, as far as its number fits. */
const TABLE_AT = 4;

/** What a route that names a next hop object has from that one, and may not name beside it. */
const OF_NEXT_HOP: ReadonlySet<number> = new Set([
  Attribute.outputIndex,
  Attribute.gateway,
  Attribute.multipath,
  Attribute.via,
  Attribute.encapsulationType,
  Attribute.encapsulation,
]);

const RTAX_QUICKACK = 15;
/** NLA_TYPE_MASK: a type without the flags of its attribute. */
const TYPE_MASK = 0x3fff;
/** In which the kernel counts how long a route still lives (USER_HZ). */
const TICKS_A_SECOND = 100;
/** Where in struct rta_cacheinfo that stands. */
const CACHE_EXPIRES_AT = 8;

/** An attribute as it came, with the flags in its type. */
interface RawAttribute {
  readonly type: number;
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** A route, and the bytes in which the kernel told it. */
export interface RouteCopy {
  readonly route: Route;
  readonly header: Uint8Array<ArrayBuffer>;
  readonly attributes: readonly RawAttribute[];
}

/** Asks for all routes of a family, in the order in which the kernel tries those that are alike. */
export function dumpRouteCopies(family: AddressFamily): Request<RouteCopy> {
  return {
    ...dumpRoutes({ family }),
    decode(reader) {
      const header = reader.copy(reader.offset, reader.offset + HEADER_BYTES);
      const attributes = rawAttributes(reader.copy(reader.offset + HEADER_BYTES, reader.end));
      const route = decodeRoute(reader, family);
      return route === undefined ? undefined : { route, header, attributes };
    },
  };
}

function rawAttributes(payload: Uint8Array<ArrayBuffer>): RawAttribute[] {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const found: RawAttribute[] = [];
  // the lengths have been checked by who decoded the message
  for (let offset = 0; offset + 4 <= payload.length; ) {
    const length = view.getUint16(offset, true);
    if (length < 4) break;
    found.push({
      type: view.getUint16(offset + 2, true),
      payload: payload.slice(offset + 4, offset + length),
    });
    offset += (length + 3) & ~3;
  }
  return found;
}

function is(type: number, { type: raw }: RawAttribute): boolean {
  return (raw & TYPE_MASK) === type;
}

/** Returns the copy as text, to be written down. */
export function routeCopyText({ header, attributes }: RouteCopy): string {
  return `${header.toHex()}${packed(attributes).toHex()}`;
}

/** Returns the copy that a text is of (`routeCopyText`); throws CodecError for one that is of none. */
export function routeCopyOf(text: string): RouteCopy {
  const raw = /^([0-9a-f]{2})*$/.test(text) ? Uint8Array.fromHex(text) : new Uint8Array();
  const [code] = raw;
  const family = (["ipv4", "ipv6"] as const).find((name) => FAMILIES[name] === code);
  const route = family === undefined ? undefined : decodeRoute(new Reader(raw), family);
  if (route === undefined) throw new CodecError("", "what is written down is no route");
  return {
    route,
    header: raw.slice(0, HEADER_BYTES),
    attributes: rawAttributes(raw.slice(HEADER_BYTES)),
  };
}

/** Returns the copy as it would be in another table. */
export function inTable(copy: RouteCopy, table: number): RouteCopy {
  const header = copy.header.slice();
  header[TABLE_AT] = table > 0xff ? Table.unspecified : table;
  const payload = new Uint8Array(new ArrayBuffer(4));
  new DataView(payload.buffer).setUint32(0, table, true);
  const named = { type: Attribute.table, payload };
  // in its place, because the order counts where two copies are compared
  const isNamed = copy.attributes.some((one) => is(Attribute.table, one));
  const attributes = copy.attributes.map((one) => (is(Attribute.table, one) ? named : one));
  return {
    route: { ...copy.route, table },
    header,
    attributes: isNamed ? attributes : [...attributes, named],
  };
}

/** True if connections over the route acknowledge at once. */
export function isQuick({ route }: RouteCopy): boolean {
  return (route.metrics.quickAcknowledge ?? 0) !== 0;
}

/** Returns the copy with its connections acknowledging at once, or not. */
export function withQuick(copy: RouteCopy, quick: boolean): RouteCopy {
  const metrics = copy.attributes.find((one) => is(Attribute.metrics, one));
  const kept = rawAttributes(metrics?.payload ?? new Uint8Array(0)).filter((one) => !is(RTAX_QUICKACK, one));
  const on = new Uint8Array(4);
  on[0] = 1;
  const wanted = quick ? [...kept, { type: RTAX_QUICKACK, payload: on }] : kept;
  const others = copy.attributes.filter((one) => one !== metrics);
  // a route by a next hop object that has no metrics at all gets those of any like it (fib_create_info): also the old ones
  const isNone = wanted.length === 0 && !others.some((one) => is(Attribute.nextHopId, one));
  if (isNone) return { ...copy, attributes: others };
  const payload = packed(wanted);
  const type = metrics?.type ?? Attribute.metrics;
  // where it stood: nothing else moves
  const at = metrics === undefined ? others.length : copy.attributes.indexOf(metrics);
  return { ...copy, attributes: others.toSpliced(at, 0, { type, payload }) };
}

function packed(attributes: readonly RawAttribute[]): Uint8Array<ArrayBuffer> {
  const length = attributes.reduce((sum, { payload }) => sum + 4 + ((payload.length + 3) & ~3), 0);
  const result = new Uint8Array(new ArrayBuffer(length));
  const view = new DataView(result.buffer);
  let offset = 0;
  for (const { type, payload } of attributes) {
    view.setUint16(offset, 4 + payload.length, true);
    view.setUint16(offset + 2, type, true);
    result.set(payload, offset + 4);
    offset += 4 + ((payload.length + 3) & ~3);
  }
  return result;
}

/** Returns the attributes as the kernel takes them. */
function sendable({ attributes }: RouteCopy): RawAttribute[] {
  const byObject = attributes.some((one) => is(Attribute.nextHopId, one));
  return attributes.flatMap((one): RawAttribute[] => {
    if (byObject && OF_NEXT_HOP.has(one.type & TYPE_MASK)) return [];
    if (is(Attribute.cacheInfo, one)) return lifetime(one.payload);
    if (is(Attribute.multipath, one)) return [{ ...one, payload: withoutStates(one.payload) }];
    return [one];
  });
}

/** A route that a router advertised lives no longer than it said; the kernel tells that in one place, and takes it in another. */
function lifetime(cacheInfo: Uint8Array<ArrayBuffer>): RawAttribute[] {
  if (cacheInfo.length < CACHE_EXPIRES_AT + 4) return [];
  const ticks = new DataView(cacheInfo.buffer).getInt32(CACHE_EXPIRES_AT, true);
  if (ticks <= 0) return [];
  const payload = new Uint8Array(new ArrayBuffer(4));
  new DataView(payload.buffer).setUint32(0, Math.ceil(ticks / TICKS_A_SECOND), true);
  return [{ type: Attribute.expires, payload }];
}

/** struct rtnexthop { u16 length; u8 flags; u8 hops; int ifindex; } one after the other, each with attributes of its own. */
function withoutStates(hops: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const result = hops.slice();
  const view = new DataView(result.buffer);
  for (let offset = 0; offset + 8 <= result.length; ) {
    const length = view.getUint16(offset, true);
    if (length < 8) break;
    view.setUint8(offset + 2, view.getUint8(offset + 2) & KEPT_FLAGS);
    offset += (length + 3) & ~3;
  }
  return result;
}

function sendableHeader({ header }: RouteCopy): Uint8Array<ArrayBuffer> {
  const result = header.slice();
  const view = new DataView(result.buffer);
  view.setUint32(FLAGS_AT, view.getUint32(FLAGS_AT, true) & KEPT_FLAGS, true);
  return result;
}

function encode(writer: Writer, copy: RouteCopy): void {
  bytes.encode(writer, sendableHeader(copy));
  bytes.encode(writer, packed(sendable(copy)));
}

/**
 * Makes the route again as the copy says. `replace` takes the place of the first one with the same destination, table,
 * metric and type of service, `append` stands behind all of those.
 */
export function sendRoute(copy: RouteCopy, mode: Exclude<RouteMode, "add">): Request<never> {
  return {
    operation: `${mode} a copied route`,
    type: RTM_NEWROUTE,
    flags: MODE_FLAGS[mode],
    encode: (writer) => encode(writer, copy),
  };
}

/** Removes the route that the copy is of; ESRCH if there is none. */
export function deleteCopied(copy: RouteCopy): Request<never> {
  return {
    operation: "delete a copied route",
    type: RTM_DELROUTE,
    flags: 0,
    encode: (writer) => encode(writer, copy),
  };
}

/** Returns a word that two copies have in common if they are of the same route, whatever its metrics and its age. */
export function identityOf(copy: RouteCopy): string {
  const lasting = sendable(copy).filter((one) => !is(Attribute.metrics, one) && !is(Attribute.expires, one));
  return `${sendableHeader(copy).toHex()}${packed(lasting).toHex()}`;
}

/** Returns a word that copies have in common which the kernel can't tell apart when one is to be replaced. */
export function placeOf({ route, header, attributes }: RouteCopy): string {
  const source = attributes.find((one) => is(Attribute.source, one))?.payload.toHex() ?? "";
  const { family, table, destination, prefixLength, priority } = route;
  // the length of the source and the type of service
  const [, , sourceLength = 0, serviceType = 0] = header;
  return [
    FAMILIES[family],
    table,
    `${destination?.toHex() ?? ""}/${prefixLength}`,
    `${source}/${sourceLength}`,
    serviceType,
    priority,
  ].join(" ");
}
