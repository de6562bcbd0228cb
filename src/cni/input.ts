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

/** The way to a value: keys of objects and numbers in lists. */
export type InputPath = readonly (string | number)[];

/** Returns the path the way jq writes it: `ipam.ranges[0][1].subnet`. */
export function formatPath(path: InputPath): string {
  let place = "";
  for (const step of path) {
    if (typeof step === "number") place += `[${step}]`;
    else place += place === "" ? step : `.${step}`;
  }
  return place;
}

/** Input that a schema refuses; `path` leads to what is wrong in it. */
export class InputError extends CniError {
  constructor(
    code: ErrorCodeNumber,
    readonly path: InputPath,
    message: string,
    cure: string,
  ) {
    super(code, message, cure);
  }

  /** Returns the same refusal of a larger input, in which this one's stands at `path`. */
  at(path: InputPath): InputError {
    return new InputError(this.code, [...path, ...this.path], this.message, this.details);
  }
}

function pathOf(issue: v.BaseIssue<unknown>): InputPath {
  return (issue.path ?? []).map(({ key }) => (typeof key === "number" ? key : String(key)));
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
 * Returns `input` as `schema` types it; its keys may be spelled as Go's JSON lets them (keys.ts). Throws an InputError
 * of `code` that names the first wrong key; `what` says whose input it is, such as `network config "lab"`.
 */
export function parseInput<Schema extends v.GenericSchema>(
  schema: Schema,
  input: unknown,
  code: ErrorCodeNumber,
  what: string,
): v.InferOutput<Schema> {
  const spelled = withKnownKeys(schema, input);
  const parsed = v.safeParse(schema, spelled, { abortEarly: true });
  if (!parsed.success) throw refusal(parsed.issues[0], code, what);
  const list = listForObject(schema, spelled, []);
  if (list !== undefined) throw refusedValue(list.path, list.value, "an object", code, what);
  return parsed.output;
}

/** Returns everything in `input` that `schema` refuses, each as parseInput would throw it. */
export function refusalsOf(
  schema: v.GenericSchema,
  input: unknown,
  code: ErrorCodeNumber,
  what: string,
): InputError[] {
  const spelled = withKnownKeys(schema, input);
  const parsed = v.safeParse(schema, spelled);
  if (!parsed.success) return parsed.issues.map((issue) => refusal(issue, code, what));
  const list = listForObject(schema, spelled, []);
  return list === undefined ? [] : [refusedValue(list.path, list.value, "an object", code, what)];
}

function refusal(issue: v.BaseIssue<unknown>, code: ErrorCodeNumber, what: string): InputError {
  const path = pathOf(issue);
  if (issue.type !== "strict_object" || issue.expected !== "never") {
    return refusedValue(path, issue.input, expectation(issue), code, what);
  }
  return new InputError(
    code,
    path,
    `${what}: unknown key "${formatPath(path)}"`,
    "correct its spelling, or remove it",
  );
}

function refusedValue(
  path: InputPath,
  value: unknown,
  expected: string,
  code: ErrorCodeNumber,
  what: string,
): InputError {
  const place = path.length === 0 ? "it" : `"${formatPath(path)}"`;
  return new InputError(code, path, `${what}: ${place} is ${shown(value)}`, `expected ${expected}`);
}

/** Finds a list where the schema wants an object: valibot lets it pass as an object without keys. */
function listForObject(
  { type, entries, wrapped, item }: SchemaParts,
  value: unknown,
  path: InputPath,
): { readonly path: InputPath; readonly value: unknown } | undefined {
  if (wrapped !== undefined) return listForObject(wrapped, value, path);
  if (typeof value !== "object" || value === null) return undefined;
  if (Array.isArray(value)) {
    if (entries !== undefined || type === "record") return { path, value };
    if (item === undefined) return undefined;
    const found = value.map((one, index) => listForObject(item, one, [...path, index]));
    return found.find((one) => one !== undefined);
  }
  if (entries === undefined) return undefined;
  for (const key in entries) {
    const inside: unknown = Reflect.get(value, key);
    const schema = typeof inside === "object" ? entries[key] : undefined;
    const found = schema === undefined ? undefined : listForObject(schema, inside, [...path, key]);
    if (found !== undefined) return found;
  }
  return undefined;
}
