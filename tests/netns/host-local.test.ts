// host-local and static beside the newest reference plugins: the same configs and inputs given to both, their answers
// compared; and hosts that switch from the reference plugins to ours, and back, while pods run.
import { describe, expect, test } from "bun:test";
import { tools } from "../../scripts/tools.ts";
import { type Answer, type Config, call, leases, PLUGIN_FOLDER, succeed } from "../support/plugins.ts";
import { Sandbox, testWith, WARREN } from "../support/sandbox.ts";

const withReference = testWith(tools.referencePlugins);
const REFERENCE = tools.referencePlugins.path ?? "";
const FILES = "/var/lib/cni/networks";
const STORE = "/var/lib/cni/warren";

/** One input of the comparison. */
interface Row {
  readonly name: string;
  readonly plugin: "host-local" | "static";
  readonly ipam?: unknown;
  readonly others?: Config;
  readonly args?: string;
}

function rows(plugin: Row["plugin"], list: readonly Omit<Row, "plugin">[]): Row[] {
  return list.map((row) => ({ plugin, ...row }));
}

const subnet = "10.1.0.0/24";
const old = (cniVersion: string) => ({ cniVersion });

/** Inputs to which both give the same answer: equal results, or a message that begins with the reference's. */
const SAME: readonly Row[] = [
  ...rows("host-local", [
    { name: "one subnet", ipam: { subnet } },
    {
      name: "a range and a gateway",
      ipam: { subnet, rangeStart: "10.1.0.20", rangeEnd: "10.1.0.30", gateway: "10.1.0.254" },
    },
    {
      name: "a gateway that is the range's start",
      ipam: { subnet, rangeStart: "10.1.0.9", gateway: "10.1.0.9" },
    },
    { name: "a gateway outside of the subnet", ipam: { subnet, gateway: "10.9.0.1" } },
    { name: "both families", ipam: { ranges: [[{ subnet }], [{ subnet: "fd00:1::/64" }]] } },
    { name: "the older spelling beside the newer", ipam: { subnet: "10.2.0.0/24", ranges: [[{ subnet }]] } },
    { name: "several ranges in a set", ipam: { ranges: [[{ subnet }, { subnet: "10.2.0.0/24" }]] } },
    { name: "the smallest subnet", ipam: { subnet: "10.1.0.0/30" } },
    { name: "an IPv6 subnet spelled at length", ipam: { subnet: "2001:0DB8:0000::/48" } },
    { name: "a mapped subnet", ipam: { ranges: [[{ subnet, rangeStart: "::ffff:10.1.0.7" }]] } },
    {
      name: "routes",
      ipam: {
        subnet,
        routes: [
          { dst: "0.0.0.0/0" },
          {
            dst: "192.168.7.9/16",
            gw: "10.1.0.77",
            mtu: 1400,
            advmss: 1360,
            priority: 10,
            table: 7,
            scope: 0,
          },
          { dst: "2001:DB8:0::/32", gw: null, mtu: 0, priority: 0 },
        ],
      },
    },
    { name: "a resolver file", ipam: { subnet, resolvConf: "$DIR/resolv.conf" } },
    { name: "a resolver file that is missing", ipam: { subnet, resolvConf: "" } },
    {
      name: "keys that nobody knows",
      ipam: { subnet, colour: "red", exclude: 7, order: "none" },
      others: { x: 1 },
    },
    { name: "keys in other letters", ipam: { Subnet: subnet, RANGESTART: "10.1.0.30" } },
    { name: "ipam in other letters", others: { IPAM: { subnet }, ipam: undefined } },
    { name: "the last of two spellings", ipam: { subnet: "10.9.0.0/24", SUBNET: subnet } },
    { name: "the last of two spellings, the exact one", ipam: { SUBNET: "10.9.0.0/24", subnet } },
    {
      name: "null after a value",
      ipam: { subnet, resolvConf: "$DIR/resolv.conf", ResolvConf: null, ranges: null, dataDir: null },
    },
    {
      name: "null for every key",
      ipam: { subnet, rangeStart: null, rangeEnd: null, gateway: null, resolvConf: null },
      others: { runtimeConfig: null, args: null },
    },
    { name: "a gateway without a subnet", ipam: { gateway: "10.1.0.9", ranges: [[{ subnet }]] } },
    {
      name: "ranges of the runtime",
      ipam: { subnet: "10.2.0.0/24" },
      others: { runtimeConfig: { ipRanges: [[{ subnet }]] } },
    },
    {
      name: "ranges of the runtime alone",
      ipam: {},
      others: { RuntimeConfig: { IPRanges: [[{ Subnet: subnet }]] } },
    },
    { name: "an address of CNI_ARGS", ipam: { subnet }, args: "IP=10.1.0.50" },
    {
      name: "an address with a prefix",
      ipam: { subnet },
      args: "IgnoreUnknown=1;IP=10.1.0.50/16;K8S_POD_NAME=x",
    },
    { name: "an address of args", ipam: { subnet }, others: { args: { cni: { ips: ["10.1.0.51"] } } } },
    {
      name: "an address of the runtime",
      ipam: { subnet },
      others: { runtimeConfig: { ips: ["10.1.0.52/24"] } },
    },
    {
      name: "the union of all three",
      ipam: { ranges: [[{ subnet }], [{ subnet: "10.2.0.0/24" }], [{ subnet: "fd00::/64" }]] },
      others: { args: { cni: { ips: ["10.2.0.51"] } }, runtimeConfig: { ips: ["fd00::52"] } },
      args: "IP=10.1.0.50",
    },
    {
      name: "one address from two sources",
      ipam: { subnet },
      others: { runtimeConfig: { ips: ["10.1.0.50"] } },
      args: "IP=10.1.0.50",
    },
    { name: "the last address of a range", ipam: { subnet, rangeEnd: "10.1.0.60" }, args: "IP=10.1.0.60" },
    {
      name: "version 0.2.0",
      ipam: { ranges: [[{ subnet }], [{ subnet: "fd00::/64" }]], routes: [{ dst: "0.0.0.0/0" }] },
      others: old("0.2.0"),
    },
    { name: "version 0.3.1", ipam: { subnet, routes: [{ dst: "10.0.0.0/8" }] }, others: old("0.3.1") },
    { name: "version 1.0.0", ipam: { subnet, resolvConf: "$DIR/resolv.conf" }, others: old("1.0.0") },
    // refusals
    { name: "no ipam", others: { ipam: null } },
    { name: "no ranges", ipam: {} },
    { name: "an empty list of ranges", ipam: { ranges: [] } },
    { name: "an empty set", ipam: { ranges: [[]] } },
    { name: "a /31", ipam: { subnet: "10.1.0.0/31" } },
    { name: "a /32", ipam: { ranges: [[{ subnet }], [{ subnet: "10.2.0.1/32" }]] } },
    { name: "a /127", ipam: { subnet: "fd00::/127" } },
    { name: "host bits", ipam: { subnet: "10.1.0.7/24" } },
    { name: "host bits of IPv6", ipam: { ranges: [[{ subnet: "fd00::7/64" }]] } },
    { name: "a start outside", ipam: { subnet, rangeStart: "10.2.0.1" } },
    { name: "an end outside", ipam: { subnet, rangeEnd: "10.2.0.1" } },
    { name: "a start of the other family", ipam: { subnet, rangeStart: "fd00::1" } },
    { name: "a start after the end", ipam: { subnet, rangeStart: "10.1.0.9", rangeEnd: "10.1.0.5" } },
    { name: "an end before the first address", ipam: { subnet, rangeEnd: "10.1.0.0" } },
    { name: "two families in a set", ipam: { ranges: [[{ subnet }, { subnet: "fd00::/64" }]] } },
    { name: "ranges of a set that overlap", ipam: { ranges: [[{ subnet }, { subnet: "10.1.0.128/25" }]] } },
    {
      name: "sets that overlap",
      ipam: { ranges: [[{ subnet }], [{ subnet: "10.2.0.0/24" }], [{ subnet }]] },
    },
    {
      name: "two IPv4 sets below 0.3.0",
      ipam: { ranges: [[{ subnet }], [{ subnet: "10.2.0.0/24" }]] },
      others: old("0.2.0"),
    },
    { name: "a request for the gateway", ipam: { subnet }, args: "IP=10.1.0.1" },
    { name: "a request outside", ipam: { subnet }, args: "IP=10.7.0.1" },
    {
      name: "two requests for one set",
      ipam: { subnet },
      others: { runtimeConfig: { ips: ["10.1.0.9", "10.1.0.9/24"] }, args: { cni: { ips: ["10.9.0.9"] } } },
    },
    { name: "half an argument", ipam: { subnet }, args: "IP" },
    { name: "an unknown argument", ipam: { subnet }, args: "COLOUR=red" },
  ]),
  ...rows("static", [
    { name: "an address", ipam: { addresses: [{ address: "10.5.0.9/24" }] } },
    {
      name: "addresses with gateways",
      ipam: {
        addresses: [
          { address: "10.5.0.9/24", gateway: "10.5.0.1" },
          { address: "FD05::0:9/64", gateway: "fd05::1" },
        ],
      },
    },
    {
      name: "a gateway that is not on the link",
      ipam: { addresses: [{ address: "10.5.0.9/32", gateway: "169.254.1.1" }] },
    },
    {
      name: "routes and dns",
      ipam: {
        addresses: [{ address: "10.5.0.9/24" }],
        routes: [{ dst: "0.0.0.0/0", gw: "10.5.0.1" }],
        dns: { nameservers: ["10.5.0.53"], domain: "lab", search: ["a"], options: [] },
      },
    },
    { name: "no address", ipam: { dns: { nameservers: ["10.5.0.53"] } } },
    { name: "null for every key", ipam: { addresses: null, routes: null, dns: null } },
    {
      name: "keys in other letters",
      ipam: { Addresses: [{ ADDRESS: "10.5.0.9/24", GATEWAY: "10.5.0.1" }], Dns: { Search: ["x"] } },
    },
    {
      name: "CNI_ARGS add to the config",
      ipam: { addresses: [{ address: "10.5.0.9/24" }] },
      args: "IP=10.6.0.9/24, fd06::9/64;GATEWAY=10.6.0.1,fd06::1",
    },
    {
      name: "a gateway of CNI_ARGS is not the config's",
      ipam: { addresses: [{ address: "10.5.0.9/24" }] },
      args: "GATEWAY=10.5.0.1",
    },
    { name: "a gateway that reaches nobody", ipam: {}, args: "IP=10.6.0.9/24;GATEWAY=10.7.0.1" },
    {
      name: "args replace",
      ipam: { addresses: [{ address: "bad" }] },
      others: { args: { cni: { ips: ["10.7.0.9/24", "fd07::9/64"] } } },
      args: "IP=10.6.0.9/24",
    },
    {
      name: "the runtime replaces all",
      ipam: { addresses: [{ address: "10.5.0.9/24" }] },
      others: { args: { cni: { ips: ["10.7.0.9/24"] } }, runtimeConfig: { ips: ["10.8.0.9/24"] } },
    },
    {
      name: "version 0.2.0",
      ipam: { addresses: [{ address: "10.5.0.9/24", gateway: "10.5.0.1" }] },
      others: old("0.2.0"),
    },
    { name: "no ipam", others: { ipam: undefined } },
    { name: "no prefix", ipam: { addresses: [{ address: "10.5.0.9" }] } },
    { name: "no address in an address", ipam: { addresses: [{}] } },
    { name: "no prefix in CNI_ARGS", ipam: {}, args: "IP=10.6.0.9" },
    { name: "no prefix in the second of CNI_ARGS", ipam: {}, args: "IP=10.6.0.9/24,x" },
    { name: "no prefix in args", ipam: {}, others: { args: { cni: { ips: ["10.7.0.9"] } } } },
    { name: "no prefix from the runtime", ipam: {}, others: { runtimeConfig: { ips: ["10.8.0.9"] } } },
    { name: "a wrong gateway in CNI_ARGS", ipam: {}, args: "IP=10.6.0.9/24;GATEWAY=nowhere" },
    {
      name: "two of a family below 0.3.0",
      ipam: { addresses: [{ address: "10.5.0.9/24" }, { address: "10.5.1.9/24" }] },
      others: old("0.1.0"),
    },
    { name: "no address below 0.3.0", ipam: {}, others: old("0.1.0") },
  ]),
];

