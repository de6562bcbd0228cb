// The operator's tool: the table of commands, each loaded when it is called, and the one place where failures
// become a line on standard error and an exit code.
import { runCommand as runCittyCommand } from "citty";
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import { CURRENT_VERSION } from "../cni/version.ts";
import { log } from "../log.ts";
import { isUnreadStdout, writeStdout } from "../sys/stdio.ts";
import { ProgramError, splitAtDashes, UsageError } from "./command.ts";
import { type AnyCommand, findCommand, requireLeaf, synopsisOf } from "./command-tree.ts";

/** Every command by its name, in the order of the help. */
const COMMANDS: Readonly<Record<string, () => Promise<AnyCommand>>> = {
  add: async () => (await import("./add.ts")).command,
  check: async () => (await import("./check.ts")).command,
  del: async () => (await import("./del.ts")).command,
  status: async () => (await import("./status.ts")).command,
  gc: async () => (await import("./gc.ts")).command,
  run: async () => (await import("./run.ts")).command,
  pod: async () => (await import("./pod/index.ts")).command,
  pair: async () => (await import("./pair/index.ts")).command,
  leases: async () => (await import("./leases.ts")).command,
  links: async () => (await import("./links.ts")).command,
  announce: async () => (await import("./announce.ts")).command,
  show: async () => (await import("./show.ts")).command,
  events: async () => (await import("./events.ts")).command,
  cache: async () => (await import("./cache.ts")).command,
  reveal: async () => (await import("./reveal.ts")).command,
  impair: async () => (await import("./impair.ts")).command,
  node: async () => (await import("./node/index.ts")).command,
  dhcp: async () => (await import("./dhcp/index.ts")).command,
  map: async () => (await import("./map/index.ts")).command,
  ui: async () => (await import("./ui/index.ts")).command,
  conf: async () => (await import("./conf/index.ts")).command,
  snoop: async () => (await import("./snoop/index.ts")).command,
  probe: async () => (await import("./probe/index.ts")).command,
  netwatch: async () => (await import("./netwatch.ts")).command,
  replay: async () => (await import("./replay.ts")).command,
  lab: async () => (await import("./lab/index.ts")).command,
  install: async () => (await import("./install/index.ts")).command,
  uninstall: async () => (await import("./install/uninstall.ts")).command,
  completion: async () => (await import("./completion/index.ts")).command,
  enter: async () => (await import("./enter.ts")).command,
  version: async () => (await import("./version.ts")).command,
};

/** Runs the call of a plugin in its place, and records it; `calledAs` is the path of the recorder's link. */
export async function runAsRecorder(calledAs: string): Promise<never> {
  return (await import("./snoop/recorder.ts")).runAsRecorder(calledAs);
}

const root: AnyCommand = {
  meta: { name: "warren", description: "CNI networks for single machines: the operator's tool" },
  subCommands: { ...COMMANDS },
};

/** What a program ends with whose reader is gone: SIGPIPE, as shells tell it. */
const UNREAD = 128 + 13;

/**
 * Runs what the command line asks for and returns the exit code: 0, 1 for a failure, 2 for a command line that
 * can't be meant, 141 without a word where nobody reads the answer any more, for `run` the command's own, or 126 and 127
 * as shells have them where it can't be started. `calledAs` "cnitool" takes and answers as that tool does.
 */
export async function runCommand(calledAs: "warren" | "cnitool", args: string[]): Promise<number> {
  try {
    if (calledAs === "cnitool") return await (await import("./cnitool.ts")).runAsCnitool(args);
    return await runAsWarren(args);
  } catch (error) {
    if (isUnreadStdout(error)) return UNREAD;
    report(error, splitAtDashes(args).before);
    if (error instanceof ProgramError) return error.exitCode;
    return calledAs === "warren" && isUsage(error) ? 2 : 1;
  }
}

async function runAsWarren(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === "dhcp") {
    const { withTwoDashes } = await import("./dhcp/go-flags.ts");
    rest.splice(0, rest.length, ...withTwoDashes(rest));
  }
  if (name === "--version") return runAsWarren(["version", ...rest]);
  if (name === undefined || name === "help" || name === "--help" || name === "-h") return help(rest);
  if (name === "complete") return complete(splitAtDashes(rest).behind ?? []);
  const asksForHelp = splitAtDashes(rest).before.some((arg) => arg === "--help" || arg === "-h");
  if (asksForHelp) return help(args.filter((arg) => !arg.startsWith("-")));
  const found = await findCommand(root, [name, ...rest]);
  await requireLeaf(found);
  try {
    const { result } = await runCittyCommand(found.command, { rawArgs: [...found.rest] });
    return typeof result === "number" ? result : 0;
  } catch (error) {
    if (!isOfCitty(error)) throw error;
    throw new UsageError(`${error.message}; expected: ${await synopsisOf(found)}`, { cause: error });
  }
}

/** Prints the manual page of the command that the words lead to, `lab status-gc` say. */
async function help(words: readonly string[]): Promise<number> {
  const { manualText } = await import("./manual/index.ts");
  writeStdout(await manualText(await findCommand(root, words)));
  return 0;
}

/** Prints what may stand in the place of the last of the words, for the scripts of completion/. */
async function complete(words: readonly string[]): Promise<number> {
  const { offerFor, offerText } = await import("./completion/candidates.ts");
  writeStdout(offerText(await offerFor(root, words)));
  return 0;
}

function isOfCitty(error: unknown): error is Error {
  return error instanceof Error && error.name === "CLIError";
}

function isUsage(error: unknown): boolean {
  return error instanceof UsageError;
}

/** True for what the kernel refuses to a user who is not root, where nothing else says so. */
function needsRoot(error: unknown): boolean {
  if (process.geteuid?.() === 0 || !(error instanceof Error) || error instanceof CniError) return false;
  return /\b(EACCES|EPERM)\b/.test(error.message);
}

/** Tells a failure: one line on standard error, and with --json the error document on standard output. */
function report(error: unknown, args: readonly string[]): void {
  if (error instanceof SuppressedError) {
    // the clean-up failed too; what came first is what the caller must know first
    report(error.suppressed, []);
    report(error.error, args);
    return;
  }
  const text = Bun.stripANSI(`${describeError(error)}${needsRoot(error) ? "; run it as root" : ""}`);
  log.error(text.replace(/\s*\n\s*/g, "; "));
  if (!args.includes("--json")) return;
  const code = isUsage(error) ? ErrorCode.invalidEnvironment : ErrorCode.internal;
  const document = error instanceof CniError ? error : new CniError(code, text);
  writeStdout(`${document.toDocument(CURRENT_VERSION)}\n`);
}
