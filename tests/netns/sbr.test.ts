// The plugin sbr on a real kernel. The pod has two interfaces, each to a namespace that plays everybody on that wire; what
// a plugin before this one would have made is made by ip, and said in a prevResult.
import { describe, expect, test } from "bun:test";
import { dirname } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { type Config, call, succeed } from "../support/plugins.ts";
import { Sandbox, testWith, WARREN } from "../support/sandbox.ts";

const POD = { containerId: "pod-1", netns: "pod1", ifname: "net1" };
const FIRST = { ...POD, ifname: "eth0" };

async function host(defaultMetric = 1024): Promise<Sandbox> {
  const sandbox = await Sandbox.create();
  await sandbox.text(["ip", "netns", "add", "pod1"]);
  await sandbox.text(["ip", "-batch", "-"], {
    stdin: [
      ...["eth0", "net1"].map((name) => `link add ${name} netns pod1 type veth peer name far-${name}`),
      "link set far-eth0 up",
      "link set far-net1 up",
    ].join("\n"),
  });
  await sandbox.text(["ip", "-netns", "pod1", "-batch", "-"], {
    stdin: [
      "link set lo up",
      ...[
        ["eth0", "90"],
        ["net1", "91"],
      ].flatMap(([name, number]) => [
        `addr add 10.${number}.0.2/24 dev ${name}`,
        `link set ${name} up`,
        `addr add fd00:${number}::2/64 dev ${name} nodad`,
      ]),
      "route add default via 10.90.0.1",
      "route add 192.0.2.0/24 via 10.91.0.1 mtu 1400",
      "route add 198.18.0.0/15 dev net1",
      "route add default via 10.91.0.1 metric 200",
      `route add default via fd00:91::1 dev net1 metric ${defaultMetric}`,
    ].join("\n"),
  });
  return sandbox;
}

function result(name: string, number: number, version = "1.1.0"): Config {
  return {
    cniVersion: version,
    interfaces: [{ name: "br0" }, { name, sandbox: "/run/netns/pod1" }],
    ips: [
      { interface: 1, address: `10.${number}.0.2/24`, gateway: `10.${number}.0.1` },
      { interface: 1, address: `fd00:${number}::2/64`, gateway: `fd00:${number}::1` },
      { interface: 0, address: "10.1.0.1/16" },
    ],
  };
}

function config(sandbox: Sandbox, more: Config = {}): Config {
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-sbr",
    dataDir: `${sandbox.directory}/store`,
    prevResult: result("net1", 91),
    ...more,
  };
}

/** Rules and routes of the pod as ip has them, those of tables beside the main one with their number. */
async function routing(sandbox: Sandbox): Promise<string[]> {
  const lines = async (...words: string[]) =>
    (await sandbox.text(["ip", "-netns", "pod1", ...words]))
      .split("\n")
      .map((line) => line.trim().replace(/^\d+:\s+/, ""))
      .filter(
        (line) => line !== "" && !/^fe80::|^multicast|table local|lookup (local|main|default)/.test(line),
      );
  return [
    ...(await lines("rule")),
    ...(await lines("-6", "rule")),
    ...(await lines("-4", "route", "show", "table", "all")).filter(
      (line) => !/^(local|broadcast)/.test(line),
    ),
    ...(await lines("-6", "route", "show", "table", "all")).filter((line) => !/^(local|anycast)/.test(line)),
  ];
}

const leadsBy = async (sandbox: Sandbox, from: string, to: string) =>
  / dev (\S+)/.exec(await sandbox.text(["ip", "-netns", "pod1", "route", "get", to, "from", from]))?.[1];

const valid = (...ids: string[]): Config => ({
  "cni.dev/valid-attachments": ids.map((containerID) => ({ containerID, ifname: "net1" })),
});