/** Inputs on which Warren is better on purpose; docs/ipam.md has the reasons. */
const BETTER: readonly (Row & { readonly ours: unknown; readonly reference: unknown })[] = [
  {
    plugin: "host-local",
    name: "a range that begins at the network's own address",
    ipam: { subnet, rangeStart: "10.1.0.0" },
    ours: "10.1.0.2/24",
    reference: "10.1.0.0/24",
  },
  {
    plugin: "host-local",
    name: "a gateway of another set is nobody's address",
    ipam: {
      ranges: [
        [{ subnet, rangeStart: "10.1.0.10", rangeEnd: "10.1.0.20", gateway: "10.1.0.5" }],
        [{ subnet, rangeStart: "10.1.0.5", rangeEnd: "10.1.0.9", gateway: "10.1.0.30" }],
      ],
    },
    ours: "10.1.0.6/24",
    reference: "10.1.0.5/24",
  },
  {
    plugin: "host-local",
    name: "the last search list counts, as in resolv.conf(5)",
    ipam: { subnet, resolvConf: "$DIR/search.conf" },
    ours: ["c"],
    reference: ["a", "b", "c"],
  },
  {
    plugin: "host-local",
    name: "a range without a subnet",
    ipam: { ranges: [[{ rangeStart: "10.1.0.3" }]] },
    ours: "invalid range set 0: a range has no subnet",
    reference: "invalid range set 0: IP <nil> not v4 nor v6",
  },
  {
    plugin: "host-local",
    name: "another plugin's argument of the chain",
    ipam: { subnet },
    args: "MAC=02:00:00:00:00:01",
    ours: "10.1.0.2/24",
    reference: 'ARGS: unknown args ["MAC=02:00:00:00:00:01"]',
  },
  {
    plugin: "static",
    name: "an address that is given twice",
    ipam: { addresses: [{ address: "10.5.0.9/24" }, { address: "10.5.0.9/24" }] },
    ours: "address 10.5.0.9 is given twice",
    reference: "10.5.0.9/24",
  },
];

