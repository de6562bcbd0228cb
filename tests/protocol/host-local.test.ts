// The verbs of the plugin `host-local` through the runner, on a store and a directory of files of its own: what a
// runtime that was written for the reference plugin sees.
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hostLocal } from "../../src/plugins/host-local.ts";
import { type CallOptions, type Json, TestHost } from "../support/world.ts";

/** A node with host-local, whose files, if any, are in `dataDir` beside the store. */
class HostLocalNode extends TestHost {
  make(ipam: Json = { subnet: "10.1.0.0/24" }, others: Json = {}): Json {
    return this.config(ipam, { type: "host-local", ...others });
  }

  async ask(verb: string, config: Json, env: CallOptions["env"] = {}) {
    const answer = await this.call(verb, config, { plugin: hostLocal, env });
    const document: Json = answer.stdout === "" ? {} : JSON.parse(answer.stdout);
    return { ...answer, document };
  }

  async addresses(config: Json, env: CallOptions["env"] = {}): Promise<unknown> {
    const { document } = await this.ask("ADD", config, env);
    return Array.isArray(document.ips) ? document.ips.map(({ address }: Json) => address) : document;
  }

  /** Writes a file as the reference plugin does. */
  leave(name: string, content: string): void {
    mkdirSync(join(this.dataDir, "lab"), { recursive: true });
    writeFileSync(join(this.dataDir, "lab", name), content);
  }

  files(): string[] {
    return readdirSync(join(this.dataDir, "lab"))
      .filter((name) => name !== "lock")
      .sort();
  }
}

test("every source of requests counts, and the same address counts once", async () => {
  using node = new HostLocalNode();
  const ipam = {
    ranges: [[{ subnet: "10.1.0.0/24" }], [{ subnet: "10.2.0.0/24" }], [{ subnet: "fd00::/64" }]],
  };
  const others = {
    args: { cni: { ips: ["10.2.0.20/8"] } },
    runtimeConfig: { ips: ["fd00::20", "10.1.0.20"] },
  };
  expect(await node.addresses(node.make(ipam, others), { CNI_ARGS: "IP=10.1.0.20" })).toEqual([
    "10.1.0.20/24",
    "10.2.0.20/24",
    "fd00::20/64",
  ]);
});

