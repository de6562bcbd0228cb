// The file of a node's private key: made once, for its owner alone, and never shown.
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureKey, KeyFileError, readKey, replaceKey } from "../../../src/mesh/key.ts";
import { isPublicKey } from "../../../src/net/wireguard-key.ts";

const root = mkdtempSync(join(tmpdir(), "warren-key-"));
afterAll(() => rmSync(root, { recursive: true }));

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(root, "node-"));
  path = join(folder, "mesh.key");
});

/** A key of `wg genkey`, and what `wg pubkey` makes of it. */
const SECRET = "AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09o=";
const PUBLIC = "yP7Kgb4ZbN8sreq/E8SQPXYy3OSVWqaLbl2a3vVOJhY=";

async function refusal(): Promise<KeyFileError> {
  try {
    await ensureKey(path);
  } catch (error) {
    if (error instanceof KeyFileError) return error;
    throw error;
  }
  throw new Error("taken");
}

describe("S3-W07 the key file", () => {
  test("is made once, with its folders, for its owner alone, and says the same at every start", async () => {
    path = join(folder, "var/warren/mesh.key");
    expect(await readKey(path)).toBeUndefined();
    const first = await ensureKey(path);
    const text = readFileSync(path, "utf8");
    expect(isPublicKey(first.publicKey)).toBe(true);
    expect(text).toBe(`${first.privateKey.spell()}\n`);
    expect([statSync(path).mode & 0o7777, statSync(join(path, "..")).mode & 0o7777]).toEqual([0o600, 0o700]);
    expect((await ensureKey(path)).publicKey).toBe(first.publicKey);
    expect(readFileSync(path, "utf8")).toBe(text);
    expect(readdirSync(join(path, ".."))).toEqual(["mesh.key"]);
  });

  test("may be one of `wg genkey`, with or without a line's end", async () => {
    for (const text of [SECRET, `${SECRET}\n`]) {
      writeFileSync(path, text, { mode: 0o600 });
      expect((await ensureKey(path)).publicKey).toBe(PUBLIC);
    }
  });

  test("gets a new key by one rename, and keeps what is none", async () => {
    const first = await replaceKey(path);
    const inode = statSync(path).ino;
    const second = await replaceKey(path);
    expect(second.publicKey).not.toBe(first.publicKey);
    expect(readFileSync(path, "utf8")).toBe(`${second.privateKey.spell()}\n`);
    expect([statSync(path).mode & 0o7777, statSync(path).ino === inode]).toEqual([0o600, false]);
    expect(readdirSync(folder)).toEqual(["mesh.key"]);
    writeFileSync(path, "no key");
    await expect(replaceKey(path)).rejects.toThrow("has no key in it");
    expect(readFileSync(path, "utf8")).toBe("no key");
  });

  test("is one for all who make it at once, also where somebody was killed at it before", async () => {
    writeFileSync(`${path}.new`, SECRET.slice(0, 9), { mode: 0o600 });
    const script = `
      import { ensureKey } from "${import.meta.dir}/../../../src/mesh/key.ts";
      console.log((await ensureKey(${JSON.stringify(path)})).publicKey);
    `;
    const outputs = await Promise.all(
      Array.from({ length: 6 }, () =>
        new Response(Bun.spawn([process.execPath, "-e", script]).stdout).text(),
      ),
    );
    const { publicKey } = await ensureKey(path);
    expect(outputs).toEqual(Array<string>(6).fill(`${publicKey}\n`));
    expect(readdirSync(folder)).toEqual(["mesh.key"]);
  });

  const wrong: readonly (readonly [problem: string, make: () => void])[] = [
    ["can be used by others (mode 0640)", () => writeFileSync(path, SECRET, { mode: 0o640 })],
    ["is a symbolic link", () => symlinkSync(import.meta.path, path)],
    ["is a symbolic link", () => symlinkSync("nothing", path)],
    ["is no file", () => mkdirSync(path)],
    ["is no file", () => Bun.spawnSync(["mkfifo", "-m", "600", path])],
    ["has no key in it", () => writeFileSync(path, "", { mode: 0o600 })],
    ["has no key in it", () => writeFileSync(path, SECRET.slice(2), { mode: 0o600 })],
    ["has no key in it", () => writeFileSync(path, `${SECRET}${SECRET}`, { mode: 0o600 })],
    ["has more than 256 bytes", () => writeFileSync(path, SECRET.repeat(9), { mode: 0o600 })],
  ];
  test.each(wrong)(
    "that %s is refused and left as it is, with a cure and without a byte of it",
    async (problem, make) => {
      make();
      const before = Bun.spawnSync(["ls", "-lR", folder]).stdout.toString();
      const error = await refusal();
      expect(error.message).toBe(`key file ${JSON.stringify(path)} ${problem}`);
      expect(error.cure).not.toBe("");
      expect(Bun.inspect(error)).not.toContain(SECRET.slice(2, 12));
      expect(Bun.spawnSync(["ls", "-lR", folder]).stdout.toString()).toBe(before);
    },
  );
});
