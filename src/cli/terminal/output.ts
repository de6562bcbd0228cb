// What standard output leads to: a terminal, with colours and so many columns, or a pipe, which gets neither.
import { isatty } from "node:tty";

const STYLES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34, cyan: 36 } as const;

/** A way to set a text off. */
export type Style = keyof typeof STYLES;

let terminal: boolean | undefined;

/** True if a person reads standard output. */
function isTerminal(): boolean {
  terminal ??= isatty(1);
  return terminal;
}

/** Returns the text in that style; as it is where nobody would see it, or NO_COLOR is set (no-color.org). */
export function styled(style: Style, text: string): string {
  const coloured = isTerminal() && (process.env.NO_COLOR ?? "") === "";
  return coloured ? `\u001b[${STYLES[style]}m${text}\u001b[0m` : text;
}

let columns: number | undefined;

/** Returns how wide the terminal was when this was first asked; undefined if there is none. */
export function terminalColumns(): number | undefined {
  if (!isTerminal()) return undefined;
  columns ??= askedColumns();
  return columns;
}

/** process.stdout, which knows too, costs more than a process and changes the terminal's mode. */
function askedColumns(): number {
  try {
    const { stdout } = Bun.spawnSync(["stty", "size"], { stdin: Bun.file("/dev/tty"), stderr: "ignore" });
    return Number(stdout.toString().split(" ")[1]) || 80;
  } catch {
    return 80;
  }
}

/** Returns a paragraph as lines: on a terminal broken to its width, the lines behind the first indented. */
export function paragraph(text: string, indent = "    "): string {
  const room = terminalColumns();
  if (room === undefined || Bun.stringWidth(text) <= room) return `${text}\n`;
  const [first = "", ...rest] = folded(text, room - indent.length);
  return [first, ...rest.map((line) => indent + line)].map((line) => `${line}\n`).join("");
}

/** Breaks a text at spaces into lines of at most `columns`; a longer word has a line of its own. */
export function folded(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && Bun.stringWidth(line) + 1 + Bun.stringWidth(word) > columns) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** The longest name that a table shows whole. */
const LONGEST_NAME = 63;

/** Returns a name that somebody else chose as a line of a table may have it: quoted and cut where it is not plain. */
export function plainText(name: string): string {
  return name.length <= LONGEST_NAME && /^[\x20-\x7e\u00a1-\uffff]*$/.test(name)
    ? name
    : JSON.stringify(name.slice(0, LONGEST_NAME));
}
