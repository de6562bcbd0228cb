// What a config tells servers and asks them for, beside what the reference plugin makes of the same keys.
import { expect, test } from "bun:test";
import { parseInput } from "../../../src/cni/input.ts";
import { configSchema, optionsFor, placeOf } from "../../../src/dhcp/config.ts";

const HOLDER = { network: "lab", containerId: "pod-1", ifname: "eth0", argumentText: "" };

function options(ipam: object, argumentText = "", containerId = HOLDER.containerId) {
  const config = parseInput(configSchema, { ipam }, 7, "network config");
  return optionsFor(config, { ...HOLDER, argumentText, containerId });
}

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);
const requested = (ipam: object) => [...(options(ipam).get(55) ?? [])];

test("a container is known to servers by its id, network and interface, cut where a server could not keep it", () => {
  expect(text(options({}).get(61))).toBe("\0pod-1/lab/eth0");
  const long = options({}, "", "x".repeat(300)).get(61);
  expect(text(long)).toBe(`\0${"x".repeat(254)}`);
});

test("options are provided by name or number, and what CNI_ARGS says counts more", () => {
  const provide = [
    { option: "host-name", value: "web" },
    { option: "60", value: "warren" },
    { option: "user-class", fromArg: "CLASS" },
    { option: "77", value: "ours" },
    { option: "12", fromArg: "K8S_POD_NAME" },
    { option: "vendor-class-identifier", fromArg: "ABSENT" },
  ];
  const all = options({ provide }, "IgnoreUnknown=1;CLASS=a=b;K8S_POD_NAME=web-0");
  expect([text(all.get(12)), text(all.get(60)), text(all.get(77))]).toEqual(["web-0", "warren", "ours"]);
  expect(text(options({ provide: [{ option: "dhcp-client-identifier", value: "me" }] }).get(61))).toBe("me");
});

test("what an interface needs is asked for, what the config wants, or that alone", () => {
  expect(requested({})).toEqual([3, 1, 6, 15, 119]);
  expect(requested({ request: [{ option: "interface-mtu" }, { option: "42" }] })).toEqual([
    26, 42, 3, 1, 6, 15, 119,
  ]);
  expect(requested({ request: [{ option: "subnet-mask" }, { skipDefault: true }] })).toEqual([1]);
  expect(options({ request: [{ skipDefault: true }] }).has(55)).toBe(false);
  // before the routers, which their servers then leave out
  expect(requested({ request: [{ option: "1" }, { option: "121" }, { skipDefault: true }] })).toEqual([
    121, 1,
  ]);
});

test.each([
  [
    { provide: [{ option: "nope", value: "x" }] },
    'ipam.provide[0].option is "nope", which is no option of DHCP',
  ],
  [
    {
      provide: [
        { option: "12", value: "x" },
        { option: "53", value: "x" },
      ],
    },
    'ipam.provide[1].option is "53", which the client says itself',
  ],
  [{ provide: [{ option: "12", value: "ü".repeat(128) }] }, 'the value of option "12" has 256 bytes'],
  [{ request: [{ option: "255" }] }, 'ipam.request[0].option is "255", which is no option of DHCP'],
  [{ request: [{ option: 3 }] }, '"ipam.request[0].option" is 3'],
  [{ priority: -1 }, '"ipam.priority" is -1'],
  [{ daemonSocketPath: "dhcp.sock" }, '"ipam.daemonSocketPath" is "dhcp.sock"'],
])("%j is refused", (ipam, message) => {
  expect(() => options(ipam)).toThrow(message);
});

test("socket and store are where the config says, or where they always are", () => {
  expect(placeOf({})).toEqual({ socketPath: "/run/cni/dhcp.sock", dataDir: "/var/lib/cni/warren" });
  expect(placeOf({ ipam: { daemonSocketPath: "", dataDir: "/b" }, dataDir: "/a" })).toEqual({
    socketPath: "/run/cni/dhcp.sock",
    dataDir: "/a",
  });
  expect(placeOf({ ipam: { daemonSocketPath: "/c", dataDir: "/b" } })).toEqual({
    socketPath: "/c",
    dataDir: "/b",
  });
});
