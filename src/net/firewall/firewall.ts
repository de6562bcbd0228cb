// The firewall between pods and the rest, in the kernel: made as far as it is not there, filled and emptied element by element,
// looked at and taken away. The rules stand for all networks and never change, so that a pod is a few elements of sets; what
// it consists of is in parts.ts. A bridge's own ports pass a chain of their own, where frames are seen.
import { verdict } from "../../netlink/expression.ts";
import { isNetlinkError, type Request } from "../../netlink/message.ts";
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
} from "../../netlink/nftables.ts";
import type { TableFamily, TableName } from "../../netlink/nftables-message.ts";
import {
  addElements,
  createSet,
  deleteElements,
  deleteEmptySet,
  dumpElements,
  type Element,
} from "../../netlink/nftables-set.ts";
import type { NetlinkSocket } from "../../netlink/socket.ts";
import { needing } from "../feature.ts";
import { openNfTables, openNfTablesIfAny, rehearseRules } from "../nf-tables.ts";
import {
  type Claimant,
  claimantsIn,
  claimRequests,
  claimSetOf,
  ELEMENTS_A_MESSAGE,
  withdrawClaims,
} from "./claims.ts";
import {
  ADMINS,
  CHAIN,
  type FirewallElement,
  type FirewallFamily,
  type FirewallSet,
  FORWARD,
  INET,
  isSet,
  isShared,
  nameOfElement,
  PARTS,
  type Part,
  partOf,
  SHARED_SETS,
} from "./parts.ts";

/** An element that says whose it is; one that attachments share says nothing. */
export interface TaggedElement extends FirewallElement {
  readonly tag: string;
}

/** A claim on an element that attachments share. */
export interface SharedClaim extends FirewallElement {
  readonly claimant: Claimant;
}

/** The longest tag: user data of an element has 256 bytes, of which two and a NUL are not the tag's. */
const LONGEST_TAG_BYTES = 250;

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
  return [flushChain(table, CHAIN), ...rules().map((rule) => addRule(table, { chain: CHAIN, ...rule }))];
}

function declarationsWithRules(part: Part): Request<never>[] {
  return [...declarations(part), ...rules(part)];
}

/** True if a part lets pass what it does not drop, and all its rules are there, in order, with nothing between them. */
function isComplete(nftables: NetlinkSocket, { table, rules }: Part): boolean {
  if (nftables.get(getChain(table, CHAIN))?.base?.policy !== "accept") return false;
  const present = nftables.dump(dumpRules(table, CHAIN));
  const wanted = rules();
  return (
    present.length === wanted.length &&
    present.every(({ comment }, index) => comment === wanted[index]?.comment)
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
    // only what is not there is declared: a chain that is declared again counts as changed, and the kernel is busy with that
    // for longer than with all the rest of an ADD, at the latest when the socket is closed; so it is with what fails
    const missing = parts.filter(({ table }) => nftables.get(getChain(table, CHAIN)) === undefined);
    if (!attempt(nftables, [...missing.flatMap(declarationsWithRules), ...members])) {
      nftables.transaction([...parts.flatMap(declarations), ...members]);
    }
    // sets with something in them are not removed, so what is looked at now stays, whoever DELs meanwhile
    const lacking = parts.filter((part) => !isComplete(nftables, part)).flatMap(declarationsWithRules);
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
    requests: parts.flatMap(declarationsWithRules),
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
