import { expect, test } from "bun:test";
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CniError, describeError } from "../../../src/cni/error.ts";
import { loadNetwork } from "../../../src/conflist/network-list.ts";
import type { Attachment } from "../../../src/runtime/attachment.ts";
import { AttachmentCache } from "../../../src/runtime/cache.ts";
import {
  addToNetwork,
  checkNetwork,
  checkStatus,
  collectGarbage,
  deleteFromNetwork,
  type Runtime,
  requireVerb,
} from "../../../src/runtime/chain.ts";
import { Recorder } from "./recorder.ts";

/** A network of the plugins a, b, c, and a runtime for it that keeps its notes. */
class Network extends Recorder {
  readonly notes: string[] = [];
  readonly runtime: Runtime;

  constructor(list: Readonly<Record<string, unknown>> = {}, timeoutMs?: number) {
    super(["a", "b", "c"]);
    const plugins = [{ type: "a" }, { type: "b", capabilities: { portMappings: true } }, { type: "c" }];
    this.configure("n.conflist", { name: "n", cniVersion: "1.1.0", plugins, ...list });
    this.runtime = {
      host: { path: [this.bin], timeoutMs },
      cache: new AttachmentCache(this.cache),
      note: (line) => this.notes.push(line),
    };
  }

  get list() {
    return loadNetwork(this.conf, "n");
  }

  get cacheFile(): string {
    return join(this.cache, "results/n-c1-eth0");
  }

  add(attachment: Attachment = POD) {
    return addToNetwork(this.runtime, this.list, attachment);
  }

  del(attachment: Attachment = POD) {
    return deleteFromNetwork(this.runtime, this.list, attachment);
  }
}

const POD: Attachment = {
  containerId: "c1",
  netns: "/run/netns/c1",
  ifname: "eth0",
  args: [],
  capabilityArgs: {},
};
const RESULT = { cniVersion: "1.1.0", ips: [{ address: "10.0.0.2/24" }] };

/** Returns the error that the work fails with; throws if it does not fail. */
async function failureOf(work: Promise<unknown>): Promise<CniError> {
  const outcome = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (outcome instanceof CniError) return outcome;
  throw new Error(`expected a CniError, got ${String(outcome)}`);
}

test("X-43 ADD goes forwards with each plugin's result, DEL backwards with the last one", async () => {
  using network = new Network();
  network.answer("a", "ADD", RESULT);
  network.answer("c", "ADD", { ...RESULT, dns: { domain: "c" } });
  expect(await network.add()).toEqual({ ...RESULT, dns: { domain: "c" } });
  const added = network.takeCalls();
  expect(added.map(({ verb, plugin }) => `${verb} ${plugin}`)).toEqual(["ADD a", "ADD b", "ADD c"]);
  expect(added.map(({ config }) => config.prevResult)).toEqual([undefined, RESULT, { cniVersion: "1.1.0" }]);
  expect(added[0]).toMatchObject({
    containerId: "c1",
    netns: "/run/netns/c1",
    ifname: "eth0",
    path: network.bin,
  });
  await checkNetwork(network.runtime, network.list, POD);
  expect(network.takeNames()).toEqual(["CHECK a", "CHECK b", "CHECK c"]);
  await network.del();
  const deleted = network.takeCalls();
  expect(deleted.map(({ verb, plugin }) => `${verb} ${plugin}`)).toEqual(["DEL c", "DEL b", "DEL a"]);
  for (const { config } of deleted) expect(config.prevResult).toEqual({ ...RESULT, dns: { domain: "c" } });
  expect(existsSync(network.cacheFile)).toBe(false);
});

test("X-43 before 0.4.0 DEL carries no result and CHECK is refused", async () => {
  using network = new Network({ cniVersion: "0.3.1" });
  await network.add();
  expect((await failureOf(checkNetwork(network.runtime, network.list, POD))).message).toBe(
    'configuration version "0.3.1" does not support the CHECK command',
  );
  network.takeCalls();
  await network.del();
  expect(network.takeCalls().map(({ config }) => "prevResult" in config)).toEqual([false, false, false]);
});

