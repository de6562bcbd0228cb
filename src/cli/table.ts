// Tables for people. Columns that are empty in every row are left out.
import { writeStdout } from "../sys/stdio.ts";

/** Returns the rows as lines under a line of headings, each column as wide as its widest cell. */
export function formatTable(rows: readonly object[]): string {
  const cells = rows.map((row) => new Map(Object.entries(row).map(([key, value]) => [key, String(value)])));
  const columns = [...new Set(cells.flatMap((row) => [...row.keys()]))].filter((column) =>
    cells.some((row) => (row.get(column) ?? "") !== ""),
  );
  const widths = columns.map((column) =>
    Math.max(...[column, ...cells.map((row) => row.get(column) ?? "")].map((cell) => Bun.stringWidth(cell))),
  );
  const line = (texts: readonly string[]) =>
    texts
      .map((text, index) => text + " ".repeat((widths[index] ?? 0) - Bun.stringWidth(text)))
      .join("   ")
      .trimEnd();
  return [
    line(columns.map((column) => column.toUpperCase())),
    ...cells.map((row) => line(columns.map((column) => row.get(column) ?? ""))),
  ]
    .map((text) => `${text}\n`)
    .join("");
}

/** Prints the rows on standard output. */
export function printTable(rows: readonly object[]): void {
  writeStdout(formatTable(rows));
}
