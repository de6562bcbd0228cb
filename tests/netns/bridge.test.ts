// The plugin bridge on a real kernel: what ADD makes is witnessed by ip, bridge and nft, CHECK is shown to miss
// nothing, and DEL and GC to leave nothing. Host and pods are both throwaway namespaces.
import { describe, expect, test } from "bun:test";
import { type Answer, type Config, call, leases, linkNames, ruleset, succeed } from "../support/plugins.ts";
import { Sandbox } from "../support/sandbox.ts";
import { isSettled } from "../support/witness.ts";

const POD = { containerId: "pod-1", netns: "pod1" };
const OTHER = { containerId: "pod-2", netns: "pod2" };

interface Address {
  readonly family: string;
  readonly local: string;
  readonly prefixlen: number;
  readonly scope: string;
  readonly tentative?: boolean;
  readonly broadcast?: string;
}

interface Link {
  readonly ifindex: number;
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly master?: string;
  readonly ifalias?: string;
  readonly operstate: string;
  readonly flags: readonly string[];
  readonly promiscuity?: number;
  readonly addr_info: readonly Address[];
}

const host = () => Sandbox.withPods("pod1", "pod2");

function config(sandbox: Sandbox, more: Config = {}, ipam: Config = {}): Config {
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-bridge",
    bridge: "br0",
    ...more,
    ipam: { type: "warren-ipam", dataDir: `${sandbox.directory}/store`, subnet: "10.88.0.0/16", ...ipam },
  };
}

const DUAL = { ranges: [[{ subnet: "10.88.0.0/16" }], [{ subnet: "fd00:88::/64" }]], subnet: "" };

async function link(sandbox: Sandbox, name: string, netns?: string): Promise<Link | undefined> {
  const where = netns === undefined ? [] : ["ip", "netns", "exec", netns];
  const { exitCode, stdout } = await sandbox.run([
    ...where,
    "ip",
    "-json",
    "-details",
    "addr",
    "show",
    "dev",
    name,
  ]);
  return exitCode === 0 ? (JSON.parse(stdout) as Link[])[0] : undefined;
}

function globalAddresses(one: Link | undefined): string[] {
  return (one?.addr_info ?? [])
    .filter(({ scope }) => scope === "global")
    .map(({ local, prefixlen }) => `${local}/${prefixlen}`);
}

async function nothingIsLeft(sandbox: Sandbox, bridges: readonly string[] = ["br0"]): Promise<void> {
  expect(await linkNames(sandbox)).toEqual([...bridges]);
  expect(await ruleset(sandbox)).toBe("");
  expect(await leases(sandbox, `${sandbox.directory}/store`)).toEqual([]);
}

function withResult(one: Config, added: Answer): Config {
  return { ...one, prevResult: added.document };
}

