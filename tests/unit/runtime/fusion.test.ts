// Conflists in both forms: what moves where, what stays and why, and that one direction undoes the other.
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { CniError } from "../../../src/cni/error.ts";
import { type JsonObject, parseJson } from "../../../src/conflist/json.ts";
import { fuse, split } from "../../../src/runtime/fusion.ts";

const STORE = "/var/lib/cni/warren";
const ANNOTATIONS = "io.kubernetes.cri.pod-annotations";
const CONF = resolve(import.meta.dir, "../../../conf");

/** What podman writes, in the order in which it writes it. */
const PODMAN: JsonObject = {
  cniVersion: "0.4.0",
  name: "podman",
  plugins: [
    { type: "bridge", bridge: "cni-podman0", isGateway: true, ipMasq: true, ipam: { type: "host-local" } },
    { type: "portmap", capabilities: { portMappings: true } },
    { type: "firewall", backend: "" },
    { type: "tuning", capabilities: { mac: true }, sysctl: { "net.core.somaxconn": "500" } },
  ],
};

const listOf = (...plugins: readonly JsonObject[]): JsonObject => ({
  cniVersion: "1.1.0",
  name: "lab",
  plugins,
});
const BRIDGE = { type: "warren-bridge", bridge: "br0" };

describe("fuse", () => {
  test("takes in the four plugins of podman's chain with their capabilities", () => {
    const { document, changes } = fuse(PODMAN, STORE);
    expect(document).toEqual({
      cniVersion: "0.4.0",
      name: "podman",
      plugins: [
        {
          type: "warren-bridge",
          bridge: "cni-podman0",
          isGateway: true,
          ipMasq: true,
          ipam: { type: "host-local" },
          capabilities: { portMappings: true, mac: true },
          portmap: {},
          firewall: { backend: "" },
          tuning: { sysctl: { "net.core.somaxconn": "500" } },
        },
      ],
    });
    expect(changes).toEqual([
      'portmap is now the key "portmap" of the first plugin',
      'firewall is now the key "firewall" of the first plugin',
      'tuning is now the key "tuning" of the first plugin',
      "the first plugin is now warren-bridge: a bridge of another suite would pass over the new keys",
    ]);
  });

  test("takes the pod's annotations along with the bandwidth that reads them, and gives them back", () => {
    const capabilities = { bandwidth: true, [ANNOTATIONS]: true };
    const list = listOf(BRIDGE, { type: "warren-bandwidth", capabilities });
    const { document } = fuse(list, STORE);
    expect(document.plugins).toEqual([{ ...BRIDGE, capabilities, bandwidth: {} }]);
    expect(split(document, STORE).document).toEqual(list);
    const capable = { capabilities: { [ANNOTATIONS]: true } };
    const both = listOf(
      BRIDGE,
      { type: "warren-bandwidth", ...capable },
      { type: "warren-netem", ...capable, netem: "loss=1%" },
    );
    const fused = fuse(both, STORE).document;
    expect(fused.plugins).toEqual([{ ...BRIDGE, ...capable, bandwidth: {}, netem: { netem: "loss=1%" } }]);
    expect(split(fused, STORE).document).toEqual(both);
  });

  const STAYS: Readonly<Record<string, readonly [plugins: readonly JsonObject[], reason: string]>> = {
    "a plugin that is none of ours": [[BRIDGE, { type: "sbr" }], "only portmap, bandwidth, firewall, tuning"],
    "one behind it, whose order would change": [
      [BRIDGE, { type: "sbr" }, { type: "firewall" }],
      "firewall stays in the chain: it stands behind one that stays",
    ],
    "a second one of a kind": [
      [
        { ...BRIDGE, tuning: { mtu: 1400 } },
        { type: "tuning", promisc: true },
      ],
      "the first plugin has it already",
    ],
    "one with another store": [
      [BRIDGE, { type: "firewall", dataDir: "/elsewhere" }],
      'it writes to the store in "/elsewhere", and the first plugin to "/var/lib/cni/warren"',
    ],
    "one without a store where the first plugin has one": [
      [{ ...BRIDGE, ipam: { dataDir: "/elsewhere" } }, { type: "firewall" }],
      'it writes to the store in "/var/lib/cni/warren", and the first plugin to "/elsewhere"',
    ],
    "one whose runtime config is in the file": [
      [BRIDGE, { type: "portmap", runtimeConfig: { portMappings: [] } }],
      'its "runtimeConfig" is written into the file',
    ],
    "a tuning whose address counts before that of the runtime": [
      [
        { ...BRIDGE, capabilities: { mac: true } },
        { type: "tuning", mac: "02:00:00:00:00:01" },
      ],
      'its "mac" counts before the one that a runtime gives the first plugin',
    ],
    "one that does not read the pod's annotations, where inside it would": [
      [
        { ...BRIDGE, bandwidth: {}, capabilities: { [ANNOTATIONS]: true } },
        { type: "warren-netem", lat: "5ms" },
      ],
      "netem stays in the chain: it does not read the pod's annotations, and inside it would",
    ],
    "one that reads the pod's annotations, where another one would then read them, too": [
      [
        { ...BRIDGE, bandwidth: { ingressRate: 8000, ingressBurst: 8000 } },
        { type: "warren-netem", capabilities: { [ANNOTATIONS]: true } },
      ],
      "it reads the pod's annotations, and bandwidth, which is inside already, would read them, too",
    ],
    "everything behind a plugin that can't have others inside": [
      [{ type: "ipvlan" }, { type: "firewall" }],
      'the first plugin would have to be one of bridge, ptp, macvlan, and it is "ipvlan"',
    ],
  };
  for (const [name, [plugins, reason]] of Object.entries(STAYS)) {
    test(`leaves ${name} as it is, and says why`, () => {
      const list = listOf(...plugins);
      const { document, changes } = fuse(list, STORE);
      expect(document).toBe(list);
      expect(changes.join("\n")).toContain(reason);
    });
  }

  test("takes in what stands before one that stays", () => {
    const { document } = fuse(
      listOf(BRIDGE, { type: "firewall" }, { type: "sbr" }, { type: "tuning" }),
      STORE,
    );
    expect(document.plugins).toEqual([{ ...BRIDGE, firewall: {} }, { type: "sbr" }, { type: "tuning" }]);
  });

  test("takes in of the capabilities only what the plugin itself reads", () => {
    const { document } = fuse(
      listOf(
        { ...BRIDGE, capabilities: { mac: true, portMappings: false } },
        { type: "portmap", capabilities: { portMappings: true, bandwidth: true } },
        { type: "firewall", capabilities: { ips: true } },
        { type: "tuning", capabilities: { mac: false, portMappings: false } },
      ),
      STORE,
    );
    expect(document.plugins).toEqual([
      { ...BRIDGE, capabilities: { mac: true, portMappings: true }, portmap: {}, firewall: {}, tuning: {} },
    ]);
  });

  test("reads and writes keys in any case of letters, and leaves no second spelling", () => {
    const chain = {
      Plugins: [
        { Type: "bridge", Capabilities: { mac: true }, IPAM: { DataDir: "/srv" } },
        { TYPE: "portmap", CAPABILITIES: { portMappings: true }, DATADIR: "/srv", SNAT: false },
      ],
    };
    const fused = fuse(chain, STORE).document;
    expect(fused).toEqual({
      plugins: [
        {
          type: "warren-bridge",
          ipam: { dataDir: "/srv" },
          capabilities: { mac: true, portMappings: true },
          portmap: { SNAT: false },
        },
      ],
    });
    const [first] = fused.plugins as JsonObject[];
    const { portmap, ...rest } = first ?? {};
    expect(split({ PLUGINS: [{ ...rest, PortMap: portmap }] }, STORE)).toEqual(split(fused, STORE));
  });

  test("keeps every digit of a number", () => {
    const text =
      '{"plugins": [{"type": "warren-bridge"}, {"type": "bandwidth", "ingressRate": 18446744073709551615}]}';
    const { document } = fuse(parseJson(text, "list") as JsonObject, STORE);
    expect(JSON.stringify(document)).toContain('"bandwidth":{"ingressRate":18446744073709551615}');
  });

  test.each([
    [{}, '"plugins" is nothing'],
    [{ plugins: [{}] }, "plugins[0] is {}"],
    [{ plugins: [BRIDGE, "firewall"] }, 'plugins[1] is "firewall"'],
  ])("refuses %j", (document, message) => {
    for (const rewrite of [fuse, split]) {
      expect(() => rewrite(document, STORE)).toThrow(message);
      expect(() => rewrite(document, STORE)).toThrow(CniError);
    }
  });
});

