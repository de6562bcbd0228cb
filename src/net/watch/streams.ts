// What goes through the standard streams of plugins, copied by programs in the kernel (stream-programs.ts) while nobody
// stands between a plugin and its caller. What was not caught is known, and said: half a config is worse than none.
import {
  addToMap,
  attachToTracepoint,
  createMap,
  loadProgram,
  RingReader,
  readFromMap,
  removeFromMap,
} from "../../sys/bpf.ts";
import { readText, statFile } from "../../sys/files.ts";
import { type Descriptor, memory, SystemError } from "../../sys/libc.ts";
import {
  CHUNK_BYTES,
  copyingProgram,
  MACHINES,
  markingProgram,
  RECORD,
  RecordKind,
} from "./stream-programs.ts";

/** What waits to be looked at; it is looked at many times a second. */
const RING_BYTES = 16 << 20;
/** So many processes can be marked; above that the one that has done nothing for the longest time is forgotten. */
const MARKED_LIMIT = 16_384;
/** So much is kept of a stream: something that a plugin leaves running may write for ever. */
const KEPT_BYTES = 4 << 20;

/** Why streams can't be watched here. */
export class StreamWatchError extends Error {
  override readonly name = "StreamWatchError";

  constructor(
    message: string,
    /** What the operator can do about it. */
    readonly cure: string,
    options?: { readonly cause?: unknown },
  ) {
    super(message, options);
  }
}

/** What was caught of a stream. */
export interface CaughtStream {
  /** From its beginning up to the first byte that was missed. */
  readonly bytes: Uint8Array;
  /** How many bytes more went through it, as far as that is known. */
  readonly missedBytes: number;
  /** False if there may be others that nobody knows of. */
  readonly isWhole: boolean;
  /** True if its reader has come to its end. */
  readonly hasEnded: boolean;
}

/** What was caught of a process's standard input, output and error, in this order. */
export type CaughtStreams = readonly [stdin: CaughtStream, stdout: CaughtStream, stderr: CaughtStream];

/** One transfer, or a part of it, as the kernel's program writes it down. */
interface Transfer {
  readonly kind: number;
  readonly number: number;
  readonly total: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

class Stream {
  readonly #chunks: Uint8Array[] = [];
  #keptBytes = 0;
  #passedBytes = 0;
  #isBroken = false;
  #isRedirected = false;
  #hasEnded = false;

  /** Nothing after this is put behind what was caught before: what stands there would be taken for something else. */
  break(): void {
    this.#isBroken = true;
  }

