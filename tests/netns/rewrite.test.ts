// The plugin rewrite on a real kernel: what is reported differs from what is there, and packets go by what is there.
import { describe, expect, test } from "bun:test";
import { type Answer, type Config, call, leases, PLUGIN_FOLDER, succeed } from "../support/plugins.ts";
import { Sandbox, WARREN } from "../support/sandbox.ts";

const POD = { containerId: "pod-1", netns: "pod1" };

const PREVIOUS = {
  cniVersion: "1.1.0",
  dns: { nameservers: ["10.1.0.1"] },
  interfaces: [
    { name: "br0", mac: "0a:00:00:00:00:01" },
    { name: "veth1" },
    { name: "eth0", mac: "0a:00:00:00:00:02", mtu: 1500, sandbox: "/run/netns/pod1" },
  ],
  ips: [
    { interface: 2, address: "10.1.0.2/24", gateway: "10.1.0.1" },
    { interface: 2, address: "fd00::2/64" },
  ],
  routes: [{ dst: "0.0.0.0/0", gw: "10.1.0.1" }],
};

function rewrite(sandbox: Sandbox, more: Config = {}): Config {
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-rewrite",
    dataDir: `${sandbox.directory}/store`,
    prevResult: PREVIOUS,
    ...more,
  };
}

async function reported(sandbox: Sandbox, config: Config, target = POD): Promise<unknown> {
  return (await succeed(sandbox, "ADD", config, target)).document.ips;
}

const FAKE = { interface: 2, address: "1.2.3.4/24", gateway: "1.2.3.1" };

test("S4-01 the addresses are replaced, with the bits of the host, and everything else is kept", async () => {
  await using sandbox = await Sandbox.create();
  const { document } = await succeed(sandbox, "ADD", rewrite(sandbox), POD);
  expect(document).toEqual({ ...PREVIOUS, ips: [FAKE] });
  const original = rewrite(sandbox, { compatNetworkAddress: true });
  expect(await reported(sandbox, original)).toEqual([{ ...FAKE, address: "1.2.3.0/24" }]);
  // addresses that the config names are nobody's: nothing is written down
  expect(await sandbox.text(["ls", sandbox.directory])).toBe("");
});

describe("S4-02 the interface is the container's", () => {
  const inside = (name: string) => ({ name, sandbox: "/run/netns/pod1" });
  test.each<[what: string, interfaces: object[] | undefined, index: number | undefined]>([
    ["the one of CNI_IFNAME", [inside("lo"), inside("eth0"), { name: "eth0" }], 1],
    ["not one of the host with that name", [{ name: "eth0" }, inside("net1")], 1],
    [
      "the first in a container, where none has the name",
      [{ name: "br0" }, inside("net1"), inside("net2")],
      1,
    ],
    [
      "none, where the result has none in a container",
      [{ name: "br0" }, { name: "veth1", sandbox: "" }],
      undefined,
    ],
    ["none, where the result has none at all", undefined, undefined],
  ])("%s", async (_what, interfaces, index) => {
    await using sandbox = await Sandbox.create();
    const prevResult = { cniVersion: "1.1.0", interfaces, ips: [] };
    const { interface: _index, ...address } = FAKE;
    const expected = index === undefined ? address : { ...address, interface: index };
    expect(await reported(sandbox, rewrite(sandbox, { prevResult }))).toEqual([expected]);
  });
});

/** A host with a network whose reported addresses are made up, and two pods. */
async function network(plugin: Config, list: Config = {}): Promise<Sandbox> {
  const sandbox = await Sandbox.create();
  for (const pod of ["pod1", "pod2"]) await sandbox.addNetns(pod);
  await sandbox.text(["mkdir", "conf"]);
  const dataDir = `${sandbox.directory}/store`;
  await Bun.write(
    `${sandbox.directory}/conf/lab.conflist`,
    JSON.stringify({
      ...{ cniVersion: "1.1.0", name: "lab", disableCheck: true, ...list },
      plugins: [
        {
          ...{ type: "warren-bridge", bridge: "br0", isDefaultGateway: true, dataDir },
          ipam: {
            type: "warren-ipam",
            dataDir,
            ranges: [[{ subnet: "10.1.0.0/24" }], [{ subnet: "fd00::/64" }]],
          },
        },
        { type: "warren-rewrite", dataDir, ...plugin },
      ],
    }),
  );
  return sandbox;
}

