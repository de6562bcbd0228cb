// Delegation to whole networks: a plugin made for this test hands its attachments on to the networks in its config, through
// the real runner, to plugins that write down how they were called, and to one in the same process.
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { beginEntry, entryOf } from "../../src/attachment/reservation.ts";
import { type AttachmentCall, definePlugin, type Plugin } from "../../src/cni/plugin.ts";
import { EMPTY_RESULT } from "../../src/cni/result.ts";
import { UndoList } from "../../src/cni/undo.ts";
import type { JsonObject } from "../../src/conflist/json.ts";
import { type DelegatedNetwork, delegatedList, resultOf } from "../../src/delegation/delegated-network.ts";
import {
  addDelegates,
  checkDelegates,
  checkDelegatesStatus,
  collectDelegates,
  deleteDelegates,
  writtenDelegates,
} from "../../src/delegation/delegation.ts";
import { forgetAttachment, recordAttachment } from "../../src/ledger/attachments.ts";
import { holderOf } from "../../src/ledger/owner.ts";
import { ipam } from "../../src/plugins/ipam.ts";
import { openStore } from "../../src/store/sqlite.ts";
import { type Json, TestHost } from "../support/world.ts";
import { Recorder } from "../unit/runtime/recorder.ts";

const config = v.object({
  dataDir: v.string(),
  networks: v.array(v.record(v.string(), v.unknown())),
  runtimeConfig: v.nullish(v.record(v.string(), v.unknown()), {}),
});
type Config = v.InferOutput<typeof config>;

function networksOf(
  { config, network, cniVersion }: { config: Config; network: string; cniVersion: string },
  args: string,
): DelegatedNetwork[] {
  return config.networks.map((one, index) => ({
    list: delegatedList(one as JsonObject, { network, cniVersion }, `networks[${index}]`),
    ifname: index === 0 ? "eth0" : `net${index}`,
    args,
    capabilityArgs: config.runtimeConfig ?? {},
    folders: [],
  }));
}

const failed = (error: unknown): never => {
  throw error;
};

async function remove(call: AttachmentCall<Pick<Config, "dataDir" | "networks">>): Promise<void> {
  const { dataDir } = call.config;
  const entry = entryOf(call, "hand-on");
  await deleteDelegates(call, call.attachment, await writtenDelegates(entry, dataDir, failed));
  await openStore(dataDir).transaction((store) => forgetAttachment(store, entry));
}

const handOn = definePlugin({
  name: "hand-on",
  about: "hands its attachments on",
  config,
  cleanup: v.object({ dataDir: v.string(), networks: config.entries.networks }),
  async add(call) {
    const { dataDir } = call.config;
    const entry = entryOf(call, "hand-on");
    const networks = networksOf(call, "IgnoreUnknown=1;K8S_POD_NAME=web");
    const undo = new UndoList();
    try {
      await openStore(dataDir).transaction(async (store) => {
        await beginEntry(store, entry);
        await recordAttachment(store, holderOf(call.network, call.attachment, call.args), "hand-on", []);
      });
      undo.push("the entry", async () => {
        await openStore(dataDir).transaction((store) => forgetAttachment(store, entry));
      });
      const [first] = await addDelegates(call, { entry, dataDir }, networks, undo);
      return first === undefined ? EMPTY_RESULT : resultOf(first);
    } catch (error) {
      await undo.run(call.note);
      throw error;
    }
  },
  del: remove,
  async check(call) {
    const written = await writtenDelegates(entryOf(call, "hand-on"), call.config.dataDir, failed);
    await checkDelegates(call, call.attachment, written);
  },
  async status(call) {
    await checkDelegatesStatus(call, networksOf(call, ""));
  },
  async gc(call) {
    const networks = networksOf({ ...call, config: { ...call.config, runtimeConfig: {} } }, "");
    await collectDelegates(call, { plugin: "hand-on", dataDir: call.config.dataDir, networks });
  },
});

/** A host on which the test's plugin and the recording plugins a, b and c are. */
class Host extends TestHost {
  readonly recorder = new Recorder(["a", "b", "c"], this.path);

