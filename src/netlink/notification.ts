// What the kernel tells of changes to whoever listens: the messages of rtnetlink and of nf_tables that come without having
// been asked for. What is read here is what the family files read; a message that can't be is told as unreadable.
import { type LinkAddress, readAddress } from "./address.ts";
import { CodecError, Reader } from "./buffer.ts";
import { attributes, be64, bytes, headed, list, text } from "./codec.ts";
import { type Link, readLink } from "./link.ts";
import { type Message, splitMessages } from "./message.ts";
import { namespaceIdMessage } from "./namespace-id.ts";
import { type Neighbour, readNeighbour } from "./neighbour.ts";
import { generationMessage } from "./nftables.ts";
import { COMMENT, commentOf, familyName, genericHeader, userData } from "./nftables-message.ts";
import { decodeRoute, type Route } from "./route.ts";
import { trafficHeader } from "./traffic-control.ts";

/** Groups of rtnetlink (RTNLGRP_*, linux/rtnetlink.h): what `routeNotifications` reads. */
export const ROUTE_GROUPS: readonly number[] = [
  1, // links
  3, // neighbours
  4, // traffic control
  5, // IPv4 addresses
  7, // IPv4 routes
  9, // IPv6 addresses
  11, // IPv6 routes
  28, // numbers of namespaces
];

/** NFNLGRP_NFTABLES, linux/netfilter/nfnetlink.h */
export const RULES_GROUP = 7;

/** A queueing discipline or a filter: where it hangs, and of which kind it is. */
export interface TrafficObject {
  readonly index: number;
  readonly handle: number;
  readonly parent: number;
  /** Priority and protocol of a filter. */
  readonly info: number;
  readonly kind: string;
}

/** A part of the rules of nf_tables. */
export interface RulesObject {
  readonly kind: "table" | "chain" | "rule" | "set" | "elements" | "object";
  /** The family of its table, such as `inet`. */
  readonly family: string;
  readonly table: string;
  /** Of a chain, of the chain of a rule, of a set; empty for a table. */
  readonly name: string;
  /** Tells a rule from the others of its chain; 0 for other things. */
  readonly handle: bigint;
  /** The comments of a rule, or of the elements that have one. */
  readonly comments: readonly string[];
  /** How many elements of a set. */
  readonly count: number;
}

/** A change, with what has changed as it is now, or as it was when it was removed. */
export type Notification = { readonly isRemoval: boolean } & (
  | { readonly object: "link"; readonly link: Link }
  | { readonly object: "address"; readonly address: LinkAddress }
  | { readonly object: "route"; readonly route: Route }
  | { readonly object: "neighbour"; readonly neighbour: Neighbour }
  | { readonly object: "qdisc" | "filter"; readonly traffic: TrafficObject }
  | { readonly object: "namespace"; readonly id: number }
  | { readonly object: "nft"; readonly rules: RulesObject }
  /** The end of a transaction: who made the changes before it. */
  | { readonly object: "transaction"; readonly processId: number; readonly processName: string }
  | { readonly object: "unreadable"; readonly type: number; readonly problem: string }
);

const AF_BRIDGE = 7;
/** Types of messages by the number of the kind of object; the lowest bits tell new and delete (linux/rtnetlink.h). */
const Kind = {
  link: 16,
  address: 20,
  route: 24,
  neighbour: 28,
  qdisc: 36,
  filter: 44,
  namespace: 88,
} as const;

const trafficMessage = headed(trafficHeader, attributes({ kind: [1, text] })); // TCA_KIND

/** Returns what a datagram of rtnetlink tells, as far as Warren knows it. Throws CodecError for no messages at all. */
export function routeNotifications(datagram: Uint8Array): Notification[] {
  return each(datagram, routeNotification);
}

/** Returns what a datagram of nf_tables tells. Throws as `routeNotifications`. */
export function rulesNotifications(datagram: Uint8Array): Notification[] {
  return each(datagram, rulesNotification);
}

type Read = (type: number, reader: Reader) => Notification | undefined;

function each(datagram: Uint8Array, read: Read): Notification[] {
  const reader = new Reader(datagram);
  return splitMessages(reader).flatMap((message) => notificationOf(message, reader, read) ?? []);
}

/** One message that nobody understands is no reason to pass over the others. */
function notificationOf(
  { type, bodyStart, end }: Message,
  reader: Reader,
  read: Read,
): Notification | undefined {
  reader.offset = bodyStart;
  reader.end = end;
  try {
    return read(type, reader);
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    return { isRemoval: false, object: "unreadable", type, problem: error.message };
  }
}

