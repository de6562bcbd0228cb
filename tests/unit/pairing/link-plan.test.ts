// What labels amount to, without a store or a kernel: which of several places counts, how links and their ends come of it,
// and what is refused in which words.
import { describe, expect, test } from "bun:test";
import { formatPrefix } from "../../../src/ip/prefix.ts";
import { isEligible, isLabelName, readLabels } from "../../../src/pairing/labels.ts";
import { formatRoute, podPlan } from "../../../src/pairing/link-plan.ts";

const LINK = {
  "warren.pair.pod_name": "one",
  "warren.pair.primary": "yes",
  "warren.pair.pair_name": "two",
  "warren.pair.local_ifname": "in1",
  "warren.pair.pair_ifname": "in2",
};

type Named = Readonly<Record<string, string>>;

function plan(labels: Named, fallback = {}) {
  return podPlan(readLabels([Object.entries(labels)]), fallback);
}

function refusal(labels: Named): string {
  try {
    plan({ ...LINK, ...labels });
    return "";
  } catch (error) {
    return String((error as Error).message);
  }
}

describe("labels", () => {
  test("S1-03 the first source counts label by label, and in one source our own name before the other", () => {
    const labels = readLabels([
      Object.entries({ "ratchet.local_ip": "a", "warren.pair.local_ip": "b", ratchet: "no" }),
      Object.entries({ "warren.pair.local_ip": "c", "ratchet.pair_ip": "d", "warren.pair": "yes" }),
    ]);
    expect(labels.sets.get(0)?.get("local_ip")).toBe("b");
    expect(labels.sets.get(0)?.get("pair_ip")).toBe("d");
    expect(isEligible(labels)).toBe(false);
  });

  test.each([
    ["warren.pair", true],
    ["ratchet", true],
    ["ratchet.pod_name", true],
    ["warren.pair.12.pod_name", true],
    ["warrenxpair", false],
    ["ratchet-x", false],
    ["ratchet.1.2.x", false],
    ["K8S_POD_NAME", false],
    ["", false],
  ] as const)("%p is one of ours: %p", (name, ours) => {
    expect(isLabelName(name)).toBe(ours);
  });

  test("S1-02 no label at all is no", () => {
    expect(isEligible(readLabels([]))).toBe(false);
    expect(() => isEligible(readLabels([[["ratchet", "perhaps"]]]))).toThrow('is "perhaps"');
  });
});

