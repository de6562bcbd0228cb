// `warren install`: copies the running executable into a folder of plugins and links every plugin's name to it.
// Each name changes by one rename, so a plugin that runs meanwhile is never found half written or busy.
import { chmodSync, lstatSync, mkdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import * as v from "valibot";
import { CniError, describeError, ErrorCode } from "../../cni/error.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { copyExecutable } from "./executable-copy.ts";
import { DEFAULT_FOLDER, EXECUTABLE, linkNames, ownerOf } from "./installation.ts";

/** How long the new copy may take to answer; the first start reads 100 MB from disk. */
const START_TIMEOUT_MS = 30_000;

const versionAnswer = v.object({ cniVersion: v.string(), supportedVersions: v.array(v.string()) });

export const command = operatorCommand({
  name: "install",
  description: "Copy this executable, with a link for every plugin, to where runtimes look for plugins",
  args: {
    dir: { type: "string", valueHint: "DIR", default: DEFAULT_FOLDER, description: "The folder" },
    "reference-names": {
      type: "boolean",
      description: "Also link the reference suite's names (bridge, host-local, ...) that we have plugins for",
    },
    force: { type: "boolean", description: "Replace files that are not ours" },
    json: { type: "boolean", description: "Answer with JSON on standard output" },
  },
  async run({ args }) {
    const folder = resolve(args.dir);
    const links = linkNames(args["reference-names"] === true);
    try {
      mkdirSync(folder, { recursive: true, mode: 0o755 });
      refuseForeign(folder, [EXECUTABLE, ...links], args.force === true);
      placeExecutable(folder);
      for (const name of links) placeLink(folder, name);
    } catch (error) {
      if (error instanceof CniError) throw error;
      throw new CniError(ErrorCode.ioFailure, `can't install to ${folder}: ${describeError(error)}`, "", {
        cause: error,
      });
    }
    writeStdout(
      args.json === true
        ? `${JSON.stringify({ folder, executable: EXECUTABLE, links }, null, 4)}\n`
        : `Installed ${join(folder, EXECUTABLE)} with links ${links.join(", ")}\n`,
    );
    return 0;
  },
});

/** Throws CniError 102 naming every entry that is somebody else's; a directory is refused even by force. */
function refuseForeign(folder: string, names: readonly string[], force: boolean): void {
  const foreign = names.filter((name) => {
    if (ownerOf(folder, name) !== "foreign") return false;
    return !force || lstatSync(join(folder, name)).isDirectory();
  });
  if (foreign.length === 0) return;
  throw new CniError(
    ErrorCode.nameTaken,
    `${folder} has entries that are not Warren's: ${foreign.join(", ")}`,
    `nothing was installed; ${force ? "move them away" : "--force replaces them, --dir names another folder"}`,
  );
}

function placeExecutable(folder: string): void {
  const copy = join(folder, `.${EXECUTABLE}-${Bun.randomUUIDv7()}`);
  try {
    copyExecutable("/proc/self/exe", copy);
    // whatever the umask
    chmodSync(copy, 0o755);
    checkStarts(copy);
    renameSync(copy, join(folder, EXECUTABLE));
  } finally {
    rmSync(copy, { force: true });
  }
}

/** Throws CniError 5 unless the file answers VERSION as a plugin: a copy for another machine, or a noexec mount. */
function checkStarts(file: string): void {
  let problem: string;
  try {
    const { exitCode, stdout, stderr } = Bun.spawnSync([file], {
      argv0: "warren-loopback",
      env: { CNI_COMMAND: "VERSION" },
      stdin: "ignore",
      timeout: START_TIMEOUT_MS,
    });
    if (exitCode === 0 && v.is(versionAnswer, JSON.parse(stdout.toString()))) return;
    problem = `exit code ${exitCode}, ${JSON.stringify(`${stdout}${stderr}`.slice(0, 200))}`;
  } catch (error) {
    problem = describeError(error);
  }
  throw new CniError(
    ErrorCode.ioFailure,
    `the copy in ${file} does not start as a plugin: ${problem}`,
    "nothing was installed",
  );
}

function placeLink(folder: string, name: string): void {
  const link = join(folder, `.${name}-${Bun.randomUUIDv7()}`);
  try {
    symlinkSync(EXECUTABLE, link);
    renameSync(link, join(folder, name));
  } finally {
    rmSync(link, { force: true });
  }
}
