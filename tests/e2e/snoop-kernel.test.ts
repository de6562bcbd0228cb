// `warren snoop --kernel`: calls of plugins by the kernel's word, made by real runtimes that were told of nothing. Process
// events reach only the machine's own namespaces, so the watcher is started there, where it opens a socket and listens;
// runtimes and plugins are in a sandbox. The plugins take their time, because a test's machine is busy.
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { isRoot, Sandbox, testWith, WARREN } from "../support/sandbox.ts";
import { type Json, TemporaryDirectory } from "../support/world.ts";

const INITIAL_PIDS = 0xefff_fffcn;
const machine = {
  reason:
    isRoot && statSync("/proc/self/ns/pid", { bigint: true }).ino === INITIAL_PIDS
      ? undefined
      : "process events are told to root in the machine's own pid namespace only",
};

const NET = `
[ "$CNI_COMMAND" = VERSION ] && exec echo '{"cniVersion":"1.1.0","supportedVersions":["1.1.0"]}'
config=$(cat)
sleep 0.3
answer=$(printf %s "$config" | "$CNI_PATH/kernel-address")
# what came through is in the result, so that a byte that somebody else took would be missed
[ "$CNI_COMMAND" = ADD ] && printf '{"cniVersion":"1.1.0","dns":{"search":["%s bytes"]}}' "$(printf %s "$config" | wc -c)"
[ "$CNI_COMMAND" != CHECK ] || { echo '{"code":7,"msg":"no"}'; exit 1; }
`;
const ADDRESS = "cat | cat >/dev/null; sleep 0.3; echo '{}'";

/** A node with a network of two scripts, one of which delegates to the other, and a watcher outside of it. */
class Scene implements AsyncDisposable {
  #child: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;
  #seen = "";

  private constructor(
    readonly host: Sandbox,
    readonly netns: string,
  ) {}

  static async create(): Promise<Scene> {
    const host = await Sandbox.create();
    const scene = new Scene(host, await host.addNetns(`pod-${process.pid}-${Bun.randomUUIDv7().slice(-6)}`));
    mkdirSync(join(host.directory, "bin"));
    mkdirSync(join(host.directory, "net.d"));
    for (const [name, script] of [
      ["kernel-net", NET],
      ["kernel-address", ADDRESS],
    ] as const) {
      writeFileSync(join(host.directory, "bin", name), `#!/bin/sh\n${script}\n`);
      chmodSync(join(host.directory, "bin", name), 0o755);
    }
    const list = {
      cniVersion: "1.1.0",
      name: "seen",
      plugins: [{ type: "kernel-net", filler: "x".repeat(5000) }],
    };
    writeFileSync(join(host.directory, "net.d", "10-seen.conflist"), JSON.stringify(list));
    return scene;
  }

  /** The id that cnitool and Warren give the pod. */
  get container(): string {
    return `cnitool-${createHash("sha512").update(this.netns).digest("hex").slice(0, 20)}`;
  }

