// The configuration of the mesh: what a file may say, what stands in for what it leaves out, and that every refusal names
// the key, the value and what would be right.
import { expect, test } from "bun:test";
import { describeError } from "../../../src/cni/error.ts";
import { formatPrefix, type Prefix, parsePrefix } from "../../../src/ip/prefix.ts";
import { incompleteText, knownNodes } from "../../../src/mesh/node.ts";
import { parseMeshSettings, readMeshSettings, refuseOwnNetworks } from "../../../src/mesh/settings.ts";

const KEY = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
const LEAST = { clusterCIDRs: ["10.244.0.0/16"], nodeCIDRs: ["10.244.1.0/24"] };

function settingsOf(said: object) {
  return parseMeshSettings({ ...LEAST, ...said }, "mesh.json");
}

function refusalOf(said: object): string {
  try {
    settingsOf(said);
  } catch (error) {
    return describeError(error);
  }
  return "";
}

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(`${text} is no prefix`);
  return parsed;
}

test("the least that a file says, and what stands in for the rest", () => {
  const { clusterCIDRs, nodes, ...rest } = settingsOf({});
  expect(clusterCIDRs.map(formatPrefix)).toEqual(["10.244.0.0/16"]);
  expect(nodes).toEqual({ kind: "fixed", blocks: [prefix("10.244.1.0/24")], peers: [] });
  expect(rest).toEqual({
    network: "mesh",
    nodeMasks: { 4: 24, 6: 64 },
    serviceCIDRs: [],
    backend: "wireguard",
    port: 28_384,
    vni: 1,
    address: undefined,
    bridge: "warren0",
    netns: "wg",
    dataDir: "/var/lib/cni/warren",
    keyFile: "/var/lib/cni/warren/mesh.key",
    conflist: "/etc/cni/net.d/10-warren-mesh.conflist",
    graceSeconds: 3600,
  });
  expect(settingsOf({ backend: "vxlan" }).port).toBe(4789);
  expect(settingsOf({ dataDir: "/srv/warren" }).keyFile).toBe("/srv/warren/mesh.key");
  expect(settingsOf({ nodeCIDRs: null, store: { postgres: {} } }).nodes.kind).toBe("store");
});

test("S3-W14 blocks of both families are taken in either order, and stand with IPv4 first", () => {
  const { nodes, clusterCIDRs } = settingsOf({
    clusterCIDRs: ["fd00:244::/48", "10.244.0.0/16"],
    nodeCIDRs: ["fd00:244:0:1::/64", "10.244.1.0/24"],
  });
  expect(clusterCIDRs.map(formatPrefix)).toEqual(["10.244.0.0/16", "fd00:244::/48"]);
  expect(nodes.kind === "fixed" ? nodes.blocks.map(formatPrefix) : []).toEqual([
    "10.244.1.0/24",
    "fd00:244:0:1::/64",
  ]);
});

test("the sample is a configuration", () => {
  const { backend, nodes } = readMeshSettings(`${import.meta.dir}/../../../conf/mesh.json`);
  expect([backend, nodes.kind]).toEqual(["wireguard", "fixed"]);
  expect(() => readMeshSettings("/nowhere/mesh.json")).toThrow("the configuration of the mesh can't be read");
});

test("S3-I02 ranges that overlap are refused with both named", () => {
  expect(refusalOf({ serviceCIDRs: ["10.96.0.0/12", "10.244.128.0/20"] })).toBe(
    "mesh.json: the service CIDR 10.244.128.0/20 overlaps with the cluster CIDR 10.244.0.0/16; choose ranges that have no address in common",
  );
  const own = [
    { prefix: prefix("192.168.1.20/24"), interfaceName: "eth0" },
    { prefix: prefix("10.96.3.4/16"), interfaceName: "eth1" },
  ];
  const settings = settingsOf({ serviceCIDRs: ["10.96.0.0/12"] });
  expect(() => refuseOwnNetworks(settings, own)).toThrow(
    "the service CIDR 10.96.0.0/12 overlaps with 10.96.0.0/16, which this node is in by eth1",
  );
  expect(() =>
    refuseOwnNetworks(settings, [{ prefix: prefix("10.0.0.7/8"), interfaceName: "eth2" }]),
  ).toThrow("the cluster CIDR 10.244.0.0/16 overlaps with 10.0.0.0/8, which this node is in by eth2");
  refuseOwnNetworks(settings, own.slice(0, 1));
});

