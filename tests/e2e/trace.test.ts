// The plugin trace as a runtime meets it: what the log holds, who may read it, that it survives many writers, and that
// neither the result nor the pod suffers from it. It touches no namespace, so a temporary directory is all it needs.
import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  linkSync,
  lstatSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { parseRecords } from "../../src/record/call-record.ts";
import { MASK } from "../../src/record/redaction.ts";
import { PLUGIN_FOLDER } from "../support/plugins.ts";
import { isRoot, type Outcome, testWith, WARREN } from "../support/sandbox.ts";
import { TemporaryDirectory } from "../support/world.ts";

const TRACE = join(PLUGIN_FOLDER, "warren-trace");
const VARIABLES = {
  CNI_CONTAINERID: "pod1",
  CNI_NETNS: "/nowhere/pod1",
  CNI_IFNAME: "eth0",
  CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAME=web",
  CNI_PATH: PLUGIN_FOLDER,
};

async function execute(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
  stdin: string | Uint8Array,
): Promise<Outcome> {
  const child = Bun.spawn([...command], {
    env: { PATH: process.env.PATH ?? "", ...env },
    stdin: new Blob([stdin]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { exitCode: await child.exited, stdout, stderr };
}

function trace(verb: string, stdin: string | Uint8Array, env: Readonly<Record<string, string>> = {}) {
  return execute([TRACE], { ...VARIABLES, CNI_COMMAND: verb, ...env }, stdin);
}

const PREVIOUS = {
  cniVersion: "0.3.1",
  interfaces: [{ name: "cni0" }, { name: "veth1" }, { name: "eth0", sandbox: "/nowhere/pod1" }],
  ips: [{ version: "4", interface: 2, address: "10.244.0.7/24", gateway: "10.244.0.1" }],
  routes: [{ dst: "10.244.0.0/16" }, { dst: "0.0.0.0/0", gw: "10.244.0.1" }],
  dns: {},
};

/** A directory with a log in it. */
class Desk extends TemporaryDirectory {
  readonly log = join(this.path, "calls.log");

  config(more: Readonly<Record<string, unknown>> = {}): string {
    return JSON.stringify({
      cniVersion: "1.1.0",
      name: "lab",
      type: "warren-trace",
      cniOutput: this.log,
      ...more,
    });
  }

  get text(): string {
    return readFileSync(this.log, "utf8");
  }

  records(file = this.log) {
    return parseRecords(readFileSync(file), file);
  }

  /** What the directory has in it, with modes. */
  listing(): string[] {
    return readdirSync(this.path)
      .sort()
      .map((name) => `${name} ${(lstatSync(join(this.path, name)).mode & 0o777).toString(8)}`);
  }
}

test("S2-01 an ADD leaves one record in the original's layout, with standard input byte for byte", async () => {
  using desk = new Desk();
  // order, blanks, escapes and the end of the line are the caller's
  const stdin = ` {"cniOutput":"${desk.log}", "name":"cbr0",\n\t"cniVersion": "0.3.1","type":"warren-trace","x":"\\u00e4\\/ä" ,
  "prevResult": ${JSON.stringify(PREVIOUS)}}\n`;
  const { exitCode, stderr } = await trace("ADD", stdin);
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(desk.text).toBe(
    `\nCNI Command: ADD\nContainerID: pod1\nNetns: /nowhere/pod1\nIfName: eth0\nArgs: ${VARIABLES.CNI_ARGS}\n` +
      `Path: ${PLUGIN_FOLDER}\nStdinData: ${stdin}\n----------------------\n`,
  );
  await trace(
    "ADD",
    Buffer.from([...Buffer.from(desk.config({ odd: "?" }))].map((byte) => (byte === 0x3f ? 0x80 : byte))),
  );
  expect(desk.records()).toHaveLength(2);
  expect(Buffer.from(desk.records()[1]?.stdin ?? []).includes(0x80)).toBe(true);
});

describe("S2-02 the result of an ADD is the previous one as it came", () => {
  test.each([
    ["0.2.0", { cniVersion: "0.2.0", ip4: { ip: "10.1.0.2/24", odd: 1 }, dns: {}, more: [] }],
    ["0.3.1", { ...PREVIOUS, unknown: { deep: [null, 1.5] } }],
    ["0.4.0", { ...PREVIOUS, cniVersion: "0.4.0" }],
    ["1.0.0", { cniVersion: "1.0.0", interfaces: [{ name: "eth0", odd: true }], dns: {}, zz: 1, aa: 2 }],
    [
      "1.1.0",
      { cniVersion: "1.1.0", interfaces: [{ name: "eth0", mtu: 1500, socketPath: "/s", pciID: "1" }] },
    ],
  ])("%s", async (cniVersion, prevResult) => {
    using desk = new Desk();
    const { exitCode, stdout } = await trace("ADD", desk.config({ cniVersion, prevResult }));
    expect([exitCode, stdout]).toEqual([0, JSON.stringify(prevResult, null, 4)]);
  });

  test("with every digit of its numbers, and the config's version where it has none", async () => {
    using desk = new Desk();
    const stdin = desk
      .config({ prevResult: "HERE" })
      .replace('"HERE"', '{"ips":[],"id":18446744073709551615}');
    const { stdout } = await trace("ADD", stdin);
    expect(stdout.replace(/\s/g, "")).toBe('{"ips":[],"id":18446744073709551615,"cniVersion":"1.1.0"}');
  });
});

test.each([
  ["0.1.0", { cniVersion: "0.1.0", dns: {} }],
  ["0.2.0", { cniVersion: "0.2.0", dns: {} }],
  ["0.3.1", { cniVersion: "0.3.1", dns: {} }],
  ["0.4.0", { cniVersion: "0.4.0", dns: {} }],
  ["1.0.0", { cniVersion: "1.0.0" }],
  ["1.1.0", { cniVersion: "1.1.0" }],
])("S2-03 a first plugin of version %s prints a valid empty result", async (cniVersion, result) => {
  using desk = new Desk();
  const { exitCode, stdout } = await trace("ADD", desk.config({ cniVersion }));
  expect([exitCode, JSON.parse(stdout)]).toEqual([0, result]);
});

test("S2-04 DEL, CHECK, STATUS and GC are logged and print nothing; VERSION lists every version", async () => {
  using desk = new Desk();
  for (const verb of ["DEL", "CHECK", "STATUS", "GC"]) {
    expect(await trace(verb, desk.config())).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  }
  const version = await trace("VERSION", "");
  expect(JSON.parse(version.stdout).supportedVersions).toEqual([
    "0.1.0",
    "0.2.0",
    "0.3.0",
    "0.3.1",
    "0.4.0",
    "1.0.0",
    "1.1.0",
  ]);
  expect(desk.records().map(({ variables }) => variables.CNI_COMMAND)).toEqual([
    "DEL",
    "CHECK",
    "STATUS",
    "GC",
  ]);
});

test.each([{ cniOutput: undefined }, { cniOutput: "" }, { cniOutput: null }])(
  "S2-05 with %j the result passes through and no file is made",
  async (more) => {
    using desk = new Desk();
    const prevResult = { cniVersion: "1.1.0", ips: [{ address: "10.1.0.2/24" }] };
    const { exitCode, stdout, stderr } = await trace("ADD", desk.config({ ...more, prevResult }));
    expect([exitCode, JSON.parse(stdout), stderr]).toEqual([0, prevResult, ""]);
    expect(desk.listing()).toEqual([]);
  },
);

describe("S2-06 S2-07 a log that can't be written, or must not be", () => {
  const PLACES: readonly (readonly [what: string, prepare: (desk: Desk) => string, problem: string])[] = [
    ["in a directory that is not there", (desk) => join(desk.path, "none/log"), "can't be written: open"],
    ["that is a directory", (desk) => desk.path, "is no plain file"],
    ["by a relative path", () => "calls.log", "is no absolute path"],
    [
      "that is a symbolic link",
      (desk) => {
        symlinkSync(join(desk.path, "target"), desk.log);
        return desk.log;
      },
      "is a symbolic link, which is never followed",
    ],
    [
      "that is another name of a file",
      (desk) => {
        writeFileSync(join(desk.path, "target"), "");
        linkSync(join(desk.path, "target"), desk.log);
        return desk.log;
      },
      "has 2 names",
    ],
    [
      "that is a pipe which nobody reads",
      (desk) => {
        Bun.spawnSync(["mkfifo", desk.log]);
        return desk.log;
      },
      "is no plain file",
    ],
  ];

  test.each(PLACES)(
    "%s: the pod gets its network, and standard error says why",
    async (_what, prepare, problem) => {
      using desk = new Desk();
      const cniOutput = prepare(desk);
      const before = desk.listing();
      const prevResult = { cniVersion: "1.1.0", ips: [{ address: "10.1.0.2/24" }] };
      const config = desk.config({ cniOutput, prevResult });
      const added = await trace("ADD", config);
      expect([added.exitCode, JSON.parse(added.stdout)]).toEqual([0, prevResult]);
      expect(added.stderr).toStartWith(`warren-trace: the log ${cniOutput} ${problem}`);

      const required = desk.config({ cniOutput, prevResult, cniOutputRequired: true });
      const refused = await trace("ADD", required);
      expect([refused.exitCode, JSON.parse(refused.stdout)]).toMatchObject([1, { code: 5 }]);
      expect(JSON.parse(refused.stdout).msg).toStartWith(`the log ${cniOutput} ${problem}`);
      // what was made must be removable in any case
      expect(await trace("DEL", required)).toMatchObject({ exitCode: 0, stdout: "" });

      const status = await trace("STATUS", config);
      expect([status.exitCode, JSON.parse(status.stdout)]).toMatchObject([1, { code: 50 }]);
      expect(JSON.parse(status.stdout).msg).toStartWith(`the log ${cniOutput} ${problem}`);
      expect(desk.listing()).toEqual(before);
    },
  );

  testWith(isRoot ? {} : { reason: "not root" })("S2-07 that belongs to somebody else", async () => {
    using desk = new Desk();
    writeFileSync(desk.log, "");
    Bun.spawnSync(["chown", "65534", desk.log]);
    const { exitCode, stderr } = await trace("ADD", desk.config());
    expect([exitCode, stderr]).toEqual([
      0,
      `warren-trace: the log ${desk.log} belongs to user 65534, not to 0: this ADD is not in it\n`,
    ]);
    expect(desk.text).toBe("");
  });
});

test("S2-07 the file is made 0600 whatever the umask, and appended to", async () => {
  using desk = new Desk();
  const command = ["sh", "-c", `umask 0; exec ${TRACE}`];
  const env = { ...VARIABLES, CNI_COMMAND: "ADD" };
  for (let time = 0; time < 2; time++) await execute(command, env, desk.config());
  expect(desk.listing()).toEqual(["calls.log 600"]);
  expect(desk.records()).toHaveLength(2);
  // an operator who opened it to others meant it
  chmodSync(desk.log, 0o640);
  await trace("ADD", desk.config());
  expect(desk.listing()).toEqual(["calls.log 640"]);
});

test("S2-08 S2-10 fifty writers of records of 100 KiB, while files are rotated: each record is there and whole", async () => {
  using desk = new Desk();
  const filler = "x".repeat(100 * 1024);
  const config = (number: number) => desk.config({ maxSizeKiB: 1024, maxFiles: 9, number, filler });
  const calls = Array.from({ length: 50 }, (_, number) => trace("ADD", config(number)));
  for (const { exitCode, stderr } of await Promise.all(calls)) expect([exitCode, stderr]).toEqual([0, ""]);
  const files = readdirSync(desk.path);
  expect(files).toHaveLength(5);
  const numbers = files.flatMap((file) =>
    desk.records(join(desk.path, file)).map(({ stdin }) => {
      const { number } = JSON.parse(Buffer.from(stdin).toString());
      expect(Buffer.from(stdin).toString()).toBe(config(number));
      return number;
    }),
  );
  expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, number) => number));
});