function warren(sandbox: Sandbox, ...args: string[]): Promise<string> {
  const env = { NETCONFPATH: `${sandbox.directory}/conf`, CNI_PATH: PLUGIN_FOLDER };
  return sandbox.text([WARREN, ...args], { env });
}

/** Addresses and routes, without those that the kernel itself makes for IPv6 at a moment of its own. */
async function datapath(sandbox: Sandbox): Promise<string[]> {
  const script = "ip -o address; ip route show table all; ip -6 route show; ip neigh show nud permanent";
  const { stdout } = await sandbox.inNetns("pod1", ["sh", "-c", script]);
  return stdout
    .split("\n")
    .filter((line) => !line.includes("fe80:"))
    .map((line) => line.replace(/valid_lft.*/, ""));
}

test("S4-03 S4-11 addresses and routes of the container are the real ones, and packets go by them", async () => {
  await using sandbox = await network({});
  const plain = JSON.parse(await Bun.file(`${sandbox.directory}/conf/lab.conflist`).text());
  await Bun.write(
    `${sandbox.directory}/conf/plain.conflist`,
    JSON.stringify({ ...plain, name: "plain", plugins: plain.plugins.slice(0, 1) }),
  );
  // the same bridge, range and order, without the plugin
  const real = JSON.parse(await warren(sandbox, "add", "plain", "pod1"));
  const before = await datapath(sandbox);
  await warren(sandbox, "del", "plain", "pod1");
  await sandbox.text(["ip", "netns", "del", "pod1"]);
  await sandbox.addNetns("pod1");
  const told = JSON.parse(await warren(sandbox, "add", "lab", "pod1"));
  expect([real.ips[0].address, told.ips]).toEqual(["10.1.0.2/24", [FAKE]]);
  expect(told.routes).toEqual(real.routes);
  expect(await datapath(sandbox)).toEqual(before);
  expect(await warren(sandbox, "lab", "ping", "10.1.0.1", "--from", "pod1")).toContain(
    "10.1.0.1 answered pod1",
  );
  await warren(sandbox, "del", "lab", "pod1");
});

test("S4-04 a pool gives each pod an address of its own, DEL gives it back, and GC too", async () => {
  const pool = { subnet: "1.2.3.0/24", rangeStart: "1.2.3.10", rangeEnd: "1.2.3.11" };
  await using sandbox = await network({ pool });
  const dataDir = `${sandbox.directory}/store`;
  const held = async () =>
    (await leases(sandbox, dataDir))
      .filter(({ network }) => network === "lab/reported")
      .map(({ address }) => address);
  await warren(sandbox, "status", "lab");
  const first = JSON.parse(await warren(sandbox, "add", "lab", "pod1"));
  const second = JSON.parse(await warren(sandbox, "add", "lab", "pod2"));
  expect([first.ips, second.ips]).toEqual([
    [{ interface: 2, address: "1.2.3.10/24", gateway: "1.2.3.1" }],
    [{ interface: 2, address: "1.2.3.11/24", gateway: "1.2.3.1" }],
  ]);
  expect(await held()).toEqual(["1.2.3.10/24", "1.2.3.11/24"]);
  const status = await sandbox.run([
    WARREN,
    "status",
    "lab",
    "--cni-conf-dir",
    `${sandbox.directory}/conf`,
    "--cni-bin-dir",
    PLUGIN_FOLDER,
  ]);
  expect([status.exitCode, status.stderr]).toEqual([
    1,
    expect.stringContaining("no free addresses in 1.2.3.0/24"),
  ]);
  await warren(sandbox, "del", "lab", "pod1");
  expect(await held()).toEqual(["1.2.3.11/24"]);
  await warren(sandbox, "add", "lab", "pod1");
  await sandbox.text(["ip", "netns", "del", "pod2"]);
  // what the runtime forgot, the plugin's GC finds
  await sandbox.text(["sh", "-c", "rm /var/lib/cni/results/*"]);
  await warren(sandbox, "gc", "lab", "pod1");
  expect(await held()).toEqual(["1.2.3.10/24"]);
  await warren(sandbox, "gc", "lab");
  expect(await leases(sandbox, dataDir)).toEqual([]);
  const shown = await warren(sandbox, "show", "cnitool-294e", "--json", "--data-dir", dataDir);
  expect(JSON.parse(shown).attachments).toEqual([]);
});

