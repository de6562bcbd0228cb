// The networks that are tortured: every plugin as a runtime uses it, alone, behind another one, and all in one chain,
// and a small runtime that calls the plugins of a chain in the order that the specification wants.
import { type Answer, type Config, call, type Target } from "../support/plugins.ts";
import { Sandbox } from "../support/sandbox.ts";
import { LEASE_FILES } from "./remains.ts";

/** A network on a host of its own. */
export interface Scene {
  readonly name: string;
  /** The plugins of the chain, without what every config has. */
  readonly plugins: readonly Config[];
  /** Which plugins of the chain are tortured. */
  readonly tortured: readonly number[];
  /** As a network list has it: plugins whose results are rewritten behind them can't check them. */
  readonly disableCheck?: boolean;
  /** Links that the host needs first, in ip's batch language. */
  readonly links?: readonly string[];
  /** Files that the host needs first, by their paths in it. */
  readonly files?: Readonly<Record<string, string>>;
  /** What clears up after a killed call; DEL and GC each unless told. */
  readonly cures?: readonly ("DEL" | "GC")[];
  /** True where the pod has a part of the host that ends with its namespace here, as no real card does. */
  readonly endsWithPod?: boolean;
  /** False where steps that only look are left out: killed there, a call has done no more than at the next. */
  readonly looks?: boolean;
  /** False where the writes of the store's file are left out, which every plugin has in common. */
  readonly storeWrites?: boolean;
}

const DUAL_STACK = [[{ subnet: "10.88.0.0/16" }], [{ subnet: "fd00:88::/64" }]];
const IPAM = { type: "warren-ipam", ranges: DUAL_STACK };
const BRIDGE = { type: "warren-bridge", bridge: "br0", isDefaultGateway: true, ipMasq: true, ipam: IPAM };

const PTP = { type: "warren-ptp", ipMasq: true, ipam: { ...IPAM, routes: [{ dst: "0.0.0.0/0" }] } };
const MACVLAN = { type: "warren-macvlan", master: "uplink", ipam: IPAM };

const PORTMAP = {
  type: "warren-portmap",
  snat: true,
  runtimeConfig: {
    portMappings: [
      { hostPort: 8080, containerPort: 80 },
      { hostPort: 8053, containerPort: 53, protocol: "udp", hostIP: "127.0.0.1" },
    ],
  },
};
const BANDWIDTH = {
  type: "warren-bandwidth",
  ingressRate: 8_000_000,
  ingressBurst: 800_000,
  egressRate: 4_000_000,
  egressBurst: 400_000,
};
const MACHINE_NETEM = { type: "warren-netem", netem: "delay=1ms direction=both" };
// where the kernel has no netem it writes down, is refused, and forgets
const NETEM = { ...MACHINE_NETEM, onMissing: "ignore" };
const FIREWALL = { type: "warren-firewall", ingressPolicy: "same-bridge" };
const TUNING = {
  type: "warren-tuning",
  sysctl: { "net.core.somaxconn": "512", "net.ipv4.conf.IFNAME.arp_filter": "1" },
  mtu: 1400,
  txQLen: 2000,
  allmulti: true,
};
const QUICKACK = { type: "warren-quickack", enabled: true };
const REWRITE = { type: "warren-rewrite", pool: { ranges: [[{ subnet: "192.0.2.0/24" }]] } };
const UPLINK = ["link add uplink up type veth peer name far", "link set far up"];

/** Two networks for one container, each with a chain of its own, and the default route over the second. */
const DELEGATES = {
  type: "warren-delegates",
  delegates: [
    { plugins: [BRIDGE, { ...TUNING, sysctl: { "net.core.somaxconn": "512" } }] },
    {
      conf: { name: "other", ...MACVLAN, ipam: { ...IPAM, ranges: [[{ subnet: "10.89.0.0/16" }]] } },
      "default-route": ["10.89.0.1"],
    },
  ],
};