test("X-43 an ADD that fails at plugin k is undone from k to the first, and leaves no cache file", async () => {
  using network = new Network();
  network.answer("a", "ADD", RESULT);
  network.fail("b", "ADD", { code: 7, msg: "bad key", details: "expected less" });
  const error = await failureOf(network.add());
  expect([error.code, describeError(error)]).toEqual([
    7,
    'plugin type="b" failed (add): bad key; expected less',
  ]);
  expect(network.takeNames()).toEqual(["ADD a", "ADD b", "DEL b", "DEL a"]);
  expect(network.notes).toEqual(["undone after the failed ADD: b, a"]);
  expect(existsSync(network.cacheFile)).toBe(false);
});

test("X-43 a failure while undoing is noted, the others are undone, and the ADD's error is what is told", async () => {
  using network = new Network();
  network.fail("b", "ADD", { code: 7, msg: "bad key" });
  network.fail("b", "DEL", { code: 5, msg: "no" });
  expect((await failureOf(network.add())).code).toBe(7);
  expect(network.takeNames()).toEqual(["ADD a", "ADD b", "DEL b", "DEL a"]);
  expect(network.notes[0]).toBe('while undoing the failed ADD: plugin type="b" failed (delete): no');
});

test("X-43 a repeated ADD that fails does not take away what the first one made", async () => {
  using network = new Network();
  await network.add();
  network.takeCalls();
  network.fail("a", "ADD", { code: 102, msg: "eth0 exists" });
  expect((await failureOf(network.add())).code).toBe(102);
  expect(network.takeNames()).toEqual(["ADD a"]);
  expect(existsSync(network.cacheFile)).toBe(true);
  expect(network.notes).toEqual(["not undone: c1 eth0 was added to n before; DEL removes it"]);
});

test("X-43 a cache that can't be written undoes the ADD", async () => {
  using network = new Network();
  writeFileSync(network.cache, "in the way");
  expect((await failureOf(network.add())).message).toStartWith('failed to set network "n" cached result');
  expect(network.takeNames()).toEqual(["ADD a", "ADD b", "ADD c", "DEL c", "DEL b", "DEL a"]);
});

test("X-43 DEL and CHECK get the ADD's parameters again unless the caller gives others", async () => {
  using network = new Network();
  const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }];
  await network.add({ ...POD, args: [["IP", "10.0.0.2"]], capabilityArgs: { portMappings, mac: "02::" } });
  network.takeCalls();
  await checkNetwork(network.runtime, network.list, POD);
  await deleteFromNetwork(network.runtime, network.list, POD);
  for (const { args, plugin, config } of network.takeCalls()) {
    expect(args).toBe("IP=10.0.0.2");
    expect(config.runtimeConfig).toEqual(plugin === "b" ? { portMappings } : undefined);
  }
});

test("X-43 the first failing DEL ends it and keeps the cache file", async () => {
  using network = new Network();
  await network.add();
  network.takeCalls();
  network.fail("b", "DEL", { code: 11, msg: "later" });
  expect(describeError(await failureOf(network.del()))).toBe('plugin type="b" failed (delete): later');
  expect(network.takeNames()).toEqual(["DEL c", "DEL b"]);
  expect(existsSync(network.cacheFile)).toBe(true);
});

test("X-43 a broken cache file does not stop a DEL", async () => {
  using network = new Network();
  await network.add();
  writeFileSync(network.cacheFile, "{");
  network.takeCalls();
  await network.del();
  expect(network.takeNames()).toEqual(["DEL c", "DEL b", "DEL a"]);
  expect(network.notes[0]).toStartWith("broken cache file removed");
  expect(existsSync(network.cacheFile)).toBe(false);
});

