// The plugin bandwidth on a real kernel: what ADD makes is witnessed by tc, ip and real TCP connections, CHECK is
// shown to miss nothing, and DEL and GC to leave nothing. Host and pods are throwaway namespaces.
import { describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { tools } from "../../scripts/tools.ts";
import { type Answer, type Config, call, linkNames, PLUGIN_FOLDER, succeed } from "../support/plugins.ts";
import type { Printed } from "../support/printed.ts";
import { Sandbox, testWith, WARREN } from "../support/sandbox.ts";

const POD = { containerId: "pod-1", netns: "pod1" };
const LIMITS = { ingressRate: 1_000_000, ingressBurst: 32_768, egressRate: 2_000_000, egressBurst: 65_536 };

const host = () => Sandbox.withPods("pod1", "pod2");

function bridge(sandbox: Sandbox, more: Config = {}): Config {
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-bridge",
    bridge: "br0",
    isGateway: true,
    dataDir: `${sandbox.directory}/store`,
    ...more,
    ipam: { type: "warren-ipam", dataDir: `${sandbox.directory}/store`, subnet: "10.88.0.0/16" },
  };
}

function bandwidth(sandbox: Sandbox, more: Config = {}): Config {
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-bandwidth",
    dataDir: `${sandbox.directory}/store`,
    ...more,
  };
}

/** Runs ADD of the chain and returns the config of the second plugin with what CHECK gets. */
async function attach(sandbox: Sandbox, limits: Config, target = POD): Promise<Config> {
  const first = await succeed(sandbox, "ADD", bridge(sandbox), target);
  const second = bandwidth(sandbox, { ...limits, prevResult: first.document });
  const added = await succeed(sandbox, "ADD", second, target);
  return { ...second, prevResult: added.document };
}

/** What a runtime hands over of a pod's annotations. */
function annotated({ ingress, egress }: { ingress?: string | undefined; egress?: string | undefined }) {
  const annotations = {
    "kubernetes.io/ingress-bandwidth": ingress,
    "kubernetes.io/egress-bandwidth": egress,
    app: "web",
  };
  return { runtimeConfig: { "io.kubernetes.cri.pod-annotations": annotations } };
}

function hostLink(config: Config): string {
  const { interfaces } = config.prevResult as Printed;
  return interfaces[1].name;
}

function detour(config: Config): string {
  const { interfaces } = config.prevResult as Printed;
  return interfaces[3].name;
}

/** Returns the bits a second that TCP gets from the host to the pod (there) and back, once it has run in. */
async function tcpRates(
  sandbox: Sandbox,
  seconds: string,
  runIn: string,
): Promise<Record<"there" | "back", number>> {
  const words = ["probe", "host", "pod1", "--only", "tcp", "--seconds", seconds, "--run-in", runIn, "--json"];
  const { tcp }: Printed = await sandbox.json([WARREN, ...words]);
  return { there: tcp.there.bitsPerSecond, back: tcp.back.bitsPerSecond };
}

async function disciplines(sandbox: Sandbox, name: string): Promise<Printed[]> {
  const all: Printed = await sandbox.json(["tc", "-json", "qdisc", "show", "dev", name]);
  return all.filter((one: Printed) => one.kind !== "noqueue");
}

async function filters(sandbox: Sandbox, name: string): Promise<string> {
  return sandbox.text(["tc", "filter", "show", "dev", name, "ingress"]);
}

async function detours(sandbox: Sandbox): Promise<string[]> {
  const links: Printed = await sandbox.json(["ip", "-json", "link", "show", "type", "ifb"]);
  return links.map((one: Printed) => one.ifname).filter((name: string | undefined) => name !== undefined);
}

/** The plugins that have an entry about pod-1, as `warren show` tells. */
async function entries(sandbox: Sandbox): Promise<string> {
  const command = [WARREN, "show", "pod-1", "--json", "--data-dir", `${sandbox.directory}/store`];
  const { exitCode, stdout } = await sandbox.run(command);
  const { attachments } = exitCode === 0 ? JSON.parse(stdout) : { attachments: [] };
  return attachments.length === 0 ? "" : JSON.stringify(attachments);
}

