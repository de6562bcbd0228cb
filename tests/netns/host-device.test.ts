// The plugin host-device on a real kernel. The device is one end of a pair, whose other end is a namespace that plays
// everybody else on the wire. A pair dies with its namespace, where a real card goes back to the host: what the kernel
// does with that one is done here by hand.
import { describe, expect, test } from "bun:test";
import { dirname } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { type Answer, type Config, call, leases, linkNames, succeed } from "../support/plugins.ts";
import { Sandbox, testWith, WARREN } from "../support/sandbox.ts";
import { connectionSource, globalAddressesOf, routesOf, seenLink } from "../support/witness.ts";

const POD = { containerId: "pod-1", netns: "pod1" };
const OTHER = { containerId: "pod-2", netns: "pod2" };
const CARD = "02:00:00:00:00:0a";

async function host(): Promise<Sandbox> {
  const sandbox = await Sandbox.create();
  await sandbox.text([
    "sh",
    "-ec",
    `ip netns add pod1; ip netns add pod2; ip netns add wire
     ip link add card0 address ${CARD} up type veth peer name far0 netns wire; ip link set card0 alias "in slot 3"
     ip -n wire addr add 10.91.0.1/24 dev far0; ip -n wire addr add fd00:91::1/64 dev far0 nodad
     ip -n wire link set far0 up`,
  ]);
  return sandbox;
}

const dataDirOf = (sandbox: Sandbox) => `${sandbox.directory}/store`;

function config(sandbox: Sandbox, more: Config = {}, ipam: Config = {}): Config {
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-host-device",
    device: "card0",
    ...more,
    ipam: {
      type: "warren-ipam",
      dataDir: dataDirOf(sandbox),
      ranges: [[{ subnet: "10.91.0.0/24" }], [{ subnet: "fd00:91::/64" }]],
      ...ipam,
    },
  };
}

/** The same network without addresses. */
function layer2(sandbox: Sandbox, more: Config = {}): Config {
  return { ...config(sandbox, more), ipam: {}, dataDir: dataDirOf(sandbox) };
}

/** The device is on the host as it was, and nobody has anything of it. */
async function isBack(sandbox: Sandbox): Promise<void> {
  expect(await linkNames(sandbox)).toEqual(["card0"]);
  const link = await seenLink(sandbox, "card0");
  expect([link?.address, link?.ifalias, link?.flags.includes("UP")]).toEqual([CARD, "in slot 3", true]);
  expect(await leases(sandbox, dataDirOf(sandbox))).toEqual([]);
  const shown = await sandbox.run([WARREN, "show", "pod-1", "--json", "--data-dir", dataDirOf(sandbox)]);
  if (shown.exitCode === 0) expect(JSON.parse(shown.stdout).attachments).toEqual([]);
}

/** Does what the kernel does with a card whose namespace ends: it is on the host, down, under a name that is free. */
async function endPod(sandbox: Sandbox): Promise<void> {
  await sandbox.text([
    "sh",
    "-ec",
    `ip -n pod1 link set eth0 down; ip -n pod1 link set eth0 netns ${sandbox.pid} name dev7; ip netns del pod1`,
  ]);
}

function withResult(one: Config, added: Answer): Config {
  return { ...one, prevResult: added.document };
}

const valid = (...ids: string[]): Config => ({
  "cni.dev/valid-attachments": ids.map((containerID) => ({ containerID, ifname: "eth0" })),
});

