// The store as a file: how it is opened, created and guarded, and what is told when it can't be used. What needs a
// full or read-only disk is in e2e/bad-input.test.ts.
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { insertLease } from "../../../db/lease-queries.ts";
import { addressBytes, parseAddress } from "../../../src/ip/address.ts";
import { beat } from "../../../src/store/heartbeat.ts";
import { SCHEMA_VERSION } from "../../../src/store/migrations.ts";
import { networkFileSystem, openStore, storeExists } from "../../../src/store/sqlite.ts";
import { StoreError, type StoreProblem } from "../../../src/store/store.ts";
import { isRoot, testWith, WARREN } from "../../support/sandbox.ts";
import { TemporaryDirectory, TestHost } from "../../support/world.ts";

const ROW = {
  network: "lab",
  family: 4,
  prefixLength: 24,
  gateway: null,
  containerId: "a",
  ifname: "eth0",
  ordinal: 0,
  podNamespace: null,
  podName: null,
  podUid: null,
  netns: "/nowhere",
  netnsInode: null,
  bootId: "boot",
  createdAtMs: 0,
  releasedAtMs: null,
};

function bytes(text: string): Uint8Array {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`${text} is no address`);
  return addressBytes(address);
}

/** Returns the error that `work` ends with. */
async function failure(work: () => unknown): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  return undefined;
}

function mode(path: string): string {
  return (statSync(path).mode & 0o7777).toString(8);
}

/** Runs the compiled ipam plugin, behind another command if there is one. */
async function exec(
  verb: string,
  config: object,
  ...behind: readonly string[]
): Promise<{ exitCode: number; stdout: string }> {
  const child = Bun.spawn([...behind, `${WARREN}-ipam`], {
    env: {
      CNI_COMMAND: verb,
      CNI_PATH: "/nowhere",
      CNI_CONTAINERID: "a",
      CNI_NETNS: "/nowhere",
      CNI_IFNAME: "eth0",
    },
    stdin: new Blob([JSON.stringify(config)]),
    stdout: "pipe",
  });
  return { stdout: await new Response(child.stdout).text(), exitCode: await child.exited };
}

test("X-20 the file keeps a write-ahead log, and a transaction has the right to write from its beginning", async () => {
  using directory = new TemporaryDirectory();
  await directory.store.transaction(async () => {
    using other = directory.database();
    expect(other.query("PRAGMA journal_mode").values()).toEqual([["wal"]]);
    // readers read on; a second writer has to wait although the first has written nothing yet
    expect(other.query("SELECT count(*) FROM leases").values()).toEqual([[0]]);
    expect(() => other.run("PRAGMA busy_timeout=0; BEGIN IMMEDIATE")).toThrow("database is locked");
  });
});

test("X-20 a writer waits while another process holds the lock, and then goes on", async () => {
  using host = new TestHost();
  await host.store.transaction(beat);
  using other = host.database();
  other.run("BEGIN IMMEDIATE");
  const started = performance.now();
  const answer = exec("ADD", host.config());
  await Bun.sleep(400);
  other.run("COMMIT");
  expect((await answer).exitCode).toBe(0);
  expect(performance.now() - started).toBeGreaterThan(350);
});

testWith(isRoot ? {} : { reason: "only root may go before others" })(
  "X-20 a writer goes before others for as long as it holds them up, a reader and whoever is done does not",
  async () => {
    using directory = new TemporaryDirectory();
    // the priority is the 19th word, the second may have blanks in it (proc_pid_stat(5))
    const nice = () => {
      const status = readFileSync("/proc/thread-self/stat", "utf8");
      return Number(status.slice(status.lastIndexOf(")") + 2).split(" ")[16]);
    };
    const usual = nice();
    expect(await directory.store.transaction(async () => nice())).toBe(-15);
    expect(await directory.store.read(async () => nice())).toBe(usual);
    await failure(() => directory.store.transaction(() => Promise.reject(new Error("it fails"))));
    expect(nice()).toBe(usual);
  },
);

