// The verbs of the plugin `ipam` through the runner, on a store of its own: what a runtime and a person at the store
// see of each row.
import { expect, test } from "bun:test";
import { ON_NODE, SHARED } from "../support/engine.ts";
import { type Answer, type CallOptions, type Json, TestHost } from "../support/world.ts";

function errorIn({ stdout }: Answer): Json {
  return JSON.parse(stdout);
}

async function refusal(
  host: TestHost,
  verb: string,
  config: Json,
  env: CallOptions["env"] = {},
): Promise<Json> {
  const answer = await host.call(verb, config, { env });
  expect(answer.exitCode).toBe(1);
  return errorIn(answer);
}

/** Returns the addresses of a new attachment. */
async function addressesOf(host: TestHost, config: Json, env: CallOptions["env"] = {}): Promise<unknown[]> {
  const { ips } = await host.add(config, env);
  return Array.isArray(ips) ? ips.map((ip: Json) => ip.address) : [];
}

test("S0-03 S0-04 STATUS of a pool without a free address is code 50 and names the subnet", async () => {
  using host = new TestHost();
  const config = host.config({ subnet: "10.1.0.0/30" });
  expect(await host.call("STATUS", config)).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  await host.add(config);
  expect(await refusal(host, "STATUS", config)).toEqual({
    cniVersion: "1.1.0",
    code: 50,
    msg: "no free addresses in 10.1.0.0/30",
    details:
      'network lab holds 1 addresses; the set is 10.1.0.1-10.1.0.2: run "warren gc", or widen the range',
  });
  // that is no lie
  expect(await refusal(host, "ADD", config, { CNI_CONTAINERID: "pod2" })).toMatchObject({ code: 101 });
  await host.call("DEL", config);
  expect((await host.call("STATUS", config)).exitCode).toBe(0);
});

test("S0-15 kubelet's arguments pass unmodified, the pod is kept in the lease, and the next free address is given", async () => {
  using host = new TestHost();
  const CNI_ARGS =
    "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-1;K8S_POD_INFRA_CONTAINER_ID=pod1;K8S_POD_UID=294e-5a00;K8S_NEW=x";
  expect(await addressesOf(host, host.config(), { CNI_ARGS })).toEqual(["10.1.0.2/24"]);
  using database = host.leaseDatabase();
  expect(database.query("SELECT pod_namespace, pod_name, pod_uid, netns FROM leases").values()).toEqual([
    ["default", "web-1", "294e-5a00", "/nowhere/pod1"],
  ]);
});

test("S0-15 an unknown argument is refused with code 4 and its name, and nothing is stored", async () => {
  using host = new TestHost();
  await host.call("STATUS", host.config());
  expect(await refusal(host, "ADD", host.config(), { CNI_ARGS: "COLOUR=red" })).toMatchObject({
    code: 4,
    msg: 'ARGS: unknown args ["COLOUR=red"]',
  });
  expect(host.leases()).toEqual([]);
});

test("S0-16 a requested address comes from runtimeConfig, else from args, else from CNI_ARGS", async () => {
  using host = new TestHost();
  const sources = {
    runtimeConfig: { ips: ["10.1.0.10"] },
    args: { cni: { ips: ["10.1.0.20/16"] } },
  };
  const env = (CNI_CONTAINERID: string) => ({ CNI_CONTAINERID, CNI_ARGS: "IP=10.1.0.30" });
  const ask = (who: string, others: Json) => addressesOf(host, host.config(undefined, others), env(who));
  expect(await ask("a", sources)).toEqual(["10.1.0.10/24"]);
  // a prefix length that comes with the request gives way to the pool's
  expect(await ask("b", { args: sources.args })).toEqual(["10.1.0.20/24"]);
  expect(await ask("c", { runtimeConfig: { ips: [] }, args: { cni: { ips: null } } })).toEqual([
    "10.1.0.30/24",
  ]);
});

test.each([
  "10.1.0",
  "10.1.0.256",
  "10.1.0.5/33",
  "10.1.0.5/",
  "/24",
  "host",
  "10.1.0.5 ",
  "10.1.0.0",
  "10.1.0.255",
  "10.1.0.1",
  "10.2.0.5",
  "fd00::5",
])(
  "S0-14 the address %p is refused with code 7 and its value wherever it comes from, and nothing is stored",
  async (ip) => {
    using host = new TestHost();
    await host.call("STATUS", host.config());
    const answers = [
      await refusal(host, "ADD", host.config(undefined, { runtimeConfig: { ips: [ip] } })),
      await refusal(host, "ADD", host.config(undefined, { args: { cni: { ips: [ip] } } })),
      await refusal(host, "ADD", host.config(), { CNI_ARGS: `IP=${ip}` }),
    ];
    for (const { code, msg } of answers) {
      expect(code).toBe(7);
      expect(msg).toContain(ip.trim());
    }
    expect(host.leases()).toEqual([]);
  },
);

