// The plugin tuning on a real kernel: interface and sysctls are witnessed by ip and sysctl, CHECK is shown to miss
// nothing, and DEL and GC to put everything back where there is something to put it back into.

import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { tools } from "../../scripts/tools.ts";
import { type Answer, type Config, call, PLUGIN_FOLDER, succeed, variables } from "../support/plugins.ts";
import type { Printed } from "../support/printed.ts";
import { Sandbox, testWith, WARREN } from "../support/sandbox.ts";

const POD = { containerId: "pod-1", netns: "pod1" };
const MAC = "02:00:00:00:00:17";
const EVERYTHING = {
  sysctl: {
    "net.core.somaxconn": "417",
    "net.ipv4.conf.IFNAME.arp_filter": "1",
    "net/ipv6/conf/IFNAME/hop_limit": "17",
    "net.ipv4.ip_local_port_range": "2000 3000",
  },
  mac: MAC,
  promisc: true,
  mtu: 1317,
  txQLen: 117,
  allmulti: true,
};

/** A host with a pod that has an interface, as the plugin before would have made it. */
async function host(ifname = "eth0"): Promise<Sandbox> {
  const sandbox = await Sandbox.create();
  await sandbox.addNetns("pod1");
  await sandbox.text(["ip", "link", "add", "far", "type", "veth", "peer", "name", ifname, "netns", "pod1"]);
  return sandbox;
}

const PREVIOUS = {
  cniVersion: "1.1.0",
  interfaces: [
    { name: "eth0", mac: "0a:00:00:00:00:01" },
    { name: "eth0", mac: "0a:00:00:00:00:02", mtu: 1500, sandbox: "/run/netns/pod1" },
  ],
  ips: [{ interface: 1, address: "10.1.0.2/24", gateway: "10.1.0.1" }],
  routes: [{ dst: "0.0.0.0/0" }],
  dns: { nameservers: ["10.1.0.1"] },
};

function tuning(sandbox: Sandbox, more: Config = {}): Config {
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-tuning",
    dataDir: `${sandbox.directory}/store`,
    prevResult: PREVIOUS,
    ...more,
  };
}

async function link(sandbox: Sandbox, name = "eth0"): Promise<Printed> {
  const [one]: Printed = await sandbox.json(["ip", "-netns", "pod1", "-json", "link", "show", "dev", name]);
  return {
    mac: one.address,
    mtu: one.mtu,
    txQLen: one.txqlen,
    promisc: one.flags.includes("PROMISC"),
    allmulti: one.flags.includes("ALLMULTI"),
  };
}

async function sysctl(sandbox: Sandbox, name: string): Promise<string> {
  const { stdout } = await sandbox.inNetns("pod1", ["cat", `/proc/sys/net/${name}`]);
  return stdout.trim().replaceAll("\t", " ");
}

const SETTINGS = [
  "core/somaxconn",
  "ipv4/conf/eth0/arp_filter",
  "ipv6/conf/eth0/hop_limit",
  "ipv4/ip_local_port_range",
];

async function state(sandbox: Sandbox): Promise<Printed> {
  const values = await Promise.all(SETTINGS.map((name) => sysctl(sandbox, name)));
  return { ...(await link(sandbox)), values };
}

async function entries(sandbox: Sandbox): Promise<string> {
  const command = [WARREN, "show", "pod-1", "--json", "--data-dir", `${sandbox.directory}/store`];
  const { exitCode, stdout } = await sandbox.run(command);
  const { attachments } = exitCode === 0 ? JSON.parse(stdout) : { attachments: [] };
  return attachments.length === 0 ? "" : JSON.stringify(attachments);
}

