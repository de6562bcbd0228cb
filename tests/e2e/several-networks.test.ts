// Several networks for one container under real clients: Go's cnitool and podman, which know of one interface only, and the
// operator's tool, to which the others are as real.
import { describe, expect, test } from "bun:test";
import { tools } from "../../scripts/tools.ts";
import { ContainerHost } from "../support/container-root.ts";
import { Podman, testWithPodman } from "../support/engines.ts";
import { type Config, leases, linkNames, PLUGIN_FOLDER } from "../support/plugins.ts";
import { Sandbox, testWith, WARREN } from "../support/sandbox.ts";

function bridge(number: number, more: Config = {}): Config {
  const ipam = { type: "warren-ipam", subnet: `10.${number}.0.0/24` };
  return { type: "warren-bridge", bridge: `warren${number}`, isGateway: true, ipam, ...more };
}

/** The network with two interfaces, the second with a chain, and what more its plugin's config has. */
function several(more: Config = {}): Config {
  const chain = { name: "wide", plugins: [bridge(46), { type: "warren-tuning", mtu: 1300 }] };
  const delegates = [bridge(45, { isDefaultGateway: true }), chain];
  const plugin = { type: "warren-delegates", capabilities: { ips: true }, delegates, ...more };
  return { cniVersion: "1.1.0", name: "several", plugins: [plugin] };
}

/** Returns a host with these lists in its folder, and a function that runs our tool there. */
async function hostWith(...lists: readonly Config[]) {
  const sandbox = await Sandbox.create();
  for (const pod of ["pod1", "pod2"]) await sandbox.addNetns(pod);
  const conf = `${sandbox.directory}/conf`;
  for (const list of lists) await Bun.write(`${conf}/${list.name}.conflist`, JSON.stringify(list, null, 2));
  const env = { NETCONFPATH: conf, CNI_PATH: PLUGIN_FOLDER };
  const warren = (...args: string[]) => sandbox.run([WARREN, ...args], { env });
  return { sandbox, conf, env, warren };
}

async function namesIn(sandbox: Sandbox, pod: string): Promise<string[]> {
  const links = (await sandbox.json(["ip", "-n", pod, "-json", "link"])) as { ifname: string }[];
  return links.map(({ ifname }) => ifname);
}

testWith(tools.cnitool)("S1-21 Go's cnitool drives several networks as if they were one", async () => {
  const { sandbox, env } = await hostWith(several());
  await using _ = sandbox;
  const go = (...args: string[]) => sandbox.text([tools.cnitool.path ?? "", ...args], { env });
  const [pod1, pod2] = ["/run/netns/pod1", "/run/netns/pod2"];
  await go("status", "several", pod1);
  const { ips } = JSON.parse(await go("add", "several", pod1));
  expect(ips).toEqual([{ address: "10.45.0.2/24", gateway: "10.45.0.1", interface: 2 }]);
  await go("add", "several", pod2);
  expect(await namesIn(sandbox, "pod1")).toEqual(["lo", "eth0", "net1"]);
  await go("check", "several", pod1);
  await go("del", "several", pod1);
  expect(await namesIn(sandbox, "pod1")).toEqual(["lo"]);
  await go("gc", "several", pod1);
  expect(await namesIn(sandbox, "pod2")).toEqual(["lo"]);
  expect(await linkNames(sandbox)).toEqual(["warren45", "warren46"]);
});

