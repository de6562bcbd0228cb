// What a file exports says what it is, and somebody else uses it: another file of the sources, or, of what the file itself
// needs, a test that looks at it closely. Whatever only tests use is dead, and so are its tests.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, normalize, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../..");

function textsOf(pattern: string): Map<string, string> {
  const files = [...new Bun.Glob(pattern).scanSync(ROOT)].filter((file) => !file.endsWith(".d.ts")).sort();
  return new Map(files.map((file) => [file, readFileSync(join(ROOT, file), "utf8")]));
}

/** Code without comments: words in them are no use. */
function code(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|(?<![:"'`/])\/\/.*$/gm, "");
}

const DECLARATION =
  /^export (?:async |abstract )*(?<kind>function\*?|const|class|interface|type|enum) (?<name>\w+)/gm;
const NAMED = /(?:import|export)\s+(?:type\s+)?\{(?<names>[^}]*)\}\s*from\s+"(?<from>[^"]+)"/g;
const WHOLE = /import\s+(?:type\s+)?\*\s+as\s+(?<as>\w+)\s+from\s+"(?<from>[^"]+)"/g;
const LAZY = /\bimport\(\s*"(?<from>[^"]+)"\s*\)/g;

interface Export {
  readonly file: string;
  readonly name: string;
  /** `function`, `const`, `interface` and so on. */
  readonly kind: string;
}

function exportsIn(file: string, text: string): Export[] {
  return [...text.matchAll(DECLARATION)].map(({ groups = {} }) => ({
    ...{ file, name: groups.name ?? "", kind: groups.kind ?? "" },
  }));
}

/** Returns `FILE NAME` of everything that a file takes from others. */
function usesIn(file: string, text: string): string[] {
  const at = (from: string | undefined) => normalize(join(file, "..", from ?? ""));
  const words = () => new Set(text.match(/\w+/g));
  return [
    ...[...text.matchAll(NAMED)].flatMap(({ groups = {} }) =>
      (groups.names ?? "")
        .split(",")
        .map((one) => /^\s*(?:type\s+)?(\w+)/.exec(one)?.[1] ?? "")
        .map((name) => `${at(groups.from)} ${name}`),
    ),
    ...[...text.matchAll(WHOLE)].flatMap(({ groups = {} }) =>
      [...text.matchAll(new RegExp(`\\b${groups.as}\\.(\\w+)`, "g"))].map(
        ([, name]) => `${at(groups.from)} ${name}`,
      ),
    ),
    // what becomes of a module that is loaded late stands in the same file
    ...[...text.matchAll(LAZY)].flatMap(({ groups = {} }) =>
      [...words()].map((name) => `${at(groups.from)} ${name}`),
    ),
  ];
}

/** True if a file uses a name of its own outside of its declaration. */
function isUsedAtHome({ name, kind }: Export, text: string): boolean {
  const rest = text.replace(new RegExp(`^export .*${kind.replace("*", "\\*")} ${name}\\b`, "m"), "");
  // behind a full stop stands a member of something else, unless there are three; in front of a colon a key
  return new RegExp(`(?<!(?<!\\.\\.)\\.|\\w)${name}\\b(?!\\s*:)`).test(rest);
}

/** Returns in words what is wrong with the exports of the sources, one line each. */
function findings(sources: ReadonlyMap<string, string>, others: readonly string[]): string[] {
  const bare = new Map([...sources].map(([file, text]) => [file, code(text)]));
  const used = new Set([...bare].flatMap(([file, text]) => usesIn(file, text)));
  const elsewhere = new Set(others.flatMap((text) => text.match(/\w+/g) ?? []));
  return [...bare].flatMap(([file, text]) =>
    exportsIn(file, text).flatMap((one) => {
      const key = `${file} ${one.name}`;
      if (used.has(key)) return [];
      if (!isUsedAtHome(one, text)) return [`${key}: nobody uses it: remove it`];
      // a type that stands in the signature of an export is part of it
      const isType = one.kind === "interface" || one.kind === "type";
      return isType || elsewhere.has(one.name) ? [] : [`${key}: only its own file uses it: don't export it`];
    }),
  );
}

const SOURCES = textsOf("src/**/*.ts");
const OTHERS = [...textsOf("{tests,bench,scripts}/**/*.ts")].filter(
  ([file]) => join(ROOT, file) !== import.meta.path,
);

test("every export of the sources is used", () => {
  expect(
    findings(
      SOURCES,
      OTHERS.map(([, text]) => text),
    ),
  ).toEqual([]);
});

/** Returns the exported functions and types above which nothing says what they are. */
function undocumented(file: string, text: string): string[] {
  const lines = text.split("\n");
  return lines.flatMap((line, at) => {
    const [, name] =
      /^export (?:async |abstract )*(?:function\*?|class|interface|type|enum) (\w+)/.exec(line) ?? [];
    const above = lines.slice(0, at).findLast((one) => !one.startsWith("// biome-ignore")) ?? "";
    // one of several signatures stands below another one
    const isSaid = above.endsWith("*/") || above.startsWith(`export function ${name}(`);
    return name === undefined || isSaid ? [] : [`${file}: ${name}`];
  });
}

test("every exported function and type says what it is", () => {
  const all = [...SOURCES, ...textsOf("db/*.ts")];
  expect(all.flatMap(([file, text]) => undocumented(file, text))).toEqual([]);
});

test("what says nothing is seen", () => {
  const text = [
    ...["/** Of a. */", "export function a(one: 1): void;", "export function a(one: 2): void;"],
    ...["", "export async function b(): Promise<void> {}", "/** Of C. */", "export interface C {}"],
  ];
  expect(undocumented("src/a.ts", text.join("\n"))).toEqual(["src/a.ts: b"]);
});

test("dead and needless exports are seen", () => {
  const sources = new Map([
    [
      "src/a.ts",
      "/** Of dead. */\nexport function dead(): void {}\nexport const own = 1;\nconst x = own;\nexport const tested = x;\nconst y = tested;\nexport class Taken {}\n",
    ],
    ["src/b.ts", 'import { Taken } from "./a.ts";\nimport * as a from "./a.ts"; // a.dead\n'],
  ]);
  expect(findings(sources, ["tested dead"])).toEqual([
    "src/a.ts dead: nobody uses it: remove it",
    "src/a.ts own: only its own file uses it: don't export it",
  ]);
});
