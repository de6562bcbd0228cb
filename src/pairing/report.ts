// A pod's links as the result of its ADD tells of them. An end that is there has its MTU, addresses and routes; one that is
// still to come has its name and the hardware address that it will have.
import type { Result } from "../cni/result.ts";
import { formatAddress } from "../ip/address.ts";
import { formatPrefix, parsePrefix } from "../ip/prefix.ts";
import type { Owner } from "../ledger/owner.ts";
import type { Connection } from "../net/connection.ts";
import { findLink } from "../net/veth.ts";
import { hardwareAddressOf, routesIn } from "./ends.ts";
import { formatRoute, type PodPlan } from "./link-plan.ts";
import { sideOf } from "./link-row.ts";
import type { PairLinkRow } from "./links.ts";
import type { Joined } from "./membership.ts";

/** Returns `base` with the links of a pod: those that are made, then those that wait. */
export function withLinks(
  base: Result,
  { made, waiting }: Joined,
  { plan, owner, netns, inside }: ReportedPod,
): Result {
  const interfaces = [...base.interfaces];
  const ips = [...base.ips];
  const routes = [...base.routes];
  const ownSide = (link: PairLinkRow) => sideOf(link, link.primaryName === plan.podName ? "primary" : "pair");
  const macOf = (name: string) => hardwareAddressOf({ ...owner, name });
  for (const { link } of made) {
    const { ifname, addresses } = ownSide(link);
    const there = findLink(inside, ifname);
    interfaces.push({
      name: ifname,
      mac: there?.address ?? macOf(ifname),
      ...(there === undefined ? {} : { mtu: there.mtu }),
      sandbox: netns,
    });
    const prefixes = addresses.split(",").flatMap((one) => parsePrefix(one) ?? []);
    for (const prefix of prefixes)
      ips.push({ interface: interfaces.length - 1, address: formatPrefix(prefix) });
    for (const { destination, gateway } of routesIn(plan.routes.map(formatRoute).join(", "), prefixes)) {
      routes.push({ dst: formatPrefix(destination), gw: formatAddress(gateway) });
    }
  }
  for (const { link } of waiting) {
    const { ifname } = ownSide(link);
    interfaces.push({ name: ifname, mac: macOf(ifname), sandbox: netns });
  }
  return { ...base, interfaces, ips, routes };
}

/** Whose links are reported. */
export interface ReportedPod {
  readonly plan: PodPlan;
  readonly owner: Owner;
  readonly netns: string;
  readonly inside: Connection;
}
