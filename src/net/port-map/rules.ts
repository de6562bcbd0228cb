// The part of the port maps that stands for all of them: chains whose rules look into maps, and the maps themselves, so that a
// port is a few elements and no rule. Nothing in here asks the kernel.
import { addressBytes, type Family } from "../../ip/address.ts";
import { formatPrefix, networkOf, type Prefix } from "../../ip/prefix.ts";
import {
  type Expression,
  lookup,
  MetaKey,
  masquerade,
  meta,
  nat,
  PayloadBase,
  payload,
  Register,
  verdict,
} from "../../netlink/expression.ts";
import {
  connectionStatus,
  destinationIn,
  destinationIsLocal,
  inputInterface,
  packetFamily,
  sourceIn,
} from "../../netlink/match.ts";
import type { Request } from "../../netlink/message.ts";
import { addRule, type ChainBase, createChain, flushChain, Priority } from "../../netlink/nftables.ts";
import type { TableName } from "../../netlink/nftables-message.ts";
import { createSet, type DataType } from "../../netlink/nftables-set.ts";
import { LOOPBACK_CLAIMS_MAP } from "./loopback.ts";
import type { PortMap } from "./port-map.ts";

const LOOKUP = "portmap";
const PREROUTING = "portmap-prerouting";
const OUTPUT = "portmap-output";
const POSTROUTING = "portmap-postrouting";
const GUARD = "portmap-loopback-guard";
/** The chain of connections that need an address of the host wherever they come from. */
export const ALL = "portmap-masquerade-all";

/** IPv4 ports that have nothing to do on the loopback: without a source of the host nobody there is answered. */
export const NOT_ON_LOOPBACK = "portmap-not-on-loopback";

/** The maps of one family. */
export const MAPS = {
  4: {
    name: "ipv4",
    address: "ipv4Address",
    any: "portmap-ipv4",
    particular: "portmap-ipv4-address",
    masquerade: "portmap-ipv4-masquerade",
  },
  6: {
    name: "ipv6",
    address: "ipv6Address",
    any: "portmap-ipv6",
    particular: "portmap-ipv6-address",
    masquerade: "portmap-ipv6-masquerade",
  },
} as const;

/** Of each there are maps of its own. */
export const FAMILIES = [4, 6] as const;
const PORT: readonly DataType[] = ["transport", "port"];

/** Returns the requests that make all maps. */
export function sets(table: TableName): Request<never>[] {
  const all = FAMILIES.flatMap((family) => {
    const { any, particular, masquerade: sources, address } = MAPS[family];
    return [
      { name: any, key: PORT, data: [address, "port"] as const },
      { name: particular, key: [address, ...PORT], data: [address, "port"] as const },
      { name: sources, key: [address, ...PORT], data: "verdict" as const },
    ];
  });
  return [...all, { name: NOT_ON_LOOPBACK, key: PORT }, LOOPBACK_CLAIMS_MAP].map((set, index) =>
    createSet(table, { ...set, id: index + 1 }),
  );
}

/** Loads protocol and port, behind an address where one is given. */
function keyOfPacket(family: Family, withAddress: boolean): Expression[] {
  const bytes = family === 4 ? 4 : 16;
  const word = withAddress ? bytes / 4 : 0;
  return [
    ...(withAddress ? [payload(PayloadBase.network, family === 4 ? 16 : 24, bytes)] : []),
    meta(MetaKey.transport, Register.word(word)),
    payload(PayloadBase.transport, 2, 2, Register.word(word + 1)),
  ];
}

function translate(family: Family, withAddress: boolean): Expression[] {
  const { name, any, particular } = MAPS[family];
  return [
    ...packetFamily(name),
    ...keyOfPacket(family, withAddress),
    lookup(withAddress ? particular : any, { register: Register.word(0), destination: Register.word(0) }),
    nat("destination", {
      family: name,
      address: Register.word(0),
      port: Register.word(family === 4 ? 1 : 4),
    }),
  ];
}

/** A chain with its rules. */
export interface ChainOfRules {
  readonly name: string;
  readonly base?: ChainBase;
  readonly rules: readonly (readonly Expression[])[];
}

const IPV4_LOOPBACK = Uint8Array.of(127, 0, 0, 0);
const IPV6_LOOPBACK = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

