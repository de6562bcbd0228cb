// Directories and names: what creating a store, a namespace or a cache file needs. None of it is on the path of
// an ADD that finds its store in place, so these calls are bound when first used.
import { dlopen } from "bun:ffi";
import { OpenFlag, openFile, statFile, writeAll } from "./files.ts";
import {
  checkedInt,
  checkedPath,
  isSystemError,
  LIBC,
  lastErrno,
  memory,
  retried,
  SystemError,
} from "./libc.ts";

/** Operations of flock(2). */
const LOCK_EX = 2;
const LOCK_NB = 4;

let bound: ReturnType<typeof bind> | undefined;
function bind() {
  return dlopen(LIBC, {
    mkdir: { args: ["cstring", "u32"], returns: "i32" },
    unlink: { args: ["cstring"], returns: "i32" },
    rename: { args: ["cstring", "cstring"], returns: "i32" },
    ftruncate: { args: ["i32", "i64"], returns: "i32" },
    fsync: { args: ["i32"], returns: "i32" },
    flock: { args: ["i32", "i32"], returns: "i32" },
    syscall: { args: ["i64", "i32", "buffer", "u64"], returns: "i32" },
    statfs: { args: ["cstring", "buffer"], returns: "i32" },
  } as const).symbols;
}
function calls() {
  bound ??= bind();
  return bound;
}

/** Makes a directory; one that is there already is left as it is. Throws SystemError. */
export function makeDirectory(path: string, mode: number): void {
  checkedPath(path);
  if (calls().mkdir(path, checkedInt(mode, "mode")) === 0) return;
  const errno = lastErrno();
  if (statFile(path)?.kind !== "directory") throw new SystemError(`mkdir ${path}`, errno);
}

/** Makes a directory, and those above it that are missing, which others may read. Throws SystemError. */
export function makeDirectories(path: string, mode: number): void {
  if (statFile(path)?.kind === "directory") return;
  const parent = parentOf(path);
  if (parent !== path) makeDirectories(parent, 0o755);
  makeDirectory(path, mode);
}

/** Returns the directory that `path` stands in. */
export function parentOf(path: string): string {
  const slash = path.replace(/\/+$/, "").lastIndexOf("/");
  return slash > 0 ? path.slice(0, slash) : slash === 0 ? "/" : ".";
}

/** getdents64(2) by its number: older C libraries have no function for it. */
const SYS_GETDENTS64 = process.arch === "arm64" ? 61 : 217;

/** The offsets in struct linux_dirent64, and the types in it (linux/dirent.h). */
const RECORD_LENGTH_OFFSET = 16;
const TYPE_OFFSET = 18;
const NAME_OFFSET = 19;
const DT_UNKNOWN = 0;
const DT_DIR = 4;

/** A name in a directory. */
export interface DirectoryEntry {
  readonly name: string;
  /** False for a link that leads to a directory. */
  readonly isDirectory: boolean;
}

/** Returns what is in a directory, in no order, without `.` and `..`. Throws SystemError. */
export function directoryEntries(path: string): DirectoryEntry[] {
  using directory = openFile(path, OpenFlag.readOnly | OpenFlag.directory);
  const buffer = memory(32 * 1024);
  const view = new DataView(buffer.buffer);
  const decoder = new TextDecoder();
  const entries: DirectoryEntry[] = [];
  for (;;) {
    const length = retried(`getdents64 ${path}`, () =>
      calls().syscall(SYS_GETDENTS64, directory.fd, buffer, buffer.length),
    );
    if (length === 0) return entries;
    for (let offset = 0; offset < length; offset += view.getUint16(offset + RECORD_LENGTH_OFFSET, true)) {
      const start = offset + NAME_OFFSET;
      const name = decoder.decode(buffer.subarray(start, buffer.indexOf(0, start)));
      if (name === "." || name === "..") continue;
      const type = view.getUint8(offset + TYPE_OFFSET);
      // some file systems don't say what an entry is
      const isDirectory =
        type === DT_DIR || (type === DT_UNKNOWN && statFile(`${path}/${name}`)?.kind === "directory");
      entries.push({ name, isDirectory });
    }
  }
}