describe("ADD", () => {
  test("S3-B02 makes a token bucket for each direction as it was asked, and DEL takes all of it back", async () => {
    await using sandbox = await host();
    const added = await attach(sandbox, LIMITS);
    const { interfaces } = added.prevResult as Printed;
    expect(interfaces).toHaveLength(4);
    expect(interfaces[3]).toEqual({ name: detour(added), mac: expect.any(String), mtu: interfaces[1].mtu });
    expect(detour(added)).toMatch(/^bwp[0-9a-f]{12}$/);

    const [root, ingress] = await disciplines(sandbox, hostLink(added));
    expect(root).toMatchObject({ kind: "tbf", handle: "1:", root: true });
    expect(root.options).toMatchObject({ rate: 125_000, burst: 4096, lat: 25_000 });
    expect(ingress).toMatchObject({ kind: "ingress", handle: "ffff:" });
    const [own] = await disciplines(sandbox, detour(added));
    expect(own.options).toMatchObject({ rate: 250_000, burst: 8192, lat: 25_000 });
    expect(await filters(sandbox, hostLink(added))).toContain(
      `mirred (Egress Redirect to device ${detour(added)}) stolen`,
    );
    const [device]: Printed = await sandbox.json(["ip", "-json", "link", "show", "dev", detour(added)]);
    expect(device).toMatchObject({ mtu: 1500, ifalias: "warren lab pod-1 eth0", address: interfaces[3].mac });
    expect(device.flags).toContain("UP");

    await succeed(sandbox, "CHECK", added, POD);
    await succeed(sandbox, "DEL", added, POD);
    expect(await detours(sandbox)).toEqual([]);
    expect(await disciplines(sandbox, hostLink(added))).toEqual([]);
    // and once more, of nothing
    await succeed(sandbox, "DEL", added, POD);
  });

  test("S3-B04 without a limit the result passes and nothing is made", async () => {
    await using sandbox = await host();
    for (const limits of [{}, { ingressRate: 0, ingressBurst: 0 }, { runtimeConfig: {} }]) {
      const first = await succeed(sandbox, "ADD", bridge(sandbox), POD);
      const second = bandwidth(sandbox, { ...limits, prevResult: first.document });
      const added = await succeed(sandbox, "ADD", second, POD);
      expect(added.document).toEqual(first.document);
      expect(await detours(sandbox)).toEqual([]);
      expect(await disciplines(sandbox, first.document.interfaces[1].name)).toEqual([]);
      await succeed(sandbox, "CHECK", { ...second, prevResult: added.document }, POD);
      await succeed(sandbox, "DEL", second, POD);
      await succeed(sandbox, "DEL", bridge(sandbox), POD);
    }
  });

  test("one direction alone leaves the other as it is", async () => {
    await using sandbox = await host();
    const ingress = await attach(sandbox, { ingressRate: 1_000_000, ingressBurst: 32_768 });
    expect((await disciplines(sandbox, hostLink(ingress))).map(({ kind }) => kind)).toEqual(["tbf"]);
    expect(await detours(sandbox)).toEqual([]);
    const target = { containerId: "pod-2", netns: "pod2" };
    const egress = await attach(sandbox, { egressRate: 1_000_000, egressBurst: 32_768 }, target);
    expect((await disciplines(sandbox, hostLink(egress))).map(({ kind }) => kind)).toEqual(["ingress"]);
    expect(await detours(sandbox)).toEqual([detour(egress)]);
    await succeed(sandbox, "CHECK", ingress, POD);
    await succeed(sandbox, "CHECK", egress, target);
  });

  test("the capability is the limit, unless the config has one key of its own", async () => {
    await using sandbox = await host();
    const runtimeConfig = { bandwidth: LIMITS };
    const added = await attach(sandbox, { runtimeConfig });
    expect((await disciplines(sandbox, hostLink(added)))[0].options.rate).toBe(125_000);
    const target = { containerId: "pod-2", netns: "pod2" };
    const own = await attach(
      sandbox,
      { runtimeConfig, ingressRate: 8_000_000, ingressBurst: 80_000 },
      target,
    );
    expect((await disciplines(sandbox, hostLink(own)))[0].options.rate).toBe(1_000_000);
    expect(await detours(sandbox)).toEqual([detour(added)]);
    // DEL needs neither the limits nor the result
    await succeed(sandbox, "DEL", bandwidth(sandbox), POD);
    expect(await detours(sandbox)).toEqual([]);
    expect(await disciplines(sandbox, hostLink(added))).toEqual([]);
  });

  test("S3-B02 a pod's annotations are limits, as Kubernetes writes quantities, and any burst suits them", async () => {
    await using sandbox = await host();
    for (const [ingress, egress, bytes] of [
      ["10M", "0.5Gi", [1_250_000, 67_108_864]],
      ["1e6", undefined, [125_000, undefined]],
      [undefined, "1k", [undefined, 125]],
      ["1P", "1500k", [125_000_000_000_000, 187_500]],
    ] as const) {
      const added = await attach(sandbox, annotated({ ingress, egress }));
      const root = (await disciplines(sandbox, hostLink(added))).find(({ kind }) => kind === "tbf");
      const found = egress === undefined ? undefined : (await disciplines(sandbox, detour(added)))[0];
      expect([ingress, root?.options.rate, found?.options.rate]).toEqual([ingress, ...bytes]);
      for (const one of [root, found])
        if (one !== undefined) expect(one.options.burst).toBeGreaterThan(16_000);
      await succeed(sandbox, "CHECK", added, POD);
      await succeed(sandbox, "DEL", bandwidth(sandbox), POD);
      await succeed(sandbox, "DEL", bridge(sandbox), POD);
      expect(await detours(sandbox)).toEqual([]);
    }
  });

  test("S3-B03 an annotation that is no rate from 1k to 1P is refused, and nothing is made", async () => {
    await using sandbox = await host();
    const first = await succeed(sandbox, "ADD", bridge(sandbox), POD);
    for (const value of ["", "10Mbit", "10 M", "-1M", "0", "999", "1001T", "2P", "1e16", "fast"]) {
      const config = { ...annotated({ egress: value }), prevResult: first.document };
      const { document } = await call(sandbox, "ADD", bandwidth(sandbox, config), POD);
      const msg = `annotation kubernetes.io/egress-bandwidth is ${JSON.stringify(value)}`;
      expect(document).toMatchObject({ code: 7, msg, details: expect.stringContaining("from 1k to 1P") });
    }
    expect(await detours(sandbox)).toEqual([]);
    expect(await entries(sandbox)).not.toContain("bandwidth");
  });

  test("the config counts before the capability, and that before the annotations", async () => {
    await using sandbox = await host();
    const own = annotated({ ingress: "8M" });
    const capability = { ingressRate: 16_000_000, ingressBurst: 160_000 };
    for (const [more, rate] of [
      [own, 1_000_000],
      [{ runtimeConfig: { ...own.runtimeConfig, bandwidth: {} } }, 1_000_000],
      [{ runtimeConfig: { ...own.runtimeConfig, bandwidth: capability } }, 2_000_000],
      [{ ...own, ingressRate: 24_000_000, ingressBurst: 240_000 }, 3_000_000],
    ] as const) {
      const added = await attach(sandbox, more);
      expect((await disciplines(sandbox, hostLink(added)))[0].options.rate).toBe(rate);
      await succeed(sandbox, "DEL", bandwidth(sandbox), POD);
      await succeed(sandbox, "DEL", bridge(sandbox), POD);
    }
    // and inside of the plugin that makes the pair
    const inside = await succeed(sandbox, "ADD", bridge(sandbox, { bandwidth: {}, ...own }), POD);
    const [root] = await disciplines(sandbox, inside.document.interfaces[1].name);
    expect(root.options.rate).toBe(1_000_000);
  });

  test("keys may be spelled as Go's JSON lets them", async () => {
    await using sandbox = await host();
    const added = await attach(sandbox, { RuntimeConfig: { bandWidth: LIMITS } });
    expect((await disciplines(sandbox, hostLink(added)))[0].options.rate).toBe(125_000);
  });

  test("latencyMs makes the queue longer", async () => {
    await using sandbox = await host();
    const added = await attach(sandbox, { ...LIMITS, latencyMs: 400 });
    expect((await disciplines(sandbox, hostLink(added)))[0].options).toMatchObject({ lat: 400_000 });
    await succeed(sandbox, "CHECK", added, POD);
    const changed = await call(sandbox, "CHECK", { ...added, latencyMs: 25 }, POD);
    expect(changed.document).toMatchObject({ code: 103, msg: expect.stringContaining("queues") });
  });

  test("S3-B03 rates beyond 2^32 bytes a second and the bursts of Kubernetes are exact", async () => {
    await using sandbox = await host();
    const limits = {
      ingressRate: 100_000_000_000_000,
      ingressBurst: 34_000_000_000,
      egressRate: 1000,
      egressBurst: 0xffff_ffff,
    };
    const added = await attach(sandbox, limits);
    expect((await disciplines(sandbox, hostLink(added)))[0].options.rate).toBe(12_500_000_000_000);
    await succeed(sandbox, "CHECK", added, POD);
    const other = await call(sandbox, "CHECK", { ...added, egressBurst: 0xfff_ffff }, POD);
    expect(other.document.code).toBe(103);
  });

  test("S3-B07 a result without the host's end is no obstacle, a result without a pair is code 7", async () => {
    await using sandbox = await host();
    const first = await succeed(sandbox, "ADD", bridge(sandbox), POD);
    const interfaces = first.document.interfaces.filter((one: Printed) => one.sandbox !== undefined);
    const second = bandwidth(sandbox, { ...LIMITS, prevResult: { ...first.document, interfaces, ips: [] } });
    const added = await succeed(sandbox, "ADD", second, POD);
    expect((await disciplines(sandbox, first.document.interfaces[1].name))[0].kind).toBe("tbf");
    expect(added.document.interfaces).toHaveLength(2);
    await succeed(sandbox, "DEL", second, POD);

    const setUp = `
      ip -n pod2 link add dummy0 type ifb
      ip -n pod2 link add near type veth peer name far`;
    await sandbox.text(["sh", "-ec", setUp]);
    for (const [ifname, message] of [
      ["dummy0", "container interface dummy0 has no veth peer on the host"],
      // an interface of the host may have the number of the far end
      ["near", "container interface near has no veth peer on the host"],
      ["none", 'container interface "none" is not in /run/netns/pod2'],
    ] as const) {
      const target = { containerId: "pod-2", netns: "pod2", ifname };
      const refused = await call(sandbox, "ADD", second, target);
      expect(refused.document).toMatchObject({ code: 7, msg: message });
    }
    expect(await detours(sandbox)).toEqual([]);
  });

  test("an interface of the host that happens to have the numbers of a pair elsewhere is left alone", async () => {
    await using sandbox = await host();
    // both pairs have the same two numbers, but only one of them has an end on the host
    const setUp = `
      ip netns add other
      ip link add index 70 name decoy type veth peer name eth0 index 71 netns pod2
      ip -n other link add index 70 name far type veth peer name eth0 index 71 netns pod1`;
    await sandbox.text(["sh", "-ec", setUp]);
    const config = bandwidth(sandbox, { ...LIMITS, prevResult: { interfaces: [{ name: "decoy" }] } });
    const refused = await call(sandbox, "ADD", config, POD);
    expect(refused.document).toMatchObject({
      code: 7,
      details: "its other end is in another network namespace",
    });
    expect(await disciplines(sandbox, "decoy")).toEqual([]);
    await succeed(sandbox, "ADD", config, { containerId: "pod-2", netns: "pod2" });
    expect((await disciplines(sandbox, "decoy"))[0].kind).toBe("tbf");
  });

  test.each(["ingress", "clsact"])(
    "a qdisc %s of somebody else and its filters stay (issue 894)",
    async (kind) => {
      await using sandbox = await host();
      await sandbox.text(["ip", "link", "add", "sink", "type", "ifb"]);
      const first = await succeed(sandbox, "ADD", bridge(sandbox), POD);
      const name = first.document.interfaces[1].name;
      const setUp = `
      tc qdisc add dev ${name} ${kind}
      tc filter add dev ${name} ingress protocol ip prio 7 u32 match ip dst 192.0.2.1/32 action mirred egress redirect dev sink`;
      await sandbox.text(["sh", "-ec", setUp]);
      const before = await filters(sandbox, name);
      const second = bandwidth(sandbox, { ...LIMITS, prevResult: first.document });
      const added = await succeed(sandbox, "ADD", second, POD);
      expect(await filters(sandbox, name)).toContain("pref 8 u32");
      await succeed(sandbox, "CHECK", { ...second, prevResult: added.document }, POD);
      await succeed(sandbox, "DEL", second, POD);
      expect(await filters(sandbox, name)).toBe(before);
      expect((await disciplines(sandbox, name)).map((one) => one.kind)).toEqual([kind]);
      expect(await detours(sandbox)).toEqual(["sink"]);
    },
  );

  test("two interfaces of one container on one network have detours of their own", async () => {
    await using sandbox = await host();
    const one = await attach(sandbox, LIMITS);
    const target = { ...POD, ifname: "net1" };
    const two = await attach(sandbox, LIMITS, target);
    expect(detour(one)).not.toBe(detour(two));
    await succeed(sandbox, "DEL", one, POD);
    expect(await detours(sandbox)).toEqual([detour(two)]);
    await succeed(sandbox, "CHECK", two, target);
  });

  test("a failure leaves nothing: a root qdisc of somebody else, a name that is taken", async () => {
    await using sandbox = await host();
    const first = await succeed(sandbox, "ADD", bridge(sandbox), POD);
    const name = first.document.interfaces[1].name;
    const second = bandwidth(sandbox, { ...LIMITS, prevResult: first.document });
    await sandbox.text(["tc", "qdisc", "add", "dev", name, "root", "handle", "5:", "pfifo"]);
    const refused = await call(sandbox, "ADD", second, POD);
    expect(refused.document).toMatchObject({
      code: 102,
      msg: `interface ${name} has a queueing discipline already: pfifo`,
    });
    expect((await disciplines(sandbox, name)).map(({ kind }) => kind)).toEqual(["pfifo"]);
    await sandbox.text(["tc", "qdisc", "del", "dev", name, "root"]);

    const added = await succeed(sandbox, "ADD", second, POD);
    const taken = added.document.interfaces[3].name;
    await succeed(sandbox, "DEL", second, POD);
    await sandbox.text(["ip", "link", "add", taken, "type", "bridge"]);
    const again = await call(sandbox, "ADD", second, POD);
    expect(again.document).toMatchObject({ code: 102, msg: expect.stringContaining(taken) });
    expect(await disciplines(sandbox, name)).toEqual([]);
    expect(await linkNames(sandbox)).toContain(taken);
    expect(await entries(sandbox)).not.toContain("limit");
  });

  test("a burst that no packet fits into is told on standard error", async () => {
    await using sandbox = await host();
    const first = await succeed(sandbox, "ADD", bridge(sandbox), POD);
    const small = { ingressRate: 1_000_000, ingressBurst: 800, prevResult: first.document };
    const added = await succeed(sandbox, "ADD", bandwidth(sandbox, small), POD);
    expect(added.stderr).toContain("a burst of 100 bytes lets no packet of 1500 bytes (MTU) pass");
  });

  test.each(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])(
    "a config of %s gets a result of it",
    async (cniVersion) => {
      await using sandbox = await host();
      const first = await succeed(sandbox, "ADD", bridge(sandbox, { cniVersion }), POD);
      const second = bandwidth(sandbox, { cniVersion, ...LIMITS, prevResult: first.document });
      const { document } = await succeed(sandbox, "ADD", second, POD);
      expect(document.cniVersion).toBe(cniVersion);
      expect(document.interfaces).toHaveLength(4);
      expect(document.ips).toEqual(first.document.ips);
    },
  );

  test("0.2.0, whose results have no interfaces, is shaped all the same", async () => {
    await using sandbox = await host();
    const cniVersion = "0.2.0";
    const first = await succeed(sandbox, "ADD", bridge(sandbox, { cniVersion }), POD);
    const second = bandwidth(sandbox, { cniVersion, ...LIMITS, prevResult: first.document });
    const { document } = await succeed(sandbox, "ADD", second, POD);
    expect(document).toEqual(first.document);
    expect(await detours(sandbox)).toHaveLength(1);
  });

  test("thirty pods at once each get limits of their own", async () => {
    await using sandbox = await host();
    const targets = Array.from({ length: 30 }, (_, index) => ({
      containerId: `pod-${index}`,
      netns: "pod1",
      ifname: `net${index}`,
    }));
    const added = await Promise.all(targets.map((target) => attach(sandbox, LIMITS, target)));
    expect(new Set(await detours(sandbox)).size).toBe(30);
    await Promise.all(added.map((one, index) => succeed(sandbox, "CHECK", one, targets[index])));
    const config = bandwidth(sandbox, { "cni.dev/valid-attachments": [] });
    const { stderr } = await succeed(sandbox, "GC", config);
    expect(stderr.trim().split("\n")).toHaveLength(30);
    expect(await detours(sandbox)).toEqual([]);
  }, 60_000);
});

