// Before any test: the executable in dist/bin is as new as the sources. Test files run in several processes at
// once, each with this preload, so the building happens under a lock and by one of them only. WARREN_NO_BUILD=1
// leaves what is there, for working on unit tests while the sources don't compile.
import { dlopen } from "bun:ffi";
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, statSync, utimesSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../..");
const EXECUTABLE = join(ROOT, "dist/bin/warren");
const BUILD_SCRIPT = join(ROOT, "scripts/build.ts");
const SOURCES = ["src", "db", "scripts/build.ts", "package.json"];
const LOCK_EX = 2;

function newest(path: string): number {
  if (!existsSync(path)) return 0;
  const status = statSync(path);
  if (!status.isDirectory()) return status.mtimeMs;
  // a directory's own time counts too: it changes when a file is removed
  return Math.max(status.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

function isCurrent(): boolean {
  if (!existsSync(EXECUTABLE)) return false;
  const built = statSync(EXECUTABLE).mtimeMs;
  return SOURCES.every((source) => newest(join(ROOT, source)) <= built);
}

/** Builds the executable unless it is current; throws with the build's output if it fails. */
function build(): void {
  mkdirSync(join(ROOT, "dist"), { recursive: true });
  const { symbols } = dlopen("libc.so.6", { flock: { args: ["i32", "i32"], returns: "i32" } } as const);
  const lock = openSync(join(ROOT, "dist/.build-lock"), "w");
  try {
    while (symbols.flock(lock, LOCK_EX) !== 0);
    if (isCurrent()) return;
    console.error("building dist/bin/warren ...");
    const startedAt = new Date();
    const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, BUILD_SCRIPT], { cwd: ROOT });
    if (exitCode !== 0) throw new Error(`scripts/build.ts failed:\n${stdout}${stderr}`);
    // a source that was changed while the build ran may not be in it
    utimesSync(EXECUTABLE, startedAt, startedAt);
  } finally {
    closeSync(lock);
  }
}

if (process.env.WARREN_NO_BUILD !== "1" && !isCurrent()) build();