/** A pod that is wired to one on another node, which is never asked, with a copy of its traffic on the link. */
const PAIR = {
  type: "warren-pair",
  parent_interface: "uplink",
  parent_address: "192.0.2.1",
  boot_network: BRIDGE,
  args: {
    cni: {
      labels: {
        "warren.pair": "true",
        "warren.pair.pod_name": "one",
        "warren.pair.primary": "true",
        "warren.pair.local_ip": "192.168.2.100/24,fd00:2::1/64",
        "warren.pair.local_ifname": "in1",
        "warren.pair.pair_name": "other",
        "warren.pair.pair_ip": "192.168.2.101/24,fd00:2::2/64",
        "warren.pair.pair_ifname": "in2",
        "warren.pair.pair_parent_address": "192.0.2.2",
        "warren.pair.mirror": "mirror:both:eth0",
        "warren.pair.routes": "198.51.100.0/24 via 192.168.2.101",
      },
    },
  },
};

/** Returns the config with the store's place in it and in all plugins that it has inside. */
function placed(config: Config, dataDir: string): Config {
  const { ipam, conf, plugins, delegates, boot_network: boot } = config;
  const inside = (value: unknown) => placed(value as Config, dataDir);
  const all = (value: unknown) => (value as readonly unknown[]).map(inside);
  return {
    ...config,
    ...(config.type === undefined ? {} : { dataDir }),
    ...(ipam === undefined ? {} : { ipam: { dataDir, ...(ipam as Config) } }),
    ...(conf === undefined ? {} : { conf: inside(conf) }),
    ...(boot === undefined ? {} : { boot_network: inside(boot) }),
    ...(plugins === undefined ? {} : { plugins: all(plugins) }),
    ...(delegates === undefined ? {} : { delegates: all(delegates) }),
  };
}

/** Returns chained plugins as objects inside of the plugin that does their work, with the runtime's part beside them. */
function inside(chained: Readonly<Record<string, Config>>): Config {
  const entries = Object.entries(chained).map(([name, { type: _, runtimeConfig: __, ...keys }]) => [
    name,
    keys,
  ]);
  const runtimeConfig = chained.portmap?.runtimeConfig;
  return { ...Object.fromEntries(entries), ...(runtimeConfig === undefined ? {} : { runtimeConfig }) };
}

/** Every plugin, alone or behind what it needs. */
export const SCENES: readonly Scene[] = [
  { name: "bridge", plugins: [{ ...BRIDGE, macspoofchk: true }], tortured: [0] },
  {
    name: "ptp",
    plugins: [PTP],
    tortured: [0],
  },
  {
    name: "macvlan",
    plugins: [MACVLAN],
    tortured: [0],
    links: UPLINK,
  },
  {
    name: "tap",
    plugins: [{ type: "warren-tap", owner: 0, group: 0, mtu: 1400, ipam: IPAM }],
    tortured: [0],
  },
  {
    name: "host-device",
    plugins: [{ type: "warren-host-device", device: "uplink", ipam: IPAM }],
    tortured: [0],
    links: UPLINK,
    endsWithPod: true,
  },
  // it makes nothing but brings up what every namespace has, so that GC has nothing to collect
  { name: "loopback", plugins: [{ type: "warren-loopback" }], tortured: [0], cures: ["DEL"] },
  { name: "ipam", plugins: [{ type: "warren-ipam", ipam: IPAM }], tortured: [0] },
  {
    name: "bridge and host-local with its files",
    plugins: [{ ...BRIDGE, ipam: { ...IPAM, type: "warren-host-local", dataDir: LEASE_FILES } }],
    tortured: [0],
    files: { [`${LEASE_FILES}/lab/last_reserved_ip.0`]: "10.88.0.6" },
  },
  {
    name: "bridge with all inside",
    plugins: [
      {
        ...BRIDGE,
        ...inside({
          portmap: PORTMAP,
          bandwidth: BANDWIDTH,
          firewall: FIREWALL,
          tuning: TUNING,
          netem: NETEM,
        }),
      },
    ],
    tortured: [0],
  },
  {
    name: "ptp with all inside",
    plugins: [
      {
        ...PTP,
        ...inside({ portmap: PORTMAP, bandwidth: BANDWIDTH, firewall: { type: "" }, tuning: TUNING }),
      },
    ],
    tortured: [0],
  },
  {
    name: "macvlan with tuning inside",
    plugins: [{ ...MACVLAN, ...inside({ tuning: TUNING }) }],
    tortured: [0],
    links: UPLINK,
  },
  { name: "delegates", plugins: [DELEGATES], tortured: [0], links: UPLINK },
  { name: "pair", plugins: [PAIR], tortured: [0], links: UPLINK },
  { name: "bridge and portmap", plugins: [BRIDGE, PORTMAP], tortured: [1] },
  { name: "bridge and bandwidth", plugins: [BRIDGE, BANDWIDTH], tortured: [1] },
  { name: "bridge and netem", plugins: [BRIDGE, NETEM], tortured: [1] },
  { name: "bridge and firewall", plugins: [BRIDGE, FIREWALL], tortured: [1] },
  { name: "bridge and tuning", plugins: [BRIDGE, TUNING], tortured: [1] },
  { name: "bridge and quickack", plugins: [BRIDGE, QUICKACK], tortured: [1] },
  { name: "bridge and sbr", plugins: [BRIDGE, { type: "warren-sbr" }], tortured: [1] },
  { name: "bridge and rewrite", plugins: [BRIDGE, REWRITE], tortured: [1], disableCheck: true },
];

