// Input that somebody else wrote, checked against a schema. A refusal names the key, the value that stands
// there and what would be right, so that nobody has to guess which of forty keys was meant.
import * as v from "valibot";
import { CniError, type ErrorCodeNumber } from "./error.ts";
import { type SchemaParts, withKnownKeys } from "./keys.ts";

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
    case "strict_object":
    case "loose_object":
      // of a key that is missing valibot says only its name
      return issue.expected?.startsWith('"') === true ? "a value: the key is required" : "an object";
    case "array":
      return "a list";
    case "boolean":
      return "true or false";
    case "string":
    case "number":
      return `a ${issue.type}`;
    case "integer":
      return "a whole number";
    case "picklist":
      return (issue.expected ?? "").replace(/^\(|\)$/g, "").replaceAll(" | ", " or ");
    case "min_value":
      return `at least ${issue.expected?.replace(">=", "") ?? "more"}`;
    case "max_value":
      return `at most ${issue.expected?.replace("<=", "") ?? "less"}`;
    default:
      return (issue.expected ?? issue.message).replaceAll(" | null", "").replaceAll(" | undefined", "");
  }
}

/**
 * Returns `input` as `schema` types it; its keys may be spelled as Go's JSON lets them (keys.ts). Throws a CniError of
 * `code` that names the first wrong key; `what` says whose input it is, such as `network config "lab"`.
 */
export function parseInput<Schema extends v.GenericSchema>(
  schema: Schema,
  input: unknown,
  code: ErrorCodeNumber,
  what: string,
): v.InferOutput<Schema> {
  const refuse = (place: string, value: unknown, expected: string): never => {
    throw new CniError(
      code,
      `${what}: ${place === "" ? "it" : `"${place}"`} is ${shown(value)}`,
      `expected ${expected}`,
    );
  };
  const spelled = withKnownKeys(schema, input);
  const parsed = v.safeParse(schema, spelled, { abortEarly: true });
  if (!parsed.success) {
    const [issue] = parsed.issues;
    if (issue.type === "strict_object" && issue.expected === "never") {
      throw new CniError(
        code,
        `${what}: unknown key "${placeOf(issue)}"`,
        "correct its spelling, or remove it",
      );
    }
    return refuse(placeOf(issue), issue.input, expectation(issue));
  }
  const list = listForObject(schema, spelled, "");
  return list === undefined ? parsed.output : refuse(list.place, list.value, "an object");
}

/** Finds a list where the schema wants an object: valibot lets it pass as an object without keys. */
function listForObject(
  { entries, wrapped, item }: SchemaParts,
  value: unknown,
  place: string,
): { readonly place: string; readonly value: unknown } | undefined {
  if (wrapped !== undefined) return listForObject(wrapped, value, place);
  if (typeof value !== "object" || value === null) return undefined;
  if (Array.isArray(value)) {
    if (entries !== undefined) return { place, value };
    if (item === undefined) return undefined;
    const found = value.map((one, index) => listForObject(item, one, `${place}[${index}]`));
    return found.find((one) => one !== undefined);
  }
  for (const [key, schema] of Object.entries(entries ?? {})) {
    const inside: unknown = Reflect.get(value, key);
    const found = listForObject(schema, inside, place === "" ? key : `${place}.${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}
