// The node at a glance: what `warren status` says of networks, pools, stores and the kernel is what is there.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { rootNeeded } from "../support/container-root.ts";
import { TestNode } from "../support/node.ts";
import { PLUGIN_FOLDER } from "../support/plugins.ts";
import { testWith, WARREN } from "../support/sandbox.ts";

test("the whole node in JSON: networks, pools, stores, kernel, versions", async () => {
  await using node = await TestNode.create();
  const empty = JSON.parse(await node.succeed(["status", "--json"]));
  expect(empty.networks).toMatchObject([
    { name: "pods", ready: true, attachments: 0, stale: 0 },
    { name: "wire", ready: true, attachments: 0, stale: 0 },
  ]);

  await node.populate();
  const outcome = await node.warren(["status", "--json"]);
  expect(outcome).toMatchObject({ exitCode: 0, stderr: "" });
  const survey = JSON.parse(outcome.stdout);
  expect(survey.networks).toMatchObject([
    {
      name: "pods",
      file: join(node.conf, "10-pods.conflist"),
      cniVersion: "1.1.0",
      attachments: 3,
      stale: 1,
    },
    { name: "wire", plugins: ["warren-ptp"], attachments: 2, stale: 0 },
  ]);
  // 254 less the gateway, the exclusion of 64, two pods, one whose namespace is gone, and one that was deleted
  const v4 = { size: 254, used: 2, stale: 1, resting: 1, reserved: 65, free: 185 };
  expect(survey.pools).toMatchObject([
    { network: "pods", pool: "10.88.0.1-10.88.0.254", ...v4 },
    { network: "pods", pool: "fd00:88::1-fd00:88::ffff:ffff:ffff:ffff", used: 2, stale: 1, resting: 1 },
    {
      network: "wire",
      pool: "10.90.0.1-10.90.0.14",
      size: 14,
      used: 2,
      stale: 0,
      resting: 0,
      reserved: 1,
      free: 11,
    },
  ]);
  expect(outcome.stdout).toContain('"size": 18446744073709551615,');
  expect(survey.stores).toMatchObject([{ path: "/var/lib/cni/warren/warren.db", problem: "" }]);
  expect(survey.kernel).toBe((await node.host.text(["uname", "-r"])).trim());
  expect(survey.forwarding).toEqual({ ipv4: true, ipv6: true });

  // root can find out everything
  const unknown = survey.features.filter((one: { present?: boolean }) => one.present === undefined);
  expect(unknown).toEqual([]);
  // what is said of the kernel is what the kernel does when it is asked by others
  const makes = async (command: string[]) =>
    (await node.host.run(["unshare", "--net", ...command])).exitCode === 0;
  const present = new Map(
    survey.features.map((one: { feature: string; present: boolean }) => [one.feature, one.present]),
  );
  expect(present.get("nf_tables")).toBe(await makes(["nft", "add", "table", "inet", "x"]));
  expect(present.get("VLAN filtering of bridges")).toBe(
    await makes([
      "sh",
      "-ec",
      "ip link add x type bridge vlan_filtering 1; bridge -json vlan show | grep -q x",
    ]),
  );
  for (const kind of ["wireguard", "vxlan"]) {
    const more = kind === "vxlan" ? ["id", "1", "dstport", "4789"] : [];
    expect(present.get(kind)).toBe(await makes(["ip", "link", "add", "x", "type", kind, ...more]));
  }
  expect(present.get("token bucket")).toBe(
    await makes([
      "tc",
      "qdisc",
      "add",
      "dev",
      "lo",
      "root",
      "tbf",
      "rate",
      "1mbit",
      "burst",
      "4k",
      "latency",
      "25ms",
    ]),
  );
});

test("the tables for a person, and nothing of the probes stays on the host", async () => {
  await using node = await TestNode.create();
  await node.populate();
  const before = [
    await node.host.text(["ip", "-o", "link"]),
    await node.host.text(["nft", "list", "ruleset"]),
  ];
  const text = await node.succeed(["status"]);
  expect([
    await node.host.text(["ip", "-o", "link"]),
    await node.host.text(["nft", "list", "ruleset"]),
  ]).toEqual(before);
  expect(text).toStartWith("Warren 0.1.0, CNI 0.1.0 to 1.1.0, Linux ");
  expect(text).toMatch(/^pods +1\.1\.0 +warren-bridge +3 +1 +ready$/m);
  expect(text).toMatch(/^pods +10\.88\.0\.0\/24 +2 +1 +1 +65 +185 +█▓▒░░░░░·{12}$/m);
  expect(text).not.toContain("\u001b");
  expect(await node.succeed(["status"], { LANG: "C" })).toMatch(/ 185 +#!~-----\.{12}$/m);
});

test("what is broken is said in words, and the exit code is 1", async () => {
  await using node = await TestNode.create();
  await node.populate();
  await node.configure("30-broken.conflist", "{");
  await node.configure("20-wire.conflist", {
    cniVersion: "1.0.0",
    name: "old",
    plugins: [{ type: "warren-loopback" }],
  });
  const { exitCode, stdout } = await node.warren(["status"]);
  expect(exitCode).toBe(1);
  expect(stdout).toContain("broken: ");
  expect(stdout).not.toContain("Last errors");
  expect(stdout).toContain("30-broken.conflist: no JSON at line 1, column 2");
  expect(stdout).toContain("old: cniVersion 1.0.0 has no STATUS\n");
  // its config is gone, its attachments are not
  expect(stdout).toContain("wire: no config has it");
  expect(stdout).toMatch(/^wire +in no pool of the config +2 +0 +0 +0 +0/m);

  // a store that can't be read
  await node.host.text([
    "sh",
    "-c",
    "printf broken >/var/lib/cni/warren/warren.db; rm -f /var/lib/cni/warren/*-wal",
  ]);
  const corrupt = await node.warren(["status", "--json"]);
  expect(corrupt.exitCode).toBe(1);
  expect(JSON.parse(corrupt.stdout).stores[0].problem).toContain("is not an SQLite database");
  expect(JSON.parse(corrupt.stdout).networks[0]).toMatchObject({ name: "pods", ready: false });
});

testWith(rootNeeded)("who may not look is told so, and no pool passes for empty", async () => {
  await using node = await TestNode.create();
  await node.populate();
  await node.host.text(["chmod", "755", node.host.directory]);
  const env = { NETCONFPATH: node.conf, CNI_PATH: PLUGIN_FOLDER };
  const asNobody = (...args: string[]) =>
    node.host.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", WARREN, ...args], {
      env,
    });
  const status = await asNobody("status", "--json");
  expect(status.exitCode).toBe(1);
  const survey = JSON.parse(status.stdout);
  expect(survey.stores).toMatchObject([{ problem: expect.stringContaining("EACCES") }]);
  expect(survey.pools).toEqual([]);
  expect(survey.networks[0]).toMatchObject({ name: "pods", ready: false });
  expect(survey.networks[0]).not.toHaveProperty("attachments");
  expect(survey.features.map((one: { present?: boolean }) => one.present)).not.toContain(true);
  const map = await asNobody("map");
  expect(map.stderr).toContain("/var/lib/cni/warren/warren.db is left out");
  expect(map.stdout).toContain("br0 bridge 10.88.0.1/24");
});

