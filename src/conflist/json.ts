// JSON that goes through our hands unchanged: whole numbers above 2^53 keep every digit (a rate in bits or a
// 64-bit id is passed on to plugins as it was written), keys come out in libcni's order, and what is no JSON is
// refused with its line and column, which JSON.parse does not tell.
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import { parseExactly } from "../cni/exact-json.ts";
import { placeIn } from "./json-text.ts";

/** A JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** True if `value` is an object and neither an array nor a number that is kept as its digits. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !JSON.isRawJSON(value);
}

/** Returns the value in `text`; throws CniError 6 naming `what`, the line and the column. */
export function parseJson(text: string, what: string): unknown {
  try {
    return parseExactly(text);
  } catch (error) {
    const { line, column } = placeIn(text, syntaxErrorOffset(text));
    throw new CniError(
      ErrorCode.decodingFailure,
      `${what}: no JSON at line ${line}, column ${column}`,
      text.trim() === "" ? "it is empty" : describeError(error),
      { cause: error },
    );
  }
}

/** Returns `value` as one line of JSON with the keys of every object sorted, as libcni writes configs. */
export function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    isObject(member)
      ? Object.fromEntries(Object.entries(member).sort(([left], [right]) => (left < right ? -1 : 1)))
      : member,
  );
}

/**
 * Returns the member called `name`, in any case of letters if there is none spelt exactly so: Go decodes into
 * structs that way (encoding/json), and configs that rely on it exist.
 */
export function memberOf(object: JsonObject, name: string): unknown {
  if (Object.hasOwn(object, name)) return object[name];
  const lower = name.toLowerCase();
  return Object.entries(object).findLast(([key]) => key.toLowerCase() === lower)?.[1];
}

const BLANK = /[ \t\n\r]*/y;
const STRING = /"(?:[^"\\\n\r\t]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const OTHER_SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

/** How deep values may stand in each other: more is an attack on the stack, and no config. */
const DEEPEST_VALUE = 500;

/** Returns the offset of the first character of `text` that no JSON could have there (RFC 8259), or is too deep inside. */
export function syntaxErrorOffset(text: string): number {
  let offset = 0;
  let depth = 0;
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = offset;
    const found = pattern.test(text);
    if (found) offset = pattern.lastIndex;
    return found;
  };
  const takeCharacter = (character: string): boolean => {
    take(BLANK);
    if (text[offset] !== character) return false;
    offset += 1;
    return true;
  };
  const members = (close: string, member: () => boolean): boolean => {
    if (takeCharacter(close)) return true;
    if (++depth > DEEPEST_VALUE) return false;
    do {
      if (!member()) return false;
    } while (takeCharacter(","));
    depth--;
    return takeCharacter(close);
  };
  const pair = (): boolean => {
    take(BLANK);
    return take(STRING) && takeCharacter(":") && value();
  };
  const value = (): boolean => {
    if (takeCharacter("{")) return members("}", pair);
    if (takeCharacter("[")) return members("]", value);
    return take(STRING) || take(OTHER_SCALAR);
  };
  value();
  take(BLANK);
  return offset;
}
