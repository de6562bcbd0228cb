// `warren uninstall`: takes away what `install` placed, the links first, and touches nothing else.
import { lstatSync, readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { CniError, describeError, ErrorCode } from "../../cni/error.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { DEFAULT_FOLDER, EXECUTABLE, ownerOf } from "./installation.ts";

export const command = operatorCommand({
  name: "uninstall",
  description: "Remove the executable and its links from where install placed them",
  args: {
    dir: { type: "string", valueHint: "DIR", default: DEFAULT_FOLDER, description: "The folder" },
    json: { type: "boolean", description: "Answer with JSON on standard output" },
  },
  run({ args }) {
    const folder = resolve(args.dir);
    const removed = removeOurs(folder);
    writeStdout(
      args.json === true
        ? `${JSON.stringify({ folder, removed }, null, 4)}\n`
        : removed.length === 0
          ? `Nothing of Warren is in ${folder}\n`
          : `Removed from ${folder}: ${removed.join(", ")}\n`,
    );
    return 0;
  },
});

function removeOurs(folder: string): string[] {
  try {
    const links = readdirSync(folder)
      .filter((name) => lstatSync(join(folder, name)).isSymbolicLink() && ownerOf(folder, name) === "ours")
      .sort();
    // the executable goes last: as long as a link is left, it leads somewhere
    const ours = ownerOf(folder, EXECUTABLE) === "ours" ? [...links, EXECUTABLE] : links;
    const removed = [...new Set(ours)];
    for (const name of removed) rmSync(join(folder, name));
    return removed;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw new CniError(ErrorCode.ioFailure, `can't uninstall from ${folder}: ${describeError(error)}`, "", {
      cause: error,
    });
  }
}
