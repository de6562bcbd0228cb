// install and uninstall, in a temporary folder. Other people's files are never touched, and a plugin that
// runs while it is replaced never notices.
import { expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PLUGIN_NAMES } from "../../src/plugins/names.ts";
import { type Outcome, WARREN } from "../support/sandbox.ts";

const LINKS = PLUGIN_NAMES.map((name) => `warren-${name}`).sort();

/** A folder for plugins, deleted by `using`. */
class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "warren-install-"));
  readonly bin = join(this.path, "opt/cni/bin");

  async warren(...args: string[]): Promise<Outcome> {
    return run([WARREN, ...args, "--dir", this.bin]);
  }

  names(): string[] {
    return readdirSync(this.bin).sort();
  }

  put(name: string, text: string): void {
    mkdirSync(this.bin, { recursive: true });
    writeFileSync(join(this.bin, name), text);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

async function run(command: string[], env: Record<string, string> = {}): Promise<Outcome> {
  const child = Bun.spawn(command, { env: { ...process.env, ...env }, stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { exitCode: await child.exited, stdout, stderr };
}

test("X-50 install copies the executable and links every plugin; each answers; uninstall leaves nothing", async () => {
  using folder = new Folder();
  const { exitCode, stdout, stderr } = await folder.warren("install");
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(stdout).toStartWith(`Installed ${folder.bin}/warren with links `);
  expect(folder.names()).toEqual(["warren", ...LINKS].sort());
  expect(statSync(join(folder.bin, "warren")).mode & 0o777).toBe(0o755);
  for (const link of LINKS) {
    expect(readlinkSync(join(folder.bin, link))).toBe("warren");
    const version = await run([join(folder.bin, link)], { CNI_COMMAND: "VERSION" });
    expect(JSON.parse(version.stdout).cniVersion).toBe("1.1.0");
  }
  const again = await folder.warren("install", "--json");
  expect(JSON.parse(again.stdout)).toMatchObject({ folder: folder.bin, executable: "warren" });
  const removal = await folder.warren("uninstall");
  expect([removal.exitCode, removal.stderr]).toEqual([0, ""]);
  expect(folder.names()).toEqual([]);
  expect((await folder.warren("uninstall")).stdout).toBe(`Nothing of Warren is in ${folder.bin}\n`);
});

test("X-50 a foreign file of one of the names is never overwritten without --force, and nothing else is done", async () => {
  using folder = new Folder();
  folder.put("warren-bridge", "somebody's");
  folder.put("warren-loopback", "somebody's too");
  const { exitCode, stderr } = await folder.warren("install");
  expect(exitCode).toBe(1);
  expect(stderr).toBe(
    `Error: ${folder.bin} has entries that are not Warren's: warren-bridge, warren-loopback; ` +
      "nothing was installed; --force replaces them, --dir names another folder\n",
  );
  expect(folder.names()).toEqual(["warren-bridge", "warren-loopback"]);
  expect(readFileSync(join(folder.bin, "warren-bridge"), "utf8")).toBe("somebody's");
  expect((await folder.warren("install", "--force")).exitCode).toBe(0);
  expect(readlinkSync(join(folder.bin, "warren-bridge"))).toBe("warren");
});

test("X-50 a foreign `warren` and a foreign link are refused, and a directory even by force", async () => {
  using folder = new Folder();
  folder.put("warren", "#!/bin/sh\n");
  expect((await folder.warren("install")).stderr).toContain("not Warren's: warren;");
  rmSync(join(folder.bin, "warren"));
  symlinkSync("/bin/true", join(folder.bin, "warren-bridge"));
  expect((await folder.warren("install")).stderr).toContain("not Warren's: warren-bridge;");
  rmSync(join(folder.bin, "warren-bridge"));
  mkdirSync(join(folder.bin, "warren-ipam"));
  expect((await folder.warren("install", "--force")).stderr).toContain("not Warren's: warren-ipam;");
  expect(folder.names()).toEqual(["warren-ipam"]);
});

test("X-50 reference names are linked on request, beside a foreign plugin of another name", async () => {
  using folder = new Folder();
  folder.put("whereabouts", "somebody's");
  expect((await folder.warren("install", "--reference-names")).exitCode).toBe(0);
  expect(folder.names()).toContain("bridge");
  expect(folder.names()).toContain("loopback");
  symlinkSync("/bin/true", join(folder.bin, "other"));
  await folder.warren("uninstall");
  expect(folder.names()).toEqual(["other", "whereabouts"]);
});

test("X-50 a plugin that runs while it is replaced does not notice, and no start finds the file busy", async () => {
  using folder = new Folder();
  await folder.warren("install");
  let installing = true;
  const installs = (async () => {
    for (let round = 0; round < 3; round++) expect((await folder.warren("install")).exitCode).toBe(0);
    installing = false;
  })();
  let starts = 0;
  while (installing) {
    const outcome = await run([join(folder.bin, "warren-loopback")], { CNI_COMMAND: "VERSION" });
    expect([outcome.exitCode, outcome.stderr]).toEqual([0, ""]);
    starts += 1;
  }
  await installs;
  expect(starts).toBeGreaterThan(0);
}, 60_000);

test("X-50 a folder that can't be made is an error that names it", async () => {
  using folder = new Folder();
  writeFileSync(join(folder.path, "opt"), "in the way");
  const { exitCode, stderr } = await folder.warren("install");
  expect(exitCode).toBe(1);
  expect(stderr).toStartWith(`Error: can't install to ${folder.bin}: `);
});
