// Netlink messages apart from any family: the header, flags in words, what a request is, and what the kernel's
// acknowledgements and errors say (linux/netlink.h).
import { type ErrnoName, errnoName } from "../sys/errno.ts";
import { aligned, CodecError, type Reader, Writer } from "./buffer.ts";
import { text } from "./codec.ts";

/** Bytes of struct nlmsghdr. */
export const HEADER_BYTES = 16;

/** Message types that mean the same in every family. */
export const MessageType = {
  noop: 1, // NLMSG_NOOP
  error: 2, // NLMSG_ERROR, which is also the acknowledgement, with errno 0
  done: 3, // NLMSG_DONE
} as const;

/** Message flags (NLM_F_*). The same bits mean different things in get, new, delete and acknowledge messages. */
export const MessageFlag = {
  request: 0x1,
  multipart: 0x2,
  acknowledge: 0x4,
  echo: 0x8,
  dumpInterrupted: 0x10,
  dumpFiltered: 0x20,
  // get
  dump: 0x300,
  // new
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
  append: 0x800,
  // delete
  nonRecursive: 0x100,
  bulk: 0x200,
  // acknowledge
  capped: 0x100,
  extendedAcknowledge: 0x200,
} as const;

/**
 * Something to ask of the kernel, made by the function of a family file and sent by NetlinkSocket. `Reply` is what
 * an answer decodes to.
 */
export interface Request<Reply = unknown> {
  /** What it does, for error messages: `create link veth0`. */
  readonly operation: string;
  readonly type: number;
  /** MessageFlag bits that belong to this request; the socket adds request, acknowledge and dump. */
  readonly flags: number;
  /** Writes the body, which follows the message header. */
  encode(writer: Writer): void;
  /** Reads the body of an answer or echo; undefined passes it over. */
  decode?(reader: Reader, type: number): Reply | undefined;
  /** Errors that are as good as success for this request. */
  readonly ignore?: readonly ErrnoName[];
}

/** The type that the answers of a request decode to. */
export type ReplyOf<R> = R extends Request<infer Reply> ? Reply : never;

/** Returns the same request, for which these errors are as good as success. */
export function ignoring<Reply>(request: Request<Reply>, ...names: ErrnoName[]): Request<Reply> {
  return { ...request, ignore: [...(request.ignore ?? []), ...names] };
}

/** Appends a message with its header. Message lengths are exact; the next message starts aligned. */
export function writeMessage(writer: Writer, request: Request, flags: number, sequence: number): void {
  const start = writer.advance(HEADER_BYTES);
  writer.view.setUint16(start + 4, request.type, true);
  writer.view.setUint16(start + 6, request.flags | flags, true);
  writer.view.setUint32(start + 8, sequence, true);
  writer.view.setUint32(start + 12, 0, true);
  request.encode(writer);
  writer.view.setUint32(start, writer.offset - start, true);
  writer.align();
}

/** A received message: its header, and where its body lies in the buffer. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly bodyStart: number;
  readonly end: number;
}

/** Splits a received buffer into messages; throws CodecError if one is cut short. */
export function splitMessages(reader: Reader): Message[] {
  const messages: Message[] = [];
  const { view } = reader;
  let start = reader.offset;
  while (start < reader.end) {
    if (reader.end - start < HEADER_BYTES) {
      throw new CodecError("message", `${reader.end - start} bytes, too few for a header`);
    }
    const length = view.getUint32(start, true);
    if (length < HEADER_BYTES || length > reader.end - start) {
      throw new CodecError("message", `length ${length} with ${reader.end - start} bytes left`);
    }
    messages.push({
      type: view.getUint16(start + 4, true),
      flags: view.getUint16(start + 6, true),
      sequence: view.getUint32(start + 8, true),
      bodyStart: start + HEADER_BYTES,
      end: start + length,
    });
    start += aligned(length);
  }
  return messages;
}

