// The host's end of the pair that a container's interface is half of, found by what the kernel itself says of the
// pair. A name in a result may be missing or stale, and an index alone may be that of somebody else's interface,
// because every namespace counts by itself.
import { getLink, type Link } from "../netlink/link.ts";
import { getNamespaceId } from "../netlink/namespace-id.ts";
import type { Connection } from "./connection.ts";
import type { Netns } from "./netns.ts";

/**
 * Returns the other end of `link`, an interface in `netns`, if it is in the namespace of `host`; undefined if it is
 * anywhere else, or if `link` is no half of a pair. Throws NetlinkError.
 */
export function findPeer(host: Connection, netns: Netns, link: Link): Link | undefined {
  if (link.kind !== "veth" || link.peerIndex === 0) return undefined;
  const peer = host.get(getLink(link.peerIndex));
  if (peer === undefined || peer.kind !== "veth" || peer.peerIndex !== link.index) return undefined;
  return peer.peerNamespaceId === host.get(getNamespaceId(netns.fd)) ? peer : undefined;
}
