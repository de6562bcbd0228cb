// Leases on a real store: who gets which address, who keeps it, and what happens to those that nobody can hold any
// more. What a test says about the store it reads from the file itself.
import { expect, setSystemTime, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { CniError } from "../../../src/cni/error.ts";
import { type Address, addressFromBytes, formatAddress, parseAddress } from "../../../src/ip/address.ts";
import { formatPrefix } from "../../../src/ip/prefix.ts";
import {
  countLeases,
  exhaustedSets,
  type LeaseRequest,
  lease,
  leasesOf,
  listStaleLeases,
  release,
} from "../../../src/ipam/leases.ts";
import { assignedPrefix, parseRangeSets } from "../../../src/ipam/pool.ts";
import { holderOf } from "../../../src/ledger/owner.ts";
import type { Transaction } from "../../../src/store/store.ts";
import { ON_NODE, SHARED } from "../../support/engine.ts";
import { TemporaryDirectory } from "../../support/world.ts";

type PoolConfig = Parameters<typeof parseRangeSets>[0];

interface Wish extends Partial<Omit<LeaseRequest, "sets" | "requested">> {
  readonly network?: string;
  readonly ifname?: string;
  readonly netns?: string;
  readonly requested?: readonly string[];
  readonly pod?: string;
}

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`${text} is no address`);
  return parsed;
}

/** A store and a pool, asked the way the plugin asks. */
class Pool extends TemporaryDirectory {
  constructor(readonly config: PoolConfig) {
    super();
  }

  /** Returns the addresses that the container gets, or `code message` where it gets none. */
  async give(containerId: string, wish: Wish = {}): Promise<string> {
    const attachment = { containerId, ifname: wish.ifname ?? "eth0", netns: wish.netns ?? "/nowhere" };
    const args = wish.pod === undefined ? {} : { K8S_POD_NAMESPACE: "default", K8S_POD_NAME: wish.pod };
    try {
      const assignments = await this.store.transaction((store) =>
        lease(store, holderOf(wish.network ?? "lab", attachment, args), {
          sets: parseRangeSets(this.config),
          fixed: wish.fixed ?? [],
          order: wish.order ?? "round-robin",
          cooldownMs: wish.cooldownMs ?? 0,
          requested: (wish.requested ?? []).map(address),
        }),
      );
      return assignments.map((one) => formatPrefix(assignedPrefix(one))).join(" ");
    } catch (error) {
      if (error instanceof CniError) return `${error.code} ${error.message}`;
      throw error;
    }
  }

  async take(containerId: string, wish: Wish = {}): Promise<void> {
    const owner = { network: wish.network ?? "lab", containerId, ifname: wish.ifname ?? "eth0" };
    await this.store.transaction(async (store) => {
      await release(store, owner.network, await leasesOf(store, owner), wish.cooldownMs ?? 0);
    });
  }

  /** Returns the rows as `container interface address`, with `resting` for those that nobody holds. */
  rows(): string[] {
    using database = this.leaseDatabase();
    return database
      .query<{ container_id: string; ifname: string; address: Uint8Array; released_at_ms: number | null }>(
        "SELECT * FROM leases ORDER BY address",
      )
      .all()
      .map(
        (row) =>
          `${row.container_id} ${row.ifname} ${formatAddress(addressFromBytes(row.address))}${row.released_at_ms === null ? "" : " resting"}`,
      );
  }

  /** Makes every lease one of an earlier boot. */
  reboot(): void {
    using database = this.leaseDatabase();
    database.run("UPDATE leases SET boot_id = 'the boot before'");
  }
}

test("X-25 round-robin goes on after the last address given and comes back to a free one at the end", async () => {
  using pool = new Pool({ subnet: "10.1.0.0/29" });
  const given = [];
  for (const one of ["a", "b", "c"]) given.push(await pool.give(one));
  await pool.take("a");
  await pool.take("b");
  for (const one of ["d", "e", "f", "g"]) given.push(await pool.give(one));
  const expected = ["10.1.0.2/29", "10.1.0.3/29", "10.1.0.4/29", "10.1.0.5/29", "10.1.0.6/29", "10.1.0.2/29"];
  expect(given).toEqual([...expected, "10.1.0.3/29"]);
  expect(await pool.give("h")).toBe(
    "101 failed to allocate for range 0: no IP addresses available in range set: 10.1.0.1-10.1.0.6",
  );
  expect(pool.rows()).toHaveLength(5);
});

