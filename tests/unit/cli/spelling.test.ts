// Which word is meant by a wrong one, and that nothing is made up where none is.
import { expect, test } from "bun:test";
import { editDistance, nearestWord } from "../../../src/cli/spelling.ts";

test.each<[word: string, known: string[], meant: string | undefined]>([
  ["isGatway", ["isGateway", "isDefaultGateway"], "isGateway"],
  ["portMapings", ["portMappings", "bandwidth"], "portMappings"],
  ["rangestrat", ["rangeStart", "rangeEnd"], "rangeStart"],
  ["stauts", ["status", "show"], "status"],
  ["comp", ["completion", "conf"], "completion"],
  ["co", ["completion", "conf"], undefined],
  ["mtu", ["mac", "ipam"], undefined],
  ["bogus", ["bridge", "dns"], undefined],
  ["", ["a"], undefined],
])("%j is %j's %j", (word, known, meant) => {
  expect(nearestWord(word, known)).toBe(meant as string);
});

test.each([
  ["", "", 0],
  ["abc", "", 3],
  ["abc", "acb", 1],
  ["abc", "axc", 1],
  ["kitten", "sitting", 3],
])("%j and %j are %d apart", (left, right, distance) => {
  expect(editDistance(left, right)).toBe(distance);
  expect(editDistance(right, left)).toBe(distance);
});