test("ADD lets each address leave by its interface, CHECK sees it, and DEL puts everything back", async () => {
  await using sandbox = await host();
  const network = config(sandbox);
  await succeed(sandbox, "STATUS", network);
  const before = await routing(sandbox);
  expect(await leadsBy(sandbox, "10.91.0.2", "203.0.113.1")).toBe("eth0");
  const added = await succeed(sandbox, "ADD", network, POD);
  expect(added.document).toEqual(result("net1", 91));
  expect(await routing(sandbox)).toEqual([
    "from 10.91.0.2 lookup 100",
    "from fd00:91::2 lookup 101",
    "default via 10.91.0.1 dev net1 table 100",
    "default via 10.91.0.1 dev net1 table 100 metric 200",
    "10.91.0.0/24 dev net1 table 100 proto kernel scope link src 10.91.0.2",
    "192.0.2.0/24 via 10.91.0.1 dev net1 table 100 mtu 1400",
    "198.18.0.0/15 dev net1 table 100 scope link",
    "default via 10.90.0.1 dev eth0",
    "10.90.0.0/24 dev eth0 proto kernel scope link src 10.90.0.2",
    "fd00:91::/64 dev net1 table 101 proto kernel metric 256 pref medium",
    "default via fd00:91::1 dev net1 table 101 metric 1024 pref medium",
    "fd00:90::/64 dev eth0 proto kernel metric 256 pref medium",
  ]);
  expect(await leadsBy(sandbox, "10.91.0.2", "203.0.113.1")).toBe("net1");
  expect(await leadsBy(sandbox, "fd00:91::2", "2001:db8::1")).toBe("net1");
  expect(await leadsBy(sandbox, "10.90.0.2", "203.0.113.1")).toBe("eth0");
  const checked = { ...network, prevResult: added.document };
  await succeed(sandbox, "CHECK", checked, POD);

  // the other interface has tables of its own
  const other = config(sandbox, { name: "other", prevResult: result("eth0", 90) });
  await succeed(sandbox, "ADD", other, FIRST);
  expect((await routing(sandbox)).slice(0, 4).sort()).toEqual([
    "from 10.90.0.2 lookup 102",
    "from 10.91.0.2 lookup 100",
    "from fd00:90::2 lookup 103",
    "from fd00:91::2 lookup 101",
  ]);
  await succeed(sandbox, "CHECK", checked, POD);
  await succeed(sandbox, "DEL", other, FIRST);
  await succeed(sandbox, "DEL", network, POD);
  expect(await routing(sandbox)).toEqual(before);
  await succeed(sandbox, "DEL", network, POD);
  expect(await routing(sandbox)).toEqual(before);
}, 30_000);

const MODES: readonly (readonly [name: string, more: Config])[] = [
  ["nothing", {}],
  ["gateways", { gateways: ["10.91.0.7", "fd00:91::7"] }],
  ["one gateway", { gateways: ["10.91.0.7"] }],
  ["addSourceHints", { addSourceHints: true }],
  ["a table of somebody else's", { table: 4096 }],
];

test.each(MODES)("with %s every verb is true, also after the runtime forgot the result", async (_, more) => {
  await using sandbox = await host();
  const network = config(sandbox, more);
  const before = await routing(sandbox);
  const added = await succeed(sandbox, "ADD", network, POD);
  await succeed(sandbox, "CHECK", { ...network, prevResult: added.document }, POD);
  const during = await routing(sandbox);
  expect(during).not.toEqual(before);
  for (const gateway of (more.gateways ?? []) as string[]) {
    expect(during).toContainEqual(expect.stringContaining(`default via ${gateway} dev net1 table`));
  }
  const { prevResult: _result, ...forgotten } = network;
  await succeed(sandbox, "DEL", { ...forgotten, gateways: 7, table: "bad" }, { ...POD, netns: "" });
  expect(await routing(sandbox)).toEqual(before);
});

testWith(tools.referencePlugins)(
  "beside the reference plugin: the same rules, tables and routes",
  async () => {
    const reference = tools.referencePlugins.path ?? "";
    for (const [name, more] of MODES) {
      const [theirs, ours] = await Promise.all(
        [reference, dirname(WARREN)].map(async (path) => {
          // by another metric, because the reference's copy takes the place of a gateway in the config
          await using sandbox = await host(2048);
          const type = path === reference ? "sbr" : "warren-sbr";
          const prevResult = result("net1", 91, "1.0.0");
          const network = config(sandbox, { ...more, type, cniVersion: "1.0.0", prevResult });
          const { document } = await succeed(sandbox, "ADD", network, POD, path);
          // the reference also puts routes of the one family into the table that only rules of the other lead to
          const strays = /^(fd00:91::\/64|198\.18\.0\.0\/15) .*table (100|101) /;
          const seen = (await routing(sandbox)).filter((line) => {
            const [, destination = "", table] = strays.exec(line) ?? [];
            return table === undefined || destination.includes(":") === (table === "101");
          });
          return { document, seen };
        }),
      );
      expect({ name, ...ours }).toEqual({ name, ...theirs } as never);
    }
  },
  60_000,
);

