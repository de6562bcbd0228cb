// Directories and names: what creating a store, a namespace or a cache file needs. None of it is on the path of
// an ADD that finds its store in place, so these calls are bound when first used.
import { dlopen } from "bun:ffi";
import { statFile } from "./files.ts";
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
    flock: { args: ["i32", "i32"], returns: "i32" },
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

/** Returns the directory that `path` stands in. */
export function parentOf(path: string): string {
  const slash = path.replace(/\/+$/, "").lastIndexOf("/");
  return slash > 0 ? path.slice(0, slash) : slash === 0 ? "/" : ".";
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

/** Cuts an open file to `sizeBytes`; throws SystemError. */
export function truncateFile(fd: number, sizeBytes: number, what: string): void {
  retried(`truncate ${what}`, () => calls().ftruncate(checkedInt(fd, "file descriptor"), BigInt(sizeBytes)));
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
