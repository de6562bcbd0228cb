// The recorder: called in the place of a plugin, it runs the plugin of that name which stands further along CNI_PATH, hands
// through every byte, the exit code and signals, and writes down what went by. A call must never fail for being watched.
import { CniError, describeError, ErrorCode } from "../../cni/error.ts";
import { findPlugin } from "../../cni/execution.ts";
import { CURRENT_VERSION } from "../../cni/version.ts";
import { callVariables, jsonRecord, networkIn } from "../../record/call-record.ts";
import { appendRecord } from "../../record/log-file.ts";
import { isInRecorderFolder, RECORDER_LOG } from "../../record/recorder-folder.ts";
import { writeAll } from "../../sys/files.ts";
import { commandOf, exitNow, parentOfProcess, parentProcess } from "../../sys/process.ts";
import { writeStdout } from "../../sys/stdio.ts";

/** Records are read as they come; what nobody reads is not kept for ever. */
const LARGEST_LOG_BYTES = 64 << 20;

/** What a shell adds to a signal's number. */
const BY_SIGNAL = 128;
const FORWARDED = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"] as const;

/** What went by. */
interface Passage {
  readonly file: string;
  readonly pid: number;
  readonly exitCode: number;
  readonly signal: Bun.Subprocess["signalCode"];
  readonly stdin: Uint8Array;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
}

/** Runs the call in the place of the plugin, and ends as it ends. `calledAs` is the path of the recorder's link. */
export async function runAsRecorder(calledAs: string): Promise<never> {
  const startedAtMs = Date.now();
  const begin = performance.now();
  const slash = calledAs.lastIndexOf("/");
  const passage = await pass(calledAs.slice(slash + 1));
  try {
    const bytes = record(passage, startedAtMs, performance.now() - begin);
    const path = `${calledAs.slice(0, slash)}/${RECORDER_LOG}`;
    appendRecord({ path, largestBytes: LARGEST_LOG_BYTES, oldFiles: 1 }, bytes);
  } catch {
    // the folder is gone, or its disk is full: the call went through, and that is what counts
  }
  if (passage.signal !== null) {
    for (const signal of FORWARDED) process.removeAllListeners(signal);
    process.kill(process.pid, passage.signal);
    await Bun.sleep(1000);
  }
  exitNow(passage.exitCode);
}

async function pass(name: string): Promise<Passage> {
  const path = (process.env.CNI_PATH ?? "").split(":").filter((folder) => folder !== "");
  const nothing = new Uint8Array();
  let file: string;
  let child: Bun.Subprocess<"pipe", "pipe", "pipe"> | undefined;
  // before there is a plugin: a signal that came in between would end the recorder alone
  const early: NodeJS.Signals[] = [];
  for (const signal of FORWARDED) {
    process.on(signal, () => {
      if (child === undefined) early.push(signal);
      else child.kill(signal);
    });
  }
  try {
    file = findPlugin(
      name,
      path.filter((folder) => !isInRecorderFolder(`${folder}/`)),
    );
    child = Bun.spawn([file, ...process.argv.slice(2)], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  } catch (error) {
    const told =
      error instanceof CniError
        ? error
        : new CniError(ErrorCode.delegateFailed, `plugin ${name} can't be run: ${describeError(error)}`);
    const stdout = told.toDocument(CURRENT_VERSION);
    writeStdout(stdout);
    const ended = { pid: process.pid, exitCode: 1, signal: null, stdin: nothing, stderr: nothing };
    return { ...ended, file: name, stdout: new TextEncoder().encode(stdout) };
  }
  for (const signal of early) child.kill(signal);
  const stdin: Uint8Array[] = [];
  // not waited for: a plugin may end without reading what a caller never ends to say
  void feed(child.stdin, stdin);
  const [stdout, stderr] = await Promise.all([
    forward(child.stdout, 1),
    forward(child.stderr, 2),
    child.exited,
  ]);
  const { signalCode } = child;
  const exitCode = child.exitCode ?? BY_SIGNAL;
  return { file, pid: child.pid, exitCode, signal: signalCode, stdin: Buffer.concat(stdin), stdout, stderr };
}

async function feed(sink: Bun.FileSink, seen: Uint8Array[]): Promise<void> {
  try {
    for await (const chunk of Bun.stdin.stream()) {
      seen.push(chunk);
      // each of them fails by itself where the plugin has closed its end
      await sink.write(chunk);
      await sink.flush();
    }
    await sink.end();
  } catch {
    // the plugin does not read on, and need not
  }
}

async function forward(stream: ReadableStream<Uint8Array>, fd: 1 | 2): Promise<Uint8Array> {
  const seen: Uint8Array[] = [];
  for await (const chunk of stream) {
    seen.push(chunk);
    try {
      writeAll(fd, Buffer.from(chunk), "the caller");
    } catch {
      // the caller does not read on; the plugin is heard to its end even so
    }
  }
  return Buffer.concat(seen);
}

function record(passage: Passage, atMs: number, durationMs: number): Uint8Array {
  const { file, pid, exitCode, signal, stdin, stdout, stderr } = passage;
  const variables = callVariables(process.env);
  return jsonRecord({
    variables,
    stdin,
    more: {
      ...{ atMs, durationMs, plugin: file, network: networkIn(stdin), pid, exitCode },
      parent: parentProcess(),
      depth: depthOf(process.ppid),
      ...(signal === null ? {} : { signal: String(signal) }),
      stdout: new TextDecoder().decode(stdout),
      stderr: new TextDecoder().decode(stderr),
    },
  });
}

/** How many recorded calls the caller is in: a plugin that was run by a recorder, and so on. */
function depthOf(caller: number): number {
  const above = parentOfProcess(caller);
  const [program = ""] = commandOf(above).split(" ");
  return above > 1 && isInRecorderFolder(program) ? 1 + depthOf(parentOfProcess(above)) : 0;
}
