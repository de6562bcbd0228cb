// The same configs given to the reference plugins and to ours, where only this kernel can run them: VLANs of bridge,
// and a macvlan on an interface of a VLAN. Results and kernel come out the same.
import { type Config, PLUGIN_FOLDER, succeed } from "../support/plugins.ts";
import type { Printed } from "../support/printed.ts";
import { Sandbox } from "../support/sandbox.ts";
import { globalAddressesOf, routesOf, seenLink } from "../support/witness.ts";
import { type Case, ip, pod, REFERENCE_FOLDER, same } from "./case.ts";

const IPAM = { type: "host-local", ranges: [[{ subnet: "10.1.0.0/24" }], [{ subnet: "fd00:1::/64" }]] };
const BRIDGE = { type: "bridge", bridge: "br0" };

/** Configs in the reference's own words. */
const CONFIGS: readonly Config[] = [
  { ...BRIDGE, vlan: 100 },
  { ...BRIDGE, vlan: 100, isGateway: true },
  { ...BRIDGE, vlan: 100, isDefaultGateway: true, preserveDefaultVlan: true },
  { ...BRIDGE, vlanTrunk: [{ minID: 10, maxID: 12 }, { id: 20 }] },
  { ...BRIDGE, vlan: 5, vlanTrunk: [{ id: 20 }] },
  { type: "macvlan", master: "trunk.100", mode: "bridge" },
  { type: "macvlan", master: "trunk.100", mode: "passthru", mtu: 1400 },
];

/** Ends of pairs have names that each of the two makes up in its own way. */
function plainName(name: string): string {
  return /^(veth|vlan)[0-9a-f]+$/.test(name) ? "an end of a pair" : name;
}

/** Adds a pod with the plugins in `folder` and returns what can be seen of it then. */
async function seen(config: Config, folder: string): Promise<Printed> {
  await using host = await Sandbox.create();
  await ip(host, [
    "link add trunk up type dummy",
    "link add link trunk name trunk.100 type vlan id 100",
    "link set trunk.100 up",
  ]);
  const target = await pod(host, "pod");
  const prefix = folder === REFERENCE_FOLDER ? "" : "warren-";
  const network = {
    ...{ cniVersion: "1.0.0", name: "lab", ...config, type: `${prefix}${config.type}` },
    ipam: { ...IPAM, type: `${prefix}${IPAM.type}`, dataDir: `${host.directory}/leases` },
  };
  const { document } = await succeed(host, "ADD", network, target, folder);
  const names: string[] = document.interfaces.map(({ name }: Printed) => name);
  const inside = await seenLink(host, "eth0", "pod");
  const ports = (await host.json(["bridge", "-json", "vlan", "show"])) as Printed[];
  const gateway = names[3] === undefined ? undefined : await seenLink(host, names[3]);
  return {
    interfaces: document.interfaces.map(({ name, sandbox }: Printed) => [plainName(name), sandbox]),
    ips: document.ips,
    routes: document.routes,
    inside: [globalAddressesOf(inside), inside?.mtu, inside?.linkinfo?.info_data],
    insideRoutes: [await routesOf(host, 4, "pod"), await routesOf(host, 6, "pod")],
    vlans: ports.map(({ ifname, vlans }) => [plainName(ifname), vlans]).sort(),
    gateway: globalAddressesOf(gateway),
  };
}

export const SIDE_BY_SIDE_CASES: readonly Case[] = [
  {
    name: "beside the reference plugins: VLANs of bridge, and macvlans on an interface of a VLAN",
    comparesWithReference: true,
    async run() {
      for (const config of CONFIGS) {
        const [theirs, ours] = await Promise.all([
          seen(config, REFERENCE_FOLDER),
          seen(config, PLUGIN_FOLDER),
        ]);
        same(ours, theirs, JSON.stringify(config));
      }
    },
  },
];