describe("what gets through", () => {
  const isWithin = (measured: number, bits: number) => measured > bits * 0.9 && measured < bits * 1.1;

  test.each(["ingress", "egress"] as const)(
    "S3-B01 a limit on %s holds within a tenth, and the other direction is free",
    async (direction) => {
      await using sandbox = await host();
      const bits = 4_000_000;
      const added = await attach(sandbox, {
        [`${direction}Rate`]: bits,
        [`${direction}Burst`]: 256_000,
      });
      const [limited, free] =
        direction === "ingress" ? (["there", "back"] as const) : (["back", "there"] as const);
      // a machine that stops for longer than the bucket lasts loses what would have filled it: then once more
      const seen: number[] = [];
      for (let attempt = 0; attempt < 4; attempt++) {
        const rates = await tcpRates(sandbox, "2", "0.5");
        expect(rates[free]).toBeGreaterThan(10 * bits);
        seen.push(rates[limited]);
        if (isWithin(rates[limited], bits)) break;
      }
      expect(seen.map((measured) => isWithin(measured, bits) || measured)).toContain(true);
      // after DEL of the limit alone the pod is as free as it was
      await succeed(sandbox, "DEL", added, POD);
      const again = (await tcpRates(sandbox, "0.2", "0"))[limited];
      expect(again).toBeGreaterThan(10 * bits);
    },
    30_000,
  );
});

