// The plugin pair on a real kernel: two pods get one link, in whatever order they come, and lose it together. Host and pods
// are throwaway namespaces; ip and packets are the witnesses.
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import {
  type Answer,
  type Config,
  call,
  linkNames,
  PLUGIN_FOLDER,
  succeed,
  type Target,
} from "../support/plugins.ts";
import { type Outcome, Sandbox, WARREN } from "../support/sandbox.ts";
import { globalAddressesOf, routesOf, seenLink } from "../support/witness.ts";

const PRIMARY = {
  ratchet: "true",
  "ratchet.pod_name": "primary",
  "ratchet.primary": "true",
  "ratchet.local_ip": "192.168.2.100",
  "ratchet.local_ifname": "in1",
  "ratchet.pair_name": "pair",
  "ratchet.pair_ip": "192.168.2.101",
  "ratchet.pair_ifname": "in2",
};
const PAIR = { ratchet: "true", "ratchet.pod_name": "pair", "ratchet.primary": "false" };

const ONE: Target = { containerId: "c-one", netns: "pod1" };
const TWO: Target = { containerId: "c-two", netns: "pod2" };

type Labels = Readonly<Record<string, string>>;

async function host(...pods: readonly string[]): Promise<Sandbox> {
  const sandbox = await Sandbox.create();
  for (const pod of pods.length === 0 ? ["pod1", "pod2", "pod3"] : pods) await sandbox.addNetns(pod);
  return sandbox;
}

function config(sandbox: Sandbox, labels: Labels = {}, more: Config = {}): Config {
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-pair",
    dataDir: `${sandbox.directory}/store`,
    boot_network: { type: "warren-loopback" },
    args: { cni: { labels } },
    ...more,
  };
}

/** A bridge network, as boot network or delegate. */
function bridge(sandbox: Sandbox, more: Config = {}): Config {
  const ipam = { type: "warren-ipam", dataDir: `${sandbox.directory}/store`, subnet: "10.22.0.0/16" };
  return { type: "warren-bridge", bridge: "br0", isGateway: true, ipam, ...more };
}

function ping(sandbox: Sandbox, from: string, address: string, count = 3): Promise<Outcome> {
  return sandbox.run([WARREN, "lab", "ping", address, "--from", from, "--count", `${count}`]);
}

async function expectPing(sandbox: Sandbox, from: string, address: string): Promise<void> {
  const { exitCode, stdout, stderr } = await ping(sandbox, from, address);
  if (exitCode !== 0) throw new Error(`${stdout}${stderr}`);
}

interface ShownLink {
  readonly state: string;
  readonly reason: string;
  readonly kind: string;
  readonly vni: number | null;
  readonly primary: string;
  readonly pair: string;
}

async function links(sandbox: Sandbox): Promise<ShownLink[]> {
  const command = [WARREN, "links", "--json", "--data-dir", `${sandbox.directory}/store`];
  return (await sandbox.json(command)) as ShownLink[];
}

/** All rows of the tables about links and of the ledger, for comparing. */
function rows(sandbox: Sandbox): Record<string, unknown[]> {
  const path = `${sandbox.directory}/store/warren.db`;
  if (!existsSync(path)) return {};
  using database = new Database(path, { readonly: true });
  const tables = [
    "pair_announcements",
    "pair_pods",
    "pair_links",
    "pair_ends",
    "attachments",
    "objects",
    "leases",
  ];
  return Object.fromEntries(tables.map((table) => [table, database.query(`SELECT * FROM ${table}`).all()]));
}

async function nothingIsLeft(sandbox: Sandbox, pods: readonly string[] = ["pod1", "pod2"]): Promise<void> {
  expect(Object.values(rows(sandbox)).flat()).toEqual([]);
  expect((await linkNames(sandbox)).filter((name) => name !== "br0")).toEqual([]);
  for (const pod of pods) {
    const left = (await sandbox.json(["ip", "-netns", pod, "-json", "link"])) as { ifname: string }[];
    expect(left.map(({ ifname }) => ifname)).toEqual(["lo"]);
  }
}

/** Adds both pods, the primary first. */
async function addBoth(sandbox: Sandbox, more: Labels = {}): Promise<[Answer, Answer]> {
  const first = await succeed(sandbox, "ADD", config(sandbox, { ...PRIMARY, ...more }), ONE);
  return [first, await succeed(sandbox, "ADD", config(sandbox, PAIR), TWO)];
}

async function expectLinked(sandbox: Sandbox): Promise<void> {
  const [one, two] = [await seenLink(sandbox, "in1", "pod1"), await seenLink(sandbox, "in2", "pod2")];
  expect(one).toMatchObject({ operstate: "UP", linkinfo: { info_kind: "veth" } });
  expect(two).toMatchObject({ operstate: "UP", linkinfo: { info_kind: "veth" } });
  expect(globalAddressesOf(one)).toEqual(["192.168.2.100/24"]);
  expect(globalAddressesOf(two)).toEqual(["192.168.2.101/24"]);
  await expectPing(sandbox, "pod1", "192.168.2.101");
  await expectPing(sandbox, "pod2", "192.168.2.100");
  expect(await links(sandbox)).toMatchObject([{ state: "up", kind: "veth" }]);
}

