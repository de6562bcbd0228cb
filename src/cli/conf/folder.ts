// What the commands about a folder of configs have in common: where it is, how many files containerd takes of it, and
// the words for why a runtime takes a file and not another.
import * as v from "valibot";
import { CniError, describeError, ErrorCode } from "../../cni/error.ts";
import { parseInput } from "../../cni/input.ts";
import type { NetworkList } from "../../conflist/network-list.ts";
import {
  type Choice,
  type ConfFile,
  type ConfFolder,
  chooseByName,
  chooseByOrder,
  readConfFolder,
} from "../../runtime/conf-folder.ts";
import { type Flags, networkFlags, settingsOf } from "../settings.ts";

/** The flags of the commands about a folder of configs. */
export const folderFlags = {
  "cni-conf-dir": networkFlags["cni-conf-dir"],
  "max-conf-num": {
    type: "string",
    valueHint: "N",
    default: "1",
    description: "How many files containerd takes (max_conf_num in its config), 0 for all",
  },
  json: networkFlags.json,
} as const;

const limitSchema = v.pipe(
  v.string(),
  v.check((text) => /^\d{1,6}$/.test(text), "a whole number from 0 on"),
  v.transform(Number),
);

/** A folder with what containerd takes of it. */
export interface ChosenFolder {
  readonly folder: ConfFolder;
  readonly limit: number;
  readonly choice: Choice;
}

/** Returns the folder that flags and variables name, or `path`; throws CniError 4 for a flag that makes no sense. */
export function openFolder(flags: Flags, path?: string): ChosenFolder {
  const limit = parseInput(
    limitSchema,
    flags["max-conf-num"],
    ErrorCode.invalidEnvironment,
    "--max-conf-num",
  );
  const folder = readConfFolder(path ?? settingsOf(flags, process.env).confFolder);
  return { folder, limit, choice: chooseByOrder(folder, limit) };
}

/** Returns what a file is used for, in a few words. */
export function useOf(file: ConfFile, { folder, choice, limit }: ChosenFolder): string {
  const problem = file.network === undefined ? "broken" : undefined;
  const position = folder.files.indexOf(file);
  const inReach = limit === 0 || position < limit;
  if (problem !== undefined) return inReach ? "broken: containerd takes nothing" : "broken";
  const name = file.network?.name ?? "";
  const byName = chooseByName(folder, name);
  const uses = [
    ...(choice.chosen.includes(file) ? [`eth${position} of every pod (containerd)`] : []),
    ...(byName === file ? ["by name"] : []),
  ];
  if (byName !== file && byName?.network !== undefined) uses.push(`hidden behind ${byName.name}`);
  if (byName !== file && byName?.network === undefined && byName !== undefined)
    uses.push(`not found by name: ${byName.name} in front of it is broken`);
  return uses.join(", ");
}

/** Returns a sentence about what containerd takes and why. */
export function describeChoice({ folder, choice, limit }: ChosenFolder): string {
  const { chosen, blockedBy } = choice;
  if (blockedBy !== undefined) {
    const others =
      folder.files.length === 1 ? "" : ", which is among those that it has to read, and so it takes no other";
    return `containerd takes nothing: ${blockedBy.name} is broken${others}`;
  }
  if (chosen.length === 0) return `containerd takes nothing: there is no .conf, .conflist or .json file`;
  const files = chosen.map((file) => `${file.name} (network ${file.network?.name})`).join(", ");
  const count = folder.files.length;
  const why =
    count === 1
      ? "the only file"
      : limit === 0 || chosen.length === count
        ? `all ${count} files, in the order of their names`
        : `the first ${limit === 1 ? "" : `${limit} `}of ${count} files in the order of their names`;
  return `containerd takes ${files}: ${why}`;
}

/**
 * Returns the networks that a pod gets: those that containerd takes, in their order. Throws CniError 7 where it takes
 * nothing, and where two of them have one name: by that runtimes and plugins know an attachment, and leases and results of
 * the one would be taken for the other's.
 */
export function takenNetworks(opened: ChosenFolder): NetworkList[] {
  const { folder, choice } = opened;
  const { chosen, blockedBy } = choice;
  if (chosen.length === 0) {
    const cause = blockedBy?.problem === undefined ? "" : `: ${describeError(blockedBy.problem)}`;
    const message = `${describeChoice(opened)}${cause}`;
    throw new CniError(ErrorCode.invalidConfig, message, `see warren conf doctor ${folder.path}`);
  }
  const files = new Map<string, string>();
  return chosen.flatMap(({ name: file, network }) => {
    if (network === undefined) return [];
    const other = files.get(network.name);
    if (other !== undefined) {
      const message = `network ${JSON.stringify(network.name)} is in ${other} and in ${file}`;
      throw new CniError(ErrorCode.invalidConfig, message, "give one of them another name, or remove it");
    }
    files.set(network.name, file);
    return [network];
  });
}
