// The protocol as any plugin of Warren keeps it: what comes in is checked in the order that runtimes know, and
// what goes out is one document or nothing. The plugin is the real ipam on a store of its own.
import { expect, test } from "bun:test";
import * as v from "valibot";
import { CniError } from "../../src/cni/error.ts";
import { definePlugin } from "../../src/cni/plugin.ts";
import { EMPTY_RESULT, type Result } from "../../src/cni/result.ts";
import { SUPPORTED_VERSIONS, VERBS, versionAllows } from "../../src/cni/version.ts";
import { type Answer, type CallOptions, type Json, TestHost } from "../support/world.ts";

/** Returns the error of an answer, which must be one document and nothing else. */
function errorIn({ exitCode, stdout }: Answer): Json {
  const document: Json = JSON.parse(stdout);
  expect(exitCode).toBe(1);
  expect(Object.keys(document).slice(0, 3)).toEqual(["cniVersion", "code", "msg"]);
  expect(stdout).toBe(JSON.stringify(document, null, 4));
  return document;
}

const SUCCESS: Answer = { exitCode: 0, stdout: "", stderr: "" };

test("X-01 VERSION needs neither standard input nor any other variable", async () => {
  using host = new TestHost();
  const nothing = {
    CNI_CONTAINERID: undefined,
    CNI_NETNS: undefined,
    CNI_IFNAME: undefined,
    CNI_PATH: undefined,
  };
  expect(await host.call("VERSION", "this is not JSON", { env: nothing })).toEqual({
    exitCode: 0,
    stdout:
      '{"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}\n',
    stderr: "",
  });
});

test("X-02 without CNI_COMMAND it says on standard error what it is, and succeeds", async () => {
  using host = new TestHost();
  for (const command of [undefined, ""]) {
    const answer = await host.call("", "", { env: { CNI_COMMAND: command } });
    expect(answer).toEqual({
      exitCode: 0,
      stdout: "",
      stderr: `Warren ipam: addresses out of ranges or fixed ones, remembered in the node's store\nCNI protocol versions supported: ${SUPPORTED_VERSIONS.join(", ")}\n`,
    });
  }
});

const NO_VARIABLES = { CNI_CONTAINERID: "", CNI_NETNS: "", CNI_IFNAME: "", CNI_PATH: "" };

