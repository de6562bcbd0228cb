// The catalogue: every plugin in the executable, by the name that chooses it. What a container on a bridge takes is there
// at once, for a call of the one usually needs the other. All else comes in further pieces: other interfaces, what stands
// behind them in most chains and in few, what hands attachments on, a mesh of nodes, addresses of DHCP servers. A call that
// needs none does not pay for them.
import { type ChainedPiece, fused } from "../attachment/fused.ts";
import type { Plugin } from "../cni/plugin.ts";
import { bridge } from "./bridge.ts";
import { hostLocal } from "./host-local.ts";
import { ipam } from "./ipam.ts";
import type { PluginName } from "./names.ts";
import { fixedAddresses } from "./static.ts";

const interfaces = () => import("./interfaces.ts");
const chained = () => import("./chained.ts");
const seldomChained = () => import("./chained-seldom.ts");
const delegating = () => import("./delegating.ts");
const meshed = () => import("./mesh.ts");
const leasing = () => import("./dhcp.ts");

/** What an interface plugin can have in its own process, in the order in which it is added. */
export const CHAIN: readonly ChainedPiece[] = [
  { name: "portmap", capability: "portMappings", load: async () => (await chained()).portmap },
  {
    name: "bandwidth",
    capability: "bandwidth",
    isOnPair: true,
    load: async () => (await chained()).bandwidth,
  },
  { name: "firewall", load: async () => (await chained()).firewall },
  {
    name: "tuning",
    uniqueKeys: ["sysctl", "args.cni.sysctl"],
    load: async () => (await chained()).tuning,
  },
  { name: "netem", load: async () => (await seldomChained()).netem },
  { name: "mesh", statusOnly: true, load: async () => (await meshed()).mesh },
];

/** Returns the plugin of this name, which may have to be loaded. */
export async function loadPlugin(name: PluginName): Promise<Plugin> {
  switch (name) {
    case "bridge":
      return fused(bridge, CHAIN);
    case "ipam":
      return ipam;
    case "host-local":
      return hostLocal;
    case "static":
      return fixedAddresses;
    case "dhcp":
      return (await leasing()).dhcp;
    case "macvlan":
      return fused((await interfaces()).macvlan, CHAIN);
    case "ptp":
      return fused((await interfaces()).ptp, CHAIN);
    case "dummy":
    case "loopback":
    case "ipvlan":
    case "tap":
    case "vlan":
      return (await interfaces())[name];
    case "host-device":
      return (await interfaces()).hostDevice;
    case "delegates":
    case "pair":
      return (await delegating())[name];
    case "mesh":
      return (await meshed()).mesh;
    case "portmap":
    case "bandwidth":
    case "firewall":
    case "tuning":
      return (await chained())[name];
    case "netem":
    case "lat":
    case "sbr":
    case "vrf":
    case "quickack":
    case "rewrite":
    case "trace":
      return (await seldomChained())[name];
  }
}
