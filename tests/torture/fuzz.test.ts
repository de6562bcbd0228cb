// A hundred thousand generated calls in one process, and some of them by exec: whatever comes in, one document or none
// comes out, in time, and nothing stays behind.
import { expect, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import { PLUGIN_FOLDER } from "../support/plugins.ts";
import { Sandbox } from "../support/sandbox.ts";
import { IS_FULL } from "./extent.ts";
import { fuzzedCall } from "./fuzzed-calls.ts";
import { remains } from "./remains.ts";

/** What is made per process: a process that has made many calls holds the memory of all of them. */
const CHUNK = 5_000;
const CHUNKS = IS_FULL ? 20 : 1;
const CALLS_A_CHUNK = IS_FULL ? CHUNK : 400;
const EXECUTIONS = IS_FULL ? 2_000 : 60;

/** Far more than a call takes on a busy machine. */
const HANG_SECONDS = "30";

const seed = Number(process.env.WARREN_TORTURE_SEED ?? Date.now() % 1_000_000);

async function hostFor(): Promise<Sandbox> {
  const sandbox = await Sandbox.create();
  await sandbox.addNetns("pod1");
  await sandbox.text(["sh", "-ec", "ip link add uplink type veth peer name far; mkdir -p leases/lab"]);
  return sandbox;
}

test(`generated calls get one document or none, and leave nothing (seed ${seed})`, async () => {
  for (let chunk = 0; chunk < CHUNKS; chunk++) {
    await using sandbox = await hostFor();
    const before = await remains(sandbox, join(sandbox.directory, "store"), ["pod1"]);
    const program = [process.execPath, "--config=/dev/null", join(import.meta.dir, "fuzz.ts")];
    const text = await sandbox.text([
      ...[...program, `${seed + chunk}`, `${CALLS_A_CHUNK}`],
      ...[sandbox.directory, PLUGIN_FOLDER],
    ]);
    const { runs, report } = JSON.parse(text);
    expect(report).toBe("");
    expect(runs).toBe(CALLS_A_CHUNK);
    const after = await remains(sandbox, join(sandbox.directory, "store"), ["pod1"]);
    expect({ ...after, settings: [] }).toEqual({ ...before, settings: [] });
  }
}, 3_600_000);

test(`generated calls of the executable end in time, with one document or none (seed ${seed})`, async () => {
  await using sandbox = await hostFor();
  const grounds = { directory: sandbox.directory, netns: "/run/netns/pod1", pluginFolder: PLUGIN_FOLDER };
  for (const { plugin, env, stdin } of fc.sample(fuzzedCall(grounds), { seed, numRuns: EXECUTIONS })) {
    // nobody can put these into an environment
    const variables = Object.fromEntries(
      Object.entries(env).map(([name, value]) => [name, value.replaceAll("\0", "").toWellFormed()]),
    );
    const command = ["timeout", "-s", "KILL", HANG_SECONDS, `${PLUGIN_FOLDER}/${plugin}`];
    const { exitCode, stdout, stderr } = await sandbox.run(command, { env: variables, stdin });
    const what = `${plugin} ${JSON.stringify(variables)}\n${new TextDecoder().decode(stdin)}\n${stdout}${stderr}`;
    expect([0, 1], what).toContain(exitCode);
    const [document, code] = stdout === "" ? [undefined, 0] : [JSON.parse(stdout), JSON.parse(stdout).code];
    if (exitCode === 1)
      expect(document, what).toMatchObject({ code: expect.any(Number), msg: expect.any(String) });
    expect(code, what).not.toBe(199);
    if (exitCode !== 0 || variables.CNI_COMMAND !== "ADD") continue;
    const removed = await sandbox.run(command, { env: { ...variables, CNI_COMMAND: "DEL" }, stdin });
    expect(removed.exitCode, what).toBe(0);
  }
  const { rows, links } = await remains(sandbox, join(sandbox.directory, "store"), ["pod1"]);
  expect(Object.values(rows).flat()).toEqual([]);
  expect(links.filter((line) => /^ (veth|bwp)|eth0/.test(line))).toEqual([]);
}, 3_600_000);
