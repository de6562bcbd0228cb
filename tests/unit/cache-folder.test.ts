// What takes long to build or fetch outlives a new node_modules, and no commit has it.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { CACHE_FOLDER } from "../../scripts/tools.ts";

test("what the tests build for themselves is kept in the project, ignored by git, and not where npm ci deletes", () => {
  const root = resolve(import.meta.dir, "../..");
  const folder = relative(root, CACHE_FOLDER);
  expect(folder).not.toMatch(/^(\.\.|node_modules|dist)(\/|$)/);
  expect(readFileSync(join(root, ".gitignore"), "utf8").split("\n")).toContain(`${folder}/`);
});