  /** Begins to watch what is called for the pod. */
  async watch(...args: string[]): Promise<void> {
    // the sandbox has a /var/lib of its own, which is seen from here through the process that holds it
    const cache = `/proc/${this.host.pid}/root/var/lib/cni`;
    const flags = ["--kernel", "--cache-dir", cache, "--container", this.container, ...args];
    this.#child = Bun.spawn([WARREN, "snoop", ...flags], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const { stdout } = this.#child;
    const first = await this.#child.stderr.getReader().read();
    expect(new TextDecoder().decode(first.value)).toContain("watching every program for calls of plugins");
    void (async () => {
      for await (const chunk of stdout) this.#seen += new TextDecoder().decode(chunk);
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

testWith(machine, tools.cnitool)(
  "S3-N05 calls by cnitool, which knows nothing of it: plugins, delegates, ends and times; nothing is taken from them",
  async () => {
    await using scene = await Scene.create();
    await scene.watch("--json");
    const cnitool = tools.cnitool.path ?? "";
    const added = await scene.runtime(cnitool, "add");
    expect([added.exitCode, added.stderr]).toEqual([0, ""]);
    const config = { cniVersion: "1.1.0", filler: "x".repeat(5000), name: "seen", type: "kernel-net" };
    expect(JSON.parse(added.stdout).dns).toEqual({ search: [`${JSON.stringify(config).length} bytes`] });
    const [inner, outer] = await scene.calls(2);
    const bin = join(scene.host.directory, "bin");
    const env = { CNI_COMMAND: "ADD", CNI_CONTAINERID: scene.container, CNI_IFNAME: "eth0", CNI_PATH: bin };
    expect([inner, outer]).toMatchObject([
      { plugin: join(bin, "kernel-address"), verb: "ADD", depth: 1, exitCode: 0, env },
      { plugin: join(bin, "kernel-net"), verb: "ADD", depth: 0, exitCode: 0, env },
    ]);
    expect(JSON.stringify(outer?.parent)).toContain(`"command":"${cnitool} add seen `);
    // the script that a shell runs, and not one of the programs in it; the inner takes a part of the outer's time
    expect(Number(inner?.durationMs)).toBeGreaterThanOrEqual(300);
    expect(Number(outer?.durationMs)).toBeGreaterThanOrEqual(600);
    expect(Number(outer?.durationMs)).toBeGreaterThan(Number(inner?.durationMs));
    for (const call of [inner, outer]) expect(Object.keys(call ?? {})).not.toContain("stdin");
    // by now the runtime has written down which network that was
    const failed = await scene.runtime(cnitool, "check");
    expect(failed.exitCode).toBe(1);
    expect((await scene.calls(4)).slice(2)).toMatchObject([
      { verb: "CHECK", plugin: join(bin, "kernel-address"), network: "seen", exitCode: 0 },
      { verb: "CHECK", plugin: join(bin, "kernel-net"), network: "seen", exitCode: 1 },
    ]);
    // whoever takes such a record for a whole one is told
    writeFileSync(join(scene.host.directory, "calls.jsonl"), `${JSON.stringify(outer)}\n`);
    const replay = await scene.host.run([WARREN, "replay", join(scene.host.directory, "calls.jsonl")]);
    expect([replay.exitCode, replay.stderr]).toEqual([1, expect.stringContaining("has no standard input")]);
  },
);

testWith(machine)(
  "S3-N05 calls by warren: shown as they begin, with the network, and as they end",
  async () => {
    await using scene = await Scene.create();
    await scene.watch();
    const running = scene.runtime(WARREN, "add");
    const begun = await scene.seen(/ kernel-net ADD EXEC\n[\s\S]*CNI_IFNAME=eth0\n/);
    // it has not ended yet
    expect(begun).not.toContain("EXIT");
    expect((await running).exitCode).toBe(0);
    const ended = await scene.seen(/ kernel-net ADD EXIT\n0 after [\d.]+ ms\nnetwork seen\n$/);
    expect(ended).toMatch(/\n {2}-{80}\n {2}[\d:.]+ \d+\/\d+ kernel-address ADD EXEC\n/);
    expect(ended).not.toContain("\u001b");
    await scene.runtime(WARREN, "check");
    // the exit code, and not the kernel's 256; nothing could make the call again
    expect(await scene.seen(/kernel-net CHECK EXIT\n1 after /)).not.toContain("to make this call again");
  },
);

testWith(machine)("S3-N05 only what is asked for, and a death by a signal", async () => {
  await using scene = await Scene.create();
  writeFileSync(
    join(scene.host.directory, "bin", "kernel-address"),
    "#!/bin/sh\ncat >/dev/null; sleep 0.3; kill -9 $$\n",
  );
  await scene.watch("--json", "--failed", "--verb", "del", "--network", "seen");
  await scene.runtime(WARREN, "add");
  await scene.runtime(WARREN, "del");
  expect(await scene.calls(1)).toMatchObject([
    { verb: "DEL", network: "seen", signal: "SIGKILL", plugin: expect.stringContaining("kernel-address") },
  ]);
});

testWith(machine)("S3-N05 where the kernel tells nobody it is refused, with the reason", async () => {
  using directory = new TemporaryDirectory();
  const refused = (...before: string[]) => {
    const { exitCode, stdout, stderr } = Bun.spawnSync([...before, WARREN, "snoop", "--kernel"], {
      cwd: directory.path,
      timeout: 20_000,
    });
    return `${exitCode} ${stdout}${stderr}`;
  };
  expect(refused("unshare", "--pid", "--fork", "--mount-proc")).toBe(
    "1 Error: the kernel tells of processes only in the machine's own pid namespace, and this is another one; run it on the machine itself, not in a container\n",
  );
  expect(refused("unshare", "--user", "--map-root-user")).toStartWith(
    "1 Error: the kernel tells of processes only in the machine's own user namespace",
  );
  expect(refused("setpriv", "--reuid", "65534", "--clear-groups")).toBe(
    "1 Error: this user may not watch the programs of others; run it as root (CAP_NET_ADMIN)\n",
  );
});

test("S3-N05 what needs the bytes of a call is refused", async () => {
  const { exitCode, stderr } = Bun.spawnSync([WARREN, "snoop", "--kernel", "--always-replay"]);
  expect([exitCode, stderr.toString()]).toEqual([
    2,
    "Error: --kernel sees no standard input, so there is nothing to replay: use recorders\n",
  ]);
});