  list(networks: readonly Json[], more: Json = {}): Json {
    return { cniVersion: "1.1.0", name: "lab", dataDir: this.dataDir, networks, ...more };
  }

  run(verb: string, config: Json, env: Readonly<Record<string, string>> = {}, plugin = handOn as Plugin) {
    return this.call(verb, config, { plugin, env: { CNI_PATH: this.recorder.bin, ...env } });
  }

  /** Makes the call, which must succeed, and returns the document that it prints. */
  async succeed(verb: string, config: Json, env: Readonly<Record<string, string>> = {}): Promise<Json> {
    const { exitCode, stdout } = await this.run(verb, config, env);
    if (exitCode !== 0) throw new Error(stdout);
    return stdout === "" ? {} : JSON.parse(stdout);
  }

  /** Makes the call, which must fail, and returns its error with what it said on standard error. */
  async fail(verb: string, config: Json): Promise<Json> {
    const { exitCode, stdout, stderr } = await this.run(verb, config);
    if (exitCode === 0) throw new Error(`${verb} went through`);
    return { ...JSON.parse(stdout), stderr };
  }

  written(): unknown[][] {
    using database = this.database();
    return database.query("SELECT container_id, name FROM objects ORDER BY container_id, name").values();
  }

  entries(): number {
    using database = this.database();
    return database.query("SELECT 1 FROM attachments").values().length;
  }
}

const RESULT = { cniVersion: "1.1.0", ips: [{ address: "10.0.0.2/24" }] };
const CHAIN = { name: "chain", plugins: [{ type: "a" }, { type: "b", capabilities: { mac: true } }] };

test("S1-01 S1-22 lists and single configs get what a runtime would give them, and every verb reaches them", async () => {
  using host = new Host();
  const { recorder } = host;
  recorder.answer("a", "ADD", RESULT);
  recorder.answer("b", "ADD", RESULT);
  const list = host.list([CHAIN, { type: "c", cniVersion: "1.0.0" }], {
    runtimeConfig: { mac: "m", other: 1 },
  });
  expect(await host.succeed("ADD", list)).toEqual(RESULT);
  const added = recorder.takeCalls();
  expect(added.map(({ verb, plugin, ifname }) => `${verb} ${plugin} ${ifname}`)).toEqual([
    "ADD a eth0",
    "ADD b eth0",
    "ADD c net1",
  ]);
  expect(added.map(({ config }) => [config.name, config.cniVersion, config.runtimeConfig])).toEqual([
    ["chain", "1.1.0", undefined],
    ["chain", "1.1.0", { mac: "m" }],
    ["lab", "1.0.0", undefined],
  ]);
  expect(added[1]?.config.prevResult).toEqual(RESULT);
  expect(added[0]).toMatchObject({
    containerId: "pod1",
    netns: "/nowhere/pod1",
    args: "IgnoreUnknown=1;K8S_POD_NAME=web",
    path: recorder.bin,
  });
  expect(host.written()).toEqual([
    ["pod1", "chain eth0"],
    ["pod1", "lab net1"],
  ]);

  // what was used at ADD counts, not what the config says since
  const other = host.list([]);
  await host.succeed("CHECK", other);
  const checked = recorder.takeCalls();
  expect(checked.map(({ verb, plugin }) => `${verb} ${plugin}`)).toEqual(["CHECK a", "CHECK b", "CHECK c"]);
  expect(checked[0]?.config.prevResult).toEqual(RESULT);
  await host.succeed("DEL", other, { CNI_NETNS: "" });
  const removed = recorder.takeCalls();
  expect(removed.map(({ verb, plugin, ifname }) => `${verb} ${plugin} ${ifname}`)).toEqual([
    "DEL c net1",
    "DEL b eth0",
    "DEL a eth0",
  ]);
  expect(removed[1]?.config).toMatchObject({
    name: "chain",
    runtimeConfig: { mac: "m" },
    prevResult: RESULT,
  });
  expect(host.entries()).toBe(0);
  await host.succeed("DEL", other);
  expect(recorder.takeNames()).toEqual([]);
});