function routeNotification(type: number, reader: Reader): Notification | undefined {
  const isRemoval = (type & 3) === 1;
  reader.keepUnknown = false;
  switch (type & ~3) {
    case Kind.link:
      // a bridge tells of its ports in the same words, and of one that leaves as of one that is removed
      if (reader.bytes[reader.offset] === AF_BRIDGE) return undefined;
      return { isRemoval, object: "link", link: readLink(reader) };
    case Kind.address: {
      const address = readAddress(reader);
      return address && { isRemoval, object: "address", address };
    }
    case Kind.route: {
      const family = reader.bytes[reader.offset] === 2 ? "ipv4" : "ipv6";
      const route = decodeRoute(reader, family);
      return route && { isRemoval, object: "route", route };
    }
    case Kind.neighbour: {
      const neighbour = readNeighbour(reader);
      return neighbour && { isRemoval, object: "neighbour", neighbour };
    }
    case Kind.qdisc:
    case Kind.filter: {
      const { header, attributes: values } = trafficMessage.decode(reader);
      const { index, handle, parent, info } = header;
      const object = (type & ~3) === Kind.qdisc ? "qdisc" : "filter";
      return { isRemoval, object, traffic: { index, handle, parent, info, kind: values.kind ?? "" } };
    }
    case Kind.namespace: {
      const { id } = namespaceIdMessage.decode(reader).attributes;
      return id === undefined ? undefined : { isRemoval, object: "namespace", id };
    }
    default:
      return undefined;
  }
}

// NFT_MSG_* of what is new; the number two above is what is deleted, with the question between them
const TABLE = 0;
const CHAIN = 3;
const RULE = 6;
const SET = 9;
const ELEMENTS = 12;
const GENERATION = 15;
const OBJECT = 18;
const FLOW_TABLE = 22;

// Only what things are called: what rules of others are made of is not looked at.
const namedMessage = headed(
  genericHeader,
  attributes({
    first: [1, text], // NFTA_TABLE_NAME, and NFTA_*_TABLE of the others
    second: [2, text], // NFTA_RULE_CHAIN, NFTA_SET_NAME, NFTA_OBJ_NAME, NFTA_FLOWTABLE_NAME
  }),
);
const chainMessage = headed(genericHeader, attributes({ table: [1, text], name: [3, text] })); // NFTA_CHAIN_*
const tableMessage = headed(genericHeader, attributes({ name: [1, text] })); // NFTA_TABLE_NAME
const ruleMessage = headed(
  genericHeader,
  attributes({
    table: [1, text], // NFTA_RULE_TABLE
    chain: [2, text], // NFTA_RULE_CHAIN
    handle: [3, be64], // NFTA_RULE_HANDLE
    userData: [7, userData], // NFTA_RULE_USERDATA
  }),
);
const elementsMessage = headed(
  genericHeader,
  attributes({
    table: [1, text], // NFTA_SET_ELEM_LIST_TABLE
    set: [2, text], // NFTA_SET_ELEM_LIST_SET
    elements: [3, list(attributes({ key: [1, bytes], userData: [6, userData] }))], // NFTA_SET_ELEM_*
  }),
);

function rulesNotification(type: number, reader: Reader): Notification | undefined {
  reader.keepUnknown = false;
  const number = type & 0xff;
  if (number === GENERATION) {
    const { processId = 0, processName = "" } = generationMessage.decode(reader).attributes;
    return { isRemoval: false, object: "transaction", processId, processName };
  }
  const base = [TABLE, CHAIN, RULE, SET, ELEMENTS, OBJECT, FLOW_TABLE].find(
    (one) => number === one || number === one + 2,
  );
  const rules = base === undefined ? undefined : rulesObject(base, reader);
  return rules && { isRemoval: number !== base, object: "nft", rules };
}

function rulesObject(base: number, reader: Reader): RulesObject {
  const nothing = { handle: 0n, comments: [], count: 0 };
  const family = familyName(reader.bytes[reader.offset] ?? 0) ?? "";
  switch (base) {
    case TABLE: {
      const { name = "" } = tableMessage.decode(reader).attributes;
      return { ...nothing, kind: "table", family, table: name, name: "" };
    }
    case CHAIN: {
      const { table = "", name = "" } = chainMessage.decode(reader).attributes;
      return { ...nothing, kind: "chain", family, table, name };
    }
    case RULE: {
      const values = ruleMessage.decode(reader).attributes;
      const { table = "", chain: name = "", handle = 0n } = values;
      const comment = commentOf(COMMENT.rule, values.userData);
      return {
        kind: "rule",
        family,
        table,
        name,
        handle,
        comments: comment === "" ? [] : [comment],
        count: 0,
      };
    }
    case ELEMENTS: {
      const { table = "", set: name = "", elements = [] } = elementsMessage.decode(reader).attributes;
      const comments = elements
        .map((element) => commentOf(COMMENT.element, element.userData))
        .filter((comment) => comment !== "");
      return { ...nothing, kind: "elements", family, table, name, comments, count: elements.length };
    }
    default: {
      const { first = "", second = "" } = namedMessage.decode(reader).attributes;
      return { ...nothing, kind: base === SET ? "set" : "object", family, table: first, name: second };
    }
  }
}
