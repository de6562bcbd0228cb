// A link as somebody wants it, compared with the one that is there, and changed in what differs and in nothing else.
import { addressBytes, addressFromBytes } from "../ip/address.ts";
import { contains, formatPrefix, type Prefix } from "../ip/prefix.ts";
import { addAddress, deleteAddress, dumpAddresses, Scope } from "../netlink/address.ts";
import { deleteLink, dumpLinks, type Link, setLink } from "../netlink/link.ts";
import { ignoring } from "../netlink/message.ts";
import { broadcastOf } from "./bridge.ts";
import type { Connection } from "./connection.ts";

/** What a link is to be like; what is left out may be as it is. A link with a shape is always up. */
export interface LinkShape {
  readonly mtu?: number | undefined;
  /** The bridge that it is a port of; 0 for none. */
  readonly master?: number | undefined;
  /** Says whose it is. */
  readonly alias?: string | undefined;
}

/** Returns in words what is wrong with the link; undefined if nothing is. */
export function shapeProblem(link: Link, { mtu, master, alias }: LinkShape): string | undefined {
  if (mtu !== undefined && link.mtu !== mtu) return `has the MTU ${link.mtu}, not ${mtu}`;
  if (master !== undefined && link.master !== master) return "is no port of its bridge";
  if (alias !== undefined && link.alias !== alias) return "has lost its alias";
  return link.up ? undefined : "is down";
}

/** Changes the link in what differs. Throws NetlinkError. */
export function reshape(connection: Connection, link: Link, { mtu, master, alias }: LinkShape): void {
  connection.execute([
    setLink(link.index, {
      ...(mtu !== undefined && mtu !== link.mtu ? { mtu } : {}),
      ...(master !== undefined && master !== link.master ? { master } : {}),
      ...(alias !== undefined && alias !== link.alias ? { alias } : {}),
      up: true,
    }),
  ]);
}

/** Returns all links that say they are somebody's. */
export function linksWithAlias(connection: Connection, alias: string): Link[] {
  return connection.dump(dumpLinks()).filter((link) => link.alias === alias);
}

/** Returns all links of a namespace. */
export function allLinks(connection: Connection): Link[] {
  return connection.dump(dumpLinks());
}

/** Removes a link by its index, so that never another one goes in its place; a missing one is success. */
export function removeLinkNumber(connection: Connection, index: number): void {
  connection.execute([ignoring(deleteLink(index), "ENODEV")]);
}

/** Returns the addresses of a namespace that others may know, each with the index of its interface. */
export function knownAddresses(
  connection: Connection,
): { readonly prefix: Prefix; readonly index: number }[] {
  return connection
    .dump(dumpAddresses())
    .filter(({ scope }) => scope === Scope.universe)
    .map(({ address, prefixLength, index }) => ({
      prefix: { address: addressFromBytes(address), length: prefixLength },
      index,
    }));
}

/** Returns in words what is wrong with an address that a link is to have, where others of `range` have no place on it. */
export function addressProblem(
  connection: Connection,
  index: number,
  wanted: Prefix,
  range: Prefix,
): string | undefined {
  const present = presentIn(connection, index, range);
  if (!present.some((prefix) => formatPrefix(prefix) === formatPrefix(wanted))) return "is missing";
  const [other] = present.filter((prefix) => formatPrefix(prefix) !== formatPrefix(wanted));
  return other === undefined ? undefined : `stands beside ${formatPrefix(other)}`;
}

/** Gives the link the address, and takes the others of `range` from it. Throws NetlinkError. */
export function placeAddress(connection: Connection, index: number, wanted: Prefix, range: Prefix): void {
  const present = presentIn(connection, index, range);
  const others = present.filter((prefix) => formatPrefix(prefix) !== formatPrefix(wanted));
  connection.execute([
    ignoring(
      addAddress({
        index,
        address: addressBytes(wanted.address),
        prefixLength: wanted.length,
        broadcast: broadcastOf(wanted),
        // the first pod should not wait until IPv6 has made sure that nobody else has it
        skipDuplicateDetection: wanted.address.family === 6,
      }),
      "EEXIST",
    ),
    ...others.map(({ address, length }) =>
      ignoring(
        deleteAddress({ index, address: addressBytes(address), prefixLength: length }),
        "EADDRNOTAVAIL",
      ),
    ),
  ]);
}

function presentIn(connection: Connection, index: number, range: Prefix): Prefix[] {
  return knownAddresses(connection)
    .filter((one) => one.index === index && contains(range, one.prefix.address))
    .map(({ prefix }) => prefix);
}