test("S2-09 secrets are masked unless the operator wants the log as the original has it", async () => {
  using desk = new Desk();
  const secrets = {
    ipam: { password: "hunter2", dsn: "postgres://cni:hunter2@db/ipam" },
    note: "token=hunter2",
  };
  const env = { CNI_ARGS: "IgnoreUnknown=1;API_TOKEN=hunter2" };
  const prevResult = { cniVersion: "1.1.0", ips: [], privateKey: "hunter2" };
  for (const format of ["text", "json"]) {
    const { stdout } = await trace("ADD", desk.config({ ...secrets, prevResult, format }), env);
    // what the next plugin gets is not the log
    expect(JSON.parse(stdout)).toEqual(prevResult);
    expect(desk.text).toContain(MASK);
    expect(desk.text).not.toContain("hunter2");
    Bun.spawnSync(["rm", desk.log]);
  }
  const raw = desk.config({ ...secrets, redact: false });
  await trace("ADD", raw, env);
  expect(Buffer.from(desk.records()[0]?.stdin ?? []).toString()).toBe(raw);
  expect(desk.text).toContain("API_TOKEN=hunter2");
});

test("S2-10 the log is rotated at its limit, and no more than so many old files are kept", async () => {
  using desk = new Desk();
  const config = (number: number) =>
    desk.config({ maxSizeKiB: 1, maxFiles: 2, number, filler: "x".repeat(700) });
  for (let number = 1; number <= 5; number++) await trace("ADD", config(number));
  expect(desk.listing()).toEqual(["calls.log 600", "calls.log.1 600", "calls.log.2 600"]);
  const kept = ["calls.log", "calls.log.1", "calls.log.2"].map((name) =>
    desk.records(join(desk.path, name)).map(({ stdin }) => JSON.parse(Buffer.from(stdin).toString()).number),
  );
  expect(kept).toEqual([[5], [4], [3]]);
  await trace("ADD", desk.config({ maxSizeKiB: 1, maxFiles: 0, filler: "x".repeat(700) }));
  expect(desk.records()).toHaveLength(1);
});

