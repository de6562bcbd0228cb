import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { convertResult } from "../../../src/conflist/verbs.ts";
import { AttachmentCache, type CachedAttachment } from "../../../src/runtime/cache.ts";
import { Recorder } from "./recorder.ts";

const ATTACHMENT: CachedAttachment = {
  network: "n",
  containerId: "c1",
  ifname: "eth0",
  netns: "/run/netns/c1",
  args: [["IgnoreUnknown", "1"]],
  capabilityArgs: { portMappings: [{ hostPort: 80 }] },
  config: new TextEncoder().encode('{"name":"n"}'),
  result: { cniVersion: "1.0.0", ips: [{ address: "10.0.0.2/24" }] },
};

test("X-40 a cache file has libcni's name, keys and modes, and reads back as it was written", () => {
  using files = new Recorder([]);
  const cache = new AttachmentCache(files.cache);
  cache.write(ATTACHMENT);
  const folder = join(files.cache, "results");
  const file = join(folder, "n-c1-eth0");
  expect(JSON.parse(readFileSync(file, "utf8"))).toEqual({
    kind: "cniCacheV1",
    containerId: "c1",
    config: "eyJuYW1lIjoibiJ9",
    ifName: "eth0",
    networkName: "n",
    netns: "/run/netns/c1",
    cniArgs: [["IgnoreUnknown", "1"]],
    capabilityArgs: { portMappings: [{ hostPort: 80 }] },
    result: { cniVersion: "1.0.0", ips: [{ address: "10.0.0.2/24" }] },
  });
  expect([statSync(folder).mode & 0o777, statSync(file).mode & 0o777]).toEqual([0o700, 0o600]);
  const read = cache.read(ATTACHMENT);
  expect({ ...read, config: new TextDecoder().decode(read?.config) }).toEqual({
    ...ATTACHMENT,
    config: '{"name":"n"}' as never,
  });
  expect(readdirSync(files.cache)).toEqual(["results"]);
  cache.remove(ATTACHMENT);
  cache.remove(ATTACHMENT);
  expect(cache.read(ATTACHMENT)).toBeUndefined();
});

test("a bare result, as libcni before 0.8 wrote it, is read as a result without parameters", () => {
  using files = new Recorder([]);
  mkdirSync(join(files.cache, "results"), { recursive: true });
  writeFileSync(
    join(files.cache, "results/n-c1-eth0"),
    '{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/24"},"dns":{}}',
  );
  const cached = new AttachmentCache(files.cache).read(ATTACHMENT);
  expect(cached?.args).toEqual([]);
  expect(convertResult(cached?.result ?? {}, "1.0.0", "cached result")).toEqual({
    cniVersion: "1.0.0",
    ips: [{ address: "10.0.0.2/24" }],
  });
});

test("one broken file is told of and does not hide the others", () => {
  using files = new Recorder([]);
  const cache = new AttachmentCache(files.cache);
  expect(cache.list("n", () => undefined)).toEqual([]);
  cache.write(ATTACHMENT);
  cache.write({ ...ATTACHMENT, containerId: "c2" });
  cache.write({ ...ATTACHMENT, network: "other" });
  const results = join(files.cache, "results");
  writeFileSync(join(results, "n-c0-eth0"), '{"kind":"cniCacheV1",');
  writeFileSync(join(results, "n-c3-eth0"), "");
  writeFileSync(join(results, "n-c4-eth0"), '{"kind":"cniCacheV1","networkName":"n","containerId":1}');
  writeFileSync(join(results, "n-c5-eth0"), '{"cniVersion":"0.2.0"}');
  mkdirSync(join(results, "n-c6-eth0"));
  const problems: string[] = [];
  const found = cache.list("n", (problem) => problems.push(problem));
  expect(found.map((one) => one.containerId)).toEqual(["c1", "c2"]);
  expect(problems.map((problem) => /n-c\d/.exec(problem)?.[0])).toEqual(["n-c0", "n-c3", "n-c4", "n-c6"]);
  expect(() => cache.read({ ...ATTACHMENT, containerId: "c0" })).toThrow("n-c0-eth0: no JSON at line 1");
});

test("names that would lead out of the folder are refused", () => {
  const cache = new AttachmentCache("/nowhere");
  expect(() => cache.read({ ...ATTACHMENT, network: "../n" })).toThrow("network name");
  expect(() => cache.read({ ...ATTACHMENT, containerId: "../c" })).toThrow("containerID");
  expect(() => cache.remove({ ...ATTACHMENT, ifname: "a/b" })).toThrow("interface name");
});

test("a folder that can't be written is an error that names it, with nothing left in it", () => {
  using files = new Recorder([]);
  writeFileSync(files.cache, "a file where the folder should be");
  expect(() => new AttachmentCache(files.cache).write(ATTACHMENT)).toThrow(
    'failed to set network "n" cached result',
  );
});
