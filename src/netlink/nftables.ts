// nf_tables as nfnetlink speaks of it: tables, chains and rules, without the nft program; sets are in nftables-set.ts.
// Requests that change something go through NetlinkSocket.transaction. Numbers: linux/netfilter/nf_tables.h;
// attributes are written in libnftnl's order, so that our bytes can be compared with those of nft.
import type { Codec } from "./buffer.ts";
import { attributes, be32, be32Signed, be64, bytes, headed, later, nested, text } from "./codec.ts";
import { type Expression, expressions } from "./expression.ts";
import { MessageFlag, type Request } from "./message.ts";
import {
  COMMENT,
  commentData,
  commentOf,
  familyName,
  genericHeader,
  header,
  request,
  SUBSYSTEM,
  type TableFamily,
  type TableName,
  userData,
} from "./nftables-message.ts";

// NFT_MSG_*
const NEW_TABLE = SUBSYSTEM | 0;
const DELETE_TABLE = SUBSYSTEM | 2;
const NEW_CHAIN = SUBSYSTEM | 3;
const GET_CHAIN = SUBSYSTEM | 4;
const DELETE_CHAIN = SUBSYSTEM | 5;
const NEW_RULE = SUBSYSTEM | 6;
const GET_RULE = SUBSYSTEM | 7;
const DELETE_RULE = SUBSYSTEM | 8;
const GET_GENERATION = SUBSYSTEM | 16;

/** The body of a table message. */
export const tableMessage = headed(
  genericHeader,
  later(() =>
    attributes({
      name: [1, text], // NFTA_TABLE_NAME
      flags: [2, be32], // NFTA_TABLE_FLAGS
      use: [3, be32], // NFTA_TABLE_USE
      handle: [4, be64], // NFTA_TABLE_HANDLE
      userData: [6, userData], // NFTA_TABLE_USERDATA
    }),
  ),
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

const ruleTable = () =>
  ({
    table: [1, text], // NFTA_RULE_TABLE
    chain: [2, text], // NFTA_RULE_CHAIN
    handle: [3, be64], // NFTA_RULE_HANDLE
    position: [6, be64], // NFTA_RULE_POSITION
    userData: [7, userData], // NFTA_RULE_USERDATA
  }) as const;

/** The body of a rule message. */
export const ruleMessage = headed(
  genericHeader,
  later(() => attributes({ ...ruleTable(), expressions: [4, expressions] })), // NFTA_RULE_EXPRESSIONS
);

// Rules of others may hold anything, so what they are made of is not looked at when they are listed.
const listedRuleMessage = headed(
  genericHeader,
  later(() => attributes({ ...ruleTable(), expressions: [4, bytes] })),
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
