// The suite in the virtual machines: they boot once for all, and there is a test for each of its cases.
import { expect } from "bun:test";
import { join } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { postgres } from "../support/postgres.ts";
import { testWith } from "../support/sandbox.ts";
import { type Console, NEEDED, runInMachines } from "./machine.ts";
import { caseReports } from "./report.ts";
import { ALL_CASES, BOOTS } from "./suite.ts";

let outcome: Promise<Console> | undefined;

/** Boots the machines when first called; returns what they said of the cases that ran, and why there are no others. */
function outcomes(): Promise<Console> {
  outcome ??= runInMachines(join(import.meta.dir, "suite.ts"), BOOTS);
  return outcome;
}

for (const { name, comparesWithReference: compared, needsDatabase, lines } of ALL_CASES) {
  const reference =
    typeof compared === "string"
      ? [tools.referencePlugin(compared)]
      : compared
        ? [tools.referencePlugins]
        : [];
  testWith(...NEEDED, ...reference, ...(needsDatabase === true ? [postgres] : []))(
    `vm: ${name}`,
    async () => {
      const console = await outcomes();
      const { problem } = console;
      const own = caseReports(console).filter((report) => report.name === name);
      expect(own.flatMap(({ error }) => error ?? [])).toEqual([]);
      // it did not run, or not to its end
      if (own.length < lines && problem !== undefined) throw problem;
      expect(own.length).toBe(lines);
    },
    2_700_000,
  );
}
