// A chain of five plugins and the same in one process: what stands in the kernel and in the store afterwards is the
// same object by object, and so are the results. And every verb of the one process does what those of the chain do.

import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import {
  type Config,
  call,
  linkNames,
  PLUGIN_FOLDER,
  ruleset,
  succeed,
  type Target,
  variables,
} from "../support/plugins.ts";
import { Sandbox } from "../support/sandbox.ts";
import { connectionSource } from "../support/witness.ts";

const POD: Target = { containerId: "pod-1", netns: "pod1" };
const PORTS = [
  { hostPort: 8080, containerPort: 80, protocol: "tcp" },
  { hostPort: 5353, containerPort: 53, protocol: "udp" },
];
const LIMITS = {
  ...{ ingressRate: 80_000_000, ingressBurst: 8_000_000 },
  ...{ egressRate: 40_000_000, egressBurst: 4_000_000 },
};
const SYSCTLS = { "net.core.somaxconn": "777", "net.ipv4.conf.IFNAME.arp_filter": "1" };

/** A network as a chain has it: the plugin that makes the interface, and the configs of the others. */
interface Network {
  readonly interfacePlugin: Config;
  readonly portmap?: Config;
  readonly bandwidth?: Config;
  readonly firewall?: Config;
  readonly tuning?: Config;
}

const CHAIN = ["portmap", "bandwidth", "firewall", "tuning"] as const;
const CAPABILITIES: Readonly<Record<string, Config>> = {
  portmap: { portMappings: PORTS },
  bandwidth: { bandwidth: LIMITS },
};

class Stage implements AsyncDisposable {
  private constructor(readonly host: Sandbox) {}

  static async create(pods: readonly string[] = ["pod1"]): Promise<Stage> {
    const host = await Sandbox.create();
    for (const pod of pods) await host.addNetns(pod);
    return new Stage(host);
  }

  get dataDir(): string {
    return `${this.host.directory}/store`;
  }

  /** The config of the plugin that makes the interface, without those that come behind it. */
  config(more: Config): Config {
    return {
      cniVersion: "1.1.0",
      name: "lab",
      ipam: {
        type: "warren-ipam",
        dataDir: this.dataDir,
        ranges: [[{ subnet: "10.88.0.0/24" }], [{ subnet: "fd00:88::/64" }]],
        routes: [{ dst: "0.0.0.0/0" }],
      },
      ...more,
    };
  }

  /** The configs of the plugins behind it. */
  chainOf(network: Network): Config[] {
    return CHAIN.filter((name) => network[name] !== undefined).map((name) => ({
      cniVersion: "1.1.0",
      name: "lab",
      type: `warren-${name}`,
      dataDir: this.dataDir,
      ...network[name],
      runtimeConfig: CAPABILITIES[name],
    }));
  }

  /** The one config that says it all. */
  fused(network: Network): Config {
    const { interfacePlugin, ...chained } = network;
    const runtimeConfig = {
      ...(chained.portmap === undefined ? {} : CAPABILITIES.portmap),
      ...(chained.bandwidth === undefined ? {} : CAPABILITIES.bandwidth),
    };
    return { ...this.config(interfacePlugin), ...chained, runtimeConfig };
  }

