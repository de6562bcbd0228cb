// The host's namespace as a container's knows it: a link that is born inside the container can have a parent on the host
// only by the number that the host's namespace has there.

import { ignoring } from "../netlink/message.ts";
import { assignNamespaceId, getNamespaceId } from "../netlink/namespace-id.ts";
import { ownNetworkNamespace } from "../sys/namespace.ts";
import type { Connection } from "./connection.ts";

/** Returns the number of this process's namespace inside a container's, given now if it had none. Throws NetlinkError. */
export function hostNamespaceId(inside: Connection): number {
  using own = ownNetworkNamespace();
  const [, number] = inside.execute([ignoring(assignNamespaceId(own.fd), "EEXIST"), getNamespaceId(own.fd)]);
  const [id] = number.replies;
  if (id === undefined) throw new Error("the kernel gave the host's namespace no number");
  return id;
}
