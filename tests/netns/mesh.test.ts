// The mesh on nodes that are namespaces on one wire: what is there after `up`, that pods reach each other and nothing else
// than UDP is on the wire, that what is missing is repaired alone, and that `down` leaves nothing.
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { MissingFeatureError } from "../../src/net/feature.ts";
import { probeWireguard } from "../../src/net/wireguard.ts";
import { type MeshNodeStage, MeshStage, reaches } from "../support/mesh.ts";
import { PLUGIN_FOLDER } from "../support/plugins.ts";
import { WARREN } from "../support/sandbox.ts";
import { connectionSource } from "../support/witness.ts";

const DUAL = { clusterCIDRs: ["10.244.0.0/16", "fd00:244::/48"] };

interface Link {
  readonly ifname: string;
  readonly ifindex: number;
  readonly mtu: number;
  readonly ifalias?: string;
}

/** Everything of a node: links, addresses, routes, rules, neighbours, and what the tunnel knows. */
async function everything(node: MeshNodeStage): Promise<string> {
  const inside = `ip netns exec wg${node.number}`;
  const script = [
    "ip -d addr; ip route; ip -6 route; nft -a list ruleset",
    `${inside} ip -d addr; ${inside} ip route; ${inside} ip -6 route; ${inside} ip neigh show nud permanent; ${inside} bridge fdb`,
    `cat ${node.conflist}; cat /proc/sys/net/ipv4/ip_forward`,
  ];
  const text = await node.text(["sh", "-ec", script.join("\n")]);
  // what passes by itself
  return text.replace(/ tentative| state (?:UP|UNKNOWN|DOWN)|valid_lft.*|\w+_timer\s+\S+/g, "");
}

async function indexes(node: MeshNodeStage): Promise<Map<string, number>> {
  const inside: Link[] = JSON.parse(await node.text(["ip", "-n", `wg${node.number}`, "-j", "link"]));
  const host: Link[] = JSON.parse(await node.text(["ip", "-j", "link"]));
  return new Map([
    ...host.map(({ ifname, ifindex }) => [ifname, ifindex] as const),
    ...inside.map(({ ifname, ifindex }) => [`wg/${ifname}`, ifindex] as const),
  ]);
}

