// A file that many processes append records to, as root and maybe in a directory that everybody may write to. A record
// is written whole or not at all, never into anything but a plain file of our own, and the file does not grow for ever.
import { removeFile, renameFile, truncateFile, tryLock } from "../sys/directory.ts";
import { OpenFlag, openFile, statDescriptor, statFile, writeAll } from "../sys/files.ts";
import { type Descriptor, isSystemError, SystemError } from "../sys/libc.ts";
import { effectiveUser } from "../sys/process.ts";

/** How long a writer waits for the others before it gives up. */
const LOCK_TIMEOUT_MS = 5000;

/** A log that can't be written: which, and why. */
export class LogFileError extends Error {
  override readonly name = "LogFileError";

  constructor(
    readonly path: string,
    problem: string,
    options?: { readonly cause?: unknown },
  ) {
    super(`${path} ${problem}`, options);
  }
}

/** Where records go, and how much of them is kept. */
export interface LogFilePlace {
  /** An absolute path. */
  readonly path: string;
  /** A record that would make the file larger begins a new one; the old one becomes `path.1`. */
  readonly largestBytes: number;
  /** How many old files are kept, `path.1` the youngest. */
  readonly oldFiles: number;
}

/** Appends `record`; throws LogFileError, and then nothing of it is in the file. */
export function appendRecord(place: LogFilePlace, record: Uint8Array): void {
  explained(place.path, () => {
    for (;;) {
      using file = openLocked(place.path);
      const sizeBytes = Number(statDescriptor(file.fd).bytes);
      if (sizeBytes > 0 && sizeBytes + record.length > place.largestBytes) {
        rotate(place);
        // the name now leads to a new file, which has a lock of its own
        continue;
      }
      try {
        writeAll(file.fd, record, place.path);
      } catch (error) {
        truncateFile(file.fd, sizeBytes, place.path);
        throw error;
      }
      return;
    }
  });
}

/** Opens the file as a record would, and makes it if it is not there; throws LogFileError. */
export function checkLogFile(path: string): void {
  explained(path, () => openLocked(path)[Symbol.dispose]());
}

/** Returns the file, locked, and still the one that its name leads to. */
function openLocked(path: string): Descriptor {
  if (!path.startsWith("/")) throw new LogFileError(path, "is no absolute path");
  const endMs = performance.now() + LOCK_TIMEOUT_MS;
  // a pipe that nobody reads would hold up an ADD for ever
  const flags =
    OpenFlag.writeOnly | OpenFlag.append | OpenFlag.create | OpenFlag.noFollow | OpenFlag.nonBlocking;
  for (;;) {
    const file = openFile(path, flags, 0o600);
    try {
      const status = statDescriptor(file.fd);
      if (status.kind !== "file") throw new LogFileError(path, "is no plain file");
      // somebody else's file, or another name of any file, would be filled in his stead
      if (status.owner !== effectiveUser()) {
        throw new LogFileError(path, `belongs to user ${status.owner}, not to ${effectiveUser()}`);
      }
      if (status.links > 1) throw new LogFileError(path, `has ${status.links} names`);
      while (!tryLock(file.fd, path)) {
        if (performance.now() > endMs) {
          throw new LogFileError(path, `was locked for more than ${LOCK_TIMEOUT_MS} ms`);
        }
        Bun.sleepSync(1);
      }
      const named = statFile(path);
      if (named?.inode === status.inode && named.device === status.device) return file;
      // it was rotated away meanwhile
      file.close();
    } catch (error) {
      file.close();
      throw error;
    }
  }
}

/** Moves every file one number up, and what is beyond the last number goes. Only who has the lock does it. */
function rotate({ path, oldFiles }: LogFilePlace): void {
  if (oldFiles === 0) {
    removeFile(path);
    return;
  }
  for (let number = oldFiles - 1; number > 0; number--) moveUp(path, number);
  renameFile(path, `${path}.1`);
}

function moveUp(path: string, number: number): void {
  try {
    renameFile(`${path}.${number}`, `${path}.${number + 1}`);
  } catch (error) {
    // there are not so many yet
    if (!isSystemError(error, "ENOENT")) throw error;
  }
}

function explained(path: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new LogFileError(path, problemOf(error), { cause: error });
  }
}

function problemOf(error: SystemError): string {
  switch (error.errnoName) {
    case "ELOOP":
      return "is a symbolic link, which is never followed";
    case "ENXIO":
    case "EISDIR":
      return "is no plain file";
    default:
      return `can't be written: ${error.message}`;
  }
}
