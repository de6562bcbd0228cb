// The plugin ptp on a real kernel: what ADD makes is witnessed by ip and nft and by real connections, CHECK is shown
// to miss nothing, DEL and GC to leave nothing. Host, pods and the network beyond are throwaway namespaces.
import { describe, expect, test } from "bun:test";
import { dirname } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { type Answer, type Config, call, leases, linkNames, ruleset, succeed } from "../support/plugins.ts";
import { Sandbox, testWith, WARREN } from "../support/sandbox.ts";
import { connectionSource, globalAddressesOf, isSettled, routesOf, seenLink } from "../support/witness.ts";

const POD = { containerId: "pod-1", netns: "pod1" };
const OTHER = { containerId: "pod-2", netns: "pod2" };
const DUAL = { subnet: "", ranges: [[{ subnet: "10.90.0.0/24" }], [{ subnet: "fd00:90::/64" }]] };
const DEFAULT_ROUTES = { routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }] };

const host = () => Sandbox.withPods("pod1", "pod2");

function config(sandbox: Sandbox, more: Config = {}, ipam: Config = {}): Config {
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-ptp",
    ...more,
    ipam: { type: "warren-ipam", dataDir: `${sandbox.directory}/store`, subnet: "10.90.0.0/24", ...ipam },
  };
}

async function nothingIsLeft(sandbox: Sandbox, links: readonly string[] = []): Promise<void> {
  expect(await linkNames(sandbox)).toEqual([...links]);
  expect(await ruleset(sandbox)).toBe("");
  expect(await leases(sandbox, `${sandbox.directory}/store`)).toEqual([]);
}

function withResult(one: Config, added: Answer): Config {
  return { ...one, prevResult: added.document };
}

/** A network beyond the host, with a way back to the pods. */
async function addWorld(sandbox: Sandbox): Promise<void> {
  await sandbox.addNetns("world");
  await sandbox.text(["ip", "link", "add", "up0", "up", "type", "veth", "peer", "eth0", "netns", "world"]);
  await sandbox.text(["ip", "addr", "add", "192.0.2.1/24", "dev", "up0"]);
  await sandbox.text(["ip", "addr", "add", "2001:db8::1/64", "dev", "up0", "nodad"]);
  const world = (...words: string[]) => sandbox.text(["ip", "-netns", "world", ...words]);
  await world("addr", "add", "192.0.2.2/24", "dev", "eth0");
  await world("addr", "add", "2001:db8::2/64", "dev", "eth0", "nodad");
  await world("link", "set", "eth0", "up");
  await world("route", "add", "default", "via", "192.0.2.1");
  await world("-6", "route", "add", "default", "via", "2001:db8::1");
}

