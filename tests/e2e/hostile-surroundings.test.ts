// Root runs the executable in a directory and with an environment that somebody else prepared. Nothing of that may
// run code, replace the program, or put anything on standard output that is not the answer.
import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PLUGIN_FOLDER } from "../support/plugins.ts";
import { WARREN } from "../support/sandbox.ts";

const PLUGIN = `${PLUGIN_FOLDER}/warren-ipam`;

interface Attempt {
  readonly name: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
}

function evil(mark: string): string {
  return `require("node:fs").writeFileSync(${JSON.stringify(mark)}, "ran");`;
}

function attempts(folder: string, mark: string): Attempt[] {
  const preload = join(folder, "evil.js");
  return [
    { name: "bunfig.toml with a preload", files: { "bunfig.toml": 'preload = ["./evil.js"]\n' } },
    { name: ".env that turns the call into another", files: { ".env": "CNI_COMMAND=ADD\nCNI_PATH=/evil\n" } },
    {
      name: "tsconfig.json and package.json",
      files: { "tsconfig.json": "{ broken", "package.json": "{ broken" },
    },
    { name: "BUN_OPTIONS with a preload", env: { BUN_OPTIONS: `--preload=${preload}` } },
    {
      name: "BUN_OPTIONS with a config",
      env: { BUN_OPTIONS: `--config=${join(folder, "bunfig.toml")}` },
      files: { "bunfig.toml": 'preload = ["./evil.js"]\n' },
    },
    { name: "BUN_OPTIONS that print", env: { BUN_OPTIONS: "--print=1+1" } },
    { name: "BUN_OPTIONS that ask for the version", env: { BUN_OPTIONS: "--version" } },
    { name: "BUN_OPTIONS that ask for help", env: { BUN_OPTIONS: "--help" } },
    { name: "BUN_OPTIONS that write a profile", env: { BUN_OPTIONS: "--cpu-prof" } },
    { name: "BUN_BE_BUN", env: { BUN_BE_BUN: "1" } },
    { name: "a list of compiled functions", env: { BUN_BYTECODE_ORDER_OUT: join(folder, "order") } },
    { name: "BUN_INSPECT", env: { BUN_INSPECT: "ws+unix:///nowhere" } },
    { name: "BUN_INSPECT_PRELOAD", env: { BUN_INSPECT_PRELOAD: preload } },
    { name: "NODE_OPTIONS with a module", env: { NODE_OPTIONS: `--require ${preload}` } },
    {
      name: "a library beside us",
      files: { "libc.so.6": "not a library", "libc.musl-x86_64.so.1": "neither" },
    },
  ].map((attempt) => ({ ...attempt, files: { ...attempt.files, "evil.js": evil(mark) } }));
}

describe("hostile surroundings", () => {
  const folder = "FOLDER";
  test.each(attempts(folder, "MARK").map(({ name }, index) => [name, index] as const))(
    "%s changes nothing",
    (_, index) => {
      const cwd = mkdtempSync(join(tmpdir(), "warren-hostile-"));
      try {
        const mark = join(cwd, "mark");
        const attempt = attempts(cwd, mark)[index];
        for (const [file, text] of Object.entries(attempt?.files ?? {})) writeFileSync(join(cwd, file), text);
        const before = new Bun.Glob("*").scanSync({ cwd, dot: true });
        const names = [...before].sort();
        const { exitCode, stdout, stderr } = Bun.spawnSync([PLUGIN], {
          cwd,
          env: { PATH: "/usr/bin:/bin", CNI_COMMAND: "VERSION", ...attempt?.env },
          stdin: "ignore",
          timeout: 10_000,
        });
        expect({ exitCode, stderr: stderr.toString() }).toEqual({ exitCode: 0, stderr: "" });
        expect(JSON.parse(stdout.toString())).toMatchObject({ cniVersion: "1.1.0" });
        // the operator's tool loads more of the runtime than a plugin does
        const tool = Bun.spawnSync([WARREN, "version"], {
          cwd,
          env: { PATH: "/usr/bin:/bin", ...attempt?.env },
          stdin: "ignore",
          timeout: 10_000,
        });
        expect({ exitCode: tool.exitCode, stderr: tool.stderr.toString() }).toEqual({
          exitCode: 0,
          stderr: "",
        });
        expect(tool.stdout.toString()).toMatch(/^warren \d+\.\d+\.\d+/i);
        expect(existsSync(mark)).toBe(false);
        expect([...new Bun.Glob("*").scanSync({ cwd, dot: true })].sort()).toEqual(names);
      } finally {
        rmSync(cwd, { recursive: true, force: true });
      }
    },
  );
});
