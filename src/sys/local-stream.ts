// A stream to a server on this machine, by the path of its socket. It is for one question and its answer: every call
// waits, and no longer than the limit that it was opened with.
import { dlopen } from "bun:ffi";
import { checkedPath, Descriptor, LIBC, libc, memory, retried, SystemError } from "./libc.ts";
import { SOL_SOCKET, setSocketOption } from "./socket-calls.ts";

const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 0o2000001;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
/** Bytes of sun_path in struct sockaddr_un, the NUL among them (linux/un.h). */
const LONGEST_PATH_BYTES = 108;
const LONGEST_PIECE_BYTES = 65_536;

// alone, and not with all that sockets have (socketCalls): the firewall asks in each of its calls whether firewalld runs
function bindConnect() {
  return dlopen(LIBC, { connect: { args: ["i32", "buffer", "u32"], returns: "i32" } } as const).symbols;
}

/** An open stream. */
export class LocalStream implements Disposable {
  readonly #descriptor: Descriptor;
  readonly #path: string;
  #unread: Uint8Array = new Uint8Array();

  private constructor(descriptor: Descriptor, path: string) {
    this.#descriptor = descriptor;
    this.#path = path;
  }

  /** Connects to the server at `path`; throws SystemError: ENOENT or ECONNREFUSED where there is none. */
  static open(path: string, limitSeconds: number): LocalStream {
    const spelled = new TextEncoder().encode(checkedPath(path));
    if (spelled.length >= LONGEST_PATH_BYTES) throw new SystemError(`connect to ${path}`, 36);
    const socket = retried("open socket", () => libc.socket(AF_UNIX, SOCK_STREAM_CLOEXEC, 0));
    const stream = new LocalStream(new Descriptor(socket), path);
    try {
      for (const option of [SO_RCVTIMEO, SO_SNDTIMEO]) {
        // struct timeval: two 64-bit numbers
        const words = [limitSeconds, 0, 0, 0];
        setSocketOption("limit the waiting time of a socket", socket, { level: SOL_SOCKET, option }, words);
      }
      const address = memory(2 + LONGEST_PATH_BYTES);
      address[0] = AF_UNIX;
      address.set(spelled, 2);
      retried(`connect to ${path}`, () => bindConnect().connect(socket, address, address.length));
      return stream;
    } catch (error) {
      stream[Symbol.dispose]();
      throw error;
    }
  }

  /** Sends all of `bytes`; throws SystemError. */
  write(bytes: Uint8Array): void {
    for (let offset = 0; offset < bytes.length; ) {
      // over memory of its own, for a small array may move (memory)
      const rest = memory(bytes.length - offset);
      rest.set(bytes.subarray(offset));
      offset += retried(`write to ${this.#path}`, () => libc.write(this.#descriptor.fd, rest, rest.length));
    }
  }

  /** Waits for exactly `count` bytes; throws SystemError: EAGAIN after the limit, EPIPE where the server hung up. */
  read(count: number): Uint8Array<ArrayBuffer> {
    const buffer = memory(count);
    for (let offset = 0; offset < count; ) {
      const rest = buffer.subarray(offset);
      const got = retried(`read from ${this.#path}`, () =>
        libc.recv(this.#descriptor.fd, rest, rest.length, 0),
      );
      if (got === 0) throw new SystemError(`read from ${this.#path}`, 32);
      offset += got;
    }
    return buffer;
  }

  /**
   * Waits for a line, of at most so many bytes, and returns it without its end; what comes without one before the server hangs
   * up is the last line. Throws SystemError: EAGAIN after the limit, EPIPE where nothing came, EMSGSIZE for a longer line.
   */
  readLine(limitBytes: number): string {
    for (;;) {
      const end = this.#unread.indexOf(0x0a);
      if (end >= 0) return this.#takeText(end, end + 1);
      if (this.#unread.length > limitBytes) throw new SystemError(`read from ${this.#path}`, 90);
      const piece = memory(LONGEST_PIECE_BYTES);
      const got = retried(`read from ${this.#path}`, () =>
        libc.recv(this.#descriptor.fd, piece, piece.length, 0),
      );
      if (got > 0) this.#unread = Buffer.concat([this.#unread, piece.subarray(0, got)]);
      else if (this.#unread.length > 0) return this.#takeText(this.#unread.length, this.#unread.length);
      else throw new SystemError(`read from ${this.#path}`, 32);
    }
  }

  #takeText(end: number, next: number): string {
    const text = new TextDecoder().decode(this.#unread.subarray(0, end));
    this.#unread = this.#unread.subarray(next);
    return text;
  }

  [Symbol.dispose](): void {
    this.#descriptor.close();
  }
}
