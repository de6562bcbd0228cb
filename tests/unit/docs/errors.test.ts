// The table of error codes that operators read is the one that the code has.
import { expect, test } from "bun:test";
import { ErrorCode } from "../../../src/cni/error.ts";

test("X-06 docs/errors.md lists every code by its number and name, and no other", async () => {
  const text = await Bun.file(`${import.meta.dir}/../../../docs/errors.md`).text();
  const documented = [...text.matchAll(/^\| (\d+) \| (\w+) \|/gm)].map(([, code, name]) => [
    name,
    Number(code),
  ]);
  expect(Object.fromEntries(documented)).toEqual({ ...ErrorCode });
});
