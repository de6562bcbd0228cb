// The node drawn: every form of the map shows what ip, tc and nft show, and is well formed whatever things are called.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { TestNode } from "../support/node.ts";
import { testWith } from "../support/sandbox.ts";

/** Names of pairs are made of hashes. */
const withoutHashes = (text: string) =>
  text.replaceAll(/veth[0-9a-f]{11}/g, "veth*").replaceAll(/cnitool-[0-9a-f]{20}/g, "cnitool-*");

test("the tree shows interfaces, pods, addresses, routes, limits, ports, NAT, and who is gone", async () => {
  await using node = await TestNode.create();
  await node.populate();
  expect(withoutHashes(await node.succeed(["map"]))).toBe(`host
├─ br0 bridge 10.88.0.1/24 fd00:88::1/64 mtu 1500
│  ├─ veth* veth mtu 1500
│  │  └─ shop/web-0 eth0 10.88.0.2/24 fd00:88::2/64 (pods)
│  │     ├─ default via 10.88.0.1
│  │     ├─ default via fd00:88::1
│  │     ├─ receives 8 Mbit/s, sends 4 Mbit/s
│  │     ├─ port 0.0.0.0:8080/tcp to 10.88.0.2:80
│  │     └─ port [::]:8080/tcp to [fd00:88::2]:80
│  └─ veth* veth mtu 1500
│     └─ db eth0 10.88.0.3/24 fd00:88::3/64 (pods)
│        ├─ default via 10.88.0.1
│        └─ default via fd00:88::1
├─ veth* veth 10.90.0.1/32 mtu 1500
│  └─ db eth1 10.90.0.2/28 (wire)
│     └─ 10.90.0.0/28 via 10.90.0.1
├─ veth* veth 10.90.0.1/32 mtu 1500
│  └─ tap eth0 10.90.0.3/28 (wire)
│     └─ 10.90.0.0/28 via 10.90.0.1
├─ routes
│  ├─ 10.88.0.0/24 dev br0
│  ├─ 10.90.0.2/32 dev veth*
│  ├─ 10.90.0.3/32 dev veth*
│  └─ fd00:88::/64 dev br0
├─ masquerade
│  ├─ 10.88.0.0/24 leaves as the host (pods)
│  ├─ fd00:88::/64 leaves as the host (pods)
│  └─ 10.90.0.0/28 leaves as the host (wire)
└─ gone, and still written down
   └─ cnitool-*
      └─ eth0 10.88.0.4/24 fd00:88::4/64 (pods)
`);
});

test("the map is what the kernel has, not what was written down", async () => {
  await using node = await TestNode.create();
  await node.populate();
  const { host } = node;
  // a pod of nobody's on the bridge, one with a macvlan, and a change behind Warren's back
  await host.addNetns("stranger");
  await host.text(["ip", "link", "add", "xout", "type", "veth", "peer", "name", "xin", "netns", "stranger"]);
  await host.text(["ip", "link", "set", "xout", "master", "br0", "up"]);
  await host.text(["ip", "link", "add", "eth9", "type", "veth", "peer", "name", "eth9far"]);
  await host.text(["ip", "link", "add", "mv", "link", "eth9", "netns", "stranger", "type", "macvlan"]);
  await host.inNetns("db", ["ip", "addr", "add", "192.0.2.7/32", "dev", "eth0"]);
  await host.inNetns("db", ["ip", "link", "set", "eth1", "down"]);

  const map = JSON.parse(await node.succeed(["map", "--json"]));
  const links = (await host.json(["ip", "-json", "link"])) as { ifname: string; ifindex: number }[];
  expect(map.links.map((link: { name: string; index: number }) => [link.name, link.index])).toEqual(
    links.filter(({ ifname }) => ifname !== "lo").map(({ ifname, ifindex }) => [ifname, ifindex]),
  );
  const pod = (name: string) => map.pods.find((one: { name: string }) => one.name === name);
  expect(pod("stranger")).toMatchObject({
    state: "foreign",
    interfaces: [
      { name: "xin", hostLink: "xout", network: "" },
      { name: "mv", hostLink: "eth9", network: "" },
    ],
  });
  expect(pod("db").interfaces).toMatchObject([
    { name: "eth0", network: "pods", up: true, addresses: ["10.88.0.3/24", "192.0.2.7/32", "fd00:88::3/64"] },
    { name: "eth1", network: "wire", up: false, routes: [] },
  ]);
  expect(pod("shop/web-0").interfaces[0]).toMatchObject({ receives: 8_000_000, sends: 4_000_000 });
  const text = await node.succeed(["map"]);
  expect(text).toContain("stranger (not Warren's) xin");
  expect(text).toContain("db eth1 down");

  // a name that a namespace has left behind
  await host.text(["touch", "/run/netns/stray"]);
  const { exitCode, stderr } = await node.warren(["map"]);
  expect([exitCode, stderr]).toEqual([
    0,
    "warning: /var/run/netns/stray is left out: not a network namespace\n",
  ]);

  await host.text(["nft", "flush", "ruleset"]);
  expect(await node.succeed(["map"])).not.toContain("leaves as the host");
});

