// `warren conf watch`: says when what containerd would take out of the folder becomes something else: another file,
// another text in it, or nothing because one broke. The kernel tells of changes (inotify); nothing is asked in a loop.
import { createHash } from "node:crypto";
import { existsSync, type FSWatcher, watch } from "node:fs";
import { dirname, join } from "node:path";
import { describeError } from "../../cni/error.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { type Flags, settingsOf } from "../settings.ts";
import { type ChosenFolder, describeChoice, folderFlags, openFolder } from "./folder.ts";

/** Editors and patchers change a file in several steps, which are one change to those who watch. */
const SETTLING_MS = 100;

/** What containerd takes at a time. */
interface Taken {
  /** Differs exactly if something else is taken. */
  readonly key: string;
  readonly networks: readonly string[];
  readonly files: readonly string[];
  readonly why: string;
}

export const command = operatorCommand({
  name: "watch",
  description: "Say when the config that containerd takes changes, until interrupted",
  args: folderFlags,
  async run({ args }) {
    const folder = settingsOf(args, process.env).confFolder;
    let taken: Taken | undefined;
    for (;;) {
      // before it is read: what changes in between wakes us up at once
      using change = new Change(folder, taken?.networks ?? []);
      const now = takenNow(args);
      if (now.key !== taken?.key) writeStdout(`${lineOf(now, args.json === true)}\n`);
      const known = now.networks.every((network) => taken?.networks.includes(network));
      taken = now;
      // a network that is new has a folder of drop-ins that is not watched yet
      if (known) await change.happened;
    }
  },
});

function takenNow(flags: Flags): Taken {
  let opened: ChosenFolder;
  try {
    opened = openFolder(flags);
  } catch (error) {
    return { key: describeError(error), networks: [], files: [], why: describeError(error) };
  }
  const { chosen, blockedBy } = opened.choice;
  // of what is taken, not of why: a file behind it that comes or goes is another reason for the same
  const digest = createHash("sha256");
  for (const file of [...chosen, ...(blockedBy === undefined ? [] : [blockedBy])]) {
    digest.update(JSON.stringify([file.path, file.problem?.message, file.network?.plugins]));
    digest.update(file.network?.bytes ?? "");
  }
  const problem = blockedBy?.problem === undefined ? "" : `: ${describeError(blockedBy.problem)}`;
  return {
    key: digest.digest("hex"),
    networks: chosen.flatMap(({ network }) => network?.name ?? []),
    files: chosen.map(({ path }) => path),
    why: `${describeChoice(opened)}${problem}`,
  };
}

function lineOf({ networks, files, why }: Taken, json: boolean): string {
  const time = new Date().toISOString();
  return json ? JSON.stringify({ time, networks, files, why }) : `${time} ${why}`;
}

/** The next change in a folder or in the folders of drop-ins in it. */
class Change implements Disposable {
  readonly happened: Promise<void>;
  readonly #watchers: FSWatcher[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(folder: string, networks: readonly string[]) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.happened = promise;
    const wake = () => {
      this.#timer ??= setTimeout(resolve, SETTLING_MS);
    };
    for (const path of [nearestThere(folder), ...networks.map((name) => join(folder, name))]) {
      if (!existsSync(path)) continue;
      try {
        const watcher = watch(path, wake);
        // a folder that goes away is a change, too
        watcher.on("error", wake);
        this.#watchers.push(watcher);
      } catch {
        wake();
      }
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers) watcher.close();
  }
}

/** The folder, or the nearest one above it that is there, in which it would appear. */
function nearestThere(folder: string): string {
  let path = folder;
  while (!existsSync(path) && dirname(path) !== path) path = dirname(path);
  return path;
}
