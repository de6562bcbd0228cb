// The nodes of a mesh in a real PostgreSQL: who gets which block, what others are told and when, and what becomes of it all when
// the server is killed.
import { expect } from "bun:test";
import { is } from "drizzle-orm";
import { getTableConfig, PgTable } from "drizzle-orm/pg-core";
import * as queries from "../../db/node-queries.ts";
import * as schema from "../../db/node-schema.ts";
import { formatAddress, parseAddress } from "../../src/ip/address.ts";
import { formatPrefix, overlap, type Prefix } from "../../src/ip/prefix.ts";
import type { Presence, Registry, Watcher } from "../../src/mesh/registry.ts";
import { registryOf, subnets } from "../support/mesh-nodes.ts";
import { PASSWORD, PostgresServer, postgres } from "../support/postgres.ts";
import { Sandbox, testWith } from "../support/sandbox.ts";

const text = (blocks: readonly Prefix[]) => blocks.map(formatPrefix).join(" ");

async function join(registry: Registry): Promise<string> {
  return text(await registry.join());
}

/** Returns the nodes as `name: blocks`, those that have left in brackets. */
async function listed(registry: Registry): Promise<string[]> {
  const nodes = await registry.list();
  return nodes.map(({ name, blocks, leftAtMs }) => {
    const line = `${name}: ${text(blocks)}`;
    return leftAtMs === undefined ? line : `(${line})`;
  });
}

function presence(address: string, publicKey?: string): Presence {
  return { address: parseAddress(address), port: 4789, publicKey, hardwareAddress: undefined };
}

async function failure(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "done";
  } catch (error) {
    const told = error instanceof Error ? error : new Error(String(error));
    for (const words of [told.message, told.stack, JSON.stringify(told)])
      expect(words).not.toContain(PASSWORD);
    return told.message;
  }
}

testWith(postgres)(
  "S3-I01 ten nodes that start at once on an empty database have the ten lowest blocks, and keep them",
  async () => {
    await using host = await Sandbox.create();
    await using server = await PostgresServer.start(host);
    const nodes = Array.from({ length: 10 }, (_, index) => registryOf(server, `node${index}`));
    const first = await Promise.all(nodes.map(join));
    const lowest = Array.from({ length: 10 }, (_, index) => `10.244.${index}.0/24`);
    expect(first.toSorted()).toEqual(lowest);
    expect(await Promise.all(nodes.map(join))).toEqual(first);

    // one that leaves keeps its block for the time of grace, and comes back to it
    const [one, two] = nodes as [Registry, Registry];
    await one.leave();
    expect(await join(registryOf(server, "late"))).toBe("10.244.10.0/24");
    expect((await listed(two)).filter((line) => line.startsWith("("))).toEqual([`(node0: ${first[0]})`]);
    expect(await join(one)).toBe(first[0] ?? "");

    // without grace, or after it, the next one gets it; whoever comes back to a block that is given away gets another
    await registryOf(server, "node0", { graceSeconds: 0 }).leave();
    await one.leave();
    expect(await join(registryOf(server, "heir"))).toBe(first[0] ?? "");
    expect(await join(one)).toBe("10.244.11.0/24");
    // one that left and whose block nobody wanted has it still
    await registryOf(server, "heir", { graceSeconds: 0 }).leave();
    expect(await join(registryOf(server, "heir"))).toBe(first[0] ?? "");
    // another mesh in the same store is another one
    expect(await join(registryOf(server, "node0", { network: "other" }))).toBe("10.244.0.0/24");
  },
  60_000,
);