describe("a link on one node", () => {
  test("S1-05 S1-04 primary then pair: in1 and in2 are up, have their addresses and reach each other", async () => {
    await using sandbox = await host();
    const [first, second] = await addBoth(sandbox);
    expect(first.stderr).toContain('link of "primary" and "pair" is pending: pod "pair" is not there yet');
    const netns = "/run/netns/pod1";
    expect(first.document.interfaces).toEqual([
      { name: "lo", mac: "00:00:00:00:00:00", mtu: 65_536, sandbox: netns },
      { name: "in1", mac: expect.stringMatching(/^0a:/), sandbox: netns },
    ]);
    await expectLinked(sandbox);
    expect((await seenLink(sandbox, "in1", "pod1"))?.address).toBe(first.document.interfaces[1].mac);
    const [, in2] = second.document.interfaces;
    expect(in2).toEqual({ name: "in2", mac: expect.any(String), mtu: 1500, sandbox: "/run/netns/pod2" });
    expect(second.document.ips.at(-1)).toEqual({ interface: 1, address: "192.168.2.101/24" });
    // nothing of it is on the host
    expect(await linkNames(sandbox)).toEqual([]);
    for (const [labels, target, { document }] of [
      [PRIMARY, ONE, first],
      [PAIR, TWO, second],
    ] as const) {
      await succeed(sandbox, "CHECK", config(sandbox, labels, { prevResult: document }), target);
    }
  });

  test("S1-06 pair first, then primary: the end state is the same", async () => {
    await using sandbox = await host();
    await succeed(sandbox, "ADD", config(sandbox, PAIR), TWO);
    expect(await links(sandbox)).toMatchObject([
      { primary: "", pair: "pair", state: "waiting", reason: "waits for a primary that names it" },
    ]);
    const { document, stderr } = await succeed(sandbox, "ADD", config(sandbox, PRIMARY), ONE);
    expect(stderr).toBe("");
    expect(document.ips.at(-1)).toEqual({ interface: 1, address: "192.168.2.100/24" });
    await expectLinked(sandbox);
  });

  test("S1-07 the first side waits in the store alone: no process goes on, and a partner of another day is linked", async () => {
    await using sandbox = await host();
    await succeed(sandbox, "ADD", config(sandbox, PRIMARY), ONE);
    expect(await links(sandbox)).toMatchObject([{ state: "waiting", reason: 'waits for "pair"', kind: "" }]);
    const processes = await sandbox.text(["sh", "-c", "ls -l /proc/[0-9]*/ns/net 2>/dev/null || true"]);
    expect(processes).not.toContain("/run/netns/pod1");
    using database = new Database(`${sandbox.directory}/store/warren.db`);
    database.run("UPDATE attachments SET created_at_ms = created_at_ms - 86400000");
    await succeed(sandbox, "ADD", config(sandbox, PAIR), TWO);
    await expectLinked(sandbox);
  });

  for (const first of ["primary", "pair"] as const) {
    test(`S1-12 DEL of the ${first} takes both ends and its rows, and the boot network's; again is success`, async () => {
      await using sandbox = await host();
      const boot = { boot_network: bridge(sandbox) };
      await succeed(sandbox, "ADD", config(sandbox, PRIMARY, boot), ONE);
      await succeed(sandbox, "ADD", config(sandbox, PAIR, boot), TWO);
      await expectLinked(sandbox);
      const order = first === "primary" ? [ONE, TWO] : [TWO, ONE];
      for (const target of order) {
        // neither labels nor result nor namespace are needed
        await succeed(sandbox, "DEL", config(sandbox, {}, boot), { ...target, netns: "" });
        expect(await seenLink(sandbox, "in1", "pod1")).toBeUndefined();
        expect(await seenLink(sandbox, "in2", "pod2")).toBeUndefined();
        await succeed(sandbox, "DEL", config(sandbox, {}, boot), target);
      }
      await nothingIsLeft(sandbox);
    });
  }

  test("S1-11 a restarted pair is linked to the living primary again, and its old container is never used", async () => {
    await using sandbox = await host();
    await addBoth(sandbox);
    await succeed(sandbox, "DEL", config(sandbox, PAIR), TWO);
    expect(await links(sandbox)).toMatchObject([{ state: "waiting", reason: 'waits for "pair"' }]);
    const again = { containerId: "c-new", netns: "pod3" };
    await succeed(sandbox, "ADD", config(sandbox, PAIR), again);
    expect(await seenLink(sandbox, "in2", "pod2")).toBeUndefined();
    await expectPing(sandbox, "pod3", "192.168.2.100");

    // the node was killed: no DEL, and another namespace at the same path
    await sandbox.text(["ip", "netns", "del", "pod3"]);
    await sandbox.addNetns("pod3");
    const other = { containerId: "c-newer", netns: "pod3" };
    await succeed(sandbox, "ADD", config(sandbox, PAIR), other);
    await expectPing(sandbox, "pod1", "192.168.2.101");
    // a late DEL of the container before takes nothing from its successor
    await succeed(sandbox, "DEL", config(sandbox, PAIR), again);
    await expectPing(sandbox, "pod1", "192.168.2.101");
    const twin = await call(sandbox, "ADD", config(sandbox, PAIR), { containerId: "c-twin", netns: "pod2" });
    expect(twin.document).toMatchObject({ code: 102, msg: expect.stringContaining("container c-newer") });
    await expectPing(sandbox, "pod1", "192.168.2.101");
  });

  test("S1-11 an attachment whose namespace was replaced without DEL may be another pod, and nothing of the former is left", async () => {
    await using sandbox = await host();
    // a plugin that is not ours, and keeps books of its own
    const book = `${sandbox.directory}/book`;
    await Bun.write(
      `${sandbox.directory}/bin/clerk`,
      `#!/bin/sh\ncat >/dev/null\necho $CNI_COMMAND >>${book}\necho '{"cniVersion":"1.1.0"}'\n`,
    );
    await sandbox.text(["chmod", "+x", `${sandbox.directory}/bin/clerk`]);
    const path = `${PLUGIN_FOLDER}:${sandbox.directory}/bin`;
    const boot = { boot_network: { type: "clerk" } };
    await succeed(sandbox, "ADD", config(sandbox, PAIR), TWO);
    await succeed(sandbox, "ADD", config(sandbox, PRIMARY, boot), ONE, path);
    await sandbox.text(["ip", "netns", "del", "pod1"]);
    await sandbox.addNetns("pod1");
    const other = { "warren.pair": "", "warren.pair.pod_name": "other" };
    await succeed(sandbox, "ADD", config(sandbox, other, boot), ONE, path);
    expect(await Bun.file(book).text()).toBe("ADD\nDEL\nADD\n");
    expect(rows(sandbox).pair_links).toEqual([]);
    expect((await links(sandbox)).map(({ pair, state }) => `${pair} ${state}`)).toEqual([
      "other waiting",
      "pair waiting",
    ]);
    await succeed(sandbox, "DEL", config(sandbox), ONE, path);
    await succeed(sandbox, "DEL", config(sandbox), TWO);
    await nothingIsLeft(sandbox);
  });

  test("S1-11 what a primary has said goes with it, though its pair or an announcement asks for the link too", async () => {
    await using sandbox = await host();
    const boot = { boot_network: bridge(sandbox) };
    const said = { ...PRIMARY, "ratchet.mirror": "mirror:both:eth0", "ratchet.mtu": "1400" };
    const copies = () => sandbox.text(["tc", "-n", "pod1", "filter", "show", "dev", "eth0", "egress"]);
    const full = {
      ...{ ...PAIR, "ratchet.pair_name": "primary", "ratchet.pair_ifname": "in1" },
      ...{
        "ratchet.local_ifname": "in2",
        "ratchet.local_ip": "192.168.2.101",
        "ratchet.pair_ip": "192.168.2.100",
      },
    };
    await succeed(sandbox, "ADD", config(sandbox, full), TWO);
    await succeed(sandbox, "ADD", config(sandbox, said, boot), ONE);
    expect(await copies()).toContain("in1");
    await succeed(sandbox, "DEL", config(sandbox, said, boot), ONE);
    await succeed(sandbox, "ADD", config(sandbox, PRIMARY, boot), ONE);
    expect(await copies()).toBe("");
    await expectLinked(sandbox);
    await succeed(sandbox, "DEL", config(sandbox, PRIMARY, boot), ONE);
    await succeed(sandbox, "DEL", config(sandbox, full), TWO);
    await nothingIsLeft(sandbox);

    const announce = ["announce", "lab", "primary", "--data-dir", `${sandbox.directory}/store`];
    const link = ["--primary", "--pair-name", "pair", "--local-ifname", "in1", "--pair-ifname", "in2"];
    await sandbox.text([WARREN, ...announce, ...link]);
    const announced = rows(sandbox);
    await succeed(sandbox, "ADD", config(sandbox, said, boot), ONE);
    expect(rows(sandbox).pair_links).toMatchObject([{ vni: 11, mtu: 1400 }]);
    await succeed(sandbox, "DEL", config(sandbox, said, boot), ONE);
    expect(rows(sandbox)).toEqual(announced);
  });

  test("S1-12 a container that is two pods of one network loses by the DEL of one interface only what that pod has", async () => {
    await using sandbox = await host();
    const first = { ...ONE, netns: "pod1" };
    const second = { ...first, ifname: "eth1" };
    const partner = { containerId: "c-partner", netns: "pod2" };
    const other = {
      ...{ ...PRIMARY, "ratchet.pod_name": "second", "ratchet.local_ifname": "in3" },
      ...{
        "ratchet.local_ip": "192.168.3.100",
        "ratchet.pair_name": "last",
        "ratchet.pair_ip": "192.168.3.101",
      },
    };
    await succeed(sandbox, "ADD", config(sandbox, PRIMARY), first);
    await succeed(sandbox, "ADD", config(sandbox, other), second);
    await succeed(sandbox, "ADD", config(sandbox, PAIR), partner);
    await succeed(sandbox, "DEL", config(sandbox), first);
    expect(await links(sandbox)).toMatchObject([
      { primary: "second", pair: "last", state: "waiting", vni: 12 },
      { primary: "", pair: "pair", state: "waiting" },
    ]);
    // what one of the two has made counts for no link of the other
    await succeed(sandbox, "ADD", config(sandbox, PRIMARY), first);
    await expectPing(sandbox, "pod1", "192.168.2.101");
    await succeed(sandbox, "ADD", config(sandbox, { ...PAIR, "ratchet.pod_name": "last" }), {
      ...partner,
      netns: "pod3",
      containerId: "c-last",
    });
    expect(await links(sandbox)).toMatchObject([{ state: "up" }, { state: "up" }]);
    await succeed(sandbox, "DEL", config(sandbox), second);
    await expectPing(sandbox, "pod1", "192.168.2.101");
    for (const target of [first, partner, { ...partner, containerId: "c-last" }])
      await succeed(sandbox, "DEL", config(sandbox), target);
    await nothingIsLeft(sandbox);
  });

  test("S1-13 GC without one side removes the link and its VNI, and the other side waits", async () => {
    await using sandbox = await host();
    await addBoth(sandbox);
    expect((await links(sandbox))[0]?.vni).toBe(11);
    const keep = (id: string) => ({ "cni.dev/valid-attachments": [{ containerID: id, ifname: "eth0" }] });
    const { stderr } = await succeed(sandbox, "GC", config(sandbox, {}, keep("c-one")));
    expect(stderr).toContain("warren-pair: removed container c-two");
    expect(await seenLink(sandbox, "in1", "pod1")).toBeUndefined();
    expect(await links(sandbox)).toMatchObject([{ state: "waiting", reason: 'waits for "pair"', vni: null }]);
    await succeed(sandbox, "ADD", config(sandbox, PAIR), TWO);
    await expectLinked(sandbox);
    await succeed(sandbox, "GC", config(sandbox, {}, keep("c-two")));
    expect(await seenLink(sandbox, "in2", "pod2")).toBeUndefined();
    expect(rows(sandbox).pair_links).toEqual([]);
    await succeed(sandbox, "GC", config(sandbox, {}, keep("nobody")));
    await nothingIsLeft(sandbox);
  });

  test("DEL with the namespaces gone, and after the store was lost, leaves nothing", async () => {
    await using sandbox = await host();
    await addBoth(sandbox);
    await sandbox.text(["ip", "netns", "del", "pod2"]);
    await succeed(sandbox, "DEL", config(sandbox, PAIR), TWO);
    expect(await links(sandbox)).toMatchObject([{ state: "waiting" }]);
    // a reboot leaves the file of a namespace, and nothing in its place
    const file = `${sandbox.directory}/pod1`;
    await Bun.write(file, "");
    await succeed(sandbox, "DEL", config(sandbox, PRIMARY), { ...ONE, netns: file });
    await nothingIsLeft(sandbox, ["pod1"]);

    await sandbox.addNetns("pod2");
    const boot = { boot_network: bridge(sandbox) };
    await succeed(sandbox, "ADD", config(sandbox, PRIMARY, boot), ONE);
    await succeed(sandbox, "ADD", config(sandbox, PAIR, boot), TWO);
    await sandbox.text(["sh", "-c", `rm -r ${sandbox.directory}/store`]);
    await succeed(sandbox, "DEL", config(sandbox, PAIR, boot), TWO);
    expect(await seenLink(sandbox, "in1", "pod1")).toBeUndefined();
    await succeed(sandbox, "DEL", config(sandbox, PRIMARY, boot), ONE);
    await nothingIsLeft(sandbox);
  });
});