test("a node without a store and without pods has a map", async () => {
  await using node = await TestNode.create();
  expect(await node.succeed(["map"])).toBe("host\n");
  expect(await node.succeed(["map", "--svg", "-"])).toStartWith("<svg ");
});

const HOSTILE = `a<b&"c'\\l]]>`;

testWith(tools.program("dot"))("Graphviz draws the graph, whatever pods are called", async () => {
  await using node = await TestNode.create();
  await node.populate();
  await node.host.addNetns(HOSTILE);
  await node.succeed(["add", "pods", HOSTILE]);
  const graph = await node.succeed(["map", "--dot"]);
  const drawing = await node.host.json(["dot", "-Tjson"], { stdin: graph });
  const { objects, edges } = drawing as { objects: { name: string; label?: string }[]; edges: unknown[] };
  expect(objects.map(({ label }) => label)).toContain(`${HOSTILE.replaceAll("\\", "\\\\")}\\n`);
  // every pod that lives at a link of the host, and the ports of the bridge at the bridge
  expect(edges).toHaveLength(5 + 3);
});

testWith(tools.program("rsvg-convert"))(
  "the picture is one that others can draw, whatever pods are called",
  async () => {
    await using node = await TestNode.create();
    await node.populate();
    await node.host.addNetns(HOSTILE);
    await node.succeed(["add", "pods", HOSTILE]);
    const file = join(node.host.directory, "map.svg");
    expect(await node.succeed(["map", "--svg", file])).toBe("");
    const picture = await Bun.file(file).text();
    for (const word of [
      "br0",
      "shop/web-0",
      "10.88.0.2/24",
      "port 0.0.0.0:8080/tcp",
      "receives 8 Mbit/s",
      "(gone)",
    ]) {
      expect(picture).toContain(word);
    }
    expect(picture).toContain("a&lt;b&amp;&quot;c'\\l]]&gt;");
    // nothing in it comes from elsewhere
    expect(picture.replace("http://www.w3.org/2000/svg", "")).not.toMatch(/https?:|url\(|<script|href/);
    const drawn = await node.host.run(["rsvg-convert", file, "-o", join(node.host.directory, "map.png")]);
    expect(drawn).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect(Bun.file(join(node.host.directory, "map.png")).size).toBeGreaterThan(1000);
  },
);

test.each([
  [["map", "--dot", "--json"], 2, "exclude each other"],
  [["map", "--svg", "/nowhere/map.svg"], 1, "can't write /nowhere/map.svg"],
])("%j is refused", async (args, exitCode, message) => {
  await using node = await TestNode.create();
  const outcome = await node.warren(args);
  expect(outcome.stderr).toContain(message);
  expect(outcome.exitCode).toBe(exitCode);
});
