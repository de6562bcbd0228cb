// `warren snoop --kernel`: calls of plugins by the kernel's word, made by real runtimes that were told of nothing. Process
// events reach only the machine's own namespaces, so the watcher is started there, where it opens a socket and listens;
// runtimes and plugins are in a sandbox. The plugins take their time, because a test's machine is busy.
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { testWith, WARREN } from "../support/sandbox.ts";
import { machine, WatchedNode } from "../support/watched-node.ts";
import { TemporaryDirectory } from "../support/world.ts";

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

/** A network of two scripts, one of which delegates to the other. */
const scene = () =>
  WatchedNode.create({
    scripts: { "kernel-net": NET, "kernel-address": ADDRESS },
    plugin: { type: "kernel-net", filler: "x".repeat(5000) },
  });

testWith(machine, tools.cnitool)(
  "S3-N05 calls by cnitool, which knows nothing of it: plugins, delegates, ends and times; nothing is taken from them",
  async () => {
    await using node = await scene();
    await node.watch("--kernel", "--json");
    const cnitool = tools.cnitool.path ?? "";
    const added = await node.runtime(cnitool, "add");
    expect([added.exitCode, added.stderr]).toEqual([0, ""]);
    const config = { cniVersion: "1.1.0", filler: "x".repeat(5000), name: "seen", type: "kernel-net" };
    expect(JSON.parse(added.stdout).dns).toEqual({ search: [`${JSON.stringify(config).length} bytes`] });
    const [inner, outer] = await node.calls(2);
    const bin = join(node.host.directory, "bin");
    const env = { CNI_COMMAND: "ADD", CNI_CONTAINERID: node.container, CNI_IFNAME: "eth0", CNI_PATH: bin };
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
    const failed = await node.runtime(cnitool, "check");
    expect(failed.exitCode).toBe(1);
    expect((await node.calls(4)).slice(2)).toMatchObject([
      { verb: "CHECK", plugin: join(bin, "kernel-address"), network: "seen", exitCode: 0 },
      { verb: "CHECK", plugin: join(bin, "kernel-net"), network: "seen", exitCode: 1 },
    ]);
    // whoever takes such a record for a whole one is told
    writeFileSync(join(node.host.directory, "calls.jsonl"), `${JSON.stringify(outer)}\n`);
    const replay = await node.host.run([WARREN, "replay", join(node.host.directory, "calls.jsonl")]);
    expect([replay.exitCode, replay.stderr]).toEqual([1, expect.stringContaining("has no standard input")]);
  },
);

testWith(machine)(
  "S3-N05 calls by warren: shown as they begin, with the network, and as they end",
  async () => {
    await using node = await scene();
    await node.watch("--kernel");
    const running = node.runtime(WARREN, "add");
    const begun = await node.seen(/ kernel-net ADD EXEC\n[\s\S]*CNI_IFNAME=eth0\n/);
    // it has not ended yet
    expect(begun).not.toContain("EXIT");
    expect((await running).exitCode).toBe(0);
    const ended = await node.seen(/ kernel-net ADD EXIT\n0 after [\d.]+ ms\nnetwork seen\n$/);
    expect(ended).toMatch(/\n {2}-{80}\n {2}[\d:.]+ \d+\/\d+ kernel-address ADD EXEC\n/);
    expect(ended).not.toContain("\u001b");
    await node.runtime(WARREN, "check");
    // the exit code, and not the kernel's 256; nothing could make the call again
    expect(await node.seen(/kernel-net CHECK EXIT\n1 after /)).not.toContain("to make this call again");
  },
);

testWith(machine)("S3-N05 only what is asked for, and a death by a signal", async () => {
  await using node = await scene();
  writeFileSync(
    join(node.host.directory, "bin", "kernel-address"),
    "#!/bin/sh\ncat >/dev/null; sleep 0.3; kill -9 $$\n",
  );
  await node.watch("--kernel", "--json", "--failed", "--verb", "del", "--network", "seen");
  await node.runtime(WARREN, "add");
  await node.runtime(WARREN, "del");
  expect(await node.calls(1)).toMatchObject([
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
    "Error: --kernel sees no standard input, so there is nothing to replay: use --streams, or recorders\n",
  ]);
});