describe("ADD", () => {
  test("makes all that the result says, in both families, and DEL takes all of it back", async () => {
    await using sandbox = await host();
    const network = config(
      sandbox,
      { isDefaultGateway: true, ipMasq: true, mtu: 1400 },
      {
        ...DUAL,
        routes: [
          { dst: "192.0.2.0/24", mtu: 1300, priority: 7 },
          { dst: "198.51.100.0/24", gw: "10.88.9.9" },
        ],
      },
    );
    const { document } = await succeed(sandbox, "ADD", network, POD);
    const [bridge, hostEnd, pod] = document.interfaces;
    expect(document.cniVersion).toBe("1.1.0");
    expect(pod).toEqual({ name: "eth0", mac: "0a:58:0a:58:00:02", mtu: 1400, sandbox: "/run/netns/pod1" });
    expect(document.ips).toEqual([
      { interface: 2, address: "10.88.0.2/16", gateway: "10.88.0.1" },
      { interface: 2, address: "fd00:88::2/64", gateway: "fd00:88::1" },
    ]);

    const inside = await link(sandbox, "eth0", "pod1");
    expect(globalAddresses(inside)).toEqual(["10.88.0.2/16", "fd00:88::2/64"]);
    expect(inside?.addr_info.find(({ family }) => family === "inet")?.broadcast).toBe("10.88.255.255");
    // an ADD pays no wait for duplicate address detection
    expect(await isSettled(sandbox, "eth0", "pod1")).toBe(true);
    expect(inside).toMatchObject({ address: pod.mac, mtu: 1400, operstate: "UP" });
    const device = await link(sandbox, "br0");
    expect(globalAddresses(device)).toEqual(["10.88.0.1/16", "fd00:88::1/64"]);
    expect(device).toMatchObject({ address: bridge.mac, mtu: bridge.mtu, operstate: "UP" });
    // a port has no address of its own: the kernel would wait for it when the port goes
    expect((await link(sandbox, hostEnd.name))?.addr_info).toEqual([]);
    expect(await link(sandbox, hostEnd.name)).toMatchObject({
      address: hostEnd.mac,
      mtu: 1400,
      master: "br0",
      ifalias: "warren lab pod-1 eth0",
      operstate: "UP",
    });

    const routes = (await sandbox.json(["ip", "-json", "-netns", "pod1", "route"])) as Record<
      string,
      unknown
    >[];
    expect(routes).toContainEqual(
      expect.objectContaining({ dst: "default", gateway: "10.88.0.1", dev: "eth0" }),
    );
    expect(routes).toContainEqual(
      expect.objectContaining({
        dst: "192.0.2.0/24",
        gateway: "10.88.0.1",
        metric: 7,
        metrics: [{ mtu: 1300 }],
      }),
    );
    expect(routes).toContainEqual(expect.objectContaining({ dst: "198.51.100.0/24", gateway: "10.88.9.9" }));
    const routes6 = await sandbox.json(["ip", "-json", "-6", "-netns", "pod1", "route"]);
    expect(routes6).toContainEqual(
      expect.objectContaining({ dst: "default", gateway: "fd00:88::1", dev: "eth0" }),
    );

    for (const [setting, value] of [
      ["net.ipv4.ip_forward", "1"],
      ["net.ipv6.conf.all.forwarding", "1"],
    ]) {
      expect((await sandbox.text(["sysctl", "-n", setting ?? ""])).trim()).toBe(value ?? "");
    }
    const inPod = await sandbox.inNetns("pod1", [
      "sysctl",
      "-n",
      "net.ipv4.conf.eth0.arp_notify",
      "net.ipv6.conf.eth0.accept_dad",
    ]);
    expect(inPod.stdout).toBe("1\n0\n");

    const rules = await ruleset(sandbox);
    expect(rules).toContain(
      "ip saddr 10.88.0.0/16 ip daddr != 10.88.0.0/16 ip daddr != 224.0.0.0/4 masquerade",
    );
    expect(rules).toContain(
      "ip6 saddr fd00:88::/64 ip6 daddr != fd00:88::/64 ip6 daddr != ff00::/8 masquerade",
    );

    await succeed(sandbox, "CHECK", { ...network, prevResult: document }, POD);
    await succeed(sandbox, "DEL", network, POD);
    expect(await link(sandbox, "eth0", "pod1")).toBeUndefined();
    await nothingIsLeft(sandbox);
  });

  test("a second ADD of the same attachment is refused by name and changes nothing (S0-13)", async () => {
    await using sandbox = await host();
    const network = config(sandbox, { isGateway: true, ipMasq: true });
    const first = await succeed(sandbox, "ADD", network, POD);
    const again = await call(sandbox, "ADD", network, POD);
    expect(again.exitCode).toBe(1);
    expect(again.document).toMatchObject({
      code: 102,
      msg: 'container interface "eth0" already exists in /run/netns/pod1',
    });
    expect(await leases(sandbox, `${sandbox.directory}/store`)).toHaveLength(1);
    await succeed(sandbox, "CHECK", withResult(network, first), POD);
  });

  test("S0-27 two interfaces of one container on one network and in both families", async () => {
    await using sandbox = await host();
    const network = config(sandbox, { ipMasq: true }, DUAL);
    await succeed(sandbox, "ADD", network, POD);
    await succeed(sandbox, "ADD", network, { ...POD, ifname: "net1" });
    expect(globalAddresses(await link(sandbox, "eth0", "pod1"))).toEqual(["10.88.0.2/16", "fd00:88::2/64"]);
    expect(globalAddresses(await link(sandbox, "net1", "pod1"))).toEqual(["10.88.0.3/16", "fd00:88::3/64"]);
    expect(await leases(sandbox, `${sandbox.directory}/store`)).toHaveLength(4);
    await succeed(sandbox, "DEL", network, POD);
    // the masquerade of a network goes with its last attachment, and not before
    expect(await ruleset(sandbox)).toContain("ip saddr 10.88.0.0/16");
    expect(await link(sandbox, "net1", "pod1")).toBeDefined();
    await succeed(sandbox, "DEL", network, { ...POD, ifname: "net1" });
    await nothingIsLeft(sandbox);
  });

  test("without ipam a pod is on the bridge with no address, and CHECK passes", async () => {
    await using sandbox = await host();
    const network: Config = {
      cniVersion: "1.1.0",
      name: "lab",
      type: "warren-bridge",
      bridge: "br0",
      dataDir: `${sandbox.directory}/store`,
    };
    await succeed(sandbox, "STATUS", network);
    const added = await succeed(sandbox, "ADD", network, POD);
    expect(added.document.ips).toBeUndefined();
    expect(added.document.interfaces).toHaveLength(3);
    const inside = await link(sandbox, "eth0", "pod1");
    expect(inside?.operstate).toBe("UP");
    expect(globalAddresses(inside)).toEqual([]);
    await succeed(sandbox, "CHECK", withResult(network, added), POD);
    await succeed(sandbox, "GC", { ...network, "cni.dev/valid-attachments": [] });
    await nothingIsLeft(sandbox);
  });

  test("disableContainerInterface leaves the pod's end down", async () => {
    await using sandbox = await host();
    const network: Config = {
      cniVersion: "1.1.0",
      name: "lab",
      type: "warren-bridge",
      bridge: "br0",
      dataDir: `${sandbox.directory}/store`,
      disableContainerInterface: true,
    };
    const added = await succeed(sandbox, "ADD", network, POD);
    expect((await link(sandbox, "eth0", "pod1"))?.flags).not.toContain("UP");
    await succeed(sandbox, "CHECK", withResult(network, added), POD);
  });

  test("port settings reach the bridge: hairpin, isolation, promiscuous mode", async () => {
    await using sandbox = await host();
    const port = async (answer: Answer) => {
      const name: string = answer.document.interfaces[1].name;
      return (
        (await sandbox.json(["bridge", "-json", "-details", "link", "show", "dev", name])) as Record<
          string,
          unknown
        >[]
      )[0];
    };
    const plain = await succeed(sandbox, "ADD", config(sandbox), {
      containerId: "plain",
      netns: "pod1",
      ifname: "a",
    });
    expect(await port(plain)).toMatchObject({ hairpin: false, isolated: false, state: "forwarding" });
    const hairpin = config(sandbox, { hairpinMode: true });
    const added = await succeed(sandbox, "ADD", hairpin, {
      containerId: "hairpin",
      netns: "pod1",
      ifname: "b",
    });
    expect(await port(added)).toMatchObject({ hairpin: true, isolated: false });
    await succeed(sandbox, "CHECK", withResult(hairpin, added), {
      containerId: "hairpin",
      netns: "pod1",
      ifname: "b",
    });
    const isolated = await succeed(sandbox, "ADD", config(sandbox, { portIsolation: true }), {
      containerId: "isolated",
      netns: "pod1",
      ifname: "c",
    });
    expect(await port(isolated)).toMatchObject({ hairpin: false, isolated: true });
    expect((await link(sandbox, "br0"))?.promiscuity).toBe(0);
    await succeed(sandbox, "ADD", config(sandbox, { promiscMode: true }), {
      containerId: "promisc",
      netns: "pod1",
      ifname: "d",
    });
    expect((await link(sandbox, "br0"))?.promiscuity).toBe(1);
    expect((await link(sandbox, "br0"))?.flags).toContain("PROMISC");
  });

  test.each([
    ["CNI_ARGS", {}, "MAC=02:00:00:00:00:01", "02:00:00:00:00:01"],
    [
      "args.cni over CNI_ARGS",
      { args: { cni: { mac: "02:00:00:00:00:02" } } },
      "MAC=02:00:00:00:00:01",
      "02:00:00:00:00:02",
    ],
    [
      "runtimeConfig over both",
      { args: { cni: { mac: "02:00:00:00:00:02" } }, runtimeConfig: { mac: "02-00-00-00-00-0A" } },
      "MAC=02:00:00:00:00:01",
      "02:00:00:00:00:0a",
    ],
  ])("the hardware address comes from %s", async (_, more, args, expected) => {
    await using sandbox = await host();
    const added = await succeed(sandbox, "ADD", config(sandbox, more), { ...POD, args });
    expect(added.document.interfaces[2].mac).toBe(expected);
    expect((await link(sandbox, "eth0", "pod1"))?.address).toBe(expected);
  });

  test("a gateway that conflicts with the bridge's address is refused, or replaced by forceAddress", async () => {
    await using sandbox = await host();
    await sandbox.text(["ip", "link", "add", "br0", "type", "bridge"]);
    await sandbox.text(["ip", "addr", "add", "172.16.0.1/24", "dev", "br0"]);
    const refused = await call(sandbox, "ADD", config(sandbox, { isGateway: true }), POD);
    expect(refused.document).toMatchObject({
      code: 102,
      msg: '"br0" already has an IP address different from 10.88.0.1/16',
      details: expect.stringContaining("172.16.0.1/24"),
    });
    await nothingIsLeft(sandbox);
    await succeed(sandbox, "ADD", config(sandbox, { isGateway: true, forceAddress: true }), POD);
    expect(globalAddresses(await link(sandbox, "br0"))).toEqual(["10.88.0.1/16"]);
  });

  test("enabledad asks the network first, and refuses an address that a neighbour has", async () => {
    await using sandbox = await host();
    const network = config(sandbox, { enabledad: true }, { ...DUAL, ranges: [[{ subnet: "fd00:88::/64" }]] });
    await succeed(sandbox, "ADD", network, POD);
    const inside = await link(sandbox, "eth0", "pod1");
    expect(inside?.addr_info.some(({ tentative }) => tentative === true)).toBe(false);
    expect(globalAddresses(inside)).toEqual(["fd00:88::2/64"]);
    // a neighbour takes what the pool gives next
    await sandbox.text(["ip", "-netns", "pod1", "addr", "add", "fd00:88::3/64", "dev", "eth0", "nodad"]);
    const refused = await call(sandbox, "ADD", network, OTHER);
    expect(refused.exitCode).toBe(1);
    expect(refused.document.msg).toContain("fd00:88::3/64");
    expect(await leases(sandbox, `${sandbox.directory}/store`)).toHaveLength(1);
    expect(await link(sandbox, "eth0", "pod2")).toBeUndefined();
  }, 30_000);

  test("dns of the config replaces that of the IPAM plugin; the shape follows the config's version", async () => {
    await using sandbox = await host();
    await Bun.write(
      `${sandbox.directory}/resolv.conf`,
      "nameserver 192.0.2.53\nsearch a.example b.example\noptions ndots:2\n",
    );
    const resolver = { resolvConf: `${sandbox.directory}/resolv.conf` };
    const own = await succeed(sandbox, "ADD", config(sandbox, {}, resolver), POD);
    expect(own.document.dns).toEqual({
      nameservers: ["192.0.2.53"],
      search: ["a.example", "b.example"],
      options: ["ndots:2"],
    });
    const old = await succeed(
      sandbox,
      "ADD",
      { ...config(sandbox, { dns: { nameservers: ["192.0.2.1"] } }, resolver), cniVersion: "0.2.0" },
      OTHER,
    );
    expect(old.document).toEqual({
      cniVersion: "0.2.0",
      ip4: { ip: "10.88.0.3/16", gateway: "10.88.0.1" },
      dns: { nameservers: ["192.0.2.1"] },
    });
  });

  test.each([
    ["warren-bridge", {}],
    ["warren-ptp", {}],
    ["warren-macvlan", { master: "card" }],
  ])("capability dns of %s replaces servers and search domains, and nothing else", async (type, more) => {
    await using sandbox = await host();
    await sandbox.text(["ip", "link", "add", "card", "up", "type", "veth", "peer", "wire"]);
    const own = { nameservers: ["192.0.2.1"], search: ["a.example"], options: ["ndots:2"] };
    const network = { ...config(sandbox, { type, ...more }), dns: own };
    const asked = { dns: { servers: ["192.0.2.53", "192.0.2.54"], searches: ["b.example"] } };
    const both = await succeed(sandbox, "ADD", { ...network, runtimeConfig: asked }, POD);
    expect(both.document.dns).toEqual({
      nameservers: ["192.0.2.53", "192.0.2.54"],
      search: ["b.example"],
      options: ["ndots:2"],
    });
    const searches = { dns: { servers: [], searches: ["b.example"] } };
    const one = await succeed(sandbox, "ADD", { ...network, runtimeConfig: searches }, OTHER);
    expect(one.document.dns).toEqual({ ...own, search: ["b.example"] });
    await succeed(sandbox, "CHECK", { ...network, prevResult: one.document }, OTHER);
    const wrong = { dns: { servers: "192.0.2.53" } };
    const refused = await call(sandbox, "ADD", { ...network, runtimeConfig: wrong }, POD);
    expect(refused.document).toMatchObject({
      code: 7,
      msg: expect.stringContaining("runtimeConfig.dns.servers"),
    });
  });
});