describe("S4-05 what is reported is the operator's choice", () => {
  test.each<[what: string, config: Config, ips: unknown]>([
    [
      "several addresses of both families",
      { addresses: [{ address: "192.0.2.7/28", gateway: "192.0.2.1" }, { address: "2001:DB8::7/64" }] },
      [
        { interface: 2, address: "192.0.2.7/28", gateway: "192.0.2.1" },
        { interface: 2, address: "2001:db8::7/64" },
      ],
    ],
    ["beside the real ones", { mode: "append" }, [...PREVIOUS.ips, FAKE]],
    ["not at all, only written down", { mode: "annotate-only" }, PREVIOUS.ips],
  ])("%s", async (_what, config, ips) => {
    await using sandbox = await Sandbox.create();
    const { document } = await succeed(sandbox, "ADD", rewrite(sandbox, config), POD);
    expect(document).toEqual({ ...PREVIOUS, ips });
    await succeed(sandbox, "CHECK", rewrite(sandbox, { ...config, prevResult: document }), POD);
  });

  test.each<[config: Config, message: string]>([
    [{ addresses: [] }, '"addresses" is []'],
    [{ addresses: [{ address: "1.2.3.4" }] }, 'the address "1.2.3.4" is not in CIDR notation'],
    [{ addresses: [{ address: "1.2.3.4/24", gateway: "fd00::1" }] }, 'the gateway "fd00::1" of 1.2.3.4/24'],
    [
      { addresses: [{ address: "1.2.3.4/24" }], pool: { subnet: "1.2.3.0/24" } },
      'both "addresses" and "pool"',
    ],
    [{ pool: {} }, "no IP ranges specified"],
    [{ pool: { subnet: "1.2.3.0/40" } }, "1.2.3.0/40"],
    [{ mode: "lie" }, '"mode" is "lie"'],
    [{ compatNetworkAddress: "yes" }, '"compatNetworkAddress" is "yes"'],
  ])("%j is error 7", async (config, message) => {
    await using sandbox = await Sandbox.create();
    for (const verb of ["ADD", "STATUS"]) {
      const answer = await call(sandbox, verb, rewrite(sandbox, config), POD);
      expect([answer.exitCode, answer.document.code]).toEqual([1, 7]);
      expect(answer.document.msg).toContain(message);
    }
    // and none of it keeps a DEL or GC from its work
    for (const verb of ["DEL", "GC"]) await succeed(sandbox, verb, rewrite(sandbox, config), POD);
  });
});

test("S4-06 without a plugin before it there is nothing to rewrite", async () => {
  await using sandbox = await Sandbox.create();
  for (const verb of ["ADD", "CHECK"]) {
    const { exitCode, document } = await call(
      sandbox,
      verb,
      rewrite(sandbox, { prevResult: undefined }),
      POD,
    );
    expect([exitCode, document.code, document.msg]).toEqual([1, 7, "must be used as a chained plugin"]);
  }
});

