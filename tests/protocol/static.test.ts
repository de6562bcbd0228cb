// The verbs of the plugin `static` through the runner, on a store of its own. Unlike the reference plugin it knows
// who has which address.
import { expect, test } from "bun:test";
import { fixedAddresses } from "../../src/plugins/static.ts";
import { ON_NODE } from "../support/engine.ts";
import { type CallOptions, type Json, TestHost } from "../support/world.ts";

const ADDRESSES = [{ address: "10.5.0.9/24", gateway: "10.5.0.1" }, { address: "fd05::9/64" }];

/** A node with the plugin static. */
class StaticNode extends TestHost {
  make(ipam: Json = { addresses: ADDRESSES }, others: Json = {}): Json {
    return this.config(ipam, { type: "static", ...others });
  }

  async ask(verb: string, config: Json, env: CallOptions["env"] = {}) {
    const answer = await this.call(verb, config, { plugin: fixedAddresses, env });
    const document: Json = answer.stdout === "" ? {} : JSON.parse(answer.stdout);
    return { ...answer, document };
  }
}

test("the config's addresses, routes and dns are the result, and the addresses are remembered", async () => {
  using node = new StaticNode();
  const routes = [{ dst: "0.0.0.0/0", gw: "10.5.0.1" }];
  const dns = { nameservers: ["10.5.0.53"], search: ["lab"] };
  expect((await node.ask("ADD", node.make({ addresses: ADDRESSES, routes, dns }))).document).toEqual({
    cniVersion: "1.1.0",
    ips: ADDRESSES,
    routes,
    dns,
  });
  expect(node.leases()).toEqual([
    ["lab", "pod1", "eth0", "0A050009"],
    ["lab", "pod1", "eth0", "FD050000000000000000000000000009"],
  ]);
});

test("two attachments of a network never have the same address, those of two networks may", async () => {
  using node = new StaticNode();
  await node.ask("ADD", node.make());
  const second = { CNI_CONTAINERID: "pod2" };
  expect((await node.ask("ADD", node.make(), second)).document).toMatchObject({
    code: 100,
    msg: `requested IP address 10.5.0.9 is not available in the config's addresses: it is held by container pod1, interface eth0${ON_NODE}`,
  });
  expect((await node.ask("ADD", node.make(undefined, { name: "other" }))).exitCode).toBe(0);
  expect((await node.ask("ADD", node.make(undefined, { name: "third" }), second)).exitCode).toBe(0);
  await node.ask("DEL", node.make());
  expect((await node.ask("ADD", node.make(), second)).exitCode).toBe(0);
});

test("a repeated ADD has the same answer, and one with another address is refused", async () => {
  using node = new StaticNode();
  const { document } = await node.ask("ADD", node.make());
  expect((await node.ask("ADD", node.make())).document).toEqual(document);
  expect(
    (await node.ask("ADD", node.make({ addresses: [{ address: "10.5.0.10/24" }] }))).document,
  ).toMatchObject({
    code: 100,
    msg: "requested ip 10.5.0.10: container pod1, interface eth0 holds 10.5.0.9, fd05::9 already",
  });
});

test("CNI_ARGS add, args replace, and the runtime replaces both", async () => {
  using node = new StaticNode();
  const env = (CNI_CONTAINERID: string) => ({
    CNI_CONTAINERID,
    CNI_ARGS: "IP=10.6.0.9/24, fd06::9/64;GATEWAY=10.6.0.254,10.6.0.1,fd06::1,10.5.0.77",
  });
  const args = { cni: { ips: ["10.7.0.9/24"] } };
  expect((await node.ask("ADD", node.make(), env("a"))).document.ips).toEqual([
    ...ADDRESSES,
    { address: "10.6.0.9/24", gateway: "10.6.0.1" },
    { address: "fd06::9/64", gateway: "fd06::1" },
  ]);
  expect((await node.ask("ADD", node.make(undefined, { args }), env("b"))).document.ips).toEqual([
    { address: "10.7.0.9/24" },
  ]);
  const runtimeConfig = { ips: ["10.8.0.9/24"] };
  expect(
    (await node.ask("ADD", node.make(undefined, { args, runtimeConfig }), env("c"))).document.ips,
  ).toEqual([{ address: "10.8.0.9/24" }]);
});