describe("ADD", () => {
  test("makes all that the result says, in both families, and DEL takes all of it back", async () => {
    await using sandbox = await host();
    const network = config(
      sandbox,
      { ipMasq: true, mtu: 1400 },
      {
        ...DUAL,
        routes: [...DEFAULT_ROUTES.routes, { dst: "198.51.100.0/24", mtu: 1300, priority: 7 }],
      },
    );
    const { document } = await succeed(sandbox, "ADD", network, POD);
    const [hostEnd, pod] = document.interfaces;
    expect(document.interfaces).toHaveLength(2);
    expect(hostEnd).toEqual({ name: expect.stringMatching(/^veth/), mac: expect.any(String), mtu: 1400 });
    expect(pod).toEqual({ name: "eth0", mac: "0a:58:0a:5a:00:02", mtu: 1400, sandbox: "/run/netns/pod1" });
    expect(document.ips).toEqual([
      { interface: 1, address: "10.90.0.2/24", gateway: "10.90.0.1" },
      { interface: 1, address: "fd00:90::2/64", gateway: "fd00:90::1" },
    ]);

    const inside = await seenLink(sandbox, "eth0", "pod1");
    expect(inside).toMatchObject({ address: pod.mac, mtu: 1400, operstate: "UP" });
    expect(globalAddressesOf(inside)).toEqual(["10.90.0.2/24", "fd00:90::2/64"]);
    expect(await routesOf(sandbox, 4, "pod1")).toEqual([
      "10.90.0.0/24 via 10.90.0.1 dev eth0 src 10.90.0.2",
      "10.90.0.1 dev eth0 scope link src 10.90.0.2",
      "198.51.100.0/24 via 10.90.0.1 dev eth0 metric 7 mtu 1300",
      "default via 10.90.0.1 dev eth0",
    ]);
    expect(await routesOf(sandbox, 6, "pod1")).toEqual([
      "default via fd00:90::1 dev eth0 metric 1024 pref medium",
      "fd00:90::/64 via fd00:90::1 dev eth0 src fd00:90::2 metric 1024 pref medium",
      "fd00:90::1 dev eth0 src fd00:90::2 metric 1024 pref medium",
    ]);

    const outside = await seenLink(sandbox, hostEnd.name);
    expect(outside).toMatchObject({ mtu: 1400, operstate: "UP", ifalias: "warren lab pod-1 eth0" });
    expect(globalAddressesOf(outside)).toEqual(["10.90.0.1/32", "fd00:90::1/128"]);
    expect(await routesOf(sandbox, 4)).toEqual([`10.90.0.2 dev ${hostEnd.name} scope host`]);
    expect(await routesOf(sandbox, 6)).toContain(`fd00:90::2 dev ${hostEnd.name} metric 1024 pref medium`);
    // an ADD pays no wait for duplicate address detection, and leaves none for the first packet either
    expect(await isSettled(sandbox, "eth0", "pod1")).toBe(true);
    expect(await isSettled(sandbox, hostEnd.name)).toBe(true);
    for (const setting of ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]) {
      expect((await sandbox.text(["sysctl", "-n", setting])).trim()).toBe("1");
    }
    const rules = await ruleset(sandbox);
    expect(rules).toContain("ip saddr 10.90.0.0/24 ip daddr != 10.90.0.0/24");
    expect(rules).toContain("ip6 saddr fd00:90::/64 ip6 daddr != fd00:90::/64");

    await succeed(sandbox, "CHECK", { ...network, prevResult: document }, POD);
    await succeed(sandbox, "DEL", network, POD);
    expect(await seenLink(sandbox, "eth0", "pod1")).toBeUndefined();
    expect(await routesOf(sandbox, 4)).toEqual([]);
    await nothingIsLeft(sandbox);
    await succeed(sandbox, "DEL", network, POD);
  });

  test("pods reach the host and each other through it, in both families", async () => {
    await using sandbox = await host();
    const network = config(sandbox, {}, DUAL);
    await succeed(sandbox, "ADD", network, POD);
    await succeed(sandbox, "ADD", network, OTHER);
    expect(await connectionSource(sandbox, "pod2", "pod1", "10.90.0.2")).toBe("10.90.0.3");
    expect(await connectionSource(sandbox, "pod2", "pod1", "fd00:90::2")).toBe("fd00:90::3");
    expect(await connectionSource(sandbox, "pod1", undefined, "10.90.0.1")).toBe("10.90.0.2");
    expect(await connectionSource(sandbox, undefined, "pod1", "fd00:90::2")).toBe("fd00:90::1");
  }, 30_000);

  test("the world sees the host's address with ipMasq, and the pod's without", async () => {
    await using sandbox = await host();
    await addWorld(sandbox);
    const plain = config(sandbox, {}, { ...DUAL, ...DEFAULT_ROUTES });
    await succeed(sandbox, "ADD", plain, POD);
    expect(await connectionSource(sandbox, "pod1", "world", "192.0.2.2")).toBe("10.90.0.2");
    expect(await connectionSource(sandbox, "pod1", "world", "2001:db8::2")).toBe("fd00:90::2");
    await succeed(sandbox, "DEL", plain, POD);
    const masked = { ...plain, ipMasq: true };
    await succeed(sandbox, "ADD", masked, POD);
    expect(await connectionSource(sandbox, "pod1", "world", "192.0.2.2")).toBe("192.0.2.1");
    expect(await connectionSource(sandbox, "pod1", "world", "2001:db8::2")).toBe("2001:db8::1");
  }, 30_000);

  test("two interfaces of one container on one network collide in nothing", async () => {
    await using sandbox = await host();
    const network = config(sandbox, { ipMasq: true }, DUAL);
    const second = { ...POD, ifname: "net1" };
    const added = await succeed(sandbox, "ADD", network, POD);
    await succeed(sandbox, "ADD", network, second);
    expect(globalAddressesOf(await seenLink(sandbox, "net1", "pod1"))).toEqual([
      "10.90.0.3/24",
      "fd00:90::3/64",
    ]);
    await succeed(sandbox, "DEL", network, second);
    // the masquerade of a network goes with its last attachment, and not before
    await succeed(sandbox, "CHECK", withResult(network, added), POD);
    await succeed(sandbox, "DEL", network, POD);
    await nothingIsLeft(sandbox);
  });

  test("addresses with a gateway elsewhere, of their own subnet alone, and two behind one gateway", async () => {
    await using sandbox = await host();
    const network = config(
      sandbox,
      {},
      {
        subnet: "",
        ranges: [[{ subnet: "10.91.0.0/31", gateway: "10.91.0.0" }]],
        addresses: [
          { address: "10.92.0.9/24", gateway: "10.92.0.1" },
          { address: "10.92.0.10/24", gateway: "10.92.0.1" },
        ],
      },
    );
    const added = await succeed(sandbox, "ADD", network, POD);
    expect(await routesOf(sandbox, 4, "pod1")).toContain("10.91.0.0/31 via 10.91.0.0 dev eth0 src 10.91.0.1");
    await succeed(sandbox, "CHECK", withResult(network, added), POD);
    expect(await connectionSource(sandbox, undefined, "pod1", "10.92.0.10")).toBe("10.91.0.0");
  }, 30_000);

  test("dns of the config replaces that of the IPAM plugin; the shape follows the config's version", async () => {
    await using sandbox = await host();
    const ipam = { dns: { nameservers: ["192.0.2.53"] }, routes: [{ dst: "0.0.0.0/0" }] };
    const own = await succeed(sandbox, "ADD", config(sandbox, {}, ipam), POD);
    expect(own.document.dns).toEqual({ nameservers: ["192.0.2.53"] });
    const replaced = config(sandbox, { cniVersion: "0.2.0", dns: { domain: "example.org" } }, ipam);
    expect((await succeed(sandbox, "ADD", replaced, OTHER)).document).toEqual({
      cniVersion: "0.2.0",
      ip4: { ip: "10.90.0.3/24", gateway: "10.90.0.1", routes: [{ dst: "0.0.0.0/0" }] },
      dns: { domain: "example.org" },
    });
  });

  test("the hardware address comes from the capability, args.cni or CNI_ARGS", async () => {
    await using sandbox = await host();
    const asked = config(sandbox, { args: { cni: { mac: "02:00:00:00:00:02" } } });
    const args = "MAC=02:00:00:00:00:01";
    const mac = async (one: Config, ifname: string) =>
      (await succeed(sandbox, "ADD", one, { ...POD, ifname, args })).document.interfaces[1].mac;
    expect(await mac(config(sandbox), "a")).toBe("02:00:00:00:00:01");
    expect(await mac(asked, "b")).toBe("02:00:00:00:00:02");
    expect(await mac({ ...asked, runtimeConfig: { mac: "02:00:00:00:00:03" } }, "c")).toBe(
      "02:00:00:00:00:03",
    );
    expect((await seenLink(sandbox, "c", "pod1"))?.address).toBe("02:00:00:00:00:03");
  });

  test("many at once get an address and a pair each", async () => {
    await using sandbox = await host();
    const network = config(sandbox, { ipMasq: true }, DUAL);
    const targets = Array.from({ length: 20 }, (_, index) => ({
      containerId: `many-${index}`,
      netns: "pod1",
      ifname: `net${index}`,
    }));
    await Promise.all(targets.map((target) => succeed(sandbox, "ADD", network, target)));
    expect(await linkNames(sandbox)).toHaveLength(20);
    expect(
      new Set((await leases(sandbox, `${sandbox.directory}/store`)).map(({ address }) => address)).size,
    ).toBe(40);
    expect((await ruleset(sandbox)).match(/masquerade$/gm)).toHaveLength(2);
    await Promise.all(targets.map((target) => succeed(sandbox, "DEL", network, target)));
    await nothingIsLeft(sandbox);
  }, 60_000);
});