async function routes(node: MeshNodeStage, ...where: readonly string[]): Promise<string[]> {
  const text = await node.text(["ip", ...where, "route"]);
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

describe("two nodes over vxlan", () => {
  test("S3-W01 up makes the bridge with .1, the namespace with .2 and the routes, and a second time changes nothing", async () => {
    await using stage = await MeshStage.create(2);
    await stage.acquaint([1, 2]);
    const node = stage.node(1);
    expect(await node.node("up")).toEqual([
      "repaired forwarding of IPv4, which was off",
      "made namespace wg1",
      "made bridge warren0",
      "made address 10.244.1.1/24 of warren0",
      "made pair vethwg1",
      "made address 10.244.1.2/24 of veth0 in wg1",
      "repaired forwarding of IPv4 in wg1, which was off",
      "made default route in wg1",
      "made tunnel vxlan0",
      "made route to 10.244.0.0/16 in wg1",
      "made route to 10.244.0.0/16",
      "made masquerade of 10.244.1.0/24",
      "added peer n2",
      `wrote conflist ${node.conflist}`,
    ]);
    expect(await routes(node)).toEqual([
      "10.244.0.0/16 via 10.244.1.2 dev warren0",
      "10.244.1.0/24 dev warren0 proto kernel scope link src 10.244.1.1",
      "192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.1",
    ]);
    expect(await routes(node, "-n", "wg1")).toEqual([
      "default via 10.244.1.1 dev veth0",
      "unreachable 10.244.0.0/16 scope link",
      "10.244.1.0/24 dev veth0 proto kernel scope link src 10.244.1.2",
      "10.244.2.0/24 via 10.244.2.2 dev vxlan0 onlink",
    ]);
    const before = await everything(node);
    expect(await node.node("up")).toEqual(["left 1 peer as it was", "everything of this node is there"]);
    expect(await everything(node)).toBe(before);
    expect(await node.node("show")).toEqual([
      "network mesh: 10.244.1.0/24 by vxlan from 192.0.2.1 port 4789, MTU 1450",
      "everything of this node is there",
      "NODE   ENDPOINT         BLOCKS          STATE",
      "n2     192.0.2.2:4789   10.244.2.0/24   known",
    ]);
  }, 30_000);

  const WG = "ip netns exec wg1";
  const TUNNEL = "made tunnel vxlan0";
  const PEER = "changed peer n2";
  test("S3-W01 what is missing or wrong is repaired alone: the numbers of all other interfaces stay", async () => {
    const cases: readonly [damage: string, repairs: readonly string[], reborn?: readonly string[]][] = [
      ["sysctl -qw net.ipv4.ip_forward=0", ["repaired forwarding of IPv4, which was off"]],
      [
        "ip link del warren0",
        [
          "made bridge warren0",
          "made address 10.244.1.1/24 of warren0",
          "repaired pair vethwg1, which was no port of its bridge",
          "made route to 10.244.0.0/16",
        ],
        ["warren0"],
      ],
      ["ip link set warren0 mtu 1400", ["repaired bridge warren0, which had the MTU 1400, not 1450"]],
      ["ip link set warren0 alias ''", ["repaired bridge warren0, which had lost its alias"]],
      [
        "ip link set warren0 down",
        ["repaired bridge warren0, which was down", "made route to 10.244.0.0/16"],
      ],
      [
        "ip addr del 10.244.1.1/24 dev warren0",
        ["made address 10.244.1.1/24 of warren0", "made route to 10.244.0.0/16"],
      ],
      [
        "ip addr add 10.244.9.1/24 dev warren0",
        ["repaired address 10.244.1.1/24 of warren0, which stands beside 10.244.9.1/24"],
      ],
      [
        "ip link del vethwg1",
        ["made pair vethwg1", "made address 10.244.1.2/24 of veth0 in wg1", "made default route in wg1"],
        ["vethwg1", "wg/veth0"],
      ],
      ["ip link set vethwg1 nomaster", ["repaired pair vethwg1, which was no port of its bridge"]],
      [`${WG} ip link set veth0 mtu 1300`, ["repaired pair vethwg1, which had the MTU 1300, not 1450"]],
      [
        `${WG} ip link set veth0 down`,
        ["repaired pair vethwg1, which was down", "made default route in wg1"],
      ],
      [
        `${WG} ip addr flush dev veth0 scope global`,
        ["made address 10.244.1.2/24 of veth0 in wg1", "made default route in wg1"],
      ],
      [`${WG} sysctl -qw net.ipv4.ip_forward=0`, ["repaired forwarding of IPv4 in wg1, which was off"]],
      [`${WG} ip link set lo down`, ["repaired namespace wg1, which had its loopback down"]],
      [`${WG} ip route del default`, ["made default route in wg1"]],
      [`${WG} ip link del vxlan0`, [TUNNEL, "added peer n2"], ["wg/vxlan0"]],
      [
        `${WG} ip link del vxlan0; ${WG} ip link add vxlan0 type vxlan id 9 dstport 4789`,
        ["repaired tunnel vxlan0, which had the VNI 9, not 1", "added peer n2"],
        ["wg/vxlan0"],
      ],
      [`${WG} ip link set vxlan0 down`, ["repaired tunnel vxlan0, which was down", PEER]],
      [`${WG} ip route del unreachable 10.244.0.0/16`, ["made route to 10.244.0.0/16 in wg1"]],
      ["ip route del 10.244.0.0/16", ["made route to 10.244.0.0/16"]],
      [
        "ip route replace 10.244.0.0/16 dev eth0",
        [
          expect.stringMatching(
            /^repaired route to 10.244.0.0\/16, which leads out of interface number \d+$/,
          ),
        ],
      ],
      ["nft delete table inet warren", ["made masquerade of 10.244.1.0/24"]],
      [`${WG} ip neigh del 10.244.2.2 dev vxlan0`, [PEER]],
      [`${WG} bridge fdb del 0e:58:0a:f4:02:02 dev vxlan0 dst 192.0.2.2`, [PEER]],
      [`${WG} bridge fdb replace 0e:58:0a:f4:02:02 dev vxlan0 dst 192.0.2.9`, [PEER]],
      [`${WG} ip route del 10.244.2.0/24`, [PEER]],
      [`${WG} ip route replace 10.244.2.0/24 via 10.244.2.7 dev vxlan0 onlink`, [PEER]],
      [
        "ip netns del wg1; while ip link show vethwg1 2>/dev/null >&2; do sleep 0.02; done",
        [
          "made namespace wg1",
          "made pair vethwg1",
          "made address 10.244.1.2/24 of veth0 in wg1",
          "repaired forwarding of IPv4 in wg1, which was off",
          "made default route in wg1",
          TUNNEL,
          "made route to 10.244.0.0/16 in wg1",
          "added peer n2",
        ],
        ["vethwg1", "wg/veth0", "wg/vxlan0"],
      ],
    ];
    await using stage = await MeshStage.create(2);
    await stage.acquaint([1, 2]);
    const node = stage.node(1);
    await node.node("up");
    await stage.node(2).node("up");
    for (const [damage, repairs, reborn = []] of cases) {
      const before = await indexes(node);
      await node.text(["sh", "-ec", damage]);
      const isPeer = repairs.every((line) => line === PEER);
      const lines = (await node.node("up")).filter((line) => !line.startsWith("left 1 peer"));
      expect([damage, ...lines]).toEqual([
        damage,
        ...repairs,
        ...(isPeer ? ["everything of this node is there"] : []),
      ]);
      const after = await indexes(node);
      for (const name of reborn) for (const map of [before, after]) map.delete(name);
      expect([damage, ...after]).toEqual([damage, ...before]);
    }
    expect(await node.node("up")).toEqual(["left 1 peer as it was", "everything of this node is there"]);
    await node.attach("pod1");
    await stage.node(2).attach("pod2");
    expect(await reaches(stage.sandbox, "pod1", "10.244.2.3")).toMatchObject({ passed: true });
  }, 60_000);

  test("S3-W02 down leaves nothing: links, namespace, routes, rules, settings and files are as they were", async () => {
    await using stage = await MeshStage.create(2);
    await stage.acquaint([1, 2]);
    const node = stage.node(1);
    const seen = async () => {
      const kernel = ["ip -j link; ip addr; ip route; ip -6 route; nft list ruleset; ls /run/netns"];
      const settings = ["cd /proc/sys/net; grep . ipv4/ip_forward ipv6/conf/all/forwarding"];
      const text = await node.text([
        "sh",
        "-ec",
        [...kernel, ...settings, `ls -R ${node.folder}`].join("; "),
      ]);
      return text.replace(/ tentative|valid_lft.*/g, "");
    };
    expect(await node.node("down")).toEqual(["nothing of the mesh was here"]);
    expect((await node.warren("sync")).stderr).toContain("tunnel vxlan0 is missing; bring the node up first");
    await node.text(["mkdir", "-p", `${node.folder}/net.d`]);
    const before = await seen();
    await node.node("up");
    expect(await node.node("down")).toEqual([
      `removed conflist ${node.conflist}`,
      "removed tunnel vxlan0",
      "removed namespace wg1",
      "removed bridge warren0",
      "removed nftables chain mesh-mesh-10.244.1.0/24-10.244.0.0/16",
      "removed forwarding of IPv4",
    ]);
    expect(await seen()).toBe(before);

    // a tunnel that somebody took out of its namespace, which went then
    await node.node("up");
    const strand = "ip -n wg1 link set vxlan0 netns node1; ip netns del wg1";
    await node.text(["sh", "-ec", strand]);
    expect(await node.text(["ip", "link", "show", "vxlan0"])).toContain("alias warren mesh mesh");
    expect(await node.node("down")).toContain("removed vxlan vxlan0");
    expect(await seen()).toBe(before);
    // and up takes its number and port over
    await node.node("up");
    await node.text(["sh", "-ec", strand]);
    expect(await node.node("up")).toContain("made tunnel vxlan0");
    await node.node("down");
    expect(await seen()).toBe(before);
  }, 30_000);

  test("S3-W02 what other networks need stays: forwarding that a bridge of theirs lives by, and a table with rules of theirs", async () => {
    await using stage = await MeshStage.create(1);
    const node = stage.node(1);
    await node.configure();
    await node.node("up");
    await node.text(["sh", "-ec", "ip link add br9 type bridge; nft add chain inet warren theirs"]);
    expect(await node.node("down")).not.toContain("removed forwarding of IPv4");
    expect(await node.text(["cat", "/proc/sys/net/ipv4/ip_forward"])).toBe("1\n");
    expect(await node.text(["nft", "list", "ruleset"])).toBe(
      "table inet warren {\n\tchain theirs {\n\t}\n}\n",
    );
    // whose names these are is looked at before anything is made
    await node.text(["sh", "-ec", "ip link add warren0 type bridge; ip addr add 10.9.0.1/24 dev warren0"]);
    expect((await node.warren("up")).stderr).toBe(
      'Error: there is a bridge warren0 already, with the address 10.9.0.1/24; give the mesh another "bridge" in its configuration\n',
    );
    expect((await node.warren("down")).stderr).toBe(
      "warning: bridge warren0 stays: nothing says that it is the mesh's\n",
    );
    await node.text([
      "sh",
      "-ec",
      "ip link del warren0; ip netns add wg1; ip -n wg1 link add x9 up type bridge",
    ]);
    expect((await node.warren("up")).stderr).toContain(
      "namespace wg1 has the interface x9, which is not the mesh's",
    );
    expect((await node.warren("down")).stderr).toContain("namespace wg1 stays");
  }, 30_000);

  test("S3-W05 S3-W09 S3-W10 S3-W13 pods reach each other, with what fits in a packet, under their own addresses", async () => {
    await using stage = await MeshStage.create(2);
    const { sandbox } = stage;
    await stage.acquaint([1, 2]);
    await sandbox.text(["ip", "addr", "add", "192.0.2.254/24", "dev", "wire"]);
    for (const node of stage.nodes) {
      await node.node("up");
      await node.text(["ip", "route", "add", "default", "via", "192.0.2.254"]);
    }
    // all IP packets on the wire, by what they are
    const witness = `
      table bridge witness {
        counter tunnel {}
        counter other {}
        chain forward {
          type filter hook forward priority 0
          ether type ip udp dport 4789 counter name tunnel accept
          ether type ip counter name other
        }
      }`;
    await sandbox.text(["nft", "-f", "-"], { stdin: witness });
    // .1 and .2 have no pod
    expect(await stage.node(1).attach("pod1")).toEqual(["10.244.1.3/24"]);
    expect(await stage.node(1).attach("pod2")).toEqual(["10.244.1.4/24"]);
    expect(await stage.node(2).attach("pod3")).toEqual(["10.244.2.3/24"]);
    for (const address of ["10.244.1.4", "10.244.2.3", "10.244.2.1", "192.0.2.2"]) {
      expect([address, (await reaches(sandbox, "pod1", address)).passed]).toEqual([address, true]);
    }
    // a node itself to the other one's pods, and to nobody's block
    expect(await reaches(sandbox, "node1", "10.244.2.3")).toMatchObject({ passed: true });
    expect((await reaches(sandbox, "pod1", "10.244.77.7")).stderr).toContain("10.244.77.7 does not answer");

    expect(await reaches(sandbox, "pod1", "10.244.2.3", 1400)).toMatchObject({ passed: true });
    expect(await reaches(sandbox, "pod1", "10.244.2.3", 1450)).toMatchObject({ passed: true });
    expect((await reaches(sandbox, "pod1", "10.244.2.3", 1452)).stderr).toContain(
      "the packet is too long for the way in one piece",
    );
    expect(await connectionSource(sandbox, "pod1", "pod3", "10.244.2.3")).toBe("10.244.1.3");
    const counters = JSON.parse(await sandbox.text(["nft", "-j", "list", "counters"])) as {
      readonly nftables: readonly {
        readonly counter?: { readonly name: string; readonly packets: number };
      }[];
    };
    const counted = Object.fromEntries(
      counters.nftables.flatMap(({ counter }) =>
        counter === undefined ? [] : [[counter.name, counter.packets]],
      ),
    );
    // the one ping to the other node's own address, there and back
    expect(counted.other).toBe(2);
    expect(counted.tunnel).toBeGreaterThan(10);
    // beyond the cluster a pod is its node
    expect(await connectionSource(sandbox, "pod1", undefined, "192.0.2.254")).toBe("192.0.2.1");
    expect(await connectionSource(sandbox, "node2", "pod1", "10.244.1.3")).toBe("10.244.2.1");
  }, 30_000);

  test("S3-W13 a block of eight addresses has four for pods", async () => {
    await using stage = await MeshStage.create(1);
    const node = stage.node(1);
    await node.configure({ nodeMasks: { ipv4: 29 }, nodeCIDRs: ["10.244.1.8/29"] });
    await node.node("up");
    const given: string[] = [];
    for (const pod of ["a", "b", "c", "d"]) given.push(...(await node.attach(pod)));
    expect(given).toEqual(["10.244.1.11/29", "10.244.1.12/29", "10.244.1.13/29", "10.244.1.14/29"]);
    await expect(node.attach("e")).rejects.toThrow("no IP addresses available in range set");
  }, 30_000);

  test("S3-W14 a node with two blocks is reached by both, also over IPv6, with the MTU that leaves", async () => {
    await using stage = await MeshStage.create(2);
    const { sandbox } = stage;
    const dual = (number: number) => ({
      address: `2001:db8::${number}`,
      nodeCIDRs: [`10.244.${number}.0/24`, `fd00:244:0:${number}::/64`],
    });
    for (const [number, other] of [
      [1, 2],
      [2, 1],
    ] as const) {
      const node = stage.node(number);
      await node.configure({ ...DUAL, ...dual(number), peers: [{ name: `n${other}`, ...dual(other) }] });
      await node.node("up");
      expect(await node.node("up")).toEqual(["left 1 peer as it was", "everything of this node is there"]);
    }
    expect(await stage.node(1).node("show")).toEqual([
      "network mesh: 10.244.1.0/24 fd00:244:0:1::/64 by vxlan from 2001:db8::1 port 4789, MTU 1430",
      "everything of this node is there",
      "NODE   ENDPOINT             BLOCKS                            STATE",
      "n2     [2001:db8::2]:4789   10.244.2.0/24 fd00:244:0:2::/64   known",
    ]);
    expect(await stage.node(1).attach("pod1")).toEqual(["10.244.1.3/24", "fd00:244:0:1::3/64"]);
    expect(await stage.node(2).attach("pod2")).toEqual(["10.244.2.3/24", "fd00:244:0:2::3/64"]);
    for (const address of ["10.244.2.3", "fd00:244:0:2::3"]) {
      expect([address, (await reaches(sandbox, "pod1", address, 1430)).passed]).toEqual([address, true]);
      expect((await reaches(sandbox, "pod1", address, 1432)).stderr).toContain("too long");
    }
    // IPv6 that is missing is repaired alone, too
    await stage.node(1).text(["sh", "-ec", "ip -n wg1 -6 route del default; ip -6 route del fd00:244::/48"]);
    expect(await stage.node(1).node("up")).toEqual([
      "made default route in wg1",
      "made route to fd00:244::/48",
      "left 1 peer as it was",
    ]);
  }, 30_000);

  test("S3-W08 the conflist is there only while the network is, and STATUS says what is missing", async () => {
    await using stage = await MeshStage.create(1);
    const node = stage.node(1);
    await node.configure();
    const ready = () => node.run([WARREN, "status", "mesh"]);
    const drop =
      "table inet x { chain output { type filter hook output priority 0; icmp type echo-request drop; }; }";
    await node.text(["nft", drop]);
    const refused = await node.warren("up");
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toContain(
      "everything of the mesh is there, but the way to the tunnel does not carry packets: 10.244.1.2 does not answer",
    );
    expect([existsSync(node.conflist), existsSync(`${node.conflist}.parked`)]).toEqual([false, false]);
    await node.text(["nft", "delete table inet x"]);
    expect(await node.node("up")).toEqual([`wrote conflist ${node.conflist}`]);
    expect(await ready()).toMatchObject({ exitCode: 0 });

    await node.text(["nft", drop]);
    expect((await node.warren("up")).exitCode).toBe(1);
    expect([existsSync(node.conflist), existsSync(`${node.conflist}.parked`)]).toEqual([false, true]);
    await node.text(["nft", "delete table inet x"]);
    await node.node("up");
    expect([existsSync(node.conflist), existsSync(`${node.conflist}.parked`)]).toEqual([true, false]);

    await node.text(["ip", "-n", "wg1", "link", "del", "vxlan0"]);
    const broken = await ready();
    expect(broken.exitCode).toBe(1);
    expect(broken.stdout + broken.stderr).toContain(
      `tunnel vxlan0 is missing; bring this node up: warren node up --config ${node.configFile}`,
    );
    // somebody else's list is neither overwritten nor removed
    await node.node("down");
    await Bun.write(node.conflist, '{"cniVersion":"1.1.0","name":"theirs","plugins":[]}');
    expect((await node.warren("up")).stderr).toContain(
      "is there already, and is not the list of the mesh mesh",
    );
    expect((await node.warren("down")).exitCode).toBe(1);
    expect(await Bun.file(node.conflist).text()).toContain("theirs");
  }, 30_000);

  test("S3-W06 a node comes and goes: what is known of the others is not touched", async () => {
    await using stage = await MeshStage.create(3);
    const { sandbox } = stage;
    await stage.acquaint([1, 2]);
    for (const number of [1, 2]) await stage.node(number).node("up");
    await stage.acquaint([1, 2, 3]);
    await stage.node(3).node("up");
    expect(await stage.node(1).node("sync")).toEqual(["added peer n3", "left 1 peer as it was"]);
    expect(await stage.node(2).node("sync")).toEqual(["added peer n3", "left 1 peer as it was"]);
    await stage.node(1).attach("pod1");
    await stage.node(3).attach("pod3");
    expect(await reaches(sandbox, "pod1", "10.244.3.3")).toMatchObject({ passed: true });
    await stage.acquaint([1, 2]);
    const watch = sandbox.start(["ip", "netns", "exec", "wg1", "ip", "monitor", "neigh", "route"]);
    expect(await stage.node(1).node("sync")).toEqual([
      "removed peer at 192.0.2.3 port 4789",
      "left 1 peer as it was",
    ]);
    await Bun.sleep(100);
    watch.kill();
    const told = await new Response(watch.stdout).text();
    expect(told).not.toContain("10.244.2.");
    expect(await routes(stage.node(1), "-n", "wg1")).not.toContain(
      "10.244.3.0/24 via 10.244.3.2 dev vxlan0 onlink",
    );
    expect((await reaches(sandbox, "pod1", "10.244.3.3")).stderr).toContain("does not answer");
    // nothing to sync with
    await stage.node(2).node("down");
    expect((await stage.node(2).warren("sync")).stderr).toContain(
      "tunnel vxlan0 is missing; bring the node up first: warren node up",
    );
  }, 30_000);

  test("a conflist that can't be written is told with its cure, and down takes back what was made by then", async () => {
    await using stage = await MeshStage.create(1);
    const node = stage.node(1);
    await node.configure({ conflist: "/proc/nowhere/mesh.conflist" });
    const { exitCode, stderr } = await node.warren("up");
    expect([exitCode, stderr]).toEqual([
      1,
      expect.stringContaining("the conflist /proc/nowhere/mesh.conflist can't be written"),
    ]);
    expect(stderr).toContain('say another "conflist" in the configuration of the mesh');
    expect((await node.warren("down")).exitCode).toBe(0);
    expect((await node.run(["ip", "link", "show", "warren0"])).exitCode).not.toBe(0);
  });

  test("S3-W11 a node that lacks something is left out with one warning that names it, and the others are not", async () => {
    await using stage = await MeshStage.create(2);
    const node = stage.node(1);
    const { asPeer } = stage.node(2);
    await node.configure({
      peers: [
        { name: "n3", nodeCIDRs: ["10.244.3.0/24"] },
        asPeer,
        { name: "n4", address: "2001:db8::4", nodeCIDRs: ["10.244.4.0/24"] },
        { name: "n5" },
        // copied from another node, and not exchanged
        { name: "n6", address: "192.0.2.1", nodeCIDRs: ["10.244.6.0/24"] },
      ],
    });
    const { exitCode, stdout, stderr } = await node.warren("up");
    expect(exitCode).toBe(0);
    expect(stdout).toContain("added peer n2\n");
    expect(stderr).toBe(
      [
        "warning: node n3 is left out: it has no address\n",
        "warning: node n5 is left out: it has no address and no CIDR\n",
        "warning: node n4 is left out: its address 2001:db8::4 is none of IPv4, as this node's\n",
        "warning: node n6 is left out: it has this node's address\n",
      ].join(""),
    );
  });

  test("S3-I02 a cluster CIDR that overlaps with the node's own network is refused before anything is made", async () => {
    await using stage = await MeshStage.create(1);
    const node = stage.node(1);
    await node.configure({ clusterCIDRs: ["192.0.0.0/16"], nodeCIDRs: ["192.0.9.0/24"], address: null });
    await node.text(["ip", "route", "add", "default", "via", "192.0.2.254"]);
    const { exitCode, stderr } = await node.warren("up");
    expect([exitCode, stderr]).toEqual([
      1,
      "Error: the cluster CIDR 192.0.0.0/16 overlaps with 192.0.2.0/24, which this node is in by eth0; choose a range for the mesh that has no address in common with the node's own network\n",
    ]);
    expect(await node.text(["ip", "netns"])).not.toContain("wg1");
  });

  test("S3-W05 STATUS is 50 with the cure where the kernel has no wireguard or a piece is missing, and up makes nothing then", async () => {
    await using stage = await MeshStage.create(1);
    const node = stage.node(1);
    const status = async (): Promise<{
      readonly code?: number;
      readonly msg?: string;
      readonly details?: string;
    }> => {
      const config = {
        ...{ cniVersion: "1.1.0", name: "mesh", type: "warren-mesh" },
        ...{ config: node.configFile, nodeCIDRs: ["10.244.1.0/24"] },
      };
      const stdin = JSON.stringify(config);
      const command = [`${PLUGIN_FOLDER}/warren-mesh`];
      const { stdout } = await node.run(command, { CNI_COMMAND: "STATUS" }, stdin);
      return stdout === "" ? {} : JSON.parse(stdout);
    };
    if (!hasWireguard()) {
      await node.configure({ backend: "wireguard" });
      const { exitCode, stderr } = await node.warren("up");
      expect([exitCode, stderr]).toEqual([
        1,
        "Error: the kernel has no wireguard; load the module wireguard, or use the backend vxlan\n",
      ]);
      expect(await node.text(["ip", "netns"])).not.toContain("wg1");
      expect(await status()).toMatchObject({
        ...{ code: 50, msg: "the kernel has no wireguard" },
        details: "load the module wireguard, or use the backend vxlan",
      });
    }
    await node.configure();
    expect(await status()).toMatchObject({
      code: 50,
      msg: "forwarding of IPv4 is off, and of 11 other pieces of the mesh something is wrong, too",
      details: `bring this node up: warren node up --config ${node.configFile}`,
    });
    await node.node("up");
    expect(await status()).toEqual({});
    // without an address that others know there is no tunnel
    await node.configure({ address: null });
    expect(await status()).toMatchObject({
      code: 50,
      msg: "there is no default route, and so no interface to other nodes",
    });
    await node.configure({ address: "198.51.100.9" });
    expect(await status()).toMatchObject({
      code: 50,
      msg: expect.stringMatching(
        /^no interface of this node has the address 198\.51\.100\.9, and there is no default/,
      ),
    });
    await node.configure();
    await node.attach("pod1");
    expect((await node.warren("down")).stderr).toBe(
      "warning: 1 pod has lost the network: DEL what is attached\n",
    );
  });
});

function hasWireguard(): boolean {
  try {
    probeWireguard();
    return true;
  } catch (error) {
    if (error instanceof MissingFeatureError) return false;
    throw error;
  }
}
