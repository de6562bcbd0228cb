// Pools without a store: what configs may say about ranges, and the choice of an address against a model that
// enumerates, which the real one must never do.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { CniError } from "../../../src/cni/error.ts";
import { type Address, addressAfter, formatAddress, parseAddress } from "../../../src/ip/address.ts";
import { lastAddress } from "../../../src/ip/prefix.ts";
import {
  chooseAddress,
  describeRangeSet,
  type Holdings,
  parseRangeSets,
  poolName,
  type RangeSet,
} from "../../../src/ipam/pool.ts";

type PoolConfig = Parameters<typeof parseRangeSets>[0];

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`${text} is no address`);
  return parsed;
}

/** Held addresses as runs, found by asking the set itself about neighbours. */
function holdingsOf(held: ReadonlySet<string>): Holdings & { questions: number } {
  return {
    questions: 0,
    async endOfRun(asked) {
      this.questions++;
      let end: Address | undefined;
      for (
        let next: Address | undefined = asked;
        next !== undefined && held.has(formatAddress(next));
        next = addressAfter(next)
      ) {
        end = next;
      }
      return end;
    },
  };
}

const NOTHING: Holdings = { endOfRun: async () => undefined };

async function choose(config: PoolConfig, after?: string, holdings = NOTHING): Promise<string | undefined> {
  const [set] = parseRangeSets(config);
  if (set === undefined) throw new Error("no set");
  const chosen = await chooseAddress(set, after === undefined ? undefined : address(after), holdings);
  return chosen === undefined ? undefined : formatAddress(chosen.address);
}

test.each<[name: string, config: PoolConfig, message: string]>([
  ["a start without a subnet", { rangeStart: "10.1.0.5" }, 'ipam: rangeStart is "10.1.0.5" without a subnet'],
  ["an end without a subnet", { rangeEnd: "10.1.0.5" }, 'ipam: rangeEnd is "10.1.0.5" without a subnet'],
  ["a gateway without a subnet", { gateway: "10.1.0.1" }, 'ipam: gateway is "10.1.0.1" without a subnet'],
  ["an empty set", { ranges: [[]] }, "invalid range set 0: empty range set"],
  [
    "a range without a subnet",
    { ranges: [[{ subnet: "10.1.0.0/24" }], [{ rangeStart: "10.2.0.1" }]] },
    "invalid range set 1: a range has no subnet",
  ],
  [
    "a subnet without length",
    { subnet: "10.1.0.0" },
    'invalid range set 0: subnet "10.1.0.0" is not in CIDR notation',
  ],
  [
    "a subnet too long",
    { subnet: "10.1.0.0/33" },
    'invalid range set 0: subnet "10.1.0.0/33" is not in CIDR notation',
  ],
  [
    "host bits in a subnet",
    { subnet: "10.1.0.7/24" },
    "invalid range set 0: Network has host bits set. For a subnet mask of length 24 the network address is 10.1.0.0",
  ],
  [
    "a start outside",
    { subnet: "10.1.0.0/24", rangeStart: "10.1.1.5" },
    "invalid range set 0: RangeStart 10.1.1.5 not in network 10.1.0.0/24",
  ],
  [
    "an end of the other family",
    { subnet: "10.1.0.0/24", rangeEnd: "fd00::5" },
    "invalid range set 0: RangeEnd fd00::5 not in network 10.1.0.0/24",
  ],
  [
    "a start that is no address",
    { subnet: "10.1.0.0/24", rangeStart: "ten" },
    'invalid range set 0: RangeStart "ten" is not an IP address',
  ],
  [
    "a start after the end",
    { subnet: "10.1.0.0/24", rangeStart: "10.1.0.9", rangeEnd: "10.1.0.5" },
    "invalid range set 0: RangeStart 10.1.0.9 not in network 10.1.0.0/24: RangeStart 10.1.0.9 is after RangeEnd 10.1.0.5",
  ],
  [
    "a gateway that is no address",
    { subnet: "10.1.0.0/24", gateway: "10.1.0.1/24" },
    'invalid range set 0: gateway "10.1.0.1/24" is not an IP address',
  ],
  [
    "a gateway of the other family",
    { subnet: "10.1.0.0/24", gateway: "fd00::1" },
    "invalid range set 0: gateway fd00::1 is not of the family of 10.1.0.0/24",
  ],
  [
    "two families in a set",
    { ranges: [[{ subnet: "10.1.0.0/24" }, { subnet: "fd00::/64" }]] },
    "invalid range set 0: mixed address families: 10.1.0.0/24 and fd00::/64",
  ],
  [
    "ranges of a set that overlap",
    { ranges: [[{ subnet: "10.1.0.0/24" }, { subnet: "10.1.0.128/25" }]] },
    "invalid range set 0: subnets 10.1.0.1-10.1.0.254 and 10.1.0.129-10.1.0.254 overlap",
  ],
  [
    "sets that overlap",
    { subnet: "10.1.0.0/24", ranges: [[{ subnet: "10.2.0.0/24" }], [{ subnet: "10.1.0.0/16" }]] },
    "range set 0 overlaps with 2",
  ],
  [
    "an exclusion that is no address",
    { subnet: "10.1.0.0/24", exclude: ["x"] },
    'exclude "x" is not an address',
  ],
  [
    "an exclusion too long",
    { subnet: "10.1.0.0/24", exclude: ["10.1.0.0/33"] },
    'exclude "10.1.0.0/33" is not an address',
  ],
  [
    "an exclusion that runs backwards",
    { subnet: "10.1.0.0/24", exclude: ["10.1.0.9-10.1.0.5"] },
    'exclude "10.1.0.9-10.1.0.5" is no span',
  ],
  [
    "an exclusion across families",
    { subnet: "10.1.0.0/24", exclude: ["10.1.0.9-fd00::1"] },
    'exclude "10.1.0.9-fd00::1" is no span',
  ],
  ["half an exclusion", { subnet: "10.1.0.0/24", exclude: ["10.1.0.9-"] }, 'exclude "" is not an IP address'],
])("%s is refused with code 7", (_name, config, message) => {
  let refusal: unknown;
  try {
    parseRangeSets(config);
  } catch (error) {
    refusal = error;
  }
  expect(refusal).toBeInstanceOf(CniError);
  expect(refusal).toMatchObject({ code: 7, message });
  // every refusal says what would be right
  expect(refusal instanceof CniError && refusal.details !== "").toBeTrue();
});