test("X-25 the order lowest gives the lowest free address every time", async () => {
  using pool = new Pool({ subnet: "10.1.0.0/24" });
  for (const one of ["a", "b", "c"]) await pool.give(one, { order: "lowest" });
  await pool.take("b");
  expect(await pool.give("d", { order: "lowest" })).toBe("10.1.0.3/24");
  expect(await pool.give("e", { order: "lowest" })).toBe("10.1.0.5/24");
});

test("S0-12 an address that somebody holds is refused with code 100, naming the holder, and nothing is stored", async () => {
  using pool = new Pool({ subnet: "10.1.0.0/24" });
  await pool.give("a", { requested: ["10.1.0.7"], pod: "web-1" });
  expect(await pool.give("b", { requested: ["10.1.0.7"] })).toBe(
    `100 failed to allocate for range 0: requested IP address 10.1.0.7 is not available in range set 10.1.0.1-10.1.0.254: it is held by container a of pod default/web-1, interface eth0${ON_NODE}`,
  );
  expect(pool.rows()).toEqual(["a eth0 10.1.0.7"]);
});

test("S0-12 an ADD of two addresses of which one is held stores neither", async () => {
  using pool = new Pool({ ranges: [[{ subnet: "10.1.0.0/24" }], [{ subnet: "fd00::/64" }]] });
  await pool.give("a", { requested: ["fd00::7"] });
  const before = pool.rows();
  expect(await pool.give("b", { requested: ["fd00::7"] })).toStartWith(
    "100 failed to allocate for range 1: requested IP address fd00::7",
  );
  expect(pool.rows()).toEqual(before);
  // the address of the set before was not used up either
  expect(await pool.give("c")).toBe("10.1.0.3/24 fd00::2/64");
});

test("S0-13 a repeated ADD gets the same address and no second row; asking for another one is refused", async () => {
  using pool = new Pool({ subnet: "10.1.0.0/24" });
  const first = await pool.give("a");
  await pool.give("b");
  expect(await pool.give("a")).toBe(first);
  expect(await pool.give("a", { requested: ["10.1.0.2"] })).toBe(first);
  expect(await pool.give("a", { requested: ["10.1.0.9"] })).toBe(
    "100 requested ip 10.1.0.9: container a, interface eth0 holds 10.1.0.2 already",
  );
  expect(pool.rows()).toEqual(["a eth0 10.1.0.2", "b eth0 10.1.0.3"]);
});

test.each<[requested: string, answer: string]>([
  [
    "10.1.0.0",
    "7 failed to allocate for range 0: requested ip 10.1.0.0 is the network address of 10.1.0.0/24",
  ],
  ["10.1.0.255", "7 failed to allocate all requested IPs: 10.1.0.255"],
  ["10.1.0.1", "7 failed to allocate for range 0: requested ip 10.1.0.1 is subnet's gateway"],
  ["10.1.0.77", "7 failed to allocate for range 0: requested ip 10.1.0.77 is excluded by the config"],
  ["10.2.0.5", "7 failed to allocate all requested IPs: 10.2.0.5"],
  ["fd00::5", "7 failed to allocate all requested IPs: fd00::5"],
])("S0-14 the request of %s is refused with its value, and nothing is stored", async (requested, answer) => {
  using pool = new Pool({ subnet: "10.1.0.0/24", rangeStart: "10.1.0.0", exclude: ["10.1.0.64/28"] });
  expect(await pool.give("a", { requested: [requested] })).toBe(answer);
  expect(pool.rows()).toEqual([]);
});

