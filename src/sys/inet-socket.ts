// TCP and UDP sockets that never wait by themselves: whoever plays both ends of a connection in one thread may wait
// only for whichever end can go on, by `awaitReady`. A socket belongs for ever to the network namespace in which it was
// opened, so each end is opened inside its own and used outside.
import {
  checkedInt,
  Descriptor,
  isSystemError,
  lastErrno,
  libc,
  memory,
  retried,
  SystemError,
} from "./libc.ts";
import {
  AF_INET,
  AF_INET6,
  readSocketAddress,
  SOCKET_ADDRESS_BYTES,
  SOL_SOCKET,
  setSocketOption,
  socketAddress,
  socketCalls,
} from "./socket-calls.ts";

// asm-generic/socket.h, linux/net.h; SOCK_CLOEXEC and SOCK_NONBLOCK are O_CLOEXEC and O_NONBLOCK
const SOCK_FLAGS = 0o2004000;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SO_ERROR = 4;
const SO_LINGER = { level: SOL_SOCKET, option: 13 } as const;
const SO_SNDBUFFORCE = { level: SOL_SOCKET, option: 32 } as const;
const SO_RCVBUFFORCE = { level: SOL_SOCKET, option: 33 } as const;

/** Where a socket is bound or connected to. */
export interface SocketPlace {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
}

/** A TCP or UDP socket. */
export class InetSocket implements Disposable {
  readonly #descriptor: Descriptor;

  private constructor(descriptor: Descriptor) {
    this.#descriptor = descriptor;
  }

  /** Opens a socket in the calling thread's network namespace; throws SystemError. */
  static open(kind: "tcp" | "udp", family: 4 | 6): InetSocket {
    const type = (kind === "tcp" ? SOCK_STREAM : SOCK_DGRAM) | SOCK_FLAGS;
    const domain = family === 4 ? AF_INET : AF_INET6;
    return new InetSocket(new Descriptor(retried(`open ${kind} socket`, () => libc.socket(domain, type, 0))));
  }

  /** The descriptor, for `awaitReady`. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /** Takes an address of this machine, and any free port where the port is 0. Throws SystemError. */
  bind({ address, port }: SocketPlace): void {
    const bytes = socketAddress(address, port);
    retried("bind socket", () => socketCalls().bind(this.fd, bytes, bytes.length));
  }

  /** Waits for one connection; throws SystemError. */
  listen(): void {
    retried("listen on socket", () => socketCalls().listen(this.fd, 1));
  }

  /** Returns where the socket is bound to. Throws SystemError. */
  place(): SocketPlace {
    const bytes = memory(SOCKET_ADDRESS_BYTES);
    retried("ask a socket for its address", () => socketCalls().getsockname(this.fd, bytes, lengthOf(bytes)));
    return readSocketAddress(bytes);
  }

  /** Begins to connect; the socket is writable when that has come to an end. Throws SystemError. */
  connect({ address, port }: SocketPlace): void {
    const bytes = socketAddress(address, port);
    try {
      retried("connect socket", () => socketCalls().connect(this.fd, bytes, bytes.length));
    } catch (error) {
      if (!isSystemError(error, "EINPROGRESS")) throw error;
    }
  }

  /** Throws the error that the last connecting ended with, if it did. */
  demandConnected(): void {
    const value = new Int32Array(new ArrayBuffer(4));
    retried("ask a socket for its error", () =>
      socketCalls().getsockopt(this.fd, SOL_SOCKET, SO_ERROR, value, lengthOf(value)),
    );
    const [errno = 0] = value;
    if (errno !== 0) throw new SystemError("connect socket", errno);
  }

  /** Takes the connection that somebody began; undefined while there is none. Throws SystemError. */
  accept(): InetSocket | undefined {
    const bytes = memory(SOCKET_ADDRESS_BYTES);
    const fd = unlessWaiting("accept connection", () =>
      socketCalls().accept4(this.fd, bytes, lengthOf(bytes), SOCK_FLAGS),
    );
    return fd === undefined ? undefined : new InetSocket(new Descriptor(fd));
  }