describe("a failing ADD leaves nothing behind when", () => {
  test.each<[string, Config, Config, number]>([
    ["the kernel refuses the MTU", { mtu: 50 }, {}, 104],
    ["the kernel refuses a route", {}, { routes: [{ dst: "192.0.2.0/24", gw: "203.0.113.1" }] }, 104],
    ["the host leads the address elsewhere", {}, { subnet: "172.30.0.0/24" }, 104],
    ["an address has no gateway", {}, { subnet: "", addresses: [{ address: "10.92.0.9/24" }] }, 7],
    ["the pool has no such address", { runtimeConfig: { ips: ["10.99.0.1"] } }, {}, 7],
    ["the IPAM plugin is missing", {}, { type: "nobody" }, 106],
  ])("%s", async (_, more, ipam, code) => {
    await using sandbox = await host();
    await sandbox.text(["ip", "route", "add", "172.30.0.2/32", "dev", "lo"]);
    const answer = await call(sandbox, "ADD", config(sandbox, { ipMasq: true, ...more }, ipam), POD);
    expect(answer.exitCode).toBe(1);
    expect(answer.document).toMatchObject({ code });
    expect(await seenLink(sandbox, "eth0", "pod1")).toBeUndefined();
    await nothingIsLeft(sandbox);
    await succeed(sandbox, "ADD", config(sandbox, { ipMasq: true }), POD);
  });

  test("the name is taken, which the message says", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    const added = await succeed(sandbox, "ADD", network, POD);
    const again = await call(sandbox, "ADD", network, POD);
    expect(again.document).toMatchObject({
      code: 102,
      msg: 'container interface "eth0" already exists in /run/netns/pod1',
    });
    await succeed(sandbox, "CHECK", withResult(network, added), POD);
  });

  test("a SIGKILL hits any step, once DEL or GC has run", async () => {
    await using sandbox = await host();
    const network = config(sandbox, { ipMasq: true }, DUAL);
    for (let delayMs = 3; delayMs < 15; delayMs++) {
      const target = { containerId: `killed-${delayMs}`, netns: "pod1" };
      const plugin = `${dirname(WARREN)}/warren-ptp`;
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
      else await succeed(sandbox, "GC", { ...network, "cni.dev/valid-attachments": [] });
      expect(await seenLink(sandbox, "eth0", "pod1")).toBeUndefined();
      await nothingIsLeft(sandbox);
    }
  }, 60_000);
});

