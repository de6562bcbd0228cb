// The plugin delegates on a real kernel: containers with several interfaces, each of another network, by configs, labels and
// annotations. Bridges, pairs and macvlans are the delegates, and one plugin that is a shell script.
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import {
  type Answer,
  type Config,
  call,
  leases,
  linkNames,
  PLUGIN_FOLDER,
  succeed,
  type Target,
  variables,
} from "../support/plugins.ts";
import { Sandbox } from "../support/sandbox.ts";
import { connectionSource, globalAddressesOf, routesOf, seenLink } from "../support/witness.ts";

const POD = { containerId: "pod-1", netns: "pod1" };
const OTHER = { containerId: "pod-2", netns: "pod2" };
const ANNOTATIONS = "io.kubernetes.cri.pod-annotations";
const NETWORKS = "k8s.v1.cni.cncf.io/networks";

async function host(): Promise<Sandbox> {
  const sandbox = await Sandbox.create();
  for (const pod of ["pod1", "pod2"]) await sandbox.addNetns(pod);
  await sandbox.text(["sh", "-ec", "ip link add card0 up type veth peer name far0; ip link set far0 up"]);
  mkdirSync(`${sandbox.directory}/conf`);
  mkdirSync(`${sandbox.directory}/bin`);
  return sandbox;
}

const storeOf = (sandbox: Sandbox): string => `${sandbox.directory}/store`;

/** A delegate with addresses; `subnet` is of the form 10.N. */
function delegate(sandbox: Sandbox, type: string, number: number, more: Config = {}): Config {
  const dataDir = storeOf(sandbox);
  const ipam = { type: "warren-ipam", dataDir, subnet: `10.${number}.0.0/24` };
  const own = type === "warren-bridge" ? { bridge: `br${number}`, isDefaultGateway: true } : {};
  return { type, ...own, dataDir, ipam, ...more };
}

const bridge = (sandbox: Sandbox, number: number, more: Config = {}): Config =>
  delegate(sandbox, "warren-bridge", number, { isDefaultGateway: number === 1, isGateway: true, ...more });
const macvlan = (sandbox: Sandbox, number: number, more: Config = {}): Config =>
  delegate(sandbox, "warren-macvlan", number, { master: "card0", ...more });

function config(sandbox: Sandbox, delegates: readonly unknown[], more: Config = {}): Config {
  const confDir = `${sandbox.directory}/conf`;
  const dataDir = storeOf(sandbox);
  return {
    cniVersion: "1.1.0",
    name: "many",
    type: "warren-delegates",
    dataDir,
    confDir,
    delegates,
    ...more,
  };
}

/** Puts a network into the folder of networks, under a namespace if told. */
function network(sandbox: Sandbox, name: string, plugins: readonly Config[], namespace = ""): void {
  const folder = `${sandbox.directory}/conf/${namespace}`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/${name}.conflist`, JSON.stringify({ cniVersion: "1.1.0", name, plugins }));
}

const annotated = (value: unknown, more: Readonly<Record<string, string>> = {}): Config => ({
  runtimeConfig: {
    [ANNOTATIONS]: { ...more, [NETWORKS]: typeof value === "string" ? value : JSON.stringify(value) },
  },
});

/** The interfaces of a pod with their IPv4 addresses, by name. */
async function interfacesOf(sandbox: Sandbox, pod: string): Promise<Record<string, string>> {
  const links = (await sandbox.json(["ip", "-n", pod, "-json", "-4", "addr"])) as {
    ifname: string;
    addr_info: { local: string; prefixlen: number }[];
  }[];
  const found = links.filter(({ ifname }) => ifname !== "lo");
  return Object.fromEntries(
    found.map(({ ifname, addr_info: [one] }) => [ifname, `${one?.local}/${one?.prefixlen}`]),
  );
}

/** Makes a plugin of somebody else's out of lines of shell, and returns the CNI_PATH by which it is found. */
function foreign(sandbox: Sandbox, name: string, lines: readonly string[]): string {
  const file = `${sandbox.directory}/bin/${name}`;
  writeFileSync(file, `#!/bin/sh\n${lines.join("\n")}\n`, { mode: 0o755 });
  return `${PLUGIN_FOLDER}:${sandbox.directory}/bin`;
}

async function rowsOf(sandbox: Sandbox): Promise<number> {
  if (!existsSync(`${storeOf(sandbox)}/warren.db`)) return 0;
  using database = new Database(`${storeOf(sandbox)}/warren.db`, { readonly: true });
  return database
    .query("SELECT (SELECT count(*) FROM attachments) + (SELECT count(*) FROM objects)")
    .values()[0]?.[0] as number;
}

async function nothingIsLeft(sandbox: Sandbox, ...bridges: string[]): Promise<void> {
  expect(await linkNames(sandbox)).toEqual(["far0", "card0", ...bridges]);
  expect(await interfacesOf(sandbox, "pod1")).toEqual({});
  expect(await leases(sandbox, storeOf(sandbox))).toEqual([]);
  expect(await rowsOf(sandbox)).toBe(0);
}

async function refused(
  sandbox: Sandbox,
  verb: string,
  one: Config,
  target?: Target,
): Promise<Answer["document"]> {
  const answer = await call(sandbox, verb, one, target);
  expect(answer.exitCode).toBe(1);
  return answer.document;
}

const valid = (...ids: string[]): Config => ({
  "cni.dev/valid-attachments": ids.map((containerID) => ({ containerID, ifname: "eth0" })),
});

