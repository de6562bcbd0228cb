// What is wrong with the network lists of a folder, or will be when a pod comes: what stops a runtime from reading them,
// and plugins that stand where they do not what their operator expects.
import { describeError } from "../cni/error.ts";
import { findPlugin } from "../cni/execution.ts";
import { compareVersions } from "../cni/version.ts";
import { type ListFile, loadFile, type NetworkList, networkFiles } from "./conflist.ts";
import { memberOf } from "./json.ts";

/** Something that an operator should know of a file. */
export interface Finding {
  readonly file: string;
  /** An `error` keeps pods from their network; a `warning` gives them another one than it seems. */
  readonly severity: "error" | "warning";
  readonly message: string;
}

/** Plugins that work with the addresses of the result before them. */
const ADDRESS_READERS: readonly string[] = ["portmap", "firewall", "sbr"];

/** Returns what is wrong with the lists in `folder`; `path` is where plugins are. Throws CniError 5 for the folder. */
export function diagnoseFolder(folder: string, path: readonly string[]): Finding[] {
  const findings: Finding[] = [];
  const owners = new Map<string, string>();
  for (const file of networkFiles(folder)) {
    const list = listIn(file, findings);
    if (list === undefined) continue;
    const first = owners.get(list.name);
    if (first === undefined) owners.set(list.name, file.path);
    else
      findings.push({
        file: file.path,
        severity: "warning",
        message: `network ${JSON.stringify(list.name)} is in ${first} already, which counts`,
      });
    findings.push(...diagnoseList(list, file.path, path));
  }
  return findings;
}

function listIn(file: ListFile, findings: Finding[]): NetworkList | undefined {
  try {
    return loadFile(file);
  } catch (error) {
    findings.push({ file: file.path, severity: "error", message: describeError(error) });
    return undefined;
  }
}

function plainType(type: string): string {
  return type.replace(/^warren-/, "");
}

/** Returns what is wrong with one list. */
export function diagnoseList(list: NetworkList, file: string, path: readonly string[]): Finding[] {
  const findings: Finding[] = [];
  const tell = (severity: Finding["severity"], message: string) => findings.push({ file, severity, message });
  for (const type of new Set(list.plugins.map((plugin) => plugin.type))) {
    try {
      findPlugin(type, path);
    } catch (error) {
      tell("error", describeError(error));
    }
  }
  const rewriteAt = list.plugins.findIndex(({ type }) => plainType(type) === "rewrite");
  const rewrite = list.plugins[rewriteAt];
  if (rewrite === undefined) return findings;
  for (const { type } of list.plugins.slice(rewriteAt + 1)) {
    if (!ADDRESS_READERS.includes(plainType(type))) continue;
    tell(
      "warning",
      `${rewrite.type} stands before ${type}, which would work with the made-up address: put it behind`,
    );
  }
  const mode = memberOf(rewrite.document, "mode") ?? "replace";
  const hasCheck = compareVersions(list.cniVersion === "" ? "0.1.0" : list.cniVersion, "0.4.0") >= 0;
  if (mode !== "annotate-only" && hasCheck && !list.disableCheck) {
    tell(
      "warning",
      `CHECK will fail: the plugin before ${rewrite.type} gave other addresses than it reports; set "disableCheck"`,
    );
  }
  return findings;
}
