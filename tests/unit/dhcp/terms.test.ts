// What a DHCPACK means, and what of it is not believed.
import { expect, test } from "bun:test";
import type { DhcpMessage } from "../../../src/dhcp/message.ts";
import { OptionCode } from "../../../src/dhcp/option.ts";
import { resultOf, termsOf } from "../../../src/dhcp/terms.ts";

const MASK = [255, 255, 255, 0];
const SERVER = [10, 0, 0, 1];
const NOWHERE = { family: 4, value: 0n } as const;

function ack(
  more: Readonly<Record<number, readonly number[] | undefined>>,
  address = 0x0a00_0007n,
): DhcpMessage {
  const options = { [OptionCode.serverIdentifier]: SERVER, [OptionCode.subnetMask]: MASK, ...more };
  return {
    ...{ operation: 2, transactionId: 1, seconds: 0, broadcast: false },
    ...{ clientAddress: NOWHERE, nextServer: NOWHERE, relay: NOWHERE, hardwareAddress: new Uint8Array(6) },
    yourAddress: { family: 4, value: address },
    options: new Map(
      Object.entries(options).flatMap(([code, value]) =>
        value === undefined ? [] : [[Number(code), Uint8Array.from(value)] as const],
      ),
    ),
  };
}

function routes(more: Readonly<Record<number, readonly number[]>>) {
  const terms = termsOf(ack(more));
  return typeof terms === "string" ? terms : resultOf(terms, undefined).routes;
}

const ROUTER = { [OptionCode.routers]: [10, 0, 0, 9, 10, 0, 0, 8] };
const CLASSFUL = { [OptionCode.staticRoutes]: [172, 16, 3, 0, 10, 0, 0, 4, 0, 0, 0, 0, 10, 0, 0, 5] };
const everywhere = { dst: "0.0.0.0/0", gw: "10.0.0.9" };

test.each([
  ["the first router is the default route", ROUTER, [everywhere]],
  ["networks by their class, but no default route", CLASSFUL, [{ dst: "172.16.0.0/16", gw: "10.0.0.4" }]],
  ["both", { ...ROUTER, ...CLASSFUL }, [{ dst: "172.16.0.0/16", gw: "10.0.0.4" }, everywhere]],
  [
    "classless ones are the only ones",
    { ...ROUTER, ...CLASSFUL, [OptionCode.classlessRoutes]: [0, 10, 0, 0, 2, 32, 8, 8, 8, 8, 10, 0, 0, 3] },
    [
      { dst: "0.0.0.0/0", gw: "10.0.0.2" },
      { dst: "8.8.8.8/32", gw: "10.0.0.3" },
    ],
  ],
  [
    "a classless one without a router is on the link, and its host bits are not meant",
    { [OptionCode.classlessRoutes]: [20, 192, 168, 255, 0, 0, 0, 0] },
    [{ dst: "192.168.240.0/20", gw: "0.0.0.0", scope: 253 }],
  ],
  [
    "classless ones that are cut are none",
    { ...ROUTER, [OptionCode.classlessRoutes]: [24, 10, 1, 2, 10] },
    [everywhere],
  ],
  [
    "nor are those with a prefix of 33",
    { ...ROUTER, [OptionCode.classlessRoutes]: [33, 1, 2, 3, 4, 5, 1, 1, 1, 1] },
    [everywhere],
  ],
  ["a router of three bytes is none", { [OptionCode.routers]: [10, 0, 0] }, []],
  [
    "what is no router is none: the container itself, nobody, everybody, a loopback, many",
    {
      [OptionCode.routers]: [
        ...[10, 0, 0, 7, 0, 0, 0, 0, 255, 255, 255, 255, 127, 0, 0, 1, 224, 0, 0, 1],
        ...[10, 0, 0, 9],
      ],
      [OptionCode.staticRoutes]: [172, 16, 0, 0, 10, 0, 0, 7],
    },
    [everywhere],
  ],
  [
    "nor is it one of a classless route",
    { [OptionCode.classlessRoutes]: [0, 10, 0, 0, 7, 8, 20, 224, 0, 0, 1, 8, 30, 10, 0, 0, 2] },
    [{ dst: "30.0.0.0/8", gw: "10.0.0.2" }],
  ],
  [
    "those on the link come first, for others may go by them",
    { [OptionCode.classlessRoutes]: [0, 172, 20, 0, 1, 16, 172, 20, 0, 0, 0, 0] },
    [
      { dst: "172.20.0.0/16", gw: "0.0.0.0", scope: 253 },
      { dst: "0.0.0.0/0", gw: "172.20.0.1" },
    ],
  ],
  [
    "a router outside of the network is on the link, as with an address of a whole /32",
    { [OptionCode.subnetMask]: [255, 255, 255, 255], ...ROUTER },
    [{ dst: "10.0.0.9/32", gw: "0.0.0.0", scope: 253 }, everywhere],
  ],
])("routes: %s", (_, more, expected) => {
  expect(routes(more)).toEqual(expected);
});

