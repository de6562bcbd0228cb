// Another plugin, found by name and run as a process: configuration on standard input, one JSON document on
// standard output, anything on standard error (SPEC.md, section 4). What it can do wrong, it is told for: no
// answer, an answer that is no JSON, death by a signal, silence beyond the time-out.
import { statFile } from "../sys/files.ts";
import { writeStderr } from "../sys/stdio.ts";
import type { Variables } from "./environment.ts";
import { CniError, describeError, ErrorCode } from "./error.ts";
import { shown } from "./input.ts";

/** The longest answer that is read from a plugin. */
const LONGEST_ANSWER_BYTES = 16 << 20;

/** How much of a plugin's words on standard error is kept; the rest is read, so that it can end, and dropped. */
const LONGEST_WORDS_BYTES = 1 << 20;

/** How often and how long to wait for a file that somebody is still writing (ETXTBSY). */
const BUSY_TRIES = 6;
const BUSY_PAUSE_MS = 200;

/**
 * Returns the path of the plugin called `type`: the first regular file of that name in the folders of `path`.
 * Throws CniError 106 if there is none, 7 if `type` is no plain name.
 */
export function findPlugin(type: string, path: readonly string[]): string {
  if (type === "")
    throw new CniError(ErrorCode.invalidConfig, "no plugin name provided", 'expected a "type"');
  // nobody can ever install a file of such a name, which 106 would ask for
  if (type.includes("/") || type.includes("\0") || type === "." || type === "..") {
    throw new CniError(
      ErrorCode.invalidConfig,
      `invalid plugin name: ${shown(type)}`,
      "expected the name of a file, without /",
    );
  }
  if (path.length === 0)
    throw new CniError(ErrorCode.delegateFailed, "no paths provided", "CNI_PATH is empty");
  for (const folder of path) {
    const file = `${folder}/${type}`;
    if (statFile(file)?.kind === "file") return file;
  }
  throw new CniError(
    ErrorCode.delegateFailed,
    `failed to find plugin ${shown(type)} in path [${path.join(" ")}]`,
    "install the plugin into one of these folders, or correct CNI_PATH",
  );
}

/** How to run a plugin. */
export interface Execution {
  readonly variables: Variables;
  readonly stdin: Uint8Array;
  /** After so long the plugin is killed; without it, the plugin may take as long as it likes. */
  readonly timeoutMs?: number;
  /** True if the terminal's Ctrl-C is not to reach it, because the caller takes back what it did. */
  readonly apart?: boolean;
}

/**
 * Runs the plugin at `file` and returns its standard output; its standard error is forwarded. Throws the
 * CniError that the plugin answered with, or CniError 106 if it gave none.
 */
export async function executePlugin(file: string, execution: Execution): Promise<string> {
  const { timeoutMs } = execution;
  const child = await start(file, execution);
  // with a time limit it leads a process group, because a child of its own would keep its output open
  let timedOut = false;
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          timedOut = true;
          killGroup(child.pid);
        }, timeoutMs);
  const output = child.stdout.getReader();
  const errors = child.stderr.getReader();
  const [answer, words] = await Promise.all([
    beginningOf(output, LONGEST_ANSWER_BYTES, async () => {
      // it would go on after us, writing to nobody; a child of its own, which keeps both ends open, is not waited for
      if (timeoutMs === undefined) child.kill("SIGKILL");
      else killGroup(child.pid);
      await Promise.all([output.cancel(), errors.cancel()]);
    }),
    beginningOf(errors, LONGEST_WORDS_BYTES),
  ]);
  const stdout = answer.text;
  const stderr = words.isWhole ? words.text : `${words.text}... (cut)\n`;
  const exitCode = await child.exited;
  clearTimeout(timer);
  if (timedOut) {
    throw new CniError(
      ErrorCode.delegateFailed,
      `plugin ${file} gave no answer within ${timeoutMs} ms and was killed`,
      "allow it more time, or find out what it waits for",
    );
  }
  if (!answer.isWhole) {
    throw new CniError(
      ErrorCode.delegateFailed,
      `plugin ${file} printed more than ${LONGEST_ANSWER_BYTES} bytes`,
      "it was killed",
    );
  }
  if (exitCode === 0) {
    if (stderr !== "") writeStderr(stderr);
    return stdout;
  }
  throw failureOf(
    file,
    stdout,
    stderr,
    child.signalCode === null ? `exit status ${exitCode}` : `killed by ${child.signalCode}`,
  );
}

async function start(
  file: string,
  execution: Execution,
): Promise<Bun.Subprocess<Uint8Array, "pipe", "pipe">> {
  for (let tries = 1; ; tries++) {
    try {
      return Bun.spawn([file], {
        env: { ...execution.variables },
        stdin: execution.stdin,
        stdout: "pipe",
        stderr: "pipe",
        detached: execution.timeoutMs !== undefined || execution.apart === true,
      });
    } catch (error) {
      const busy = error instanceof Error && "code" in error && error.code === "ETXTBSY";
      if (!busy || tries === BUSY_TRIES) {
        throw new CniError(
          ErrorCode.delegateFailed,
          `plugin ${file} can't be run: ${describeError(error)}`,
          "expected an executable file",
          { cause: error },
        );
      }
      await Bun.sleep(BUSY_PAUSE_MS);
    }
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // it ended by itself at this moment
  }
}

/** Reads a stream to its end and returns what came first; `onTooLong` is called once there is more than that. */
async function beginningOf(
  reader: { read(): Promise<{ readonly value?: Uint8Array | undefined }> },
  limitBytes: number,
  onTooLong?: () => Promise<void>,
): Promise<{ readonly text: string; readonly isWhole: boolean }> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  let isWhole = true;
  for (;;) {
    const { value } = await reader.read();
    if (value === undefined) return { text: Buffer.concat(chunks).toString(), isWhole };
    if (!isWhole) continue;
    length += value.length;
    isWhole = length <= limitBytes;
    if (isWhole) chunks.push(value);
    else await onTooLong?.();
  }
}

/** The texts are those of libcni (pkg/invoke/raw_exec.go), which operators know and search for. */
function failureOf(file: string, stdout: string, stderr: string, ending: string): CniError {
  const name = file.slice(file.lastIndexOf("/") + 1);
  if (stdout.trim() === "") {
    return new CniError(
      ErrorCode.delegateFailed,
      stderr === ""
        ? `plugin ${name}: netplugin failed with no error message: ${ending}`
        : `plugin ${name}: netplugin failed: ${shown(stderr.trim())}: ${ending}`,
    );
  }
  if (stderr !== "") writeStderr(stderr);
  try {
    const document: unknown = JSON.parse(stdout);
    if (typeof document === "object" && document !== null && "code" in document && "msg" in document) {
      const { code, msg } = document;
      const details = "details" in document && typeof document.details === "string" ? document.details : "";
      if (typeof code === "number" && typeof msg === "string") return new CniError(code, msg, details);
    }
  } catch {
    // not JSON: told below, with the text itself
  }
  return new CniError(
    ErrorCode.delegateFailed,
    `plugin ${name}: netplugin failed but error parsing its diagnostic message ${shown(stdout)}`,
    ending,
  );
}
