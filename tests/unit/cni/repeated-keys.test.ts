// Which keys stand twice, told apart from text that only looks like one: strings, lists, other objects.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { repeatedKey } from "../../../src/cni/repeated-keys.ts";

const PLACES = ["sysctl", "args.cni.sysctl"];

test.each([
  ['{"sysctl": {"net.a": "1", "net.b": "2", "net.a": "1"}}', "sysctl.net.a"],
  ['{"Sysctl": {"net.a": "1", "n\\u0065t.a": "2"}}', "Sysctl.net.a"],
  ['{"args": {"cni": {"sysctl": {"a": "}", "a": "{"}}}}', "args.cni.sysctl.a"],
  ['{"sysctl": {"a": "1"}, "mtu": 7, "sysctl": {"b": "1"}}', "sysctl"],
  ['{"sysctl":{"a":"1","":"2","":"3"}}', "sysctl."],
  ['{"sysctl": {"a": "1"}, "args": {"cni": {"sysctl": {"a": "1"}}}, "mtu": 7, "mtu": 8}', undefined],
  ['{"sysctl": {"a": {"x": 1, "x": 2}, "b": [{"y": 1, "y": 1}], "c": "a"}}', undefined],
  ['[{"sysctl": {"a": 1, "a": 1}}]', undefined],
  [
    '{"x": "\\"sysctl\\": {\\"a\\": 1, \\"a\\": 1}", "sysctl": {"a": "\\\\", "b": null, "c": "a"}}',
    undefined,
  ],
  ['{"sysctl": [], "args": null}', undefined],
  ["{}", undefined],
  ["7", undefined],
])("%s: %p", (text, expected) => {
  expect(repeatedKey(text, PLACES)).toBe(expected);
});

test("no object that JSON.stringify writes has a key twice, and one that is written again has", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 }), fc.nat(), (sysctl, index) => {
      const keys = Object.keys(sysctl);
      const key = keys[index % keys.length] ?? "";
      const text = JSON.stringify({ before: sysctl, sysctl });
      expect(repeatedKey(text, PLACES)).toBeUndefined();
      const longer = `${text.slice(0, -2)},${JSON.stringify(key)}:1}}`;
      expect(repeatedKey(longer, PLACES)).toBe(`sysctl.${key}`);
    }),
  );
});