test.each<[name: string, ipam: Json | null, others: Json, args: string, message: string]>([
  ["no ipam", null, {}, "", "IPAM config missing 'ipam' key"],
  [
    "no prefix",
    { addresses: [{ address: "10.5.0.9" }] },
    {},
    "",
    "the 'address' field is expected to be in CIDR notation, got: '10.5.0.9'",
  ],
  [
    "no address",
    { addresses: [{ gateway: "10.5.0.1" }] },
    {},
    "",
    "the 'address' field is expected to be in CIDR notation, got: ''",
  ],
  [
    "a prefix that is too long",
    { addresses: [{ address: "10.5.0.9/33" }] },
    {},
    "",
    "the 'address' field is expected to be in CIDR notation, got: '10.5.0.9/33'",
  ],
  [
    "a gateway that is none",
    { addresses: [{ address: "10.5.0.9/24", gateway: "x" }] },
    {},
    "",
    "invalid gateway address: x",
  ],
  [
    "no prefix in CNI_ARGS",
    {},
    {},
    "IP=10.6.0.9",
    "the 'ip' field is expected to be in CIDR notation, got: '10.6.0.9'",
  ],
  [
    "an empty one in CNI_ARGS",
    {},
    {},
    "IP=10.6.0.9/24,",
    "the 'ip' field is expected to be in CIDR notation, got: ''",
  ],
  [
    "a gateway of CNI_ARGS that is none",
    {},
    {},
    "IP=10.6.0.9/24;GATEWAY=10.6.0.1,y",
    "invalid gateway address: y",
  ],
  [
    "bad CNI_ARGS although the runtime replaces them",
    {},
    { runtimeConfig: { ips: ["10.8.0.9/24"] } },
    "IP=x",
    "the 'ip' field is expected to be in CIDR notation, got: 'x'",
  ],
  [
    "no prefix in args",
    {},
    { args: { cni: { ips: ["10.7.0.9"] } } },
    "",
    "an entry in the 'ips' field is NOT in CIDR notation, got: '10.7.0.9'",
  ],
  [
    "no prefix from the runtime",
    {},
    { runtimeConfig: { ips: ["10.8.0.9/24", "z"] } },
    "",
    "an entry in the 'ips' field is NOT in CIDR notation, got: 'z'",
  ],
  [
    "an address twice",
    { addresses: [{ address: "10.5.0.9/24" }, { address: "::ffff:10.5.0.9/16" }] },
    {},
    "",
    "address 10.5.0.9 is given twice",
  ],
  ["addresses that are an object", { addresses: {} }, {}, "", 'network config "lab": "ipam.addresses" is {}'],
  [
    "a route without a destination",
    { addresses: ADDRESSES, routes: [{ gw: "10.5.0.1" }] },
    {},
    "",
    'network config "lab": "ipam.routes[0].dst" is nothing',
  ],
  [
    "two of a family below 0.3.0",
    { addresses: [{ address: "10.5.0.9/24" }, { address: "10.5.0.10/24" }] },
    { cniVersion: "0.2.0" },
    "",
    "CNI version 0.2.0 does not support more than 1 address per family",
  ],
])(
  "%s is refused with words that clients know, and nothing is stored",
  async (_name, ipam, others, CNI_ARGS, msg) => {
    using node = new StaticNode();
    await node.ask("STATUS", node.make());
    const config = node.make(ipam ?? {}, { ...(ipam === null ? { ipam: null } : {}), ...others });
    const { exitCode, document } = await node.ask("ADD", config, { CNI_ARGS });
    expect([exitCode, document.code, document.msg]).toEqual([1, 7, msg]);
    // where clients compare a message whole there are no details
    if (/CIDR notation|'ipam' key|per family/.test(msg)) expect(document).not.toHaveProperty("details");
    expect(node.leases()).toEqual([]);
  },
);

test("CHECK finds a lease that is gone and a result with other addresses", async () => {
  using node = new StaticNode();
  const { document: prevResult } = await node.ask("ADD", node.make());
  const check = (others: Json) => node.ask("CHECK", node.make(undefined, others));
  expect((await check({ prevResult })).exitCode).toBe(0);
  expect((await check({})).document).toMatchObject({ code: 7, msg: "Required prevResult missing" });
  const elsewhere = { ips: [{ address: "10.5.0.10/24" }] };
  expect((await check({ prevResult: elsewhere })).document).toMatchObject({ code: 103 });
  await node.ask("DEL", node.make());
  expect((await check({ prevResult })).document).toMatchObject({ code: 103 });
});

test("an ADD without an address is a success, and so are its CHECK, DEL and STATUS", async () => {
  using node = new StaticNode();
  const dns = { domain: "lab" };
  const { document: prevResult } = await node.ask("ADD", node.make({ dns }));
  expect(prevResult).toEqual({ cniVersion: "1.1.0", dns });
  for (const verb of ["CHECK", "STATUS", "DEL"]) {
    expect([verb, (await node.ask(verb, node.make({ dns }, { prevResult }))).stdout]).toEqual([verb, ""]);
  }
});

test("GC releases what is not valid and says so; DEL needs no good config", async () => {
  using node = new StaticNode();
  await node.ask("ADD", node.make());
  const gc = (others: Json) => node.ask("GC", node.make({ addresses: 7 }, others));
  await gc({ "cni.dev/valid-attachments": [{ containerID: "pod1", ifname: "eth0" }] });
  expect(node.leases()).toHaveLength(2);
  expect((await gc({})).stderr).toContain("nothing is collected");
  expect((await gc({ "cni.dev/valid-attachments": [] })).stderr).toBe(
    [
      "warren-static: network lab: released 10.5.0.9 of container pod1, interface eth0",
      "warren-static: network lab: released fd05::9 of container pod1, interface eth0",
      "warren-static: network lab: 2 leases released\n",
    ].join("\n"),
  );
  expect(node.leases()).toEqual([]);
  await node.ask("ADD", node.make());
  expect((await node.ask("DEL", node.make({ addresses: "?" }), { CNI_NETNS: "" })).exitCode).toBe(0);
  expect(node.leases()).toEqual([]);
});
