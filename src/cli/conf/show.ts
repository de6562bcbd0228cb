// `warren conf show [NET]`: one network as a runtime has it: which file it is from and why, its plugins with their
// files, and with --json the config that each plugin gets.
import { CniError, describeError, ErrorCode } from "../../cni/error.ts";
import { parseJson } from "../../conflist/json.ts";
import { configFor, type NetworkList } from "../../conflist/network-list.ts";
import { maskJson } from "../../record/redaction.ts";
import { countUndoable } from "../../runtime/conf-file.ts";
import { type ConfFile, chooseByName } from "../../runtime/conf-folder.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { networkFlags, settingsOf } from "../settings.ts";
import { paragraph, terminalColumns } from "../terminal/output.ts";
import { formatTable } from "../terminal/table.ts";
import { type ChosenFolder, describeChoice, folderFlags, openFolder } from "./folder.ts";
import { PluginFinder } from "./plugin-finder.ts";

export const command = operatorCommand({
  name: "show",
  description: "Show a network as runtimes have it: its file and why that one, its plugins, its configs",
  args: {
    network: {
      type: "positional",
      required: false,
      description: "The network's name; else the one that containerd takes",
    },
    ...folderFlags,
    "cni-bin-dir": networkFlags["cni-bin-dir"],
  },
  async run({ args }) {
    const opened = openFolder(args);
    const { file, network, why } = find(opened, args.network);
    const finder = new PluginFinder(settingsOf(args, process.env).pluginPath);
    const inlined = network.plugins.length - network.dropIns.length;
    const plugins = await Promise.all(
      network.plugins.map(async (plugin, index) => {
        const found = await finder.find(plugin.type);
        return {
          plugin: plugin.type,
          executable: found.file ?? "not there",
          of: found.file === undefined ? "" : found.isOurs ? "Warren" : "another suite",
          from: network.dropIns[index - inlined] ?? file.path,
          config: parseJson(configFor(network, plugin), plugin.type),
        };
      }),
    );
    const undoable = countUndoable(file.path);
    if (args.json === true) {
      const { name, cniVersion, disableCheck, disableGC } = network;
      const flags = { disableCheck, disableGC };
      const document = { network: name, file: file.path, why, cniVersion, ...flags, undoable, plugins };
      // what is shown is pasted into reports
      writeStdout(`${maskJson(JSON.stringify(document, null, 4))}\n`);
      return 0;
    }
    writeStdout(
      [
        ["network:", network.name],
        ["file:", file.path],
        ["why:", why],
        ["version:", network.cniVersion === "" ? "none, which means 0.1.0" : network.cniVersion],
        ...(network.disableCheck ? [["check:", "disabled"]] : []),
        ...(network.disableGC ? [["gc:", "disabled"]] : []),
        ...(undoable === 0 ? [] : [["undo:", `${undoable} edits can be taken back`]]),
      ]
        .map(([key = "", value = ""]) => paragraph(`${key.padEnd(10)} ${value}`, " ".repeat(11)))
        .join(""),
    );
    writeStdout(
      `\n${formatTable(
        plugins.map(({ config, ...row }) => row),
        terminalColumns(),
      )}`,
    );
    return 0;
  },
});

function find(
  opened: ChosenFolder,
  name: string | undefined,
): { readonly file: ConfFile; readonly network: NetworkList; readonly why: string } {
  const { folder, choice } = opened;
  const file = name === undefined ? choice.chosen[0] : chooseByName(folder, name);
  if (file?.network !== undefined) {
    return {
      file,
      network: file.network,
      why: name === undefined ? describeChoice(opened) : whyByName(opened, file),
    };
  }
  if (file?.problem !== undefined) throw file.problem;
  if (choice.blockedBy?.problem !== undefined) {
    const { problem } = choice.blockedBy;
    throw new CniError(
      problem.code,
      `${describeChoice(opened)}: ${describeError(problem)}`,
      "see warren conf doctor",
    );
  }
  throw new CniError(
    ErrorCode.invalidConfig,
    name === undefined
      ? `no network in ${folder.path}`
      : `no network ${JSON.stringify(name)} in ${folder.path}`,
    "see warren conf list",
  );
}

function whyByName({ folder }: ChosenFolder, file: ConfFile): string {
  const name = file.network?.name;
  const same = folder.files.filter((one) => one !== file && one.network?.name === name);
  if (same.length === 0) return "the only file of that name";
  const first =
    file.form === "list" ? "lists are looked through before single configs, by name" : "the first by name";
  return `${first}; ${same.map((one) => one.name).join(", ")} of the same name is not used`;
}
