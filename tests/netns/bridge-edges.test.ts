// Corners in which bridge once lost something or told something untrue: a second ADD of what is alive, results that
// can't be told, bridges and gateways of others, configs that stand for something else than they say.

import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { tools } from "../../scripts/tools.ts";
import {
  type Config,
  call,
  leases,
  linkNames,
  PLUGIN_FOLDER,
  ruleset,
  succeed,
  variables,
} from "../support/plugins.ts";
import { Sandbox, testWith, WARREN } from "../support/sandbox.ts";

const POD = { containerId: "pod-1", netns: "pod1" };

const host = () => Sandbox.withPods("pod1", "pod2");

function network(sandbox: Sandbox, more: Config = {}, ipam: Config = {}): Config {
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-bridge",
    bridge: "br0",
    isGateway: true,
    ipMasq: true,
    ...more,
    ipam: { type: "warren-ipam", dataDir: `${sandbox.directory}/store`, subnet: "10.88.0.0/16", ...ipam },
  };
}

async function held(sandbox: Sandbox): Promise<string[]> {
  return (await leases(sandbox, `${sandbox.directory}/store`)).map(({ address = "" }) => address);
}

async function noTrace(sandbox: Sandbox): Promise<void> {
  expect((await linkNames(sandbox)).filter((name) => name.startsWith("veth"))).toEqual([]);
  expect(await ruleset(sandbox)).toBe("");
  expect(await held(sandbox)).toEqual([]);
  expect((await sandbox.inNetns("pod1", ["ip", "link", "show", "eth0"])).exitCode).not.toBe(0);
}

describe("what is alive", () => {
  test("S0-13 a second ADD in another namespace is refused, and the first keeps its address", async () => {
    await using sandbox = await host();
    const config = network(sandbox);
    const first = await succeed(sandbox, "ADD", config, POD);
    const second = await call(sandbox, "ADD", config, { ...POD, netns: "pod2" });
    expect(second.document?.code).toBe(102);
    expect(second.document?.msg).toContain("is attached already, in /run/netns/pod1");
    expect(await held(sandbox)).toEqual(["10.88.0.2/16"]);
    await succeed(sandbox, "CHECK", { ...config, prevResult: first.document }, POD);
    const other = await succeed(sandbox, "ADD", config, { containerId: "pod-2", netns: "pod2" });
    expect(other.document.ips[0].address).toBe("10.88.0.3/16");
  });

  test("of parallel ADDs of one attachment one wins, and it keeps what it got", async () => {
    await using sandbox = await host();
    const config = network(sandbox);
    for (let round = 0; round < 5; round++) {
      const answers = await Promise.all([1, 2, 3].map(() => call(sandbox, "ADD", config, POD)));
      const winners = answers.filter(({ exitCode }) => exitCode === 0);
      expect(winners).toHaveLength(1);
      expect(await held(sandbox)).toEqual([winners[0]?.document.ips[0].address]);
      await succeed(sandbox, "CHECK", { ...config, prevResult: winners[0]?.document }, POD);
      await succeed(sandbox, "DEL", config, POD);
    }
  });

  test("an attachment whose namespace is gone can be added again without DEL", async () => {
    await using sandbox = await host();
    const config = network(sandbox);
    await succeed(sandbox, "ADD", config, POD);
    await sandbox.text(["ip", "netns", "del", "pod1"]);
    await sandbox.addNetns("pod1");
    const again = await succeed(sandbox, "ADD", config, POD);
    await succeed(sandbox, "CHECK", { ...config, prevResult: again.document }, POD);
    expect(await held(sandbox)).toHaveLength(1);
  });
});

describe("a result that can't be told", () => {
  test("of a version that has no words for it leaves nothing", async () => {
    await using sandbox = await host();
    const config = {
      ...network(sandbox),
      ipam: {},
      dataDir: `${sandbox.directory}/store`,
      cniVersion: "0.2.0",
    };
    const answer = await call(sandbox, "ADD", config, POD);
    expect(answer.document).toMatchObject({ code: 1, msg: "cannot convert: no valid IP addresses" });
    await noTrace(sandbox);
  });

  test("because nobody can take it leaves nothing", async () => {
    await using sandbox = await host();
    const { exitCode } = await sandbox.run(["sh", "-c", `${PLUGIN_FOLDER}/warren-bridge >/dev/full`], {
      env: variables("ADD", POD),
      stdin: JSON.stringify(network(sandbox)),
    });
    expect(exitCode).toBe(1);
    await noTrace(sandbox);
  });
});

