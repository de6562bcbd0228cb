// netlink/ against the real kernel, with ip, bridge and nft as witnesses. The tests run in a second `bun test` of
// this same file, started by unshare in a network and mount namespace of its own, so that nothing here can touch
// the machine's own, and everything is gone when that process ends, however it ends.
import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { readlinkSync } from "node:fs";
import { addAddress, deleteAddress, dumpAddresses } from "../../src/netlink/address.ts";
import { setBridgePort } from "../../src/netlink/bridge-port.ts";
import { masquerade, verdict } from "../../src/netlink/expression.ts";
import {
  createLink,
  deleteLink,
  deleteLinkGroup,
  dumpLinks,
  getLink,
  setLink,
  veth,
} from "../../src/netlink/link.ts";
import { MacvlanMode } from "../../src/netlink/link-message.ts";
import {
  connectionState,
  destinationIn,
  inputInterface,
  packetFamily,
  sourceIn,
} from "../../src/netlink/match.ts";
import { ignoring, isNetlinkError } from "../../src/netlink/message.ts";
import {
  addRule,
  createChain,
  createTable,
  deleteChain,
  deleteTable,
  dumpChains,
  dumpRules,
  flushChain,
  getChain,
  getGeneration,
  Priority,
} from "../../src/netlink/nftables.ts";
import {
  addElements,
  concatenated,
  createSet,
  deleteElements,
  dumpElements,
} from "../../src/netlink/nftables-set.ts";
import { addRoute, deleteRoute, dumpRoutes } from "../../src/netlink/route.ts";
import { NetlinkSocket } from "../../src/netlink/socket.ts";
import { OpenFlag, openFile } from "../../src/sys/files.ts";
import { libc, retried } from "../../src/sys/libc.ts";

const CLONE_NEWNET = 0x40000000;
const OUTSIDE = process.env.WARREN_TEST_OUTSIDE_NETNS;

