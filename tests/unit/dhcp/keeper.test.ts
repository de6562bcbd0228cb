// How often a lease that is asked for is looked after.
import { expect, test } from "bun:test";
import { pauseBetweenLooksMs } from "../../../src/dhcp/keeper.ts";

test("looks at once for servers that answer at once, and seldom for one that is away", () => {
  expect(pauseBetweenLooksMs(0)).toBe(2);
  let looks = 0;
  for (let atMs = 0; atMs < 60_000; atMs += pauseBetweenLooksMs(atMs)) looks++;
  expect(looks).toBeLessThan(200);
});