testWith(postgres)(
  "S3-I01 a cluster that is switched on at once: nodes wait for each other longer than an ADD does, in queues that stay short",
  async () => {
    await using host = await Sandbox.create();
    await using server = await PostgresServer.start(host);
    const first = registryOf(server, "first");
    expect(await join(first)).toBe("10.244.0.0/24");
    const nodes = Array.from({ length: 120 }, (_, index) => registryOf(server, `node${index}`));
    const holder = server.client();
    await holder.unsafe("BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('warren/mesh', 0))").simple();
    const joining = Promise.allSettled(nodes.map(join));
    const waiting = "FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    for (let count = 0; count < nodes.length; await Bun.sleep(20)) {
      count = Number((await server.query(`SELECT count(*)::int ${waiting}`)).flat()[0]);
    }
    // whoever waits has the server compare all in its queue with each other
    const longest = await server.query(
      `SELECT count(*)::int ${waiting} GROUP BY classid, objid ORDER BY 1 DESC LIMIT 1`,
    );
    expect(Number(longest.flat()[0])).toBeLessThan(nodes.length / 2);
    // who is in the mesh already waits for nobody
    expect(await join(first)).toBe("10.244.0.0/24");
    // who wants something for a pod is told to try again, and by then they wait still
    expect(await failure(registryOf(server, "other").leave())).toContain(
      "was locked by other nodes for too long",
    );
    await holder.unsafe("COMMIT");
    await holder.close();
    const blocks = (await joining).map((one) => (one.status === "fulfilled" ? one.value : `${one.reason}`));
    const lowest = Array.from({ length: nodes.length }, (_, index) => `10.244.${index + 1}.0/24`);
    expect(new Set(blocks)).toEqual(new Set(lowest));
  },
  120_000,
);

testWith(postgres)(
  "S3-I01 kill -9 of the server amid joins: no block twice, none that was answered lost",
  async () => {
    await using host = await Sandbox.create();
    await using server = await PostgresServer.start(host);
    const first = registryOf(server, "first");
    await first.join();
    const nodes = Array.from({ length: 30 }, (_, index) => registryOf(server, `node${index}`));
    const joining = Promise.allSettled(nodes.map(join));
    for (let some = false; !some; await Bun.sleep(2)) some = (await listed(first)).length > 5;
    await server.end("SIGKILL");
    const outcomes = await joining;
    await server.run();
    expect(outcomes.some(({ status }) => status === "rejected")).toBe(true);
    const again: string[] = [];
    for (const node of nodes) again.push(await join(node));
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.status === "fulfilled") expect(again[index]).toBe(outcome.value);
    }
    // all of them, and each once
    const lowest = Array.from({ length: 31 }, (_, index) => `10.244.${index}.0/24`);
    expect(new Set(["10.244.0.0/24", ...again])).toEqual(new Set(lowest));
  },
  60_000,
);

testWith(postgres)(
  "S3-I02 masks of both families, and nodes that disagree about them are told by name and both values",
  async () => {
    await using host = await Sandbox.create();
    await using server = await PostgresServer.start(host);
    const dual = { clusterCIDRs: subnets("10.1.0.0/16", "fd00:1::/48"), nodeMasks: { 4: 20, 6: 56 } };
    expect(await join(registryOf(server, "a", dual))).toBe("10.1.0.0/20 fd00:1::/56");
    expect(await join(registryOf(server, "b", dual))).toBe("10.1.16.0/20 fd00:1:0:100::/56");
    const had =
      "node a has 10.1.0.0/16 in blocks of /20 and fd00:1::/48 in blocks of /56, carried by vxlan 1, node c has";
    const start = `the nodes of the mesh mesh disagree: ${had}`;
    const wider = { ...dual, nodeMasks: { 4: 24, 6: 56 } };
    expect(await failure(registryOf(server, "c", wider).join())).toBe(
      `${start} 10.1.0.0/16 in blocks of /24 and fd00:1::/48 in blocks of /56, carried by vxlan 1`,
    );
    const other = { ...dual, clusterCIDRs: subnets("10.2.0.0/16") };
    expect(await failure(registryOf(server, "c", other).join())).toStartWith(`${start} 10.2.0.0/16 in`);
    const carrier = { ...dual, backend: "wireguard" } as const;
    expect(await failure(registryOf(server, "c", carrier).join())).toEndWith("carried by wireguard");
    expect(await listed(registryOf(server, "b", dual))).toHaveLength(2);

    // once the others are out of it, one begins anew: blocks of another size are in nobody's way
    await registryOf(server, "b", dual).leave();
    expect(await join(registryOf(server, "a", wider))).toBe("10.1.0.0/24 fd00:1::/56");
    // b's are reserved still
    expect(await join(registryOf(server, "c", wider))).toBe("10.1.1.0/24 fd00:1:0:200::/56");
    expect(await join(registryOf(server, "b", wider))).toBe("10.1.2.0/24 fd00:1:0:100::/56");
    const blocks = (await registryOf(server, "a", wider).list()).flatMap((node) => node.blocks);
    for (const [index, block] of blocks.entries()) {
      expect(blocks.slice(index + 1).some((one) => overlap(block, one))).toBe(false);
    }
  },
  60_000,
);

