// Every program that is executed on this machine, as it happens, and how it ends. The kernel tells that to the machine's
// own administrator only: not inside a container, and not to a user who is root of nothing but his own namespace.
import { NetlinkListener } from "../../netlink/listener.ts";
import {
  PROCESS_EVENTS,
  PROCESS_FILTER,
  type ProcessEvent,
  processEvents,
  subscription,
} from "../../netlink/process-events.ts";
import { OpenFlag, openFile, statFile } from "../../sys/files.ts";
import { isSystemError } from "../../sys/libc.ts";
import { inNetworkNamespace } from "../../sys/namespace.ts";
import { effectiveUser } from "../../sys/process.ts";

export type { ProcessEvent };

/** Inodes of the namespaces that the machine starts with (linux/proc_ns.h). */
const INITIAL = { pid: 0xefff_fffcn, user: 0xefff_fffdn } as const;
const ANSWER_LIMIT_MS = 1000;
/** Newer kernels tell everybody, but what a program was called with only root may read of others' programs. */
const NOT_ROOT = [
  "this user may not watch the programs of others",
  "run it as root (CAP_NET_ADMIN)",
] as const;

/** Why processes can't be watched here. */
export class ProcessWatchError extends Error {
  override readonly name = "ProcessWatchError";

  constructor(
    message: string,
    /** What the operator can do about it. */
    readonly cure: string,
    options?: { readonly cause?: unknown },
  ) {
    super(message, options);
  }
}

/** The events of a machine's processes; closed by `using`. */
export class ProcessWatch implements Disposable {
  readonly #listener: NetlinkListener;
  #sequence = 0;

  private constructor(listener: NetlinkListener) {
    this.#listener = listener;
  }

  /** Begins to listen; throws ProcessWatchError where that is not possible. */
  static open(): ProcessWatch {
    for (const [kind, inode] of Object.entries(INITIAL)) {
      if (statFile(`/proc/self/ns/${kind}`)?.inode === inode) continue;
      throw new ProcessWatchError(
        `the kernel tells of processes only in the machine's own ${kind} namespace, and this is another one`,
        "run it on the machine itself, not in a container",
      );
    }
    if (effectiveUser() !== 0) throw new ProcessWatchError(...NOT_ROOT);
    try {
      return ProcessWatch.#begun(listen());
    } catch (error) {
      if (!isSystemError(error, "ECONNREFUSED")) throw refusal(error);
    }
    // the kernel answers sockets of the machine's own network namespace only: process 1 is in it
    try {
      using machine = openFile("/proc/1/ns/net", OpenFlag.readOnly);
      return ProcessWatch.#begun(inNetworkNamespace(machine.fd, "the machine's network namespace", listen));
    } catch (error) {
      throw refusal(error);
    }
  }

  /** Waits until there are events, at most so long. */
  wait(timeoutMs: number): boolean {
    return this.#listener.wait(timeoutMs);
  }

  /** Returns what has come; "lost" where events were lost before, undefined where nothing has come. */
  next(): readonly ProcessEvent[] | "lost" | undefined {
    const heard = this.#listener.next();
    if (heard === undefined) return undefined;
    return heard.kind === "lost" ? "lost" : processEvents(heard.bytes);
  }

  static #begun(listener: NetlinkListener): ProcessWatch {
    const watch = new ProcessWatch(listener);
    try {
      watch.#begin();
      return watch;
    } catch (error) {
      listener[Symbol.dispose]();
      throw error;
    }
  }

  /** The kernel answers a listener whom it does not refuse; in a namespace of pids or users it just says nothing. */
  #begin(): void {
    this.#listener.send(subscription("listen", ++this.#sequence));
    const deadline = Date.now() + ANSWER_LIMIT_MS;
    while (Date.now() < deadline) {
      this.#listener.wait(ANSWER_LIMIT_MS / 10);
      const events = this.next();
      if (events === undefined || events === "lost") continue;
      const answer = events.find((event) => event.kind === "acknowledged");
      if (answer === undefined) continue;
      if (answer.errno === 0) return;
      throw new ProcessWatchError(
        `the kernel refuses to tell of processes (errno ${answer.errno})`,
        "run it as root, on the machine itself",
      );
    }
    throw new ProcessWatchError(
      "the kernel does not answer who asks about processes",
      "use recorders instead",
    );
  }

  [Symbol.dispose](): void {
    try {
      this.#listener.send(subscription("ignore", ++this.#sequence));
    } catch {
      // the kernel forgets who is gone, sooner or later
    }
    this.#listener[Symbol.dispose]();
  }
}

function listen(): NetlinkListener {
  const listener = NetlinkListener.open("connector", [PROCESS_EVENTS]);
  listener.filter(PROCESS_FILTER);
  return listener;
}

/** Returns why it is not possible; throws what is no refusal. */
function refusal(error: unknown): ProcessWatchError {
  if (error instanceof ProcessWatchError) return error;
  const cause = { cause: error };
  if (isSystemError(error, "EPERM")) {
    return new ProcessWatchError(
      "this user may not watch processes",
      "run it as root (CAP_NET_ADMIN)",
      cause,
    );
  }
  if (isSystemError(error, "EACCES")) {
    return new ProcessWatchError(
      "the kernel tells of processes only in the machine's own network namespace, and this is another one",
      "run it outside of namespaces",
      cause,
    );
  }
  if (isSystemError(error, "EPROTONOSUPPORT", "ECONNREFUSED", "ENOENT")) {
    const missing = "the kernel has no process events (CONFIG_PROC_EVENTS)";
    return new ProcessWatchError(missing, "use recorders instead", cause);
  }
  throw error;
}
