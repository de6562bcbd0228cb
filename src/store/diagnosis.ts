// What the errors of SQLite and of the kernel say about a store: which problem it is, in words that name the place
// and the cure.
import { SQLiteError } from "bun:sqlite";
import { statFile } from "../sys/files.ts";
import { isSystemError } from "../sys/libc.ts";
import { StoreError, type StoreProblem } from "./store.ts";

/** How long a writer waits for the others before it gives up. */
export const LOCK_TIMEOUT_MS = 10_000;

const PROBLEMS: readonly (readonly [code: string, problem: StoreProblem, words: string, cure: string])[] = [
  [
    "SQLITE_BUSY",
    "locked",
    `was locked for more than ${LOCK_TIMEOUT_MS} ms`,
    "see which process holds it, and try again",
  ],
  ["SQLITE_FULL", "disk full", "can't grow: the disk is full", "free some space, or move dataDir"],
  ["SQLITE_READONLY", "read-only", "is read-only", "mount its file system read-write, or move dataDir"],
  ["SQLITE_CORRUPT", "corrupt", "is corrupt", "restore it, or move it away: leases are then forgotten"],
  ["SQLITE_NOTADB", "corrupt", "is not an SQLite database", "move the file away, or correct dataDir"],
  ["SQLITE_PERM", "permission denied", "may not be opened", "check the owner and mode of the file"],
];

const SYSTEM_PROBLEMS: Readonly<
  Record<string, readonly [problem: StoreProblem, words: string, cure: string]>
> = {
  EROFS: ["read-only", "is on a read-only file system", "mount it read-write, or move dataDir"],
  EACCES: ["permission denied", "may not be opened", "check the owner and mode of dataDir"],
  EPERM: ["permission denied", "may not be written", "check the owner, mode and attributes of dataDir"],
  ENOSPC: ["disk full", "can't be created: the disk is full", "free some space, or move dataDir"],
  EDQUOT: ["disk full", "can't be created: the disk quota is used up", "free some space, or move dataDir"],
  ENOTDIR: ["not a directory", "is in something that is not a directory", "correct dataDir"],
  EEXIST: ["not a directory", "is in something that is not a directory", "correct dataDir"],
  ELOOP: ["not a file", "is a symbolic link", "remove the link: the store is never opened through one"],
  EISDIR: ["not a file", "is a directory", "move the directory away, or correct dataDir"],
};

/** Returns the error as a StoreError if it comes from the database or the file system, and as it is otherwise. */
export function storeErrorOf(error: unknown, location: string): unknown {
  if (error instanceof SQLiteError) {
    const known = PROBLEMS.find(([code]) => error.code?.startsWith(code));
    if (known !== undefined) {
      const [, problem, words, cure] = known;
      return new StoreError(location, problem, `the store ${location} ${words}`, cure, { cause: error });
    }
    const kind = statFile(location)?.kind;
    if (kind !== undefined && kind !== "file") {
      return new StoreError(
        location,
        "not a file",
        `the store ${location} is a ${kind}, not a file`,
        "move it away, or correct dataDir",
        { cause: error },
      );
    }
    return new StoreError(
      location,
      "unusable",
      `the store ${location} can't be used: ${error.message} (${error.code ?? "no code"})`,
      "check the file and its file system",
      { cause: error },
    );
  }
  if (isSystemError(error)) {
    const [problem, words, cure] = SYSTEM_PROBLEMS[error.errnoName] ?? [
      "unusable",
      `can't be used: ${error.message}`,
      "check the file and its file system",
    ];
    return new StoreError(location, problem, `the store ${location} ${words}`, cure, { cause: error });
  }
  return error;
}
