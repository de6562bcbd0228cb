// Edits of a file that are taken back, and what is never lost on the way.
import { expect, test } from "bun:test";
import { chmodSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { countUndoable, editConfFile, undoEdit } from "../../../src/runtime/conf-file.ts";
import { TemporaryDirectory } from "../../support/world.ts";

test("edits are taken back one after the other, and nothing is left beside the file", () => {
  using directory = new TemporaryDirectory();
  const file = join(directory.path, "10-a.conflist");
  const link = join(directory.path, "link.conflist");
  writeFileSync(file, "one");
  chmodSync(file, 0o640);
  symlinkSync(file, link);
  editConfFile(link, "one", "two");
  editConfFile(file, "two", "three");
  // there and back again: each step has its own way back
  editConfFile(file, "three", "two");
  editConfFile(file, "two", "two");
  expect(readFileSync(link, "utf8")).toBe("two");
  expect(statSync(file).mode & 0o777).toBe(0o640);
  for (const name of readdirSync(directory.path))
    expect(statSync(join(directory.path, name)).mode & 0o777).toBe(0o640);
  expect(countUndoable(file)).toBe(3);
  for (const text of ["three", "two", "one"]) {
    undoEdit(link);
    expect(readFileSync(file, "utf8")).toBe(text);
  }
  expect(() => undoEdit(file)).toThrow("written nothing");
  expect(readdirSync(directory.path).sort()).toEqual(["10-a.conflist", "link.conflist"]);
});

test("what somebody else wrote is neither overwritten nor taken back", () => {
  using directory = new TemporaryDirectory();
  const file = join(directory.path, "a.conflist");
  writeFileSync(file, "one");
  editConfFile(file, "one", "two");
  expect(countUndoable(file)).toBe(1);
  writeFileSync(file, "theirs");
  expect(countUndoable(file)).toBe(0);
  expect(() => undoEdit(file)).toThrow("was changed by somebody else");
  expect(() => editConfFile(file, "two", "three")).toThrow("changed by somebody else");
  expect(readFileSync(file, "utf8")).toBe("theirs");
  // and when it is as it was again, so is the way back
  writeFileSync(file, "two");
  undoEdit(file);
  expect(readFileSync(file, "utf8")).toBe("one");
});

test("ten edits can be taken back, no more are kept", () => {
  using directory = new TemporaryDirectory();
  const file = join(directory.path, "a.conflist");
  writeFileSync(file, "0");
  for (let edit = 0; edit < 15; edit++) editConfFile(file, `${edit}`, `${edit + 1}`);
  expect(countUndoable(file)).toBe(10);
  expect(readdirSync(directory.path)).toHaveLength(11);
});
