// `warren snoop` by its recorders: what a runtime and a plugin say to each other goes through unchanged, and is seen. The
// plugins are scripts that say what they were told to, so that every byte can be compared.
import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PLUGIN_FOLDER } from "../support/plugins.ts";
import { type Outcome, WARREN } from "../support/sandbox.ts";
import { type Json, TemporaryDirectory } from "../support/world.ts";

const RULE = "-".repeat(80);

/** Plugins, and a snoop in front of them. */
class Post extends TemporaryDirectory {
  readonly plugins = join(this.path, "plugins");
  readonly folder = join(this.path, "warren-snoop");
  #snoop: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;
  #seen = "";

  constructor() {
    super();
    mkdirSync(this.plugins);
  }

  /** Makes a plugin of a shell script. */
  plugin(name: string, script: string): void {
    writeFileSync(join(this.plugins, name), `#!/bin/sh\n${script}`);
    chmodSync(join(this.plugins, name), 0o755);
  }

  async watch(...args: string[]): Promise<void> {
    const command = [
      WARREN,
      "snoop",
      "--dir",
      this.path,
      "--cni-bin-dir",
      `${this.plugins}:${PLUGIN_FOLDER}`,
      ...args,
    ];
    this.#snoop = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    while (!existsSync(this.folder)) await Bun.sleep(5);
    void this.#read(this.#snoop.stdout);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const chunk of stream) this.#seen += new TextDecoder().decode(chunk);
  }