test("S2-11 as JSON each call is one line with everything about it", async () => {
  using desk = new Desk();
  const prevResult = { cniVersion: "1.1.0", ips: [{ address: "10.1.0.2/24" }] };
  const stdin = desk.config({ format: "json", prevResult });
  const env = { TRACEPARENT: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", OTHER: "x" };
  await trace("ADD", stdin, env);
  await trace("CHECK", desk.config({ format: "json", cniVersion: "0.3.1" }));
  const [added, checked, ...others] = desk.text
    .split("\n")
    .map((line) => (line === "" ? "" : JSON.parse(line)));
  expect(others).toEqual([""]);
  expect(added).toMatchObject({
    verb: "ADD",
    plugin: "trace",
    network: "lab",
    parent: { pid: process.pid },
    env: { ...VARIABLES, CNI_COMMAND: "ADD", TRACEPARENT: env.TRACEPARENT },
    stdin,
    exitCode: 0,
    result: prevResult,
  });
  expect(added.env).not.toHaveProperty("OTHER");
  expect(added.parent.command).toContain("bun");
  expect(added.pid).toBeGreaterThan(1);
  expect(added.durationMs).toBeGreaterThan(0);
  expect(Math.abs(Date.parse(added.time) - Date.now())).toBeLessThan(60_000);
  expect(checked).toMatchObject({
    verb: "CHECK",
    exitCode: 1,
    error: { code: 1, msg: "config version does not allow CHECK" },
  });
});

describe("S2-12 a recorded call can be made again", () => {
  const previous = (address: string) => ({ cniVersion: "1.1.0", ips: [{ address }] });

  test.each(["text", "json"])("from a log of form %s, by its number or the last one", async (format) => {
    using desk = new Desk();
    const config = (address: string) =>
      desk.config({ format, prevResult: previous(address), odd: "'\"\\\n\u0001ä$(false)" });
    const first = await trace("ADD", config("10.1.0.2/24"));
    const second = await trace("ADD", config("10.1.0.3/24"), { CNI_CONTAINERID: "pod2" });
    const replayed = await execute(
      [WARREN, "replay", desk.log, "--index", "1"],
      { CNI_IFNAME: "wrong0" },
      "",
    );
    expect(replayed).toEqual(first);
    // it was recorded as well, because the plugin that was called is the logger
    expect(desk.records()).toHaveLength(3);
    expect(desk.records()[2]?.variables).toEqual(desk.records()[0]?.variables ?? {});
    expect(desk.records()[2]?.stdin).toEqual(desk.records()[0]?.stdin ?? new Uint8Array());
    expect(await execute([WARREN, "replay", desk.log, "--index", "2"], {}, "")).toEqual(second);
    expect(await execute([WARREN, "replay", desk.log], {}, "")).toEqual(second);
  });

  test("its answer and exit code are the plugin's", async () => {
    using desk = new Desk();
    const failed = await trace("ADD", desk.config({ format: "wrong" }));
    expect(failed.exitCode).toBe(1);
    expect(await execute([WARREN, "replay", desk.log], {}, "")).toEqual(failed);
  });

  test("as a line for a shell it gives the same bytes", async () => {
    using desk = new Desk();
    const stdin = desk.config({ odd: `'"\\\n\u0001ä$(false)\`${"x".repeat(200 * 1024)}` });
    await trace("ADD", stdin);
    const { stdout: line } = await execute([WARREN, "replay", desk.log, "--print"], {}, "");
    writeFileSync(join(desk.path, "line.sh"), line);
    const answer = await execute(["sh", join(desk.path, "line.sh")], {}, "");
    expect(answer.exitCode).toBe(0);
    const [first, second] = desk.records();
    expect(second).toEqual(first);
    expect(Buffer.from(second?.stdin ?? []).toString()).toBe(stdin);
  });

  test("the records are listed", async () => {
    using desk = new Desk();
    await trace("ADD", desk.config());
    await trace("DEL", desk.config());
    const { stdout } = await execute([WARREN, "replay", desk.log, "--list", "--json"], {}, "");
    const row = { network: "lab", container: "pod1", ifname: "eth0", plugin: "warren-trace" };
    expect(JSON.parse(stdout)).toMatchObject([
      { index: 1, verb: "ADD", ...row },
      { index: 2, verb: "DEL", ...row },
    ]);
  });

  test.each<[what: string, args: string[], exitCode: number, stderr: RegExp]>([
    [
      "a number that is none",
      ["--index", "0"],
      2,
      /^Error: --index 0 is no number of a record; expected 1 to 1\n$/,
    ],
    [
      "a record that is not there",
      ["--index", "2"],
      1,
      /has no record 2; it has records 1 to 1; see --list\n$/,
    ],
    ["a plugin that is not there", ["--plugin", "nobody"], 1, /failed to find plugin "nobody" in path/],
  ])("%s is refused", async (_what, args, exitCode, stderr) => {
    using desk = new Desk();
    await trace("ADD", desk.config());
    const answer = await execute([WARREN, "replay", desk.log, ...args], {}, "");
    expect([answer.exitCode, answer.stdout]).toEqual([exitCode, ""]);
    expect(answer.stderr).toMatch(stderr);
  });
});

test.each([
  ["half of a config", (config: string) => config.slice(0, -1)],
  ["a config with something behind it", (config: string) => `${config}]`],
  ["a list", (config: string) => `[${config}]`],
])("S2-15 %s is error 6, and logged even so", async (_what, spoil) => {
  using desk = new Desk();
  const stdin = spoil(desk.config({ password: "hunter2", format: "json" }));
  const { exitCode, stdout } = await trace("ADD", stdin);
  expect([exitCode, JSON.parse(stdout)]).toMatchObject([1, { code: 6 }]);
  const [record] = desk.records();
  expect(Buffer.from(record?.stdin ?? []).toString()).toBe(stdin.replace("hunter2", MASK));
  expect(record?.more).toMatchObject({ exitCode: 1, network: "" });
});

test("S2-15 a call without its variables, and one with a wrong key, are logged too", async () => {
  using desk = new Desk();
  const { exitCode } = await trace("ADD", desk.config(), { CNI_CONTAINERID: "" });
  expect(exitCode).toBe(1);
  const wrong = await trace("ADD", desk.config({ maxFiles: "many" }));
  expect(JSON.parse(wrong.stdout)).toMatchObject({
    code: 7,
    msg: 'network config "lab": "maxFiles" is "many"',
  });
  expect((await trace("JUMP", desk.config())).exitCode).toBe(1);
  expect(desk.records().map(({ variables }) => variables.CNI_COMMAND)).toEqual(["ADD", "ADD", "JUMP"]);
});
