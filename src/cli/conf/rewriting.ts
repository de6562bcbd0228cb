// `warren conf fuse FILE` and `warren conf split FILE`: a chain of plugins as one plugin that does their work too, and
// back. The new list goes to standard output and what changed to standard error, or with --write into the file, by
// one rename, so that a runtime that reads meanwhile finds the old list or the new one.
import { log } from "../../log.ts";
import { fuse, type Rewritten, split } from "../../runtime/fusion.ts";
import type { JsonObject } from "../../runtime/json.ts";
import { DEFAULT_DATA_DIR } from "../../store/sqlite.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { readList, replaceList } from "./list-file.ts";

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
      const before = readList(file);
      const { document, changes } = rewrite(before, DEFAULT_DATA_DIR);
      const text = `${JSON.stringify(document, null, 2)}\n`;
      if (args.write !== true) writeStdout(text);
      else if (document !== before) replaceList(file, text);
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