describe("S1-21 interfaces and the master", () => {
  test("S1-21 the master has eth0 and gives the result, the others are net0, net1, ... and all of them work", async () => {
    await using sandbox = await host();
    const delegates = [
      macvlan(sandbox, 3),
      { ...bridge(sandbox, 1), masterplugin: true },
      bridge(sandbox, 2, { name: "second" }),
    ];
    const one = config(sandbox, delegates);
    const { document } = await succeed(sandbox, "ADD", one, POD);
    expect(await interfacesOf(sandbox, "pod1")).toEqual({
      net0: "10.3.0.2/24",
      eth0: "10.1.0.2/24",
      net1: "10.2.0.2/24",
    });
    // what the master's plugin says when it is called alone
    expect(document.ips).toEqual([{ address: "10.1.0.2/24", gateway: "10.1.0.1", interface: 2 }]);
    expect(document.interfaces.map(({ name }: { name: string }) => name)).toEqual([
      "br1",
      expect.stringMatching(/^veth/),
      "eth0",
    ]);
    expect(document.routes).toEqual([{ dst: "0.0.0.0/0", gw: "10.1.0.1" }]);
    await succeed(sandbox, "ADD", one, OTHER);
    for (const address of ["10.1.0.3", "10.2.0.3", "10.3.0.3"]) {
      expect(await connectionSource(sandbox, "pod1", "pod2", address)).toBe(address.replace(/3$/, "2"));
    }
    await succeed(sandbox, "CHECK", { ...one, prevResult: document }, POD);
    for (const pod of [POD, OTHER]) await succeed(sandbox, "DEL", one, pod);
    await succeed(sandbox, "DEL", one, POD);
    await nothingIsLeft(sandbox, "br1", "br2");
  });

  test("S1-21 without a mark the first is the master and the others are net1, net2; a key counts otherwise", async () => {
    await using sandbox = await host();
    network(sandbox, "named", [bridge(sandbox, 3)]);
    const delegates = [bridge(sandbox, 1), { conf: bridge(sandbox, 2), interface: "data0" }, "named"];
    await succeed(sandbox, "ADD", config(sandbox, delegates), POD);
    expect(Object.keys(await interfacesOf(sandbox, "pod1"))).toEqual(["eth0", "data0", "net2"]);
    await succeed(sandbox, "DEL", config(sandbox, delegates), POD);
    const counted = config(sandbox, [bridge(sandbox, 1), bridge(sandbox, 2)], { firstInterfaceNumber: 0 });
    await succeed(sandbox, "ADD", counted, POD);
    expect(Object.keys(await interfacesOf(sandbox, "pod1"))).toEqual(["eth0", "net0"]);
    await succeed(sandbox, "DEL", counted, POD);
    await nothingIsLeft(sandbox, "br1", "br2", "br3");
  });

  test("S1-21 the failure of a delegate takes all before it back", async () => {
    await using sandbox = await host();
    const full = bridge(sandbox, 3, {
      ipam: { type: "warren-ipam", dataDir: storeOf(sandbox), addresses: [{ address: "10.1.0.2/24" }] },
    });
    const delegates = [bridge(sandbox, 1), macvlan(sandbox, 2), full];
    const error = await refused(sandbox, "ADD", config(sandbox, delegates), POD);
    expect(error).toMatchObject({
      code: 100,
      msg: expect.stringContaining('network "many" on net2: plugin type="warren-bridge"'),
    });
    await nothingIsLeft(sandbox, "br1");
  });

  test.each([
    ["by itself", (wrong: Config): Config[] => [wrong]],
    ["behind another plugin", (wrong: Config): Config[] => [{ type: "warren-loopback" }, wrong]],
  ])(
    "S1-21 a delegate that refuses its config, %s, in DEL too, leaves nothing to be DELed",
    async (_, plugins) => {
      await using sandbox = await host();
      const wrong = bridge(sandbox, 2, {
        ipam: { type: "warren-ipam", subnet: "10.2.0.0/24", dataDir: "here" },
      });
      const one = config(sandbox, [{ name: "wrong", plugins: plugins(wrong) }]);
      expect(await refused(sandbox, "ADD", one, POD)).toMatchObject({
        code: 7,
        msg: expect.stringContaining('"ipam.dataDir" is "here"'),
      });
      expect(await rowsOf(sandbox)).toBe(0);
    },
  );

  test("S1-21 a foreign delegate that says of a DEL just what it said of the ADD has made nothing; any other failure stays", async () => {
    await using sandbox = await host();
    const answer = (verb: string, message: string) =>
      `[ $CNI_COMMAND != ${verb} ] || { echo '{"cniVersion":"1.1.0","code":999,"msg":"${message}"}'; exit 1; }`;
    const refusing = [answer("ADD", "failed to load netconf"), answer("DEL", "failed to load netconf")];
    const path = foreign(sandbox, "stranger", [...refusing, "cat >/dev/null"]);
    const delegates = [bridge(sandbox, 1), { name: "strange", type: "stranger" }];
    const add = () => call(sandbox, "ADD", config(sandbox, delegates), POD, path);
    expect((await add()).document).toMatchObject({ code: 999, msg: expect.stringContaining("netconf") });
    expect(await rowsOf(sandbox)).toBe(0);
    await nothingIsLeft(sandbox, "br1");

    foreign(sandbox, "stranger", [answer("ADD", "no room"), answer("DEL", "switch is out of reach")]);
    const { document, stderr } = await add();
    expect(document).toMatchObject({ code: 999, msg: expect.stringContaining("no room") });
    expect(stderr).toContain("stays written down for DEL and GC");
    expect(await rowsOf(sandbox)).toBeGreaterThan(0);
    foreign(sandbox, "stranger", ["cat >/dev/null"]);
    await succeed(sandbox, "DEL", config(sandbox, delegates), POD, path);
    expect(await rowsOf(sandbox)).toBe(0);
  });

  test("S1-21 an ADD that is killed between the refusal of a foreign delegate and its undo leaves nothing that DEL keeps", async () => {
    await using sandbox = await host();
    const at = (name: string) => `${sandbox.directory}/${name}`;
    const answer = (message: string) =>
      `[ $CNI_COMMAND = GC ] || { echo '{"cniVersion":"1.1.0","code":999,"msg":"${message}"}'; exit 1; }`;
    const path = foreign(sandbox, "stranger", [
      "cat >/dev/null",
      // only the undo waits
      `if [ $CNI_COMMAND = DEL ] && mkdir ${at("undoing")} 2>/dev/null; then`,
      `  while [ ! -e ${at("go")} ]; do sleep 0.02; done`,
      "fi",
      answer("failed to load netconf"),
    ]);
    // the one behind it is never called, and would refuse a DEL in other words
    foreign(sandbox, "stranger2", ["cat >/dev/null", answer("who?")]);
    const strange = { name: "strange", plugins: [{ type: "stranger" }, { type: "stranger2" }] };
    const one = config(sandbox, [bridge(sandbox, 1), strange]);
    for (const [verb, more, target] of [
      ["DEL", {}, POD],
      ["GC", valid(), undefined],
    ] as const) {
      const child = sandbox.start([`${PLUGIN_FOLDER}/warren-delegates`], {
        env: variables("ADD", POD, path),
        stdin: JSON.stringify(one),
      });
      while (!existsSync(at("undoing"))) await Bun.sleep(5);
      child.kill("SIGKILL");
      await child.exited;
      writeFileSync(at("go"), "");
      expect(await rowsOf(sandbox)).toBeGreaterThan(0);
      await succeed(sandbox, verb, { ...one, ...more }, target, path);
      await nothingIsLeft(sandbox, "br1");
      for (const name of ["undoing", "go"]) rmSync(at(name), { recursive: true });
    }
  });

  test("S1-21 an attachment that is made anew during a slow DEL of the one before keeps its entry", async () => {
    await using sandbox = await host();
    const at = (name: string) => `${sandbox.directory}/${name}`;
    // only the first DEL is slow
    const slow = [
      "cat >/dev/null",
      `if [ $CNI_COMMAND = DEL ] && mkdir ${at("begun")} 2>/dev/null; then`,
      `  while [ ! -e ${at("go")} ]; do sleep 0.02; done`,
      "fi",
      `[ $CNI_COMMAND != ADD ] || echo '{"cniVersion":"1.1.0"}'`,
    ];
    const path = foreign(sandbox, "stranger", slow);
    const one = config(sandbox, [{ name: "strange", type: "stranger" }]);
    await succeed(sandbox, "ADD", one, POD, path);
    const written = await rowsOf(sandbox);
    const former = succeed(sandbox, "DEL", one, POD, path);
    while (!existsSync(at("begun"))) await Bun.sleep(10);
    await sandbox.text(["ip", "netns", "del", "pod1"]);
    await sandbox.addNetns("pod1");
    await succeed(sandbox, "ADD", one, POD, path);
    writeFileSync(at("go"), "");
    await former;
    expect(await rowsOf(sandbox)).toBe(written);
    await succeed(sandbox, "CHECK", { ...one, prevResult: { cniVersion: "1.1.0" } }, POD, path);
    await succeed(sandbox, "DEL", one, POD, path);
    expect(await rowsOf(sandbox)).toBe(0);
  });

  test("what can't be meant is refused before anything is touched", async () => {
    await using sandbox = await host();
    const one = bridge(sandbox, 1);
    const two = bridge(sandbox, 2);
    const cases: [unknown[], number, string][] = [
      [
        [
          { ...one, masterplugin: true },
          { ...two, masterPlugin: true },
        ],
        7,
        "delegates[1] is a master, and so is delegates[0]",
      ],
      [[], 7, 'there is neither "delegates" nor "clusterNetwork"'],
      [[5], 7, "delegates[0] is 5"],
      [[{}], 7, 'delegates[0]: "name" is nothing'],
      [["gone"], 7, "no net configurations found in"],
      [["../conf"], 7, 'delegates[0]: "../conf" is no name of a network'],
      [[one, { conf: two, interface: "eth0" }], 7, "are both to be the interface eth0"],
      [[{ conf: one, interface: "eth7" }], 7, 'the runtime asks for "eth0"'],
      [[one, { conf: two, interfce: "x" }], 7, 'unknown key "interfce"'],
      [[one, { conf: two, "infiniband-guid": "c2:11" }], 2, '"infiniband-guid" is "c2:11"'],
      [[one, { conf: two, bandwidth: {} }], 7, 'no plugin of network "many" has the capability bandwidth'],
      [[{ conf: one, matchLabels: { tier: "db" } }], 7, "there is no delegate for this container"],
      [[one, { ...two, cniVersion: "9.0.0" }], 1, 'delegates[1]: "cniVersion" is "9.0.0"'],
      [[one, { ...two, name: "a/b" }], 7, "invalid characters found in network name"],
    ];
    for (const [delegates, code, words] of cases) {
      const error = await refused(sandbox, "ADD", config(sandbox, delegates), POD);
      expect([error.code, error.msg]).toEqual([code, expect.stringContaining(words)]);
    }
    const chained = { ...config(sandbox, [one]), prevResult: { cniVersion: "1.1.0" } };
    expect((await refused(sandbox, "ADD", chained, POD)).msg).toBe("there is a prevResult");
    expect(await linkNames(sandbox)).toEqual(["far0", "card0"]);
  });
});