describe("a failing ADD", () => {
  test.each([
    ["the bridge's name is another interface's", { bridge: "other" }, {}, 102],
    ["the kernel refuses the MTU", { mtu: 50 }, {}, 104],
    ["the kernel refuses a route", {}, { routes: [{ dst: "192.0.2.0/24", gw: "203.0.113.1" }] }, 104],
    ["the pool has no such address", { runtimeConfig: { ips: ["10.99.0.1"] } }, {}, 7],
    ["the IPAM plugin is missing", {}, { type: "nobody" }, 106],
  ])("X-08 leaves nothing behind when %s", async (_, more, ipam, code) => {
    await using sandbox = await host();
    await sandbox.text(["ip", "link", "add", "other", "type", "ifb"]);
    const before = await linkNames(sandbox);
    const answer = await call(
      sandbox,
      "ADD",
      config(sandbox, { ipMasq: true, isGateway: true, ...more }, ipam),
      POD,
    );
    expect(answer.exitCode).toBe(1);
    expect(answer.document).toMatchObject({ code });
    expect(await link(sandbox, "eth0", "pod1")).toBeUndefined();
    expect((await linkNames(sandbox)).filter((name) => name !== "br0")).toEqual(before);
    expect(await ruleset(sandbox)).toBe("");
    expect(await leases(sandbox, `${sandbox.directory}/store`)).toEqual([]);
    // and the same attachment can be made when the cause is gone
    await succeed(sandbox, "ADD", config(sandbox, { ipMasq: true }), POD);
  });
});

