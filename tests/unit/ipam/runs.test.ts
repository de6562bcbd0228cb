// The runs of held addresses stay exactly the set of held addresses, whatever is taken and freed in whatever order.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { runsOfNetwork } from "../../../db/lease-queries.ts";
import { type Address, addressFromBytes, formatAddress } from "../../../src/ip/address.ts";
import { freeFromRuns, runWith, takeFromRuns } from "../../../src/ipam/runs.ts";
import { TemporaryDirectory } from "../../support/world.ts";

/** The two ends of each family are in reach, because there is nothing before and after them. */
const SPACES = [
  { family: 4, base: 0n },
  { family: 4, base: 0xffff_fff0n },
  { family: 6, base: 0n },
  { family: 6, base: (1n << 128n) - 16n },
] as const;
const offset = fc.integer({ min: 0, max: 15 });
const steps = fc.array(offset, { minLength: 1, maxLength: 60 });

function runsOf(held: ReadonlySet<bigint>): [bigint, bigint][] {
  const runs: [bigint, bigint][] = [];
  for (const value of [...held].sort((a, b) => (a < b ? -1 : 1))) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] === value - 1n) last[1] = value;
    else runs.push([value, value]);
  }
  return runs;
}

test("runs are exactly the held addresses after any sequence of taking and freeing", async () => {
  using directory = new TemporaryDirectory();
  const { store } = directory;
  let number = 0;
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...SPACES), steps, async ({ family, base }, offsets) => {
      const network = `n${number++}`;
      const held = new Set<bigint>();
      await store.transaction(async (transaction) => {
        // an address that touches from another network or family never joins
        await takeFromRuns(transaction, "other", { family, value: base });
        for (const step of offsets) {
          const address: Address = { family, value: base + BigInt(step) };
          if (held.delete(address.value)) await freeFromRuns(transaction, network, [address]);
          else {
            held.add(address.value);
            await takeFromRuns(transaction, network, address);
          }
          const rows = await transaction.all(runsOfNetwork(), { network });
          expect(
            rows.map((row) => [addressFromBytes(row.first).value, addressFromBytes(row.last).value]),
          ).toEqual(runsOf(held));
        }
        for (let at = 0n; at < 16n; at++) {
          const run = await runWith(transaction, network, { family, value: base + at });
          expect([formatAddress({ family, value: base + at }), run !== undefined]).toEqual([
            formatAddress({ family, value: base + at }),
            held.has(base + at),
          ]);
        }
      });
    }),
    { numRuns: 150 },
  );
});

test("freeing many addresses at once leaves what freeing them one by one would", async () => {
  using directory = new TemporaryDirectory();
  const { store } = directory;
  let number = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...SPACES),
      fc.uniqueArray(offset),
      fc.array(offset),
      async ({ family, base }, taken, freed) => {
        const network = `n${number++}`;
        const addressAt = (at: number): Address => ({ family, value: base + BigInt(at) });
        const rows = await store.transaction(async (transaction) => {
          for (const at of taken) await takeFromRuns(transaction, network, addressAt(at));
          // twice in the list, free already, in any order
          await freeFromRuns(transaction, network, freed.map(addressAt));
          return transaction.all(runsOfNetwork(), { network });
        });
        const held = new Set(taken.filter((at) => !freed.includes(at)).map((at) => addressAt(at).value));
        expect(
          rows.map((row) => [addressFromBytes(row.first).value, addressFromBytes(row.last).value]),
        ).toEqual(runsOf(held));
      },
    ),
    { numRuns: 300 },
  );
});
