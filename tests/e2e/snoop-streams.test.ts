// `warren snoop --streams`: what goes through the standard streams of plugins, which programs in the kernel copy; made by real
// runtimes and real plugins that were told of nothing.
import { dlopen, ptr } from "bun:ffi";
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { testWith, WARREN } from "../support/sandbox.ts";
import { machine, WatchedNode } from "../support/watched-node.ts";
import { TemporaryDirectory } from "../support/world.ts";

const FILLER = "x'y\\ü".repeat(40_000);
const PERL = tools.program("perl");
const REFERENCE = tools.referencePlugins.path ?? "";

/** The config as cnitool gives it to a plugin: with its keys sorted. */
function given(plugin: Readonly<Record<string, unknown>>): string {
  const entries = Object.entries({ cniVersion: "1.1.0", name: "seen", ...plugin });
  return JSON.stringify(Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1))));
}

testWith(
  machine,
  tools.cnitool,
  tools.referencePlugins,
)(
  "S3-N06 reference plugins called by cnitool: 200 KiB that go in, what comes out, and the delegate's, byte by byte",
  async () => {
    const ipam = { ranges: [[{ subnet: "10.66.0.0/24" }]], type: "host-local" };
    const plugin = { bridge: "seen0", filler: FILLER, ipam, type: "bridge" };
    const files = { bridge: join(REFERENCE, "bridge"), "host-local": join(REFERENCE, "host-local") };
    await using node = await WatchedNode.create({ files, plugin });
    await node.watch("--streams", "--json");
    const added = await node.runtime(tools.cnitool.path ?? "", "add");
    expect([added.exitCode, added.stderr]).toEqual([0, ""]);
    const [inner, outer] = await node.calls(2);
    const stdin = given(plugin);
    expect(stdin.length).toBeGreaterThan(200 << 10);
    // not by toEqual alone: a failure would print all of it
    expect([outer?.stdin === stdin, inner?.stdin === stdin]).toEqual([true, true]);
    expect([inner?.network, outer?.network]).toEqual(["seen", "seen"]);
    expect(JSON.parse(added.stdout)).toEqual(outer?.result);
    expect(inner?.result).toMatchObject({ ips: [{ address: "10.66.0.2/24" }] });
    for (const call of [inner, outer]) expect(Object.keys(call ?? {})).not.toContain("missed");
  },
);

testWith(machine, tools.cnitool)(
  "S3-N06 a plugin of Warren that fails: shown without secrets, and made again by the line below",
  async () => {
    const plugin = { type: "warren-bridge", bridge: "a name that is far too long", apiToken: "geheim" };
    const files = { "warren-bridge": join(dirname(WARREN), "warren-bridge") };
    await using node = await WatchedNode.create({ files, plugin });
    await node.watch("--streams", "--raw");
    expect((await node.runtime(tools.cnitool.path ?? "", "add")).exitCode).toBe(1);
    const seen = await node.seen(/\nprintf %s .*\n$/);
    expect(seen).toContain(` warren-bridge ADD STDIN\n${given(plugin)}\n---`);
    const [, stdout = ""] = /warren-bridge ADD STDOUT\n([\s\S]*?)\n-{80}\n/.exec(seen) ?? [];
    expect(JSON.parse(stdout)).toMatchObject({ cniVersion: "1.1.0", code: expect.any(Number) });
    expect(seen).toMatch(/ADD EXIT\n1 after [\d.]+ ms\nnetwork seen\nto make this call again:\n/);
    const line = seen.trimEnd().split("\n").at(-1) ?? "";
    const again = await node.host.run(["sh", "-c", line]);
    expect([again.exitCode, again.stdout.trimEnd()]).toEqual([1, stdout]);
  },
);

testWith(machine, PERL)(
  "S3-N06 masked, standard error too; what a script has others read is not taken for whole",
  async () => {
    const script = `#!/usr/bin/perl
      my $config = \`cat\`; select undef, undef, undef, 0.3;
      syswrite STDOUT, "{\\"token\\":\\"geheim\\"}\\n"; syswrite STDERR, "password=geheim\\n"; exit 3`;
    await using node = await WatchedNode.create({
      scripts: { script },
      plugin: { type: "script", secret: "geheim" },
    });
    await node.watch("--streams");
    await node.runtime(WARREN, "add");
    const seen = await node.seen(/script ADD EXIT\n3 after [^\n]*\nnetwork seen\nno line .*\n/);
    expect(seen).toContain('script ADD STDOUT\n{"token":"***masked***"}\n');
    expect(seen).toContain("script ADD STDERR\npassword=***masked***\n");
    expect(seen).not.toContain("geheim");
    expect(seen).not.toContain("ADD STDIN");
    expect(seen).toContain(
      "no line makes this call again: it is not sure that all of its standard input was caught\n",
    );
  },
);