testWith(postgres)(
  "S3-I03 where no block is left the next node is told so, and nothing else changes",
  async () => {
    await using host = await Sandbox.create();
    await using server = await PostgresServer.start(host);
    const small = { clusterCIDRs: subnets("10.3.0.0/23", "fd00:3::/60"), nodeMasks: { 4: 24, 6: 64 } };
    const [a, b, c] = ["a", "b", "c"].map((name) => registryOf(server, name, small));
    if (a === undefined || b === undefined || c === undefined) throw new Error();
    await a.join();
    await b.join();
    const rows = async () => (await a.list()).map(({ readAtMs: _, heardAtMs: __, ...node }) => node);
    const before = await rows();
    expect(await failure(c.join())).toBe(
      "no block is left for node c of the mesh mesh: 10.3.0.0/23 in blocks of /24 has 2, and other nodes have them all",
    );
    expect(await rows()).toEqual(before);
    expect(await join(a)).toBe("10.3.0.0/24 fd00:3::/64");
    await a.leave();
    expect(await failure(c.join())).toEndWith("have them all, some still reserved for 1 that have left");
    await registryOf(server, "b", { ...small, graceSeconds: 0 }).leave();
    expect(await join(c)).toBe("10.3.1.0/24 fd00:3:0:1::/64");
  },
  60_000,
);