const seconds = (value: number) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
const NEVER = Number.POSITIVE_INFINITY;

test.each([
  ["an hour where nothing is said", [undefined, undefined, undefined], [1800, 3150, 3600]],
  ["a half and seven eighths", [80, undefined, undefined], [40, 70, 80]],
  ["what the server says", [80, 10, 20], [10, 20, 80]],
  ["not in the wrong order", [80, 60, 50], [40, 70, 80]],
  ["not beyond the end", [80, 10, 90], [40, 70, 80]],
  ["not at once", [80, 0, 20], [40, 70, 80]],
  ["a second at least", [0, undefined, undefined], [0.5, 0.875, 1]],
  ["for ever", [0xffff_ffff, 5, 6], [NEVER, NEVER, NEVER]],
])("times: %s", (_, [lease, renew, rebind], [renewSeconds, rebindSeconds, leaseSeconds]) => {
  const option = (value: number | undefined) => (value === undefined ? undefined : seconds(value));
  const times = { 51: option(lease), 58: option(renew), 59: option(rebind) };
  expect(termsOf(ack(times))).toMatchObject({ renewSeconds, rebindSeconds, leaseSeconds } as object);
});

test.each([
  ["a mask", { [OptionCode.subnetMask]: undefined }, "no subnet mask"],
  ["a mask that is one", { [OptionCode.subnetMask]: [255, 0, 255, 0] }, "255.0.255.0, which is none"],
  ["a server", { [OptionCode.serverIdentifier]: undefined }, "does not say who it is"],
])("a lease needs %s", (_, more, words) => {
  expect(termsOf(ack(more))).toContain(words);
});

test.each([
  ["127.0.0.1", 0x7f00_0001n, MASK],
  ["224.0.0.1", 0xe000_0001n, MASK],
  ["255.255.255.255", 0xffff_ffffn, [255, 255, 255, 255]],
  ["0.0.0.7", 7n, MASK],
  ["10.0.0.0/24", 0x0a00_0000n, MASK],
  ["10.0.0.255/24", 0x0a00_00ffn, MASK],
])("%s is no machine's address", (text, address, mask) => {
  expect(termsOf(ack({ [OptionCode.subnetMask]: mask }, address))).toContain(
    `the server gave the address ${text}, which`,
  );
});

test("a name server is one that can be asked", () => {
  const all = [0, 0, 0, 0, 127, 0, 0, 53, 239, 0, 0, 1, 255, 255, 255, 255, 9, 9, 9, 9];
  const terms = termsOf(ack({ [OptionCode.nameServers]: all }));
  expect(typeof terms === "string" ? terms : resultOf(terms, undefined).dns).toEqual({
    nameservers: ["127.0.0.53", "9.9.9.9"],
  });
});

test.each([
  [[255, 255, 255, 255], 32],
  [[255, 255, 255, 254], 31],
  [[128, 0, 0, 0], 1],
  [[0, 0, 0, 0], 0],
])("the mask %p is the length %p", (mask, length) => {
  expect(termsOf(ack({ [OptionCode.subnetMask]: mask }))).toMatchObject({ address: { length } });
});

const label = (text: string) => [text.length, ...new TextEncoder().encode(text)];

test.each([
  [
    "with a pointer to the front",
    [...label("a"), ...label("lab"), 0, ...label("b"), 0xc0, 2],
    ["a.lab", "b.lab"],
  ],
  ["with a pointer to itself", [0xc0, 0], []],
  ["with a pointer behind its end", [...label("a"), 0xc0, 9], []],
  ["that is cut", [5, 0x61], []],
  ["with a space", [...label("a b"), 0], []],
  ["with what no name has", [...label("a;b"), 0], []],
  ["with a dot inside a label", [...label("a.b"), 0], []],
])("a search list %s", (_, bytes, search) => {
  expect(termsOf(ack({ [OptionCode.domainSearch]: bytes }))).toMatchObject({ search });
});

test.each([
  ["lab.example", "lab.example"],
  ["lab\0", "lab"],
  ["lab\nnameserver 6.6.6.6", undefined],
  ["_tcp.lab-1.example.", "_tcp.lab-1.example."],
  ["lab.example\0other", undefined],
  ["$(reboot)", undefined],
  ["-lab", undefined],
  ["lab..example", undefined],
  ["a".repeat(64), undefined],
  ["a.".repeat(128), undefined],
  ["", undefined],
])("the domain %j is %j", (text, domain) => {
  const terms = termsOf(ack({ [OptionCode.domainName]: [...new TextEncoder().encode(text)] }));
  expect(terms).toMatchObject({ domain } as object);
});

test("an MTU that no link can have is none", () => {
  expect(termsOf(ack({ [OptionCode.interfaceMtu]: [2, 63] }))).toMatchObject({ mtu: undefined });
  expect(termsOf(ack({ [OptionCode.interfaceMtu]: [2, 64] }))).toMatchObject({ mtu: 576 });
});
