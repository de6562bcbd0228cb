// The names of port maps, which are what two pods quarrel over, and the way back from what is written down.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Address, parseAddress } from "../../../src/ip/address.ts";
import { networkOf, parsePrefix } from "../../../src/ip/prefix.ts";
import {
  describePortMap,
  isPort,
  type PortMap,
  parsePortMap,
  portMapDetail,
  portMapName,
  TRANSPORTS,
} from "../../../src/net/port-map/port-map.ts";
import { sourceChainName } from "../../../src/net/port-map/rules.ts";
import { elementsOf } from "../../../src/net/port-map/table.ts";

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`${text} is no address`);
  return parsed;
}

function subnet(text: string) {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(`${text} is no prefix`);
  return networkOf(parsed);
}

const WEB: PortMap = {
  transport: "tcp",
  hostAddress: undefined,
  hostPort: 8080,
  target: address("10.88.0.2"),
  targetPort: 80,
  source: subnet("10.88.0.2/16"),
};

test("a map is named by what it takes, and the rest is its detail", () => {
  expect([portMapName(WEB), portMapDetail(WEB)]).toEqual(["0.0.0.0:8080/tcp", "10.88.0.2:80 10.88.0.0/16"]);
  const six: PortMap = {
    ...WEB,
    transport: "udp",
    hostAddress: address("2001:db8::1"),
    target: address("fd00::2"),
    source: "none",
  };
  expect([portMapName(six), portMapDetail(six)]).toEqual(["[2001:db8::1]:8080/udp", "[fd00::2]:80 none"]);
  expect(describePortMap({ ...six, hostAddress: undefined })).toBe("[::]:8080/udp to [fd00::2]:80");
});

const port = fc.integer({ min: 1, max: 65_535 });
const portMaps = fc.oneof(
  ...([4, 6] as const).map((family) => {
    const bits = family === 4 ? 32 : 128;
    const value = fc.bigInt({ min: 1n, max: (1n << BigInt(bits)) - 1n });
    const one = value.map((number): Address => ({ family, value: number }));
    return fc.record<PortMap>({
      transport: fc.constantFrom(...TRANSPORTS),
      hostAddress: fc.option(one, { nil: undefined }),
      hostPort: port,
      target: one,
      targetPort: port,
      source: fc.oneof(
        fc.constantFrom("none" as const, "all" as const),
        fc
          .record({ address: one, length: fc.integer({ min: 0, max: bits }) })
          .map((prefix) => networkOf(prefix)),
      ),
    });
  }),
);

test("what is written down reads back as it was", () => {
  fc.assert(
    fc.property(portMaps, (map) => {
      expect(parsePortMap(portMapName(map), portMapDetail(map))).toEqual(map);
    }),
  );
});

test("two maps have one name exactly if they are one element of one map in the kernel", () => {
  const place = (map: PortMap) => {
    const [first] = elementsOf(map, "");
    return `${first?.set} ${first?.element.key.toHex()}`;
  };
  fc.assert(
    fc.property(portMaps, portMaps, (left, right) => {
      expect(portMapName(left) === portMapName(right)).toBe(place(left) === place(right));
      const moved = { ...left, targetPort: right.targetPort, source: right.source };
      expect([portMapName(moved), place(moved)]).toEqual([portMapName(left), place(left)]);
    }),
  );
});

test.each([
  ["", ""],
  ["0.0.0.0:8080", "10.88.0.2:80 none"],
  ["0.0.0.0:8080/icmp", "10.88.0.2:80 none"],
  ["0.0.0.0:0/tcp", "10.88.0.2:80 none"],
  ["0.0.0.0:65536/tcp", "10.88.0.2:80 none"],
  ["here:8080/tcp", "10.88.0.2:80 none"],
  ["0.0.0.0:8080/tcp", "10.88.0.2 none"],
  ["0.0.0.0:8080/tcp", "10.88.0.2:80"],
  ["0.0.0.0:8080/tcp", "10.88.0.2:80 some"],
])("what nobody wrote down is no map: %s, %s", (name, detail) => {
  expect(parsePortMap(name, detail)).toBeUndefined();
});

test("ports are whole numbers from 1 to 65535", () => {
  expect([1, 65_535].every(isPort)).toBe(true);
  expect([0, -1, 65_536, 1.5, Number.NaN, Number.POSITIVE_INFINITY].some(isPort)).toBe(false);
});

test("a map is where it leads and whose sources are hidden, or that it is not for the loopback", () => {
  const sets = (map: PortMap) => elementsOf(map, "warren lab c1 eth0").map(({ set }) => set);
  expect(sets(WEB)).toEqual(["portmap-ipv4", "portmap-ipv4-masquerade"]);
  expect(sets({ ...WEB, hostAddress: address("192.0.2.1") })).toEqual([
    "portmap-ipv4-address",
    "portmap-ipv4-masquerade",
  ]);
  expect(sets({ ...WEB, source: "none" })).toEqual(["portmap-ipv4", "portmap-not-on-loopback"]);
  expect(sets({ ...WEB, source: "none", hostAddress: address("192.0.2.1") })).toEqual([
    "portmap-ipv4-address",
  ]);
  expect(sets({ ...WEB, source: "none", target: address("fd00::2") })).toEqual(["portmap-ipv6"]);
  const [, sources] = elementsOf(WEB, "warren lab c1 eth0");
  expect(sources?.element).toEqual({
    key: Uint8Array.of(10, 88, 0, 2, 6, 0, 0, 0, 0, 80, 0, 0),
    data: { code: -3, chain: "portmap-masquerade-10.88.0.0/16" },
    comment: "warren lab c1 eth0",
  });
  expect(sourceChainName(subnet("fd00:88::7/64"))).toBe("portmap-masquerade-fd00_88__/64");
});

test("an owner that is too long for a comment is left out rather than cut", () => {
  expect(elementsOf(WEB, "x".repeat(253)).map(({ element }) => element.comment?.length)).toEqual([253, 253]);
  expect(elementsOf(WEB, "x".repeat(254)).map(({ element }) => element.comment)).toEqual(["", ""]);
  expect(elementsOf(WEB, "ü".repeat(127)).map(({ element }) => element.comment)).toEqual(["", ""]);
});