  /** Everything that an operator can see of host and pod, without the numbers that are never the same. */
  async state(): Promise<unknown> {
    const text = (...command: string[]) => this.host.text(command);
    const inPod = (...command: string[]) => text("ip", "netns", "exec", "pod1", ...command);
    const links = (json: string) =>
      (JSON.parse(json) as Record<string, unknown>[])
        .map(({ ifindex: _, link_index: __, stats64: ___, stats: ____, ...link }) => link)
        .map((link) => JSON.stringify(link, withoutNumbers))
        .sort();
    const disciplines = async (...where: string[]) =>
      (await text(...where, "tc", "-details", "qdisc", "show"))
        .split("\n")
        .map((line) => line.replace(/ refcnt \d+/, "").trim())
        .sort();
    return {
      host: links(await text("ip", "-json", "-details", "addr")),
      pod: links(await inPod("ip", "-json", "-details", "addr")),
      routes: await Promise.all(
        ["-4", "-6"].map(async (family) => [
          // link-local routes come in the order in which links find out that a cable is in
          (await text("ip", family, "route")).split("\n").sort(),
          (await inPod("ip", family, "route")).split("\n").sort(),
        ]),
      ),
      disciplines: [await disciplines("env"), await disciplines("ip", "netns", "exec", "pod1")],
      filters: await Promise.all(
        (await linkNames(this.host)).map(async (name) =>
          (await text("tc", "filter", "show", "dev", name, "ingress")).replace(/index \d+/g, "index N"),
        ),
      ),
      rules: (await ruleset(this.host)).replace(/ expires \w+/g, ""),
      sysctls: [
        await text("sysctl", "-n", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"),
        await inPod("sysctl", "-e", "net.core.somaxconn"),
        await inPod("sh", "-c", "grep . /proc/sys/net/ipv4/conf/*/arp_filter"),
        await text("sh", "-c", "grep . /proc/sys/net/ipv4/conf/*/route_localnet"),
      ],
    };
  }

  /** The rows of the store that say what belongs to whom. */
  rows(): unknown {
    using database = new Database(`${this.dataDir}/warren.db`, { readonly: true });
    return {
      leases: database
        .query("select network, hex(address) as address, container_id, ifname from leases")
        .all(),
      attachments: database
        .query("select network, container_id, ifname, plugin, netns from attachments order by plugin")
        .all(),
      // what was there before an interface was made nobody knows, and nobody needs
      objects: database
        .query<{ name: string }, []>("select plugin, kind, name from objects order by plugin, kind, name")
        .all()
        // tuning names the container's namespace, and no two have the same identity
        .map((row) => ({ ...row, name: row.name.replace(/ \S{36}\/\d+$/, " IDENTITY") })),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host[Symbol.asyncDispose]();
  }
}

const NUMBERS = [
  "ifindex",
  "link_index",
  "valid_life_time",
  "preferred_life_time",
  "gc_timer",
  "hello_timer",
];

function withoutNumbers(key: string, value: unknown): unknown {
  return NUMBERS.includes(key) || key.endsWith("_timer") ? undefined : value;
}

/** Returns the value without the numbers and addresses that every interface gets anew, such as those of bridges. */
function comparable(value: unknown): unknown {
  const text = JSON.stringify(value)
    .replace(/@if\d+/g, "@ifN")
    .replace(/([0-9a-f]{1,2}:){5}[0-9a-f]{1,2}/g, "MAC")
    .replace(/fe80::[0-9a-f:]+/g, "LINK-LOCAL");
  return JSON.parse(text);
}

/** Compares what two hosts have when both are at rest: the kernel tells links that a cable is out a little later. */
async function expectSameState(left: Stage, right: Stage): Promise<void> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const [one, other] = [comparable(await left.state()), comparable(await right.state())];
    if (Bun.deepEquals(one, other) || Date.now() > deadline) {
      expect(one).toEqual(other);
      return;
    }
    await Bun.sleep(50);
  }
}

const NETWORKS: Readonly<Record<string, Network>> = {
  "bridge with all four": {
    interfacePlugin: {
      type: "warren-bridge",
      bridge: "br0",
      isGateway: true,
      ipMasq: true,
      mac: "02:00:00:00:00:09",
    },
    portmap: { snat: true },
    bandwidth: {},
    firewall: { ingressPolicy: "isolated" },
    tuning: { sysctl: SYSCTLS, mtu: 1400, promisc: true, txQLen: 500 },
  },
  "bridge with port maps alone": {
    interfacePlugin: { type: "warren-bridge", bridge: "br0", isGateway: true },
    portmap: { masqAll: true },
  },
  "bridge with limits alone": {
    interfacePlugin: { type: "warren-bridge", bridge: "br0", isGateway: true },
    bandwidth: {},
  },
  "ptp with all four": {
    interfacePlugin: { type: "warren-ptp", ipMasq: true },
    portmap: {},
    bandwidth: {},
    firewall: { ingressPolicy: "same-bridge", iptablesAdminChainName: "mine" },
    tuning: { sysctl: SYSCTLS, mtu: 1400, allmulti: true },
  },
  "macvlan with what has no need of a pair": {
    interfacePlugin: { type: "warren-macvlan", master: "uplink", mtu: 1450 },
    portmap: {},
    firewall: {},
    tuning: { sysctl: SYSCTLS, mtu: 1400 },
  },
};

