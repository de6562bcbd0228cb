// The gateways of containers on a bridge: which they are by what the IPAM plugin gave, their addresses on the bridge, and the
// routes that lead to them.
import { CniError, ErrorCode, stateDiffers } from "../cni/error.ts";
import type { Result, Route } from "../cni/result.ts";
import { formatAddress, sameAddress } from "../ip/address.ts";
import { defaultGateway, formatPrefix, type Prefix } from "../ip/prefix.ts";
import { isClaimed } from "../ledger/attachments.ts";
import { addressesOf, ensureGateway } from "../net/bridge.ts";
import type { Connection } from "../net/connection.ts";
import { enableForwarding, forwards } from "../net/forwarding.ts";
import type { InterfaceAddress } from "../net/interface.ts";
import type { Link } from "../net/veth.ts";
import { openStore } from "../store/sqlite.ts";
import { addressesIn } from "./container-interface.ts";

/** What a config says of gateways. */
export interface GatewayPlan {
  readonly dataDir: string;
  readonly isGateway: boolean;
  readonly isDefaultGateway: boolean;
  readonly forceAddress: boolean;
}

/** The addresses that the IPAM plugin gave, with the gateway that a gateway bridge has where it named none. */
export function addressesFrom(leased: Result, plan: GatewayPlan): InterfaceAddress[] {
  return addressesIn(leased.ips).map(({ prefix, gateway: named }) => {
    const gateway = named ?? (plan.isGateway ? defaultGateway(prefix) : undefined);
    if (gateway !== undefined && sameAddress(gateway, prefix.address)) {
      throw new CniError(
        ErrorCode.invalidConfig,
        `the container would have its own gateway's address ${formatPrefix(prefix)}`,
        'say which address is the gateway by "gateway" in ipam, so that no container gets it',
      );
    }
    return { prefix, gateway };
  });
}

/** The routes that the IPAM plugin gave, and the default ones that a default gateway adds where it gave none. */
export function routesFrom(
  leased: Result,
  addresses: readonly InterfaceAddress[],
  plan: GatewayPlan,
): Route[] {
  const routes = [...leased.routes];
  if (!plan.isDefaultGateway) return routes;
  for (const { gateway } of addresses) {
    if (gateway === undefined) continue;
    const dst = gateway.family === 4 ? "0.0.0.0/0" : "::/0";
    if (routes.some((route) => route.dst === dst && route.gw !== undefined)) continue;
    routes.push({ dst, gw: formatAddress(gateway) });
  }
  return routes;
}

/** Gives the link the gateway addresses that it lacks, and makes the host forward. */
export async function ensureGateways(
  host: Connection,
  link: Link,
  addresses: readonly InterfaceAddress[],
  { dataDir, forceAddress: force }: GatewayPlan,
): Promise<void> {
  const gateways = addresses.flatMap(({ prefix, gateway }) =>
    gateway === undefined ? [] : [{ address: gateway, length: prefix.length }],
  );
  const present = new Set(addressesOf(host, link.index).map(formatPrefix));
  // after the first ADD they are all there, and nobody has to be asked whose the others are
  if (gateways.some((gateway) => !present.has(formatPrefix(gateway)))) {
    const ours = await gatewaysOfPods(link, [...present], dataDir);
    const isOurs = (prefix: Prefix) => ours.has(formatPrefix(prefix));
    for (const gateway of gateways) ensureGateway(host, link, gateway, { force, isOurs });
  }
  for (const { address } of gateways) enableForwarding(address.family);
}

/**
 * Returns those addresses of a link that pods of any of our networks have as their gateway. A network may have
 * several subnets, and their gateways stand side by side; any other address is somebody else's.
 */
async function gatewaysOfPods(
  link: Link,
  present: readonly string[],
  dataDir: string,
): Promise<ReadonlySet<string>> {
  return openStore(dataDir).read(async (store) => {
    const ours = new Set<string>();
    for (const prefix of present) {
      if (await isClaimed(store, "gateway", gatewayName(link.name, prefix))) ours.add(prefix);
    }
    return ours;
  });
}

/** Returns the name of a gateway address in the ledger. */
export function gatewayName(link: string, prefix: string): string {
  return `${link} ${prefix}`;
}

/** Throws CniError 103 for a gateway address that the link lacks, and where the host does not forward. */
export function checkGateways(host: Connection, link: Link, addresses: readonly InterfaceAddress[]): void {
  const present = new Set(addressesOf(host, link.index).map(formatPrefix));
  for (const { prefix, gateway } of addresses) {
    if (gateway === undefined) continue;
    const wanted = formatPrefix({ address: gateway, length: prefix.length });
    if (!present.has(wanted)) throw stateDiffers(`${link.name} lacks the gateway address ${wanted}`);
    if (!forwards(gateway.family)) throw stateDiffers(`the host does not forward IPv${gateway.family}`);
  }
}
