// JSON as text with places: which characters every value of a document is made of. An edit that replaces just those
// characters keeps all the others: order, unknown keys, digits, blanks. And a wrong value can be pointed at.

/** Where something stands in a text; lines and columns count from 1. */
export interface TextPlace {
  readonly line: number;
  readonly column: number;
}

/** A member of an object in the text. */
export interface JsonMember {
  readonly key: string;
  readonly keyStart: number;
  readonly value: JsonNode;
}

interface Extent {
  readonly start: number;
  /** Behind its last character. */
  readonly end: number;
}

/** A value in the text. */
export type JsonNode =
  | (Extent & { readonly kind: "object"; readonly members: readonly JsonMember[] })
  | (Extent & { readonly kind: "list"; readonly items: readonly JsonNode[] })
  | (Extent & { readonly kind: "scalar" });

/** A list in the text. */
export type JsonList = Extract<JsonNode, { readonly kind: "list" }>;

/** The way to a value: keys of objects and numbers in lists. */
export type JsonPath = readonly (string | number)[];

/** All that valid JSON is made of beside blanks, commas and colons. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[[\]{}]|[^\s"[\]{},:]+/g;

/** Returns the values of `text`, which has to be JSON. */
export function parseJsonText(text: string): JsonNode {
  const tokens = [...text.matchAll(TOKEN)].map(({ 0: token, index }) => ({ token, start: index }));
  let at = 0;
  const next = () => {
    const found = tokens[at++];
    if (found === undefined) throw new SyntaxError("the text ends within a value");
    return found;
  };
  const value = (): JsonNode => {
    const { token, start } = next();
    if (token === "{") {
      const members: JsonMember[] = [];
      while (tokens[at]?.token !== "}") {
        const key = next();
        members.push({ key: String(JSON.parse(key.token)), keyStart: key.start, value: value() });
      }
      return { kind: "object", members, start, end: next().start + 1 };
    }
    if (token === "[") {
      const items: JsonNode[] = [];
      while (tokens[at]?.token !== "]") items.push(value());
      return { kind: "list", items, start, end: next().start + 1 };
    }
    return { kind: "scalar", start, end: start + token.length };
  };
  return value();
}

/** Returns the member of an object that a key means: the last of that spelling, else the last in any case of letters. */
export function memberAt(node: JsonNode, key: string): JsonMember | undefined {
  if (node.kind !== "object") return undefined;
  const lower = key.toLowerCase();
  return (
    node.members.findLast((member) => member.key === key) ??
    node.members.findLast((member) => member.key.toLowerCase() === lower)
  );
}

/**
 * Returns the offset of what `path` leads to: of the key for a member, of the value for an item of a list. Where the
 * way ends early, because a key is missing say, it is the offset of the last value on it.
 */
export function offsetOf(root: JsonNode, path: JsonPath): number {
  let node = root;
  let offset = root.start;
  for (const step of path) {
    const member = typeof step === "string" ? memberAt(node, step) : undefined;
    const value = typeof step === "number" && node.kind === "list" ? node.items[step] : member?.value;
    if (value === undefined) return offset;
    node = value;
    offset = member?.keyStart ?? value.start;
  }
  return offset;
}

/** Returns the line and the column of an offset; a column is a UTF-16 unit, as editors count. */
export function placeIn(text: string, offset: number): TextPlace {
  const before = text.slice(0, offset).split("\n");
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}

/** Returns the text with another value in the place of `node`. */
export function replaceValue(text: string, node: JsonNode, value: string): string {
  return text.slice(0, node.start) + indented(value, indentAt(text, node.start)) + text.slice(node.end);
}

/** Returns the text with `value` as the item number `index` of the list, laid out as its other items are. */
export function insertItem(text: string, list: JsonList, index: number, value: string): string {
  const { items } = list;
  const behind = items[index];
  const before = items[index - 1];
  const first = items[0];
  if (first === undefined) {
    return `${text.slice(0, list.start)}[${indented(value, indentAt(text, list.start))}]${text.slice(list.end)}`;
  }
  const ownLines = text.slice(list.start, first.start).includes("\n");
  const indent = indentAt(text, first.start);
  const separator = ownLines ? `,\n${indent}` : ", ";
  const item = indented(value, indent);
  if (behind !== undefined) return text.slice(0, behind.start) + item + separator + text.slice(behind.start);
  const end = (before ?? first).end;
  return text.slice(0, end) + separator + item + text.slice(end);
}

/** Returns the text without the item number `index` of the list. */
export function removeItem(text: string, list: JsonList, index: number): string {
  const item = list.items[index];
  if (item === undefined) return text;
  const before = list.items[index - 1];
  const behind = list.items[index + 1];
  if (before !== undefined) return text.slice(0, before.end) + text.slice(item.end);
  return text.slice(0, item.start) + text.slice(behind?.start ?? item.end);
}

/** The blanks that the line of an offset begins with. */
function indentAt(text: string, offset: number): string {
  const line = text.slice(text.lastIndexOf("\n", offset - 1) + 1, offset);
  return /^[ \t]*/.exec(line)?.[0] ?? "";
}

/** A line break in JSON never stands inside of a string, so that blanks behind it change nothing. */
function indented(value: string, indent: string): string {
  return value.trim().replaceAll("\n", `\n${indent}`);
}
