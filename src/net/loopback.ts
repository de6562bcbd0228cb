// The loopback interface of a container: it is there from the start, and only has to be up.
import { addressFromBytes } from "../ip/address.ts";
import { formatPrefix } from "../ip/prefix.ts";
import { dumpAddresses } from "../netlink/address.ts";
import { getLink, type Link, setLink } from "../netlink/link.ts";
import { connectInside } from "./connection.ts";
import type { Netns } from "./netns.ts";

const NAME = "lo";

/** Sets `lo` up or down; throws NetlinkError. */
export function setLoopback(netns: Netns, up: boolean): void {
  using inside = connectInside(netns);
  inside.execute([setLink(NAME, { up })]);
}

/** Returns `lo` and its addresses in CIDR notation. */
export function readLoopback(netns: Netns): { readonly link: Link; readonly addresses: readonly string[] } {
  using inside = connectInside(netns);
  const link = inside.get(getLink(NAME));
  if (link === undefined) throw new Error(`${netns.path} has no loopback interface`);
  const addresses = inside
    .dump(dumpAddresses({ index: link.index }))
    .map(({ address, prefixLength }) =>
      formatPrefix({ address: addressFromBytes(address), length: prefixLength }),
    );
  return { link, addresses };
}