/** Plugins that make nothing: there is nothing that a kill could leave. */
export const IDLE_SCENES: readonly Scene[] = [
  {
    name: "bridge with addresses that are fixed",
    plugins: [{ ...BRIDGE, ipam: { type: "warren-static", addresses: [{ address: "10.88.0.5/16" }] } }],
    tortured: [0],
    looks: false,
  },
  {
    name: "bridge, mesh and trace",
    plugins: [
      BRIDGE,
      { type: "warren-mesh", nodeCIDRs: ["10.88.0.0/16"] },
      { type: "warren-trace", cniOutput: "/run/trace.log" },
    ],
    tortured: [1, 2],
    looks: false,
  },
];

/** Kinds of interfaces, and what a bridge can do, that only the kernel of a virtual machine has. */
const MACHINE: readonly Scene[] = [
  { name: "dummy", plugins: [{ type: "warren-dummy", ipam: IPAM }], tortured: [0] },
  {
    name: "vlan",
    plugins: [{ type: "warren-vlan", master: "uplink", vlanId: 100, mtu: 1400, ipam: IPAM }],
    tortured: [0],
    links: UPLINK,
  },
  {
    name: "ipvlan",
    plugins: [{ type: "warren-ipvlan", master: "uplink", ipam: IPAM }],
    tortured: [0],
    links: UPLINK,
  },
  {
    name: "dummy and vrf",
    plugins: [
      {
        type: "warren-dummy",
        ipam: { ...IPAM, routes: [{ dst: "192.0.2.0/24" }, { dst: "2001:db8::/64" }] },
      },
      { type: "warren-vrf", vrfname: "blue" },
    ],
    tortured: [1],
  },
  {
    name: "bridge in a VLAN with netem inside",
    plugins: [{ ...BRIDGE, isDefaultGateway: false, vlan: 100, ...inside({ netem: MACHINE_NETEM }) }],
    tortured: [0],
  },
  { name: "bridge and netem", plugins: [BRIDGE, MACHINE_NETEM], tortured: [1] },
];

/** An emulated processor is slow: what is the same on every kernel is left to the others. */
export const MACHINE_SCENES: readonly Scene[] = MACHINE.map((scene) => {
  return { ...scene, looks: false, storeWrites: false };
});

