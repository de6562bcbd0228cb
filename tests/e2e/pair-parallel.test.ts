// Many pods that are wired to each other at once, come and go at once, and are collected meanwhile: no number is given
// twice, no link is made by half, and nothing is left in the end.
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { type Config, call, PLUGIN_FOLDER, succeed, variables } from "../support/plugins.ts";
import { Sandbox, WARREN } from "../support/sandbox.ts";
import type { SwarmCall, SwarmOutcome } from "../support/swarm.ts";
import { swarm } from "../support/swarming.ts";

const COUNT = 100;

function network(sandbox: Sandbox, more: Config = {}): Config {
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-pair",
    dataDir: `${sandbox.directory}/store`,
    boot_network: { type: "warren-loopback" },
    ...more,
  };
}

function labels(side: "primary" | "pair", number: number): Config {
  if (side === "pair") return { "warren.pair": "", "warren.pair.pod_name": `pair-${number}` };
  const [high, low] = [number >> 6, (number & 63) * 4];
  return {
    "warren.pair": "",
    "warren.pair.pod_name": `primary-${number}`,
    "warren.pair.primary": "true",
    "warren.pair.local_ip": `10.9.${high}.${low + 1}/30`,
    "warren.pair.local_ifname": `a${number}`,
    "warren.pair.pair_name": `pair-${number}`,
    "warren.pair.pair_ip": `10.9.${high}.${low + 2}/30`,
    "warren.pair.pair_ifname": `b${number}`,
  };
}

/** All primaries live in one namespace and all pairs in another: what is asked here is whether links get mixed up. */
function swarmCall(sandbox: Sandbox, verb: string, side: "primary" | "pair", number: number): SwarmCall {
  const target = { containerId: `${side}-${number}`, netns: side };
  const config = network(sandbox, { args: { cni: { labels: labels(side, number) } } });
  return {
    executable: `${PLUGIN_FOLDER}/warren-pair`,
    env: variables(verb, target),
    stdin: JSON.stringify(config),
  };
}

function numbers(count = COUNT): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

function failures(outcomes: readonly SwarmOutcome[]): string[] {
  return outcomes.filter(({ exitCode }) => exitCode !== 0).map(({ stdout, stderr }) => stdout + stderr);
}

function rows(sandbox: Sandbox, table: string): Record<string, unknown>[] {
  using database = new Database(`${sandbox.directory}/store/warren.db`, { readonly: true });
  return database.query(`SELECT * FROM ${table}`).all() as Record<string, unknown>[];
}

async function linksIn(sandbox: Sandbox, netns: string): Promise<{ ifname: string; operstate: string }[]> {
  const all = (await sandbox.json(["ip", "-n", netns, "-j", "link"])) as {
    ifname: string;
    operstate: string;
  }[];
  return all.filter(({ ifname }) => ifname !== "lo");
}

async function host(): Promise<Sandbox> {
  const sandbox = await Sandbox.create();
  for (const name of ["primary", "pair"]) await sandbox.addNetns(name);
  return sandbox;
}

async function nothingIsLeft(sandbox: Sandbox): Promise<void> {
  for (const table of ["pair_pods", "pair_links", "pair_ends", "attachments", "objects"]) {
    expect(rows(sandbox, table)).toEqual([]);
  }
  for (const netns of ["primary", "pair"]) expect(await linksIn(sandbox, netns)).toEqual([]);
}

