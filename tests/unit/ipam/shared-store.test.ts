// What a config may say of a store that nodes share, and what it may not: nothing is connected here.
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { SharedLeases } from "../../../src/ipam/shared-leases.ts";
import { sharedStore } from "../../../src/ipam/shared-store.ts";

const POSTGRES = { host: "db", user: "u", database: "d", nodeName: "node1" };

function refusal(postgres: object): string {
  try {
    sharedStore({ postgres }, "/nowhere");
    return "taken";
  } catch (error) {
    return String(error);
  }
}

test("the sample of the manual is taken, and nothing of it is put together to an address", () => {
  const manual = readFileSync(resolve(import.meta.dir, "../../../docs/postgres.md"), "utf8");
  const [, json = ""] = manual.match(/```json\n([\s\S]*?)```/) ?? [];
  const [plugin] = JSON.parse(json).plugins;
  plugin.ipam.store.postgres.nodeName = "node1";
  const leases = new SharedLeases(plugin.ipam.store, "/nowhere");
  expect(leases.location).toBe("PostgreSQL database network at db.example.net:5432, schema warren");
});

test.each([
  [
    "an IPv6 address",
    { host: "fd00::1", port: 6000 },
    "PostgreSQL database d at [fd00::1]:6000, schema warren",
  ],
  ["a socket", { host: "/run/db" }, "PostgreSQL database d at /run/db, port 5432, schema warren"],
])("%s is a host", (_, more, location) => {
  expect(sharedStore({ postgres: { ...POSTGRES, ...more } }, "/nowhere").location).toBe(location);
});

test.each([
  ["no host", { host: "" }, /host/],
  ["a port that none is", { port: 70_000 }, /port/],
  ["a schema that would need quotes", { schema: 'x"; drop' }, /schema/],
  ["a node that would need quotes", { nodeName: "a'b" }, /nodeName/],
  ["two passwords", { passwordFile: "/a", passwordVariable: "B" }, /both passwordFile and passwordVariable/],
  ["a relative file", { passwordFile: "a" }, /passwordFile/],
  ["a mode of another tool", { tls: { mode: "on" } }, /mode/],
  ["a time-out of nothing", { connectTimeoutSeconds: 0 }, /connectTimeoutSeconds/],
  ["a misspelled key", { pasword: "hidden" }, /pasword/],
  ["a password", { password: "hidden" }, /has a password in it/],
])("%s is refused with its name, and no secret is repeated", (_, more, words) => {
  const told = refusal({ ...POSTGRES, ...more });
  expect(told).toMatch(words);
  expect(told).not.toContain("hidden");
});

test("a node is called as the config says, else the environment, else the machine's id", () => {
  const nodeOf = (more: object) => sharedStore({ postgres: { ...POSTGRES, ...more } }, "/nowhere").node;
  expect(nodeOf({})).toBe("node1");
  process.env.WARREN_NODE = "rack7.node3";
  try {
    expect(nodeOf({})).toBe("node1");
    expect(nodeOf({ nodeName: null })).toBe("rack7.node3");
    process.env.WARREN_NODE = "no name";
    expect(() => nodeOf({ nodeName: null })).toThrow('"no name"');
  } finally {
    delete process.env.WARREN_NODE;
  }
  const machine = ["/etc/machine-id", "/proc/sys/kernel/hostname"].find(
    (file) => existsSync(file) && readFileSync(file, "utf8").trim() !== "",
  );
  expect(nodeOf({ nodeName: null })).toBe(readFileSync(machine ?? "", "utf8").trim());
});
