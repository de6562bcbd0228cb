// The networks of a container as multus tells them in the annotation k8s.v1.cni.cncf.io/network-status, from what is
// written down about them: the runtime knows of one of them only.
import { type Dns, hasDns } from "../cni/result.ts";
import type { KernelObject } from "../ledger/attachments.ts";
import { type AddedNetwork, delegatesIn, resultOf } from "./delegated-network.ts";

/** One network of a container; keys as in the annotation. */
export interface NetworkStatus {
  readonly name: string;
  readonly interface: string;
  readonly ips: readonly string[];
  readonly mac: string;
  /** True if the default route leads over it. */
  readonly default: boolean;
  readonly dns: Dns;
}

/** Returns the networks among the objects of an entry, in the order of their ADDs; one whose ADD has not ended has none. */
export function networkStatus(objects: readonly KernelObject[]): NetworkStatus[] {
  return delegatesIn(objects, () => undefined)
    .filter(({ result }) => result !== undefined)
    .map(statusOf);
}

function statusOf(added: AddedNetwork): NetworkStatus {
  const { list, ifname } = added;
  const { interfaces, ips, routes, dns } = resultOf(added);
  return {
    name: list.name,
    interface: ifname,
    ips: ips.map(({ address }) => address.split("/")[0] ?? ""),
    mac: interfaces.find(({ name, sandbox }) => name === ifname && (sandbox ?? "") !== "")?.mac ?? "",
    default: routes.some(({ dst, table }) => table === undefined && /^(?:0\.0\.0\.0|::)\/0$/.test(dst)),
    dns: hasDns(dns) ? dns : {},
  };
}
