// Port maps in the kernel: a handful of chains and maps in our own nf_tables table, made once, and for each port map
// two elements: where the port leads, and whose connections to it need an address of the host. So a pod that comes
// or goes changes elements only, and a packet pays the same whether there is one map or a thousand.
import { addressBytes } from "../../ip/address.ts";
import { VerdictCode } from "../../netlink/expression.ts";
import { ignoring, isNetlinkError, type Request } from "../../netlink/message.ts";
import { createTable, deleteChain, dumpRules, flushChain, getChain } from "../../netlink/nftables.ts";
import type { TableName } from "../../netlink/nftables-message.ts";
import {
  addElements,
  concatenated,
  deleteElements,
  deleteEmptySet,
  dumpElements,
  type Element,
  getElement,
} from "../../netlink/nftables-set.ts";
import type { NetlinkSocket } from "../../netlink/socket.ts";
import { needing } from "../feature.ts";
import { TABLE } from "../masquerade.ts";
import { openNfTables, rehearseRules } from "../nf-tables.ts";
import { LOOPBACK_CLAIMS, listLoopbackClaims } from "./loopback.ts";
import { describePortMap, type PortMap, type PortTransport } from "./port-map.ts";
import {
  ALL,
  build,
  FAMILIES,
  MAPS,
  NOT_ON_LOOPBACK,
  neededChains,
  sets,
  sourceChainName,
  staticChains,
} from "./rules.ts";

/** A connection to nf_tables. */
export type { NetlinkSocket as PortMapTable };

const CURE =
  "load the modules nf_tables, nft_chain_nat, nft_nat, nft_masq, nft_ct and nft_fib_inet, or take portmap out of the chain";

/** Connects to the host's nf_tables; throws MissingFeatureError where the kernel has none. */
export function openPortMapTable(): NetlinkSocket {
  return openNfTables(CURE);
}

/** Returns what has to be made before elements can be added: nothing, once the first port map was made. */
function missingParts(nftables: NetlinkSocket, maps: readonly PortMap[]): Request<never>[] {
  const chains = neededChains(maps);
  const counts = new Map<string, number>();
  // the rules themselves: a chain's count of uses has jumps and map elements in it, too
  for (const { chain } of nftables.dump(ignoring(dumpRules(TABLE), "ENOENT"))) {
    counts.set(chain, (counts.get(chain) ?? 0) + 1);
  }
  const lacking = chains.filter(({ name, rules }) => (counts.get(name) ?? 0) < rules.length);
  if (lacking.length === 0) return [];
  return [createTable(TABLE), ...sets(TABLE), ...build(TABLE, lacking)];
}

/** An element and the set that it is in. Its comment says whose it is. */
export interface PortMapElement {
  readonly set: string;
  readonly element: Element;
}

const PROTOCOLS: Readonly<Record<PortTransport, number>> = { tcp: 6, udp: 17, sctp: 132 };

/** A comment may have 253 bytes: the kernel keeps 256 beside an element, and three are libnftnl's. */
const LONGEST_COMMENT_BYTES = 253;

function portBytes(port: number): Uint8Array {
  return Uint8Array.of(port >> 8, port);
}

/** Returns the elements that a port map is; `owner` becomes their comment where it fits. */
export function elementsOf(map: PortMap, owner: string): PortMapElement[] {
  const { hostAddress, hostPort, target, targetPort, source } = map;
  const { any, particular, masquerade: sources } = MAPS[target.family];
  const protocol = Uint8Array.of(PROTOCOLS[map.transport]);
  const comment = new TextEncoder().encode(owner).length > LONGEST_COMMENT_BYTES ? "" : owner;
  const place = [protocol, portBytes(hostPort)];
  const elements: PortMapElement[] = [
    {
      set: hostAddress === undefined ? any : particular,
      element: {
        key: concatenated(...(hostAddress === undefined ? place : [addressBytes(hostAddress), ...place])),
        data: concatenated(addressBytes(target), portBytes(targetPort)),
        comment,
      },
    },
  ];
  if (source !== "none") {
    const chain = source === "all" ? ALL : sourceChainName(source);
    elements.push({
      set: sources,
      element: {
        key: concatenated(addressBytes(target), protocol, portBytes(targetPort)),
        data: { code: VerdictCode.jump, chain },
        comment,
      },
    });
  } else if (target.family === 4 && hostAddress === undefined) {
    elements.push({ set: NOT_ON_LOOPBACK, element: { key: concatenated(...place), comment } });
  }
  return elements;
}