describe("CHECK", () => {
  test("S3-B06 finds whatever is gone or altered", async () => {
    await using sandbox = await host();
    const added = await attach(sandbox, LIMITS);
    const [veth, ifb] = [hostLink(added), detour(added)];
    const bucket = (rate: string, burst: string, latency: string) =>
      `tbf rate ${rate} burst ${burst} latency ${latency}`;
    const good = { [veth]: bucket("1mbit", "4096", "25ms"), [ifb]: bucket("2mbit", "8192", "25ms") };
    const redirect = `tc filter add dev ${veth} ingress protocol all prio 1 u32 match u32 0 0 action mirred egress redirect dev ${ifb}`;
    for (const [spoil, cure, message] of [
      [
        `tc qdisc del dev ${veth} root`,
        `tc qdisc add dev ${veth} root handle 1: ${good[veth]}`,
        "no token bucket",
      ],
      [
        `tc qdisc del dev ${ifb} root`,
        `tc qdisc add dev ${ifb} root handle 1: ${good[ifb]}`,
        "no token bucket",
      ],
      [
        `tc qdisc replace dev ${veth} root handle 1: ${bucket("3mbit", "4096", "25ms")}`,
        `tc qdisc replace dev ${veth} root handle 1: ${good[veth]}`,
        "375000 bytes a second",
      ],
      [
        `tc qdisc replace dev ${ifb} root handle 1: ${bucket("2mbit", "9000", "25ms")}`,
        `tc qdisc replace dev ${ifb} root handle 1: ${good[ifb]}`,
        "queues",
      ],
      [
        `tc qdisc replace dev ${ifb} root handle 1: tbf rate 2mbit burst 9000 limit 14442`,
        `tc qdisc replace dev ${ifb} root handle 1: ${good[ifb]}`,
        "burst",
      ],
      [
        `tc qdisc replace dev ${veth} root pfifo`,
        `tc qdisc replace dev ${veth} root handle 1: ${good[veth]}`,
        "no token bucket",
      ],
      [`tc filter del dev ${veth} ingress prio 1`, redirect, "not redirected"],
      [
        `tc filter replace dev ${veth} ingress protocol all prio 1 u32 match u32 0 0 action mirred egress mirror dev ${ifb}; tc filter del dev ${veth} ingress prio 1 handle 800::800 u32`,
        `tc filter del dev ${veth} ingress prio 1; ${redirect}`,
        "not redirected",
      ],
      [`tc qdisc del dev ${veth} ingress`, `tc qdisc add dev ${veth} ingress; ${redirect}`, "not redirected"],
      [`ip link set ${ifb} down`, `ip link set ${ifb} up`, "is down"],
      [`ip link del ${ifb}`, "true", `interface ${ifb} is gone`],
    ] as const) {
      await succeed(sandbox, "CHECK", added, POD);
      await sandbox.text(["sh", "-ec", spoil]);
      const answer = await call(sandbox, "CHECK", added, POD);
      expect([spoil, answer.document.code, answer.document.msg]).toEqual([
        spoil,
        103,
        expect.stringContaining(message),
      ]);
      await sandbox.text(["sh", "-ec", cure]);
    }
    // with the device gone, DEL still takes back the rest
    await succeed(sandbox, "DEL", added, POD);
    expect(await disciplines(sandbox, veth)).toEqual([]);
  });

  test("of what was never added, or added with other limits", async () => {
    await using sandbox = await host();
    const first = await succeed(sandbox, "ADD", bridge(sandbox), POD);
    const second = bandwidth(sandbox, { ...LIMITS, prevResult: first.document });
    const nothing = await call(sandbox, "CHECK", second, POD);
    expect(nothing.document).toMatchObject({
      code: 103,
      msg: expect.stringContaining("nothing is written down"),
    });
    const ingress = { ingressRate: LIMITS.ingressRate, ingressBurst: LIMITS.ingressBurst };
    await succeed(sandbox, "ADD", bandwidth(sandbox, { ...ingress, prevResult: first.document }), POD);
    const more = await call(sandbox, "CHECK", second, POD);
    expect(more.document).toMatchObject({
      code: 103,
      msg: expect.stringContaining("without a limit on what it sends"),
    });
  });
});