test.each<[subnet: string, addresses: string[]]>([
  ["10.1.0.4/32", ["10.1.0.4"]],
  ["10.1.0.4/31", ["10.1.0.4", "10.1.0.5"]],
  ["10.1.0.4/30", ["10.1.0.6"]],
  ["10.1.0.8/29", ["10.1.0.10", "10.1.0.11", "10.1.0.12", "10.1.0.13", "10.1.0.14"]],
  ["fd00::4/128", ["fd00::4"]],
  ["fd00::4/127", ["fd00::4", "fd00::5"]],
  ["fd00::4/126", ["fd00::6", "fd00::7"]],
])("X-25 the subnet %s gives exactly %p", async (subnet, addresses) => {
  const held = new Set<string>();
  for (const expected of addresses) {
    expect(await choose({ subnet }, undefined, holdingsOf(held))).toBe(expected);
    held.add(expected);
  }
  expect(await choose({ subnet }, undefined, holdingsOf(held))).toBeUndefined();
});

test("X-25 a gateway that the config names is kept out even of a subnet of two addresses", async () => {
  expect(await choose({ subnet: "10.1.0.4/31", gateway: "10.1.0.4" })).toBe("10.1.0.5");
});

test("X-25 half a /64 taken is jumped over in two questions, and the end of it is reached by wrapping round", async () => {
  const last = lastAddress({ address: address("fd00::"), length: 65 });
  let questions = 0;
  const half: Holdings = {
    async endOfRun(asked) {
      questions++;
      return asked.value <= last.value ? last : undefined;
    },
  };
  expect(await choose({ subnet: "fd00::/64" }, undefined, half)).toBe("fd00::8000:0:0:0");
  expect(questions).toBe(2);
  expect(await choose({ subnet: "fd00::/64" }, "fd00::ffff:ffff:ffff:ffff")).toBe("fd00::2");
  expect(await choose({ subnet: "fd00::/64", exclude: ["fd00::/65"] })).toBe("fd00::8000:0:0:0");
});

test("a set keeps its place among its ranges by a name that no other set has", () => {
  const low = { subnet: "10.1.0.0/24", rangeEnd: "10.1.0.99" };
  const high = { subnet: "10.1.0.0/24", rangeStart: "10.1.0.100" };
  const names = parseRangeSets({ ranges: [[low], [high]] }).map(poolName);
  expect(new Set(names).size).toBe(2);
  expect(parseRangeSets({ ranges: [[low], [high]] }).map(poolName)).toEqual(names);
});

test("a range beside the list of ranges is the first set", () => {
  const sets = parseRangeSets({ subnet: "10.1.0.0/24", ranges: [[{ subnet: "fd00::/120" }]] });
  expect(sets.map(describeRangeSet)).toEqual(["10.1.0.1-10.1.0.254", "fd00::1-fd00::ff"]);
});