test("X-21 an address has one row a network, whatever its prefix length, and an attachment one of each family and ordinal", async () => {
  using directory = new TemporaryDirectory();
  const insert = (changes: Partial<typeof ROW> & { address: Uint8Array }) =>
    directory.store.transaction((store) => store.run(insertLease(), { ...ROW, ...changes }));
  await insert({ address: bytes("10.1.0.2") });
  for (const clash of [
    { address: bytes("10.1.0.2"), prefixLength: 16, containerId: "b" },
    { address: bytes("10.1.0.3") },
  ]) {
    const error = await failure(() => insert(clash));
    expect(error instanceof StoreError ? error.message : "").toContain("UNIQUE constraint failed");
  }
  await insert({ address: bytes("10.1.0.2"), network: "other" });
  await insert({ address: bytes("fd00::2"), family: 6 });
  await insert({ address: bytes("10.1.0.4"), ordinal: 1 });
  using database = directory.database();
  expect(database.query("SELECT hex(address), family FROM leases WHERE network = 'lab'").values()).toEqual([
    ["0A010002", 4],
    ["0A010004", 4],
    ["FD000000000000000000000000000002", 6],
  ]);
});

test("a transaction that fails leaves nothing, and one inside another belongs to it", async () => {
  using directory = new TemporaryDirectory();
  const { store } = directory;
  const problem = await failure(() =>
    store.transaction(async (outer) => {
      await outer.run(insertLease(), { ...ROW, address: bytes("10.1.0.2") });
      await store.transaction((inner) =>
        inner.run(insertLease(), { ...ROW, address: bytes("10.1.0.3"), ordinal: 1 }),
      );
      throw new Error("after both");
    }),
  );
  expect(problem).toEqual(new Error("after both"));
  using database = directory.database();
  expect(database.query("SELECT count(*) FROM leases").values()).toEqual([[0]]);
  await store.transaction(beat);
});

test("X-22 the directory is made for its owner alone, and so is every file in it, whatever the umask", async () => {
  using directory = new TemporaryDirectory();
  const before = process.umask(0);
  try {
    await directory.store.transaction(beat);
  } finally {
    process.umask(before);
  }
  expect(mode(directory.dataDir)).toBe("700");
  const files = readdirSync(directory.dataDir).sort();
  expect(files).toEqual(["warren.db", "warren.db-shm", "warren.db-wal", "warren.db.lock"]);
  for (const file of files) expect([file, mode(join(directory.dataDir, file))]).toEqual([file, "600"]);
});

test("X-22 a directory that is there already keeps its mode", () => {
  using directory = new TemporaryDirectory();
  mkdirSync(directory.dataDir);
  chmodSync(directory.dataDir, 0o750);
  openStore(directory.dataDir);
  expect(mode(directory.dataDir)).toBe("750");
});

test("X-22 file systems of the network are known by their numbers, local ones pass", () => {
  const names = [0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997, 0x00c36400].map(networkFileSystem);
  expect(names).toEqual(["NFS", "SMB", "CIFS", "SMB2", "9P", "Ceph"]);
  for (const local of [0xef53, 0x01021994, 0x9123683e, 0x58465342, 0x794c7630]) {
    expect(networkFileSystem(local)).toBeUndefined();
  }
});

test("storeExists looks and makes nothing", () => {
  using directory = new TemporaryDirectory();
  expect(storeExists(directory.dataDir)).toBeFalse();
  expect(existsSync(directory.dataDir)).toBeFalse();
});