describe("ADD", () => {
  test("moves the device in with addresses and routes of both families, and DEL gives it back as it was", async () => {
    await using sandbox = await host();
    const network = config(
      sandbox,
      {},
      { routes: [{ dst: "0.0.0.0/0" }], dns: { nameservers: ["192.0.2.53"] } },
    );
    await succeed(sandbox, "STATUS", network);
    const added = await succeed(sandbox, "ADD", network, POD);
    expect(added.document).toEqual({
      cniVersion: "1.1.0",
      interfaces: [{ name: "eth0", mac: CARD, mtu: 1500, sandbox: "/run/netns/pod1" }],
      ips: [
        { interface: 0, address: "10.91.0.2/24", gateway: "10.91.0.1" },
        { interface: 0, address: "fd00:91::2/64", gateway: "fd00:91::1" },
      ],
      routes: [{ dst: "0.0.0.0/0" }],
      dns: { nameservers: ["192.0.2.53"] },
    });
    expect(await linkNames(sandbox)).toEqual([]);
    const inside = await seenLink(sandbox, "eth0", "pod1");
    expect(inside).toMatchObject({ address: CARD, operstate: "UP", ifalias: "warren lab pod-1 eth0 card0" });
    expect(globalAddressesOf(inside)).toEqual(["10.91.0.2/24", "fd00:91::2/64"]);
    expect(await routesOf(sandbox, 4, "pod1")).toEqual([
      "10.91.0.0/24 dev eth0 proto kernel scope link src 10.91.0.2",
      "default via 10.91.0.1 dev eth0",
    ]);
    expect(await connectionSource(sandbox, "pod1", "wire", "10.91.0.1")).toBe("10.91.0.2");
    await succeed(sandbox, "CHECK", withResult(network, added), POD);

    // it is one container's
    const taken = 'failed to find host device: there is none with the name "card0"';
    const held = "container pod-1, interface eth0 of network lab has it";
    const second = await call(sandbox, "ADD", network, OTHER);
    expect(second.document).toMatchObject({ code: 7, msg: taken, details: held });
    const status = await call(sandbox, "STATUS", network);
    expect(status.document).toMatchObject({ code: 50, msg: taken, details: held });
    await succeed(sandbox, "DEL", network, OTHER);

    await succeed(sandbox, "DEL", network, POD);
    await isBack(sandbox);
    await succeed(sandbox, "DEL", network, POD);
    await succeed(sandbox, "STATUS", network);
  }, 30_000);

  test("without ipam it is up and has no address; one that was down comes back down", async () => {
    await using sandbox = await host();
    const network = layer2(sandbox);
    const added = await succeed(sandbox, "ADD", network, POD);
    expect(added.document).toEqual({
      cniVersion: "1.1.0",
      interfaces: [{ name: "eth0", mac: CARD, mtu: 1500, sandbox: "/run/netns/pod1" }],
    });
    expect((await seenLink(sandbox, "eth0", "pod1"))?.operstate).toBe("UP");
    await succeed(sandbox, "CHECK", withResult(network, added), POD);
    await succeed(sandbox, "GC", { ...network, ...valid() });
    await isBack(sandbox);
    await sandbox.text(["ip", "link", "set", "card0", "down"]);
    await succeed(sandbox, "ADD", network, POD);
    await succeed(sandbox, "DEL", network, POD);
    expect((await seenLink(sandbox, "card0"))?.flags).not.toContain("UP");
  }, 30_000);

  test("finds the device by address, by place, and by its number on a bus; a program's has no interface", async () => {
    await using sandbox = await host();
    // a bus has its devices in folders, and what virtio has on it one further down; DRIVER says whose it is
    await sandbox.text([
      "sh",
      "-ec",
      `mount -t tmpfs tmpfs /sys/bus; mkdir -p /sys/bus/pci/devices; cd /sys/bus/pci/devices
       mkdir -p 0000:00:05.0/net/card0 0000:00:06.0/virtio3/net/card0 0000:00:07.0 0000:00:08.0
       echo DRIVER=e1000 >0000:00:05.0/uevent; echo DRIVER=vfio-pci >0000:00:07.0/uevent
       mkdir -p /sys/bus/auxiliary/devices/mlx5_core.sf.4/net/card0`,
    ]);
    const none = { device: "" };
    const choices: Config[] = [
      { hwaddr: CARD.toUpperCase().replaceAll(":", "-"), ...none },
      { hwaddr: CARD.replaceAll(":", ""), ...none },
      { kernelpath: "/sys/devices/virtual", ...none },
      { pciBusID: "0000:00:05.0", ...none },
      { pciBusID: "0000:00:06.0", ...none },
      { runtimeConfig: { deviceID: "0000:00:05.0" }, pciBusID: "0000:00:99.0", ...none },
      { runtimeConfig: { deviceID: "mlx5_core.sf.4" }, ...none },
      // the name counts before all others
      { hwaddr: "02:00:00:00:00:99", device: "card0" },
    ];
    for (const more of choices) {
      const network = layer2(sandbox, more);
      const added = await succeed(sandbox, "ADD", network, POD);
      expect(added.document.interfaces[0].mac).toBe(CARD);
      await succeed(sandbox, "CHECK", withResult(network, added), POD);
      await succeed(sandbox, "DEL", { ...network, runtimeConfig: undefined }, POD);
      await isBack(sandbox);
    }
    const program = config(sandbox, { pciBusID: "0000:00:07.0", ...none });
    const added = await succeed(sandbox, "ADD", program, POD);
    expect(added.document.interfaces).toEqual([{ name: "eth0", sandbox: "/run/netns/pod1" }]);
    expect(added.document.ips).toHaveLength(2);
    await succeed(sandbox, "CHECK", withResult(program, added), POD);
    await succeed(sandbox, "DEL", program, POD);
    await isBack(sandbox);

    for (const [more, says] of [
      [{ pciBusID: "0000:00:99.0", ...none }, 'no PCI or auxiliary device "0000:00:99.0"'],
      [{ pciBusID: "0000:00:08.0", ...none }, "there is none at 0000:00:08.0"],
      [{ hwaddr: "02:00:00:00:00:99", ...none }, 'with the hardware address "02:00:00:00:00:99"'],
      [{ capabilities: { deviceID: true }, ...none }, "the runtime chose none"],
    ] as const) {
      const answer = await call(sandbox, "ADD", config(sandbox, more), POD);
      expect(answer.document).toMatchObject({ code: 7, msg: expect.stringContaining(says) });
    }
    // what the runtime will choose can't be looked at before
    await succeed(sandbox, "STATUS", config(sandbox, { capabilities: { deviceID: true }, ...none }));
  }, 60_000);
});

