// The plugin tap on a real kernel: what ip says of the interface, and a program that is its other end.
import { expect, test } from "bun:test";
import { dirname } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { type Config, call, leases, succeed } from "../support/plugins.ts";
import { Sandbox, testWith, WARREN } from "../support/sandbox.ts";
import { globalAddressesOf, routesOf, seenLink } from "../support/witness.ts";

const POD = { containerId: "pod-1", netns: "pod1" };

async function host(): Promise<Sandbox> {
  const sandbox = await Sandbox.create();
  await sandbox.text(["sh", "-ec", "ip netns add pod1; ip -n pod1 link add br0 up type bridge"]);
  return sandbox;
}

const dataDirOf = (sandbox: Sandbox) => `${sandbox.directory}/store`;

function config(sandbox: Sandbox, more: Config = {}, ipam: Config = {}): Config {
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-tap",
    ...more,
    ipam: {
      type: "warren-ipam",
      dataDir: dataDirOf(sandbox),
      ranges: [[{ subnet: "10.91.0.0/24" }], [{ subnet: "fd00:91::/64" }]],
      ...ipam,
    },
  };
}

async function nothingIsLeft(sandbox: Sandbox): Promise<void> {
  expect(await seenLink(sandbox, "eth0", "pod1")).toBeUndefined();
  expect(await leases(sandbox, dataDirOf(sandbox))).toEqual([]);
}

const valid = (...ids: string[]): Config => ({
  "cni.dev/valid-attachments": ids.map((containerID) => ({ containerID, ifname: "eth0" })),
});

test("ADD makes a tap that stays, with all that the config says, and DEL takes it away", async () => {
  await using sandbox = await host();
  // every host has an eth0, which must not get in the way of the container's
  await sandbox.text(["ip", "link", "add", "eth0", "type", "ifb"]);
  const network = config(
    sandbox,
    { owner: 1000, group: 0, multiQueue: true, mtu: 1400, mac: "02:00:00:00:00:05", bridge: "br0" },
    { routes: [{ dst: "0.0.0.0/0" }], dns: { nameservers: ["192.0.2.53"] } },
  );
  await succeed(sandbox, "STATUS", network);
  const { document } = await succeed(sandbox, "ADD", network, POD);
  expect(document).toEqual({
    cniVersion: "1.1.0",
    interfaces: [{ name: "eth0", mac: "02:00:00:00:00:05", mtu: 1400, sandbox: "/run/netns/pod1" }],
    ips: [
      { interface: 0, address: "10.91.0.2/24", gateway: "10.91.0.1" },
      { interface: 0, address: "fd00:91::2/64", gateway: "fd00:91::1" },
    ],
    routes: [{ dst: "0.0.0.0/0" }],
    dns: { nameservers: ["192.0.2.53"] },
  });
  const link = await seenLink(sandbox, "eth0", "pod1");
  expect(link).toMatchObject({
    ...{ address: "02:00:00:00:00:05", mtu: 1400, ifalias: "warren lab pod-1 eth0", master: "br0" },
    linkinfo: {
      info_kind: "tun",
      info_data: { type: "tap", pi: false, multi_queue: true, persist: true, user: expect.anything() },
    },
  });
  expect(link?.flags).toContain("UP");
  expect(globalAddressesOf(link)).toEqual(["10.91.0.2/24", "fd00:91::2/64"]);
  expect(await routesOf(sandbox, 4, "pod1")).toEqual([
    "10.91.0.0/24 dev eth0 proto kernel scope link src 10.91.0.2 linkdown",
    "default via 10.91.0.1 dev eth0 linkdown",
  ]);
  const checked = { ...network, prevResult: document };
  await succeed(sandbox, "CHECK", checked, POD);

  const damages: readonly (readonly [more: Config, command: string, says: string])[] = [
    [{ owner: 1001 }, "link show", "owner of interface eth0 is 1000, not 1001"],
    [{ group: 7 }, "link show", "group of interface eth0 is 0, not 7"],
    [{}, "link set eth0 nomaster", "interface eth0 is no port of br0"],
    [{}, "link set eth0 mtu 1300", "has the MTU 1300, not 1400"],
    [{}, "link set eth0 mtu 1400 down", "interface eth0 is down"],
    [{}, "link del eth0", "interface eth0 is gone"],
  ];
  for (const [more, command, says] of damages.slice(0, 3)) {
    await sandbox.text(["ip", "-n", "pod1", ...command.split(" ")]);
    const answer = await call(sandbox, "CHECK", { ...checked, ...more }, POD);
    expect(answer.document).toMatchObject({ code: 103, msg: expect.stringContaining(says) });
  }
  for (const [, command, says] of damages.slice(3)) {
    await sandbox.text(["ip", "-n", "pod1", ...command.split(" ")]);
    const answer = await call(sandbox, "CHECK", { ...checked, bridge: "" }, POD);
    expect(answer.document).toMatchObject({ code: 103, msg: expect.stringContaining(says) });
  }
  await succeed(sandbox, "DEL", network, POD);
  await nothingIsLeft(sandbox);
  await succeed(sandbox, "DEL", network, POD);
}, 60_000);

