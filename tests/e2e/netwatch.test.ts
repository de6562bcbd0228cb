// S3-N08: `warren netwatch`, while plugins and iproute2 change a node. What it tells is compared with what ip says.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { linkNames, PLUGIN_FOLDER } from "../support/plugins.ts";
import { Sandbox, WARREN } from "../support/sandbox.ts";
import { globalAddressesOf, seenLink } from "../support/witness.ts";

const LIST = {
  cniVersion: "1.1.0",
  name: "pods",
  plugins: [
    {
      type: "warren-bridge",
      bridge: "br0",
      isDefaultGateway: true,
      ipMasq: true,
      ipam: { type: "warren-ipam", subnet: "10.88.0.0/24" },
    },
    { type: "warren-bandwidth", ingressRate: 8_000_000, ingressBurst: 800_000 },
  ],
};

interface ToldChange {
  readonly namespace: string;
  readonly action: string;
  readonly object: string;
  readonly name: string;
  readonly facts: Readonly<Record<string, unknown>>;
  readonly before: Readonly<Record<string, unknown>>;
  readonly by?: { readonly command: string };
}

async function nodeWithPod(): Promise<Sandbox> {
  const host = await Sandbox.create();
  await Bun.write(join(host.directory, "10-pods.conflist"), JSON.stringify(LIST));
  await host.addNetns("web");
  return host;
}

