// The suite in the virtual machine: it boots twice for all, and there is a test for each of its cases.
import { expect } from "bun:test";
import { join } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { testWith } from "../support/sandbox.ts";
import { NEEDED, runInMachine } from "./machine.ts";
import { ALL_CASES, BOOTS, CASE_MARK } from "./suite.ts";

/** What the console said about a case: a line, or one of each boot. */
interface Line {
  readonly name: string;
  readonly error?: string;
}

let outcome: Promise<Line[]> | undefined;

/** Returns the lines about the cases that ran; boots the machine when first called. */
function outcomes(): Promise<Line[]> {
  outcome ??= runInMachine(join(import.meta.dir, "suite.ts"), BOOTS).then((lines) =>
    lines
      .filter((line) => line.includes(CASE_MARK))
      // the firmware's last escapes may stand before the first line
      .map((line) => JSON.parse(line.slice(line.indexOf(CASE_MARK) + CASE_MARK.length))),
  );
  return outcome;
}

for (const { name, comparesWithReference } of ALL_CASES) {
  testWith(...NEEDED, ...(comparesWithReference === true ? [tools.referencePlugins] : []))(
    `vm: ${name}`,
    async () => {
      const own = (await outcomes()).filter((line) => line.name === name);
      expect(own.length).toBeGreaterThan(0);
      expect(own.flatMap(({ error }) => error ?? [])).toEqual([]);
    },
    1_500_000,
  );
}
