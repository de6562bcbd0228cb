// Generated calls (fuzzed-calls.ts), each made in this process through the real runner on a real kernel and store, and
// then judged: one document or none, no defect of ours, no hang, and after an ADD that failed, or was DELeted again,
// everything as before. Run as a program inside a sandbox: `fuzz SEED COUNT DIRECTORY PLUGINS`.
import { Database } from "bun:sqlite";
import { existsSync, readdirSync } from "node:fs";
import fc from "fast-check";
import { ErrorCode } from "../../src/cni/error.ts";
import type { Plugin } from "../../src/cni/plugin.ts";
import { runPlugin } from "../../src/cni/runner.ts";
import { loadPlugin } from "../../src/plugins/index.ts";
import { pluginCalled } from "../../src/plugins/names.ts";
import { WORLD } from "../../src/world.ts";
import { type FuzzedCall, fuzzedCall, type Grounds } from "./fuzzed-calls.ts";

/** A call takes milliseconds; what others do to a busy machine is not counted, unless it lasts for a minute. */
const HANG_CPU_MS = 5000;
const HANG_MS = 60_000;

interface Said {
  readonly exitCode: 0 | 1;
  readonly stdout: string;
  readonly stderr: string;
}

const [seed = "0", count = "1000", directory = "/nowhere", pluginFolder = "/nowhere"] = process.argv.slice(2);
const grounds: Grounds = { directory, netns: "/run/netns/pod1", pluginFolder };

async function pluginOf(file: string): Promise<Plugin | undefined> {
  const name = pluginCalled(file);
  return name === undefined ? undefined : loadPlugin(name);
}

async function make(call: FuzzedCall): Promise<Said> {
  const plugin = await pluginOf(call.plugin);
  if (plugin === undefined) throw new Error(`there is no plugin ${call.plugin}`);
  const said = { stdout: "", stderr: "" };
  const exitCode = await runPlugin(plugin, {
    ...WORLD,
    variables: call.env,
    readStdin: () => call.stdin,
    writeStdout: (text) => {
      said.stdout += text;
    },
    writeStderr: (text) => {
      said.stderr += text;
    },
    ownPlugin: async (file) =>
      file.startsWith(`${pluginFolder}/`) ? pluginOf(file.slice(pluginFolder.length + 1)) : undefined,
  });
  return { exitCode, ...said };
}

const COUNTS =
  "SELECT (SELECT count(*) FROM leases WHERE released_at_ms IS NULL), (SELECT count(*) FROM attachments), (SELECT count(*) FROM objects)";
const databases = new Map<string, Database>();

function rowsIn(dataDir: string): string {
  const file = `${dataDir}/warren.db`;
  if (!existsSync(file)) return "0,0,0";
  const database = databases.get(file) ?? new Database(file, { readwrite: true, create: false });
  databases.set(file, database);
  return String(database.query(COUNTS).values()[0]);
}

/** What a call could leave: rows of the stores, and interfaces; bridges and what stands on them stay. */
function traces(): string {
  const links = readdirSync("/sys/class/net").filter((name) => /^(veth|bwp|mac)/.test(name));
  return JSON.stringify([rowsIn(`${directory}/store`), rowsIn("/var/lib/cni/warren"), links]);
}

/** Throws what is wrong with an answer. */
function judge({ env }: FuzzedCall, { exitCode, stdout }: Said): void {
  if (exitCode === 1) {
    const { code, msg } = JSON.parse(stdout);
    if (typeof code !== "number" || typeof msg !== "string" || msg === "")
      throw new Error("no error document");
    if (code === ErrorCode.internal) throw new Error("a defect of ours");
  } else if (stdout !== "") {
    if (env.CNI_COMMAND !== "ADD" && env.CNI_COMMAND !== "VERSION") throw new Error("something was printed");
    if (typeof JSON.parse(stdout) !== "object") throw new Error("no result");
  } else if (env.CNI_COMMAND === "ADD" || env.CNI_COMMAND === "VERSION")
    throw new Error("nothing was printed");
}

async function endure(call: FuzzedCall): Promise<void> {
  const before = traces();
  const beganAtMs = performance.now();
  const beganCpu = process.cpuUsage();
  const said = await make(call);
  const { user, system } = process.cpuUsage(beganCpu);
  if ((user + system) / 1000 > HANG_CPU_MS || performance.now() - beganAtMs > HANG_MS)
    throw new Error("it hung");
  try {
    judge(call, said);
    if (said.exitCode === 0 && call.env.CNI_COMMAND === "ADD") {
      const removal = { ...call, env: { ...call.env, CNI_COMMAND: "DEL" } };
      const removed = await make(removal);
      if (removed.exitCode !== 0) throw new Error(`its DEL failed: ${removed.stdout}`);
    }
    if (traces() !== before) throw new Error(`it left ${traces()}, before it was ${before}`);
  } catch (error) {
    throw new Error(`${String(error)}\n${said.stdout.slice(0, 2000)}${said.stderr.slice(0, 500)}`, {
      cause: error,
    });
  }
}

/** A failing call as text, so that it can be made again by hand. */
function describe({ plugin, env, stdin }: FuzzedCall): string {
  return `${plugin} ${JSON.stringify(env)}\n${new TextDecoder().decode(stdin).slice(0, 3000)}`;
}

const result = await fc.check(
  fc.asyncProperty(fuzzedCall(grounds), (call) => endure(call)),
  { seed: Number(seed), numRuns: Number(count), maxSkipsPerRun: 0 },
);
const failed = result.counterexample?.[0];
const report =
  failed === undefined ? "" : `seed ${seed}: ${describe(failed)}\n${String(result.errorInstance)}`;
await Bun.write(Bun.stdout, JSON.stringify({ runs: result.numRuns, report }));
process.exit(0);
