// The plugin macvlan on a real kernel. The network card is one end of a pair, whose other end is a namespace that
// plays everybody else on the wire; nothing of a macvlan is on the host, so most is witnessed inside the pods.
import { describe, expect, test } from "bun:test";
import { dirname } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { type Answer, type Config, call, leases, linkNames, succeed } from "../support/plugins.ts";
import { Sandbox, testWith, WARREN } from "../support/sandbox.ts";
import { connectionSource, globalAddressesOf, isSettled, routesOf, seenLink } from "../support/witness.ts";

const POD = { containerId: "pod-1", netns: "pod1" };
const OTHER = { containerId: "pod-2", netns: "pod2" };

async function host(): Promise<Sandbox> {
  const sandbox = await Sandbox.create();
  await sandbox.text([
    "sh",
    "-ec",
    `ip netns add pod1; ip netns add pod2; ip netns add wire
     ip link add card0 up mtu 1500 type veth peer name far0 netns wire
     ip -n wire addr add 10.91.0.1/24 dev far0; ip -n wire addr add fd00:91::1/64 dev far0 nodad
     ip -n wire link set far0 up`,
  ]);
  return sandbox;
}

function config(sandbox: Sandbox, more: Config = {}, ipam: Config = {}): Config {
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-macvlan",
    master: "card0",
    ...more,
    ipam: {
      type: "warren-ipam",
      dataDir: `${sandbox.directory}/store`,
      ranges: [[{ subnet: "10.91.0.0/24" }], [{ subnet: "fd00:91::/64" }]],
      ...ipam,
    },
  };
}

/** The same network without addresses. */
function layer2(sandbox: Sandbox, more: Config = {}): Config {
  return { ...config(sandbox, more), ipam: {}, dataDir: `${sandbox.directory}/store` };
}

async function nothingIsLeft(sandbox: Sandbox): Promise<void> {
  expect(await linkNames(sandbox)).toEqual(["card0"]);
  expect(await seenLink(sandbox, "eth0", "pod1")).toBeUndefined();
  expect(await leases(sandbox, `${sandbox.directory}/store`)).toEqual([]);
}

function withResult(one: Config, added: Answer): Config {
  return { ...one, prevResult: added.document };
}

const valid = (...ids: string[]): Config => ({
  "cni.dev/valid-attachments": ids.map((containerID) => ({ containerID, ifname: "eth0" })),
});

