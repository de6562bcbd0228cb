// The plugin quickack on a real kernel: routes are witnessed by ip, and what they do by the rounds of `warren probe`.
// Host and pods are throwaway namespaces.
import { expect, setDefaultTimeout, test } from "bun:test";
import { type Answer, type Config, call, succeed } from "../support/plugins.ts";
import type { Printed } from "../support/printed.ts";
import { Sandbox, WARREN } from "../support/sandbox.ts";

setDefaultTimeout(30_000);

const POD = { containerId: "pod-1", netns: "pod1" };
const OTHER = { containerId: "pod-2", netns: "pod2" };

const host = () => Sandbox.withPods("pod1", "pod2");

function bridge(sandbox: Sandbox, more: Config = {}): Config {
  const dataDir = `${sandbox.directory}/store`;
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-bridge",
    bridge: "br0",
    isDefaultGateway: true,
    dataDir,
    ...more,
    ipam: {
      type: "warren-ipam",
      dataDir,
      ranges: [[{ subnet: "10.88.0.0/16" }], [{ subnet: "fd00:88::/64" }]],
    },
  };
}

function annotated(value: string | null): Config {
  return { runtimeConfig: { "io.kubernetes.cri.pod-annotations": { "enable-quickack": value, app: "web" } } };
}

function quickack(sandbox: Sandbox, more: Config, previous?: Answer): Config {
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-quickack",
    dataDir: `${sandbox.directory}/store`,
    ...(previous === undefined ? {} : { prevResult: previous.document }),
    ...more,
  };
}

/** Runs ADD of the chain and returns the config of the second plugin with what CHECK gets. */
async function attach(sandbox: Sandbox, more: Config, target = POD): Promise<Config> {
  const first = await succeed(sandbox, "ADD", bridge(sandbox), target);
  const second = quickack(sandbox, more, first);
  const added = await succeed(sandbox, "ADD", second, target);
  expect(added.document).toEqual(first.document);
  return second;
}

/** Every unicast route of the pod in ip's words, which name all of its attributes. */
async function routes(sandbox: Sandbox, pod = "pod1", device = "eth0"): Promise<string[]> {
  const lines: string[] = [];
  for (const family of ["-4", "-6"]) {
    const words = ["ip", "-details", family, "-n", pod, "route", "show", "table", "all", "type", "unicast"];
    const text = (await sandbox.text(words)).replaceAll(/ *\n\s*(?=nexthop|nh_info)/g, " ");
    lines.push(...text.split("\n").filter((line) => line.includes(` dev ${device} `)));
  }
  return lines.map((line) => line.replaceAll(/ expires \d+sec/g, " expires SOON").trim());
}

function withoutQuickack(lines: readonly string[]): string[] {
  return lines.map((line) =>
    line
      .replace(/ quickack 1\b/, "")
      .replace(/\s+/g, " ")
      .trim(),
  );
}

async function pod(sandbox: Sandbox, script: string): Promise<string> {
  return sandbox.text(["sh", "-ec", script]);
}

/** Routes with every attribute that iproute2 can give them here, on eth0 and beside it on another interface. */
const MANY_ROUTES = `
ip -n pod1 link add eth1 type veth peer name far
ip -n pod1 link set eth1 up
ip -n pod1 link set far up
ip -n pod1 address add 10.9.0.1/24 dev eth1
ip -n pod1 route add 10.1.0.0/16 via 10.88.0.1 dev eth0 metric 50 src 10.88.0.2 mtu lock 1400 advmss 1200 initcwnd 20 congctl reno realm 7
ip -n pod1 route add 10.2.0.0/16 via 192.0.2.1 dev eth0 onlink proto bird table 1000
ip -n pod1 route add 10.3.0.0/16 nexthop via 10.88.0.1 dev eth0 weight 3 nexthop via 10.88.0.9 dev eth0 weight 1
ip -n pod1 route add 10.4.0.0/16 rtt 100ms nexthop via 10.88.0.1 dev eth0 nexthop via 10.9.0.2 dev eth1
ip -n pod1 route add 10.5.0.0/16 dev eth1
ip -n pod1 route append 10.5.0.0/16 dev eth0
ip -n pod1 route append 10.5.0.0/16 via 10.88.0.1 dev eth0
ip -n pod1 route add 10.5.0.0/16 dev eth0 tos 0x10
ip -n pod1 route add 10.6.0.0/16 via inet6 fd00:88::1 dev eth0
ip -n pod1 route add 10.7.0.0/16 via 10.88.0.1 dev eth0 mtu 1300 quickack 1
ip -n pod1 route add unreachable 10.8.0.0/16
ip -n pod1 nexthop add id 11 via 10.88.0.1 dev eth0
ip -n pod1 route add 10.10.0.0/16 nhid 11
ip -n pod1 -6 route add 2001:db8:1::/48 via fd00:88::1 dev eth0 metric 70 src fd00:88::2 mtu 1280 hoplimit 9
ip -n pod1 -6 route add default via fd00:88::9 dev eth0 metric 512 proto ra pref high expires 1000
ip -n pod1 -6 route add 2001:db8:2::/48 nexthop via fd00:88::1 dev eth0 nexthop via fd00:88::9 dev eth0
`;

