// The firewall between pods and the rest: a chain that sees what the host forwards, and sets that say about which
// pods, bridges and ports it is. The rules stand for all networks and never change, so that a pod is a few elements of
// sets. What a bridge forwards between its own ports passes no such chain; a second one sees it there.
import { type Address, addressBytes, addressFromBytes, formatAddress, parseAddress } from "../ip/address.ts";
import { type Expression, verdict } from "../netlink/expression.ts";
import {
  addressInSet,
  connectionState,
  connectionStatus,
  inputInterfaceIn,
  interfaceNameBytes,
  interfacePairIn,
  outputInterfaceIn,
} from "../netlink/match.ts";
import { isNetlinkError, type Request } from "../netlink/message.ts";
import {
  addRule,
  createChain,
  createTable,
  deleteChain,
  deleteEmptyChain,
  deleteEmptyTable,
  dumpAllChains,
  dumpRules,
  type ForeignChain,
  flushChain,
  getChain,
  Priority,
} from "../netlink/nftables.ts";
import type { TableFamily, TableName } from "../netlink/nftables-message.ts";
import {
  addElements,
  concatenated,
  createSet,
  type DataType,
  deleteElements,
  deleteEmptySet,
  dumpElements,
  type Element,
} from "../netlink/nftables-set.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import { needing } from "./feature.ts";
import {
  type Claimant,
  claimantsIn,
  claimRequests,
  claimSetOf,
  ELEMENTS_A_MESSAGE,
  withdrawClaims,
} from "./firewall-claims.ts";
import { openNfTables, openNfTablesIfAny, rehearseRules } from "./nf-tables.ts";

/** The table of forwarded packets. */
const INET: TableName = { family: "inet", name: "warren" };
/** The table of frames that a bridge forwards. */
const BRIDGE: TableName = { family: "bridge", name: "warren" };
/** The chain in both tables. */
const CHAIN = "firewall";
/** The chain that jumps to the operator's own chains. */
const ADMINS = "firewall-admins";
/** NF_BR_PRI_FILTER_BRIDGED, linux/netfilter_bridge.h */
const BRIDGE_FILTER_PRIORITY = -200;