testWith(machine, PERL)(
  "S3-N06 redirected streams and other calls than read and write are said to be missed",
  async () => {
    // one process: a transfer of its own, one by writev, and then a descriptor that leads elsewhere
    const script = `#!/usr/bin/perl
    undef $/; my $config = <STDIN>; select undef, undef, undef, 0.3;
    syswrite STDOUT, "{\\"half\\":";
    my $text = "1}"; my $part = pack("PQ", $text, 2); syscall(${process.arch === "arm64" ? 66 : 20}, 1, $part, 1);
    open(STDERR, ">", "/dev/null"); syswrite STDERR, "elsewhere";
    exit 4`;
    await using node = await WatchedNode.create({ scripts: { script }, plugin: { type: "script" } });
    await node.watch("--streams", "--json");
    await node.runtime(WARREN, "add");
    const [call] = await node.calls(1);
    expect(call).toMatchObject({
      exitCode: 4,
      stdin: expect.stringContaining('"name":"seen"'),
      error: '{"half":',
      missed: { stdout: "2 more bytes were not caught", stderr: "more may have gone by that was not caught" },
    });
    expect(JSON.stringify(call)).not.toContain("elsewhere");
  },
);

/** BPF_PROG_GET_FD_BY_ID: whether the kernel still has a program. */
function isLoaded(id: number): boolean {
  const { syscall, close } = dlopen("libc.so.6", {
    syscall: { args: ["i64", "i32", "ptr", "u32"], returns: "i32" },
    close: { args: ["i32"], returns: "i32" },
  } as const).symbols;
  const attribute = new Uint8Array(new ArrayBuffer(72));
  new DataView(attribute.buffer).setUint32(0, id, true);
  const fd = syscall(process.arch === "arm64" ? 280 : 321, 13, ptr(attribute), 72);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

testWith(machine)("S3-N06 nothing is left in the kernel, also after SIGKILL", async () => {
  const child = Bun.spawn([WARREN, "snoop", "--streams"], { stderr: "pipe", stdout: "ignore" });
  await child.stderr.getReader().read();
  const folder = `/proc/${child.pid}/fdinfo`;
  const texts = readdirSync(folder).map((fd) => readFileSync(join(folder, fd), "utf8"));
  const ids = new Set(
    texts.flatMap((text) => [...text.matchAll(/^prog_id:\s*(\d+)$/gm)].map(([, id]) => Number(id))),
  );
  expect([ids.size, [...ids].map(isLoaded)]).toEqual([2, [true, true]]);
  child.kill("SIGKILL");
  await child.exited;
  // the kernel waits until nobody runs them any more
  while ([...ids].some(isLoaded)) await Bun.sleep(10);
});

testWith(machine)("S3-N06 where the kernel does not allow it, it is refused with the reason", async () => {
  using directory = new TemporaryDirectory();
  const refused = (...before: string[]) => {
    const { exitCode, stdout, stderr } = Bun.spawnSync([...before, WARREN, "snoop", "--streams"], {
      cwd: directory.path,
      timeout: 20_000,
    });
    return `${exitCode} ${stdout}${stderr}`;
  };
  expect(refused("setpriv", "--bounding-set", "-sys_admin,-bpf,-perfmon", "--inh-caps", "-all")).toMatch(
    /^1 Error: the kernel lets nobody here watch by a program of its own \([\w ]+.*: EPERM\); run it with CAP_SYS_ADMIN, or with CAP_BPF and CAP_PERFMON, and outside of containers\n$/,
  );
  expect(refused("unshare", "--user", "--map-root-user")).toStartWith(
    "1 Error: the kernel tells of processes only in the machine's own user namespace",
  );
  expect(refused("unshare", "--pid", "--fork", "--mount-proc")).toStartWith(
    "1 Error: the kernel tells of processes only in the machine's own pid namespace",
  );
});

test("S3-N06 without --streams the refusal of a replay names it", () => {
  const { exitCode, stderr } = Bun.spawnSync([WARREN, "snoop", "--kernel", "--always-replay"]);
  expect([exitCode, stderr.toString()]).toEqual([2, expect.stringContaining("use --streams, or recorders")]);
});
