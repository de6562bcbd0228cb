// The mesh over vxlan, for kernels without wireguard: packets in the clear, in UDP. For each node there is a forwarding
// entry, a permanent neighbour that stands for its router, and a route to its block; nothing is learnt, nothing flooded.
import { CniError, ErrorCode } from "../cni/error.ts";
import { formatAddress, sameAddress } from "../ip/address.ts";
import { probeLinkDriver } from "../net/link-driver.ts";
import {
  knownAddresses,
  linksWithAlias,
  removeLinkNumber,
  reshape,
  shapeProblem,
} from "../net/link-shape.ts";
import { inNetns } from "../net/netns.ts";
import { ensureIpv6, hasIpv6 } from "../net/sysctl.ts";
import { findLink, type Link } from "../net/veth.ts";
import { createVxlan, vxlanOf } from "../net/vxlan.ts";
import {
  brokenVxlanPeers,
  syncVxlanPeers,
  type VxlanPeer,
  vxlanHardwareAddress,
} from "../net/vxlan-peers.ts";
import type { MeshNode } from "./node.ts";
import { type MeshPlan, routerOf } from "./plan.ts";
import type { Site } from "./site.ts";
import type { Tunnel, UnfitNode } from "./tunnel.ts";

/** Returns the tunnel of a plan whose backend is vxlan. */
export function vxlanTunnel(plan: MeshPlan): Tunnel {
  const { name, address, port, vni, hardwareAddress } = plan.tunnel;
  const shape = { mtu: plan.mtu, alias: plan.alias };

  /** What can't be changed in a device that is there. */
  function birthProblem(link: Link): string | undefined {
    const found = vxlanOf(link);
    if (found === undefined) return `is a ${link.kind || "physical interface"}, no vxlan`;
    if (found.vni !== vni) return `has the VNI ${found.vni}, not ${vni}`;
    if (found.port !== port) return `has the port ${found.port}, not ${port}`;
    if (found.local !== formatAddress(address)) return `sends from ${found.local || "anywhere"}`;
    if (found.remote !== "" || found.learns) return "learns or floods";
    return link.address === hardwareAddress ? undefined : `has the hardware address ${link.address}`;
  }

  function device(site: Site): Link | undefined {
    const inside = site.inside();
    return inside && findLink(inside.connection, name);
  }

  return {
    refusesUnknown: false,

    probe(site) {
      probeLinkDriver(site.host, "vxlan");
      if (knownAddresses(site.host).some(({ prefix }) => sameAddress(prefix.address, address))) return;
      throw new CniError(
        ErrorCode.invalidConfig,
        `no interface of this node has the address ${formatAddress(address)}`,
        'a vxlan sends from it: correct "address" in the configuration of the mesh',
      );
    },

    problem(site) {
      const link = device(site);
      if (link === undefined) return "is missing";
      return birthProblem(link) ?? shapeProblem(link, shape);
    },

    mend(site) {
      const inside = site.requireInside();
      let link = findLink(inside.connection, name);
      if (link !== undefined && birthProblem(link) !== undefined) {
        removeLinkNumber(inside.connection, link.index);
        link = undefined;
      }
      if (link === undefined) {
        // one that was taken out of its namespace has the number and the port still
        for (const stranded of linksWithAlias(site.host, plan.alias)) {
          if (stranded.kind === "vxlan") removeLinkNumber(site.host, stranded.index);
        }
        link = createVxlan(site.host, inside.netns, inside.connection, {
          ...{ name, vni, port, mtu: plan.mtu, alias: plan.alias },
          ...{ local: address, address: hardwareAddress },
        });
      }
      inNetns(inside.netns, () => {
        if (plan.blocks.some(({ family }) => family === 6) && hasIpv6()) ensureIpv6(name);
      });
      reshape(inside.connection, findLink(inside.connection, name) ?? link, shape);
    },

    sync(site, nodes) {
      const { connection } = site.requireInside();
      const link = findLink(connection, name);
      if (link === undefined) throw new Error(`interface ${name} was made and is gone`);
      const { fit, unfit } = sorted(plan, nodes);
      const change = syncVxlanPeers(connection, link.index, port, [...fit.values()]);
      const names = new Map([...fit].map(([node, peer]) => [peer, node.name]));
      const named = (peers: readonly VxlanPeer[]) => peers.map((peer) => names.get(peer) ?? "");
      return {
        ...{ added: named(change.added), changed: named(change.changed), kept: named(change.kept) },
        ...{ removed: change.removed, unfit },
      };
    },

    peers(site, nodes) {
      const { fit } = sorted(plan, nodes);
      const inside = site.inside();
      const link = inside && findLink(inside.connection, name);
      const broken =
        inside === undefined || link === undefined
          ? undefined
          : new Set(brokenVxlanPeers(inside.connection, link.index, port, [...fit.values()]));
      return nodes.map((node) => {
        const peer = fit.get(node);
        return {
          name: node.name,
          known: broken !== undefined && peer !== undefined && !broken.has(peer),
          ...{ lastHandshakeMs: undefined, receivedBytes: undefined, sentBytes: undefined },
        };
      });
    },
  };
}

/** Returns the nodes that the tunnel can lead to, as it has to know them, and the others. */
function sorted(
  plan: MeshPlan,
  nodes: readonly MeshNode[],
): { readonly fit: ReadonlyMap<MeshNode, VxlanPeer>; readonly unfit: readonly UnfitNode[] } {
  const fit = new Map<MeshNode, VxlanPeer>();
  const unfit: UnfitNode[] = [];
  const families = new Set(plan.blocks.map(({ family }) => family));
  for (const node of nodes) {
    const { name, backend, endpoint } = node;
    const [first] = node.blocks;
    const own = plan.tunnel.address.family;
    if (backend !== "vxlan") unfit.push({ name, reason: `it uses ${backend}, this node vxlan` });
    else if (endpoint.address.family !== own) {
      const reason = `its address ${formatAddress(endpoint.address)} is none of IPv${own}, as this node's`;
      unfit.push({ name, reason });
    } else if (sameAddress(endpoint.address, plan.tunnel.address)) {
      unfit.push({ name, reason: "it has this node's address" });
    } else if (first !== undefined) {
      fit.set(node, {
        hardwareAddress: node.hardwareAddress ?? vxlanHardwareAddress(routerOf(first)),
        ...{ endpoint: endpoint.address, port: endpoint.port },
        subnets: node.blocks
          .filter(({ address: { family } }) => families.has(family))
          .map((subnet) => ({ subnet, router: routerOf(subnet) })),
      });
    }
  }
  return { fit, unfit };
}
