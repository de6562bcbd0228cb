// Who needs an element of the firewall that attachments share, such as a bridge that is guarded: every element of that
// kind has a set of its claimants beside it, which no rule looks into. So the kernel itself knows the last claim and
// takes no element away that somebody needs, whichever store he is written down in, and if it is none.
import { interfaceNameBytes } from "../../netlink/match.ts";
import { isNetlinkError, type Request } from "../../netlink/message.ts";
import type { TableName } from "../../netlink/nftables-message.ts";
import {
  addElements,
  createSet,
  deleteElements,
  deleteEmptySet,
  dumpElements,
} from "../../netlink/nftables-set.ts";
import type { NetlinkSocket } from "../../netlink/socket.ts";

/** An attachment as the kernel is told of it. */
export interface Claimant {
  /** At most 15 characters that follow from the attachment alone, as long as the name of an interface. */
  readonly name: string;
  /** Whose it is in words; empty where that does not fit into a comment. */
  readonly tag: string;
}

/** A message about elements holds them in one attribute, whose length has 16 bits. */
export const ELEMENTS_A_MESSAGE = 128;
/** Set numbers of a transaction that no other set has. */
const FIRST_ID = 100;

const textDecoder = new TextDecoder();

/**
 * Returns the name of the set of those who need an element: `claims-guarded-br0`. What may stand in the name of an
 * interface but not of a set is written as its code after a slash, which no interface has.
 */
export function claimSetOf(set: string, value: string): string {
  const plain = value.replace(/[^\w.-]/gu, (character) => `/${character.codePointAt(0)?.toString(16)}`);
  return `claims-${set}-${plain}`;
}

/** The requests that claim the elements of these claim sets; what is claimed already stays so. */
export function claimRequests(
  table: TableName,
  sets: readonly string[],
  claimant: Claimant,
): Request<never>[] {
  const comment = claimant.tag === "" ? undefined : claimant.tag;
  return sets.flatMap((name, index) => [
    // type ifname: a word that nft can show
    createSet(table, { name, key: ["interfaceName"], id: FIRST_ID + index }),
    addElements(table, name, [{ key: interfaceNameBytes(claimant.name), comment }]),
  ]);
}

/** Returns who claims; nobody where there is no such set. */
export function claimantsIn(nftables: NetlinkSocket, table: TableName, set: string): Claimant[] {
  return nftables
    .dump(dumpElements(table, set))
    .flat()
    .map(({ key, comment }) => {
      const end = key.indexOf(0);
      return { name: textDecoder.decode(end < 0 ? key : key.subarray(0, end)), tag: comment ?? "" };
    });
}

/**
 * Takes claimants out of a claim set, and after the last one the set and what was claimed, by `removal`. The kernel
 * refuses that as a whole if somebody claims meanwhile. What is gone already is success. Throws NetlinkError.
 */
export function withdrawClaims(
  nftables: NetlinkSocket,
  table: TableName,
  set: string,
  names: ReadonlySet<string>,
  removal: readonly Request<never>[],
): void {
  const present = claimantsIn(nftables, table, set);
  const doomed = present.filter(({ name }) => names.has(name));
  const keys = doomed.map(({ name }) => ({ key: interfaceNameBytes(name) }));
  const requests: Request<never>[] = [];
  for (let start = 0; start < keys.length; start += ELEMENTS_A_MESSAGE) {
    requests.push(deleteElements(table, set, keys.slice(start, start + ELEMENTS_A_MESSAGE)));
  }
  nftables.transaction(requests);
  if (doomed.length < present.length) return;
  for (const last of [[deleteEmptySet(table, set), ...removal], [deleteEmptySet(table, set)]]) {
    try {
      return void nftables.transaction(last);
    } catch (error) {
      if (isNetlinkError(error, "EBUSY")) return;
      // somebody took the element away himself; then the set goes alone
      if (!isNetlinkError(error, "ENOENT")) throw error;
    }
  }
}
