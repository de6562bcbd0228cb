// Sets and maps of nf_tables and their elements, as nfnetlink speaks of them; tables, chains and rules are in nftables.ts.
// Requests that change something go through NetlinkSocket.transaction. Numbers: linux/netfilter/nf_tables.h.
import type { Reader } from "./buffer.ts";
import { attributes, be32, headed, later, list, nested, text } from "./codec.ts";
import { data } from "./expression.ts";
import { MessageFlag, type Request } from "./message.ts";
import {
  COMMENT,
  commentData,
  commentOf,
  genericHeader,
  header,
  request,
  SUBSYSTEM,
  type TableName,
  type UserData,
  userData,
} from "./nftables-message.ts";

// NFT_MSG_*
const NEW_SET = SUBSYSTEM | 9;
const DELETE_SET = SUBSYSTEM | 11;
const NEW_ELEMENT = SUBSYSTEM | 12;
const GET_ELEMENT = SUBSYSTEM | 13;
const DELETE_ELEMENT = SUBSYSTEM | 14;

/** The body of a set message. */
export const setMessage = headed(
  genericHeader,
  later(() =>
    attributes({
      table: [1, text], // NFTA_SET_TABLE
      name: [2, text], // NFTA_SET_NAME
      flags: [3, be32], // NFTA_SET_FLAGS
      keyType: [4, be32], // NFTA_SET_KEY_TYPE
      keyLength: [5, be32], // NFTA_SET_KEY_LEN
      dataType: [6, be32], // NFTA_SET_DATA_TYPE
      dataLength: [7, be32], // NFTA_SET_DATA_LEN
      id: [10, be32], // NFTA_SET_ID
      userData: [13, userData], // NFTA_SET_USERDATA
    }),
  ),
);

/** The body of a message about elements of a set. */
export const elementMessage = headed(
  genericHeader,
  later(() =>
    attributes({
      table: [1, text], // NFTA_SET_ELEM_LIST_TABLE
      set: [2, text], // NFTA_SET_ELEM_LIST_SET
      elements: [
        3, // NFTA_SET_ELEM_LIST_ELEMENTS
        nested(
          list(
            nested(
              attributes({
                key: [1, data], // NFTA_SET_ELEM_KEY
                data: [2, data], // NFTA_SET_ELEM_DATA
                flags: [3, be32], // NFTA_SET_ELEM_FLAGS
                userData: [6, userData], // NFTA_SET_ELEM_USERDATA
              }),
            ),
          ),
        ),
      ],
      setId: [4, be32], // NFTA_SET_ELEM_LIST_SET_ID
    }),
  ),
);

// Type numbers and lengths are those of nft (include/datatype.h); the kernel only keeps them for the next who lists.
const HOST_ORDER = 1;
const NETWORK_ORDER = 2;
const DATA_TYPES = {
  ipv4Address: [7, 4, NETWORK_ORDER],
  ipv6Address: [8, 16, NETWORK_ORDER],
  hardwareAddress: [9, 6, NETWORK_ORDER],
  transport: [12, 1, NETWORK_ORDER],
  port: [13, 2, NETWORK_ORDER],
  mark: [19, 4, HOST_ORDER],
  interfaceName: [41, 16, HOST_ORDER],
} as const;

/** What a set's keys or a map's values are. */
export type DataType = keyof typeof DATA_TYPES;

// Several types together: six bits each, and each value starts at a multiple of 4 bytes.
function typeOf(types: readonly DataType[]): { type: number; length: number } {
  const only = types.length === 1 ? types[0] : undefined;
  if (only !== undefined) return { type: DATA_TYPES[only][0], length: DATA_TYPES[only][1] };
  let type = 0;
  let length = 0;
  for (const name of types) {
    type = (type << 6) | DATA_TYPES[name][0];
    length += (DATA_TYPES[name][1] + 3) & ~3;
  }
  return { type, length };
}

/** Returns values of several types as one key or value of a set: each padded to a multiple of 4 bytes. */
export function concatenated(...values: readonly Uint8Array[]): Uint8Array {
  const length = values.reduce((sum, value) => sum + ((value.length + 3) & ~3), 0);
  const all = new Uint8Array(length);
  let at = 0;
  for (const value of values) {
    all.set(value, at);
    at += (value.length + 3) & ~3;
  }
  return all;
}

const SET_MAP = 8; // NFT_SET_MAP
const VERDICT_TYPE = 0xffffff00; // NFT_DATA_VERDICT
const KEY_ORDER = 0; // NFTNL_UDATA_SET_KEYBYTEORDER
const DATA_ORDER = 1; // NFTNL_UDATA_SET_DATABYTEORDER

/** A set, or a map if it has data. */
export interface NewSet {
  readonly name: string;
  /** What a key is made of; more than one type is a concatenation. */
  readonly key: readonly DataType[];
  /** What a key leads to. */
  readonly data?: readonly DataType[] | "verdict" | undefined;
  /** A number for it within the transaction; the kernel wants one, 1 if left out. */
  readonly id?: number | undefined;
  readonly comment?: string | undefined;
}

