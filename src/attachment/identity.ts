// How the kernel objects of an attachment are called: by names that follow from the attachment alone, so that they
// can be found again when everything else is lost.

import { type Entry, isNameClaimed } from "../ledger/attachments.ts";
import type { Owner } from "../ledger/owner.ts";
import type { Transaction } from "../store/store.ts";

/** Returns a number that follows from the attachment; another `salt` gives another one. */
export function attachmentHash({ network, containerId, ifname }: Owner, salt = 0): bigint {
  return BigInt(Bun.hash(`${network}/${containerId}/${ifname}/${salt}`));
}

/** Returns the name of the host's end of the attachment's pair: 15 characters, the most that a link can have. */
export function hostLinkName(owner: Owner, salt = 0): string {
  return `veth${attachmentHash(owner, salt).toString(16).padStart(16, "0").slice(0, 11)}`;
}

/** Returns a word of 15 characters for the attachment, by which sets of nf_tables know it. */
export function claimantName(owner: Owner): string {
  return attachmentHash(owner).toString(16).padStart(16, "0").slice(0, 15);
}

/** Returns a name for the host's end that no other attachment has. */
export async function unclaimedHostLinkName(store: Transaction, entry: Entry): Promise<string> {
  for (let salt = 0; ; salt++) {
    const name = hostLinkName(entry, salt);
    if (!(await isNameClaimed(store, entry, { kind: "link", name }))) return name;
  }
}

const ALIAS_PREFIX = "warren";
/** The kernel cuts nothing: a longer alias is refused (IFALIASZ, linux/if.h). */
const LONGEST_ALIAS_BYTES = 255;

/** Returns the alias that says whose a link is; undefined where it doesn't fit, and then only the store knows. */
export function aliasOf({ network, containerId, ifname }: Owner): string | undefined {
  return fitting(`${ALIAS_PREFIX} ${network} ${containerId} ${ifname}`);
}

function fitting(alias: string): string | undefined {
  return new TextEncoder().encode(alias).length > LONGEST_ALIAS_BYTES ? undefined : alias;
}

/** Returns the attachment that an alias names; undefined if it is not one of ours. */
export function ownerFromAlias(alias: string): Owner | undefined {
  const [prefix, network, containerId, ifname, ...rest] = alias.split(" ");
  if (prefix !== ALIAS_PREFIX || rest.length > 0) return undefined;
  if (network === undefined || containerId === undefined || ifname === undefined) return undefined;
  return { network, containerId, ifname };
}

/**
 * Returns the alias of a device of the host that an attachment has for a while: it says what the device was called, too.
 * Undefined where it doesn't fit.
 */
export function deviceTagOf(owner: Owner, device: string): string | undefined {
  const { network, containerId, ifname } = owner;
  return fitting(`${ALIAS_PREFIX} ${network} ${containerId} ${ifname} ${device}`);
}

/** Returns what the alias of a device says; undefined if it is not one of ours. */
export function deviceFromTag(alias: string): { readonly owner: Owner; readonly device: string } | undefined {
  const space = alias.lastIndexOf(" ");
  const owner = ownerFromAlias(alias.slice(0, Math.max(0, space)));
  return owner === undefined ? undefined : { owner, device: alias.slice(space + 1) };
}
