// The steps of one run of the executable: its system calls in their order, and the same run again with a kill, or a
// halt, at one of them. strace does both from outside, so that the product carries no hooks that somebody else's
// environment could pull. A run is killed before the call happens: everything before it is done, and it is not.
import { readFileSync } from "node:fs";
import { tools } from "../../scripts/tools.ts";
import type { Config, Target } from "../support/plugins.ts";
import { PLUGIN_FOLDER, variables } from "../support/plugins.ts";
import type { Outcome, RunOptions, Sandbox } from "../support/sandbox.ts";

/** The program that all of this needs. */
export const strace = tools.program("strace");

/**
 * The calls by which a run reaches what outlives it: the kernel's network, files, and other processes. What it does in
 * memory that it shares with others (the index of SQLite's log) has no call; random kills reach that.
 */
const OUTWARD =
  "sendto,write,pwrite64,openat,unlink,mkdir,ftruncate,fallocate,rename,setns,unshare,mount,umount2,connect,flock,execve,exit_group";

/** A call of a run: its name, and how many of that name the same thread made up to it, and in all. */
export interface Step {
  readonly call: string;
  readonly ordinal: number;
  readonly total: number;
  /** As strace shows it, for messages. */
  readonly text: string;
  /** True where the kernel is only asked, or a file only read. */
  readonly looksOnly: boolean;
}

/** A run came to its end before the step: it had fewer of those calls than the one whose steps were recorded. */
export class StepMissed extends Error {
  /** The step that is as far from the end as the missed one was. */
  readonly instead: Step;

  constructor(step: Step, trace: string) {
    const { call, ordinal, total } = step;
    const made = callsOf(trace).filter((one) => one.call === call).length;
    super(`the run had ${made} of ${call}, and not ${total} as before`);
    this.instead = { ...step, ordinal: Math.max(1, ordinal - total + made), total: made };
  }
}

/** One call of a plugin. */
export interface PluginRun {
  readonly verb: string;
  readonly config: Config;
  readonly target?: Target | undefined;
}

/** Any other command line. */
export interface CommandRun {
  readonly command: readonly string[];
}

type Run = PluginRun | CommandRun;

/** Returns the command line of a run, and what it is given. */
function lineOf(run: Run): { readonly command: readonly string[]; readonly options: RunOptions } {
  if ("command" in run) return { command: run.command, options: {} };
  const { verb, config, target } = run;
  return {
    command: [`${PLUGIN_FOLDER}/${config.type}`],
    options: { env: variables(verb, target), stdin: JSON.stringify(config) },
  };
}

async function traced(
  sandbox: Sandbox,
  run: Run,
  options: readonly string[],
): Promise<{ readonly outcome: Outcome; readonly trace: string }> {
  const file = `${sandbox.directory}/trace`;
  const tracer = ["strace", "-f", "-o", file, "-e", `trace=${OUTWARD}`, ...options];
  const line = lineOf(run);
  const outcome = await sandbox.run([...tracer, ...line.command], line.options);
  return { outcome, trace: readFileSync(file, "utf8") };
}

/** strace knows some messages by name and others by number: RTM_GET* are 18, 22, 26, ... (linux/rtnetlink.h). */
function asksOnly(text: string): boolean {
  const types = [...text.matchAll(/nlmsg_type=(?:0x([0-9a-f]+)|([A-Z_<|0-9]+))/g)];
  return (
    types.length > 0 &&
    types.every(([, number, name]) => {
      if (name !== undefined) return /^RTM_GET|NFT_MSG_GET/.test(name);
      const type = Number.parseInt(number ?? "", 16);
      return type > 0x11 && type < 0x100 && type % 4 === 2;
    })
  );
}

function looksOnly(call: string, text: string): boolean {
  if (call === "openat") return !/O_CREAT|O_WRONLY|O_TRUNC/.test(text);
  if (call === "setns" || call === "flock" || call === "connect") return true;
  // the index of the log is made as long as it has to be, one byte at the end of each page
  if (call === "pwrite64") return / 1, \d+\)/.test(text);
  return call === "sendto" && asksOnly(text);
}

