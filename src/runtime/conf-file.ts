// One config file, changed in one step: a runtime that reads meanwhile finds the old text or the new one, whole. The
// text that was there stays beside it under the digest of the text that replaced it, so that an edit can be taken back
// as long as nobody else has changed the file, and a change of somebody else's is never lost.
import { createHash } from "node:crypto";
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { CniError, describeError, ErrorCode } from "../cni/error.ts";

const PERMISSION_BITS = 0o777;

/** How many edits of one file can be taken back. */
const KEPT_EDITS = 10;

/** Between a file's name and an edit's number and digest: no runtime reads a file of such an ending. */
const BEFORE = ".before-";

/** Who may read and write a file. */
interface Access {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** A text that an edit has replaced. */
interface KeptText {
  readonly path: string;
  /** Later edits have higher numbers. */
  readonly number: number;
  /** Of the text that the edit has written. */
  readonly digest: string;
}

/** Returns the text of the file. Throws CniError 5. */
export function readConfText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new CniError(ErrorCode.ioFailure, `can't read ${path}: ${describeError(error)}`, "", {
      cause: error,
    });
  }
}

/**
 * Writes `after` into the file, which has to hold `before` still, and keeps that for undoEdit unless told otherwise. A link
 * goes on leading to its file, and owner and mode stay. Throws CniError 5, and then nothing has changed.
 */
export function editConfFile(path: string, before: string, after: string, { isUndoable = true } = {}): void {
  if (after === before) return;
  changing(path, (file) => {
    const access = statSync(file);
    const number = (keptTexts(file).at(-1)?.number ?? 0) + 1;
    const kept = `${file}${BEFORE}${number}-${digestOf(after)}`;
    if (isUndoable) place(kept, before, access);
    try {
      if (readFileSync(file, "utf8") !== before) {
        throw new CniError(
          ErrorCode.ioFailure,
          `${path} was changed by somebody else meanwhile`,
          "nothing was written: look at it, and try again",
        );
      }
      place(file, after, access);
    } catch (error) {
      rmSync(kept, { force: true });
      throw error;
    }
    for (const old of keptTexts(file).slice(0, -KEPT_EDITS)) rmSync(old.path, { force: true });
  });
}

/**
 * Writes a file of ours, new or old, whole or not at all; who may read the file `like` may read it, too. Throws CniError 5.
 */
export function writeConfFile(path: string, text: string, like: string): void {
  try {
    place(path, text, statSync(like));
  } catch (error) {
    throw new CniError(ErrorCode.ioFailure, `can't write ${path}: ${describeError(error)}`, "", {
      cause: error,
    });
  }
}

/** Takes the last edit of the file back. Throws CniError 5 if there is none, or somebody else changed the file since. */
export function undoEdit(path: string): void {
  const text = readConfText(path);
  changing(path, (file) => {
    const last = keptTexts(file).at(-1);
    if (last === undefined) {
      throw new CniError(
        ErrorCode.ioFailure,
        `warren conf has written nothing to ${path} that it could take back`,
      );
    }
    if (last.digest !== digestOf(text)) {
      throw new CniError(
        ErrorCode.ioFailure,
        `${path} was changed by somebody else since warren conf has written it`,
        `nothing was taken back; the text before that edit is in ${last.path}`,
      );
    }
    renameSync(last.path, file);
    syncFolder(file);
  });
}

/** Returns how many edits of the file can be taken back, one after the other. */
export function countUndoable(path: string): number {
  return changing(path, (file) => {
    let digest = digestOf(readConfText(file));
    let count = 0;
    for (const kept of keptTexts(file).toReversed()) {
      if (kept.digest !== digest) break;
      count++;
      digest = digestOf(readConfText(kept.path));
    }
    return count;
  });
}

function changing<T>(path: string, change: (file: string) => T): T {
  try {
    return change(realpathSync(path));
  } catch (error) {
    if (error instanceof CniError) throw error;
    throw new CniError(ErrorCode.ioFailure, `can't write ${path}: ${describeError(error)}`, "", {
      cause: error,
    });
  }
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}

/** The texts that are kept of the file, the one of the first edit first. */
function keptTexts(file: string): KeptText[] {
  const beginning = `${basename(file)}${BEFORE}`;
  return readdirSync(dirname(file))
    .filter((name) => name.startsWith(beginning))
    .flatMap((name): KeptText[] => {
      const [, number, digest] = /^(\d+)-([0-9a-f]{12})$/.exec(name.slice(beginning.length)) ?? [];
      if (number === undefined || digest === undefined) return [];
      return [{ path: join(dirname(file), name), number: Number(number), digest }];
    })
    .sort((left, right) => left.number - right.number);
}

/** Puts a file with this text into its place by one rename, and makes sure that it outlives a power failure. */
function place(file: string, text: string, { mode, uid, gid }: Access): void {
  // no ending that runtimes read as a config
  const draft = `${file}.${process.pid}.new`;
  try {
    const descriptor = openSync(draft, "wx", 0o600);
    try {
      writeFileSync(descriptor, text);
      // whoever may read or write the old text may do so with the new one; a change of owner can take mode bits away
      fchownSync(descriptor, uid, gid);
      fchmodSync(descriptor, mode & PERMISSION_BITS);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(draft, file);
    syncFolder(file);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

function syncFolder(file: string): void {
  const folder = openSync(dirname(file), "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
