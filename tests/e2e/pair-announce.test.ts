// The operator's side of links: what is announced of pods that are not there, what becomes of it, and the list of links.
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { type Config, call, PLUGIN_FOLDER, succeed } from "../support/plugins.ts";
import { type Outcome, Sandbox, WARREN } from "../support/sandbox.ts";
import { globalAddressesOf, seenLink } from "../support/witness.ts";

const LINK = [
  ...["--primary", "--pair-name", "db", "--local-ifname", "in1", "--pair-ifname", "in2"],
  ...["--local-ip", "10.1.0.1/30", "--pair-ip", "10.1.0.2/30"],
];

/** A node with a network for links. */
class Node implements AsyncDisposable {
  private constructor(readonly host: Sandbox) {}

  static async create(): Promise<Node> {
    const node = new Node(await Sandbox.create());
    for (const pod of ["pod1", "pod2"]) await node.host.addNetns(pod);
    const { cniVersion, name, ...plugin } = node.config();
    await Bun.write(
      `${node.host.directory}/net.d/10-lab.conflist`,
      JSON.stringify({ cniVersion, name, plugins: [plugin] }),
    );
    return node;
  }

  config(labels: Config = {}): Config {
    return {
      cniVersion: "1.1.0",
      name: "lab",
      type: "warren-pair",
      dataDir: `${this.host.directory}/store`,
      boot_network: { type: "warren-loopback" },
      args: { cni: { labels } },
    };
  }

  add(pod: "pod1" | "pod2", name: string, labels: Config = {}) {
    const target = { containerId: `c-${pod}`, netns: pod, args: `IgnoreUnknown=1;K8S_POD_NAME=${name}` };
    return call(this.host, "ADD", this.config(labels), target);
  }

  warren(...args: string[]): Promise<Outcome> {
    const env = { NETCONFPATH: `${this.host.directory}/net.d`, CNI_PATH: PLUGIN_FOLDER };
    return this.host.run([WARREN, ...args], { env });
  }

  async links(): Promise<string> {
    return (await this.warren("links", "--data-dir", `${this.host.directory}/store`)).stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host[Symbol.asyncDispose]();
  }
}

test("S1-25 a link is declared before its pods, waits in the list, and is up when both have come without a label", async () => {
  await using node = await Node.create();
  expect(await node.warren("announce", "lab", "web", ...LINK)).toMatchObject({
    exitCode: 0,
    stdout: "",
    stderr: "",
  });
  expect(await node.warren("announce", "lab", "db")).toMatchObject({ exitCode: 0 });
  expect(await node.links()).toBe(
    'NETWORK   PRIMARY   PAIR     STATE     REASON\nlab       web in1   db in2   waiting   waits for "web" and "db"\n',
  );
  expect((await node.add("pod2", "db")).exitCode).toBe(0);
  expect(await node.links()).toContain('waits for "web"\n');
  expect((await node.add("pod1", "web")).exitCode).toBe(0);
  expect(await node.links()).toMatch(/web in1 +db in2 +up +veth +11\n$/);
  expect(globalAddressesOf(await seenLink(node.host, "in1", "pod1"))).toEqual(["10.1.0.1/30"]);
  expect((await node.warren("lab", "ping", "10.1.0.1", "--from", "pod2")).exitCode).toBe(0);
  await node.host.text(["ip", "-n", "pod1", "link", "set", "in1", "down"]);
  expect(await node.links()).toContain("broken");
  // what was announced stays when the pods go
  for (const pod of ["pod1", "pod2"])
    await succeed(node.host, "DEL", node.config(), { containerId: `c-${pod}`, netns: pod });
  expect(await node.links()).toContain('waits for "web" and "db"');
  const listed = await node.warren("announce", "lab");
  expect(listed.stdout).toContain("warren.pair.pair_name=db");
  for (const pod of ["web", "db"])
    expect((await node.warren("announce", "lab", pod, "--remove")).exitCode).toBe(0);
  expect(await node.links()).toBe("no links\n");
  expect((await node.warren("announce", "lab")).stdout).toBe("no pods are announced\n");
});

test("S1-25 a link that both its pods are announced with stays until neither is, and what only one said goes with it", async () => {
  await using node = await Node.create();
  const mirrored = [...LINK, "--mirror", "mirror:both:eth0", "--mtu", "1400"];
  const ofPair = [
    ...["--pair-name", "web", "--local-ifname", "in2", "--pair-ifname", "in1"],
    ...["--local-ip", "10.1.0.2/30", "--pair-ip", "10.1.0.1/30"],
  ];
  const announce = async (...args: string[]) => {
    const { exitCode, stderr } = await node.warren("announce", "lab", ...args);
    if (exitCode !== 0) throw new Error(stderr);
  };
  const asked = () => {
    using database = new Database(`${node.host.directory}/store/warren.db`, { readonly: true });
    const columns = "announced, primary_mirror, mtu, primary_addresses";
    return database.query(`SELECT ${columns} FROM pair_links`).values();
  };
  await announce("db", ...ofPair);
  await announce("web", ...mirrored);
  expect(asked()).toEqual([[1, "mirror:both:eth0", 1400, "10.1.0.1/30"]]);
  await announce("web", "--remove");
  expect(asked()).toEqual([[1, "", null, "10.1.0.1/30"]]);
  // a pod that comes and goes leaves what is announced of the other one, and says otherwise than who was taken back
  const labels = { "warren.pair": "", "warren.pair.primary": "true", "warren.pair.pair_name": "db" };
  const ends = { "warren.pair.local_ifname": "in1", "warren.pair.pair_ifname": "in2" };
  expect((await node.add("pod1", "web", { ...labels, ...ends, "warren.pair.mtu": "1300" })).exitCode).toBe(0);
  await succeed(node.host, "DEL", node.config(), { containerId: "c-pod1", netns: "pod1" });
  expect(asked()).toEqual([[1, "", null, "10.1.0.1/30"]]);
  await announce("web", ...mirrored);
  // announced anew, otherwise than before
  await announce("web", ...LINK, "--mtu", "1380");
  expect(asked()).toEqual([[1, "", 1380, "10.1.0.1/30"]]);
  await announce("db", "--remove");
  expect(asked()).toEqual([[1, "", 1380, "10.1.0.1/30"]]);
  await announce("web", "--remove");
  expect(await node.links()).toBe("no links\n");
});