interface SetFormat {
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
interface Part {
  readonly table: TableName;
  readonly priority: number;
  readonly sets: Readonly<Record<string, SetFormat>>;
  /** Chains without rules of ours that the rules jump to. */
  readonly jumpedTo: readonly string[];
  readonly rules: readonly { readonly comment: string; readonly expressions: readonly Expression[] }[];
}

const FORWARD: Part = {
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
  rules: [
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

const BRIDGED: Part = {
  table: BRIDGE,
  priority: BRIDGE_FILTER_PRIORITY,
  sets: { "isolated-ports": INTERFACE },
  jumpedTo: [],
  rules: [
    // oifname @isolated-ports drop
    { comment: "isolated", expressions: [...outputInterfaceIn("isolated-ports"), verdict("drop")] },
  ],
};

const PARTS: readonly Part[] = [FORWARD, BRIDGED];

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

/** An element that says whose it is; one that attachments share says nothing. */
export interface TaggedElement extends FirewallElement {
  readonly tag: string;
}

/** A claim on an element that attachments share. */
export interface SharedClaim extends FirewallElement {
  readonly claimant: Claimant;
}

/** The sets of the first part whose elements are about bridges and not about one pod. */
const SHARED_SETS: readonly FirewallSet[] = ["guarded", "same-bridge", "isolated"];

/** True for an element that goes with the last of its claimants. */
export function isShared({ set }: FirewallElement): boolean {
  return SHARED_SETS.includes(set);
}

/** The longest tag: user data of an element has 256 bytes, of which two and a NUL are not the tag's. */
const LONGEST_TAG_BYTES = 250;

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

function isSet(name: string): name is FirewallSet {
  return partOf(name) !== undefined;
}

function partOf(set: string): Part | undefined {
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

/** A chain of that name gets packets from the kernel, so the firewall can't jump to it. */
export class AdminChainError extends Error {
  override readonly name = "AdminChainError";

  constructor(chain: string, hook: string) {
    super(`chain ${JSON.stringify(chain)} of table inet warren is a base chain at the hook ${hook}`);
  }
}

const CURE =
  "load the modules nf_tables, nft_ct and, for ingressPolicy isolated, nf_tables of the bridge family, or take firewall out of the chain";

function connect(): NetlinkSocket {
  return openNfTables(CURE);
}

/** The requests that make a part without its rules; what is there already stays. */
function declarations({ table, priority, sets, jumpedTo }: Part): Request<never>[] {
  return [
    createTable(table),
    ...Object.entries(sets).map(([name, { key }], index) => createSet(table, { name, key, id: index + 1 })),
    ...jumpedTo.map((name) => createChain(table, { name })),
    createChain(table, { name: CHAIN, base: { type: "filter", hook: "forward", priority } }),
  ];
}

/** The requests that give a part its rules, and only those. */
function rules({ table, rules }: Part): Request<never>[] {
  return [flushChain(table, CHAIN), ...rules.map((rule) => addRule(table, { chain: CHAIN, ...rule }))];
}

/** True if a part lets pass what it does not drop, and all its rules are there, in order, with nothing between them. */
function isComplete(nftables: NetlinkSocket, { table, rules }: Part): boolean {
  if (nftables.get(getChain(table, CHAIN))?.base?.policy !== "accept") return false;
  const present = nftables.dump(dumpRules(table, CHAIN));
  return (
    present.length === rules.length &&
    present.every(({ comment }, index) => comment === rules[index]?.comment)
  );
}

/** The operator's chains that are jumped to, each once. */
function adminChains(nftables: NetlinkSocket): string[] {
  return [...new Set(nftables.dump(dumpRules(INET, ADMINS)).map(({ comment }) => comment))];
}

function bySet<E extends FirewallElement>(elements: readonly E[]): Map<FirewallSet, E[]> {
  const sets = new Map<FirewallSet, E[]>();
  for (const element of elements) {
    const others = sets.get(element.set);
    if (others === undefined) sets.set(element.set, [element]);
    else others.push(element);
  }
  return sets;
}

/** One request for every ELEMENTS_A_MESSAGE elements of a set. */
function elementRequests(
  elements: readonly FirewallElement[],
  request: (table: TableName, set: string, elements: readonly Element[]) => Request<never>,
): Request<never>[] {
  return [...bySet(elements)].flatMap(
    ([set, members]: [FirewallSet, readonly (FirewallElement & { readonly tag?: string })[]]) => {
      const part = partOf(set);
      const format = part?.sets[set];
      if (part === undefined || format === undefined) return [];
      const keys = members.map(({ value, tag }) => ({ key: format.encode(value), comment: fitting(tag) }));
      const requests: Request<never>[] = [];
      for (let start = 0; start < keys.length; start += ELEMENTS_A_MESSAGE) {
        requests.push(request(part.table, set, keys.slice(start, start + ELEMENTS_A_MESSAGE)));
      }
      return requests;
    },
  );
}

function fitting(tag: string | undefined): string | undefined {
  return tag !== undefined && new TextEncoder().encode(tag).length <= LONGEST_TAG_BYTES ? tag : undefined;
}

/** The parts that hold these elements; the first one holds the pods and is always needed. */
function partsFor(elements: readonly FirewallElement[]): Part[] {
  return PARTS.filter((part) => part === FORWARD || elements.some(({ set }) => partOf(set) === part));
}

/**
 * Puts the elements in for the claimant and makes the firewall, as far as it is not there, with the operator's chain
 * `admin`. Rules that somebody changed are set right. Throws AdminChainError, MissingFeatureError or NetlinkError.
 */
export function ensureFirewall(
  admin: string,
  elements: readonly FirewallElement[],
  claimant: Claimant,
): void {
  const nftables = connect();
  const taken = nftables.get(getChain(INET, admin))?.base;
  if (taken !== undefined) throw new AdminChainError(admin, taken.hook ?? "of another kind");
  const parts = partsFor(elements);
  const tagged = elements.map((element) => ({ ...element, tag: isShared(element) ? "" : claimant.tag }));
  const claimSets = elements.filter(isShared).map(({ set, value }) => claimSetOf(set, value));
  const fittingClaimant = { ...claimant, tag: fitting(claimant.tag) ?? "" };
  const make = () => {
    const members = [
      ...elementRequests(tagged, addElements),
      ...claimRequests(INET, claimSets, fittingClaimant),
    ];
    // without declarations first: a chain that is declared again counts as changed, and the kernel is busy with that
    // for longer than with all the rest of an ADD; and so it is with a transaction that fails
    const isDeclared = parts.every(({ table }) => nftables.get(getChain(table, CHAIN)) !== undefined);
    if (!isDeclared || !attempt(nftables, members)) {
      nftables.transaction([...parts.flatMap(declarations), ...members]);
    }
    // sets with something in them are not removed, so what is looked at now stays, whoever DELs meanwhile
    const lacking = parts
      .filter((part) => !isComplete(nftables, part))
      .flatMap((part) => [...declarations(part), ...rules(part)]);
    if (!adminChains(nftables).includes(admin)) {
      // jump admin
      const jump = { chain: ADMINS, comment: admin, expressions: [verdict("jump", admin)] };
      lacking.push(createChain(INET, { name: admin }), addRule(INET, jump));
    }
    nftables.transaction(lacking);
  };
  needing(() => rehearse(nftables, parts), make);
}

/** Takes elements out; missing ones are success. Throws NetlinkError. */
export function removeFromFirewall(elements: readonly FirewallElement[]): void {
  // what a kernel without nf_tables can't have is gone, as after a boot into another one
  if (elements.length === 0) return;
  const nftables = openNfTablesIfAny();
  if (nftables === undefined) return;
  try {
    nftables.transaction(elementRequests(elements, deleteElements));
  } catch (error) {
    // one that is missing keeps all the others: then only what is there is asked for
    if (!isNetlinkError(error, "ENOENT")) throw error;
    const doomed = new Set(elements.map(nameOfElement));
    const present = dumpAll(nftables).filter((element) => doomed.has(nameOfElement(element)));
    nftables.transaction(elementRequests(present, deleteElements));
  }
}

/** Returns all elements with their tags; none where the kernel has no nf_tables. */
export function listFirewall(): TaggedElement[] {
  const nftables = openNfTablesIfAny();
  if (nftables === undefined) return [];
  return dumpAll(nftables);
}

function dumpAll(nftables: NetlinkSocket): TaggedElement[] {
  return PARTS.flatMap((part) =>
    Object.keys(part.sets).flatMap((set) => (isSet(set) ? dumpSet(nftables, part, set) : [])),
  );
}

function dumpSet(nftables: NetlinkSocket, { table, sets }: Part, set: FirewallSet): TaggedElement[] {
  const format = sets[set];
  if (format === undefined) return [];
  return nftables
    .dump(dumpElements(table, set))
    .flat()
    .map(({ key, comment }) => ({ set, value: format.decode(key), tag: comment ?? "" }));
}

/** Returns who needs the elements that attachments share; nobody where the kernel has no nf_tables. */
export function listClaims(): SharedClaim[] {
  const nftables = openNfTablesIfAny();
  if (nftables === undefined) return [];
  const shared = SHARED_SETS.flatMap((set) => dumpSet(nftables, FORWARD, set));
  return shared.flatMap(({ set, value }) =>
    claimantsIn(nftables, INET, claimSetOf(set, value)).map((claimant) => ({ set, value, claimant })),
  );
}

/** Takes claims back, and the elements that nobody claims then; missing ones are success. Throws NetlinkError. */
export function withdrawFromFirewall(claims: readonly SharedClaim[]): void {
  if (claims.length === 0) return;
  const nftables = openNfTablesIfAny();
  if (nftables === undefined) return;
  const byElement = Map.groupBy(claims, nameOfElement);
  for (const [element, ...others] of byElement.values()) {
    if (element === undefined) continue;
    const names = new Set([element, ...others].map(({ claimant }) => claimant.name));
    const { set, value } = element;
    const removal = elementRequests([{ set, value }], deleteElements);
    withdrawClaims(nftables, INET, claimSetOf(set, value), names, removal);
  }
}

/**
 * Removes those of the parts of the firewall whose sets are all empty, and the operator's chains that nobody has put a rule
 * into. What rules of the operator use stays, and what somebody puts elements into meanwhile. A part goes as a whole or
 * not at all, so that a process that is killed leaves no half of it. Throws NetlinkError.
 */
export function removeUnusedFirewall(families: readonly FirewallFamily[]): void {
  if (families.length === 0) return;
  const nftables = openNfTablesIfAny();
  if (nftables === undefined) return;
  for (const part of PARTS) {
    const { table, sets, jumpedTo } = part;
    if (!families.some((family) => family === table.family)) continue;
    if (nftables.get(getChain(table, CHAIN)) === undefined) continue;
    const isUsed = Object.keys(sets).some((set) => isSet(set) && dumpSet(nftables, part, set).length > 0);
    if (isUsed) continue;
    const chains = [CHAIN, ...jumpedTo];
    const own = [
      ...chains.map((chain) => flushChain(table, chain)),
      ...chains.map((chain) => deleteChain(table, chain)),
      ...Object.keys(sets).map((set) => deleteEmptySet(table, set)),
    ];
    // what the operator may have a use for goes only if he has none
    const shared =
      part === FORWARD
        ? adminChains(nftables)
            .filter((admin) => nftables.dump(dumpRules(table, admin)).length === 0)
            .map((admin) => deleteEmptyChain(table, admin))
        : // the other table of Warren's always stays: it is where operators put their own rules
          [deleteEmptyTable(table)];
    if (!attempt(nftables, [...own, ...shared])) attempt(nftables, own);
  }
}

/** Does the transaction unless something of it is in use, or gone already; returns whether it was done. */
function attempt(nftables: NetlinkSocket, requests: readonly Request[]): boolean {
  try {
    nftables.transaction(requests);
    return true;
  } catch (error) {
    if (isNetlinkError(error, "EBUSY", "ENOENT")) return false;
    throw error;
  }
}

/** Returns, in words, the first thing that the firewall lacks of what these elements need; undefined if it is whole. */
export function missingFromFirewall(
  admin: string,
  elements: readonly FirewallElement[],
  claimant: Claimant,
): string | undefined {
  const nftables = connect();
  for (const part of partsFor(elements)) {
    const { family, name } = part.table;
    const place = `chain ${CHAIN} of table ${family} ${name}`;
    const base = nftables.get(getChain(part.table, CHAIN))?.base;
    if (base === undefined) return `${place} is gone`;
    if (base.policy !== "accept") return `the policy of ${place} is ${base.policy}`;
    if (!isComplete(nftables, part)) return `the rules of ${place} are not those that ADD made`;
  }
  if (!adminChains(nftables).includes(admin)) return `chain ${ADMINS} does not jump to ${admin}`;
  for (const [set, wanted] of bySet(elements)) {
    const part = partOf(set);
    const present = new Set(part === undefined ? [] : dumpSet(nftables, part, set).map(({ value }) => value));
    const missing = wanted.find(({ value }) => !present.has(value));
    if (missing !== undefined) return `set ${set} lacks ${missing.value}`;
  }
  for (const { set, value } of elements.filter(isShared)) {
    const claimSet = claimSetOf(set, value);
    if (!claimantsIn(nftables, INET, claimSet).some(({ name }) => name === claimant.name))
      return `set ${claimSet} lacks ${claimant.name}`;
  }
  return undefined;
}

/** Throws MissingFeatureError if the kernel can't have the firewall. Nothing is made. */
export function probeFirewall(needsBridged: boolean): void {
  const nftables = connect();
  rehearse(nftables, needsBridged ? PARTS : [FORWARD]);
}

/** Goes through all of these parts in tables of other names, which never come to be. */
function rehearse(nftables: NetlinkSocket, real: readonly Part[]): void {
  const parts = real.map((part) => ({ ...part, table: { ...part.table, name: "warren-rehearsal" } }));
  rehearseRules(nftables, {
    ...{ purpose: "the firewall", cure: CURE, tables: [] },
    requests: parts.flatMap((part) => [...declarations(part), ...rules(part)]),
  });
}

/** A chain of somebody else through which forwarded packets have to pass as well. */
export interface OtherForwardChain {
  /** As nft spells it: `ip filter FORWARD`. */
  readonly name: string;
  /**
   * What it does to packets that Warren accepts: it has no rule and a policy that drops all; it drops those that its
   * rules don't accept; or it is firewalld's, which refuses those that belong to no zone.
   */
  readonly effect: "drops all" | "may drop" | "firewalld";
  /** The sets of the pods whose packets pass it. */
  readonly pods: readonly FirewallSet[];
}

/** Returns the chains of others that may drop what Warren accepts; in nf_tables every base chain has a say. */
export function otherForwardChains(): OtherForwardChain[] {
  const nftables = connect();
  return nftables.dump(dumpAllChains()).flatMap((chain) => {
    const effect = effectOf(chain);
    const seen = SEEN[chain.family];
    return effect === undefined || seen === undefined
      ? []
      : [{ name: `${seen.family} ${chain.table} ${chain.name}`, effect, pods: seen.pods }];
  });
}

/** The families whose chains see forwarded IP packets, in nft's words, and whose packets those are. */
const SEEN: Partial<Record<TableFamily, { readonly family: string; readonly pods: readonly FirewallSet[] }>> =
  {
    inet: { family: "inet", pods: ["pods-ipv4", "pods-ipv6"] },
    ipv4: { family: "ip", pods: ["pods-ipv4"] },
    ipv6: { family: "ip6", pods: ["pods-ipv6"] },
  };

function effectOf({ table, family, base, use }: ForeignChain): OtherForwardChain["effect"] | undefined {
  if (base?.hook !== "forward" || (family === INET.family && table === INET.name)) return undefined;
  if (table === "firewalld") return "firewalld";
  if (base.policy !== "drop") return undefined;
  return use === 0 ? "drops all" : "may drop";
}