describe("ADD", () => {
  test("of a hardware address that another container has is refused in words, and leaves nothing", async () => {
    await using sandbox = await host();
    const network = config(sandbox, { mac: "02:00:00:00:00:05" });
    await succeed(sandbox, "ADD", network, POD);
    for (const refused of [network, layer2(sandbox, { mac: "02:00:00:00:00:05" })]) {
      expect((await call(sandbox, "ADD", refused, OTHER)).document).toMatchObject({
        code: 100,
        msg: "the hardware address that is asked for is that of another interface on the same master",
        details: "ask for another mac, or for none",
      });
    }
    expect(await seenLink(sandbox, "eth0", "pod2")).toBeUndefined();
    await succeed(sandbox, "DEL", network, POD);
    await nothingIsLeft(sandbox);
  });

  test("makes all that the result says, in both families, and DEL takes all of it back", async () => {
    await using sandbox = await host();
    // every host has an eth0, which must not get in the way of the container's
    await sandbox.text(["ip", "link", "add", "eth0", "type", "ifb"]);
    const network = config(
      sandbox,
      { mtu: 1400, bcqueuelen: 500, mac: "02:00:00:00:00:05" },
      {
        routes: [{ dst: "0.0.0.0/0" }, { dst: "192.0.2.0/24", gw: "10.91.0.7" }],
        dns: { nameservers: ["192.0.2.53"] },
      },
    );
    const { document } = await succeed(sandbox, "ADD", network, POD);
    expect(document).toEqual({
      cniVersion: "1.1.0",
      interfaces: [{ name: "eth0", mac: "02:00:00:00:00:05", mtu: 1400, sandbox: "/run/netns/pod1" }],
      ips: [
        { interface: 0, address: "10.91.0.2/24", gateway: "10.91.0.1" },
        { interface: 0, address: "fd00:91::2/64", gateway: "fd00:91::1" },
      ],
      routes: [{ dst: "0.0.0.0/0" }, { dst: "192.0.2.0/24", gw: "10.91.0.7" }],
      dns: { nameservers: ["192.0.2.53"] },
    });
    const inside = await seenLink(sandbox, "eth0", "pod1");
    expect(inside).toMatchObject({
      address: "02:00:00:00:00:05",
      mtu: 1400,
      operstate: "UP",
      ifalias: "warren lab pod-1 eth0",
      linkinfo: { info_kind: "macvlan", info_data: { mode: "bridge", bcqueuelen: 500 } },
    });
    expect(globalAddressesOf(inside)).toEqual(["10.91.0.2/24", "fd00:91::2/64"]);
    expect(await isSettled(sandbox, "eth0", "pod1")).toBe(true);
    expect(await routesOf(sandbox, 4, "pod1")).toEqual([
      "10.91.0.0/24 dev eth0 proto kernel scope link src 10.91.0.2",
      "192.0.2.0/24 via 10.91.0.7 dev eth0",
      "default via 10.91.0.1 dev eth0",
    ]);
    expect(await connectionSource(sandbox, "pod1", "wire", "10.91.0.1")).toBe("10.91.0.2");
    expect(await connectionSource(sandbox, "pod1", "wire", "fd00:91::1")).toBe("fd00:91::2");

    await succeed(sandbox, "CHECK", { ...network, prevResult: document }, POD);
    await succeed(sandbox, "DEL", network, POD);
    await sandbox.text(["ip", "link", "del", "eth0"]);
    await nothingIsLeft(sandbox);
    await succeed(sandbox, "DEL", network, POD);
  }, 30_000);

  test("pods of one card reach each other in mode bridge, and not in mode private", async () => {
    await using sandbox = await host();
    for (const mode of ["bridge", "private"]) {
      const network = config(sandbox, { mode });
      const first = (await succeed(sandbox, "ADD", network, POD)).document.ips[0].address.split("/")[0];
      const second = (await succeed(sandbox, "ADD", network, OTHER)).document.ips[0].address.split("/")[0];
      const attempt = connectionSource(sandbox, "pod2", "pod1", first);
      if (mode === "bridge") expect(await attempt).toBe(second);
      else await expect(attempt).rejects.toThrow("no answer");
      await succeed(sandbox, "DEL", network, POD);
      await succeed(sandbox, "DEL", network, OTHER);
    }
  }, 30_000);

  test.each(["", "bridge", "private", "vepa", "passthru"])("mode %j is what the kernel has", async (mode) => {
    await using sandbox = await host();
    const network = config(sandbox, { mode });
    const added = await succeed(sandbox, "ADD", network, POD);
    const link = await seenLink(sandbox, "eth0", "pod1");
    expect(link?.linkinfo?.info_data?.mode).toBe(mode === "" ? "bridge" : mode);
    await succeed(sandbox, "CHECK", withResult(network, added), POD);
  });

  test("mode passthru takes the card's hardware address, or gives it another one until DEL", async () => {
    await using sandbox = await host();
    const own = (await seenLink(sandbox, "card0"))?.address;
    const network = config(sandbox, { mode: "passthru" });
    const added = await succeed(sandbox, "ADD", network, POD);
    expect(added.document.interfaces[0].mac).toBe(own);
    // it has the card for itself, and neither a second one nor one of another mode fits
    for (const mode of ["passthru", "bridge"]) {
      const refused = await call(sandbox, "ADD", config(sandbox, { mode }), OTHER);
      expect(refused.document).toMatchObject({ code: 104, msg: expect.stringContaining("passthru") });
    }
    expect(await leases(sandbox, `${sandbox.directory}/store`)).toHaveLength(2);
    await succeed(sandbox, "DEL", network, POD);

    const renamed = { ...network, runtimeConfig: { mac: "02:00:00:00:00:07" } };
    const again = await succeed(sandbox, "ADD", renamed, POD);
    expect(again.document.interfaces[0].mac).toBe("02:00:00:00:00:07");
    expect((await seenLink(sandbox, "card0"))?.address).toBe("02:00:00:00:00:07");
    await succeed(sandbox, "DEL", renamed, POD);
    expect((await seenLink(sandbox, "card0"))?.address).toBe(own ?? "");
    await nothingIsLeft(sandbox);
  });

  test("the hardware address comes from the capability, args.cni, CNI_ARGS, or the key", async () => {
    await using sandbox = await host();
    const mac = async (more: Config, args: string, ifname: string) => {
      await succeed(sandbox, "ADD", layer2(sandbox, more), { ...POD, ifname, args });
      return (await seenLink(sandbox, ifname, "pod1"))?.address;
    };
    const key = { mac: "02:00:00:00:00:01" };
    const inArgs = { ...key, args: { cni: { mac: "02:00:00:00:00:03" } } };
    const capability = { ...inArgs, runtimeConfig: { mac: "02-00-00-00-00-0D" } };
    expect(await mac(key, "", "a")).toBe("02:00:00:00:00:01");
    expect(await mac(key, "MAC=02:00:00:00:00:02", "b")).toBe("02:00:00:00:00:02");
    expect(await mac(inArgs, "MAC=02:00:00:00:00:02", "c")).toBe("02:00:00:00:00:03");
    expect(await mac(capability, "MAC=02:00:00:00:00:02", "d")).toBe("02:00:00:00:00:0d");
    // nobody asks: the kernel chooses, and never twice the same
    expect(await mac({}, "", "e")).not.toBe(await mac({}, "", "f"));
  });

  test("without master it is the interface of the default route, the preferred one", async () => {
    await using sandbox = await host();
    const network = config(sandbox, { master: "" });
    const none = await call(sandbox, "ADD", network, POD);
    expect(none.document).toMatchObject({ code: 7, msg: "no default route interface found on the host" });
    await sandbox.text([
      "sh",
      "-ec",
      `ip link add card1 up type veth peer name far1; ip link set far1 up; ip addr add 10.99.0.1/24 dev card1
       ip addr add 10.98.0.1/24 dev card0
       ip route add default via 10.98.0.2 metric 200; ip route add default via 10.99.0.2 metric 100`,
    ]);
    const added = await succeed(sandbox, "ADD", network, POD);
    const parent = async () =>
      (await sandbox.json(["ip", "-netns", "pod1", "-json", "link", "show", "eth0"])) as {
        link_index: number;
      }[];
    expect((await parent())[0]?.link_index).toBe((await seenLink(sandbox, "card1"))?.ifindex ?? 0);
    await succeed(sandbox, "CHECK", withResult(network, added), POD);
    await succeed(sandbox, "STATUS", network);
  });

  test("linkInContainer takes a master that is in the container", async () => {
    await using sandbox = await host();
    await sandbox.text(["ip", "link", "set", "card0", "netns", "pod1"]);
    await sandbox.text(["ip", "-netns", "pod1", "link", "set", "card0", "up"]);
    const missing = await call(sandbox, "ADD", config(sandbox), POD);
    expect(missing.document).toMatchObject({
      code: 7,
      msg: 'failed to lookup master "card0": there is no such interface on the host',
    });
    const network = config(sandbox, { linkInContainer: true });
    await succeed(sandbox, "STATUS", network);
    const added = await succeed(sandbox, "ADD", network, { ...POD, ifname: "net1" });
    expect((await seenLink(sandbox, "net1", "pod1"))?.linkinfo?.info_kind).toBe("macvlan");
    expect(await connectionSource(sandbox, "pod1", "wire", "10.91.0.1")).toBe("10.91.0.2");
    const check = await call(sandbox, "CHECK", withResult(network, added), { ...POD, ifname: "net1" });
    expect(check.exitCode).toBe(0);
    await succeed(sandbox, "DEL", network, { ...POD, ifname: "net1" });
    expect(await seenLink(sandbox, "net1", "pod1")).toBeUndefined();
  }, 30_000);

  test("without ipam it is up and has no address, and CHECK passes", async () => {
    await using sandbox = await host();
    const network = layer2(sandbox);
    await succeed(sandbox, "STATUS", network);
    const added = await succeed(sandbox, "ADD", network, POD);
    expect(added.document).toEqual({
      cniVersion: "1.1.0",
      interfaces: [{ name: "eth0", mac: expect.any(String), mtu: 1500, sandbox: "/run/netns/pod1" }],
    });
    const inside = await seenLink(sandbox, "eth0", "pod1");
    expect(inside?.operstate).toBe("UP");
    expect(globalAddressesOf(inside)).toEqual([]);
    await succeed(sandbox, "CHECK", withResult(network, added), POD);
    await succeed(sandbox, "GC", { ...network, ...valid() });
    await nothingIsLeft(sandbox);
  });

  test("dns of the config replaces that of the IPAM plugin; the shape follows the config's version", async () => {
    await using sandbox = await host();
    const ipam = { ranges: [[{ subnet: "10.91.0.0/24" }]], dns: { nameservers: ["192.0.2.53"] } };
    const network = config(sandbox, { cniVersion: "0.2.0", dns: { domain: "example.org" } }, ipam);
    expect((await succeed(sandbox, "ADD", network, POD)).document).toEqual({
      cniVersion: "0.2.0",
      ip4: { ip: "10.91.0.2/24", gateway: "10.91.0.1" },
      dns: { domain: "example.org" },
    });
  });

  test("many at once, in one container and on one network, collide in nothing", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    const targets = Array.from({ length: 20 }, (_, index) => ({
      containerId: `many-${index % 4}`,
      netns: "pod1",
      ifname: `net${index}`,
    }));
    await Promise.all(targets.map((target) => succeed(sandbox, "ADD", network, target)));
    const held = await leases(sandbox, `${sandbox.directory}/store`);
    expect(new Set(held.map(({ address }) => address)).size).toBe(40);
    await succeed(sandbox, "GC", { ...network, ...valid() });
    expect(await sandbox.json(["ip", "-netns", "pod1", "-json", "link", "show", "type", "macvlan"])).toEqual(
      [],
    );
    await nothingIsLeft(sandbox);
  }, 60_000);
});