const START_UP = /^openat\(AT_FDCWD, "\/(etc|lib|lib64|usr|proc\/self|proc\/sys\/vm|sys)\//;

/** Returns the calls of the main thread. */
function callsOf(trace: string): { readonly call: string; readonly rest: string }[] {
  const lines = trace.split("\n");
  const main = lines[0]?.split(" ", 1)[0];
  return lines.flatMap((line) => {
    const [, thread, call = "", rest = ""] = /^(\d+)\s+(\w+)\((.*)$/.exec(line) ?? [];
    // a setting that the kernel can't write while others have its lock is written again and again, without a word to us
    return thread !== main || call === "execve" || rest.includes("ERESTARTNOINTR") ? [] : [{ call, rest }];
  });
}

/** Returns the steps of a trace from the first one that has to do with the call itself on. */
function stepsOf(trace: string): Step[] {
  const calls = callsOf(trace);
  const totals = Map.groupBy(calls, ({ call }) => call);
  const counts = new Map<string, number>();
  const steps = calls.map(({ call, rest }): Step => {
    const ordinal = (counts.get(call) ?? 0) + 1;
    counts.set(call, ordinal);
    const text = `${call}(${rest}`.slice(0, 140);
    return { call, ordinal, total: totals.get(call)?.length ?? 0, text, looksOnly: looksOnly(call, rest) };
  });
  // what the loader and the runtime open before they know what they are called for is the same in every program
  return steps.slice(steps.findIndex(({ text }) => !START_UP.test(text)));
}

/** Makes the call to its end and returns its steps and what came of it. */
export async function recordSteps(
  sandbox: Sandbox,
  run: Run,
): Promise<{ readonly outcome: Outcome; readonly steps: Step[] }> {
  const { outcome, trace } = await traced(sandbox, run, []);
  return { outcome, steps: stepsOf(trace) };
}

/**
 * Makes the call and kills it with SIGKILL at this step; throws StepMissed if it did not get there. Where the kernel restarts
 * a write strace counts more of them than were recorded, and the kill comes a little early, which is a step as well.
 */
export async function killAt(sandbox: Sandbox, run: Run, step: Step): Promise<void> {
  const inject = ["-e", `inject=${step.call}:signal=KILL:when=${step.ordinal}`];
  const { trace } = await traced(sandbox, run, inject);
  if (!trace.includes("+++ killed by SIGKILL +++")) throw new StepMissed(step, trace);
}

/** Also where dozens of others want the same two processors. */
const HALT_LIMIT_MS = 120_000;

/**
 * Makes the call, halts it after this step, does `meanwhile`, and lets it go on to its end. Throws StepMissed if it did not
 * get there.
 */
export async function haltAt(
  sandbox: Sandbox,
  run: PluginRun,
  step: Step,
  meanwhile: () => Promise<void>,
): Promise<Outcome> {
  const file = `${sandbox.directory}/trace`;
  const inject = `inject=${step.call}:signal=STOP:when=${step.ordinal}`;
  await Bun.write(file, "");
  const tracer = ["strace", "-f", "-o", file, "-e", `trace=${OUTWARD}`, "-e", inject];
  const line = lineOf(run);
  const child = sandbox.start([...tracer, ...line.command], line.options);
  const output = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const deadline = Date.now() + HALT_LIMIT_MS;
  const trace = () => readFileSync(file, "utf8");
  let halted = false;
  while (!halted && child.exitCode === null && child.signalCode === null && Date.now() < deadline) {
    await Bun.sleep(1);
    halted = trace().includes("--- stopped by SIGSTOP ---");
  }
  // the first line of a trace is the main thread's, whose number is the process's
  const main = Number.parseInt(trace(), 10);
  if (halted) {
    try {
      await meanwhile();
    } finally {
      process.kill(main, "SIGCONT");
    }
  } else if (main > 0 && child.exitCode === null && child.signalCode === null) process.kill(main, "SIGKILL");
  const [stdout, stderr] = await output;
  const exitCode = await child.exited;
  if (!halted) throw new StepMissed(step, trace());
  return { exitCode, stdout, stderr };
}