testWith(postgres)(
  "S3-W06 who watches is told of every change and of no heartbeat, and reads only what is new",
  async () => {
    await using host = await Sandbox.create();
    await using server = await PostgresServer.start(host);
    const [a, b] = [registryOf(server, "a"), registryOf(server, "b")];
    await a.join();
    let changes = 0;
    let beats = 0;
    const lost = Promise.withResolvers<string>();
    const watcher: Watcher = {
      changed: () => changes++,
      heard: () => beats++,
      lost: (error) => lost.resolve(error.message),
    };
    const watching = await a.watch(watcher);
    /** Does something, and returns which nodes have changed since, once a beat has come back behind it. */
    let revision = 0;
    const changed = async (work: () => Promise<unknown>): Promise<string> => {
      [changes, beats] = [0, 0];
      await work();
      await a.beat();
      while (beats === 0) await Bun.sleep(1);
      const nodes = await a.list(revision);
      revision = Math.max(revision, ...nodes.map((node) => node.revision));
      return `${changes > 0 ? "told" : "not told"}: ${nodes.map(({ name }) => name).join(" ")}`.trim();
    };
    expect(await changed(async () => undefined)).toBe("not told: a");
    expect(await changed(() => b.join())).toBe("told: b");
    expect(await changed(() => b.join())).toBe("not told:");
    expect(await changed(() => b.announce(presence("192.0.2.2", "B")))).toBe("told: b");
    expect(await changed(() => b.announce(presence("192.0.2.2", "B")))).toBe("not told:");
    expect(await changed(() => b.beat())).toBe("not told:");
    const [, told] = await a.list();
    expect(told).toMatchObject({ name: "b", port: 4789, publicKey: "B", backend: "vxlan" });
    expect(told?.address === undefined ? "" : formatAddress(told.address)).toBe("192.0.2.2");
    // two nodes of one key would be one peer
    expect(await failure(a.announce(presence("192.0.2.1", "B")))).toBe(
      "node b of the mesh mesh has the same public key as node a: B",
    );
    // another mesh in the same store, and another schema of the same database
    expect(await changed(() => registryOf(server, "b", { network: "other" }).join())).toBe("not told:");
    expect(await changed(() => registryOf(server, "b", {}, { schema: "elsewhere" }).join())).toBe(
      "not told:",
    );
    // whoever makes the change, with whatever search path
    const sql = "UPDATE warren.nodes SET port = 99 WHERE network = 'mesh' AND node = 'b'";
    expect(await changed(() => server.query(sql))).toBe("told: b");
    const block = "DELETE FROM warren.node_blocks WHERE network = 'mesh' AND node = 'b'";
    expect(await changed(() => server.query(block))).toBe("told: b");
    expect(await changed(() => b.leave())).toBe("told: b");
    expect(await changed(() => b.leave())).toBe("not told:");
    // whoever has been removed is told so, and nothing is written for it
    expect(await b.announce(presence("192.0.2.2"))).toBe(false);

    await server.end("SIGKILL");
    expect(await lost.promise).toContain("the PostgreSQL database postgres at");
    expect(await failure(a.watch(watcher))).toContain("can't be reached");
    await server.run();
    const again = await a.watch({ ...watcher, lost: () => changes-- });
    expect(await changed(() => b.join())).toBe("told: b");
    again.close();
    watching.close();
    [changes, beats] = [0, 0];
    await registryOf(server, "c").join();
    await a.beat();
    await server.query("SELECT pg_sleep(0.1)");
    expect([changes, beats]).toEqual([0, 0]);
  },
  60_000,
);

testWith(postgres)(
  "the tables of nodes are as db/node-schema.ts describes them, and every query names its columns",
  async () => {
    await using host = await Sandbox.create();
    await using server = await PostgresServer.start(host);
    await registryOf(server, "a").join();
    for (const table of Object.values(schema).filter((one) => is(one, PgTable))) {
      const { name, columns, primaryKeys } = getTableConfig(table);
      const made = await server.query(
        `SELECT column_name, data_type, is_nullable = 'NO' FROM information_schema.columns WHERE table_schema = 'warren' AND table_name = '${name}' ORDER BY ordinal_position`,
      );
      expect(made).toEqual(columns.map((one) => [one.name, one.getSQLType(), one.notNull]));
      const key = await server.query(
        `SELECT a.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k(number, at), pg_attribute a WHERE i.indrelid = 'warren.${name}'::regclass AND i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.at`,
      );
      expect(key.flat()).toEqual(primaryKeys[0]?.columns.map((one) => one.name) ?? []);
    }
    const types: Readonly<Record<string, string>> = {
      first: "bytea",
      address: "bytea",
      port: "int",
      prefixLength: "int",
      revision: "bigint",
      graceMs: "bigint",
      ageMs: "bigint",
    };
    for (const query of Object.values(queries)) {
      const { sql, columns, parameters } = query();
      if (columns.length === 0) continue;
      const text = parameters.reduceRight(
        (all, parameter, index) =>
          all.replace(
            `$${index + 1}`,
            "name" in parameter ? `NULL::${types[parameter.name] ?? "text"}` : String(parameter.value),
          ),
        sql,
      );
      // each row is read by position
      const names = await server.query(
        `SET search_path TO warren; CREATE TEMPORARY VIEW shape AS SELECT * FROM (${text}) AS rows; SELECT attname FROM pg_attribute WHERE attrelid = 'shape'::regclass ORDER BY attnum`,
      );
      const snake = columns.map((one) => one.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
      expect(names.at(-1)).toBeDefined();
      expect(names.flat(2)).toEqual(snake);
    }
  },
  60_000,
);