test.each([
  ["ADD", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH"],
  ["CHECK", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH"],
  ["DEL", "CNI_CONTAINERID,CNI_IFNAME,CNI_PATH"],
  ["GC", "CNI_PATH"],
  ["STATUS", "CNI_PATH"],
])("X-03 %s names every variable that is missing at once", async (verb, missing) => {
  using host = new TestHost();
  // the config isn't looked at before
  expect(errorIn(await host.call(verb, "{", { env: NO_VARIABLES }))).toEqual({
    cniVersion: "1.1.0",
    code: 4,
    msg: `required env variables [${missing}] missing`,
  });
});

test.each<[env: NonNullable<CallOptions["env"]>, code: number, message: string]>([
  [{ CNI_COMMAND: "EXPLODE" }, 4, "unknown CNI_COMMAND: EXPLODE"],
  [{ CNI_COMMAND: "add" }, 4, "unknown CNI_COMMAND: add"],
  [{ CNI_CONTAINERID: "../pod", CNI_IFNAME: "" }, 4, "invalid characters in containerID"],
  [{ CNI_IFNAME: "a/b" }, 4, "interface name contains / or : or whitespace characters"],
  [{ CNI_IFNAME: "sixteen-is-a-lot" }, 4, "interface name is too long"],
])("X-04 the environment %j is refused", async (env, code, msg) => {
  using host = new TestHost();
  expect(errorIn(await host.call("ADD", host.config(), { env }))).toMatchObject({ code, msg });
});

test.each<[input: string | Uint8Array, code: number, message: string]>([
  ["", 6, "network config on standard input is not JSON"],
  ["{", 6, "network config on standard input is not JSON"],
  [new Uint8Array([0x22, 0xff, 0x22]), 6, "network config on standard input is not JSON"],
  ["[]", 6, "network config on standard input is []"],
  ["null", 6, "network config on standard input is null"],
  ['"lab"', 6, 'network config on standard input is "lab"'],
  ['{"cniVersion": 1, "name": "lab"}', 6, 'network config: "cniVersion" is 1'],
  ['{"cniVersion": "1.1.0"}', 7, "missing network name"],
  ['{"cniVersion": "1.1.0", "name": ""}', 7, "missing network name"],
  ['{"cniVersion": "1.1.0", "name": 7}', 7, 'network config: "name" is 7'],
  ['{"cniVersion": "1.1.0", "name": "a/b"}', 7, "invalid characters found in network name"],
  ['{"cniVersion": "2.0.0", "name": "lab"}', 1, "incompatible CNI versions"],
  ['{"cniVersion": "1.1", "name": "lab"}', 1, "incompatible CNI versions"],
  ['{"cniVersion": "x", "name": "lab"}', 1, "incompatible CNI versions"],
])("X-06 standard input %p is refused with code %p", async (input, code, message) => {
  using host = new TestHost();
  const error = errorIn(await host.call("ADD", input));
  expect(error.code).toBe(code);
  expect(error.msg).toStartWith(message);
});

test("X-06 what nobody foresaw is code 199 and says where", async () => {
  using host = new TestHost();
  const broken = definePlugin({
    name: "broken",
    about: "",
    config: v.object({}),
    cleanup: v.object({}),
    add: async (): Promise<Result> => JSON.parse("{"),
    del: async () => undefined,
    check: async () => undefined,
  });
  const error = errorIn(await host.call("ADD", host.config(), { plugin: broken }));
  expect(error).toMatchObject({ code: 199 });
  expect(error.msg).toStartWith("internal error: ");
  expect(error.details).toContain("runner.test.ts");
});

test("X-07 an unsupported version is told with those that are supported", async () => {
  using host = new TestHost();
  expect(errorIn(await host.call("ADD", host.config({}, { cniVersion: "2.0.0" })))).toEqual({
    cniVersion: "1.1.0",
    code: 1,
    msg: "incompatible CNI versions",
    details: 'config is "2.0.0", plugin supports ["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]',
  });
});

test("X-10 the plugin's own namespace is refused before anything is done, unless it is meant", async () => {
  using host = new TestHost();
  const own = { ownNetns: "/nowhere/pod1" };
  for (const verb of ["ADD", "DEL"]) {
    const error = errorIn(await host.call(verb, host.config(), own));
    expect(error).toMatchObject({
      code: 8,
      msg: "plugin's netns and netns from CNI_NETNS should not be the same",
    });
    expect(error.details).toContain("/nowhere/pod1");
  }
  for (const meant of ["1", "true", "TRUE"]) {
    const env = { CNI_NETNS_OVERRIDE: meant };
    expect((await host.call("ADD", host.config(), { ...own, env })).exitCode).toBe(0);
    expect(await host.call("DEL", host.config(), { ...own, env })).toEqual(SUCCESS);
  }
  expect(host.leases()).toEqual([]);
  const error = errorIn(await host.call("ADD", host.config(), { ...own, env: { CNI_NETNS_OVERRIDE: "no" } }));
  expect(error.code).toBe(8);
});

// every verb with every version -----------------------------------------------------------------------------------

const SHAPES: Readonly<Record<string, Json>> = {
  "0.1.0": { ip4: { ip: "10.1.0.2/24", gateway: "10.1.0.1", routes: [{ dst: "0.0.0.0/0" }] }, dns: {} },
  "0.3.0": {
    ips: [{ version: "4", address: "10.1.0.2/24", gateway: "10.1.0.1" }],
    routes: [{ dst: "0.0.0.0/0" }],
    dns: {},
  },
  "1.0.0": { ips: [{ address: "10.1.0.2/24", gateway: "10.1.0.1" }], routes: [{ dst: "0.0.0.0/0" }] },
};

test.each([...SUPPORTED_VERSIONS])(
  "X-05 X-07 S0-26 version %s: every verb does its work and prints its shape, or says that the version does not allow it",
  async (version) => {
    using host = new TestHost();
    const config = host.config(
      { subnet: "10.1.0.0/24", routes: [{ dst: "0.0.0.0/0" }] },
      { cniVersion: version },
    );
    const shape = SHAPES[version < "0.3" ? "0.1.0" : version < "1" ? "0.3.0" : "1.0.0"];
    const added = await host.call("ADD", config);
    const result: Json = JSON.parse(added.stdout);
    expect(added).toEqual({ exitCode: 0, stdout: JSON.stringify(result, null, 4), stderr: "" });
    expect(result).toEqual({ cniVersion: version, ...shape });
    expect(host.leases()).toHaveLength(1);

    for (const verb of VERBS) {
      if (verb === "ADD" || verb === "VERSION" || verb === "DEL") continue;
      const valid = [{ containerID: "pod1", ifname: "eth0" }];
      const answer = await host.call(verb, {
        ...config,
        prevResult: result,
        "cni.dev/valid-attachments": valid,
      });
      if (versionAllows(version, verb)) {
        expect([verb, answer.exitCode, answer.stdout]).toEqual([verb, 0, ""]);
      } else {
        expect(errorIn(answer)).toEqual({
          cniVersion: version,
          code: 1,
          msg: `config version does not allow ${verb}`,
        });
      }
    }
    expect(host.leases()).toHaveLength(1);
    for (const time of ["first", "again"]) {
      expect([time, await host.call("DEL", { ...config, prevResult: result })]).toEqual([time, SUCCESS]);
    }
    expect(host.leases()).toEqual([]);
  },
);

test("an absent version is the oldest, and an error of a config that could not be read claims the newest", async () => {
  using host = new TestHost();
  for (const cniVersion of [undefined, "", null]) {
    const result = await host.add(host.config(undefined, { cniVersion }));
    expect(result).toMatchObject({ cniVersion: "0.1.0", ip4: { ip: "10.1.0.2/24" } });
  }
  expect(errorIn(await host.call("ADD", "{")).cniVersion).toBe("1.1.0");
});

// prevResult ------------------------------------------------------------------------------------------------------

const PREVIOUS: Readonly<Record<string, Json>> = {
  "0.2.0": { ip4: { ip: "10.1.0.2/24" } },
  "0.4.0": {
    ips: [{ version: "4", address: "10.1.0.2/24" }],
    interfaces: [{ name: "eth0", sandbox: "any word" }],
  },
  "1.1.0": { ips: [{ address: "10.1.0.2/24", interface: 0 }], interfaces: [{ name: "eth0" }], unknown: 1 },
};

test.each(Object.entries(PREVIOUS))(
  "a prevResult of %s is read by its own version in any config that allows CHECK",
  async (version, previous) => {
    using host = new TestHost();
    await host.add(host.config());
    for (const configVersion of ["0.4.0", "1.0.0", "1.1.0"]) {
      const prevResult = { cniVersion: version, ...previous };
      expect(
        await host.call("CHECK", host.config(undefined, { cniVersion: configVersion, prevResult })),
      ).toEqual(SUCCESS);
    }
  },
);

test("a prevResult without a version has the config's", async () => {
  using host = new TestHost();
  await host.add(host.config());
  const check = (cniVersion: string) =>
    host.call("CHECK", host.config(undefined, { cniVersion, prevResult: PREVIOUS[cniVersion] }));
  expect(await check("0.4.0")).toEqual(SUCCESS);
  expect(await check("1.1.0")).toEqual(SUCCESS);
});

test.each<[prevResult: unknown, message: string]>([
  ["x", 'could not parse prevResult: it is "x"'],
  [[], "could not parse prevResult: it is []"],
  [{ cniVersion: "" }, 'could not parse prevResult: "cniVersion" is ""'],
  [{ cniVersion: "7.0.0" }, 'could not parse prevResult: "cniVersion" is "7.0.0"'],
  [{ cniVersion: 1 }, 'could not parse prevResult: "cniVersion" is 1'],
  [{ ips: [{ address: "here" }] }, 'could not parse prevResult: "ips[0].address" is "here"'],
])(
  "the prevResult %j is refused by CHECK with code 6, and DEL does its work all the same",
  async (prevResult, message) => {
    using host = new TestHost();
    await host.add(host.config());
    const config = host.config(undefined, { prevResult });
    const error = errorIn(await host.call("CHECK", config));
    expect(error).toMatchObject({ code: 6, msg: message });
    expect(await host.call("DEL", config)).toEqual(SUCCESS);
    expect(host.leases()).toEqual([]);
  },
);

test("keys that nobody knows are let pass, and null is as good as nothing", async () => {
  using host = new TestHost();
  const config = host.config(
    { subnet: "10.1.0.0/24", routes: null, dns: null, gateway: null, rangeStart: "" },
    {
      prevResult: null,
      runtimeConfig: null,
      args: null,
      capabilities: { ips: true },
      "cni.dev/attachments": [],
      x: {},
    },
  );
  expect(await host.add(config)).toMatchObject({ ips: [{ address: "10.1.0.2/24" }] });
});

// delegation ------------------------------------------------------------------------------------------------------

/** A net plugin that does nothing but delegate each verb. */
const net = definePlugin({
  name: "net",
  about: "",
  config: v.object({}),
  cleanup: v.object({}),
  add: async ({ delegate }): Promise<Result> => (await delegate("ipam")).add(),
  del: async ({ delegate }) => (await delegate("ipam")).del(),
  check: async ({ delegate }) => (await delegate("ipam")).check(),
  status: async ({ delegate }) => (await delegate("ipam")).status(),
  gc: async ({ delegate }) => (await delegate("ipam")).gc(),
});

/** Puts a script in the place of the ipam plugin. */
async function install(host: TestHost, script: string): Promise<string> {
  const file = `${host.path}/ipam`;
  await Bun.write(file, `#!/bin/sh\n${script}\n`);
  await Bun.$`chmod +x ${file}`.quiet();
  return file;
}

test("X-09 a delegate gets the whole input and environment with each verb, and its standard error is let through", async () => {
  using host = new TestHost();
  await install(
    host,
    `cat > $LOG.$CNI_COMMAND; echo "$CNI_CONTAINERID $CNI_IFNAME $CNI_NETNS $CNI_ARGS" >> $LOG.$CNI_COMMAND
     if [ $CNI_COMMAND = ADD ]; then echo '{"cniVersion":"0.4.0","ips":[{"version":"4","address":"10.7.0.7/24"}]}'; fi`,
  );
  const log = `${host.path}/log`;
  const config = host.config({ free: "form" }, { "cni.dev/valid-attachments": [] });
  for (const verb of ["ADD", "CHECK", "DEL", "STATUS", "GC"]) {
    const env = { LOG: log, CNI_ARGS: "IgnoreUnknown=1;X=y", PATH: process.env.PATH };
    const answer = await host.call(verb, config, { plugin: net, env });
    expect([verb, answer.exitCode, answer.stdout]).toEqual([
      verb,
      0,
      verb === "ADD"
        ? JSON.stringify({ cniVersion: "1.1.0", ips: [{ address: "10.7.0.7/24" }] }, null, 4)
        : "",
    ]);
    expect(await Bun.file(`${log}.${verb}`).text()).toBe(
      `${JSON.stringify(config)}pod1 eth0 /nowhere/pod1 IgnoreUnknown=1;X=y\n`,
    );
  }
});

test.each<[script: string, code: number, message: string]>([
  ['echo \'{"code":100,"msg":"taken","details":"by b"}\'; exit 1', 100, "taken"],
  ["exit 3", 106, "plugin ipam: netplugin failed with no error message: exit status 3"],
  ["echo oops >&2; exit 1", 106, 'plugin ipam: netplugin failed: "oops": exit status 1'],
  [
    "echo oops; exit 1",
    106,
    'plugin ipam: netplugin failed but error parsing its diagnostic message "oops\\n"',
  ],
  ["kill -9 $$", 106, "plugin ipam: netplugin failed with no error message: killed by SIGKILL"],
  ["exit 0", 106, "plugin ipam printed no result"],
  ["echo oops", 6, "is not JSON"],
  ["echo '[]'", 6, "it is []"],
  ['echo \'{"cniVersion":"9.9.9"}\'', 6, '"9.9.9"'],
  ['echo \'{"ips":[{"address":"x"}]}\'', 6, '"ips[0].address" is "x"'],
])("X-09 a delegate that does %p is told for what it did", async (script, code, message) => {
  using host = new TestHost();
  await install(host, script);
  const error = errorIn(
    await host.call("ADD", host.config(), { plugin: net, env: { PATH: process.env.PATH } }),
  );
  expect(error.code).toBe(code);
  expect(error.msg).toContain(message);
});

test("X-09 a delegate is searched in every folder of CNI_PATH, and a missing one is named with all of them", async () => {
  using host = new TestHost();
  const file = await install(host, "echo '{}'");
  const path = `/nowhere:/also/nowhere:${host.path}`;
  const env = { CNI_PATH: path, PATH: process.env.PATH };
  expect((await host.call("ADD", host.config(), { plugin: net, env })).exitCode).toBe(0);
  await Bun.file(file).delete();
  expect(errorIn(await host.call("ADD", host.config(), { plugin: net, env }))).toMatchObject({
    code: 106,
    msg: `failed to find plugin "ipam" in path [/nowhere /also/nowhere ${host.path}]`,
  });
});

test("a delegate that is this executable is called in this process", async () => {
  using host = new TestHost();
  const file = await install(host, "exit 1");
  const seen: string[] = [];
  host.delegates.set(
    file,
    definePlugin({
      name: "inside",
      about: "",
      givesAddresses: true,
      config: v.object({}),
      cleanup: v.object({}),
      add: async ({ network }): Promise<Result> => {
        seen.push(network);
        return EMPTY_RESULT;
      },
      del: async () => {
        throw new CniError(11, "busy");
      },
      check: async () => undefined,
    }),
  );
  expect((await host.call("ADD", host.config(), { plugin: net })).exitCode).toBe(0);
  expect(seen).toEqual(["lab"]);
  expect(errorIn(await host.call("DEL", host.config(), { plugin: net }))).toMatchObject({
    code: 11,
    msg: "busy",
  });
  // a verb that the delegate doesn't have is one where it has nothing to do
  expect(await host.call("STATUS", host.config(), { plugin: net })).toEqual(SUCCESS);
});

test("a result that a plugin passes on is printed as it came, and one that it changes in the shape of its version", async () => {
  using host = new TestHost();
  const anything = v.object({ touch: v.optional(v.boolean()) });
  const passing = definePlugin({
    name: "passing",
    about: "",
    config: anything,
    cleanup: anything,
    add: async ({ previous = EMPTY_RESULT, config }): Promise<Result> =>
      config.touch === true ? { ...previous, dns: { domain: "x" } } : previous,
    del: async () => undefined,
    check: async () => undefined,
  });
  const prevResult = { odd: [1.5], ips: [{ address: "10.1.0.2/24", mine: 1 }], cniVersion: "1.0.0" };
  const answer = async (config: Json) =>
    JSON.parse((await host.call("ADD", host.config({}, config), { plugin: passing })).stdout);
  const cniVersion = "1.0.0";
  expect(Object.entries(await answer({ cniVersion, prevResult }))).toEqual(Object.entries(prevResult));
  const ips = [{ address: "10.1.0.2/24" }];
  expect(await answer({ cniVersion, prevResult, touch: true })).toEqual({
    cniVersion,
    dns: { domain: "x" },
    ips,
  });
  // a config of another version needs another shape
  expect(await answer({ prevResult })).toEqual({ cniVersion: "1.1.0", ips });
});