describe("a failing ADD leaves nothing behind when", () => {
  test.each<[string, Config, Config, number, string]>([
    ["the master is missing", { master: "card9" }, {}, 7, '"card9"'],
    ["the master is lo", { master: "lo" }, {}, 104, '"lo" can\'t carry a macvlan'],
    ["the master is a port of a bridge", { master: "port0" }, {}, 104, "it is a port of another device"],
    [
      "the MTU is beyond the master's",
      { mtu: 1501 },
      {},
      7,
      "invalid MTU 1501, must be [0, master MTU(1500)]",
    ],
    ["the kernel refuses the MTU", { mtu: 40 }, {}, 104, "EINVAL"],
    [
      "the kernel refuses a route",
      {},
      { routes: [{ dst: "192.0.2.0/24", gw: "203.0.113.1" }] },
      104,
      "route",
    ],
    ["the pool has no such address", { runtimeConfig: { ips: ["10.99.0.1"] } }, {}, 7, "10.99.0.1"],
    ["the IPAM plugin is missing", {}, { type: "nobody" }, 106, "nobody"],
  ])("%s", async (_, more, ipam, code, message) => {
    await using sandbox = await host();
    await sandbox.text([
      "sh",
      "-ec",
      "ip link add br0 type bridge; ip link add port0 type veth peer name port1; ip link set port0 master br0",
    ]);
    const answer = await call(sandbox, "ADD", config(sandbox, more, ipam), POD);
    expect(answer.document).toMatchObject({ code, msg: expect.stringContaining(message) });
    await sandbox.text(["sh", "-ec", "ip link del port0; ip link del br0"]);
    await nothingIsLeft(sandbox);
    await succeed(sandbox, "ADD", config(sandbox), POD);
  });

  test("the name is taken; DEL of that attempt takes nothing of somebody else's", async () => {
    await using sandbox = await host();
    const foreign = ["link", "add", "eth0", "link", "card0", "netns", "pod1", "type", "macvlan"];
    await sandbox.text(["ip", ...foreign]);
    const network = config(sandbox);
    const refused = await call(sandbox, "ADD", network, POD);
    expect(refused.document).toMatchObject({
      code: 102,
      msg: 'container interface "eth0" already exists in /run/netns/pod1',
    });
    await succeed(sandbox, "DEL", network, POD);
    await succeed(sandbox, "GC", { ...network, ...valid() });
    expect(await seenLink(sandbox, "eth0", "pod1")).toBeDefined();
  });

  test("a SIGKILL hits any step, once DEL or GC has run", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    for (let delayMs = 3; delayMs < 15; delayMs++) {
      const target = { containerId: `killed-${delayMs}`, netns: "pod1" };
      const plugin = `${dirname(WARREN)}/warren-macvlan`;
      await sandbox.run(["timeout", "--signal=KILL", `${delayMs / 1000}`, plugin], {
        env: {
          CNI_COMMAND: "ADD",
          CNI_PATH: dirname(WARREN),
          CNI_CONTAINERID: target.containerId,
          CNI_NETNS: "/run/netns/pod1",
          CNI_IFNAME: "eth0",
        },
        stdin: JSON.stringify(network),
      });
      if (delayMs % 2 === 0) await succeed(sandbox, "DEL", network, target);
      else await succeed(sandbox, "GC", { ...network, ...valid() });
      await nothingIsLeft(sandbox);
    }
  }, 60_000);
});