test("S1-09 100 parallel primaries get 100 VNIs from 11 on, which DEL frees; none left is a clean error", async () => {
  await using sandbox = await host();
  const calls = numbers().map((number) => swarmCall(sandbox, "ADD", "primary", number));
  expect(failures(await swarm(sandbox, { calls, width: COUNT }))).toEqual([]);
  const vnis = rows(sandbox, "pair_links").map(({ vni }) => Number(vni));
  expect(vnis.sort((left, right) => left - right)).toEqual(numbers().map((number) => number + 11));
  const ends = numbers().map((number) => swarmCall(sandbox, "DEL", "primary", number));
  expect(failures(await swarm(sandbox, { calls: ends, width: COUNT }))).toEqual([]);
  await nothingIsLeft(sandbox);

  const add = (number: number) =>
    call(
      sandbox,
      "ADD",
      network(sandbox, {
        vniRange: { first: 50, last: 51 },
        args: { cni: { labels: labels("primary", number) } },
      }),
      { containerId: `primary-${number}`, netns: "primary" },
    );
  expect([(await add(0)).exitCode, (await add(1)).exitCode]).toEqual([0, 0]);
  const before = rows(sandbox, "pair_links");
  const { document } = await add(2);
  expect(document).toMatchObject({
    code: 101,
    msg: 'no VNI is left for the link of "primary-2" and "pair-2": all from 50 to 51 are taken',
  });
  expect(rows(sandbox, "pair_links")).toEqual(before);
  await succeed(sandbox, "DEL", network(sandbox), { containerId: "primary-0", netns: "primary" });
  expect((await add(2)).exitCode).toBe(0);
  expect(rows(sandbox, "pair_links").map(({ vni }) => vni)).toEqual([51, 50]);
}, 60_000);

test("100 pairs whose pods come at the same time, in any order, are 100 links", async () => {
  await using sandbox = await host();
  const both = numbers().flatMap((number) => [
    swarmCall(sandbox, "ADD", number % 2 === 0 ? "primary" : "pair", number),
    swarmCall(sandbox, "ADD", number % 2 === 0 ? "pair" : "primary", number),
  ]);
  expect(failures(await swarm(sandbox, { calls: both, width: 40 }))).toEqual([]);
  for (const [netns, letter] of [
    ["primary", "a"],
    ["pair", "b"],
  ] as const) {
    const links = await linksIn(sandbox, netns);
    expect(links.map(({ ifname }) => ifname).sort()).toEqual(
      numbers()
        .map((number) => `${letter}${number}`)
        .sort(),
    );
    expect(links.every(({ operstate }) => operstate === "UP")).toBe(true);
  }
  const shown = (await sandbox.json([
    WARREN,
    "links",
    "--json",
    "--data-dir",
    `${sandbox.directory}/store`,
  ])) as {
    state: string;
  }[];
  expect(shown.filter(({ state }) => state === "up")).toHaveLength(COUNT);
  await succeed(sandbox, "GC", network(sandbox, { "cni.dev/valid-attachments": [] }));
  await nothingIsLeft(sandbox);
}, 60_000);

test("ADD, DEL and GC of the same pods race: whoever loses says so, and one GC leaves nothing", async () => {
  await using sandbox = await host();
  const count = 9;
  const gc: SwarmCall = {
    executable: `${PLUGIN_FOLDER}/warren-pair`,
    env: variables("GC"),
    stdin: JSON.stringify(
      network(sandbox, {
        "cni.dev/valid-attachments": numbers(count / 2).flatMap((number) => [
          { containerID: `primary-${number}`, ifname: "eth0" },
          { containerID: `pair-${number}`, ifname: "eth0" },
        ]),
      }),
    ),
  };
  const round = numbers(count).flatMap((number) => [
    swarmCall(sandbox, "ADD", "primary", number),
    swarmCall(sandbox, "ADD", "pair", number),
    ...(number % 3 === 0 ? [gc] : []),
    swarmCall(sandbox, "DEL", number % 2 === 0 ? "primary" : "pair", number),
  ]);
  const outcomes = await swarm(sandbox, { calls: [...round, ...round], width: 12 });
  const told = failures(outcomes).map((text) => text.replaceAll("\n", " "));
  // alive already, or deleted while it was added
  expect(told.filter((text) => !/"code": (102|11),/.test(text))).toEqual([]);
  await succeed(sandbox, "GC", network(sandbox, { "cni.dev/valid-attachments": [] }));
  await nothingIsLeft(sandbox);
}, 60_000);
