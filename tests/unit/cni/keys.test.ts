// Keys as Go's JSON reads them. The same rows are put to the reference plugins themselves in
// tests/netns/host-local.test.ts; here are the depths and corners that no plugin's config reaches.
import { expect, test } from "bun:test";
import * as v from "valibot";
import { withKnownKeys } from "../../../src/cni/keys.ts";

const text = v.nullish(v.string());
const schema = v.object({
  bridge: text,
  isGateway: v.nullish(v.boolean()),
  ipam: v.nullish(
    v.strictObject({ subnet: text, ranges: v.nullish(v.array(v.array(v.object({ subnet: text })))) }),
  ),
  sysctl: v.nullish(v.record(v.string(), v.string())),
  list: v.nullish(v.array(v.string())),
  "cni.dev/valid-attachments": v.nullish(v.array(v.object({ containerID: v.string() }))),
  checked: v.nullish(
    v.pipe(
      v.object({ innerKey: text }),
      v.check(() => true),
    ),
  ),
});

test.each<[input: unknown, output: unknown]>([
  [{ BRIDGE: "a" }, { bridge: "a" }],
  [{ isgateway: true, IsGateway: false }, { isGateway: false }],
  [{ bridge: "a", Bridge: "b" }, { bridge: "b" }],
  [{ Bridge: "b", bridge: "a" }, { bridge: "a" }],
  [{ bridge: "a", Bridge: null }, { bridge: "a" }],
  [{ Bridge: null, BRIDGE: "a" }, { bridge: "a" }],
  [{ Bridge: null }, { bridge: null }],
  [
    { IPAM: { SubNet: "x", Ranges: [[{ SUBNET: "y" }, { subnet: "z" }]] } },
    { ipam: { subnet: "x", ranges: [[{ subnet: "y" }, { subnet: "z" }]] } },
  ],
  [
    { "CNI.dev/Valid-Attachments": [{ containerid: "a" }] },
    { "cni.dev/valid-attachments": [{ containerID: "a" }] },
  ],
  [{ Checked: { INNERKEY: "a" } }, { checked: { innerKey: "a" } }],
  // free keys and unknown keys are the operator's own
  [
    { Sysctl: { "net.ipv4.conf.IFNAME.Arp": "1", bridge: "x" } },
    { sysctl: { "net.ipv4.conf.IFNAME.Arp": "1", bridge: "x" } },
  ],
  [
    { BRIDGE: "a", Other: { Bridge: 1 }, x: [1] },
    { bridge: "a", Other: { Bridge: 1 }, x: [1] },
  ],
])("%j is read as %j", (input, output) => {
  expect(withKnownKeys(schema, input)).toEqual(output);
});

test.each<[input: unknown]>([
  [{ bridge: "a", ipam: { subnet: "x", ranges: [[{ subnet: "y" }]] }, list: ["A"], unknown: { A: 1 } }],
  [[{ Bridge: 1 }]],
  [{ ipam: ["Subnet"], list: { A: 1 }, bridge: 7 }],
  [null],
  [undefined],
  ["Bridge"],
])("%j is returned itself, without a copy", (input) => {
  expect(withKnownKeys(schema, input)).toBe(input);
});

test("names that every object has are keys like any other", () => {
  const input: unknown = JSON.parse('{"__proto__": {"bridge": "x"}, "constructor": 1, "Bridge": "a"}');
  const output = withKnownKeys(schema, input);
  expect(Object.getPrototypeOf(output)).toBe(Object.prototype);
  expect(JSON.stringify(output)).toBe('{"__proto__":{"bridge":"x"},"constructor":1,"bridge":"a"}');
});