describe("CHECK", () => {
  const inPod = (...words: string[]) => ["ip", "-netns", "pod1", ...words];
  const SABOTAGE: readonly (readonly [command: string[], says: string])[] = [
    [inPod("link", "del", "eth0"), "interface eth0 is gone"],
    [inPod("link", "set", "eth0", "down"), "interface eth0 is down"],
    [inPod("link", "set", "eth0", "mtu", "1300"), "has the MTU 1300, not 1400"],
    [inPod("link", "set", "eth0", "address", "02:00:00:00:00:09"), "has the address 02:00:00:00:00:09"],
    [
      inPod("link", "set", "eth0", "type", "macvlan", "mode", "vepa"),
      "has the mode vepa, the config says bridge",
    ],
    [inPod("link", "set", "eth0", "type", "macvlan", "bcqueuelen", "900"), "has the bcqueuelen 900"],
    [inPod("addr", "del", "10.91.0.2/24", "dev", "eth0"), "lacks the address 10.91.0.2/24"],
    [inPod("addr", "del", "fd00:91::2/64", "dev", "eth0"), "lacks the address fd00:91::2/64"],
    [inPod("route", "del", "default"), "lacks the route to 0.0.0.0/0"],
    [["ip", "link", "set", "card0", "down"], "master card0 is down"],
    [["ip", "link", "set", "card0", "name", "card9"], "master card0 is gone"],
    [
      [
        "sh",
        "-ec",
        "ip link set card0 name card9; ip link add card0 up type veth peer name far1; ip link set far1 up",
      ],
      "is no macvlan of card0",
    ],
    [
      [
        "sh",
        "-ec",
        `ip -n pod1 link del eth0
         ip -n pod1 link add eth0 address 02:00:00:00:00:05 type veth peer name far1`,
      ],
      "interface eth0 is a veth, not a macvlan",
    ],
  ];

  test("passes after ADD and fails, naming it, for each thing that is gone", async () => {
    await Promise.all(
      SABOTAGE.map(async ([command, says]) => {
        await using sandbox = await host();
        const network = config(
          sandbox,
          { mtu: 1400, bcqueuelen: 500, mac: "02:00:00:00:00:05" },
          { routes: [{ dst: "0.0.0.0/0" }] },
        );
        const checked = withResult(network, await succeed(sandbox, "ADD", network, POD));
        await succeed(sandbox, "CHECK", checked, POD);
        await sandbox.text(command);
        const answer = await call(sandbox, "CHECK", checked, POD);
        expect({ code: answer.document?.code, msg: answer.document?.msg }).toEqual({
          code: 103,
          msg: expect.stringContaining(says),
        });
        await succeed(sandbox, "DEL", network, POD);
        expect(await leases(sandbox, `${sandbox.directory}/store`)).toEqual([]);
      }),
    );
  }, 60_000);
});