test("X-43 a cached result that can't be said in the list's version does not stop a DEL", async () => {
  using network = new Network();
  network.answer("c", "ADD", { cniVersion: "1.1.0", interfaces: [{ name: "eth0" }] });
  await network.add();
  writeFileSync(
    network.cacheFile,
    readFileSync(network.cacheFile, "utf8").replace('"interfaces":[', '"interfaces":[1,'),
  );
  await network.del();
  expect(network.notes[0]).toStartWith("cached result not usable");
});

test("X-43 STATUS stops at the first error and passes it through unchanged", async () => {
  using network = new Network();
  network.fail("b", "STATUS", { code: 50, msg: "down", details: "why" });
  const error = await failureOf(checkStatus(network.runtime, network.list));
  expect([error.code, error.message, error.details]).toEqual([50, "down", "why"]);
  const calls = network.takeCalls();
  expect(calls.map(({ plugin }) => plugin)).toEqual(["a", "b"]);
  expect(calls[0]).toMatchObject({ containerId: "", netns: "", ifname: "", args: "" });
});

test("S0-26 a list before 1.1.0: STATUS and GC are not sent, and requireVerb says so", async () => {
  using network = new Network({ cniVersion: "1.0.0" });
  await checkStatus(network.runtime, network.list);
  await network.add();
  network.takeCalls();
  await collectGarbage(network.runtime, network.list, []);
  expect(network.takeNames()).toEqual(["DEL c", "DEL b", "DEL a"]);
  expect(() => requireVerb(network.list, "STATUS")).toThrow("config version does not allow STATUS");
  expect(() => requireVerb(network.list, "GC")).toThrow("config version does not allow GC");
});

test("X-43 GC DELs stale attachments with what is cached of them, then asks every plugin, and keeps the valid", async () => {
  using network = new Network();
  await network.add();
  await network.add({ ...POD, containerId: "c2", netns: "/run/netns/c2", args: [["K", "V"]] });
  network.takeCalls();
  const valid = [{ containerId: "c1", ifname: "eth0" }];
  const removed = await collectGarbage(network.runtime, network.list, valid);
  expect(removed).toEqual([{ containerId: "c2", ifname: "eth0" }]);
  const calls = network.takeCalls();
  expect(calls.map(({ verb, plugin, containerId }) => `${verb} ${plugin} ${containerId}`)).toEqual([
    "DEL c c2",
    "DEL b c2",
    "DEL a c2",
    "GC a ",
    "GC b ",
    "GC c ",
  ]);
  expect(calls[0]).toMatchObject({ netns: "/run/netns/c2", args: "K=V" });
  expect(calls[3]?.config["cni.dev/valid-attachments"]).toEqual([{ containerID: "c1", ifname: "eth0" }]);
  expect(network.notes).toEqual(["removed c2 eth0 (/run/netns/c2) from n"]);
  expect(existsSync(network.cacheFile)).toBe(true);
});

test("S0-22 GC compares pairs: a-b with c stays when a with b-c goes", async () => {
  using network = new Network();
  await network.add({ ...POD, containerId: "a-b", ifname: "c" });
  // the two have one file name in libcni's cache, so the second one's is renamed to be seen beside it
  const results = join(network.cache, "results");
  const other = readFileSync(join(results, "n-a-b-c"), "utf8")
    .replace('"containerId":"a-b"', '"containerId":"a"')
    .replace('"ifName":"c"', '"ifName":"b-c"');
  writeFileSync(join(results, "n-a-b-c.other"), other);
  const valid = [{ containerId: "a-b", ifname: "c" }];
  expect(await collectGarbage(network.runtime, network.list, valid)).toEqual([
    { containerId: "a", ifname: "b-c" },
  ]);
});

test("X-43 GC tries everything and joins all errors", async () => {
  using network = new Network();
  await network.add();
  await network.add({ ...POD, containerId: "c2" });
  network.takeCalls();
  network.fail("c", "DEL", { code: 5, msg: "stuck" });
  network.fail("a", "GC", { code: 107, msg: "half done" });
  const error = await failureOf(collectGarbage(network.runtime, network.list, []));
  expect([error.code, error.message.split("\n")]).toEqual([
    107,
    [
      'failed to delete stale attachment c1 eth0: plugin type="c" failed (delete): stuck',
      'failed to delete stale attachment c2 eth0: plugin type="c" failed (delete): stuck',
      "failed to GC plugin a: half done",
    ],
  ]);
  expect(network.takeNames()).toEqual(["DEL c", "DEL c", "GC a", "GC b", "GC c"]);
});

