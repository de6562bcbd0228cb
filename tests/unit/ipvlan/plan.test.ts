// What ipvlan makes of its config before anything is touched.
import { expect, test } from "bun:test";
import { planOf } from "../../../src/plugins/ipvlan.ts";

test("the plan of an empty config, and of every key", () => {
  expect(planOf({})).toEqual({
    ...{ master: undefined, masterInside: false, mtu: undefined, mode: "l2" },
    ...{ ipamType: undefined, dataDir: "/var/lib/cni/warren", dns: undefined },
  });
  const every = {
    ...{ master: "ens3", mode: "l3s", mtu: 1400, linkInContainer: true },
    ...{ ipam: { type: "warren-ipam", dataDir: "/d" }, dns: { domain: "example.org" } },
  };
  expect(planOf(every)).toEqual({
    ...{ master: "ens3", masterInside: true, mtu: 1400, mode: "l3s" },
    ...{ ipamType: "warren-ipam", dataDir: "/d", dns: { domain: "example.org" } },
  });
});

test.each([
  [{ mode: "l4" }, 'unknown ipvlan mode: "l4"'],
  [{ mode: "toString" }, 'unknown ipvlan mode: "toString"'],
  [{ master: "a/b" }, 'master "a/b": interface name contains / or : or whitespace characters'],
  [{ mtu: -1 }, "invalid MTU -1, must be [0, master MTU]"],
])("%j is refused", (config, message) => {
  expect(() => planOf(config)).toThrow(expect.objectContaining({ code: 7, message }));
});