describe("DEL", () => {
  test("works with the namespace gone, with none given, under another name, and again", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    for (const netns of ["/run/netns/gone", ""]) {
      await sandbox.addNetns("gone");
      await succeed(sandbox, "ADD", network, { ...POD, netns: "gone" });
      await sandbox.text(["ip", "netns", "del", "gone"]);
      await succeed(sandbox, "DEL", network, { ...POD, netns });
      await nothingIsLeft(sandbox);
      await succeed(sandbox, "DEL", network, { ...POD, netns });
    }
    await succeed(sandbox, "ADD", network, POD);
    // the runtime forgot the namespace, but the store knows it
    await succeed(sandbox, "DEL", network, { ...POD, netns: "" });
    await nothingIsLeft(sandbox);
    await succeed(sandbox, "ADD", network, POD);
    await sandbox.text([
      "sh",
      "-ec",
      "touch /run/netns/other; mount --bind /run/netns/pod1 /run/netns/other",
    ]);
    await sandbox.text(["ip", "netns", "del", "pod1"]);
    await succeed(sandbox, "DEL", network, { ...POD, netns: "other" });
    expect(await seenLink(sandbox, "eth0", "other")).toBeUndefined();
  });

  test("finds the link by its tag when the store was lost, and leaves another's alone", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    await succeed(sandbox, "ADD", network, POD);
    await sandbox.text(["rm", "-rf", `${sandbox.directory}/store`]);
    await succeed(sandbox, "DEL", network, { ...POD, containerId: "somebody-else" });
    expect(await seenLink(sandbox, "eth0", "pod1")).toBeDefined();
    await succeed(sandbox, "DEL", network, POD);
    await nothingIsLeft(sandbox);
  });

  test("a config that went bad and a master that is gone keep nothing from being released", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    await succeed(sandbox, "ADD", network, POD);
    const bad = { ...network, master: 7, mode: "none", ipam: { ...Object(network.ipam), ranges: "bad" } };
    await succeed(sandbox, "DEL", bad, POD);
    await nothingIsLeft(sandbox);
    // what stands where the namespace was is no namespace any more
    await sandbox.text(["touch", "/run/netns/file"]);
    await succeed(sandbox, "DEL", network, { ...POD, netns: "file" });
  });
});

