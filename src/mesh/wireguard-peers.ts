// Which nodes of a mesh a wireguard device can have as peers, and what of each it is told. A key and an endpoint are one node's
// alone: of nodes that share one the kernel would take the last, and silently so. Pure.
import { sameAddress } from "../ip/address.ts";
import type { WireguardPeer } from "../net/wireguard.ts";
import { isPublicKey } from "../net/wireguard-key.ts";
import type { Endpoint, MeshNode } from "./node.ts";
import type { MeshPlan } from "./plan.ts";
import type { UnfitNode } from "./tunnel.ts";

/** Keeps the way through address translators open, and tells by the handshakes that a node is there. */
const KEEPALIVE_SECONDS = 25;

/** Behind one address there can be several nodes, each with a port of its own. */
function isOwnEndpoint({ tunnel }: MeshPlan, { address, port }: Endpoint): boolean {
  return sameAddress(address, tunnel.address) && port === tunnel.port;
}

/** Returns the nodes that the tunnel can lead to, as it has to know them, and the others with what is wrong with each. */
export function wireguardPeers(
  plan: MeshPlan,
  nodes: readonly MeshNode[],
): { readonly fit: ReadonlyMap<MeshNode, WireguardPeer>; readonly unfit: readonly UnfitNode[] } {
  const fit = new Map<MeshNode, WireguardPeer>();
  const unfit: UnfitNode[] = [];
  const families = new Set(plan.blocks.map(({ family }) => family));
  const byKey = new Map<string, string>();
  for (const node of nodes) {
    const { name, backend, publicKey, endpoint } = node;
    const other = byKey.get(publicKey ?? "");
    if (backend !== "wireguard") unfit.push({ name, reason: `it uses ${backend}, this node wireguard` });
    else if (publicKey === plan.tunnel.key?.publicKey) unfit.push({ name, reason: "it has this node's key" });
    else if (isOwnEndpoint(plan, endpoint)) unfit.push({ name, reason: "it has this node's address" });
    else if (other !== undefined) unfit.push({ name, reason: `it has the key of node ${other}` });
    else if (publicKey !== undefined && !isPublicKey(publicKey)) {
      unfit.push({ name, reason: `its public key is none: ${JSON.stringify(publicKey)}` });
    } else if (publicKey !== undefined) {
      byKey.set(publicKey, name);
      fit.set(node, {
        ...{ publicKey, endpoint: node.endpoint, keepaliveSeconds: KEEPALIVE_SECONDS },
        allowedPrefixes: node.blocks.filter(({ address: { family } }) => families.has(family)),
      });
    }
  }
  return { fit, unfit };
}
