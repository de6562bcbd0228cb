// What `conf doctor` finds: how bad it is, where it stands, what it is and what would help. And a config's text, in
// which a place can be pointed at by the way that leads there.
import { type JsonNode, type JsonPath, offsetOf, placeIn } from "../../conflist/json-text.ts";

/** An error is broken, a warning works but hardly as meant, a note is good to know. */
export type Severity = "error" | "warning" | "note";

/** One thing that was found. */
export interface Finding {
  readonly severity: Severity;
  readonly file: string;
  /** From 1 on, as the column; absent where it is about the whole file. */
  readonly line?: number;
  readonly column?: number;
  readonly message: string;
  readonly cure: string;
}

/** The text of a file that is JSON. */
export interface ConfText {
  readonly path: string;
  readonly text: string;
  readonly root: JsonNode;
}

/** Returns a finding about what `path` leads to in the text. */
export function findingAt(
  { path: file, text, root }: ConfText,
  path: JsonPath,
  severity: Severity,
  message: string,
  cure = "",
): Finding {
  return { severity, file, ...placeIn(text, offsetOf(root, path)), message, cure };
}
