import { expect, test } from "bun:test";
import {
  configFor,
  loadNetwork,
  loadNetworkFile,
  parseNetworkList,
} from "../../../src/conflist/network-list.ts";
import { Recorder } from "../runtime/recorder.ts";

const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const parse = (value: unknown) => parseNetworkList(bytes(value), "x.conflist");

const VERSIONS: readonly (readonly [
  single: string | undefined,
  several: string[] | undefined,
  chosen: string,
])[] = [
  [undefined, undefined, ""],
  ["0.4.0", undefined, "0.4.0"],
  ["1.2.0", undefined, "1.2.0"],
  ["0.3.1", ["0.4.0", "1.0.0"], "1.0.0"],
  ["1.1.0", ["0.4.0", "1.0.0"], "1.1.0"],
  [undefined, ["1.0.0", "0.4.0", "0.10.0"], "1.0.0"],
  ["0.4.0", ["1.2.0", "2.0.0"], "0.4.0"],
  ["1.2.0", ["1.3.0"], "1.2.0"],
  [undefined, ["1.3.0"], ""],
  ["0.4.0", [], "0.4.0"],
];
for (const [single, several, chosen] of VERSIONS) {
  test(`X-44 cniVersion ${single} with cniVersions ${several} means "${chosen}"`, () => {
    const list = parse({ name: "n", cniVersion: single, cniVersions: several, plugins: [{ type: "a" }] });
    expect(list.cniVersion).toBe(chosen);
  });
}

const REFUSED: readonly (readonly [what: string, list: unknown, message: string])[] = [
  ["no name", { plugins: [{ type: "a" }] }, '"name" is nothing'],
  ["a name that is no string", { name: 1, plugins: [{ type: "a" }] }, '"name" is 1'],
  [
    "a version that is no string",
    { name: "n", cniVersion: 1, plugins: [{ type: "a" }] },
    '"cniVersion" is 1',
  ],
  ["versions that are no list", { name: "n", cniVersions: "1.0.0" }, '"cniVersions" is "1.0.0"'],
  ["a version that is none", { name: "n", cniVersions: ["1.0.0", "x"] }, '"cniVersions[1]" is "x"'],
  ["no plugins", { name: "n", plugins: [] }, '"plugins" is []'],
  ["plugins that are no list", { name: "n", plugins: {} }, '"plugins" is {}'],
  ["a plugin that is no object", { name: "n", plugins: [1] }, "x.conflist: plugins[0] is 1"],
  ["a plugin without type", { name: "n", plugins: [{ type: "a" }, {}] }, 'plugins[1]: "type" is nothing'],
  ["an empty type", { name: "n", plugins: [{ type: "" }] }, 'plugins[0]: "type" is ""'],
  [
    "a flag that is neither",
    { name: "n", disableGC: "yes", plugins: [{ type: "a" }] },
    '"disableGC" is "yes"',
  ],
  [
    "only inlined, none there",
    { name: "n", loadOnlyInlinedPlugins: true },
    '"loadOnlyInlinedPlugins" is true',
  ],
  ["no object", [], "x.conflist is []"],
  [
    "capabilities that are no flags",
    { name: "n", plugins: [{ type: "a", capabilities: { mac: "yes" } }] },
    '"capabilities.mac" is "yes"',
  ],
];
for (const [what, list, message] of REFUSED) {
  test(`X-44 a list with ${what} is refused and the place named`, () => {
    expect(() => parse(list)).toThrow(message);
  });
}

test("X-44 flags may be words in any case", () => {
  const list = parse({ name: "n", disableCheck: "True", disableGC: "false", plugins: [{ TYPE: "a" }] });
  expect([list.disableCheck, list.disableGC]).toEqual([true, false]);
  expect(list.plugins[0]?.type).toBe("a");
});

test("X-44 drop-ins follow the inlined plugins, sorted, and only .conf files count", () => {
  using files = new Recorder([]);
  files.configure("n.conflist", { name: "n", plugins: [{ type: "inlined" }] });
  files.configure("n/20-second.conf", { type: "second" });
  files.configure("n/10-first.conf", { type: "first" });
  files.configure("n/30.json", { type: "no" });
  const types = () => loadNetwork(files.conf, "n").plugins.map((plugin) => plugin.type);
  expect(types()).toEqual(["inlined", "first", "second"]);
  files.configure("n.conflist", { name: "n" });
  expect(types()).toEqual(["first", "second"]);
  files.configure("n.conflist", {
    name: "n",
    loadOnlyInlinedPlugins: true,
    plugins: [{ type: "inlined" }],
  });
  expect(types()).toEqual(["inlined"]);
  files.configure("m.conflist", { name: "m" });
  expect(() => loadNetworkFile(`${files.conf}/m.conflist`)).toThrow("no plugin configs found");
});

