// Edits of a list's text: what was asked for is there, and no other character has changed.
import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  insertItem,
  offsetOf,
  parseJsonText,
  placeIn,
  removeItem,
  replaceValue,
} from "../../../src/conflist/json-text.ts";
import { type Position, withoutPlugin, withPlugin } from "../../../src/runtime/list-edit.ts";

const LIST = `{
    "zeta": 18446744073709551615, "2": 1.0, "1": 1e3,
    "name":    "lab",
    "plugins": [
        { "type": "a", "rate": 9007199254740993 },
        { "type": "b" },
        {
            "type": "c"
        }
    ],
    "unknown": [ 1,2 ]
}
`;

test("S3-P01 a new plugin goes last, laid out as the others, and nothing else changes", () => {
  expect(withPlugin(LIST, '{\n  "type": "d"\n}\n', undefined, "x")).toBe(
    LIST.replace(
      '            "type": "c"\n        }\n',
      '            "type": "c"\n        },\n        {\n          "type": "d"\n        }\n',
    ),
  );
});

test("S3-P01 a plugin that is there is replaced in its place", () => {
  expect(withPlugin(LIST, '{ "type": "b", "x": 1 }', undefined, "x")).toBe(
    LIST.replace('{ "type": "b" }', '{ "type": "b", "x": 1 }'),
  );
});

const types = (text: string) =>
  (JSON.parse(text) as { plugins: { type: string }[] }).plugins.map(({ type }) => type).join("");

test.each<[type: string, position: Position, expected: string]>([
  ["d", "first", "dabc"],
  ["d", "last", "abcd"],
  ["d", { after: "a" }, "adbc"],
  ["d", { before: "c" }, "abdc"],
  ["a", "last", "bca"],
  ["c", "first", "cab"],
  ["a", { after: "b" }, "bac"],
  ["b", { before: "a" }, "bac"],
])("S3-P01 %s at %j gives %s", (type, position, expected) => {
  const text = withPlugin(LIST, JSON.stringify({ type }), position, "x");
  expect(types(text)).toBe(expected);
  // all but the list of plugins is what it was, digit for digit
  const around = (whole: string) => [
    whole.slice(0, whole.indexOf("[")),
    whole.slice(whole.indexOf('"unknown"')),
  ];
  expect(around(text)).toEqual(around(LIST));
});

test("S3-P01 of several plugins of one type exactly one is left", () => {
  const twice = '{"name":"n","plugins":[{"type":"a"},{"type":"b"},{"type":"a"}]}';
  expect(withPlugin(twice, '{"type":"a","x":1}', undefined, "x")).toBe(
    '{"name":"n","plugins":[{"type":"a","x":1}, {"type":"b"}]}',
  );
});

test.each([
  ["a", "bc"],
  ["b", "ac"],
  ["c", "ab"],
])("a list without %s has %s", (type, left) => {
  expect(types(withoutPlugin(LIST, type, "x"))).toBe(left);
});

test.each<[work: () => string, message: string]>([
  [() => withoutPlugin(LIST, "z", "x.conflist"), 'x.conflist: there is no plugin "z"'],
  [() => withoutPlugin('{"name":"n","plugins":[{"type":"a"}]}', "a", "x"), '"a" is its only plugin'],
  [() => withPlugin(LIST, '{"type":"d"}', { after: "z" }, "x"), 'there is no plugin "z"'],
  [() => withPlugin(LIST, "[]", undefined, "x"), "the plugin is []"],
  [() => withPlugin(LIST, '{"typ":"d"}', undefined, "x"), 'the plugin is {"typ":"d"}'],
  [() => withPlugin('{"type":"a","name":"n"}', '{"type":"d"}', undefined, "x"), '"plugins" is nothing'],
  [() => withPlugin(LIST, '{"type":"d","capabilities":3}', undefined, "x"), '"capabilities" is 3'],
])("an edit that leaves no list is refused: %#", (work, message) => {
  expect(work).toThrow(message);
});

const json = fc.jsonValue({ maxDepth: 3 });

test("items put in and taken out of any list, in any layout, are the ones that were meant", () => {
  fc.assert(
    fc.property(
      fc.array(json),
      json,
      fc.nat(),
      fc.constantFrom(undefined, 1, 4, "\t"),
      (items, item, at, indent) => {
        const text = JSON.stringify({ before: "[,]", list: items, behind: null }, null, indent);
        const root = parseJsonText(text);
        const list = root.kind === "object" ? root.members[1]?.value : undefined;
        if (list?.kind !== "list") throw new Error("no list");
        const index = at % (items.length + 1);
        const parsed = (edited: string) => (JSON.parse(edited) as { list: unknown[] }).list;
        const written = JSON.stringify(item, null, 2);
        const plain = JSON.parse(JSON.stringify([...items, item])) as unknown[];
        const [own, old] = [plain.at(-1), plain.slice(0, -1)];
        expect(parsed(insertItem(text, list, index, written))).toEqual(old.toSpliced(index, 0, own));
        expect(parsed(removeItem(text, list, index))).toEqual(old.toSpliced(index, 1));
        const there = list.items[index];
        if (there !== undefined)
          expect(parsed(replaceValue(text, there, written))).toEqual(old.with(index, own));
      },
    ),
  );
});

test.each<[path: (string | number)[], line: number, column: number]>([
  [[], 1, 1],
  [["name"], 3, 5],
  [["NAME"], 3, 5],
  [["plugins", 1], 6, 9],
  [["plugins", 1, "type"], 6, 11],
  [["plugins", 1, "missing", "deeper"], 6, 9],
  [["plugins", 9], 4, 5],
])("%j stands in line %d, column %d", (path, line, column) => {
  expect(placeIn(LIST, offsetOf(parseJsonText(LIST), path))).toEqual({ line, column });
});