describe("a failing ADD leaves the device where it was when", () => {
  test.each<[string, Config, Config, number, string]>([
    ["the device is missing", { device: "card9" }, {}, 7, '"card9"'],
    ["the device is the loopback", { device: "lo" }, {}, 7, "device lo can't be moved"],
    [
      "the kernel refuses a route",
      {},
      { routes: [{ dst: "192.0.2.0/24", gw: "203.0.113.1" }] },
      104,
      "route",
    ],
    ["the pool has no such address", { runtimeConfig: { ips: ["10.99.0.1"] } }, {}, 7, "10.99.0.1"],
    ["the IPAM plugin is missing", {}, { type: "nobody" }, 106, "nobody"],
    ["the network's name is too long for the tag", { name: "n".repeat(240) }, {}, 7, "too long to tag"],
  ])("%s", async (_, more, ipam, code, message) => {
    await using sandbox = await host();
    const network = config(sandbox, more, ipam);
    const answer = await call(sandbox, "ADD", network, POD);
    expect(answer.document).toMatchObject({ code, msg: expect.stringContaining(message) });
    expect(answer.stderr).toBe("");
    await isBack(sandbox);
    await succeed(sandbox, "DEL", { ...network, ipam: config(sandbox).ipam }, POD);
    await isBack(sandbox);
  });

  test("the device can't be moved", async () => {
    await using sandbox = await host();
    await sandbox.text(["ip", "link", "add", "br9", "type", "bridge"]);
    const answer = await call(sandbox, "ADD", config(sandbox, { device: "br9" }), POD);
    expect(answer.document).toMatchObject({ code: 104, msg: expect.stringContaining("set link") });
    expect(answer.stderr).toBe("");
    await sandbox.text(["ip", "link", "del", "br9"]);
    await isBack(sandbox);
  });

  test("the name is taken", async () => {
    await using sandbox = await host();
    await sandbox.text(["ip", "-n", "pod1", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1"]);
    const answer = await call(sandbox, "ADD", config(sandbox), POD);
    expect(answer.document).toMatchObject({ code: 102 });
    await succeed(sandbox, "DEL", config(sandbox), POD);
    expect(await seenLink(sandbox, "eth0", "pod1")).toBeDefined();
    await isBack(sandbox);
  });
});

test("CHECK passes after ADD and fails, naming it, for each thing that is not so", async () => {
  const inPod = (...words: string[]) => ["ip", "-netns", "pod1", ...words];
  const damages: readonly (readonly [command: string[], says: string])[] = [
    [inPod("link", "set", "eth0", "down"), "interface eth0 is down"],
    [inPod("link", "set", "eth0", "mtu", "1300"), "has the MTU 1300, not 1500"],
    [inPod("link", "set", "eth0", "address", "02:00:00:00:00:09"), "has the address 02:00:00:00:00:09"],
    [inPod("addr", "del", "fd00:91::2/64", "dev", "eth0"), "lacks the address fd00:91::2/64"],
    [inPod("route", "del", "default"), "lacks the route to 0.0.0.0/0"],
    [
      [
        "sh",
        "-ec",
        `ip -n pod1 link del eth0; ip -n pod1 link add eth0 address ${CARD} type veth peer name x
         ip -n pod1 link set x up; ip -n pod1 addr add 10.91.0.2/24 dev eth0; ip -n pod1 addr add fd00:91::2/64 dev eth0
         ip -n pod1 link set eth0 up; ip -n pod1 route add default via 10.91.0.1`,
      ],
      "interface eth0 is not the device card0 that ADD moved in",
    ],
    [inPod("link", "del", "eth0"), "interface eth0 is gone"],
  ];
  await Promise.all(
    damages.map(async ([command, says]) => {
      await using sandbox = await host();
      const network = config(sandbox, {}, { routes: [{ dst: "0.0.0.0/0" }] });
      const checked = withResult(network, await succeed(sandbox, "ADD", network, POD));
      await succeed(sandbox, "CHECK", checked, POD);
      await sandbox.text(command);
      const answer = await call(sandbox, "CHECK", checked, POD);
      expect(answer.document).toMatchObject({ code: 103, msg: expect.stringContaining(says) });
    }),
  );
}, 60_000);

describe("DEL and GC give the device back", () => {
  const ends: readonly (readonly [string, (sandbox: Sandbox, network: Config) => Promise<void>])[] = [
    [
      "DEL",
      async (sandbox, network) =>
        void (await succeed(sandbox, "DEL", network, { ...POD, netns: "/run/netns/pod1" })),
    ],
    [
      "DEL without CNI_NETNS",
      async (sandbox, network) => void (await succeed(sandbox, "DEL", network, { ...POD, netns: "" })),
    ],
    [
      "GC",
      async (sandbox, network) => void (await succeed(sandbox, "GC", { ...network, ...valid("pod-2") })),
    ],
  ];

  test.each(ends)(
    "when its container's namespace is gone: %s",
    async (_, end) => {
      await using sandbox = await host();
      const network = config(sandbox);
      await succeed(sandbox, "ADD", network, POD);
      await endPod(sandbox);
      const answer = await call(sandbox, "STATUS", network);
      expect(answer.document.details).toBe(
        "dev7 was it: DEL or GC of container pod-1, interface eth0 of network lab renames it",
      );
      await end(sandbox, network);
      await isBack(sandbox);
    },
    30_000,
  );

  test.each(ends)(
    "when the config went bad and its tag was taken away: %s",
    async (_, end) => {
      await using sandbox = await host();
      const network = config(sandbox);
      await succeed(sandbox, "ADD", network, POD);
      await sandbox.text(["ip", "-n", "pod1", "link", "set", "eth0", "alias", ""]);
      await end(sandbox, {
        ...network,
        device: 7,
        hwaddr: {},
        ipam: { ...Object(network.ipam), ranges: "bad" },
      });
      await isBack(sandbox);
    },
    30_000,
  );

  test("when the store was lost, by its tag; and leave another's alone", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    const forget = () => sandbox.text(["rm", "-rf", dataDirOf(sandbox)]);
    await succeed(sandbox, "ADD", network, POD);
    await forget();
    await succeed(sandbox, "DEL", network, { ...POD, containerId: "somebody-else" });
    expect(await seenLink(sandbox, "eth0", "pod1")).toBeDefined();
    await succeed(sandbox, "DEL", network, POD);
    // what it was beside its name only the store knew
    expect((await seenLink(sandbox, "card0"))?.ifalias).toBeUndefined();

    await sandbox.text(["ip", "link", "set", "card0", "up"]);
    await succeed(sandbox, "ADD", network, POD);
    await forget();
    await endPod(sandbox);
    await succeed(sandbox, "GC", { ...network, ...valid("pod-1") });
    expect(await linkNames(sandbox)).toEqual(["dev7"]);
    await succeed(sandbox, "GC", { ...network, ...valid() });
    expect(await linkNames(sandbox)).toEqual(["card0"]);
  }, 30_000);

  test("once its name is free again; until then nothing is lost", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    await succeed(sandbox, "ADD", network, POD);
    await sandbox.text(["ip", "link", "add", "card0", "type", "veth", "peer", "name", "other"]);
    const says = {
      code: 102,
      msg: 'device "card0" can\'t come back: the host has another interface of that name',
    };
    expect((await call(sandbox, "DEL", network, POD)).document).toMatchObject(says);
    // the addresses are given back even so
    expect(await leases(sandbox, dataDirOf(sandbox))).toEqual([]);
    expect((await call(sandbox, "GC", { ...network, ...valid() })).document).toMatchObject(says);
    await sandbox.text(["ip", "link", "del", "card0"]);
    await succeed(sandbox, "GC", { ...network, ...valid() });
    await isBack(sandbox);
  }, 30_000);
});