describe("GC", () => {
  test("takes what is not valid out of living containers, and forgets what went with its namespace", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    await sandbox.addNetns("gone");
    await succeed(sandbox, "ADD", network, POD);
    await succeed(sandbox, "ADD", network, OTHER);
    await succeed(sandbox, "ADD", network, { containerId: "pod-3", netns: "gone" });
    await sandbox.text(["ip", "netns", "del", "gone"]);
    const answer = await succeed(sandbox, "GC", { ...network, ...valid("pod-2") });
    expect(answer.stderr).toContain("warren-macvlan: removed container pod-1, interface eth0 of network lab");
    expect(answer.stderr).toContain("warren-macvlan: removed container pod-3, interface eth0 of network lab");
    expect(await seenLink(sandbox, "eth0", "pod1")).toBeUndefined();
    expect(await seenLink(sandbox, "eth0", "pod2")).toBeDefined();
    expect(await leases(sandbox, `${sandbox.directory}/store`)).toHaveLength(2);
    await succeed(sandbox, "GC", { ...network, ...valid() });
    await nothingIsLeft(sandbox);
  });

  test("without a list collects nothing and says so", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    await succeed(sandbox, "ADD", network, POD);
    const answer = await succeed(sandbox, "GC", network);
    expect(answer.stderr).toContain("no list of valid attachments came for network lab");
    expect(await seenLink(sandbox, "eth0", "pod1")).toBeDefined();
  });
});

test("STATUS is 50 when the master is missing or down, and when no address is left", async () => {
  await using sandbox = await host();
  const network = config(sandbox, {}, { ranges: [[{ subnet: "10.91.0.0/30" }]] });
  await succeed(sandbox, "STATUS", network);
  expect(await linkNames(sandbox)).toEqual(["card0"]);
  const status = async (more: Config = {}) =>
    (await call(sandbox, "STATUS", { ...network, ...more })).document;
  expect(await status({ master: "card9" })).toMatchObject({
    code: 50,
    msg: 'failed to lookup master "card9": there is no such interface on the host',
  });
  expect(await status({ master: "" })).toMatchObject({
    code: 50,
    msg: "no default route interface found on the host",
  });
  await sandbox.text(["ip", "link", "set", "card0", "down"]);
  expect(await status()).toMatchObject({ code: 50, msg: 'master "card0" is down' });
  await sandbox.text(["ip", "link", "set", "card0", "up"]);
  await succeed(sandbox, "ADD", network, POD);
  expect(await status()).toMatchObject({ code: 50, msg: "no free addresses in 10.91.0.0/30" });
});