test("S0-14 the broadcast address within a range is called by its name", async () => {
  using pool = new Pool({ subnet: "10.1.0.0/24", rangeEnd: "10.1.0.255" });
  expect(await pool.give("a", { requested: ["10.1.0.255"] })).toBe(
    "7 failed to allocate for range 0: requested ip 10.1.0.255 is the broadcast address of 10.1.0.0/24",
  );
});

test("S0-14 two addresses out of one set are one too many", async () => {
  using pool = new Pool({ subnet: "10.1.0.0/24" });
  expect(await pool.give("a", { requested: ["10.1.0.5", "10.1.0.6"] })).toBe(
    "7 failed to allocate all requested IPs: 10.1.0.6",
  );
  expect(pool.rows()).toEqual([]);
});

test("S0-22 what is stale is told by pairs: (a-b, c) stays when (a, b-c) goes", async () => {
  using pool = new Pool({ subnet: "10.1.0.0/24" });
  await pool.give("a-b", { ifname: "c" });
  await pool.give("a", { ifname: "b-c" });
  await pool.give("a", { ifname: "b-c", network: "other" });
  const stale = await pool.store.transaction((store) =>
    listStaleLeases(store, "lab", [{ containerId: "a-b", ifname: "c" }]),
  );
  expect(stale.map(({ network, containerId, ifname }) => [network, containerId, ifname])).toEqual([
    ["lab", "a", "b-c"],
  ]);
});

test("S0-27 two interfaces of a container, each with two families, hold four addresses and release two at a time", async () => {
  using pool = new Pool({ ranges: [[{ subnet: "10.1.0.0/24" }], [{ subnet: "fd00::/64" }]] });
  expect(await pool.give("a")).toBe("10.1.0.2/24 fd00::2/64");
  expect(await pool.give("a", { ifname: "eth1" })).toBe("10.1.0.3/24 fd00::3/64");
  expect(await pool.give("a")).toBe("10.1.0.2/24 fd00::2/64");
  await pool.take("a");
  expect(pool.rows()).toEqual(["a eth1 10.1.0.3", "a eth1 fd00::3"]);
  expect(await pool.store.transaction((store) => countLeases(store, "lab"))).toBe(2);
});

test("two networks may give the same address", async () => {
  using pool = new Pool({ subnet: "10.1.0.0/24" });
  expect(await pool.give("a", { network: "one" })).toBe(await pool.give("a", { network: "two" }));
});

test("two sets in one subnet go round separately", async () => {
  using pool = new Pool({
    ranges: [
      [{ subnet: "10.1.0.0/24", rangeEnd: "10.1.0.99" }],
      [{ subnet: "10.1.0.0/24", rangeStart: "10.1.0.100" }],
    ],
  });
  expect(await pool.give("a")).toBe("10.1.0.2/24 10.1.0.100/24");
  await pool.take("a");
  expect(await pool.give("b")).toBe("10.1.0.3/24 10.1.0.101/24");
});

test("a released address rests for the cooldown, and yields before its time only when nothing else is left", async () => {
  using pool = new Pool({ subnet: "10.1.0.0/29" });
  const hour = { cooldownMs: 3_600_000 };
  const [first, second, third, fourth, fifth] = ["a", "b", "c", "d", "e"];
  for (const one of [first, second, third, fourth]) await pool.give(one ?? "", hour);
  await pool.take("b", hour);
  await Bun.sleep(2);
  await pool.take("a", hour);
  expect(pool.rows().filter((row) => row.endsWith("resting"))).toHaveLength(2);
  expect(await pool.give(fifth ?? "", hour)).toBe("10.1.0.6/29");
  // nothing but resting ones is left: the one that has rested the longest goes first
  expect(
    await pool.store.transaction((store) => exhaustedSets(store, "lab", parseRangeSets(pool.config))),
  ).toEqual([]);
  expect(await pool.give("f", hour)).toBe("10.1.0.3/29");
  expect(await pool.give("g", hour)).toBe("10.1.0.2/29");
  expect(await pool.give("h", hour)).toStartWith("101 ");
  expect(pool.rows().some((row) => row.endsWith("resting"))).toBeFalse();
});

