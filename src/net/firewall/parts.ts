// What the firewall consists of: two base chains with their rules, which never change, and the sets that they look into. An
// element of a set is all that a pod, a bridge or a port is to it. Nothing in here asks the kernel.
import {
  type Address,
  addressBytes,
  addressFromBytes,
  formatAddress,
  parseAddress,
} from "../../ip/address.ts";
import { type Expression, verdict } from "../../netlink/expression.ts";
import {
  addressInSet,
  connectionState,
  connectionStatus,
  inputInterfaceIn,
  interfaceNameBytes,
  interfacePairIn,
  outputInterfaceIn,
} from "../../netlink/match.ts";
import { Priority } from "../../netlink/nftables.ts";
import type { TableName } from "../../netlink/nftables-message.ts";
import { concatenated, type DataType } from "../../netlink/nftables-set.ts";

/** The table of forwarded packets. */
export const INET: TableName = { family: "inet", name: "warren" };
/** The table of frames that a bridge forwards. */
const BRIDGE: TableName = { family: "bridge", name: "warren" };
/** The chain in both tables. */
export const CHAIN = "firewall";
/** The chain that jumps to the operator's own chains. */
export const ADMINS = "firewall-admins";
/** NF_BR_PRI_FILTER_BRIDGED, linux/netfilter_bridge.h */
const BRIDGE_FILTER_PRIORITY = -200;

/** What the elements of a set are, and how their text becomes a key. */
export interface SetFormat {
  readonly key: readonly DataType[];
  encode(text: string): Uint8Array;
  decode(key: Uint8Array): string;
}

const textDecoder = new TextDecoder();

function addressFormat(type: "ipv4Address" | "ipv6Address"): SetFormat {
  return {
    key: [type],
    encode: (text) => addressBytes(parseAddress(text) ?? { family: 4, value: 0n }),
    decode: (key) => formatAddress(addressFromBytes(key)),
  };
}

function interfaceName(key: Uint8Array): string {
  const end = key.indexOf(0);
  return textDecoder.decode(key.subarray(0, end < 0 ? 16 : Math.min(end, 16)));
}

const INTERFACE: SetFormat = { key: ["interfaceName"], encode: interfaceNameBytes, decode: interfaceName };
/** An interface as where a packet comes in and goes out again. */
const INTERFACE_TWICE: SetFormat = {
  key: ["interfaceName", "interfaceName"],
  encode: (text) => concatenated(interfaceNameBytes(text), interfaceNameBytes(text)),
  decode: interfaceName,
};

/** A base chain with its rules, and the sets that they look into. */
export interface Part {
  readonly table: TableName;
  readonly priority: number;
  readonly sets: Readonly<Record<string, SetFormat>>;
  /** Chains without rules of ours that the rules jump to. */
  readonly jumpedTo: readonly string[];
  /** Put together when somebody asks: a call for another plugin of the chain has no use for them. */
  rules(): readonly { readonly comment: string; readonly expressions: readonly Expression[] }[];
}

/** What is routed between pods and everybody else. */
export const FORWARD: Part = {
  table: INET,
  priority: Priority.filter,
  sets: {
    "pods-ipv4": addressFormat("ipv4Address"),
    "pods-ipv6": addressFormat("ipv6Address"),
    guarded: INTERFACE,
    "same-bridge": INTERFACE_TWICE,
    isolated: INTERFACE_TWICE,
  },
  jumpedTo: [ADMINS],
  rules: () => [
    // jump firewall-admins
    { comment: "the operator has the first word", expressions: [verdict("jump", ADMINS)] },
    // ct state established,related accept
    {
      comment: "answers",
      expressions: [...connectionState("established", "related"), verdict("accept")],
    },
    // iifname . oifname @isolated drop
    { comment: "isolated", expressions: [...interfacePairIn("isolated"), verdict("drop")] },
    // iifname . oifname @same-bridge accept
    { comment: "same bridge", expressions: [...interfacePairIn("same-bridge"), verdict("accept")] },
    // oifname @guarded iifname != @guarded ct status dnat accept
    {
      comment: "published ports",
      expressions: [
        ...outputInterfaceIn("guarded"),
        ...inputInterfaceIn("guarded", "notEqual"),
        ...connectionStatus("dnat"),
        verdict("accept"),
      ],
    },
    // oifname @guarded drop
    { comment: "from anywhere else", expressions: [...outputInterfaceIn("guarded"), verdict("drop")] },
    // meta nfproto ipv4 ip saddr @pods-ipv4 accept, and so on
    ...(["ipv4", "ipv6"] as const).flatMap((family) =>
      (["source", "destination"] as const).map((end) => ({
        comment: `${end === "source" ? "from" : "to"} pods, ${family}`,
        expressions: [...addressInSet(end, family, `pods-${family}`), verdict("accept")],
      })),
    ),
  ],
};

