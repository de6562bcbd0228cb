// The next change in a folder of configs: the kernel tells of it (inotify), and nothing is asked in a loop.
import { existsSync, type FSWatcher, watch } from "node:fs";
import { dirname, join } from "node:path";

/** Editors and patchers change a file in several steps, which are one change to those who watch. */
const SETTLING_MS = 100;

/** The next change in a folder or in the folders of drop-ins in it. */
export class FolderChange implements Disposable {
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
