// What is written down of port maps for an attachment: the ports of the host that it holds, and those that another interface of
// the same container holds, for which it waits. A runtime hands the port mappings of a container to each of its networks, and
// the first one gets them; when that one goes the next one takes its place.
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import {
  claimantsOf,
  type Entry,
  forgetAttachment,
  forgetAttachments,
  type KernelObject,
  kernelObject,
  listObjects,
  recordObjects,
  type WrittenEntry,
  writtenAbout,
} from "../ledger/attachments.ts";
import { describeOwner, netnsIsGone, type Owner } from "../ledger/owner.ts";
import { withdrawLoopbackClaims } from "../net/port-map/loopback.ts";
import {
  describePortMap,
  type PortMap,
  parsePortMap,
  portMapDetail,
  portMapName,
} from "../net/port-map/port-map.ts";
import { sourceChainName } from "../net/port-map/rules.ts";
import { addPortMaps, elementsOf, type PortMapTable, removeElements } from "../net/port-map/table.ts";
import type { Transaction } from "../store/store.ts";
import { currentBootId } from "../sys/process.ts";
import { aliasOf, claimantName } from "./identity.ts";

/** The plugin's name in the ledger. */
export const PORTMAP_PLUGIN = "portmap";

/** Takes a line for the operator. */
type Note = (text: string) => void;

/** The port maps that an attachment asks for. */
export interface PortClaims {
  /** Those that it gets. */
  readonly held: readonly PortMap[];
  /** Those that another interface of its container has. */
  readonly waiting: readonly PortMap[];
}

/** Returns what elements of an attachment carry as their comment; empty where it does not fit. */
export function tagOf(owner: Owner): string {
  return aliasOf(owner) ?? "";
}

/** Returns the error for a port that somebody else has. */
export function taken(map: PortMap, holder: string): CniError {
  return new CniError(
    ErrorCode.addressInUse,
    `host port ${portMapName(map)} is not available: it is held by ${holder}`,
    "DEL that attachment, or ask for another hostPort or hostIP",
  );
}

/** Returns what is to be written down. */
export function objectsFor({ held, waiting }: PortClaims): KernelObject[] {
  return [
    ...held.flatMap((map) => [
      { kind: "port map" as const, name: portMapName(map), detail: portMapDetail(map) },
      ...(typeof map.source === "string"
        ? []
        : [kernelObject("port map sources", sourceChainName(map.source))]),
    ]),
    ...waiting.map((map) => ({
      kind: "waiting port map" as const,
      name: portMapName(map),
      detail: portMapDetail(map),
    })),
  ];
}

/** Reads back what was written down. A port that was waited for and came is among both. */
export function portClaimsIn(objects: readonly KernelObject[]): PortClaims {
  const ofKind = (wanted: KernelObject["kind"]) =>
    objects.flatMap(({ kind, name, detail }) => (kind === wanted ? (parsePortMap(name, detail) ?? []) : []));
  return { held: ofKind("port map"), waiting: ofKind("waiting port map") };
}

/** Returns a port that an attachment waits for and that no interface of its container has; undefined if there is none. */
export async function findOrphan(
  store: Transaction,
  { containerId }: Entry,
  waiting: readonly PortMap[],
): Promise<PortMap | undefined> {
  for (const map of waiting) {
    const holders = await claimantsOf(store, { kind: "port map", name: portMapName(map) });
    if (!holders.some((one) => one.containerId === containerId)) return map;
  }
  return undefined;
}

function sourceChainsIn(objects: readonly KernelObject[]): string[] {
  return objects.filter(({ kind }) => kind === "port map sources").map(({ name }) => name);
}

/**
 * Returns which ports an attachment gets and which it has to wait for. What was mapped in an earlier boot went with it and is
 * forgotten; what the container had in a namespace that is gone is taken back. Throws CniError 100 for a port of
 * another container.
 */
export async function claimPorts(
  store: Transaction,
  openTable: () => PortMapTable,
  entry: Entry,
  maps: readonly PortMap[],
  note: Note,
): Promise<PortClaims> {
  const waiting = new Set<PortMap>();
  for (const map of maps) {
    for (const other of await claimantsOf(store, { kind: "port map", name: portMapName(map) })) {
      const { network, containerId, ifname } = entry;
      const isOwn = other.network === network && other.containerId === containerId && other.ifname === ifname;
      if (isOwn) continue;
      if (other.bootId !== currentBootId()) await forgetAttachment(store, other);
      else if (other.containerId !== containerId) throw taken(map, describeOwner(other));
      else if (netnsIsGone(other)) {
        await takeBack(store, openTable(), [await writtenAbout(store, other)], note);
      } else waiting.add(map);
    }
  }
  return { held: maps.filter((map) => !waiting.has(map)), waiting: [...waiting] };
}

/**
 * Removes the port maps of a network's entries and forgets them, inside a transaction, so that no ADD can claim a port or a
 * chain meanwhile; if the kernel refuses, nothing is forgotten. Ports for which another interface of the container waits
 * are that one's from then on, but for those that are `kept`. Returns the port maps that were removed.
 */
export async function takeBack(
  store: Transaction,
  table: PortMapTable | undefined,
  entries: readonly WrittenEntry<Entry>[],
  note: Note,
  kept: readonly PortMap[] = [],
): Promise<PortMap[]> {
  const [first] = entries;
  if (first === undefined) return [];
  const claims = entries.map(({ row, objects }) => ({ row, ...portClaimsIn(objects) }));
  const rows = entries.map(({ row }) => row);
  const unclaimed = await forgetAttachments(store, first.row.network, PORTMAP_PLUGIN, rows);
  const maps = claims.flatMap(({ held }) => held);
  if (table === undefined || claims.every(({ held, waiting }) => held.length + waiting.length === 0)) {
    return maps;
  }
  const elements = claims.flatMap(({ row, held }) => held.flatMap((map) => elementsOf(map, tagOf(row))));
  removeElements(table, elements, sourceChainsIn(unclaimed));
  const claimants = new Set(rows.map(claimantName));
  withdrawLoopbackClaims(table, ({ claimant }) => claimants.has(claimant));
  const keptNames = kept.map(portMapName);
  for (const map of maps) {
    if (!keptNames.includes(portMapName(map))) await passOn(store, table, map, note);
  }
  return maps;
}

/** Gives a port that is free now to who waits for it. What the kernel refuses then is told, and holds up nothing. */
async function passOn(store: Transaction, table: PortMapTable, freed: PortMap, note: Note): Promise<void> {
  const name = portMapName(freed);
  const waiting = await claimantsOf(store, { kind: "waiting port map", name });
  const heir = waiting.find((one) => one.bootId === currentBootId() && !netnsIsGone(one));
  if (heir === undefined) return;
  const map = portClaimsIn(await listObjects(store, heir)).waiting.find((one) => portMapName(one) === name);
  if (map === undefined) return;
  try {
    addPortMaps(table, [map], tagOf(heir));
  } catch (error) {
    note(
      `warren-portmap: ${describePortMap(map)} can't be made for ${describeOwner(heir)}: ${describeError(error)}`,
    );
    return;
  }
  await recordObjects(store, heir, objectsFor({ held: [map], waiting: [] }));
}