describe("CHECK", () => {
  const inPod = (...words: string[]) => ["ip", "-netns", "pod1", ...words];
  const SABOTAGE: readonly (readonly [command: (hostEnd: string) => string[], says: string])[] = [
    [(end) => ["ip", "link", "del", end], "interface eth0 is gone"],
    [(end) => ["ip", "link", "set", end, "mtu", "1300"], "has the MTU 1300"],
    [(end) => ["ip", "addr", "del", "10.90.0.1/32", "dev", end], "lacks the gateway address 10.90.0.1/32"],
    [
      (end) => ["ip", "addr", "del", "fd00:90::1/128", "dev", end],
      "lacks the gateway address fd00:90::1/128",
    ],
    [() => ["ip", "route", "del", "10.90.0.2/32"], "lacks the route to 10.90.0.2/32"],
    [() => ["ip", "-6", "route", "del", "fd00:90::2/128"], "lacks the route to fd00:90::2/128"],
    [() => ["sysctl", "-w", "net.ipv4.ip_forward=0"], "does not forward IPv4"],
    [() => ["sysctl", "-w", "net.ipv6.conf.all.forwarding=0"], "does not forward IPv6"],
    [() => ["nft", "flush", "table", "inet", "warren"], "10.90.0.0/24 is not masqueraded"],
    [() => inPod("link", "set", "eth0", "down"), "interface eth0 is down"],
    [() => inPod("link", "set", "eth0", "address", "02:00:00:00:00:09"), "has the address 02:00:00:00:00:09"],
    [() => inPod("addr", "del", "10.90.0.2/24", "dev", "eth0"), "lacks the address 10.90.0.2/24"],
    [() => inPod("route", "del", "default"), "lacks the route to 0.0.0.0/0"],
    [() => inPod("route", "del", "10.90.0.0/24"), "lacks the route to 10.90.0.0/24"],
    [
      () => inPod("route", "change", "10.90.0.0/24", "via", "10.90.0.1", "dev", "eth0"),
      "lacks the route to 10.90.0.0/24",
    ],
    [(end) => ["ip", "link", "set", end, "down", "name", "other0"], "the host's end of eth0 is other0"],
  ];

  test("passes after ADD and fails, naming it, for each thing that is gone", async () => {
    await Promise.all(
      SABOTAGE.map(async ([command, says]) => {
        await using sandbox = await host();
        const network = config(sandbox, { ipMasq: true, mtu: 1400 }, { ...DUAL, ...DEFAULT_ROUTES });
        const added = await succeed(sandbox, "ADD", network, POD);
        const checked = withResult(network, added);
        await succeed(sandbox, "CHECK", checked, POD);
        await sandbox.text(command(added.document.interfaces[0].name));
        const answer = await call(sandbox, "CHECK", checked, POD);
        expect({ code: answer.document?.code, msg: answer.document?.msg }).toEqual({
          code: 103,
          msg: expect.stringContaining(says),
        });
      }),
    );
  }, 60_000);

  test("asks the IPAM plugin, and the store", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    const checked = withResult(network, await succeed(sandbox, "ADD", network, POD));
    await sandbox.text(["rm", "-rf", `${sandbox.directory}/store`]);
    const answer = await call(sandbox, "CHECK", checked, POD);
    expect(answer.document).toMatchObject({
      code: 103,
      msg: expect.stringContaining("nothing is written down"),
    });
  });
});