test("S1-25 S1-20 without a namespace an announcement is about the namespace default, and so is a pod", async () => {
  await using node = await Node.create();
  expect((await node.warren("announce", "lab", "web", ...LINK)).exitCode).toBe(0);
  expect((await node.warren("announce", "lab", "db", "--namespace", "default")).exitCode).toBe(0);
  const created = await node.warren("pod", "create", "web", "--net", "lab");
  expect([created.exitCode, created.stderr]).toEqual([0, expect.stringContaining('"db" is not there yet')]);
  // another namespace, another pod
  const other = await node.warren("pod", "create", "db", "--net", "lab", "--namespace", "team");
  expect([other.exitCode, other.stderr]).toEqual([
    1,
    expect.stringContaining('pod "db" of namespace "team", has no label warren.pair and is not announced'),
  ]);
  expect(await node.links()).toContain('waits for "db"\n');
  expect((await node.add("pod2", "db")).exitCode).toBe(0);
  expect(await node.links()).toMatch(/web in1 +db in2 +up +veth +11\n$/);
  const wrong = await node.warren("announce", "lab", "web", "--namespace", "team", "--remove");
  expect([wrong.exitCode, wrong.stderr]).toEqual([
    1,
    expect.stringContaining('pod "web" of namespace "team"'),
  ]);
  expect((await node.warren("pod", "rm", "web")).exitCode).toBe(0);
});

test("S1-25 a file has a label a line, by label or by variable, and flags count before it", async () => {
  await using node = await Node.create();
  const path = `${node.host.directory}/web.labels`;
  const lines = [
    "# of the pod web",
    "POD_NAME=web",
    "PRIMARY=true",
    "ratchet.pair_name=db",
    "LOCAL_IFNAME=in1",
  ];
  await Bun.write(
    path,
    `${[...lines, "warren.pair.pair_ifname=in2", "", "LOCAL_IP=10.1.0.1", "PAIR_IP=10.1.0.2"].join("\n")}\n`,
  );
  expect(await node.warren("announce", "lab", "--file", path, "--local-ifname", "in9")).toMatchObject({
    exitCode: 0,
    stderr: "",
  });
  const [announced] = JSON.parse((await node.warren("announce", "lab", "--json")).stdout);
  expect(announced).toMatchObject({ pod: "web", labels: { "warren.pair.local_ifname": "in9" } });
  expect(await node.links()).toContain("web in9");
  for (const [text, words] of [
    ["PRIMARY", 'line 1 is "PRIMARY"'],
    ["colour=red", 'line 1 is "colour=red"'],
  ] as const) {
    await Bun.write(path, text);
    const { exitCode, stderr } = await node.warren("announce", "lab", "web", "--file", path);
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining(words)]);
  }
});

test("S1-25 what contradicts is refused with both names, and nothing changes", async () => {
  await using node = await Node.create();
  await node.warren("announce", "lab", "web", ...LINK);
  const before = await node.links();
  for (const [args, code, words] of [
    [["web2", ...LINK], 1, 'interface in2 of pod "db" is to be the end of two links'],
    [
      ["db", "--primary", "--pair-name", "web", "--local-ifname", "a", "--pair-ifname", "b"],
      1,
      "both are the primary",
    ],
    [["x", "--primary"], 1, "label warren.pair.pair_name is missing"],
    [["x", "--vni", "none", ...LINK], 1, 'vni is "none"'],
    [["x", "--file", "/no/such/file"], 1, "/no/such/file can't be read"],
    [["x", "--remove"], 1, 'pod "x" is not announced'],
    [["x", "--colour", "red"], 2, "unknown flag --colour"],
    [["--primary"], 2, "name the pod"],
  ] as const) {
    const { exitCode, stderr, stdout } = await node.warren("announce", "lab", ...args);
    expect([exitCode, stdout, stderr]).toEqual([code, "", expect.stringContaining(words)]);
  }
  const missing = await node.warren("announce", "nowhere", "web");
  expect([missing.exitCode, missing.stderr]).toEqual([1, expect.stringContaining("nowhere")]);
  expect(await node.links()).toBe(before);
  // labels that say otherwise than the announcement
  const { document } = await node.add("pod1", "web", {
    "warren.pair": "",
    "warren.pair.primary": "true",
    "warren.pair.pair_name": "db",
    "warren.pair.local_ifname": "in1",
    "warren.pair.pair_ifname": "in2",
    "warren.pair.local_ip": "10.1.0.1/29",
    "warren.pair.pair_ip": "10.1.0.2/29",
  });
  expect(document).toMatchObject({ code: 7, msg: expect.stringContaining("is asked for in two ways") });
  expect(await node.links()).toBe(before);
  const none = await Sandbox.create();
  await using _ = none;
  const { exitCode, stderr } = await none.run([WARREN, "links"]);
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining("there is no store")]);
});