test("S3-Q01 every unicast route of the interface gets quickack, both families, and nothing else of it changes", async () => {
  await using sandbox = await host();
  const first = await succeed(sandbox, "ADD", bridge(sandbox), POD);
  await pod(sandbox, MANY_ROUTES);
  const before = await routes(sandbox);
  const beside = await routes(sandbox, "pod1", "eth1");
  expect(before.length).toBeGreaterThanOrEqual(18);
  // the ones that this must not touch: another interface's of the very same destination and metric
  expect(beside.filter((line) => /10\.5\.0\.0|fe80/.test(line))).toHaveLength(2);

  const second = quickack(sandbox, annotated("true"), first);
  await succeed(sandbox, "ADD", second, POD);
  const after = await routes(sandbox);
  for (const line of after) expect(line).toContain(" quickack 1");
  expect(withoutQuickack(after)).toEqual(withoutQuickack(before));
  // where a route leads out of both, it is one route
  const shared = (line: string) => line.includes("10.4.0.0/16");
  const left = (await routes(sandbox, "pod1", "eth1")).filter((line) => !shared(line));
  expect(left).toEqual(beside.filter((line) => !shared(line)));
  await succeed(sandbox, "CHECK", second, POD);
  await succeed(sandbox, "CHECK", { ...bridge(sandbox), prevResult: first.document }, POD);

  await succeed(sandbox, "DEL", quickack(sandbox, {}), POD);
  // the one that somebody else had made quick still is
  expect(await routes(sandbox)).toEqual(before);
  await succeed(sandbox, "DEL", quickack(sandbox, {}), POD);
});

test("S3-Q01 routes: default leaves the others as they are, and the config's own word counts without an annotation", async () => {
  await using sandbox = await host();
  await attach(sandbox, { routes: "default", enabled: true });
  const quick = (await routes(sandbox)).filter((line) => line.includes("quickack 1"));
  expect(quick.map((line) => line.replace(/ dev .*/, ""))).toEqual([
    "unicast default via 10.88.0.1",
    "unicast default via fd00:88::1",
  ]);
  // what a pod says counts before what its network says
  await attach(sandbox, { enabled: true, ...annotated("no") }, OTHER);
  expect((await routes(sandbox, "pod2")).filter((line) => line.includes("quickack"))).toEqual([]);
});

test("S3-Q02 a client that writes twice and reads stalls at a server without the plugin, and not at one with it", async () => {
  await using sandbox = await host();
  await attach(sandbox, annotated("y"));
  await attach(sandbox, {}, OTHER);
  const rounds = async (from: string, to: string) => {
    const words = [WARREN, "probe", from, to, "--only", "stall", "--count", "12", "--json"];
    const { stall }: Printed = await sandbox.json(words);
    return stall;
  };
  const without = await rounds("pod1", "pod2");
  const having = await rounds("pod2", "pod1");
  // a busy machine may hold up a round or two, but the kernel waits in nearly all of the others
  expect(without.stalled).toBeGreaterThanOrEqual(9);
  expect(having.stalled).toBeLessThanOrEqual(2);
  expect(without.spread.medianMs).toBeGreaterThan(8 * having.spread.medianMs);
});

test("S3-Q03 DEL restores while the container lives, also without a namespace in the call; GC does it for the others", async () => {
  await using sandbox = await host();
  const quick = async (name: string) =>
    (await routes(sandbox, name)).filter((line) => line.includes("quickack 1")).length;
  for (const target of [POD, OTHER]) await attach(sandbox, annotated("1"), target);
  expect(await quick("pod1")).toBeGreaterThan(3);
  await succeed(sandbox, "DEL", quickack(sandbox, {}), { ...POD, netns: "" });
  expect([await quick("pod1"), (await quick("pod2")) > 3]).toEqual([0, true]);
  const valid = { "cni.dev/valid-attachments": [] };
  await succeed(sandbox, "GC", quickack(sandbox, valid));
  expect(await quick("pod2")).toBe(0);
  // and where the container is gone there is nothing to restore
  await attach(sandbox, annotated("t"), POD).catch(() => undefined);
  await succeed(sandbox, "DEL", bridge(sandbox), POD);
  await attach(sandbox, annotated("t"));
  await sandbox.text(["ip", "netns", "delete", "pod1"]);
  await succeed(sandbox, "DEL", quickack(sandbox, {}), POD);
  const shown = await sandbox.run([
    WARREN,
    "show",
    "pod-1",
    "--json",
    "--data-dir",
    `${sandbox.directory}/store`,
  ]);
  expect(shown.stdout).not.toContain("quick routes");
});

