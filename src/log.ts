// The one log of Warren: lines on standard error, never on standard output, which belongs to results. Made of
// consola's core with a reporter of our own, because every ready-made one of consola touches process.stdout, which costs
// 10 ms and would mix log lines into a result; and console.error paints whatever it prints on a terminal red.
import { createConsola } from "consola/core";
import { writeStderr } from "./sys/stdio.ts";

const PREFIXES: Readonly<Record<string, string>> = { warn: "warning: ", error: "Error: ", fatal: "Error: " };

function textOf(value: unknown): string {
  if (value instanceof Error) return value.message;
  return typeof value === "string" ? value : Bun.inspect(value);
}

/** Writes lines to standard error: `log.info` as they are, `log.warn` and `log.error` with a word in front. */
export const log = createConsola({
  level: 3,
  // consola would hold back a line that repeats, and lose it where the process ends by _exit
  throttle: 0,
  reporters: [
    {
      log: ({ type, args }) => writeStderr(`${PREFIXES[type] ?? ""}${args.map(textOf).join(" ")}\n`),
    },
  ],
});
