// The conversation with the kernel: sends requests, matches answers to them by sequence number, and turns errors
// into NetlinkErrors that name the request. Everything here is synchronous, and nothing knows of a family.
import { SystemError } from "../sys/libc.ts";
import { beginPhase, endPhase } from "../sys/phases.ts";
import { CodecError, Reader, Writer } from "./buffer.ts";
import { ANSWER_LIMIT_SECONDS, type Family, type Kernel, openKernel } from "./kernel.ts";
import {
  type Message,
  MessageFlag,
  MessageType,
  NetlinkError,
  type ReplyOf,
  type Request,
  readVerdict,
  requestError,
  splitMessages,
  writeMessage,
} from "./message.ts";
import { traced } from "./trace.ts";

/** What became of one request of a batch. */
export interface Outcome<Reply = unknown> {
  readonly operation: string;
  /** What the kernel echoed, decoded: usually one object if the request asked for an echo, and none if not. */
  readonly replies: readonly Reply[];
  /** Why it failed, unless it did what was asked. An error that the request ignores is here too. */
  readonly error: NetlinkError | undefined;
}

/** The outcomes of a batch, in the order of its requests. */
export type Outcomes<Requests extends readonly Request[]> = {
  readonly [Index in keyof Requests]: Outcome<ReplyOf<Requests[Index]>>;
};

interface OpenOutcome {
  readonly operation: string;
  readonly replies: unknown[];
  error: NetlinkError | undefined;
}

const EINTR = 4;
const EAGAIN = 11;
const EBADMSG = 74;
const ENOBUFS = 105;
const ETIMEDOUT = 110;

/**
 * How often a dump is asked for. Where hundreds of interfaces come and go it is interrupted more often than not, and
 * after the first few times a moment's pause lets others get on.
 */
const DUMP_TRIES = 60;
const PATIENT_TRIES = 6;
const DUMP_PAUSE_MS = 2;
const STRAY_LIMIT = 1000;

// linux/netfilter/nfnetlink.h
const BATCH_BEGIN = 0x10; // NFNL_MSG_BATCH_BEGIN
const BATCH_END = 0x11; // NFNL_MSG_BATCH_END
const NF_TABLES = 10; // NFNL_SUBSYS_NFTABLES

function batchEdge(type: number): Request {
  return {
    operation: "nf_tables transaction",
    type,
    flags: 0,
    encode(writer) {
      // struct nfgenmsg: family and version 0; the resource in network order says whose batch it is.
      const at = writer.advance(4);
      writer.view.setUint32(at, NF_TABLES, false);
    },
  };
}

function isMissing(error: NetlinkError): boolean {
  return error.errnoName === "ENODEV" || error.errnoName === "ENOENT" || error.errnoName === "ESRCH";
}

function isIgnored(request: Request | undefined, error: NetlinkError): boolean {
  return request?.ignore?.some((name) => name === error.errnoName) ?? false;
}

/** The error with a count of the others; the same error if there are none. */
function amongOthers(error: NetlinkError, othersFailed: number): NetlinkError {
  if (othersFailed === 0) return error;
  const { operation, errno, text, attribute, cause } = error;
  return new NetlinkError(operation, errno, { text, attribute, othersFailed, cause });
}

/** What several requests are called together. */
function operationOf(requests: readonly Request[]): string {
  const first = requests[0]?.operation ?? "nothing";
  return requests.length <= 1 ? first : `${first} and ${requests.length - 1} more`;
}

/** A netlink socket, closed by `using` or by `close`. */
export class NetlinkSocket implements Disposable {
  readonly #kernel: Kernel;
  readonly #writer = new Writer();
  #sequence = 0;

  /** `kernel` is where requests go; a function in tests. */
  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /**
   * Opens a socket in the current network namespace of the calling thread; it stays there when the thread leaves.
   * Throws SystemError. With WARREN_NLDEBUG=1 in the environment every message is printed to standard error.
   */
  static open(family: Family): NetlinkSocket {
    const kernel = openKernel(family);
    return new NetlinkSocket(process.env.WARREN_NLDEBUG === "1" ? traced(kernel, family) : kernel);
  }

