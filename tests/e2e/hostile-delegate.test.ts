// An IPAM plugin that is not ours can do anything: say nothing, flood us, die, or leave others behind. The call ends
// with one error that names it, holds only so much memory, and leaves no process and no trace.
import { expect, test } from "bun:test";
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { leases, linkNames, PLUGIN_FOLDER, variables } from "../support/plugins.ts";
import { type Outcome, Sandbox, WARREN } from "../support/sandbox.ts";

const POD = { containerId: "pod-1", netns: "pod1" };

/** A host with an IPAM plugin `evil` that runs this script. */
async function hostWith(script: string): Promise<Sandbox> {
  const sandbox = await Sandbox.create();
  await sandbox.addNetns("pod1");
  const file = join(sandbox.directory, "evil");
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  return sandbox;
}

function configOf(sandbox: Sandbox) {
  const dataDir = join(sandbox.directory, "store");
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-bridge",
    bridge: "br0",
    isGateway: true,
    dataDir,
    ipam: { type: "evil" },
  };
}

function add(sandbox: Sandbox, prefix: readonly string[] = []): Promise<Outcome> {
  return sandbox.run([...prefix, "timeout", "-s", "KILL", "20", `${PLUGIN_FOLDER}/warren-bridge`], {
    env: variables("ADD", POD, `${sandbox.directory}:${PLUGIN_FOLDER}`),
    stdin: JSON.stringify(configOf(sandbox)),
  });
}

/** Returns the command lines of processes that carry a mark, but for the dead that nobody has waited for yet. */
function leftovers(mark: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
        const state = /^State:\s+(\w)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
        return line.includes(mark) && state !== "Z" ? [line] : [];
      } catch {
        return [];
      }
    });
}

/** Waits for what was told to go; a killed process takes a moment. */
async function expectNobodyLeft(mark: string): Promise<void> {
  for (let tries = 0; leftovers(mark).length > 0 && tries < 100; tries++) await Bun.sleep(20);
  expect(leftovers(mark)).toEqual([]);
}

const HOSTILE: readonly (readonly [what: string, script: string, code: number, words: string])[] = [
  ["says nothing", "exit 0", 106, "printed no result"],
  ["dies by a signal", "kill -SEGV $$", 106, "killed by SIGSEGV"],
  ["prints 100 MB", "head -c 100000000 /dev/zero", 106, "printed more than 16777216 bytes"],
  ["never stops printing", "exec yes", 106, "printed more than 16777216 bytes"],
  [
    "never stops, whoever is left to read it",
    "trap '' PIPE; while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done",
    106,
    "printed more than 16777216 bytes",
  ],
  ["lets a child print", "yes | cat", 106, "printed more than 16777216 bytes"],
  ["writes 100 MB of errors", "yes error | head -c 100000000 >&2; exit 1", 106, "exit status 1"],
  ["doesn't read its input", "exec 0</dev/null; echo '{'", 6, "is not JSON"],
  ["answers with a list of a million", "printf '['; yes 1, | head -n 1000000; printf '1]'", 6, "it is ["],
  ["answers in a deep nest", "yes [ | head -n 1000000 | tr -d '\\n'", 6, "is not JSON"],
  ["answers with NUL in an address", `printf '{"ips":[{"address":"10.0.0.2\\\\u0000/24"}]}'`, 6, "address"],
  ["answers with a path as interface", `printf '{"ips":[{"address":"../../etc/24"}]}'`, 6, "address"],
];

test.each(HOSTILE)(
  "an IPAM plugin that %s: one error, and nothing is left",
  async (_, script, code, words) => {
    await using sandbox = await hostWith(script);
    const { exitCode, stdout, stderr } = await add(sandbox);
    expect(exitCode).toBe(1);
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({ code, msg: expect.stringContaining(words) });
    // the error, and again for the DEL that takes the ADD back: not all that it wrote
    expect(stderr.length).toBeLessThan(4 << 20);
    expect(await linkNames(sandbox)).toEqual([]);
    expect(await leases(sandbox, join(sandbox.directory, "store"))).toEqual([]);
    await expectNobodyLeft(join(sandbox.directory, "evil"));
  },
  60_000,
);

/** Far above what a call needs, far below what is written. */
const MEMORY_BYTES = 400_000_000;

test("a gigabyte of errors is read and forgotten", async () => {
  await using sandbox = await hostWith("yes error | head -c 1000000000 >&2; exit 1");
  const child = sandbox.start([`${PLUGIN_FOLDER}/warren-bridge`], {
    env: variables("STATUS", undefined, `${sandbox.directory}:${PLUGIN_FOLDER}`),
    stdin: JSON.stringify(configOf(sandbox)),
  });
  await child.exited;
  expect(child.resourceUsage()?.maxRSS).toBeLessThan(MEMORY_BYTES);
}, 60_000);

test("an IPAM plugin that hangs is ended by the operator's time limit, with all that it started", async () => {
  const mark = `${1000 + (process.pid % 1000)}.${process.pid}`;
  await using sandbox = await hostWith(`sleep ${mark}`);
  await Bun.$`mkdir ${join(sandbox.directory, "conf")}`;
  const { type, ...plugin } = configOf(sandbox);
  const list = { cniVersion: "1.1.0", name: "lab", plugins: [{ type, ...plugin }] };
  await Bun.write(join(sandbox.directory, "conf/lab.conflist"), JSON.stringify(list));
  const { exitCode, stderr } = await sandbox.run(
    ["timeout", "-s", "KILL", "20", WARREN, "add", "lab", "pod1", "--timeout-ms", "1000"].concat(
      ...["--cni-conf-dir", "conf", "--cache-dir", "cache", "--cni-bin-dir"],
      `${sandbox.directory}:${PLUGIN_FOLDER}`,
    ),
  );
  expect(exitCode).toBe(1);
  expect(stderr).toContain("gave no answer within 1000 ms and was killed");
  await expectNobodyLeft(mark);
});
