// The runtime tool with real plugins and real interfaces: the reference plugins under Warren and under the Go
// cnitool, which must be able to take over each other's attachments at any point.
import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { type Outcome, type RunOptions, Sandbox, testWith, WARREN } from "../support/sandbox.ts";
import { Recorder } from "../unit/runtime/recorder.ts";

const testBeside = testWith(tools.cnitool, tools.referencePlugins);
const testWithPlugins = testWith(tools.referencePlugins);

/** Results have at least these; the rest is what the reference plugins say. */
interface AddResult {
  readonly cniVersion: string;
  readonly interfaces: readonly { readonly name: string; readonly sandbox?: string }[];
  readonly ips: readonly { readonly address: string }[];
}

const NETWORK = {
  cniVersion: "1.1.0",
  name: "lab",
  plugins: [
    {
      type: "bridge",
      bridge: "lab0",
      isGateway: true,
      ipam: { type: "host-local", ranges: [[{ subnet: "10.9.0.0/24" }], [{ subnet: "fd00:9::/64" }]] },
    },
    { type: "tuning", capabilities: { mac: true }, sysctl: { "net.ipv4.conf.IFNAME.arp_filter": "1" } },
    { type: "portmap", backend: "nftables", capabilities: { portMappings: true } },
  ],
};
const CAP_ARGS = JSON.stringify({
  portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }],
  mac: "02:00:00:00:00:05",
});

/** A sandbox with a folder of networks. */
class Lab implements AsyncDisposable {
  private constructor(readonly host: Sandbox) {}

  static async create(networks: readonly { readonly name: string }[] = [NETWORK]): Promise<Lab> {
    const lab = new Lab(await Sandbox.create());
    mkdirSync(lab.conf);
    for (const network of networks) {
      writeFileSync(join(lab.conf, `${network.name}.conflist`), JSON.stringify(network));
    }
    return lab;
  }

  get conf(): string {
    return join(this.host.directory, "net.d");
  }

  tool(executable: string, args: readonly string[], env: RunOptions["env"] = {}): Promise<Outcome> {
    return this.host.run([executable, ...args], {
      env: { NETCONFPATH: this.conf, CNI_PATH: tools.referencePlugins.path, ...env },
    });
  }

  warren(...args: string[]): Promise<Outcome> {
    return this.tool(WARREN, args);
  }

  cnitool(...args: string[]): Promise<Outcome> {
    return this.tool(tools.cnitool.path ?? "", args);
  }

  async files(folder: string): Promise<string[]> {
    const { stdout } = await this.host.run(["ls", folder]);
    return stdout.split("\n").filter((line) => line !== "");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.host[Symbol.asyncDispose]();
  }
}

const SUCCESS = { exitCode: 0, stdout: "", stderr: "" };

testBeside("X-40 what warren added, cnitool checks and deletes", async () => {
  await using lab = await Lab.create();
  const netns = await lab.host.addNetns("pod1");
  const added = await lab.tool(WARREN, ["add", "lab", netns], { CAP_ARGS });
  expect(added.stderr).toBe("");
  const result: AddResult = JSON.parse(added.stdout);
  expect(result.interfaces.map(({ name }) => name).at(-1)).toBe("eth0");
  expect(result.ips.map(({ address }) => address)).toEqual(["10.9.0.2/24", "fd00:9::2/64"]);
  expect(await lab.tool(tools.cnitool.path ?? "", ["check", "lab", netns], { CAP_ARGS })).toEqual(SUCCESS);
  expect(await lab.tool(tools.cnitool.path ?? "", ["del", "lab", netns], { CAP_ARGS })).toEqual(SUCCESS);
  expect(await lab.files("/var/lib/cni/results")).toEqual([]);
  expect(await lab.host.text(["nft", "list", "ruleset"])).not.toContain("8080");
});

testBeside("X-40 what cnitool added, warren checks and deletes", async () => {
  await using lab = await Lab.create();
  const netns = await lab.host.addNetns("pod1");
  const added = await lab.tool(tools.cnitool.path ?? "", ["add", "lab", netns], { CAP_ARGS });
  expect(added.exitCode).toBe(0);
  expect(await lab.host.text(["nft", "list", "ruleset"])).toContain("8080");
  expect(await lab.warren("check", "lab", netns)).toEqual(SUCCESS);
  await lab.host.text(["ip", "-n", "pod1", "link", "set", "eth0", "address", "02:00:00:00:00:06"]);
  expect((await lab.warren("check", "lab", netns)).exitCode).toBe(1);
  // no CAP_ARGS here: the ports are those that the cache remembers
  expect(await lab.warren("del", "lab", netns)).toEqual(SUCCESS);
  expect(await lab.host.text(["nft", "list", "ruleset"])).not.toContain("8080");
  expect(await lab.files("/var/lib/cni/results")).toEqual([]);
  expect(await lab.files("/var/lib/cni/networks/lab")).not.toContain("10.9.0.2");
});

