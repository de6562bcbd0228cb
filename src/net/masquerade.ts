// Masquerade: what pods send beyond their network leaves with the host's address. One chain for each subnet of a
// network, in a table of our own, made once and not once a pod; its name says all that is in it, so that asking
// whether the chain is there is all that an ADD has to do.
import { addressBytes } from "../ip/address.ts";
import { formatPrefix, networkOf, type Prefix } from "../ip/prefix.ts";
import { masquerade } from "../netlink/expression.ts";
import { destinationIn, packetFamily, sourceIn } from "../netlink/match.ts";
import { isNetlinkError, type Request } from "../netlink/message.ts";
import {
  addRule,
  createChain,
  createTable,
  deleteChain,
  deleteEmptyTable,
  dumpChains,
  flushChain,
  getChain,
  Priority,
} from "../netlink/nftables.ts";
import type { TableName } from "../netlink/nftables-message.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import { needing } from "./feature.ts";
import { openNfTables, openNfTablesIfAny, rehearseRules } from "./nf-tables.ts";

/** The one table that Warren has; nothing outside of it is ever touched. */
export const TABLE: TableName = { family: "inet", name: "warren" };

const PREFIX = "masquerade-";

/** Names of chains may have 127 bytes on every kernel that has nat chains in inet tables. */
const LONGEST_NETWORK = 60;

/** Returns the name of the chain for a subnet of a network; the same pair always gives the same name. */
export function masqueradeName(network: string, subnet: Prefix): string {
  // colons have a meaning in nft's own syntax
  const spelled = formatPrefix(networkOf(subnet)).replaceAll(":", "_");
  const short =
    network.length <= LONGEST_NETWORK
      ? network
      : `${network.slice(0, LONGEST_NETWORK - 17)}.${Bun.hash(network).toString(16).padStart(16, "0")}`;
  return `${PREFIX}${short}-${spelled}`;
}

const CURE = "load the modules nf_tables, nft_chain_nat and nft_masq, or turn ipMasq off";

/** Makes sure that the subnets are masqueraded; throws MissingFeatureError or NetlinkError. */
export function ensureMasquerade(network: string, subnets: readonly Prefix[]): void {
  const nftables = openNfTables(CURE);
  const missing = subnets.filter((subnet) => !isComplete(nftables, masqueradeName(network, subnet)));
  if (missing.length === 0) return;
  const chains = missing.flatMap((subnet) => chainFor(TABLE, network, subnet));
  needing(
    () => rehearse(nftables),
    () => nftables.transaction([createTable(TABLE), ...chains]),
  );
}

const CLUSTER_PREFIX = "mesh-";

/** Returns the name of the chain for a node's block within the cluster; the same three always give the same name. */
function clusterChainName(network: string, block: Prefix, cluster: Prefix): string {
  const subnet = formatPrefix(networkOf(cluster)).replaceAll(":", "_");
  return `${CLUSTER_PREFIX}${masqueradeName(network, block).slice(PREFIX.length)}-${subnet}`;
}

/** True if what a node's block sends beyond the cluster is masqueraded. Throws MissingFeatureError or NetlinkError. */
export function hasClusterMasquerade(network: string, block: Prefix, cluster: Prefix): boolean {
  return isComplete(openNfTables(CURE), clusterChainName(network, block, cluster));
}

/** Masquerades what a node's block sends beyond the cluster, and nothing that stays in it. Throws as above. */
export function ensureClusterMasquerade(network: string, block: Prefix, cluster: Prefix): void {
  const nftables = openNfTables(CURE);
  const name = clusterChainName(network, block, cluster);
  needing(
    () => rehearse(nftables),
    () => nftables.transaction([createTable(TABLE), ...chainFor(TABLE, network, block, { name, cluster })]),
  );
}

/** Returns the names of all such chains of a network that are there; none where the kernel has no nf_tables. */
export function listClusterMasquerade(network: string): string[] {
  const nftables = openNfTablesIfAny();
  if (nftables === undefined) return [];
  const stem = `${CLUSTER_PREFIX}${stemOf(network).slice(PREFIX.length)}`;
  return chainNames(nftables, CLUSTER_PREFIX).filter(
    (name) => name.startsWith(stem) && name.slice(stem.length).split("-").every(isSubnet),
  );
}

/** Removes all of that of a network, and the table where nothing else is in it; returns the chains that there were. */
export function removeClusterMasquerade(network: string): string[] {
  const nftables = openNfTablesIfAny();
  const doomed = listClusterMasquerade(network);
  if (nftables === undefined || doomed.length === 0) return [];
  const removal = doomed.flatMap((name) => [flushChain(TABLE, name), deleteChain(TABLE, name)]);
  try {
    // in one transaction, so that nobody who is killed in between leaves an empty table
    nftables.transaction([...removal, deleteEmptyTable(TABLE)]);
  } catch (error) {
    if (!isNetlinkError(error, "EBUSY")) throw error;
    // somebody else has something in it
    nftables.transaction(removal);
  }
  return doomed;
}

