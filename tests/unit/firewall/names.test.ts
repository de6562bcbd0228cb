// Names that the firewall takes from a config and writes into the store, without a kernel.
import { describe, expect, test } from "bun:test";
import { formatAddress, parseAddress } from "../../../src/ip/address.ts";
import {
  adminChainProblem,
  elementNamed,
  nameOfElement,
  podElement,
} from "../../../src/net/firewall/parts.ts";

describe("the operator's chain", () => {
  test.each(["admin", "CNI-ADMIN", "a", "Z_9-x", "a".repeat(28)])("may be called %s", (name) => {
    expect(adminChainProblem(name)).toBeUndefined();
  });

  test.each([
    "",
    "9lives",
    "-x",
    "_x",
    "a b",
    "a\n",
    "a.b",
    "a/b",
    "a{",
    "ä",
    "a".repeat(29),
    "accept",
    "DROP",
    "Return",
    "goto",
    "firewall",
    "Firewall-admins",
    "masquerade-lab",
  ])("may not be called %j", (name) => {
    expect(adminChainProblem(name)).toBeString();
  });
});

describe("an element in the ledger", () => {
  test.each(["10.88.0.2", "fd00:88::2", "255.255.255.255", "::"])("%s of a pod reads back", (text) => {
    const address = parseAddress(text);
    if (address === undefined) throw new Error(text);
    const element = podElement(address);
    expect(element).toEqual({ set: `pods-ipv${address.family}`, value: formatAddress(address) });
    expect(elementNamed(nameOfElement(element))).toEqual(element);
  });

  test.each(["guarded", "same-bridge", "isolated", "isolated-ports"] as const)("%s reads back", (set) => {
    const element = { set, value: "br0.100" };
    expect(nameOfElement(element)).toBe(`${set} br0.100`);
    expect(elementNamed(`${set} br0.100`)).toEqual(element);
  });

  test.each(["", "guarded", "nobody br0", "toString br0", "constructor x"])("%j is none", (name) => {
    expect(elementNamed(name)).toBeUndefined();
  });
});
