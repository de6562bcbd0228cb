// `warren run`, a namespace for the length of one command. Whatever ends it, nothing stays behind.
import { expect, test } from "bun:test";
import { tools } from "../../scripts/tools.ts";
import { leases, linkNames, PLUGIN_FOLDER } from "../support/plugins.ts";
import { type RunOptions, Sandbox, testWith, WARREN } from "../support/sandbox.ts";
import { Recorder } from "../unit/runtime/recorder.ts";

const bridge = (name: string, subnet: string) => ({
  cniVersion: "1.1.0",
  name,
  plugins: [{ type: "bridge", bridge: `${name}0`, isGateway: true, ipam: { type: "host-local", subnet } }],
});

/** A sandbox with recording plugins a and b in the networks one and two. */
class Stage implements AsyncDisposable {
  private constructor(
    readonly host: Sandbox,
    readonly files: Recorder,
  ) {}

  static async create(): Promise<Stage> {
    const host = await Sandbox.create();
    const files = new Recorder(["a", "b"], host.directory);
    files.configure("one.conflist", { cniVersion: "1.1.0", name: "one", plugins: [{ type: "a" }] });
    files.configure("two.conflist", { cniVersion: "1.1.0", name: "two", plugins: [{ type: "b" }] });
    return new Stage(host, files);
  }

  get options(): RunOptions {
    return { env: { NETCONFPATH: this.files.conf, CNI_PATH: this.files.bin } };
  }

  run(...args: string[]) {
    return this.host.run([WARREN, "run", ...args], this.options);
  }

  /** Starts a run and returns it when its command has printed something. */
  async start(...args: string[]) {
    const child = this.host.start([WARREN, "run", ...args], this.options);
    const reader = child.stdout.getReader();
    const first = await reader.read();
    return { child, said: new TextDecoder().decode(first.value) };
  }

