// What ptp makes of its config, and of the addresses that it is given, before anything is touched.
import { describe, expect, test } from "bun:test";
import { addressesIn } from "../../../src/attachment/container-interface.ts";
import { CniError } from "../../../src/cni/error.ts";
import { formatAddress } from "../../../src/ip/address.ts";
import { formatPrefix } from "../../../src/ip/prefix.ts";
import { pointToPointRoutes } from "../../../src/net/point-to-point.ts";
import { planOf, pointToPointAddresses } from "../../../src/plugins/ptp.ts";

const ipam = { type: "warren-ipam" };

function refusal(run: () => unknown): CniError {
  try {
    run();
  } catch (error) {
    if (error instanceof CniError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("the plan", () => {
  test("of a config with nothing but ipam", () => {
    expect(planOf({ ipam }, undefined)).toEqual({
      ipamType: "warren-ipam",
      dataDir: "/var/lib/cni/warren",
      masquerade: false,
      mtu: undefined,
      hardwareAddress: undefined,
      dns: undefined,
    });
  });

  test("of every key", () => {
    expect(
      planOf(
        {
          ipam,
          ipMasq: true,
          mtu: 1400,
          dns: { nameservers: [] },
          dataDir: "/d",
          args: { cni: { mac: "02:00:00:00:00:0B" } },
        },
        "02:00:00:00:00:01",
      ),
    ).toEqual({
      ipamType: "warren-ipam",
      dataDir: "/d",
      masquerade: true,
      mtu: 1400,
      hardwareAddress: "02:00:00:00:00:0b",
      // an empty list counts as said
      dns: { nameservers: [] },
    });
  });

  test.each([[{}], [{ ipam: {} }], [{ ipam: { type: "" } }], [{ ipam: null }]])(
    "layer 2 is refused: %j",
    (config) => {
      expect(refusal(() => planOf(config, undefined))).toMatchObject({
        code: 7,
        message: 'ptp: "ipam" is missing: without addresses nothing can be routed to the container',
      });
    },
  );
});

describe("the addresses", () => {
  test.each([
    [{ address: "10.1.0.2/24" }, "ptp: the address 10.1.0.2/24 has no gateway"],
    [{ address: "fd00::2/64", gateway: "" }, "ptp: the address fd00::2/64 has no gateway"],
    [{ address: "10.1.0.2/24", gateway: "10.1.0.2" }, "ptp: the address 10.1.0.2/24 is its own gateway"],
  ])("%j is refused", (ip, message) => {
    expect(refusal(() => pointToPointAddresses(addressesIn([ip])))).toMatchObject({ code: 7, message });
  });

  test("become routes to the gateways, and to the subnets behind them", () => {
    const addresses = pointToPointAddresses(
      addressesIn([
        { address: "10.1.0.2/24", gateway: "10.1.0.1" },
        { address: "10.2.0.9/32", gateway: "10.2.0.1" },
        { address: "fd00::2/64", gateway: "fd00::1" },
      ]),
    );
    expect(
      pointToPointRoutes(addresses).map(({ destination, gateway, source }) => [
        formatPrefix(destination),
        gateway === undefined ? "" : formatAddress(gateway),
        source === undefined ? "" : formatAddress(source),
      ]),
    ).toEqual([
      ["10.1.0.1/32", "", "10.1.0.2"],
      ["10.2.0.1/32", "", "10.2.0.9"],
      ["fd00::1/128", "", "fd00::2"],
      ["10.1.0.0/24", "10.1.0.1", "10.1.0.2"],
      ["fd00::/64", "fd00::1", "fd00::2"],
    ]);
  });
});
