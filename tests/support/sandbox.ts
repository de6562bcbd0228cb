// A throwaway host for a test: its own network and mount namespaces with nothing in them but a loopback that is
// up, an empty /run and an empty /var/lib. A shell holds them and waits on a pipe from this process, so that they
// vanish with it, however it ends, and the sandbox's temporary directory too. Nothing reaches the machine's own
// namespaces.
import { test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** The executable under test; WARREN_EXECUTABLE names another one than the one just built. */
export const WARREN = process.env.WARREN_EXECUTABLE ?? resolve(import.meta.dir, "../../dist/bin/warren");

/**
 * Returns `test` if everything that is needed is there. If not, the test is skipped with the reason in its name, or
 * fails with it where CI is set: there a missing tool is a defect of the set-up.
 */
export function testWith(...needed: readonly { readonly reason?: string | undefined }[]) {
  const reason = needed.find((one) => one.reason !== undefined)?.reason;
  return (name: string, run: () => Promise<void>, timeoutMs?: number): void => {
    if (reason === undefined) test(name, run, timeoutMs);
    else if (process.env.CI === undefined) test.skip(`${name} (skipped: ${reason})`, () => undefined);
    else {
      test(name, () => {
        throw new Error(reason);
      });
    }
  };
}

/** What a command left behind. */
export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How to run a command. */
export interface RunOptions {
  /** Variables beside (or, if undefined, instead of) those of the test's own environment. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly stdin?: string | Uint8Array;
  /** The working directory; the sandbox's own temporary one by default. */
  readonly cwd?: string;
}

/** True if this process is root; otherwise every sandbox lives in a user namespace of its own. */
export const isRoot = process.getuid?.() === 0;

const SET_UP = `
set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir -p /run/netns /run/lock /var/lib/cni
mount -t sysfs sysfs /sys 2>/dev/null || true
ip link set lo up
echo ready
cat >/dev/null
rm -rf "$1"
`;

/** A private host. Make one with `await using host = await Sandbox.create()`. */
export class Sandbox implements AsyncDisposable {
  private constructor(
    private readonly holder: Bun.Subprocess<"pipe", "pipe", "pipe">,
    /** A directory that is deleted with the sandbox. */
    readonly directory: string,
  ) {}

  /** Makes the namespaces; throws with the shell's own words if the machine does not allow it. */
  static async create(): Promise<Sandbox> {
    const directory = mkdtempSync(join(tmpdir(), "warren-test-"));
    const flags = ["--net", "--mount", "--propagation", "private", ...(isRoot ? [] : ["--map-root-user"])];
    const holder = Bun.spawn(["unshare", ...flags, "sh", "-c", SET_UP, "sh", directory], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    const sandbox = new Sandbox(holder, directory);
    const first = await holder.stdout.getReader().read();
    if (new TextDecoder().decode(first.value).trim() === "ready") return sandbox;
    const problem = await new Response(holder.stderr).text();
    await sandbox[Symbol.asyncDispose]();
    throw new Error(`no sandbox can be made here: ${problem.trim()}`);
  }

  /** Makes them with pods of these names, which are attached to nothing yet. */
  static async withPods(...names: readonly string[]): Promise<Sandbox> {
    const sandbox = await Sandbox.create();
    for (const name of names) await sandbox.addNetns(name);
    return sandbox;
  }

  /** The process that holds the namespaces. */
  get pid(): number {
    return this.holder.pid;
  }

  /** Returns the command line that runs `command` inside, for tests that spawn by themselves. */
  inside(command: readonly string[], cwd = this.directory): string[] {
    const user = isRoot ? [] : ["--user", "--preserve-credentials"];
    return [
      "nsenter",
      "--target",
      `${this.pid}`,
      ...user,
      "--net",
      "--mount",
      `--wdns=${cwd}`,
      "--",
      ...command,
    ];
  }

  /** Starts a command inside and returns the process, for tests that signal or talk to it. */
  start(command: readonly string[], options: RunOptions = {}): Bun.Subprocess<Blob, "pipe", "pipe"> {
    return Bun.spawn(this.inside(command, options.cwd), {
      env: { ...process.env, ...options.env },
      stdin: new Blob([options.stdin ?? ""]),
      stdout: "pipe",
      stderr: "pipe",
    });
  }

  /** Runs a command inside to its end. */
  async run(command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const child = this.start(command, options);
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return { exitCode: await child.exited, stdout, stderr };
  }

  /** Runs a command that must succeed and returns its output as text. */
  async text(command: readonly string[], options: RunOptions = {}): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(command, options);
    if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit code ${exitCode}: ${stderr}${stdout}`);
    return stdout;
  }

  /** Runs a command that must succeed and returns the JSON that it prints. */
  async json(command: readonly string[], options: RunOptions = {}): Promise<unknown> {
    return JSON.parse(await this.text(command, options));
  }

  /** Makes a pod's namespace by `ip netns` and returns its path. */
  async addNetns(name: string): Promise<string> {
    await this.text(["ip", "netns", "add", name]);
    return `/run/netns/${name}`;
  }

  /** Runs a command inside a pod's namespace. */
  inNetns(name: string, command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return this.run(["ip", "netns", "exec", name, ...command], options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.holder.stdin.end();
    await this.holder.exited;
    rmSync(this.directory, { recursive: true, force: true });
  }
}
