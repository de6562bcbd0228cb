// What the bench makes of its samples. The samples themselves are times, and no test asserts those.
import { expect, test } from "bun:test";
import { withBudgets } from "../../../bench/budgets.ts";
import { chartOf } from "../../../bench/chart.ts";
import { copiedRules } from "../../../bench/reference-rules.ts";
import { merged, type Result, type Run, resultOf, tableOf } from "../../../bench/report.ts";
import { quantile } from "../../../bench/statistics.ts";

test("quantiles are samples themselves, by their rank", () => {
  expect([0, 0.5, 0.95, 1].map((share) => quantile([3, 1, 2, 4], share))).toEqual([1, 2, 4, 4]);
  expect(quantile([7], 0.5)).toBe(7);
  expect(quantile([], 0.5)).toBeNaN();
});

test.each([
  ["a ratio below its budget", { ratioBudget: 0.5 }, 0.4, true],
  ["a ratio above its budget", { ratioBudget: 0.3 }, 0.4, false],
  ["a median above its budget", { budget: 3 }, 0.4, false],
  ["nothing that is wanted", {}, 0.4, undefined],
] as const)("a result with %s", (_, wanted, ratio, met) => {
  const samples = { warren: [4, 4, 9], reference: [10, 10, 12] };
  const result = resultOf({ name: "ADD", unit: "ms", samples, ...wanted });
  expect({ ratio: result.ratio, met: result.met }).toEqual({ ratio, met });
  expect(result.sides.warren).toEqual({ min: 4, median: 4, p95: 9, p99: 9, runs: 3 });
});

const RUN: Run = {
  scenario: "attachment",
  measuredAt: "2026-01-02T00:00:00Z",
  quick: false,
  machine: { kernel: "6.1", processor: "any", processors: 2 },
  versions: { "reference plugins": "v1.0.0" },
  results: [],
};

test("a scenario that is measured again takes the place of its older run", () => {
  const again = { ...RUN, quick: true };
  const other = { ...RUN, scenario: "startup" };
  expect(merged([RUN, other], [again], ["startup", "attachment", "chain"])).toEqual([other, again]);
});

test("the chart has a row for each comparison with the reference, and nothing else", () => {
  const compared: Result = resultOf({
    name: "ADD <bridge>",
    unit: "ms",
    samples: { warren: [4], reference: [10] },
  });
  const alone: Result = resultOf({ name: "GC", unit: "ms", samples: { warren: [4] } });
  const chart = chartOf([{ ...RUN, results: [compared, alone] }]);
  expect(chart.match(/class="bar"/g)).toHaveLength(1);
  expect(chart).toContain("ADD &lt;bridge&gt;");
  expect(chart).toContain("prefers-color-scheme: dark");
  expect(tableOf([compared, alone])).toContain("0.40");
});

test("rules of the reference are copied for other pods, and the shared ones are not", () => {
  const hash = "ca55add861b1dfa0f69f922d";
  const rules = [
    ":CNI-HOSTPORT-DNAT - [0:0]",
    `:CNI-${hash} - [0:0]`,
    `-A POSTROUTING -s 10.1.0.2/32 -m comment --comment "name: \\"n\\" id: \\"c1\\"" -j CNI-${hash}`,
    `-A CNI-DN-${hash.slice(0, 21)} -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.1.0.2:80`,
    "-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE",
  ].join("\n");
  const pattern = { address: "10.1.0.2", hostPort: 8080, container: "c1" };
  const copy = copiedRules(rules, pattern, [{ address: "10.1.0.9", hostPort: 9090, container: "c2" }]);
  expect(copy.split("\n")).toEqual([
    "*nat",
    ":CNI-00000000000000000238222d - [0:0]",
    '-A POSTROUTING -s 10.1.0.9/32 -m comment --comment "name: \\"n\\" id: \\"c2\\"" -j CNI-00000000000000000238222d',
    "-A CNI-DN-000000000000000002382 -p tcp -m tcp --dport 9090 -j DNAT --to-destination 10.1.0.9:80",
    "COMMIT",
    "",
  ]);
});

test("the page has the budgets in their place, with what was measured beside what was wanted", () => {
  const samples = { warren: [4], reference: [10] };
  const results = [
    resultOf({ name: "ADD", unit: "ms", samples, ratioBudget: 0.5 }),
    resultOf({ name: "GC", unit: "ms", samples: { warren: [1234] }, budget: 150 }),
    resultOf({ name: "STATUS", unit: "ms", samples }),
  ];
  const [begin, end] = ["<!-- budgets: written by npm run bench -->", "<!-- end of budgets -->"];
  const page = withBudgets(`before\n${begin}\nold\n${end}\nafter\n`, [{ ...RUN, results }]);
  expect(page.split("\n")).toEqual([
    ...["before", begin, "| | Warren | beside it | ratio | budget | met |", "|---|---|---|---|---|---|"],
    ...["| ADD | 4.0 ms | 10.0 ms | 0.40 | 0.5 | yes |", "| GC | 1,234 ms |  |  | 150 ms | no |"],
    ...[end, "after", ""],
  ]);
  expect(() => withBudgets("a page", [])).toThrow("no place for the budgets");
});