/** What a bridge forwards between its own ports. */
const BRIDGED: Part = {
  table: BRIDGE,
  priority: BRIDGE_FILTER_PRIORITY,
  sets: { "isolated-ports": INTERFACE },
  jumpedTo: [],
  rules: () => [
    // oifname @isolated-ports drop
    { comment: "isolated", expressions: [...outputInterfaceIn("isolated-ports"), verdict("drop")] },
  ],
};

/** Both parts. */
export const PARTS: readonly Part[] = [FORWARD, BRIDGED];

/** The parts by the family of their tables: what is routed, and what a bridge forwards. */
export type FirewallFamily = "inet" | "bridge";

/** The sets, by name. */
export type FirewallSet =
  | "pods-ipv4"
  | "pods-ipv6"
  | "guarded"
  | "same-bridge"
  | "isolated"
  | "isolated-ports";

/** An element of a set, such as `10.88.0.2` of `pods-ipv4` or `br0` of `guarded`. */
export interface FirewallElement {
  readonly set: FirewallSet;
  readonly value: string;
}

/** The sets of the first part whose elements are about bridges and not about one pod. */
export const SHARED_SETS: readonly FirewallSet[] = ["guarded", "same-bridge", "isolated"];

/** True for an element that goes with the last of its claimants. */
export function isShared({ set }: FirewallElement): boolean {
  return SHARED_SETS.includes(set);
}

/** Returns the element that makes an address a pod's. */
export function podElement(address: Address): FirewallElement {
  return { set: address.family === 4 ? "pods-ipv4" : "pods-ipv6", value: formatAddress(address) };
}

/** Returns the element as the ledger names it: `pods-ipv4 10.88.0.2`. */
export function nameOfElement({ set, value }: FirewallElement): string {
  return `${set} ${value}`;
}

/** Returns the element that a name of the ledger stands for; undefined for a set that is not known. */
export function elementNamed(name: string): FirewallElement | undefined {
  const space = name.indexOf(" ");
  const set = name.slice(0, space);
  return isSet(set) ? { set, value: name.slice(space + 1) } : undefined;
}

/** True for the name of a set. */
export function isSet(name: string): name is FirewallSet {
  return partOf(name) !== undefined;
}

/** Returns the part that a set is in. */
export function partOf(set: string): Part | undefined {
  return PARTS.find(({ sets }) => Object.hasOwn(sets, set));
}

/** Returns why a name can't be that of the operator's chain; undefined if it can. */
export function adminChainProblem(name: string): string | undefined {
  // those of iptables, whose names the key was made for (XT_EXTENSION_MAXNAMELEN)
  if (name.length > 28) return "expected at most 28 characters";
  for (const character of name) {
    const code = character.charCodeAt(0);
    const isLetter = (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
    const isOther = (code >= 0x30 && code <= 0x39) || character === "-" || character === "_";
    if (!isLetter && !isOther) return "expected letters, digits, - and _";
  }
  const first = name.charCodeAt(0) | 0x20;
  if (!(first >= 0x61 && first <= 0x7a)) return "expected a letter at the beginning";
  const lower = name.toLowerCase();
  if (["accept", "drop", "return", "queue", "continue", "jump", "goto"].includes(lower))
    return "that is a verdict, and no chain";
  if (["firewall", "masquerade", "portmap"].some((own) => lower.startsWith(own)))
    return "Warren's own chains begin like this";
  return undefined;
}