describe("CHECK", () => {
  const SABOTAGE: readonly (readonly [what: string, command: (hostEnd: string) => string[], says: string])[] =
    [
      ["the bridge is gone", () => ["ip", "link", "del", "br0"], "bridge br0 is gone"],
      ["the bridge is down", () => ["ip", "link", "set", "br0", "down"], "bridge br0 is down"],
      [
        "the bridge lost the gateway",
        () => ["ip", "addr", "del", "10.88.0.1/16", "dev", "br0"],
        "lacks the gateway address 10.88.0.1/16",
      ],
      ["the host does not forward", () => ["sysctl", "-w", "net.ipv4.ip_forward=0"], "does not forward IPv4"],
      [
        "the host's end left the bridge",
        (end) => ["ip", "link", "set", end, "nomaster"],
        "no port of bridge br0",
      ],
      ["the host's end is down", (end) => ["ip", "link", "set", end, "down"], "is down"],
      ["the pair is gone", (end) => ["ip", "link", "del", end], "interface eth0 is gone"],
      [
        "hairpin mode is off",
        (end) => ["bridge", "link", "set", "dev", end, "hairpin", "off"],
        "hairpin mode",
      ],
      [
        "the port is isolated",
        (end) => ["bridge", "link", "set", "dev", end, "isolated", "on"],
        "isolation of port",
      ],
      ["the MTU differs", (end) => ["ip", "link", "set", end, "mtu", "1000"], "MTU 1000"],
      [
        "the hardware address differs",
        () => ["ip", "-netns", "pod1", "link", "set", "eth0", "address", "02:00:00:00:00:09"],
        "02:00:00:00:00:09",
      ],
      ["the pod's end is down", () => ["ip", "-netns", "pod1", "link", "set", "eth0", "down"], "is down"],
      [
        "the address is gone",
        () => ["ip", "-netns", "pod1", "addr", "del", "10.88.0.2/16", "dev", "eth0"],
        "lacks the address 10.88.0.2/16",
      ],
      [
        "a route is gone",
        () => ["ip", "-netns", "pod1", "route", "del", "default"],
        "lacks the route to 0.0.0.0/0",
      ],
      [
        "masquerade is gone",
        () => ["nft", "flush", "table", "inet", "warren"],
        "10.88.0.0/16 is not masqueraded",
      ],
    ];

  test("S0-18 passes after ADD and fails, naming it, for each thing that is gone", async () => {
    await Promise.all(
      SABOTAGE.map(async ([what, command, says]) => {
        await using sandbox = await host();
        const network = config(sandbox, {
          isDefaultGateway: true,
          ipMasq: true,
          hairpinMode: true,
          mtu: 1400,
        });
        const added = await succeed(sandbox, "ADD", network, POD);
        const checked = withResult(network, added);
        await succeed(sandbox, "CHECK", checked, POD);
        await sandbox.text(command(added.document.interfaces[1].name));
        const answer = await call(sandbox, "CHECK", checked, POD);
        expect({ what, code: answer.document?.code, msg: answer.document?.msg }).toEqual({
          what,
          code: 103,
          msg: expect.stringContaining(says),
        });
        // whatever is broken, DEL still gives everything back
        await succeed(sandbox, "DEL", network, POD);
        expect(await leases(sandbox, `${sandbox.directory}/store`)).toEqual([]);
      }),
    );
  }, 60_000);

  test("S0-18 fails when the lease is somebody else's", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    const added = await succeed(sandbox, "ADD", network, POD);
    const result = { ...added.document, ips: [{ interface: 2, address: "10.88.0.77/16" }] };
    await sandbox.text(["ip", "-netns", "pod1", "addr", "add", "10.88.0.77/16", "dev", "eth0"]);
    const answer = await call(sandbox, "CHECK", { ...network, prevResult: result }, POD);
    expect(answer.document).toMatchObject({ code: 103, msg: expect.stringContaining("10.88.0.2/16") });
  });
});

