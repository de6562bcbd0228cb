// `warren conf watch --add`: a plugin stays in a list that others write, too.
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Folder } from "../support/conf-files.ts";

const OVERLAY = "00-warren-overlay.conflist";
const list = (bridge = "br0") =>
  JSON.stringify({ cniVersion: "1.1.0", name: "a", plugins: [{ type: "warren-bridge", bridge }] });
const tuning = (mtu: number) => JSON.stringify({ type: "warren-tuning", mtu });

/** A watcher, ended as by Ctrl-C when it is disposed of. */
class Watcher implements AsyncDisposable {
  readonly lines: { kept?: boolean; what?: string; networks?: string[]; why?: string }[] = [];
  readonly #child: ReturnType<Folder["start"]>;

  constructor(folder: Folder, ...args: string[]) {
    this.#child = folder.start("watch", "--json", ...args);
    void this.#read(this.#child.stdout);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    let rest = "";
    for await (const chunk of stream) {
      const lines = (rest + new TextDecoder().decode(chunk)).split("\n");
      rest = lines.pop() ?? "";
      this.lines.push(...lines.map((line) => JSON.parse(line)));
    }
  }

  /** Waits until it has said so, and so often. */
  async says(words: string, times = 1): Promise<void> {
    while (this.lines.filter(({ what }) => what?.includes(words) === true).length < times)
      await Bun.sleep(10);
  }

