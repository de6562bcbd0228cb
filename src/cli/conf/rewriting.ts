// `warren conf fuse FILE` and `warren conf split FILE`: a chain of plugins as one plugin that does their work too, and
// back. The new list goes to standard output and what changed to standard error, or with --write into the file, by
// one rename, so that a runtime that reads meanwhile finds the old list or the new one.
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
import { log } from "../../log.ts";
import { fuse, type Rewritten, split } from "../../runtime/fusion.ts";
import { isObject, type JsonObject, parseJson } from "../../runtime/json.ts";
import { DEFAULT_DATA_DIR } from "../../store/sqlite.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";

const PERMISSION_BITS = 0o777;

type Rewrite = (document: JsonObject, defaultDataDir: string) => Rewritten;

function rewritingCommand(name: string, description: string, rewrite: Rewrite) {
  return operatorCommand({
    name,
    description,
    args: {
      file: { type: "positional", required: true, description: "The .conflist" },
      write: { type: "boolean", description: "Write the new list into the file" },
    },
    run({ args }) {
      const { file } = args;
      const before = read(file);
      const { document, changes } = rewrite(before, DEFAULT_DATA_DIR);
      const text = `${JSON.stringify(document, null, 2)}\n`;
      if (args.write !== true) writeStdout(text);
      else if (document !== before) replace(file, text);
      for (const change of changes) log.info(change);
      return 0;
    },
  });
}

export const fuseCommand = rewritingCommand(
  "fuse",
  "Rewrite a chain of plugins as one that does all their work in one process",
  fuse,
);

export const splitCommand = rewritingCommand(
  "split",
  "Rewrite a plugin that does the work of several as a chain of them",
  split,
);

function read(file: string): JsonObject {
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

function replace(path: string, text: string): void {
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
