// The commands as a tree: which one words lead to, what it takes, and how a call of it is spelled. Help, completion and
// the messages about wrong calls all read it here.
import type { ArgDef, CommandDef } from "citty";
import { UsageError } from "./command.ts";
import { nearestWord } from "./spelling.ts";

/** A command, whatever its arguments. */
// biome-ignore lint/suspicious/noExplicitAny: citty has no other type for that
export type AnyCommand = CommandDef<any>;

/** A command with the words that lead to it, without `warren`. */
export interface FoundCommand {
  readonly path: readonly string[];
  readonly command: AnyCommand;
  /** The words behind those of the path. */
  readonly rest: readonly string[];
}

/** An argument or flag with its name. */
export interface DeclaredArgument {
  readonly name: string;
  readonly definition: ArgDef;
}

type Resolvable<T> = T | Promise<T> | (() => T | Promise<T>) | undefined;

async function resolved<T>(value: Resolvable<T>): Promise<T | undefined> {
  return typeof value === "function" ? (value as () => T | Promise<T>)() : value;
}

/** Returns the commands of a command by their names; none for one that does the work itself. */
export async function childrenOf(command: AnyCommand): Promise<ReadonlyMap<string, AnyCommand>> {
  const children = new Map<string, AnyCommand>();
  const declared = await resolved<object>(command.subCommands as Resolvable<object>);
  for (const [name, child] of Object.entries(declared ?? {})) {
    const loaded = await resolved<AnyCommand>(child as Resolvable<AnyCommand>);
    if (loaded !== undefined) children.set(name, loaded);
  }
  return children;
}

/** Returns the child of a command, of which no other is loaded; undefined if there is none of that name. */
async function childOf(command: AnyCommand, name: string): Promise<AnyCommand | undefined> {
  const declared = await resolved<object>(command.subCommands as Resolvable<object>);
  if (declared === undefined || !Object.hasOwn(declared, name)) return undefined;
  return resolved<AnyCommand>(Reflect.get(declared, name) as Resolvable<AnyCommand>);
}

async function namesOf(command: AnyCommand): Promise<string[]> {
  return Object.keys((await resolved<object>(command.subCommands as Resolvable<object>)) ?? {});
}

/**
 * Returns the command that the words lead to, as far as they lead. Throws UsageError for a word that is no command where
 * one has to be, with the one that may be meant.
 */
export async function findCommand(root: AnyCommand, words: readonly string[]): Promise<FoundCommand> {
  let command = root;
  for (let depth = 0; ; depth++) {
    const names = await namesOf(command);
    const word = words[depth];
    const path = words.slice(0, depth);
    if (names.length === 0 || word === undefined) return { path, command, rest: words.slice(depth) };
    const child = await childOf(command, word);
    if (child === undefined) throw unknownCommand(path, word, await visibleNames(command));
    command = child;
  }
}

async function visibleNames(command: AnyCommand): Promise<string[]> {
  const children = await childrenOf(command);
  const names: string[] = [];
  for (const [name, child] of children) if ((await metaOf(child)).hidden !== true) names.push(name);
  return names;
}

function unknownCommand(path: readonly string[], word: string, names: readonly string[]): UsageError {
  const place = path.length === 0 ? "" : ` of warren ${path.join(" ")}`;
  if (word.startsWith("-")) {
    const where = ["warren", ...path, "COMMAND", word].join(" ");
    return new UsageError(`flags come after the command: ${where}`);
  }
  const meant = nearestWord(word, names);
  const cure =
    meant !== undefined
      ? `did you mean ${JSON.stringify(meant)}?`
      : path.length === 0
        ? "see: warren help"
        : `there are ${names.join(", ")}`;
  return new UsageError(`unknown command ${JSON.stringify(word)}${place}; ${cure}`);
}

/** Throws UsageError unless the command does something itself. */
export async function requireLeaf({ path, command }: FoundCommand): Promise<void> {
  const names = await visibleNames(command);
  if (names.length === 0) return;
  throw new UsageError(`warren ${path.join(" ")} needs a command: ${names.join(", ")}`);
}

/** Returns name, description and whether it is kept out of the help. */
export async function metaOf(command: AnyCommand): Promise<{
  readonly description: string;
  readonly hidden: boolean;
}> {
  const meta = await resolved<{ description?: string; hidden?: boolean }>(command.meta as Resolvable<object>);
  return { description: meta?.description ?? "", hidden: meta?.hidden === true };
}

/** Returns what the command takes: arguments in their order, and flags. */
export async function argumentsOf(command: AnyCommand): Promise<{
  readonly positionals: readonly DeclaredArgument[];
  readonly flags: readonly DeclaredArgument[];
}> {
  const declared =
    (await resolved<Record<string, ArgDef>>(command.args as Resolvable<Record<string, ArgDef>>)) ?? {};
  const all = Object.entries(declared).map(([name, definition]) => ({ name, definition }));
  return {
    positionals: all.filter(({ definition }) => definition.type === "positional"),
    flags: all.filter(({ definition }) => definition.type !== "positional"),
  };
}

/** Returns the flag as it is typed: `--after TYPE`, `-i, --ifname NAME`. */
export function flagText({ name, definition }: DeclaredArgument): string {
  const alias = "alias" in definition ? definition.alias : undefined;
  const short = [alias ?? []].flat().map((one) => `-${one}, `);
  const hint = definition.type === "boolean" ? "" : ` ${definition.valueHint ?? "VALUE"}`;
  return `${short.join("")}--${name}${hint}`;
}

/** Returns how a call is spelled: `warren conf add [OPTION ...] PLUGIN`. */
export async function synopsisOf({ path, command }: FoundCommand): Promise<string> {
  const { positionals, flags } = await argumentsOf(command);
  const isParent = (await namesOf(command)).length > 0;
  return [
    "warren",
    ...path,
    ...(isParent ? ["COMMAND", "..."] : []),
    ...(flags.length === 0 ? [] : ["[OPTION ...]"]),
    ...positionals.map(({ name, definition }) => {
      const word = name.toUpperCase();
      return definition.required === false ? `[${word}]` : word;
    }),
  ].join(" ");
}