/** Gives every row to one of the two suites, each row as a network of its own. */
async function answersTo(list: readonly Row[], folder: string): Promise<Answer[]> {
  await using sandbox = await Sandbox.create();
  const { directory } = sandbox;
  await Bun.write(
    `${directory}/resolv.conf`,
    "; c\nnameserver 10.1.0.53\ndomain lab\nsearch a b\noptions ndots:2 rotate\n",
  );
  await Bun.write(`${directory}/search.conf`, "search a b\nsearch c\n");
  return await Promise.all(
    list.map((row, index) => {
      const config = {
        cniVersion: "1.1.0",
        name: `row-${index}`,
        type: row.plugin,
        ipam: row.ipam,
        ...row.others,
      };
      const stdin = JSON.stringify({ ...config, type: row.plugin }).replaceAll("$DIR", directory);
      return answer(sandbox, folder, row, stdin);
    }),
  );
}

async function answer(
  sandbox: Sandbox,
  folder: string,
  { plugin, args }: Row,
  stdin: string,
): Promise<Answer> {
  const prefix = folder === REFERENCE ? "" : "warren-";
  const outcome = await sandbox.run([`${folder}/${prefix}${plugin}`], {
    env: {
      CNI_COMMAND: "ADD",
      CNI_CONTAINERID: "pod-1",
      CNI_NETNS: "/run/netns/none",
      CNI_IFNAME: "eth0",
      CNI_PATH: folder,
      CNI_ARGS: args ?? "",
    },
    stdin,
  });
  if (outcome.stdout === "") throw new Error(`no answer to ${stdin}: ${outcome.stderr}`);
  return { ...outcome, document: JSON.parse(outcome.stdout) };
}

