// nf_tables as nfnetlink speaks of it: tables, chains, rules, sets and their elements, without the nft program.
// Requests that change something go through NetlinkSocket.transaction. Numbers: linux/netfilter/nf_tables.h;
// attributes are written in libnftnl's order, so that our bytes can be compared with those of nft.
import {
  attributes,
  be16,
  be32,
  be32Signed,
  be64,
  bytes,
  type Codec,
  CodecError,
  headed,
  list,
  nested,
  type Reader,
  struct,
  text,
  u8,
} from "./codec.ts";
import { data, type Expression, expressions } from "./expression.ts";
import { MessageFlag, type Request } from "./message.ts";

const SUBSYSTEM = 10 << 8; // NFNL_SUBSYS_NFTABLES

// NFT_MSG_*
const NEW_TABLE = SUBSYSTEM | 0;
const DELETE_TABLE = SUBSYSTEM | 2;
const NEW_CHAIN = SUBSYSTEM | 3;
const GET_CHAIN = SUBSYSTEM | 4;
const DELETE_CHAIN = SUBSYSTEM | 5;
const NEW_RULE = SUBSYSTEM | 6;
const GET_RULE = SUBSYSTEM | 7;
const DELETE_RULE = SUBSYSTEM | 8;
const NEW_SET = SUBSYSTEM | 9;
const DELETE_SET = SUBSYSTEM | 11;
const NEW_ELEMENT = SUBSYSTEM | 12;
const GET_ELEMENT = SUBSYSTEM | 13;
const DELETE_ELEMENT = SUBSYSTEM | 14;
const GET_GENERATION = SUBSYSTEM | 16;

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