function refusal({ exitCode, document }: Answer): unknown {
  return [exitCode, document?.code, document?.msg];
}

test("S4-07 DEL is silent; CHECK compares what is reported, and what is real where it shall", async () => {
  await using sandbox = await Sandbox.create();
  await sandbox.addNetns("pod1");
  await sandbox.text(["ip", "link", "add", "far", "type", "veth", "peer", "name", "eth0", "netns", "pod1"]);
  const config = rewrite(sandbox, { checkReal: true, pool: { subnet: "1.2.3.0/24" } });
  await sandbox.text(["ip", "-n", "pod1", "address", "add", "10.1.0.2/24", "dev", "eth0"]);
  await sandbox.text(["ip", "-n", "pod1", "address", "add", "fd00::2/64", "dev", "eth0", "nodad"]);
  await sandbox.text(["ip", "-n", "pod1", "link", "set", "eth0", "up"]);
  const { document } = await succeed(sandbox, "ADD", config, POD);
  const check = (more: Config) => call(sandbox, "CHECK", { ...config, ...more }, POD);
  expect(await check({ prevResult: document })).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
  expect(refusal(await check({ prevResult: PREVIOUS }))).toEqual([
    ...[1, 103],
    "the result has 10.1.0.2/24, fd00::2/64, and not 1.2.3.2/24, which is reported",
  ]);
  await sandbox.text(["ip", "-n", "pod1", "address", "del", "10.1.0.2/24", "dev", "eth0"]);
  expect(refusal(await check({ prevResult: document }))).toEqual([
    1,
    103,
    "interface eth0 lacks the address 10.1.0.2/24",
  ]);
  const del = await succeed(sandbox, "DEL", config, POD);
  expect([del.stdout, del.stderr]).toEqual(["", ""]);
  expect(await succeed(sandbox, "DEL", config, POD)).toMatchObject({ stdout: "", stderr: "" });
  expect(refusal(await check({ prevResult: document }))).toEqual([
    ...[1, 103],
    "nothing is written down about container pod-1, interface eth0 of network lab",
  ]);
});

test("S4-08 reveal shows what was reported beside what is there", async () => {
  await using sandbox = await network({});
  await warren(sandbox, "add", "lab", "pod1");
  const store = ["--data-dir", `${sandbox.directory}/store`];
  const rows = JSON.parse(await warren(sandbox, "reveal", "pod1", "--json", ...store));
  const base = { network: "lab", container: expect.stringContaining("cnitool-"), ifname: "eth0", noted: "" };
  expect(rows).toEqual([
    { ...base, reported: "1.2.3.4/24", real: "10.1.0.2/24", verdict: "differs" },
    { ...base, reported: "", real: "fd00::2/64", verdict: "only real" },
  ]);
  // by the beginning of its id, as a table
  const table = await warren(sandbox, "reveal", rows[0].container.slice(0, 14), ...store);
  expect(table).toMatch(/^NETWORK +CONTAINER +IFNAME +REPORTED +REAL +VERDICT\n/);
  await sandbox.text(["ip", "netns", "del", "pod1"]);
  const gone = JSON.parse(await warren(sandbox, "reveal", "pod1", "--json", ...store));
  expect(gone).toEqual([{ ...base, reported: "1.2.3.4/24", real: "", verdict: "netns gone" }]);
  const unknown = await sandbox.run([WARREN, "reveal", "nobody"]);
  expect([unknown.exitCode, unknown.stderr]).toEqual([
    1,
    expect.stringContaining('no container "nobody" is known'),
  ]);
});