describe("gateways", () => {
  test("several subnets of a network have theirs side by side", async () => {
    await using sandbox = await host();
    const config = network(
      sandbox,
      {},
      { subnet: "", ranges: [[{ subnet: "10.1.0.0/30" }, { subnet: "10.2.0.0/24" }]] },
    );
    await succeed(sandbox, "ADD", config, POD);
    const second = await succeed(sandbox, "ADD", config, { containerId: "pod-2", netns: "pod2" });
    expect(second.document.ips[0]).toMatchObject({ address: "10.2.0.2/24", gateway: "10.2.0.1" });
    const [bridge] = (await sandbox.json(["ip", "-json", "-4", "addr", "show", "dev", "br0"])) as {
      addr_info: { local: string }[];
    }[];
    expect(bridge?.addr_info.map(({ local }) => local)).toEqual(["10.1.0.1", "10.2.0.1"]);
    for (const [netns, gateway] of [
      ["pod1", "10.1.0.1"],
      ["pod2", "10.2.0.1"],
    ] as const) {
      expect((await sandbox.run([WARREN, "lab", "ping", gateway, "--from", netns])).exitCode).toBe(0);
    }
  });

  test("one that is there already is kept, whatever stands before it", async () => {
    await using sandbox = await host();
    await sandbox.text(["ip", "link", "add", "br0", "type", "bridge"]);
    await sandbox.text(["ip", "addr", "add", "10.88.255.254/16", "dev", "br0"]);
    await sandbox.text(["ip", "addr", "add", "10.88.0.1/16", "dev", "br0"]);
    for (const forceAddress of [false, true]) {
      await succeed(sandbox, "ADD", network(sandbox, { forceAddress }), POD);
      expect(await sandbox.text(["ip", "-4", "addr", "show", "dev", "br0"])).toContain("10.88.0.1/16");
      await succeed(sandbox, "DEL", network(sandbox), POD);
    }
  });

  test.each(["10.88.0.0/31", "fd00:88::/127"])(
    "a container never gets its own gateway's address (%s)",
    async (subnet) => {
      await using sandbox = await host();
      const config = network(sandbox, { ipMasq: false }, { subnet });
      const answer = await call(sandbox, "ADD", config, POD);
      expect(answer.document?.code).toBe(7);
      expect(answer.document?.msg).toContain(subnet.replace(/\/\d+$/, ""));
      await noTrace(sandbox);
      const gateway = subnet.replace(/\/\d+$/, "");
      const told = network(sandbox, { ipMasq: false }, { subnet, gateway });
      const added = await succeed(sandbox, "ADD", told, POD);
      expect(added.document.ips[0].gateway).toBe(gateway);
      expect(added.document.ips[0].address).not.toBe(subnet);
    },
  );
});

describe("bridges of others", () => {
  test("one that runs the spanning tree protocol is used, although its ports listen at first", async () => {
    await using sandbox = await host();
    await sandbox.text(["ip", "link", "add", "br0", "type", "bridge", "stp_state", "1"]);
    const added = await succeed(sandbox, "ADD", network(sandbox), POD);
    // it forwards after half a minute, for which nobody waits
    const ports = await sandbox.json(["bridge", "-json", "link", "show"]);
    const state = expect.stringMatching(/^(listening|learning)$/);
    expect(ports).toEqual([expect.objectContaining({ master: "br0", state })]);
    await succeed(sandbox, "CHECK", { ...network(sandbox), prevResult: added.document }, POD);
  });

  test.each([
    [{ bridge: "br%d" }, 7],
    [{}, 4],
  ])("a name in which the kernel would put a number is refused: %j", async (more, code) => {
    await using sandbox = await host();
    const target = code === 4 ? { ...POD, ifname: "eth%d" } : POD;
    const answer = await call(sandbox, "ADD", network(sandbox, more), target);
    expect(answer.document?.code).toBe(code);
    expect(answer.document?.msg).toContain("interface name contains %");
    expect(await linkNames(sandbox)).toEqual([]);
  });

  test("STATUS is ready after a reboot took the bridge and every container", async () => {
    await using sandbox = await host();
    const config = network(sandbox);
    await succeed(sandbox, "ADD", config, POD);
    await sandbox.text(["ip", "link", "del", "br0"]);
    expect((await call(sandbox, "STATUS", config)).document?.code).toBe(51);
    const database = new Database(`${sandbox.directory}/store/warren.db`);
    database.run("UPDATE attachments SET boot_id = 'an earlier one'");
    database.close();
    await succeed(sandbox, "STATUS", config);
  });
});