testBeside("X-40 both write the same cache file and print the same result, but for random MACs", async () => {
  await using lab = await Lab.create();
  await lab.host.addNetns("pod1");
  const netns = "/run/netns/pod1";
  const run = async (executable: string) => {
    const { stdout } = await lab.tool(executable, ["add", "lab", netns], {
      CAP_ARGS,
      CNI_ARGS: "IgnoreUnknown=1",
    });
    const [name = ""] = await lab.files("/var/lib/cni/results");
    const cached = await lab.host.text(["cat", `/var/lib/cni/results/${name}`]);
    const mode = await lab.host.text(["stat", "--format=%a", `/var/lib/cni/results/${name}`]);
    await lab.tool(executable, ["del", "lab", netns], { CAP_ARGS });
    await lab.host.run(["sh", "-c", "rm -rf /var/lib/cni/networks; ip link del lab0"]);
    return { name, mode, cached: withoutChance(cached), result: withoutChance(stdout) };
  };
  expect(await run(WARREN)).toEqual(await run(tools.cnitool.path ?? ""));
});

/** Returns the document without what is random in it; the order of keys means nothing. */
function withoutChance(document: string): unknown {
  const text = document.replace(/([0-9a-f]{2}:){5}[0-9a-f]{2}/g, "MAC").replace(/veth[0-9a-f]+/g, "VETH");
  return JSON.parse(text);
}

