// What befalls a store while it is in use: files that are removed, cut off or overwritten, a disk that is full. Either
// everything that was answered is still there, or the call says what is wrong; no address is ever given twice.
import { describe, expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { beat } from "../../../src/store/heartbeat.ts";
import { openStore } from "../../../src/store/sqlite.ts";
import { WARREN } from "../../support/sandbox.ts";
import { TestHost } from "../../support/world.ts";

/** Calls the compiled plugin, which opens the store anew each time; returns the address, or `code message`. */
async function exec(host: TestHost, verb: string, containerId: string): Promise<string> {
  const child = Bun.spawn([`${WARREN}-ipam`], {
    env: {
      CNI_COMMAND: verb,
      CNI_PATH: "/nowhere",
      CNI_CONTAINERID: containerId,
      CNI_NETNS: "/nowhere",
      CNI_IFNAME: "eth0",
    },
    stdin: new Blob([JSON.stringify(host.config())]),
    stdout: "pipe",
  });
  const text = await new Response(child.stdout).text();
  await child.exited;
  const document = text === "" ? {} : JSON.parse(text);
  return document.code === undefined
    ? (document.ips?.[0]?.address ?? "")
    : `${document.code} ${document.msg}`;
}

function file(host: TestHost, suffix = ""): string {
  return join(host.dataDir, `warren.db${suffix}`);
}

describe("the log", () => {
  test("that is torn off anywhere costs the youngest leases at most", async () => {
    using host = new TestHost();
    for (const id of ["a", "b", "c", "d"]) await exec(host, "ADD", id);
    const whole = readFileSync(file(host, "-wal"));
    const database = readFileSync(file(host));
    const seen = new Set<number>();
    for (let length = whole.length; length >= 0; length -= 1500) {
      writeFileSync(file(host), database);
      writeFileSync(file(host, "-wal"), whole.subarray(0, length));
      rmSync(file(host, "-shm"), { force: true });
      using reader = host.database();
      expect(reader.query("PRAGMA integrity_check").values()).toEqual([["ok"]]);
      const rows = reader.query("SELECT container_id FROM leases ORDER BY address").values().flat();
      expect(rows).toEqual(["a", "b", "c", "d"].slice(0, rows.length));
      seen.add(rows.length);
    }
    expect([...seen].sort()).toEqual([0, 1, 2, 3, 4]);
    // and the next ADD goes on behind what is left
    expect(await exec(host, "ADD", "e")).toBe("10.1.0.2/24");
  });

  test("that is overwritten in its middle costs what stands behind, and no more", async () => {
    using host = new TestHost();
    for (const id of ["a", "b", "c", "d"]) await exec(host, "ADD", id);
    const log = openSync(file(host, "-wal"), "r+");
    writeSync(log, Buffer.alloc(64, 0xff), 0, 64, Math.floor(statSync(file(host, "-wal")).size / 2));
    closeSync(log);
    rmSync(file(host, "-shm"));
    const answer = await exec(host, "ADD", "e");
    expect(answer).toMatch(/^10\.1\.0\.[345]\/24$/);
    using reader = host.database();
    expect(reader.query("PRAGMA integrity_check").values()).toEqual([["ok"]]);
  });

  test("that was removed is told, and nothing is given until the operator has decided", async () => {
    using host = new TestHost();
    expect(await exec(host, "ADD", "a")).toBe("10.1.0.2/24");
    renameSync(file(host, "-wal"), file(host, "-aside"));
    for (const [verb, code] of [
      ["ADD", 105],
      ["DEL", 105],
      ["STATUS", 50],
    ] as const) {
      expect(await exec(host, verb, "b")).toBe(
        `${code} the write-ahead log ${file(host, "-wal")} was removed, and the last leases with it`,
      );
    }
    renameSync(file(host, "-aside"), file(host, "-wal"));
    expect(await exec(host, "ADD", "b")).toBe("10.1.0.3/24");
    expect(await exec(host, "ADD", "a")).toBe("10.1.0.2/24");
  });

  test("that was removed while somebody is at work: the answer is an error, not a lease that nobody else sees", async () => {
    using host = new TestHost();
    await host.store.transaction(beat);
    const inTheMiddle = host.store.transaction(async (store) => {
      await beat(store);
      rmSync(file(host, "-wal"));
    });
    expect(await inTheMiddle.catch((error: unknown) => error)).toMatchObject({ problem: "removed" });
  });
});

describe("the database", () => {
  test("that was removed, or replaced, while somebody has it open takes no more leases", async () => {
    for (const replace of [false, true]) {
      using host = new TestHost();
      const { store } = host;
      await store.transaction(beat);
      for (const suffix of ["", "-wal", "-shm"]) rmSync(file(host, suffix));
      if (replace) expect(await exec(host, "ADD", "a")).toBe("10.1.0.2/24");
      expect(await store.transaction(beat).catch((error: unknown) => error)).toMatchObject({
        problem: "removed",
        message: expect.stringContaining("was removed or replaced while it was in use"),
      });
      // the next process makes a new one, or finds the one that replaced it
      expect(await exec(host, "ADD", "b")).toBe(replace ? "10.1.0.3/24" : "10.1.0.2/24");
    }
  });

  test("that was removed in the middle of an ADD: what was leased is not answered", async () => {
    using host = new TestHost();
    await host.store.transaction(beat);
    const adding = host.store.transaction(async (store) => {
      await beat(store);
      for (const suffix of ["", "-wal", "-shm"]) rmSync(file(host, suffix));
    });
    expect(await adding.catch((error: unknown) => error)).toMatchObject({ problem: "removed" });
    expect(existsSync(file(host))).toBeFalse();
  });

  test.each([4096, 8192, 12288, 20480])(
    "that is overwritten from byte %d on is told as corrupt, and no verb gives or takes anything",
    async (at) => {
      using host = new TestHost();
      for (const id of ["a", "b"]) await exec(host, "ADD", id);
      {
        using database = host.database();
        database.run("PRAGMA wal_checkpoint(TRUNCATE)");
      }
      const { size } = statSync(file(host));
      truncateSync(file(host), at);
      writeFileSync(file(host), Buffer.concat([readFileSync(file(host)), Buffer.alloc(size - at, 0x5a)]));
      for (const suffix of ["-wal", "-shm"]) rmSync(file(host, suffix), { force: true });
      const answers = [];
      for (const verb of ["ADD", "DEL", "STATUS"]) answers.push(await exec(host, verb, "c"));
      // an ADD must not succeed: it needs the leases, their runs and the cursor
      expect(answers[0]).toBe(`105 the store ${file(host)} is corrupt`);
      for (const answer of answers)
        expect([
          "",
          `105 the store ${file(host)} is corrupt`,
          `50 the store ${file(host)} is corrupt`,
        ]).toContain(answer);
    },
  );
});

test("a store that is opened again after it was removed in this process is a new one", async () => {
  using host = new TestHost();
  await host.store.transaction(beat);
  for (const suffix of ["", "-wal", "-shm"]) rmSync(file(host, suffix));
  await openStore(`${host.dataDir}/.`).transaction(beat);
  using database = host.database();
  expect(database.query("SELECT count(*) FROM heartbeat").values()).toEqual([[1]]);
});
