// Which nodes become peers of a wireguard device, and why others don't: none of the kernel's own refusals says it.
import { expect, test } from "bun:test";
import { formatPrefix } from "../../../src/ip/prefix.ts";
import { knownNodes, type NodeDescription } from "../../../src/mesh/node.ts";
import { planOf } from "../../../src/mesh/plan.ts";
import { parseMeshSettings } from "../../../src/mesh/settings.ts";
import { wireguardPeers } from "../../../src/mesh/wireguard-peers.ts";
import { formatPublicKey, PrivateKey } from "../../../src/net/wireguard-key.ts";

const keyOf = (number: number) => formatPublicKey(new Uint8Array(32).fill(number));

test("S3-W11 a node whose key or address is another one's, or that no wireguard can speak with, is left out and told why", async () => {
  const privateKey = PrivateKey.generate();
  const own = { privateKey, publicKey: await privateKey.publicKey() };
  const peer = (number: number, more: object = {}) => ({
    ...{ name: `n${number}`, address: `192.0.2.${number}`, publicKey: keyOf(number) },
    ...{ nodeCIDRs: [`10.244.${number}.0/24`], ...more },
  });
  const settings = parseMeshSettings(
    {
      ...{ clusterCIDRs: ["10.244.0.0/16"], nodeCIDRs: ["10.244.1.0/24"], address: "192.0.2.1" },
      peers: [
        peer(2),
        peer(3, { publicKey: keyOf(2) }),
        peer(4, { publicKey: own.publicKey }),
        peer(5, { address: "192.0.2.1" }),
        // behind one address there may be several, each with a port of its own
        peer(6, { address: "192.0.2.1", port: 28385 }),
        peer(7),
        peer(8),
      ],
    },
    "mesh.json",
  );
  if (settings.nodes.kind !== "fixed" || settings.address === undefined) throw new Error();
  // a store may have what no configuration says
  const others: Readonly<Record<string, Partial<NodeDescription>>> = {
    n7: { publicKey: "not a key" },
    n8: { backend: "vxlan" },
  };
  const { nodes } = knownNodes(settings.nodes.peers.map((one) => ({ ...one, ...others[one.name] })));
  const plan = planOf(settings, settings.nodes.blocks, { address: settings.address, mtu: 1500 }, own);
  const { fit, unfit } = wireguardPeers(plan, nodes);
  expect([...fit.keys()].map(({ name }) => name)).toEqual(["n2", "n6"]);
  expect([...fit.values()].map(({ allowedPrefixes }) => allowedPrefixes.map(formatPrefix))).toEqual([
    ["10.244.2.0/24"],
    ["10.244.6.0/24"],
  ]);
  expect(unfit).toEqual([
    { name: "n3", reason: "it has the key of node n2" },
    { name: "n4", reason: "it has this node's key" },
    { name: "n5", reason: "it has this node's address" },
    { name: "n7", reason: 'its public key is none: "not a key"' },
    { name: "n8", reason: "it uses vxlan, this node wireguard" },
  ]);
});
