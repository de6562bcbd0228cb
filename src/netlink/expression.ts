// The expressions that nf_tables rules are made of: each loads, compares or does one thing, and a rule is a list of
// them that runs until one doesn't match. Numbers: linux/netfilter/nf_tables.h; attribute order: libnftnl.
import type { Codec } from "./buffer.ts";
import {
  attributes,
  be32,
  be32Signed,
  be64,
  bytes,
  type Choice,
  choice,
  later,
  list,
  nested,
  text,
} from "./codec.ts";

/** A value or a verdict (NFTA_DATA_*). */
export const data = nested(
  later(() =>
    attributes({
      value: [1, bytes],
      verdict: [2, nested(attributes({ code: [1, be32Signed], chain: [2, text] }))], // NFTA_VERDICT_*
    }),
  ),
);

const kinds = () =>
  ({
    meta: nested(attributes({ destination: [1, be32], key: [2, be32], source: [3, be32] })),
    payload: nested(
      attributes({ destination: [1, be32], base: [2, be32], offset: [3, be32], length: [4, be32] }),
    ),
    bitwise: nested(
      attributes({
        source: [1, be32],
        destination: [2, be32],
        length: [3, be32],
        mask: [4, data],
        xor: [5, data],
        operation: [6, be32],
      }),
    ),
    cmp: nested(attributes({ source: [1, be32], operator: [2, be32], data: [3, data] })),
    lookup: nested(
      attributes({
        set: [1, text],
        source: [2, be32],
        destination: [3, be32],
        setId: [4, be32],
        flags: [5, be32],
      }),
    ),
    immediate: nested(attributes({ destination: [1, be32], data: [2, data] })),
    masq: nested(attributes({ flags: [1, be32], portMinimum: [2, be32], portMaximum: [3, be32] })),
    nat: nested(
      attributes({
        type: [1, be32],
        family: [2, be32],
        addressMinimum: [3, be32],
        addressMaximum: [4, be32],
        portMinimum: [5, be32],
        portMaximum: [6, be32],
        flags: [7, be32],
      }),
    ),
    ct: nested(attributes({ destination: [1, be32], key: [2, be32], source: [4, be32] })),
    fib: nested(attributes({ destination: [1, be32], result: [2, be32], flags: [3, be32] })),
    counter: nested(attributes({ bytes: [1, be64], packets: [2, be64] })),
  }) as const;

/** One step of a rule. */
export type Expression = Choice<ReturnType<typeof kinds>>;

// NFTA_EXPR_NAME, NFTA_EXPR_DATA
const expression: Codec<Expression | undefined> = nested(later(() => choice([1, text], 2, kinds())));

/** The expressions of a rule (NFTA_LIST_ELEM). */
export const expressions: Codec<readonly (Expression | undefined)[]> = nested(list(expression));

/** Where values are kept while a rule runs: four of 16 bytes, which are also sixteen of 4 bytes. */
export const Register = {
  verdict: 0,
  first: 1,
  second: 2,
  third: 3,
  fourth: 4,
  /** The 4-byte register `index` (0 to 15); the first 16-byte one is the same as 0 to 3. */
  word: (index: number) => 8 + index,
} as const;

/** What `meta` knows of a packet (NFT_META_*). */
export const MetaKey = {
  inputName: 6,
  outputName: 7,
  protocolFamily: 15,
  transport: 16,
} as const;

/** Loads what is known of the packet: `meta iifname`. */
export function meta(key: number, register: number = Register.first): Expression {
  return { kind: "meta", data: { key, destination: register } };
}

/** Where offsets into a packet count from (NFT_PAYLOAD_*). */
export const PayloadBase = { link: 0, network: 1, transport: 2 } as const;

/** Loads `length` bytes of the packet. */
export function payload(
  base: number,
  offset: number,
  length: number,
  register: number = Register.first,
): Expression {
  return { kind: "payload", data: { destination: register, base, offset, length } };
}

