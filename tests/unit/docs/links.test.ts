// Every link of README and docs leads to a file that is there, and to a heading that it has; and the lists of pages and of
// samples are whole.
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../../..");
const DOCS = [...new Bun.Glob("docs/*.md").scanSync(ROOT)].sort();
const PAGES = ["README.md", "CHANGELOG.md", "conf/README.md", ...DOCS];

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

/** Returns the files that a page links to, from the root. */
function linkedFrom(page: string): string[] {
  const targets = readFileSync(join(ROOT, page), "utf8").matchAll(/\]\(([^)\s#]+)[^)]*\)/g);
  return [...targets].map(([, target = ""]) => join(dirname(page), target));
}

test("the lists of pages and of samples have every one", () => {
  const pages = linkedFrom("docs/README.md");
  expect(DOCS.filter((page) => page !== "docs/README.md" && !pages.includes(page))).toEqual([]);
  const samples = linkedFrom("conf/README.md");
  const own = [...new Bun.Glob("conf/*").scanSync(ROOT)].filter((file) => !/lab-|README/.test(file));
  expect(own.filter((file) => !samples.includes(file))).toEqual([]);
});

test("every page is linked from README, directly or by another", () => {
  const reached = new Set(["README.md"]);
  for (const page of reached) {
    for (const target of linkedFrom(page)) if (target.endsWith(".md")) reached.add(target);
  }
  expect(PAGES.filter((page) => page !== "CHANGELOG.md" && !reached.has(page))).toEqual([]);
});