function withoutVersion({ document }: Answer): Config {
  const { cniVersion: _, ...rest } = document;
  return rest;
}

describe("side by side", () => {
  withReference(`${SAME.length} inputs have the same answer`, async () => {
    const [ours, theirs] = await Promise.all([answersTo(SAME, PLUGIN_FOLDER), answersTo(SAME, REFERENCE)]);
    const differences = SAME.flatMap((row, index) => {
      const [our, their] = [ours[index], theirs[index]];
      if (our === undefined || their === undefined) throw new Error(row.name);
      const sameError =
        their.exitCode === 1 && our.exitCode === 1 && `${our.document.msg}`.startsWith(their.document.msg);
      const sameResult =
        their.exitCode === 0 &&
        our.exitCode === 0 &&
        Bun.deepEquals(withoutVersion(our), withoutVersion(their));
      return sameError || sameResult ? [] : [{ row, our: our.document, their: their.document }];
    });
    expect(differences).toEqual([]);
    expect(theirs.filter(({ exitCode }) => exitCode === 0).length).toBeGreaterThan(40);
    expect(theirs.filter(({ exitCode }) => exitCode === 1).length).toBeGreaterThan(25);
  });

  withReference("where answers differ, it is on purpose", async () => {
    const [ours, theirs] = await Promise.all([
      answersTo(BETTER, PLUGIN_FOLDER),
      answersTo(BETTER, REFERENCE),
    ]);
    const told = (one: Answer | undefined, wanted: unknown) => {
      const { document } = one ?? { document: {} };
      if (Array.isArray(wanted)) return document.dns?.search;
      return document.msg ?? document.ips?.at(-1)?.address;
    };
    for (const [index, row] of BETTER.entries()) {
      expect([row.name, told(ours[index], row.ours)]).toEqual([row.name, row.ours]);
      expect([row.name, told(theirs[index], row.reference)]).toEqual([row.name, row.reference]);
    }
  });
});

