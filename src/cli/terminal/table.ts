// Tables for people. Columns that are empty in every row are left out, and on a terminal that is too narrow the widest
// columns break their cells into several lines.
import { writeStdout } from "../../sys/stdio.ts";
import { folded, terminalColumns } from "./output.ts";

const GAP = "   ";

/** No column is made narrower than this. */
const NARROWEST = 12;

/**
 * Returns the rows as lines under a line of headings, each column as wide as its widest cell, or narrower where the
 * table would be wider than `columns`.
 */
export function formatTable(rows: readonly object[], columns?: number): string {
  const cells = rows.map((row) => new Map(Object.entries(row).map(([key, value]) => [key, String(value)])));
  const keys = [...new Set(cells.flatMap((row) => [...row.keys()]))].filter((key) =>
    cells.some((row) => (row.get(key) ?? "") !== ""),
  );
  const wanted = keys.map((key) =>
    Math.max(...[key, ...cells.map((row) => row.get(key) ?? "")].map((cell) => Bun.stringWidth(cell))),
  );
  // cells with colours are drawings, which can't be broken
  const rigid = keys.map((key) => cells.some((row) => (row.get(key) ?? "").includes("\u001b")));
  const widths = columns === undefined ? wanted : fitted(wanted, rigid, columns);
  const line = (texts: readonly string[]) =>
    texts
      .map((text, index) => text + " ".repeat(Math.max(0, (widths[index] ?? 0) - Bun.stringWidth(text))))
      .join(GAP)
      .trimEnd();
  const linesOf = (row: ReadonlyMap<string, string>): string[] => {
    const parts = keys.map((key, index) => broken(row.get(key) ?? "", widths[index] ?? 0));
    const height = Math.max(1, ...parts.map(({ length }) => length));
    return Array.from({ length: height }, (_, at) => line(parts.map((part) => part[at] ?? "")));
  };
  return [line(keys.map((key) => key.toUpperCase())), ...cells.flatMap(linesOf)]
    .map((text) => `${text}\n`)
    .join("");
}

/** Takes from the widest column until all fit, or none can give any more. */
function fitted(wanted: readonly number[], rigid: readonly boolean[], columns: number): number[] {
  const widths = [...wanted];
  const room = columns - GAP.length * (widths.length - 1);
  let excess = widths.reduce((sum, width) => sum + width, 0) - room;
  while (excess > 0) {
    const widest = Math.max(...widths.filter((_, index) => rigid[index] !== true));
    if (widest <= NARROWEST) break;
    widths[widths.findIndex((width, index) => width === widest && rigid[index] !== true)] = widest - 1;
    excess--;
  }
  return widths;
}

function broken(text: string, width: number): string[] {
  if (Bun.stringWidth(text) <= width) return [text];
  return folded(text, width).flatMap((part) => {
    const pieces: string[] = [];
    for (let at = 0; at < part.length; at += width) pieces.push(part.slice(at, at + width));
    return pieces;
  });
}

/** Prints the rows on standard output. */
export function printTable(rows: readonly object[]): void {
  writeStdout(formatTable(rows, terminalColumns()));
}
