// The suite in the virtual machines: they boot once for all, and there is a test for each of its cases.
import { expect } from "bun:test";
import { join } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { testWith } from "../support/sandbox.ts";
import { NEEDED, runInMachines } from "./machine.ts";
import { ALL_CASES, BOOTS, CASE_MARK } from "./suite.ts";

/** What the console said about a case: a line, or one of each boot. */
interface Line {
  readonly name: string;
  readonly error?: string;
}

let outcome: Promise<{ readonly cases: readonly Line[]; readonly problem?: Error }> | undefined;

/** Boots the machines when first called; returns the lines about the cases that ran, and why there are no others. */
function outcomes(): NonNullable<typeof outcome> {
  outcome ??= runInMachines(join(import.meta.dir, "suite.ts"), BOOTS).then(({ lines, ...rest }) => {
    const cases: Line[] = lines
      .filter((line) => line.includes(CASE_MARK))
      // the firmware's last escapes may stand before the first line
      .map((line) => JSON.parse(line.slice(line.indexOf(CASE_MARK) + CASE_MARK.length)));
    return { cases, ...rest };
  });
  return outcome;
}

for (const { name, comparesWithReference: compared, lines } of ALL_CASES) {
  const reference =
    typeof compared === "string"
      ? [tools.referencePlugin(compared)]
      : compared
        ? [tools.referencePlugins]
        : [];
  testWith(...NEEDED, ...reference)(
    `vm: ${name}`,
    async () => {
      const { cases, problem } = await outcomes();
      const own = cases.filter((line) => line.name === name);
      expect(own.flatMap(({ error }) => error ?? [])).toEqual([]);
      // it did not run, or not to its end
      if (own.length < lines && problem !== undefined) throw problem;
      expect(own.length).toBe(lines);
    },
    2_700_000,
  );
}
