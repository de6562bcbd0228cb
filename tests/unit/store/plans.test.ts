// How SQLite finds what the hot path asks for: by the index that was made for it, however large the store is.
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { leasesOfOwner, moveLeases, runAtOrBefore, staleLeases } from "../../../db/lease-queries.ts";
import { openStore, storePath } from "../../../src/store/sqlite.ts";

describe("plans", () => {
  test.each([
    [
      "leases of an attachment",
      leasesOfOwner(),
      "USING INDEX leases_owner (network=? AND container_id=? AND ifname=?)",
    ],
    ["moving leases", moveLeases(), "USING INDEX leases_owner (network=? AND container_id=? AND ifname=?)"],
    ["the run before an address", runAtOrBefore(), "USING PRIMARY KEY (network=? AND family=? AND first<?)"],
  ] as const)("%s go by the whole key", (_, { sql, parameters }, plan) => {
    const folder = mkdtempSync(join(tmpdir(), "warren-plans-"));
    try {
      openStore(folder);
      const database = new Database(storePath(folder), { readonly: true });
      const rows = database.query(`EXPLAIN QUERY PLAN ${sql}`).values(...parameters.map(() => ""));
      database.close();
      expect(rows.map((row) => row[3]).join("\n")).toContain(plan);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("10,000 stale leases among 60,000 are found as a set, not by comparing each with all", () => {
    const folder = mkdtempSync(join(tmpdir(), "warren-plans-"));
    try {
      openStore(folder);
      const database = new Database(storePath(folder), { readonly: true });
      const { sql, parameters } = staleLeases();
      const plan = database.query(`EXPLAIN QUERY PLAN ${sql}`).values(...parameters.map(() => "[]"));
      database.close();
      const steps = plan.map((row) => String(row[3]));
      expect(steps.some((step) => step.startsWith("LIST SUBQUERY"))).toBe(true);
      expect(steps.some((step) => step.startsWith("CORRELATED"))).toBe(false);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
