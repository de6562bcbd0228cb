// The plugin firewall on a real kernel: every policy is shown by TCP connections in both families, between bridges,
// on one bridge and from outside; CHECK is shown to miss nothing, and DEL and GC to leave nothing.
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { tools } from "../../scripts/tools.ts";
import { type Answer, type Config, call, ruleset, succeed, type Target } from "../support/plugins.ts";
import { Sandbox, testWith } from "../support/sandbox.ts";

const PORT = 8080;

/** Answers every connection to PORT, in both families. */
const SERVER = `Bun.listen({ hostname: "::", port: ${PORT}, socket: { open(s) { s.end("ok"); }, data() {} } }); console.log("ready")`;

/**
 * Prints for each address whether a connection got an answer. One that does not open within 0.7 seconds, counted in turns of
 * this program's own, is let through by nobody; to one that is open the answer comes, however busy the machine.
 */
const PROBE = `
const reach = (target) => new Promise((resolve) => {
  const [hostname, port] = target.split(" ");
  let opened = false;
  const wait = (turns) => { if (!opened) turns > 0 ? setTimeout(wait, 100, turns - 1) : resolve(false); };
  wait(7);
  Bun.connect({ hostname, port: Number(port), socket: { open() { opened = true; }, data(s) { resolve(true); s.end(); }, connectError() { resolve(false); }, close() { resolve(false); } } }).catch(() => resolve(false));
});
console.log(JSON.stringify(await Promise.all(process.argv.slice(1).map(reach))));
process.exit(0)`;

type Policy = "open" | "same-bridge" | "isolated";

/** A pod that was attached by a chain of bridge and firewall. */
interface Pod extends Target {
  readonly network: string;
  readonly config: Config;
  readonly bridgeConfig: Config;
  readonly added: Answer;
  readonly ipv4: string;
  readonly ipv6: string;
}

/** A host with two bridges' worth of pods and a neighbour outside, and a server in each. */
class Network implements AsyncDisposable {
  readonly #servers: Bun.Subprocess[] = [];
  private constructor(readonly host: Sandbox) {}

  static async create(): Promise<Network> {
    const host = await Sandbox.create();
    const network = new Network(host);
    const pods = ["pod1", "pod2", "pod3", "pod4", "pod5", "outside"];
    for (const pod of pods) await host.addNetns(pod);
    await host.text([
      "sh",
      "-ec",
      `# no second is lost, nor an early packet, to the detection of duplicate link-local addresses
       echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
       ip netns exec outside sh -c 'echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad'
       ip link add out0 type veth peer name eth0 netns outside
       ip addr add 192.0.2.1/24 dev out0; ip addr add 2001:db8::1/64 dev out0 nodad; ip link set out0 up
       ip -n outside addr add 192.0.2.2/24 dev eth0; ip -n outside addr add 2001:db8::2/64 dev eth0 nodad
       ip -n outside link set eth0 up; ip -n outside link set lo up
       ip -n outside route add default via 192.0.2.1; ip -n outside route add default via 2001:db8::1
       # a kernel with br_netfilter shows bridged packets to the inet tables; most hosts don't have it
       for f in /proc/sys/net/bridge/bridge-nf-call-*tables; do [ ! -e $f ] || echo 0 >$f; done`,
    ]);
    return network;
  }

  get dataDir(): string {
    return `${this.host.directory}/store`;
  }

  bridgeConfig(number: number): Config {
    return {
      cniVersion: "1.1.0",
      name: `net${number}`,
      type: "warren-bridge",
      bridge: `br${number}`,
      isDefaultGateway: true,
      ipam: {
        type: "warren-ipam",
        dataDir: this.dataDir,
        ranges: [[{ subnet: `10.${88 + number}.0.0/16` }], [{ subnet: `fd00:${88 + number}::/64` }]],
      },
    };
  }

  firewallConfig(number: number, more: Config = {}): Config {
    return {
      cniVersion: "1.1.0",
      name: `net${number}`,
      type: "warren-firewall",
      dataDir: this.dataDir,
      ...more,
    };
  }

  /** Attaches a pod to bridge `number` without the firewall. */
  async bridged(netns: string, number: number, target: Partial<Target> = {}) {
    const pod = { containerId: netns, netns, ...target };
    const bridgeConfig = this.bridgeConfig(number);
    const { document } = await succeed(this.host, "ADD", bridgeConfig, pod);
    return { pod, bridgeConfig, document };
  }

  /** Attaches a pod to bridge `number`, with a server in it. */
  async attach(netns: string, number: number, policy: Policy, more: Config = {}): Promise<Pod> {
    const { pod, bridgeConfig, document } = await this.bridged(netns, number);
    const config = this.firewallConfig(number, { ingressPolicy: policy, ...more });
    const added = await succeed(this.host, "ADD", { ...config, prevResult: document }, pod);
    expect(added.document).toEqual(document);
    await this.serve(netns);
    const [ipv4 = "", ipv6 = ""] = document.ips.map(
      ({ address }: { address: string }) => address.split("/")[0],
    );
    return { ...pod, network: `net${number}`, config, bridgeConfig, added, ipv4, ipv6 };
  }

  async serve(netns: string): Promise<void> {
    await this.host.text(["ip", "-n", netns, "link", "set", "lo", "up"]);
    const server = this.host.start(["ip", "netns", "exec", netns, process.execPath, "-e", SERVER]);
    this.#servers.push(server);
    await server.stdout.getReader().read();
  }

  /** Returns for each address whether a server there answers `netns`, or the host itself. */
  async reached(netns: string | undefined, ...addresses: readonly string[]): Promise<boolean[]> {
    const where = netns === undefined ? [] : ["ip", "netns", "exec", netns];
    const targets = addresses.map((address) => (address.includes(" ") ? address : `${address} ${PORT}`));
    return JSON.parse(await this.host.text([...where, process.execPath, "-e", PROBE, ...targets]));
  }

  /** Whether a pod, or the neighbour, reaches another pod; both families must agree. */
  async reaches(from: string | undefined, to: Pick<Pod, "ipv4" | "ipv6">): Promise<boolean> {
    const [ipv4, ipv6] = await this.reached(from, to.ipv4, to.ipv6);
    expect({ from, to: to.ipv4, ipv6 }).toEqual({ from, to: to.ipv4, ipv6: ipv4 });
    return ipv4 === true;
  }

  check(pod: Pod): Promise<Answer> {
    return call(this.host, "CHECK", { ...pod.config, prevResult: pod.added.document }, pod);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) server.kill("SIGKILL");
    await this.host[Symbol.asyncDispose]();
  }
}

const BR_NETFILTER_ON =
  "for f in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do [ ! -e $f ] || echo 1 >$f; done";

const OUTSIDE = { ipv4: "192.0.2.2", ipv6: "2001:db8::2" };