describe("delegates", () => {
  test("a net plugin as IPAM plugin is refused instead of calling itself for ever", async () => {
    await using sandbox = await host();
    for (const verb of ["ADD", "STATUS"]) {
      const answer = await call(sandbox, verb, network(sandbox, {}, { type: "warren-bridge" }), POD);
      expect(answer.document?.code).toBe(7);
      expect(answer.document?.msg).toContain("which gives no addresses");
    }
  });

  test("an IPAM plugin that refuses a DEL is asked again by the next one", async () => {
    await using sandbox = await host();
    const plugin = `${sandbox.directory}/plugins/moody`;
    await sandbox.text(["mkdir", "plugins"]);
    await Bun.write(
      plugin,
      `#!/bin/sh
cat >/dev/null
case "$CNI_COMMAND" in
ADD) echo '{"cniVersion":"1.1.0","ips":[{"address":"10.88.0.9/16"}]}' ;;
DEL) test -e ${sandbox.directory}/good && { touch ${sandbox.directory}/deleted; exit 0; }
  echo '{"code":11,"msg":"not now"}'; exit 1 ;;
esac
`,
    );
    await sandbox.text(["chmod", "755", plugin]);
    const config = {
      ...network(sandbox, { dataDir: `${sandbox.directory}/store` }),
      ipam: { type: "moody" },
    };
    const path = `${PLUGIN_FOLDER}:${sandbox.directory}/plugins`;
    await succeed(sandbox, "ADD", config, POD, path);
    const refused = await call(sandbox, "DEL", config, POD, path);
    expect(refused.document).toMatchObject({ code: 11, msg: "not now" });
    await sandbox.text(["touch", "good"]);
    await succeed(sandbox, "GC", { ...config, "cni.dev/valid-attachments": [] }, undefined, path);
    expect(await Bun.file(`${sandbox.directory}/deleted`).exists()).toBe(true);
  });
});

test("CHECK tells a route that leads the same way under other conditions", async () => {
  await using sandbox = await host();
  const config = network(sandbox, {}, { routes: [{ dst: "192.0.2.0/24", mtu: 1300, priority: 7 }] });
  const added = await succeed(sandbox, "ADD", config, POD);
  const checked = { ...config, prevResult: added.document };
  await succeed(sandbox, "CHECK", checked, POD);
  const route = [
    "ip",
    "-netns",
    "pod1",
    "route",
    "replace",
    "192.0.2.0/24",
    "via",
    "10.88.0.1",
    "dev",
    "eth0",
  ];
  await sandbox.text([...route, "metric", "7", "mtu", "1200"]);
  const answer = await call(sandbox, "CHECK", checked, POD);
  expect(answer.document?.code).toBe(103);
  expect(answer.document?.msg).toContain("lacks the route to 192.0.2.0/24");
});

test("CHECK finds the IPv6 routes of two interfaces on one network, which are one to the kernel", async () => {
  await using sandbox = await host();
  const routes = [{ dst: "::/0" }, { dst: "fd00:99::/64", mtu: 1300 }];
  const config = network(sandbox, {}, { subnet: "fd00:88::/64", routes });
  const targets = [POD, { ...POD, ifname: "net1" }];
  const checked: Config[] = [];
  for (const target of targets) {
    checked.push({ ...config, prevResult: (await succeed(sandbox, "ADD", config, target)).document });
  }
  const check = (index: number) => call(sandbox, "CHECK", checked[index] ?? {}, targets[index]);
  for (const [index] of targets.entries()) expect((await check(index)).stdout).toBe("");
  const path = "via fd00:88::1 dev net1".split(" ");
  await sandbox.text(["ip", "-netns", "pod1", "-6", "route", "del", "fd00:99::/64", ...path]);
  expect((await check(0)).stdout).toBe("");
  expect((await check(1)).document).toMatchObject({
    code: 103,
    msg: "interface net1 lacks the route to fd00:99::/64",
  });
});

test("a FIFO in the place of a namespace is refused instead of waited for", async () => {
  await using sandbox = await host();
  await sandbox.text(["mkfifo", "fifo"]);
  const answer = await call(sandbox, "ADD", network(sandbox), { ...POD, netns: `${sandbox.directory}/fifo` });
  expect(answer.document?.code).toBe(8);
});

