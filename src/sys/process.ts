// What a process is and how it ends: leaving without Bun's exit work, the boot it lives in, its executable.
import { dlopen } from "bun:ffi";
import { type FileStatus, readText, statFile } from "./files.ts";
import { checkedInt, LIBC, libc, memory } from "./libc.ts";

/**
 * Ends the process at once with `code`. Bun's own exit closes every open database, which costs 2 to 4 fsyncs;
 * whoever calls this has bounded the write-ahead log himself (store/sqlite.ts).
 */
export function exitNow(code: number): never {
  libc._exit(checkedInt(code, "exit code"));
  throw new Error("_exit returned");
}

const SCHED_RR = 2;
const SCHED_RESET_ON_FORK = 0x4000_0000;

/**
 * Lets this thread run before every ordinary program as soon as it has something to do, as one of real time (sched(7)); its
 * children are ordinary ones. It must wait for most of the time. Returns false where the kernel does not allow it.
 */
export function takePrecedence(): boolean {
  const { sched_setscheduler: setScheduler } = dlopen(LIBC, {
    sched_setscheduler: { args: ["i32", "i32", "buffer"], returns: "i32" },
  } as const).symbols;
  // struct sched_param: the lowest of the priorities of real time
  const priority = memory(4);
  priority[0] = 1;
  return setScheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, priority) === 0;
}

let bootId: string | undefined;

/** Returns the kernel's identifier of this boot (a UUID); it changes with every boot (random(4)). */
export function currentBootId(): string {
  bootId ??= readText("/proc/sys/kernel/random/boot_id").trim();
  return bootId;
}

const PRIO_PROCESS = 0;
const THIS_THREAD = 0;
/** Almost as far in front as it goes (sched(7)). */
const FIRST = -15;

/**
 * Lets this thread go before others for as long as they wait for it, and returns what ends that. Without the right to it
 * (CAP_SYS_NICE) nothing changes. What is started meanwhile would inherit it, so nothing may be.
 */
export function precedence(): Disposable {
  const usual = libc.getpriority(PRIO_PROCESS, THIS_THREAD);
  if (usual > FIRST) libc.setpriority(PRIO_PROCESS, THIS_THREAD, FIRST);
  return {
    [Symbol.dispose]: () => {
      if (usual > FIRST) libc.setpriority(PRIO_PROCESS, THIS_THREAD, usual);
    },
  };
}

/** Returns the status of the running executable, so that another path can be compared with it. */
export function ownExecutable(): FileStatus | undefined {
  return statFile("/proc/self/exe");
}

/** Returns the user whose rights this process has, by his number. */
export function effectiveUser(): number {
  return process.geteuid?.() ?? 0;
}

/** A process as records name it. */
export interface ProcessName {
  readonly pid: number;
  /** Its command line, the words parted by spaces; empty where it is gone or hidden. */
  readonly command: string;
}

/** Returns the process that started this one. */
export function parentProcess(): ProcessName {
  const pid = process.ppid;
  return { pid, command: commandOf(pid) };
}

/** Returns the command line of a process; empty where there is none. */
export function commandOf(pid: number): string {
  try {
    return readText(`/proc/${pid}/cmdline`).replace(/\0+$/, "").replaceAll("\0", " ");
  } catch {
    // it ended meanwhile, or /proc hides it
    return "";
  }
}

/** Returns the process that started another one; 0 where that is gone (proc_pid_stat(5)). */
export function parentOfProcess(pid: number): number {
  try {
    const status = readText(`/proc/${pid}/stat`);
    // the name in front, in parentheses, may have anything in it
    return Number(status.slice(status.lastIndexOf(")") + 2).split(" ")[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Returns the processes whose environment, as they were started with it, has the variable with that value. */
export function processesWith(variable: string, value: string): number[] {
  const wanted = `${variable}=${value}`;
  return [...new Bun.Glob("[0-9]*").scanSync({ cwd: "/proc", onlyFiles: false })].flatMap((pid) => {
    try {
      return readText(`/proc/${pid}/environ`).split("\0").includes(wanted) ? [Number(pid)] : [];
    } catch {
      // it ended meanwhile, or is somebody else's
      return [];
    }
  });
}