describe("DEL", () => {
  test("S0-17 works with the namespace gone, with none given, without a result, and again", async () => {
    await using sandbox = await host();
    const network = config(sandbox, { ipMasq: true, isGateway: true }, DUAL);
    for (const netns of ["/run/netns/gone", ""]) {
      await sandbox.addNetns("gone");
      await succeed(sandbox, "ADD", network, { ...POD, netns: "gone" });
      await sandbox.text(["ip", "netns", "del", "gone"]);
      await succeed(sandbox, "DEL", network, { ...POD, netns });
      await nothingIsLeft(sandbox);
      const again = await succeed(sandbox, "DEL", network, { ...POD, netns });
      expect(again.stdout).toBe("");
    }
  });

  test("finds the host's end by the attachment alone when the store was lost", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    await succeed(sandbox, "ADD", network, POD);
    await sandbox.text(["rm", "-rf", `${sandbox.directory}/store`]);
    await succeed(sandbox, "DEL", network, POD);
    expect(await linkNames(sandbox)).toEqual(["br0"]);
  });

  test("a config that went bad after the ADD keeps nothing from being released", async () => {
    await using sandbox = await host();
    const network = config(sandbox, { ipMasq: true });
    await succeed(sandbox, "ADD", network, POD);
    await succeed(
      sandbox,
      "DEL",
      { ...network, mtu: "wide", ipam: { ...Object(network.ipam), subnet: "nonsense" } },
      POD,
    );
    await nothingIsLeft(sandbox);
  });
});

