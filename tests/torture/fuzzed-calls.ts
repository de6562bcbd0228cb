// Calls as somebody could make them by mistake or on purpose: valid configs and environments with a few things changed
// to what a value of that kind must not be, and sometimes their bytes as well. What is generated follows from the seed.
import fc from "fast-check";
import { CHAIN, SCENES } from "./scenes.ts";

/** One generated call of a plugin. */
export interface FuzzedCall {
  /** The name of the link to call. */
  readonly plugin: string;
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: Uint8Array;
}

/** What the generated calls may find on their host. */
export interface Grounds {
  /** Where stores and lease files may be made. */
  readonly directory: string;
  readonly netns: string;
  readonly pluginFolder: string;
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const VERBS = ["ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION"];

const RESULT = {
  cniVersion: "1.1.0",
  interfaces: [
    { name: "br0" },
    { name: "veth0" },
    { name: "eth0", mac: "0a:58:0a:58:00:02", sandbox: "/run/netns/pod1" },
  ],
  ips: [{ interface: 2, address: "10.88.0.2/16", gateway: "10.88.0.1" }],
  routes: [{ dst: "0.0.0.0/0", gw: "10.88.0.1" }],
  dns: { nameservers: ["10.88.0.1"] },
};

/** Configs that are valid, by plugin. */
function validConfigs({ directory }: Grounds): Record<string, Json>[] {
  const dataDir = `${directory}/store`;
  const common = { cniVersion: "1.1.0", name: "lab", dataDir };
  const plugins = [...SCENES, CHAIN].flatMap(({ plugins }) => plugins);
  const others = [
    {
      type: "warren-static",
      ipam: { type: "warren-static", addresses: [{ address: "10.91.0.9/24", gateway: "10.91.0.1" }] },
    },
    {
      type: "warren-host-local",
      ipam: {
        type: "warren-host-local",
        dataDir: `${directory}/leases`,
        ranges: [[{ subnet: "10.90.0.0/24", rangeStart: "10.90.0.10" }]],
      },
    },
    {
      type: "warren-bridge",
      bridge: "br1",
      isGateway: true,
      vlan: 5,
      vlanTrunk: [{ minID: 10, maxID: 20 }, { id: 30 }],
      hairpinMode: true,
      mtu: 1400,
      runtimeConfig: { mac: "0a:58:0a:58:00:07", ips: ["10.88.0.7/16"] },
      ipam: {
        type: "warren-ipam",
        subnet: "10.88.0.0/16",
        exclude: ["10.88.0.100-10.88.0.119", "10.88.0.128/28"],
        order: "lowest",
        cooldownSeconds: 30,
        routes: [{ dst: "0.0.0.0/0", mtu: 1300, priority: 5 }],
        dns: { nameservers: ["10.88.0.1"], search: ["lab.example"] },
      },
    },
    {
      type: "warren-pair",
      delegate: { type: "warren-bridge", ipam: { type: "warren-ipam", subnet: "10.88.0.0/16", dataDir } },
      vniRange: { first: 100, last: 200 },
      port: 4790,
      mtu: 1400,
      routes: { one: [{ dst: "198.51.100.0/24", gw: "192.168.2.1" }] },
      runtimeConfig: { "io.kubernetes.cri.pod-annotations": { ratchet: "no" } },
    },
    { type: "warren-rewrite", addresses: [{ address: "192.0.2.7/24" }], prevResult: RESULT },
    // kinds of interfaces that not every kernel has, which refuses them with an error as any other
    {
      type: "warren-vlan",
      master: "uplink",
      vlanId: 5,
      mtu: 1400,
      ipam: { type: "warren-ipam", subnet: "10.88.0.0/16" },
    },
    {
      type: "warren-ipvlan",
      master: "uplink",
      mode: "l3",
      ipam: { type: "warren-ipam", subnet: "10.88.0.0/16" },
    },
    { type: "warren-dummy", ipam: { type: "warren-ipam", subnet: "10.88.0.0/16" } },
    { type: "warren-vrf", vrfname: "blue", table: 10, prevResult: RESULT },
    { type: "warren-sbr", gateways: ["10.88.0.9"], addSourceHints: true, prevResult: RESULT },
    {
      type: "warren-quickack",
      enabled: true,
      routes: "default",
      runtimeConfig: { "io.kubernetes.cri.pod-annotations": { "enable-quickack": "true" } },
      prevResult: RESULT,
    },
    { type: "warren-trace", cniOutput: `${directory}/calls.log`, prevResult: RESULT },
  ];
  return [...plugins, ...others].map((plugin) => {
    const document = structuredClone({ ...common, ...plugin, prevResult: RESULT }) as unknown as Record<
      string,
      Json
    >;
    const { ipam } = document;
    if (typeof ipam === "object" && ipam !== null && !Array.isArray(ipam)) ipam.dataDir ??= dataDir;
    return document;
  });
}

/** Values that no key expects, or only one. No path among them can be written to. */
const STRANGE: readonly Json[] = [
  ...[null, true, false, 0, -1, 1, 1.5, -0, 1e308, 2 ** 31, 2 ** 32, 2 ** 53, 65_535, 65_536],
  ...[
    "",
    " ",
    "0",
    "-1",
    "1e9",
    "null",
    "..",
    ".",
    "/",
    "/nowhere/at/all",
    "../../x",
    "a/b",
    "a b",
    "a\0b",
    "\0",
  ],
  ...[
    "\ud800",
    "\u{1f4a9}",
    "é",
    "\u202e",
    "x".repeat(16),
    "x".repeat(300),
    "x".repeat(70_000),
    "%s%n",
    "eth%d",
    "$(id)",
    "`id`",
    "'; drop table leases; --",
  ],
  ...[
    "10.88.0.0/16",
    "10.88.0.0/33",
    "10.88.0.0/0",
    "10.88.0.0/-1",
    "10.88.0.5/32",
    "10.88.0.4/31",
    "256.1.1.1",
    "10.88",
    "010.88.0.1",
    "0.0.0.0",
    "255.255.255.255/32",
    "224.0.0.0/4",
    "127.0.0.1/8",
  ],
  ...[
    "fd00:88::/64",
    "fd00::/129",
    "::/0",
    "::1/128",
    "::ffff:10.88.0.1",
    "fe80::1/64",
    "ff02::1",
    "fd00:88::1%eth0",
    "1::2::3",
  ],
  ...["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "0a:58:0a:58:00", "0a-58-0a-58-00-02", "zz:zz:zz:zz:zz:zz"],
  ...[
    "warren-ipam",
    "warren-bridge",
    "warren-host-local",
    "no-such-plugin",
    "0.1.0",
    "0.2.0",
    "0.3.1",
    "0.4.0",
    "1.0.0",
    "9.9.9",
    "1.1",
  ],
  ...[
    "tcp",
    "UDP",
    "sctp",
    "icmp",
    "isolated",
    "same-bridge",
    "bridge",
    "passthru",
    "lo",
    "br0",
    "net.core.somaxconn",
    "net.ipv4.ip_forward",
  ],
  ...[
    [],
    {},
    [[]],
    [null],
    [{}],
    [[[[]]]],
    { a: { b: { c: {} } } },
    ["10.88.0.9/16", "10.88.0.9/16"],
    [0, "0", null],
  ],
];

const strange: fc.Arbitrary<Json> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...STRANGE) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 40 }) },
  { weight: 1, arbitrary: fc.double() },
  { weight: 1, arbitrary: fc.integer() },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json> },
);

