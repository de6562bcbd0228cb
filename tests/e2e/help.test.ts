// The manual: every command has a page, every page is about a command, and what its examples say can be called.
import { expect, test } from "bun:test";
import { MANUAL_PAGES } from "../../src/cli/manual/pages.ts";
import { WARREN } from "../support/sandbox.ts";

async function help(...path: string[]): Promise<string> {
  const child = Bun.spawn([WARREN, "help", ...path], { stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect([await child.exited, stderr]).toEqual([0, ""]);
  return stdout;
}

/** Returns the text under a heading. */
function section(page: string, title: string): string {
  return new RegExp(`^${title}\\n((?: {7}.*\\n|\\n)*)`, "m").exec(page)?.[1] ?? "";
}

/** Returns the pages of a command and of all below it, by the words that lead there. */
async function pagesFrom(path: readonly string[]): Promise<Map<string, string>> {
  const page = await help(...path);
  const pages = new Map([[path.join(" "), page]]);
  for (const [, name = ""] of section(page, "COMMANDS").matchAll(/^ {7}(\S+) /gm)) {
    for (const [words, below] of await pagesFrom([...path, name])) pages.set(words, below);
  }
  return pages;
}

const pages = await pagesFrom([]);

test("every command has a page as man(1) lays it out, that fits into 80 columns", () => {
  expect(pages.size).toBeGreaterThan(25);
  for (const [words, page] of pages) {
    expect(page).toStartWith(`NAME\n       ${["warren", words].join(" ").trim()} - `);
    for (const title of ["SYNOPSIS", "DESCRIPTION", "EXIT STATUS"]) expect(section(page, title)).not.toBe("");
    expect(section(page, "EXIT STATUS")).toMatch(/^ {7}2 /m);
    // a call is never broken, so that it can be copied
    const prose = page.split("\n").filter((line) => !/^ {7}\S*.*\bwarren /.test(line));
    for (const line of prose) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(80);
  }
});

test("every page is about a command, and names only commands that there are", () => {
  for (const [words, { seeAlso = [] }] of Object.entries(MANUAL_PAGES)) {
    expect(pages.has(words)).toBe(true);
    for (const other of seeAlso) {
      if (other.startsWith("warren "))
        expect([...pages.keys(), "help COMMAND", "help lab shell"]).toContain(other.slice(7));
      if (other.startsWith("docs/"))
        expect(Bun.file(`${import.meta.dir}/../../${other}`).size).toBeGreaterThan(0);
    }
  }
});

test("every example calls a command that there is, with flags that it has", () => {
  const paths = [...pages.keys()]
    .filter((words) => words !== "")
    .sort((one, other) => other.length - one.length);
  let count = 0;
  for (const { examples = [] } of Object.values(MANUAL_PAGES)) {
    for (const [call] of examples) {
      const line = call.slice(call.indexOf("warren ") + "warren ".length).replace(/ [|>].*| -- .*/, "");
      const words = paths.find((path) => line === path || line.startsWith(`${path} `));
      expect([call, words]).not.toContain(undefined);
      const options = section(pages.get(words ?? "") ?? "", "OPTIONS");
      for (const [flag] of line.matchAll(/--[a-z-]+/g))
        expect([call, options]).toEqual([call, expect.stringContaining(flag)]);
      count++;
    }
  }
  expect(count).toBeGreaterThan(30);
});

test("the README lists the commands", async () => {
  const readme = await Bun.file(`${import.meta.dir}/../../README.md`).text();
  const table = readme.slice(readme.indexOf("## The operator's tool"));
  const tops = [...pages.keys()].filter(
    (words) => words !== "" && !words.includes(" ") && words !== "version",
  );
  for (const name of tops) expect(table).toMatch(new RegExp(`\`(?:warren )?${name}\\b`));
});

test("whose reader is gone ends as by SIGPIPE, without a word", async () => {
  const child = Bun.spawn(["sh", "-c", 'read -r _; exec "$0" help', WARREN], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  await child.stdout.cancel();
  child.stdin.write("now\n");
  child.stdin.end();
  expect(await new Response(child.stderr).text()).toBe("");
  expect(await child.exited).toBe(141);
});