test.each<[name: string, ipam: Json | null, others: Json, args: string, code: number, message: string]>([
  ["no ipam", null, {}, "", 7, "IPAM config missing 'ipam' key"],
  ["no ranges", {}, {}, "", 7, "no IP ranges specified"],
  ["only addresses", { addresses: [{ address: "10.1.0.9/24" }] }, {}, "", 7, "no IP ranges specified"],
  [
    "a subnet that is none",
    { subnet: "10.1.0.0" },
    {},
    "",
    7,
    'invalid range set 0: subnet "10.1.0.0" is not in CIDR notation',
  ],
  ["a subnet that is a number", { subnet: 7 }, {}, "", 7, 'network config "lab": "ipam.subnet" is 7'],
  ["an empty set", { ranges: [[]] }, {}, "", 7, "invalid range set 0: empty range set"],
  [
    "a /31",
    { subnet: "10.1.0.0/31" },
    {},
    "",
    7,
    "invalid range set 0: Network 10.1.0.0/31 too small to allocate from",
  ],
  [
    "a /128",
    { ranges: [[{ subnet: "10.1.0.0/24" }], [{ subnet: "fd00::/128" }]] },
    {},
    "",
    7,
    "invalid range set 1: Network fd00::/128 too small to allocate from",
  ],
  [
    "a /31 of the runtime",
    { subnet: "10.1.0.0/24" },
    { runtimeConfig: { ipRanges: [[{ subnet: "10.2.0.0/31" }]] } },
    "",
    7,
    "invalid range set 0: Network 10.2.0.0/31 too small to allocate from",
  ],
  [
    "host bits",
    { subnet: "10.1.0.9/24" },
    {},
    "",
    7,
    "invalid range set 0: Network has host bits set. For a subnet mask of length 24 the network address is 10.1.0.0",
  ],
  [
    "a start outside",
    { subnet: "10.1.0.0/24", rangeStart: "10.2.0.1" },
    {},
    "",
    7,
    "invalid range set 0: RangeStart 10.2.0.1 not in network 10.1.0.0/24",
  ],
  [
    "an end outside",
    { subnet: "10.1.0.0/24", rangeEnd: "10.2.0.1" },
    {},
    "",
    7,
    "invalid range set 0: RangeEnd 10.2.0.1 not in network 10.1.0.0/24",
  ],
  [
    "a start after the end",
    { subnet: "10.1.0.0/24", rangeStart: "10.1.0.9", rangeEnd: "10.1.0.5" },
    {},
    "",
    7,
    "invalid range set 0: RangeStart 10.1.0.9 not in network 10.1.0.0/24: RangeStart 10.1.0.9 is after RangeEnd 10.1.0.5",
  ],
  [
    "sets that overlap",
    { subnet: "10.1.0.0/24", ranges: [[{ subnet: "10.1.0.128/25" }]] },
    {},
    "",
    7,
    "range set 0 overlaps with 1",
  ],
  [
    "a relative directory",
    { subnet: "10.1.0.0/24", dataDir: "here" },
    {},
    "",
    7,
    'network config "lab": "ipam.dataDir" is "here"',
  ],
  [
    "a request that is no address",
    { subnet: "10.1.0.0/24" },
    {},
    "IP=10.1.0",
    7,
    'requested ip "10.1.0" is not an IP address',
  ],
  [
    "a request in a list",
    { subnet: "10.1.0.0/24" },
    {},
    "IP=10.1.0.7,10.1.0.8",
    7,
    'requested ip "10.1.0.7,10.1.0.8" is not an IP address',
  ],
  [
    "a request for the gateway",
    { subnet: "10.1.0.0/24" },
    {},
    "IP=10.1.0.1",
    7,
    "failed to allocate for range 0: requested ip 10.1.0.1 is subnet's gateway",
  ],
  [
    "a request outside",
    { subnet: "10.1.0.0/24" },
    { runtimeConfig: { ips: ["10.9.0.9", "fd00::9"] } },
    "",
    7,
    "failed to allocate all requested IPs: 10.9.0.9 fd00::9",
  ],
  [
    "a runtimeConfig that is a list",
    { subnet: "10.1.0.0/24" },
    { runtimeConfig: [] },
    "",
    7,
    'network config "lab": "runtimeConfig" is []',
  ],
  [
    "an unknown argument",
    { subnet: "10.1.0.0/24" },
    {},
    "COLOUR=red",
    4,
    'ARGS: unknown args ["COLOUR=red"]',
  ],
  [
    "a resolver file that is missing",
    { subnet: "10.1.0.0/24", resolvConf: "/none" },
    {},
    "",
    5,
    'ipam: resolvConf "/none" can\'t be read: open /none: ENOENT',
  ],
])("%s is refused, and nothing is stored", async (_name, ipam, others, CNI_ARGS, code, message) => {
  using node = new HostLocalNode();
  await node.ask("STATUS", node.make());
  const config = node.make(ipam ?? {}, { ...(ipam === null ? { ipam: null } : {}), ...others });
  const { exitCode, document } = await node.ask("ADD", config, { CNI_ARGS });
  expect([exitCode, document.code, document.msg]).toEqual([1, code, message]);
  expect(node.leases()).toEqual([]);
});

test("an address that somebody holds is named with its holder", async () => {
  using node = new HostLocalNode();
  await node.addresses(node.make());
  const { document } = await node.ask("ADD", node.make(), {
    CNI_CONTAINERID: "pod2",
    CNI_ARGS: "IP=10.1.0.2",
  });
  expect(document).toMatchObject({
    code: 100,
    msg: "failed to allocate for range 0: requested IP address 10.1.0.2 is not available in range set 10.1.0.1-10.1.0.254: it is held by container pod1, interface eth0",
  });
});

test("an ADD of what the reference attached answers with the address that the container has", async () => {
  using node = new HostLocalNode();
  node.leave("10.1.0.77", "pod1\r\neth0");
  expect(await node.addresses(node.make())).toEqual(["10.1.0.77/24"]);
  expect(node.leases()).toEqual([["lab", "pod1", "eth0", "0A01004D"]]);
});

