// A folder of network configs as runtimes see it, every file whether it is broken or not, and which of them a runtime
// takes. There are two ways: by name, as libcni looks a network up (cnitool, podman, Warren), and by order, as
// containerd chooses the networks of every pod (github.com/containerd/go-cni, opts.go).
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import { filesIn, loadNetworkFile, loadSingleFile, type NetworkList } from "../conflist/network-list.ts";

/** The endings of the files that runtimes read. */
const ENDINGS = [".conf", ".conflist", ".json"] as const;

/** A file that runtimes read. */
export interface ConfFile {
  readonly path: string;
  /** The path's last part. */
  readonly name: string;
  /** What runtimes take it for, by its ending: a list of plugins, or one plugin. */
  readonly form: "list" | "single";
  /** What is in it; undefined for a file that can't be used. */
  readonly network: NetworkList | undefined;
  /** Why it can't be used. */
  readonly problem: CniError | undefined;
}

/** A folder of network configs. */
export interface ConfFolder {
  readonly path: string;
  /** In the order of their names. */
  readonly files: readonly ConfFile[];
  /** The names of those files that no runtime reads. */
  readonly others: readonly string[];
}

/** What containerd takes out of a folder: so many networks, or nothing because of one broken file. */
export interface Choice {
  readonly chosen: readonly ConfFile[];
  readonly blockedBy: ConfFile | undefined;
}

/** Returns what is in the folder; one that does not exist has no files. Throws CniError 5 if it can't be read. */
export function readConfFolder(path: string): ConfFolder {
  const files = filesIn(path, ...ENDINGS);
  const names = new Set(files.map((file) => basename(file)));
  return { path, files: files.map(readConfFile), others: namesIn(path).filter((name) => !names.has(name)) };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map(({ name }) => name)
      .sort();
  } catch {
    // filesIn has told what is wrong, if it is more than that there is no folder
    return [];
  }
}

/** Returns the file with what is wrong with it. */
function readConfFile(path: string): ConfFile {
  const form = path.endsWith(".conflist") ? "list" : "single";
  const file = { path, name: basename(path), form } as const;
  try {
    const network = form === "list" ? loadNetworkFile(path) : loadSingleFile(path);
    return { ...file, network, problem: undefined };
  } catch (error) {
    const problem =
      error instanceof CniError ? error : new CniError(ErrorCode.internal, describeError(error));
    return { ...file, network: undefined, problem };
  }
}

/** Returns what containerd takes: the first `limit` files by name (`max_conf_num`), 0 for all of them. */
export function chooseByOrder(folder: ConfFolder, limit: number): Choice {
  const wanted = limit <= 0 ? folder.files : folder.files.slice(0, limit);
  // one broken file among them, and it takes nothing at all
  const blockedBy = wanted.find(({ network }) => network === undefined);
  return { chosen: blockedBy === undefined ? wanted : [], blockedBy };
}

/**
 * Returns the file in which libcni finds the network called `name`: lists come before single configs. Undefined if it
 * finds none; a broken file in front of the right one keeps it from getting there, and then that one is returned.
 */
export function chooseByName(folder: ConfFolder, name: string): ConfFile | undefined {
  const lists = folder.files.filter(({ form }) => form === "list");
  const singles = folder.files.filter(({ form }) => form === "single");
  return [...lists, ...singles].find(({ network }) => network === undefined || network.name === name);
}

/** Returns the path of a file that is named by its path, or by its name in the folder. */
export function confPath(folder: string, file: string): string {
  return file.includes("/") ? file : join(folder, file);
}
