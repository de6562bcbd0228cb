// The calls of plugins among everything that processes do: which one begins, which one it is part of, and which one has
// ended. Fed with events; it looks into /proc but waits for nothing, so that what comes next is not missed.
import { constants } from "node:os";
import type { ProcessEvent } from "../../net/watch/processes.ts";
import { type CallDetails, type CallRecord, type Caught, callVariables } from "../../record/call-record.ts";
import { statFile } from "../../sys/files.ts";
import { commandOf, parentOfProcess } from "../../sys/process.ts";
import { type CalledProgram, lookAt } from "./called-program.ts";

/** What a shell adds to a signal's number. */
const BY_SIGNAL = 128;

/** A call without what went through its standard streams, or with what was caught of that. */
export interface OutlinedCall extends CallRecord {
  readonly more: CallDetails;
  /** Undefined where nobody watches the streams. */
  readonly caught?: Caught;
}

/** A call that has begun, or has ended. */
export interface Sign {
  readonly kind: "began" | "ended";
  readonly call: OutlinedCall;
}

interface OpenCall {
  readonly record: OutlinedCall;
  readonly beganAtNs: bigint;
}

/** The calls that go on at the moment. */
export class LiveCalls {
  readonly #open = new Map<number, OpenCall>();
  /** How many programs were executed, and how many of them had ended before they could be looked at. */
  executed = 0;
  unseen = 0;

  /** Returns what the event tells of a call; undefined if nothing. */
  take(event: ProcessEvent): Sign | undefined {
    if (event.kind === "executed") return this.#begin(event.pid, event.atNs);
    return event.kind === "exited" ? this.#end(event) : undefined;
  }

  /** True if the process is a call that goes on. */
  has(pid: number): boolean {
    return this.#open.has(pid);
  }

  /** Forgets calls whose end was missed, and returns how many that are. */
  dropEnded(): number {
    const ended = [...this.#open.keys()].filter((pid) => statFile(`/proc/${pid}`) === undefined);
    for (const pid of ended) this.#open.delete(pid);
    return ended.length;
  }

  #begin(pid: number, atNs: bigint): Sign | undefined {
    this.executed++;
    // a wrapper that becomes the plugin is one call with it
    if (this.#open.has(pid)) return undefined;
    const parents = new Parents(pid, this.#open);
    const seen = lookAt(pid, () => parents.caller !== undefined);
    if (seen === "gone") this.unseen++;
    if (typeof seen === "string") return undefined;
    const record = outline(seen, parents);
    this.#open.set(pid, { record, beganAtNs: atNs });
    return { kind: "began", call: record };
  }

  #end({ pid, atNs, exitCode, signal }: ProcessEvent & { readonly kind: "exited" }): Sign | undefined {
    const open = this.#open.get(pid);
    if (open === undefined) return undefined;
    this.#open.delete(pid);
    const more = {
      ...open.record.more,
      durationMs: Number(atNs - open.beganAtNs) / 1e6,
      exitCode: exitCode ?? BY_SIGNAL,
      ...(signal === undefined ? {} : { signal: signalName(signal) }),
    };
    return { kind: "ended", call: { ...open.record, more } };
  }
}

/** Who has called a process, looked up when it is asked for: most programs are no plugins. */
class Parents {
  #pid: number | undefined;

  constructor(
    private readonly child: number,
    private readonly open: ReadonlyMap<number, OpenCall>,
  ) {}

  /** The process that has started it. */
  get pid(): number {
    this.#pid ??= parentOfProcess(this.child);
    return this.#pid;
  }

  /** The call that it is part of. */
  get caller(): OpenCall | undefined {
    let pid = this.pid;
    while (pid > 1 && !this.open.has(pid)) pid = parentOfProcess(pid);
    return this.open.get(pid);
  }
}

function outline({ pid, plugin, variables, network }: CalledProgram, parents: Parents): OutlinedCall {
  const caller = parents.caller?.record.more;
  return {
    variables: callVariables(variables),
    stdin: new Uint8Array(),
    more: {
      ...{ atMs: Date.now(), durationMs: 0, plugin, pid, exitCode: 0, stdout: "" },
      // what a plugin delegates is about the network that it works for
      network: network === "" ? (caller?.network ?? "") : network,
      parent: { pid: parents.pid, command: commandOf(parents.pid) },
      depth: caller === undefined ? 0 : (caller.depth ?? 0) + 1,
    },
  };
}

function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found?.[0] ?? `signal ${number}`;
}