test("S3-I02 the size of a node's block is said for each family, and a block has it", () => {
  const { nodeMasks } = settingsOf({ nodeMasks: { ipv4: 26 }, nodeCIDRs: ["10.244.1.64/26"] });
  expect(nodeMasks).toEqual({ 4: 26, 6: 64 });
  expect(refusalOf({ nodeMasks: { ipv4: 30 } })).toBe(
    'mesh.json: "nodeMasks.ipv4" is 30; expected at most 29',
  );
  expect(refusalOf({ nodeMasks: { ipv4: 12 } })).toBe(
    "mesh.json: \"nodeMasks.ipv4\" is 12, and the cluster CIDR is 10.244.0.0/16; a node's block lies within the cluster's: expected 16 to 29, or a larger cluster CIDR",
  );
  expect(refusalOf({ nodeMasks: { ipv4: 26 } })).toBe(
    'mesh.json: "nodeCIDRs" has 10.244.1.0/24, and the cluster CIDR is 10.244.0.0/16; expected a block in it with the mask /26 ("nodeMasks.ipv4")',
  );
});

test.each([
  [{ clusterCIDRs: [] }, '"clusterCIDRs" is []; expected one subnet, or one of each family'],
  [
    { clusterCIDRs: ["10.0.0.0/16", "10.1.0.0/16"] },
    '"clusterCIDRs" has two of IPv4: 10.0.0.0/16 and 10.1.0.0/16; expected one of each family at most',
  ],
  [{ clusterCIDRs: ["10.244"] }, '"clusterCIDRs[0]" is "10.244"; expected a subnet, such as 10.244.0.0/16'],
  [{ nodeCIDRs: ["10.245.1.0/24"] }, '"nodeCIDRs" has 10.245.1.0/24, and the cluster CIDR is 10.244.0.0/16'],
  [
    { nodeCIDRs: ["fd00::/64"] },
    '"nodeCIDRs" has fd00::/64, and no cluster CIDR of its family is there; add one to "clusterCIDRs"',
  ],
  [{ nodeCIDRs: null }, 'neither "store" nor "nodeCIDRs" is there'],
  [{ store: {} }, 'both "store" and "nodeCIDRs" are there'],
  [{ address: "10.244.7.7" }, "this node's address 10.244.7.7/32 lies in the cluster CIDR 10.244.0.0/16"],
  [{ backend: "ipsec" }, '"backend" is "ipsec"; expected "wireguard" or "vxlan"'],
  [{ bridge: "a/b" }, '"bridge" is "a/b"; expected an interface name'],
  [{ bridge: "vethwg" }, '"bridge" is "vethwg", which is the interface that leads to the namespace "wg"'],
  [{ netns: "../x" }, '"netns" is "../x"; expected a name of at most 11 letters, digits, dots, hyphens'],
  [{ network: "a b" }, '"network" is "a b"; expected a name of a network: letters, digits'],
  [{ keyFile: "key" }, '"keyFile" is "key"; expected an absolute path'],
  [{ clusterCidr: "x" }, 'unknown key "clusterCidr"; correct its spelling, or remove it'],
  [{ peers: [{ name: "b", publicKey: `${KEY}\n` }] }, "expected a public key: 44 characters of base64"],
  [{ peers: [{ name: "b" }, { name: "b" }] }, 'two peers are called "b"'],
  [
    { peers: [{ name: "b", nodeCIDRs: ["10.244.1.0/24"] }] },
    "the block 10.244.1.0/24 of b overlaps with 10.244.1.0/24 of this node",
  ],
  [
    { peers: [{ name: "b", address: "10.244.2.1" }] },
    "the address of b 10.244.2.1/32 lies in the cluster CIDR 10.244.0.0/16",
  ],
])("%j is refused", (said, refusal) => {
  expect(refusalOf(said)).toContain(refusal);
});

test("S3-W11 of a node that lacks something is said what, and the others stay", () => {
  const { nodes } = settingsOf({
    peers: [
      { name: "c", nodeCIDRs: ["10.244.3.0/24"] },
      { name: "b", address: "192.0.2.2", publicKey: KEY, nodeCIDRs: ["10.244.2.0/24"] },
      { name: "d", address: "192.0.2.4", publicKey: KEY },
    ],
  });
  const known = knownNodes(nodes.kind === "fixed" ? nodes.peers : []);
  expect(known.nodes.map(({ name }) => name)).toEqual(["b"]);
  expect(known.incomplete.map(incompleteText)).toEqual([
    "node c is left out: it has no address and no key",
    "node d is left out: it has no CIDR",
  ]);
});
