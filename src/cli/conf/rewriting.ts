// `warren conf fuse FILE` and `warren conf split FILE`: a chain of plugins as one plugin that does their work too, and
// back. The new list goes to standard output and what changed to standard error, or with --write into the file, from
// which `warren conf undo` takes it back.
import { CniError, ErrorCode } from "../../cni/error.ts";
import { isObject, type JsonObject, parseJson } from "../../conflist/json.ts";
import { log } from "../../log.ts";
import { editConfFile, readConfText } from "../../runtime/conf-file.ts";
import { fuse, type Rewritten, split } from "../../runtime/fusion.ts";
import { DEFAULT_DATA_DIR } from "../../store/sqlite.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";

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
      const text = readConfText(file);
      const before = objectIn(text, file);
      const { document, changes } = rewrite(before, DEFAULT_DATA_DIR);
      const rewritten = `${JSON.stringify(document, null, 2)}\n`;
      if (args.write !== true) writeStdout(rewritten);
      else if (document !== before) editConfFile(file, text, rewritten);
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

function objectIn(text: string, file: string): JsonObject {
  const document = parseJson(text, file);
  if (isObject(document)) return document;
  throw new CniError(ErrorCode.decodingFailure, `${file} is no JSON object`, "expected a .conflist");
}