async function addChained(stage: Stage, network: Network): Promise<unknown> {
  let prevResult = (await succeed(stage.host, "ADD", stage.config(network.interfacePlugin), POD)).document;
  for (const config of stage.chainOf(network)) {
    prevResult = (await succeed(stage.host, "ADD", { ...config, prevResult }, POD)).document;
  }
  return prevResult;
}

/** A card of the host for macvlan; its address is fixed, because a random one would show in the comparison. */
async function addUplink({ host }: Stage): Promise<void> {
  await host.text([
    "ip",
    "link",
    "add",
    "uplink",
    "address",
    "02:00:00:00:00:01",
    "type",
    "veth",
    "peer",
    "far",
  ]);
  await host.text(["ip", "link", "set", "far", "address", "02:00:00:00:00:02", "up"]);
  await host.text(["ip", "link", "set", "uplink", "up"]);
}

describe("one process leaves what the chain leaves", () => {
  for (const [name, network] of Object.entries(NETWORKS)) {
    test(name, async () => {
      await using chained = await Stage.create();
      await using fused = await Stage.create();
      if (network.interfacePlugin.type === "warren-macvlan")
        for (const one of [chained, fused]) await addUplink(one);
      const chainResult = await addChained(chained, network);
      const { document } = await succeed(fused.host, "ADD", fused.fused(network), POD);
      expect(comparable(document)).toEqual(comparable(chainResult));
      await expectSameState(fused, chained);
      expect(fused.rows()).toEqual(chained.rows());

      await succeed(fused.host, "CHECK", { ...fused.fused(network), prevResult: document }, POD);
      await succeed(fused.host, "STATUS", fused.fused(network));
      // neither the runtime's config nor the result is needed to take all of it back
      const { runtimeConfig: _, ...config } = fused.fused(network);
      await succeed(fused.host, "DEL", config, POD);
      await succeed(fused.host, "DEL", config, POD);
      expect(fused.rows()).toEqual({ leases: [], attachments: [], objects: [] });
      for (const plugin of stageOrder(chained, network)) await succeed(chained.host, "DEL", plugin, POD);
      await expectSameState(fused, chained);
    });
  }
});

/** The configs of a chain in the order of DEL. */
function stageOrder(stage: Stage, network: Network): Config[] {
  return [stage.config(network.interfacePlugin), ...stage.chainOf(network)].toReversed();
}

const ALL = NETWORKS["bridge with all four"] as Network;

