// The socket that the daemon answers at: its own, or one that systemd has opened for it. One question a connection; whoever
// hangs up wants no answer any more.
import { createServer, type Server, type Socket } from "node:net";
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import { parseInput } from "../cni/input.ts";
import { makeDirectories, parentOf, removeFile } from "../sys/directory.ts";
import { statName } from "../sys/files.ts";
import { isSystemError } from "../sys/libc.ts";
import { LocalStream } from "../sys/local-stream.ts";
import { type DhcpDaemon, explained } from "./daemon.ts";
import {
  answerLine,
  LONGEST_LINE_BYTES,
  type Question,
  questionSchema,
  SIGN_OF_LIFE_MS,
} from "./protocol.ts";

/** What Go's net/rpc is told, and shows to its user. */
const NO_RPC =
  "HTTP/1.0 426 this is the DHCP daemon of Warren: its plugin is warren-dhcp (also a link named dhcp)\r\n\r\n";

/** Where the daemon listens: at a path, or at a socket that it was given. */
export type ListeningPlace = { readonly path: string } | { readonly fd: number };

/** The first descriptor that is handed over by socket activation (sd_listen_fds(3)). */
const FIRST_GIVEN = 3;

/**
 * Returns where to listen: the one socket that systemd hands over, or `path`. Throws CniError 4 for more than one.
 */
export function listeningPlace(
  variables: Readonly<Record<string, string | undefined>>,
  path: string,
): ListeningPlace {
  const isOurs = variables.LISTEN_PID === `${process.pid}`;
  const count = isOurs ? Number(variables.LISTEN_FDS ?? "0") : 0;
  if (count === 0) return { path };
  if (count === 1) return { fd: FIRST_GIVEN };
  throw new CniError(
    ErrorCode.invalidEnvironment,
    `LISTEN_FDS is ${variables.LISTEN_FDS}: ${count} sockets were handed over`,
    "expected one: see ListenStream in warren-dhcp.socket",
  );
}

/** The rights of everybody but the owner (umask(2)), for all that the daemon makes from then on. */
const OTHERS = 0o077;

/** A socket that answers. */
export class DaemonServer {
  readonly #server: Server;
  readonly #connections = new Set<Socket>();

  private constructor(
    private readonly daemon: Promise<DhcpDaemon>,
    private readonly place: ListeningPlace,
    private readonly warn: (text: string) => void,
  ) {
    // a client that has said its question may have closed its own direction, and waits even so
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#serve(socket));
  }

  /**
   * Listens, and answers once the daemon is there. Throws CniError 102 where another daemon listens already, and what
   * can't be done.
   */
  static async open(
    place: ListeningPlace,
    daemon: Promise<DhcpDaemon>,
    warn: (text: string) => void,
  ): Promise<DaemonServer> {
    // whoever can write to the socket can have any container's lease released; it gets its mode when it is bound
    process.umask(OTHERS);
    if ("path" in place) makeRoom(place.path);
    const server = new DaemonServer(daemon, place, warn);
    await server.#listen();
    return server;
  }

  /** Listens no more, and hangs up on whoever waits. A socket that was handed over stays its owner's. */
  async close(): Promise<void> {
    for (const socket of this.#connections) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    if ("path" in this.place) removeFile(this.place.path);
  }

  #listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.place, () => {
        this.#server.off("error", reject);
        this.#server.on("error", (error) => this.warn(`the socket: ${error.message}`));
        resolve();
      });
    });
  }

  #serve(socket: Socket): void {
    this.#connections.add(socket);
    let isWanted = true;
    let heard = "";
    let isAsked = false;
    socket.setEncoding("utf8");
    socket.on("error", () => undefined);
    socket.on("close", () => {
      isWanted = false;
      this.#connections.delete(socket);
    });
    socket.on("data", (piece: string) => {
      if (isAsked) return;
      heard += piece;
      const end = heard.indexOf("\n");
      if (end < 0 && heard.length <= LONGEST_LINE_BYTES) return;
      isAsked = true;
      if (heard.startsWith("CONNECT ")) {
        socket.end(NO_RPC);
        return;
      }
      const line = end < 0 ? heard : heard.slice(0, end);
      void this.#reply(socket, line, () => isWanted);
    });
  }

  async #reply(socket: Socket, line: string, isWanted: () => boolean): Promise<void> {
    const signs = setInterval(() => socket.write("\n"), SIGN_OF_LIFE_MS);
    try {
      const question = questionIn(line);
      const daemon = await this.daemon;
      socket.end(answerLine(await daemon.answer(question, isWanted)));
    } catch (error) {
      const { code, message, details } = explained(error);
      if (!(error instanceof CniError)) this.warn(describeError(error));
      socket.end(answerLine({ error: { code, message, details } }));
    } finally {
      clearInterval(signs);
    }
  }
}

function questionIn(line: string): Question {
  let document: unknown;
  try {
    document = JSON.parse(line);
  } catch (error) {
    throw new CniError(ErrorCode.decodingFailure, `the question is not JSON: ${describeError(error)}`);
  }
  return parseInput(questionSchema, document, ErrorCode.decodingFailure, "the question");
}

/** Removes the socket that a daemon left which was killed. Throws CniError 102 where one listens. */
function makeRoom(path: string): void {
  makeDirectories(parentOf(path), 0o700);
  // by its name: a link in its place is none of ours, wherever that leads
  const status = statName(path);
  if (status === undefined) return;
  if (status.kind !== "socket") {
    throw new CniError(
      ErrorCode.nameTaken,
      `${path} is there already, and no socket`,
      "choose another -socketpath",
    );
  }
  try {
    LocalStream.open(path, 1)[Symbol.dispose]();
  } catch (error) {
    if (!isSystemError(error, "ECONNREFUSED")) throw error;
    removeFile(path);
    return;
  }
  throw new CniError(
    ErrorCode.nameTaken,
    `a DHCP daemon listens at ${path} already`,
    "end that one first, or choose another -socketpath",
  );
}