/** Keeps the bits of a register that are set in `mask`. */
export function keepBits(mask: Uint8Array, register: number = Register.first): Expression {
  const value = new Uint8Array(mask.length);
  return {
    kind: "bitwise",
    data: {
      source: register,
      destination: register,
      length: mask.length,
      mask: { value: mask },
      xor: { value },
    },
  };
}

const OPERATORS = { equal: 0, notEqual: 1, less: 2, lessOrEqual: 3, greater: 4, greaterOrEqual: 5 } as const;

/** How a register is compared (NFT_CMP_*); values are compared as bytes, the first is the highest. */
export type Operator = keyof typeof OPERATORS;

/** Goes on only if a register compares so with `value`. */
export function compare(
  operator: Operator,
  value: Uint8Array,
  register: number = Register.first,
): Expression {
  return { kind: "cmp", data: { source: register, operator: OPERATORS[operator], data: { value } } };
}

/** How a set is looked into. */
export interface LookupOptions {
  readonly register?: number;
  /** For a map: where to put what is found. */
  readonly destination?: number;
  /** Go on only if the key is not there. */
  readonly inverted?: boolean;
  /** For a set that is made in the same transaction without a name of its own. */
  readonly setId?: number;
}

/** Goes on only if a register's value is in a set: `@pods`. */
export function lookup(set: string, options: LookupOptions = {}): Expression {
  return {
    kind: "lookup",
    data: {
      source: options.register ?? Register.first,
      destination: options.destination,
      set,
      setId: options.setId,
      flags: options.inverted ? 1 : undefined, // NFT_LOOKUP_F_INV
    },
  };
}

/** Puts a value into a register. */
export function immediate(value: Uint8Array, register: number = Register.first): Expression {
  return { kind: "immediate", data: { destination: register, data: { value } } };
}

/** What becomes of a packet (NF_DROP, NF_ACCEPT and NFT_*), as the data of a verdict map says it. */
export const VerdictCode = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;

/** Ends the rule: what becomes of the packet, or where it goes on. */
export function verdict(name: "drop" | "accept" | "return"): Expression;
export function verdict(name: "jump" | "goto", chain: string): Expression;
export function verdict(name: keyof typeof VerdictCode, chain?: string): Expression {
  return {
    kind: "immediate",
    data: { destination: Register.verdict, data: { verdict: { code: VerdictCode[name], chain } } },
  };
}

/** Gives the packet the address of the interface by which it leaves: `masquerade`. */
export function masquerade(): Expression {
  return { kind: "masq", data: {} };
}

const NAT_TYPES = { source: 0, destination: 1 } as const;

/** Which registers hold the new address and port. */
export interface NatTarget {
  readonly family: "ipv4" | "ipv6";
  readonly address?: number;
  readonly port?: number;
}

/** Rewrites the packet's source or destination from registers: `snat`, `dnat`. */
export function nat(type: keyof typeof NAT_TYPES, target: NatTarget): Expression {
  return {
    kind: "nat",
    data: {
      type: NAT_TYPES[type],
      family: target.family === "ipv4" ? 2 : 10,
      addressMinimum: target.address,
      portMinimum: target.port,
    },
  };
}

/** What connection tracking knows (NFT_CT_*). */
export const ConnectionKey = { state: 0, direction: 1, status: 2, mark: 3 } as const;

/** Loads what is known of the packet's connection: `ct state`. */
export function connection(key: number, register: number = Register.first): Expression {
  return { kind: "ct", data: { key, destination: register } };
}

/** What a route lookup can tell (NFT_FIB_RESULT_*). */
export const FibResult = { outputIndex: 1, outputName: 2, addressType: 3 } as const;

/** By what a route is looked up (NFTA_FIB_F_*). */
export const FibFlag = { source: 1, destination: 2, mark: 4, input: 8, output: 16 } as const;

/** Looks a route up: `fib daddr type`. */
export function fib(result: number, flags: number, register: number = Register.first): Expression {
  return { kind: "fib", data: { flags, result, destination: register } };
}

/** Counts packets and bytes that come here: `counter`. */
export function counter(): Expression {
  return { kind: "counter", data: {} };
}
