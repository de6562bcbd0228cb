// Nodes of a mesh, each a namespace of one sandbox, on one wire that is a bridge of the sandbox; and pods on them, attached
// by the conflists that the nodes wrote.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { PLUGIN_FOLDER } from "./plugins.ts";
import { type Outcome, Sandbox, WARREN } from "./sandbox.ts";

/** A config of the mesh, as a file has it. */
export type MeshConfig = Readonly<Record<string, unknown>>;

/** A node: a namespace with the interface eth0 at 192.0.2.NUMBER and 2001:db8::NUMBER. */
export class MeshNodeStage {
  constructor(
    readonly sandbox: Sandbox,
    readonly number: number,
  ) {}

  get name(): string {
    return `node${this.number}`;
  }

  get folder(): string {
    return join(this.sandbox.directory, this.name);
  }

  get configFile(): string {
    return join(this.folder, "mesh.json");
  }

  get conflist(): string {
    return join(this.folder, "net.d", "10-mesh.conflist");
  }

  /** Writes the configuration: what every node of these tests says, and over it what is given. */
  async configure(more: MeshConfig = {}): Promise<void> {
    await Bun.write(this.configFile, JSON.stringify({ ...this.config, ...more }));
  }

  get config(): MeshConfig {
    return {
      clusterCIDRs: ["10.244.0.0/16"],
      backend: "vxlan",
      address: `192.0.2.${this.number}`,
      netns: `wg${this.number}`,
      dataDir: join(this.folder, "state"),
      conflist: this.conflist,
      nodeCIDRs: [`10.244.${this.number}.0/24`],
    };
  }

  /** What another node's configuration says of this one. */
  get asPeer(): MeshConfig {
    const { number } = this;
    return { name: `n${number}`, address: `192.0.2.${number}`, nodeCIDRs: [`10.244.${number}.0/24`] };
  }

  /** Runs a command in the node's namespace of the network. */
  run(command: readonly string[], env: Readonly<Record<string, string>> = {}, stdin = ""): Promise<Outcome> {
    const places = {
      NETCONFPATH: join(this.folder, "net.d"),
      CNI_PATH: PLUGIN_FOLDER,
      WARREN_NODE: this.name,
    };
    return this.sandbox.run(["nsenter", `--net=/run/netns/${this.name}`, "--", ...command], {
      env: { ...places, ...env },
      stdin,
    });
  }

  /** Runs a command that must succeed, and returns what it printed. */
  async text(command: readonly string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(command);
    if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit code ${exitCode}: ${stderr}${stdout}`);
    return stdout;
  }

  warren(verb: string, ...more: readonly string[]): Promise<Outcome> {
    return this.run([WARREN, "node", verb, "--config", this.configFile, ...more]);
  }

  /** Runs `warren node`, which must succeed, and returns its lines. */
  async node(verb: string, ...more: readonly string[]): Promise<string[]> {
    const words = [WARREN, "node", verb, "--config", this.configFile, ...more];
    return (await this.text(words)).split("\n").filter((line) => line !== "");
  }

  /** Attaches a pod, and returns its addresses. */
  async attach(pod: string): Promise<string[]> {
    await this.sandbox.addNetns(pod);
    const text = await this.text([WARREN, "add", "mesh", pod, ...this.places]);
    const { ips } = JSON.parse(text) as { readonly ips: readonly { readonly address: string }[] };
    return ips.map(({ address }) => address);
  }

  private get places(): string[] {
    return ["--cache-dir", join(this.folder, "cache")];
  }
}

/** Asks an address for an echo from a namespace, of a packet of this many bytes of IP if told, in one piece. */
export async function reaches(
  sandbox: Sandbox,
  from: string,
  to: string,
  bytes?: number,
): Promise<Outcome & { readonly passed: boolean }> {
  const header = to.includes(":") ? 48 : 28;
  const size = bytes === undefined ? [] : ["--bytes", `${bytes - header}`, "--whole"];
  const outcome = await sandbox.run([WARREN, "lab", "ping", to, "--from", from, "--count", "1", ...size]);
  return { ...outcome, passed: outcome.exitCode === 0 };
}

/** A sandbox with nodes on a wire. */
export class MeshStage implements AsyncDisposable {
  private constructor(
    readonly sandbox: Sandbox,
    readonly nodes: readonly MeshNodeStage[],
  ) {}

  static async create(count: number, mtu = 1500): Promise<MeshStage> {
    const sandbox = await Sandbox.create();
    try {
      return await MeshStage.on(sandbox, count, mtu);
    } catch (error) {
      await sandbox[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The same on a host that is there already. */
  static async on(sandbox: Sandbox, count: number, mtu = 1500): Promise<MeshStage> {
    const nodes = Array.from({ length: count }, (_, index) => new MeshNodeStage(sandbox, index + 1));
    // in ip's own language, because some shells have an ip of their own
    const ip = (lines: readonly string[], ...where: readonly string[]) =>
      sandbox.text(["ip", ...where, "-batch", "-"], { stdin: lines.join("\n") });
    for (const { name, folder } of nodes) {
      await mkdir(folder);
      await sandbox.addNetns(name);
    }
    await ip([
      `link add wire mtu ${mtu} type bridge`,
      "link set wire up",
      ...nodes.flatMap(({ name, number }) => [
        `link add w${number} mtu ${mtu} master wire type veth peer name eth0 mtu ${mtu} netns ${name}`,
        `link set w${number} up`,
      ]),
    ]);
    for (const { name, number } of nodes) {
      const lines = [
        "link set lo up",
        "link set eth0 up",
        `addr add 192.0.2.${number}/24 dev eth0`,
        `addr add 2001:db8::${number}/64 dev eth0 nodad`,
      ];
      await ip(lines, "-netns", name);
    }
    return new MeshStage(sandbox, nodes);
  }

  node(number: number): MeshNodeStage {
    const node = this.nodes[number - 1];
    if (node === undefined) throw new RangeError(`there is no node ${number}`);
    return node;
  }

  /** Configures these nodes to know each other. */
  async acquaint(numbers: readonly number[], more: MeshConfig = {}): Promise<void> {
    for (const number of numbers) {
      const peers = numbers.filter((one) => one !== number).map((one) => this.node(one).asPeer);
      await this.node(number).configure({ peers, ...more });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sandbox[Symbol.asyncDispose]();
  }
}