describe("the verbs of a fused plugin", () => {
  test("packets take the port map, and the pod's limits and rules are on their way", async () => {
    await using stage = await Stage.create(["pod1", "far"]);
    const { host } = stage;
    await host.text(["ip", "link", "add", "wan", "type", "veth", "peer", "eth0", "netns", "far"]);
    await host.text(["ip", "addr", "add", "192.0.2.1/24", "dev", "wan"]);
    await host.text(["ip", "link", "set", "wan", "up"]);
    await host.inNetns("far", ["ip", "addr", "add", "192.0.2.2/24", "dev", "eth0"]);
    await host.inNetns("far", ["ip", "link", "set", "eth0", "up"]);
    const ports = [{ hostPort: 7000, containerPort: 7000, protocol: "tcp" }];
    const config = { ...stage.fused({ ...ALL, firewall: {} }), runtimeConfig: { portMappings: ports } };
    await succeed(host, "ADD", config, POD);
    const seen = await connectionSource(host, "far", "pod1", "192.0.2.1", { listen: "0.0.0.0" });
    expect(seen).toBe("192.0.2.2");
  });

  test("an ADD that fails in any of its parts leaves nothing", async () => {
    await using stage = await Stage.create();
    const { host } = stage;
    const config = stage.fused(ALL);
    const clean = async () => {
      expect(stage.rows()).toEqual({ leases: [], attachments: [], objects: [] });
      expect(
        (await linkNames(host)).filter((name) => name.startsWith("veth") || name.startsWith("bwp")),
      ).toEqual([]);
      expect(await ruleset(host)).not.toContain("10.88.0");
      expect(await host.text(["ip", "netns", "exec", "pod1", "ip", "-br", "link"])).not.toContain("eth0");
    };
    // in the kernel, when all the others are made
    const sysctl = { "net.core.somaxconn": "many" };
    const refused = await call(host, "ADD", { ...config, tuning: { sysctl } }, POD);
    expect(refused.document).toMatchObject({ code: 7, msg: expect.stringContaining("net.core.somaxconn") });
    await clean();
    // in the store: somebody else has the port
    await host.addNetns("pod2");
    await succeed(host, "ADD", config, { containerId: "pod-2", netns: "pod2" });
    const taken = await call(host, "ADD", config, POD);
    expect(taken.document).toMatchObject({ code: 100, msg: expect.stringContaining("container pod-2") });
    expect(await host.text(["ip", "netns", "exec", "pod1", "ip", "-br", "link"])).not.toContain("eth0");
    await succeed(host, "DEL", config, { containerId: "pod-2", netns: "pod2" });
    await clean();
    await succeed(host, "ADD", config, POD);
  });

  test("a sysctl that stands twice in the text is refused by name", async () => {
    await using stage = await Stage.create();
    const interfacePlugin = stage.config({ type: "warren-bridge", bridge: "br0" });
    const text = JSON.stringify(stage.fused({ interfacePlugin, tuning: { sysctl: SYSCTLS } }));
    const stdin = text.replace('"777"', '"777", "net.core.somaxconn": "778"');
    const command = [`${PLUGIN_FOLDER}/warren-bridge`];
    const { stdout } = await stage.host.run(command, { env: variables("ADD", POD), stdin });
    expect(JSON.parse(stdout)).toMatchObject({
      code: 7,
      msg: 'network config "lab": "tuning.sysctl.net.core.somaxconn" stands twice',
    });
    expect(await linkNames(stage.host)).toEqual([]);
  });

  test("CHECK finds what any of them finds", async () => {
    await using stage = await Stage.create();
    const { host } = stage;
    const config = stage.fused(ALL);
    const { document: prevResult } = await succeed(host, "ADD", config, POD);
    const damages: [string[], RegExp][] = [
      [["ip", "netns", "exec", "pod1", "sysctl", "-qw", "net.core.somaxconn=5"], /somaxconn/],
      [["nft", "flush", "chain", "inet", "warren", "firewall"], /firewall/],
      [["sh", "-c", "tc qdisc del dev $(ip -br link | grep -o '^bwp[0-9a-f]*') root"], /token bucket/],
    ];
    for (const [command, message] of damages) {
      await host.text(command);
      const { document } = await call(host, "CHECK", { ...config, prevResult }, POD);
      expect(document?.code).toBe(103);
      expect(document?.msg).toMatch(message);
    }
  });

  test("GC takes back all parts of what is not valid, and DEL those of a lost store", async () => {
    await using stage = await Stage.create(["pod1", "pod2"]);
    const { host } = stage;
    const config = stage.fused(ALL);
    const other: Target = { containerId: "pod-2", netns: "pod2" };
    const ports = (first: number) => [{ hostPort: first, containerPort: 80, protocol: "tcp" }];
    const runtimeConfig = (first: number) => ({ portMappings: ports(first), bandwidth: LIMITS });
    await succeed(host, "ADD", { ...config, runtimeConfig: runtimeConfig(8001) }, POD);
    await succeed(host, "ADD", { ...config, runtimeConfig: runtimeConfig(8002) }, other);
    const valid = { "cni.dev/valid-attachments": [{ containerID: "pod-2", ifname: "eth0" }] };
    const { runtimeConfig: _, ...plain } = config;
    expect((await succeed(host, "GC", plain)).stderr.match(/nothing is collected/g)).toHaveLength(1);
    await succeed(host, "GC", { ...plain, ...valid });
    const rules = await ruleset(host);
    expect(rules).toContain("8002");
    expect(rules).not.toContain("8001");
    expect((await linkNames(host)).filter((name) => name.startsWith("bwp"))).toHaveLength(1);
    expect(await host.text(["ip", "netns", "exec", "pod1", "sysctl", "-n", "net.core.somaxconn"])).not.toBe(
      "777\n",
    );

    await host.text(["sh", "-c", `rm -r ${stage.dataDir}`]);
    await succeed(host, "DEL", { ...config, runtimeConfig: runtimeConfig(8002) }, other);
    expect(
      (await linkNames(host)).filter((name) => name.startsWith("veth") || name.startsWith("bwp")),
    ).toEqual([]);
    expect(await ruleset(host)).not.toContain("8002");
  });

  test("keys in any case of letters are seen by every verb, also where the store was lost", async () => {
    await using stage = await Stage.create();
    const { host } = stage;
    const config = stage.config({
      ...ALL.interfacePlugin,
      ...{ Firewall: { IngressPolicy: "same-bridge" }, TUNING: { Sysctl: { "net.core.somaxconn": "5" } } },
      RuntimeConfig: {
        PortMappings: [{ HostPort: 8001, ContainerPort: 80, Protocol: "TCP" }],
        Bandwidth: LIMITS,
      },
    });
    const { document: prevResult } = await succeed(host, "ADD", config, POD);
    const rules = await ruleset(host);
    for (const part of ["8001", "guarded"]) expect(rules).toContain(part);
    expect(await host.text(["ip", "netns", "exec", "pod1", "sysctl", "-n", "net.core.somaxconn"])).toBe(
      "5\n",
    );
    await succeed(host, "CHECK", { ...config, prevResult }, POD);

    await host.text(["sh", "-c", `rm -r ${stage.dataDir}`]);
    await succeed(host, "DEL", config, POD);
    expect(await linkNames(host)).toEqual(["br0"]);
    expect(await ruleset(host)).not.toContain("8001");
  });

  test("a config that lost its keys after the ADD takes nothing away from DEL and GC", async () => {
    await using stage = await Stage.create(["pod1", "pod2"]);
    const { host } = stage;
    const bare = stage.config(ALL.interfacePlugin);
    for (const end of [
      () => succeed(host, "DEL", bare, POD),
      () => succeed(host, "GC", { ...bare, "cni.dev/valid-attachments": [] }),
    ]) {
      await succeed(host, "ADD", stage.fused(ALL), POD);
      await end();
      expect(stage.rows()).toEqual({ leases: [], attachments: [], objects: [] });
      expect(await linkNames(host)).toEqual(["br0"]);
    }
  });

  test("DEL removes the pair and the device of its limit as one group, and nobody else's", async () => {
    await using stage = await Stage.create();
    const { host } = stage;
    const config = stage.fused({ interfacePlugin: { type: "warren-bridge", bridge: "br0" }, bandwidth: {} });
    await host.text(["ip", "link", "add", "mine", "group", "7", "type", "bridge"]);
    await succeed(host, "ADD", config, POD);
    const monitor = host.start(["ip", "monitor", "link"]);
    let events = "";
    const reading = (async () => {
      for await (const chunk of monitor.stdout.pipeThrough(new TextDecoderStream())) events += chunk;
    })();
    const listens = async (mark: string) => {
      for (let index = 0; !events.includes(`: ${mark}`); index++) {
        await host.text(["ip", "link", "add", `${mark}${index}`, "type", "bridge"]);
        await Bun.sleep(10);
      }
    };
    await listens("begin");
    await succeed(host, "DEL", config, POD);
    await listens("end");
    monitor.kill();
    await reading;
    // the bridge tells of its port, too, and that is no removal of a link
    const removed = [...events.matchAll(/^Deleted \d+: (bwp|veth)\w+.* state .* group (\w+)/gm)];
    const groups = new Map(removed.map(([, kind = "", group = ""]) => [kind, group]));
    expect([...groups.keys()].sort()).toEqual(["bwp", "veth"]);
    expect(groups.get("bwp")).toBe(groups.get("veth") ?? "");
    expect(["default", "7"]).not.toContain(groups.get("veth"));
    expect((await linkNames(host)).filter((name) => !/^(begin|end)\d+$/.test(name)).sort()).toEqual([
      "br0",
      "mine",
    ]);
    expect(stage.rows()).toEqual({ leases: [], attachments: [], objects: [] });
  });

  test("limits on a pair are taken back by a plugin that makes none, where a network was changed", async () => {
    await using stage = await Stage.create();
    const { host } = stage;
    const config = stage.fused({ interfacePlugin: { type: "warren-bridge", bridge: "br0" }, bandwidth: {} });
    await succeed(host, "ADD", config, POD);
    await succeed(host, "DEL", stage.config({ type: "warren-macvlan", master: "uplink" }), POD);
    const [pair = "", ...more] = (await linkNames(host)).filter((name) => name !== "br0");
    expect(pair).toStartWith("veth");
    expect(more).toEqual([]);
    expect(await host.text(["tc", "qdisc", "show", "dev", pair])).not.toMatch(/tbf|ingress/);
    await succeed(host, "DEL", config, POD);
    expect(await linkNames(host)).toEqual(["br0"]);
    expect(stage.rows()).toEqual({ leases: [], attachments: [], objects: [] });
  });

  test("the address that the runtime asks for counts before that of tuning", async () => {
    await using stage = await Stage.create();
    const { host } = stage;
    const asked = "02:00:00:00:00:0b";
    const network = {
      interfacePlugin: { type: "warren-bridge", bridge: "br0" },
      tuning: { mac: "02:00:00:00:00:0a" },
    };
    const config = { ...stage.fused(network), runtimeConfig: { mac: asked } };
    const { document } = await succeed(host, "ADD", config, POD);
    expect(document.interfaces[2]).toMatchObject({ name: "eth0", mac: asked });
    expect(await host.text(["ip", "netns", "exec", "pod1", "ip", "link", "show", "eth0"])).toContain(asked);
    await succeed(host, "CHECK", { ...config, prevResult: document }, POD);
  });

  test("a sysctl of the interface can be named without a placeholder", async () => {
    await using stage = await Stage.create();
    const { host } = stage;
    const sysctl = { "net.ipv4.conf.eth0.arp_filter": "1" };
    const config = stage.config({ ...ALL.interfacePlugin, tuning: { sysctl } });
    const { document: prevResult } = await succeed(host, "ADD", config, POD);
    expect(await host.text(["ip", "netns", "exec", "pod1", "sysctl", "-n", ...Object.keys(sysctl)])).toBe(
      "1\n",
    );
    await succeed(host, "CHECK", { ...config, prevResult }, POD);
    await succeed(host, "DEL", config, POD);

    const missing = { tuning: { sysctl: { "net.ipv4.conf.eth1.arp_filter": "1" } } };
    const refused = await call(host, "ADD", { ...config, ...missing }, POD);
    expect(refused.document).toMatchObject({ code: 2, msg: expect.stringContaining("eth1.arp_filter") });
    expect(stage.rows()).toEqual({ leases: [], attachments: [], objects: [] });
  });

  test("the plugins of a chain behind a fused one find their work done", async () => {
    await using stage = await Stage.create();
    const { host } = stage;
    const { document: prevResult } = await succeed(host, "ADD", stage.fused(ALL), POD);
    const [portmap] = stage.chainOf(ALL);
    await succeed(host, "ADD", { ...portmap, type: "warren-portmap", prevResult }, POD);
    await succeed(host, "CHECK", { ...stage.fused(ALL), prevResult }, POD);
  });
});

