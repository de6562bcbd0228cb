// The words of a map, the same in every form that it is drawn in.
import type { SeenInterface, SeenRoute } from "../../net/inspection.ts";
import type { MapImpairment, MapPod, PodInterface } from "./node-map.ts";

/** Returns a route as ip(8) shows it. */
export function routeText({ destination, gateway, device }: SeenRoute, withDevice: boolean): string {
  const via = gateway === undefined ? "" : ` via ${gateway}`;
  return `${destination}${via}${withDevice ? ` dev ${device}` : ""}`;
}

/** Returns a rate as people say it: 8 Mbit/s. */
function rateText(bitsPerSecond: bigint): string {
  let value = Number(bitsPerSecond);
  for (const unit of ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"]) {
    if (value < 1000) return `${Number(value.toFixed(1))} ${unit}`;
    value /= 1000;
  }
  return `${Number(value.toFixed(1))} Tbit/s`;
}

/** Returns what is to be said about an interface of the host beside its name. */
export function linkText({ kind, up, addresses, mtu }: SeenInterface): string {
  return [kind, ...(up ? [] : ["down"]), ...addresses, `mtu ${mtu}`].join(" ");
}

/** Returns a pod's name with what is special about it. */
export function podText({ name, state }: MapPod): string {
  return state === "alive" ? name : state === "gone" ? `${name} (gone)` : `${name} (not Warren's)`;
}

function impairmentText({ way, peer, rules }: MapImpairment): string {
  const verb = way === "egress" ? "sends" : "receives";
  const whom = peer === undefined ? "" : way === "egress" ? ` to ${peer}` : ` from ${peer}`;
  return `${verb}${whom} with ${rules}`;
}

/** Returns what is to be said about an interface of a pod, one sentence a line: its routes, limits, impairments and ports. */
export function interfaceLines({ routes, receives, sends, impairments, ports }: PodInterface): string[] {
  // where the pod's own subnet is, its address says already
  const ways = routes.filter(({ gateway }) => gateway !== undefined).map((route) => routeText(route, false));
  const limits = [
    ...(receives === undefined ? [] : [`receives ${rateText(receives)}`]),
    ...(sends === undefined ? [] : [`sends ${rateText(sends)}`]),
  ];
  return [
    ...ways,
    ...(limits.length === 0 ? [] : [limits.join(", ")]),
    ...impairments.map(impairmentText),
    ...ports.map((port) => `port ${port}`),
  ];
}
