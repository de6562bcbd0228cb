// What macvlan makes of its config before anything is touched.
import { describe, expect, test } from "bun:test";
import { CniError } from "../../../src/cni/error.ts";
import { planOf } from "../../../src/plugins/macvlan.ts";

describe("the plan", () => {
  test("of an empty config", () => {
    expect(planOf({}, undefined)).toEqual({
      master: undefined,
      masterInside: false,
      mode: "bridge",
      mtu: undefined,
      hardwareAddress: undefined,
      broadcastQueueLength: undefined,
      ipamType: undefined,
      dataDir: "/var/lib/cni/warren",
      dns: undefined,
    });
  });

  test("of every key", () => {
    const config = {
      master: "ens3",
      mode: "passthru",
      mtu: 1400,
      linkInContainer: true,
      bcqueuelen: 500,
      ipam: { type: "warren-ipam", dataDir: "/d" },
      dns: { domain: "example.org" },
    };
    expect(planOf(config, undefined)).toMatchObject({
      master: "ens3",
      masterInside: true,
      mode: "passthru",
      mtu: 1400,
      broadcastQueueLength: 500,
      ipamType: "warren-ipam",
      dataDir: "/d",
      dns: { domain: "example.org" },
    });
  });

  test.each(["bridge", "private", "vepa", "passthru"] as const)("mode %s", (mode) => {
    expect(planOf({ mode }, undefined).mode).toBe(mode);
  });

  test.each([
    [{ mac: "02:00:00:00:00:01" }, undefined, "02:00:00:00:00:01"],
    [{ mac: "02:00:00:00:00:01" }, "02:00:00:00:00:02", "02:00:00:00:00:02"],
    [
      { mac: "02:00:00:00:00:01", args: { cni: { mac: "02:00:00:00:00:03" } } },
      "02:00:00:00:00:02",
      "02:00:00:00:00:03",
    ],
    [
      { mac: "02:00:00:00:00:01", runtimeConfig: { mac: "02-00-00-00-00-0D" } },
      "02:00:00:00:00:02",
      "02:00:00:00:00:0d",
    ],
  ])("the hardware address of %j and CNI_ARGS %s is %s", (config, argument, expected) => {
    expect(planOf(config, argument).hardwareAddress).toBe(expected);
  });

  test.each([
    [{ mode: "source" }, undefined, 'unknown macvlan mode: "source"'],
    [{ mode: "Bridge" }, undefined, 'unknown macvlan mode: "Bridge"'],
    [{ mtu: -1 }, undefined, "invalid MTU -1, must be [0, master MTU]"],
    [{ master: "sixteen-is-a-lot" }, undefined, 'master "sixteen-is-a-lot": interface name is too long'],
    [{ master: "a/b" }, undefined, 'master "a/b": interface name contains / or : or whitespace characters'],
    [{ mac: "02:00" }, undefined, 'mac "02:00" can\'t be given to an interface'],
    [{ mac: "01:00:00:00:00:01" }, undefined, 'mac "01:00:00:00:00:01" can\'t be given to an interface'],
    [{}, "zz", 'mac "zz" can\'t be given to an interface'],
  ])("%j with CNI_ARGS %s is refused", (config, argument, message) => {
    let refused: unknown;
    try {
      planOf(config, argument);
    } catch (error) {
      refused = error;
    }
    expect(refused).toBeInstanceOf(CniError);
    expect(refused).toMatchObject({ code: 7, message });
  });
});