describe("DEL", () => {
  test("works with the namespace gone, with none given, and again", async () => {
    await using sandbox = await host();
    const network = config(sandbox, { ipMasq: true }, DUAL);
    for (const netns of ["/run/netns/gone", ""]) {
      await sandbox.addNetns("gone");
      await succeed(sandbox, "ADD", network, { ...POD, netns: "gone" });
      await sandbox.text(["ip", "netns", "del", "gone"]);
      await succeed(sandbox, "DEL", network, { ...POD, netns });
      await nothingIsLeft(sandbox);
      expect((await succeed(sandbox, "DEL", network, { ...POD, netns })).stdout).toBe("");
    }
  });

  test("finds the pair by the attachment alone when the store was lost", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    await succeed(sandbox, "ADD", network, POD);
    await sandbox.text(["rm", "-rf", `${sandbox.directory}/store`]);
    await succeed(sandbox, "DEL", network, POD);
    await nothingIsLeft(sandbox);
  });

  test("a config that went bad after the ADD keeps nothing from being released", async () => {
    await using sandbox = await host();
    const network = config(sandbox, { ipMasq: true });
    await succeed(sandbox, "ADD", network, POD);
    await succeed(
      sandbox,
      "DEL",
      { ...network, mtu: "wide", ipMasq: 7, ipam: { ...Object(network.ipam), subnet: "nonsense" } },
      POD,
    );
    await nothingIsLeft(sandbox);
  });

  test("without ipam, which ADD would refuse, is success", async () => {
    await using sandbox = await host();
    await succeed(sandbox, "DEL", { cniVersion: "1.1.0", name: "lab", type: "warren-ptp" }, POD);
  });
});

