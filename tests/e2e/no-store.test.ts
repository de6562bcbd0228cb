// A host on which nothing was ever attached: looking and removing make nothing there, no store, no directory, no
// table and no link. Each sample of conf/ is a network, and each plugin in it is called by itself.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { PLUGIN_NAMES } from "../../src/plugins/names.ts";
import { call, linkNames, ruleset, succeed } from "../support/plugins.ts";
import { Sandbox } from "../support/sandbox.ts";

const CONF = resolve(import.meta.dir, "../../conf");

interface Sample {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly Plugin[];
}

interface Plugin {
  readonly type: string;
  readonly ipam?: { readonly type: string };
}

const SAMPLES = [...new Bun.Glob("*.conflist").scanSync(CONF)]
  .sort()
  .map((file): Sample => JSON.parse(readFileSync(join(CONF, file), "utf8")));

const RESULT = {
  cniVersion: "1.1.0",
  interfaces: [{ name: "eth0", sandbox: "/run/netns/pod" }],
  ips: [{ address: "10.88.0.2/16", interface: 0 }],
};

/** The plugins of a network, and those that give its addresses, called by themselves. */
function pluginsOf({ plugins }: Sample): Plugin[] {
  return plugins.flatMap((plugin) =>
    plugin.ipam === undefined ? [plugin] : [plugin, { type: plugin.ipam.type, ipam: plugin.ipam }],
  );
}

test("the samples have every plugin", () => {
  const types = SAMPLES.flatMap(pluginsOf).map(({ type }) => type.replace(/^warren-/, ""));
  expect([...new Set(types)].sort()).toEqual([...PLUGIN_NAMES].sort());
});

test.each(SAMPLES.map((sample) => [sample.name, sample] as const))(
  "DEL, CHECK and GC of the network %s make no store where none was",
  async (_, sample) => {
    const { plugins: __, ...common } = sample;
    await using sandbox = await Sandbox.create();
    await sandbox.addNetns("pod");
    const target = { containerId: "nobody", netns: "pod" };
    for (const plugin of pluginsOf(sample)) {
      const config = { ...common, ...plugin };
      for (const [verb, more] of [
        ["CHECK", { prevResult: RESULT }],
        ["DEL", { prevResult: RESULT }],
        ["DEL", {}],
        ["GC", { "cni.dev/valid-attachments": [] }],
        ["GC", { "cni.dev/valid-attachments": [{ containerID: "other", ifname: "eth0" }] }],
      ] as const) {
        const { exitCode, stdout } = await call(
          sandbox,
          verb,
          { ...config, ...more },
          verb === "GC" ? undefined : target,
        );
        if (verb !== "CHECK")
          expect([plugin.type, verb, exitCode, stdout]).toEqual([plugin.type, verb, 0, ""]);
        const made = await sandbox.text(["ls", "-A", "/var/lib/cni"]);
        expect([plugin.type, verb, made]).toEqual([plugin.type, verb, ""]);
      }
    }
    expect(await linkNames(sandbox)).toEqual([]);
    expect(await ruleset(sandbox)).toBe("");
  },
  20_000,
);

test("where the store was lost, GC keeps what the pods that live need, and makes no other store", async () => {
  await using sandbox = await Sandbox.create();
  await sandbox.addNetns("pod");
  const config = {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-bridge",
    bridge: "br0",
    ipMasq: true,
    ipam: { type: "warren-ipam", subnet: "10.88.0.0/24" },
  };
  await succeed(sandbox, "ADD", config, { containerId: "pod", netns: "pod" });
  await sandbox.text(["rm", "-r", "/var/lib/cni/warren"]);
  const valid = [{ containerID: "pod", ifname: "eth0" }];
  await succeed(sandbox, "GC", { ...config, "cni.dev/valid-attachments": valid });
  expect(await linkNames(sandbox)).toHaveLength(2);
  expect(await ruleset(sandbox)).toContain("masquerade");
  await succeed(sandbox, "GC", { ...config, "cni.dev/valid-attachments": [] });
  expect(await linkNames(sandbox)).toEqual(["br0"]);
  expect(await ruleset(sandbox)).toBe("");
  expect(await sandbox.text(["ls", "-A", "/var/lib/cni"])).toBe("");
});
