// What vlan makes of its config before anything is touched.
import { expect, test } from "bun:test";
import { planOf } from "../../../src/plugins/vlan.ts";

test("the plan of the least config, and of every key", () => {
  expect(planOf({ master: "ens3" })).toEqual({
    ...{ master: "ens3", masterInside: false, mtu: undefined, id: 0 },
    ...{ ipamType: undefined, dataDir: "/var/lib/cni/warren", dns: undefined },
  });
  const every = {
    ...{ master: "ens3", vlanId: 4094, mtu: 1400, linkInContainer: true },
    ...{ ipam: { type: "warren-ipam", dataDir: "/d" }, dns: { domain: "example.org" } },
  };
  expect(planOf(every)).toEqual({
    ...{ master: "ens3", masterInside: true, mtu: 1400, id: 4094 },
    ...{ ipamType: "warren-ipam", dataDir: "/d", dns: { domain: "example.org" } },
  });
});

test.each([
  [{}, '"master" field is required. It specifies the host interface name to create the VLAN for'],
  [{ master: "" }, '"master" field is required. It specifies the host interface name to create the VLAN for'],
  [{ master: "a/b" }, 'master "a/b": interface name contains / or : or whitespace characters'],
  [{ master: "ens3", vlanId: -1 }, "invalid VLAN ID -1 (must be between 0 and 4094 inclusive)"],
  [{ master: "ens3", vlanId: 4095 }, "invalid VLAN ID 4095 (must be between 0 and 4094 inclusive)"],
  [{ master: "ens3", mtu: -1 }, "invalid MTU -1, must be [0, master MTU]"],
])("%j is refused", (config, message) => {
  expect(() => planOf(config)).toThrow(expect.objectContaining({ code: 7, message }));
});
