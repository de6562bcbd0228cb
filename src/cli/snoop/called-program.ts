// What can be read about a program that has just been executed, and whether it is a call of a plugin. All of it is in
// /proc for as long as the program runs, so it is read at once; of standard input only what reading can't take away.
import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { isVerb } from "../../cni/version.ts";
import { networkIn } from "../../record/call-record.ts";
import { readBytes, readText, statFile } from "../../sys/files.ts";

/** A program that was called as a plugin. */
export interface CalledProgram {
  readonly pid: number;
  /** The plugin's file as it was called. */
  readonly plugin: string;
  readonly variables: Readonly<Record<string, string>>;
  /** The network, where standard input is a file; else empty. */
  readonly network: string;
}

/** What became of a program that was executed. */
export type Sighting = CalledProgram | "another program" | "gone";

/** A config is read from a file of this length at most. */
const LONGEST_CONFIG_BYTES = 16 << 20;

/**
 * Looks at a process that has executed a program. A call has a verb in its variables and is a file of CNI_PATH; outside
 * of all other calls it may be any file, if its standard streams lead to whoever called it. Inside of one the variables
 * are inherited by everything that a plugin runs.
 */
export function lookAt(pid: number, isInsideCall: () => boolean): Sighting {
  let words: readonly string[];
  let variables: Readonly<Record<string, string>>;
  try {
    const text = readText(`/proc/${pid}/environ`);
    // a program may have no variables at all, and one that has ended has none any more
    if (text === "") return linkAt(`/proc/${pid}/exe`) === "" ? "gone" : "another program";
    if (!text.includes("CNI_COMMAND=")) return "another program";
    variables = variablesIn(text);
    words = readText(`/proc/${pid}/cmdline`).replace(/\0$/, "").split("\0");
  } catch {
    return "gone";
  }
  if (!isVerb(variables.CNI_COMMAND ?? "")) return "another program";
  const folders = (variables.CNI_PATH ?? "").split(":").filter((folder) => folder !== "");
  const executable = linkAt(`/proc/${pid}/exe`);
  // of a script the kernel makes arguments of its interpreter, with its path as the last one
  const files = [...words.slice(0, 3), executable].filter((word) => word.startsWith("/"));
  const plugin = files.find((file) => folders.includes(file.slice(0, file.lastIndexOf("/"))));
  if (plugin === undefined && (isInsideCall() || !isAnswering(pid))) return "another program";
  const otherwise = words.length > 1 ? words.at(-1) : words[0];
  return { pid, plugin: plugin ?? otherwise ?? executable, variables, network: networkOf(pid) };
}

function variablesIn(text: string): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const assignment of text.split("\0")) {
    const equals = assignment.indexOf("=");
    if (equals > 0) variables[assignment.slice(0, equals)] = assignment.slice(equals + 1);
  }
  return variables;
}

function linkAt(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

/** True if standard input and output are pipes or sockets: somebody asks and wants to hear. */
function isAnswering(pid: number): boolean {
  return [0, 1].every((fd) => /^(?:pipe|socket):/.test(linkAt(`/proc/${pid}/fd/${fd}`)));
}

/** A file can be read a second time; from a pipe whatever is read is lost to the plugin, so it is never opened. */
function networkOf(pid: number): string {
  const stdin = `/proc/${pid}/fd/0`;
  try {
    return statFile(stdin)?.kind === "file" ? networkIn(readBytes(stdin, LONGEST_CONFIG_BYTES)) : "";
  } catch {
    return "";
  }
}

/** Returns the network of an attachment by what runtimes remember in libcni's cache; empty where that has none. */
export function rememberedNetwork(
  cacheFolder: string,
  { CNI_CONTAINERID: container = "", CNI_IFNAME: ifname = "" }: Readonly<Record<string, string>>,
): string {
  if (container === "" || ifname === "") return "";
  const ending = `-${container}-${ifname}`;
  try {
    const file = readdirSync(join(cacheFolder, "results")).find((name) => name.endsWith(ending));
    return file?.slice(0, -ending.length) ?? "";
  } catch {
    return "";
  }
}