/** A host on which the reference plugins ran, and the folder in which ours stand under the same names. */
class SwitchingHost implements AsyncDisposable {
  private constructor(
    readonly sandbox: Sandbox,
    readonly ours: string,
  ) {}

  static async create(): Promise<SwitchingHost> {
    const sandbox = await Sandbox.create();
    const ours = `${sandbox.directory}/bin`;
    await sandbox.text(["mkdir", ours]);
    for (const name of ["bridge", "host-local"]) await sandbox.text(["ln", "-s", WARREN, `${ours}/${name}`]);
    return new SwitchingHost(sandbox, ours);
  }

  /** Calls host-local itself, in the folder of ours or theirs. */
  ipam(folder: string, verb: string, containerId: string, config: Config = HOST_LOCAL): Promise<Answer> {
    return call(this.sandbox, verb, config, { containerId, netns: "/run/netns/none" }, folder);
  }

  /** Adds an attachment and returns its first address. */
  async add(folder: string, containerId: string, config: Config = HOST_LOCAL): Promise<string> {
    const target = { containerId, netns: "/run/netns/none" };
    return (await succeed(this.sandbox, "ADD", config, target, folder)).document.ips[0].address;
  }

  /** Returns the reference plugin's files by name, the lock left out. */
  async files(directory = `${FILES}/lab`): Promise<Record<string, string>> {
    const script = `cd ${directory} 2>/dev/null && for f in *; do printf '%s=%s\\n' "$f" "$(tr '\\r\\n' ' ' <"$f" | tr -s ' ')"; done`;
    const { stdout } = await this.sandbox.run(["sh", "-c", script]);
    const lines = stdout.split("\n").filter((line) => line !== "" && !line.startsWith("lock="));
    return Object.fromEntries(lines.map((line) => line.split("=", 2)));
  }

  /** Writes a file as the reference plugin would have left it. */
  async leave(name: string, content: string): Promise<void> {
    await this.sandbox.text(["mkdir", "-p", `${FILES}/lab`]);
    await this.sandbox.text(["sh", "-c", `printf '${content}' >'${FILES}/lab/${name}'`]);
  }