function run(...command: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { stdout: "pipe", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  return stdout.toString();
}

if (OUTSIDE === undefined) {
  test("netlink against the real kernel, in namespaces of its own", () => {
    // The settings for all tests are left out: what they prepare is not needed here.
    const bun = [process.execPath, "--config=/dev/null", "test", import.meta.path];
    const command = ["unshare", "--net", "--mount", ...bun];
    const { exitCode, stdout, stderr } = Bun.spawnSync(command, {
      env: { ...process.env, WARREN_TEST_OUTSIDE_NETNS: readlinkSync("/proc/self/ns/net") },
      stdout: "pipe",
      stderr: "pipe",
    });
    if (exitCode !== 0) throw new Error(`${stdout.toString()}${stderr.toString()}`);
  }, 60_000);
} else {
  // Before anything else: this process must not be in the namespace that started it.
  if (readlinkSync("/proc/thread-self/ns/net") === OUTSIDE) throw new Error("not in a namespace of its own");
  kernelTests();
}

function kernelTests(): void {
  const WARREN = { family: "inet", name: "warren" } as const;

  function json<T>(...command: string[]): T {
    return JSON.parse(run(...command)) as T;
  }

  interface ShownLink {
    ifname: string;
    ifindex: number;
    link_index?: number;
    flags: string[];
    mtu: number;
    master?: string;
    address: string;
    group: string;
    ifalias?: string;
    txqlen: number;
  }

  function shownLink(name: string, ...namespace: string[]): ShownLink | undefined {
    return json<ShownLink[]>("ip", ...namespace, "-d", "-j", "link", "show", "dev", name)[0];
  }

  /** Opens a socket in the namespace called pod, and comes back. */
  function openInPod(): NetlinkSocket {
    using own = openFile("/proc/thread-self/ns/net", OpenFlag.readOnly);
    using pod = openFile("/run/netns/pod", OpenFlag.readOnly);
    retried("enter pod", () => libc.setns(pod.fd, CLONE_NEWNET));
    try {
      return NetlinkSocket.open("route");
    } finally {
      retried("leave pod", () => libc.setns(own.fd, CLONE_NEWNET));
    }
  }

  function ipv4(...octets: number[]): Uint8Array {
    return Uint8Array.from(octets);
  }

  function ipv6(last: number): Uint8Array {
    return Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last);
  }

  let socket: NetlinkSocket;
  let firewall: NetlinkSocket;

  beforeAll(() => {
    // The mount namespace is ours too, so /run/netns can be without anybody else seeing it.
    run("mount", "-t", "tmpfs", "tmpfs", "/run");
    run("ip", "netns", "add", "pod");
    run("ip", "link", "set", "lo", "up");
    socket = NetlinkSocket.open("route");
    firewall = NetlinkSocket.open("netfilter");
  });

  afterEach(() => {
    for (const link of socket.dump(dumpLinks())) {
      if (link.kind !== "") socket.attempt([deleteLink(link.index)]);
    }
    firewall.transaction([createTable(WARREN), deleteTable(WARREN)]);
  });

  /** Makes br0 with the address 10.1.0.1/24 and returns its index. */
  function bridge(): number {
    const [created] = socket.execute([createLink("br0", { kind: "bridge" }, { up: true })]);
    const index = created.replies[0]?.index ?? socket.get(getLink("br0"))?.index ?? 0;
    socket.execute([addAddress({ index, address: ipv4(10, 1, 0, 1), prefixLength: 24 })]);
    return index;
  }

  describe("links", () => {
    test("a veth pair is born in one message: host end up in its bridge, peer in the pod", () => {
      const master = bridge();
      using pod = openFile("/run/netns/pod", OpenFlag.readOnly);
      const peer = { name: "eth0", address: "02:00:00:00:00:03", mtu: 1400, netNamespaceFd: pod.fd };
      socket.execute([
        createLink("veth0", veth(peer), { address: "02:00:00:00:00:02", mtu: 1400, master, up: true }),
      ]);
      const host = shownLink("veth0");
      const inside = shownLink("eth0", "-n", "pod");
      expect(host).toMatchObject({ address: "02:00:00:00:00:02", mtu: 1400, master: "br0" });
      expect(host?.flags).toContain("UP");
      expect(inside).toMatchObject({ address: "02:00:00:00:00:03", mtu: 1400 });
      expect(inside?.flags).not.toContain("UP");

      const link = socket.get(getLink("veth0"));
      expect(link).toMatchObject({
        index: host?.ifindex,
        name: "veth0",
        kind: "veth",
        up: true,
        master,
        mtu: 1400,
        peerIndex: inside?.ifindex,
        port: { hairpin: false, isolated: false },
      });
      expect(link?.peerNamespaceId).toBeNumber();

      using podSocket = openInPod();
      podSocket.execute([setLink("lo", { up: true }), setLink("eth0", { up: true })]);
      expect(shownLink("eth0", "-n", "pod")?.flags).toContain("UP");
      expect(socket.get(getLink("veth0"))).toMatchObject({ operState: "up" });
    });

    test("a peer can't be born up, and nothing is left of the pair", () => {
      const device = veth({ name: "eth0" });
      if (device.kind !== "veth" || device.data?.peer === undefined) throw new Error("not a veth");
      const { peer } = device.data;
      const up = {
        kind: "veth",
        data: { peer: { ...peer, header: { ...peer.header, flags: 1, change: 1 } } },
      } as const;
      const [outcome] = socket.attempt([createLink("veth0", up)]);
      expect(outcome.error?.errnoName).toBe("ENOTCONN");
      expect(socket.get(getLink("veth0"))).toBeUndefined();
      expect(socket.get(getLink("eth0"))).toBeUndefined();
    });

    test("settings arrive as ip shows them, and come back", () => {
      socket.execute([createLink("veth0", veth({ name: "veth1" }))]);
      const index = socket.get(getLink("veth0"))?.index ?? 0;
      const alias = "é".repeat(127);
      socket.execute([
        setLink(index, { alias, group: 77, mtu: 1300, txQueueLength: 50, promiscuous: true }),
        setLink(index, { name: "renamed", up: true }),
        setLink("veth1", { address: "02:00:00:00:00:09" }),
      ]);
      const shown = shownLink("renamed");
      expect(shown).toMatchObject({ ifindex: index, ifalias: alias, group: "77", mtu: 1300, txqlen: 50 });
      expect(shown?.flags).toEqual(expect.arrayContaining(["UP", "PROMISC"]));
      expect(socket.get(getLink(index))).toMatchObject({
        name: "renamed",
        alias,
        group: 77,
        promiscuous: true,
        txQueueLength: 50,
      });
      expect(socket.get(getLink("veth1"))?.address).toBe("02:00:00:00:00:09");
      socket.execute([setLink(index, { promiscuous: false, up: false, alias: "" })]);
      expect(socket.get(getLink(index))).toMatchObject({ promiscuous: false, up: false, alias: "" });
    });

    test("bridge ports take hairpin and isolated, and master 0 lets them go", () => {
      const master = bridge();
      socket.execute([createLink("veth0", veth({ name: "veth1" }), { master })]);
      const index = socket.get(getLink("veth0"))?.index ?? 0;
      socket.execute([setBridgePort(index, { hairpin: true, isolated: true })]);
      const [shown] = json<{ hairpin: boolean; isolated: boolean }[]>(
        "bridge",
        "-d",
        "-j",
        "link",
        "show",
        "dev",
        "veth0",
      );
      expect(shown).toMatchObject({ hairpin: true, isolated: true });
      expect(socket.get(getLink("veth0"))?.port).toMatchObject({ hairpin: true, isolated: true });
      expect(socket.dump(dumpLinks({ master, kind: "veth" })).map(({ name }) => name)).toEqual(["veth0"]);
      expect(socket.dump(dumpLinks({ kind: "bridge" })).map(({ name }) => name)).toEqual(["br0"]);
      socket.execute([setLink(index, { master: 0 })]);
      expect(shownLink("veth0")?.master).toBeUndefined();
    });

    test("other kinds come back as they were made", () => {
      socket.execute([createLink("veth0", veth({ name: "veth1" }))]);
      const parent = socket.get(getLink("veth0"))?.index ?? 0;
      expect(parent).toBe(shownLink("veth0")?.ifindex ?? -1);
      const remote = ipv4(10, 0, 0, 2);
      socket.execute([
        createLink("mac0", { kind: "macvlan", data: { mode: MacvlanMode.bridge } }, { parent }),
        createLink("vx0", { kind: "vxlan", data: { id: 7, parent, remote, port: 4789, learning: 0 } }),
        createLink("ifb9", { kind: "ifb" }),
      ]);
      expect(socket.get(getLink("mac0"))).toMatchObject({
        kind: "macvlan",
        peerIndex: parent,
        device: { data: { mode: MacvlanMode.bridge } },
      });
      expect(socket.get(getLink("vx0"))?.device).toMatchObject({
        kind: "vxlan",
        data: { id: 7, parent, remote, port: 4789, learning: 0 },
      });
      expect(socket.get(getLink("ifb9"))?.kind).toBe("ifb");
    });

    test("what isn't there is undefined to get, and ENODEV to delete", () => {
      expect(socket.get(getLink("nope"))).toBeUndefined();
      expect(socket.get(getLink(9999))).toBeUndefined();
      expect(() => socket.execute([deleteLink("nope")])).toThrow("delete nope: ENODEV");
      socket.execute([ignoring(deleteLink("nope"), "ENODEV")]);
      expect(() => socket.execute([deleteLinkGroup(0)])).toThrow("group of all other links");
      expect(() => socket.execute([deleteLink(0)])).toThrow("not the index of a link");
    });

    test("a batch isn't atomic: what can be done is done, and the error names the request and attribute", () => {
      const good = createLink("br1", { kind: "bridge" });
      const long = createLink("x".repeat(20), { kind: "bridge" });
      const strange = createLink("odd", { kind: "other", name: "nokind" });
      const after = createLink("br2", { kind: "bridge" });
      expect(() => socket.execute([good, long, strange, after])).toThrow(
        /^create link x{20}: ERANGE: .* \(attribute name\); and 1 more failed$/,
      );
      expect(shownLink("br1")).toBeDefined();
      expect(shownLink("br2")).toBeDefined();
      try {
        socket.execute([strange]);
        expect.unreachable();
      } catch (error) {
        if (!isNetlinkError(error, "EOPNOTSUPP")) throw error;
        expect(error.text).toBe("Unknown device type");
      }
    });

    test("many links: one batch, a dump of several datagrams, one removal as a group", () => {
      const names = Array.from({ length: 100 }, (_, index) => `many${index}`);
      socket.execute(names.map((name) => createLink(name, veth({ name: `${name}p` }), { group: 4242 })));
      expect(socket.dump(dumpLinks({ kind: "veth" })).length).toBe(200);
      socket.execute([deleteLinkGroup(4242)]);
      expect(socket.dump(dumpLinks({ kind: "veth" })).length).toBe(0);
      expect(() => socket.execute([deleteLinkGroup(4242)])).toThrow("ENODEV");
    });

    test("a batch of 2000 requests loses no answer", () => {
      const outcomes = socket.attempt(
        Array.from({ length: 2000 }, (_, index) => deleteLink(100_000 + index)),
      );
      expect(outcomes.every(({ error }) => error?.errnoName === "ENODEV")).toBe(true);
    });
  });

  describe("addresses", () => {
    test("arrive as ip shows them, come back, and go", () => {
      const index = bridge();
      const six = { index, address: ipv6(1), prefixLength: 64, skipDuplicateDetection: true };
      const four = { index, address: ipv4(10, 2, 0, 1), prefixLength: 16, broadcast: ipv4(10, 2, 255, 255) };
      socket.execute([addAddress(six), addAddress(four)]);
      const [shown] = json<
        { addr_info: { local: string; prefixlen: number; broadcast?: string; nodad?: boolean }[] }[]
      >("ip", "-j", "address", "show", "dev", "br0");
      expect(shown?.addr_info).toEqual(
        expect.arrayContaining([
          expect.objectContaining({ local: "10.2.0.1", prefixlen: 16, broadcast: "10.2.255.255" }),
          expect.objectContaining({ local: "fd00::1", prefixlen: 64, nodad: true }),
        ]),
      );
      const found = socket.dump(dumpAddresses({ index }));
      expect(found).toEqual(
        expect.arrayContaining([
          expect.objectContaining({ ...four, family: "ipv4", permanent: true }),
          expect.objectContaining({
            family: "ipv6",
            address: ipv6(1),
            tentative: false,
            duplicateFound: false,
          }),
        ]),
      );
      expect(socket.dump(dumpAddresses({ index, family: "ipv4" })).length).toBe(2);
      expect(socket.dump(dumpAddresses({ family: "ipv4" })).map(({ index }) => index)).toContain(1);
      expect(() => socket.execute([addAddress(four)])).toThrow(
        /^add address 10\.2\.0\.1\/16 to link \d+: EEXIST/,
      );
      socket.execute([deleteAddress(four), deleteAddress(six)]);
      expect(() => socket.execute([deleteAddress(four)])).toThrow("EADDRNOTAVAIL");
    });

    test("without nodad an IPv6 address starts tentative", () => {
      bridge();
      socket.execute([
        createLink("veth0", veth({ name: "veth1" }), { up: true }),
        setLink("veth1", { up: true }),
      ]);
      const index = socket.get(getLink("veth0"))?.index ?? 0;
      socket.execute([addAddress({ index, address: ipv6(7), prefixLength: 64 })]);
      const added = socket
        .dump(dumpAddresses({ index, family: "ipv6" }))
        .find(({ address }) => address[15] === 7);
      expect(added?.tentative).toBe(true);
    });
  });

  describe("routes", () => {
    test("arrive as ip shows them, come back, and go", () => {
      const outputIndex = bridge();
      const route = {
        destination: ipv4(10, 9, 0, 0),
        prefixLength: 16,
        gateway: ipv4(10, 1, 0, 9),
        outputIndex,
        table: 1000,
        priority: 50,
        preferredSource: ipv4(10, 1, 0, 1),
        metrics: { mtu: 1300, advertisedSegment: 1200 },
      };
      socket.execute([addRoute(route), addRoute({ gateway: ipv4(10, 1, 0, 9) })]);
      expect(json<object[]>("ip", "-j", "route", "show", "table", "1000")).toEqual([
        expect.objectContaining({
          dst: "10.9.0.0/16",
          gateway: "10.1.0.9",
          dev: "br0",
          metric: 50,
          prefsrc: "10.1.0.1",
          metrics: [{ mtu: 1300, advmss: 1200 }],
        }),
      ]);
      const { gateway, outputIndex: _, ...rest } = route;
      const paths = [{ gateway, outputIndex, onLink: false }];
      expect(socket.dump(dumpRoutes({ family: "ipv4", table: 1000 }))).toEqual([
        expect.objectContaining({ ...rest, paths, protocol: 3, type: 1, scope: 0 }),
      ]);
      expect(() => socket.execute([addRoute(route)])).toThrow("add route 10.9.0.0/16 via 10.1.0.9: EEXIST");
      socket.execute([addRoute({ gateway: ipv4(10, 1, 0, 8) }, "replace")]);
      const main = socket.dump(dumpRoutes({ family: "ipv4", table: 254, outputIndex }));
      const defaultRoute = main.find(({ destination }) => destination === undefined);
      expect(defaultRoute?.paths[0]?.gateway).toEqual(ipv4(10, 1, 0, 8));
      socket.execute([deleteRoute(route)]);
      expect(() => socket.execute([deleteRoute(route)])).toThrow("ESRCH");
    });

    test("a table that doesn't exist has no routes", () => {
      expect(socket.dump(dumpRoutes({ family: "ipv4", table: 4321 }))).toEqual([]);
      expect(socket.dump(dumpRoutes({ family: "ipv6", table: 4321 }))).toEqual([]);
    });

    test("IPv6, and a gateway that only onLink allows", () => {
      const outputIndex = bridge();
      const gateway = ipv4(192, 0, 2, 1);
      const destination = ipv4(10, 8, 0, 0);
      const far = { destination, prefixLength: 16, gateway, outputIndex };
      expect(() => socket.execute([addRoute(far)])).toThrow("ENETUNREACH: Nexthop has invalid gateway");
      socket.execute([
        addRoute({ ...far, onLink: true }),
        addRoute({ destination: ipv6(0), prefixLength: 64, outputIndex, priority: 7 }),
      ]);
      const found = socket.dump(dumpRoutes({ family: "ipv4", outputIndex }));
      expect(found.find(({ prefixLength }) => prefixLength === 16)?.paths[0]?.onLink).toBe(true);
      const six = socket.dump(dumpRoutes({ family: "ipv6", outputIndex, table: 254 }));
      expect(six.find(({ priority }) => priority === 7)?.destination).toEqual(ipv6(0));
    });
  });

  describe("nf_tables", () => {
    const base = { type: "nat", hook: "postrouting", priority: Priority.sourceNat } as const;
    const subnet = ipv4(10, 88, 0, 0);
    const rules = [
      createTable(WARREN, "of warren"),
      createChain(WARREN, { name: "postrouting", base, comment: "nat of warren" }),
      flushChain(WARREN, "postrouting"),
      addRule(WARREN, {
        chain: "postrouting",
        comment: "net lab",
        // iifname "br0" ip saddr 10.88.0.0/20 ip daddr != 10.88.0.0/16 masquerade
        expressions: [
          ...inputInterface("br0"),
          ...packetFamily("ipv4"),
          ...sourceIn(subnet, 20),
          ...destinationIn(subnet, 16, "notEqual"),
          masquerade(),
        ],
      }),
    ];

    test("a transaction reads in nft as if an operator had written it, however often it is sent", () => {
      firewall.transaction(rules);
      firewall.transaction(rules);
      expect(run("nft", "list", "table", "inet", "warren")).toBe(
        [
          "table inet warren {",
          '\tcomment "of warren"',
          "\tchain postrouting {",
          '\t\tcomment "nat of warren"',
          "\t\ttype nat hook postrouting priority srcnat; policy accept;",
          '\t\tiifname "br0" ip saddr 10.88.0.0/20 ip daddr != 10.88.0.0/16 masquerade comment "net lab"',
          "\t}",
          "}",
          "",
        ].join("\n"),
      );
      expect(firewall.get(getChain(WARREN, "postrouting"))).toMatchObject({
        base: { ...base, policy: "accept" },
        comment: "nat of warren",
        use: 1,
      });
      const [rule] = firewall.dump(dumpRules(WARREN, "postrouting"));
      expect(rule).toMatchObject({ table: "warren", chain: "postrouting", comment: "net lab" });
      firewall.transaction([flushChain(WARREN, "postrouting")]);
      expect(firewall.dump(dumpRules(WARREN))).toEqual([]);
    });

    test("a transaction with a failing request does nothing, and names it", () => {
      const missing = addElements(WARREN, "nope", [{ key: subnet }]);
      expect(() => firewall.transaction([...rules, missing])).toThrow("add elements to warren nope: ENOENT");
      expect(run("nft", "list", "tables")).toBe("");
      // The conversation goes on after it.
      firewall.transaction(rules);
      expect(firewall.dump(dumpChains(WARREN)).map(({ name }) => name)).toEqual(["postrouting"]);
      expect(() => firewall.transaction([deleteChain(WARREN, "nope"), ...rules])).toThrow(
        "delete chain warren nope: ENOENT",
      );
    });

    test("chains with and without a hook, jumps and connection states", () => {
      firewall.transaction([
        createTable(WARREN),
        createChain(WARREN, { name: "pods" }),
        createChain(WARREN, {
          name: "forward",
          base: { type: "filter", hook: "forward", priority: Priority.filter, policy: "drop" },
        }),
        addRule(WARREN, { chain: "forward", expressions: [verdict("jump", "pods")] }),
        addRule(
          WARREN,
          {
            chain: "forward",
            expressions: [...connectionState("established", "related"), verdict("accept")],
          },
          "insert",
        ),
      ]);
      const listed = run("nft", "list", "chain", "inet", "warren", "forward");
      expect(listed).toContain("type filter hook forward priority filter; policy drop;");
      expect(listed).toContain("\t\tct state established,related accept\n\t\tjump pods\n");
      expect(firewall.get(getChain(WARREN, "pods"))?.base).toBeUndefined();
      expect(() => firewall.transaction([deleteChain(WARREN, "pods")])).toThrow("EBUSY");
    });

    test("sets and maps with comments, in nft's own words", () => {
      const port = (number: number) => Uint8Array.of(number >> 8, number);
      const key = concatenated(Uint8Array.of(6), port(8080));
      const data = concatenated(ipv4(10, 88, 0, 2), port(80));
      firewall.transaction([
        createTable(WARREN),
        createSet(WARREN, { name: "pods", key: ["ipv4Address"], comment: "all pods" }),
        createSet(WARREN, {
          name: "ports",
          key: ["transport", "port"],
          data: ["ipv4Address", "port"],
          id: 2,
        }),
        createSet(WARREN, { name: "names", key: ["interfaceName"], data: "verdict", id: 3 }),
        addElements(WARREN, "pods", [
          { key: ipv4(10, 88, 0, 2), comment: "cid eth0" },
          { key: ipv4(10, 88, 0, 3) },
        ]),
        addElements(WARREN, "ports", [{ key, data, comment: "web" }]),
        addElements(WARREN, "names", [
          { key: concatenated(new TextEncoder().encode("br0".padEnd(16, "\0"))), data: { code: 0 } },
        ]),
      ]);
      const listed = run("nft", "list", "table", "inet", "warren");
      expect(listed).toContain('comment "all pods"');
      expect(listed).toContain('10.88.0.2 comment "cid eth0", 10.88.0.3');
      expect(listed).toContain("type inet_proto . inet_service : ipv4_addr . inet_service");
      expect(listed).toContain('tcp . 8080 comment "web" : 10.88.0.2 . 80');
      expect(listed).toContain('"br0" : drop');
      expect(firewall.dump(dumpElements(WARREN, "ports")).flat()).toEqual([{ key, data, comment: "web" }]);
      firewall.transaction([deleteElements(WARREN, "pods", [{ key: ipv4(10, 88, 0, 2) }])]);
      expect(
        firewall
          .dump(dumpElements(WARREN, "pods"))
          .flat()
          .map(({ key }) => key),
      ).toEqual([ipv4(10, 88, 0, 3)]);
      const gone = deleteElements(WARREN, "pods", [{ key: ipv4(10, 88, 0, 2) }]);
      expect(() => firewall.transaction([gone])).toThrow("ENOENT");
      expect(firewall.dump(dumpElements(WARREN, "nope"))).toEqual([]);
    });

    test("a set of 20,000 elements goes in one transaction and comes back", () => {
      const elements = Array.from({ length: 20_000 }, (_, index) => ({
        key: ipv4(10, 0, index >> 8, index & 0xff),
      }));
      const parts = Array.from({ length: 20 }, (_, part) =>
        addElements(WARREN, "pods", elements.slice(part * 1000, part * 1000 + 1000)),
      );
      firewall.transaction([
        createTable(WARREN),
        createSet(WARREN, { name: "pods", key: ["ipv4Address"] }),
        ...parts,
      ]);
      expect(firewall.dump(dumpElements(WARREN, "pods")).flat().length).toBe(20_000);
    });

    test("the generation grows with every change, and reading it changes nothing", () => {
      const before = firewall.get(getGeneration())?.id ?? -1;
      expect(firewall.get(getGeneration())?.id).toBe(before);
      firewall.transaction(rules);
      expect(firewall.get(getGeneration())?.id).toBeGreaterThan(before);
      expect(firewall.dump(dumpChains({ family: "ipv6", name: "warren" }))).toEqual([]);
      expect(firewall.dump(dumpRules({ family: "inet", name: "nope" }, "nope"))).toEqual([]);
    });
  });
}
