// What may stand at the end of a call that is being typed: commands, flags, or what is there on this node. Nothing here may
// fail: who presses a key wants words and no errors.
import { readdirSync } from "node:fs";
import { VERBS } from "../../cni/version.ts";
import { NETNS_DIRECTORY } from "../../net/netns.ts";
import { CHANGE_OBJECTS } from "../../net/watch/change.ts";
import { PLUGIN_NAMES } from "../../plugins/names.ts";
import { DEFAULT_CACHE_FOLDER } from "../../runtime/cache.ts";
import { readConfFolder } from "../../runtime/conf-folder.ts";
import { PodRecords } from "../../runtime/pod-record.ts";
import { DEFAULT_DATA_DIR } from "../../store/sqlite.ts";
import { splitAtDashes } from "../command.ts";
import {
  type AnyCommand,
  argumentsOf,
  childrenOf,
  type DeclaredArgument,
  type FoundCommand,
  findCommand,
  flagText,
  metaOf,
} from "../command-tree.ts";
import { surveyStores } from "../node/stores.ts";
import { settingsOf } from "../settings.ts";
import { SHELLS } from "./index.ts";

/** A word with what it is. */
export interface Candidate {
  readonly word: string;
  readonly description: string;
}

/** What a shell is to offer: these words, or what it can find itself. */
export type Offer =
  | { readonly kind: "words"; readonly candidates: readonly Candidate[] }
  | { readonly kind: "files" | "folders" | "commands" };

const NOTHING: Offer = { kind: "words", candidates: [] };

/** Returns what may stand in the place of the last of the words, which may be empty or half of a word. */
export async function offerFor(root: AnyCommand, typed: readonly string[]): Promise<Offer> {
  const words = joined(typed);
  const last = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  if (splitAtDashes(before).behind !== undefined) return { kind: "commands" };
  const offer = await offerBehind(root, before, last);
  if (offer.kind !== "words") return offer;
  const candidates = offer.candidates.filter(({ word }) => word.startsWith(last));
  return { kind: "words", candidates };
}

/** Returns the offer as the scripts read it: its kind, then a line for each word with a tab before what it is. */
export function offerText(offer: Offer): string {
  const candidates = offer.kind === "words" ? offer.candidates : [];
  const line = ({ word, description }: Candidate) => `${word}\t${description.replace(/\s+/g, " ")}\n`;
  return `${offer.kind}\n${candidates.map(line).join("")}`;
}

/** bash takes `--flag=value` apart into three words. */
function joined(words: readonly string[]): string[] {
  const result: string[] = [];
  for (const [index, word] of words.entries()) {
    if (word === "=" && words[index - 1]?.startsWith("--") === true) {
      if (index === words.length - 1) result.push("");
      continue;
    }
    result.push(word);
  }
  return result;
}

async function offerBehind(root: AnyCommand, before: readonly string[], last: string): Promise<Offer> {
  const asksForHelp = before[0] === "help";
  let found: FoundCommand;
  try {
    found = await findCommand(root, asksForHelp ? before.slice(1) : before);
  } catch {
    return NOTHING;
  }
  const children = await childrenOf(found.command);
  if (children.size > 0) {
    if (found.rest.length > 0) return NOTHING;
    const candidates = await visible(children);
    const help = { word: "help", description: "The manual page of a command" };
    return {
      kind: "words",
      candidates: found.path.length === 0 && !asksForHelp ? [...candidates, help] : candidates,
    };
  }
  return asksForHelp ? NOTHING : offerOfLeaf(found, last);
}

async function visible(children: ReadonlyMap<string, AnyCommand>): Promise<Candidate[]> {
  const candidates: Candidate[] = [];
  for (const [word, child] of children) {
    const { description, hidden } = await metaOf(child);
    if (!hidden) candidates.push({ word, description });
  }
  return candidates;
}

async function offerOfLeaf({ path, command, rest }: FoundCommand, last: string): Promise<Offer> {
  const { positionals, flags } = await argumentsOf(command);
  const open = openFlag(rest.at(-1), flags);
  if (open !== undefined) return valuesOf(path, open, rest);
  if (last.startsWith("-")) {
    const equals = last.indexOf("=");
    const named = equals < 0 ? undefined : openFlag(last.slice(0, equals), flags);
    if (named !== undefined) return prefixed(await valuesOf(path, named, rest), last.slice(0, equals + 1));
    return { kind: "words", candidates: flags.map(flagCandidate) };
  }
  let given = 0;
  for (const [index, word] of rest.entries()) {
    if (!word.startsWith("-") && openFlag(rest[index - 1], flags) === undefined) given++;
  }
  const place = positionals[given] ?? (takesMore(path) ? positionals.at(-1) : undefined);
  return place === undefined ? NOTHING : valuesOf(path, place, rest);
}

