// What vrf makes of its config before anything is touched.
import { expect, test } from "bun:test";
import { planOf } from "../../../src/plugins/vrf.ts";

test("the plan of the least config, and of every key", () => {
  const dataDir = "/var/lib/cni/warren";
  expect(planOf({ vrfname: "blue" })).toEqual({ name: "blue", table: undefined, dataDir });
  expect(planOf({ vrfname: "blue", table: 0 }).table).toBeUndefined();
  expect(planOf({ vrfname: "blue", table: 1000, dataDir: "/d" })).toEqual({
    ...{ name: "blue", table: 1000, dataDir: "/d" },
  });
});

test.each([{}, { vrfname: "" }, { vrfname: "a/b" }, { vrfname: "sixteen-is-a-lot" }])(
  "%j is refused",
  (config) => {
    const message = "configuration is expected to have a valid vrf name";
    expect(() => planOf(config)).toThrow(expect.objectContaining({ code: 7, message }));
  },
);