function commentData(type: number, comment: string | undefined): readonly UserData[] | undefined {
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

/** The body of a table message. */
export const tableMessage = headed(
  genericHeader,
  attributes({
    name: [1, text], // NFTA_TABLE_NAME
    flags: [2, be32], // NFTA_TABLE_FLAGS
    use: [3, be32], // NFTA_TABLE_USE
    handle: [4, be64], // NFTA_TABLE_HANDLE
    userData: [6, userData], // NFTA_TABLE_USERDATA
  }),
);

/** The body of a chain message. */
export const chainMessage = headed(
  genericHeader,
  attributes({
    table: [1, text], // NFTA_CHAIN_TABLE
    handle: [2, be64], // NFTA_CHAIN_HANDLE
    name: [3, text], // NFTA_CHAIN_NAME
    hook: [4, nested(attributes({ number: [1, be32], priority: [2, be32Signed] }))], // NFTA_CHAIN_HOOK
    policy: [5, be32], // NFTA_CHAIN_POLICY
    use: [6, be32], // NFTA_CHAIN_USE
    type: [7, text], // NFTA_CHAIN_TYPE
    flags: [10, be32], // NFTA_CHAIN_FLAGS
    userData: [12, userData], // NFTA_CHAIN_USERDATA
  }),
);

const ruleTable = {
  table: [1, text], // NFTA_RULE_TABLE
  chain: [2, text], // NFTA_RULE_CHAIN
  handle: [3, be64], // NFTA_RULE_HANDLE
  position: [6, be64], // NFTA_RULE_POSITION
  userData: [7, userData], // NFTA_RULE_USERDATA
} as const;

/** The body of a rule message. */
export const ruleMessage = headed(
  genericHeader,
  attributes({ ...ruleTable, expressions: [4, expressions] }), // NFTA_RULE_EXPRESSIONS
);

// Rules of others may hold anything, so what they are made of is not looked at when they are listed.
const listedRuleMessage = headed(genericHeader, attributes({ ...ruleTable, expressions: [4, bytes] }));

/** The body of a set message. */
export const setMessage = headed(
  genericHeader,
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
);

/** The body of a message about elements of a set. */
export const elementMessage = headed(
  genericHeader,
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
);

/** The body of the message about a transaction: what the rules are numbered now, and who has changed them. */
export const generationMessage = headed(
  genericHeader,
  attributes({
    id: [1, be32], // NFTA_GEN_ID
    processId: [2, be32], // NFTA_GEN_PROC_PID
    processName: [3, text], // NFTA_GEN_PROC_NAME
  }),
);

function header(table: TableName): { family: number; version: number; resource: number } {
  return { family: TABLE_FAMILIES[table.family], version: 0, resource: 0 };
}

/** Returns the name of a table's family by its number; undefined for one that is unknown here. */
export function familyName(family: number): TableFamily | undefined {
  for (const name of Object.keys(TABLE_FAMILIES) as TableFamily[]) {
    if (TABLE_FAMILIES[name] === family) return name;
  }
  return undefined;
}

function request<Body>(
  operation: string,
  type: number,
  flags: number,
  codec: Codec<Body>,
  body: () => Body,
): Request<never> {
  return { operation, type, flags, encode: (writer) => codec.encode(writer, body()) };
}

/** Makes a table; does nothing if it is there. */
export function createTable(table: TableName, comment?: string): Request<never> {
  return request(`create table ${table.name}`, NEW_TABLE, 0, tableMessage, () => ({
    header: header(table),
    attributes: { name: table.name, flags: 0, userData: commentData(COMMENT.table, comment) },
  }));
}

/** Removes a table with all that is in it; ENOENT if there is none. */
export function deleteTable(table: TableName): Request<never> {
  return request(`delete table ${table.name}`, DELETE_TABLE, 0, tableMessage, () => ({
    header: header(table),
    attributes: { name: table.name },
  }));
}

/** Places where a chain can see packets (NF_INET_*). */
const HOOKS = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;
const HOOK_NAMES = ["prerouting", "input", "forward", "output", "postrouting"] as const;
const POLICIES = ["drop", "accept"] as const;

/** Places where a chain can see packets. */
export type Hook = keyof typeof HOOKS;

/** Usual priorities: chains with lower ones see packets first (linux/netfilter_ipv4.h). */
export const Priority = { raw: -300, mangle: -150, destinationNat: -100, filter: 0, sourceNat: 100 } as const;

/** How a chain gets its packets from the kernel; a chain without this is only jumped to. */
export interface ChainBase {
  readonly type: "filter" | "nat" | "route";
  readonly hook: Hook;
  readonly priority: number;
  /** What becomes of packets that no rule decided about; accept if left out. */
  readonly policy?: "accept" | "drop" | undefined;
}

/** A chain that is to be. */
export interface NewChain {
  readonly name: string;
  readonly base?: ChainBase | undefined;
  readonly comment?: string | undefined;
}

/** Makes a chain; does nothing if the same is there. */
export function createChain(table: TableName, chain: NewChain): Request<never> {
  const { base } = chain;
  return request(
    `create chain ${table.name} ${chain.name}`,
    NEW_CHAIN,
    MessageFlag.create,
    chainMessage,
    () => ({
      header: header(table),
      attributes: {
        table: table.name,
        name: chain.name,
        type: base?.type,
        policy: base && POLICIES.indexOf(base.policy ?? "accept"),
        hook: base && { number: HOOKS[base.hook], priority: base.priority },
        userData: commentData(COMMENT.chain, chain.comment),
      },
    }),
  );
}

/** Removes a chain; ENOENT if there is none, EBUSY if it is jumped to. */
export function deleteChain(table: TableName, name: string): Request<never> {
  return request(`delete chain ${table.name} ${name}`, DELETE_CHAIN, 0, chainMessage, () => ({
    header: header(table),
    attributes: { table: table.name, name },
  }));
}

/** Removes a chain that nobody has put a rule into; EBUSY if it has rules or is jumped to, ENOENT if there is none. */
export function deleteEmptyChain(table: TableName, name: string): Request<never> {
  // without the flag the kernel takes the rules along
  return { ...deleteChain(table, name), flags: MessageFlag.nonRecursive };
}

/** Removes a table with nothing in it; EBUSY if there is something, ENOENT if there is none. */
export function deleteEmptyTable(table: TableName): Request<never> {
  return { ...deleteTable(table), flags: MessageFlag.nonRecursive };
}

/** A chain as the kernel describes it. */
export interface Chain {
  readonly table: string;
  readonly name: string;
  readonly handle: bigint;
  /** Undefined for a chain that is only jumped to. */
  readonly base:
    | { type: string; hook: Hook | undefined; priority: number; policy: "accept" | "drop" }
    | undefined;
  readonly comment: string;
  /** How many rules it has and how many jump to it, together. */
  readonly use: number;
}

type ChainMessage = typeof chainMessage extends Codec<infer Message> ? Message : never;

function chainOf({ attributes: values }: ChainMessage): Chain {
  const { hook } = values;
  return {
    table: values.table ?? "",
    name: values.name ?? "",
    handle: values.handle ?? 0n,
    base: hook && {
      type: values.type ?? "",
      hook: HOOK_NAMES[hook.number ?? -1],
      priority: hook.priority ?? 0,
      policy: POLICIES[values.policy ?? 1] ?? "accept",
    },
    comment: commentOf(COMMENT.chain, values.userData),
    use: values.use ?? 0,
  };
}

/** Asks for one chain. */
export function getChain(table: TableName, name: string): Request<Chain> {
  return {
    operation: `get chain ${table.name} ${name}`,
    type: GET_CHAIN,
    flags: 0,
    encode: (writer) =>
      chainMessage.encode(writer, { header: header(table), attributes: { table: table.name, name } }),
    decode: (reader) => chainOf(chainMessage.decode(reader)),
  };
}

/** Asks for all chains of a table; a table that doesn't exist has none. */
export function dumpChains(table: TableName): Request<Chain> {
  return {
    operation: `list chains of table ${table.name}`,
    type: GET_CHAIN,
    flags: 0,
    encode: (writer) =>
      chainMessage.encode(writer, { header: header(table), attributes: { table: table.name } }),
    decode(reader) {
      // The kernel lists the chains of every table of the family.
      const message = chainMessage.decode(reader);
      const chain = chainOf(message);
      return chain.table === table.name && familyName(message.header.family) === table.family
        ? chain
        : undefined;
    },
  };
}

/** A chain with the family of its table. */
export interface ForeignChain extends Chain {
  readonly family: TableFamily;
}

/** Asks for the chains of all tables of every family. */
export function dumpAllChains(): Request<ForeignChain> {
  return {
    operation: "list all chains",
    type: GET_CHAIN,
    flags: 0,
    encode: (writer) =>
      chainMessage.encode(writer, { header: { family: 0, version: 0, resource: 0 }, attributes: {} }),
    decode(reader) {
      const message = chainMessage.decode(reader);
      const family = familyName(message.header.family);
      return family === undefined ? undefined : { ...chainOf(message), family };
    },
  };
}

/** A rule that is to be. */
export interface NewRule {
  readonly chain: string;
  readonly expressions: readonly Expression[];
  readonly comment?: string | undefined;
  /** The handle of a rule to stand beside; without it the rule stands at the end or the beginning of its chain. */
  readonly position?: bigint | undefined;
}

/** Makes a rule: `append` puts it behind the others, `insert` before them. */
export function addRule(
  table: TableName,
  rule: NewRule,
  mode: "append" | "insert" = "append",
): Request<never> {
  const flags = MessageFlag.create | (mode === "append" ? MessageFlag.append : 0);
  return request(`${mode} rule in ${table.name} ${rule.chain}`, NEW_RULE, flags, ruleMessage, () => ({
    header: header(table),
    attributes: {
      table: table.name,
      chain: rule.chain,
      position: rule.position,
      expressions: rule.expressions,
      userData: commentData(COMMENT.rule, rule.comment),
    },
  }));
}

/**
 * Removes all rules of a chain. With the rules added behind it in the same transaction, two first callers leave
 * one set of rules and not two.
 */
export function flushChain(table: TableName, chain: string): Request<never> {
  return request(`flush chain ${table.name} ${chain}`, DELETE_RULE, 0, ruleMessage, () => ({
    header: header(table),
    attributes: { table: table.name, chain },
  }));
}

/** A rule as the kernel describes it. */
export interface Rule {
  readonly table: string;
  readonly chain: string;
  /** Its number in the table, by which it is removed. */
  readonly handle: bigint;
  readonly comment: string;
  /** What it is made of, not decoded (NFTA_RULE_EXPRESSIONS). */
  readonly expressions: Uint8Array;
}

/** Asks for all rules of a chain, or of a table; one that doesn't exist has none. */
export function dumpRules(table: TableName, chain?: string): Request<Rule> {
  return {
    operation: `list rules of ${chain === undefined ? `table ${table.name}` : `chain ${table.name} ${chain}`}`,
    type: GET_RULE,
    flags: 0,
    ignore: ["ENOENT"],
    encode: (writer) =>
      listedRuleMessage.encode(writer, { header: header(table), attributes: { table: table.name, chain } }),
    decode(reader) {
      const message = listedRuleMessage.decode(reader);
      const values = message.attributes;
      if (values.table !== table.name || familyName(message.header.family) !== table.family) return undefined;
      if (chain !== undefined && values.chain !== chain) return undefined;
      return {
        table: values.table,
        chain: values.chain ?? "",
        handle: values.handle ?? 0n,
        comment: commentOf(COMMENT.rule, values.userData),
        expressions: values.expressions ?? new Uint8Array(0),
      };
    },
  };
}

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

/** Which state of the rules is in force: the number grows with every transaction that changes them. */
export interface Generation {
  readonly id: number;
}

/**
 * Asks which generation the rules are of. It changes nothing and needs nothing to be there, so it is the probe for
 * a kernel with nf_tables: one without answers with an error.
 */
export function getGeneration(): Request<Generation> {
  return {
    operation: "get nf_tables generation",
    type: GET_GENERATION,
    flags: 0,
    encode: (writer) =>
      generationMessage.encode(writer, { header: { family: 0, version: 0, resource: 0 }, attributes: {} }),
    decode: (reader) => ({ id: generationMessage.decode(reader).attributes.id ?? 0 }),
  };
}