test("without ipam it is up; a living container loses it to GC, and one that is gone took it along", async () => {
  await using sandbox = await host();
  const network = { ...config(sandbox), ipam: {}, dataDir: dataDirOf(sandbox) };
  const added = await succeed(sandbox, "ADD", network, POD);
  const link = await seenLink(sandbox, "eth0", "pod1");
  expect([link?.flags.includes("UP"), globalAddressesOf(link)]).toEqual([true, []]);
  await succeed(sandbox, "CHECK", { ...network, prevResult: added.document }, POD);
  await succeed(sandbox, "GC", { ...network, ...valid("pod-1") });
  expect(await seenLink(sandbox, "eth0", "pod1")).toBeDefined();
  await succeed(sandbox, "GC", { ...network, ...valid() });
  await nothingIsLeft(sandbox);
  await succeed(sandbox, "ADD", network, POD);
  await sandbox.text(["rm", "-rf", dataDirOf(sandbox)]);
  await succeed(sandbox, "DEL", network, { ...POD, containerId: "somebody-else" });
  expect(await seenLink(sandbox, "eth0", "pod1")).toBeDefined();
  await succeed(sandbox, "DEL", { ...network, mtu: "bad" }, POD);
  await nothingIsLeft(sandbox);
  await succeed(sandbox, "ADD", network, POD);
  await sandbox.text(["ip", "netns", "del", "pod1"]);
  await succeed(sandbox, "DEL", network, { ...POD, netns: "" });
}, 60_000);

test("STATUS and ADD say so where there is no /dev/net/tun", async () => {
  await using sandbox = await host();
  const without = (verb: string) =>
    sandbox.run(
      ["unshare", "--mount", "sh", "-c", `mount -t tmpfs tmpfs /dev/net; exec ${dirname(WARREN)}/warren-tap`],
      {
        env: {
          ...{ CNI_COMMAND: verb, CNI_PATH: dirname(WARREN), CNI_CONTAINERID: "pod-1" },
          ...{ CNI_NETNS: "/run/netns/pod1", CNI_IFNAME: "eth0" },
        },
        stdin: JSON.stringify(config(sandbox)),
      },
    );
  for (const [verb, code] of [
    ["STATUS", 50],
    ["ADD", 2],
  ] as const) {
    expect(JSON.parse((await without(verb)).stdout)).toMatchObject({
      code,
      msg: "the kernel has no /dev/net/tun",
    });
  }
  await nothingIsLeft(sandbox);
}, 30_000);

test.each<[string, Config, Config, number, string]>([
  ["a bridge that is not there", { bridge: "br9" }, {}, 7, 'failed to get bridge "br9": there is none'],
  ["a bridge that is none", { bridge: "lo" }, {}, 7, 'failed to get bridge "lo": it is no bridge'],
  ["a label", { selinuxContext: "a:b:c" }, {}, 2, '"selinuxContext" is not supported'],
  ["an owner that is a name", { owner: "root" }, {}, 7, '"owner" is "root"'],
  ["an owner beyond 32 bits", { owner: 4294967296 }, {}, 7, '"owner" is 4294967296'],
  ["an MTU that the kernel refuses", { mtu: 40 }, {}, 104, "mtu"],
  ["a MAC that is none", { mac: "zz" }, {}, 7, '"zz"'],
  ["a route that can't be", {}, { routes: [{ dst: "192.0.2.0/24", gw: "203.0.113.1" }] }, 104, "route"],
])("%s is refused, and nothing is left", async (_, more, ipam, code, message) => {
  await using sandbox = await host();
  const answer = await call(sandbox, "ADD", config(sandbox, more, ipam), POD);
  expect(answer.document).toMatchObject({ code, msg: expect.stringContaining(message) });
  await nothingIsLeft(sandbox);
});

testWith(tools.referencePlugins, tools.referencePlugin("tap"))(
  "beside the reference plugin: the same result, interface, addresses and routes",
  async () => {
    const reference = tools.referencePlugins.path ?? "";
    for (const more of [
      {},
      { owner: 1000, multiQueue: true, mtu: 1400 },
      { bridge: "br0", mac: "02:00:00:00:00:05" },
    ]) {
      const [theirs, ours] = await Promise.all(
        [reference, dirname(WARREN)].map(async (path) => {
          await using sandbox = await host();
          const prefix = path === reference ? "" : "warren-";
          const ipam = { type: `${prefix}host-local`, routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }] };
          const network = config(sandbox, { ...more, cniVersion: "1.0.0", type: `${prefix}tap` }, ipam);
          const { document } = await succeed(sandbox, "ADD", network, POD, path);
          const link = await seenLink(sandbox, "eth0", "pod1");
          return {
            interfaces: document.interfaces.map(({ name, sandbox: netns }: Record<string, string>) => [
              name,
              netns,
            ]),
            rest: [document.ips, document.routes, document.dns],
            link: [link?.mtu, link?.flags, link?.linkinfo],
            addresses: globalAddressesOf(link),
            routes: [await routesOf(sandbox, 4, "pod1"), await routesOf(sandbox, 6, "pod1")],
          };
        }),
      );
      expect(ours).toEqual(theirs);
    }
  },
  60_000,
);
