// A kernel that lacks something: modules that are unloaded, and that nothing loads again until the work is done.
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";

const RULES = "/etc/modprobe.d/missing.conf";
/** Namespaces are taken down after their last process has ended; until then they use modules. */
const TRIES = 300;
const PAUSE_MS = 50;

/** Unloads a module and, before it, those that stand on it; one that is not loaded is success. */
async function unload(name: string): Promise<void> {
  const folder = `/sys/module/${name}`;
  for (let tries = 1; existsSync(`${folder}/initstate`); tries++) {
    for (const holder of readdirSync(`${folder}/holders`)) await unload(holder);
    const { exitCode, stderr } = Bun.spawnSync(["rmmod", name]);
    if (exitCode === 0) return;
    if (tries === TRIES) throw new Error(`module ${name} stays: ${stderr.toString().trim()}`);
    await Bun.sleep(PAUSE_MS);
  }
}

/** Runs `work` on a kernel without these modules, and without what stands on them. */
export async function withoutModules<T>(names: readonly string[], work: () => Promise<T>): Promise<T> {
  mkdirSync("/etc/modprobe.d", { recursive: true });
  writeFileSync(RULES, names.map((name) => `install ${name} /bin/false\n`).join(""));
  try {
    for (const name of names) await unload(name);
    return await work();
  } finally {
    rmSync(RULES);
  }
}