describe("what containers ask for", () => {
  test("annotations add networks in both of their forms, with addresses, names and the default route", async () => {
    await using sandbox = await host();
    const caps = { capabilities: { ips: true, mac: true } };
    network(sandbox, "storage", [bridge(sandbox, 2, caps)]);
    network(sandbox, "plain", [macvlan(sandbox, 3)]);
    network(sandbox, "team-net", [bridge(sandbox, 4)], "team");
    const one = config(sandbox, [bridge(sandbox, 1)]);
    const args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=team;K8S_POD_NAME=web";

    const short = { ...one, ...annotated(" plain@lan0, team-net,team/team-net@again") };
    await succeed(sandbox, "ADD", short, { ...POD, args });
    expect(await interfacesOf(sandbox, "pod1")).toEqual({
      eth0: "10.1.0.2/24",
      lan0: "10.3.0.2/24",
      net2: "10.4.0.2/24",
      again: "10.4.0.3/24",
    });
    await succeed(sandbox, "DEL", one, POD);

    const wishes = {
      name: "storage",
      interface: "san0",
      ips: ["10.2.0.77/24"],
      mac: "0A:58:0a:02:00:4d",
      "default-route": ["10.2.0.1"],
      "cni-args": { note: "kept" },
    };
    const long = { ...one, ...annotated([wishes, { name: "plain", ips: ["10.3.0.9"], mac: null }]) };
    const { document } = await succeed(sandbox, "ADD", long, { ...POD, args });
    expect(await interfacesOf(sandbox, "pod1")).toEqual({
      eth0: "10.1.0.3/24",
      san0: "10.2.0.77/24",
      net2: "10.3.0.9/24",
    });
    expect((await seenLink(sandbox, "san0", "pod1"))?.address).toBe("0a:58:0a:02:00:4d");
    expect((await routesOf(sandbox, 4, "pod1")).filter((line) => line.startsWith("default"))).toEqual([
      "default via 10.2.0.1 dev san0",
    ]);
    expect(document.routes).toBeUndefined();
    await succeed(sandbox, "CHECK", { ...one, prevResult: document }, POD);
    await sandbox.text(["ip", "-n", "pod1", "route", "del", "default"]);
    expect(await refused(sandbox, "CHECK", { ...one, prevResult: document }, POD)).toMatchObject({
      code: 103,
    });
    // the annotation is gone, the namespace too
    await sandbox.text(["ip", "netns", "del", "pod1"]);
    await succeed(sandbox, "DEL", config(sandbox, []), { ...POD, netns: "" });
    expect(await leases(sandbox, storeOf(sandbox))).toEqual([]);
    expect(await rowsOf(sandbox)).toBe(0);
  });

  test("the default route that was there comes back with a DEL, where its interface lives on", async () => {
    await using sandbox = await host();
    // an interface that is not taken away by its plugin's DEL
    const script = `#!/bin/sh
[ "$CNI_COMMAND" = ADD ] || exit 0
pod=\${CNI_NETNS##*/}
ip link add name lives0 type veth peer name $CNI_IFNAME netns $pod
ip link set lives0 up; ip -n $pod link set $CNI_IFNAME up
ip -n $pod addr add 10.9.0.2/24 dev $CNI_IFNAME
ip -n $pod route add default via 10.9.0.1 dev $CNI_IFNAME metric 7 mtu 1300
echo '{"cniVersion":"1.1.0","routes":[{"dst":"0.0.0.0/0","gw":"10.9.0.1"}]}'
`;
    writeFileSync(`${sandbox.directory}/bin/lives`, script, { mode: 0o755 });
    const other = { conf: bridge(sandbox, 2), "default-route": ["10.2.0.1"] };
    const one = config(sandbox, [{ type: "lives" }, other], { binDir: `${sandbox.directory}/bin` });
    const { document } = await succeed(sandbox, "ADD", one, POD);
    expect(document.routes).toBeUndefined();
    const defaults = async () =>
      (await routesOf(sandbox, 4, "pod1")).filter((line) => line.startsWith("default"));
    expect(await defaults()).toEqual(["default via 10.2.0.1 dev net1"]);
    await succeed(sandbox, "DEL", one, POD);
    expect(await defaults()).toEqual(["default via 10.9.0.1 dev eth0 metric 7 mtu 1300"]);
    expect(await rowsOf(sandbox)).toBe(0);
  });

  test("a default route that can't be set takes the whole ADD back", async () => {
    await using sandbox = await host();
    const other = { conf: bridge(sandbox, 2), "default-route": ["192.0.2.1"] };
    const error = await refused(sandbox, "ADD", config(sandbox, [bridge(sandbox, 1), other]), POD);
    expect(error).toMatchObject({ code: 104, msg: expect.stringContaining("192.0.2.1") });
    await nothingIsLeft(sandbox, "br1", "br2");
  });

  test("S1-02 S1-03 labels choose delegates, and a label that says neither yes nor no is refused", async () => {
    await using sandbox = await host();
    const delegates = [
      bridge(sandbox, 1),
      { ...bridge(sandbox, 2), matchLabels: { tier: "db" } },
      { ...bridge(sandbox, 3), matchLabels: { fast: true } },
    ];
    const one = config(sandbox, delegates);
    const cases: [Config, string, string[]][] = [
      [{}, "", ["eth0"]],
      [{}, "IgnoreUnknown=1;tier=db;fast=0", ["eth0", "net1"]],
      [
        { args: { cni: { labels: [{ key: "fast", value: "" }] } } },
        "IgnoreUnknown=1;fast=false",
        ["eth0", "net1"],
      ],
      [{ runtimeConfig: { [ANNOTATIONS]: { tier: "db", fast: "yes" } } }, "", ["eth0", "net1", "net2"]],
    ];
    for (const [more, args, names] of cases) {
      await succeed(sandbox, "ADD", { ...one, ...more }, { ...POD, args });
      expect(Object.keys(await interfacesOf(sandbox, "pod1"))).toEqual(names);
      await succeed(sandbox, "DEL", one, POD);
    }
    const error = await refused(sandbox, "ADD", one, { ...POD, args: "fast=perhaps" });
    expect(error).toMatchObject({ code: 7, msg: expect.stringContaining('label "fast" is "perhaps"') });
    await nothingIsLeft(sandbox, "br1", "br2", "br3");
  });

  test("an address that was asked for and not given is no success", async () => {
    await using sandbox = await host();
    network(sandbox, "deaf", [bridge(sandbox, 2, { capabilities: { ips: true }, ipam: { type: "deaf" } })]);
    const deaf = `#!/bin/sh\n[ "$CNI_COMMAND" = ADD ] && echo '{"cniVersion":"1.1.0","ips":[{"address":"10.2.0.9/24"}]}'\nexit 0\n`;
    writeFileSync(`${sandbox.directory}/bin/deaf`, deaf, { mode: 0o755 });
    const one = config(sandbox, [bridge(sandbox, 1)], { binDir: `${sandbox.directory}/bin` });
    const error = await refused(
      sandbox,
      "ADD",
      { ...one, ...annotated([{ name: "deaf", ips: ["10.2.0.5"] }]) },
      POD,
    );
    expect(error).toMatchObject({
      code: 106,
      msg: expect.stringContaining("did not give the address 10.2.0.5"),
    });
    // a plugin that knows neither the capability nor CNI_ARGS
    network(sandbox, "loop", [{ type: "warren-loopback" }]);
    const mac = annotated([{ name: "loop", mac: "0a:58:00:00:00:01" }]);
    const second = await refused(sandbox, "ADD", { ...one, ...mac }, { ...POD, args: "IgnoreUnknown=1" });
    expect(second).toMatchObject({ code: 106, msg: expect.stringContaining("address 0a:58:00:00:00:01") });
    await nothingIsLeft(sandbox, "br1", "br2");
  });

  test("hostile annotations are refused with a word about what is wrong, and nothing is made", async () => {
    await using sandbox = await host();
    network(sandbox, "plain", [macvlan(sandbox, 3)]);
    const one = config(sandbox, [bridge(sandbox, 1)]);
    const hostile: [unknown, number, string][] = [
      ["../../etc/passwd", 7, "is no name of a network"],
      ["a/b/c", 7, "is no name of a network"],
      ["/plain", 7, "is no name of a network"],
      ["plain,,plain", 7, "item 2"],
      ["plain@a@b", 7, "more than one @"],
      ["plain@", 7, "interface name is empty"],
      ["plain@an-interface-name", 7, "interface name is too long"],
      ["plain@a b", 7, "whitespace"],
      ["$(reboot)", 7, "is no name of a network"],
      ["plain\nplain", 7, "is no name of a network"],
      ["[", 7, "no JSON at line 1, column 2"],
      ['[{"name":"plain"}] x', 7, "no JSON"],
      ['{"name":"plain"}', 7, "expected a list"],
      ["[1]", 7, "is 1"],
      ["[null]", 7, "is null"],
      ['[{"name":7}]', 7, '"name" is 7'],
      ['[{"name":"plain","ips":["10.3.0.999"]}]', 7, '"ips[0]"'],
      ['[{"name":"plain","mac":"01:00:5e:00:00:01"}]', 7, '"mac"'],
      ['[{"name":"plain","default-route":["10.3.0.1","10.3.0.2"]}]', 7, "at most one gateway"],
      ['[{"name":"plain","infiniband-guid":"c2:11:22:33:44:55:66:77"}]', 2, "infiniband-guid"],
      ['[{"name":"plain","namespace":"../x"}]', 7, "is no name of a network"],
      ["other/plain", 7, "no net configurations found"],
      [`${"plain,".repeat(40)}plain`, 7, "there are 41 networks"],
      ["x".repeat(10_240), 7, "no net configuration with name"],
      ["[".repeat(100_000), 7, "no JSON"],
      [`${"[".repeat(100_000)}${"]".repeat(100_000)}`, 7, "no JSON"],
      ["plain@eth0", 7, "both to be the interface eth0"],
    ];
    for (const [value, code, words] of hostile) {
      const error = await refused(sandbox, "ADD", { ...one, ...annotated(value) }, POD);
      expect([value, error.code, `${error.msg}; ${error.details}`]).toEqual([
        value,
        code,
        expect.stringContaining(words),
      ]);
    }
    expect(await linkNames(sandbox)).toEqual(["far0", "card0"]);
  });
});

