// Port maps on 127.0.0.1: a packet from there may leave the host only where the interface towards the pod says so
// (route_localnet). IPv6 knows no such setting, so ::1 has no port maps. Who needs it, and what it was before, stands in
// a map of nf_tables that no rule looks into: the kernel forgets both at the same moment, and no store has to know.
import { type Address, addressBytes } from "../../ip/address.ts";
import { getLink } from "../../netlink/link.ts";
import { interfaceNameBytes } from "../../netlink/match.ts";
import { isNetlinkError, type Request } from "../../netlink/message.ts";
import {
  addElements,
  concatenated,
  createSet,
  deleteElements,
  dumpElements,
  type Element,
} from "../../netlink/nftables-set.ts";
import { lookUpRoute } from "../../netlink/route.ts";
import type { NetlinkSocket } from "../../netlink/socket.ts";
import type { Connection } from "../connection.ts";
import { TABLE } from "../masquerade.ts";
import { ensureSetting, readSetting, writeSettingIfPresent } from "../sysctl.ts";

/** By interface and claimant: the value that route_localnet had before the first of them came. */
export const LOOPBACK_CLAIMS = "portmap-loopback-out";

/** The map; the element that a claim is has both names in its key. */
export const LOOPBACK_CLAIMS_MAP = {
  name: LOOPBACK_CLAIMS,
  key: ["interfaceName", "interfaceName"],
  data: ["mark"],
} as const;

const NAME_BYTES = 16;
/** A message about elements holds them in one attribute, whose length has 16 bits, and a comment may have 256 bytes. */
const CLAIMS_A_MESSAGE = 128;

/** An attachment that 127.0.0.1 is to reach. */
export interface LoopbackClaim {
  readonly link: string;
  /** At most 15 characters that follow from the attachment. */
  readonly claimant: string;
  /** Whose it is in words; may be empty. */
  readonly tag: string;
  /** The value of route_localnet without any claim, 0 or 1. */
  readonly found: number;
}

const textDecoder = new TextDecoder();

function nameIn(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return textDecoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function elementOf({ link, claimant, tag, found }: LoopbackClaim): Element {
  return {
    key: concatenated(interfaceNameBytes(link), interfaceNameBytes(claimant)),
    data: Uint8Array.of(found, 0, 0, 0),
    comment: tag === "" ? undefined : tag,
  };
}

/** Returns all claims; throws NetlinkError. */
export function listLoopbackClaims(nftables: NetlinkSocket): LoopbackClaim[] {
  return nftables
    .dump(dumpElements(TABLE, LOOPBACK_CLAIMS))
    .flat()
    .map(({ key, data, comment }) => ({
      link: nameIn(key.subarray(0, NAME_BYTES)),
      claimant: nameIn(key.subarray(NAME_BYTES)),
      tag: comment ?? "",
      found: data instanceof Uint8Array ? (data[0] ?? 0) : 0,
    }));
}

function settingOf(link: string): string {
  return `ipv4/conf/${link}/route_localnet`;
}

/**
 * Returns the interface by which the host's packets go to a pod; undefined where none do. It waits for whoever changes links.
 * Throws NetlinkError.
 */
export function linkTowards(host: Connection, pod: Address): string | undefined {
  try {
    const route = host.get(lookUpRoute(addressBytes(pod)));
    const [path] = route?.paths ?? [];
    return path === undefined ? undefined : host.get(getLink(path.outputIndex))?.name;
  } catch (error) {
    if (isNetlinkError(error, "ENETUNREACH", "EHOSTUNREACH")) return undefined;
    throw error;
  }
}

/**
 * Lets packets from 127.0.0.1 out by an interface until the claimant's claims are withdrawn. The table has to be there.
 * Throws NetlinkError or SystemError.
 */
export function letLoopbackOut(
  nftables: NetlinkSocket,
  link: string,
  owner: Pick<LoopbackClaim, "claimant" | "tag">,
): void {
  const others = listLoopbackClaims(nftables).filter((claim) => claim.link === link);
  if (!others.some(({ claimant }) => claimant === owner.claimant)) {
    const found = others[0]?.found ?? Number(readSetting(settingOf(link)) ?? 0);
    nftables.transaction([
      createSet(TABLE, LOOPBACK_CLAIMS_MAP),
      addElements(TABLE, LOOPBACK_CLAIMS, [elementOf({ link, ...owner, found })]),
    ]);
  }
  ensureSetting(settingOf(link), 1);
}

/**
 * Withdraws the claims for which `isDoomed`, and keeps the loopback in where that was so before and nobody claims
 * otherwise. What is gone already is success. Throws NetlinkError or SystemError.
 */
export function withdrawLoopbackClaims(
  nftables: NetlinkSocket,
  isDoomed: (claim: LoopbackClaim) => boolean,
): void {
  const doomed = listLoopbackClaims(nftables).filter(isDoomed);
  const elements = doomed.map(elementOf);
  const requests: Request<never>[] = [];
  for (let start = 0; start < elements.length; start += CLAIMS_A_MESSAGE) {
    requests.push(deleteElements(TABLE, LOOPBACK_CLAIMS, elements.slice(start, start + CLAIMS_A_MESSAGE)));
  }
  try {
    nftables.transaction(requests);
  } catch (error) {
    if (!isNetlinkError(error, "ENOENT")) throw error;
    // one that went meanwhile keeps all the others
    withdrawLoopbackClaims(nftables, isDoomed);
    return;
  }
  for (const { link, found } of new Map(doomed.map((claim) => [claim.link, claim])).values()) {
    const isClaimed = () => listLoopbackClaims(nftables).some((claim) => claim.link === link);
    // one that could not be turned on, because settings can't be written here, is off
    if (found !== 0 || isClaimed() || readSetting(settingOf(link)) !== "1") continue;
    writeSettingIfPresent(settingOf(link), 0);
    // by somebody who came meanwhile, and may have found it on
    if (isClaimed()) writeSettingIfPresent(settingOf(link), 1);
  }
}

/** True if packets from 127.0.0.1 may go out to a pod, or no route leads there at all. */
export function isLoopbackLetOut(host: Connection, pod: Address): boolean {
  const link = linkTowards(host, pod);
  return link === undefined || readSetting(settingOf(link)) === "1";
}
