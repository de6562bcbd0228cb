// `warren conf add`, `remove` and `doctor` as an operator uses them: on files, in a folder that a runtime reads.
import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { PLUGIN_FOLDER } from "../support/plugins.ts";
import { type Outcome, WARREN } from "../support/sandbox.ts";
import { TemporaryDirectory } from "../support/world.ts";

async function warren(...args: string[]): Promise<Outcome> {
  const child = Bun.spawn([WARREN, ...args], { stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { exitCode: await child.exited, stdout, stderr };
}

/** As an operator wrote it: with an order, blanks and keys of his own. */
const ORIGINAL = `{
    "name": "cbr0",   "cniVersion": "0.3.1",
    "x-mine": {"b": 1, "a": 18446744073709551615},
    "plugins": [
        { "type": "flannel", "delegate": { "hairpinMode": true, "isDefaultGateway": true } },
        { "type": "portmap", "capabilities": { "portMappings": true } }
    ]
}
`;

class Folder extends TemporaryDirectory {
  readonly file = join(this.path, "10-flannel.conflist");

  constructor() {
    super();
    writeFileSync(this.file, ORIGINAL);
  }

  types(): string[] {
    const { plugins }: { plugins: { type: string }[] } = JSON.parse(readFileSync(this.file, "utf8"));
    return plugins.map(({ type }) => type);
  }
}

const LOGGER = JSON.stringify({ type: "warren-trace", cniOutput: "/var/log/cni-calls.log" });

test("S2-13 a plugin is put at its place once, the list stays the operator's, and taking it out gives back every byte", async () => {
  using folder = new Folder();
  chmodSync(folder.file, 0o640);
  const add = () => warren("conf", "add", folder.file, LOGGER, "--position", "2");
  const added = await add();
  expect([added.exitCode, added.stdout]).toEqual([0, ""]);
  expect(added.stderr).toContain(`put warren-trace into ${folder.file} at position 2`);
  expect(folder.types()).toEqual(["flannel", "warren-trace", "portmap"]);
  const text = readFileSync(folder.file, "utf8");
  expect(text).toMatch(
    /^\{\n {4}"name": "cbr0",\n {4}"cniVersion": "0.3.1",\n {4}"x-mine": \{\n {8}"b": 1,\n {8}"a": 18446744073709551615\n/,
  );
  expect(statSync(folder.file).mode & 0o777).toBe(0o640);

  // again: nothing changes
  const again = await add();
  expect([again.exitCode, again.stderr]).toEqual([0, expect.stringContaining("nothing was changed")]);
  expect(readFileSync(folder.file, "utf8")).toBe(text);

  // beside the list stands what it was, under a name that no runtime reads
  const names = readdirSync(folder.path);
  expect(names).toEqual(["10-flannel.conflist", "10-flannel.conflist.backup"]);
  expect(names.filter((name) => /\.(conf|conflist|json)$/.test(name))).toEqual(["10-flannel.conflist"]);
  expect(readFileSync(join(folder.path, "10-flannel.conflist.backup"), "utf8")).toBe(ORIGINAL);

  const removed = await warren("conf", "remove", folder.file, "warren-trace");
  expect([removed.exitCode, removed.stdout]).toEqual([0, ""]);
  expect(readFileSync(folder.file, "utf8")).toBe(ORIGINAL);
  expect(readdirSync(folder.path)).toEqual(["10-flannel.conflist"]);
  expect(statSync(folder.file).mode & 0o777).toBe(0o640);
  const gone = await warren("conf", "remove", folder.file, "warren-trace");
  expect([gone.exitCode, gone.stderr]).toEqual([0, expect.stringContaining("nothing was changed")]);
});

test("S2-13 what the operator changed meanwhile is not lost, and two plugins go one by one", async () => {
  using folder = new Folder();
  await warren("conf", "add", folder.file, LOGGER, "--position", "1");
  await warren("conf", "add", folder.file, "warren-rewrite");
  expect(folder.types()).toEqual(["warren-trace", "flannel", "portmap", "warren-rewrite"]);
  writeFileSync(folder.file, readFileSync(folder.file, "utf8").replace("0.3.1", "1.0.0"));
  await warren("conf", "remove", folder.file, "warren-rewrite");
  await warren("conf", "remove", folder.file, "warren-trace");
  expect(folder.types()).toEqual(["flannel", "portmap"]);
  expect(readFileSync(folder.file, "utf8")).toContain('"cniVersion": "1.0.0"');
});

test("S2-13 a link to the list goes on leading there", async () => {
  using folder = new Folder();
  mkdirSync(join(folder.path, "net.d"));
  const link = join(folder.path, "net.d/lab.conflist");
  symlinkSync("../10-flannel.conflist", link);
  await warren("conf", "add", link, LOGGER);
  expect(lstatSync(link).isSymbolicLink()).toBe(true);
  expect(folder.types()).toEqual(["flannel", "portmap", "warren-trace"]);
  await warren("conf", "remove", link, "warren-trace");
  expect(readFileSync(folder.file, "utf8")).toBe(ORIGINAL);
});

describe("what can't be meant is refused, and the file stays as it is", () => {
  test.each<[args: string[], exitCode: number, message: string]>([
    [["add", "FILE", LOGGER, "--position", "4"], 2, "--position 4 is no place in the list; expected 1 to 3"],
    [["add", "FILE", "{}"], 2, "expected a type, or an object with one"],
    [["add", "FILE", "{"], 1, "PLUGIN: no JSON at line 1"],
    [
      ["add", "FILE", '{"type":"portmap","snat":true}'],
      1,
      'has a plugin "portmap" already, at position 2, with another config',
    ],
    [["add", "nowhere.conflist", LOGGER], 1, "can't read nowhere.conflist"],
    [["remove", "nowhere.conflist", "x"], 1, "can't read nowhere.conflist"],
  ])("%j", async (args, exitCode, message) => {
    using folder = new Folder();
    const answer = await warren("conf", ...args.map((one) => (one === "FILE" ? folder.file : one)));
    expect([answer.exitCode, answer.stdout]).toEqual([exitCode, ""]);
    expect(answer.stderr).toContain(message);
    expect(answer.stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(readFileSync(folder.file, "utf8")).toBe(ORIGINAL);
    expect(readdirSync(folder.path)).toEqual(["10-flannel.conflist"]);
  });

  test("the last plugin stays", async () => {
    using folder = new Folder();
    await warren("conf", "remove", folder.file, "portmap");
    const { exitCode, stderr } = await warren("conf", "remove", folder.file, "flannel");
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining('"flannel" is the only plugin of')]);
  });
});

describe("doctor", () => {
  const doctor = (folder: string, ...args: string[]) =>
    warren("conf", "doctor", "--cni-conf-dir", folder, "--cni-bin-dir", PLUGIN_FOLDER, ...args);
  const list = (name: string, plugins: readonly object[], more: object = {}) =>
    JSON.stringify({ cniVersion: "1.1.0", name, ...more, plugins });
  const bridge = { type: "warren-bridge" };
  const rewrite = { type: "warren-rewrite" };
  const portmap = { type: "warren-portmap" };

  test("S4-10 warns where made-up addresses come before a plugin that works with them", async () => {
    using directory = new TemporaryDirectory();
    const file = join(directory.path, "10-lab.conflist");
    writeFileSync(file, list("lab", [bridge, rewrite, portmap], { disableCheck: true }));
    const { exitCode, stdout } = await doctor(directory.path);
    expect([exitCode, stdout]).toEqual([
      1,
      `${file}: warning: warren-rewrite stands before warren-portmap, which would work with the made-up address: put it behind\n`,
    ]);
    writeFileSync(file, list("lab", [bridge, portmap, rewrite], { disableCheck: true }));
    expect(await doctor(directory.path)).toEqual({
      exitCode: 0,
      stdout: `nothing is wrong in ${directory.path}\n`,
      stderr: "",
    });
  });

  test("S4-10 warns where CHECK would find an address that was never given", async () => {
    using directory = new TemporaryDirectory();
    const file = join(directory.path, "10-lab.conflist");
    for (const [more, mode, findings] of [
      [{}, undefined, 1],
      [{ disableCheck: true }, undefined, 0],
      [{}, "annotate-only", 0],
      [{ cniVersion: "0.3.1" }, undefined, 0],
    ] as const) {
      writeFileSync(file, list("lab", [bridge, { ...rewrite, mode }], more));
      expect(JSON.parse((await doctor(directory.path, "--json")).stdout)).toHaveLength(findings);
    }
  });

  test("tells of files that can't be read, networks that are there twice and plugins that are not there", async () => {
    using directory = new TemporaryDirectory();
    const path = (name: string) => join(directory.path, name);
    writeFileSync(path("10-first.conflist"), list("lab", [bridge]));
    writeFileSync(path("20-broken.conflist"), '{\n  "name": "x",,\n}');
    writeFileSync(path("30-second.conflist"), list("lab", [{ type: "nobody" }]));
    writeFileSync(path("40-single.conf"), '{"type": "warren-loopback", "name": "lo", "cniVersion": "1.0.0"}');
    writeFileSync(path("50-old.conflist.backup"), "no JSON");
    const { exitCode, stdout } = await doctor(directory.path, "--json");
    expect(exitCode).toBe(1);
    expect(JSON.parse(stdout)).toEqual([
      {
        file: path("20-broken.conflist"),
        severity: "error",
        message: expect.stringContaining("no JSON at line 2, column 15"),
      },
      {
        file: path("30-second.conflist"),
        severity: "warning",
        message: `network "lab" is in ${path("10-first.conflist")} already, which counts`,
      },
      {
        file: path("30-second.conflist"),
        severity: "error",
        message: expect.stringContaining('failed to find plugin "nobody"'),
      },
    ]);
  });
});
