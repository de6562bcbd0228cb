// The mesh over wireguard: every packet between nodes is encrypted, and comes from whom it says. Each node is a peer whose
// allowed prefixes are its blocks; what goes to a block of nobody the device refuses by itself.
import { CniError, ErrorCode } from "../cni/error.ts";
import { linksWithAlias, removeLinkNumber, reshape, shapeProblem } from "../net/link-shape.ts";
import { findLink, type Link } from "../net/veth.ts";
import {
  createWireguard,
  differsInEndpointOnly,
  peerChanges,
  probeWireguard,
  startWireguard,
  WireguardControl,
  type WireguardDevice,
} from "../net/wireguard.ts";
import type { MeshPlan } from "./plan.ts";
import type { Inside, Site } from "./site.ts";
import type { Tunnel } from "./tunnel.ts";
import { wireguardPeers } from "./wireguard-peers.ts";

/** Returns the tunnel of a plan whose backend is wireguard. */
export function wireguardTunnel(plan: MeshPlan): Tunnel {
  const { name, port, key } = plan.tunnel;
  const shape = { mtu: plan.mtu, alias: plan.alias };

  function problemOf({ netns }: Inside, link: Link): string | undefined {
    if (link.kind !== "wireguard") return `is a ${link.kind || "physical interface"}, no wireguard device`;
    using control = WireguardControl.open(netns);
    const device = deviceOf(control);
    if (device.publicKey !== key?.publicKey) return "has another key";
    if (device.listenPort !== port) return `has the port ${device.listenPort}, not ${port}`;
    return shapeProblem(link, shape);
  }

  function deviceOf(control: WireguardControl): WireguardDevice {
    const device = control.read(name);
    if (device === undefined) throw new Error(`interface ${name} was made and is gone`);
    return device;
  }

  return {
    refusesUnknown: true,

    probe: () => probeWireguard(),

    problem(site) {
      const inside = site.inside();
      const link = inside && findLink(inside.connection, name);
      return inside === undefined || link === undefined ? "is missing" : problemOf(inside, link);
    },

    mend(site) {
      if (key === undefined) throw new CniError(ErrorCode.ioFailure, `there is no key in ${plan.keyFile}`);
      const { netns, connection } = site.requireInside();
      let link = findLink(connection, name);
      if (link !== undefined && link.kind !== "wireguard") {
        removeLinkNumber(connection, link.index);
        link = undefined;
      }
      if (link === undefined) {
        // one that was taken out of its namespace has the port still
        for (const stranded of linksWithAlias(site.host, plan.alias)) {
          if (stranded.kind === "wireguard") removeLinkNumber(site.host, stranded.index);
        }
        link = createWireguard(site.host, netns, connection, { name, mtu: plan.mtu, alias: plan.alias });
      }
      using control = WireguardControl.open(netns);
      control.setIdentity(name, deviceOf(control), { ...key, listenPort: port });
      startWireguard(connection, link.index, port);
      reshape(connection, findLink(connection, name) ?? link, shape);
    },

    sync(site, nodes) {
      const { netns } = site.requireInside();
      const { fit, unfit } = wireguardPeers(plan, nodes);
      using control = WireguardControl.open(netns);
      const changes = peerChanges(deviceOf(control), [...fit.values()]);
      control.changePeers(name, changes);
      const names = new Map([...fit].map(([node, { publicKey }]) => [publicKey, node.name]));
      const named = (keys: readonly string[]) => keys.map((publicKey) => names.get(publicKey) ?? publicKey);
      return {
        added: named(changes.added.map(({ publicKey }) => publicKey)),
        changed: named(changes.changed.map(({ publicKey }) => publicKey)),
        ...{ kept: named(changes.kept), removed: changes.removed, unfit },
      };
    },

    peers(site, nodes) {
      const { fit } = wireguardPeers(plan, nodes);
      const device = presentDevice(site, name);
      const changes = device && peerChanges(device, [...fit.values()]);
      const present = new Map(device?.peers.map((peer) => [peer.publicKey, peer]));
      // one that has spoken from another address of its own is reached there: nothing is missing of it
      const roamed = new Set(
        changes?.changed
          .filter(differsInEndpointOnly)
          .map(({ publicKey }) => publicKey)
          .filter((publicKey) => present.get(publicKey)?.lastHandshakeMs !== undefined),
      );
      return nodes.map((node) => {
        const publicKey = fit.get(node)?.publicKey ?? "";
        const peer = present.get(publicKey);
        return {
          name: node.name,
          known: roamed.has(publicKey) || changes?.kept.includes(publicKey) === true,
          lastHandshakeMs: peer?.lastHandshakeMs,
          receivedBytes: peer?.receivedBytes,
          sentBytes: peer?.sentBytes,
        };
      });
    },
  };
}

function presentDevice(site: Site, name: string): WireguardDevice | undefined {
  const inside = site.inside();
  if (inside === undefined || findLink(inside.connection, name)?.kind !== "wireguard") return undefined;
  using control = WireguardControl.open(inside.netns);
  return control.read(name);
}
