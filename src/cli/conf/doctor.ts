// `warren conf doctor`: everything that can be told about a folder of configs without attaching anything: which file a
// runtime takes and why, and what is broken or hardly meant, with file, line and column. Exit code 1 if something is
// broken.
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { networkFlags, settingsOf } from "../settings.ts";
import { paragraph, type Style, styled } from "../terminal/output.ts";
import { examineFile } from "./file-examination.ts";
import type { Finding, Severity } from "./finding.ts";
import { describeChoice, folderFlags, openFolder } from "./folder.ts";
import { examineNeighbours } from "./neighbours.ts";
import { PluginFinder } from "./plugin-finder.ts";

const SEVERITIES: Readonly<Record<Severity, { readonly style: Style; readonly plural: string }>> = {
  error: { style: "red", plural: "errors" },
  warning: { style: "yellow", plural: "warnings" },
  note: { style: "cyan", plural: "notes" },
};

export const command = operatorCommand({
  name: "doctor",
  description: "Tell which config a runtime takes, and what is wrong in the folder",
  args: {
    dir: { type: "positional", required: false, description: "The folder, instead of --cni-conf-dir" },
    ...folderFlags,
    "cni-bin-dir": networkFlags["cni-bin-dir"],
  },
  async run({ args }) {
    const opened = openFolder(args, args.dir);
    const { folder, choice } = opened;
    const finder = new PluginFinder(settingsOf(args, process.env).pluginPath);
    const findings: Finding[] = [];
    for (const file of folder.files) findings.push(...(await examineFile(file, finder)));
    findings.push(...examineNeighbours(folder.files));
    for (const name of folder.others) {
      const kept = name.includes(".before-") ? "an earlier text that warren conf undo puts back" : "";
      if (kept === "") findings.push(ignored(`${folder.path}/${name}`));
    }
    findings.sort(byPlace);
    if (args.json === true) {
      const taken = choice.chosen.map(({ path }) => path);
      const document = { folder: folder.path, taken, why: describeChoice(opened), findings };
      writeStdout(`${JSON.stringify(document, null, 4)}\n`);
    } else writeStdout(report(findings, describeChoice(opened)));
    return findings.some(({ severity }) => severity === "error") || choice.chosen.length === 0 ? 1 : 0;
  },
});

function ignored(file: string): Finding {
  const message = "runtimes don't read this file: its name ends neither in .conflist nor in .conf or .json";
  return { severity: "note", file, message, cure: "" };
}

function byPlace(left: Finding, right: Finding): number {
  if (left.file !== right.file) return left.file < right.file ? -1 : 1;
  return (left.line ?? 0) - (right.line ?? 0) || (left.column ?? 0) - (right.column ?? 0);
}

/** In the form of compilers, which editors and terminals make links of. */
function report(findings: readonly Finding[], choice: string): string {
  const lines = findings.map(({ severity, file, line, column, message, cure }) => {
    const place = line === undefined ? file : `${file}:${line}:${column}`;
    const words = `${place}: ${styled(SEVERITIES[severity].style, `${severity}:`)} ${message}`;
    return paragraph(words) + (cure === "" ? "" : paragraph(`    ${styled("dim", cure)}`));
  });
  const counts = (["error", "warning", "note"] as const).flatMap((severity) => {
    const count = findings.filter((finding) => finding.severity === severity).length;
    return count === 0 ? [] : [`${count} ${count === 1 ? severity : SEVERITIES[severity].plural}`];
  });
  const verdict = counts.length === 0 ? "nothing to find fault with" : counts.join(", ");
  return `${lines.join("")}${paragraph(choice)}${verdict}\n`;
}
