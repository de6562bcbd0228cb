// A node whose calls are watched by `warren snoop` without recorders. Process events reach only the machine's own namespaces,
// so the watcher is started there, where it opens a socket and listens; runtimes and plugins are in a sandbox.
import { expect } from "bun:test";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isRoot, Sandbox, WARREN } from "./sandbox.ts";
import type { Json } from "./world.ts";

const INITIAL_PIDS = 0xefff_fffcn;

/** Whether a watcher hears anything here. */
export const machine = {
  reason:
    isRoot && statSync("/proc/self/ns/pid", { bigint: true }).ino === INITIAL_PIDS
      ? undefined
      : "process events are told to root in the machine's own pid namespace only",
};

/** What is on the node. */
interface Equipment {
  /** Plugins that are scripts, of the shell if their first line says nothing else. */
  readonly scripts?: Readonly<Record<string, string>>;
  /** Plugins that are files elsewhere. */
  readonly files?: Readonly<Record<string, string>>;
  /** The only plugin of the network `seen`. */
  readonly plugin: Json;
}

/** A node with a network, a namespace for a pod, and a watcher outside of it. */
export class WatchedNode implements AsyncDisposable {
  #child: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;
  #seen = "";

  private constructor(
    readonly host: Sandbox,
    readonly netns: string,
  ) {}

  static async create({ scripts = {}, files = {}, plugin }: Equipment): Promise<WatchedNode> {
    const host = await Sandbox.create();
    const netns = await host.addNetns(`pod-${process.pid}-${Bun.randomUUIDv7().slice(-6)}`);
    const bin = join(host.directory, "bin");
    mkdirSync(bin);
    mkdirSync(join(host.directory, "net.d"));
    for (const [name, script] of Object.entries(scripts)) {
      writeFileSync(join(bin, name), `${script.startsWith("#!") ? "" : "#!/bin/sh\n"}${script}\n`);
      chmodSync(join(bin, name), 0o755);
    }
    for (const [name, file] of Object.entries(files)) symlinkSync(file, join(bin, name));
    const list = { cniVersion: "1.1.0", name: "seen", plugins: [plugin] };
    writeFileSync(join(host.directory, "net.d", "10-seen.conflist"), JSON.stringify(list));
    return new WatchedNode(host, netns);
  }

  /** The watcher's process. */
  get watcher(): Bun.Subprocess<"ignore", "pipe", "pipe"> {
    if (this.#child === undefined) throw new Error("nobody watches yet");
    return this.#child;
  }

  /** The id that cnitool and Warren give the pod. */
  get container(): string {
    return `cnitool-${createHash("sha512").update(this.netns).digest("hex").slice(0, 20)}`;
  }

  /** Begins to watch what is called for the pod. */
  async watch(flag: "--kernel" | "--streams", ...args: string[]): Promise<void> {
    // the sandbox has a /var/lib of its own, which is seen from here through the process that holds it
    const cache = `/proc/${this.host.pid}/root/var/lib/cni`;
    const flags = [flag, "--cache-dir", cache, "--container", this.container, ...args];
    this.#child = Bun.spawn([WARREN, "snoop", ...flags], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const { stdout } = this.#child;
    const first = await this.#child.stderr.getReader().read();
    expect(new TextDecoder().decode(first.value)).toContain("watching every program for calls of plugins");
    void (async () => {
      // a character may stand in two chunks
      const decoder = new TextDecoder();
      for await (const chunk of stdout) this.#seen += decoder.decode(chunk, { stream: true });
    })();
  }

  async seen(wanted: RegExp): Promise<string> {
    while (!wanted.test(this.#seen)) await Bun.sleep(10);
    return this.#seen;
  }

  async calls(count: number): Promise<Json[]> {
    while (this.#seen.split("\n").length <= count) await Bun.sleep(10);
    return this.#seen
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
  }

  /** Has a runtime do something for the pod. */
  runtime(program: string, verb: string) {
    const env = {
      NETCONFPATH: join(this.host.directory, "net.d"),
      CNI_PATH: join(this.host.directory, "bin"),
    };
    return this.host.run([program, verb, "seen", this.netns], { env });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child?.kill("SIGINT");
    expect(await (this.#child?.exited ?? 0)).toBe(0);
    await this.host[Symbol.asyncDispose]();
  }
}
