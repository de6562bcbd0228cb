// Names and arguments that come from outside: what is let in, and what the refusal says.
import { expect, test } from "bun:test";
import { parseArguments } from "../../../src/cni/arguments.ts";
import { checkContainerId, checkInterfaceName, checkNetworkName } from "../../../src/cni/names.ts";
import { compareVersions, parseVersion } from "../../../src/cni/version.ts";

function refusal(work: () => void): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
}

test.each(["a", "9", "A.b_c-d", `${"x".repeat(300)}`, "294e5a00691dfbb9d727"])(
  "X-04 %p is a container id and a network's name",
  (name) => {
    expect(refusal(() => checkContainerId(name))).toBeUndefined();
    expect(refusal(() => checkNetworkName(name))).toBeUndefined();
  },
);

test.each([".a", "-a", "_a", "a b", "a/b", "../a", "a\n", "a\0", "ä", "a:b"])(
  "X-04 %p is neither a container id nor a network's name, and the refusal shows it",
  (name) => {
    expect(refusal(() => checkContainerId(name))).toMatchObject({
      code: 4,
      message: "invalid characters in containerID",
      details: JSON.stringify(name),
    });
    expect(refusal(() => checkNetworkName(name))).toMatchObject({
      code: 7,
      message: "invalid characters found in network name",
      details: JSON.stringify(name),
    });
  },
);

test.each<[name: string, message: string | undefined]>([
  ["eth0", undefined],
  ["123456789012345", undefined],
  ["äöü", undefined],
  ["", "interface name is empty"],
  ["1234567890123456", "interface name is too long"],
  ["ääääääää", "interface name is too long"],
  [".", "interface name is . or .."],
  ["..", "interface name is . or .."],
  ["a/b", "interface name contains / or : or whitespace characters"],
  ["a:b", "interface name contains / or : or whitespace characters"],
  ["a b", "interface name contains / or : or whitespace characters"],
  ["a\tb", "interface name contains / or : or whitespace characters"],
  ["a\u2003b", "interface name contains / or : or whitespace characters"],
  ["\ud800", "interface name is no Unicode text"],
  ["eth\udc00", "interface name is no Unicode text"],
])("X-04 the interface name %p: %p", (name, message) => {
  const error = refusal(() => checkInterfaceName(name));
  if (message === undefined) expect(error).toBeUndefined();
  else expect(error).toMatchObject({ code: 4, message });
});

test.each<[text: string, args: object]>([
  ["", {}],
  [";", {}],
  ["IP=10.1.0.2;", { IP: "10.1.0.2" }],
  ["IgnoreUnknown=1;K8S_POD_NAME=a;X=y", { IgnoreUnknown: "1", K8S_POD_NAME: "a" }],
  ["X=y;IgnoreUnknown=TRUE", { IgnoreUnknown: "TRUE" }],
  ["K8S_POD_UID=a=b", { K8S_POD_UID: "a=b" }],
  ["IP=", { IP: "" }],
])("S0-15 CNI_ARGS %p are read", (text, args) => expect<unknown>(parseArguments(text)).toEqual(args));

test.each<[text: string, message: string]>([
  ["IP", 'ARGS: invalid pair "IP"'],
  ["=x", 'ARGS: invalid pair "=x"'],
  ["X=y;ip=1", 'ARGS: unknown args ["X=y","ip=1"]'],
  ["X=y;IgnoreUnknown=0", 'ARGS: unknown args ["X=y"]'],
  ["X=y;IgnoreUnknown=maybe", 'CNI_ARGS: IgnoreUnknown is "maybe"'],
  ["__proto__=y", 'ARGS: unknown args ["__proto__=y"]'],
])("S0-15 CNI_ARGS %p are refused with code 4", (text, message) => {
  expect(refusal(() => parseArguments(text))).toMatchObject({ code: 4, message });
});

test("versions are read as libcni reads them and compared by number", () => {
  expect(parseVersion("1.1")).toEqual([1, 1, 0]);
  for (const bad of ["", "1.", "1.a", "1.2.3.4", "-1"]) expect(parseVersion(bad)).toBeUndefined();
  expect(compareVersions("0.10.0", "0.9.0")).toBeGreaterThan(0);
  expect(compareVersions("0.3.1", "0.4")).toBeLessThan(0);
  expect(compareVersions("1.1", "1.1.0")).toBe(0);
});