/** Elements of a set as nft lists them. */
async function elements(host: Sandbox, set: string, family = "inet"): Promise<unknown[]> {
  const { exitCode, stdout } = await host.run(["nft", "-j", "list", "set", family, "warren", set]);
  if (exitCode !== 0) return [];
  const listed = JSON.parse(stdout).nftables.find((one: { set?: unknown }) => one.set !== undefined);
  return (listed.set.elem ?? []).map((one: { elem?: { val: unknown } }) => one.elem?.val ?? one);
}

async function leavesNothing(network: Network): Promise<void> {
  expect(await ruleset(network.host)).toBe("");
  const rows = await network.host.text([
    process.execPath,
    "-e",
    `import { Database } from "bun:sqlite";
     const db = new Database("${network.dataDir}/warren.db");
     console.log(JSON.stringify(db.query("SELECT * FROM objects WHERE plugin = 'firewall'").all().concat(db.query("SELECT * FROM attachments WHERE plugin = 'firewall'").all())))`,
  ]);
  expect(JSON.parse(rows)).toEqual([]);
}

describe("packets", () => {
  test("open lets everybody in", async () => {
    await using network = await Network.create();
    const one = await network.attach("pod1", 0, "open");
    const two = await network.attach("pod2", 0, "open");
    const three = await network.attach("pod3", 1, "open");
    await network.serve("outside");
    expect(await network.reaches("pod2", one)).toBe(true);
    expect(await network.reaches("pod3", two)).toBe(true);
    expect(await network.reaches("outside", one)).toBe(true);
    expect(await network.reaches(undefined, one)).toBe(true);
    expect(await network.reaches("pod1", OUTSIDE)).toBe(true);
    expect(await network.reaches("pod1", three)).toBe(true);
  }, 30_000);

  test("same-bridge lets in the pods of the bridge, the host and nobody else, and everybody out", async () => {
    await using network = await Network.create();
    const one = await network.attach("pod1", 0, "same-bridge");
    const two = await network.attach("pod2", 0, "same-bridge");
    const other = await network.attach("pod3", 1, "same-bridge");
    const open = await network.attach("pod4", 2, "open");
    await network.serve("outside");
    expect(await network.reaches("pod2", one)).toBe(true);
    expect(await network.reaches("pod1", two)).toBe(true);
    expect(await network.reaches(undefined, one)).toBe(true);
    expect(await network.reaches("pod3", one)).toBe(false);
    expect(await network.reaches("pod1", other)).toBe(false);
    expect(await network.reaches("pod4", one)).toBe(false);
    expect(await network.reaches("outside", one)).toBe(false);
    // what a pod begins is answered
    expect(await network.reaches("pod1", open)).toBe(true);
    expect(await network.reaches("pod1", OUTSIDE)).toBe(true);
    // what goes from the bridge back to the bridge through the host's routing is of the same bridge too
    await routeThroughHost(network, "pod1", two);
    await routeThroughHost(network, "pod2", one);
    expect(await network.reaches("pod1", two)).toBe(true);
  }, 30_000);

  test("isolated keeps out the pods of the same bridge as well, bridged and routed", async () => {
    await using network = await Network.create();
    const one = await network.attach("pod1", 0, "isolated");
    const two = await network.attach("pod2", 0, "isolated");
    const other = await network.attach("pod3", 1, "open");
    await network.serve("outside");
    expect(await network.reaches("pod2", one)).toBe(false);
    expect(await network.reaches("pod1", two)).toBe(false);
    expect(await network.reaches("pod3", one)).toBe(false);
    expect(await network.reaches("outside", one)).toBe(false);
    expect(await network.reaches(undefined, one)).toBe(true);
    expect(await network.reaches("pod1", other)).toBe(true);
    expect(await network.reaches("pod1", OUTSIDE)).toBe(true);
    await routeThroughHost(network, "pod1", two);
    await routeThroughHost(network, "pod2", one);
    expect(await network.reaches("pod1", two)).toBe(false);
    // without the rule for bridged frames the pods would have met: the test can fail
    for (const netns of ["pod1", "pod2"]) {
      await network.host.text(["ip", "-n", netns, "neigh", "flush", "dev", "eth0", "nud", "all"]);
    }
    await network.host.text(["nft", "flush", "table", "bridge", "warren"]);
    await unrouteThroughHost(network, "pod1", two);
    await unrouteThroughHost(network, "pod2", one);
    expect(await network.reaches("pod1", two)).toBe(true);
  }, 30_000);

  test("the policies hold where br_netfilter shows bridged packets to the inet tables", async () => {
    await using network = await Network.create();
    const turnOn =
      "for f in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do [ ! -e $f ] || echo 1 >$f; done";
    await network.host.text(["sh", "-c", turnOn]);
    const one = await network.attach("pod1", 0, "same-bridge");
    await network.attach("pod2", 0, "same-bridge");
    const three = await network.attach("pod3", 1, "isolated");
    await network.attach("pod4", 1, "isolated");
    expect(await network.reaches("pod2", one)).toBe(true);
    expect(await network.reaches("pod4", three)).toBe(false);
    expect(await network.reaches("pod3", one)).toBe(false);
  }, 30_000);

  test.each(["same-bridge", "isolated"] as const)(
    "%s: a published port is let in from outside and not from another guarded bridge",
    async (policy) => {
      await using network = await Network.create();
      const one = await network.attach("pod1", 0, policy);
      await network.attach("pod3", 1, "same-bridge");
      await network.host.text(["nft", "-f", "-"], {
        stdin: `table inet publish {
        chain prerouting {
          type nat hook prerouting priority dstnat;
          ip daddr 192.0.2.1 tcp dport 80 dnat ip to ${one.ipv4}:${PORT}
          ip6 daddr 2001:db8::1 tcp dport 80 dnat ip6 to [${one.ipv6}]:${PORT}
        }
      }`,
      });
      expect(await network.reached("outside", "192.0.2.1 80", "2001:db8::1 80")).toEqual([true, true]);
      expect(await network.reached("pod3", "192.0.2.1 80", "2001:db8::1 80")).toEqual([false, false]);
      expect(await network.reaches("outside", one)).toBe(false);
    },
    30_000,
  );

  test("of two policies on one bridge the stricter holds, and goes with its last attachment", async () => {
    await using network = await Network.create();
    const strict = await network.attach("pod1", 0, "isolated");
    const mild = await network.attach("pod2", 0, "same-bridge");
    const open = await network.attach("pod3", 0, "open");
    expect(await network.reaches("pod2", strict)).toBe(false);
    expect(await network.reaches("outside", open)).toBe(false);
    expect(await network.reaches("pod2", open)).toBe(true);
    await succeed(network.host, "DEL", strict.config, strict);
    expect(await elements(network.host, "isolated")).toEqual([]);
    // the kernel asks three times for a neighbour, and had begun when nobody could answer
    await network.host.text(["ip", "-n", "pod2", "neighbour", "flush", "all"]);
    expect(await network.reaches("pod2", strict)).toBe(true);
    expect(await network.reaches("outside", open)).toBe(false);
    await succeed(network.host, "DEL", mild.config, mild);
    expect(await elements(network.host, "guarded")).toEqual([]);
    expect(await network.reaches("outside", open)).toBe(true);
    await succeed(network.host, "DEL", open.config, open);
    await leavesNothing(network);
  }, 30_000);

  test("the operator's chain comes first, in either sense, and is never emptied", async () => {
    await using network = await Network.create();
    const { host } = network;
    await host.text(["nft", "add table inet warren; add chain inet warren admin"]);
    await host.text(["nft", "add rule inet warren admin ip saddr 192.0.2.2 accept"]);
    const one = await network.attach("pod1", 0, "same-bridge");
    const two = await network.attach("pod2", 1, "open", { iptablesAdminChainName: "CNI-ADMIN" });
    await host.text(["nft", "add rule inet warren CNI-ADMIN ip6 daddr fd00:89::/64 drop"]);
    expect(await network.reached("outside", one.ipv4, one.ipv6)).toEqual([true, false]);
    expect(await network.reached("outside", two.ipv4, two.ipv6)).toEqual([true, false]);
    for (const pod of [one, two]) await succeed(host, "DEL", pod.config, pod);
    const left = await ruleset(host);
    expect(left).toContain("ip saddr 192.0.2.2 accept");
    expect(left).toContain("ip6 daddr fd00:89::/64 drop");
    expect(left).not.toContain("hook");
    expect(left).not.toContain("set ");
    // and the next ADD finds it again
    const prevResult = one.added.document;
    await succeed(host, "ADD", { ...one.config, prevResult }, one);
    expect(await network.reached("outside", one.ipv4, one.ipv6)).toEqual([true, false]);
  }, 30_000);
});

