// A connection to the kernel's routing tables in one network namespace: the host's, or a container's. It is
// opened inside the namespace and keeps working there when the thread has left, so work never runs "inside". And one
// to its nf_tables, which is opened once.
import { NetlinkSocket } from "../netlink/socket.ts";
import { statFile } from "../sys/files.ts";
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

const netfilters = new Map<bigint, NetlinkSocket>();

/**
 * Connects to the packet filter of the namespace that this process is in; throws SystemError. A process has one
 * such connection to a namespace, and its end closes it: a close waits, for 15 ms and more, until the kernel has freed
 * what anybody deleted, and whoever closes one inside a transaction lets all others wait for the store as long.
 */
export function connectNetfilter(): NetlinkSocket {
  const namespace = statFile("/proc/thread-self/ns/net")?.inode ?? 0n;
  const known = netfilters.get(namespace);
  if (known !== undefined) return known;
  const netfilter = NetlinkSocket.open("netfilter");
  netfilters.set(namespace, netfilter);
  return netfilter;
}
