// The executable in dist/bin, built only if it is missing or older than what it is made of. Test files run in
// several processes at once, so the building happens under a lock and by one of them.
import { dlopen } from "bun:ffi";
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "..");
const BUILD_SCRIPT = join(ROOT, "scripts/build.ts");
const SOURCES = ["src", "db", "conf", "scripts/build.ts", "package.json"];
const LOCK_EX = 2;

/** The executable that this checkout builds. */
export const EXECUTABLE = join(ROOT, "dist/bin/warren");

/** Returns when the newest of a file, or of a directory and all in it, was changed, in milliseconds. */
function changedAtMs(path: string): number {
  if (!existsSync(path)) return 0;
  const status = statSync(path);
  if (!status.isDirectory()) return status.mtimeMs;
  // a directory's own time counts too: it changes when a file is removed
  return Math.max(status.mtimeMs, ...readdirSync(path).map((name) => changedAtMs(join(path, name))));
}

function isCurrent(): boolean {
  const builtAtMs = changedAtMs(EXECUTABLE);
  return builtAtMs > 0 && SOURCES.every((source) => changedAtMs(join(ROOT, source)) <= builtAtMs);
}

/** Builds the executable unless it is current; throws with the build's output if it fails. */
export function ensureBuilt(): void {
  if (isCurrent()) return;
  mkdirSync(join(ROOT, "dist"), { recursive: true });
  const { symbols } = dlopen("libc.so.6", { flock: { args: ["i32", "i32"], returns: "i32" } } as const);
  const lock = openSync(join(ROOT, "dist/.build-lock"), "w");
  try {
    while (symbols.flock(lock, LOCK_EX) !== 0);
    if (isCurrent()) return;
    console.error("building dist/bin/warren ...");
    const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, BUILD_SCRIPT], { cwd: ROOT });
    if (exitCode !== 0) throw new Error(`scripts/build.ts failed:\n${stdout}${stderr}`);
  } finally {
    closeSync(lock);
  }
}
