// Many processes at once, and processes that die at any moment: nobody gets another one's address, nobody fails
// because somebody else is at work, and one GC clears up after all that died.
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import {
  type Config,
  leases,
  linkNames,
  PLUGIN_FOLDER,
  ruleset,
  succeed,
  variables,
} from "../support/plugins.ts";
import { Sandbox } from "../support/sandbox.ts";
import type { SwarmCall } from "../support/swarm.ts";
import { swarm } from "../support/swarming.ts";

function network(sandbox: Sandbox, subnet = "10.88.0.0/16"): Config {
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-bridge",
    bridge: "br0",
    isGateway: true,
    ipMasq: true,
    ipam: { type: "warren-ipam", dataDir: `${sandbox.directory}/store`, subnet },
  };
}

function add(config: Config, number: number, more: Partial<SwarmCall> = {}): SwarmCall {
  const target = { containerId: `pod-${number}`, netns: "pod", ifname: `net${number}` };
  return {
    executable: `${PLUGIN_FOLDER}/warren-bridge`,
    env: variables("ADD", target),
    stdin: JSON.stringify(config),
    ...more,
  };
}

function checkStore(sandbox: Sandbox): { readonly leases: number; readonly attachments: number } {
  const database = new Database(`${sandbox.directory}/store/warren.db`);
  try {
    expect(database.query("PRAGMA integrity_check").values()).toEqual([["ok"]]);
    const duplicates = database
      .query("SELECT address FROM leases GROUP BY network, address HAVING count(*) > 1")
      .values();
    expect(duplicates).toEqual([]);
    // a lease without its attachment, or the reverse, would be half of an ADD
    const halves = database
      .query(
        "SELECT container_id, ifname FROM leases EXCEPT SELECT container_id, ifname FROM attachments" +
          " UNION ALL SELECT * FROM (SELECT container_id, ifname FROM attachments EXCEPT SELECT container_id, ifname FROM leases)",
      )
      .values();
    expect(halves).toEqual([]);
    const count = (table: string) => Number(database.query(`SELECT count(*) FROM ${table}`).values()[0]?.[0]);
    return { leases: count("leases"), attachments: count("attachments") };
  } finally {
    database.close();
  }
}

describe("at once", () => {
  test("X-20 64 first ADDs in parallel, on a host where nothing is there yet, get 64 distinct addresses", async () => {
    await using sandbox = await Sandbox.create();
    await sandbox.addNetns("pod");
    const config = network(sandbox);
    const calls = Array.from({ length: 64 }, (_, number) => add(config, number));
    const outcomes = await swarm(sandbox, { calls, width: 64 });
    expect(
      outcomes.filter(({ exitCode }) => exitCode !== 0).map(({ stdout, stderr }) => stdout + stderr),
    ).toEqual([]);
    const addresses = outcomes.map(({ stdout }) => JSON.parse(stdout).ips[0].address);
    expect(new Set(addresses).size).toBe(64);
    expect(checkStore(sandbox)).toEqual({ leases: 64, attachments: 64 });
    // one masquerade rule, although all of them were first
    expect((await ruleset(sandbox)).match(/masquerade$/gm)).toHaveLength(1);
    const links = await linkNames(sandbox);
    expect(links.filter((name) => name.startsWith("veth"))).toHaveLength(64);
  }, 60_000);

  test("parallel ADDs that want one address: one has it, the others are told who", async () => {
    await using sandbox = await Sandbox.create();
    await sandbox.addNetns("pod");
    const config = { ...network(sandbox), runtimeConfig: { ips: ["10.88.0.7"] } };
    const calls = Array.from({ length: 12 }, (_, number) => add(config, number));
    const outcomes = await swarm(sandbox, { calls, width: 12 });
    const [winner] = outcomes.filter(({ exitCode }) => exitCode === 0);
    expect(outcomes.filter(({ exitCode }) => exitCode === 0)).toHaveLength(1);
    expect(JSON.parse(winner?.stdout ?? "").ips[0].address).toBe("10.88.0.7/16");
    const [holder] = await leases(sandbox, `${sandbox.directory}/store`);
    for (const { exitCode, stdout } of outcomes) {
      if (exitCode === 0) continue;
      expect(JSON.parse(stdout)).toMatchObject({
        code: 100,
        msg: expect.stringContaining(`held by container ${holder?.container}`),
      });
    }
    expect(checkStore(sandbox)).toEqual({ leases: 1, attachments: 1 });
  }, 60_000);
});

describe("at random moments", () => {
  test("X-23 kill -9 over 1,000 ADDs leaves a sound store, and one GC leaves nothing", async () => {
    await using sandbox = await Sandbox.create();
    await sandbox.addNetns("pod");
    const config = network(sandbox);
    const calls = Array.from({ length: 1000 }, (_, number) =>
      // one in five is left alone, and sets the pace at which the others are killed
      add(config, number, number % 5 === 0 ? {} : { killAfterShare: Math.random() * 1.2 }),
    );
    const outcomes = await swarm(sandbox, { calls, width: 4 });
    const killed = outcomes.filter((outcome) => outcome.killed).length;
    const failed = outcomes.filter((outcome) => !outcome.killed && outcome.exitCode !== 0);
    expect(failed.map(({ stdout, stderr }) => stdout + stderr)).toEqual([]);
    // both kinds must have happened, or nothing was shown
    expect(killed).toBeGreaterThan(100);
    expect(outcomes.length - killed).toBeGreaterThanOrEqual(200);

    const before = checkStore(sandbox);
    // what was answered is there: an acknowledged address is never lost
    const held = new Set((await leases(sandbox, `${sandbox.directory}/store`)).map(({ address }) => address));
    for (const { exitCode, stdout } of outcomes) {
      if (exitCode === 0) expect(held).toContain(JSON.parse(stdout).ips[0].address);
    }
    expect(before.leases).toBeGreaterThanOrEqual(outcomes.length - killed);
    await succeed(sandbox, "GC", { ...config, "cni.dev/valid-attachments": [] });
    expect(checkStore(sandbox)).toEqual({ leases: 0, attachments: 0 });
    expect(await linkNames(sandbox)).toEqual(["br0"]);
    expect(await ruleset(sandbox)).toBe("");
    const inside = await sandbox.inNetns("pod", ["ip", "-json", "link"]);
    expect(JSON.parse(inside.stdout)).toHaveLength(1);
    // and the next ADD works
    await succeed(sandbox, "ADD", config, { containerId: "after", netns: "pod" });
  }, 120_000);
});
