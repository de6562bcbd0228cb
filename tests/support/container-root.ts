// A throwaway host on which real container runtimes can run: a sandbox with, beside its network, its own process
// ids, /etc, /opt, /dev/shm and a cgroup tree that can't be written to. The first process inside waits on a pipe from
// this process and takes every shim and monitor, and every mount that they made, with it, however the test ends.
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isRoot, type Outcome, type RunOptions, Sandbox, WARREN } from "./sandbox.ts";

/** Where runtimes look for configs and plugins; both are empty but for what `create` puts there. */
export const CONF_FOLDER = "/etc/cni/net.d";
export const BIN_FOLDER = "/opt/cni/bin";

/** The one image that there is: busybox, and a file that its web server hands out. */
export const IMAGE = "localhost/busybox:latest";
export const GREETING = "hello from a container";

/** A need of every test that runs containers. */
export const rootNeeded = isRoot ? {} : { reason: "container runtimes need root" };

/** The last command is no exec: the first process has to reap the orphans. */
const SET_UP = `
set -e
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /opt
mkdir -p /run/etc/upper /run/etc/work
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work overlay /etc
rm -rf /etc/cni
mkdir -p ${CONF_FOLDER} ${BIN_FOLDER}
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -o remount,bind,ro /sys/fs/cgroup
for plugin in bridge ipam loopback delegates tuning; do
  ln -s ${WARREN} ${BIN_FOLDER}/warren-$plugin
done
ln -s ${WARREN}-loopback ${BIN_FOLDER}/loopback
echo ready
cat >/dev/null
exit 0
`;

/** A private host for containers. Make one with `await using host = await ContainerHost.create(networks)`. */
export class ContainerHost implements AsyncDisposable {
  private constructor(
    /** The sandbox around it: the same network, but other mounts and processes. */
    readonly sandbox: Sandbox,
    private readonly holder: Bun.Subprocess<"pipe", "pipe", "pipe">,
  ) {}

  /** Makes the host with these networks in its conf folder; throws with the shell's own words if it can't. */
  static async create(networks: readonly { readonly name: string }[]): Promise<ContainerHost> {
    const sandbox = await Sandbox.create();
    const flags = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const holder = Bun.spawn(sandbox.inside(["unshare", ...flags, "sh", "-c", SET_UP]), {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    const host = new ContainerHost(sandbox, holder);
    const first = await holder.stdout.getReader().read();
    if (new TextDecoder().decode(first.value).trim() !== "ready") {
      const problem = await new Response(holder.stderr).text();
      await host[Symbol.asyncDispose]();
      throw new Error(`no host for containers can be made here: ${problem.trim()}`);
    }
    for (const network of networks) {
      await host.text(["tee", `${CONF_FOLDER}/${network.name}.conflist`], {
        stdin: JSON.stringify(network),
      });
    }
    return host;
  }

  /** A directory that is deleted with the host. */
  get directory(): string {
    return this.sandbox.directory;
  }

  /** Returns the command line that runs `command` inside when it is run in the sandbox. */
  private inside(command: readonly string[]): string[] {
    const namespaces = [
      `--mount=/proc/${this.holder.pid}/ns/mnt`,
      `--pid=/proc/${this.holder.pid}/ns/pid_for_children`,
    ];
    return ["nsenter", ...namespaces, `--wdns=${this.directory}`, "--", ...command];
  }

  /** Starts a command inside and returns the process. */
  start(command: readonly string[], options: RunOptions = {}): Bun.Subprocess<Blob, "pipe", "pipe"> {
    return this.sandbox.start(this.inside(command), options);
  }

  /** Runs a command inside to its end. */
  run(command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return this.sandbox.run(this.inside(command), options);
  }

  /** Runs a command that must succeed and returns its output as text. */
  text(command: readonly string[], options: RunOptions = {}): Promise<string> {
    return this.sandbox.text(this.inside(command), options);
  }

  /**
   * Writes the image as an archive that podman and ctr both read, and returns its path. Where busybox is not linked
   * statically, the libraries that it needs come along.
   */
  async writeImage(busybox: string): Promise<string> {
    const tree = join(this.directory, "image-tree");
    mkdirSync(join(tree, "bin"), { recursive: true });
    mkdirSync(join(tree, "www"));
    writeFileSync(join(tree, "www/hello"), GREETING);
    symlinkSync("busybox", join(tree, "bin/sh"));
    await this.text(["cp", "-L", busybox, join(tree, "bin/busybox")]);
    const libraries = (await this.run(["ldd", busybox])).stdout.match(/\/\S+/g) ?? [];
    if (libraries.length > 0) await this.text(["cp", "-L", "--parents", ...libraries, tree]);

    const archive = join(this.directory, "image");
    mkdirSync(archive);
    const layer = join(archive, "layer.tar");
    await this.text(["tar", "-C", tree, "-cf", layer, "."]);
    const digest = new Bun.CryptoHasher("sha256").update(await Bun.file(layer).bytes()).digest("hex");
    const settings = {
      os: "linux",
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      config: { Env: ["PATH=/bin"] },
      rootfs: { type: "layers", diff_ids: [`sha256:${digest}`] },
    };
    const manifest = [{ Config: "config.json", RepoTags: [IMAGE], Layers: ["layer.tar"] }];
    writeFileSync(join(archive, "config.json"), JSON.stringify(settings));
    writeFileSync(join(archive, "manifest.json"), JSON.stringify(manifest));
    const path = join(this.directory, "image.tar");
    await this.text(["tar", "-C", archive, "-cf", path, "manifest.json", "config.json", "layer.tar"]);
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.holder.stdin.end();
    await this.holder.exited;
    await this.sandbox[Symbol.asyncDispose]();
  }
}