describe("the operator's tool", () => {
  test("status, show and gc tell of all networks, and what is one attachment counts as one", async () => {
    const { sandbox, conf, warren } = await hostWith(several());
    await using _ = sandbox;
    for (const pod of ["pod1", "pod2"]) expect((await warren("add", "several", pod)).exitCode).toBe(0);
    const container = "cnitool-294e5a00691dfbb9d727";
    const shown = JSON.parse((await warren("show", container, "--json")).stdout);
    expect(shown.networks).toMatchObject([
      { name: "several", interface: "eth0", ips: ["10.45.0.2"], default: true, dns: {} },
      { name: "wide", interface: "net1", ips: ["10.46.0.2"], default: false },
    ]);
    const status = JSON.parse((await warren("status", "--json", "--cni-conf-dir", conf)).stdout);
    const networks = status.networks.map(({ name, ready }: { name: string; ready: boolean }) => [
      name,
      ready,
    ]);
    expect(networks).toEqual([
      ["several", true],
      ["wide", true],
    ]);
    expect(status.pools.map(({ network, ranges }: Config) => `${network} ${ranges}`).sort()).toEqual([
      "several 10.45.0.0/24",
      "wide 10.46.0.0/24",
    ]);
    const dry = await warren("gc", "several", "pod1", "--dry-run");
    expect(dry.stdout + dry.stderr).toContain("e1a2493cc355134dc89d");
    // what a plugin has added by itself is part of the attachment that it did it for
    expect(dry.stdout).not.toMatch(/ net1 {2,}/);
    expect((await warren("gc", "several", "pod1")).exitCode).toBe(0);
    expect(await namesIn(sandbox, "pod1")).toEqual(["lo", "eth0", "net1"]);
    expect(await namesIn(sandbox, "pod2")).toEqual(["lo"]);
    expect((await warren("del", "several", "pod1")).exitCode).toBe(0);
    expect((await warren("leases")).stdout).toBe("no leases\n");
  });

  test("the doctor examines what stands inside, with its place, and names delegates that are missing", async () => {
    const delegates = [
      { ...bridge(45), masterplugin: true, bridgge: "typo" },
      { conf: { plugins: [bridge(46), { type: "gone-plugin" }] }, interface: "data0" },
      "nowhere",
      { ...bridge(48), ipam: { subnet: "10.48.0.0/99", type: "warren-ipam" } },
      { type: "warren-portmap" },
      { ...bridge(49), masterplugin: true },
    ];
    const { sandbox, conf, warren } = await hostWith(several({ delegates }));
    await using _ = sandbox;
    await Bun.write(
      `${conf}/several.conflist`,
      JSON.stringify(several({ delegates, confDir: conf }), null, 2),
    );
    const { exitCode, stdout } = await warren("conf", "doctor", conf);
    expect(exitCode).toBe(1);
    const lines = (await Bun.file(`${conf}/several.conflist`).text()).split("\n");
    const place = (text: string) => lines.findIndex((line) => line.includes(text)) + 1;
    for (const [text, words] of [
      ['"bridgge"', 'knows no key "bridgge", and passes over it'],
      ['"gone-plugin"', 'failed to find plugin "gone-plugin"'],
      ['"nowhere"', 'no net configuration with name "nowhere"'],
      ["10.48.0.0/99", 'subnet "10.48.0.0/99"'],
      ['"warren-portmap"', "is the first plugin, and works on what another one has made"],
      ['"delegates"', "is a master, and so is delegates[0]"],
    ] as const) {
      const found = stdout.split("\n").find((line) => line.includes(words));
      expect([words, found]).toEqual([
        words,
        expect.stringMatching(new RegExp(`several.conflist:(${place(text)}|${place(text) - 1}):`)),
      ]);
    }
    expect(stdout).not.toContain('no key "masterplugin"');
  });

  test.each(["delegates", "pair"])(
    "the doctor has nothing to say about the sample %s, but about what is missing in it",
    async (name) => {
      const sample = await Bun.file(`${import.meta.dir}/../../conf/${name}.conflist`).text();
      const { sandbox, conf, warren } = await hostWith(JSON.parse(sample));
      await using _ = sandbox;
      const { exitCode, stdout } = await warren("conf", "doctor", conf);
      expect([exitCode, stdout]).toEqual([0, expect.not.stringMatching(/error|warning/)]);
      await Bun.write(`${conf}/${name}.conflist`, sample.replaceAll("warren-bridge", "brigde"));
      const broken = await warren("conf", "doctor", conf);
      expect(broken.stdout.match(/error: failed to find plugin "brigde"/g)).toHaveLength(2);
      expect(broken.exitCode).toBe(1);
    },
  );
});

testWithPodman(
  "S1-21 podman's containers get all networks, what they ask for is the master's, and nothing is left of them",
  async () => {
    await using host = await ContainerHost.create([
      { ...several(), name: "containers", ...{ cniVersion: "1.0.0" } },
    ]);
    const podman = await Podman.create(host);
    await podman.start("first", ["--ip", "10.45.0.77"]);
    const inside = await podman.text("exec", "first", "/bin/busybox", "ip", "-4", "-o", "addr");
    expect(
      [...inside.matchAll(/^\d+: (\S+) +inet (\S+)/gm)].map(([, name, address]) => [name, address]),
    ).toEqual([
      ["lo", "127.0.0.1/8"],
      ["eth0", "10.45.0.77/24"],
      ["net1", "10.46.0.2/24"],
    ]);
    for (const gateway of ["10.45.0.1", "10.46.0.1"]) {
      await podman.text("exec", "first", "/bin/busybox", "ping", "-c", "1", "-W", "5", gateway);
    }
    await podman.text("rm", "--force", "--time", "0", "first");
    expect(await leases(host.sandbox, "/var/lib/cni/warren")).toEqual([]);
    expect(await linkNames(host.sandbox)).toEqual(["warren45", "warren46"]);
  },
  60_000,
);