function identityOf({ set, element }: PortMapElement): string {
  return `${set} ${element.key.toHex()}`;
}

/** Two ports of the host may lead to the same port of a pod, whose sources are then said once. */
function distinct(elements: readonly PortMapElement[]): PortMapElement[] {
  return [...new Map(elements.map((one) => [identityOf(one), one])).values()];
}

function leadsTo({ data }: Element): string {
  if (data === undefined) return "";
  return data instanceof Uint8Array ? data.toHex() : `${data.code} ${data.chain ?? ""}`;
}

function isSameElement(left: Element, right: Element): boolean {
  return leadsTo(left) === leadsTo(right) && (left.comment ?? "") === (right.comment ?? "");
}

/** Somebody who is not in our store has the port already. */
export class PortTakenError extends Error {
  override readonly name = "PortTakenError";

  constructor(
    readonly map: PortMap,
    /** What the element says whose it is; may be empty. */
    readonly owner: string,
  ) {
    super(`port map ${describePortMap(map)} meets another one in the kernel`);
  }
}

/**
 * Makes port maps, and what they need where it is missing; all of them or none. Throws PortTakenError,
 * MissingFeatureError or NetlinkError.
 */
export function addPortMaps(nftables: NetlinkSocket, maps: readonly PortMap[], owner: string): void {
  const elements = distinct(maps.flatMap((map) => elementsOf(map, owner)));
  const make = () => {
    refuseTaken(nftables, maps, owner);
    const found = findElements(nftables, elements);
    const strays = elements.filter(({ element }, index) => {
      const there = found[index];
      return there !== undefined && !isSameElement(there, element);
    });
    nftables.transaction([
      ...missingParts(nftables, maps),
      ...inEachSet(strays, deleteElements),
      ...inEachSet(elements, addElements),
    ]);
  };
  needing(
    () => rehearsePortMaps(nftables),
    // with another store's calls at the same moment a part may go, or an element come
    () => retryOn(["ENOENT", "EEXIST"], make),
  );
}

/** An element of the same place that leads elsewhere is somebody's; one that leads to the same pod was left behind. */
function refuseTaken(nftables: NetlinkSocket, maps: readonly PortMap[], owner: string): void {
  const wanted = maps.flatMap((map) => elementsOf(map, owner).slice(0, 1));
  findElements(nftables, wanted).forEach((there, index) => {
    const map = maps[index];
    const element = wanted[index]?.element;
    if (there === undefined || map === undefined || element === undefined) return;
    if (leadsTo(there) !== leadsTo(element)) throw new PortTakenError(map, there.comment ?? "");
  });
}

const TRIES = 3;

function retryOn(names: readonly ("ENOENT" | "EEXIST")[], work: () => void): void {
  for (let tries = 1; ; tries++) {
    try {
      work();
      return;
    } catch (error) {
      if (tries === TRIES || !isNetlinkError(error, ...names)) throw error;
    }
  }
}

/** Returns what is there in the place of each element, in their order. */
function findElements(nftables: NetlinkSocket, elements: readonly PortMapElement[]): (Element | undefined)[] {
  const found = nftables.attempt(elements.map(({ set, element }) => getElement(TABLE, set, element.key)));
  return elements.map((_, index) => found[index]?.replies[0]);
}

function inEachSet(elements: readonly PortMapElement[], request: typeof addElements): Request<never>[] {
  return [...Map.groupBy(elements, ({ set }) => set)].map(([set, ofSet]) =>
    request(
      TABLE,
      set,
      ofSet.map(({ element }) => element),
    ),
  );
}

/**
 * Removes elements, and chains of subnets by their names, in one transaction. What is not there, or belongs to
 * somebody else by now, is passed over, and so are chains that somebody still needs. Throws NetlinkError.
 */