describe("labels", () => {
  test("S1-01 without the label the delegate's result is returned as it is, and every verb reaches the delegate", async () => {
    await using sandbox = await host();
    const network = config(sandbox, {}, { delegate: bridge(sandbox), boot_network: undefined });
    const { stdout, document } = await succeed(sandbox, "ADD", network, ONE);
    await succeed(sandbox, "DEL", network, ONE);
    const plain = { cniVersion: "1.1.0", name: "lab", ...bridge(sandbox) };
    const direct = await succeed(sandbox, "ADD", plain, ONE);
    const neutral = (text: string) => text.replace(/10\.22\.0\.\d+|([0-9a-f]{2}:){5}[0-9a-f]{2}/g, "?");
    expect(neutral(stdout)).toBe(neutral(direct.stdout));
    await succeed(sandbox, "DEL", plain, ONE);

    const added = await succeed(sandbox, "ADD", network, ONE);
    const checked = { ...network, prevResult: added.document };
    await succeed(sandbox, "CHECK", checked, ONE);
    await sandbox.text(["ip", "-netns", "pod1", "link", "set", "eth0", "down"]);
    expect((await call(sandbox, "CHECK", checked, ONE)).document).toMatchObject({
      code: 103,
      msg: expect.stringContaining("eth0 is down"),
    });
    await succeed(sandbox, "STATUS", network);
    const missing = { ...network, delegate: { type: "nowhere" } };
    expect((await call(sandbox, "STATUS", missing)).document).toMatchObject({ code: 50 });
    expect(document.ips).toHaveLength(1);
    await succeed(sandbox, "GC", { ...network, "cni.dev/valid-attachments": [] });
    await nothingIsLeft(sandbox);
  });

  test.each([
    ["true", true],
    ["1", true],
    ["YES", true],
    ["", true],
    ["false", false],
    ["0", false],
    ["no", false],
    ["maybe", undefined],
  ] as const)("S1-02 the label with the value %p", async (value, eligible) => {
    await using sandbox = await host("pod1");
    const labels = { ...PAIR, ratchet: value };
    const answer = await call(sandbox, "ADD", config(sandbox, labels, { delegate: bridge(sandbox) }), ONE);
    if (eligible === undefined) {
      expect(answer.document).toMatchObject({ code: 7, msg: 'label warren.pair or ratchet is "maybe"' });
      await nothingIsLeft(sandbox, ["pod1"]);
    } else {
      expect(answer.document.interfaces[0].name).toBe(eligible ? "lo" : "br0");
    }
  });

  test("S1-03 labels come from args, annotations, CNI_ARGS and an announcement, the first that says one counts", async () => {
    await using sandbox = await host();
    const annotations = (labels: Labels) => ({
      runtimeConfig: { "io.kubernetes.cri.pod-annotations": labels },
    });
    const { "ratchet.local_ip": _, "ratchet.pair_name": __, ...fewer } = PRIMARY;
    const labels = { ...fewer, "ratchet.pod_name": "one" };
    const args =
      "K8S_POD_NAME=ignored;ratchet.pair_name=two;ratchet.pod_name=three;ratchet.local_ip=192.168.2.7/24";
    await succeed(
      sandbox,
      "ADD",
      config(sandbox, labels, annotations({ "ratchet.local_ip": "192.168.2.5/24" })),
      {
        ...ONE,
        args,
      },
    );
    const announce = ["announce", "lab", "two", "--data-dir", `${sandbox.directory}/store`];
    await sandbox.text([WARREN, ...announce]);
    const { document } = await succeed(sandbox, "ADD", config(sandbox, {}), {
      ...TWO,
      args: "K8S_POD_NAME=two",
    });
    expect(document.ips.at(-1).address).toBe("192.168.2.101/24");
    expect(globalAddressesOf(await seenLink(sandbox, "in1", "pod1"))).toEqual(["192.168.2.5/24"]);
  });

  test.each([
    ["192.168.2.100", "192.168.2.101", "192.168.2.100/24", "192.168.2.101/24"],
    ["192.168.2.101/30", "192.168.2.102/30", "192.168.2.101/30", "192.168.2.102/30"],
    ["fd00:2::1/64", "fd00:2::2/64", "fd00:2::1/64", "fd00:2::2/64"],
    [
      "10.0.0.0/31, fd00:2::1",
      "10.0.0.1/31,fd00:2::2",
      "10.0.0.0/31,fd00:2::1/64",
      "10.0.0.1/31,fd00:2::2/64",
    ],
    ["", "", "", ""],
  ] as const)("S1-10 addresses %p and %p", async (local, other, seenLocal, seenOther) => {
    await using sandbox = await host();
    await addBoth(sandbox, { "ratchet.local_ip": local, "ratchet.pair_ip": other });
    expect(globalAddressesOf(await seenLink(sandbox, "in1", "pod1")).join(",")).toBe(seenLocal);
    expect(globalAddressesOf(await seenLink(sandbox, "in2", "pod2")).join(",")).toBe(seenOther);
    for (const one of seenOther.split(",")) {
      if (one !== "") await expectPing(sandbox, "pod1", one.split("/")[0] ?? "");
    }
  });

  test("S1-18 quotes, $(), line breaks and 10 KiB are names like any other, and nothing ever runs", async () => {
    await using sandbox = await host();
    const trap = `${sandbox.directory}/trap`;
    const name = `a"b'c;$(touch ${trap})\`touch ${trap}\`\n| touch ${trap} #${"x".repeat(10_240)}`;
    const primary = { ...PRIMARY, "ratchet.pair_name": name };
    await succeed(sandbox, "ADD", config(sandbox, primary), ONE);
    await succeed(sandbox, "ADD", config(sandbox, { ...PAIR, "ratchet.pod_name": name }), TWO);
    await expectLinked(sandbox);
    const shown = await sandbox.text([WARREN, "links", "--data-dir", `${sandbox.directory}/store`]);
    expect(shown.split("\n").length).toBeLessThan(8);
    for (const key of [
      "local_ip",
      "local_ifname",
      "pair_ip",
      "pair_ifname",
      "vni",
      "mtu",
      "mirror",
      "routes",
    ]) {
      const hostile = { ...PRIMARY, "ratchet.pod_name": "other", [`ratchet.${key}`]: name };
      const answer = await call(sandbox, "ADD", config(sandbox, hostile), {
        containerId: "c-3",
        netns: "pod3",
      });
      expect(answer.document).toMatchObject({ code: 7, msg: expect.stringContaining(key) });
      expect(answer.stdout.length).toBeLessThan(2000);
    }
    expect(existsSync(trap)).toBe(false);
    await succeed(sandbox, "DEL", config(sandbox), ONE);
    await succeed(sandbox, "DEL", config(sandbox), TWO);
    await nothingIsLeft(sandbox, ["pod1", "pod2", "pod3"]);
  });

  test("S1-20 pods of one name in two Kubernetes namespaces have links of their own", async () => {
    await using sandbox = await host("pod1", "pod2", "pod3", "pod4");
    const args = (namespace: string) => `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=x`;
    const add = (labels: Labels, netns: string, namespace: string) =>
      succeed(sandbox, "ADD", config(sandbox, labels), { containerId: netns, netns, args: args(namespace) });
    const other = { ...PRIMARY, "ratchet.local_ip": "192.168.3.1", "ratchet.pair_ip": "192.168.3.2" };
    await add(PRIMARY, "pod1", "red");
    await add(other, "pod3", "blue");
    await add(PAIR, "pod4", "blue");
    await add(PAIR, "pod2", "red");
    await expectPing(sandbox, "pod1", "192.168.2.101");
    await expectPing(sandbox, "pod3", "192.168.3.2");
    expect((await ping(sandbox, "pod1", "192.168.3.2", 1)).exitCode).toBe(1);
  });
});