describe("GC", () => {
  const valid = (...ids: string[]): Config => ({
    "cni.dev/valid-attachments": ids.map((containerID) => ({ containerID, ifname: "eth0" })),
  });

  test("S0-19 S0-20 S0-24 keeps what is valid, takes the rest with links and rules, and no other network's", async () => {
    await using sandbox = await host();
    const network = config(sandbox, { ipMasq: true });
    const neighbour = {
      ...config(sandbox, { bridge: "br1", ipMasq: true }, { subnet: "10.99.0.0/16" }),
      name: "neighbour",
    };
    await succeed(sandbox, "ADD", network, POD);
    await succeed(sandbox, "ADD", network, OTHER);
    await succeed(sandbox, "ADD", neighbour, { ...POD, ifname: "net1" });

    const all = await succeed(sandbox, "GC", { ...network, ...valid("pod-1", "pod-2") });
    expect(all.stdout).toBe("");
    expect(await leases(sandbox, `${sandbox.directory}/store`)).toHaveLength(3);

    const one = await succeed(sandbox, "GC", { ...network, ...valid("pod-1") });
    expect(one.stderr).toContain("pod-2");
    expect(one.stderr).not.toContain("pod-1");
    expect(await link(sandbox, "eth0", "pod2")).toBeUndefined();
    expect(await link(sandbox, "eth0", "pod1")).toBeDefined();

    await succeed(sandbox, "GC", { ...network, ...valid() });
    expect(await link(sandbox, "eth0", "pod1")).toBeUndefined();
    expect(await link(sandbox, "net1", "pod1")).toBeDefined();
    expect(await ruleset(sandbox)).not.toContain("10.88.0.0/16");
    expect(await ruleset(sandbox)).toContain("10.99.0.0/16");
    expect((await leases(sandbox, `${sandbox.directory}/store`)).map(({ network: name }) => name)).toEqual([
      "neighbour",
    ]);
  });

  test("S0-24 finds links and rules that a lost store forgot by their tags", async () => {
    await using sandbox = await host();
    const network = config(sandbox, { ipMasq: true });
    await succeed(sandbox, "ADD", network, POD);
    await succeed(sandbox, "ADD", network, OTHER);
    await sandbox.text(["rm", "-rf", `${sandbox.directory}/store`]);
    await succeed(sandbox, "GC", { ...network, ...valid("pod-2") });
    expect(await link(sandbox, "eth0", "pod1")).toBeUndefined();
    expect(await link(sandbox, "eth0", "pod2")).toBeDefined();
    await succeed(sandbox, "GC", { ...network, ...valid() });
    await nothingIsLeft(sandbox);
  });

  test("S0-23 goes on past an item that fails, removes the rest, and names the failure", async () => {
    await using sandbox = await host();
    const network = config(sandbox, { ipMasq: true });
    await succeed(sandbox, "ADD", network, POD);
    await succeed(sandbox, "ADD", network, OTHER);
    // a link that no kernel removes
    const { Database } = await import("bun:sqlite");
    const database = new Database(`${sandbox.directory}/store/warren.db`);
    database.run("UPDATE objects SET name = 'lo' WHERE kind = 'link' AND container_id = 'pod-1'");
    database.close();
    const answer = await call(sandbox, "GC", { ...network, ...valid() });
    expect(answer.exitCode).toBe(1);
    expect(answer.document.msg).toContain("delete lo: EOPNOTSUPP");
    expect(await link(sandbox, "eth0", "pod2")).toBeUndefined();
    expect(await leases(sandbox, `${sandbox.directory}/store`)).toEqual([]);
    expect(await link(sandbox, "lo")).toBeDefined();
  });

  test("S0-21 without a list nothing is collected, and one line says so for each plugin", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    await succeed(sandbox, "ADD", network, POD);
    const answer = await succeed(sandbox, "GC", network);
    expect(answer.stdout).toBe("");
    expect(answer.stderr).toContain(
      "no list of valid attachments came for network lab: nothing is collected",
    );
    expect(await link(sandbox, "eth0", "pod1")).toBeDefined();
  });

  test("many stale attachments go at once", async () => {
    await using sandbox = await host();
    const network = config(sandbox, { ipMasq: true });
    const ids = Array.from({ length: 20 }, (_, index) => `many-${index}`);
    for (const [index, containerId] of ids.entries()) {
      await succeed(sandbox, "ADD", network, { containerId, netns: "pod1", ifname: `net${index}` });
    }
    await succeed(sandbox, "GC", { ...network, ...valid() });
    await nothingIsLeft(sandbox);
  });
});