export function removeElements(
  nftables: NetlinkSocket,
  elements: readonly PortMapElement[],
  chains: readonly string[] = [],
): void {
  const all = distinct(elements);
  if (all.length + chains.length === 0) return;
  retryOn(["ENOENT"], () => {
    const found = findElements(nftables, all);
    const present = all.filter(({ element }, index) => {
      const there = found[index];
      return there !== undefined && isSameElement(there, element);
    });
    const removals = inEachSet(present, deleteElements);
    const unneeded = chains.filter((name) => nftables.get(getChain(TABLE, name)) !== undefined);
    try {
      nftables.transaction([
        ...removals,
        ...unneeded.flatMap((name) => [flushChain(TABLE, name), deleteChain(TABLE, name)]),
      ]);
    } catch (error) {
      // an element of another store leads to the chain
      if (!isNetlinkError(error, "EBUSY")) throw error;
      nftables.transaction(removals);
    }
  });
}

const ALL_SETS = [
  ...FAMILIES.flatMap((family) => [MAPS[family].any, MAPS[family].particular, MAPS[family].masquerade]),
  NOT_ON_LOOPBACK,
];

/** Returns every element of every port map; throws NetlinkError. */
export function listElements(nftables: NetlinkSocket): PortMapElement[] {
  return ALL_SETS.flatMap((set) =>
    nftables
      .dump(dumpElements(TABLE, set))
      .flat()
      .map((element) => ({ set, element })),
  );
}

/** Removes the chains and maps if they serve nobody; throws NetlinkError. */
export function removeUnusedParts(nftables: NetlinkSocket): void {
  const present = staticChains().filter(({ name }) => nftables.get(getChain(TABLE, name)) !== undefined);
  if (present.length === 0 || listElements(nftables).length > 0) return;
  // while the loopback is let out pods would reach what listens on it only, but for the guard
  if (listLoopbackClaims(nftables).length > 0) return;
  // rules before the chains and maps that they name, and a base chain before the one that it jumps to
  const names = present.map(({ name }) => name).reverse();
  const sets = [...ALL_SETS, LOOPBACK_CLAIMS];
  try {
    nftables.transaction([
      ...names.map((name) => flushChain(TABLE, name)),
      ...sets.map((set) => deleteEmptySet(TABLE, set)),
      ...names.map((name) => deleteChain(TABLE, name)),
    ]);
  } catch (error) {
    // somebody came meanwhile, or leads to one of them by a rule of his own
    if (!isNetlinkError(error, "EBUSY", "ENOENT")) throw error;
  }
}

/** Returns, in words, the first thing that port maps need and that is not as it was made; undefined if all is. */
export function portMapDefect(
  nftables: NetlinkSocket,
  maps: readonly PortMap[],
  owner: string,
): string | undefined {
  for (const map of maps) {
    const elements = elementsOf(map, owner);
    const found = findElements(nftables, elements);
    const wrong = elements.findIndex(({ element }, index) => {
      const there = found[index];
      return there === undefined || !isSameElement(there, element);
    });
    if (wrong < 0) continue;
    if (wrong > 0) return `port map ${describePortMap(map)} lost its source translation`;
    return `port map ${describePortMap(map)} ${found[0] === undefined ? "is gone" : "leads elsewhere"}`;
  }
  const rules = Map.groupBy(nftables.dump(dumpRules(TABLE)), ({ chain }) => chain);
  for (const { name, base, rules: wanted } of neededChains(maps)) {
    const chain = nftables.get(getChain(TABLE, name));
    if (chain === undefined) return `chain ${name} of table ${TABLE.family} ${TABLE.name} is gone`;
    const isBased = base === undefined || chain.base?.hook === base.hook;
    if (!isBased || (rules.get(name)?.length ?? 0) !== wanted.length) {
      return `chain ${name} of table ${TABLE.family} ${TABLE.name} is not as it was made`;
    }
  }
  return undefined;
}

const REHEARSAL: TableName = { family: "inet", name: "warren-rehearsal" };

/** Throws MissingFeatureError if the kernel can't do all that a port map needs. Nothing is made. */
export function rehearsePortMaps(nftables: NetlinkSocket): void {
  // where they were made already nothing is in question
  if (missingParts(nftables, []).length === 0) return;
  rehearseRules(nftables, {
    ...{ purpose: "port maps", cure: CURE, tables: [REHEARSAL] },
    requests: [...sets(REHEARSAL), ...build(REHEARSAL, staticChains())],
  });
}