describe("bad input is refused before anything is moved:", () => {
  test.each<[string, string, Config, number, string]>([
    [
      "no device at all",
      "ADD",
      { device: "" },
      7,
      'specify either "device", "hwaddr", "kernelpath" or "pciBusID"',
    ],
    ["STATUS of no device", "STATUS", { device: null }, 7, "specify either"],
    ["a device that is a path", "ADD", { device: "a/b" }, 7, '"a/b"'],
    ["a device that is a number", "ADD", { device: 7 }, 7, '"device" is 7'],
    ["an address that is none", "ADD", { device: "", hwaddr: "zz" }, 7, '"hwaddr" is "zz"'],
    ["a place outside of sysfs", "ADD", { device: "", kernelpath: "/etc" }, 7, '"kernelpath" is "/etc"'],
    ["a place that leads out", "ADD", { device: "", kernelpath: "/sys/devices/../x" }, 7, '"kernelpath"'],
    ["a number that is a path", "ADD", { device: "", pciBusID: "../x" }, 7, '"pciBusID" is "../x"'],
    ["a runtime's that is a path", "ADD", { runtimeConfig: { deviceID: ".." } }, 7, "runtimeConfig.deviceID"],
    ["what is not done", "ADD", { useInterfaceNetwork: true }, 2, '"useInterfaceNetwork" is not supported'],
    ["CHECK without a result", "CHECK", {}, 7, "Required prevResult missing"],
  ])("%s", async (_, verb, more, code, message) => {
    await using sandbox = await host();
    const answer = await call(
      sandbox,
      verb,
      { ...config(sandbox), ...more },
      verb === "STATUS" ? undefined : POD,
    );
    expect(answer.exitCode).toBe(1);
    expect(answer.document).toMatchObject({ code, msg: expect.stringContaining(message) });
    await isBack(sandbox);
  });
});

