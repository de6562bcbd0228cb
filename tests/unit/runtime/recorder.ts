// Plugins for tests of the runtime: shell scripts that write down how they were called and answer what the test
// laid down for them. They need no namespace and no root.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** One call as the plugin saw it. */
export interface RecordedCall {
  readonly plugin: string;
  readonly verb: string;
  readonly containerId: string;
  readonly netns: string;
  readonly ifname: string;
  readonly args: string;
  readonly path: string;
  readonly config: Readonly<Record<string, unknown>>;
}

const SCRIPT = `#!/bin/sh
folder=\${0%/*}
name=\${0##*/}
config=$(cat)
printf '{"plugin":"%s","verb":"%s","containerId":"%s","netns":"%s","ifname":"%s","args":"%s","path":"%s","config":%s}\\n' \\
  "$name" "$CNI_COMMAND" "$CNI_CONTAINERID" "$CNI_NETNS" "$CNI_IFNAME" "$CNI_ARGS" "$CNI_PATH" "$config" >>"$folder/.calls"
answer="$folder/.answer-$name-$CNI_COMMAND"
if [ -e "$answer.sh" ]; then . "$answer.sh"; fi
if [ -e "$answer.error" ]; then cat "$answer.error"; exit 1; fi
if [ -e "$answer" ]; then cat "$answer"; elif [ "$CNI_COMMAND" = ADD ]; then echo '{}'; fi
`;

/** A folder of recording plugins; deleted by \`using\`. */
export class Recorder implements Disposable {
  /** The folder of the plugins, for CNI_PATH. */
  readonly bin: string;
  /** The folder of network lists. */
  readonly conf: string;
  /** A folder for the cache. */
  readonly cache: string;

  constructor(
    plugins: readonly string[],
    readonly folder = mkdtempSync(join(tmpdir(), "warren-recorder-")),
  ) {
    this.bin = join(folder, "bin");
    this.conf = join(folder, "conf");
    this.cache = join(folder, "cache");
    for (const directory of [this.bin, this.conf]) mkdirSync(directory, { recursive: true });
    for (const plugin of plugins) {
      writeFileSync(join(this.bin, plugin), SCRIPT);
      chmodSync(join(this.bin, plugin), 0o755);
    }
  }

  /** Writes a file into the conf folder: text as it is, anything else as JSON. */
  configure(file: string, content: unknown): void {
    const path = join(this.conf, file);
    mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  }

  /** From now on the plugin prints this document for the verb. */
  answer(plugin: string, verb: string, document: unknown): void {
    writeFileSync(join(this.bin, `.answer-${plugin}-${verb}`), JSON.stringify(document));
  }

  /** From now on the plugin prints this document for the verb and exits with 1. */
  fail(plugin: string, verb: string, document: unknown): void {
    const text = typeof document === "string" ? document : JSON.stringify(document);
    writeFileSync(join(this.bin, `.answer-${plugin}-${verb}.error`), text);
  }

  /** From now on the plugin runs these shell commands for the verb before it answers. */
  script(plugin: string, verb: string, commands: string): void {
    writeFileSync(join(this.bin, `.answer-${plugin}-${verb}.sh`), commands);
  }

  /**
   * From now on the plugin waits for `release` when it is called with the verb, half a minute at most, and then runs the
   * commands.
   */
  hold(plugin: string, verb: string, commands = ""): void {
    rmSync(join(this.bin, ".released"), { force: true });
    const wait = "for try in $(seq 600); do [ -e $folder/.released ] && break; sleep 0.05; done";
    this.script(plugin, verb, `touch $folder/.holding; ${wait}\n${commands}`);
  }

  /** Ends when a plugin was called that is to wait. */
  async holding(): Promise<void> {
    while (!existsSync(join(this.bin, ".holding"))) await Bun.sleep(5);
  }

  /** Lets the plugins that wait go on, and those that come. */
  release(): void {
    writeFileSync(join(this.bin, ".released"), "");
  }

  /** Takes back what fail and script laid down. */
  recover(plugin: string, verb: string): void {
    for (const kind of ["error", "sh"]) {
      rmSync(join(this.bin, `.answer-${plugin}-${verb}.${kind}`), { force: true });
    }
  }

  /** Returns the calls since the last time this was asked. */
  takeCalls(): RecordedCall[] {
    const file = join(this.bin, ".calls");
    if (!existsSync(file)) return [];
    const lines = readFileSync(file, "utf8").trim().split("\n");
    rmSync(file);
    return lines.map((line) => JSON.parse(line));
  }

  /** Returns the calls since the last time as words: `ADD a`. */
  takeNames(): string[] {
    return this.takeCalls().map(({ verb, plugin }) => `${verb} ${plugin}`);
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
