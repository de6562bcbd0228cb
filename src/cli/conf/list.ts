// `warren conf list`: the files of the folder in the order in which runtimes read them, and what each is used for.
import { countUndoable } from "../../runtime/conf-file.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { paragraph } from "../terminal/output.ts";
import { printTable } from "../terminal/table.ts";
import { describeChoice, folderFlags, openFolder, useOf } from "./folder.ts";

export const command = operatorCommand({
  name: "list",
  description: "List the configs in the order in which runtimes read them, and what each is used for",
  args: folderFlags,
  run({ args }) {
    const opened = openFolder(args);
    const { folder, choice } = opened;
    const rows = folder.files.map((file) => ({
      file: file.name,
      network: file.network?.name ?? "",
      version: file.network?.cniVersion ?? "",
      plugins: file.network?.plugins.map(({ type }) => type).join(" ") ?? "",
      use: useOf(file, opened),
    }));
    if (args.json === true) {
      const files = folder.files.map((file, index) => ({
        ...rows[index],
        path: file.path,
        dropIns: file.network?.dropIns ?? [],
        taken: choice.chosen.includes(file),
        undoable: countUndoable(file.path),
        ...(file.problem === undefined ? {} : { problem: file.problem.message, cure: file.problem.details }),
      }));
      writeStdout(
        `${JSON.stringify({ folder: folder.path, why: describeChoice(opened), files }, null, 4)}\n`,
      );
      return 0;
    }
    if (rows.length > 0) printTable(rows);
    writeStdout(paragraph(describeChoice(opened)));
    return 0;
  },
});