  /** Waits until the view has this. */
  async seen(wanted: string | RegExp): Promise<string> {
    while (this.#seen.search(typeof wanted === "string" ? RegExp.escape(wanted) : wanted) < 0)
      await Bun.sleep(10);
    return this.#seen;
  }

  /** Waits until so many calls were shown as JSON, and returns them. */
  async calls(count: number): Promise<Json[]> {
    while (this.#seen.split("\n").length <= count) await Bun.sleep(10);
    return this.#seen
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
  }

  /** Calls a plugin as a runtime does that has the recorders in front. */
  async call(
    name: string,
    stdin: string | Uint8Array,
    env: Readonly<Record<string, string>> = {},
    folder = this.folder,
  ): Promise<Outcome & { readonly signal: string }> {
    const child = Bun.spawn([join(folder, name)], {
      env: {
        PATH: process.env.PATH ?? "",
        CNI_COMMAND: "ADD",
        CNI_CONTAINERID: "pod-1",
        CNI_NETNS: "/nowhere",
        CNI_IFNAME: "eth0",
        CNI_PATH: `${this.folder}:${this.plugins}:${PLUGIN_FOLDER}`,
        ...env,
      },
      stdin: new Blob([stdin]),
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return { exitCode: await child.exited, stdout, stderr, signal: String(child.signalCode) };
  }

  async end(signal: "SIGINT" | "SIGTERM" = "SIGINT"): Promise<number | undefined> {
    this.#snoop?.kill(signal);
    return this.#snoop?.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    this[Symbol.dispose]();
  }
}

describe("S3-N01 a recorder hands everything through as it is", () => {
  const big = `{"name":"lab","filler":"${"x".repeat(300 * 1024)}"}`;

  test.each<[what: string, script: string, stdin: string | Uint8Array]>([
    [
      "an answer and words on standard error",
      'cat >/dev/null; printf \'{"cniVersion":"1.1.0"}\'; echo hello >&2',
      "{}",
    ],
    ["standard input byte by byte", "cat", ` {"a":'"\\\n\t\u0001ä`],
    ["input that is no text", "cat | od -An -tx1", new Uint8Array([0, 255, 254, 10, 128])],
    ["much of everything", "tee /dev/stderr", big],
    ["its variables", "cat >/dev/null; env | grep ^CNI_ | sort", "{}"],
    ["an error and its exit code", 'cat >/dev/null; echo \'{"code":7,"msg":"no"}\'; exit 3', "{}"],
    ["a plugin that reads nothing", "echo done", big],
    ["nothing at all", "exit 0", ""],
  ])("%s", async (_what, script, stdin) => {
    await using post = new Post();
    post.plugin("sample", script);
    await post.watch("--json");
    const plain = await post.call("sample", stdin, {}, post.plugins);
    expect(await post.call("sample", stdin)).toEqual(plain);
    const [recorded] = await post.calls(1);
    expect(recorded).toMatchObject({
      plugin: join(post.plugins, "sample"),
      verb: "ADD",
      exitCode: plain.exitCode,
      env: { CNI_CONTAINERID: "pod-1" },
    });
  });

  test("death by a signal, and a signal to the plugin", async () => {
    await using post = new Post();
    post.plugin("suicide", "cat >/dev/null; kill -9 $$");
    post.plugin(
      "sleeper",
      'trap "echo stopped; exit 5" TERM; echo ready > "$0.ready"; while :; do sleep 0.02; done',
    );
    await post.watch("--json");
    expect(await post.call("suicide", "{}")).toMatchObject({ signal: "SIGKILL", stdout: "" });
    expect(await post.calls(1)).toMatchObject([{ signal: "SIGKILL" }]);
    const child = Bun.spawn([join(post.folder, "sleeper")], {
      env: { PATH: process.env.PATH ?? "", CNI_COMMAND: "ADD", CNI_PATH: `${post.folder}:${post.plugins}` },
      stdin: "ignore",
      stdout: "pipe",
    });
    while (!existsSync(join(post.plugins, "sleeper.ready"))) await Bun.sleep(5);
    child.kill("SIGTERM");
    expect([await child.exited, await new Response(child.stdout).text()]).toEqual([5, "stopped\n"]);
  });

  test("a plugin that is not there is the error that a runtime would have told", async () => {
    await using post = new Post();
    post.plugin("sample", "exit 0");
    await post.watch();
    Bun.spawnSync(["rm", join(post.plugins, "sample")]);
    const { exitCode, stdout } = await post.call("sample", "{}");
    expect([exitCode, JSON.parse(stdout)]).toMatchObject([1, { code: 106 }]);
    expect(JSON.parse(stdout).msg).toContain('failed to find plugin "sample" in path');
  });
});

test("S3-N02 the view has a block each for start, input, output and end, and how to make a failed call again", async () => {
  await using post = new Post();
  post.plugin("good", 'cat >/dev/null; echo \'{"cniVersion":"1.1.0"}\'');
  post.plugin("bad", 'cat >/dev/null; echo \'{"code":7,"msg":"no"}\'; echo words >&2; exit 1');
  await post.watch();
  await post.call("good", '{"name":"lab"}');
  const first = await post.seen(" ms\n");
  const title = (event: string) =>
    `${RULE}\\n\\d\\d:\\d\\d:\\d\\d\\.\\d{3} \\d+/${process.pid} good ADD ${event}\\n`;
  expect(first).toMatch(new RegExp(`^${title("EXEC")}${post.plugins}/good\\ncalled by ${process.pid} .*\\n`));
  expect(first).toMatch(new RegExp(`${title("STDIN")}{"name":"lab"}\\n`));
  expect(first).toMatch(new RegExp(`${title("STDOUT")}{"cniVersion":"1.1.0"`));
  expect(first).toMatch(new RegExp(`${title("EXIT")}0 after [\\d.]+ ms\\n$`));
  await post.call("bad", "{}");
  const both = await post.seen("to make this call again:");
  expect(both).toMatch(/bad ADD STDERR\nwords\n/);
  expect(both).toMatch(/bad ADD EXIT\n1 after [\d.]+ ms\nto make this call again:\nprintf %s '\{\}' \| env /);
  // into a pipe: no colours
  expect(both).not.toContain("\u001b");
});

test.each([
  ["--always-replay", "good", true],
  ["--no-replay", "bad", false],
])("S3-N02 %s", async (flag, name, told) => {
  await using post = new Post();
  post.plugin("good", "cat >/dev/null; echo '{}'");
  post.plugin("bad", "cat >/dev/null; exit 1");
  await post.watch(flag);
  await post.call(name, "{}");
  expect((await post.seen(" ms\n")).includes("to make this call again:")).toBe(told);
});

test("S3-N03 the line that makes a call again gives the same bytes, however many and odd", async () => {
  await using post = new Post();
  post.plugin("sample", 'cat > "$0.stdin"; env | grep ^CNI_ | sort > "$0.env"; exit 1');
  await post.watch();
  const stdin = `{"odd":"'\\"\\\\ $(false) \`x\` ä","filler":"${"x".repeat(200 * 1024)}"}\n\n`;
  await post.call("sample", stdin, { CNI_ARGS: 'A=it\'s;B="two words"' });
  const seen = await post.seen(/again:\n[\s\S]*\/sample\n$/);
  const recorded = ["stdin", "env"].map((ending) => join(post.plugins, `sample.${ending}`));
  const before = await Promise.all(recorded.map((file) => Bun.file(file).text()));
  expect(before[0]).toBe(stdin);
  Bun.spawnSync(["rm", ...recorded]);
  writeFileSync(join(post.path, "again.sh"), seen.slice(seen.indexOf("again:\n") + "again:\n".length));
  expect(Bun.spawnSync(["sh", join(post.path, "again.sh")]).exitCode).toBe(1);
  expect(await Promise.all(recorded.map((file) => Bun.file(file).text()))).toEqual(before);
});

test("S3-N04 a delegate's call stands within the call that it is part of, with its parent", async () => {
  await using post = new Post();
  post.plugin("inner", "cat >/dev/null; echo '{}'");
  // as libcni does: the first of that name in CNI_PATH
  post.plugin("outer", "$(echo $CNI_PATH | cut -d: -f1)/inner; exit 0");
  await post.watch("--json");
  await post.call("outer", "{}");
  const calls = await post.calls(2);
  const [, outer] = calls;
  expect(calls).toMatchObject([
    { plugin: join(post.plugins, "inner"), depth: 1, parent: { pid: outer?.pid } },
    { plugin: join(post.plugins, "outer"), depth: 0, parent: { pid: process.pid } },
  ]);
});

test("S3-N04 a net plugin of ours calls an address plugin of ours through the recorder, too", async () => {
  await using post = new Post();
  await post.watch("--json");
  const dataDir = join(post.path, "store");
  const ipam = { type: "warren-ipam", dataDir, subnet: "10.1.0.0/24" };
  // DEL goes through both, and needs no namespace
  const stdin = JSON.stringify({
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-macvlan",
    master: "lo",
    dataDir,
    ipam,
  });
  await post.call("warren-macvlan", stdin, { CNI_COMMAND: "DEL" });
  const plugins = (await post.calls(2)).map(({ plugin, depth, exitCode }) => [plugin, depth, exitCode]);
  expect(plugins).toEqual([
    [join(PLUGIN_FOLDER, "warren-ipam"), 1, 0],
    [join(PLUGIN_FOLDER, "warren-macvlan"), 0, 0],
  ]);
});

test.each([
  ["", false],
  ["--raw", true],
])("S3-N09 with %j secrets show: %p", async (flag, shows) => {
  await using post = new Post();
  post.plugin("sample", 'cat; echo "password=hunter2" >&2; exit 1');
  await post.watch(...(flag === "" ? [] : [flag]));
  await post.call("sample", '{"password":"hunter2"}', { CNI_ARGS: "TOKEN=hunter2" });
  const seen = await post.seen("to make this call again:\n");
  expect(seen.includes("hunter2")).toBe(shows);
  expect(seen.includes("***masked***")).toBe(!shows);
  // what went by is for root alone
  expect(statSync(post.folder).mode & 0o777).toBe(0o700);
  expect(statSync(join(post.folder, ".calls.jsonl")).mode & 0o777).toBe(0o600);
});

test("it shows the calls that are asked for, and takes its folder away when it ends", async () => {
  await using post = new Post();
  post.plugin("sample", 'cat >/dev/null; [ "$CNI_COMMAND" = ADD ]');
  await post.watch("--json", "--network", "lab", "--container", "pod", "--verb", "del", "--failed");
  await post.call("sample", '{"name":"other"}', { CNI_COMMAND: "DEL" });
  await post.call("sample", '{"name":"lab"}');
  await post.call("sample", '{"name":"lab"}', { CNI_COMMAND: "DEL", CNI_CONTAINERID: "other" });
  await post.call("sample", '{"name":"lab"}', { CNI_COMMAND: "DEL" });
  expect(await post.calls(1)).toMatchObject([{ verb: "DEL", network: "lab", exitCode: 1 }]);
  expect(await post.end()).toBe(0);
  expect(readdirSync(post.path)).toEqual(["plugins"]);
  // a runtime that still has the folder in front finds the plugins themselves
  expect((await post.call("sample", "{}", {}, post.plugins)).exitCode).toBe(0);
});