async function routeThroughHost(network: Network, netns: string, to: Pod): Promise<void> {
  const number = to.network.slice("net".length);
  await network.host.text([
    "sh",
    "-ec",
    `echo 0 >/proc/sys/net/ipv4/conf/all/send_redirects; echo 0 >/proc/sys/net/ipv4/conf/br${number}/send_redirects
     ip -n ${netns} route add ${to.ipv4}/32 via 10.${88 + Number(number)}.0.1
     ip -n ${netns} route add ${to.ipv6}/128 via fd00:${88 + Number(number)}::1`,
  ]);
}

async function unrouteThroughHost(network: Network, netns: string, to: Pod): Promise<void> {
  await network.host.text(["ip", "-n", netns, "route", "del", `${to.ipv4}/32`]);
  await network.host.text(["ip", "-n", netns, "-6", "route", "del", `${to.ipv6}/128`]);
}

describe("ADD", () => {
  test("says of every pod whose it is, and two interfaces of one container never meet", async () => {
    await using network = await Network.create();
    const { host } = network;
    const first = await network.attach("pod1", 0, "isolated");
    const { document } = await network.bridged("pod1", 0, { ifname: "net1" });
    const second = { ...first, ifname: "net1" };
    await succeed(host, "ADD", { ...first.config, prevResult: document }, second);
    expect(await elements(host, "pods-ipv4")).toEqual(["10.88.0.2", "10.88.0.3"]);
    expect(await elements(host, "pods-ipv6")).toEqual(["fd00:88::2", "fd00:88::3"]);
    expect(await elements(host, "isolated-ports", "bridge")).toHaveLength(2);
    expect(await elements(host, "isolated")).toEqual([{ concat: ["br0", "br0"] }]);
    const text = await host.text(["nft", "list", "table", "inet", "warren"]);
    expect(text).toContain('10.88.0.3 comment "warren net0 pod1 net1"');
    await succeed(host, "DEL", first.config, first);
    expect(await elements(host, "pods-ipv4")).toEqual(["10.88.0.3"]);
    expect(await elements(host, "guarded")).toEqual(["br0"]);
    await succeed(host, "CHECK", { ...first.config, prevResult: document }, second);
    await succeed(host, "DEL", first.config, second);
    await leavesNothing(network);
  }, 30_000);

  test("the rules are there once, whoever comes first, and twenty at once leave twenty pods", async () => {
    await using network = await Network.create();
    const { host } = network;
    const { document } = await network.bridged("pod1", 0);
    const config = network.firewallConfig(0, { ingressPolicy: "same-bridge" });
    const pods = Array.from({ length: 20 }, (_, index) => ({
      target: { containerId: `many-${index}`, netns: "pod1" },
      prevResult: {
        ...document,
        ips: [{ address: `10.88.1.${index}/16` }, { address: `fd00:88::1:${index}/64` }],
      },
    }));
    await Promise.all(
      pods.map(({ target, prevResult }) => succeed(host, "ADD", { ...config, prevResult }, target)),
    );
    expect(await elements(host, "pods-ipv4")).toHaveLength(20);
    const text = await host.text(["nft", "list", "table", "inet", "warren"]);
    expect(text.match(/jump admin/g)).toHaveLength(1);
    expect(text.match(/ct state established,related accept/g)).toHaveLength(1);
    // and so with those that go while others come
    await Promise.all(
      pods.map(({ target, prevResult }, index) =>
        index % 2 === 0
          ? succeed(host, "DEL", config, target)
          : succeed(host, "CHECK", { ...config, prevResult }, target),
      ),
    );
    expect(await elements(host, "pods-ipv4")).toHaveLength(10);
    await Promise.all(pods.map(({ target }) => succeed(host, "DEL", config, target)));
    await leavesNothing(network);
  }, 60_000);

  test.each(["iptables", "firewalld"])(
    "backend %s is answered by nf_tables, and says so",
    async (backend) => {
      await using network = await Network.create();
      const one = await network.attach("pod1", 0, "same-bridge", { backend, firewalldZone: "lab" });
      expect(one.added.stderr).toContain(`backend "${backend}" is answered by nf_tables`);
      // with firewalld on the host, its chain has a say, and its zones are the operator's
      await network.host.text(["nft", "-f", "-"], {
        stdin: `table inet firewalld {
        chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept; reject; }
      }`,
      });
      const { stderr } = await succeed(network.host, "STATUS", one.config);
      expect(stderr).toContain("chain inet firewalld filter_FORWARD of firewalld refuses");
      expect(stderr).toContain("--zone=lab --add-source");
      expect(await network.host.run(["nft", "list", "table", "ip", "filter"])).toMatchObject({ exitCode: 1 });
      expect(await network.reaches("outside", one)).toBe(false);
    },
    30_000,
  );

  test("a pair that stands alone is guarded by its own end, and an attachment without addresses is one", async () => {
    await using network = await Network.create();
    const { host } = network;
    await host.text(["sh", "-ec", "ip link add veth9 type veth peer name eth0 netns pod1"]);
    const target = { containerId: "pod1", netns: "pod1" };
    const config = network.firewallConfig(0, { ingressPolicy: "isolated" });
    const prevResult = {
      cniVersion: "1.1.0",
      interfaces: [{ name: "veth9" }, { name: "eth0", sandbox: "/run/netns/pod1" }],
    };
    await succeed(host, "ADD", { ...config, prevResult }, target);
    expect(await elements(host, "guarded")).toEqual(["veth9"]);
    await succeed(host, "CHECK", { ...config, prevResult }, target);
    await succeed(host, "DEL", config, target);
    await leavesNothing(network);
  });

  test.each(["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])(
    "a chain of version %s is accepted, and its result passed on",
    async (cniVersion) => {
      await using sandbox = await Sandbox.create();
      const old = cniVersion < "0.3.0";
      const config = {
        cniVersion,
        name: "lab",
        type: "warren-firewall",
        dataDir: `${sandbox.directory}/store`,
      };
      const prevResult = old
        ? { cniVersion, ip4: { ip: "10.88.0.2/16" }, dns: {} }
        : {
            cniVersion,
            ips: [{ address: "10.88.0.2/16", ...(cniVersion < "1.0.0" ? { version: "4" } : {}) }],
            ...(cniVersion < "1.0.0" ? { dns: {} } : {}),
          };
      const target = { containerId: "pod1", netns: "/somewhere/pod1" };
      const added = await succeed(sandbox, "ADD", { ...config, prevResult }, target);
      expect(added.document).toEqual(prevResult);
      expect(await elements(sandbox, "pods-ipv4")).toEqual(["10.88.0.2"]);
      await succeed(sandbox, "DEL", config, target);
      expect(await ruleset(sandbox)).toBe("");
    },
  );

  test("a failing ADD leaves nothing", async () => {
    await using network = await Network.create();
    const { host } = network;
    await host.text([
      "nft",
      "add table inet warren; add chain inet warren own { type filter hook input priority 0; }",
    ]);
    const { pod, document } = await network.bridged("pod1", 0);
    const config = network.firewallConfig(0, { iptablesAdminChainName: "own" });
    const refused = await call(host, "ADD", { ...config, prevResult: document }, pod);
    expect(refused.document).toMatchObject({ code: 102, msg: expect.stringContaining('"own"') });
    await host.text(["nft", "delete chain inet warren own"]);
    await leavesNothing(network);
    // a set of another kind under our name: the kernel refuses, and says what
    await host.text(["nft", "add set inet warren guarded { type mark; }"]);
    const kernel = await call(host, "ADD", { ...network.firewallConfig(0), prevResult: document }, pod);
    expect(kernel.document).toMatchObject({ code: 104, msg: expect.stringContaining("guarded") });
    await host.text(["nft", "delete set inet warren guarded"]);
    await leavesNothing(network);
  }, 30_000);
});

describe("CHECK", () => {
  test.each([
    [
      "a pod's address is out of its set",
      "nft delete element inet warren pods-ipv4 { 10.88.0.2 }",
      "10.88.0.2",
    ],
    [
      "so is that of the other family",
      "nft delete element inet warren pods-ipv6 { fd00:88::2 }",
      "fd00:88::2",
    ],
    ["the bridge is not guarded", "nft delete element inet warren guarded { br0 }", "set guarded lacks br0"],
    [
      "the bridge is not isolated",
      "nft delete element inet warren isolated { br0 . br0 }",
      "set isolated lacks br0",
    ],
    [
      "the port is not isolated",
      "nft flush set bridge warren isolated-ports",
      "set isolated-ports lacks veth",
    ],
    [
      "the rules are gone",
      "nft flush chain inet warren firewall",
      "the rules of chain firewall of table inet",
    ],
    ["the bridge's rule is gone", "nft flush chain bridge warren firewall", "of table bridge warren"],
    [
      "somebody put a rule before ours",
      "nft insert rule inet warren firewall accept",
      "are not those that ADD made",
    ],
    ["the policy is drop", "nft chain inet warren firewall '{ policy drop; }'", "policy of chain firewall"],
    ["nobody asks the operator", "nft flush chain inet warren firewall-admins", "does not jump to admin"],
    ["the tables are gone", "nft delete table inet warren; nft delete table bridge warren", "is gone"],
    ["the store is gone", "rm -r $DIR/store", "nothing is written down"],
  ])(
    "sees that %s, and changes nothing",
    async (_, sabotage, message) => {
      await using network = await Network.create();
      const { host } = network;
      const one = await network.attach("pod1", 0, "isolated");
      expect((await network.check(one)).exitCode).toBe(0);
      const whole = await ruleset(host);
      await host.text(["sh", "-ec", sabotage.replace("$DIR", host.directory)]);
      const spoilt = await ruleset(host);
      const answer = await network.check(one);
      expect(answer.document).toMatchObject({ code: 103, msg: expect.stringContaining(message) });
      expect(await ruleset(host)).toBe(spoilt);
      if (message === "nothing is written down") return;
      // the next ADD, of whatever pod, sets the rules right
      await succeed(host, "ADD", { ...one.config, prevResult: one.added.document }, one);
      if (message.startsWith("policy")) return;
      expect(await network.check(one)).toMatchObject({ exitCode: 0 });
      expect(await ruleset(host)).toBe(whole);
    },
    30_000,
  );

  test("sees a config that asks for more than was made", async () => {
    await using network = await Network.create();
    const one = await network.attach("pod1", 0, "open");
    const stricter = { ...one, config: { ...one.config, ingressPolicy: "isolated" } };
    expect((await network.check(stricter)).document).toMatchObject({
      code: 103,
      msg: expect.stringContaining("br0 was not put into set guarded"),
    });
  });
});

describe("DEL", () => {
  test("needs neither namespace nor result nor a good config, and may come twice", async () => {
    await using network = await Network.create();
    const { host } = network;
    const one = await network.attach("pod1", 0, "isolated");
    await succeed(host, "DEL", one.bridgeConfig, one);
    const bad = { ...one.config, ingressPolicy: 7, backend: "none", iptablesAdminChainName: ["x"] };
    await succeed(host, "DEL", bad, { ...one, netns: "" });
    await leavesNothing(network);
    await succeed(host, "DEL", bad, { ...one, netns: "" });
  }, 30_000);

  test("finds its elements by their tags where the store is gone, and those of others stay", async () => {
    await using network = await Network.create();
    const { host } = network;
    const one = await network.attach("pod1", 0, "isolated");
    const two = await network.attach("pod2", 0, "isolated");
    await host.text(["rm", "-r", network.dataDir]);
    await succeed(host, "DEL", one.config, one);
    expect(await elements(host, "pods-ipv4")).toEqual(["10.88.0.3"]);
    expect(await elements(host, "guarded")).toEqual(["br0"]);
    await succeed(host, "DEL", two.config, two);
    expect(await ruleset(host)).toBe("");
  }, 30_000);

  test("gets through where elements are gone already, or the operator's rules look into our sets", async () => {
    await using network = await Network.create();
    const { host } = network;
    const one = await network.attach("pod1", 0, "same-bridge");
    const two = await network.attach("pod2", 0, "same-bridge");
    await host.text(["nft", "delete element inet warren pods-ipv4 { 10.88.0.2 }"]);
    await succeed(host, "DEL", one.config, one);
    expect(await elements(host, "pods-ipv6")).toEqual(["fd00:88::3"]);
    await host.text(["nft", "add rule inet warren admin ip daddr @pods-ipv4 tcp dport 22 drop"]);
    await succeed(host, "DEL", two.config, two);
    expect(await elements(host, "pods-ipv4")).toEqual([]);
    expect(await ruleset(host)).toContain("ip daddr @pods-ipv4 tcp dport 22 drop");
    await host.text(["nft", "flush", "chain", "inet", "warren", "admin"]);
    const again = await network.attach("pod3", 0, "open");
    await succeed(host, "DEL", again.config, again);
    await leavesNothing(network);
  }, 30_000);

  test("gets through where the tables are gone, as after a reboot", async () => {
    await using network = await Network.create();
    const { host } = network;
    const one = await network.attach("pod1", 0, "isolated");
    await host.text(["nft", "flush", "ruleset"]);
    await succeed(host, "DEL", one.config, one);
    await leavesNothing(network);
  });

  test("an address that two networks share goes with the second", async () => {
    await using sandbox = await Sandbox.create();
    const prevResult = { cniVersion: "1.1.0", ips: [{ address: "10.88.0.2/16" }] };
    const base = { cniVersion: "1.1.0", type: "warren-firewall", dataDir: `${sandbox.directory}/store` };
    const target = { containerId: "pod1", netns: "/pod1" };
    for (const name of ["a", "b"]) await succeed(sandbox, "ADD", { ...base, name, prevResult }, target);
    await succeed(sandbox, "DEL", { ...base, name: "a" }, target);
    expect(await elements(sandbox, "pods-ipv4")).toEqual(["10.88.0.2"]);
    await succeed(sandbox, "DEL", { ...base, name: "b" }, target);
    expect(await ruleset(sandbox)).toBe("");
  });

  test.each([
    ["keeps its leases in another place", (network: Network) => `${network.host.directory}/other`],
    ["was made after the store was lost", (network: Network) => network.dataDir],
  ])(
    "a policy stays as long as an attachment needs it that %s",
    async (_, otherDataDir) => {
      await using network = await Network.create();
      const { host } = network;
      const one = await network.attach("pod1", 0, "isolated");
      const dataDir = otherDataDir(network);
      if (dataDir === network.dataDir) await host.text(["rm", "-r", dataDir]);
      // a second network on the same bridge
      const prevResult = { ...one.added.document, ips: [{ interface: 2, address: "10.88.0.77/16" }] };
      const config = { ...one.config, name: "other", dataDir, prevResult };
      const target = { containerId: "pod9", netns: "pod2" };
      await succeed(host, "ADD", config, target);
      const mild = { ...config, name: "mild", ingressPolicy: "same-bridge" };
      await succeed(host, "ADD", mild, target);
      await succeed(host, "CHECK", config, target);
      await succeed(host, "DEL", config, target);
      await succeed(host, "DEL", config, target);
      expect(await elements(host, "pods-ipv4")).toContain("10.88.0.2");
      expect(await elements(host, "guarded")).toEqual(["br0"]);
      expect(await elements(host, "isolated")).toHaveLength(1);
      await succeed(host, "DEL", one.config, one);
      expect(await elements(host, "guarded")).toEqual(["br0"]);
      expect(await elements(host, "isolated")).toEqual([]);
      await succeed(host, "DEL", mild, target);
      expect(await ruleset(host)).toBe("");
    },
    30_000,
  );

  test("the last one takes away everything at once, so that a SIGKILL leaves no half of it", async () => {
    await using network = await Network.create();
    const { host } = network;
    const one = await network.attach("pod1", 0, "isolated");
    const monitor = host.start(["nft", "monitor"]);
    let events = "";
    const reading = (async () => {
      for await (const chunk of monitor.stdout.pipeThrough(new TextDecoderStream())) events += chunk;
    })();
    const listens = async (mark: string) => {
      for (let index = 0; !events.includes(`table ip ${mark}`); index++) {
        await host.text(["nft", "add", "table", "ip", `${mark}${index}`]);
        await Bun.sleep(10);
      }
    };
    await listens("begin");
    await succeed(host, "DEL", one.config, one);
    await listens("end");
    monitor.kill();
    await reading;
    const generations = events.split("# new generation");
    const removal = (what: string) => generations.findIndex((one) => one.includes(`delete ${what}`));
    const inet = removal("chain inet warren firewall");
    expect(inet).toBeGreaterThanOrEqual(0);
    expect(removal("chain inet warren admin")).toBe(inet);
    const bridge = removal("chain bridge warren firewall");
    expect(bridge).toBeGreaterThanOrEqual(0);
    expect(removal("table bridge warren")).toBe(bridge);
  }, 30_000);

  test("X-12 whatever step a SIGKILL hits, DEL and GC leave nothing", async () => {
    await using network = await Network.create();
    const { host } = network;
    const { document } = await network.bridged("pod1", 0);
    const config = network.firewallConfig(0, { ingressPolicy: "isolated" });
    for (let delayMs = 3; delayMs < 15; delayMs++) {
      const containerId = `killed-${delayMs}`;
      const target = { containerId, netns: "pod1" };
      await host.run(
        ["timeout", "--signal=KILL", `${delayMs / 1000}`, `${process.cwd()}/dist/bin/warren-firewall`],
        {
          env: {
            CNI_COMMAND: "ADD",
            CNI_PATH: `${process.cwd()}/dist/bin`,
            CNI_CONTAINERID: containerId,
            CNI_NETNS: "/run/netns/pod1",
            CNI_IFNAME: "eth0",
          },
          stdin: JSON.stringify({ ...config, prevResult: document }),
        },
      );
      if (delayMs % 2 === 0) await succeed(host, "DEL", config, target);
      else await succeed(host, "GC", { ...config, "cni.dev/valid-attachments": [] });
      await leavesNothing(network);
    }
  }, 60_000);
});

describe("GC", () => {
  test("keeps what is valid, and without a list everything", async () => {
    await using network = await Network.create();
    const { host } = network;
    const one = await network.attach("pod1", 0, "isolated");
    const two = await network.attach("pod2", 0, "isolated");
    const other = await network.attach("pod3", 1, "same-bridge");
    const whole = await ruleset(host);
    const none = await succeed(host, "GC", one.config);
    expect(none.stderr).toContain("nothing is collected");
    expect(await ruleset(host)).toBe(whole);
    const valid = [{ containerID: "pod2", ifname: "eth0" }];
    const answer = await succeed(host, "GC", { ...one.config, "cni.dev/valid-attachments": valid });
    expect(answer.stderr).toContain("removed container pod1, interface eth0 of network net0");
    expect(await elements(host, "pods-ipv4")).toEqual(["10.88.0.3", "10.89.0.2"]);
    expect((await network.check(two)).exitCode).toBe(0);
    expect((await network.check(other)).exitCode).toBe(0);
    await succeed(host, "GC", { ...one.config, "cni.dev/valid-attachments": [] });
    expect(await elements(host, "guarded")).toEqual(["br1"]);
    await succeed(host, "GC", { ...other.config, "cni.dev/valid-attachments": null });
    await leavesNothing(network);
  }, 30_000);

  test("finds by their tags what a lost store left", async () => {
    await using network = await Network.create();
    const { host } = network;
    const one = await network.attach("pod1", 0, "isolated");
    await network.attach("pod2", 0, "isolated");
    await host.text(["rm", "-r", network.dataDir]);
    const valid = [{ containerID: "pod2", ifname: "eth0" }];
    await succeed(host, "GC", { ...one.config, "cni.dev/valid-attachments": valid });
    expect(await elements(host, "pods-ipv4")).toEqual(["10.88.0.3"]);
    expect(await elements(host, "guarded")).toEqual(["br0"]);
    await succeed(host, "GC", { ...one.config, "cni.dev/valid-attachments": [] });
    expect(await ruleset(host)).toBe("");
    // and no store was made for that
    expect(existsSync(network.dataDir)).toBeFalse();
  }, 30_000);

  test("a policy goes with those who asked for it, also where the store was lost", async () => {
    await using network = await Network.create();
    const { host } = network;
    const one = await network.attach("pod1", 0, "isolated");
    await network.attach("pod2", 0, "open");
    await host.text(["rm", "-r", network.dataDir]);
    const valid = [{ containerID: "pod2", ifname: "eth0" }];
    await succeed(host, "GC", { ...one.config, "cni.dev/valid-attachments": valid });
    expect(await elements(host, "pods-ipv4")).toEqual(["10.88.0.3"]);
    expect(await elements(host, "guarded")).toEqual([]);
    expect(await network.reaches("outside", { ipv4: "10.88.0.3", ipv6: "fd00:88::3" })).toBe(true);
  }, 30_000);

  test("takes away 300 pods at once", async () => {
    await using network = await Network.create();
    const { host } = network;
    const config = network.firewallConfig(0);
    const ips = Array.from({ length: 300 }, (_, index) => ({
      address: `10.88.${1 + (index >> 8)}.${index & 0xff}/16`,
    }));
    const prevResult = { cniVersion: "1.1.0", ips };
    const target = { containerId: "many", netns: "pod1" };
    await succeed(host, "ADD", { ...config, prevResult }, target);
    expect(await elements(host, "pods-ipv4")).toHaveLength(300);
    await succeed(host, "CHECK", { ...config, prevResult }, target);
    await succeed(host, "GC", { ...config, "cni.dev/valid-attachments": [] });
    await leavesNothing(network);
  });
});

describe("STATUS", () => {
  test("is ready, writes, and makes nothing in the kernel", async () => {
    await using sandbox = await Sandbox.create();
    const config = {
      cniVersion: "1.1.0",
      name: "lab",
      type: "warren-firewall",
      ingressPolicy: "isolated",
      dataDir: `${sandbox.directory}/store`,
    };
    const { stderr } = await succeed(sandbox, "STATUS", config);
    expect(stderr).toBe("");
    expect(await sandbox.text(["nft", "list", "ruleset"])).toBe("");
    await sandbox.text([
      "nft",
      "add table inet deny; add chain inet deny f { type filter hook forward priority 5; policy drop; }",
    ]);
    expect((await call(sandbox, "STATUS", config)).document).toMatchObject({
      code: 51,
      msg: "chain inet deny f drops every packet that the host forwards",
    });
    const lost = { ...config, dataDir: "/nowhere/at/all" };
    expect((await call(sandbox, "STATUS", lost)).document).toMatchObject({ code: 50 });
  });

  test("names a chain that drops what Warren accepts: certainly 51, perhaps a note", async () => {
    await using network = await Network.create();
    const { host } = network;
    const one = await network.attach("pod1", 0, "open");
    expect(await network.reaches("outside", one)).toBe(true);
    await host.text(["iptables", "-P", "FORWARD", "DROP"]);
    // in nf_tables an accept ends only the chains of one hook's own kind: this is what the words are about
    expect(await network.reached("outside", one.ipv4, one.ipv6)).toEqual([false, true]);
    const answer = await call(host, "STATUS", one.config);
    expect(answer.document).toMatchObject({
      code: 51,
      msg: "chain ip filter FORWARD drops every packet that the host forwards",
    });
    // a network without IPv4 is not hurt by that, and one without pods may be such a one
    const other = await succeed(host, "STATUS", network.firewallConfig(7));
    expect(other.stderr).toContain("the policy of chain ip filter FORWARD is drop");
    // the cure that docs/firewall.md names
    await host.text(["iptables", "-A", "FORWARD", "-s", "10.88.0.0/16", "-j", "ACCEPT"]);
    await host.text(["iptables", "-A", "FORWARD", "-d", "10.88.0.0/16", "-j", "ACCEPT"]);
    expect(await network.reached("outside", one.ipv4, one.ipv6)).toEqual([true, true]);
    const ready = await succeed(host, "STATUS", one.config);
    expect(ready.stderr).toContain("the policy of chain ip filter FORWARD is drop");
    const { pod, document } = await network.bridged("pod2", 0);
    const added = await succeed(host, "ADD", { ...one.config, prevResult: document }, pod);
    expect(added.stderr).toContain("the policy of chain ip filter FORWARD is drop");
  }, 30_000);
});

const PREVIOUS = {
  cniVersion: "1.1.0",
  interfaces: [{ name: "br0" }, { name: "eth0", sandbox: "/pod1" }],
  ips: [{ address: "10.88.0.2/16" }],
};

/** Plays firewalld on the system's bus: zones "trusted" and "lab", and the errors that the real one has. */
const FIREWALLD = `
import dbus, dbus.service, dbus.mainloop.glib
from gi.repository import GLib
dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
bus = dbus.SystemBus()
zones = {"trusted": set(), "lab": set()}
ZONE = "org.fedoraproject.FirewallD1.zone"
class Refusal(dbus.exceptions.DBusException):
    _dbus_error_name = "org.fedoraproject.FirewallD1.Exception"
def zone(name):
    if name not in zones: raise Refusal("INVALID_ZONE: " + name)
    return zones[name]
class Firewalld(dbus.service.Object):
    @dbus.service.method(ZONE, in_signature="ss", out_signature="s")
    def addSource(self, name, source):
        if source in zone(name): raise Refusal("ZONE_ALREADY_SET: " + source)
        zones[name].add(source); return name
    @dbus.service.method(ZONE, in_signature="ss", out_signature="s")
    def removeSource(self, name, source):
        if source not in zone(name): raise Refusal("UNKNOWN_SOURCE: " + source)
        zones[name].remove(source); return name
    @dbus.service.method(ZONE, in_signature="ss", out_signature="b")
    def querySource(self, name, source): return source in zone(name)
    @dbus.service.method(ZONE, in_signature="s", out_signature="as")
    def getSources(self, name): return sorted(zone(name))
name = dbus.service.BusName("org.fedoraproject.FirewallD1", bus)
Firewalld(bus, "/org/fedoraproject/FirewallD1")
print("ready", flush=True)
GLib.MainLoop().run()
`;

const BUS_CONFIG = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_type="signal"/><allow send_type="method_return"/><allow send_type="error"/>
<allow receive_type="method_call"/><allow receive_type="signal"/><allow receive_type="method_return"/>
<allow receive_type="error"/></policy></busconfig>`;

const pythonOnTheBus = {
  reason:
    Bun.spawnSync(["/usr/bin/python3", "-c", "import dbus, gi"], { stderr: "ignore" }).exitCode === 0
      ? undefined
      : "python3-dbus and python3-gi are not installed",
};

/** A bus and a firewalld on it, in a sandbox; both end with it. */
class Firewalld implements AsyncDisposable {
  private constructor(
    private readonly host: Sandbox,
    private readonly processes: readonly Bun.Subprocess[],
  ) {}

  static async start(host: Sandbox): Promise<Firewalld> {
    await host.text(["mkdir", "-p", "/run/dbus"]);
    await Bun.write(`${host.directory}/bus.conf`, BUS_CONFIG);
    const bus = host.start([
      ...["dbus-daemon", `--config-file=${host.directory}/bus.conf`, "--nofork", "--nopidfile"],
      "--print-address=1",
    ]);
    await bus.stdout.getReader().read();
    const service = host.start(["/usr/bin/python3", "-c", FIREWALLD]);
    const { value } = await service.stdout.getReader().read();
    if (value === undefined) throw new Error(await new Response(service.stderr).text());
    return new Firewalld(host, [service, bus]);
  }

  async sources(zone: string): Promise<string> {
    const to = ["--dest", "org.fedoraproject.FirewallD1", "--object-path", "/org/fedoraproject/FirewallD1"];
    const method = ["--method", "org.fedoraproject.FirewallD1.zone.getSources", zone];
    return (await this.host.text(["gdbus", "call", "--system", ...to, ...method])).trim();
  }

  async remove(zone: string, source: string): Promise<void> {
    const to = ["--dest", "org.fedoraproject.FirewallD1", "--object-path", "/org/fedoraproject/FirewallD1"];
    const method = ["--method", "org.fedoraproject.FirewallD1.zone.removeSource", zone, source];
    await this.host.text(["gdbus", "call", "--system", ...to, ...method]);
  }

  /** Ends firewalld, and the bus too if `all`. */
  async stop(all = false): Promise<void> {
    for (const process of all ? this.processes : this.processes.slice(0, 1)) {
      process.kill("SIGKILL");
      await process.exited;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(true);
  }
}

describe("firewalld on the system's D-Bus", () => {
  const needed = [tools.program("dbus-daemon"), tools.program("gdbus"), pythonOnTheBus];
  testWith(...needed)(
    "pods are in its zone from ADD to DEL, and CHECK looks",
    async () => {
      await using network = await Network.create();
      const { host } = network;
      await using firewalld = await Firewalld.start(host);
      const one = await network.attach("pod1", 0, "open", { backend: "firewalld", firewalldZone: "lab" });
      const two = await network.attach("pod2", 0, "open");
      await network.attach("pod3", 0, "open", { backend: "nftables" });
      expect(one.added.stderr).toContain("and by zone lab of firewalld");
      expect(await firewalld.sources("lab")).toBe("(['10.88.0.2/32', 'fd00:88::2/128'],)");
      expect(await firewalld.sources("trusted")).toBe("(['10.88.0.3/32', 'fd00:88::3/128'],)");
      expect((await network.check(one)).exitCode).toBe(0);
      await firewalld.remove("lab", "fd00:88::2/128");
      expect((await network.check(one)).document).toMatchObject({
        code: 103,
        msg: "fd00:88::2/128 is not in firewalld's zone lab",
      });
      // twice is once, and what is missing is no failure
      await succeed(host, "ADD", { ...one.config, prevResult: one.added.document }, one);
      expect((await network.check(one)).exitCode).toBe(0);
      await firewalld.remove("lab", "10.88.0.2/32");
      await succeed(host, "DEL", { ...one.config, firewalldZone: undefined }, one);
      expect(await firewalld.sources("lab")).toBe("(@as [],)");
      await succeed(host, "GC", { ...two.config, "cni.dev/valid-attachments": [] });
      expect(await firewalld.sources("trusted")).toBe("(@as [],)");
      await leavesNothing(network);
    },
    30_000,
  );

  testWith(...needed)(
    "a zone that it doesn't have fails the ADD, and a firewalld that is gone nothing",
    async () => {
      await using network = await Network.create();
      const { host } = network;
      await using firewalld = await Firewalld.start(host);
      const { pod, document } = await network.bridged("pod1", 0);
      const config = network.firewallConfig(0, { firewalldZone: "nobody" });
      const refused = await call(host, "ADD", { ...config, prevResult: document }, pod);
      expect(refused.document).toMatchObject({ code: 7, msg: "firewalld: INVALID_ZONE: nobody" });
      expect(refused.stderr).toBe("");
      await leavesNothing(network);
      const good = network.firewallConfig(0, { backend: "firewalld" });
      await succeed(host, "STATUS", good);
      await succeed(host, "ADD", { ...good, prevResult: document }, pod);
      await firewalld.stop();
      await succeed(host, "CHECK", { ...good, prevResult: document }, pod);
      expect((await succeed(host, "STATUS", good)).stderr).toContain("firewalld does not run");
      await firewalld.stop(true);
      await succeed(host, "DEL", good, pod);
      await leavesNothing(network);
    },
    30_000,
  );
});

describe("bad input is refused before anything is made", () => {
  const cases: readonly [name: string, config: Config, code: number, message: string, verb?: string][] = [
    ["it stands first", { prevResult: undefined }, 7, "must be called as chained plugin"],
    ["it stands first, with null", { prevResult: null }, 7, "must be called as chained plugin"],
    ["CHECK without a result", { prevResult: undefined }, 7, "Required prevResult missing", "CHECK"],
    ["an unknown policy", { ingressPolicy: "closed" }, 7, 'unknown ingress policy: "closed"'],
    ["a policy in capitals", { ingressPolicy: "Isolated" }, 7, '"Isolated"'],
    ["a policy that is a number", { ingressPolicy: 1 }, 7, '"ingressPolicy" is 1'],
    ["an unknown policy for STATUS", { ingressPolicy: "closed" }, 7, '"closed"', "STATUS"],
    ["an unknown backend", { backend: "ipchains" }, 7, '"ipchains"'],
    ["a backend that is a list", { backend: [] }, 7, '"backend"'],
    ["a zone with a space", { firewalldZone: "my zone" }, 7, '"my zone"'],
    ["a zone with NUL", { firewalldZone: "a\0b" }, 7, "firewalldZone"],
    ["a zone that is an object", { firewalldZone: {} }, 7, '"firewalldZone"'],
    ["an admin chain with a space", { iptablesAdminChainName: "my chain" }, 7, '"my chain"'],
    ["an admin chain that is a rule", { iptablesAdminChainName: "x;flush ruleset" }, 7, "x;flush"],
    ["a long admin chain", { iptablesAdminChainName: "a".repeat(29) }, 7, "aaaa"],
    ["an admin chain that is a verdict", { iptablesAdminChainName: "drop" }, 7, '"drop"'],
    ["an admin chain of Warren's", { iptablesAdminChainName: "firewall" }, 7, '"firewall"'],
    ["an admin chain that begins with a digit", { iptablesAdminChainName: "1a" }, 7, '"1a"'],
    ["an admin chain with NUL", { iptablesAdminChainName: "a\0b" }, 7, "iptablesAdminChainName"],
    ["an admin chain that is a number", { iptablesAdminChainName: 5 }, 7, "iptablesAdminChainName"],
    ["a relative dataDir", { dataDir: "store" }, 7, '"dataDir"'],
    ["a dataDir whose parent is missing", { dataDir: "/nowhere/at/all" }, 105, "/nowhere/at"],
    ["a result that is a list", { prevResult: [] }, 6, "prevResult"],
    ["a result with a bad address", { prevResult: { ips: [{ address: "10.88.0" }] } }, 6, "10.88.0"],
    ["a result of an unknown version", { prevResult: { cniVersion: "9.0" } }, 6, "9.0"],
    ["a bridge that is not there", { ingressPolicy: "same-bridge", prevResult: PREVIOUS }, 7, '"br0"'],
    [
      "an interface that can't be",
      { ingressPolicy: "isolated", prevResult: { ...PREVIOUS, interfaces: [{ name: "../br0" }] } },
      7,
      "../br0",
    ],
    [
      "a policy without a bridge",
      { ingressPolicy: "isolated", prevResult: { ...PREVIOUS, interfaces: [] } },
      7,
      "needs a bridge",
    ],
  ];
  test.each(cases)("%s", async (_, more, code, message, verb = "ADD") => {
    await using sandbox = await Sandbox.create();
    const config = {
      cniVersion: "1.1.0",
      name: "lab",
      type: "warren-firewall",
      dataDir: `${sandbox.directory}/store`,
      prevResult: { cniVersion: "1.1.0", ips: [] },
      ...more,
    };
    const answer = await call(sandbox, verb, config, { containerId: "pod1", netns: "/pod1" });
    expect(answer.exitCode).toBe(1);
    expect(answer.document).toMatchObject({ code });
    expect(JSON.stringify(answer.document.msg + answer.document.details)).toContain(
      JSON.stringify(message).slice(1, -1),
    );
    expect(await sandbox.text(["nft", "list", "ruleset"])).toBe("");
  });
});

describe("side by side with the reference plugin", () => {
  testWith(tools.referencePlugins)(
    "the same config leads to the same result, and packets differ only where docs/firewall.md says so",
    async () => {
      const seen: Record<string, unknown>[] = [];
      for (const type of ["warren-firewall", "firewall"]) {
        await using network = await Network.create();
        const { host } = network;
        const folder = type === "firewall" ? (tools.referencePlugins.path ?? "") : undefined;
        const pods: Record<string, Pick<Pod, "ipv4" | "ipv6">> = {};
        const results: unknown[] = [];
        const attach = async (netns: string, number: number, ingressPolicy: Policy) => {
          const { pod, document } = await network.bridged(netns, number);
          const config: Config = {
            cniVersion: "1.0.0",
            name: `net${number}`,
            type,
            ingressPolicy,
            backend: "iptables",
          };
          const own = folder === undefined ? { dataDir: network.dataDir } : {};
          const prevResult = { ...document, cniVersion: "1.0.0" };
          const added = await succeed(host, "ADD", { ...config, ...own, prevResult }, pod, folder);
          results.push(added.document.ips, added.document.interfaces.length);
          await succeed(host, "CHECK", { ...config, ...own, prevResult }, pod, folder);
          await network.serve(netns);
          const [ipv4 = "", ipv6 = ""] = document.ips.map(
            ({ address }: { address: string }) => address.split("/")[0],
          );
          pods[netns] = { ipv4, ipv6 };
          return { config: { ...config, ...own }, pod };
        };
        const one = await attach("pod1", 0, "same-bridge");
        await attach("pod2", 0, "same-bridge");
        await attach("pod3", 1, "isolated");
        await attach("pod4", 1, "isolated");
        await attach("pod5", 2, "open");
        const reached = async (from: string, to: string) =>
          network.reaches(from, pods[to] ?? { ipv4: "", ipv6: "" });
        await network.serve("outside");
        const packets = {
          openBridge: await reached("pod5", "pod1"),
          sameBridge: await reached("pod2", "pod1"),
          betweenBridges: await reached("pod3", "pod1"),
          outside: await reached("outside", "pod1"),
          isolatedSameBridge: await reached("pod4", "pod3"),
        };
        await host.text(["sh", "-ec", "iptables -P FORWARD DROP; ip6tables -P FORWARD DROP"]);
        const overrules = await network.reaches("pod5", OUTSIDE);
        await host.text(["sh", "-ec", BR_NETFILTER_ON]);
        const withNetfilter = await reached("pod4", "pod3");
        // DEL without prevResult
        await succeed(host, "DEL", one.config, one.pod, folder);
        const left = await host.text(["nft", "list", "ruleset"]);
        seen.push({ results, packets, overrules, withNetfilter, leaves: left.includes("10.88.0.2") });
      }
      const [ours, reference] = seen;
      expect(ours?.results).toEqual(reference?.results as unknown[]);
      expect(ours).toMatchObject({
        packets: {
          openBridge: false,
          sameBridge: true,
          betweenBridges: false,
          outside: false,
          isolatedSameBridge: false,
        },
        overrules: false,
        withNetfilter: false,
        leaves: false,
      });
      expect(reference).toMatchObject({
        packets: {
          openBridge: true,
          sameBridge: true,
          betweenBridges: false,
          outside: true,
          isolatedSameBridge: true,
        },
        overrules: true,
        withNetfilter: false,
        leaves: true,
      });
    },
    60_000,
  );
});
