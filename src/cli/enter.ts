// `warren enter NETNS -- CMD`: becomes CMD inside a network namespace. It exists for `run`: a namespace is
// entered by a thread, so the way into one is a process of its own that goes in before it becomes the command.
import { resolve } from "node:path";
import { enterNetns } from "../net/netns.ts";
import { replaceProcess } from "../sys/exec.ts";
import { statFile } from "../sys/files.ts";
import { isSystemError } from "../sys/libc.ts";
import { operatorCommand, ProgramError, splitAtDashes, UsageError } from "./command.ts";
import { findNetns, NETNS_FORMS } from "./netns-argument.ts";

/** Returns the path of the program that a shell would start for `name`; throws ProgramError if there is none. */
export function findProgram(name: string): string {
  if (name.includes("/")) {
    const problem = unexecutable(name);
    if (problem === undefined) return resolve(name);
    throw new ProgramError(
      `command ${JSON.stringify(name)} ${problem}`,
      problem === ABSENT ? NOT_FOUND : NOT_EXECUTABLE,
    );
  }
  const folders = name === "" ? [] : (process.env.PATH ?? "").split(":");
  const there = folders.map((folder) => `${folder || "."}/${name}`).filter(isFile);
  const program = there.find((file) => unexecutable(file) === undefined);
  if (program !== undefined) return resolve(program);
  const [file] = there;
  if (file === undefined) throw new ProgramError(`command ${JSON.stringify(name)} is not in PATH`, NOT_FOUND);
  throw new ProgramError(`command ${JSON.stringify(file)} is not executable`, NOT_EXECUTABLE);
}

/** A folder of PATH that this user may not look into has nothing for him, as for shells. */
function isFile(path: string): boolean {
  try {
    return statFile(path)?.kind === "file";
  } catch (error) {
    if (isSystemError(error, "EACCES", "ENAMETOOLONG", "ELOOP")) return false;
    throw error;
  }
}

const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;
const ABSENT = "is not there";

/** Returns why a file can't be executed, as far as its status tells; undefined if it can. */
function unexecutable(file: string): string | undefined {
  const status = statFile(file);
  if (status === undefined) return ABSENT;
  if (status.kind === "directory") return "is a directory";
  return (status.mode & 0o111) === 0 ? "is not executable" : undefined;
}

/** Becomes the program; throws ProgramError if the kernel refuses to execute it. */
export function become(program: string, words: readonly string[]): never {
  try {
    return replaceProcess(program, words, process.env);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    // the file is there: what is missing is what it needs, the interpreter behind its #! say
    const reason = REASONS[error.errnoName] ?? `can't be executed: ${error.message}`;
    throw new ProgramError(`command ${JSON.stringify(program)} ${reason}`, NOT_EXECUTABLE, { cause: error });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOEXEC: "is neither a program of this machine nor a script with a #! line",
  ENOENT: "needs an interpreter that is not there",
  EACCES: "may not be executed",
};

export const command = operatorCommand({
  name: "enter",
  description: "Run a command in a network namespace",
  hidden: true,
  variadic: true,
  args: { netns: { type: "positional", required: true, description: `The namespace: ${NETNS_FORMS}` } },
  run({ args, rawArgs }) {
    const words = splitAtDashes(rawArgs).behind ?? [];
    const [name] = words;
    if (name === undefined) throw new UsageError("no command; expected: enter NETNS -- CMD ...");
    const program = findProgram(name);
    enterNetns(findNetns(args.netns).path);
    return become(program, words);
  },
});
