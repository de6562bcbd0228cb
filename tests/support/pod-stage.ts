// A host for tests of pods: two networks of ours, two of plugins that write down how they are called, and what may be left
// of pods there.
import { expect } from "bun:test";
import { Recorder } from "../unit/runtime/recorder.ts";
import { linkNames, PLUGIN_FOLDER } from "./plugins.ts";
import type { Printed } from "./printed.ts";
import { type Outcome, Sandbox, WARREN } from "./sandbox.ts";

const RED = {
  cniVersion: "1.1.0",
  name: "red",
  plugins: [
    {
      type: "warren-bridge",
      bridge: "red0",
      isDefaultGateway: true,
      ipMasq: true,
      capabilities: { ips: true, mac: true, portMappings: true, bandwidth: true },
      dns: {
        nameservers: ["10.9.9.9", "fd00::53"],
        domain: "lab",
        search: ["a.lab", "b.lab"],
        options: ["ndots:2"],
      },
      ipam: { type: "warren-ipam", ranges: [[{ subnet: "10.77.0.0/24" }], [{ subnet: "fd00:77::/64" }]] },
    },
    { type: "warren-firewall" },
  ],
};
const WIRE = {
  cniVersion: "1.1.0",
  name: "wire",
  plugins: [{ type: "warren-ptp", ipam: { type: "warren-ipam", subnet: "10.90.0.0/28" } }],
};

/** A host with two networks of ours, and two of recording plugins called one (a) and two (b). */
export class PodStage implements AsyncDisposable {
  private constructor(
    readonly host: Sandbox,
    readonly files: Recorder,
  ) {}

  static async create(): Promise<PodStage> {
    const host = await Sandbox.create();
    const files = new Recorder(["a", "b"], host.directory);
    const capabilities = {
      "io.kubernetes.cri.pod-annotations": true,
      portMappings: true,
      ips: true,
      bandwidth: true,
    };
    files.configure("one.conflist", {
      cniVersion: "1.1.0",
      name: "one",
      plugins: [{ type: "a", capabilities }],
    });
    files.configure("two.conflist", { cniVersion: "1.1.0", name: "two", plugins: [{ type: "b" }] });
    files.configure("red.conflist", RED);
    files.configure("wire.conflist", WIRE);
    return new PodStage(host, files);
  }

  get env() {
    return { NETCONFPATH: this.files.conf, CNI_PATH: `${this.files.bin}:${PLUGIN_FOLDER}` };
  }

  /** Runs `warren pod ...`. */
  pod(...args: string[]): Promise<Outcome> {
    return this.warren("pod", ...args);
  }

  warren(...args: string[]): Promise<Outcome> {
    return this.host.run([WARREN, ...args], { env: this.env });
  }

  start(...args: string[]) {
    return this.host.start([WARREN, "pod", ...args], { env: this.env });
  }

  async succeed(...args: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.pod(...args);
    if (exitCode !== 0) throw new Error(`pod ${args.join(" ")}: exit code ${exitCode}: ${stderr}${stdout}`);
    return stdout;
  }

  async list(): Promise<Printed[]> {
    return JSON.parse(await this.succeed("list", "--json"));
  }

  /** Asserts that of no pod anything is left: in the kernel, the cache, the store and the records. */
  async expectNothingLeft(bridges: readonly string[] = ["red0"]): Promise<void> {
    const list = async (folder: string) => (await this.host.run(["ls", "-A", folder])).stdout;
    expect({
      namespaces: await list("/run/netns"),
      records: await list("/var/lib/cni/warren-pods"),
      cache: await list("/var/lib/cni/results"),
      links: await linkNames(this.host),
      leases: (await this.warren("leases")).stdout.replace("no leases\n", ""),
    }).toEqual({ namespaces: "", records: "", cache: "", links: [...bridges], leases: "" });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.host[Symbol.asyncDispose]();
  }
}
