// An interface that another suite's plugin made for an attachment, before the host was switched to Warren. Nothing is written
// down about it and it has no tag of ours: only what the runtime remembers of the ADD tells that it is the attachment's. A
// name alone does not, because a refused ADD is followed by a DEL, too, and somebody else has the name then.
import type { Attachment } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { type Connection, connectInside } from "../net/connection.ts";
import { findLink, type Link, removeLinkNumber } from "../net/veth.ts";
import { openContainer } from "./container-interface.ts";

/**
 * Hands the interface to `work`, with a connection to its namespace, if the remembered result has it under its name and
 * hardware address. Where namespace, interface or result are gone nothing is done. Throws NetlinkError or SystemError.
 */
export function withForeignInterface(
  { netns: path, ifname }: Pick<Attachment, "netns" | "ifname">,
  remembered: Result | undefined,
  work: (link: Link, inside: Connection) => void,
): void {
  const reported = remembered?.interfaces.find(
    ({ name, sandbox }) => name === ifname && (sandbox ?? "") !== "",
  );
  const address = reported?.mac?.toLowerCase() ?? "";
  if (address === "") return;
  using netns = openContainer({ netns: path, netnsInode: null });
  if (netns === undefined) return;
  using inside = connectInside(netns);
  const link = findLink(inside, ifname);
  if (link !== undefined && link.address === address) work(link, inside);
}

/** Removes the interface, if it is of this kind and has no tag, as those of other suites. Throws as `withForeignInterface`. */
export function removeForeignInterface(
  attachment: Pick<Attachment, "netns" | "ifname">,
  kind: string,
  remembered: Result | undefined,
): void {
  withForeignInterface(attachment, remembered, (link, inside) => {
    if (link.kind === kind && link.alias === "") removeLinkNumber(inside, link.index);
  });
}