  /** Returns the calls as `ADD a eth0`, and asserts that no namespace and no cache file is left. */
  async finish(): Promise<string[]> {
    expect((await this.host.run(["ls", "/run/netns", "/var/lib/cni/results"])).stdout).not.toMatch(
      /run-|-eth/,
    );
    return this.files.takeCalls().map(({ verb, plugin, ifname }) => `${verb} ${plugin} ${ifname}`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.host[Symbol.asyncDispose]();
  }
}

const WHOLE_LIFE = ["ADD a eth0", "ADD b eth1", "DEL b eth1", "DEL a eth0"];

test("X-41 Ctrl-C while a network is added lets the plugin finish, and takes back what it did", async () => {
  await using stage = await Stage.create();
  stage.files.hold("a", "ADD");
  const child = stage.host.start(["setsid", WARREN, "run", "one", "--", "true"], stage.options);
  await stage.files.holding();
  // as a terminal does it: the whole group hears of it
  process.kill(-child.pid, "SIGINT");
  await Bun.sleep(50);
  stage.files.release();
  expect([await child.exited, await new Response(child.stderr).text()]).toEqual([130, ""]);
  expect(await stage.finish()).toEqual(["ADD a eth0", "DEL a eth0"]);
});

testWith(tools.referencePlugins)("X-41 the command runs in a namespace with every network", async () => {
  await using stage = await Stage.create();
  stage.files.configure("red.conflist", bridge("red", "10.1.0.0/24"));
  stage.files.configure("blue.conflist", bridge("blue", "10.2.0.0/24"));
  const show = "for link in lo eth0 eth1; do ip -json address show $link; done; exit 7";
  const outcome = await stage.host.run([WARREN, "run", "red", "blue", "--", "sh", "-c", show], {
    env: { NETCONFPATH: stage.files.conf, CNI_PATH: tools.referencePlugins.path },
  });
  expect([outcome.exitCode, outcome.stderr]).toEqual([7, ""]);
  expect(outcome.stdout).toContain('"local":"127.0.0.1"');
  expect(outcome.stdout).toContain('"local":"10.1.0.2"');
  expect(outcome.stdout).toContain('"local":"10.2.0.2"');
  expect(await stage.host.json(["ip", "-json", "link", "show", "type", "veth"])).toEqual([]);
  expect((await stage.host.run(["ls", "/run/netns"])).stdout).toBe("");
});

test("S3-C01 without names a pod gets the first file's network; with --all every one, and both are freed", async () => {
  await using host = await Sandbox.create();
  const env = { NETCONFPATH: host.directory, CNI_PATH: PLUGIN_FOLDER };
  const network = (name: string, subnet: string) => ({
    cniVersion: "1.1.0",
    name,
    plugins: [{ type: "warren-bridge", bridge: `${name}0`, ipam: { type: "warren-ipam", subnet } }],
  });
  const write = (file: string, content: unknown) =>
    Bun.write(`${host.directory}/${file}`, typeof content === "string" ? content : JSON.stringify(content));
  await write("10-a.conflist", network("a", "10.1.0.0/24"));
  await write("20-b.conflist", network("b", "10.2.0.0/24"));
  /** What a pod has, as `ip` sees it, or why there is none. */
  const pod = async (...flags: string[]) => {
    const command = ["ip", "-json", "-4", "address", "show", "scope", "global"];
    const { exitCode, stdout, stderr } = await host.run([WARREN, "run", ...flags, "--", ...command], { env });
    if (exitCode !== 0) return `${exitCode} ${stderr}`;
    const links: { ifname: string; addr_info: { local: string }[] }[] = JSON.parse(stdout);
    return links.map(({ ifname, addr_info }) => `${ifname} ${addr_info.map(({ local }) => local)}`);
  };
  expect(await pod()).toEqual(["eth0 10.1.0.2"]);
  expect(await pod("--all")).toEqual(["eth0 10.1.0.3", "eth1 10.2.0.2"]);
  expect(await leases(host, "/var/lib/cni/warren")).toEqual([]);
  expect(await linkNames(host)).toEqual(["a0", "b0"]);

  // S3-C02: one broken file among those that have to be read is the end of it
  await write("00-broken.conflist", '{\n "name": tru }');
  const broken = await pod();
  expect(broken).toContain("1 Error: containerd takes nothing: 00-broken.conflist is broken");
  expect(broken).toContain("00-broken.conflist: no JSON at line 2, column 10");
  await host.text(["mv", "00-broken.conflist", "30-broken.conflist"]);
  expect(await pod()).toEqual(["eth0 10.1.0.4"]);
  expect(await pod("--all")).toContain("30-broken.conflist: no JSON at line 2, column 10");

  // S3-C03: the second of one name is refused, and nothing is given out
  await write("30-broken.conflist", network("a", "10.3.0.0/24"));
  expect(await pod("--all")).toBe(
    '1 Error: network "a" is in 10-a.conflist and in 30-broken.conflist; give one of them another name, or remove it\n',
  );
  expect(await leases(host, "/var/lib/cni/warren")).toEqual([]);
  expect((await host.text(["ls", "/run/netns"])).trim()).toBe("");
});

test("X-41 networks are added in order and deleted in reverse; the exit code is the command's", async () => {
  await using stage = await Stage.create();
  expect(await stage.run("one", "two", "--", "sh", "-c", "exit 42")).toEqual({
    exitCode: 42,
    stdout: "",
    stderr: "",
  });
  expect(await stage.finish()).toEqual(WHOLE_LIFE);
});

test("X-41 the command gets its arguments as they are, standard input, and signals in their first state", async () => {
  await using stage = await Stage.create();
  const echo = [
    "sh",
    "-c",
    'printf "%s|" "$@"; cat; grep SigIgn /proc/self/status',
    "sh",
    "--x",
    "a b",
    "--",
  ];
  const { stdout } = await stage.host.run([WARREN, "run", "one", "--", ...echo], {
    ...stage.options,
    stdin: "typed\n",
  });
  expect(stdout).toBe("--x|a b|--|typed\nSigIgn:\t0000000000000000\n");
});

for (const [signal, exitCode] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const) {
  test(`X-41 ${signal} reaches the command, everything is deleted, exit code ${exitCode}`, async () => {
    await using stage = await Stage.create();
    const { child } = await stage.start("one", "two", "--", "sh", "-c", "echo up; exec sleep 60");
    child.kill(signal);
    expect(await child.exited).toBe(exitCode);
    expect(await stage.finish()).toEqual(WHOLE_LIFE);
  });
}

test("X-41 a command that handles Ctrl-C itself decides on the exit code", async () => {
  await using stage = await Stage.create();
  const script = "trap 'exit 9' INT; echo up; while :; do sleep 0.05; done";
  const { child } = await stage.start("one", "--", "sh", "-c", script);
  child.kill("SIGINT");
  expect(await child.exited).toBe(9);
  expect(await stage.finish()).toEqual(["ADD a eth0", "DEL a eth0"]);
});

test("X-41 Ctrl-C during an ADD: what was added is deleted, the command never starts", async () => {
  await using stage = await Stage.create();
  stage.files.hold("a", "ADD", "echo adding >&2");
  const child = stage.host.start([WARREN, "run", "one", "two", "--", "echo", "started"], stage.options);
  await stage.files.holding();
  child.kill("SIGINT");
  // the signal is to come first
  await Bun.sleep(200);
  stage.files.release();
  expect(await child.exited).toBe(130);
  expect(await new Response(child.stdout).text()).toBe("");
  expect(await stage.finish()).toEqual(["ADD a eth0", "DEL a eth0"]);
});

test("X-41 a failing ADD: the networks before it are deleted, the command never starts", async () => {
  await using stage = await Stage.create();
  stage.files.fail("b", "ADD", { code: 50, msg: "down" });
  const { exitCode, stdout, stderr } = await stage.run("one", "two", "--", "echo", "started");
  expect([exitCode, stdout]).toEqual([1, ""]);
  expect(stderr).toContain('Error: plugin type="b" failed (add): down\n');
  expect(await stage.finish()).toEqual(["ADD a eth0", "ADD b eth1", "DEL b eth1", "DEL a eth0"]);
});

test("X-41 a failing DEL is tried once more, told, and does not keep the others from being deleted", async () => {
  await using stage = await Stage.create();
  stage.files.fail("b", "DEL", { code: 11, msg: "busy" });
  const { exitCode, stderr } = await stage.run("one", "two", "--", "true");
  expect(exitCode).toBe(1);
  expect(stderr).toContain('Error: plugin type="b" failed (delete): busy\n');
  expect(stage.files.takeNames()).toEqual(["ADD a", "ADD b", "DEL b", "DEL b", "DEL a"]);
  expect((await stage.host.run(["ls", "/run/netns"])).stdout).toBe("");
});

test.each<[code: number, program: string, words: string]>([
  [127, "no-such-program", 'command "no-such-program" is not in PATH'],
  [127, "./no-such-program", 'command "./no-such-program" is not there'],
  // longer than a file's name may be
  [127, "x".repeat(300), `command "${"x".repeat(300)}" is not in PATH`],
  [126, "./data", 'command "./data" is not executable'],
  [126, "/", 'command "/" is a directory'],
])("X-41 exit code %d for the program %s, before anything is made", async (code, program, words) => {
  await using stage = await Stage.create();
  await stage.host.text(["touch", "data"]);
  const { exitCode, stderr } = await stage.run("one", "--", program);
  expect([exitCode, stderr]).toEqual([code, `Error: ${words}\n`]);
  expect(await stage.finish()).toEqual([]);
});

test.each<[program: string, words: string, prepare: string]>([
  ["./script", "is neither a program", "echo data > script; chmod +x script"],
  ["./script", "needs an interpreter that is not there", "echo '#!/no/such' > script; chmod +x script"],
])("X-41 exit code 126 for %s, which %s, and everything is deleted", async (program, words, prepare) => {
  await using stage = await Stage.create();
  await stage.host.text(["sh", "-c", prepare]);
  const { exitCode, stderr } = await stage.run("one", "--", program);
  expect(exitCode).toBe(126);
  expect(stderr).toContain(words);
  expect(await stage.finish()).toEqual(["ADD a eth0", "DEL a eth0"]);
});

/** Returns the names of the namespaces that runs have made. */
async function namespaces(stage: Stage): Promise<string[]> {
  const { stdout } = await stage.host.run(["ls", "/run/netns"]);
  return stdout.split("\n").filter((name) => name.startsWith("warren-run-"));
}

test.each([
  ["run", ["one", "--", "true"]],
  ["gc", ["two"]],
] as const)(
  "X-41 what a run leaves that is killed by SIGKILL goes with the next %s, when its command has ended too",
  async (verb, args) => {
    await using stage = await Stage.create();
    const { child, said } = await stage.start("one", "two", "--", "sh", "-c", "echo $$; exec sleep 60");
    child.kill("SIGKILL");
    await child.exited;
    const left = await namespaces(stage);
    expect(left).toHaveLength(1);
    // its command is alive, and keeps its network
    expect((await stage.run("one", "--", "true")).exitCode).toBe(0);
    expect(await namespaces(stage)).toEqual(left);
    expect(stage.files.takeNames()).toEqual(["ADD a", "ADD b", "ADD a", "DEL a"]);
    await stage.host.text(["kill", "-9", said.trim()]);
    while ((await stage.host.run(["readlink", `/proc/${said.trim()}/ns/net`])).exitCode === 0)
      await Bun.sleep(10);
    // by the network as it was, whatever has become of its config
    stage.files.configure("two.conflist", { cniVersion: "1.1.0", name: "two", plugins: [{ type: "a" }] });
    const { exitCode, stderr } = await stage.host.run([WARREN, verb, ...args], stage.options);
    expect(exitCode).toBe(0);
    expect(stderr).toContain(`removed /var/run/netns/${left[0]}, which a killed run left`);
    expect((await stage.finish()).slice(0, 2)).toEqual(["DEL b eth1", "DEL a eth0"]);
    expect((await stage.host.run(["ls", "/var/lib/cni/warren-pods"])).stdout).toBe("");
  },
);

test("X-41 a run that is killed in the middle of an ADD is taken back too, and one that is at work is left alone", async () => {
  await using stage = await Stage.create();
  const other = await stage.start("one", "--", "sh", "-c", "echo up; exec sleep 60");
  stage.files.takeNames();
  stage.files.hold("b", "ADD");
  const child = stage.host.start([WARREN, "run", "one", "two", "--", "true"], stage.options);
  await stage.files.holding();
  child.kill("SIGKILL");
  await child.exited;
  stage.files.release();
  expect((await stage.run("one", "--", "true")).exitCode).toBe(0);
  const names = stage.files.takeNames();
  expect(names).toEqual(["ADD a", "ADD b", "DEL b", "DEL a", "ADD a", "DEL a"]);
  expect(await namespaces(stage)).toHaveLength(1);
  other.child.kill("SIGTERM");
  expect(await other.child.exited).toBe(143);
  expect(await stage.finish()).toEqual(["DEL a eth0"]);
});

test("X-41 what a failing DEL leaves is tried again by the next run", async () => {
  await using stage = await Stage.create();
  stage.files.fail("b", "DEL", { code: 11, msg: "busy" });
  expect((await stage.run("two", "--", "true")).exitCode).toBe(1);
  expect((await stage.run("one", "--", "true")).stderr).toContain(
    'can\'t be removed: plugin type="b" failed',
  );
  stage.files.script("b", "DEL", "exit 0");
  stage.files.takeNames();
  expect((await stage.run("one", "--", "true")).exitCode).toBe(0);
  expect(await stage.finish()).toEqual(["DEL b eth0", "ADD a eth0", "DEL a eth0"]);
});