test.each(["warren-bridge", "warren-ptp"])(
  "DEL of %s removes the pair of a store that can't be read, and says that it can't",
  async (type) => {
    await using sandbox = await host();
    const config = network(sandbox, { type });
    await succeed(sandbox, "ADD", config, POD);
    await sandbox.text([
      "sh",
      "-c",
      `rm ${sandbox.directory}/store/*; echo nonsense > ${sandbox.directory}/store/warren.db`,
    ]);
    const { document } = await call(sandbox, "DEL", config, POD);
    expect(document.msg).toContain("is not an SQLite database");
    expect((await linkNames(sandbox)).filter((name) => name.startsWith("veth"))).toEqual([]);
  },
);

/** Runs the plugin where /proc/sys can be read only, as in a container that administers its network and no more. */
const READ_ONLY_SETTINGS =
  'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"';

test.each(["warren-bridge", "warren-ptp"])(
  "%s needs no setting that is not needed where /proc/sys is read-only, and names the one that is",
  async (type) => {
    await using sandbox = await host();
    const config = network(sandbox, { type, ipMasq: false }, { ranges: [[{ subnet: "fd00:88::/64" }]] });
    const add = () =>
      sandbox.run(["unshare", "--mount", "sh", "-c", READ_ONLY_SETTINGS, "sh", join(PLUGIN_FOLDER, type)], {
        env: variables("ADD", POD),
        stdin: JSON.stringify(config),
      });
    const refused = await add();
    expect([refused.exitCode, JSON.parse(refused.stdout)]).toEqual([
      1,
      expect.objectContaining({
        code: 5,
        msg: "open /proc/sys/net/ipv4/ip_forward: EROFS",
        details: "/proc/sys is read-only here: set it from where it is not, or mount it read-write",
      }),
    ]);
    await noTrace(sandbox);
    for (const name of ["ipv4.ip_forward", "ipv6.conf.all.forwarding"])
      await sandbox.text(["sysctl", "-qw", `net.${name}=1`]);
    const added = await add();
    expect([added.exitCode, added.stderr]).toEqual([0, ""]);
    const pinged = await sandbox.text([WARREN, "lab", "ping", "fd00:88::1", "--from", "pod1"]);
    expect(pinged).toContain("fd00:88::1 answered pod1");
    await succeed(sandbox, "DEL", config, POD);
    await noTrace(sandbox);
  },
);

test("a DEL after a refused ADD leaves the interface of another network alone, whoever made it", async () => {
  await using sandbox = await host();
  const first = network(sandbox, { name: "first" });
  const added = await succeed(sandbox, "ADD", first, POD);
  const other = network(sandbox, { name: "other", bridge: "br1" }, { subnet: "10.99.0.0/16" });
  const refused = await call(sandbox, "ADD", other, POD);
  expect(refused.document.code).toBe(102);
  await succeed(sandbox, "DEL", other, POD);
  await succeed(sandbox, "CHECK", { ...first, prevResult: added.document }, POD);
  // nothing says whose it is but the result of another attachment
  await sandbox.text(["ip", "-n", "pod2", "link", "add", "eth0", "type", "veth", "peer", "name", "far"]);
  const elsewhere = { ...POD, netns: "pod2" };
  await succeed(sandbox, "DEL", { ...other, prevResult: added.document }, elsewhere);
  expect((await sandbox.inNetns("pod2", ["ip", "link", "show", "eth0"])).exitCode).toBe(0);
});

const withReference = testWith(tools.referencePlugin("tap"));

withReference(
  "DEL takes away what the reference plugins made, by the result that the runtime remembers",
  async () => {
    await using sandbox = await host();
    await sandbox.text([
      "sh",
      "-ec",
      "ip link add card type veth peer name far; ip link set card up; ip link set far up",
    ]);
    const reference = tools.referencePlugins.path ?? "";
    const before = await linkNames(sandbox);
    for (const [type, more] of [
      ["bridge", { bridge: "br0" }],
      ["ptp", {}],
      ["macvlan", { master: "card" }],
      ["tap", {}],
      ["host-device", { device: "card" }],
    ] as const) {
      const config = { cniVersion: "1.0.0", name: "old", ...more };
      const ipam = { type: "host-local", subnet: "10.9.0.0/16" };
      const added = await succeed(sandbox, "ADD", { ...config, type, ipam }, POD, reference);
      const ours = { ...config, type: `warren-${type}`, ipam: { ...ipam, type: "warren-host-local" } };
      await succeed(sandbox, "DEL", { ...ours, prevResult: added.document }, POD);
      expect(await sandbox.text(["ip", "-n", "pod1", "-br", "link"])).not.toContain("eth0");
      await sandbox.run(["ip", "link", "del", "br0"]);
      expect(await linkNames(sandbox)).toEqual(before);
    }
  },
);