describe("multus's own configs", () => {
  test("clusterNetwork and defaultNetworks name networks, namespaces are folders, isolation holds", async () => {
    await using sandbox = await host();
    network(sandbox, "first", [bridge(sandbox, 1)], "kube-system");
    network(sandbox, "more", [bridge(sandbox, 2)]);
    network(sandbox, "secret", [bridge(sandbox, 3)], "theirs");
    const one: Config = {
      ...{ cniVersion: "1.1.0", name: "many", type: "warren-delegates", dataDir: storeOf(sandbox) },
      confDir: `${sandbox.directory}/conf`,
      ...{ clusterNetwork: "first", defaultNetworks: ["more"], kubeconfig: "/etc/multus.kubeconfig" },
      ...{ logLevel: "verbose", logFile: "/var/log/multus.log", cniDir: "/var/lib/cni/multus" },
      ...{
        namespaceIsolation: true,
        globalNamespaces: "default,shared",
        capabilities: { portMappings: true },
      },
      readinessindicatorfile: `${sandbox.directory}/ready`,
    };
    expect(await refused(sandbox, "STATUS", one)).toMatchObject({
      code: 50,
      msg: expect.stringContaining("ready"),
    });
    expect(await refused(sandbox, "ADD", one, POD)).toMatchObject({ code: 11 });
    writeFileSync(`${sandbox.directory}/ready`, "");
    await succeed(sandbox, "STATUS", one);
    const inNamespace = (namespace: string): Target => ({
      ...POD,
      args: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=web`,
    });
    await succeed(sandbox, "ADD", one, inNamespace("mine"));
    expect(Object.keys(await interfacesOf(sandbox, "pod1"))).toEqual(["eth0", "net1"]);
    await succeed(sandbox, "DEL", one, POD);
    await succeed(sandbox, "ADD", one, inNamespace("kube-system"));
    expect(Object.keys(await interfacesOf(sandbox, "pod1"))).toEqual(["eth0"]);
    await succeed(sandbox, "DEL", one, POD);
    const wanting = { ...one, ...annotated("theirs/secret") };
    expect((await refused(sandbox, "ADD", wanting, inNamespace("mine"))).msg).toContain(
      'network theirs/secret is not for pods in namespace "mine"',
    );
    await succeed(sandbox, "ADD", wanting, inNamespace("theirs"));
    expect(Object.keys(await interfacesOf(sandbox, "pod1"))).toEqual(["eth0", "net1", "net2"]);
    await succeed(sandbox, "DEL", one, POD);
    const replaced = annotated("more@own0", { "v1.multus-cni.io/default-network": "more" });
    await succeed(sandbox, "ADD", { ...one, ...replaced }, inNamespace("mine"));
    expect(await interfacesOf(sandbox, "pod1")).toMatchObject({ eth0: expect.stringMatching(/^10\.2\./) });
    await succeed(sandbox, "DEL", one, POD);
    await nothingIsLeft(sandbox, "br1", "br2", "br3");
  });

  test.each([
    [{ auxiliaryCNIChainName: "vendor-cni-chain" }, 2, "auxiliaryCNIChainName"],
    [{ clusterNetwork: "first" }, 7, 'both "delegates" and "clusterNetwork"'],
    [{ confDir: "relative" }, 7, '"confDir" is "relative"'],
    [{ firstInterfaceNumber: -1 }, 7, '"firstInterfaceNumber" is -1'],
  ])("%j is refused with the cure", async (more, code, words) => {
    await using sandbox = await host();
    const error = await refused(sandbox, "ADD", config(sandbox, [bridge(sandbox, 1)], more), POD);
    expect([error.code, error.msg]).toEqual([code, expect.stringContaining(words)]);
  });
});

describe("the other verbs", () => {
  test("CHECK names the network that is not as it was, STATUS the one that is not ready", async () => {
    await using sandbox = await host();
    const one = config(sandbox, [bridge(sandbox, 1), bridge(sandbox, 2, { name: "second" })]);
    expect(await refused(sandbox, "CHECK", one, POD)).toMatchObject({ code: 103 });
    const { document } = await succeed(sandbox, "ADD", one, POD);
    await sandbox.text(["ip", "-n", "pod1", "link", "del", "net1"]);
    expect(await refused(sandbox, "CHECK", { ...one, prevResult: document }, POD)).toMatchObject({
      code: 103,
      msg: expect.stringContaining('network "second" on net1'),
    });
    await succeed(sandbox, "DEL", one, POD);
    const ipam = { type: "warren-ipam", dataDir: storeOf(sandbox), subnet: "10.2.0.0/30" };
    const small = config(sandbox, [
      bridge(sandbox, 1),
      bridge(sandbox, 2, { name: "second", bridge: "br5", ipam }),
    ]);
    await succeed(sandbox, "STATUS", small);
    await succeed(sandbox, "ADD", small, POD);
    expect(await refused(sandbox, "STATUS", small)).toMatchObject({
      code: 50,
      msg: expect.stringContaining('network "second": '),
    });
    const missing = config(sandbox, [bridge(sandbox, 1), { type: "gone", cniVersion: "0.3.1" }]);
    expect(await refused(sandbox, "STATUS", missing)).toMatchObject({
      code: 50,
      msg: expect.stringContaining('failed to find plugin "gone"'),
    });
    await succeed(sandbox, "DEL", small, POD);
  });

  test("GC keeps every interface of a valid container, and takes all of the others, by name or inline", async () => {
    await using sandbox = await host();
    network(sandbox, "named", [bridge(sandbox, 3)]);
    const one = config(sandbox, [
      bridge(sandbox, 1),
      macvlan(sandbox, 2),
      "named",
      bridge(sandbox, 4, { name: "own" }),
    ]);
    for (const pod of [POD, OTHER]) await succeed(sandbox, "ADD", one, pod);
    // the runtime uses two of them itself
    for (const [number, name] of [
      [3, "named"],
      [4, "own"],
    ] as const) {
      const direct = { ...bridge(sandbox, number), cniVersion: "1.1.0", name };
      await succeed(sandbox, "ADD", direct, { ...OTHER, containerId: "direct", ifname: `direct${number}` });
    }
    const before = await interfacesOf(sandbox, "pod1");
    expect(Object.keys(before)).toEqual(["eth0", "net1", "net2", "net3"]);
    await succeed(sandbox, "GC", { ...one, ...valid("pod-1", "pod-2") });
    expect(await interfacesOf(sandbox, "pod1")).toEqual(before);
    expect(Object.keys(await interfacesOf(sandbox, "pod2"))).toEqual([
      "eth0",
      "net1",
      "net2",
      "net3",
      "direct3",
      "direct4",
    ]);
    const { stderr } = await succeed(sandbox, "GC", { ...one, ...valid("pod-1") });
    expect(stderr).toContain("removed container pod-2, interface eth0 of network many");
    expect(await interfacesOf(sandbox, "pod1")).toEqual(before);
    expect(Object.keys(await interfacesOf(sandbox, "pod2"))).toEqual(["direct3", "direct4"]);
    await sandbox.text(["ip", "netns", "del", "pod1"]);
    // the config has changed since
    await succeed(sandbox, "GC", { ...config(sandbox, [bridge(sandbox, 1)]), ...valid() });
    expect((await leases(sandbox, storeOf(sandbox))).map(({ container }) => container)).toEqual([
      "direct",
      "direct",
    ]);
  });

  test("an attachment that is alive is not added again, nor is what a delegate would need", async () => {
    await using sandbox = await host();
    const one = config(sandbox, [bridge(sandbox, 1), bridge(sandbox, 2, { name: "second" })]);
    await succeed(sandbox, "ADD", one, POD);
    expect(await refused(sandbox, "ADD", one, POD)).toMatchObject({ code: 102 });
    expect(Object.keys(await interfacesOf(sandbox, "pod1"))).toEqual(["eth0", "net1"]);
    await succeed(sandbox, "DEL", one, POD);
    const direct = { ...bridge(sandbox, 2), cniVersion: "1.1.0", name: "second" };
    await succeed(sandbox, "ADD", direct, { ...POD, ifname: "net1" });
    expect(await refused(sandbox, "ADD", one, POD)).toMatchObject({
      code: 102,
      msg: expect.stringContaining("interface net1 of network second is attached already"),
    });
    expect(Object.keys(await interfacesOf(sandbox, "pod1"))).toEqual(["net1"]);
    await succeed(sandbox, "DEL", direct, { ...POD, ifname: "net1" });
    await nothingIsLeft(sandbox, "br1", "br2");
  });

  test("what was attached before, under the network's own name, goes with a DEL", async () => {
    await using sandbox = await host();
    const old = { ...bridge(sandbox, 1), cniVersion: "1.1.0", name: "many" };
    await succeed(sandbox, "ADD", old, POD);
    await succeed(sandbox, "DEL", config(sandbox, [bridge(sandbox, 1), bridge(sandbox, 2)]), POD);
    await nothingIsLeft(sandbox, "br1");
  });

  test("a network that has itself as a delegate is refused by every verb", async () => {
    await using sandbox = await host();
    const { cniVersion: _, ...own } = config(sandbox, ["many"]);
    network(sandbox, "many", [own]);
    const one = { cniVersion: "1.1.0", ...own };
    network(sandbox, "there", [{ ...own, delegates: ["back"] }]);
    network(sandbox, "back", [{ ...own, delegates: ["there"] }]);
    const loop = config(sandbox, [bridge(sandbox, 1), "there"]);
    const cases: [Config, string][] = [
      [one, "is the network that it is a delegate of"],
      [
        config(sandbox, [{ ...own, delegates: [bridge(sandbox, 1)] }]),
        "is the network that it is a delegate of",
      ],
      [loop, "8 deep"],
    ];
    for (const [looping, words] of cases) {
      const error = await refused(sandbox, "STATUS", looping);
      expect([error.code, error.msg]).toEqual([7, expect.stringContaining(words)]);
      await refused(sandbox, "ADD", looping, POD);
      await succeed(sandbox, "DEL", looping, POD);
      await nothingIsLeft(sandbox, ...(looping === loop ? ["br1"] : []));
    }
  });

  test("50 containers at once get all of their interfaces, and lose them again", async () => {
    await using sandbox = await host();
    const one = config(sandbox, [bridge(sandbox, 1), macvlan(sandbox, 2)]);
    const numbers = Array.from({ length: 50 }, (_, index) => index);
    await sandbox.text(["sh", "-ec", "for n in $(seq 0 49); do ip netns add many$n; done"]);
    const pods = numbers.map((index) => ({ containerId: `many-${index}`, netns: `many${index}` }));
    const added = await Promise.all(pods.map((pod) => call(sandbox, "ADD", one, pod)));
    expect(added.filter(({ exitCode }) => exitCode !== 0).map(({ stdout }) => stdout)).toEqual([]);
    expect(new Set((await leases(sandbox, storeOf(sandbox))).map(({ address }) => address)).size).toBe(100);
    const removed = await Promise.all(pods.map((pod) => call(sandbox, "DEL", one, pod)));
    expect(removed.filter(({ exitCode }) => exitCode !== 0).map(({ stdout }) => stdout)).toEqual([]);
    await nothingIsLeft(sandbox, "br1");
  }, 120_000);
});

test("S1-22 what delegates say on standard error is passed on, and a plugin by the name of multus is this one", async () => {
  await using sandbox = await host();
  const talks = `#!/bin/sh\necho "words of $CNI_COMMAND" >&2\n[ "$CNI_COMMAND" = ADD ] && echo '{"cniVersion":"0.4.0"}'\nexit 0\n`;
  writeFileSync(`${sandbox.directory}/bin/talks`, talks, { mode: 0o755 });
  await sandbox.text(["ln", "-s", `${PLUGIN_FOLDER}/warren`, `${sandbox.directory}/bin/multus`]);
  const binDir = `${sandbox.directory}/bin`;
  const one = {
    ...config(sandbox, [bridge(sandbox, 1), { type: "talks", cniVersion: "0.4.0" }], { binDir }),
    type: "multus",
  };
  const path = `${PLUGIN_FOLDER}:${binDir}`;
  const added = await succeed(sandbox, "ADD", one, POD, path);
  expect(added.stderr).toContain("words of ADD");
  expect((await succeed(sandbox, "DEL", one, POD, path)).stderr).toContain("words of DEL");
  expect(globalAddressesOf(await seenLink(sandbox, "br1"))).toEqual(["10.1.0.1/24"]);
  await nothingIsLeft(sandbox, "br1");
});

test("S1-01 the master's result is what its plugin says when a runtime calls it, and others can stand behind", async () => {
  await using sandbox = await host();
  const ipam = { type: "warren-ipam", dataDir: storeOf(sandbox), subnet: "10.1.0.0/24", order: "lowest" };
  const alone = bridge(sandbox, 1, { ipam, ipMasq: true, dns: { nameservers: ["10.1.0.1"] } });
  for (const cniVersion of ["1.1.0", "1.0.0", "0.4.0", "0.2.0"]) {
    const direct = { ...alone, cniVersion, name: "many" };
    const first = await succeed(sandbox, "ADD", direct, POD);
    await succeed(sandbox, "DEL", direct, POD);
    const one = { ...config(sandbox, [alone, bridge(sandbox, 2)]), cniVersion };
    const second = await succeed(sandbox, "ADD", one, POD);
    expect(JSON.parse(second.stdout)).toEqual(JSON.parse(first.stdout));
    if (cniVersion === "1.1.0") {
      const mappings = { portMappings: [{ hostPort: 8080, containerPort: 7000, protocol: "tcp" }] };
      const chained = { type: "warren-portmap", dataDir: storeOf(sandbox), runtimeConfig: mappings };
      const behind = { cniVersion, name: "many", ...chained, prevResult: second.document };
      await succeed(sandbox, "ADD", behind, POD);
      expect(await sandbox.text(["nft", "list", "ruleset"])).toContain("10.1.0.2 . 7000");
      await succeed(sandbox, "DEL", behind, POD);
    }
    await succeed(sandbox, "DEL", one, POD);
  }
  await nothingIsLeft(sandbox, "br1", "br2");
});

test("after a reboot an ADD of the same container gives back what was before, also by plugins of others", async () => {
  await using sandbox = await host();
  const calls = `${sandbox.directory}/calls`;
  const script = `#!/bin/sh
cat >>${calls}; echo " $CNI_COMMAND '$CNI_NETNS'" >>${calls}
[ "$CNI_COMMAND" = ADD ] && echo '{"cniVersion":"1.1.0","ips":[{"address":"10.7.0.2/24"}]}'
exit 0
`;
  writeFileSync(`${sandbox.directory}/bin/other`, script, { mode: 0o755 });
  const large = 9_007_199_254_740_993n;
  const one = config(sandbox, [bridge(sandbox, 1), { type: "other", name: "other", id: "LARGE" }], {
    binDir: `${sandbox.directory}/bin`,
  });
  const add = () =>
    sandbox.run([`${PLUGIN_FOLDER}/warren-delegates`], {
      env: {
        ...{ CNI_COMMAND: "ADD", CNI_PATH: PLUGIN_FOLDER, CNI_CONTAINERID: "pod-1" },
        ...{ CNI_NETNS: "/run/netns/pod1", CNI_IFNAME: "eth0" },
      },
      stdin: JSON.stringify(one).replace('"LARGE"', `${large}`),
    });
  expect((await add()).exitCode).toBe(0);
  // nothing is left in the kernel, the store has all, and the boot is another one
  await sandbox.text(["sh", "-ec", "ip netns del pod1; ip netns add pod1; echo next-boot >boot-id"]);
  await sandbox.text(["mount", "--bind", "boot-id", "/proc/sys/kernel/random/boot_id"]);
  const again = await add();
  expect([again.exitCode, again.stdout]).toEqual([0, expect.stringContaining("10.1.0.")]);
  expect(await leases(sandbox, storeOf(sandbox))).toHaveLength(1);
  await succeed(sandbox, "DEL", one, POD);
  const seen = (await sandbox.text(["cat", calls])).split("\n").filter((line) => line !== "");
  expect(seen.map((line) => line.replace(/^.*}/, ""))).toEqual([
    " ADD '/run/netns/pod1'",
    " DEL ''",
    " ADD '/run/netns/pod1'",
    " DEL '/run/netns/pod1'",
  ]);
  // a number that a double can't hold, from the config, and from the store
  for (const line of seen) expect(line).toContain(`"id":${large}`);
  await nothingIsLeft(sandbox, "br1");
});