function orderData(type: number, types: readonly DataType[]): UserData {
  const only = types.length === 1 ? types[0] : undefined;
  const order = only === undefined ? 0 : DATA_TYPES[only][2];
  return { type, bytes: Uint8Array.of(order, 0, 0, 0) };
}

/** Makes a set or map; does nothing if the same is there. */
export function createSet(table: TableName, set: NewSet): Request<never> {
  return request(`create set ${table.name} ${set.name}`, NEW_SET, MessageFlag.create, setMessage, () => {
    const key = typeOf(set.key);
    const value = set.data === "verdict" ? { type: VERDICT_TYPE, length: 0 } : set.data && typeOf(set.data);
    const notes = [orderData(KEY_ORDER, set.key)];
    if (Array.isArray(set.data)) notes.push(orderData(DATA_ORDER, set.data));
    return {
      header: header(table),
      attributes: {
        table: table.name,
        name: set.name,
        flags: value === undefined ? 0 : SET_MAP,
        keyType: key.type,
        keyLength: key.length,
        dataType: value?.type,
        dataLength: value?.length,
        id: set.id ?? 1,
        userData: [...notes, ...(commentData(COMMENT.set, set.comment) ?? [])],
      },
    };
  });
}

/** Removes a set; ENOENT if there is none, EBUSY if a rule looks into it. */
function deleteSet(table: TableName, name: string): Request<never> {
  return request(`delete set ${table.name} ${name}`, DELETE_SET, 0, setMessage, () => ({
    header: header(table),
    attributes: { table: table.name, name },
  }));
}

/** Removes a set with nothing in it; EBUSY if it has elements or a rule looks into it, ENOENT if there is none. */
export function deleteEmptySet(table: TableName, name: string): Request<never> {
  // without the flag the kernel takes the elements along
  return { ...deleteSet(table, name), flags: MessageFlag.nonRecursive };
}

/** An element of a set or map. */
export interface Element {
  readonly key: Uint8Array;
  /** What the key leads to: a value, or a verdict with its code and chain. */
  readonly data?: Uint8Array | { readonly code: number; readonly chain?: string | undefined } | undefined;
  readonly comment?: string | undefined;
}

function elementRequest(
  operation: string,
  type: number,
  flags: number,
  table: TableName,
  set: string,
  elements: readonly Element[],
): Request<never> {
  return request(operation, type, flags, elementMessage, () => ({
    header: header(table),
    attributes: {
      table: table.name,
      set,
      elements: elements.map((element) => ({
        key: { value: element.key },
        data:
          element.data === undefined
            ? undefined
            : element.data instanceof Uint8Array
              ? { value: element.data }
              : { verdict: element.data },
        userData: commentData(COMMENT.element, element.comment),
      })),
    },
  }));
}

/** Puts elements into a set; those that are there stay as they are, EEXIST if a map's key leads elsewhere. */
export function addElements(table: TableName, set: string, elements: readonly Element[]): Request<never> {
  const operation = `add elements to ${table.name} ${set}`;
  return elementRequest(operation, NEW_ELEMENT, MessageFlag.create, table, set, elements);
}

/** Takes elements out of a set; ENOENT if one isn't in it. */
export function deleteElements(table: TableName, set: string, elements: readonly Element[]): Request<never> {
  const operation = `delete elements from ${table.name} ${set}`;
  return elementRequest(operation, DELETE_ELEMENT, 0, table, set, elements);
}

/** Asks for all elements of a set, a message full at a time; a set that doesn't exist has none. */
export function dumpElements(table: TableName, set: string): Request<readonly Element[]> {
  return {
    operation: `list elements of ${table.name} ${set}`,
    type: GET_ELEMENT,
    flags: 0,
    ignore: ["ENOENT"],
    encode: (writer) =>
      elementMessage.encode(writer, { header: header(table), attributes: { set, table: table.name } }),
    decode: decodeElements,
  };
}

function decodeElements(reader: Reader): Element[] {
  const found = elementMessage.decode(reader).attributes.elements ?? [];
  return found.map((element) => {
    const verdict = element.data?.verdict;
    return {
      key: element.key?.value ?? new Uint8Array(0),
      data: verdict === undefined ? element.data?.value : { code: verdict.code ?? 0, chain: verdict.chain },
      comment: commentOf(COMMENT.element, element.userData),
    };
  });
}

/** Asks for one element of a set by its key; ENOENT if the set or the element isn't there. */
export function getElement(table: TableName, set: string, key: Uint8Array): Request<Element> {
  return {
    ...elementRequest(`get element of ${table.name} ${set}`, GET_ELEMENT, 0, table, set, [{ key }]),
    decode: (reader) => decodeElements(reader)[0],
  };
}