describe("bad input is refused before anything is made:", () => {
  test.each<[string, string, Config, string]>([
    ["an unknown mode", "ADD", { mode: "source" }, 'unknown macvlan mode: "source"'],
    ["a mode that is a number", "ADD", { mode: 4 }, '"mode" is 4'],
    ["a long master", "ADD", { master: "sixteen-is-a-lot" }, '"sixteen-is-a-lot"'],
    ["a master that is a path", "STATUS", { master: "a/b" }, '"a/b"'],
    ["a master that is a number", "ADD", { master: 7 }, '"master" is 7'],
    ["a negative MTU", "ADD", { mtu: -1 }, "invalid MTU -1"],
    ["half an MTU", "ADD", { mtu: 1400.5 }, '"mtu" is 1400.5'],
    ["an MTU in quotes", "ADD", { mtu: "1400" }, '"mtu" is "1400"'],
    ["a flag that is text", "ADD", { linkInContainer: "yes" }, '"linkInContainer" is "yes"'],
    ["a negative queue", "ADD", { bcqueuelen: -1 }, '"bcqueuelen" is -1'],
    ["a queue beyond 32 bits", "ADD", { bcqueuelen: 4294967296 }, '"bcqueuelen" is 4294967296'],
    ["a MAC that is none", "ADD", { mac: "zz" }, '"zz"'],
    ["a group's MAC", "ADD", { mac: "01:00:5e:00:00:01" }, "01:00:5e:00:00:01"],
    ["a MAC by capability", "ADD", { runtimeConfig: { mac: "0a:00" } }, '"0a:00"'],
    ["an ipam that is text", "ADD", { ipam: "x" }, '"ipam" is "x"'],
    ["DNS that is text", "ADD", { dns: "10.1.0.1" }, '"dns" is "10.1.0.1"'],
    ["a relative store", "ADD", { dataDir: "store" }, '"dataDir" is "store"'],
    ["CHECK without a result", "CHECK", {}, "Required prevResult missing"],
    [
      "CHECK of another's result",
      "CHECK",
      { prevResult: { interfaces: [{ name: "eth7", sandbox: "x" }] } },
      '"eth0"',
    ],
    ["a bad list of attachments", "GC", { "cni.dev/valid-attachments": [{}] }, "containerID"],
  ])("%s", async (_, verb, more, message) => {
    await using sandbox = await host();
    const target = verb === "GC" || verb === "STATUS" ? undefined : POD;
    const answer = await call(sandbox, verb, { ...config(sandbox), ...more }, target);
    expect(answer.exitCode).toBe(1);
    expect(answer.document).toMatchObject({ code: 7, msg: expect.stringContaining(message) });
    await nothingIsLeft(sandbox);
  });
});

testWith(tools.referencePlugins)(
  "beside the reference plugin: the same link, addresses and routes",
  async () => {
    const reference = tools.referencePlugins.path ?? "";
    for (const mode of ["bridge", "private", "vepa", "passthru"]) {
      const [theirs, ours] = await Promise.all(
        [reference, dirname(WARREN)].map(async (path) => {
          await using sandbox = await host();
          const isOurs = path !== reference;
          const network: Config = {
            ...config(sandbox, { mode, mtu: 1400, bcqueuelen: 500, cniVersion: "1.0.0" }),
            ...(mode === "passthru" ? {} : { mac: "02:00:00:00:00:05" }),
            type: isOurs ? "warren-macvlan" : "macvlan",
            ipam: {
              type: isOurs ? "warren-ipam" : "host-local",
              dataDir: `${sandbox.directory}/store`,
              ranges: [[{ subnet: "10.91.0.0/24" }], [{ subnet: "fd00:91::/64" }]],
              routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
            },
          };
          const { document } = await succeed(sandbox, "ADD", network, POD, path);
          const link = await seenLink(sandbox, "eth0", "pod1");
          const isCards = link?.address === (await seenLink(sandbox, "card0"))?.address;
          const seen = {
            result: {
              ...document,
              interfaces: document.interfaces.map(({ name, sandbox: netns }: Record<string, string>) => [
                name,
                netns,
              ]),
            },
            link: [link?.mtu, link?.operstate, link?.linkinfo?.info_data, isCards],
            addresses: globalAddressesOf(link),
            routes: [await routesOf(sandbox, 4, "pod1"), await routesOf(sandbox, 6, "pod1")],
          };
          await succeed(sandbox, "DEL", network, POD, path);
          return seen;
        }),
      );
      expect(ours).toEqual(theirs);
    }
  },
  60_000,
);
