// The block of addresses that a node gets out of the cluster's: always the lowest one that nobody has. Pure: who has which
// block is what the store says (registry.ts).
import { bitsOf, highestValue } from "../ip/address.ts";
import { contains, firstAddress, formatPrefix, lastAddress, networkOf, type Prefix } from "../ip/prefix.ts";

/** A cluster CIDR, and the prefix length of the blocks that it is cut into. */
export interface BlockPool {
  readonly cluster: Prefix;
  /** Not shorter than the cluster's own. */
  readonly blockLength: number;
}

/** Returns how many blocks a cluster CIDR has. */
export function blockCount({ cluster, blockLength }: BlockPool): bigint {
  return 1n << BigInt(blockLength - cluster.length);
}

/** True if `block` is one of those that the cluster CIDR is cut into. */
export function isBlockOf({ cluster, blockLength }: BlockPool, block: Prefix): boolean {
  return (
    block.length === blockLength &&
    contains(cluster, block.address) &&
    networkOf(block).address.value === block.address.value
  );
}

/** Returns the lowest block that has no address in common with `taken`, whatever sizes those have; undefined if all have. */
export function lowestFreeBlock(pool: BlockPool, taken: readonly Prefix[]): Prefix | undefined {
  const { cluster, blockLength } = pool;
  const { family } = cluster.address;
  const size = 1n << BigInt(bitsOf(family) - blockLength);
  const end = lastAddress(cluster).value;
  let first = firstAddress(cluster).value;
  const spans = taken
    .filter(({ address }) => address.family === family)
    .map((prefix) => ({ first: firstAddress(prefix).value, last: lastAddress(prefix).value }))
    .sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  for (const span of spans) {
    if (span.first > first + size - 1n) break;
    // the next place where a block may begin
    if (span.last >= first) first = (span.last / size + 1n) * size;
  }
  if (first > end || first > highestValue(family)) return undefined;
  return { address: { family, value: first }, length: blockLength };
}

/** Returns the pool in words: `10.244.0.0/16 in blocks of /24`. */
export function poolText({ cluster, blockLength }: BlockPool): string {
  return `${formatPrefix(cluster)} in blocks of /${blockLength}`;
}
