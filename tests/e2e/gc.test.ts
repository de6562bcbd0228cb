// `warren gc` as an operator uses it: whom the entries mean, whoever made the attachment, and what a dry run says.
import { expect, test } from "bun:test";
import { PLUGIN_FOLDER } from "../support/plugins.ts";
import { Sandbox, WARREN } from "../support/sandbox.ts";

async function lab(): Promise<{
  readonly sandbox: Sandbox;
  warren(...args: string[]): Promise<{ exitCode: number; stdout: string; stderr: string }>;
}> {
  const sandbox = await Sandbox.create();
  await sandbox.addNetns("pod1");
  await sandbox.addNetns("pod2");
  await sandbox.text(["mkdir", "conf"]);
  await Bun.write(
    `${sandbox.directory}/conf/lab.conflist`,
    JSON.stringify({
      cniVersion: "1.1.0",
      name: "lab",
      plugins: [
        { type: "warren-bridge", bridge: "br0", ipam: { type: "warren-ipam", subnet: "10.88.0.0/24" } },
      ],
    }),
  );
  const flags = ["--cni-conf-dir", `${sandbox.directory}/conf`, "--cni-bin-dir", PLUGIN_FOLDER];
  return { sandbox, warren: (verb, ...args) => sandbox.run([WARREN, verb, "lab", ...args, ...flags]) };
}

test("an entry keeps the container of another runtime, by its namespace or by its id", async () => {
  const { sandbox, warren } = await lab();
  await using _ = sandbox;
  for (const [netns, id] of [
    ["pod1", "a-runtimes-own-id"],
    ["pod2", "another-id"],
  ] as const) {
    expect((await warren("add", netns, "--container-id", id)).exitCode).toBe(0);
  }
  // by namespace, as a bare name and as a path
  expect((await warren("gc", "pod1", "/run/netns/pod2")).stderr).not.toContain("removed");
  // a cache that was lost: the store knows too
  await sandbox.text(["rm", "-rf", "/var/lib/cni/results"]);
  expect((await warren("gc", "a-runtimes-own-id", "pod2")).stderr).not.toContain("warren-bridge: removed");
  const leases = JSON.parse((await sandbox.run([WARREN, "leases", "--json"])).stdout);
  expect(leases).toHaveLength(2);
});

test("an entry that means nobody is refused, and nobody is removed", async () => {
  const { sandbox, warren } = await lab();
  await using _ = sandbox;
  await warren("add", "pod1");
  const { exitCode, stderr } = await warren("gc", "pod-one");
  expect(exitCode).toBe(1);
  expect(stderr).toContain("pod-one is no known attachment of this network; nothing was removed");
  expect(JSON.parse((await sandbox.run([WARREN, "leases", "--json"])).stdout)).toHaveLength(1);
});

test("X-26 a dry run names what would go and changes nothing; leaked leases are shown", async () => {
  const { sandbox, warren } = await lab();
  await using _ = sandbox;
  await warren("add", "pod1");
  await warren("add", "pod2");
  expect((await warren("gc", "pod1", "pod2", "--dry-run")).stdout).toBe("nothing would be removed\n");
  await sandbox.text(["ip", "netns", "del", "pod2"]);
  const leaked = JSON.parse((await sandbox.run([WARREN, "leases", "--leaked", "--json"])).stdout);
  expect(leaked).toEqual([expect.objectContaining({ address: "10.88.0.3/24", state: "netns gone" })]);
  const dry = JSON.parse((await warren("gc", "pod1", "--dry-run", "--json")).stdout);
  expect(dry.map(({ kind, what }: { kind: string; what: string }) => [kind, what])).toEqual([
    ["cached attachment", "/var/run/netns/pod2"],
    ["attachment", expect.stringContaining("link veth")],
    ["lease", "10.88.0.3/24"],
  ]);
  expect(JSON.parse((await sandbox.run([WARREN, "leases", "--json"])).stdout)).toHaveLength(2);
  await warren("gc", "pod1");
  expect(JSON.parse((await sandbox.run([WARREN, "leases", "--json"])).stdout)).toHaveLength(1);
});