function changesIn(stdout: string): ToldChange[] {
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

/** Runs the command under netwatch, which must end as it does, and returns the changes and standard error. */
async function watched(host: Sandbox, ...command: string[]) {
  const env = { NETCONFPATH: host.directory, CNI_PATH: PLUGIN_FOLDER };
  const { exitCode, stdout, stderr } = await host.run([WARREN, "netwatch", "--json", "--", ...command], {
    env,
  });
  return { exitCode, changes: changesIn(stdout), stderr };
}

const spelled = ({ namespace, action, object, name }: ToldChange) =>
  `${namespace === "" ? "" : `${namespace}: `}${action} ${object} ${name}`;

test("S3-N08 an ADD is told on both sides, by netlink and nf_tables, and the DEL takes the same away", async () => {
  await using host = await nodeWithPod();
  const added = await watched(host, WARREN, "add", "pods", "web");
  expect(added.exitCode).toBe(0);
  // the command's own answer does not get between the lines
  expect(JSON.parse(added.stderr).ips[0].address).toBe("10.88.0.2/24");
  const told = added.changes.map(spelled);
  const [veth = ""] = (await linkNames(host)).filter((name) => name.startsWith("veth"));
  const chain = "chain inet warren masquerade-pods-10.88.0.0/24";
  expect(told).toContainEqual("added link br0");
  expect(told).toContainEqual("added address 10.88.0.1/24");
  expect(told).toContainEqual(`added link ${veth}`);
  expect(told).toContainEqual("web: added link eth0");
  expect(told).toContainEqual("web: added address 10.88.0.2/24");
  expect(told).toContainEqual("web: added route default");
  expect(told).toContainEqual(`added nft ${chain}`);
  expect(told).toContainEqual("added qdisc tbf");
  // what follows by itself is left out
  expect(told.filter((line) => /route (?:127|ff00|224)/.test(line))).toEqual([]);
  const find = (line: string) => added.changes.find((change) => spelled(change) === line);
  const eth0 = await seenLink(host, "eth0", "web");
  expect(globalAddressesOf(eth0)).toEqual(["10.88.0.2/24"]);
  expect(find("web: added link eth0")?.facts).toMatchObject({
    mac: eth0?.address,
    mtu: eth0?.mtu,
    kind: "veth",
  });
  expect(find("web: added route default")?.facts).toEqual({ via: "10.88.0.1", dev: "eth0" });
  expect(find(`added nft ${chain}`)?.by).toMatchObject({ command: "warren-bridge" });
  expect(find("added qdisc tbf")?.facts).toMatchObject({ dev: veth, at: "root" });
  const master = added.changes.find(({ name, before }) => name === veth && before.master !== undefined);
  expect([master?.action, master?.facts.master, master?.before.master]).toEqual(["changed", "br0", "none"]);

  const deleted = await watched(host, WARREN, "del", "pods", "web");
  const gone = deleted.changes.map(spelled);
  for (const line of ["web: removed link eth0", `removed link ${veth}`, `removed nft ${chain}`])
    expect(gone).toContainEqual(line);
  expect(gone).toContainEqual("web: removed address 10.88.0.2/24");
  // the bridge stays; that it has no carrier without ports the kernel tells when it comes to it, or after this
  expect(gone.filter((line) => line.includes("br0") && line !== "changed link br0")).toEqual([]);
});

test("S3-N08 as text: neighbours, a route by two ways, a namespace that comes and goes; the exit code is the command's", async () => {
  await using host = await Sandbox.create();
  await host.text(["ip", "link", "add", "br0", "type", "bridge"]);
  await host.text(["ip", "address", "add", "10.9.0.1/24", "dev", "br0"]);
  await host.text(["ip", "link", "set", "br0", "up"]);
  const script = `
    ip neigh add 10.9.0.9 dev br0 lladdr 02:00:00:00:00:01
    ip link set br0 mtu 1400
    ip route add 10.99.0.0/24 nexthop via 10.9.0.2 dev br0 nexthop via 10.9.0.3 dev br0
    ip netns add late && sleep 0.6
    ip -n late link set lo up && sleep 0.6
    ip netns del late && sleep 0.6
    ip link set br0 name br1
    nft add table inet mine
    echo said; exit 3`;
  const { exitCode, stdout, stderr } = await host.run([WARREN, "netwatch", "--", "sh", "-c", script]);
  expect([exitCode, stderr]).toEqual([3, ""]);
  // into a pipe: no colours
  const lines = stdout.split("\n").map((line) => line.replace(/^\d\d:\d\d:\d\d\.\d{3} /, ""));
  for (const line of [
    "+ neighbour 10.9.0.9 dev br0 mac 02:00:00:00:00:01 state permanent",
    "~ link br0 mtu 1400 (was 1500)",
    "+ route 10.99.0.0/24 ways via 10.9.0.2 dev br0, via 10.9.0.3 dev br0",
    "late: + address 127.0.0.1/8 dev lo",
    "said",
  ])
    expect(lines).toContainEqual(line);
  expect(stdout).toMatch(/ \+ namespace late number \d+\n[\s\S]* - namespace late number \d+\n/);
  expect(stdout).toMatch(/ ~ link br1 .*name br1 \(was br0\)\n/);
  expect(stdout).toMatch(/ \+ nft table inet mine \(by nft, \d+\)\n/);
});

test("S3-N08 without a command it goes on until Ctrl-C, and tells only what is asked for", async () => {
  await using host = await Sandbox.create();
  const child = host.start([WARREN, "netwatch", "--json", "--only", "link,route"]);
  const first = await child.stderr.getReader().read();
  expect(new TextDecoder().decode(first.value)).toBe(
    "watching this network namespace and 0 others, until Ctrl-C\n",
  );
  await host.text(["ip", "link", "add", "br0", "up", "type", "bridge"]);
  await host.text(["ip", "address", "add", "10.9.0.1/24", "dev", "br0"]);
  await host.text(["ip", "link", "del", "br0"]);
  let seen = "";
  const reader = child.stdout.getReader();
  while (!seen.includes('"removed"')) seen += new TextDecoder().decode((await reader.read()).value);
  const told = changesIn(seen.slice(0, seen.lastIndexOf("\n") + 1));
  expect(told.map(spelled)).toContainEqual("added route 10.9.0.0/24");
  expect(new Set(told.map(({ object }) => object))).toEqual(new Set(["link", "route"]));
  // nsenter stands between
  await host.run([
    "sh",
    "-c",
    `kill -INT $(cat /proc/${child.pid}/task/${child.pid}/children) || kill -INT ${child.pid}`,
  ]);
  expect(await child.exited).toBe(0);
});

test("S3-N08 what came too fast is told as lost", async () => {
  await using host = await Sandbox.create();
  await host.text(["ip", "link", "add", "br0", "up", "type", "bridge"]);
  await Bun.write(
    join(host.directory, "batch"),
    Array.from({ length: 9_000 }, (_, at) => `link set br0 alias name-${at}\n`).join(""),
  );
  // the watcher is stopped while all of it happens
  const script = `kill -STOP $PPID; ip -batch batch; kill -CONT $PPID`;
  const { changes, stderr, exitCode } = await watched(host, "sh", "-c", script);
  expect(exitCode).toBe(0);
  expect(stderr).toContain("warning: changes were lost because too much happened at once");
  expect(changes).toContainEqual(expect.objectContaining({ lost: true }));
}, 30_000);

test.each<[args: string[], exitCode: number, message: string]>([
  [["--only", "links"], 2, '--only "links": expected some of link, address'],
  [["pods"], 2, 'unexpected argument "pods"; a command stands behind --'],
  [["--"], 2, "expected: -- CMD"],
  [["--josn"], 2, "did you mean --json?"],
  [["--", "no-such-command"], 127, "is not in PATH"],
])("netwatch %j is refused in one line", (args, exitCode, message) => {
  const outcome = Bun.spawnSync([WARREN, "netwatch", ...args]);
  expect(outcome.stderr.toString()).toContain(message);
  expect(outcome.stderr.toString().trim().split("\n")).toHaveLength(1);
  expect(outcome.exitCode).toBe(exitCode);
});