interface Mutation {
  readonly kind: "set" | "remove" | "add" | "capitals" | "wrap" | "repeat" | "null";
  /** Which of the places of the document, as a share of all. */
  readonly place: number;
  readonly key: string;
  readonly value: Json;
}

const KEYS = [
  ...[
    "cniVersion",
    "name",
    "type",
    "ipam",
    "dataDir",
    "mtu",
    "bridge",
    "runtimeConfig",
    "args",
    "prevResult",
    "dns",
    "vlan",
  ],
  ...[
    "cni.dev/valid-attachments",
    "cni.dev/attachments",
    "capabilities",
    "portmap",
    "bandwidth",
    "firewall",
    "tuning",
    "netem",
    "lat",
  ],
  ...[
    "portMappings",
    "ips",
    "ipRanges",
    "mac",
    "sysctl",
    "ranges",
    "subnet",
    "routes",
    "__proto__",
    "constructor",
    "toString",
    "x",
  ],
];

const mutation: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom("set", "set", "set", "remove", "add", "add", "capitals", "wrap", "repeat", "null"),
  place: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  key: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...KEYS) }, { weight: 1, arbitrary: fc.string() }),
  value: strange,
});

interface Place {
  readonly container: Json[] | Record<string, Json>;
  readonly key: string;
}

function placesIn(value: Json): Place[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inside]) => [{ container: value, key }, ...placesIn(inside)]);
}

function mutate(document: Record<string, Json>, { kind, place, key, value }: Mutation): void {
  const places = placesIn(document);
  const chosen = places[Math.floor(place * places.length)];
  if (chosen === undefined) return;
  const { container } = chosen;
  const at = (name: string): Json => Reflect.get(container, name);
  const put = (name: string, next: Json): void =>
    void Object.defineProperty(container, name, {
      value: next,
      writable: true,
      enumerable: true,
      configurable: true,
    });
  const isList = Array.isArray(container);
  const old = at(chosen.key);
  if (kind === "set") put(chosen.key, value);
  else if (kind === "null") put(chosen.key, null);
  else if (kind === "wrap") put(chosen.key, [old]);
  else if (kind === "repeat") put(chosen.key, [old, old, old]);
  else if (kind === "remove" && isList) container.splice(Number(chosen.key), 1);
  else if (kind === "remove") Reflect.deleteProperty(container, chosen.key);
  else if (kind === "add" && isList) container.push(value);
  else if (kind === "add") put(key, value);
  else if (!isList) put(chosen.key.toUpperCase(), old);
}

