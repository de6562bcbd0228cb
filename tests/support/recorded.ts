// Messages that were recorded, as rows of hexadecimal digits: in a test, or in a file where they are many.
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Returns the bytes of rows of hexadecimal digits. */
export function message(...rows: string[]): Uint8Array {
  return Uint8Array.from(rows.join("").replaceAll(" ", "").match(/../g) ?? [], (octet) =>
    Number(`0x${octet}`),
  );
}

/** Returns the messages in a file of tests/golden: rows with comments behind `#`, and an empty line between two messages. */
export function recordedMessages(file: string): Uint8Array[] {
  const text = readFileSync(join(import.meta.dir, "../golden", file), "utf8").replace(/ *#.*/g, "");
  return text
    .trim()
    .split(/\n\n+/)
    .map((rows) => message(...rows.split("\n")));
}

/** Returns the same message as the answer to the first request of a socket. */
export function asFirstAnswer(recorded: Uint8Array): Uint8Array {
  const copy = recorded.slice();
  new DataView(copy.buffer).setUint32(8, 1, true);
  return copy;
}