test("a clock that is put back by a year makes an address rest for the cooldown, not for the year", async () => {
  using pool = new Pool({ subnet: "10.1.0.0/29" });
  await pool.give("a");
  const year = 365 * 86_400_000;
  setSystemTime(new Date(Date.now() + year));
  try {
    await pool.take("a", { cooldownMs: 60_000 });
  } finally {
    setSystemTime();
  }
  // it rests, whatever the clock said when it was released
  expect(await pool.give("b", { cooldownMs: 60_000, order: "lowest" })).toBe("10.1.0.3/29");
  setSystemTime(new Date(Date.now() + 61_000));
  try {
    expect(await pool.give("c", { cooldownMs: 60_000, order: "lowest" })).toBe("10.1.0.2/29");
  } finally {
    setSystemTime();
  }
});

test("without a cooldown nothing rests, whatever the clock said when it was released", async () => {
  using pool = new Pool({ subnet: "10.1.0.0/29" });
  await pool.give("a");
  setSystemTime(new Date(Date.now() + 3_600_000));
  try {
    await pool.take("a", { cooldownMs: 60_000 });
  } finally {
    setSystemTime();
  }
  expect(await pool.give("b", { order: "lowest" })).toBe("10.1.0.2/29");
});

test("a resting address may be asked for by name, and one whose time is over is free", async () => {
  using pool = new Pool({ subnet: "10.1.0.0/29" });
  await pool.give("a");
  await pool.take("a", { cooldownMs: 3_600_000 });
  expect(await pool.give("b", { requested: ["10.1.0.2"], cooldownMs: 3_600_000 })).toBe("10.1.0.2/29");
  await pool.take("b", { cooldownMs: 3_600_000 });
  expect(await pool.give("c", { order: "lowest" })).toBe("10.1.0.2/29");
});

test("after a reboot a lease whose namespace is gone yields when the pool is empty or it is asked for, and not before", async () => {
  using pool = new Pool({ subnet: "10.1.0.0/29" });
  const alive = join(pool.path, "netns");
  writeFileSync(alive, "");
  await pool.give("alive", { netns: alive });
  for (const one of ["b", "c", "d"]) await pool.give(one, { netns: "/nowhere" });
  pool.reboot();
  expect(await pool.give("new1")).toBe("10.1.0.6/29");
  expect(pool.rows()).toHaveLength(5);
  expect(
    await pool.store.transaction((store) => exhaustedSets(store, "lab", parseRangeSets(pool.config))),
  ).toEqual([]);
  expect(await pool.give("new2", { requested: ["10.1.0.4"] })).toBe("10.1.0.4/29");
  // a living one keeps its address even if it is older than the boot
  expect(await pool.give("new3", { requested: ["10.1.0.2"] })).toStartWith("100 ");
  expect(await pool.give("new4")).toBe("10.1.0.3/29");
  expect(pool.rows()).toEqual([
    "alive eth0 10.1.0.2",
    "new4 eth0 10.1.0.3",
    "new2 eth0 10.1.0.4",
    "new1 eth0 10.1.0.6",
  ]);
});

test("an attachment that is added again after a reboot keeps its address, and nobody takes it for dead", async () => {
  using pool = new Pool({ subnet: "10.1.0.4/31" });
  const netns = join(pool.path, "netns");
  for (const one of ["a", "b"]) await pool.give(one, { netns });
  pool.reboot();
  rmSync(netns, { force: true });
  writeFileSync(netns, "");
  expect(await pool.give("a", { netns })).toBe("10.1.0.4/31");
  rmSync(netns);
  expect(await pool.give("c")).toBe("10.1.0.5/31");
  expect(await pool.give("d")).toStartWith("101 ");
  expect(pool.rows()).toEqual(["a eth0 10.1.0.4", "c eth0 10.1.0.5"]);
});

