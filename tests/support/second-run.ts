// Tests that call our own code on the kernel: they run in a second `bun test` of their file, started by unshare in network
// and mount namespaces of its own, so that nothing in them can touch the machine's own.
import { beforeAll } from "bun:test";
import { readlinkSync } from "node:fs";
import { tools } from "../../scripts/tools.ts";
import { isRoot, testWith } from "./sandbox.ts";

const OUTSIDE = process.env.WARREN_TEST_OUTSIDE_NETNS;

/**
 * Runs `tests` of the test file `path` in namespaces of their own, in which the shell has run `setUp`; a pod's namespace
 * made there by `ip netns` is at /run/netns.
 */
export function inSecondRun(path: string, name: string, setUp: string, tests: () => void): void {
  if (OUTSIDE === undefined) {
    testWith(tools.program("ip"))(
      name,
      async () => {
        const flags = ["--net", "--mount", ...(isRoot ? [] : ["--map-root-user"])];
        const bun = [process.execPath, "--config=/dev/null", "test", path];
        const child = Bun.spawn(["unshare", ...flags, ...bun], {
          env: { ...process.env, WARREN_TEST_OUTSIDE_NETNS: readlinkSync("/proc/self/ns/net") },
          stdout: "pipe",
          stderr: "pipe",
        });
        const [stdout, stderr] = await Promise.all([
          new Response(child.stdout).text(),
          new Response(child.stderr).text(),
        ]);
        if ((await child.exited) !== 0) throw new Error(`${stdout}${stderr}`);
      },
      60_000,
    );
    return;
  }
  // before anything else: this process must not be in the namespace that started it
  if (readlinkSync("/proc/thread-self/ns/net") === OUTSIDE) throw new Error("not in a namespace of its own");
  beforeAll(() => shell(`mount -t tmpfs tmpfs /run\nip link set lo up\n${setUp}`));
  tests();
}

/** Runs commands in a shell and returns what they print; throws with their own words. */
export function shell(commands: string): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["sh", "-ec", commands]);
  if (exitCode !== 0) throw new Error(`${stderr}${stdout}`);
  return stdout.toString();
}