/** Removes a name; a missing one is success. Throws SystemError. */
export function removeFile(path: string): void {
  checkedPath(path);
  if (calls().unlink(path) < 0 && lastErrno() !== 2) throw new SystemError(`unlink ${path}`, lastErrno());
}

/** Gives a file another name, which belongs to no other file from then on. Throws SystemError. */
export function renameFile(from: string, to: string): void {
  checkedPath(from);
  checkedPath(to);
  retried(`rename ${from} to ${to}`, () => calls().rename(from, to));
}

/**
 * Puts a file with this text into the place of `path` by one rename: a reader finds the old text or the new one, also
 * after a power failure. The directory has to be there, and nobody else writes the file meanwhile. Throws SystemError.
 */
export function replaceFile(path: string, text: string, mode: number): void {
  const draft = draftOf(path);
  try {
    // of one that was killed
    removeFile(draft);
    using file = openFile(draft, OpenFlag.writeOnly | OpenFlag.create | OpenFlag.exclusive, mode);
    writeAll(file.fd, new TextEncoder().encode(text), draft);
    syncFile(file.fd, draft);
    renameFile(draft, path);
  } catch (error) {
    removeFile(draft);
    throw error;
  }
  using folder = openFile(parentOf(path), OpenFlag.readOnly | OpenFlag.directory);
  syncFile(folder.fd, parentOf(path));
}

/** No ending that runtimes read as a config. */
function draftOf(path: string): string {
  return `${path}.new`;
}

/** Removes a file, and what a killed replaceFile left of it; missing ones are success. Throws SystemError. */
export function removeReplaced(path: string): void {
  removeFile(draftOf(path));
  removeFile(path);
}

/** Cuts an open file to `sizeBytes`; throws SystemError. */
export function truncateFile(fd: number, sizeBytes: number, what: string): void {
  retried(`truncate ${what}`, () => calls().ftruncate(checkedInt(fd, "file descriptor"), BigInt(sizeBytes)));
}

/** Waits until what an open file or directory holds is on the disk; throws SystemError. */
export function syncFile(fd: number, what: string): void {
  retried(`fsync ${what}`, () => calls().fsync(checkedInt(fd, "file descriptor")));
}

/** Locks the open file for this process alone if nobody else has it locked; returns false if somebody has. */
export function tryLock(fd: number, what: string): boolean {
  // LOCK_EX | LOCK_NB
  if (calls().flock(checkedInt(fd, "file descriptor"), 2 | 4) === 0) return true;
  if (lastErrno() === 11) return false;
  throw new SystemError(`flock ${what}`, lastErrno());
}

/** Waits until the open file is locked for this process alone; the lock goes with the descriptor. */
export function lockExclusively(fd: number, what: string): void {
  retried(`flock ${what}`, () => calls().flock(checkedInt(fd, "file descriptor"), LOCK_EX));
}

/** Locks the open file for this process alone; returns false, without waiting, if somebody else has it locked. */
export function lockIfFree(fd: number, what: string): boolean {
  try {
    retried(`flock ${what}`, () => calls().flock(checkedInt(fd, "file descriptor"), LOCK_EX | LOCK_NB));
    return true;
  } catch (error) {
    if (isSystemError(error, "EAGAIN")) return false;
    throw error;
  }
}

/** Returns how many bytes an ordinary user may still write to the file system that `path` is on (statfs(2)). */
export function freeBytes(path: string): bigint {
  const buffer = memory(256);
  retried(`statfs ${path}`, () => calls().statfs(checkedPath(path), buffer));
  const view = new DataView(buffer.buffer);
  // f_bsize and f_bavail, words of 64 bits on the architectures that we build for
  return view.getBigInt64(8, true) * view.getBigInt64(32, true);
}

/** Returns the type of the file system that `path` is on, as statfs(2) numbers them (linux/magic.h). */
export function fileSystemType(path: string): number {
  const buffer = memory(256);
  retried(`statfs ${path}`, () => calls().statfs(checkedPath(path), buffer));
  // f_type is a word of 64 bits on the architectures that we build for
  return Number(new DataView(buffer.buffer).getBigInt64(0, true) & 0xffff_ffffn);
}
