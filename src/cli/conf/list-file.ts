// The file of a network list as an operator's commands read and replace it.
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { CniError, describeError, ErrorCode } from "../../cni/error.ts";
import { isObject, type JsonObject, parseJson } from "../../runtime/json.ts";

const PERMISSION_BITS = 0o777;

/** Returns the object in the file; throws CniError 5 if it can't be read, 6 if it is no JSON object. */
export function readList(file: string): JsonObject {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new CniError(ErrorCode.ioFailure, `can't read ${file}: ${describeError(error)}`, "", {
      cause: error,
    });
  }
  const document = parseJson(text, file);
  if (isObject(document)) return document;
  throw new CniError(ErrorCode.decodingFailure, `${file} is no JSON object`, "expected a .conflist");
}

/**
 * Puts `text` into the file by one rename, with the mode that it had: a runtime that reads meanwhile finds the old list or
 * the new one. Throws CniError 5.
 */
export function replaceList(path: string, text: string | Uint8Array): void {
  // a link goes on leading to the file
  const file = realpathSync(path);
  // no ending that runtimes read as a config
  const draft = `${file}.${process.pid}.new`;
  try {
    const { mode, uid, gid } = statSync(file);
    const draftFile = openSync(draft, "wx", 0o600);
    try {
      writeFileSync(draftFile, text);
      // whoever may read or write the old list may do so with the new one; a change of owner can take mode bits away
      fchownSync(draftFile, uid, gid);
      fchmodSync(draftFile, mode & PERMISSION_BITS);
      // a power failure leaves the old list or the new one, too
      fsyncSync(draftFile);
    } finally {
      closeSync(draftFile);
    }
    renameSync(draft, file);
  } catch (error) {
    rmSync(draft, { force: true });
    throw new CniError(ErrorCode.ioFailure, `can't write ${file}: ${describeError(error)}`, "", {
      cause: error,
    });
  }
}
