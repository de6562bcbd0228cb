// kill -9 at every step of plugins whose links only the kernel of a virtual machine has. It takes its time: by `npm test`
// there is a kill of each among the cases of tests/vm.
import { expect } from "bun:test";
import { join } from "node:path";
import { testWith } from "../support/sandbox.ts";
import { type Console, NEEDED, runInMachines } from "../vm/machine.ts";
import { caseReports } from "../vm/report.ts";
import { IS_FULL } from "./extent.ts";
import { BOOTS, ORDEALS } from "./kill-suite.ts";

const LIFETIME_MS = 4 * 3_600_000;

let outcome: Promise<Console> | undefined;

for (const { name } of IS_FULL ? ORDEALS : []) {
  testWith(...NEEDED)(
    `X-12 killed at any step of ${name}: nothing is left, and all goes on`,
    async () => {
      const variables = { WARREN_TORTURE: "full" };
      outcome ??= runInMachines(join(import.meta.dir, "kill-suite.ts"), BOOTS, {
        lifetimeMs: LIFETIME_MS,
        variables,
      });
      const console = await outcome;
      const own = caseReports(console).filter((report) => report.name === name);
      expect(own.flatMap(({ error }) => error ?? [])).toEqual([]);
      if (own.length === 0 && console.problem !== undefined) throw console.problem;
      expect(own.length).toBe(1);
    },
    LIFETIME_MS,
  );
}
