// How a lab talks: numbered steps, prose folded to 78 columns, commands and what they answered set off from it. On a
// terminal it has colour (unless NO_COLOR is set) and keeps to the terminal's width; in a file every line of output
// stands as the command wrote it.
import { isatty } from "node:tty";
import { writeStdout } from "../../sys/stdio.ts";

const PROSE_COLUMNS = 78;
const INDENT = "    ";

const STYLES = { bold: 1, dim: 2, green: 32, cyan: 36 } as const;

/** Writes a lab's story on standard output. */
export class Narrator {
  readonly #coloured: boolean;
  /** How wide lines of output may be; undefined if nobody's eyes are on it. */
  readonly #columns: number | undefined;
  #step = 0;

  constructor() {
    const terminal = isatty(1);
    this.#coloured = terminal && (process.env.NO_COLOR ?? "") === "";
    this.#columns = terminal ? terminalColumns() : undefined;
  }

  /** The number of the step that is told. */
  get step(): number {
    return this.#step;
  }

  /** Writes what the whole is called. */
  title(text: string): void {
    writeStdout(`\n${this.#styled("bold", text)}\n`);
  }

  /** Begins the next step. */
  begin(title: string): void {
    this.#step++;
    writeStdout(`\n${this.#styled("bold", `${String(this.#step).padStart(2)}. ${title}`)}\n`);
  }

  /** Writes a paragraph; line breaks in `text` are spaces. */
  say(text: string): void {
    const indent = this.#step === 0 ? "" : INDENT;
    const lines = folded(text.trim().replace(/\s+/g, " "), PROSE_COLUMNS - indent.length);
    writeStdout(`\n${lines.map((line) => `${indent}${line}\n`).join("")}`);
  }

  /** Shows a command line. */
  command(line: string): void {
    writeStdout(`\n${INDENT}${this.#styled("dim", "$")} ${this.#styled("cyan", line)}\n`);
  }

  /** Shows what a command wrote. On a terminal tables lose the columns that don't fit, other lines are folded. */
  output(text: string): void {
    const lines = text.trimEnd().split("\n");
    const [heading = ""] = lines;
    if (!/^[A-Z]+ {2,}[A-Z]+/.test(heading)) {
      for (const line of lines.flatMap((line) => this.#fitted(line))) writeStdout(`${INDENT}${line}\n`);
      return;
    }
    const end = this.#lastColumnEnd(lines);
    for (const line of lines) writeStdout(`${INDENT}${line.slice(0, end).trimEnd()}\n`);
    const hidden = heading.slice(end).trim();
    if (hidden !== "") this.aside(`no room here for ${hidden.split(/\s+/).join(", ")}`);
  }

  /** Says what was left out of an output, or what else is to be known about it. */
  aside(text: string): void {
    writeStdout(`${INDENT}${this.#styled("dim", `(${text})`)}\n`);
  }

  /** Says that what had to be true was looked at and is. */
  confirm(text: string): void {
    const [first = "", ...rest] = folded(text, PROSE_COLUMNS - INDENT.length - 4);
    writeStdout(`\n${INDENT}${this.#styled("green", "ok")}  ${first}\n`);
    for (const line of rest) writeStdout(`${INDENT}    ${line}\n`);
  }

  #styled(style: keyof typeof STYLES, text: string): string {
    return this.#coloured ? `\u001b[${STYLES[style]}m${text}\u001b[0m` : text;
  }

  /** Returns where the last column of a table ends that there is room for. */
  #lastColumnEnd([heading = "", ...rows]: readonly string[]): number {
    const widest = Math.max(heading.length, ...rows.map((row) => row.length));
    const room = this.#room() ?? widest;
    if (widest <= room) return widest;
    const starts = [...heading.matchAll(/\S+/g)].map(({ index }) => index);
    return Math.max(...starts.filter((start) => start <= room));
  }

  #fitted(line: string): string[] {
    const columns = this.#room();
    if (columns === undefined || line.length <= columns) return [line];
    const [first = "", ...rest] = folded(line, columns - 2);
    return [first, ...rest.map((part) => `  ${part}`)];
  }

  #room(): number | undefined {
    return this.#columns === undefined ? undefined : Math.max(40, this.#columns - INDENT.length);
  }
}

/** Breaks a text at spaces into lines of at most `columns`; a longer word has a line of its own. */
function folded(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** Asks the terminal; process.stdout, which knows too, costs more than a process and changes the terminal's mode. */
function terminalColumns(): number {
  try {
    const { stdout } = Bun.spawnSync(["stty", "size"], { stdin: Bun.file("/dev/tty"), stderr: "ignore" });
    return Number(stdout.toString().split(" ")[1]) || 80;
  } catch {
    return 80;
  }
}