// the model: a pool of two or three ranges in 10.0.0.0/24, small enough to be written out ------------------------

interface Case {
  readonly config: PoolConfig;
  readonly held: readonly number[];
  readonly cursor: number | undefined;
}

/** Disjoint ranges: cut points in ascending order, taken in pairs. */
const cases: fc.Arbitrary<Case> = fc
  .record({
    cuts: fc.uniqueArray(fc.integer({ min: 0, max: 255 }), { minLength: 2, maxLength: 6 }),
    gateway: fc.option(fc.integer({ min: 0, max: 255 }), { nil: undefined }),
    exclude: fc.array(
      fc.oneof(
        fc.integer({ min: 0, max: 255 }).map((one) => `10.0.0.${one}`),
        fc.integer({ min: 0, max: 63 }).map((one) => `10.0.0.${one * 4}/30`),
        fc
          .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 255 }))
          .map(([a, b]) => `10.0.0.${Math.min(a, b)}-10.0.0.${Math.max(a, b)}`),
      ),
      { maxLength: 3 },
    ),
    held: fc.oneof(
      fc.uniqueArray(fc.integer({ min: 0, max: 255 }), { maxLength: 256 }),
      fc.integer({ min: 0, max: 255 }).map((free) => [...Array(256).keys()].filter((one) => one !== free)),
    ),
    cursor: fc.option(fc.integer({ min: 0, max: 255 }), { nil: undefined }),
    reversed: fc.boolean(),
  })
  .map(({ cuts, gateway, exclude, held, cursor, reversed }) => {
    const sorted = cuts.toSorted((a, b) => a - b);
    const ranges = [];
    for (let at = 0; at + 1 < sorted.length; at += 2) {
      ranges.push({
        subnet: "10.0.0.0/24",
        rangeStart: `10.0.0.${sorted[at]}`,
        rangeEnd: `10.0.0.${sorted[at + 1]}`,
        ...(gateway === undefined ? {} : { gateway: `10.0.0.${gateway}` }),
      });
    }
    return { config: { ranges: [reversed ? ranges.reverse() : ranges], exclude }, held, cursor };
  });

/** Whether an exclusion, as configs spell it, has the address 10.0.0.`last`. */
function excludes(text: string, last: number): boolean {
  const ends = text.split("-").map((end) => Number(end.split("/")[0]?.split(".")[3]));
  const [first = Number.NaN, end = text.includes("/") ? first + 3 : first] = ends;
  return first <= last && last <= end;
}

function model({ config, held, cursor }: Case): string | undefined {
  const ranges = config.ranges?.[0] ?? [];
  const numbers = ranges.flatMap((range) => {
    const first = Number(range.rangeStart?.split(".")[3]);
    const last = Number(range.rangeEnd?.split(".")[3]);
    return [...Array(last - first + 1).keys()].map((offset) => first + offset);
  });
  const at = cursor === undefined ? -1 : numbers.indexOf(cursor);
  const gateway = Number((ranges[0]?.gateway ?? "10.0.0.1").split(".")[3]);
  const chosen = [...numbers.slice(at + 1), ...numbers.slice(0, at + 1)].find(
    (one) =>
      one !== 0 &&
      one !== 255 &&
      one !== gateway &&
      !held.includes(one) &&
      !(config.exclude ?? []).some((text) => excludes(text, one)),
  );
  return chosen === undefined ? undefined : `10.0.0.${chosen}`;
}

test("X-25 the next free address is the one that a model finds by trying them all", async () => {
  await fc.assert(
    fc.asyncProperty(cases, async (one) => {
      const held = new Set(one.held.map((last) => `10.0.0.${last}`));
      const after = one.cursor === undefined ? undefined : `10.0.0.${one.cursor}`;
      expect(await choose(one.config, after, holdingsOf(held))).toBe(model(one));
    }),
    { numRuns: 3000 },
  );
});

test("X-25 the questions asked are as many as the runs met, never as many as the addresses", async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ config, held }) => {
      const sorted = [...new Set(held)].sort((a, b) => a - b);
      const runs = sorted.filter((one) => !sorted.includes(one - 1)).length;
      const [set]: RangeSet[] = parseRangeSets(config);
      if (set === undefined) return;
      const holdings = holdingsOf(new Set(held.map((last) => `10.0.0.${last}`)));
      await chooseAddress(set, undefined, holdings);
      expect(holdings.questions).toBeLessThanOrEqual(runs + set.reserved.length + set.ranges.length * 2);
    }),
  );
});
