// Every link of README and docs leads to a file that is there, and to a heading that it has.
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../../..");
const PAGES = ["README.md", "CHANGELOG.md", ...new Bun.Glob("docs/*.md").scanSync(ROOT)].sort();

/** Returns the anchors of a page's headings, as they are made of their words. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

function brokenLinksOf(page: string): string[] {
  const text = readFileSync(join(ROOT, page), "utf8");
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = ""]) => {
    if (/^https?:/.test(target)) return [];
    const [file = "", anchor] = target.split("#");
    const path = file === "" ? join(ROOT, page) : join(ROOT, dirname(page), file);
    if (!existsSync(path)) return [`${page}: ${target}: no ${relative(ROOT, path)}`];
    if (anchor === undefined || anchorsOf(readFileSync(path, "utf8")).includes(anchor)) return [];
    return [`${page}: ${target}: no such heading`];
  });
}

test("links lead somewhere", () => {
  expect(PAGES.length).toBeGreaterThan(20);
  expect(PAGES.flatMap(brokenLinksOf)).toEqual([]);
});

test("every page is linked from README, directly or by another", () => {
  const reached = new Set(["README.md"]);
  for (const page of reached) {
    for (const [, target = ""] of readFileSync(join(ROOT, page), "utf8").matchAll(
      /\]\(([^)\s#]+\.md)[^)]*\)/g,
    )) {
      reached.add(join(dirname(page), target));
    }
  }
  expect(PAGES.filter((page) => page !== "CHANGELOG.md" && !reached.has(page))).toEqual([]);
});