describe("STATUS", () => {
  test("S0-07 passes the IPAM plugin's code through, and is ready without one", async () => {
    await using sandbox = await host();
    const network = config(sandbox, {}, { subnet: "10.88.0.0/30" });
    await succeed(sandbox, "STATUS", network);
    await succeed(sandbox, "ADD", network, POD);
    const full = await call(sandbox, "STATUS", network);
    expect(full.exitCode).toBe(1);
    expect(full.document).toMatchObject({ code: 50, msg: "no free addresses in 10.88.0.0/30" });
    await succeed(sandbox, "STATUS", { ...network, ipam: {}, dataDir: `${sandbox.directory}/store` });
  });

  test("S0-08 is 51 when the bridge of living pods is gone", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    await succeed(sandbox, "ADD", network, POD);
    await sandbox.text(["ip", "link", "del", "br0"]);
    const answer = await call(sandbox, "STATUS", network);
    expect(answer.document).toMatchObject({ code: 51, msg: expect.stringContaining("bridge br0 is gone") });
  });

  test("S0-08 is not 51 while a first ADD is written down and has not made the bridge yet", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    await succeed(sandbox, "ADD", network, POD);
    // what the store has at that moment, and the kernel has not
    const [, pair = ""] =
      (await sandbox.text(["ip", "-br", "link", "show", "master", "br0"])).match(/^([^@]+)@/) ?? [];
    await sandbox.text(["ip", "link", "del", pair]);
    await sandbox.text(["ip", "link", "del", "br0"]);
    await succeed(sandbox, "STATUS", network);
  });
});