test("S3-Q03 CHECK detects loss: of the attribute, of the route, of the interface", async () => {
  await using sandbox = await host();
  const added = await attach(sandbox, annotated("yes"));
  const fails = async (words: string) => {
    const { document } = await call(sandbox, "CHECK", added, POD);
    expect(document).toMatchObject({ code: 103, msg: expect.stringContaining(words) });
  };
  await succeed(sandbox, "CHECK", added, POD);
  // a runtime that forgets the annotation does not hide the loss
  await succeed(sandbox, "CHECK", { ...added, runtimeConfig: {} }, POD);
  await pod(sandbox, "ip -n pod1 route change default via 10.88.0.1 dev eth0");
  await fails("the route default via 10.88.0.1 of eth0 has no quickack");
  await pod(sandbox, "ip -n pod1 route change default via 10.88.0.1 dev eth0 quickack 1");
  await succeed(sandbox, "CHECK", added, POD);
  await pod(sandbox, "ip -n pod1 route delete fd00:88::/64 dev eth0");
  await fails("the route fd00:88::/64 is gone from eth0");
  await pod(sandbox, "ip -n pod1 link set eth0 down; ip -n pod1 link set eth0 name other");
  await fails("interface eth0 is gone");
});

test("S3-Q03 no default route is success with a note, and an unknown value is a warning with the result passed on", async () => {
  await using sandbox = await host();
  const first = await succeed(sandbox, "ADD", bridge(sandbox, { isDefaultGateway: false }), POD);
  await pod(sandbox, "ip -n pod1 route flush default; ip -n pod1 -6 route flush default");
  const second = quickack(sandbox, { routes: "default", ...annotated("true") }, first);
  const added = await succeed(sandbox, "ADD", second, POD);
  expect(added.stderr).toContain("warren-quickack: no default route leads out of eth0");
  expect(added.document).toEqual(first.document);
  await succeed(sandbox, "CHECK", second, POD);
  await succeed(sandbox, "DEL", second, POD);
  for (const [value, warning] of [
    ["maybe", 'annotation enable-quickack is "maybe", expected yes or no: nothing is changed'],
    ["false", ""],
    ["", ""],
    [null, ""],
  ] as const) {
    const third = quickack(sandbox, annotated(value), first);
    const passed = await succeed(sandbox, "ADD", third, POD);
    expect(passed.document).toEqual(first.document);
    expect(passed.stderr).toContain(warning);
    if (warning === "") expect(passed.stderr).toBe("");
    expect((await routes(sandbox)).join()).not.toContain("quickack");
    await succeed(sandbox, "CHECK", third, POD);
    await succeed(sandbox, "DEL", third, POD);
  }
});

test("every verb says what is wrong with a call, and STATUS tries the attribute", async () => {
  await using sandbox = await host();
  await succeed(sandbox, "STATUS", quickack(sandbox, {}));
  const first = await succeed(sandbox, "ADD", bridge(sandbox), POD);
  for (const [more, target, code, msg] of [
    [{ ...annotated("true"), prevResult: undefined }, POD, 7, "must be called as chained plugin"],
    [{ enabled: "yes" }, POD, 7, '"enabled" is "yes"'],
    [{ enabled: true, routes: "some" }, POD, 7, '"routes" is "some"'],
    [{ enabled: true }, { ...POD, ifname: "eth7" }, 7, 'container interface "eth7" is not in'],
    [{ runtimeConfig: { "io.kubernetes.cri.pod-annotations": { "enable-quickack": 1 } } }, POD, 7, "is 1"],
  ] as const) {
    const { document } = await call(
      sandbox,
      "ADD",
      quickack(sandbox, more, "prevResult" in more ? undefined : first),
      target,
    );
    expect(document).toMatchObject({ code, msg: expect.stringContaining(msg) });
  }
  await succeed(sandbox, "ADD", quickack(sandbox, { enabled: true }, first), POD);
  const again = await call(sandbox, "ADD", quickack(sandbox, { enabled: true }, first), POD);
  expect(again.document).toMatchObject({ code: 102 });
  await succeed(sandbox, "DEL", quickack(sandbox, {}), POD);
});
