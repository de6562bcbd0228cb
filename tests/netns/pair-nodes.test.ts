// Links between two pretended nodes: each has a network namespace of its own, with an underlay between them, and a store of
// its own or one in common. What a node has to know of the other gets there by labels, by an announcement, or by the store.
import { describe, expect, test } from "bun:test";
import { type Answer, type Config, PLUGIN_FOLDER, type Target, variables } from "../support/plugins.ts";
import { type Outcome, Sandbox, WARREN } from "../support/sandbox.ts";
import { seenLink } from "../support/witness.ts";

const PRIMARY = {
  ratchet: "true",
  "ratchet.pod_name": "primary",
  "ratchet.primary": "true",
  "ratchet.local_ip": "192.168.2.100",
  "ratchet.local_ifname": "in1",
  "ratchet.pair_name": "pair",
  "ratchet.pair_ip": "192.168.2.101",
  "ratchet.pair_ifname": "in2",
};
const PAIR = { ratchet: "true", "ratchet.pod_name": "pair", "ratchet.primary": "false" };

const PODS: Readonly<Record<Node, Target>> = {
  node1: { containerId: "c-one", netns: "pod1" },
  node2: { containerId: "c-two", netns: "pod2" },
};

type Node = "node1" | "node2";
type Labels = Readonly<Record<string, string>>;

/** Two nodes on one machine. */
class Pair implements AsyncDisposable {
  private constructor(
    readonly machine: Sandbox,
    /** The address of each node on the underlay. */
    readonly addresses: Readonly<Record<Node, string>>,
    /** True if both nodes have one store. */
    readonly isShared: boolean,
  ) {}

  static async create(family: 4 | 6, isShared = false): Promise<Pair> {
    const machine = await Sandbox.create();
    const addresses = family === 4 ? ["10.0.0.1", "10.0.0.2"] : ["fd00::1", "fd00::2"];
    const [node1 = "", node2 = ""] = addresses;
    for (const name of ["node1", "node2", "pod1", "pod2"]) await machine.addNetns(name);
    await machine.text([
      "ip",
      "-n",
      "node1",
      "link",
      "add",
      "eth0",
      "type",
      "veth",
      "peer",
      "eth0",
      "netns",
      "node2",
    ]);
    for (const [node, address] of [
      ["node1", node1],
      ["node2", node2],
    ] as const) {
      const nodad = family === 6 ? ["nodad"] : [];
      const length = family === 4 ? 24 : 64;
      await machine.text(["ip", "-n", node, "addr", "add", `${address}/${length}`, "dev", "eth0", ...nodad]);
      await machine.text(["ip", "-n", node, "link", "set", "eth0", "up"]);
      await machine.text(["ip", "-n", node, "link", "set", "lo", "up"]);
    }
    const pair = new Pair(machine, { node1, node2 }, isShared);
    for (const node of ["node1", "node2"] as const) {
      const { cniVersion, name, ...plugin } = pair.config(node);
      await Bun.write(
        `${machine.directory}/${node}/10-lab.conflist`,
        JSON.stringify({ cniVersion, name, plugins: [plugin] }),
      );
    }
    return pair;
  }

  config(node: Node, labels: Labels = {}, more: Config = {}): Config {
    return {
      cniVersion: "1.1.0",
      name: "lab",
      type: "warren-pair",
      dataDir: `${this.machine.directory}/${this.isShared ? "store" : `store-${node}`}`,
      boot_network: { type: "warren-loopback" },
      parent_interface: "eth0",
      args: { cni: { labels } },
      ...more,
    };
  }

  /** Calls a verb of the plugin on a node, about its pod. */
  async call(node: Node, verb: string, labels: Labels = {}, more: Config = {}): Promise<Answer> {
    const target = verb === "STATUS" || verb === "GC" ? undefined : PODS[node];
    const outcome = await this.machine.inNetns(node, [`${PLUGIN_FOLDER}/warren-pair`], {
      env: variables(verb, target),
      stdin: JSON.stringify(this.config(node, labels, more)),
    });
    return { ...outcome, document: outcome.stdout === "" ? undefined : JSON.parse(outcome.stdout) };
  }