test("X-44 lists come before single configs, files in the order of their names", () => {
  using files = new Recorder([]);
  files.configure("00.conf", { name: "n", type: "single", cniVersion: "0.4.0" });
  files.configure("20.conflist", { name: "n", plugins: [{ type: "later" }] });
  files.configure("10.conflist", { name: "n", plugins: [{ type: "sooner" }] });
  files.configure("30.json", { name: "j", type: "json" });
  expect(loadNetwork(files.conf, "n").plugins[0]?.type).toBe("sooner");
  const single = loadNetwork(files.conf, "j");
  expect(single.plugins.map((plugin) => [plugin.type, plugin.name])).toEqual([["json", "j"]]);
  expect(new TextDecoder().decode(single.bytes)).toBe(
    '{"cniVersion":"","name":"j","plugins":[{"name":"j","type":"json"}]}',
  );
});

test("X-44 an unknown network is told apart from an empty folder, and the known ones are named", () => {
  using files = new Recorder([]);
  expect(() => loadNetwork(files.conf, "n")).toThrow(`no net configurations found in ${files.conf}`);
  expect(() => loadNetwork("/nowhere", "n")).toThrow("no net configurations found in /nowhere");
  files.configure("a.conflist", { name: "lab", plugins: [{ type: "a" }] });
  files.configure("b.conf", { name: "old", type: "a" });
  expect(() => loadNetwork(files.conf, "n")).toThrow(
    expect.objectContaining({
      message: `no net configuration with name "n" in ${files.conf}`,
      details: "networks there: lab, old",
    }),
  );
});

test("X-44 a broken file in front of the one sought is an error that names it", () => {
  using files = new Recorder([]);
  files.configure("10.conflist", '{\n "name": }');
  files.configure("20.conflist", { name: "n", plugins: [{ type: "a" }] });
  expect(() => loadNetwork(files.conf, "n")).toThrow("10.conflist: no JSON at line 2, column 10");
});

test("configFor injects name and version, prevResult, and the values of declared capabilities alone", () => {
  const list = parse({
    name: "n",
    cniVersion: "1.0.0",
    plugins: [
      { type: "a", name: "own", z: 1, capabilities: { mac: true, ips: false, bandwidth: true } },
      { type: "b", runtimeConfig: { mac: "written" } },
    ],
  });
  const [first, second] = list.plugins;
  if (first === undefined || second === undefined) throw new Error("two plugins expected");
  const injection = { capabilityArgs: { mac: "02:00:00:00:00:01", ips: ["10.0.0.1"] } };
  expect(configFor(list, first, { ...injection, previousResult: { cniVersion: "1.0.0" } })).toBe(
    '{"capabilities":{"bandwidth":true,"ips":false,"mac":true},"cniVersion":"1.0.0","name":"n",' +
      '"prevResult":{"cniVersion":"1.0.0"},"runtimeConfig":{"mac":"02:00:00:00:00:01"},"type":"a","z":1}',
  );
  expect(configFor(list, second, injection)).toContain('"runtimeConfig":{"mac":"written"}');
});

test("configFor gives GC its list under both keys, an empty one too, and none without a list", () => {
  const list = parse({ name: "n", cniVersion: "1.1.0", plugins: [{ type: "a" }] });
  const [plugin] = list.plugins;
  if (plugin === undefined) throw new Error("a plugin expected");
  const keys = (valid: { containerId: string; ifname: string }[] | undefined) => {
    const config = JSON.parse(configFor(list, plugin, { valid }));
    return [config["cni.dev/valid-attachments"], config["cni.dev/attachments"]];
  };
  const document = [{ containerID: "c", ifname: "eth0" }];
  expect(keys([{ containerId: "c", ifname: "eth0" }])).toEqual([document, document]);
  expect(keys([])).toEqual([[], []]);
  expect(keys(undefined)).toEqual([undefined, undefined]);
});
