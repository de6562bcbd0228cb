// A node with two networks and pods on them, one of which is gone, for commands that look at the whole of it.
import { join } from "node:path";
import { linkNames, PLUGIN_FOLDER } from "./plugins.ts";
import { type Outcome, Sandbox, WARREN } from "./sandbox.ts";

const PODS = {
  cniVersion: "1.1.0",
  name: "pods",
  plugins: [
    {
      type: "warren-bridge",
      bridge: "br0",
      isDefaultGateway: true,
      ipMasq: true,
      capabilities: { portMappings: true, bandwidth: true },
      ipam: {
        type: "warren-ipam",
        ranges: [[{ subnet: "10.88.0.0/24" }], [{ subnet: "fd00:88::/64" }]],
        exclude: ["10.88.0.128/26"],
        cooldownSeconds: 600,
      },
    },
  ],
};

const WIRE = {
  cniVersion: "1.1.0",
  name: "wire",
  plugins: [{ type: "warren-ptp", ipMasq: true, ipam: { type: "warren-ipam", subnet: "10.90.0.0/28" } }],
};

/** What the pod web asks of its runtime. */
const WEB = {
  portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }],
  bandwidth: { ingressRate: 8_000_000, ingressBurst: 800_000, egressRate: 4_000_000, egressBurst: 400_000 },
};

/** The node. Make one with `await using node = await TestNode.create()`. */
export class TestNode implements AsyncDisposable {
  private constructor(readonly host: Sandbox) {}

  static async create(): Promise<TestNode> {
    const node = new TestNode(await Sandbox.create());
    await node.host.text(["mkdir", node.conf]);
    await node.configure("10-pods.conflist", PODS);
    await node.configure("20-wire.conflist", WIRE);
    return node;
  }

  /** The folder of configs. */
  get conf(): string {
    return join(this.host.directory, "net.d");
  }

  async configure(name: string, content: unknown): Promise<void> {
    await Bun.write(join(this.conf, name), typeof content === "string" ? content : JSON.stringify(content));
  }

  /** Attaches web and db to pods, db and tap to wire; gone was on pods and has no namespace any more. */
  async populate(): Promise<void> {
    for (const pod of ["web", "db", "tap", "gone", "rested"]) await this.host.addNetns(pod);
    await this.succeed(["add", "pods", "web"], {
      CAP_ARGS: JSON.stringify(WEB),
      CNI_ARGS: "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0",
    });
    await this.succeed(["add", "pods", "db"]);
    await this.succeed(["add", "wire", "db", "--ifname", "eth1"]);
    await this.succeed(["add", "wire", "tap"]);
    await this.succeed(["add", "pods", "gone"]);
    await this.succeed(["add", "pods", "rested"]);
    await this.succeed(["del", "pods", "rested"]);
    await this.host.text(["ip", "netns", "del", "gone"]);
    // the kernel takes the pair away a moment later
    while ((await linkNames(this.host)).filter((name) => name.startsWith("veth")).length > 4)
      await Bun.sleep(10);
  }

  /** Runs the operator's tool on this node. */
  warren(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
    const places = { NETCONFPATH: this.conf, CNI_PATH: PLUGIN_FOLDER, LANG: "C.UTF-8" };
    return this.host.run([WARREN, ...args], { env: { ...places, ...env } });
  }

  /** Runs a command that must succeed and returns what it prints. */
  async succeed(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
    const { exitCode, stdout, stderr } = await this.warren(args, env);
    if (exitCode !== 0)
      throw new Error(`warren ${args.join(" ")}: exit code ${exitCode}: ${stderr}${stdout}`);
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host[Symbol.asyncDispose]();
  }
}
