// A connection to the kernel's routing tables in one network namespace: the host's, or a container's. It is
// opened inside the namespace and keeps working there when the thread has left, so work never runs "inside".
import { NetlinkSocket } from "../netlink/socket.ts";
import { inNetns, type Netns } from "./netns.ts";

export type { NetlinkSocket as Connection };

/** Connects to the namespace that this process is in; throws SystemError. */
export function connectHost(): NetlinkSocket {
  return NetlinkSocket.open("route");
}

/** Connects to a container's namespace; throws SystemError. */
export function connectInside(netns: Netns): NetlinkSocket {
  return inNetns(netns, () => NetlinkSocket.open("route"));
}
