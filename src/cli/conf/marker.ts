// A file that is there exactly while something is in place, so that others can wait for it: a pod that needs the plugin
// looks for the file before it starts.
import { createHash } from "node:crypto";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { CniError, describeError, ErrorCode } from "../../cni/error.ts";

/** The file, which says what is in place by a version. */
export class Marker {
  readonly #path: string;
  readonly #version: string;
  #written = "";

  /** `{version}` in the path, and `version` in the file, tell what `content` is from everything that it was before. */
  constructor(path: string, content: string) {
    this.#version = createHash("sha256").update(content).digest("hex").slice(0, 12);
    this.#path = path.replaceAll("{version}", this.#version);
    // one that a killed watcher has left says nothing
    this.remove();
  }

  /** Writes the file, whole, unless it is there and says the same. Throws CniError 5. */
  write(file: string): void {
    if (this.#written === file) return;
    const draft = `${this.#path}.${process.pid}.new`;
    try {
      // anybody may have put a link of that name into a folder that is everybody's
      rmSync(draft, { force: true });
      writeFileSync(draft, `${JSON.stringify({ version: this.#version, file })}\n`, {
        mode: 0o644,
        flag: "wx",
      });
      renameSync(draft, this.#path);
      this.#written = file;
    } catch (error) {
      rmSync(draft, { force: true });
      const message = `can't write the marker ${this.#path}: ${describeError(error)}`;
      throw new CniError(ErrorCode.ioFailure, message, "its folder must exist", { cause: error });
    }
  }

  remove(): void {
    this.#written = "";
    rmSync(this.#path, { force: true });
  }
}
