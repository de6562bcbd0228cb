// How far long work is, on a terminal: one line on standard error that is written over, and is gone at the end. Who has
// standard error in a file or a pipe wants what happened, and gets none of it.
import { isatty } from "node:tty";
import { writeStderr } from "../../sys/stdio.ts";
import { terminalColumns } from "./output.ts";

/** What is done by then needs no progress. */
const PATIENCE_MS = 500;
const PAUSE_MS = 100;
/** Back to the beginning of the line, and away with what stands there. */
const CLEAR = "\r\u001b[K";

/** The line; it ends with `using`. */
export class Progress implements Disposable {
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  readonly #beganAtMs = Date.now();
  #text = "";
  #shown = "";

  constructor() {
    if (isatty(2)) this.#timer = setInterval(() => this.#write(), PAUSE_MS);
  }

  /** Says what is done at the moment; it is shown if it takes long. */
  show(text: string): void {
    this.#text = text;
  }

  /** Makes room for a line that is to stay. */
  clear(): void {
    if (this.#shown !== "") writeStderr(CLEAR);
    this.#shown = "";
  }

  #write(): void {
    if (this.#text === this.#shown || Date.now() - this.#beganAtMs < PATIENCE_MS) return;
    // a line that is broken into two can't be written over
    writeStderr(`${CLEAR}${this.#text.slice(0, (terminalColumns() ?? 80) - 1)}`);
    this.#shown = this.#text;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.clear();
  }
}