test("the cursors of the reference are gone on with, each set by its number, and kept up to date", async () => {
  using node = new HostLocalNode();
  node.leave("last_reserved_ip.0", "10.1.0.40");
  node.leave("last_reserved_ip.1", "10.9.9.9");
  const config = node.make({ ranges: [[{ subnet: "10.1.0.0/24" }], [{ subnet: "fd00::/64" }]] });
  expect(await node.addresses(config)).toEqual(["10.1.0.41/24", "fd00::2/64"]);
  const read = (name: string) => readFileSync(join(node.dataDir, "lab", name), "utf8");
  expect([read("last_reserved_ip.0"), read("last_reserved_ip.1"), read("fd00::2")]).toEqual([
    "10.1.0.41",
    "fd00::2",
    "pod1\r\neth0",
  ]);
});

test("an ADD of which one set is used up leaves neither leases nor files", async () => {
  using node = new HostLocalNode();
  node.leave("10.2.0.2", "other\r\neth0");
  const config = node.make({ ranges: [[{ subnet: "10.1.0.0/24" }], [{ subnet: "10.2.0.0/30" }]] });
  const { document } = await node.ask("ADD", config);
  expect(document).toMatchObject({
    code: 101,
    msg: "failed to allocate for range 1: no IP addresses available in range set: 10.2.0.1-10.2.0.2",
  });
  expect(node.files()).toEqual(["10.2.0.2"]);
  expect(node.leases()).toEqual([]);
});

test("a lost store is filled again from the files", async () => {
  using node = new HostLocalNode();
  node.leave("last_reserved_ip.0", "10.1.0.1");
  await node.addresses(node.make());
  using other = new HostLocalNode();
  const config = { ...node.make(), dataDir: other.dataDir };
  expect(await node.addresses(config, { CNI_CONTAINERID: "pod2" })).toEqual(["10.1.0.3/24"]);
  expect(other.leases().map(([, containerId]) => containerId)).toEqual(["pod1", "pod2"]);
});

test("VERSION, STATUS, CHECK and DEL answer as every plugin does", async () => {
  using node = new HostLocalNode();
  expect((await node.ask("VERSION", {})).document).toMatchObject({ cniVersion: "1.1.0" });
  expect(await node.ask("STATUS", node.make())).toMatchObject({ exitCode: 0, stdout: "" });
  const { document: prevResult } = await node.ask("ADD", node.make());
  expect((await node.ask("CHECK", node.make(undefined, { prevResult }))).exitCode).toBe(0);
  expect((await node.ask("CHECK", node.make(), { CNI_IFNAME: "net1" })).document).toMatchObject({
    code: 103,
    msg: "no address is leased to container pod1, interface net1 of network lab",
  });
  expect(await node.ask("DEL", node.make(), { CNI_NETNS: "", CNI_ARGS: "?" })).toMatchObject({ exitCode: 0 });
  expect(node.leases()).toEqual([]);
});

test("keys of the protocol and of results are Go's in every place", async () => {
  using node = new HostLocalNode();
  const { document } = await node.ask("ADD", {
    CNIVERSION: "1.1.0",
    Name: "lab",
    type: "host-local",
    IPAM: { dataDir: node.dataDir, Subnet: "10.1.0.0/24" },
    Args: { CNI: { IPs: ["10.1.0.9"] } },
  });
  expect(document).toMatchObject({ cniVersion: "1.1.0", ips: [{ address: "10.1.0.9/24" }] });
  const check = (PrevResult: Json) => node.ask("CHECK", node.make(undefined, { PrevResult }));
  expect(
    (await check({ CniVersion: "0.4.0", IPS: [{ Version: "4", ADDRESS: "10.1.0.9/24" }] })).exitCode,
  ).toBe(0);
  expect((await check({ CniVersion: "9.9.9", ips: [] })).document).toMatchObject({
    code: 6,
    msg: 'could not parse prevResult: "cniVersion" is "9.9.9"',
  });
  expect((await check({ IPS: [{ ADDRESS: "10.1.0.8/24" }] })).document).toMatchObject({ code: 103 });
  await node.ask(
    "GC",
    node.make(undefined, { "cni.dev/Attachments": [{ ContainerId: "pod1", IFNAME: "eth0" }] }),
  );
  expect(node.leases()).toHaveLength(1);
  await node.ask("GC", node.make(undefined, { "CNI.dev/valid-attachments": [] }));
  expect(node.leases()).toEqual([]);
});