describe("DEL and GC", () => {
  test("S3-B05 DEL works with namespace, host's end and the rest of the config gone", async () => {
    await using sandbox = await host();
    const added = await attach(sandbox, LIMITS);
    await sandbox.text(["ip", "netns", "del", "pod1"]);
    // with the namespace its end of the pair goes, and with that the host's, a little later
    await sandbox.run(["ip", "link", "del", hostLink(added)]);
    expect(await detours(sandbox)).toEqual([detour(added)]);
    const broken = bandwidth(sandbox, { ingressRate: "fast", runtimeConfig: 7, prevResult: "nothing" });
    await succeed(sandbox, "DEL", broken, { ...POD, netns: "" });
    expect(await detours(sandbox)).toEqual([]);
    await succeed(sandbox, "DEL", bridge(sandbox), { ...POD, netns: "" });
    expect(await entries(sandbox)).toBe("");
  });

  test("DEL and GC find the detour of a store that was lost", async () => {
    await using sandbox = await host();
    const other = { containerId: "pod-2", netns: "pod2" };
    await attach(sandbox, LIMITS);
    const kept = await attach(sandbox, LIMITS, other);
    rmSync(`${sandbox.directory}/store`, { recursive: true });
    await succeed(sandbox, "DEL", bandwidth(sandbox), POD);
    expect(await detours(sandbox)).toEqual([detour(kept)]);
    const valid = (list: object[]) => bandwidth(sandbox, { "cni.dev/valid-attachments": list });
    await succeed(sandbox, "GC", valid([{ containerID: "pod-2", ifname: "eth0" }]));
    expect(await detours(sandbox)).toEqual([detour(kept)]);
    // another network's GC has no say
    await succeed(sandbox, "GC", { ...valid([]), name: "elsewhere" });
    expect(await detours(sandbox)).toEqual([detour(kept)]);
    await succeed(sandbox, "GC", valid([]));
    expect(await detours(sandbox)).toEqual([]);
  });

  test.each(["DEL", "GC", "another ADD"])(
    "after the loss of the store %s sends nothing to a detour that is gone, and leaves the filters of others",
    async (verb) => {
      await using sandbox = await host();
      const other = { containerId: "pod-2", netns: "pod2" };
      const sending = { egressRate: LIMITS.egressRate, egressBurst: LIMITS.egressBurst };
      const added = await attach(sandbox, sending);
      const second = await attach(sandbox, sending, other);
      const foreign = "protocol ip prio 7 u32 match ip dst 192.0.2.1/32 flowid 1:1";
      await sandbox.text(["sh", "-ec", `tc filter add dev ${hostLink(second)} ingress ${foreign}`]);
      rmSync(`${sandbox.directory}/store`, { recursive: true });
      if (verb === "GC") {
        await succeed(sandbox, "GC", bandwidth(sandbox, { "cni.dev/valid-attachments": [] }));
      } else {
        for (const [one, target] of [
          [added, POD],
          [second, other],
        ] as const) {
          // without DEL an interface stays as it is; the result of its ADD had no detour yet
          const { interfaces, ...rest } = one.prevResult as Printed;
          const prevResult = { ...rest, interfaces: interfaces.slice(0, 3) };
          if (verb === "another ADD") {
            const again = await succeed(sandbox, "ADD", { ...one, prevResult }, target);
            await succeed(sandbox, "CHECK", { ...one, prevResult: again.document }, target);
            expect((await filters(sandbox, hostLink(one))).match(/mirred/g)).toHaveLength(1);
          }
          await succeed(sandbox, "DEL", bandwidth(sandbox), target);
        }
      }
      expect(await detours(sandbox)).toEqual([]);
      expect(await disciplines(sandbox, hostLink(added))).toEqual([]);
      const left = await filters(sandbox, hostLink(second));
      expect(left).not.toContain("mirred");
      expect(left).toContain("match c0000201/ffffffff");
    },
  );

  test("S3-B05 GC takes back what is not alive, and without a list nothing", async () => {
    await using sandbox = await host();
    const other = { containerId: "pod-2", netns: "pod2" };
    const dead = await attach(sandbox, LIMITS);
    const alive = await attach(sandbox, LIMITS, other);
    const note = await succeed(sandbox, "GC", bandwidth(sandbox));
    expect(note.stderr).toContain("nothing is collected");
    expect(await detours(sandbox)).toHaveLength(2);
    const list = [{ containerID: "pod-2", ifname: "eth0" }];
    await succeed(
      sandbox,
      "GC",
      bandwidth(sandbox, { "cni.dev/valid-attachments": list, egressRate: "bad" }),
    );
    expect(await detours(sandbox)).toEqual([detour(alive)]);
    expect(await disciplines(sandbox, hostLink(dead))).toEqual([]);
    await succeed(sandbox, "CHECK", alive, other);
  });

  test("an interface that got a dead one's name keeps its own discipline", async () => {
    await using sandbox = await host();
    const added = await attach(sandbox, LIMITS);
    const name = hostLink(added);
    const replace = `
      ip link del ${name}
      ip link add ${name} type veth peer name far
      tc qdisc add dev ${name} root handle 1: tbf rate 5mbit burst 4096 latency 25ms`;
    await sandbox.text(["sh", "-ec", replace]);
    await succeed(sandbox, "DEL", added, POD);
    expect((await disciplines(sandbox, name)).map(({ kind }) => kind)).toEqual(["tbf"]);
  });

  test("an ADD that was killed at any moment leaves nothing that DEL does not take back", async () => {
    await using sandbox = await host();
    for (let delay = 4; delay < 24; delay += 4) {
      const first = await succeed(sandbox, "ADD", bridge(sandbox), POD);
      const second = bandwidth(sandbox, { ...LIMITS, prevResult: first.document });
      const child = sandbox.start([`${PLUGIN_FOLDER}/warren-bandwidth`], {
        env: {
          CNI_COMMAND: "ADD",
          CNI_CONTAINERID: POD.containerId,
          CNI_NETNS: "/run/netns/pod1",
          CNI_IFNAME: "eth0",
          CNI_PATH: PLUGIN_FOLDER,
        },
        stdin: JSON.stringify(second),
      });
      await Bun.sleep(delay);
      child.kill("SIGKILL");
      await child.exited;
      await succeed(sandbox, "DEL", bandwidth(sandbox), { ...POD, netns: "" });
      expect(await detours(sandbox)).toEqual([]);
      expect(await disciplines(sandbox, first.document.interfaces[1].name)).toEqual([]);
      await succeed(sandbox, "DEL", bridge(sandbox), POD);
    }
  }, 30_000);
});

