// Files as the hot path needs them, over the C library: importing node:fs costs more than 1 ms of start-up and
// starts threads, which would keep a foreign network namespace for life if they were born inside one.
import {
  checkedInt,
  checkedPath,
  Descriptor,
  isSystemError,
  lastErrno,
  libc,
  memory,
  retried,
  SystemError,
} from "./libc.ts";

const ARM64 = process.arch === "arm64";

/** Flags for `openFile`, from asm-generic/fcntl.h; O_DIRECTORY and O_NOFOLLOW differ on arm64. */
export const OpenFlag = {
  readOnly: 0,
  writeOnly: 1,
  readWrite: 2,
  create: 0o100,
  exclusive: 0o200,
  truncate: 0o1000,
  append: 0o2000,
  directory: ARM64 ? 0o40000 : 0o200000,
  noFollow: ARM64 ? 0o100000 : 0o400000,
  closeOnExec: 0o2000000,
  nonBlocking: 0o4000,
} as const;

/**
 * Opens `path`, always close-on-exec and non-blocking: where somebody put a pipe in the place of a file, opening it
 * must not wait for its other end. Files don't know the difference. Throws SystemError. `mode` is used only when a
 * file is created.
 */
export function openFile(path: string, flags: number, mode = 0o600): Descriptor {
  checkedPath(path);
  const all = checkedInt(flags, "open flags") | OpenFlag.closeOnExec | OpenFlag.nonBlocking;
  return new Descriptor(retried(`open ${path}`, () => libc.open(path, all, mode)));
}

/** Writes all of `bytes` to an open descriptor, waiting where a non-blocking one is full; throws SystemError. */
export function writeAll(fd: number, bytes: Uint8Array, what: string): void {
  checkedInt(fd, "file descriptor");
  let offset = 0;
  while (offset < bytes.length) {
    const rest = bytes.subarray(offset);
    const written = libc.write(fd, rest, rest.length);
    if (written >= 0) offset += written;
    else if (lastErrno() === 11) Bun.sleepSync(1);
    else if (lastErrno() !== 4) throw new SystemError(`write ${what}`, lastErrno());
  }
}

/** Most files of the kernel and most configs fit in; memory is written over when it is made, and so is all there. */
const FIRST_READ_BYTES = 4096;

/**
 * Reads an open descriptor to its end, whatever it is (file, pipe, socket, non-blocking or not).
 * Throws SystemError, and EFBIG when there are more than `limitBytes`.
 */
export function readAll(fd: number, what: string, limitBytes: number): Uint8Array {
  checkedInt(fd, "file descriptor");
  let buffer = memory(FIRST_READ_BYTES);
  let length = 0;
  for (;;) {
    const rest = buffer.subarray(length);
    const count = libc.read(fd, rest, rest.length);
    if (count === 0) return buffer.subarray(0, length);
    if (count < 0) {
      if (lastErrno() === 11) Bun.sleepSync(1);
      else if (lastErrno() !== 4) throw new SystemError(`read ${what}`, lastErrno());
      continue;
    }
    length += count;
    if (length > limitBytes) throw new SystemError(`read ${what}: more than ${limitBytes} bytes`, 27);
    if (length === buffer.length) {
      const larger = memory(buffer.length * 4);
      larger.set(buffer);
      buffer = larger;
    }
  }
}

const SMALL_FILE_BYTES = 1 << 20;
const ESPIPE = 29;

/** Reads a whole file; throws SystemError, EFBIG above the limit and ESPIPE for a pipe, which may never end. */
export function readBytes(path: string, limitBytes: number): Uint8Array {
  using file = openFile(path, OpenFlag.readOnly);
  if (statDescriptor(file.fd).kind === "pipe") throw new SystemError(`read ${path}: a pipe`, ESPIPE);
  return readAll(file.fd, path, limitBytes);
}

/** Reads a whole text file; throws as `readBytes` does. Meant for small files: the limit is 1 MiB. */
export function readText(path: string): string {
  return new TextDecoder().decode(readBytes(path, SMALL_FILE_BYTES));
}

/** Writes `text` into an existing file in one call, as /proc/sys wants it; throws SystemError. */
export function writeText(path: string, text: string): void {
  using file = openFile(path, OpenFlag.writeOnly);
  writeAll(file.fd, new TextEncoder().encode(text), path);
}

/** What `statFile` tells of a file. Two paths are the same file exactly if device and inode are equal. */
export interface FileStatus {
  readonly device: string;
  readonly inode: bigint;
  readonly kind: "file" | "directory" | "link" | "pipe" | "socket" | "other";
  readonly mode: number;
  /** Its length. */
  readonly bytes: bigint;
  /** The numeric id of the user whom the file belongs to. */
  readonly owner: number;
  /** How many names the file has. */
  readonly links: number;
}

const statusBuffer = memory(256);
const statusView = new DataView(statusBuffer.buffer);
const KINDS: Readonly<Record<number, FileStatus["kind"]>> = {
  1: "pipe",
  4: "directory",
  8: "file",
  10: "link",
  12: "socket",
};
const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;

// struct statx has one layout on every architecture (linux/stat.h); struct stat has not.
function statusOf(call: string, directory: number, path: string, flags: number): FileStatus {
  retried(call, () => libc.statx(directory, path, flags, STATX_BASIC_STATS, statusBuffer));
  const mode = statusView.getUint16(28, true);
  return {
    device: `${statusView.getUint32(136, true)}:${statusView.getUint32(140, true)}`,
    inode: statusView.getBigUint64(32, true),
    kind: KINDS[mode >> 12] ?? "other",
    mode: mode & 0o7777,
    bytes: statusView.getBigUint64(40, true),
    owner: statusView.getUint32(20, true),
    links: statusView.getUint32(16, true),
  };
}

/** Returns the status of what `path` leads to, or undefined if nothing is there; throws SystemError otherwise. */
export function statFile(path: string): FileStatus | undefined {
  return statusAt(path, 0);
}

/** Returns the status of what has the name `path`, which may be a link; otherwise as `statFile`. */
export function statName(path: string): FileStatus | undefined {
  return statusAt(path, AT_SYMLINK_NOFOLLOW);
}

function statusAt(path: string, flags: number): FileStatus | undefined {
  checkedPath(path);
  try {
    return statusOf(`stat ${path}`, AT_FDCWD, path, flags);
  } catch (error) {
    if (isSystemError(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

/** Returns the status of an open descriptor; throws SystemError. */
export function statDescriptor(fd: number): FileStatus {
  return statusOf(`stat descriptor ${fd}`, checkedInt(fd, "file descriptor"), "", AT_EMPTY_PATH);
}
