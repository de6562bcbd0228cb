// How an operator's command is declared: a citty command that refuses what it does not know. citty itself lets
// unknown flags, surplus arguments and flags without a value pass, and a mistyped flag must not be obeyed by
// half.
import { parseArgs } from "node:util";
import { type ArgsDef, type CommandContext, type CommandDef, defineCommand } from "citty";
import type * as v from "valibot";
import { describeError, ErrorCode } from "../cni/error.ts";
import { InputError, parseInput } from "../cni/input.ts";
import { nearestWord } from "./spelling.ts";

/** A command line that can't be meant: reported with exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** A program that can't be started: reported with the exit code that shells give, 126 or 127. */
export class ProgramError extends Error {
  override readonly name = "ProgramError";

  constructor(
    message: string,
    /** 127 where there is no such program, 126 where there is one that can't be executed. */
    readonly exitCode: 126 | 127,
    options?: { readonly cause?: unknown },
  ) {
    super(message, options);
  }
}

/** What a command of Warren consists of. */
export interface OperatorCommand<Args extends ArgsDef> {
  readonly name: string;
  readonly description: string;
  readonly hidden?: boolean;
  readonly args: Args;
  /** True if any number of arguments may follow the declared ones. */
  readonly variadic?: boolean;
  /** Does the work. Returns the exit code, nothing for 0; whatever it throws becomes one line and exit code 1. */
  run(context: CommandContext<Args>): number | undefined | Promise<number | undefined>;
}

/** Returns the citty command, for the table of commands in index.ts. */
export function operatorCommand<const Args extends ArgsDef>(
  command: OperatorCommand<Args>,
): CommandDef<Args> {
  const { name, description, hidden = false, args, variadic = false } = command;
  return defineCommand<Args>({
    meta: { name, description, hidden },
    args,
    setup: (context) => refuseUnknown(context.rawArgs, context.args, args, variadic),
    run: (context) => command.run(context),
  });
}

/** Returns flags as `schema` types them; throws UsageError naming the first one whose value makes no sense. */
export function parseFlags<Schema extends v.GenericSchema>(
  schema: Schema,
  flags: Readonly<Record<string, unknown>>,
): v.InferOutput<Schema> {
  try {
    return parseInput(schema, { ...flags }, ErrorCode.invalidEnvironment, "command line");
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new UsageError(describeError(error), { cause: error });
  }
}

/** Returns the arguments in front of a `--` and those behind it; undefined behind if there is none. */
export function splitAtDashes(rawArgs: readonly string[]): {
  readonly before: readonly string[];
  readonly behind: readonly string[] | undefined;
} {
  const dashes = rawArgs.indexOf("--");
  if (dashes < 0) return { before: rawArgs, behind: undefined };
  return { before: rawArgs.slice(0, dashes), behind: rawArgs.slice(dashes + 1) };
}

/** A flag as it was given, with its value. */
export interface GivenFlag {
  readonly name: string;
  readonly value: string;
}

/**
 * Returns the flags with values in the order in which they were given, for flags that may be repeated: citty tells the last
 * one alone. Throws UsageError for one without a value.
 */
export function givenFlags(rawArgs: readonly string[], declared: ArgsDef): GivenFlag[] {
  const options: Record<string, { type: "string" | "boolean"; short?: string; multiple?: boolean }> = {};
  const names = new Map<string, string>();
  for (const [name, definition] of Object.entries(declared)) {
    if (definition.type === "positional") continue;
    const type = definition.type === "boolean" ? "boolean" : "string";
    const aliases = "alias" in definition ? [definition.alias ?? []].flat() : [];
    const short = aliases.find((alias) => alias.length === 1);
    options[name] = { type, ...(short === undefined ? {} : { short }), multiple: type === "string" };
    // further aliases are options of their own to the parser
    for (const alias of aliases.filter((one) => one !== short)) {
      options[alias] = { type, multiple: type === "string" };
      names.set(alias, name);
    }
  }
  const { tokens } = parseArgs({
    args: [...splitAtDashes(rawArgs).before],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  return tokens.flatMap((token) => {
    if (token.kind !== "option" || options[token.name]?.type !== "string") return [];
    const name = names.get(token.name) ?? token.name;
    if (token.value === undefined || token.value === "") throw new UsageError(`--${name} needs a value`);
    return [{ name, value: token.value }];
  });
}

/** Returns the names under which citty reports a flag: as declared, in camel case, and its aliases. */
function spellingsOf(name: string, alias: string | readonly string[] | undefined): string[] {
  const camel = name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return [name, camel, ...(alias === undefined ? [] : typeof alias === "string" ? [alias] : alias)];
}

function knownFlag(key: string, flags: readonly (readonly [name: string, unknown])[]): string {
  const names = flags.map(([name]) => name);
  const meant = nearestWord(key, names);
  if (meant !== undefined) return `did you mean --${meant}?`;
  return names.length === 0 ? "there are none" : `known are ${names.map((name) => `--${name}`).join(", ")}`;
}

/** Throws UsageError for what the command does not declare. */
function refuseUnknown(
  rawArgs: readonly string[],
  parsed: Readonly<Record<string, unknown>>,
  declared: ArgsDef,
  takesMore: boolean,
): void {
  const flags = Object.entries(declared).filter(([, definition]) => definition.type !== "positional");
  const known = new Map<string, string>();
  for (const [name, definition] of flags) {
    const alias = "alias" in definition ? definition.alias : undefined;
    for (const spelling of spellingsOf(name, alias)) known.set(spelling, name);
  }
  const positionals = new Set(Object.keys(declared).filter((name) => !flags.some(([flag]) => flag === name)));
  for (const [key, value] of Object.entries(parsed)) {
    if (key === "_" || positionals.has(key)) continue;
    const flag = known.get(key);
    if (flag === undefined) {
      throw new UsageError(`unknown flag ${key.length === 1 ? "-" : "--"}${key}; ${knownFlag(key, flags)}`);
    }
    if (value === "" || (value === false && declared[flag]?.type !== "boolean")) {
      throw new UsageError(`--${flag} needs a value`);
    }
  }
  if (takesMore) return;
  const given: readonly unknown[] = Array.isArray(parsed._) ? parsed._ : [];
  if (splitAtDashes(rawArgs).behind !== undefined) throw new UsageError("unexpected --");
  if (given.length > positionals.size) {
    throw new UsageError(`unexpected argument ${JSON.stringify(given[positionals.size])}`);
  }
}