describe("STATUS", () => {
  test("is ready, leaves nothing, and says 50 for a store that takes no write", async () => {
    await using sandbox = await host();
    await succeed(sandbox, "STATUS", bandwidth(sandbox));
    await succeed(sandbox, "STATUS", bandwidth(sandbox, LIMITS));
    expect(await linkNames(sandbox)).toEqual([]);
    const lost = await call(sandbox, "STATUS", bandwidth(sandbox, { dataDir: "/none/at/all" }));
    expect(lost.document.code).toBe(50);
  });
});

describe("bad input", () => {
  const prevResult = { interfaces: [{ name: "eth0", sandbox: "/x" }] };
  test.each([
    ["no prevResult", { ...LIMITS }, 7, "must be called as chained plugin"],
    ["no prevResult and no limit", {}, 7, "must be called as chained plugin"],
    ["a rate alone", { prevResult, ingressRate: 8 }, 7, "if rate is set, burst must also be set"],
    ["a burst alone", { prevResult, egressBurst: 8 }, 7, "if burst is set, rate must also be set"],
    [
      "a runtime's rate alone",
      { prevResult, runtimeConfig: { bandwidth: { egressRate: 9 } } },
      7,
      "if rate is set",
    ],
    ["a negative rate", { prevResult, ingressRate: -1, ingressBurst: 8 }, 7, '"ingressRate" is -1'],
    ["half a bit", { prevResult, ingressRate: 8.5, ingressBurst: 8 }, 7, '"ingressRate" is 8.5'],
    ["a rate in quotes", { prevResult, ingressRate: "1M", ingressBurst: 8 }, 7, '"ingressRate" is "1M"'],
    [
      "a rate that JSON can't carry",
      { prevResult, ingressRate: 2 ** 60, ingressBurst: 8 },
      7,
      '"ingressRate" is 11529',
    ],
    ["a rate below a byte", { prevResult, ingressRate: 7, ingressBurst: 8 }, 7, '"ingressRate" is 7'],
    ["a burst below a byte", { prevResult, ingressRate: 8, ingressBurst: 7 }, 7, '"ingressBurst" is 7'],
    [
      "a burst of 4 GiB",
      { prevResult, egressRate: 8, egressBurst: 8 * 0xffff_ffff },
      7,
      "burst cannot be more than 4GB",
    ],
    ["no latency", { prevResult, ...LIMITS, latencyMs: 0 }, 7, '"latencyMs" is 0'],
    ["a year's latency", { prevResult, ...LIMITS, latencyMs: 1e9 }, 7, '"latencyMs" is 1000000000'],
    ["subnets", { prevResult, ...LIMITS, shapedSubnets: ["10.0.0.0/8"] }, 2, '"shapedSubnets"'],
    [
      "a runtime's subnets",
      { prevResult, runtimeConfig: { bandwidth: { ...LIMITS, unshapedSubnets: ["10.0.0.0/8"] } } },
      2,
      '"runtimeConfig.bandwidth.unshapedSubnets"',
    ],
    ["a runtimeConfig that is text", { prevResult, runtimeConfig: "x" }, 7, '"runtimeConfig" is "x"'],
    [
      "a bandwidth that is a list",
      { prevResult, runtimeConfig: { bandwidth: [] } },
      7,
      '"runtimeConfig.bandwidth" is []',
    ],
    ["a relative store", { prevResult, ...LIMITS, dataDir: "store" }, 7, '"dataDir" is "store"'],
    ["an interface that is not there", { prevResult, ...LIMITS }, 7, '"eth0" is not in /run/netns/pod1'],
  ] as const)("%s is refused", async (_, config: Config, code: number, message: string) => {
    await using sandbox = await host();
    const answer: Answer = await call(sandbox, "ADD", bandwidth(sandbox, config), POD);
    expect(answer.exitCode).toBe(1);
    expect(answer.document).toMatchObject({ code, msg: expect.stringContaining(message) });
    expect(await linkNames(sandbox)).toEqual([]);
    expect(await entries(sandbox)).toBe("");
  });
});