  async succeed(node: Node, verb: string, labels: Labels = {}, more: Config = {}): Promise<Answer> {
    const answer = await this.call(node, verb, labels, more);
    if (answer.exitCode === 0) return answer;
    throw new Error(`${verb} on ${node} failed: ${answer.stdout}${answer.stderr}`);
  }

  warren(node: Node, ...args: string[]): Promise<Outcome> {
    const env = { NETCONFPATH: `${this.machine.directory}/${node}`, CNI_PATH: PLUGIN_FOLDER };
    return this.machine.inNetns(node, [WARREN, ...args], { env });
  }

  /** Expects that both ends are there, with this VNI, and reach each other. */
  async expectLinked(vni: number, mtu: number): Promise<void> {
    for (const [pod, name, node, other] of [
      ["pod1", "in1", "node1", this.addresses.node2],
      ["pod2", "in2", "node2", this.addresses.node1],
    ] as const) {
      const link = await seenLink(this.machine, name, pod);
      const data = link?.linkinfo?.info_data ?? {};
      expect([link?.linkinfo?.info_kind, data.id, data.remote ?? data.remote6, link?.mtu]).toEqual([
        "vxlan",
        vni,
        other,
        mtu,
      ]);
      const target = pod === "pod1" ? "192.168.2.101" : "192.168.2.100";
      const ping = await this.warren(node, "lab", "ping", target, "--from", pod);
      expect([ping.exitCode, ping.stderr]).toEqual([0, ""]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]();
  }
}

describe("S1-08 a link between two nodes", () => {
  for (const [family, mtu] of [
    [4, 1450],
    [6, 1430],
  ] as const) {
    test(`over IPv${family}, with a store each, by labels alone`, async () => {
      await using nodes = await Pair.create(family);
      const primary = {
        ...PRIMARY,
        "ratchet.vni": "4711",
        "ratchet.pair_parent_address": nodes.addresses.node2,
      };
      const pair = {
        ...PAIR,
        "ratchet.vni": "4711",
        "ratchet.local_ip": "192.168.2.101",
        "ratchet.local_ifname": "in2",
        "ratchet.pair_name": "primary",
        "ratchet.pair_ip": "192.168.2.100",
        "ratchet.pair_ifname": "in1",
        "ratchet.pair_parent_address": nodes.addresses.node1,
      };
      const first = await nodes.succeed("node1", "ADD", primary);
      const second = await nodes.succeed("node2", "ADD", pair);
      expect([first.stderr, second.stderr]).toEqual(["", ""]);
      await nodes.expectLinked(4711, mtu);
      expect(second.document.interfaces[1]).toMatchObject({ name: "in2", mtu });
      await nodes.succeed("node1", "CHECK", primary, { prevResult: first.document });
      await nodes.succeed("node2", "CHECK", pair, { prevResult: second.document });
      const shown = JSON.parse(
        (await nodes.warren("node2", "links", "--json", "--data-dir", `${nodes.config("node2").dataDir}`))
          .stdout,
      );
      expect(shown).toMatchObject([{ state: "up", kind: "vxlan", vni: 4711 }]);

      await nodes.succeed("node1", "DEL");
      expect(await seenLink(nodes.machine, "in1", "pod1")).toBeUndefined();
      expect(await seenLink(nodes.machine, "in2", "pod2")).toBeDefined();
      await nodes.succeed("node2", "DEL");
      expect(await seenLink(nodes.machine, "in2", "pod2")).toBeUndefined();
      await nodes.succeed("node1", "ADD", primary);
      await nodes.succeed("node2", "ADD", pair);
      await nodes.expectLinked(4711, mtu);
    });
  }

  test("with a store each, by announcements: before the pods or after them", async () => {
    await using nodes = await Pair.create(4);
    const { node1, node2 } = nodes.addresses;
    // the pair's node hears of the primary before its pod comes
    const about = [
      ...["--primary", "--pair-name", "pair", "--local-ip", "192.168.2.100", "--local-ifname", "in1"],
      ...["--pair-ip", "192.168.2.101", "--pair-ifname", "in2", "--vni", "11", "--parent-address", node1],
    ];
    expect((await nodes.warren("node2", "announce", "lab", "primary", ...about)).exitCode).toBe(0);
    const pair = await nodes.succeed("node2", "ADD", PAIR);
    expect([pair.stderr, pair.document.ips.at(-1).address]).toEqual(["", "192.168.2.101/24"]);
    // the primary's node gives out the number, and hears of the pair when its pod is there already
    const primary = await nodes.succeed("node1", "ADD", PRIMARY);
    expect(primary.stderr).toContain('pending: pod "pair" is not there yet');
    const told = await nodes.warren("node1", "announce", "lab", "pair", "--parent-address", node2);
    expect(told).toMatchObject({ exitCode: 0, stderr: 'made the link of "primary" and "pair"\n' });
    await nodes.expectLinked(11, 1450);
    // an announcement stays when the pod goes, and serves the next one
    await nodes.succeed("node2", "DEL");
    await nodes.succeed("node2", "ADD", PAIR);
    await nodes.expectLinked(11, 1450);
    // the pair has moved to a third node
    const moved = await nodes.warren("node1", "announce", "lab", "pair", "--parent-address", "10.0.0.3");
    expect(moved).toMatchObject({ exitCode: 0, stderr: 'made the link of "primary" and "pair"\n' });
    const remote = async () => (await seenLink(nodes.machine, "in1", "pod1"))?.linkinfo?.info_data?.remote;
    expect(await remote()).toBe("10.0.0.3");
    // and back, told to the store alone: the next STATUS makes it so
    const store = nodes.config("node1").dataDir as string;
    await nodes.warren("node1", "announce", "lab", "pair", "--parent-address", node2, "--data-dir", store);
    expect(await remote()).toBe("10.0.0.3");
    await nodes.succeed("node1", "STATUS");
    await nodes.expectLinked(11, 1450);
    expect((await nodes.succeed("node1", "STATUS")).stderr).toBe("");
  });

  test("with one store: the second end is made at once, the first one when its runtime asks for STATUS", async () => {
    await using nodes = await Pair.create(4, true);
    await nodes.succeed("node1", "ADD", PRIMARY);
    const { stderr } = await nodes.succeed("node2", "ADD", PAIR);
    expect(stderr).toBe("");
    expect(await seenLink(nodes.machine, "in2", "pod2")).toBeDefined();
    const status = await nodes.succeed("node1", "STATUS");
    expect(status.stderr).toContain('made the link of "primary" and "pair"');
    await nodes.expectLinked(11, 1450);
    expect((await nodes.succeed("node1", "STATUS")).stderr).toBe("");
    for (const node of ["node1", "node2"] as const) await nodes.succeed(node, "DEL");
    await nodes.succeed("node2", "ADD", PAIR);
    await nodes.succeed("node1", "ADD", PRIMARY);
    await nodes.succeed("node2", "STATUS");
    await nodes.expectLinked(11, 1450);
  });

  test("a VNI that the node has already is told, and nothing is left", async () => {
    await using nodes = await Pair.create(4);
    const other = [
      "ip",
      "-n",
      "node1",
      "link",
      "add",
      "vx9",
      "type",
      "vxlan",
      "id",
      "11",
      "dev",
      "eth0",
      "dstport",
      "4789",
    ];
    await nodes.machine.text(other);
    const labels = { ...PRIMARY, "ratchet.pair_parent_address": nodes.addresses.node2 };
    const { document } = await nodes.call("node1", "ADD", labels);
    expect(document).toMatchObject({
      code: 102,
      msg: 'link of "primary" and "pair": the host has a vxlan with the VNI 11 on UDP port 4789 already',
    });
    expect(await seenLink(nodes.machine, "in1", "pod1")).toBeUndefined();
    await nodes.succeed("node1", "ADD", { ...labels, "ratchet.vni": "12" });
    expect(await seenLink(nodes.machine, "in1", "pod1")).toBeDefined();
  });
});