describe("boots", () => {
  test("leases of an earlier boot whose namespace is gone are reclaimed when the pool is used up", async () => {
    await using sandbox = await host();
    const network = config(sandbox, {}, { subnet: "10.88.0.0/30" });
    await sandbox.addNetns("gone");
    await succeed(sandbox, "ADD", network, { containerId: "before", netns: "gone" });
    await sandbox.text(["ip", "netns", "del", "gone"]);
    expect((await call(sandbox, "ADD", network, POD)).document).toMatchObject({ code: 101 });
    const { Database } = await import("bun:sqlite");
    const database = new Database(`${sandbox.directory}/store/warren.db`);
    database.run("UPDATE leases SET boot_id = 'an earlier one'");
    database.close();
    await succeed(sandbox, "STATUS", network);
    const added = await succeed(sandbox, "ADD", network, POD);
    expect(added.document.ips[0].address).toBe("10.88.0.2/30");
    expect((await leases(sandbox, `${sandbox.directory}/store`)).map(({ container }) => container)).toEqual([
      "pod-1",
    ]);
  });
});

describe("the protocol's edges", () => {
  test("X-10 the plugin's own namespace is refused before anything is done, unless it is meant", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    const own = { containerId: "own", netns: "/proc/self/ns/net" };
    const refused = await call(sandbox, "ADD", network, own);
    expect(refused.document).toMatchObject({
      code: 8,
      msg: "plugin's netns and netns from CNI_NETNS should not be the same",
    });
    expect(await linkNames(sandbox)).toEqual([]);
  });

  test("X-12 whatever step a SIGKILL hits, DEL and GC leave nothing", async () => {
    await using sandbox = await host();
    const network = config(sandbox, { ipMasq: true, isGateway: true });
    for (let delayMs = 3; delayMs < 15; delayMs++) {
      const containerId = `killed-${delayMs}`;
      await sandbox.run(
        ["timeout", "--signal=KILL", `${delayMs / 1000}`, `${process.cwd()}/dist/bin/warren-bridge`],
        {
          env: {
            CNI_COMMAND: "ADD",
            CNI_PATH: `${process.cwd()}/dist/bin`,
            CNI_CONTAINERID: containerId,
            CNI_NETNS: "/run/netns/pod1",
            CNI_IFNAME: "eth0",
          },
          stdin: JSON.stringify(network),
        },
      );
      if (delayMs % 2 === 0) await succeed(sandbox, "DEL", network, { containerId, netns: "pod1" });
      else await succeed(sandbox, "GC", { ...network, "cni.dev/valid-attachments": [] });
      expect((await linkNames(sandbox)).filter((name) => name !== "br0")).toEqual([]);
      expect(await ruleset(sandbox)).toBe("");
      expect(await leases(sandbox, `${sandbox.directory}/store`)).toEqual([]);
      expect(await link(sandbox, "eth0", "pod1")).toBeUndefined();
    }
  }, 60_000);
});