const BROKEN: readonly (readonly [problem: StoreProblem, words: string, spoil: (dataDir: string) => void])[] =
  [
    ["parent missing", "does not exist", (dataDir) => rmSync(join(dataDir, ".."), { recursive: true })],
    ["not a directory", "is in something that is not a directory", (dataDir) => writeFileSync(dataDir, "")],
    [
      "not a file",
      "is a symbolic link",
      (dataDir) => {
        mkdirSync(dataDir);
        symlinkSync("/nowhere/else", join(dataDir, "warren.db"));
      },
    ],
    [
      "not a file",
      "is a directory, not a file",
      (dataDir) => mkdirSync(join(dataDir, "warren.db"), { recursive: true }),
    ],
    [
      "corrupt",
      "is not an SQLite database",
      (dataDir) => {
        mkdirSync(dataDir);
        writeFileSync(join(dataDir, "warren.db"), "not a database ".repeat(100));
      },
    ],
    [
      "corrupt",
      "is corrupt",
      (dataDir) => {
        mkdirSync(dataDir);
        const file = join(dataDir, "warren.db");
        using database = new Database(file);
        database.run("CREATE TABLE a (b); CREATE TABLE c (d)");
        database.run("PRAGMA user_version=0");
        database.close();
        truncateSync(file, 4096);
      },
    ],
    [
      "newer schema",
      `has schema version 99, this executable knows versions up to ${SCHEMA_VERSION}`,
      (dataDir) => {
        mkdirSync(dataDir);
        using database = new Database(join(dataDir, "warren.db"));
        database.run("PRAGMA user_version=99");
      },
    ],
  ];

test.each(BROKEN)("a store that is unusable by %p says that it %s", async (problem, words, spoil) => {
  using directory = new TemporaryDirectory();
  spoil(directory.dataDir);
  const error = await failure(() => directory.store.transaction(beat));
  if (!(error instanceof StoreError)) throw error;
  expect(error.problem).toBe(problem);
  expect(error.message).toContain(words);
  expect(error.message).toContain(directory.path);
  expect(error.cure).not.toBe("");
});

test.each(["a store that is there", "no store yet"])(
  "S0-04 too few descriptors, with %s, are told as that, wherever they run out",
  async (state) => {
    let refusals = 0;
    for (let limit = 5; limit < 12; limit++) {
      using host = new TestHost();
      if (state !== "no store yet") await host.store.transaction(beat);
      const { exitCode, stdout } = await exec("STATUS", host.config(), "prlimit", `--nofile=${limit}`);
      if (exitCode === 0) continue;
      refusals++;
      expect(stdout).toContain("EMFILE");
      expect(files(host).filter((name) => name.includes(".new"))).toEqual([]);
    }
    expect(refusals).toBeGreaterThan(2);
  },
);

test("X-24 a newer schema is left as it is", async () => {
  using directory = new TemporaryDirectory();
  await directory.store.transaction(beat);
  using database = directory.database();
  database.run(`PRAGMA user_version=${SCHEMA_VERSION + 1}; ALTER TABLE leases ADD COLUMN colour TEXT`);
  const error = await failure(() => openStore(`${directory.dataDir}/.`));
  expect(error).toMatchObject({ problem: "newer schema" });
  expect(database.query("PRAGMA user_version").values()).toEqual([[SCHEMA_VERSION + 1]]);
});

test("X-24 thirty processes that start at once on a path where nothing is all find the store ready", async () => {
  using host = new TestHost();
  const answers = await Promise.all(Array.from({ length: 30 }, () => exec("STATUS", host.config())));
  expect(answers).toEqual(answers.map(() => ({ exitCode: 0, stdout: "" })));
  using database = host.database();
  expect(database.query("PRAGMA user_version").values()).toEqual([[SCHEMA_VERSION]]);
  expect(database.query("PRAGMA integrity_check").values()).toEqual([["ok"]]);
});

/** Returns what stands in the store's directory. */
function files(directory: TemporaryDirectory): string[] {
  return readdirSync(directory.dataDir).sort();
}

test("X-23 SQLite itself gives up at once on a change of the journal mode while another has the right to write", () => {
  using directory = new TemporaryDirectory();
  using one = new Database(`${directory.path}/raw.db`);
  using two = new Database(`${directory.path}/raw.db`);
  one.run("BEGIN IMMEDIATE");
  // why a store is never set up under its own name: this would wait for a minute if the time-out held
  two.run("PRAGMA busy_timeout=60000");
  expect(() => two.run("PRAGMA journal_mode=WAL")).toThrow("database is locked");
});

