// `warren enter NETNS -- CMD`: becomes CMD inside a network namespace. It exists for `run`: a namespace is
// entered by a thread, so the way into one is a process of its own that goes in before it becomes the command.
import { resolve } from "node:path";
import { enterNetns, netnsPath } from "../net/netns.ts";
import { replaceProcess } from "../sys/exec.ts";
import { statFile } from "../sys/files.ts";
import { operatorCommand, splitAtDashes, UsageError } from "./command.ts";

/** Returns the path of the program that a shell would start for `name`; throws UsageError if there is none. */
export function findProgram(name: string): string {
  if (name.includes("/")) {
    if (statFile(name) !== undefined) return resolve(name);
    throw new UsageError(`command ${JSON.stringify(name)} is not there`);
  }
  const found = Bun.which(name, { PATH: process.env.PATH ?? "" });
  if (found === null) throw new UsageError(`command ${JSON.stringify(name)} is not in PATH`);
  return resolve(found);
}

export const command = operatorCommand({
  name: "enter",
  description: "Run a command in a network namespace",
  hidden: true,
  variadic: true,
  args: { netns: { type: "positional", required: true, description: "The namespace: a name or a path" } },
  run({ args, rawArgs }) {
    const words = splitAtDashes(rawArgs).behind ?? [];
    const [name] = words;
    if (name === undefined) throw new UsageError("no command; expected: enter NETNS -- CMD ...");
    const program = findProgram(name);
    enterNetns(netnsPath(args.netns));
    return replaceProcess(program, words, process.env);
  },
});