describe("what can't be", () => {
  test("S1-16 an interface of that name is told, in either pod; nothing is made and nothing written", async () => {
    for (const [pod, taken] of [
      ["pod2", "in2"],
      ["pod1", "in1"],
    ] as const) {
      await using sandbox = await host();
      const boot = { boot_network: bridge(sandbox) };
      await succeed(sandbox, "ADD", config(sandbox, PRIMARY, boot), ONE);
      await sandbox.text(["ip", "-netns", pod, "link", "add", taken, "type", "veth", "peer", "name", "far"]);
      const before = rows(sandbox);
      const { document } = await call(sandbox, "ADD", config(sandbox, PAIR, boot), TWO);
      expect(document).toMatchObject({
        code: 102,
        msg: `link of "primary" and "pair": interface ${taken} already exists in /run/netns/${pod}`,
      });
      expect(rows(sandbox)).toEqual(before);
      const [name, where] = pod === "pod1" ? ["in2", "pod2"] : ["in1", "pod1"];
      expect(await seenLink(sandbox, name, where)).toBeUndefined();
      expect(await seenLink(sandbox, "eth0", "pod2")).toBeUndefined();
      // the interface of somebody else stays, whatever is deleted
      await succeed(sandbox, "DEL", config(sandbox, PAIR, boot), TWO);
      await succeed(sandbox, "DEL", config(sandbox, PRIMARY, boot), ONE);
      expect(await seenLink(sandbox, taken, pod)).toBeDefined();
    }
  });

  test("S1-16 the first pod of a link is told of a name that it has itself, before anybody comes", async () => {
    await using sandbox = await host();
    const boot = { boot_network: bridge(sandbox) };
    const labels = { ...PRIMARY, "ratchet.local_ifname": "eth0" };
    const { document } = await call(sandbox, "ADD", config(sandbox, labels, boot), ONE);
    expect(document).toMatchObject({
      code: 102,
      msg: 'link of "primary" and "pair": interface eth0 already exists in /run/netns/pod1',
    });
    await nothingIsLeft(sandbox);
  });

  test.each([
    [
      "a pod paired with itself",
      { "ratchet.pair_name": "other" },
      'pod "other" is to be paired with itself: warren.pair.pair_name is "other"',
    ],
    [
      "a second primary of the same pair",
      {},
      'interface in2 of pod "pair" is to be the end of two links: of "primary" with "pair", and of "other" with "pair"',
    ],
    [
      "two primaries of one link",
      {
        "ratchet.pair_name": "primary",
        "ratchet.local_ifname": "x1",
        "ratchet.pair_ifname": "x2",
        "ratchet.pod_name": "pair",
      },
      'pods "pair" and "primary" both are the primary of their link',
    ],
    ["ends in two subnets", { "ratchet.pair_ip": "192.168.3.1/24" }, "are not in one subnet"],
    [
      "an address that is none",
      { "ratchet.local_ip": "192.168.2.300" },
      'label warren.pair.local_ip is "192.168.2.300"',
    ],
    ["a label that is missing", { "ratchet.local_ifname": "" }, "label warren.pair.local_ifname is"],
  ] as const)("S1-17 S1-10 %s is error 7, and nothing is left", async (_name, labels, words) => {
    await using sandbox = await host();
    await succeed(sandbox, "ADD", config(sandbox, PRIMARY), ONE);
    const before = rows(sandbox);
    const other = { ...PRIMARY, "ratchet.pod_name": "other", "ratchet.local_ip": "192.168.2.9", ...labels };
    const { document } = await call(sandbox, "ADD", config(sandbox, other), TWO);
    expect(document).toMatchObject({ code: 7, msg: expect.stringContaining(words) });
    expect(rows(sandbox)).toEqual(before);
  });

  test("S1-15 STATUS is 50 for a store, a delegate and a parent interface that are not as they must be", async () => {
    await using sandbox = await host("pod1");
    await succeed(sandbox, "STATUS", config(sandbox));
    await sandbox.text(["touch", `${sandbox.directory}/file`]);
    for (const [more, words] of [
      [{ dataDir: `${sandbox.directory}/file/store` }, "file"],
      [{ delegate: { type: "no-such-plugin" } }, "no-such-plugin"],
      [{ boot_network: { type: "no-such-plugin" } }, "no-such-plugin"],
      [{ parent_interface: "eth9" }, "eth9"],
    ] as const) {
      const { document } = await call(sandbox, "STATUS", config(sandbox, {}, more));
      expect(document).toMatchObject({ code: 50, msg: expect.stringContaining(words) });
    }
    for (const name of ["eth\0", "..", "a/b"]) {
      const { document } = await call(sandbox, "STATUS", config(sandbox, {}, { parent_interface: name }));
      expect(document).toMatchObject({ code: 7, msg: expect.stringContaining(JSON.stringify(name)) });
    }
  });

  test("S1-14 CHECK fails for an end that is gone, down, bare, or not joined to the partner", async () => {
    await using sandbox = await host();
    const [first] = await addBoth(sandbox);
    const check = () => call(sandbox, "CHECK", config(sandbox, PRIMARY, { prevResult: first.document }), ONE);
    expect((await check()).exitCode).toBe(0);
    const inside = (...words: string[]) => sandbox.text(["ip", "-netns", ...words]);
    await inside("pod1", "link", "set", "in1", "down");
    expect((await check()).document).toMatchObject({
      code: 103,
      msg: "interface in1 in /run/netns/pod1 is down",
    });
    await inside("pod1", "link", "set", "in1", "up");
    await inside("pod1", "addr", "del", "192.168.2.100/24", "dev", "in1");
    expect((await check()).document.msg).toContain("lacks the address 192.168.2.100/24");
    await inside("pod1", "addr", "add", "192.168.2.100/24", "dev", "in1");
    expect((await check()).exitCode).toBe(0);
    await inside("pod2", "link", "set", "in2", "netns", "pod3");
    expect((await check()).document.msg).toContain(
      "the other end of in1 in /run/netns/pod1 is not in2 in /run/netns/pod2",
    );
    expect(await links(sandbox)).toMatchObject([{ state: "broken", reason: expect.stringContaining("in1") }]);
    await inside("pod1", "link", "del", "in1");
    expect((await check()).document.msg).toBe("interface in1 is gone from /run/netns/pod1");
    await succeed(sandbox, "DEL", config(sandbox), ONE);
    await succeed(sandbox, "DEL", config(sandbox), TWO);
    await nothingIsLeft(sandbox, ["pod1", "pod2", "pod3"]);
  });
});