test("S1-21 a delegate that fails is taken back with all before it, in reverse, and nothing is left", async () => {
  using host = new Host();
  const { recorder } = host;
  recorder.fail("c", "ADD", { code: 101, msg: "no address left", details: "enlarge it" });
  recorder.fail("b", "DEL", { code: 5, msg: "busy" });
  const list = host.list([CHAIN, { type: "a" }, { type: "c" }, { type: "b" }]);
  expect(await host.fail("ADD", list)).toMatchObject({
    code: 101,
    msg: 'network "lab" on net2: plugin type="c" name="lab" failed (add): no address left',
    details: "enlarge it",
    stderr: expect.stringContaining("busy"),
  });
  const undone = ["DEL c", "DEL a", "DEL b", "DEL a"];
  expect(recorder.takeNames()).toEqual(["ADD a", "ADD b", "ADD a", "ADD c", ...undone]);
  expect(host.entries()).toBe(0);
});

test("a delegate that is missing is told before anything is begun", async () => {
  using host = new Host();
  const error = await host.fail(
    "ADD",
    host.list([CHAIN, { name: "x", plugins: [{ type: "a" }, { type: "gone" }] }]),
  );
  expect(error).toMatchObject({
    code: 106,
    msg: expect.stringContaining('network "x" on net1: failed to find plugin "gone"'),
  });
  expect(host.recorder.takeNames()).toEqual([]);
  expect(host.entries()).toBe(0);
});

test.each([
  ["nothing", "", 106, "plugin c printed no result"],
  ["no JSON", "eth0 is up", 6, "result of plugin c: no JSON at line 1, column 1"],
  ["no object", "[]", 6, "result of plugin c is []"],
])("S1-22 a delegate that prints %s is told of in plain words", async (_name, printed, code, words) => {
  using host = new Host();
  writeFileSync(join(host.recorder.bin, ".answer-c-ADD"), printed);
  const error = await host.fail("ADD", host.list([{ type: "c" }]));
  expect(error.code).toBe(code);
  expect(error.msg).toContain(words);
  expect(host.entries()).toBe(0);
});

test("a DEL goes on past failures, tells all of them, and can be repeated", async () => {
  using host = new Host();
  const { recorder } = host;
  const list = host.list([CHAIN, { type: "c" }]);
  await host.succeed("ADD", list);
  recorder.takeCalls();
  recorder.fail("c", "DEL", { code: 11, msg: "busy" });
  recorder.fail("b", "DEL", { code: 106, msg: "broken" });
  const error = await host.fail("DEL", list);
  expect(error.code).toBe(107);
  expect(error.msg).toMatch(/lab.*on net1.*busy.*chain.*on eth0.*broken/);
  expect(recorder.takeNames()).toEqual(["DEL c", "DEL b", "DEL a"]);
  expect(host.entries()).toBe(1);
  recorder.recover("c", "DEL");
  recorder.recover("b", "DEL");
  await host.succeed("DEL", list);
  expect(host.entries()).toBe(0);
});

test("STATUS is that of every delegate; one that is missing is code 50, in every version", async () => {
  using host = new Host();
  const { recorder } = host;
  await host.succeed("STATUS", host.list([CHAIN, { type: "c", cniVersion: "0.4.0" }]));
  // a version without STATUS has at least to be spoken
  expect(recorder.takeNames()).toEqual(["STATUS a", "STATUS b", "VERSION c"]);
  recorder.fail("b", "STATUS", { code: 51, msg: "half of it" });
  expect(await host.fail("STATUS", host.list([CHAIN]))).toMatchObject({
    code: 51,
    msg: 'network "chain": half of it',
  });
  for (const cniVersion of ["1.1.0", "0.4.0"]) {
    const error = await host.fail("STATUS", host.list([{ type: "gone", cniVersion }]));
    expect(error).toMatchObject({ code: 50, msg: expect.stringContaining('failed to find plugin "gone"') });
  }
});

