// What the plugin and the daemon say to each other over the daemon's socket: one question a connection, a line of JSON, and
// one answer. While the daemon works on it, it sends empty lines, so that a daemon that hangs can be told from one that
// waits for a server.
import * as v from "valibot";
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import { parseInput, shown } from "../cni/input.ts";
import { dnsSchema, type Result, routeSchema } from "../cni/result.ts";
import { isSystemError } from "../sys/libc.ts";
import { LocalStream } from "../sys/local-stream.ts";

/** Where the daemon listens unless a config or a flag says otherwise: where the reference plugin's does. */
export const DEFAULT_SOCKET = "/run/cni/dhcp.sock";

/** How often the daemon shows that it lives, and how long its silence is waited for. */
export const SIGN_OF_LIFE_MS = 2_000;
const LONGEST_SILENCE_SECONDS = 20;

/** No question and no answer is longer. */
export const LONGEST_LINE_BYTES = 16 << 20;

const attachment = { network: v.string(), containerId: v.string(), ifname: v.string() };
const attachmentSchema = v.object(attachment);

/** What is asked of the daemon. */
export const questionSchema = v.variant("verb", [
  v.object({
    verb: v.literal("add"),
    ...attachment,
    netns: v.string(),
    podNamespace: v.nullable(v.string()),
    podName: v.nullable(v.string()),
    /** The options of every message, packed as in a message, in hexadecimal. */
    options: v.pipe(v.string(), v.regex(/^([0-9a-f]{2})*$/, "bytes in hexadecimal")),
  }),
  v.object({ verb: v.literal("del"), ...attachment }),
  v.object({ verb: v.literal("check"), ...attachment }),
  v.object({
    verb: v.literal("gc"),
    network: v.string(),
    valid: v.array(v.object({ containerId: v.string(), ifname: v.string() })),
  }),
  v.object({ verb: v.literal("status") }),
]);

/** A question. */
export type Question = v.InferOutput<typeof questionSchema>;

const resultSchema = v.object({
  ips: v.array(v.object({ address: v.string(), gateway: v.optional(v.string()) })),
  routes: v.array(routeSchema),
  dns: dnsSchema,
});

/** What every daemon of Warren begins its answers with. */
const SPEAKER = "warren dhcp daemon";

const answerSchema = v.object({
  from: v.literal(SPEAKER),
  error: v.optional(v.object({ code: v.number(), message: v.string(), details: v.string() })),
  /** What is leased; absent where nothing is. */
  result: v.optional(resultSchema),
  /** Why the container has its address no more. */
  lost: v.optional(v.string()),
  /** What was released. */
  released: v.optional(v.array(attachmentSchema)),
});

/** An answer. */
export type Answer = v.InferOutput<typeof answerSchema>;

/** Returns the answer as the daemon sends it. */
export function answerLine(answer: Omit<Answer, "from" | "result"> & { readonly result?: Result }): string {
  return `${JSON.stringify({ from: SPEAKER, ...answer })}\n`;
}

/** Nobody, or somebody else, answers at the socket. */
export class NoDaemonError extends CniError {
  override readonly name = "CniError";
}

/** The daemon ended before it had answered: another one may answer, or none listen any more. */
export class HungUpError extends CniError {
  override readonly name = "CniError";
}

/**
 * Asks the daemon at `socketPath` and waits for its answer. Throws NoDaemonError where none listens or something else does,
 * the CniError that the daemon answered with, HungUpError, and CniError 11 for one that says nothing.
 */
export function ask(socketPath: string, question: Question): Answer {
  using stream = connect(socketPath);
  const line = exchange(stream, socketPath, question);
  const answer = readAnswer(line, socketPath);
  if (answer.error !== undefined) {
    throw new CniError(answer.error.code, answer.error.message, answer.error.details);
  }
  return answer;
}

function connect(socketPath: string): LocalStream {
  try {
    return LocalStream.open(socketPath, LONGEST_SILENCE_SECONDS);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new NoDaemonError(
      ErrorCode.tryAgainLater,
      `no DHCP daemon listens at ${socketPath}: ${error.errnoName}`,
      'start it with "warren dhcp daemon" or the unit warren-dhcp.socket, or correct daemonSocketPath',
      { cause: error },
    );
  }
}

function exchange(stream: LocalStream, socketPath: string, question: Question): string {
  try {
    stream.write(new TextEncoder().encode(`${JSON.stringify(question)}\n`));
    for (;;) {
      const line = stream.readLine(LONGEST_LINE_BYTES);
      if (line !== "") return line;
    }
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (error.errnoName === "EAGAIN") {
      throw new CniError(
        ErrorCode.tryAgainLater,
        `the DHCP daemon at ${socketPath} has said nothing for ${LONGEST_SILENCE_SECONDS} s`,
        "restart it",
        { cause: error },
      );
    }
    throw new HungUpError(
      ErrorCode.tryAgainLater,
      `the DHCP daemon at ${socketPath} hung up without an answer: ${error.errnoName}`,
      "it was stopped meanwhile: see its log",
      { cause: error },
    );
  }
}

function readAnswer(line: string, socketPath: string): Answer {
  // Go's net/rpc speaks HTTP
  if (line.startsWith("HTTP/")) {
    throw new NoDaemonError(
      ErrorCode.tryAgainLater,
      `at ${socketPath} listens no daemon of Warren, but one that speaks HTTP, such as that of the reference plugin dhcp`,
      'stop it ("systemctl disable --now cni-dhcp.socket cni-dhcp.service") and start "warren dhcp daemon", or give one of the two another socket (daemonSocketPath)',
    );
  }
  try {
    const document: unknown = JSON.parse(line);
    return parseInput(answerSchema, document, ErrorCode.decodingFailure, `answer of ${socketPath}`);
  } catch (error) {
    throw new NoDaemonError(
      ErrorCode.tryAgainLater,
      `at ${socketPath} listens no daemon of Warren: it said ${shown(line)}`,
      `correct daemonSocketPath; ${describeError(error)}`,
      { cause: error },
    );
  }
}
