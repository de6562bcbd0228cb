// Results in the shapes of all seven versions, both directions: what a client of a version sees, and what is read
// back from what a plugin of that version says.
import { expect, test } from "bun:test";
import { CniError } from "../../../src/cni/error.ts";
import { decodeResult, encodeResult, type Result } from "../../../src/cni/result.ts";
import { SUPPORTED_VERSIONS } from "../../../src/cni/version.ts";

const FULL: Result = {
  interfaces: [
    { name: "cni0", mac: "02:00:00:00:00:01", mtu: 1500 },
    { name: "eth0", mac: "02:00:00:00:00:02", mtu: 1400, sandbox: "/run/netns/a", pciID: "0000:00:01.0" },
  ],
  ips: [
    { interface: 1, address: "10.1.0.2/24", gateway: "10.1.0.1" },
    { interface: 0, address: "fd00::2/64", gateway: "fd00::1" },
    { address: "10.1.0.3/24" },
  ],
  routes: [
    { dst: "0.0.0.0/0", gw: "10.1.0.1", mtu: 1300, table: 7, scope: 0 },
    { dst: "fd01::/64" },
    { dst: "10.9.0.0/16" },
  ],
  dns: { nameservers: ["10.1.0.1"], search: ["lab"] },
};

const OLDEST = {
  ip4: {
    ip: "10.1.0.2/24",
    gateway: "10.1.0.1",
    routes: [{ dst: "0.0.0.0/0", gw: "10.1.0.1" }, { dst: "10.9.0.0/16" }],
  },
  ip6: { ip: "fd00::2/64", gateway: "fd00::1", routes: [{ dst: "fd01::/64" }] },
  dns: FULL.dns,
};
const MIDDLE = {
  interfaces: [
    { name: "cni0", mac: "02:00:00:00:00:01" },
    { name: "eth0", mac: "02:00:00:00:00:02", sandbox: "/run/netns/a" },
  ],
  ips: FULL.ips.map((ip) => ({ version: ip.address.includes(":") ? "6" : "4", ...ip })),
  routes: FULL.routes,
  dns: FULL.dns,
};
const SHAPES: Readonly<Record<string, object>> = {
  "0.1.0": OLDEST,
  "0.2.0": OLDEST,
  "0.3.0": MIDDLE,
  "0.3.1": MIDDLE,
  "0.4.0": MIDDLE,
  "1.0.0": FULL,
  "1.1.0": FULL,
};

/** What is left of the full result after a way through a version's shape. */
const LEFT: Readonly<Record<string, Result>> = {
  "0.1.0": {
    interfaces: [],
    ips: [
      { address: "10.1.0.2/24", gateway: "10.1.0.1" },
      { address: "fd00::2/64", gateway: "fd00::1" },
    ],
    routes: [{ dst: "0.0.0.0/0", gw: "10.1.0.1" }, { dst: "10.9.0.0/16" }, { dst: "fd01::/64" }],
    dns: FULL.dns,
  },
  "0.3.0": {
    ...FULL,
    interfaces: MIDDLE.interfaces,
  },
  "1.0.0": FULL,
};

test.each([...SUPPORTED_VERSIONS])("X-07 a client of %s sees the shape of its version", (version) => {
  const document: object = JSON.parse(JSON.stringify(encodeResult(FULL, version)));
  expect(document).toEqual({ cniVersion: version, ...SHAPES[version] });
  // keys in the order of the reference library, for those who compare text
  const order = version.startsWith("1")
    ? ["cniVersion", "dns", "interfaces", "ips", "routes"]
    : version < "0.3"
      ? ["cniVersion", "ip4", "ip6", "dns"]
      : ["cniVersion", "interfaces", "ips", "routes", "dns"];
  expect(Object.keys(document)).toEqual(order);
});

test.each(["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])(
  "X-07 what a plugin of %s says is read in the newest shape",
  (version) => {
    const family = version < "0.3" ? "0.1.0" : version < "1" ? "0.3.0" : "1.0.0";
    const document: unknown = JSON.parse(JSON.stringify({ cniVersion: version, ...SHAPES[version] }));
    expect<unknown>(decodeResult(document, version, "result")).toEqual(version < "1" ? LEFT[family] : FULL);
  },
);

test("X-07 every pair of versions converts, and a second way through the older one changes nothing", () => {
  for (const from of SUPPORTED_VERSIONS) {
    for (const to of SUPPORTED_VERSIONS) {
      const first = decodeResult(encodeResult(FULL, from), from, "result");
      const second = decodeResult(encodeResult(first, to), to, "result");
      expect(encodeResult(decodeResult(encodeResult(second, from), from, "x"), to)).toEqual(
        encodeResult(second, to),
      );
    }
  }
});

test("an empty result has no keys but those that its version requires", () => {
  const empty: Result = { interfaces: [], ips: [], routes: [], dns: {} };
  expect(encodeResult(empty, "1.1.0")).toEqual({ cniVersion: "1.1.0" });
  expect(encodeResult(empty, "0.4.0")).toEqual({ cniVersion: "0.4.0", dns: {} });
  expect(() => encodeResult(empty, "0.2.0")).toThrow(
    new CniError(1, "cannot convert: no valid IP addresses").message,
  );
});

test("null and empty strings are as good as nothing", () => {
  const document = {
    interfaces: [{ name: "eth0", mac: null, sandbox: "" }],
    ips: [{ address: "10.1.0.2/24", gateway: "", interface: 0 }],
    routes: null,
    dns: null,
    unknown: { key: 1 },
  };
  expect<unknown>(decodeResult(document, "1.1.0", "result")).toEqual({
    interfaces: [{ name: "eth0" }],
    ips: [{ interface: 0, address: "10.1.0.2/24" }],
    routes: [],
    dns: {},
  });
});

test.each<[name: string, document: unknown, version: string, message: string, details: string]>([
  ["no object", [], "1.1.0", "result: it is []", "expected an object"],
  ["a list for an object inside", { dns: [] }, "1.1.0", 'result: "dns" is []', "expected an object"],
  [
    "a list for an object in a list",
    { ips: [[]] },
    "1.1.0",
    'result: "ips[0].address" is nothing',
    "expected a value: the key is required",
  ],
  ["no list", { ips: {} }, "1.1.0", 'result: "ips" is {}', "expected a list"],
  [
    "an address without length",
    { ips: [{ address: "10.1.0.2" }] },
    "0.4.0",
    'result: "ips[0].address" is "10.1.0.2"',
    "expected an address in CIDR notation, such as 10.1.0.2/16",
  ],
  [
    "a negative index",
    { ips: [{ address: "10.1.0.2/24", interface: -1 }] },
    "1.0.0",
    'result: "ips[0].interface" is -1',
    "expected at least 0",
  ],
  [
    "a route to nowhere",
    { routes: [{ dst: "default" }] },
    "1.1.0",
    'result: "routes[0].dst" is "default"',
    "expected an address in CIDR notation, such as 10.1.0.2/16",
  ],
  [
    "an interface without name",
    { interfaces: [{}] },
    "1.1.0",
    'result: "interfaces[0].name" is nothing',
    "expected a value: the key is required",
  ],
  [
    "the oldest shape",
    { ip4: { ip: "x" } },
    "0.2.0",
    'result: "ip4.ip" is "x"',
    "expected an address in CIDR notation, such as 10.1.0.2/16",
  ],
])("a result with %s is refused with code 6 and its place", (_name, document, version, message, details) => {
  let refusal: unknown;
  try {
    decodeResult(document, version, "result");
  } catch (error) {
    refusal = error;
  }
  expect(refusal).toMatchObject({ code: 6, message, details });
});