describe("more than one", () => {
  test("S1-19 a chain of four pods: each is in up to two links, routes of the config lead to the far end", async () => {
    await using sandbox = await host("pod1", "pod2", "pod3", "pod4");
    const names = ["a", "b", "c", "d"];
    const routes = {
      a: [{ dst: "4.4.4.4/32", gw: "10.0.1.2" }],
      b: [
        { dst: "1.1.1.1/32", gw: "10.0.1.1" },
        { dst: "4.4.4.4/32", gw: "10.0.2.2" },
      ],
      c: [
        { dst: "1.1.1.1/32", gw: "10.0.2.1" },
        { dst: "4.4.4.4/32", gw: "10.0.3.2" },
      ],
      d: [{ dst: "1.1.1.1/32", gw: "10.0.3.1" }],
    };
    for (const [index, name] of names.entries()) {
      const next = names[index + 1];
      const link: Labels =
        next === undefined
          ? {}
          : {
              "warren.pair.primary": "true",
              "warren.pair.pair_name": next,
              "warren.pair.local_ifname": "right",
              "warren.pair.pair_ifname": "left",
              "warren.pair.local_ip": `10.0.${index + 1}.1/24`,
              "warren.pair.pair_ip": `10.0.${index + 1}.2/24`,
            };
      const labels = { "warren.pair": "", "warren.pair.pod_name": name, ...link };
      const netns = `pod${index + 1}`;
      await sandbox.text(["ip", "netns", "exec", netns, "sysctl", "-qw", "net.ipv4.ip_forward=1"]);
      await succeed(sandbox, "ADD", config(sandbox, labels, { routes }), { containerId: name, netns });
    }
    await sandbox.text(["ip", "-netns", "pod1", "addr", "add", "1.1.1.1/32", "dev", "lo"]);
    await sandbox.text(["ip", "-netns", "pod4", "addr", "add", "4.4.4.4/32", "dev", "lo"]);
    const source = [
      "ip",
      "-netns",
      "pod1",
      "route",
      "replace",
      "4.4.4.4",
      "via",
      "10.0.1.2",
      "src",
      "1.1.1.1",
    ];
    await sandbox.text(source);
    await expectPing(sandbox, "pod1", "4.4.4.4");
    expect(await routesOf(sandbox, 4, "pod2")).toContain("4.4.4.4 via 10.0.2.2 dev right");
    expect((await links(sandbox)).map(({ state }) => state)).toEqual(["up", "up", "up"]);
    await succeed(sandbox, "DEL", config(sandbox), { containerId: "b", netns: "pod2" });
    expect((await links(sandbox)).map(({ primary, state }) => `${primary} ${state}`)).toEqual([
      "a waiting",
      "c up",
    ]);
  });

  test("a pod is primary of several links by numbered labels, and pair of several primaries", async () => {
    await using sandbox = await host();
    const second = {
      "ratchet.2.primary": "true",
      "ratchet.2.pair_name": "third",
      "ratchet.2.local_ifname": "in3",
      "ratchet.2.pair_ifname": "in4",
      "ratchet.2.local_ip": "192.168.3.1/24",
      "ratchet.2.pair_ip": "192.168.3.2/24",
    };
    const pairToo = {
      ...PAIR,
      ...second,
      "ratchet.2.local_ip": "192.168.4.1/24",
      "ratchet.2.pair_ip": "192.168.4.2/24",
    };
    await succeed(sandbox, "ADD", config(sandbox, { ...PRIMARY, ...second }), ONE);
    await succeed(sandbox, "ADD", config(sandbox, { ...pairToo, "ratchet.2.pair_ifname": "in5" }), TWO);
    const { document } = await succeed(
      sandbox,
      "ADD",
      config(sandbox, { ratchet: "", "ratchet.pod_name": "third" }),
      { containerId: "c-three", netns: "pod3" },
    );
    expect(document.interfaces.map(({ name }: { name: string }) => name)).toEqual(["lo", "in5", "in4"]);
    await expectPing(sandbox, "pod1", "192.168.2.101");
    await expectPing(sandbox, "pod1", "192.168.3.2");
    await expectPing(sandbox, "pod2", "192.168.4.2");
  });

  test("S1-24 mirror:both:eth0 sends the partner a copy of the pod's traffic, and goes with the link", async () => {
    await using sandbox = await host();
    const boot = { boot_network: bridge(sandbox) };
    await succeed(
      sandbox,
      "ADD",
      config(sandbox, { ...PRIMARY, "ratchet.mirror": "mirror:both:eth0" }, boot),
      ONE,
    );
    const { document } = await succeed(sandbox, "ADD", config(sandbox, PAIR, boot), TWO);
    const received = async () => {
      const [link] = (await sandbox.json(["ip", "-netns", "pod2", "-s", "-j", "link", "show", "in2"])) as {
        stats64: { rx: { packets: number } };
      }[];
      return link?.stats64.rx.packets ?? 0;
    };
    await expectPing(sandbox, "pod1", "10.22.0.1");
    const before = await received();
    await sandbox.text([WARREN, "lab", "ping", "10.22.0.1", "--from", "pod1", "--count", "10"]);
    expect((await received()) - before).toBeGreaterThanOrEqual(20);
    const prevResult = document;
    await succeed(sandbox, "CHECK", config(sandbox, PAIR, { ...boot, prevResult }), TWO);
    await sandbox.text(["tc", "-n", "pod1", "qdisc", "del", "dev", "eth0", "clsact"]);
    const check = await call(sandbox, "CHECK", config(sandbox, PAIR, { ...boot, prevResult }), TWO);
    expect(check.document.msg).toContain("gets no copy of mirror:both:eth0");
    await succeed(sandbox, "DEL", config(sandbox, PAIR, boot), TWO);
    await succeed(sandbox, "ADD", config(sandbox, PAIR, boot), TWO);
    expect(await sandbox.text(["tc", "-n", "pod1", "filter", "show", "dev", "eth0", "egress"])).toContain(
      "in1",
    );
    await succeed(sandbox, "DEL", config(sandbox, PAIR, boot), TWO);
    expect(await sandbox.text(["tc", "-n", "pod1", "qdisc", "show", "dev", "eth0"])).not.toContain("clsact");
  });

  test("behind another plugin a pod's result is handed on, with the link beside it", async () => {
    await using sandbox = await host();
    const plain = { cniVersion: "1.1.0", name: "lab", ...bridge(sandbox) };
    const chained = (labels: Labels, prevResult: unknown) =>
      config(sandbox, labels, { boot_network: undefined, prevResult });
    const first = await succeed(sandbox, "ADD", plain, ONE);
    const waiting = await succeed(sandbox, "ADD", chained(PRIMARY, first.document), ONE);
    expect(waiting.document.interfaces).toHaveLength(4);
    expect(waiting.document.ips).toEqual(first.document.ips);
    const third = await succeed(sandbox, "ADD", plain, { containerId: "c-3", netns: "pod3" });
    const other = await succeed(sandbox, "ADD", chained({}, third.document), {
      containerId: "c-3",
      netns: "pod3",
    });
    expect(other.document).toEqual(third.document);
    await succeed(sandbox, "CHECK", chained({}, other.document), { containerId: "c-3", netns: "pod3" });
  });
});