/** All that can be chained. */
export const CHAIN: Scene = {
  name: "the whole chain",
  plugins: [BRIDGE, PORTMAP, BANDWIDTH, FIREWALL, TUNING],
  tortured: [0, 1, 2, 3, 4],
  looks: false,
};

/** The pod of a scene. */
export const POD: Target = { containerId: "pod-1", netns: "pod1" };

/** A scene on a host of its own, which vanishes with it. */
export class Stage implements AsyncDisposable {
  private constructor(
    readonly scene: Scene,
    readonly sandbox: Sandbox,
    /** Where the store is. */
    readonly dataDir: string,
  ) {}

  /** Makes the host; its store is its own unless `dataDir` names one that was there before. */
  static async create(scene: Scene, dataDir?: string): Promise<Stage> {
    const sandbox = await Sandbox.create();
    const { links = [], files = {} } = scene;
    try {
      await sandbox.addNetns("pod1");
      if (links.length > 0) await sandbox.text(["ip", "-batch", "-"], { stdin: links.join("\n") });
      for (const [path, content] of Object.entries(files)) {
        await sandbox.text(["sh", "-ec", 'mkdir -p "$(dirname "$1")"; cat > "$1"', "sh", path], {
          stdin: content,
        });
      }
    } catch (error) {
      await sandbox[Symbol.asyncDispose]();
      throw error;
    }
    return new Stage(scene, sandbox, dataDir ?? `${sandbox.directory}/store`);
  }

  /** Returns the config that a runtime gives to one plugin of the chain. */
  config(index: number, more: Config = {}): Config {
    const plugin = this.scene.plugins[index] ?? {};
    const { dataDir } = this;
    return { cniVersion: "1.1.0", name: "lab", ...placed(plugin, dataDir), ...more };
  }

  /** Calls one plugin of the chain. */
  async call(verb: string, index: number, more: Config = {}): Promise<Answer> {
    return call(this.sandbox, verb, this.config(index, more), isOfNetwork(verb) ? undefined : POD);
  }

  async #succeed(verb: string, index: number, more: Config = {}): Promise<Answer> {
    const answer = await this.call(verb, index, more);
    if (answer.exitCode === 0) return answer;
    throw new Error(
      `${verb} of ${String(this.scene.plugins[index]?.type)}: ${answer.stdout}${answer.stderr}`,
    );
  }

  /** Adds the plugins `from` to `to` (not included); `previous` is the result before them. Returns the result. */
  async add(from: number, to: number, previous?: unknown): Promise<unknown> {
    let result = previous;
    for (let index = from; index < to; index++) {
      const answer = await this.#succeed("ADD", index, result === undefined ? {} : { prevResult: result });
      result = answer.document;
    }
    return result;
  }

  /** Checks the whole chain, where that is possible. */
  async check(result: unknown): Promise<void> {
    if (this.scene.disableCheck === true) return;
    for (const index of this.scene.plugins.keys())
      await this.#succeed("CHECK", index, { prevResult: result });
  }

  /** Deletes the plugins from `from` down to `to` (included); without a result, as after an ADD that failed. */
  async del(from: number, to: number, result?: unknown): Promise<void> {
    for (let index = from; index >= to; index--) {
      await this.#succeed("DEL", index, result === undefined ? {} : { prevResult: result });
    }
  }

  /** Collects everything but what is valid, by each plugin in the order of the chain. */
  async gc(valid: readonly Target[] = [], to = this.scene.plugins.length): Promise<void> {
    for (let index = 0; index < to; index++) await this.#succeed("GC", index, validList(valid));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sandbox[Symbol.asyncDispose]();
  }
}

/** Returns the key of a GC's config that says what is valid. */
export function validList(valid: readonly Target[]): Config {
  return {
    "cni.dev/valid-attachments": valid.map(({ containerId, ifname }) => ({
      containerID: containerId,
      ifname: ifname ?? "eth0",
    })),
  };
}

function isOfNetwork(verb: string): boolean {
  return verb === "GC" || verb === "STATUS";
}