/** A function, because most calls of the executable make no rule. In the order in which they can be made. */
export function staticChains(): ChainOfRules[] {
  return [
    {
      name: LOOKUP,
      rules: [
        // meta nfproto ipv4 dnat ip to ip daddr . meta l4proto . th dport map @portmap-ipv4-address
        translate(4, true),
        // meta nfproto ipv4 dnat ip to meta l4proto . th dport map @portmap-ipv4
        translate(4, false),
        // meta nfproto ipv6 dnat ip6 to ip6 daddr . meta l4proto . th dport map @portmap-ipv6-address
        translate(6, true),
        // meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @portmap-ipv6
        translate(6, false),
      ],
    },
    {
      name: PREROUTING,
      base: { type: "nat", hook: "prerouting", priority: Priority.destinationNat },
      rules: [
        // fib daddr type local jump portmap
        [...destinationIsLocal(), verdict("jump", LOOKUP)],
      ],
    },
    {
      name: OUTPUT,
      base: { type: "nat", hook: "output", priority: Priority.destinationNat },
      rules: [
        // ip6 daddr ::1 return: the kernel lets nothing leave from there, so whoever listens on it keeps its port
        [...packetFamily("ipv6"), ...destinationIn(IPV6_LOOPBACK, 128), verdict("return")],
        // ip daddr 127.0.0.0/8 meta l4proto . th dport @portmap-not-on-loopback return
        [
          ...packetFamily("ipv4"),
          ...destinationIn(IPV4_LOOPBACK, 8),
          ...keyOfPacket(4, false),
          lookup(NOT_ON_LOOPBACK, { register: Register.word(0) }),
          verdict("return"),
        ],
        // fib daddr type local jump portmap
        [...destinationIsLocal(), verdict("jump", LOOKUP)],
      ],
    },
    {
      name: ALL,
      rules: [
        // masquerade
        [masquerade()],
      ],
    },
    {
      name: POSTROUTING,
      base: { type: "nat", hook: "postrouting", priority: Priority.sourceNat },
      // ct status dnat ip daddr . meta l4proto . th dport vmap @portmap-ipv4-masquerade, and the same for ip6
      rules: FAMILIES.map((family) => [
        ...connectionStatus("dnat"),
        ...packetFamily(MAPS[family].name),
        ...keyOfPacket(family, true),
        lookup(MAPS[family].masquerade, { register: Register.word(0), destination: Register.verdict }),
      ]),
    },
    {
      // route_localnet lets the loopback's packets out, and would let others send packets to it (CVE-2020-8558)
      name: GUARD,
      base: { type: "filter", hook: "prerouting", priority: Priority.raw },
      rules: [
        // iifname != "lo" ip daddr 127.0.0.0/8 drop
        [
          ...inputInterface("lo", "notEqual"),
          ...packetFamily("ipv4"),
          ...destinationIn(IPV4_LOOPBACK, 8),
          verdict("drop"),
        ],
      ],
    },
  ];
}

/** Returns the name of the chain that gives connections out of a subnet an address of the host. */
export function sourceChainName(subnet: Prefix): string {
  // colons have a meaning in nft's own syntax
  return `portmap-masquerade-${formatPrefix(networkOf(subnet)).replaceAll(":", "_")}`;
}

function sourceChain(subnet: Prefix): ChainOfRules {
  const { address, length } = networkOf(subnet);
  const name = sourceChainName(subnet);
  // ip6 saddr fd00:88::/64 masquerade
  const own = [...packetFamily(MAPS[address.family].name), ...sourceIn(addressBytes(address), length)];
  // ip saddr 127.0.0.0/8 masquerade
  const loopback = [...packetFamily("ipv4"), ...sourceIn(IPV4_LOOPBACK, 8)];
  const matches = address.family === 4 ? [own, loopback] : [own];
  return { name, rules: matches.map((match) => [...match, masquerade()]) };
}

/** Returns the chains that these port maps need, in the order in which they can be made. */
export function neededChains(maps: readonly PortMap[]): ChainOfRules[] {
  const subnets = new Map<string, ChainOfRules>();
  for (const { source } of maps) {
    if (typeof source === "string") continue;
    const name = sourceChainName(source);
    if (!subnets.has(name)) subnets.set(name, sourceChain(source));
  }
  return [...staticChains(), ...subnets.values()];
}

/** Of two first callers the second one empties what the first one made, and makes the same: one set of rules is left. */
export function build(table: TableName, chains: readonly ChainOfRules[]): Request<never>[] {
  return [
    ...chains.map(({ name, base }) => createChain(table, { name, base })),
    ...chains.flatMap(({ name, rules }) => [
      flushChain(table, name),
      ...rules.map((expressions) => addRule(table, { chain: name, expressions })),
    ]),
  ];
}
