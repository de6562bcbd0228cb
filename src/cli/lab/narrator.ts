// How a lab talks: numbered steps, prose folded to 78 columns, commands and what they answered set off from it. On a
// terminal it has colour (unless NO_COLOR is set) and keeps to the terminal's width; in a file every line of output
// stands as the command wrote it.
import { writeStdout } from "../../sys/stdio.ts";
import { folded, styled, terminalColumns } from "../terminal/output.ts";

const PROSE_COLUMNS = 78;
const INDENT = "    ";

/** Writes a lab's story on standard output. */
export class Narrator {
  /** How wide lines of output may be; undefined if nobody's eyes are on it. */
  readonly #columns = terminalColumns();
  #step = 0;

  /** The number of the step that is told. */
  get step(): number {
    return this.#step;
  }

  /** Writes what the whole is called. */
  title(text: string): void {
    writeStdout(`\n${styled("bold", text)}\n`);
  }

  /** Begins the next step. */
  begin(title: string): void {
    this.#step++;
    writeStdout(`\n${styled("bold", `${String(this.#step).padStart(2)}. ${title}`)}\n`);
  }

  /** Writes a paragraph; line breaks in `text` are spaces. */
  say(text: string): void {
    const indent = this.#step === 0 ? "" : INDENT;
    const lines = folded(text.trim().replace(/\s+/g, " "), PROSE_COLUMNS - indent.length);
    writeStdout(`\n${lines.map((line) => `${indent}${line}\n`).join("")}`);
  }

  /** Shows a command line. */
  command(line: string): void {
    writeStdout(`\n${INDENT}${styled("dim", "$")} ${styled("cyan", line)}\n`);
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
    writeStdout(`${INDENT}${styled("dim", `(${text})`)}\n`);
  }

  /** Says that what had to be true was looked at and is. */
  confirm(text: string): void {
    const [first = "", ...rest] = folded(text, PROSE_COLUMNS - INDENT.length - 4);
    writeStdout(`\n${INDENT}${styled("green", "ok")}  ${first}\n`);
    for (const line of rest) writeStdout(`${INDENT}    ${line}\n`);
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
    const text = line.trimStart();
    const indent = line.slice(0, line.length - text.length);
    const [first = "", ...rest] = folded(text, columns - indent.length - 2);
    return [`${indent}${first}`, ...rest.map((part) => `${indent}  ${part}`)];
  }

  #room(): number | undefined {
    return this.#columns === undefined ? undefined : Math.max(40, this.#columns - INDENT.length);
  }
}
