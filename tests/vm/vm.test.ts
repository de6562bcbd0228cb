// The suite in the virtual machine: one boot, and a test for each of its cases.
import { expect } from "bun:test";
import { join } from "node:path";
import { testWith } from "../support/sandbox.ts";
import { NEEDED, runInMachine } from "./machine.ts";
import { CASE_MARK, CASES } from "./suite.ts";

let boot: Promise<Map<string, string | undefined>> | undefined;

/** Returns the error of each case that ran, undefined for those that passed; boots the machine when first called. */
function outcomes(): Promise<Map<string, string | undefined>> {
  boot ??= runInMachine(join(import.meta.dir, "suite.ts")).then((lines) => {
    const cases = lines
      .filter((line) => line.includes(CASE_MARK))
      // the firmware's last escapes may stand before the first line
      .map((line) => JSON.parse(line.slice(line.indexOf(CASE_MARK) + CASE_MARK.length)));
    return new Map(cases.map(({ name, error }: { name: string; error?: string }) => [name, error]));
  });
  return boot;
}

for (const { name } of CASES) {
  testWith(...NEEDED)(
    `vm: ${name}`,
    async () => {
      const done = await outcomes();
      expect(done.has(name)).toBe(true);
      expect(done.get(name)).toBeUndefined();
    },
    500_000,
  );
}