describe("beside the reference plugin", () => {
  testWith(tools.referencePlugins, tools.program("tc"))(
    "the same config gives the same buckets, filters and result",
    async () => {
      const reference = tools.referencePlugins.path ?? "";
      const states: Printed[] = [];
      for (const type of ["warren-bandwidth", "bandwidth"]) {
        await using sandbox = await host();
        const first = await succeed(sandbox, "ADD", bridge(sandbox), POD);
        const second: Config = {
          cniVersion: "1.1.0",
          name: "lab",
          type,
          ...LIMITS,
          prevResult: first.document,
        };
        const path = type === "bandwidth" ? reference : PLUGIN_FOLDER;
        const { document } = await succeed(sandbox, "ADD", second, POD, path);
        const [veth, ifb] = [document.interfaces[1].name, document.interfaces[3].name];
        const [device]: Printed = await sandbox.json(["ip", "-json", "link", "show", "dev", ifb]);
        const plain = (one: Printed) => ({ ...one, options: { ...one.options, linklayer: undefined } });
        const text = await filters(sandbox, veth);
        states.push({
          root: (await disciplines(sandbox, veth)).map(plain),
          detour: (await disciplines(sandbox, ifb)).map(plain),
          // the reference redirects once more behind its first redirection, to which nothing comes
          filter: /action order 1: .*/.exec(text.replaceAll(ifb, "IFB"))?.[0],
          device: { mtu: device.mtu, flags: device.flags, queue: device.txqlen ?? 0 },
          interfaces: document.interfaces.map((one: Printed) =>
            Object.keys(one)
              .filter((key) => key !== "mtu")
              .sort(),
          ),
          ips: document.ips,
        });
        await succeed(sandbox, "CHECK", { ...second, prevResult: document }, POD, path);
        await succeed(sandbox, "DEL", { ...second, prevResult: document }, POD, path);
        expect(await detours(sandbox)).toEqual([]);
      }
      expect(states[0]).toEqual(states[1]);
    },
  );
});
