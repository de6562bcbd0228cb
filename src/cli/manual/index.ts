// `warren help X`: the manual page of a command, made of its declaration and of what pages.ts says of it. Laid out
// as man(1) lays pages out, and as wide as the terminal, but never so wide that lines are hard to read.
import {
  type AnyCommand,
  argumentsOf,
  childrenOf,
  type FoundCommand,
  flagText,
  metaOf,
  synopsisOf,
} from "../command-tree.ts";
import { folded, styled, terminalColumns } from "../terminal/output.ts";
import type { ManualPage } from "./page.ts";
import { MANUAL_PAGES } from "./pages.ts";

const WIDEST = 90;
const INDENT = "       ";

/** What every command's exit code means, unless its page says otherwise. */
const EXIT_CODES: readonly (readonly [code: string, meaning: string])[] = [
  ["0", "It is done."],
  ["1", "It failed; a line on standard error says why."],
  ["2", "The command line can't be meant; a line on standard error says what would be right."],
  ["141", "Nobody reads the answer any more, as behind head(1)."],
];

/** Returns the page of the command, for a terminal or a file. */
export async function manualText(found: FoundCommand): Promise<string> {
  const { path, command } = found;
  const page: ManualPage = MANUAL_PAGES[path.join(" ")] ?? {};
  const { description } = await metaOf(command);
  const name = ["warren", ...path].join(" ");
  const { positionals, flags } = await argumentsOf(command);
  const children = await commandLines(command);
  const sections: (readonly [title: string, body: string])[] = [
    ["NAME", paragraphs([`${name} - ${lowered(description)}`])],
    ["SYNOPSIS", lines(page.synopsis ?? [await synopsisOf(found)])],
    ["DESCRIPTION", paragraphs(page.description ?? [`${description}.`])],
    ["COMMANDS", items(children)],
    [
      "ARGUMENTS",
      items(
        positionals.map(({ name, definition }) => [name.toUpperCase(), sentence(definition.description)]),
      ),
    ],
    ["OPTIONS", items(flags.map((flag) => [flagText(flag), optionText(flag.definition)]))],
    ["ENVIRONMENT", items(page.environment ?? [])],
    ["FILES", items(page.files ?? [])],
    ["EXIT STATUS", items(page.exitCodes ?? EXIT_CODES)],
    ["EXAMPLES", items((page.examples ?? []).map(([call, what]) => [call, what]))],
    ["SEE ALSO", paragraphs(page.seeAlso === undefined ? [] : [page.seeAlso.join(", ")])],
  ];
  return sections
    .filter(([, body]) => body !== "")
    .map(([title, body]) => `${styled("bold", title)}\n${body}`)
    .join("\n");
}

/** The first letter small, unless the word is written so. */
function lowered(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}

function sentence(text = ""): string {
  return text === "" || /[.!?]$/.test(text) ? text : `${text}.`;
}

function optionText({
  description,
  default: otherwise,
}: {
  description?: string;
  default?: unknown;
}): string {
  const words = sentence(description);
  return otherwise === undefined ? words : `${words} Without it: ${String(otherwise)}.`;
}

async function commandLines(command: AnyCommand): Promise<(readonly [string, string])[]> {
  const found: (readonly [string, string])[] = [];
  for (const [name, child] of await childrenOf(command)) {
    const { description, hidden } = await metaOf(child);
    if (!hidden) found.push([name, sentence(description)]);
  }
  return found;
}

function width(): number {
  return Math.min(WIDEST, terminalColumns() ?? 80) - INDENT.length;
}

function paragraphs(texts: readonly string[]): string {
  return texts
    .map((text) =>
      folded(text.replace(/\s+/g, " ").trim(), width())
        .map((line) => `${INDENT}${line}\n`)
        .join(""),
    )
    .join("\n");
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${INDENT}${text}\n`).join("");
}

/** Terms with what they mean: beside each other where all terms are short, else below. */
function items(pairs: readonly (readonly [term: string, meaning: string])[]): string {
  const widest = Math.max(0, ...pairs.map(([term]) => Bun.stringWidth(term)));
  if (widest <= 14) {
    return pairs
      .map(([term, meaning]) => {
        const [first = "", ...rest] = folded(meaning, width() - widest - 2);
        const gap = " ".repeat(widest - Bun.stringWidth(term) + 2);
        const others = rest.map((line) => `${INDENT}${" ".repeat(widest + 2)}${line}\n`);
        return `${INDENT}${styled("bold", term)}${gap}${first}\n${others.join("")}`;
      })
      .join("");
  }
  return pairs
    .map(([term, meaning]) => {
      const below = folded(meaning, width() - 7).map((line) => `${INDENT}       ${line}\n`);
      return `${INDENT}${styled("bold", term)}\n${meaning === "" ? "" : below.join("")}`;
    })
    .join("\n");
}
