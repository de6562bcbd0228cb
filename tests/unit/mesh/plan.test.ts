// What the mesh on a node consists of, by its configuration: names, addresses and MTUs, before a kernel is asked.
import { expect, test } from "bun:test";
import { formatAddress, parseAddress } from "../../../src/ip/address.ts";
import { formatPrefix } from "../../../src/ip/prefix.ts";
import { conflistText } from "../../../src/mesh/conflist.ts";
import { type MeshPlan, planOf } from "../../../src/mesh/plan.ts";
import { parseMeshSettings } from "../../../src/mesh/settings.ts";

function plan(said: object, address: string, mtu = 1500): MeshPlan {
  const document = { clusterCIDRs: ["10.244.0.0/16"], nodeCIDRs: ["10.244.7.0/24"], ...said };
  const settings = parseMeshSettings(document, "mesh.json");
  const blocks = settings.nodes.kind === "fixed" ? settings.nodes.blocks : [];
  const parsed = parseAddress(address);
  if (parsed === undefined) throw new Error(`${address} is no address`);
  return planOf(settings, blocks, { address: parsed, mtu });
}

test("S3-W13 the first two addresses of a block are the bridge's and the router's, and pods begin with the third", () => {
  const dual = plan(
    { clusterCIDRs: ["10.244.0.0/16", "fd00:244::/48"], nodeCIDRs: ["10.244.7.0/24", "fd00:244:0:7::/64"] },
    "192.0.2.1",
  );
  expect(
    dual.blocks.map(({ subnet, gateway, router, firstPod, cluster }) => [
      formatPrefix(subnet),
      ...[gateway, router, firstPod].map(formatAddress),
      formatPrefix(cluster),
    ]),
  ).toEqual([
    ["10.244.7.0/24", "10.244.7.1", "10.244.7.2", "10.244.7.3", "10.244.0.0/16"],
    ["fd00:244:0:7::/64", "fd00:244:0:7::1", "fd00:244:0:7::2", "fd00:244:0:7::3", "fd00:244::/48"],
  ]);
  const [plugin] = JSON.parse(conflistText(dual, "/etc/warren/mesh.json")).plugins;
  expect(plugin.ipam.ranges).toEqual([
    [{ subnet: "10.244.7.0/24", rangeStart: "10.244.7.3", gateway: "10.244.7.1" }],
    [{ subnet: "fd00:244:0:7::/64", rangeStart: "fd00:244:0:7::3", gateway: "fd00:244:0:7::1" }],
  ]);
});

test("S3-W09 the MTU is what the tunnel leaves of the way between the nodes", () => {
  const mtus = (["wireguard", "vxlan"] as const).map((backend) =>
    ["192.0.2.1", "2001:db8::1"].map((address) => plan({ backend }, address).mtu),
  );
  expect(mtus).toEqual([
    [1440, 1420],
    [1450, 1430],
  ]);
  expect(plan({ backend: "vxlan" }, "192.0.2.1", 9000).mtu).toBe(8950);
  const dual = { clusterCIDRs: ["10.244.0.0/16", "fd00::/48"], nodeCIDRs: ["10.244.7.0/24", "fd00::/64"] };
  expect(() => plan(dual, "192.0.2.1", 1300)).toThrow(
    "the way to other nodes takes packets of 1300 bytes, which leaves 1240 for pods",
  );
});

test("everything is called by the network, the namespace and the backend", () => {
  const { alias, netns, pair, tunnel, record } = plan({ network: "blue", netns: "tun" }, "192.0.2.1");
  expect([alias, netns.path, pair.outer, tunnel.name, record]).toEqual([
    "warren mesh blue",
    "/var/run/netns/tun",
    "vethtun",
    "wg0",
    "/var/lib/cni/warren/mesh-blue.json",
  ]);
});

test("vxlans of nodes with neighbouring blocks have hardware addresses of their own", () => {
  const addresses = new Set<string>();
  for (let number = 0; number < 256; number++) {
    const cluster = { clusterCIDRs: ["fd00:244::/48"], backend: "vxlan" };
    const block = `fd00:244:0:${number.toString(16)}::/64`;
    addresses.add(plan({ ...cluster, nodeCIDRs: [block] }, "192.0.2.1").tunnel.hardwareAddress);
    addresses.add(plan({ nodeCIDRs: [`10.244.${number}.0/24`] }, "192.0.2.1").tunnel.hardwareAddress);
  }
  expect(addresses.size).toBe(512);
  expect([...addresses].every((one) => one.startsWith("0e:58:"))).toBe(true);
});