test("S0-27 ranges of both families give both, one request each; ranges of the runtime come first", async () => {
  using host = new TestHost();
  const config = host.config(
    { ranges: [[{ subnet: "fd00::/64" }]] },
    { runtimeConfig: { ipRanges: [[{ subnet: "10.3.0.0/24" }]], ips: ["fd00::9", "10.3.0.9"] } },
  );
  expect(await addressesOf(host, config)).toEqual(["10.3.0.9/24", "fd00::9/64"]);
});

test("fixed addresses need no pool, and are remembered like any other", async () => {
  using host = new TestHost();
  const config = host.config({
    addresses: [{ address: "10.5.0.9/24", gateway: "10.5.0.1" }, { address: "fd05::9/64" }],
  });
  expect(await host.add(config)).toMatchObject({
    ips: [{ address: "10.5.0.9/24", gateway: "10.5.0.1" }, { address: "fd05::9/64" }],
  });
  expect(await refusal(host, "ADD", config, { CNI_CONTAINERID: "pod2" })).toMatchObject({
    code: 100,
    msg: `requested IP address 10.5.0.9 is not available in the config's addresses: it is held by container pod1, interface eth0${ON_NODE}`,
  });
  // without a pool a request replaces them, and brings prefix length and gateway
  const env = { CNI_CONTAINERID: "pod3", CNI_ARGS: "IP=10.5.0.10/25,fd05::a/64" };
  expect(await addressesOf(host, config, env)).toEqual(["10.5.0.10/25", "fd05::a/64"]);
  const withGateway = { CNI_CONTAINERID: "pod4", CNI_ARGS: "IP=10.5.0.11/25;GATEWAY=10.5.0.1" };
  expect(await host.add(config, withGateway)).toMatchObject({ ips: [{ gateway: "10.5.0.1" }] });
});

test("routes and DNS come as the config has them", async () => {
  using host = new TestHost();
  const resolvConf = `${host.path}/resolv.conf`;
  await Bun.write(
    resolvConf,
    "# comment\nnameserver 10.1.0.53\ndomain lab\nsearch a b\nsearch c d\noptions ndots:2\nnameserver fd00::53\n",
  );
  const routes = [{ dst: "0.0.0.0/0", gw: "10.1.0.254", mtu: 1400, priority: 5 }];
  const result = await host.add(host.config({ subnet: "10.1.0.0/24", routes, resolvConf }));
  expect(result).toMatchObject({
    routes,
    dns: { nameservers: ["10.1.0.53", "fd00::53"], domain: "lab", search: ["c", "d"], options: ["ndots:2"] },
  });
  const missing = host.config({ subnet: "10.1.0.0/24", resolvConf: "/nowhere/resolv.conf" });
  expect(await refusal(host, "ADD", missing, { CNI_CONTAINERID: "pod2" })).toMatchObject({
    code: 5,
    msg: 'ipam: resolvConf "/nowhere/resolv.conf" can\'t be read: open /nowhere/resolv.conf: ENOENT',
  });
  expect(host.leases()).toHaveLength(1);
});

test("S0-17 DEL needs neither namespace, prevResult nor a good config, and may be repeated", async () => {
  using host = new TestHost();
  await host.add(host.config());
  const bad = host.config({ subnet: "what?", order: 7, unknown: true }, { prevResult: "what?" });
  expect(await host.call("DEL", bad, { env: { CNI_NETNS: "", CNI_ARGS: "what?" } })).toMatchObject({
    exitCode: 0,
  });
  expect(host.leases()).toEqual([]);
  expect(await host.call("DEL", bad)).toEqual({ exitCode: 0, stdout: "", stderr: "" });
});

test("S0-18 CHECK passes after ADD, and fails when the lease is gone or the result has another address", async () => {
  using host = new TestHost();
  const prevResult = await host.add(host.config());
  const check = (others: Json) => refusal(host, "CHECK", host.config(undefined, others));
  expect((await host.call("CHECK", host.config(undefined, { prevResult }))).exitCode).toBe(0);
  expect(await check({ prevResult: { ips: [{ address: "10.1.0.3/24" }] } })).toMatchObject({
    code: 103,
    msg: "container pod1, interface eth0 of network lab holds the address 10.1.0.2/24, which its result does not have",
    details: "the result has 10.1.0.3/24; DEL it, and ADD it again",
  });
  expect(await check({ prevResult: { ips: [] } })).toMatchObject({ code: 103 });
  using database = host.leaseDatabase();
  database.run("UPDATE leases SET container_id = 'other'");
  expect(await check({ prevResult })).toMatchObject({
    code: 103,
    msg: "no address is leased to container pod1, interface eth0 of network lab",
  });
});