test("S3-N07 cache lists what a runtime remembers, and shows one container in full", async () => {
  await using sandbox = await network({});
  expect(await warren(sandbox, "cache")).toBe("nothing is remembered\n");
  await warren(sandbox, "add", "lab", "pod1");
  await warren(sandbox, "add", "lab", "pod2", "--ifname", "net1");
  await sandbox.text(["ip", "netns", "del", "pod2"]);
  const rows = JSON.parse(await warren(sandbox, "cache", "--json"));
  const base = { network: "lab", addresses: "1.2.3.4/24" };
  expect(rows).toEqual([
    {
      ...base,
      container: "cnitool-294e5a00691dfbb9d727",
      ifname: "eth0",
      netns: "/var/run/netns/pod1",
      state: "alive",
    },
    {
      ...base,
      container: "cnitool-e1a2493cc355134dc89d",
      ifname: "net1",
      netns: "/var/run/netns/pod2",
      state: "netns gone",
    },
  ]);
  expect(await warren(sandbox, "cache")).toMatch(/^NETWORK +CONTAINER +IFNAME +ADDRESSES +NETNS +STATE\n/);
  const whole = JSON.parse(await warren(sandbox, "cache", "pod1"));
  expect(whole).toMatchObject([
    { ...rows[0], result: { ips: [FAKE] }, config: { name: "lab", disableCheck: true } },
  ]);
});

test("S4-08 reveal shows an address that is only written down", async () => {
  await using sandbox = await network({ mode: "annotate-only" }, { disableCheck: false });
  await warren(sandbox, "add", "lab", "pod1");
  await warren(sandbox, "check", "lab", "pod1");
  const rows = JSON.parse(
    await warren(sandbox, "reveal", "pod1", "--json", "--data-dir", `${sandbox.directory}/store`),
  );
  expect(rows).toMatchObject([
    { reported: "10.1.0.2/24", real: "10.1.0.2/24", noted: "1.2.3.4/24", verdict: "same" },
    { reported: "fd00::2/64", real: "fd00::2/64", noted: "1.2.3.4/24", verdict: "same" },
  ]);
});

describe("S4-09 every version has its own shape", () => {
  const ip4 = { ip: "10.1.0.2/24", gateway: "10.1.0.1", routes: [{ dst: "0.0.0.0/0" }] };
  const interfaces = [{ name: "br0" }, { name: "eth0", sandbox: "/run/netns/pod1" }];
  const told = { interface: 1, address: "1.2.3.4/24", gateway: "1.2.3.1" };
  const real = { interface: 1, address: "10.1.0.2/24" };
  test.each<[cniVersion: string, previous: Config, result: Config]>([
    ["0.2.0", { ip4, dns: {} }, { ip4: { ...ip4, ip: "1.2.3.4/24", gateway: "1.2.3.1" }, dns: {} }],
    [
      "0.3.1",
      { interfaces, ips: [{ version: "4", ...real }], dns: {} },
      { interfaces, ips: [{ version: "4", ...told }], dns: {} },
    ],
    [
      "0.4.0",
      { interfaces, ips: [{ version: "4", ...real }], dns: {} },
      { interfaces, ips: [{ version: "4", ...told }], dns: {} },
    ],
    ["1.0.0", { interfaces, ips: [real] }, { interfaces, ips: [told] }],
    ["1.1.0", { interfaces, ips: [real] }, { interfaces, ips: [told] }],
  ])("%s", async (cniVersion, previous, result) => {
    await using sandbox = await Sandbox.create();
    const config = rewrite(sandbox, { cniVersion, prevResult: { cniVersion, ...previous } });
    expect((await succeed(sandbox, "ADD", config, POD)).document).toEqual({ cniVersion, ...result });
  });

  test("0.2.0 has no room for a second address of a family", async () => {
    await using sandbox = await Sandbox.create();
    const prevResult = { cniVersion: "0.2.0", ip4, dns: {} };
    const config = rewrite(sandbox, { cniVersion: "0.2.0", prevResult, mode: "append" });
    expect(refusal(await call(sandbox, "ADD", config, POD))).toEqual([
      ...[1, 7],
      "CNI version 0.2.0 does not support more than 1 address per family",
    ]);
  });
});