test("X-43 GC without a list removes everything cached and hands plugins no list", async () => {
  using network = new Network();
  await network.add();
  network.takeCalls();
  await collectGarbage(network.runtime, network.list, undefined);
  const calls = network.takeCalls();
  expect(calls).toHaveLength(6);
  for (const { config } of calls) expect(Object.keys(config)).not.toContain("cni.dev/attachments");
});

test("X-44 disableCheck and disableGC: nothing is called", async () => {
  using network = new Network({ disableCheck: true, disableGC: true });
  await network.add();
  network.takeCalls();
  await checkNetwork(network.runtime, network.list, POD);
  expect(await collectGarbage(network.runtime, network.list, [])).toEqual([]);
  expect(network.takeCalls()).toEqual([]);
});

test("CHECK without a cached result sends none, so that plugins can say so", async () => {
  using network = new Network();
  await checkNetwork(network.runtime, network.list, POD);
  expect(network.takeCalls().map(({ config }) => "prevResult" in config)).toEqual([false, false, false]);
});

test("illegal names are refused before anything is called", async () => {
  using network = new Network();
  expect((await failureOf(network.add({ ...POD, containerId: "../c" }))).code).toBe(4);
  expect((await failureOf(network.add({ ...POD, ifname: "a/b" }))).code).toBe(4);
  expect((await failureOf(network.del({ ...POD, ifname: "" }))).code).toBe(4);
  expect(network.takeCalls()).toEqual([]);
});

const ANSWERS: readonly (readonly [what: string, script: string, message: string])[] = [
  ["nothing", "exit 3", "netplugin failed with no error message: exit status 3"],
  ["words on stderr", "echo oh dear >&2; exit 1", "netplugin failed: "],
  ["no JSON", "echo oops; exit 1", "netplugin failed but error parsing its diagnostic message"],
  ["a result that is none", "echo '[]'; exit 0", "result of plugin a is []"],
  ["half a result", "echo '{'; exit 0", "result of plugin a: no JSON at line"],
  ["a wrong address", `echo '{"ips":[{"address":"x"}]}'; exit 0`, '"ips[0].address" is "x"'],
  ["a signal's death", "kill -9 $$", "SIGKILL"],
];
for (const [what, script, message] of ANSWERS) {
  test(`a plugin that answers an ADD with ${what} is told`, async () => {
    using network = new Network();
    network.script("a", "ADD", script);
    expect(describeError(await failureOf(network.add()))).toContain(message);
  });
}

test("null is a result without anything in it", async () => {
  using network = new Network({ cniVersion: "0.4.0" });
  network.answer("c", "ADD", null);
  expect(await network.add()).toEqual({ cniVersion: "0.4.0", dns: {} });
});

test("a plugin that never answers is killed after the time-out", async () => {
  using network = new Network({}, 300);
  network.script("a", "ADD", "exec sleep 60");
  const error = await failureOf(network.add());
  expect(error.message).toContain("gave no answer within 300 ms and was killed");
});

test("a plugin that is being written is waited for, and never a fake success", async () => {
  using network = new Network();
  const busy = openSync(join(network.bin, "a"), "r+");
  setTimeout(() => closeSync(busy), 300);
  await network.add();
  expect(network.takeNames()).toEqual(["ADD a", "ADD b", "ADD c"]);
});

test("a plugin that is not there is an error that names the folders", async () => {
  using network = new Network({ plugins: [{ type: "nowhere" }] });
  expect((await failureOf(network.add())).message).toBe(
    `plugin type="nowhere" failed (add): failed to find plugin "nowhere" in path [${network.bin}]`,
  );
});