test("S0-20 S0-21 GC reads both keys; null and an empty list keep none; without a list nothing happens", async () => {
  using host = new TestHost();
  const pods = ["pod1", "pod2", "pod3"];
  const fill = async () => {
    for (const CNI_CONTAINERID of pods) await host.add(host.config(), { CNI_CONTAINERID });
  };
  await host.add(host.config(undefined, { name: "other" }));
  await fill();
  const holders = () => host.leases().map(([network, containerId]) => `${network}/${containerId}`);
  const all = ["lab/pod1", "lab/pod2", "lab/pod3", "other/pod1"];
  const gc = (others: Json) => host.call("GC", host.config(undefined, others));

  expect(await gc({})).toEqual({
    exitCode: 0,
    stdout: "",
    stderr: "warren-ipam: no list of valid attachments came for network lab: nothing is collected\n",
  });
  expect(holders()).toEqual(all);
  const keeping = (...names: string[]) =>
    names.map((containerID) => ({ containerID, ifname: "eth0", extra: 1 }));
  await gc({ "cni.dev/valid-attachments": keeping(...pods) });
  expect(holders()).toEqual(all);
  // the key of the specification wins over the older one
  const collected = await gc({
    "cni.dev/valid-attachments": keeping("pod1", "pod3"),
    "cni.dev/attachments": keeping("pod2"),
  });
  expect(collected).toEqual({
    exitCode: 0,
    stdout: "",
    stderr:
      "warren-ipam: network lab: released 10.1.0.3 of container pod2, interface eth0\nwarren-ipam: network lab: 1 leases released\n",
  });
  expect(holders()).toEqual(["lab/pod1", "lab/pod3", "other/pod1"]);
  for (const none of [[], null]) {
    for (const key of ["cni.dev/valid-attachments", "cni.dev/attachments"]) {
      await fill();
      expect((await gc({ [key]: none })).exitCode).toBe(0);
      expect(holders()).toEqual(["other/pod1"]);
    }
  }
});

test("S0-22 GC keeps (a-b, c) when (a, b-c) goes", async () => {
  using host = new TestHost();
  await host.add(host.config(), { CNI_CONTAINERID: "a-b", CNI_IFNAME: "c" });
  await host.add(host.config(), { CNI_CONTAINERID: "a", CNI_IFNAME: "b-c" });
  await host.call(
    "GC",
    host.config(undefined, { "cni.dev/valid-attachments": [{ containerID: "a-b", ifname: "c" }] }),
  );
  expect(host.leases().map(([, containerId, ifname]) => [containerId, ifname])).toEqual([["a-b", "c"]]);
});

test.each<[list: unknown, message: string]>([
  ["all", '"cni.dev/valid-attachments": it is "all"'],
  [{}, '"cni.dev/valid-attachments": it is {}'],
  [["pod1"], '"cni.dev/valid-attachments": "[0]" is "pod1"'],
  [[{ containerID: "pod1" }], '"cni.dev/valid-attachments": "[0].ifname" is nothing'],
  [[{ container: "pod1", ifname: "eth0" }], '"cni.dev/valid-attachments": "[0].containerID" is nothing'],
])("GC with the list %j collects nothing and says what is wrong with it", async (list, message) => {
  using host = new TestHost();
  await host.add(host.config());
  expect(
    await refusal(host, "GC", host.config(undefined, { "cni.dev/valid-attachments": list })),
  ).toMatchObject({
    code: 7,
    msg: message,
  });
  expect(host.leases()).toHaveLength(1);
});

test("a config that leaves the ranges to the runtime is ready, and one without any source is not", async () => {
  using host = new TestHost();
  const status = (capabilities: Json) => host.call("STATUS", host.config({}, { capabilities }));
  expect((await status({ ipRanges: true })).exitCode).toBe(0);
  expect((await status({ ips: true })).exitCode).toBe(0);
  expect(errorIn(await status({ ips: false, mac: true }))).toMatchObject({ msg: "no IP ranges specified" });
});

test.skipIf(SHARED !== undefined)(
  "the store is where the config itself says, else where its ipam does",
  async () => {
    using host = new TestHost();
    using other = new TestHost();
    await host.add(host.config(undefined, { dataDir: other.dataDir }));
    expect(other.leases()).toHaveLength(1);
    await host.call("DEL", host.config(undefined, { dataDir: other.dataDir }));
    expect(other.leases()).toEqual([]);
    await host.add(host.config());
    expect(host.leases()).toHaveLength(1);
  },
);

test("a repeated ADD answers with the same addresses in the same order", async () => {
  using host = new TestHost();
  const config = host.config({ ranges: [[{ subnet: "fd00::/64" }], [{ subnet: "10.1.0.0/24" }]] });
  const first = await host.add(config);
  expect(await host.add(config)).toEqual(first);
  expect(host.leases()).toHaveLength(2);
});

test.each(["0.1.0", "0.2.0"])(
  "version %s has room for one address of each family, and says so to those who want two",
  async (cniVersion) => {
    using host = new TestHost();
    const two = host.config(
      { ranges: [[{ subnet: "10.1.0.0/24" }], [{ subnet: "10.2.0.0/24" }]] },
      { cniVersion },
    );
    expect(await refusal(host, "ADD", two)).toEqual({
      cniVersion,
      code: 7,
      msg: `CNI version ${cniVersion} does not support more than 1 address per family`,
    });
    const both = host.config(
      { ranges: [[{ subnet: "10.1.0.0/24" }], [{ subnet: "fd00::/64" }]] },
      { cniVersion },
    );
    expect(await host.add(both)).toMatchObject({ ip4: { ip: "10.1.0.2/24" }, ip6: { ip: "fd00::2/64" } });
  },
);