  /** Returns what the store says: `container address`, in the order of addresses. */
  async leases(dataDir = STORE): Promise<string[]> {
    return (await leases(this.sandbox, dataDir)).map(({ container, address }) => `${container} ${address}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sandbox[Symbol.asyncDispose]();
  }
}

const HOST_LOCAL: Config = {
  cniVersion: "1.1.0",
  name: "lab",
  type: "host-local",
  ipam: { type: "host-local", subnet: "10.1.0.0/29" },
};

const BRIDGE: Config = {
  cniVersion: "1.1.0",
  name: "lab",
  type: "bridge",
  bridge: "br0",
  isGateway: true,
  ipam: { type: "host-local", ranges: [[{ subnet: "10.1.0.0/29" }], [{ subnet: "fd00:1::/64" }]] },
};

function ipsOf(answer: Answer): string[] {
  return answer.document.ips.map(({ address }: { address: string }) => address);
}

describe("a host that switches", () => {
  withReference("bridge and host-local take over while pods run, and give no address twice", async () => {
    await using host = await SwitchingHost.create();
    const { sandbox, ours } = host;
    const pod = async (containerId: string) => {
      await sandbox.addNetns(containerId);
      return { containerId, netns: containerId };
    };
    const [old1, old2, new1, new2, new3] = [
      await pod("old1"),
      await pod("old2"),
      await pod("new1"),
      await pod("new2"),
      await pod("new3"),
    ];
    const first = await succeed(sandbox, "ADD", BRIDGE, old1, REFERENCE);
    const second = await succeed(sandbox, "ADD", BRIDGE, old2, REFERENCE);
    expect([...ipsOf(first), ...ipsOf(second)]).toEqual([
      ...["10.1.0.2/29", "fd00:1::2/64", "10.1.0.3/29", "fd00:1::3/64"],
    ]);
    // ours go on where the reference stopped, and say so once
    const third = await succeed(sandbox, "ADD", BRIDGE, new1, ours);
    expect(ipsOf(third)).toEqual(["10.1.0.4/29", "fd00:1::4/64"]);
    expect(third.stderr).toBe(
      "warren-host-local: network lab: took over 4 leases from /var/lib/cni/networks/lab\n",
    );
    expect(ipsOf(await succeed(sandbox, "ADD", BRIDGE, new2, ours))).toEqual(["10.1.0.5/29", "fd00:1::5/64"]);
    expect(await host.leases()).toEqual([
      ...["old1 10.1.0.2/29", "old2 10.1.0.3/29", "new1 10.1.0.4/29", "new2 10.1.0.5/29"],
      ...["old1 fd00:1::2/64", "old2 fd00:1::3/64", "new1 fd00:1::4/64", "new2 fd00:1::5/64"],
    ]);
    // DEL of an old pod through ours frees its addresses, for both suites
    await succeed(sandbox, "DEL", BRIDGE, old1, ours);
    expect(Object.keys(await host.files())).not.toContain("10.1.0.2");
    expect(ipsOf(await succeed(sandbox, "ADD", BRIDGE, new3, ours))[0]).toBe("10.1.0.6/29");
    // and back: the reference sees what ours gave, and gets only what is free
    const [back, more] = [await pod("back"), await pod("more")];
    expect(ipsOf(await succeed(sandbox, "ADD", BRIDGE, back, REFERENCE))[0]).toBe("10.1.0.2/29");
    const full = await call(sandbox, "ADD", BRIDGE, more, REFERENCE);
    expect(full.document.msg).toContain("no IP addresses available in range set: 10.1.0.1-10.1.0.6");
    // (the reference's failed ADD has left an interface in the pod, so ours is asked for an address only)
    const asked = await host.ipam(ours, "ADD", "more", { ...BRIDGE, type: "host-local" });
    expect(asked.document).toMatchObject({ code: 101 });
    for (const one of [old2, new1, new2, new3, back]) await succeed(sandbox, "DEL", BRIDGE, one, ours);
    expect(await host.leases()).toEqual([]);
    expect(Object.keys(await host.files())).toEqual(["last_reserved_ip.0", "last_reserved_ip.1"]);
  });

  withReference("both at the same time never give out the same address", async () => {
    await using host = await SwitchingHost.create();
    const config = { ...HOST_LOCAL, ipam: { type: "host-local", subnet: "10.1.0.0/24" } };
    await host.add(REFERENCE, "first", config);
    const added = await Promise.all(
      Array.from({ length: 60 }, (_, index) =>
        host.add(index % 2 === 0 ? REFERENCE : host.ours, `pod-${index}`, config),
      ),
    );
    expect(new Set(added).size).toBe(60);
    const names = Object.keys(await host.files()).filter((name) => !name.startsWith("last"));
    expect(names).toHaveLength(61);
    await Promise.all(
      added.map((_, index) =>
        host.ipam(index % 2 === 1 ? REFERENCE : host.ours, "DEL", `pod-${index}`, config),
      ),
    );
    expect(Object.keys(await host.files())).toEqual(["10.1.0.2", "last_reserved_ip.0"]);
  });

  test("CHECK passes for a pod of the reference, also when it is the first call, and fails without its file", async () => {
    await using host = await SwitchingHost.create();
    await host.leave("10.1.0.3", "old\\r\\neth0");
    const prevResult = { cniVersion: "1.1.0", ips: [{ address: "10.1.0.3/29", gateway: "10.1.0.1" }] };
    const check = (containerId: string, config: Config) =>
      host.ipam(host.ours, "CHECK", containerId, { ...HOST_LOCAL, prevResult, ...config });
    expect((await check("old", {})).exitCode).toBe(0);
    expect((await check("old", { ipam: { subnet: "10.2.0.0/29" } })).exitCode).toBe(0);
    expect((await check("other", {})).document).toMatchObject({ code: 103 });
    const elsewhere = { ...prevResult, ips: [{ address: "10.1.0.4/29" }] };
    expect((await check("old", { prevResult: elsewhere })).document).toMatchObject({ code: 103 });
    // out of every range there is no prefix to compare, but the address itself is compared
    await host.leave("10.9.0.9", "far\\r\\neth0");
    expect((await check("far", { prevResult: { ips: [{ address: "10.9.0.9/24" }] } })).exitCode).toBe(0);
    expect((await check("far", {})).document).toMatchObject({ code: 103 });
  });

  test("a file with just the container's id is that of whichever interface comes", async () => {
    await using host = await SwitchingHost.create();
    await host.leave("10.1.0.2", "ancient");
    await host.leave("10.1.0.3", "older\\n");
    expect(await host.add(host.ours, "new")).toBe("10.1.0.4/29");
    expect(await host.leases()).toEqual(["ancient 10.1.0.2/29", "older 10.1.0.3/29", "new 10.1.0.4/29"]);
    // a repeated ADD gets the address that the container has
    expect(await host.add(host.ours, "ancient")).toBe("10.1.0.2/29");
    const gc = { ...HOST_LOCAL, "cni.dev/valid-attachments": ["older", "new"].map(valid) };
    await succeed(host.sandbox, "GC", gc, undefined, host.ours);
    expect(await host.leases()).toEqual(["older 10.1.0.3/29", "new 10.1.0.4/29"]);
    await host.ipam(host.ours, "DEL", "older");
    expect(await host.leases()).toEqual(["new 10.1.0.4/29"]);
    expect(Object.keys(await host.files())).toEqual(["10.1.0.4", "last_reserved_ip.0"]);
  });

  test("what a crash left empty is removed with a note, and what is no lease is left alone", async () => {
    await using host = await SwitchingHost.create();
    await host.leave("10.1.0.2", "");
    await host.leave("notes.txt", "old\\r\\neth0");
    await host.leave("last_reserved_ip.0", "not an address");
    await host.sandbox.text(["mkdir", `${FILES}/lab/10.1.0.3`]);
    const answer = await host.ipam(host.ours, "ADD", "new");
    expect(answer.stderr).toBe("warren-host-local: network lab: removed the empty file 10.1.0.2\n");
    expect(ipsOf(answer)).toEqual(["10.1.0.2/29"]);
    expect(await host.files()).toMatchObject({ "10.1.0.2": "new eth0", "last_reserved_ip.0": "10.1.0.2" });
    expect((await host.files())["notes.txt"]).toBe("old eth0");
  });

  test("an address of two holders stays with the one in the store, and a note names both", async () => {
    await using host = await SwitchingHost.create();
    await host.add(host.ours, "ours");
    await host.leave("10.1.0.2", "theirs\\r\\neth0");
    const answer = await host.ipam(host.ours, "ADD", "new");
    expect(answer.stderr).toBe(
      "warren-host-local: network lab: 10.1.0.2 is held by container ours, interface eth0, but its file in /var/lib/cni/networks/lab names container theirs\n",
    );
    expect(ipsOf(answer)).toEqual(["10.1.0.3/29"]);
    // the file of the other one is not removed by the wrong DEL
    await host.ipam(host.ours, "DEL", "ours");
    expect(await host.files()).toMatchObject({ "10.1.0.2": "theirs eth0" });
    expect(await host.add(host.ours, "newer")).toBe("10.1.0.4/29");
    expect(await host.leases()).toContain("theirs 10.1.0.2/29");
  });
});

function valid(containerID: string): Config {
  return { containerID, ifname: "eth0" };
}

describe("the files", () => {
  test("are not made where the reference plugin never was", async () => {
    await using host = await SwitchingHost.create();
    await host.add(host.ours, "pod");
    expect((await host.sandbox.run(["ls", FILES])).exitCode).not.toBe(0);
  });

  test("DEL as the first call needs no store, and no good config", async () => {
    await using host = await SwitchingHost.create();
    await host.leave("10.1.0.2", "old\\r\\neth0");
    await host.leave("10.1.0.3", "old\\r\\neth1");
    const broken = { ...HOST_LOCAL, ipam: { subnet: 7 }, prevResult: "?" };
    expect((await host.ipam(host.ours, "DEL", "old", broken)).exitCode).toBe(0);
    expect((await host.ipam(host.ours, "DEL", "old", broken)).exitCode).toBe(0);
    expect(await host.files()).toEqual({ "10.1.0.3": "old eth1" });
    expect((await host.sandbox.run(["ls", STORE])).exitCode).not.toBe(0);
  });

  test("GC removes those of attachments that are not valid, with and without a store", async () => {
    await using host = await SwitchingHost.create();
    const gc = async (...containers: string[]) =>
      succeed(
        host.sandbox,
        "GC",
        { ...HOST_LOCAL, "CNI.dev/Valid-Attachments": containers.map(valid) },
        undefined,
        host.ours,
      );
    for (const [name, content] of [
      ["10.1.0.2", "dead\\r\\neth0"],
      ["10.1.0.3", "alive\\r\\neth0"],
      ["10.1.0.4", ""],
      ["10.1.0.5", "alive\\r\\neth1"],
    ] as const) {
      await host.leave(name, content);
    }
    const first = await gc("alive");
    expect(first.stderr.split("\n").filter((line) => line !== "")).toEqual([
      "warren-host-local: network lab: removed the empty file 10.1.0.4",
      expect.stringContaining("released 10.1.0."),
      expect.stringContaining("released 10.1.0."),
      "warren-host-local: network lab: 2 leases released",
    ]);
    expect(Object.keys(await host.files())).toEqual(["10.1.0.3"]);
    await host.add(host.ours, "new");
    await gc("new");
    expect(await host.leases()).toEqual(["new 10.1.0.2/29"]);
    expect(Object.keys(await host.files())).toEqual(["10.1.0.2", "last_reserved_ip.0"]);
    const nothing = await succeed(host.sandbox, "GC", HOST_LOCAL, undefined, host.ours);
    expect(nothing.stderr).toContain("nothing is collected");
    expect(await host.leases()).toHaveLength(1);
  });

  test("STATUS counts them: a pool that the reference filled is not ready", async () => {
    await using host = await SwitchingHost.create();
    for (const last of [2, 3, 4, 5, 6]) await host.leave(`10.1.0.${last}`, `old${last}\\r\\neth0`);
    const full = await host.ipam(host.ours, "STATUS", "");
    expect(full.document).toMatchObject({ code: 50, msg: "no free addresses in 10.1.0.0/29" });
    await host.ipam(host.ours, "DEL", "old3");
    expect((await host.ipam(host.ours, "STATUS", "")).exitCode).toBe(0);
    // ranges that only the runtime knows don't come with STATUS
    const bare = { ...HOST_LOCAL, ipam: { type: "host-local" } };
    expect((await host.ipam(host.ours, "STATUS", "", bare)).document).toMatchObject({ code: 7 });
    const capable = { ...bare, capabilities: { ipRanges: true } };
    expect((await host.ipam(host.ours, "STATUS", "", capable)).exitCode).toBe(0);
  });

  test("follow the leases of an earlier boot when those are taken back", async () => {
    await using host = await SwitchingHost.create();
    await host.leave("last_reserved_ip.0", "10.1.0.6");
    for (const pod of ["a", "b", "c", "d", "e"]) await host.add(host.ours, pod);
    await host.sandbox.run(
      [
        ...[
          "bun",
          "-e",
          `new (require("bun:sqlite").Database)("${STORE}/warren.db").run("UPDATE leases SET boot_id = 'before'")`,
        ],
      ],
      { env: { PATH: `${process.cwd()}/node_modules/.bin:${process.env.PATH}` } },
    );
    expect(await host.add(host.ours, "new")).toBe("10.1.0.2/29");
    expect(await host.leases()).toEqual(["new 10.1.0.2/29"]);
    expect(Object.keys(await host.files())).toEqual(["10.1.0.2", "last_reserved_ip.0"]);
  });

  test("dataDir is where they are, with the store beside them, unless the config itself names another", async () => {
    await using host = await SwitchingHost.create();
    const { directory } = host.sandbox;
    await host.sandbox.text(["mkdir", "-p", `${directory}/nets/lab`]);
    const config = { ...HOST_LOCAL, ipam: { subnet: "10.1.0.0/29", dataDir: `${directory}/nets` } };
    await host.add(host.ours, "one", config);
    await host.add(host.ours, "two", { ...config, dataDir: `${directory}/store` });
    expect(await host.leases(`${directory}/nets`)).toEqual(["one 10.1.0.2/29"]);
    expect(await host.leases(`${directory}/store`)).toEqual(["one 10.1.0.2/29", "two 10.1.0.3/29"]);
    expect(await host.files(`${directory}/nets/lab`)).toMatchObject({ "10.1.0.3": "two eth0" });
  });

  test("of an ADD that fails are taken back, and so is everything after a SIGKILL and a DEL", async () => {
    await using host = await SwitchingHost.create();
    const { sandbox, ours } = host;
    await sandbox.addNetns("pod");
    await host.leave("10.1.0.9", "old\\r\\neth0");
    await sandbox.text(["ip", "link", "add", "br0", "type", "veth", "peer", "name", "br1"]);
    const target = { containerId: "pod", netns: "pod" };
    expect((await call(sandbox, "ADD", BRIDGE, target, ours)).document).toMatchObject({ code: 102 });
    const left = async () => Object.keys(await host.files()).filter((name) => !name.startsWith("last"));
    expect(await left()).toEqual(["10.1.0.9"]);
    for (let delayMs = 2; delayMs < 14; delayMs++) {
      await sandbox.run(["timeout", "--signal=KILL", `${delayMs / 1000}`, `${ours}/host-local`], {
        env: {
          CNI_COMMAND: "ADD",
          CNI_PATH: ours,
          CNI_CONTAINERID: "killed",
          CNI_NETNS: "/run/netns/none",
          CNI_IFNAME: "eth0",
        },
        stdin: JSON.stringify(HOST_LOCAL),
      });
      await host.ipam(ours, "DEL", "killed");
      expect(await left()).toEqual(["10.1.0.9"]);
      expect((await host.leases()).filter((lease) => lease.startsWith("killed"))).toEqual([]);
    }
  });
});