describe("split", () => {
  test("is the inverse: a chain of ours comes back as it was", () => {
    const chain = listOf(
      { ...BRIDGE, ipam: { type: "warren-ipam", dataDir: "/srv/leases" }, capabilities: { ips: true } },
      { type: "warren-portmap", capabilities: { portMappings: true }, dataDir: "/srv/leases", snat: false },
      { type: "warren-bandwidth", capabilities: { bandwidth: true }, dataDir: "/srv/leases" },
      { type: "warren-firewall", dataDir: "/srv/leases", ingressPolicy: "isolated" },
      { type: "warren-tuning", dataDir: "/srv/leases", mtu: 1400 },
      { type: "sbr" },
    );
    const fused = fuse(chain, STORE).document;
    expect((fused.plugins as JsonObject[]).map(({ type }) => type)).toEqual(["warren-bridge", "sbr"]);
    expect(split(fused, STORE).document).toEqual(chain);
    expect(fuse(split(fused, STORE).document, STORE).document).toEqual(fused);
  });

  test("a capability alone becomes a plugin", () => {
    const list = listOf({ ...BRIDGE, capabilities: { portMappings: true, mac: true } });
    const { document, changes } = split(list, STORE);
    expect(document.plugins).toEqual([
      { ...BRIDGE, capabilities: { mac: true } },
      { type: "warren-portmap", capabilities: { portMappings: true } },
    ]);
    expect(changes).toEqual(["warren-portmap is now a plugin of its own"]);
  });

  test("lets an address of tuning count after that of the runtime, as inside", () => {
    const mac = "02:00:00:00:00:01";
    const list = listOf({ ...BRIDGE, capabilities: { mac: true }, tuning: { mac } });
    const { document } = split(list, STORE);
    expect(document.plugins).toEqual([
      { ...BRIDGE, capabilities: { mac: true } },
      { type: "warren-tuning", capabilities: { mac: true }, mac },
    ]);
    expect(fuse(document, STORE).document).toEqual(list);
  });

  test("gives no meaning to keys that have none inside", () => {
    const inside = {
      Type: "other",
      capabilities: { mac: true },
      runtimeConfig: {},
      ingressPolicy: "isolated",
    };
    expect(split(listOf({ ...BRIDGE, firewall: inside }), STORE).document.plugins).toEqual([
      BRIDGE,
      { type: "warren-firewall", ingressPolicy: "isolated" },
    ]);
  });

  test.each([[true], [[]], ["open"], [5]])("refuses %j where an object belongs", (firewall) => {
    expect(() => split(listOf({ ...BRIDGE, firewall }), STORE)).toThrow('"firewall" of the first plugin is');
  });

  test("leaves a list alone that has nothing inside", () => {
    const list = listOf(BRIDGE, { type: "firewall" });
    expect(split(list, STORE)).toEqual({
      document: list,
      changes: ["nothing changed: the first plugin has no other inside"],
    });
  });
});

test.each(readdirSync(CONF).filter((file) => file.endsWith(".conflist")))(
  "%s survives both directions",
  (file) => {
    const document = JSON.parse(readFileSync(join(CONF, file), "utf8"));
    // once in that form: a capability of tuning's, such as mac, is the first plugin's from then on
    const chain = split(fuse(document, STORE).document, STORE).document;
    expect(split(fuse(chain, STORE).document, STORE).document).toEqual(chain);
  },
);
