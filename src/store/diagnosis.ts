// What the errors of SQLite and of the kernel say about a store: which problem it is, in words that name the place
// and the cure.
import { SQLiteError } from "bun:sqlite";
import { OpenFlag, openFile, statFile } from "../sys/files.ts";
import { type Descriptor, isSystemError, type SystemError } from "../sys/libc.ts";
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
  [
    "SQLITE_READONLY",
    "read-only",
    "could be opened for reading only, though nothing keeps it from being written now",
    "try again",
  ],
  ["SQLITE_CORRUPT", "corrupt", "is corrupt", "restore it, or move it away: leases are then forgotten"],
  ["SQLITE_NOTADB", "corrupt", "is not an SQLite database", "move the file away, or correct dataDir"],
];

const SYSTEM_PROBLEMS: Readonly<
  Record<string, readonly [problem: StoreProblem, words: string, cure: string]>
> = {
  EROFS: ["read-only", "is on a read-only file system", "mount it read-write, or move dataDir"],
  EACCES: ["permission denied", "may not be opened", "check the owner and mode of dataDir"],
  EPERM: ["permission denied", "may not be written", "check the owner, mode and attributes of dataDir"],
  ENOSPC: ["disk full", "can't be created: the disk is full", "free some space, or move dataDir"],
  EDQUOT: ["disk full", "can't be created: the disk quota is used up", "free some space, or move dataDir"],
  EMFILE: [
    "out of descriptors",
    "can't be opened: this process has as many files open as it may have (EMFILE)",
    "raise the limit that the runtime sets (ulimit -n, LimitNOFILE)",
  ],
  ENFILE: [
    "out of descriptors",
    "can't be opened: the machine has as many files open as it may have (ENFILE)",
    "raise fs.file-max, or end what holds so many",
  ],
  ENOTDIR: ["not a directory", "is in something that is not a directory", "correct dataDir"],
  EEXIST: ["not a directory", "is in something that is not a directory", "correct dataDir"],
  ELOOP: ["not a file", "is a symbolic link", "remove the link: the store is never opened through one"],
  EISDIR: ["not a file", "is a directory, not a file", "move the directory away, or correct dataDir"],
};

/** Results of SQLite that hide an errno: it could not open a file, read it, write it, or only as a reader. */
const HIDING = /^SQLITE_(READONLY|CANTOPEN|IOERR|PERM|AUTH)/;

/**
 * Returns the error as a StoreError if it comes from the database or the file system, and as it is otherwise. To be
 * called while the database is still open: what kept it from being opened may be what it holds itself. `file` is where
 * the database is as long as it is not at its location yet.
 */
export function storeErrorOf(error: unknown, location: string, file = location): unknown {
  if (error instanceof SQLiteError) {
    const refused = HIDING.test(error.code ?? "") ? refusalOf(file) : undefined;
    return refused === undefined ? ofDatabase(error, location) : ofSystem(refused, location, error);
  }
  return isSystemError(error) ? ofSystem(error, location, error) : error;
}

/**
 * Returns why the kernel does not let the store's files be opened as SQLite opens them, all at the same time;
 * undefined if it does.
 */
function refusalOf(file: string): SystemError | undefined {
  const opened: Descriptor[] = [];
  try {
    for (const suffix of ["", "-wal", "-shm"]) {
      const path = `${file}${suffix}`;
      // one that SQLite would have to make takes a descriptor like any other
      const present = suffix === "" || statFile(path) !== undefined ? path : file;
      opened.push(openFile(present, OpenFlag.readWrite | OpenFlag.noFollow));
    }
    return undefined;
  } catch (error) {
    if (isSystemError(error)) return error;
    throw error;
  } finally {
    for (const one of opened) one.close();
  }
}

function ofDatabase(error: SQLiteError, location: string): StoreError {
  const [, problem, words, cure] = PROBLEMS.find(([code]) => error.code?.startsWith(code)) ?? [
    "",
    "unusable",
    `can't be used: ${error.message} (${error.code ?? "no code"})`,
    "check the file and its file system",
  ];
  return new StoreError(location, problem, `the store ${location} ${words}`, cure, { cause: error });
}

function ofSystem(error: SystemError, location: string, cause: unknown): StoreError {
  const [problem, words, cure] = SYSTEM_PROBLEMS[error.errnoName] ?? [
    "unusable",
    `can't be used: ${error.message}`,
    "check the file and its file system",
  ];
  return new StoreError(location, problem, `the store ${location} ${words}`, cure, { cause });
}
