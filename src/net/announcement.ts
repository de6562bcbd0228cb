// Announcing an attachment's addresses, so that neighbours who remember somebody else under one of them learn the new
// hardware address at once, and not when their memory fades. The kernel does it: told the hardware address that the
// link has already, it sends a gratuitous ARP for each IPv4 address and an unsolicited neighbour advertisement for
// each IPv6 one. That takes 0.05 ms, where a packet socket of our own costs 8 to 16 ms when it is closed, because
// the kernel then waits for all processors.
import { setLink } from "../netlink/link.ts";
import { ignoring } from "../netlink/message.ts";
import type { Connection } from "./connection.ts";
import { preferSetting } from "./sysctl.ts";

/** Lets the kernel announce the addresses of an interface. Call it in the thread's window into its namespace. */
export function allowAnnouncements(name: string): void {
  preferSetting(`ipv4/conf/${name}/arp_notify`, 1);
  preferSetting(`ipv6/conf/${name}/ndisc_notify`, 1);
}

/**
 * Announces every address of an interface that `configureInterface` set up, once. Call it when what the interface
 * sends gets through: its bridge port forwards, the link beneath is up. Throws NetlinkError.
 */
export function announceAddresses(
  inside: Connection,
  link: { readonly index: number; readonly address: string },
): void {
  inside.execute([
    // older kernels ask the hardware beneath, which may refuse while it is up; then neighbours find out late
    ignoring(setLink(link.index, { address: link.address }), "EBUSY", "EOPNOTSUPP"),
  ]);
}
