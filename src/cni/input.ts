// Input that somebody else wrote, checked against a schema. A refusal names the key, the value that stands
// there and what would be right, so that nobody has to guess which of forty keys was meant.
import * as v from "valibot";
import { CniError, type ErrorCodeNumber } from "./error.ts";

const LONGEST_SHOWN = 120;

/** Returns the value as a person would write it in JSON, cut where it is long. */
export function shown(value: unknown): string {
  const text = value === undefined ? "nothing" : (JSON.stringify(value) ?? String(value));
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}...` : text;
}

/** Returns the place of an issue the way jq writes it: `ipam.ranges[0][1].subnet`. */
function placeOf(issue: v.BaseIssue<unknown>): string {
  let place = "";
  for (const item of issue.path ?? []) {
    const key: unknown = item.key;
    if (typeof key === "number") place += `[${key}]`;
    else place += place === "" ? String(key) : `.${String(key)}`;
  }
  return place;
}

function expectation(issue: v.BaseIssue<unknown>): string {
  // a check's message says what would be right; every other kind of issue has it in `expected`
  if (issue.kind === "validation" && (issue.type === "check" || issue.type === "regex")) return issue.message;
  switch (issue.type) {
    case "object":
    case "record":
      return "an object";
    case "array":
      return "a list";
    case "strict_object":
      return issue.expected === "never" ? "no such key" : "an object";
    case "integer":
      return "a whole number";
    case "min_value":
      return `at least ${issue.expected?.replace(">=", "") ?? "more"}`;
    case "max_value":
      return `at most ${issue.expected?.replace("<=", "") ?? "less"}`;
    default:
      return (issue.expected ?? issue.message).replaceAll(" | null", "").replaceAll(" | undefined", "");
  }
}

/**
 * Returns `input` as `schema` types it. Throws a CniError of `code` that names the first wrong key; `what` says
 * whose input it is, such as `network config "lab"`.
 */
export function parseInput<Schema extends v.GenericSchema>(
  schema: Schema,
  input: unknown,
  code: ErrorCodeNumber,
  what: string,
): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, input, { abortEarly: true });
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const place = placeOf(issue);
  throw new CniError(
    code,
    `${what}: ${place === "" ? "it" : `"${place}"`} is ${shown(issue.input)}`,
    `expected ${expectation(issue)}`,
  );
}