  /** Sends what there is room for and returns how many bytes that were; undefined for none. Throws SystemError. */
  send(bytes: Uint8Array<ArrayBuffer>): number | undefined {
    return unlessWaiting("send", () => socketCalls().send(this.fd, bytes, bytes.length, 0));
  }

  /** Returns how many bytes came into `buffer`, 0 where the other end has hung up; undefined for none yet. */
  receive(buffer: Uint8Array<ArrayBuffer>): number | undefined {
    return unlessWaiting("receive", () => libc.recv(this.fd, buffer, buffer.length, 0));
  }

  /** Returns where the next packet came from; undefined if there is none. Its content goes into `buffer`. */
  receiveFrom(buffer: Uint8Array<ArrayBuffer>): SocketPlace | undefined {
    const bytes = memory(SOCKET_ADDRESS_BYTES);
    const length = unlessWaiting("receive", () =>
      socketCalls().recvfrom(this.fd, buffer, buffer.length, 0, bytes, lengthOf(bytes)),
    );
    return length === undefined ? undefined : readSocketAddress(bytes);
  }

  /** Closing throws away what was not sent yet, and the other end learns so at once. Throws SystemError. */
  dropOnClose(): void {
    // struct linger { on, seconds }
    setSocketOption("drop what is not sent on close", this.fd, SO_LINGER, [1, 0]);
  }

  /** Keeps up to so many bytes that came and nobody has read. Throws SystemError, EPERM without CAP_NET_ADMIN. */
  keepUpTo(bytes: number): void {
    setSocketOption("have a large buffer", this.fd, SO_RCVBUFFORCE, [checkedInt(bytes, "buffer size")]);
  }

  /** Sends on while up to so many bytes are still on their way out of this machine. Throws SystemError as keepUpTo. */
  sendAheadUpTo(bytes: number): void {
    setSocketOption("have a large buffer", this.fd, SO_SNDBUFFORCE, [checkedInt(bytes, "buffer size")]);
  }

  [Symbol.dispose](): void {
    this.#descriptor.close();
  }
}

function lengthOf({ byteLength }: { readonly byteLength: number }): Uint32Array<ArrayBuffer> {
  return new Uint32Array(new ArrayBuffer(4)).fill(byteLength);
}

function unlessWaiting(what: string, attempt: () => number): number | undefined {
  try {
    return retried(what, attempt);
  } catch (error) {
    if (isSystemError(error, "EAGAIN")) return undefined;
    throw error;
  }
}

// poll.h
const POLLIN = 1;
const POLLOUT = 4;
/** Of struct pollfd { int fd; short events; short revents; }. */
const POLLFD_BYTES = 8;

/** What is waited for. */
export interface Awaited {
  readonly socket: InetSocket;
  readonly until: "readable" | "writable";
}

/** Waits up to `timeoutMs` until one of the sockets can go on or has failed. Throws SystemError. */
export function awaitReady(awaited: readonly Awaited[], timeoutMs: number): void {
  const sockets = memory(awaited.length * POLLFD_BYTES);
  const view = new DataView(sockets.buffer);
  for (const [index, { socket, until }] of awaited.entries()) {
    view.setInt32(index * POLLFD_BYTES, socket.fd, true);
    view.setInt16(index * POLLFD_BYTES + 4, until === "readable" ? POLLIN : POLLOUT, true);
  }
  // struct timespec: two 64-bit numbers
  const nanoseconds = Math.max(0, Math.round(timeoutMs * 1e6));
  const timeout = new BigInt64Array(new ArrayBuffer(16));
  timeout.set([BigInt(Math.floor(nanoseconds / 1e9)), BigInt(nanoseconds % 1e9)]);
  const result = socketCalls().ppoll(sockets, awaited.length, timeout, null);
  const errno = result < 0 ? lastErrno() : 0;
  // an interrupted wait is a short one: whoever waits looks again
  if (errno !== 0 && errno !== 4) throw new SystemError("wait for sockets", errno);
}