  /**
   * Sends all requests at once and reads every answer. This is not atomic: a request that fails doesn't stop those
   * behind it. Throws the first NetlinkError that its request doesn't ignore, after all answers are read.
   */
  execute<const Requests extends readonly Request[]>(requests: Requests): Outcomes<Requests> {
    const outcomes: Outcomes<readonly Request[]> = this.attempt<readonly Request[]>(requests);
    let failed = 0;
    let first: NetlinkError | undefined;
    for (let index = 0; index < outcomes.length; index++) {
      const error = outcomes[index]?.error;
      if (error === undefined || isIgnored(requests[index], error)) continue;
      first ??= error;
      failed++;
    }
    if (first !== undefined) throw amongOthers(first, failed - 1);
    return outcomes as Outcomes<Requests>;
  }

  /** As `execute`, but returns the errors in the outcomes. Throws only when the kernel couldn't be talked to. */
  attempt<const Requests extends readonly Request[]>(requests: Requests): Outcomes<Requests> {
    const outcomes: OpenOutcome[] = requests.map(({ operation }) => ({
      operation,
      replies: [],
      error: undefined,
    }));
    if (requests.length > 0) {
      const operation = operationOf(requests);
      const first = this.#sequence + 1;
      this.#writer.reset();
      for (const request of requests) {
        this.#write(request, MessageFlag.request | MessageFlag.acknowledge);
      }
      this.#send(operation);
      const answered: boolean[] = [];
      let open = requests.length;
      this.#read(operation, first, (message, reader, index) => {
        const request = requests[index];
        const outcome = outcomes[index];
        if (request === undefined || outcome === undefined) return false;
        if (message.type === MessageType.error || message.type === MessageType.done) {
          const verdict = readVerdict(reader, message);
          if (verdict.errno !== 0) outcome.error ??= requestError(request, verdict);
          if (answered[index] !== true) open--;
          answered[index] = true;
        } else {
          const reply = decodeReply(request, message, reader);
          if (reply instanceof NetlinkError) outcome.error ??= reply;
          else if (reply !== undefined) outcome.replies.push(reply);
        }
        return open === 0;
      });
    }
    const done: readonly Outcome[] = outcomes;
    return done as Outcomes<Requests>;
  }

  /** Asks for one object; returns undefined if it isn't there (ENODEV, ENOENT, ESRCH). Throws NetlinkError. */
  get<Reply>(request: Request<Reply>): Reply | undefined {
    let found: Reply | undefined;
    let failure: NetlinkError | undefined;
    const first = this.#sequence + 1;
    this.#writer.reset();
    // Without an acknowledgement there is one answer: the object or an error.
    this.#write(request, MessageFlag.request);
    this.#send(request.operation);
    this.#read(request.operation, first, (message, reader) => {
      if (message.type === MessageType.error || message.type === MessageType.done) {
        const verdict = readVerdict(reader, message);
        if (verdict.errno !== 0) failure = requestError(request, verdict);
      } else {
        const reply = decodeReply(request, message, reader);
        if (reply instanceof NetlinkError) failure = reply;
        else found = reply;
      }
      return true;
    });
    if (failure === undefined || isMissing(failure) || isIgnored(request, failure)) return found;
    throw failure;
  }

  /**
   * Asks for all objects that the request matches; an error that it ignores gives none. A dump that was interrupted
   * by a change is not true, so it is asked for again, up to 59 times, and then fails with EINTR. Throws NetlinkError.
   */
  dump<Reply>(request: Request<Reply>): Reply[] {
    for (let tries = 0; tries < DUMP_TRIES; tries++) {
      if (tries >= PATIENT_TRIES) Bun.sleepSync(DUMP_PAUSE_MS);
      const found: Reply[] = [];
      let failure: NetlinkError | undefined;
      let interrupted = false;
      const first = this.#sequence + 1;
      this.#writer.reset();
      this.#write(request, MessageFlag.request | MessageFlag.dump);
      this.#send(request.operation);
      this.#read(request.operation, first, (message, reader) => {
        if ((message.flags & MessageFlag.dumpInterrupted) !== 0) interrupted = true;
        if (message.type === MessageType.error || message.type === MessageType.done) {
          const verdict = readVerdict(reader, message);
          if (verdict.errno !== 0) failure = requestError(request, verdict);
          return true;
        }
        const reply = decodeReply(request, message, reader);
        if (reply instanceof NetlinkError) failure ??= reply;
        else if (reply !== undefined) found.push(reply);
        return false;
      });
      if (failure !== undefined) {
        if (isIgnored(request, failure)) return [];
        if (!interrupted) throw failure;
      }
      if (!interrupted) return found;
    }
    throw new NetlinkError(request.operation, EINTR, {
      text: `changed while it was read, ${DUMP_TRIES} times in a row`,
    });
  }

  /**
   * Sends nf_tables requests as one transaction: all of them happen or none. Throws the first NetlinkError, which
   * names its request. What a request ignores can't count here, because its failure undoes the others.
   */
  transaction(requests: readonly Request[]): void {
    const last = requests.length - 1;
    if (last < 0) return;
    const operation = operationOf(requests);
    const begin = this.#sequence + 1;
    this.#writer.reset();
    this.#write(batchEdge(BATCH_BEGIN), MessageFlag.request);
    for (let index = 0; index <= last; index++) {
      // Answers are kept until the whole batch is done and then come in order, errors without being asked for. So
      // the acknowledgement of the last request, or its error, ends them all.
      const acknowledge = index === last ? MessageFlag.acknowledge : 0;
      const request = requests[index];
      if (request !== undefined) this.#write(request, MessageFlag.request | acknowledge);
    }
    this.#write(batchEdge(BATCH_END), MessageFlag.request);
    this.#send(operation);
    let first: NetlinkError | undefined;
    let failed = 0;
    this.#read(operation, begin, (message, reader, index) => {
      if (message.type !== MessageType.error) return false;
      const verdict = readVerdict(reader, message);
      const request = requests[index - 1];
      if (verdict.errno !== 0) {
        // An error on the begin message (EPERM, EOPNOTSUPP, ENOMEM, a failed commit) is about the whole batch, and
        // nothing that matters comes behind it.
        first ??=
          request === undefined
            ? new NetlinkError(operation, verdict.errno, verdict)
            : requestError(request, verdict);
        failed++;
      }
      return index === 0 || index - 1 === last;
    });
    if (first !== undefined) throw amongOthers(first, failed - 1);
  }

  /** Closes the socket. Closing twice is harmless. */
  close(): void {
    this.#kernel.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #write(request: Request, flags: number): void {
    try {
      writeMessage(this.#writer, request, flags, this.#sequence + 1);
    } catch (error) {
      if (error instanceof CodecError) error.message = `${request.operation}: ${error.message}`;
      throw error;
    }
    this.#sequence++;
  }

  #send(operation: string): void {
    beginPhase(operation);
    try {
      this.#kernel.send(this.#writer.written());
    } catch (error) {
      throw transportError(operation, error);
    }
  }

  /**
   * Gives every message that answers the requests from sequence number `first` on to `take`, with the request's
   * index, until `take` returns true. Other messages are left overs of an earlier conversation, and passed over.
   */
  #read(
    operation: string,
    first: number,
    take: (message: Message, reader: Reader, index: number) => boolean,
  ): void {
    let strays = 0;
    for (;;) {
      let finished = false;
      let ours = false;
      try {
        const datagram = this.#kernel.receive();
        const reader = new Reader(datagram);
        for (const message of splitMessages(reader)) {
          const index = message.sequence - first;
          if (index < 0 || message.sequence > this.#sequence) continue;
          if (message.type === MessageType.noop) continue;
          ours = true;
          if (take(message, reader, index)) finished = true;
        }
      } catch (error) {
        throw transportError(operation, error);
      }
      if (finished) {
        endPhase();
        return;
      }
      if (!ours && ++strays > STRAY_LIMIT) {
        throw new NetlinkError(operation, EBADMSG, { text: `${strays} datagrams and no answer among them` });
      }
    }
  }
}

/** Decodes the body of an answer; a body that can't be read is returned as an error. */
function decodeReply<Reply>(
  request: Request<Reply>,
  message: Message,
  reader: Reader,
): Reply | undefined | NetlinkError {
  if (request.decode === undefined) return undefined;
  reader.offset = message.bodyStart;
  reader.end = message.end;
  try {
    return request.decode(reader, message.type);
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    return new NetlinkError(request.operation, EBADMSG, {
      text: `reading the answer: ${error.message}`,
      cause: error,
    });
  }
}

/** The error for a conversation that broke off: what happened to the requests isn't known then. */
function transportError(operation: string, error: unknown): unknown {
  if (error instanceof CodecError) {
    return new NetlinkError(operation, EBADMSG, {
      text: `reading the answer: ${error.message}`,
      cause: error,
    });
  }
  if (!(error instanceof SystemError)) return error;
  if (error.errno === EAGAIN) {
    const text = `no answer from the kernel within ${ANSWER_LIMIT_SECONDS} s`;
    return new NetlinkError(operation, ETIMEDOUT, { text, cause: error });
  }
  const text = error.errno === ENOBUFS ? "answers were lost, the receive buffer was full" : error.call;
  return new NetlinkError(operation, error.errno, { text, cause: error });
}
