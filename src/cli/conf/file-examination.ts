// One config file, examined: is it JSON, is it a list, does its version allow what the specification offers, are its
// plugins in order. The file's own text is read again, because what is loaded has no lines and columns any more.
import { type CniError, describeError } from "../../cni/error.ts";
import { InputError, type InputPath } from "../../cni/input.ts";
import { checkNetworkName } from "../../cni/names.ts";
import { isSupportedVersion, SUPPORTED_VERSIONS, versionAllows } from "../../cni/version.ts";
import { isObject, type JsonObject, memberOf, parseJson, syntaxErrorOffset } from "../../conflist/json.ts";
import { type JsonNode, parseJsonText, placeIn } from "../../conflist/json-text.ts";
import { LIST_KEYS, type NetworkList } from "../../conflist/network-list.ts";
import { readConfText } from "../../runtime/conf-file.ts";
import type { ConfFile } from "../../runtime/conf-folder.ts";
import { nearestWord } from "../spelling.ts";
import { type ConfText, type Finding, findingAt } from "./finding.ts";
import { examinePlugin } from "./plugin-examination.ts";
import type { PluginFinder } from "./plugin-finder.ts";
import { examineReportedAddresses } from "./reported-addresses.ts";

/** A file with its text, as far as it can be read and is JSON. */
interface ReadFile {
  readonly text: ConfText | undefined;
  readonly document: unknown;
  readonly findings: readonly Finding[];
}

/** Returns what is to be said about the file and its drop-ins. */
export async function examineFile(file: ConfFile, finder: PluginFinder): Promise<Finding[]> {
  const { text, document, findings } = readJson(file.path);
  if (text === undefined) return [...findings];
  const found = [...findings, ...repeatedKeys(text)];
  if (file.problem !== undefined) found.push(problemOf(file, file.problem, text, document));
  if (!isObject(document)) return found;
  if (file.form === "list") found.push(...unknownListKeys(text, document));
  if (file.network === undefined) return found;
  found.push(...examineNetwork(text, file.network, file.form));
  if (file.form === "list") found.push(...examineReportedAddresses(text, file.network));
  const dropIns = file.network.dropIns.map(readJson);
  const plugins = file.network.plugins.length - dropIns.length;
  for (const [index, plugin] of file.network.plugins.entries()) {
    const own = dropIns[index - plugins];
    const site = {
      text: own?.text ?? text,
      at: own !== undefined || file.form === "single" ? [] : ["plugins", index],
      document: plugin.document,
      type: plugin.type,
      index,
      cniVersion: file.network.cniVersion === "" ? "0.1.0" : file.network.cniVersion,
    };
    found.push(...(await examinePlugin(site, finder)));
  }
  return found;
}

function readJson(path: string): ReadFile {
  let text: string;
  try {
    text = readConfText(path);
  } catch (error) {
    const finding: Finding = { severity: "error", file: path, message: describeError(error), cure: "" };
    return { text: undefined, document: undefined, findings: [finding] };
  }
  try {
    const document = parseJson(text, path);
    return { text: { path, text, root: parseJsonText(text) }, document, findings: [] };
  } catch {
    const offset = syntaxErrorOffset(text);
    const finding: Finding = {
      severity: "error",
      file: path,
      ...placeIn(text, offset),
      message: "this is not JSON",
      cure: syntaxCure(text, offset),
    };
    return { text: undefined, document: undefined, findings: [finding] };
  }
}