  take({ kind, total, offset, bytes }: Transfer): void {
    if (kind === RecordKind.redirected) {
      this.#isRedirected = true;
      return;
    }
    // most close their streams before they end: only what moves after that is another stream's
    if (this.#isRedirected) this.break();
    if (offset === 0 && !this.#isRedirected) this.#passedBytes += total;
    if (total === 0) this.#hasEnded = true;
    if (kind !== RecordKind.copied || this.#keptBytes + bytes.length > KEPT_BYTES) this.break();
    if (this.#isBroken) return;
    this.#chunks.push(bytes);
    this.#keptBytes += bytes.length;
  }

  caught(): CaughtStream {
    const bytes = new Uint8Array(this.#keptBytes);
    let at = 0;
    for (const chunk of this.#chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    const missedBytes = this.#passedBytes - this.#keptBytes;
    const isWhole = !this.#isBroken && missedBytes === 0;
    return { bytes, missedBytes, isWhole, hasEnded: this.#hasEnded };
  }
}

/** The streams of one process, whose transfers are numbered across all three. */
class Streams {
  readonly #all = [new Stream(), new Stream(), new Stream()] as const;
  /** The last transfer, and how much of it has come. */
  #number = 0;
  #come = 0;
  #total = 0;

  take(descriptor: number, transfer: Transfer): void {
    const { number, offset, total, bytes } = transfer;
    const continues = number === this.#number && offset === this.#come && offset > 0;
    const follows = number === this.#number + 1 && offset === 0 && this.#come === this.#total;
    if (!continues && !follows) this.break();
    this.#number = number;
    // what was not copied has come as a number
    this.#come = transfer.kind === RecordKind.copied ? offset + bytes.length : total;
    this.#total = total;
    this.#all[descriptor === 0 ? 0 : descriptor === 1 ? 1 : 2].take(transfer);
  }

  /** Nobody knows what went through which of them. */
  break(): void {
    for (const stream of this.#all) stream.break();
  }

  /** `count` is how many transfers there were; undefined if nobody knows any more. */
  caught(count: number | undefined): CaughtStreams {
    if (count !== this.#number || this.#come !== this.#total) this.break();
    const [stdin, stdout, stderr] = this.#all;
    return [stdin.caught(), stdout.caught(), stderr.caught()];
  }
}

/** The standard streams of plugins and of what they run; closed by `using`, which takes the programs out of the kernel. */
export class StreamWatch implements Disposable {
  readonly #streams = new Map<number, Streams>();
  /** The key and the value of an entry among the marked processes. */
  readonly #key = memory(4);
  readonly #count = memory(8);

  private constructor(
    private readonly opened: DisposableStack,
    private readonly marked: Descriptor,
    private readonly ring: RingReader,
  ) {}

  /** Begins to watch; throws StreamWatchError where that is not possible. */
  static open(): StreamWatch {
    const machine = process.arch === "arm64" ? MACHINES.arm64 : MACHINES.x64;
    using stack = new DisposableStack();
    try {
      const marked = stack.use(
        createMap({ type: "least recently used", keyBytes: 4, valueBytes: 8, entries: MARKED_LIMIT }),
      );
      const recordBytes = RECORD.bytes + CHUNK_BYTES;
      const scratch = stack.use(
        createMap({ type: "per processor", keyBytes: 4, valueBytes: recordBytes, entries: 1 }),
      );
      const ring = stack.use(createMap({ type: "ring", keyBytes: 0, valueBytes: 0, entries: RING_BYTES }));
      const reader = stack.use(new RingReader(ring, RING_BYTES));
      const maps = { marked: marked.fd, scratch: scratch.fd, ring: ring.fd };
      const copying = stack.use(loadProgram("warren_copying", copyingProgram(maps, machine)));
      const marking = stack.use(loadProgram("warren_marking", markingProgram(maps, machine)));
      stack.use(attachToTracepoint("sys_exit", copying));
      stack.use(attachToTracepoint("sys_enter", marking));
      return new StreamWatch(stack.move(), marked, reader);
    } catch (error) {
      throw refusal(error);
    }
  }

  /** Takes what has gone through streams since the last time. */
  collect(): void {
    this.ring.drain((record) => {
      const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
      const field = (offset: number) => view.getUint32(offset, true);
      const pid = field(RECORD.process);
      let streams = this.#streams.get(pid);
      if (streams === undefined) {
        streams = new Streams();
        this.#streams.set(pid, streams);
      }
      streams.take(field(RECORD.descriptor), {
        kind: field(RECORD.kind),
        number: field(RECORD.number),
        total: field(RECORD.total),
        offset: field(RECORD.offset),
        bytes: record.slice(RECORD.bytes, RECORD.bytes + field(RECORD.length)),
      });
    });
  }

  /** Watches a plugin that the kernel's program may not have recognised; what has gone by until now is missed then. */
  include(pid: number): void {
    this.#count.fill(0);
    if (!addToMap(this.marked, this.#keyOf(pid), this.#count)) return;
    const streams = new Streams();
    streams.break();
    this.#streams.set(pid, streams);
  }

  /** Returns what was caught of a process that has ended; all of it has to be collected before. */
  caught(pid: number): CaughtStreams {
    const isMarked = readFromMap(this.marked, this.#keyOf(pid), this.#count);
    const count = isMarked ? Number(new DataView(this.#count.buffer).getBigUint64(0, true)) : undefined;
    return (this.#streams.get(pid) ?? new Streams()).caught(count);
  }

  /** Watches a process no more. */
  forget(pid: number): void {
    this.#streams.delete(pid);
    removeFromMap(this.marked, this.#keyOf(pid));
  }

  /** Forgets processes that are gone, where nobody has heard of their end. */
  forgetEnded(): void {
    for (const pid of this.#streams.keys()) if (statFile(`/proc/${pid}`) === undefined) this.forget(pid);
  }

  #keyOf(pid: number): Uint8Array<ArrayBuffer> {
    new DataView(this.#key.buffer).setUint32(0, pid, true);
    return this.#key;
  }

  [Symbol.dispose](): void {
    this.opened.dispose();
  }
}

/** Returns why it is not possible; throws what is no refusal. */
function refusal(error: unknown): unknown {
  if (!(error instanceof SystemError)) return error;
  const cause = { cause: error };
  const recorders = "use recorders instead, warren snoop without --streams";
  if (isConfidential()) {
    return new StreamWatchError(
      "the kernel is locked down: its programs may not read what a process reads and writes",
      recorders,
      cause,
    );
  }
  const { message, errnoName } = error;
  if (errnoName === "EPERM") {
    return new StreamWatchError(
      `the kernel lets nobody here watch by a program of its own (${message})`,
      "run it with CAP_SYS_ADMIN, or with CAP_BPF and CAP_PERFMON, and outside of containers",
      cause,
    );
  }
  if (errnoName === "ENOSYS") {
    return new StreamWatchError("the kernel runs no programs (CONFIG_BPF_SYSCALL)", recorders, cause);
  }
  if (errnoName === "ENOENT") {
    const missing = "the kernel has no tracepoints of system calls (CONFIG_FTRACE_SYSCALLS)";
    return new StreamWatchError(missing, recorders, cause);
  }
  const what = `the kernel does not take the programs that watch streams, which need Linux 5.8 (${message})`;
  return new StreamWatchError(what, recorders, cause);
}

/** At this level of lockdown(7) programs get nothing to read with. */
function isConfidential(): boolean {
  try {
    return readText("/sys/kernel/security/lockdown").includes("[confidentiality]");
  } catch {
    // it has none, or securityfs is not mounted
    return false;
  }
}
