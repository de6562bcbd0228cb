// What a refusal of input says: the place as jq writes it, the value that stands there, and what would be right.
import { expect, test } from "bun:test";
import * as v from "valibot";
import { CniError } from "../../../src/cni/error.ts";
import { parseInput, shown } from "../../../src/cni/input.ts";

const schema = v.object({
  flag: v.nullish(v.boolean()),
  text: v.nullish(v.string()),
  number: v.nullish(v.number()),
  whole: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(9))),
  order: v.nullish(v.picklist(["up", "down"])),
  list: v.nullish(
    v.array(v.object({ key: v.string(), deep: v.nullish(v.object({ x: v.nullish(v.number()) })) })),
  ),
  strict: v.nullish(v.strictObject({ known: v.nullish(v.string()) })),
  path: v.nullish(
    v.pipe(
      v.string(),
      v.check((text) => text.startsWith("/"), "an absolute path"),
    ),
  ),
});

test.each<[input: unknown, message: string, details: string]>([
  [undefined, "config: it is nothing", "expected an object"],
  [null, "config: it is null", "expected an object"],
  [[], "config: it is []", "expected an object"],
  [{ flag: "yes" }, 'config: "flag" is "yes"', "expected true or false"],
  [{ text: 7 }, 'config: "text" is 7', "expected a string"],
  [{ number: "7" }, 'config: "number" is "7"', "expected a number"],
  [{ whole: 1.5 }, 'config: "whole" is 1.5', "expected a whole number"],
  [{ whole: -1 }, 'config: "whole" is -1', "expected at least 0"],
  [{ whole: 10 }, 'config: "whole" is 10', "expected at most 9"],
  [{ order: "left" }, 'config: "order" is "left"', 'expected "up" or "down"'],
  [{ list: {} }, 'config: "list" is {}', "expected a list"],
  [{ list: ["a"] }, 'config: "list[0]" is "a"', "expected an object"],
  [{ list: [{ key: "a" }, {}] }, 'config: "list[1].key" is nothing', "expected a value: the key is required"],
  [{ list: [{ key: "a", deep: [] }] }, 'config: "list[0].deep" is []', "expected an object"],
  [{ list: [{ key: "a", deep: { x: "y" } }] }, 'config: "list[0].deep.x" is "y"', "expected a number"],
  [{ strict: { konwn: 1 } }, 'config: unknown key "strict.konwn"', "correct its spelling, or remove it"],
  [{ path: "here" }, 'config: "path" is "here"', "expected an absolute path"],
])("%j is refused with its place and its value", (input, message, details) => {
  let refusal: unknown;
  try {
    parseInput(schema, input, 7, "config");
  } catch (error) {
    refusal = error;
  }
  if (!(refusal instanceof CniError)) throw new Error(`it was let pass: ${shown(input)}`);
  expect([refusal.code, refusal.message, refusal.details]).toEqual([7, message, details]);
});

test("a long value is cut", () => {
  expect(shown("x".repeat(1000))).toHaveLength(123);
  expect(shown(undefined)).toBe("nothing");
});