describe("ADD", () => {
  test("sets everything that it is told, says so in the result, and DEL puts everything back", async () => {
    await using sandbox = await host();
    const before = await state(sandbox);
    const config = tuning(sandbox, EVERYTHING);
    const { document } = await succeed(sandbox, "ADD", config, POD);
    expect(await state(sandbox)).toEqual({
      mac: MAC,
      mtu: 1317,
      txQLen: 117,
      promisc: true,
      allmulti: true,
      values: ["417", "1", "17", "2000 3000"],
    });
    const [outside, inside] = PREVIOUS.interfaces;
    expect(document).toEqual({ ...PREVIOUS, interfaces: [outside, { ...inside, mac: MAC, mtu: 1317 }] });
    await succeed(sandbox, "CHECK", { ...config, prevResult: document }, POD);
    expect(await entries(sandbox)).toContain("sysctl core/somaxconn");

    await succeed(sandbox, "DEL", config, POD);
    expect(await state(sandbox)).toEqual(before);
    expect(await entries(sandbox)).toBe("");
    await succeed(sandbox, "DEL", config, POD);
  });

  test.each([
    ["mac", { mac: MAC }],
    ["mtu", { mtu: 1317 }],
    ["txQLen", { txQLen: 117 }],
    ["promisc", { promisc: true }],
    ["allmulti", { allmulti: true }],
  ] as const)("%s alone changes nothing else", async (key, config) => {
    await using sandbox = await host();
    const before = await state(sandbox);
    await succeed(sandbox, "ADD", tuning(sandbox, config), POD);
    expect(await state(sandbox)).toEqual({ ...before, ...config });
    await succeed(sandbox, "CHECK", tuning(sandbox, config), POD);
    await succeed(sandbox, "DEL", tuning(sandbox), POD);
    expect((await state(sandbox))[key]).toEqual(before[key]);
  });

  test("allmulti false turns it off, promisc false leaves it, and zero is a length of a queue", async () => {
    await using sandbox = await host();
    await sandbox.text(["ip", "-n", "pod1", "link", "set", "eth0", "promisc", "on", "allmulticast", "on"]);
    const config = tuning(sandbox, { allmulti: false, promisc: false, txQLen: 0 });
    await succeed(sandbox, "ADD", config, POD);
    expect(await link(sandbox)).toMatchObject({ allmulti: false, promisc: true });
    await succeed(sandbox, "CHECK", config, POD);
    await succeed(sandbox, "DEL", config, POD);
    expect(await link(sandbox)).toMatchObject({ allmulti: true, promisc: true, txQLen: 1000 });
  });

  test("nothing to set passes the result and writes nothing down", async () => {
    await using sandbox = await host();
    const config = tuning(sandbox, { sysctl: null, mac: "", mtu: 0, promisc: false, allmulti: null });
    expect((await succeed(sandbox, "ADD", config, POD)).document).toEqual(PREVIOUS);
    await succeed(sandbox, "CHECK", config, POD);
    expect(await entries(sandbox)).toBe("");
  });

  const cni = (keys: object) => ({ args: { cni: keys } });
  test.each([
    ["the config", {}, "", "02:00:00:00:00:01"],
    ["CNI_ARGS over it", {}, "MAC=02:00:00:00:00:02", "02:00:00:00:00:02"],
    [
      "the capability over both",
      { runtimeConfig: { mac: "02:00:00:00:00:03" } },
      "MAC=02:00:00:00:00:02",
      "02:00:00:00:00:03",
    ],
    [
      "args over all",
      { runtimeConfig: { mac: "02:00:00:00:00:03" }, ...cni({ mac: "02-00-00-00-00-0A" }) },
      "MAC=02:00:00:00:00:02",
      "02:00:00:00:00:0a",
    ],
  ])("the hardware address comes from %s", async (_, more, args, expected) => {
    await using sandbox = await host();
    const config = tuning(sandbox, { mac: "02:00:00:00:00:01", ...more });
    const { document } = await succeed(sandbox, "ADD", config, { ...POD, args });
    expect([(await link(sandbox)).mac, document.interfaces[1].mac]).toEqual([expected, expected]);
    // CHECK gets no CNI_ARGS
    const told = { ...config, mac: args === "" || "runtimeConfig" in more ? config.mac : undefined };
    await succeed(sandbox, "CHECK", { ...told, prevResult: document }, POD);
    await sandbox.text(["ip", "-n", "pod1", "link", "set", "eth0", "address", "02:00:00:00:00:99"]);
    expect((await call(sandbox, "CHECK", told, POD)).document.code).toBe(103);
  });

  test("args.cni wins over the config key by key, and needs no table of sysctls beneath it", async () => {
    await using sandbox = await host();
    const config = tuning(sandbox, {
      mtu: 1400,
      promisc: true,
      ...cni({
        sysctl: { "net.core.somaxconn": "333" },
        mtu: 1300,
        promisc: false,
        allmulti: true,
        txQLen: 33,
      }),
    });
    await succeed(sandbox, "ADD", config, POD);
    expect(await link(sandbox)).toMatchObject({ mtu: 1300, promisc: false, allmulti: true, txQLen: 33 });
    expect(await sysctl(sandbox, "core/somaxconn")).toBe("333");
    const other = tuning(sandbox, {
      sysctl: { "net/core/somaxconn": "200" },
      ...cni({ sysctl: { "net.core.somaxconn": "300" } }),
    });
    await succeed(sandbox, "ADD", other, { ...POD, containerId: "pod-2" });
    expect(await sysctl(sandbox, "core/somaxconn")).toBe("300");
  });

  test("an interface with dots in its name has settings too", async () => {
    await using sandbox = await host("eth0.100");
    const target = { ...POD, ifname: "eth0.100" };
    const config = tuning(sandbox, { sysctl: { "net.ipv4.conf.IFNAME.arp_filter": "1" } });
    await succeed(sandbox, "STATUS", config);
    await succeed(sandbox, "ADD", config, target);
    expect(await sysctl(sandbox, "ipv4/conf/eth0.100/arp_filter")).toBe("1");
    await succeed(sandbox, "CHECK", config, target);
    await succeed(sandbox, "DEL", config, target);
    expect(await sysctl(sandbox, "ipv4/conf/eth0.100/arp_filter")).toBe("0");
  });

  test("the host's own settings are not touched", async () => {
    await using sandbox = await host();
    const before = await sandbox.text(["cat", "/proc/sys/net/core/somaxconn"]);
    await succeed(sandbox, "ADD", tuning(sandbox, EVERYTHING), POD);
    expect(await sandbox.text(["cat", "/proc/sys/net/core/somaxconn"])).toBe(before);
  });

  test("a failure half-way puts everything back", async () => {
    await using sandbox = await host();
    const before = await state(sandbox);
    for (const [more, code, message] of [
      [{ sysctl: { "net.core.somaxconn": "99", "net.ipv4.ip_local_port_range": "many" } }, 7, '"many"'],
      [{ sysctl: { "net.core.somaxconn": "99", "net.core.none": "1" } }, 2, '"net.core.none"'],
      [{ sysctl: { "net.core.somaxconn": "99" }, mtu: 7 }, 104, "set mtu 7"],
      [{ sysctl: { "net.ipv4.conf": "1" } }, 7, "group of settings"],
    ] as const) {
      const answer = await call(sandbox, "ADD", tuning(sandbox, { ...EVERYTHING, ...more }), POD);
      expect(answer.document).toMatchObject({ code, msg: expect.stringContaining(message) });
      expect(await state(sandbox)).toEqual(before);
      expect(await entries(sandbox)).toBe("");
    }
  });

  test("a second ADD keeps what was there before the first", async () => {
    await using sandbox = await host();
    const before = await state(sandbox);
    await succeed(sandbox, "ADD", tuning(sandbox, EVERYTHING), POD);
    const other = { mtu: 1200, sysctl: { "net.core.somaxconn": "7" } };
    await succeed(sandbox, "ADD", tuning(sandbox, other), POD);
    expect(await link(sandbox)).toMatchObject({ mac: MAC, mtu: 1200 });
    await succeed(sandbox, "DEL", tuning(sandbox), POD);
    expect(await state(sandbox)).toEqual(before);
  });

  test.each(["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])(
    "a config of %s gets a result of it",
    async (cniVersion) => {
      await using sandbox = await host();
      const prevResult =
        cniVersion < "0.3.0" ? { cniVersion, ip4: { ip: "10.1.0.2/24" } } : { ...PREVIOUS, cniVersion };
      const config = tuning(sandbox, { cniVersion, mac: MAC, prevResult });
      const { document } = await succeed(sandbox, "ADD", config, POD);
      expect(document.cniVersion).toBe(cniVersion);
      expect((await link(sandbox)).mac).toBe(MAC);
    },
  );

  test("the host's allowlist has the last word", async () => {
    await using sandbox = await host();
    const setUp = `
      mkdir -p /run/etc/upper /run/etc/work
      mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work overlay /etc
      mkdir -p /etc/cni/tuning
      printf '^net\\\\.core\\\\.somaxconn$\\n\\n arp_ \\n' > /etc/cni/tuning/allowlist.conf`;
    await sandbox.text(["sh", "-ec", setUp]);
    const allowed = { "net.core.somaxconn": "99", "net.ipv4.conf.IFNAME.arp_filter": "1" };
    await succeed(sandbox, "ADD", tuning(sandbox, { sysctl: allowed }), POD);
    for (const sysctl of [{ "net.ipv4.ip_forward": "1" }, { ...allowed, "net/core/somaxconn": "1" }]) {
      const config = tuning(sandbox, { sysctl: {}, args: { cni: { sysctl } } });
      const refused = await call(sandbox, "ADD", config, { ...POD, containerId: "pod-2" });
      expect(refused.document.code).toBe(7);
    }
    const config = tuning(sandbox, { sysctl: { "net.ipv4.ip_forward": "1" } });
    const text =
      "Sysctl net.ipv4.ip_forward is not allowed. Only the following sysctls are allowed: [^net\\.core\\.somaxconn$ arp_]";
    expect((await call(sandbox, "ADD", config, POD)).document).toMatchObject({ code: 7, msg: text });
    expect((await call(sandbox, "STATUS", config)).document.msg).toBe(text);
    // DEL asks nobody
    await succeed(sandbox, "DEL", tuning(sandbox), POD);
    expect(await sysctl(sandbox, "core/somaxconn")).not.toBe("99");
    await sandbox.text(["sh", "-ec", "echo '[' > /etc/cni/tuning/allowlist.conf"]);
    const broken = await call(sandbox, "ADD", tuning(sandbox, { sysctl: allowed }), POD);
    expect(broken.document).toMatchObject({ code: 7, msg: expect.stringContaining("no regular expression") });
  });

  test("a setting that can only be written is written", async () => {
    await using sandbox = await host();
    const config = tuning(sandbox, { sysctl: { "net.ipv4.route.flush": "1" } });
    await succeed(sandbox, "ADD", config, POD);
    await succeed(sandbox, "CHECK", config, POD);
    await succeed(sandbox, "DEL", config, POD);
  });
});

describe("CHECK", () => {
  test.each([
    ["address 02:00:00:00:00:99", "mac of interface eth0"],
    ["mtu 1400", "mtu of interface eth0 is 1400, not 1317"],
    ["promisc off", "promisc of interface eth0"],
    ["allmulticast off", "allmulti of interface eth0"],
    ["txqueuelen 5", "txQLen of interface eth0 is 5, not 117"],
  ])("finds that somebody set %s", async (change, message) => {
    await using sandbox = await host();
    const config = tuning(sandbox, EVERYTHING);
    await succeed(sandbox, "ADD", config, POD);
    await succeed(sandbox, "CHECK", config, POD);
    await sandbox.text(["ip", "-n", "pod1", "link", "set", "dev", "eth0", ...change.split(" ")]);
    const answer = await call(sandbox, "CHECK", config, POD);
    expect(answer.document).toMatchObject({ code: 103, msg: expect.stringContaining(message) });
    // also when the config forgot about it
    expect((await call(sandbox, "CHECK", tuning(sandbox), POD)).document.code).toBe(103);
  });

  test.each(SETTINGS)("finds that net/%s has another value", async (name) => {
    await using sandbox = await host();
    const config = tuning(sandbox, EVERYTHING);
    await succeed(sandbox, "ADD", config, POD);
    const value = name.endsWith("range") ? "2000 4000" : "0";
    const change = `printf '${name.endsWith("hop_limit") ? "3" : value}' > /proc/sys/net/${name}`;
    await sandbox.inNetns("pod1", ["sh", "-ec", change]);
    const answer = await call(sandbox, "CHECK", config, POD);
    expect(answer.document).toMatchObject({
      code: 103,
      msg: expect.stringContaining(`sysctl net/${name} is`),
    });
  });

  test.each([
    ["core/somaxconn", "010", "8", "10"],
    ["core/somaxconn", "0x10", "16", "10"],
    ["core/somaxconn", " 417\n", "417", "418"],
    ["core/somaxconn", "", "4096", "0"],
    ["ipv4/ip_local_port_range", "  2000   3000", "2000 3000", "2000 3001"],
    ["ipv4/ip_local_reserved_ports", "83,81-82,80", "80-83", "80-82"],
    ["ipv4/ping_group_range", "1 0x7", "1 7", "1 0"],
    ["ipv6/conf/IFNAME/stable_secret", "fd00::00:7", "fd00:0000:0000:0000:0000:0000:0000:0007", "fd00::8"],
  ])(
    "takes net/%s as %j for what the kernel makes of it, %j, and not for %j",
    async (key, value, set, other) => {
      await using sandbox = await host();
      const name = key.replace("IFNAME", "eth0");
      const config = tuning(sandbox, { sysctl: { [`net/${key}`]: value } });
      await succeed(sandbox, "ADD", config, POD);
      expect(await sysctl(sandbox, name)).toBe(set);
      await succeed(sandbox, "CHECK", config, POD);
      // also when the config forgot about it
      await succeed(sandbox, "CHECK", tuning(sandbox), POD);
      await sandbox.inNetns("pod1", ["sh", "-ec", `printf '${other}' > /proc/sys/net/${name}`]);
      const answer = await call(sandbox, "CHECK", config, POD);
      expect(answer.document).toMatchObject({
        code: 103,
        msg: expect.stringContaining(`sysctl net/${name} is`),
      });
    },
  );

  test("finds that the interface, or all knowledge, is gone", async () => {
    await using sandbox = await host();
    const config = tuning(sandbox, { mtu: 1400 });
    const nothing = await call(sandbox, "CHECK", config, POD);
    expect(nothing.document).toMatchObject({
      code: 103,
      msg: expect.stringContaining("nothing is written down"),
    });
    await succeed(sandbox, "ADD", config, POD);
    await sandbox.text(["ip", "link", "del", "far"]);
    const gone = await call(sandbox, "CHECK", config, POD);
    expect(gone.document).toMatchObject({ code: 103, msg: "interface eth0 is gone from /run/netns/pod1" });
  });

  test("lets a promiscuous interface pass that nobody asked to be otherwise", async () => {
    await using sandbox = await host();
    const config = tuning(sandbox, { mtu: 1400 });
    await succeed(sandbox, "ADD", config, POD);
    await sandbox.text(["ip", "-n", "pod1", "link", "set", "eth0", "promisc", "on"]);
    await succeed(sandbox, "CHECK", config, POD);
  });
});

describe("DEL and GC", () => {
  test("DEL needs neither namespace nor a config that is right", async () => {
    await using sandbox = await host();
    await succeed(sandbox, "ADD", tuning(sandbox, EVERYTHING), POD);
    const broken = tuning(sandbox, { sysctl: 7, mtu: "x", prevResult: "x" });
    await sandbox.text(["ip", "netns", "del", "pod1"]);
    await succeed(sandbox, "DEL", broken, { ...POD, netns: "" });
    expect(await entries(sandbox)).toBe("");
  });

  test("DEL without CNI_NETNS restores the namespace that is written down", async () => {
    await using sandbox = await host();
    const before = await state(sandbox);
    await succeed(sandbox, "ADD", tuning(sandbox, EVERYTHING), POD);
    await succeed(sandbox, "DEL", tuning(sandbox), { ...POD, netns: "" });
    expect(await state(sandbox)).toEqual(before);
  });

  test("another namespace under the old path, or another interface under the old name, stays as it is", async () => {
    await using sandbox = await host();
    const config = tuning(sandbox, EVERYTHING);
    await succeed(sandbox, "ADD", config, POD);
    const anew = `
      ip link del far
      ip link add far type veth peer name eth0 netns pod1
      ip -n pod1 link set eth0 mtu 1334`;
    await sandbox.text(["sh", "-ec", anew]);
    await succeed(sandbox, "DEL", config, POD);
    expect(await link(sandbox)).toMatchObject({ mtu: 1334 });
    expect(await sysctl(sandbox, "core/somaxconn")).not.toBe("417");

    await succeed(sandbox, "ADD", config, POD);
    const elsewhere = `
      ip netns del pod1
      ip netns add pod1
      ip netns exec pod1 sh -c 'echo 55 > /proc/sys/net/core/somaxconn'`;
    await sandbox.text(["sh", "-ec", elsewhere]);
    await succeed(sandbox, "DEL", config, POD);
    expect(await sysctl(sandbox, "core/somaxconn")).toBe("55");
    expect(await entries(sandbox)).toBe("");
  });

  test("another namespace that got path and inode of the one before stays as it is", async () => {
    await using sandbox = await host();
    const config = tuning(sandbox, { sysctl: { "net.core.somaxconn": "417" } });
    await succeed(sandbox, "ADD", config, POD);
    const anew = `
      ip netns del pod1
      ip netns add pod1
      ip netns exec pod1 sh -c 'echo 55 > /proc/sys/net/core/somaxconn'
      stat -Lc %i /run/netns/pod1`;
    const inode = (await sandbox.text(["sh", "-ec", anew])).trim();
    // the kernel gives freed inodes to new namespaces; not to wait for that, the store says that it did
    using database = new Database(`${sandbox.directory}/store/warren.db`);
    database.run("UPDATE attachments SET netns_inode = ?", [inode]);
    await succeed(sandbox, "DEL", config, POD);
    expect(await sysctl(sandbox, "core/somaxconn")).toBe("55");
    expect(await entries(sandbox)).toBe("");
  });

  testWith(tools.program("strace"))(
    "where the kernel has no cookies for namespaces (before Linux 5.14), they are known by their inodes",
    async () => {
      await using sandbox = await host();
      const before = await state(sandbox);
      const old = async (verb: string, target = POD) => {
        const inject = ["-e", "trace=getsockopt", "-e", "inject=getsockopt:error=ENOPROTOOPT"];
        const command = ["strace", "-f", "-o", "calls", ...inject, `${PLUGIN_FOLDER}/warren-tuning`];
        const stdin = JSON.stringify(tuning(sandbox, EVERYTHING));
        await sandbox.text(command, { env: variables(verb, target), stdin });
        return sandbox.text(["cat", "calls"]);
      };
      expect(await old("ADD")).toContain("ENOPROTOOPT");
      const inode = (await sandbox.text(["stat", "-Lc", "%i", "/run/netns/pod1"])).trim();
      expect(await entries(sandbox)).toContain(`/inode-${inode}`);
      await old("CHECK");
      await old("DEL");
      expect(await state(sandbox)).toEqual(before);
      await old("ADD");
      // the first one lives on under another name, so that its inode stays its own
      const anew = `
        touch /run/netns/kept
        mount --bind /run/netns/pod1 /run/netns/kept
        ip netns del pod1
        ip netns add pod1
        ip netns exec pod1 sh -c 'echo 55 > /proc/sys/net/core/somaxconn'`;
      await sandbox.text(["sh", "-ec", anew]);
      await old("DEL");
      expect(await sysctl(sandbox, "core/somaxconn")).toBe("55");
      expect(await entries(sandbox)).toBe("");
    },
  );

  test.each(["DEL", "GC"])(
    "what two attachments set is put back by the %s of the last, to what was before the first",
    async (verb) => {
      await using sandbox = await host();
      await sandbox.text([
        "ip",
        "link",
        "add",
        "far1",
        "type",
        "veth",
        "peer",
        "name",
        "net1",
        "netns",
        "pod1",
      ]);
      const before = await sysctl(sandbox, "core/somaxconn");
      const config = (value: string, more: Config = {}) =>
        tuning(sandbox, {
          sysctl: { "net.core.somaxconn": value, "net.ipv4.conf.IFNAME.arp_filter": "1" },
          ...more,
        });
      const second = { ...POD, ifname: "net1" };
      await succeed(sandbox, "ADD", config("417"), POD);
      await succeed(sandbox, "ADD", config("517"), second);
      // one that fails takes back what it did itself, and no more
      const failing = config("617", { name: "elsewhere", mtu: 7 });
      expect((await call(sandbox, "ADD", failing, POD)).document.code).toBe(104);
      expect(await sysctl(sandbox, "core/somaxconn")).toBe("517");
      const end = async (target: typeof second, valid: object[]) => {
        const list = { "cni.dev/valid-attachments": valid };
        if (verb === "DEL") await succeed(sandbox, "DEL", tuning(sandbox), target);
        else await succeed(sandbox, "GC", tuning(sandbox, list));
      };
      await end({ ...POD, ifname: "eth0" }, [{ containerID: "pod-1", ifname: "net1" }]);
      expect(await sysctl(sandbox, "core/somaxconn")).toBe("517");
      expect(await sysctl(sandbox, "ipv4/conf/eth0/arp_filter")).toBe("0");
      await succeed(sandbox, "CHECK", config("517"), second);
      await end(second, []);
      expect(await sysctl(sandbox, "core/somaxconn")).toBe(before);
      expect(await sysctl(sandbox, "ipv4/conf/net1/arp_filter")).toBe("0");
      expect(await entries(sandbox)).toBe("");
    },
  );

  test("GC restores what is not valid, and without a list nothing", async () => {
    await using sandbox = await host();
    const before = await state(sandbox);
    await succeed(sandbox, "ADD", tuning(sandbox, EVERYTHING), POD);
    const note = await succeed(sandbox, "GC", tuning(sandbox));
    expect(note.stderr).toContain("nothing is collected");
    const list = (attachments: object[]) =>
      tuning(sandbox, { "cni.dev/valid-attachments": attachments, mtu: "x" });
    await succeed(sandbox, "GC", list([{ containerID: "pod-1", ifname: "eth0" }]));
    await succeed(sandbox, "CHECK", tuning(sandbox, EVERYTHING), POD);
    await succeed(sandbox, "GC", { ...list([]), name: "elsewhere" });
    expect((await link(sandbox)).mtu).toBe(1317);
    const { stderr } = await succeed(sandbox, "GC", list([]));
    expect(stderr).toContain("removed container pod-1");
    expect(await state(sandbox)).toEqual(before);
    // of a namespace that is gone there is nothing but the entry
    await succeed(sandbox, "ADD", tuning(sandbox, EVERYTHING), POD);
    await sandbox.text(["ip", "netns", "del", "pod1"]);
    await succeed(sandbox, "GC", list([]));
    expect(await entries(sandbox)).toBe("");
  });

  test("what can't be put back stays written down", async () => {
    await using sandbox = await host();
    await sandbox.text(["ip", "-n", "pod1", "link", "set", "eth0", "mtu", "9000"]);
    await succeed(sandbox, "ADD", tuning(sandbox, EVERYTHING), POD);
    const lock = "mount --bind -o ro /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys";
    await sandbox.text(["sh", "-ec", lock]);
    const stuck = await call(sandbox, "DEL", tuning(sandbox), POD);
    expect(stuck.exitCode).toBe(1);
    // the interface was put back all the same
    expect((await link(sandbox)).mtu).toBe(9000);
    expect(await entries(sandbox)).toContain("sysctl");
    const collected = await call(sandbox, "GC", tuning(sandbox, { "cni.dev/valid-attachments": [] }));
    expect(collected.exitCode).toBe(1);
    await sandbox.text(["umount", "/proc/sys"]);
    await succeed(sandbox, "DEL", tuning(sandbox), POD);
    expect(await entries(sandbox)).toBe("");
  });

  test("twenty pods at once each get their own back", async () => {
    await using sandbox = await Sandbox.create();
    const names = Array.from({ length: 20 }, (_, index) => `p${index}`);
    const setUp = names.map(
      (name) => `ip netns add ${name}; ip -n ${name} link add eth0 type veth peer name x`,
    );
    await sandbox.text(["sh", "-ec", setUp.join("\n")]);
    const target = (name: string) => ({ containerId: name, netns: name });
    const config = (name: string) => tuning(sandbox, { mtu: 1300 + Number(name.slice(1)) });
    await Promise.all(names.map((name) => succeed(sandbox, "ADD", config(name), target(name))));
    await Promise.all(names.map((name) => succeed(sandbox, "CHECK", config(name), target(name))));
    await Promise.all(names.map((name) => succeed(sandbox, "DEL", config(name), target(name))));
    for (const name of names) {
      expect(await sandbox.text(["ip", "-n", name, "link", "show", "eth0"])).toContain("mtu 1500");
    }
  }, 30_000);
});

describe("STATUS", () => {
  test("is ready, or 50 with the sysctl that the kernel lacks, and leaves nothing", async () => {
    await using sandbox = await host();
    await succeed(sandbox, "STATUS", tuning(sandbox, EVERYTHING));
    const literal = { "net.ipv4.conf.net1.arp_filter": "1", "net.ipv6.neigh.net1.gc_stale_time": "9" };
    await succeed(sandbox, "STATUS", tuning(sandbox, { sysctl: literal }));
    const missing = await call(
      sandbox,
      "STATUS",
      tuning(sandbox, { sysctl: { "net.ipv4.warp_speed": "9" } }),
    );
    expect(missing.document).toMatchObject({
      code: 50,
      msg: expect.stringContaining('"net.ipv4.warp_speed"'),
    });
    const lost = await call(sandbox, "STATUS", tuning(sandbox, { dataDir: "/none/at/all" }));
    expect(lost.document.code).toBe(50);
  });
});

describe("bad input", () => {
  test.each([
    ["no prevResult", { prevResult: undefined, mtu: 1400 }, 7, "must be called as chained plugin"],
    ["no prevResult and nothing to do", { prevResult: undefined }, 7, "must be called as chained plugin"],
    [
      "a sysctl outside of net",
      { sysctl: { "kernel.shmmax": "1" } },
      7,
      'invalid net sysctl key: "kernel/shmmax"',
    ],
    ["a sysctl that is a way up", { sysctl: { "/../kernel/shmmax": "1" } }, 7, "invalid net sysctl key"],
    ["the folder of all", { sysctl: { net: "1" } }, 7, 'invalid net sysctl key: "net"'],
    ["an empty key", { sysctl: { "": "1" } }, 7, 'invalid net sysctl key: ""'],
    ["a key with NUL", { sysctl: { "net.core.a\0": "1" } }, 7, "invalid net sysctl key"],
    [
      "a sysctl by two names",
      { sysctl: { "net.core.somaxconn": "1", "net/core/somaxconn": "2" } },
      7,
      "duplicated sysctl keys",
    ],
    ["a number as value", { sysctl: { "net.core.somaxconn": 1 } }, 7, '"sysctl.net.core.somaxconn" is 1'],
    ["a list of sysctls", { sysctl: ["net.core.somaxconn"] }, 7, '"sysctl" is ["net'],
    ["a list of nothing", { args: { cni: { sysctl: [] } } }, 7, '"args.cni.sysctl" is []'],
    ["sysctls in text", { sysctl: "net.core.somaxconn=1" }, 7, '"sysctl" is "net'],
    ["a mac that is none", { mac: "zz" }, 7, '"zz"'],
    ["a group's mac", { runtimeConfig: { mac: "01:00:5e:00:00:01" } }, 7, "01:00:5e:00:00:01"],
    ["a mac of zeros", { args: { cni: { mac: "00:00:00:00:00:00" } } }, 7, "00:00:00:00:00:00"],
    ["a negative mtu", { mtu: -1 }, 7, '"mtu" is -1'],
    ["half an mtu", { mtu: 1.5 }, 7, '"mtu" is 1.5'],
    ["an mtu in quotes", { args: { cni: { mtu: "1400" } } }, 7, '"args.cni.mtu" is "1400"'],
    ["an mtu beyond a veth's", { mtu: 70_000 }, 104, "set mtu 70000"],
    ["a queue of less than nothing", { txQLen: -1 }, 7, '"txQLen" is -1'],
    ["promisc in words", { promisc: "on" }, 7, '"promisc" is "on"'],
    ["allmulti as a number", { allmulti: 1 }, 7, '"allmulti" is 1'],
    ["a relative store", { mtu: 1400, dataDir: "store" }, 7, '"dataDir" is "store"'],
    ["a value that the kernel refuses", { sysctl: { "net.core.somaxconn": "many" } }, 7, '"many"'],
  ] as const)("%s is refused", async (_, config: Config, code: number, message: string) => {
    await using sandbox = await host();
    const before = await state(sandbox);
    const answer: Answer = await call(sandbox, "ADD", tuning(sandbox, config), POD);
    expect(answer.exitCode).toBe(1);
    expect(answer.document).toMatchObject({ code, msg: expect.stringContaining(message) });
    expect(await state(sandbox)).toEqual(before);
    expect(await entries(sandbox)).toBe("");
  });

  test("a sysctl that stands twice in the text is refused by name, but by no DEL", async () => {
    await using sandbox = await host();
    const text = JSON.stringify(tuning(sandbox, { sysctl: { "net.core.somaxconn": "417" } }));
    const stdin = text.replace('"417"', '"417", "net.ipv4.ip_forward": "0", "net.core.somaxconn": "517"');
    const command = [`${PLUGIN_FOLDER}/warren-tuning`];
    for (const verb of ["ADD", "CHECK", "STATUS"]) {
      const { stdout } = await sandbox.run(command, { env: variables(verb, POD), stdin });
      expect(JSON.parse(stdout)).toMatchObject({
        code: 7,
        msg: 'network config "lab": "sysctl.net.core.somaxconn" stands twice',
      });
    }
    expect(await sysctl(sandbox, "core/somaxconn")).toBe("4096");
    await sandbox.text(command, { env: variables("DEL", POD), stdin });
  });

  test("an interface that is not there is code 7, unless nothing is said about it", async () => {
    await using sandbox = await host();
    const target = { ...POD, ifname: "none" };
    const refused = await call(sandbox, "ADD", tuning(sandbox, { mtu: 1400 }), target);
    expect(refused.document).toMatchObject({
      code: 7,
      msg: 'container interface "none" is not in /run/netns/pod1',
    });
    const config = tuning(sandbox, { sysctl: { "net.core.somaxconn": "99" } });
    await succeed(sandbox, "ADD", config, target);
    await succeed(sandbox, "CHECK", config, target);
    await succeed(sandbox, "DEL", config, target);
  });
});

describe("beside the reference plugin", () => {
  testWith(tools.referencePlugins)(
    "the same config gives the same interface, sysctls and result",
    async () => {
      const reference = tools.referencePlugins.path ?? "";
      const states: Printed[] = [];
      for (const type of ["warren-tuning", "tuning"]) {
        await using sandbox = await host();
        const path = type === "tuning" ? reference : PLUGIN_FOLDER;
        const { sysctl: settings, ...attributes } = EVERYTHING;
        const config = tuning(sandbox, {
          type,
          ...attributes,
          // its CHECK does not know that the kernel writes tabs
          sysctl: { ...settings, "net.ipv4.ip_local_port_range": "2000\t3000" },
          dataDir: type === "tuning" ? `${sandbox.directory}/store` : undefined,
        });
        const prevResult = { ...PREVIOUS, interfaces: PREVIOUS.interfaces.slice(1) };
        const { document } = await succeed(sandbox, "ADD", { ...config, prevResult }, POD, path);
        const set = await state(sandbox);
        await succeed(sandbox, "CHECK", { ...config, prevResult: document }, POD, path);
        await succeed(sandbox, "DEL", { ...config, prevResult: document }, POD, path);
        const { values, mac, ...left } = await state(sandbox);
        const [inside] = document.interfaces;
        states.push({
          set,
          left: { ...left, isRestored: [mac !== MAC, values.includes("417")] },
          document: { ...document, interfaces: [{ ...inside, mtu: undefined }] },
        });
      }
      const [ours, theirs] = states;
      // it leaves the sysctls as they are
      expect(ours.left.isRestored).toEqual([true, false]);
      expect(theirs.left.isRestored).toEqual([true, true]);
      expect({ ...ours, left: { ...ours.left, isRestored: [] } }).toEqual({
        ...theirs,
        left: { ...theirs.left, isRestored: [] },
      });
    },
  );
});