test("a lease of this boot never yields, also if its namespace is gone", async () => {
  using pool = new Pool({ subnet: "10.1.0.4/31" });
  await pool.give("a");
  await pool.give("b");
  expect(await pool.give("c")).toStartWith("101 ");
  expect(
    await pool.store.transaction((store) => exhaustedSets(store, "lab", parseRangeSets(pool.config))),
  ).toHaveLength(1);
});

test("whatever is given, released and left to rest: no address has two holders, and the runs are the rows", async () => {
  const step = fc.record({
    who: fc.integer({ min: 0, max: 9 }),
    gives: fc.boolean(),
    cooldownMs: fc.constantFrom(0, 3_600_000),
    wish: fc.option(fc.integer({ min: 0, max: 15 }), { nil: undefined }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      using pool = new Pool({
        ranges: [[{ subnet: "10.1.0.0/29" }, { subnet: "10.1.0.8/30" }]],
        exclude: ["10.1.0.4"],
      });
      await pool.give("first");
      const held = new Map([["first", "10.1.0.2"]]);
      for (const { who, gives, cooldownMs, wish } of steps) {
        const id = `c${who}`;
        if (!gives) {
          await pool.take(id, { cooldownMs });
          held.delete(id);
          continue;
        }
        const requested = wish === undefined ? [] : [`10.1.0.${wish}`];
        const answer = await pool.give(id, { cooldownMs, requested });
        const [given = ""] = answer.split("/");
        if (!answer.includes("/")) {
          // five addresses are there to give: refusal without a wish means that all are held
          if (wish === undefined) expect(held.size).toBe(5);
          continue;
        }
        expect(held.get(id) ?? given).toBe(given);
        held.set(id, given);
        expect(new Set(held.values()).size).toBe(held.size);
      }
      using database = pool.leaseDatabase();
      const rows = database
        .query<{ address: Uint8Array }>("SELECT address FROM leases ORDER BY address")
        .all()
        .map(({ address }) => addressFromBytes(address).value);
      const runs = database
        .query<{ first: Uint8Array; last: Uint8Array }>("SELECT first, last FROM runs ORDER BY first")
        .all()
        .map(({ first, last }) => [addressFromBytes(first).value, addressFromBytes(last).value] as const);
      const spelled = runs.flatMap(([first, last]) =>
        [...Array(Number(last - first) + 1).keys()].map((offset) => first + BigInt(offset)),
      );
      expect(spelled).toEqual(rows);
      for (const [index, [first]] of runs.entries()) expect(first - 1n).not.toBe(runs[index - 1]?.[1] ?? -1n);
    }),
    { numRuns: SHARED === undefined ? 40 : 6 },
  );
}, 30_000);

/** Returns a transaction that counts its queries, and the count. */
function counting(store: Transaction): { readonly transaction: Transaction; readonly count: () => number } {
  let queries = 0;
  const counted =
    <Arguments extends unknown[], Result>(query: (...given: Arguments) => Result) =>
    (...given: Arguments) => {
      queries++;
      return query(...given);
    };
  return {
    transaction: {
      location: store.location,
      isShared: store.isShared,
      all: counted(store.all.bind(store)) as Transaction["all"],
      first: counted(store.first.bind(store)) as Transaction["first"],
      run: counted(store.run.bind(store)) as Transaction["run"],
    },
    count: () => queries,
  };
}

test.each([0, 3_600_000])(
  "releasing 200 leases takes as many queries as releasing two (cooldown %d ms)",
  async (cooldownMs) => {
    using pool = new Pool({ subnet: "10.1.0.0/22" });
    const counts: number[] = [];
    for (const many of [2, 200]) {
      for (let at = 0; at < many; at++) await pool.give(`c${at}`);
      await pool.store.transaction(async (store) => {
        const { transaction, count } = counting(store);
        const stale = await listStaleLeases(transaction, "lab", [{ containerId: "c1", ifname: "eth0" }]);
        await release(transaction, "lab", stale, cooldownMs);
        counts.push(count());
      });
      expect(pool.rows().filter((row) => !row.endsWith("resting"))).toHaveLength(1);
    }
    expect(counts[1]).toBe(counts[0] ?? 0);
  },
);