for (const cniVersion of ["0.2.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]) {
  testBeside(`X-40 lists of ${cniVersion} print the same with both tools`, async () => {
    const plugin = { type: "bridge", bridge: "lab0", ipam: { type: "host-local", subnet: "10.9.0.0/24" } };
    await using lab = await Lab.create([{ name: "lab", ...{ cniVersion, plugins: [plugin] } }]);
    const netns = await lab.host.addNetns("pod1");
    const outputs = [];
    for (const executable of [WARREN, tools.cnitool.path ?? ""]) {
      const { stdout } = await lab.tool(executable, ["add", "lab", netns]);
      await lab.tool(executable, ["del", "lab", netns]);
      await lab.host.run(["sh", "-c", "rm -rf /var/lib/cni/networks; ip link del lab0"]);
      outputs.push(withoutChance(stdout));
    }
    expect(outputs[0]).toEqual(outputs[1]);
  });
}

testWithPlugins(
  "S0-10 a bare name is a namespace under /var/run/netns and makes the container's id",
  async () => {
    await using lab = await Lab.create();
    for (const pod of ["pod1", "pod2", "pod3"]) {
      await lab.host.addNetns(pod);
      expect((await lab.warren("add", "lab", pod)).exitCode).toBe(0);
    }
    expect((await lab.files("/var/lib/cni/results")).sort()).toEqual([
      "lab-cnitool-294e5a00691dfbb9d727-eth0",
      "lab-cnitool-bf4114a94da8d19d2b93-eth0",
      "lab-cnitool-e1a2493cc355134dc89d-eth0",
    ]);
  },
);

testWithPlugins(
  "S0-25 gc keeps the named interfaces, names what it removes, and with nobody empties the network",
  async () => {
    await using lab = await Lab.create();
    for (const pod of ["pod1", "pod2"]) {
      await lab.host.addNetns(pod);
      for (const ifname of ["eth0", "net1"]) await lab.warren("add", "lab", pod, "--ifname", ifname);
    }
    const gc = async (...entries: string[]) => {
      const { exitCode, stderr } = await lab.warren("gc", "lab", ...entries);
      expect(exitCode).toBe(0);
      return stderr.split("\n").filter((line) => line.startsWith("removed "));
    };
    expect(await gc("pod1", "pod1:net1", "pod2", "pod2:net1")).toEqual([]);
    expect(await gc("pod1:net1", "pod2", "pod2:net1")).toEqual([
      "removed cnitool-294e5a00691dfbb9d727 eth0 (/var/run/netns/pod1) from lab",
    ]);
    expect(await gc("pod1:net1", "pod2")).toHaveLength(1);
    expect((await lab.files("/var/lib/cni/results")).sort()).toEqual([
      "lab-cnitool-294e5a00691dfbb9d727-net1",
      "lab-cnitool-e1a2493cc355134dc89d-eth0",
    ]);
    expect(await gc()).toHaveLength(2);
    expect(await lab.files("/var/lib/cni/results")).toEqual([]);
    const json = await lab.warren("gc", "lab", "--json");
    expect(JSON.parse(json.stdout)).toEqual({ network: "lab", removed: [] });
  },
);

test("S0-01 S0-02 status: one line that says no and why with exit 1, or yes with exit 0", async () => {
  await using lab = await Lab.create([]);
  using files = new Recorder(["a"]);
  files.configure("x.conflist", { cniVersion: "1.1.0", name: "x", plugins: [{ type: "a" }] });
  const status = (...more: string[]) =>
    lab.tool(WARREN, ["status", "x", ...more], { NETCONFPATH: files.conf, CNI_PATH: files.bin });
  expect(await status()).toEqual({
    exitCode: 0,
    stdout: "Network x is ready for ADD requests\n",
    stderr: "",
  });
  expect(JSON.parse((await status("--json")).stdout)).toEqual({ network: "x", ready: true });
  files.fail("a", "STATUS", { code: 50, msg: "store\nunreachable", details: "start it" });
  expect(await status()).toEqual({
    exitCode: 1,
    stdout: "",
    stderr: "Error: network x is not ready: store; unreachable; start it\n",
  });
  expect(JSON.parse((await status("--json")).stdout)).toEqual({
    cniVersion: "1.1.0",
    code: 50,
    msg: "network x is not ready: store\nunreachable",
    details: "start it",
  });
});

test("S0-26 status and gc of a list before 1.1.0 say that its version does not allow them", async () => {
  await using lab = await Lab.create([]);
  using files = new Recorder(["a"]);
  files.configure("x.conflist", { cniVersion: "1.0.0", name: "x", plugins: [{ type: "a" }] });
  for (const verb of ["status", "gc"]) {
    const outcome = await lab.tool(WARREN, [verb, "x"], { NETCONFPATH: files.conf, CNI_PATH: files.bin });
    expect([outcome.exitCode, outcome.stdout]).toEqual([1, ""]);
    expect(outcome.stderr).toContain(`config version does not allow ${verb.toUpperCase()}`);
  }
  expect(files.takeCalls()).toEqual([]);
});

const USAGE: readonly (readonly [args: readonly string[], exitCode: number, message: string])[] = [
  [["bogus"], 2, 'unknown command "bogus"'],
  [["-i", "eth1", "add"], 2, "flags come after the command"],
  [["add"], 2, "Missing required positional argument: NETWORK"],
  [["add", "lab"], 2, "Missing required positional argument: NETNS"],
  [["add", "lab", "x", "y"], 2, 'unexpected argument "y"'],
  [["add", "lab", "x", "--ifnam", "y"], 2, "unknown flag --ifnam"],
  [["add", "lab", "x", "-q"], 2, "unknown flag -q"],
  [["add", "lab", "x", "--ifname"], 2, "--ifname needs a value"],
  [["add", "lab", "x", "--no-ifname"], 2, "--ifname needs a value"],
  [["add", "lab", "x", "--ifname=a/b"], 2, "interface name contains /"],
  [["add", "lab", "x", "--container-id=../x"], 2, "invalid characters in containerID"],
  [["add", "lab", "x", "--timeout-ms=soon"], 2, '"timeout-ms" is "soon"'],
  [["add", "lab", "x", "--timeout-ms=0"], 2, '"timeout-ms" is "0"'],
  [["events", "--limit=many"], 2, '"limit" is "many"'],
  [["ui", "--port=99999"], 2, '"port" is "99999"'],
  [["check", "lab", "x"], 1, " eth0 is not attached to network lab, as far as /var/lib/cni tells: "],
  [["add", "nolab", "x"], 1, "networks there: lab"],
  [["add", "lab", "x", "--cni-conf-dir=/nowhere"], 1, "no net configurations found in /nowhere"],
  [["add", "lab", "x", "--cni-bin-dir=/nowhere"], 1, 'failed to find plugin "bridge" in path [/nowhere]'],
  [["status", "lab", "x"], 2, 'unexpected argument "x"'],
  [["gc", "lab", ":eth0"], 2, '":eth0" is no attachment'],
  [["gc", "lab", "pod1:"], 2, '"pod1:" is no attachment'],
  [["run", "lab"], 2, "expected: run [NET ...] -- CMD"],
  [["run", "--all", "lab", "--", "true"], 2, "--all and names of networks exclude each other"],
  [["run", "lab", "--"], 2, "expected: run [NET ...] -- CMD"],
  [["run", "lab", "--", "no-such-command"], 127, 'command "no-such-command" is not in PATH'],
  [["run", "nolab", "--", "true"], 1, "networks there: lab"],
  [["install", "x"], 2, 'unexpected argument "x"'],
  [["version", "--", "x"], 2, "unexpected --"],
  [["help", "bogus"], 2, 'unknown command "bogus"'],
  [["stauts", "lab"], 2, 'did you mean "status"?'],
  [["conf"], 2, "warren conf needs a command: list, "],
  [["conf", "doktor"], 2, 'unknown command "doktor" of warren conf; did you mean "doctor"?'],
  [["help", "conf", "bogus"], 2, 'unknown command "bogus" of warren conf; there are list, '],
  [["add", "lab"], 2, "expected: warren add [OPTION ...] NETWORK NETNS"],
  [["leases", "--leakd"], 2, "did you mean --leaked?"],
  [
    ["conf", "--max-conf-num", "1", "list"],
    2,
    "flags come after the command: warren conf COMMAND --max-conf-num",
  ],
  [["completion", "tcsh"], 2, 'no completion for "tcsh"'],
];
for (const [args, exitCode, message] of USAGE) {
  test(`warren ${args.join(" ")} is refused with one clear line`, async () => {
    await using lab = await Lab.create();
    const outcome = await lab.warren(...args);
    expect(outcome.stderr.trim().split("\n")).toHaveLength(args.includes("--cni-bin-dir=/nowhere") ? 2 : 1);
    expect(outcome.stderr.trim().split("\n").at(-1)).toStartWith("Error: ");
    expect(outcome.stderr).toContain(message);
    expect([outcome.exitCode, outcome.stdout]).toEqual([exitCode, ""]);
    expect(await lab.files("/var/lib/cni")).toEqual([]);
    expect(await lab.files("/run/netns")).toEqual([]);
  });
}

test("--json puts the error document on standard output", async () => {
  await using lab = await Lab.create();
  const { exitCode, stdout } = await lab.warren("add", "nolab", "x", "--json");
  expect(exitCode).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({ code: 7, details: "networks there: lab" });
  const usage = await lab.warren("add", "--json");
  expect([usage.exitCode, JSON.parse(usage.stdout).code]).toEqual([2, 4]);
});

test("help names every command, and each command has a help of its own", async () => {
  await using lab = await Lab.create();
  const { exitCode, stdout, stderr } = await lab.warren("help");
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(stdout).not.toContain("\u001b");
  expect(stdout).not.toContain("enter");
  for (const name of ["add", "check", "del", "status", "gc", "run", "install", "uninstall", "version"]) {
    expect(stdout).toMatch(new RegExp(`^\\s+${name}\\s`, "m"));
    const help = await lab.warren(name, "--help");
    expect([help.exitCode, help.stderr]).toEqual([0, ""]);
    expect(help.stdout).toContain(`\nSYNOPSIS\n       warren ${name}`);
  }
});

test("version tells Warren's and the specification's versions, also as JSON", async () => {
  await using lab = await Lab.create();
  expect((await lab.warren("version")).stdout).toMatch(/^warren \d+\.\d+\.\d+\nCNI 0\.1\.0, .*1\.1\.0\n$/);
  expect((await lab.warren("--version")).exitCode).toBe(0);
  expect(JSON.parse((await lab.warren("version", "--json")).stdout).cniVersions).toContain("1.1.0");
});

test("a plugin that never answers ends with the time-out, also if its children hold its output open", async () => {
  await using lab = await Lab.create([]);
  using files = new Recorder(["a"]);
  files.configure("x.conflist", { cniVersion: "1.1.0", name: "x", plugins: [{ type: "a" }] });
  files.script("a", "STATUS", "sleep 20 & wait");
  const started = performance.now();
  const outcome = await lab.tool(WARREN, ["status", "x", "--timeout-ms=200"], {
    NETCONFPATH: files.conf,
    CNI_PATH: files.bin,
  });
  expect(outcome.stderr).toContain("gave no answer within 200 ms and was killed");
  expect(outcome.exitCode).toBe(1);
  // a hang, not a speed: far below the twenty seconds that the child lives
  expect(performance.now() - started).toBeLessThan(15_000);
});
