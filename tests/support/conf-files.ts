// A folder of configs and a folder of plugins, for the tools that look at configs and change them.
import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { WARREN } from "./sandbox.ts";
import { TemporaryDirectory } from "./world.ts";

/** The folders, which no namespace is needed for. */
export class Folder extends TemporaryDirectory {
  readonly net = join(this.path, "net.d");
  readonly bin = join(this.path, "bin");

  constructor(files: Readonly<Record<string, unknown>>, plugins: readonly string[] = []) {
    super();
    mkdirSync(this.net);
    mkdirSync(this.bin);
    for (const [name, content] of Object.entries(files)) this.write(name, content);
    for (const plugin of plugins) symlinkSync(WARREN, join(this.bin, plugin));
  }

  /** Puts a file there by a rename, as careful agents do: nobody ever sees half of it. */
  write(name: string, content: unknown): void {
    mkdirSync(join(this.net, name, ".."), { recursive: true });
    const draft = join(this.path, "draft");
    writeFileSync(draft, typeof content === "string" ? content : JSON.stringify(content, null, 2));
    renameSync(draft, join(this.net, name));
  }

  read(name: string): string {
    return readFileSync(join(this.net, name), "utf8");
  }

  start(...args: string[]) {
    return Bun.spawn([WARREN, "conf", ...args], {
      env: { ...process.env, NETCONFPATH: this.net, CNI_PATH: this.bin },
      stdout: "pipe",
      stderr: "pipe",
    });
  }

  async conf(...args: string[]) {
    const child = this.start(...args);
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return { exitCode: await child.exited, stdout, stderr };
  }
}
