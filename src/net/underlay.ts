// The interface of the host by which packets to other nodes leave, and the address at which those reach it: as somebody
// says, or as the host's own routes have it.
import { type Address, addressFromBytes, formatAddress } from "../ip/address.ts";
import { dumpAddresses, Scope } from "../netlink/address.ts";
import { getLink, type Link } from "../netlink/link.ts";
import type { Connection } from "./connection.ts";
import { findMaster } from "./master.ts";

/** Where other nodes are reached from. */
export interface Underlay {
  readonly link: Link;
  /** Undefined where the interface has none that others could know. */
  readonly address: Address | undefined;
}

/** What somebody says of it; what is undefined is found. */
export interface UnderlayWish {
  readonly interfaceName: string | undefined;
  readonly address: Address | undefined;
}

/** There is no such interface. */
export class NoUnderlayError extends Error {
  override readonly name = "NoUnderlayError";
}

/**
 * Returns the interface and the address: of the interface that is named, else of the one that has the address, else of the
 * one that the default route leads out of. Throws NoUnderlayError or NetlinkError.
 */
export function findUnderlay(host: Connection, { interfaceName, address }: UnderlayWish): Underlay {
  const link = interfaceName === undefined ? unnamed(host, address) : host.get(getLink(interfaceName));
  if (link === undefined) {
    const noWay = "there is no default route, and so no interface to other nodes";
    const noHolder =
      address === undefined
        ? ""
        : `no interface of this node has the address ${formatAddress(address)}, and `;
    throw new NoUnderlayError(
      interfaceName === undefined
        ? `${noHolder}${noWay}`
        : `there is no interface ${JSON.stringify(interfaceName)} on this node`,
    );
  }
  return { link, address: address ?? addressOf(host, link.index) };
}

function unnamed(host: Connection, address: Address | undefined): Link | undefined {
  if (address !== undefined) {
    const spelled = formatAddress(address);
    const holder = host
      .dump(dumpAddresses())
      .find((one) => formatAddress(addressFromBytes(one.address)) === spelled);
    if (holder !== undefined) return host.get(getLink(holder.index));
  }
  return findMaster(host, undefined);
}

/** Returns the first address that is not for this link alone, IPv4 before IPv6. */
function addressOf(host: Connection, index: number): Address | undefined {
  const addresses = host
    .dump(dumpAddresses({ index }))
    .filter(({ scope }) => scope === Scope.universe)
    .map((one) => addressFromBytes(one.address));
  return addresses.find(({ family }) => family === 4) ?? addresses[0];
}
