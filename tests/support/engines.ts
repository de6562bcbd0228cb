// Real container engines on a throwaway host: podman with its CNI backend, and containerd with ctr as its client, each with
// everything of its own in private places.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { type ContainerHost, IMAGE, rootNeeded } from "./container-root.ts";
import { type Outcome, testWith } from "./sandbox.ts";

const busybox = tools.program("busybox");
const needed = [rootNeeded, busybox, tools.program("nft"), tools.program("crun")];
export const testWithPodman = testWith(...needed, tools.program("podman"));
export const testWithContainerd = testWith(...needed, tools.program("containerd"), tools.program("ctr"));

export const SERVE = ["/bin/busybox", "httpd", "-f", "-h", "/www"];
export const SLEEP = ["/bin/busybox", "sleep", "1000"];

/** What `ip` says inside a container. */
export interface Inside {
  readonly hardwareAddress: string | undefined;
  readonly addresses: readonly string[];
  readonly gateways: readonly string[];
}

/** The commands whose output `parseInside` reads. */
export const LOOK = "busybox ip addr show dev eth0; busybox ip route; busybox ip -6 route";

/** Reads what `LOOK` printed in a container. */
export function parseInside(text: string): Inside {
  const all = (pattern: RegExp) => [...text.matchAll(pattern)].map(([, found]) => found ?? "");
  return {
    hardwareAddress: all(/link\/ether (\S+)/g)[0],
    addresses: all(/inet6? (\S+) .*scope global/g),
    gateways: all(/^default via (\S+) dev eth0/gm),
  };
}

/** podman with its CNI backend and everything of its own in private places. */
export class Podman {
  private constructor(
    readonly host: ContainerHost,
    /** The variables by which every podman finds what is this one's. */
    readonly env: Readonly<Record<string, string>>,
  ) {}

  static async create(host: ContainerHost): Promise<Podman> {
    const config = join(host.directory, "containers.conf");
    writeFileSync(
      config,
      `[network]
network_backend = "cni"
cni_plugin_dirs = ["/opt/cni/bin"]
network_config_dir = "/etc/cni/net.d"
[engine]
runtime = "crun"
cgroup_manager = "cgroupfs"
events_logger = "none"
[containers]
cgroups = "disabled"
log_driver = "k8s-file"
`,
    );
    const storage = join(host.directory, "storage.conf");
    writeFileSync(
      storage,
      `[storage]
driver = "vfs"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
`,
    );
    const places = { CONTAINERS_CONF: config, CONTAINERS_STORAGE_CONF: storage };
    const podman = new Podman(host, { ...places, TMPDIR: host.directory });
    await podman.text("load", "--input", await host.writeImage(busybox.path ?? ""));
    return podman;
  }

  run(...args: string[]): Promise<Outcome> {
    return this.host.run(["podman", ...args], { env: this.env });
  }

  async text(...args: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(...args);
    if (exitCode !== 0) throw new Error(`podman ${args.join(" ")}: exit code ${exitCode}: ${stderr}`);
    return stdout;
  }

  /** Starts a container on our network and returns its id. */
  async start(name: string, options: readonly string[] = [], command: readonly string[] = SLEEP) {
    const all = ["--name", name, "--network", "containers", "--cap-add", "NET_RAW", ...options];
    return (await this.text("run", "--detach", ...all, IMAGE, ...command)).trim();
  }

  async look(name: string): Promise<Inside> {
    return parseInside(await this.text("exec", name, "/bin/sh", "-c", LOOK));
  }
}

/** containerd, and ctr as its client. */
export class Containerd {
  /** The variables by which every ctr finds this one. */
  readonly env = { CONTAINERD_ADDRESS: "/run/containerd/socket" };

  private constructor(readonly host: ContainerHost) {}

  static async create(host: ContainerHost): Promise<Containerd> {
    const containerd = new Containerd(host);
    const config = join(host.directory, "containerd.toml");
    writeFileSync(config, 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n');
    // the machine's cgroups are none of our business
    const runtime = '#!/bin/sh\nexec crun --cgroup-manager=disabled "$@"\n';
    writeFileSync(join(host.directory, "crun-without-cgroups"), runtime, { mode: 0o755 });
    const places = "--root /var/lib/containerd --state /run/containerd --address /run/containerd/socket";
    host.start(["sh", "-c", `exec containerd --config ${config} ${places} >containerd.log 2>&1`]);
    await until("containerd answers", async () => (await containerd.ctr("version")).exitCode === 0);
    const image = await host.writeImage(busybox.path ?? "");
    await containerd.text("image", "import", "--snapshotter", "native", image);
    return containerd;
  }

  ctr(...args: string[]): Promise<Outcome> {
    return this.host.run(["ctr", ...args], { env: this.env });
  }

  async text(...args: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.ctr(...args);
    if (exitCode !== 0) throw new Error(`ctr ${args.join(" ")}: exit code ${exitCode}: ${stderr}`);
    return stdout;
  }

  private runArguments(name: string, command: readonly string[], ending: "--rm" | "--detach"): string[] {
    const runtime = [
      "--snapshotter",
      "native",
      "--runc-binary",
      `${this.host.directory}/crun-without-cgroups`,
    ];
    return ["run", ending, "--cni", ...runtime, IMAGE, name, ...command];
  }

  /** Starts a container to whose end ctr waits, which is what makes it call DEL. */
  async start(name: string, command: readonly string[]): Promise<Bun.Subprocess<Blob, "pipe", "pipe">> {
    const child = this.host.start(["ctr", ...this.runArguments(name, command, "--rm")], {
      env: this.env,
    });
    await until(`container ${name} runs`, async () => (await this.taskOf(name)).includes("RUNNING"));
    return child;
  }

  /** Starts a container that ctr leaves to itself: it calls ADD, and nobody calls DEL. */
  async startDetached(name: string, command: readonly string[]): Promise<void> {
    await this.text(...this.runArguments(name, command, "--detach"));
  }

  /** Ends a container of startDetached. */
  async remove(name: string): Promise<void> {
    await this.text("task", "kill", "--signal", "KILL", name);
    await until(`container ${name} is stopped`, async () => (await this.taskOf(name)).includes("STOPPED"));
    // exits with the code of the killed process
    await this.ctr("task", "delete", name);
    await this.text("container", "delete", name);
  }

  async taskOf(name: string): Promise<string> {
    const lines = (await this.text("task", "list")).split("\n");
    return lines.find((line) => line.startsWith(`${name} `)) ?? "";
  }
}

/** Waits until that is so; throws Error after 20 seconds. */
export async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await Bun.sleep(50);
  }
}