describe("GC", () => {
  const valid = (...ids: string[]): Config => ({
    "cni.dev/valid-attachments": ids.map((containerID) => ({ containerID, ifname: "eth0" })),
  });

  test("keeps what is valid and takes the rest, also where the store was lost", async () => {
    await using sandbox = await host();
    const network = config(sandbox, { ipMasq: true }, DUAL);
    await succeed(sandbox, "ADD", network, POD);
    await succeed(sandbox, "ADD", network, OTHER);
    const one = await succeed(sandbox, "GC", { ...network, ...valid("pod-1") });
    expect(one.stderr).toContain("warren-ptp: removed container pod-2, interface eth0 of network lab");
    expect(await seenLink(sandbox, "eth0", "pod2")).toBeUndefined();
    expect(await seenLink(sandbox, "eth0", "pod1")).toBeDefined();
    await sandbox.text(["rm", "-rf", `${sandbox.directory}/store`]);
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

test("STATUS is ready, and 50 when no address is left or the store takes no write", async () => {
  await using sandbox = await host();
  const network = config(sandbox, { ipMasq: true }, { subnet: "10.90.0.0/30" });
  await succeed(sandbox, "STATUS", network);
  await succeed(sandbox, "ADD", network, POD);
  const full = await call(sandbox, "STATUS", network);
  expect(full.document).toMatchObject({ code: 50, msg: "no free addresses in 10.90.0.0/30" });
  const nowhere = await call(sandbox, "STATUS", { ...network, dataDir: "/proc/none/store" });
  expect(nowhere.document).toMatchObject({ code: 50, msg: expect.stringContaining("/proc/none") });
});

describe("bad input is refused before anything is made:", () => {
  test.each<[string, string, Config, number, string]>([
    ["no ipam", "ADD", { ipam: undefined }, 7, '"ipam" is missing'],
    ["an empty ipam", "STATUS", { ipam: {} }, 7, '"ipam" is missing'],
    ["an ipam that is text", "ADD", { ipam: "x" }, 7, '"ipam" is "x"'],
    ["an ipam that is a list", "ADD", { ipam: [] }, 7, '"ipam" is []'],
    ["a type that is a path", "ADD", { ipam: { type: "../x" } }, 7, '"../x"'],
    ["a negative MTU", "ADD", { mtu: -1 }, 7, '"mtu" is -1'],
    ["an MTU beyond a veth's", "ADD", { mtu: 65_536 }, 7, '"mtu" is 65536'],
    ["half an MTU", "ADD", { mtu: 1400.5 }, 7, '"mtu" is 1400.5'],
    ["an MTU in quotes", "ADD", { mtu: "1400" }, 7, '"mtu" is "1400"'],
    ["a flag that is text", "ADD", { ipMasq: "yes" }, 7, '"ipMasq" is "yes"'],
    ["an unknown backend", "ADD", { ipMasqBackend: "ebtables" }, 7, '"ebtables"'],
    ["DNS that is text", "ADD", { dns: "10.1.0.1" }, 7, '"dns" is "10.1.0.1"'],
    ["a relative store", "ADD", { dataDir: "store" }, 7, '"dataDir" is "store"'],
    ["a MAC that is none", "ADD", { runtimeConfig: { mac: "0a:00" } }, 7, '"0a:00"'],
    ["a group's MAC", "ADD", { args: { cni: { mac: "ff:ff:ff:ff:ff:ff" } } }, 7, "ff:ff:ff:ff:ff:ff"],
    ["CHECK without a result", "CHECK", {}, 7, "Required prevResult missing"],
    ["CHECK of another's result", "CHECK", { prevResult: { interfaces: [] } }, 7, '"eth0"'],
    [
      "CHECK of a result without gateway",
      "CHECK",
      {
        prevResult: {
          interfaces: [{ name: "eth0", sandbox: "x" }],
          ips: [{ interface: 0, address: "10.90.0.2/24" }],
        },
      },
      7,
      "10.90.0.2/24 has no gateway",
    ],
    ["a bad list of attachments", "GC", { "cni.dev/valid-attachments": "all" }, 7, '"all"'],
  ])("%s", async (_, verb, more, code, message) => {
    await using sandbox = await host();
    const target = verb === "GC" || verb === "STATUS" ? undefined : POD;
    const answer = await call(sandbox, verb, { ...config(sandbox), ...more }, target);
    expect(answer.exitCode).toBe(1);
    expect(answer.document).toMatchObject({ code, msg: expect.stringContaining(message) });
    await nothingIsLeft(sandbox);
    expect(await seenLink(sandbox, "eth0", "pod1")).toBeUndefined();
  });
});

testWith(tools.referencePlugins)(
  "beside the reference plugin: the same links, addresses and routes",
  async () => {
    const reference = tools.referencePlugins.path ?? "";
    const states = await Promise.all(
      [reference, dirname(WARREN)].map(async (path) => {
        await using sandbox = await host();
        const ours = path !== reference;
        const network: Config = {
          cniVersion: "1.0.0",
          name: "lab",
          type: ours ? "warren-ptp" : "ptp",
          mtu: 1400,
          dns: { nameservers: ["192.0.2.53"] },
          ipam: {
            type: ours ? "warren-ipam" : "host-local",
            dataDir: `${sandbox.directory}/store`,
            ranges: DUAL.ranges,
            routes: [...DEFAULT_ROUTES.routes, { dst: "198.51.100.0/24" }],
          },
        };
        const { document } = await succeed(sandbox, "ADD", network, POD, path);
        const hostEnd: string = document.interfaces[0].name;
        const spelled = (lines: string[]) => lines.map((line) => line.replaceAll(hostEnd, "HOST"));
        const inside = await seenLink(sandbox, "eth0", "pod1");
        const outside = await seenLink(sandbox, hostEnd);
        const state = {
          interfaces: document.interfaces.map(({ name, sandbox: netns }: Record<string, string>) => ({
            name: name === hostEnd ? "HOST" : name,
            netns,
          })),
          rest: { ...document, interfaces: [] },
          links: [inside, outside].map((one) => [one?.mtu, one?.operstate, globalAddressesOf(one)]),
          pod: [await routesOf(sandbox, 4, "pod1"), await routesOf(sandbox, 6, "pod1")],
          host: [spelled(await routesOf(sandbox, 4)), spelled(await routesOf(sandbox, 6))],
        };
        await succeed(sandbox, "DEL", network, POD, path);
        expect(await linkNames(sandbox)).toEqual([]);
        return state;
      }),
    );
    const [theirs, ours] = states;
    expect(ours).toEqual(theirs);
  },
  30_000,
);