/** Mostly null, and otherwise what the arbitrary makes. */
function sometimes<T>(arbitrary: fc.Arbitrary<T>, share: number): fc.Arbitrary<T | null> {
  return fc.oneof({ weight: share - 1, arbitrary: fc.constant(null) }, { weight: 1, arbitrary });
}

/** What is done to the bytes, if anything. */
const byteMutation = sometimes(
  fc.record({
    kind: fc.constantFrom("cut", "flip", "insert", "double", "spaces", "mark"),
    place: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    byte: fc.integer({ min: 0, max: 255 }),
  }),
  10,
);

function mutateBytes(
  bytes: Uint8Array,
  { kind, place, byte }: { readonly kind: string; readonly place: number; readonly byte: number },
): Uint8Array {
  const at = Math.floor(place * bytes.length);
  switch (kind) {
    case "cut":
      return bytes.slice(0, at);
    case "flip": {
      const flipped = bytes.slice();
      flipped[at] = byte;
      return flipped;
    }
    case "insert":
      return Uint8Array.from([...bytes.subarray(0, at), byte, ...bytes.subarray(at)]);
    case "double":
      return Uint8Array.from([...bytes, ...bytes]);
    case "spaces":
      return Buffer.concat([Buffer.alloc(100_000, " "), bytes]);
    default:
      return Buffer.concat([Buffer.from("\ufeff"), bytes]);
  }
}

const VARIABLES = [
  "CNI_COMMAND",
  "CNI_CONTAINERID",
  "CNI_NETNS",
  "CNI_IFNAME",
  "CNI_ARGS",
  "CNI_PATH",
  "CNI_NETNS_OVERRIDE",
];

const ARGUMENTS = [
  ...[
    "IP=10.88.0.9",
    "IP=10.88.0.9/16;IP=fd00:88::9",
    "IP=x",
    "IP=",
    "MAC=0a:58:0a:58:00:09",
    "MAC=zz",
    "GATEWAY=10.88.0.1",
    "K8S_POD_NAME=a",
  ],
  ...[
    "IgnoreUnknown=1;A=b",
    "A=b",
    "=",
    ";;;",
    "IgnoreUnknown=perhaps",
    "IgnoreUnknown=1;K8S_POD_NAMESPACE=n;K8S_POD_NAME=p;K8S_POD_UID=u",
  ],
];

const NETNSES = [
  "/run/netns/none",
  "/proc/self/ns/net",
  "/proc/self/ns/mnt",
  "/dev/null",
  "/",
  "relative",
  "/run/netns/../netns/pod1",
  "/run/netns/pod1\0x",
];

const variable = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...STRANGE.filter((one) => typeof one === "string")) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 30 }) },
  { weight: 2, arbitrary: fc.constantFrom(...ARGUMENTS, ...NETNSES, ...VERBS, "add", "EXPLODE") },
);

/** Returns the calls that could be made on these grounds. */
export function fuzzedCall(grounds: Grounds): fc.Arbitrary<FuzzedCall> {
  const configs = validConfigs(grounds);
  return fc
    .record({
      config: fc.constantFrom(...configs),
      verb: fc.constantFrom("ADD", "ADD", "ADD", "ADD", ...VERBS),
      hasPrevious: fc.boolean(),
      mutations: fc.array(mutation, { maxLength: 4 }),
      bytes: byteMutation,
      variables: sometimes(fc.dictionary(fc.constantFrom(...VARIABLES), variable, { maxKeys: 2 }), 5),
      args: sometimes(fc.constantFrom(...ARGUMENTS), 5),
    })
    .map(({ config, verb, hasPrevious, mutations, bytes, variables, args }) => {
      const document = structuredClone(config);
      const plugin = String(document.type);
      if (!hasPrevious) delete document.prevResult;
      for (const one of mutations) mutate(document, structuredClone(one));
      const text = new TextEncoder().encode(JSON.stringify(document));
      const env = {
        CNI_COMMAND: verb,
        CNI_CONTAINERID: "pod-1",
        CNI_NETNS: grounds.netns,
        CNI_IFNAME: "eth0",
        CNI_PATH: grounds.pluginFolder,
        ...(args === null ? {} : { CNI_ARGS: args }),
        ...variables,
      };
      return { plugin, env, stdin: bytes === null ? text : mutateBytes(text, bytes) };
    });
}
