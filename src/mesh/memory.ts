// What a node keeps of its mesh in a file of its own: how its pieces are called, so that they are found when the configuration
// has other names by now, and what it last learned from the store, so that it has a network after a reboot while that is away.
// It is written before the kernel is told anything, and as a whole: the kernel never has what nobody remembers.
import * as v from "valibot";
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import { type Address, formatAddress, parseAddress } from "../ip/address.ts";
import { formatPrefix, type Prefix, parsePrefix } from "../ip/prefix.ts";
import {
  directoryEntries,
  makeDirectories,
  parentOf,
  removeReplaced,
  replaceFile,
} from "../sys/directory.ts";
import { readText } from "../sys/files.ts";
import { isSystemError } from "../sys/libc.ts";
import type { MeshNode } from "./node.ts";
import { MEMORY_PREFIX, type MeshNames, type NameSettings } from "./plan.ts";

/** By what a place in a mesh is the same one: with another of these, what was learned counts for nothing. */
export interface Origin {
  /** Where the store is, in words. */
  readonly store: string;
  /** This node's name there. */
  readonly node: string;
  /** Cluster CIDRs, masks and carrier, in words: what all nodes have in common. */
  readonly agreement: string;
}

/** What a node learned from the store. */
export interface Learned {
  readonly origin: Origin;
  /** This node's own, IPv4 first. */
  readonly blocks: readonly Prefix[];
  /** All others of which everything was known. */
  readonly nodes: readonly MeshNode[];
}

/** What of the names a configuration may change while the pieces are there. */
export type PieceNames = Pick<NameSettings, "network" | "bridge" | "netns" | "conflist">;

/** A mesh that this node remembers. */
export interface Memory {
  /** The configuration that it was made by. */
  readonly configFile: string;
  readonly names: PieceNames;
  /** Undefined where the configuration says all of it. */
  readonly learned: Learned | undefined;
  /** Since when all of it is so, in ISO 8601. */
  readonly since: string;
}

const address = v.pipe(
  v.string(),
  v.transform(parseAddress),
  v.custom<Address>((one) => one !== undefined),
);
const prefix = v.pipe(
  v.string(),
  v.transform(parsePrefix),
  v.custom<Prefix>((one) => one !== undefined),
);

const memorySchema = v.object({
  configFile: v.string(),
  names: v.object({ network: v.string(), bridge: v.string(), netns: v.string(), conflist: v.string() }),
  since: v.string(),
  learned: v.optional(
    v.object({
      origin: v.object({ store: v.string(), node: v.string(), agreement: v.string() }),
      blocks: v.pipe(v.array(prefix), v.minLength(1)),
      nodes: v.array(
        v.object({
          name: v.string(),
          address,
          port: v.number(),
          blocks: v.array(prefix),
          publicKey: v.optional(v.string()),
          hardwareAddress: v.optional(v.string()),
          backend: v.picklist(["wireguard", "vxlan"]),
        }),
      ),
    }),
  ),
});

/** Returns what is in a file; undefined if there is none. Throws CniError 6 for what nobody can read, and SystemError. */
function readMemory(path: string): Memory | undefined {
  let document: unknown;
  try {
    document = JSON.parse(readText(path));
  } catch (error) {
    if (isSystemError(error, "ENOENT", "ENOTDIR")) return undefined;
    if (!(error instanceof SyntaxError)) throw error;
    throw unreadable(path, describeError(error), error);
  }
  const read = v.safeParse(memorySchema, document);
  if (!read.success) throw unreadable(path, v.getDotPath(read.issues[0]) ?? "it is no object");
  const { learned, ...rest } = read.output;
  if (learned === undefined) return { ...rest, learned };
  const nodes = learned.nodes.map(
    ({ address, port, publicKey, hardwareAddress, ...node }): MeshNode => ({
      ...node,
      ...{ endpoint: { address, port }, publicKey, hardwareAddress },
    }),
  );
  return { ...rest, learned: { ...learned, nodes } };
}

function unreadable(path: string, why: string, cause?: unknown): CniError {
  return new CniError(
    ErrorCode.decodingFailure,
    `what this node remembers of the mesh can't be read: ${path}: ${why}`,
    "remove it: it is written anew as soon as the store answers",
    { cause },
  );
}

/** Returns what this node remembers of the mesh of these names; undefined for nothing. Throws as `readMemory`. */
export function recall({ memory }: Pick<MeshNames, "memory">): Memory | undefined {
  return readMemory(memory);
}

/** Returns every mesh that was made by this configuration, whatever it was called; what nobody can read is none. */
export function recallAll({ memory }: Pick<MeshNames, "memory">, configFile: string): Memory[] {
  return fileNames(parentOf(memory))
    .filter((name) => name.startsWith(MEMORY_PREFIX) && name.endsWith(".json"))
    .flatMap((name) => {
      try {
        return readMemory(`${parentOf(memory)}/${name}`) ?? [];
      } catch (error) {
        if (error instanceof CniError) return [];
        throw error;
      }
    })
    .filter((one) => one.configFile === configFile);
}

function fileNames(folder: string): string[] {
  try {
    return directoryEntries(folder).map(({ name }) => name);
  } catch (error) {
    if (isSystemError(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

/** Writes down what is so from now on; where it was so before, nothing. Nobody else writes it meanwhile. Throws SystemError. */
export function remember(
  { network, bridge, netns, conflist, memory }: MeshNames,
  configFile: string,
  learned: Learned | undefined,
): void {
  const now = documentOf({ configFile, names: { network, bridge, netns: netns.name, conflist }, learned });
  if (Bun.deepEquals(now, presentDocument(memory), true)) return;
  makeDirectories(parentOf(memory), 0o700);
  replaceFile(memory, `${JSON.stringify({ ...now, since: new Date().toISOString() })}\n`, 0o600);
}

function presentDocument(path: string): object | undefined {
  try {
    const present = readMemory(path);
    return present && documentOf(present);
  } catch (error) {
    if (error instanceof CniError) return undefined;
    throw error;
  }
}

function documentOf({ configFile, names, learned }: Omit<Memory, "since">): object {
  if (learned === undefined) return { configFile, names };
  const { origin, blocks, nodes } = learned;
  return {
    ...{ configFile, names },
    learned: {
      origin,
      blocks: blocks.map(formatPrefix),
      nodes: nodes.map(({ name, endpoint, blocks, publicKey, hardwareAddress, backend }) => ({
        ...{ name, address: formatAddress(endpoint.address), port: endpoint.port },
        blocks: blocks.map(formatPrefix),
        ...(publicKey === undefined ? {} : { publicKey }),
        ...(hardwareAddress === undefined ? {} : { hardwareAddress }),
        backend,
      })),
    },
  };
}

/** Forgets the mesh of these names. Throws SystemError. */
export function forget({ memory }: Pick<MeshNames, "memory">): void {
  removeReplaced(memory);
}

/** Returns what two origins differ in, in words for people; undefined if in nothing. */
export function differenceOf(was: Origin, is: Origin): string | undefined {
  const differing = (["store", "node", "agreement"] as const).find((key) => was[key] !== is[key]);
  return differing && `${was[differing]}, no more ${is[differing]}`;
}
