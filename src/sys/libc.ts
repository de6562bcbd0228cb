// The C library, bound once and called only through checked wrappers. bun:ffi turns `undefined`, `NaN` and
// `{}` into 0 and cuts strings at NUL without a word, so `close(undefined)` would close stdin: every integer
// and every path is checked here before it crosses. Only sys/ imports bun:ffi; above it, only netlink/ comes here.
import { dlopen, toArrayBuffer } from "bun:ffi";
import { type ErrnoName, errnoName } from "./errno.ts";

declare const WARREN_LIBC: string | undefined;

/**
 * The C library's name as the loader has it loaded already. Never a name that may be missing: for one that it
 * can't find, dlopen falls back to the current directory and would run a stranger's code as root.
 */
export const LIBC = typeof WARREN_LIBC === "string" ? WARREN_LIBC : "libc.so.6";

// ssize_t is declared i32: all our buffers are far below 2 GiB, and "i64" would return a BigInt.
const { symbols } = dlopen(LIBC, {
  open: { args: ["cstring", "i32", "i32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  read: { args: ["i32", "buffer", "u64"], returns: "i32" },
  write: { args: ["i32", "buffer", "u64"], returns: "i32" },
  statx: { args: ["i32", "cstring", "i32", "u32", "buffer"], returns: "i32" },
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "buffer", "u32"], returns: "i32" },
  sendto: { args: ["i32", "buffer", "u64", "i32", "buffer", "u32"], returns: "i32" },
  recv: { args: ["i32", "buffer", "u64", "i32"], returns: "i32" },
  getpriority: { args: ["i32", "i32"], returns: "i32" },
  setpriority: { args: ["i32", "i32", "i32"], returns: "i32" },
  setns: { args: ["i32", "i32"], returns: "i32" },
  _exit: { args: ["i32"], returns: "void" },
  __errno_location: { args: [], returns: "ptr" },
} as const);

const errnoAddress = symbols.__errno_location();
if (errnoAddress === null) throw new Error("__errno_location returned no address");
// errno lives in the main thread's storage, whose address never changes: mapped once, a read is a plain load
// with no call between the failing system call and the reading of its errno.
const errnoView = new Int32Array(toArrayBuffer(errnoAddress, 0, 4));

/** Returns errno as the last failing call of this thread left it. */
export function lastErrno(): number {
  return errnoView[0] ?? 0;
}

/** A system call that failed: which call, on what, and the kernel's errno by number and by name. */
export class SystemError extends Error {
  override readonly name = "SystemError";
  readonly errnoName: ErrnoName | `errno ${number}`;

  /** `call` names the call and its object, such as `open /proc/self/ns/net`. */
  constructor(
    readonly call: string,
    readonly errno: number,
  ) {
    const name = errnoName(errno);
    super(`${call}: ${name}`);
    this.errnoName = name;
  }
}

/** Returns true if `error` is a SystemError with one of these errno names. */
export function isSystemError(error: unknown, ...names: ErrnoName[]): error is SystemError {
  return (
    error instanceof SystemError && (names.length === 0 || names.some((name) => name === error.errnoName))
  );
}

/** Returns `value` if it is an integer that an `int` argument can carry; throws a TypeError otherwise. */
export function checkedInt(value: number, what: string): number {
  if (!Number.isInteger(value) || value < -0x8000_0000 || value > 0xffff_ffff) {
    throw new TypeError(`${what} must be a 32-bit integer, got ${String(value)}`);
  }
  return value;
}

/** Returns `path` if the kernel would read it as it is written; throws EINVAL for an empty one or one with NUL. */
export function checkedPath(path: string): string {
  if (path === "" || path.includes("\0")) throw new SystemError(`path ${JSON.stringify(path)}`, 22);
  return path;
}

/**
 * Allocates memory whose address may be handed to the kernel. A plain small Uint8Array may move when its
 * `.buffer` is touched (Bun issue 32054); one that is made over an ArrayBuffer stays.
 */
export function memory(bytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(bytes));
}

/** Runs `attempt` until it is not interrupted; throws SystemError for any other negative result. */
export function retried(call: string, attempt: () => number): number {
  for (;;) {
    const result = attempt();
    if (result >= 0) return result;
    const errno = lastErrno();
    if (errno !== 4) throw new SystemError(call, errno);
  }
}

/** An open file descriptor, closed by `using` or by `close`. Closing twice is harmless. */
export class Descriptor implements Disposable {
  #fd: number;

  constructor(fd: number) {
    this.#fd = checkedInt(fd, "file descriptor");
  }

  /** The number; throws if it was closed, so that a stale number is never used on somebody else's file. */
  get fd(): number {
    if (this.#fd < 0) throw new SystemError("use of a closed file descriptor", 9);
    return this.#fd;
  }

  /** Closes the descriptor; does nothing if it was closed already. */
  close(): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) symbols.close(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

export { symbols as libc };