testWith(tools.referencePlugins)(
  "beside the reference plugin: the same result, addresses and routes; and it lets go of the same configs",
  async () => {
    const reference = tools.referencePlugins.path ?? "";
    for (const isLayer3 of [true, false]) {
      const [theirs, ours] = await Promise.all(
        [reference, dirname(WARREN)].map(async (path) => {
          await using sandbox = await host();
          const prefix = path === reference ? "" : "warren-";
          const ipam = {
            type: `${prefix}host-local`,
            dataDir: dataDirOf(sandbox),
            routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
          };
          const more = { cniVersion: "1.0.0", type: `${prefix}host-device` };
          const network = isLayer3 ? config(sandbox, more, ipam) : layer2(sandbox, more);
          const added = await succeed(sandbox, "ADD", network, POD, path);
          await succeed(sandbox, "CHECK", withResult(network, added), POD, path);
          const link = await seenLink(sandbox, "eth0", "pod1");
          const seen = {
            result: {
              ...added.document,
              interfaces: added.document.interfaces.map(({ mtu: _, ...one }: Record<string, unknown>) => one),
            },
            link: [link?.mtu, link?.operstate, link?.address],
            addresses: globalAddressesOf(link),
            routes: [await routesOf(sandbox, 4, "pod1"), await routesOf(sandbox, 6, "pod1")],
          };
          await succeed(sandbox, "DEL", network, POD, path);
          return { ...seen, back: await linkNames(sandbox) };
        }),
      );
      expect(ours).toEqual(theirs);
    }
  },
  60_000,
);
