// A command that goes on while a lab does, such as a daemon: it is shown as a shell would start it, and what it tells is shown
// when the story comes to it. It ends with the lab, however that ends.
import { demand, type Stage, StepError } from "./stage.ts";

/** Longer than anything may take on a busy machine. */
const PATIENCE_MS = 60_000;
const PAUSE_MS = 20;

/** A command in the background. */
export class Background implements AsyncDisposable {
  readonly #process: Bun.Subprocess<"ignore", "ignore", "pipe">;
  readonly #told: Promise<void>;
  #text = "";
  #shownLines = 0;

  /** Shows the command line and starts it. It has no quotes. */
  constructor(
    private readonly stage: Stage,
    private readonly line: string,
  ) {
    stage.command(`${line} &`);
    // the kernel ends it where the lab is killed
    this.#process = Bun.spawn(["setpriv", "--pdeathsig=KILL", "--", ...line.split(" ")], {
      ...{ stdin: "ignore", stdout: "ignore", stderr: "pipe" },
    });
    const { stderr } = this.#process;
    this.#told = (async () => {
      for await (const chunk of stderr) this.#text += new TextDecoder().decode(chunk);
    })();
  }

  /**
   * Waits until it has told a line with these words, and shows what it has told up to there and was not shown yet. Rejects with
   * StepError if it does not tell them.
   */
  async show(words: string): Promise<void> {
    const endMs = Date.now() + PATIENCE_MS;
    for (;;) {
      const lines = this.#text.split("\n").slice(this.#shownLines, -1);
      const place = lines.findIndex((line) => line.includes(words));
      if (place >= 0) {
        this.stage.output(lines.slice(0, place + 1).join("\n"));
        this.#shownLines += place + 1;
        return;
      }
      if (this.#process.exitCode !== null || Date.now() > endMs) {
        throw new StepError(
          `expected ${JSON.stringify(words)} of: ${this.line}; it told: ${lines.join("; ")}`,
        );
      }
      await Bun.sleep(PAUSE_MS);
    }
  }

  /** Ends it as a shell would by `kill`, shown as `command`; one that is asked to has to end well. */
  async end(command: string, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.stage.command(command);
    this.#process.kill(signal);
    const exitCode = await this.#process.exited;
    await this.#told;
    if (signal === "SIGTERM") demand(exitCode === 0, `exit code 0 of: ${this.line}; it was ${exitCode}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}
