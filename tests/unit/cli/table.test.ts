// Tables on terminals that are too narrow for them: nothing is lost, and no line is wider than the terminal.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { formatTable } from "../../../src/cli/terminal/table.ts";

test("a table breaks the cells of its widest columns and leaves drawings whole", () => {
  const bar = "\u001b[32m█████\u001b[0m\u001b[2m·····\u001b[0m";
  const rows = [
    { network: "pods", plugins: "warren-bridge warren-portmap", empty: "", bar },
    { network: "w", plugins: "abcdefghijklmnopqrstuvwxyz", empty: "", bar },
  ];
  expect(formatTable(rows, 40)).toBe(
    [
      "NETWORK   PLUGINS             BAR",
      `pods      warren-bridge       ${bar}`,
      "          warren-portmap",
      `w         abcdefghijklmnopq   ${bar}`,
      "          rstuvwxyz",
      "",
    ].join("\n"),
  );
});

test("broken or not, every word is there, and no line is wider than asked for as long as columns can give", () => {
  const word = fc.stringMatching(/^[a-z]{1,30}$/);
  const text = fc.array(word, { minLength: 1, maxLength: 6 }).map((words) => words.join(" "));
  fc.assert(
    fc.property(fc.array(fc.tuple(text, text, text), { minLength: 1, maxLength: 4 }), (rows) => {
      const table = formatTable(
        rows.map(([a, b, c]) => ({ a, b, c })),
        60,
      );
      for (const line of table.split("\n")) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(60);
      const letters = (all: string) => [...all.replaceAll(/[^a-z]/g, "")].sort().join("");
      expect(letters(table)).toBe(letters(rows.flat().join("")));
    }),
  );
});