describe("links", () => {
  test("a pair needs its name and no more, and Kubernetes may say that", () => {
    const pair = plan({ "ratchet.primary": "false" }, { podName: "two", podNamespace: "red" });
    expect(pair).toMatchObject({ podName: "two", podNamespace: "red", links: [] });
    expect(() => plan({ "ratchet.primary": "false" })).toThrow("label warren.pair.pod_name is missing");
  });

  test.each(["mirror", "mtu", "vni", "pair_parent_address", "local_ip"])(
    "a pod that says %s of a link has to say which",
    (key) => {
      const labels = { "warren.pair.pod_name": "two", [`warren.pair.${key}`]: "99999999" };
      expect(() => plan(labels)).toThrow("label warren.pair.pair_name is missing");
    },
  );

  test("S1-10 an address without a length has the usual one, several are taken one by one", () => {
    const { links } = plan({
      ...LINK,
      "warren.pair.local_ip": "192.168.2.100, fd00::1",
      "warren.pair.pair_ip": "192.168.2.101,fd00::2/64",
    });
    expect(links[0]?.primary.addresses.map(formatPrefix)).toEqual(["192.168.2.100/24", "fd00::1/64"]);
    expect(links[0]?.pair.addresses.map(formatPrefix)).toEqual(["192.168.2.101/24", "fd00::2/64"]);
  });

  test("an address of full length beside another one is a pod's own", () => {
    const { links } = plan({
      ...LINK,
      "warren.pair.local_ip": "10.0.0.1/30,1.1.1.1/32",
      "warren.pair.pair_ip": "fd00::1/128,10.0.0.2/30",
    });
    expect(links[0]?.primary.addresses.map(formatPrefix)).toEqual(["10.0.0.1/30", "1.1.1.1/32"]);
  });

  test("the pair may say all of it from its own side, and means the same link", () => {
    const primary = plan({ ...LINK, "warren.pair.vni": "7" });
    const pair = plan({
      "warren.pair.pod_name": "two",
      "warren.pair.primary": "0",
      "warren.pair.pair_name": "one",
      "warren.pair.local_ifname": "in2",
      "warren.pair.pair_ifname": "in1",
      "warren.pair.vni": "7",
    });
    expect(pair.links).toEqual(primary.links);
  });

  test("S1-19 numbered sets are links of their own, and routes of all sets are the pod's", () => {
    const second = Object.entries(LINK).map(([name, value]) => [name.replace("pair.", "pair.2."), value]);
    const { links, routes } = plan({
      ...LINK,
      ...Object.fromEntries(second),
      "warren.pair.2.local_ifname": "in3",
      "warren.pair.2.pair_name": "three",
      "warren.pair.routes": "4.4.4.4/32 via 10.0.1.2",
      "warren.pair.2.routes": "fd00:9::/64 via fd00::2, 5.5.5.5/8 via 10.0.1.3",
    });
    expect(links.map(({ pair }) => pair.podName)).toEqual(["two", "three"]);
    expect(routes.map(formatRoute)).toEqual([
      "4.4.4.4/32 via 10.0.1.2",
      "fd00:9::/64 via fd00::2",
      "5.0.0.0/8 via 10.0.1.3",
    ]);
  });

  test.each([
    [{ "warren.pair.primary": "perhaps" }, 'label warren.pair.primary is "perhaps"'],
    [{ "warren.pair.pair_name": "" }, 'label warren.pair.pair_name is ""'],
    [{ "warren.pair.pair_name": "one" }, 'pod "one" is to be paired with itself'],
    [{ "warren.pair.local_ifname": "a/b" }, 'label warren.pair.local_ifname is "a/b"'],
    [{ "warren.pair.local_ifname": "lo" }, 'label warren.pair.local_ifname is "lo"'],
    [{ "warren.pair.pair_ifname": "x".repeat(16) }, "label warren.pair.pair_ifname is"],
    [{ "warren.pair.local_ip": "10.0.0.1/33", "warren.pair.pair_ip": "10.0.0.2" }, "local_ip is"],
    [{ "warren.pair.local_ip": "10.0.0.1" }, "one end has more addresses than the other"],
    [{ "warren.pair.local_ip": "10.0.0.1/24", "warren.pair.pair_ip": "10.0.0.2/25" }, "not in one subnet"],
    [{ "warren.pair.local_ip": "10.0.0.1", "warren.pair.pair_ip": "fd00::1" }, "not in one subnet"],
    [{ "warren.pair.local_ip": "10.0.0.1", "warren.pair.pair_ip": "10.0.0.1" }, "the same address"],
    [{ "warren.pair.local_ip": "10.0.0.0/30", "warren.pair.pair_ip": "10.0.0.1/30" }, "a whole subnet"],
    [{ "warren.pair.local_ip": "10.0.0.2/30", "warren.pair.pair_ip": "10.0.0.3/30" }, "a whole subnet"],
    [{ "warren.pair.local_ip": "10.0.0.1/32", "warren.pair.pair_ip": "10.0.0.2/32" }, "not in one subnet"],
    [{ "warren.pair.vni": "0" }, 'label warren.pair.vni is "0"'],
    [{ "warren.pair.vni": "16777216" }, "vni is"],
    [{ "warren.pair.mtu": "67" }, "mtu is"],
    [
      { "warren.pair.mtu": "1279", "warren.pair.local_ip": "fd00::1", "warren.pair.pair_ip": "fd00::2" },
      'mtu is "1279"',
    ],
    [{ "warren.pair.mirror": "both:eth0" }, "mirror is"],
    [{ "warren.pair.mirror": "mirror:both:in1" }, "mirror is"],
    [{ "warren.pair.routes": "4.4.4.4 via 10.0.0.1" }, "routes is"],
    [{ "warren.pair.routes": "4.4.4.4/32 via fd00::1" }, "routes is"],
    [{ "warren.pair.pair_parent_address": "node2" }, "pair_parent_address is"],
    [
      {
        "warren.pair.2.primary": "true",
        "warren.pair.2.pair_name": "x",
        "warren.pair.2.local_ifname": "in1",
        "warren.pair.2.pair_ifname": "y",
      },
      'pod "one" is to have two links called in1: to "two" and to "x"',
    ],
  ] as const)("%p is refused", (labels, words) => {
    expect(refusal(labels)).toContain(words);
  });
});