/** What people write who are used to more than JSON. */
function syntaxCure(text: string, offset: number): string {
  const rest = text.slice(offset);
  if (text.trim() === "") return "the file is empty";
  if (/^(?:\/\/|\/\*|#)/.test(rest)) return "JSON has no comments: remove it";
  if (/^[}\]]/.test(rest) && /,\s*$/.test(text.slice(0, offset))) return "remove the comma in front of it";
  if (rest.startsWith("'")) return 'strings stand in double quotes: "';
  if (rest === "") return "the file ends too early: a bracket or a brace is not closed";
  if (/^["{[]/.test(rest)) return "a comma is missing in front of it";
  return `${JSON.stringify(rest.slice(0, 12))} can't stand here`;
}

function problemOf(file: ConfFile, problem: CniError, text: ConfText, document: unknown): Finding {
  const path: InputPath = problem instanceof InputError ? problem.path : [];
  const message = problem.message.replace(`${file.path}: `, "");
  return findingAt(text, path, "error", message, formCure(file, document) ?? problem.details);
}

/** A list in a file for single configs, or the other way round, fails with words that hide what is wrong. */
function formCure({ form }: ConfFile, document: unknown): string | undefined {
  if (!isObject(document)) return undefined;
  const isList = Array.isArray(memberOf(document, "plugins"));
  const isSingle = typeof memberOf(document, "type") === "string";
  if (form === "single" && isList && !isSingle) return "it is a list: give the file the ending .conflist";
  if (form === "list" && isSingle && !isList) return "it is a single config: give the file the ending .conf";
  return undefined;
}

function repeatedKeys(text: ConfText): Finding[] {
  const findings: Finding[] = [];
  const visit = (node: JsonNode): void => {
    if (node.kind === "list") for (const item of node.items) visit(item);
    if (node.kind !== "object") return;
    const keys = new Set<string>();
    for (const { key, keyStart, value } of node.members) {
      if (keys.has(key)) {
        findings.push({
          severity: "warning",
          file: text.path,
          ...placeIn(text.text, keyStart),
          message: `the key ${JSON.stringify(key)} stands here for the second time, and only the last one counts`,
          cure: "remove one of them",
        });
      }
      keys.add(key);
      visit(value);
    }
  };
  visit(text.root);
  return findings;
}

function unknownListKeys(text: ConfText, document: JsonObject): Finding[] {
  return Object.keys(document)
    .filter((key) => !LIST_KEYS.some((known) => known.toLowerCase() === key.toLowerCase()))
    .map((key) => {
      const meant = nearestWord(key, LIST_KEYS);
      const message = `runtimes know no key ${JSON.stringify(key)} of a list, and pass over it`;
      const cure =
        meant === undefined
          ? `they know ${LIST_KEYS.join(", ")}; a plugin's keys stand in its own object`
          : `did you mean ${JSON.stringify(meant)}?`;
      return findingAt(text, [key], "warning", message, cure);
    });
}

function examineNetwork(text: ConfText, network: NetworkList, form: ConfFile["form"]): Finding[] {
  const findings: Finding[] = [];
  try {
    checkNetworkName(network.name);
  } catch (error) {
    const cure = "letters, digits, and _ . - behind the first one";
    findings.push(findingAt(text, ["name"], "error", describeError(error), cure));
  }
  const { cniVersion } = network;
  const at = (severity: Finding["severity"], message: string, cure: string) =>
    findings.push(findingAt(text, ["cniVersion"], severity, message, cure));
  if (cniVersion === "") {
    at(
      "warning",
      "no cniVersion: plugins take the list for one of version 0.1.0",
      'add "cniVersion": "1.1.0"',
    );
  } else if (!isSupportedVersion(cniVersion)) {
    const words = SUPPORTED_VERSIONS.join(", ");
    at(
      "error",
      `cniVersion ${JSON.stringify(cniVersion)} is none that Warren speaks`,
      `expected one of ${words}`,
    );
  }
  const lacks = (["CHECK", "STATUS", "GC"] as const).filter((verb) => !versionAllows(cniVersion, verb));
  if (lacks.length > 0 && isSupportedVersion(cniVersion)) {
    const what = `cniVersion ${cniVersion} has no ${lacks.join(", no ")}`;
    at(
      "note",
      `${what}: runtimes never call ${lacks.length > 1 ? "them" : "it"} for this network`,
      cureOf(form),
    );
  }
  return findings;
}

function cureOf(form: ConfFile["form"]): string {
  return form === "list" ? 'set "cniVersion": "1.1.0" if the runtime speaks it' : "";
}