test("CHECK fails, naming it, for each thing that is gone or came back", async () => {
  const damages: readonly (readonly [more: Config, command: string, says: string])[] = [
    [{}, "rule del from 10.91.0.2", "the rule from 10.91.0.2 lookup 100 is gone"],
    [{}, "-6 rule del from fd00:91::2", "the rule from fd00:91::2 lookup 101 is gone"],
    [{}, "route del 192.0.2.0/24 table 100", "the route 192.0.2.0/24 via 10.91.0.1 in table 100 is gone"],
    [{}, "route del default table 100 metric 0", "the route default via 10.91.0.1 in table 100 is gone"],
    [{}, "route add 198.18.0.0/15 dev net1", "the route 198.18.0.0/15 is in the main table again"],
    [{}, "link del net1", "interface net1 is gone"],
    [
      { addSourceHints: true },
      "route del 10.91.0.0/24 table main",
      "the route to 10.91.0.0/24 from 10.91.0.2 is gone",
    ],
    [{ table: 4096 }, "rule del from 10.91.0.2", "the rule from 10.91.0.2 lookup 4096 is gone"],
  ];
  await Promise.all(
    damages.map(async ([more, command, says]) => {
      await using sandbox = await host();
      const network = config(sandbox, more);
      await succeed(sandbox, "ADD", network, POD);
      await succeed(sandbox, "CHECK", network, POD);
      await sandbox.text(["ip", "-netns", "pod1", ...command.split(" ")]);
      const answer = await call(sandbox, "CHECK", network, POD);
      expect(answer.document).toMatchObject({ code: 103, msg: expect.stringContaining(says) });
    }),
  );
}, 60_000);

describe("DEL and GC", () => {
  test("take the rules away of an interface that is gone, and leave those of its successor", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    await succeed(sandbox, "ADD", network, POD);
    await sandbox.text([
      "sh",
      "-ec",
      "ip -n pod1 link del net1; ip -n pod1 link add net1 type veth peer name x; ip -n pod1 link set x up",
    ]);
    await sandbox.text(["ip", "-n", "pod1", "addr", "add", "10.93.0.2/24", "dev", "net1"]);
    await sandbox.text(["ip", "-n", "pod1", "link", "set", "net1", "up"]);
    const successor = (await routing(sandbox)).filter((line) => !line.startsWith("from"));
    await succeed(sandbox, "DEL", network, POD);
    expect(await routing(sandbox)).toEqual(successor);
  });

  test("GC takes what is not valid back out of a living container, and DEL needs no namespace", async () => {
    await using sandbox = await host();
    const network = config(sandbox);
    const before = await routing(sandbox);
    await succeed(sandbox, "ADD", network, POD);
    await succeed(sandbox, "GC", { ...network, ...valid("pod-1") });
    await succeed(sandbox, "CHECK", network, POD);
    const without = await succeed(sandbox, "GC", network);
    expect(without.stderr).toContain("no list of valid attachments came for network lab");
    const answer = await succeed(sandbox, "GC", { ...network, ...valid() });
    expect(answer.stderr).toContain("warren-sbr: removed container pod-1, interface net1 of network lab");
    expect(await routing(sandbox)).toEqual(before);
    await succeed(sandbox, "ADD", network, POD);
    await sandbox.text(["ip", "netns", "del", "pod1"]);
    await succeed(sandbox, "DEL", network, POD);
    await succeed(sandbox, "DEL", network, POD);
  });
});

describe("refused, and everything is as it was:", () => {
  test.each<[string, Config, number, string]>([
    ["no result before it", { prevResult: undefined }, 7, "must be called as chained plugin"],
    [
      "no address of the interface",
      { prevResult: result("net2", 91) },
      7,
      "No IP addresses supplied on interface: net1",
    ],
    ["a gateway that is none", { gateways: ["10.91.0"] }, 7, "invalid static gateway IP address: 10.91.0"],
    [
      "two gateways of a family",
      { gateways: ["10.91.0.1", "10.91.0.2"] },
      7,
      "gateways list contains multiple IPv4 addresses: 10.91.0.1 and 10.91.0.2",
    ],
    ["a gateway that can't be reached", { gateways: ["203.0.113.1"] }, 104, "default via 203.0.113.1"],
    ["table 0", { table: 0 }, 7, '"table" is 0'],
    ["half a table", { table: 1.5 }, 7, '"table" is 1.5'],
    ["an interface that is not there", { prevResult: result("net9", 91) }, 7, "net9"],
  ])("%s", async (_, more, code, message) => {
    await using sandbox = await host();
    const before = await routing(sandbox);
    const target = message === "net9" ? { ...POD, ifname: "net9" } : POD;
    const answer = await call(sandbox, "ADD", config(sandbox, more), target);
    expect(answer.document).toMatchObject({ code, msg: expect.stringContaining(message) });
    expect(await routing(sandbox)).toEqual(before);
    await succeed(sandbox, "ADD", config(sandbox), POD);
  });
});
