// A program run the way a runtime runs a plugin: started by posix_spawn with its config on standard input, waited for,
// and timed from the one to the other. Bun's own spawn would add two milliseconds of its own to each call, and so
// bring every ratio closer to 1 than it is.
import { dlopen, ptr } from "bun:ffi";
import { readFileSync, writeFileSync } from "node:fs";
import { LIBC, memory } from "../src/sys/libc.ts";

const { symbols: libc } = dlopen(LIBC, {
  posix_spawn: { args: ["buffer", "cstring", "buffer", "ptr", "buffer", "buffer"], returns: "i32" },
  posix_spawn_file_actions_init: { args: ["buffer"], returns: "i32" },
  posix_spawn_file_actions_addopen: { args: ["buffer", "i32", "cstring", "i32", "u32"], returns: "i32" },
  posix_spawn_file_actions_destroy: { args: ["buffer"], returns: "i32" },
  wait4: { args: ["i32", "buffer", "i32", "ptr"], returns: "i32" },
} as const);

const O_RDONLY = 0;
const O_WRONLY_CREAT_TRUNC = 0o1101;
/** Larger than glibc's and musl's posix_spawn_file_actions_t. */
const FILE_ACTIONS_BYTES = 256;

/** One run of a program. */
export interface Run {
  readonly file: string;
  readonly arguments?: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The file that is its standard input; what it prints goes to `output` and `${output}.err`. */
  readonly input: string;
  readonly output: string;
}

/** What became of a run. */
export interface Ended {
  /** From before the start until it was known to have ended. */
  readonly ms: number;
  readonly exitCode: number;
}

/** Strings as `char *[]`, with what keeps their memory alive. */
function stringArray(values: readonly string[]): { pointers: BigUint64Array<ArrayBuffer>; kept: unknown[] } {
  const pointers = new BigUint64Array(new ArrayBuffer(8 * (values.length + 1)));
  const kept = values.map((value, index) => {
    const text = new TextEncoder().encode(`${value}\0`);
    const bytes = memory(text.length);
    bytes.set(text);
    pointers[index] = BigInt(ptr(bytes));
    return bytes;
  });
  return { pointers, kept };
}

interface Prepared {
  readonly run: Run;
  start(): number;
}

/** Does all that can be done before the clock starts. */
function prepare(run: Run): Prepared {
  const args = stringArray([run.file, ...(run.arguments ?? [])]);
  const env = stringArray(Object.entries(run.env).map(([name, value]) => `${name}=${value}`));
  const actions = memory(FILE_ACTIONS_BYTES);
  libc.posix_spawn_file_actions_init(actions);
  const paths = [run.input, run.output, `${run.output}.err`].map((path) => Buffer.from(`${path}\0`));
  for (const [fd, path] of paths.entries()) {
    const flags = fd === 0 ? O_RDONLY : O_WRONLY_CREAT_TRUNC;
    libc.posix_spawn_file_actions_addopen(actions, fd, path, flags, 0o600);
  }
  const file = Buffer.from(`${run.file}\0`);
  const pid = new Int32Array(new ArrayBuffer(4));
  const keep = [args, env, paths];
  return {
    run,
    start() {
      const errno = libc.posix_spawn(pid, file, actions, null, args.pointers, env.pointers);
      if (errno !== 0) throw new Error(`${run.file} can't be started: errno ${errno}`);
      libc.posix_spawn_file_actions_destroy(actions);
      if (keep.length === 0) throw new Error("unreachable: it only keeps the memory alive");
      return pid[0] ?? 0;
    },
  };
}

/** Waits for one child (-1: any) and returns its number and exit code. */
function waitFor(pid: number): { readonly pid: number; readonly exitCode: number } {
  const status = new Int32Array(new ArrayBuffer(4));
  const ended = libc.wait4(pid, status, 0, null);
  if (ended < 0) throw new Error(`there is no child ${pid} to wait for`);
  const word = status[0] ?? 0;
  return { pid: ended, exitCode: (word & 0x7f) === 0 ? (word >> 8) & 0xff : 128 + (word & 0x7f) };
}

/** Runs a program to its end. Whether it did its work is the caller's question (`assertDone`). */
export function timed(run: Run): Ended {
  const { start } = prepare(run);
  const startedAt = Bun.nanoseconds();
  const { exitCode } = waitFor(start());
  return { ms: (Bun.nanoseconds() - startedAt) / 1e6, exitCode };
}

/** Starts all programs at once; returns for each how long it took from the common start, in the order of ending. */
export function timedTogether(runs: readonly Run[]): readonly (Ended & { readonly run: Run })[] {
  const prepared = runs.map(prepare);
  const byPid = new Map<number, Run>();
  const startedAt = Bun.nanoseconds();
  for (const one of prepared) byPid.set(one.start(), one.run);
  return runs.map(() => {
    const { pid, exitCode } = waitFor(-1);
    const ms = (Bun.nanoseconds() - startedAt) / 1e6;
    const run = byPid.get(pid);
    if (run === undefined) throw new Error(`child ${pid} is none of this run`);
    return { run, ms, exitCode };
  });
}

/** Returns what the program printed; throws if it failed, with everything that it said. */
export function assertDone(run: Run, { exitCode }: Ended): string {
  const output = readFileSync(run.output, "utf8");
  if (exitCode === 0) return output;
  const what = `${run.file} ${run.env.CNI_COMMAND ?? ""}`;
  throw new Error(
    `${what} ended with ${exitCode}: ${output}${readFileSync(`${run.output}.err`, "utf8")}\n` +
      readFileSync(run.input, "utf8").slice(0, 500),
  );
}

/** Writes the standard input of a run; returns its path. */
export function writeInput(path: string, document: unknown): string {
  writeFileSync(path, JSON.stringify(document));
  return path;
}
