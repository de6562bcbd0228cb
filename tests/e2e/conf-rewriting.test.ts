// `warren conf fuse` and `split` as an operator uses them: on a file, to standard output or in place, and the network
// works in the new form with pods that were attached in the old one.
import { expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { linkNames, PLUGIN_FOLDER, ruleset } from "../support/plugins.ts";
import { Sandbox, WARREN } from "../support/sandbox.ts";

const CHAIN = {
  cniVersion: "1.1.0",
  name: "lab",
  plugins: [
    {
      type: "warren-bridge",
      bridge: "br0",
      isGateway: true,
      ipam: { type: "warren-ipam", subnet: "10.88.0.0/24" },
    },
    { type: "warren-portmap", capabilities: { portMappings: true } },
    { type: "warren-bandwidth", capabilities: { bandwidth: true } },
    { type: "warren-firewall" },
    { type: "warren-tuning", mtu: 1400 },
  ],
};

test("a running network changes its form, and back", async () => {
  await using sandbox = await Sandbox.create();
  const folder = join(sandbox.directory, "net.d");
  await sandbox.text(["mkdir", folder]);
  const file = join(folder, "10-lab.conflist");
  writeFileSync(file, JSON.stringify(CHAIN));
  chmodSync(file, 0o640);
  chownSync(file, 65_534, 1234);
  const args = ["--cni-conf-dir", folder, "--cni-bin-dir", PLUGIN_FOLDER];
  const env = (hostPort: number) => ({
    CAP_ARGS: JSON.stringify({
      portMappings: [{ hostPort, containerPort: 80, protocol: "tcp" }],
      bandwidth: { egressRate: 8_000_000, egressBurst: 800_000 },
    }),
  });
  const add = async (pod: string, hostPort: number) => {
    await sandbox.addNetns(pod);
    await sandbox.text([WARREN, "add", "lab", pod, ...args], { env: env(hostPort) });
  };
  await add("pod1", 8001);

  // to standard output the file stays as it is
  const shown = await sandbox.run([WARREN, "conf", "fuse", file]);
  expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(CHAIN);
  expect(shown.stderr).toContain('warren-portmap is now the key "portmap" of the first plugin\n');

  symlinkSync(file, join(sandbox.directory, "link.conflist"));
  const written = await sandbox.run([
    WARREN,
    "conf",
    "fuse",
    join(sandbox.directory, "link.conflist"),
    "--write",
  ]);
  expect(written).toMatchObject({ exitCode: 0, stdout: "" });
  expect(readFileSync(file, "utf8")).toBe(shown.stdout);
  const { mode, uid, gid } = statSync(file);
  expect({ mode: mode & 0o777, uid, gid }).toEqual({ mode: 0o640, uid: 65_534, gid: 1234 });
  expect(readdirSync(folder).sort()).toEqual([
    "10-lab.conflist",
    expect.stringMatching(/^10-lab\.conflist\.before-1-/),
  ]);

  await add("pod2", 8002);
  await sandbox.text([WARREN, "check", "lab", "pod2", ...args], { env: env(8002) });
  expect(await ruleset(sandbox)).toContain("8002");
  // the pod of the old form is deleted by the new one
  await sandbox.text([WARREN, "del", "lab", "pod1", ...args]);
  expect(await ruleset(sandbox)).not.toContain("8001");
  expect((await linkNames(sandbox)).filter((name) => name.startsWith("bwp"))).toHaveLength(1);

  await sandbox.text([WARREN, "conf", "split", file, "--write"]);
  expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(CHAIN);
  await sandbox.text([WARREN, "del", "lab", "pod2", ...args]);
  expect(await linkNames(sandbox)).toEqual(["br0"]);
});

test.each([
  [["conf", "fuse", "missing.conflist"], 1, "can't read missing.conflist"],
  [["conf", "fuse", "broken.conflist"], 1, "broken.conflist: no JSON at line 1, column 2"],
  [["conf", "split", "list.conflist"], 1, "list.conflist is no JSON object"],
  [["conf", "fuse"], 2, "FILE"],
  [["conf", "melt", "x"], 2, "melt"],
])("%j is refused", async (command, exitCode, message) => {
  await using sandbox = await Sandbox.create();
  writeFileSync(join(sandbox.directory, "broken.conflist"), "{");
  writeFileSync(join(sandbox.directory, "list.conflist"), "[]");
  const outcome = await sandbox.run([WARREN, ...command]);
  expect(outcome.stderr).toContain(message);
  expect(outcome.exitCode).toBe(exitCode);
  expect(outcome.stdout).toBe("");
});