test("the last errors are those of the journal, the latest first", async () => {
  await using node = await TestNode.create();
  await node.populate();
  await node.host.addNetns("second");
  expect(
    (
      await node.warren(["add", "pods", "second", "--container-id", "early"], {
        CNI_ARGS: "IP=10.88.0.2",
      })
    ).exitCode,
  ).toBe(1);
  expect(
    (await node.warren(["add", "pods", "second", "--container-id", "late"], { CNI_ARGS: "IP=192.0.2.1" }))
      .exitCode,
  ).toBe(1);
  const { lastErrors, stores } = JSON.parse(await node.succeed(["status", "--json"]));
  expect(lastErrors).toMatchObject([
    { verb: "ADD", plugin: "bridge", network: "pods", container: "late", code: 7 },
    { verb: "ADD", plugin: "bridge", network: "pods", container: "early", code: 100 },
  ]);
  const events = JSON.parse(await node.succeed(["events", "--json", "--limit", "10000"]));
  expect(stores[0].calls.total).toBeLessThanOrEqual(events.at(-1).sequence);
  const text = await node.succeed(["status"]);
  expect(text).toContain("Last errors (warren events --failed)\n");
  expect(text).toContain(
    " ADD bridge pods late eth0: error 7: failed to allocate all requested IPs: 192.0.2.1",
  );
  const metrics = (await node.succeed(["status", "--prometheus"])).split("\n");
  expect(metrics).toContain(
    'warren_journal_calls{network="pods",plugin="bridge",verb="ADD",outcome="error"} 2',
  );
  expect(metrics).toContain('warren_journal_calls{network="wire",plugin="ptp",verb="ADD",outcome="ok"} 2');
  const adds = events.filter((event: { verb: string }) => event.verb === "ADD");
  expect(metrics).toContain(
    `warren_journal_call_duration_seconds_bucket{verb="ADD",le="+Inf"} ${adds.length}`,
  );
  expect(metrics).toContain(`warren_journal_call_duration_seconds_count{verb="ADD"} ${adds.length}`);
  const fast = adds.filter((event: { ms: number }) => event.ms <= 10).length;
  expect(metrics).toContain(`warren_journal_call_duration_seconds_bucket{verb="ADD",le="0.01"} ${fast}`);
});

const promtool = tools.program("promtool");
testWith(promtool)("the metrics are what promtool takes, and say what the tables say", async () => {
  await using node = await TestNode.create();
  await node.configure("40-odd.conflist", {
    cniVersion: "1.1.0",
    name: "odd",
    plugins: [{ type: "missing" }],
  });
  await node.populate();
  const { exitCode, stdout } = await node.warren(["status", "--prometheus"]);
  expect(exitCode).toBe(0);
  const checked = await node.host.run([promtool.path ?? "", "check", "metrics"], { stdin: stdout });
  expect(checked).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  const lines = stdout.split("\n");
  const pool = 'network="pods",pool="10.88.0.1-10.88.0.254"';
  expect(lines).toContain(`warren_pool_addresses_capacity{${pool}} 189`);
  expect(lines).toContain(`warren_pool_addresses_used{${pool}} 2`);
  expect(lines).toContain(`warren_pool_addresses_leaked{${pool}} 1`);
  expect(lines).toContain(`warren_pool_addresses_resting{${pool}} 1`);
  expect(lines).toContain(`warren_pool_addresses_available{${pool}} 185`);
  expect(lines).toContain('warren_network_ready{network="pods"} 1');
  expect(lines).toContain('warren_network_ready{network="odd"} 0');
  expect(lines).toContain('warren_network_attachments_leaked{network="pods"} 1');
});

test.each([
  [["status", "pods", "--prometheus"], "leave out the network"],
  [["status", "--json", "--prometheus"], "exclude each other"],
])("%j can't be meant", async (args, message) => {
  await using node = await TestNode.create();
  const { exitCode, stderr } = await node.warren(args);
  expect(stderr).toContain(message);
  expect(exitCode).toBe(2);
});
