// The journal of calls, by exec: every call that has to do with a store leaves one row in it, a container's whole life can
// be read back when it is over, and nothing that is wrong with the journal is felt by a call.
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { recordEvent } from "../../src/ledger/events.ts";
import { rememberCall } from "../../src/ledger/journal.ts";
import { ipam } from "../../src/plugins/ipam.ts";
import { SCHEMA_VERSION } from "../../src/store/migrations.ts";
import { openStore } from "../../src/store/sqlite.ts";
import { PLUGIN_FOLDER } from "../support/plugins.ts";
import { type Outcome, Sandbox, WARREN } from "../support/sandbox.ts";
import { type Json, TemporaryDirectory } from "../support/world.ts";

const MIGRATIONS = resolve(import.meta.dir, "../../db/migrations");

interface Call {
  readonly sequence: number;
  readonly verb: string;
  readonly container: string;
  readonly ms: number;
  readonly outcome: string;
  readonly code: number;
  readonly [key: string]: unknown;
}

async function execute(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
  stdin: string,
): Promise<Outcome> {
  const child = Bun.spawn([...command], { env, stdin: new Blob([stdin]), stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { exitCode: await child.exited, stdout, stderr };
}

/** A node with warren-ipam, which needs nothing but a directory. */
class Node extends TemporaryDirectory {
  config(ipamKeys: Json = {}, others: Json = {}): Json {
    const own = { type: "warren-ipam", dataDir: this.dataDir, subnet: "10.1.0.0/24", ...ipamKeys };
    return { cniVersion: "1.1.0", name: "lab", type: "warren-bridge", ipam: own, ...others };
  }

  call(
    verb: string,
    containerId: string,
    config: Json | string = this.config(),
    env: Record<string, string> = {},
  ) {
    const about = ["STATUS", "GC"].includes(verb)
      ? {}
      : { CNI_CONTAINERID: containerId, CNI_NETNS: "/nowhere", CNI_IFNAME: "eth0" };
    return execute(
      [join(PLUGIN_FOLDER, "warren-ipam")],
      { CNI_COMMAND: verb, CNI_PATH: PLUGIN_FOLDER, ...about, ...env },
      typeof config === "string" ? config : JSON.stringify(config),
    );
  }

  warren(...args: string[]): Promise<Outcome> {
    return execute([WARREN, ...args, "--data-dir", this.dataDir], {}, "");
  }

  async events(...args: string[]): Promise<Call[]> {
    return JSON.parse((await this.warren("events", ...args, "--json")).stdout);
  }
}

test("each call leaves one row: who, what, how long, how it went", async () => {
  using node = new Node();
  const env = { CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0" };
  const { stdout } = await node.call("ADD", "pod-1", node.config(), env);
  await node.call("CHECK", "pod-1", node.config({}, { prevResult: JSON.parse(stdout) }));
  await node.call("ADD", "pod-2", node.config(), { CNI_ARGS: "IP=10.1.0.2" });
  await node.call("DEL", "pod-1");
  await node.call("GC", "", node.config({}, { "cni.dev/valid-attachments": [] }));
  const events = await node.events();
  const base = { plugin: "ipam", network: "lab", ifname: "eth0", container: "pod-1", netns: "/nowhere" };
  const held = "requested IP address 10.1.0.2 is not available";
  expect(events).toMatchObject([
    {
      ...base,
      sequence: 1,
      verb: "ADD",
      pod: "default/web-0",
      addresses: "10.1.0.2/24",
      code: 0,
      outcome: "ok",
    },
    { ...base, sequence: 2, verb: "CHECK", addresses: "10.1.0.2/24", code: 0 },
    {
      ...base,
      sequence: 3,
      verb: "ADD",
      container: "pod-2",
      code: 100,
      outcome: expect.stringContaining(held),
    },
    { ...base, sequence: 4, verb: "DEL", code: 0 },
    { sequence: 5, verb: "GC", network: "lab", container: "", ifname: "", code: 0 },
  ]);
  for (const { ms, time } of events) {
    expect(ms).toBeGreaterThan(0);
    expect(Math.abs(Date.parse(String(time)) - Date.now())).toBeLessThan(60_000);
  }
});

test("a call that fails before it opens the store is remembered where there is one, and makes none", async () => {
  using node = new Node();
  expect((await node.call("ADD", "pod-1", node.config({ subnet: "nonsense" }))).exitCode).toBe(1);
  expect(existsSync(node.dataDir)).toBe(false);
  await node.call("ADD", "pod-1");
  await node.call("ADD", "pod-2", node.config({ subnet: "nonsense" }));
  expect(await node.events("--failed")).toMatchObject([{ verb: "ADD", container: "pod-2", code: 7 }]);
});

test("a message is remembered without its secrets", async () => {
  using node = new Node();
  await node.call("ADD", "pod-1");
  await node.call("ADD", "pod-2", node.config({ subnet: "postgres://cni:hunter2@db/ipam" }));
  const [event] = await node.events("--failed");
  expect(event?.outcome).toContain("***masked***@db");
  expect(event?.outcome).not.toContain("hunter2");
});

test("of STATUS only the last answer is kept, so that asking for ever fills nothing", async () => {
  using node = new Node();
  await node.call("ADD", "pod-1");
  for (let time = 0; time < 3; time++) await node.call("STATUS", "");
  await node.call("STATUS", "", node.config({}, { name: "other" }));
  const events = await node.events("--verb", "status");
  expect(events.map(({ sequence, network }) => [sequence, network])).toEqual([
    [4, "lab"],
    [5, "other"],
  ]);
});

const EMPTY = {
  ...{ atMs: 0, durationUs: 1, verb: "ADD", plugin: "x", network: "lab", containerId: "c", ifname: "eth0" },
  ...{ netns: "", podNamespace: null, podName: null, addresses: "", code: 0, message: "" },
  ...{ traceId: null, spanId: null, parentSpanId: null, traceState: null, baggage: null },
};

test("the journal is a ring of 10,000 rows", async () => {
  using node = new Node();
  const store = openStore(node.dataDir);
  await store.transaction(async () => {
    for (let number = 1; number <= 10_005; number++)
      await recordEvent(store, { ...EMPTY, message: `${number}` });
  });
  using database = node.database();
  expect(
    database.query("SELECT count(*), min(sequence), max(sequence), min(message + 0) FROM events").values(),
  ).toEqual([[10_000, 6, 10_005, 6]]);
});

describe("nothing that is wrong with the journal is felt by a call", () => {
  test("its table is gone", async () => {
    using node = new Node();
    await node.call("ADD", "pod-1");
    using database = node.database();
    database.run("DROP TABLE events");
    const { exitCode, stderr } = await node.call("ADD", "pod-2");
    expect([exitCode, stderr]).toEqual([0, ""]);
  });

  test("somebody else writes, and does not stop", async () => {
    using node = new Node();
    openStore(node.dataDir);
    using database = node.database();
    database.run("BEGIN IMMEDIATE");
    const transcript = {
      ...{ variables: { CNI_COMMAND: "CHECK" }, stdin: new Uint8Array(), startedAtMs: 0, durationMs: 1 },
      ...({ exitCode: 0, stdout: "", network: "lab", document: { dataDir: node.dataDir } } as const),
      ...{ result: undefined, error: undefined, span: undefined, note: () => undefined },
    };
    await rememberCall(ipam, transcript, node.dataDir, (text) => text);
    database.run("ROLLBACK");
    await rememberCall(ipam, transcript, node.dataDir, (text) => text);
    expect(database.query("SELECT verb FROM events").values()).toEqual([["CHECK"]]);
  });

  test("the store is no store", async () => {
    using node = new Node();
    await node.call("ADD", "pod-1");
    writeFileSync(join(node.dataDir, "warren.db"), "no database");
    const { exitCode, stdout } = await node.call("ADD", "pod-2");
    expect([exitCode, JSON.parse(stdout).code]).toEqual([1, 105]);
  });
});

test("a store of the schema before the journal gets one, and keeps what it has", async () => {
  using node = new Node();
  await node.call("ADD", "pod-1");
  const folder = node.dataDir;
  {
    using database = node.database();
    // back to what the first version made
    const later = readdirSync(MIGRATIONS).filter((name) => !name.startsWith("0001-"));
    for (const name of later) {
      const text = readFileSync(join(MIGRATIONS, name), "utf8");
      for (const [, table] of text.matchAll(/^CREATE TABLE (\w+)/gm)) database.run(`DROP TABLE ${table}`);
    }
    database.run("PRAGMA user_version=1");
  }
  await node.call("ADD", "pod-2");
  expect((await node.events()).map(({ container }) => container)).toEqual(["pod-2"]);
  using database = new Database(join(folder, "warren.db"), { readonly: true });
  expect(database.query("SELECT container_id FROM leases ORDER BY address").values()).toEqual([
    ["pod-1"],
    ["pod-2"],
  ]);
  expect(database.query("PRAGMA user_version").values()).toEqual([[SCHEMA_VERSION]]);
});

test("warren events picks calls by network, container, verb, failure and number, as a table or as JSON", async () => {
  using node = new Node();
  expect(await node.warren("events")).toMatchObject({ exitCode: 1, stdout: "" });
  await node.call("ADD", "pod-1");
  await node.call("ADD", "pod-2", node.config({}, { name: "other" }));
  await node.call("DEL", "pod-1");
  await node.call("ADD", "pod-3", node.config({}, { mtu: 1, name: "bad name" }));
  const containers = async (...args: string[]) =>
    (await node.events(...args)).map(({ container }) => container);
  expect(await containers("lab")).toEqual(["pod-1", "pod-1"]);
  expect(await containers("--container", "pod-2")).toEqual(["pod-2"]);
  expect(await containers("--verb", "DEL")).toEqual(["pod-1"]);
  expect(await containers("--failed")).toEqual(["pod-3"]);
  expect(await containers("--limit", "1")).toEqual(["pod-3"]);
  const { stdout } = await node.warren("events", "lab");
  expect(stdout).toMatch(/^TIME +VERB +PLUGIN +NETWORK +CONTAINER +IFNAME +ADDRESSES +MS +OUTCOME\n/);
  expect((await node.warren("events", "nobody")).stdout).toBe("no calls\n");
  const wrong = await node.warren("events", "--limit", "0");
  expect([wrong.exitCode, wrong.stderr]).toEqual([
    2,
    expect.stringContaining("whole number from 1 to 999999"),
  ]);
});

test("--follow tells each call when it has ended", async () => {
  using node = new Node();
  await node.call("ADD", "pod-1");
  const child = Bun.spawn([WARREN, "events", "--follow", "--json", "--data-dir", node.dataDir], {
    stdout: "pipe",
    stderr: "inherit",
  });
  try {
    const reader = child.stdout.getReader();
    let text = "";
    const until = async (lines: number) => {
      while (text.split("\n").length <= lines) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`it ended after ${text}`);
        text += new TextDecoder().decode(value);
      }
      return text
        .trimEnd()
        .split("\n")
        .map((line): Call => JSON.parse(line));
    };
    expect(await until(1)).toMatchObject([{ container: "pod-1" }]);
    await node.call("ADD", "pod-2");
    expect(await until(2)).toMatchObject([{ container: "pod-1" }, { container: "pod-2" }]);
    await node.call("STATUS", "");
    await until(3);
    await node.call("STATUS", "");
    expect((await until(4)).map(({ verb }) => verb)).toEqual(["ADD", "ADD", "STATUS", "STATUS"]);
  } finally {
    // Ctrl-C is how it is meant to end
    child.kill("SIGINT");
    expect(await child.exited).toBe(0);
    await child.exited;
  }
});

test("show tells a container's whole life, also when it is over", async () => {
  await using sandbox = await Sandbox.create();
  const netns = await sandbox.addNetns("pod1");
  await sandbox.text(["mkdir", "conf"]);
  const dataDir = `${sandbox.directory}/store`;
  const plugins = [
    {
      type: "warren-bridge",
      bridge: "br0",
      isGateway: true,
      ipam: { type: "warren-ipam", dataDir, subnet: "10.1.0.0/24" },
    },
    { type: "warren-tuning", dataDir, mtu: 1400 },
  ];
  await Bun.write(
    `${sandbox.directory}/conf/lab.conflist`,
    JSON.stringify({ cniVersion: "1.1.0", name: "lab", plugins }),
  );
  const env = { NETCONFPATH: `${sandbox.directory}/conf`, CNI_PATH: PLUGIN_FOLDER };
  const warren = (...args: string[]) => sandbox.text([WARREN, ...args], { env });
  await warren("add", "lab", "pod1");
  await warren("check", "lab", "pod1");
  await warren("del", "lab", "pod1");
  const [first] = JSON.parse(await warren("events", "--json", "--data-dir", dataDir));
  const shown = JSON.parse(await warren("show", first.container, "--json", "--data-dir", dataDir));
  expect([shown.attachments, shown.leases]).toEqual([[], []]);
  const life = shown.calls.map(({ verb, plugin, addresses, outcome }: Call) => [
    verb,
    plugin,
    addresses,
    outcome,
  ]);
  // the delegate has no row of its own: it is part of the bridge's call
  expect(life).toEqual(
    [
      ["ADD", "bridge"],
      ["ADD", "tuning"],
      ["CHECK", "bridge"],
      ["CHECK", "tuning"],
      ["DEL", "tuning"],
      ["DEL", "bridge"],
    ].map((call) => [...call, "10.1.0.2/24", "ok"]),
  );
  expect(shown.calls[0].netns).toBe(netns.replace("/run", "/var/run"));
  const text = await warren("show", first.container.slice(0, 12), "--data-dir", dataDir);
  expect(text).toMatch(/^TIME +VERB +PLUGIN +NETWORK +IFNAME +ADDRESSES +MS +OUTCOME\n/);
});

describe("W3C trace context", () => {
  const TRACE = "0af7651916cd43dd8448eb211c80319c";
  const PARENT = "b7ad6b7169203331";
  const CONTEXT = {
    TRACEPARENT: `00-${TRACE}-${PARENT}-01`,
    TRACESTATE: "vendor=value",
    BAGGAGE: "tenant=7",
  };

  test("is remembered with the call", async () => {
    using node = new Node();
    await node.call("ADD", "pod-1", node.config(), CONTEXT);
    await node.call("ADD", "pod-2", node.config(), { ...CONTEXT, TRACEPARENT: "wrong" });
    await node.call("ADD", "pod-3");
    const [first, second, third] = await node.events();
    expect(first).toMatchObject({
      traceId: TRACE,
      parentSpanId: PARENT,
      spanId: expect.stringMatching(/^[0-9a-f]{16}$/),
      traceState: "vendor=value",
      baggage: "tenant=7",
    });
    // a state without a trace belongs to nothing; baggage is a matter of its own
    expect(second).toMatchObject({ baggage: "tenant=7" });
    for (const key of ["traceId", "spanId", "traceState"]) expect(second).not.toHaveProperty(key);
    for (const key of ["traceId", "baggage"]) expect(third).not.toHaveProperty(key);
  });

  test("is passed to a delegate with the id of this call's span", async () => {
    await using sandbox = await Sandbox.create();
    await sandbox.addNetns("pod1");
    const script = `#!/bin/sh
cat >/dev/null
echo "$CNI_COMMAND $TRACEPARENT $TRACESTATE $BAGGAGE" >> ${sandbox.directory}/seen
[ "$CNI_COMMAND" != ADD ] || echo '{"cniVersion":"1.1.0","ips":[{"address":"10.1.0.2/24"}]}'
`;
    const delegate = join(sandbox.directory, "foreign-ipam");
    writeFileSync(delegate, script);
    chmodSync(delegate, 0o755);
    const dataDir = `${sandbox.directory}/store`;
    const config = {
      cniVersion: "1.1.0",
      name: "lab",
      type: "warren-bridge",
      bridge: "br0",
      dataDir,
      ipam: { type: "foreign-ipam" },
    };
    const about = {
      ...{ CNI_CONTAINERID: "pod-1", CNI_NETNS: "/run/netns/pod1", CNI_IFNAME: "eth0" },
      ...{ CNI_PATH: `${PLUGIN_FOLDER}:${sandbox.directory}`, ...CONTEXT },
    };
    const plugin = [join(PLUGIN_FOLDER, "warren-bridge")];
    const call = (verb: string, more: Record<string, string> = {}) =>
      sandbox.text(plugin, { env: { CNI_COMMAND: verb, ...about, ...more }, stdin: JSON.stringify(config) });
    await call("ADD");
    await call("DEL", { TRACEPARENT: "not one of ours" });
    const [{ spanId }] = JSON.parse(await sandbox.text([WARREN, "events", "--json", "--data-dir", dataDir]));
    // what is no context that we know is not ours to change
    expect(readFileSync(join(sandbox.directory, "seen"), "utf8")).toBe(
      `ADD 00-${TRACE}-${spanId}-01 vendor=value tenant=7\nDEL not one of ours vendor=value tenant=7\n`,
    );
  });
});

test("the page about the journal names every command and every key", async () => {
  const page = await Bun.file(resolve(import.meta.dir, "../../docs/events.md")).text();
  using node = new Node();
  await node.call("ADD", "pod-1", node.config(), {
    TRACEPARENT: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`,
    TRACESTATE: "a=b",
    BAGGAGE: "c=d",
  });
  const [event] = await node.events();
  for (const key of Object.keys(event ?? {})) expect(page).toContain(`\`${key}\``);
});