test("X-23 a first caller waits for nobody who is at a store that was never finished", async () => {
  using directory = new TemporaryDirectory();
  mkdirSync(directory.dataDir);
  // a first caller of old was killed and left an empty file and its journal, and somebody else still has it open
  writeFileSync(join(directory.dataDir, "warren.db"), "");
  using other = directory.database();
  other.run("BEGIN IMMEDIATE");
  writeFileSync(join(directory.dataDir, "warren.db-journal"), "\0".repeat(512));
  await directory.store.transaction(beat);
  expect(files(directory)).toEqual(["warren.db", "warren.db-shm", "warren.db-wal", "warren.db.lock"]);
  using database = directory.database();
  expect(database.query("PRAGMA journal_mode").values()).toEqual([["wal"]]);
  expect(database.query("SELECT count(*) FROM heartbeat").values()).toEqual([[1]]);
});

test("X-23 what a killed first caller left of its unfinished store goes with the next one", async () => {
  using directory = new TemporaryDirectory();
  mkdirSync(directory.dataDir);
  for (const suffix of ["", "-wal", "-shm", "-journal"])
    writeFileSync(join(directory.dataDir, `warren.db.new${suffix}`), "half of a store");
  expect(storeExists(directory.dataDir)).toBeFalse();
  await directory.store.transaction(beat);
  expect(files(directory)).toEqual(["warren.db", "warren.db-shm", "warren.db-wal", "warren.db.lock"]);
});

test("a log that outlived its store is not played into the next one", async () => {
  using directory = new TemporaryDirectory();
  await directory.store.transaction((store) =>
    store.run(insertLease(), { ...ROW, address: bytes("10.1.0.2") }),
  );
  rmSync(join(directory.dataDir, "warren.db"));
  expect(statSync(join(directory.dataDir, "warren.db-wal")).size).toBeGreaterThan(0);
  using host = new TestHost();
  const answer = await exec("STATUS", host.config({ subnet: "10.1.0.0/24", dataDir: directory.dataDir }));
  expect(answer).toEqual({ exitCode: 0, stdout: "" });
  using database = directory.database();
  expect(database.query("PRAGMA integrity_check").values()).toEqual([["ok"]]);
  expect(database.query("SELECT count(*) FROM leases").values()).toEqual([[0]]);
});

test("S0-05 a thousand heartbeats are one row, and neither they nor STATUS by exec make the store grow", async () => {
  using host = new TestHost();
  await host.add(host.config());
  const leases = host.leases();
  await host.store.transaction(beat);
  const pages = (): unknown => {
    using database = host.database();
    return database.query("SELECT page_count FROM pragma_page_count()").values();
  };
  const before = pages();
  for (let count = 0; count < 1000; count++) await host.store.transaction(beat);
  expect((await exec("STATUS", host.config())).exitCode).toBe(0);
  using database = host.database();
  const written = database.query<{ at_ms: number }, []>("SELECT at_ms FROM heartbeat").all();
  expect(written).toHaveLength(1);
  expect(Math.abs(Date.now() - (written[0]?.at_ms ?? 0))).toBeLessThan(10_000);
  for (let count = 0; count < 5; count++) await exec("STATUS", host.config());
  expect(database.query<{ at_ms: number }, []>("SELECT at_ms FROM heartbeat").get()?.at_ms).toBeGreaterThan(
    written[0]?.at_ms ?? 0,
  );
  expect(pages()).toEqual(before);
  expect(host.leases()).toEqual(leases);
  // the log too: SQLite's own checkpoint at 1000 pages keeps it below 5 MB
  expect(statSync(join(host.dataDir, "warren.db-wal")).size).toBeLessThan(5_000_000);
});

test("the log that processes leave behind stays short", async () => {
  using host = new TestHost();
  for (let count = 0; count < 40; count++) {
    await exec("ADD", host.config());
    await exec("DEL", host.config());
  }
  const log = join(host.dataDir, "warren.db-wal");
  expect(existsSync(log) ? statSync(log).size : 0).toBeLessThan(120 * 4120);
}, 30_000);