/** Commands whose last argument may be repeated. */
function takesMore(path: readonly string[]): boolean {
  return ["gc", "impair", "run", "lab netns", "pod rm"].includes(path.join(" "));
}

function flagCandidate(flag: DeclaredArgument): Candidate {
  return { word: `--${flag.name}`, description: flag.definition.description ?? flagText(flag) };
}

/** Returns the flag if that word is one that a value has to follow. */
function openFlag(
  word: string | undefined,
  flags: readonly DeclaredArgument[],
): DeclaredArgument | undefined {
  return flags.find(({ name, definition }) => {
    const alias = "alias" in definition ? [definition.alias ?? []].flat() : [];
    const spelled = [`--${name}`, ...alias.map((one) => `-${one}`)];
    return definition.type !== "boolean" && word !== undefined && spelled.includes(word);
  });
}

function prefixed(offer: Offer, beginning: string): Offer {
  if (offer.kind !== "words") return offer;
  return {
    kind: "words",
    candidates: offer.candidates.map(({ word, description }) => ({ word: beginning + word, description })),
  };
}

/** What an argument or a flag of that name can be, whichever command it belongs to. */
async function valuesOf(
  path: readonly string[],
  { name }: DeclaredArgument,
  rest: readonly string[],
): Promise<Offer> {
  switch (name) {
    case "network":
    case "networks":
    case "net":
      return words(networks(rest));
    case "netns":
    case "keep":
    case "from":
    case "to":
      return words(namespaces());
    case "pod":
    case "pods":
      return words(path.at(-1) === "create" ? [] : pods(rest));
    case "container":
    case "container-id":
      return words(await containers(rest));
    case "cni-conf-dir":
    case "cni-bin-dir":
    case "cache-dir":
    case "data-dir":
    case "dir":
      return { kind: "folders" };
    case "file":
    case "svg":
    case "plugin":
    case "add":
    case "marker":
      return { kind: "files" };
    case "before":
    case "after":
    case "type":
      return words(PLUGIN_NAMES.map((plugin) => ({ word: `warren-${plugin}`, description: "" })));
    case "verb":
      return words(VERBS.map((word) => ({ word, description: "" })));
    case "only":
      return words(CHANGE_OBJECTS.map((word) => ({ word, description: "" })));
    case "shell":
      return words(SHELLS.map((word) => ({ word, description: "" })));
    default:
      return NOTHING;
  }
}

function words(candidates: readonly Candidate[]): Offer {
  return { kind: "words", candidates };
}

/** The value that a flag has been given in the words before. */
function given(flag: string, rest: readonly string[]): string | undefined {
  const beginning = `--${flag}=`;
  const at = rest.indexOf(`--${flag}`);
  return at >= 0 ? rest[at + 1] : rest.find((word) => word.startsWith(beginning))?.slice(beginning.length);
}

function networks(rest: readonly string[]): Candidate[] {
  try {
    const folder = given("cni-conf-dir", rest);
    const settings = settingsOf(folder === undefined ? {} : { "cni-conf-dir": folder }, process.env);
    return readConfFolder(settings.confFolder).files.flatMap(({ name, network }) =>
      network === undefined ? [] : [{ word: network.name, description: name }],
    );
  } catch {
    return [];
  }
}

function namespaces(): Candidate[] {
  try {
    return readdirSync(NETNS_DIRECTORY)
      .sort()
      .map((word) => ({ word, description: "" }));
  } catch {
    return [];
  }
}

function pods(rest: readonly string[]): Candidate[] {
  try {
    const records = new PodRecords(given("cache-dir", rest) ?? DEFAULT_CACHE_FOLDER);
    return records
      .list(() => undefined)
      .map(({ name, plan }) => ({
        word: name,
        description: plan.attachments.map(({ list }) => list.name).join(" "),
      }));
  } catch {
    return [];
  }
}

async function containers(rest: readonly string[]): Promise<Candidate[]> {
  try {
    const stores = await surveyStores([given("data-dir", rest) ?? DEFAULT_DATA_DIR]);
    const known = new Map<string, string>();
    for (const { entries, leases } of stores) {
      for (const row of [...leases, ...entries]) {
        if (!("state" in row && row.state === "resting")) known.set(row.containerId, row.podName ?? "");
      }
    }
    return [...known].map(([word, description]) => ({ word, description }));
  } catch {
    return [];
  }
}