/** What the kernel says of a request: errno 0 is success; the rest is there when the kernel tells. */
export interface Verdict {
  readonly errno: number;
  /** The kernel's own words (NLMSGERR_ATTR_MSG); also success may carry a warning. */
  readonly text: string;
  /** Where the refused attribute starts, in bytes from the start of the request (NLMSGERR_ATTR_OFFS). */
  readonly attributeOffset: number | undefined;
}

const EBADMSG = 74;
const ATTRIBUTE_TEXT = 1; // NLMSGERR_ATTR_MSG
const ATTRIBUTE_OFFSET = 2; // NLMSGERR_ATTR_OFFS

/**
 * Reads an NLMSG_ERROR or NLMSG_DONE message. It never throws: a body too short for an errno counts as EBADMSG, and
 * words that can't be read never hide the errno.
 */
export function readVerdict(reader: Reader, message: Message): Verdict {
  const { view } = reader;
  let start = message.bodyStart;
  let errno = 0;
  let words = "";
  let attributeOffset: number | undefined;
  if (message.end - start >= 4) errno = 0 - view.getInt32(start, true);
  else if (message.type === MessageType.error) errno = EBADMSG;
  if (errno < 0) errno = EBADMSG;
  if ((message.flags & MessageFlag.extendedAcknowledge) === 0) return { errno, text: words, attributeOffset };
  start += 4;
  if (message.type === MessageType.error && message.end - start >= HEADER_BYTES) {
    // struct nlmsgerr repeats the request: its header only when capped, else all of it.
    const capped = (message.flags & MessageFlag.capped) !== 0;
    start += capped ? HEADER_BYTES : aligned(view.getUint32(start, true));
  }
  try {
    reader.offset = Math.min(start, message.end);
    reader.end = message.end;
    reader.eachAttribute((type) => {
      if (type === ATTRIBUTE_TEXT) words = text.decode(reader);
      else if (type === ATTRIBUTE_OFFSET && reader.left === 4) {
        attributeOffset = view.getUint32(reader.offset, true);
      }
    });
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
  }
  return { errno, text: words, attributeOffset };
}

/** What is known of a failed request beside its errno. */
export interface NetlinkErrorDetails {
  /** The kernel's own words, or ours when the kernel wasn't reached. */
  readonly text?: string | undefined;
  /** The refused attribute by its name in our tables, such as `info.data.id`. */
  readonly attribute?: string | undefined;
  /** How many other requests of the same batch failed. */
  readonly othersFailed?: number | undefined;
  readonly cause?: unknown;
}

/** A request that failed. The message reads like `create link veth1: EEXIST: <the kernel's words>`. */
export class NetlinkError extends Error {
  override readonly name = "NetlinkError";
  readonly errnoName: ErrnoName | `errno ${number}`;
  readonly text: string;
  readonly attribute: string;

  constructor(
    readonly operation: string,
    readonly errno: number,
    details: NetlinkErrorDetails = {},
  ) {
    const name = errnoName(errno);
    let message = `${operation}: ${name}`;
    if (details.text) message += `: ${details.text}`;
    if (details.attribute) message += ` (attribute ${details.attribute})`;
    if (details.othersFailed) message += `; and ${details.othersFailed} more failed`;
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.errnoName = name;
    this.text = details.text ?? "";
    this.attribute = details.attribute ?? "";
  }
}

/** Returns true if `error` is a NetlinkError, with one of these errno names if any are given. */
export function isNetlinkError(error: unknown, ...names: ErrnoName[]): error is NetlinkError {
  return (
    error instanceof NetlinkError && (names.length === 0 || names.some((name) => name === error.errnoName))
  );
}

/** Returns the error for a verdict on a request, with the refused attribute's name found by encoding it again. */
export function requestError(request: Request, verdict: Verdict): NetlinkError {
  let attribute = "";
  if (verdict.attributeOffset !== undefined) {
    const writer = new Writer();
    writer.locateOffset = verdict.attributeOffset;
    writeMessage(writer, request, 0, 0);
    attribute = writer.locatedName;
  }
  return new NetlinkError(request.operation, verdict.errno, { text: verdict.text, attribute });
}
