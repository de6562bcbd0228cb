// The interface that others stand on: a network card, or whatever else takes that place, on the host or in the container.
import { getLink, type Link } from "../netlink/link.ts";
import { dumpRoutes, Table } from "../netlink/route.ts";
import type { Connection } from "./connection.ts";
import { hostNamespaceId } from "./host-namespace.ts";

/** A master that no interface of this kind can be put on. */
export class UnfitMasterError extends Error {
  override readonly name = "UnfitMasterError";

  constructor(
    message: string,
    readonly cure: string,
    options?: { readonly cause?: unknown },
  ) {
    super(message, options);
  }
}

/**
 * Returns the interface called `name`, or the one that the default route leads out of if there is no name; of several
 * the preferred one, IPv4 before IPv6. Undefined if there is none. Throws NetlinkError.
 */
export function findMaster(connection: Connection, name: string | undefined): Link | undefined {
  if (name !== undefined) return connection.get(getLink(name));
  for (const family of ["ipv4", "ipv6"] as const) {
    const [best] = connection
      .dump(dumpRoutes({ family, table: Table.main }))
      .filter(({ prefixLength, paths }) => prefixLength === 0 && paths.length > 0)
      .sort((left, right) => left.priority - right.priority);
    const [path] = best?.paths ?? [];
    if (path !== undefined) return connection.get(getLink(path.outputIndex));
  }
  return undefined;
}

/** True if the link stands on this master, which is on the host unless `masterInside` says otherwise. */
export function standsOn(inside: Connection, link: Link, master: Link, masterInside: boolean): boolean {
  if (link.peerIndex !== master.index) return false;
  // without a number the parent is in the same namespace
  if (masterInside) return link.peerNamespaceId === undefined;
  return link.peerNamespaceId === hostNamespaceId(inside);
}

/** Returns the number by which a link that is born in the container finds its master; undefined for one in there, too. */
export function masterNamespaceId(inside: Connection, masterInside: boolean): number | undefined {
  return masterInside ? undefined : hostNamespaceId(inside);
}
