// Port maps on 127.0.0.1: a packet from there may leave the host only where the interface towards the pod says so
// (route_localnet). IPv6 knows no such setting, so ::1 has no port maps.
import { type Address, addressBytes } from "../ip/address.ts";
import { getLink } from "../netlink/link.ts";
import { isNetlinkError } from "../netlink/message.ts";
import { lookUpRoute } from "../netlink/route.ts";
import type { Connection } from "./connection.ts";
import { ensureSetting, readSetting } from "./sysctl.ts";

/** Returns the setting of the interface by which the host's packets go to a pod; undefined where none do. */
function settingTowards(host: Connection, pod: Address): string | undefined {
  try {
    const route = host.get(lookUpRoute(addressBytes(pod)));
    const [path] = route?.paths ?? [];
    const link = path === undefined ? undefined : host.get(getLink(path.outputIndex));
    return link === undefined ? undefined : `ipv4/conf/${link.name}/route_localnet`;
  } catch (error) {
    if (isNetlinkError(error, "ENETUNREACH", "EHOSTUNREACH")) return undefined;
    throw error;
  }
}

/** Lets packets from 127.0.0.1 out to a pod; false if no route leads there. Throws NetlinkError or SystemError. */
export function letLoopbackOut(host: Connection, pod: Address): boolean {
  const setting = settingTowards(host, pod);
  if (setting !== undefined) ensureSetting(setting, 1);
  return setting !== undefined;
}

/** True if packets from 127.0.0.1 may go out to a pod, or no route leads there at all. */
export function isLoopbackLetOut(host: Connection, pod: Address): boolean {
  const setting = settingTowards(host, pod);
  return setting === undefined || readSetting(setting) === "1";
}