describe("bad input is refused before anything is touched", () => {
  const CASES: Readonly<Record<string, readonly [more: Config, code: number, message: string]>> = {
    "an object that is none": [{ firewall: true }, 7, '"firewall" is true'],
    "a list": [{ tuning: [] }, 7, '"tuning" is []'],
    "a wrong value in it": [{ firewall: { ingressPolicy: "closed" } }, 7, 'unknown ingress policy: "closed"'],
    "a wrong type in it": [{ portmap: { snat: "yes" } }, 7, 'key "portmap": "snat" is "yes"'],
    "a store of its own": [{ bandwidth: { dataDir: "/elsewhere" } }, 7, '"dataDir" is "/elsewhere"'],
    "a port that is none": [
      { runtimeConfig: { portMappings: [{ hostPort: 0, containerPort: 80 }] } },
      7,
      "Invalid host port number: 0",
    ],
    "a rate without a burst": [
      { runtimeConfig: { bandwidth: { ingressRate: 8000 } } },
      7,
      "if rate is set, burst must also be set",
    ],
    "port maps that are no list": [
      { runtimeConfig: { portMappings: 3 } },
      7,
      '"runtimeConfig.portMappings" is 3',
    ],
  };
  for (const [name, [more, code, message]] of Object.entries(CASES)) {
    test(name, async () => {
      await using stage = await Stage.create();
      const config = stage.config({ type: "warren-bridge", bridge: "br0", isGateway: true, ...more });
      const { document } = await call(stage.host, "ADD", config, POD);
      expect(document).toMatchObject({ code, msg: expect.stringContaining(message) });
      expect(await linkNames(stage.host)).toEqual([]);
      expect(await Bun.file(`${stage.dataDir}/warren.db`).exists()).toBe(false);
    });
  }

  test("a macvlan can't be shaped, and an ingress policy needs an interface of the host", async () => {
    await using stage = await Stage.create();
    await addUplink(stage);
    const config = stage.config({ type: "warren-macvlan", master: "uplink" });
    const shaped = await call(stage.host, "ADD", { ...config, bandwidth: LIMITS }, POD);
    expect(shaped.document).toMatchObject({ code: 7, msg: expect.stringContaining("only pairs") });
    expect((await call(stage.host, "STATUS", { ...config, bandwidth: LIMITS })).document).toEqual(
      shaped.document,
    );
    const guarded = await call(
      stage.host,
      "ADD",
      { ...config, firewall: { ingressPolicy: "isolated" } },
      POD,
    );
    expect(guarded.document).toMatchObject({ code: 7, msg: expect.stringContaining("needs a bridge") });
    expect(stage.rows()).toEqual({ leases: [], attachments: [], objects: [] });
  });
});

test("capabilities that the first plugin and those behind it declare are one container's once, by every verb", async () => {
  await using stage = await Stage.create();
  const network = { interfacePlugin: { type: "warren-bridge", bridge: "br0" }, portmap: {}, bandwidth: {} };
  const first = stage.fused({ interfacePlugin: network.interfacePlugin });
  const both = { ...first, runtimeConfig: { ...CAPABILITIES.portmap, ...CAPABILITIES.bandwidth } };
  let prevResult = (await succeed(stage.host, "ADD", both, POD)).document;
  const once = comparable(await stage.state());
  const chained = stage.chainOf(network);
  for (const config of chained) {
    const { document } = await succeed(stage.host, "ADD", { ...config, prevResult }, POD);
    expect(document).toEqual(prevResult);
    prevResult = document;
  }
  expect(comparable(await stage.state())).toEqual(once);
  const list = [both, ...chained].map((config) => ({ ...config, prevResult }));
  for (const config of list) await succeed(stage.host, "CHECK", config, POD);
  for (const config of list.toReversed()) await succeed(stage.host, "DEL", config, POD);
  expect(stage.rows()).toEqual({ leases: [], attachments: [], objects: [] });
  expect(await linkNames(stage.host)).toEqual(["br0"]);
});