test("GC takes stale attachments back, and tells every delegate which of its own are valid", async () => {
  using host = new Host();
  const { recorder } = host;
  const list = host.list([{ type: "a" }, { type: "b" }, { type: "c", name: "other" }]);
  for (const id of ["pod1", "pod2"]) await host.succeed("ADD", list, { CNI_CONTAINERID: id });
  // another network that hands on to the same one
  await host.succeed("ADD", host.list([{ type: "a", name: "other" }], { name: "second" }), {
    CNI_CONTAINERID: "pod3",
  });
  recorder.takeCalls();
  const valid = [{ containerID: "pod1", ifname: "eth0" }];
  await host.succeed("GC", { ...list, "cni.dev/valid-attachments": valid });
  const calls = recorder.takeCalls();
  expect(
    calls.map(({ verb, plugin, containerId, ifname }) => `${verb} ${plugin} ${containerId} ${ifname}`),
  ).toEqual(["DEL c pod2 net2", "DEL b pod2 net1", "DEL a pod2 eth0", "GC a  ", "GC b  ", "GC c  "]);
  const own = [...valid, { containerID: "pod1", ifname: "net1" }];
  expect(calls.slice(3).map(({ config }) => config["cni.dev/valid-attachments"])).toEqual([
    own,
    own,
    [
      { containerID: "pod3", ifname: "eth0" },
      { containerID: "pod1", ifname: "net2" },
    ],
  ]);
  expect(host.entries()).toBe(2);

  // one that is valid and of which nothing is written may have interfaces that nobody knows
  const stranger = { containerID: "stranger", ifname: "eth0" };
  const unknown = { ...list, "cni.dev/valid-attachments": [...valid, stranger] };
  expect((await host.run("GC", unknown)).stderr).toContain("container stranger");
  expect(recorder.takeNames()).toEqual([]);
});

test("a plugin of this executable runs in this process, with a result and an error like any other", async () => {
  using host = new Host();
  writeFileSync(join(host.recorder.bin, "ipam"), "");
  host.delegates.set(join(host.recorder.bin, "ipam"), ipam as Plugin);
  const list = host.list([
    { type: "ipam", ipam: { type: "ipam", subnet: "10.1.0.0/29", dataDir: host.dataDir } },
  ]);
  expect(await host.succeed("ADD", list)).toMatchObject({ ips: [{ address: "10.1.0.2/29" }] });
  expect(host.leases().length).toBe(1);
  await host.succeed("CHECK", list);
  await host.succeed("STATUS", list);
  await host.succeed("DEL", list);
  expect(host.leases()).toEqual([]);
  const broken = host.list([{ type: "ipam", ipam: { type: "ipam", subnet: "x", dataDir: host.dataDir } }]);
  expect(await host.fail("ADD", broken)).toMatchObject({
    code: 7,
    msg: expect.stringContaining("failed (add)"),
  });
});

test("an ADD whose entry is taken away meanwhile takes everything back and says so", async () => {
  using host = new Host();
  const database = join(host.dataDir, "warren.db");
  const script = `const { Database } = require("bun:sqlite"); new Database("${database}").run("DELETE FROM attachments")`;
  host.recorder.script("a", "ADD", `${process.execPath} --config=/dev/null -e '${script}'`);
  const error = await host.fail("ADD", host.list([{ type: "a" }, { type: "b" }]));
  expect(error).toMatchObject({ code: 11, msg: expect.stringContaining("was deleted while it was added") });
  expect(host.recorder.takeNames()).toEqual(["ADD a", "DEL a"]);
});

test("a network that leads back to itself is refused, not followed for ever", async () => {
  using host = new Host();
  writeFileSync(join(host.recorder.bin, "loop"), "");
  const list = { cniVersion: "1.1.0", name: "lab", dataDir: host.dataDir, networks: [{ type: "loop" }] };
  const loop: Plugin = {
    ...(handOn as Plugin),
    async status(call) {
      await call.invoke({ verb: "STATUS", type: "loop", config: JSON.stringify(list) });
    },
  };
  host.delegates.set(join(host.recorder.bin, "loop"), loop);
  const { stdout } = await host.run("STATUS", list, {}, loop);
  expect(JSON.parse(stdout)).toMatchObject({ code: 7, msg: 'network "lab": plugins call each other 8 deep' });
});