/** A chain is made together with its rule, and its name says what that is. */
function isComplete(nftables: NetlinkSocket, name: string): boolean {
  return (nftables.get(getChain(TABLE, name))?.use ?? 0) > 0;
}

/** What stays within `cluster` is left alone: within the subnet itself, unless another is said. */
function chainFor(
  table: TableName,
  network: string,
  subnet: Prefix,
  { name: chain, cluster } = { name: masqueradeName(network, subnet), cluster: subnet },
): Request<never>[] {
  const { address, length } = networkOf(subnet);
  const inside = networkOf(cluster);
  const multicast: Prefix =
    address.family === 4
      ? { address: { family: 4, value: 0xe000_0000n }, length: 4 }
      : { address: { family: 6, value: 0xffn << 120n }, length: 8 };
  return [
    createChain(table, {
      name: chain,
      base: { type: "nat", hook: "postrouting", priority: Priority.sourceNat },
      comment: `network ${network}`.slice(0, 120),
    }),
    // of two first callers the second one empties what the first one made: one rule is left
    flushChain(table, chain),
    // ip saddr 10.88.0.0/16 ip daddr != 10.88.0.0/16 ip daddr != 224.0.0.0/4 masquerade
    addRule(table, {
      chain,
      expressions: [
        ...packetFamily(address.family === 4 ? "ipv4" : "ipv6"),
        ...sourceIn(addressBytes(address), length),
        ...destinationIn(addressBytes(inside.address), inside.length, "notEqual"),
        ...destinationIn(addressBytes(multicast.address), multicast.length, "notEqual"),
        masquerade(),
      ],
    }),
  ];
}

/** Removes chains by their names; missing ones are success. Throws NetlinkError. */
export function removeMasquerade(names: readonly string[]): void {
  if (names.length === 0) return;
  const nftables = openNfTablesIfAny();
  if (nftables === undefined) return;
  const present = new Set(listChains(nftables));
  const doomed = [...new Set(names)].filter((name) => present.has(name));
  nftables.transaction(doomed.flatMap((name) => [flushChain(TABLE, name), deleteChain(TABLE, name)]));
}

/** Returns the names of all masquerade chains of a network that are there; none where the kernel has no nf_tables. */
export function listMasquerade(network: string): string[] {
  const nftables = openNfTablesIfAny();
  if (nftables === undefined) return [];
  const stem = stemOf(network);
  // what follows the stem is a subnet; a longer network name would go on with a letter or a dash
  return listChains(nftables).filter((name) => name.startsWith(stem) && isSubnet(name.slice(stem.length)));
}

/** Returns the subnet that a masquerade chain of the network is for, such as `10.88.0.0/16`. */
export function masqueradedSubnet(network: string, chain: string): string {
  return chain.slice(stemOf(network).length).replaceAll("_", ":");
}

function stemOf(network: string): string {
  const first = masqueradeName(network, { address: { family: 4, value: 0n }, length: 0 });
  return first.slice(0, first.length - "0.0.0.0/0".length);
}

function listChains(nftables: NetlinkSocket): string[] {
  return chainNames(nftables, PREFIX);
}

function chainNames(nftables: NetlinkSocket, prefix: string): string[] {
  try {
    return nftables
      .dump(dumpChains(TABLE))
      .map(({ name }) => name)
      .filter((name) => name.startsWith(prefix));
  } catch (error) {
    if (isNetlinkError(error, "ENOENT")) return [];
    throw error;
  }
}

function isSubnet(text: string): boolean {
  return /^[0-9a-f._]+\/\d+$/.test(text);
}

/** Returns the subnets that are not masqueraded. */
export function missingMasquerade(network: string, subnets: readonly Prefix[]): Prefix[] {
  const nftables = openNfTables(CURE);
  return subnets.filter((subnet) => !isComplete(nftables, masqueradeName(network, subnet)));
}

/** Throws MissingFeatureError if the kernel can't masquerade. Nothing is made. */
export function probeMasquerade(): void {
  const nftables = openNfTables(CURE);
  rehearse(nftables);
}

const REHEARSAL: TableName = { family: "inet", name: "warren-rehearsal" };

function rehearse(nftables: NetlinkSocket): void {
  const subnet: Prefix = { address: { family: 4, value: 0n }, length: 8 };
  rehearseRules(nftables, {
    ...{ purpose: "masquerade", cure: CURE, tables: [REHEARSAL] },
    requests: chainFor(REHEARSAL, "rehearsal", subnet),
  });
}
