import { expect, test } from "bun:test";
import { memberOf, parseJson, sortedJson } from "../../../src/conflist/json.ts";

test("parseJson and sortedJson keep every digit of a whole number above 2^53", () => {
  const text = '{"a":[9007199254740993],"rate":18446744073709551615}';
  expect(sortedJson(parseJson(text, "config"))).toBe(text);
});

test("sortedJson sorts the keys of every object and leaves lists in their order", () => {
  expect(sortedJson({ b: [{ z: 1, a: 2 }, 3], a: null })).toBe('{"a":null,"b":[{"a":2,"z":1},3]}');
});

test("memberOf prefers the exact spelling, else takes the last one in any case of letters", () => {
  expect(memberOf({ TYPE: "a", type: "b", Type: "c" }, "type")).toBe("b");
  expect(memberOf({ TYPE: "a", Type: "c" }, "type")).toBe("c");
  expect(memberOf({}, "type")).toBeUndefined();
});

const BROKEN: readonly (readonly [text: string, line: number, column: number])[] = [
  ["", 1, 1],
  ["  ", 1, 3],
  ["{", 1, 2],
  ['{"a":1,}', 1, 8],
  ['{"a":1,\n "b": }', 2, 7],
  ['{"a" 1}', 1, 6],
  ["[1, 2", 1, 6],
  ['{"a":1} x', 1, 9],
  ['{\n  "a": tru\n}', 2, 8],
  ['{"a":"x\ny"}', 1, 6],
  ["{'a':1}", 1, 2],
  ["[01]", 1, 3],
];

for (const [text, line, column] of BROKEN) {
  test(`parseJson names line ${line}, column ${column} of ${JSON.stringify(text)}`, () => {
    expect(() => parseJson(text, "/etc/x.conflist")).toThrow(
      `/etc/x.conflist: no JSON at line ${line}, column ${column}`,
    );
  });
}

test("JSON that goes too deep is refused with its place, not with the end of the stack", () => {
  for (const text of ["[".repeat(100_000), `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`]) {
    expect(() => parseJson(text, "deep")).toThrow(/^deep: no JSON at line 1, column \d+$/);
  }
});