  async end(): Promise<number> {
    this.#child.kill("SIGINT");
    return this.#child.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}

/** Waits until it is so. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(10);
}

const typesIn = (text: string) => JSON.parse(text).plugins.map(({ type }: { type: string }) => type);

test("S3-P02 the plugin comes back whenever another agent has rewritten the file, and its text stays otherwise", async () => {
  using folder = new Folder({ "10-a.conflist": list() });
  await using watcher = new Watcher(folder, "--add", tuning(1400), "--first");
  await watcher.says("the plugin is put into the list");
  expect(typesIn(folder.read("10-a.conflist"))).toEqual(["warren-tuning", "warren-bridge"]);
  // an agent that writes the whole file, by a rename
  folder.write("10-a.conflist", list("br1"));
  await until(() => folder.read("10-a.conflist").includes("tuning"));
  expect(JSON.parse(folder.read("10-a.conflist")).plugins).toEqual([
    { type: "warren-tuning", mtu: 1400 },
    { type: "warren-bridge", bridge: "br1" },
  ]);
  // one that writes it in place; broken for a moment, which is nobody's loss
  writeFileSync(join(folder.net, "10-a.conflist"), "{");
  await watcher.says("can't be put in place");
  writeFileSync(join(folder.net, "10-a.conflist"), list("br2"));
  await until(() => folder.read("10-a.conflist").includes("tuning"));
  // another agent that lays it out anew has not undone it
  const laidOut = JSON.stringify(JSON.parse(folder.read("10-a.conflist")), null, 8);
  folder.write("10-a.conflist", laidOut);
  await Bun.sleep(500);
  expect(folder.read("10-a.conflist")).toBe(laidOut);
  expect(await watcher.end()).toBe(0);
  // what can be taken back is the first edit, and not each of its repetitions
  expect(readdirSync(folder.net).filter((name) => name.includes(".before-"))).toHaveLength(1);
});

test("S3-P02 two who want different things step back and say so", async () => {
  using folder = new Folder({ "10-a.conflist": list() });
  await using one = new Watcher(folder, "--add", tuning(1400));
  await one.says("the plugin is put into the list");
  await using other = new Watcher(folder, "--add", tuning(1300));
  const said = () =>
    [one, other].flatMap(({ lines }) =>
      lines.flatMap(({ kept, what }) => (kept === false ? [what ?? ""] : [])),
    );
  await until(() => said().length > 0);
  expect(said()[0]).toMatch(/: somebody else undoes it \(\d times in a row\); trying again in \d+ s$/);
  // whatever happens, there is no loop of writing: a step takes a tenth of a second, and there were pauses in between
  await Bun.sleep(3000);
  const writes = [one, other].flatMap(({ lines }) =>
    lines.filter(({ what }) => what?.includes("put into") === true),
  );
  expect(writes.length).toBeLessThan(16);
  // with the other one gone, it is as it is to be, and stays so
  await other.end();
  await until(() => folder.read("10-a.conflist").includes("1400"));
  expect(JSON.parse(folder.read("10-a.conflist")).plugins).toHaveLength(2);
}, 60_000);

test("S3-P03 an overlay is made beside the list, follows it, and goes with it", async () => {
  using folder = new Folder({ "10-a.conflist": list() });
  const watcher = new Watcher(folder, "--add", tuning(1400), "--overlay");
  await watcher.says("10-a.conflist and the plugin");
  expect(folder.read("10-a.conflist")).toBe(list());
  expect(typesIn(folder.read(OVERLAY))).toEqual(["warren-bridge", "warren-tuning"]);
  expect((await folder.conf("list")).stdout).toContain(
    `containerd takes ${OVERLAY} (network a): the first of 2 files`,
  );
  // that there are two of one name is meant
  const { findings } = JSON.parse((await folder.conf("doctor", "--json")).stdout);
  expect(findings.find(({ message }: { message: string }) => message.includes(OVERLAY))).toMatchObject({
    severity: "note",
  });
  folder.write("10-a.conflist", list("br1"));
  await until(() => folder.read(OVERLAY).includes("br1"));
  rmSync(join(folder.net, OVERLAY));
  await until(() => existsSync(join(folder.net, OVERLAY)));
  rmSync(join(folder.net, "10-a.conflist"));
  await until(() => !existsSync(join(folder.net, OVERLAY)));
  expect(readdirSync(folder.net)).toEqual([]);
  await watcher.says("removed, there is no list that it could be made of");
  folder.write("20-a.conflist", list("br2"));
  await until(() => existsSync(join(folder.net, OVERLAY)));
  expect(folder.read(OVERLAY)).toContain("br2");
  // who is not there can't follow
  expect(await watcher.end()).toBe(0);
  expect(readdirSync(folder.net)).toEqual(["20-a.conflist"]);
});

test("S3-P04 a marker is there exactly while the plugin is, with what it stands for", async () => {
  using folder = new Folder({});
  const markers = () => readdirSync(folder.path).filter((name) => name.startsWith("ready"));
  writeFileSync(join(folder.path, "ready"), "left by one that was killed");
  const plain = new Watcher(folder, "--add", tuning(1400), "--marker", join(folder.path, "ready"));
  await plain.says("can't be put in place");
  expect(markers()).toEqual([]);
  folder.write("10-a.conflist", list());
  await until(() => markers().length === 1);
  const first = JSON.parse(readFileSync(join(folder.path, "ready"), "utf8"));
  expect(first).toEqual({
    version: expect.stringMatching(/^[0-9a-f]{12}$/),
    file: join(folder.net, "10-a.conflist"),
  });
  folder.write("10-a.conflist", "{");
  await until(() => markers().length === 0);
  folder.write("10-a.conflist", list());
  await until(() => markers().length === 1);
  await plain.end();
  expect(markers()).toEqual([]);
  // another plugin is another version, which may stand in the name, too
  await using named = new Watcher(
    folder,
    "--add",
    tuning(1300),
    "--marker",
    join(folder.path, "ready-{version}"),
  );
  await named.says("the plugin is put into the list");
  await until(() => markers().length === 1);
  const [name = ""] = markers();
  const second = JSON.parse(readFileSync(join(folder.path, name), "utf8"));
  expect(name).toBe(`ready-${second.version}`);
  expect(second.version).not.toBe(first.version);
});

test.each<[args: string[], exitCode: number, message: string]>([
  [["--overlay"], 2, "--overlay is about the plugin of --add, which is missing"],
  [["--marker", "/tmp/x"], 2, "--marker is about the plugin of --add, which is missing"],
  [["--add", "{}", "--overlay", "--network", "a"], 2, "--file and --network exclude it"],
  [["--add", tuning(1), "--first", "--last"], 2, "exclude each other"],
  [["--add", "{}"], 1, 'expected an object with a "type"'],
  [["--add", "/missing.json"], 1, "can't read /missing.json"],
])("conf watch %j is refused", async (args, exitCode, message) => {
  using folder = new Folder({ "10-a.conflist": list() });
  const outcome = await folder.conf("watch", ...args);
  expect(outcome.stderr).toContain(message);
  expect(outcome.stderr.trim().split("\n")).toHaveLength(1);
  expect(outcome.exitCode).toBe(exitCode);
});
