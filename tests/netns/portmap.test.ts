// The plugin portmap on a real kernel: port maps are tried with real packets from outside, from the host, from the
// pod itself and from its neighbour; elements and chains are witnessed by nft. Host, pods and the world outside are
// throwaway namespaces.
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { tools } from "../../scripts/tools.ts";
import {
  type Answer,
  type Config,
  call,
  PLUGIN_FOLDER,
  ruleset,
  succeed,
  variables,
} from "../support/plugins.ts";
import { Sandbox, testWith, WARREN } from "../support/sandbox.ts";

const POD = { containerId: "pod-1", netns: "pod1" };
const OTHER = { containerId: "pod-2", netns: "pod2" };
const DUAL = [[{ subnet: "10.88.0.0/16" }], [{ subnet: "fd00:88::/64" }]];

type PortMapping = Readonly<Record<string, unknown>>;

const WEB: PortMapping = { hostPort: 8080, containerPort: 80, protocol: "tcp" };
const DNS: PortMapping = { hostPort: 5353, containerPort: 53, protocol: "udp" };

/** Answers over TCP and UDP with its name and the address that it sees, and writes down what it hears over UDP. */
const SERVER = `
import { appendFileSync } from "node:fs";
const [label, port] = [process.argv[2], Number(process.argv[3])];
const plain = (address) => address.replace("::ffff:", "");
const hostname = "::";
Bun.listen({ hostname, port, socket: { data(socket) { socket.write(label + " saw " + plain(socket.remoteAddress)); socket.flush(); } } });
await Bun.udpSocket({ hostname, port, socket: { data(socket, data, from, address) { appendFileSync(label + ".heard", plain(address) + "\\n"); socket.send(label + " saw " + plain(address), from, address); } } });
console.log("ready");
`;

/**
 * Says something to a port and prints the answer, from a source port of its own if it is told one. It waits in turns of its
 * own, for a busy machine may give it none for a while, and on a connection that is open it waits for the answer.
 */
const CLIENT = `
const [transport, hostname, port, source] = process.argv.slice(2);
const answer = (text) => { console.log(text); process.exit(0); };
let opened = false;
function wait(turns) {
  if (opened) return;
  if (turns > 0) setTimeout(wait, 100, turns - 1);
  else answer("no answer");
}
wait(transport === "tcp" ? 15 : 30);
if (transport === "tcp") {
  await Bun.connect({ hostname, port: Number(port), socket: {
    open(socket) { opened = true; socket.write("hello"); },
    data(socket, data) { answer(new TextDecoder().decode(data)); },
    connectError() { answer("refused"); },
    close() { answer("closed"); },
  } }).catch(() => answer("refused"));
} else {
  const any = hostname.includes(":") ? "::" : "0.0.0.0";
  // connected, so that an answer from another address than the one that was asked does not count
  const connect = { hostname, port: Number(port) };
  const socket = await Bun.udpSocket({ hostname: any, port: Number(source ?? 0), connect, socket: {
    data(socket, data) { answer(data.toString()); },
    error() { answer("refused"); },
  } });
  socket.send("hello");
}
`;

class Stage implements AsyncDisposable {
  readonly #servers: Bun.Subprocess[] = [];

  private constructor(readonly host: Sandbox) {}

  /** A host with two pods' namespaces, and a machine outside that knows the host's addresses only. */
  static async create(): Promise<Stage> {
    const host = await Sandbox.create();
    for (const name of ["pod1", "pod2", "outside"]) await host.addNetns(name);
    await host.text([
      "sh",
      "-ec",
      `ip link add wan type veth peer name wan netns outside
       ip addr add 192.0.2.1/24 dev wan; ip addr add 192.0.2.9/24 dev wan
       ip addr add 2001:db8::1/64 dev wan nodad; ip link set wan up
       ip -n outside addr add 192.0.2.2/24 dev wan; ip -n outside addr add 2001:db8::2/64 dev wan nodad
       ip -n outside link set wan up; ip -n outside link set lo up
       ip -n pod1 link set lo up; ip -n pod2 link set lo up`,
    ]);
    await Bun.write(`${host.directory}/server.ts`, SERVER);
    await Bun.write(`${host.directory}/client.ts`, CLIENT);
    return new Stage(host);
  }

  /** Sets whether the kernel shows bridged packets to iptables and nf_tables; one without br_netfilter does not. */
  async filterBridged(filtered: number): Promise<void> {
    for (const family of ["iptables", "ip6tables"])
      await this.host.run(["sysctl", "-qw", `net.bridge.bridge-nf-call-${family}=${filtered}`]);
  }

  get dataDir(): string {
    return `${this.host.directory}/store`;
  }

  bridge(more: Config = {}): Config {
    return {
      cniVersion: "1.1.0",
      name: "lab",
      type: "warren-bridge",
      bridge: "br0",
      isDefaultGateway: true,
      ipMasq: true,
      ipam: { type: "warren-ipam", dataDir: this.dataDir, ranges: DUAL },
      ...more,
    };
  }

  portmap(portMappings: readonly PortMapping[] | undefined, more: Config = {}): Config {
    return {
      cniVersion: "1.1.0",
      name: "lab",
      type: "warren-portmap",
      dataDir: this.dataDir,
      ...(portMappings === undefined ? {} : { runtimeConfig: { portMappings } }),
      ...more,
    };
  }

  /** Attaches a pod to the bridge and maps its ports; returns the result and the portmap config with it. */
  async attach(
    pod: typeof POD,
    portMappings: readonly PortMapping[],
    more: Config = {},
    bridge: Config = {},
  ): Promise<{ readonly result: Answer["document"]; readonly config: Config }> {
    const { document: result } = await succeed(this.host, "ADD", this.bridge(bridge), pod);
    const config = { ...this.portmap(portMappings, more), prevResult: result };
    const { document } = await succeed(this.host, "ADD", config, pod);
    expect(document).toEqual(result);
    return { result, config };
  }

  async detach(pod: typeof POD): Promise<void> {
    await succeed(this.host, "DEL", this.portmap(undefined), pod);
    await succeed(this.host, "DEL", this.bridge(), pod);
  }

  /** Starts a server in a pod; it ends with the stage, or when what is returned is killed. */
  async serve(netns: string | undefined, label: string, port: number): Promise<Bun.Subprocess> {
    // a bridge forwards IPv6 to a pod that it has not met only when its own link-local address is settled
    while ((await this.host.text(["ip", "-6", "addr", "show", "tentative"])) !== "") await Bun.sleep(50);
    const where = netns === undefined ? [] : ["ip", "netns", "exec", netns];
    const server = this.host.start([...where, process.execPath, "server.ts", label, `${port}`]);
    this.#servers.push(server);
    const first = await server.stdout.getReader().read();
    expect(new TextDecoder().decode(first.value)).toBe("ready\n");
    return server;
  }

  /** What a client gets to hear; without a namespace it is on the host itself. */
  async ask(netns: string | undefined, transport: string, address: string, port: number, source?: number) {
    const where = netns === undefined ? [] : ["ip", "netns", "exec", netns];
    const from = source === undefined ? [] : [`${source}`];
    const text = await this.host.text([
      ...where,
      process.execPath,
      "client.ts",
      transport,
      address,
      `${port}`,
      ...from,
    ]);
    return text.trim();
  }

  /** The elements of every set, without those of others. */
  async elements(): Promise<string[]> {
    const { nftables } = (await this.host.json(["nft", "-j", "list", "ruleset"])) as {
      nftables: { map?: { elem?: unknown[] }; set?: { elem?: unknown[] } }[];
    };
    return nftables.flatMap(({ map, set }) => map?.elem ?? set?.elem ?? []).map((one) => JSON.stringify(one));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) server.kill("SIGKILL");
    await Promise.all(this.#servers.map((server) => server.exited));
    await this.host[Symbol.asyncDispose]();
  }
}

/** The ways of asking, and what the pod's server should see as the address of whoever asks. */
const WAYS: readonly (readonly [from: string | undefined, address: string, sees: string])[] = [
  // the world outside is seen as it is
  ["outside", "192.0.2.1", "192.0.2.2"],
  ["outside", "192.0.2.9", "192.0.2.2"],
  ["outside", "2001:db8::1", "2001:db8::2"],
  // and so is the host, but for its loopback, from where no answer would come back
  [undefined, "127.0.0.1", "10.88.0.1"],
  [undefined, "127.1.2.3", "10.88.0.1"],
  [undefined, "192.0.2.1", "192.0.2.1"],
  [undefined, "10.88.0.1", "10.88.0.1"],
  [undefined, "2001:db8::1", "2001:db8::1"],
  [undefined, "fd00:88::1", "fd00:88::1"],
  // whoever is in the pod's own subnet, itself included, would be answered past the host
  ["pod1", "192.0.2.1", "10.88.0.1"],
  ["pod1", "10.88.0.1", "10.88.0.1"],
  ["pod1", "2001:db8::1", "fd00:88::1"],
  ["pod1", "fd00:88::1", "fd00:88::1"],
  ["pod2", "192.0.2.1", "10.88.0.1"],
  ["pod2", "10.88.0.1", "10.88.0.1"],
  ["pod2", "2001:db8::1", "fd00:88::1"],
  ["pod2", "fd00:88::1", "fd00:88::1"],
];

describe("packets reach the pod", () => {
  // where the kernel filters bridged packets too, a pod reaches itself through the bridge only if its port lets it
  test.each([
    ["bridged packets are filtered", 1, { hairpinMode: true }],
    ["bridged packets are not filtered", 0, {}],
  ])(
    "from everywhere, in both families and protocols, where %s",
    async (_, filtered, bridge) => {
      await using stage = await Stage.create();
      await stage.filterBridged(filtered);
      await stage.attach(POD, [WEB, DNS], {}, bridge);
      await stage.attach(OTHER, []);
      await stage.serve("pod1", "web", 80);
      await stage.serve("pod1", "dns", 53);
      for (const [transport, port, label] of [
        ["tcp", 8080, "web"],
        ["udp", 5353, "dns"],
      ] as const) {
        const answers = await Promise.all(
          WAYS.map(async ([from, address]) => [
            from,
            address,
            await stage.ask(from, transport, address, port),
          ]),
        );
        expect(answers).toEqual(WAYS.map(([from, address, sees]) => [from, address, `${label} saw ${sees}`]));
      }
      // no other port leads anywhere, and none does to the other protocol
      expect(await stage.ask("outside", "tcp", "192.0.2.1", 80)).toBe("refused");
      expect(await stage.ask("outside", "tcp", "192.0.2.1", 5353)).toBe("refused");
      await stage.detach(POD);
      expect(await stage.ask("outside", "tcp", "192.0.2.1", 8080)).toBe("refused");
      expect(await stage.ask(undefined, "tcp", "127.0.0.1", 8080)).toBe("refused");
    },
    60_000,
  );

  test("an address of the host of its own wins over all addresses, and 127.0.0.1 is for the host alone", async () => {
    await using stage = await Stage.create();
    await stage.attach(POD, [WEB, { ...WEB, hostPort: 9090, hostIP: "127.0.0.1" }]);
    await stage.attach(OTHER, [
      { ...WEB, hostIP: "192.0.2.9" },
      { ...WEB, hostPort: 7070, hostIP: "2001:db8::1" },
      { ...WEB, hostPort: 6060, hostIP: "0.0.0.0" },
      { ...WEB, hostPort: 6061, hostIP: "::" },
    ]);
    await stage.serve("pod1", "first", 80);
    await stage.serve("pod2", "second", 80);
    const ask = (address: string, port: number, from: string | undefined = "outside") =>
      stage.ask(from, "tcp", address, port);
    expect(await ask("192.0.2.1", 8080)).toBe("first saw 192.0.2.2");
    expect(await ask("192.0.2.9", 8080)).toBe("second saw 192.0.2.2");
    expect(await ask("2001:db8::1", 7070)).toBe("second saw 2001:db8::2");
    expect(await ask("192.0.2.1", 7070)).toBe("refused");
    expect(await ask("192.0.2.1", 6060)).toBe("second saw 192.0.2.2");
    expect(await ask("2001:db8::1", 6060)).toBe("refused");
    expect(await ask("2001:db8::1", 6061)).toBe("second saw 2001:db8::2");
    expect(await ask("192.0.2.1", 6061)).toBe("refused");
    expect(await stage.ask(undefined, "tcp", "127.0.0.1", 9090)).toBe("first saw 10.88.0.1");
    expect(await ask("192.0.2.1", 9090)).toBe("refused");
    await stage.detach(OTHER);
    expect(await ask("192.0.2.9", 8080)).toBe("first saw 192.0.2.2");
  }, 60_000);

  test("snat false leaves sources and the loopback alone", async () => {
    await using stage = await Stage.create();
    const { config } = await stage.attach(POD, [WEB], { snat: false });
    await stage.serve("pod1", "pod", 80);
    await stage.serve(undefined, "host", 8080);
    expect(await stage.ask("outside", "tcp", "192.0.2.1", 8080)).toBe("pod saw 192.0.2.2");
    expect(await stage.ask(undefined, "tcp", "192.0.2.1", 8080)).toBe("pod saw 192.0.2.1");
    expect(await stage.ask(undefined, "tcp", "127.0.0.1", 8080)).toBe("host saw 127.0.0.1");
    expect(await stage.ask(undefined, "tcp", "::1", 8080)).toBe("host saw ::1");
    expect((await stage.host.text(["sysctl", "-n", "net.ipv4.conf.br0.route_localnet"])).trim()).toBe("0");
    await succeed(stage.host, "CHECK", config, POD);
    await stage.detach(POD);
    expect(await stage.elements()).toEqual([]);
  }, 60_000);

  test("masqAll hides every source", async () => {
    await using stage = await Stage.create();
    const { config } = await stage.attach(POD, [WEB], { masqAll: true });
    await stage.serve("pod1", "pod", 80);
    expect(await stage.ask("outside", "tcp", "192.0.2.1", 8080)).toBe("pod saw 10.88.0.1");
    expect(await stage.ask("outside", "tcp", "2001:db8::1", 8080)).toBe("pod saw fd00:88::1");
    expect(await stage.ask(undefined, "tcp", "127.0.0.1", 8080)).toBe("pod saw 10.88.0.1");
    await succeed(stage.host, "CHECK", config, POD);
    await stage.detach(POD);
    expect(await stage.elements()).toEqual([]);
  }, 60_000);

  test.each([
    ["0", "0"],
    ["1", "1"],
  ])(
    "the last port map puts route_localnet back to %s, whichever store knows it",
    async (found, expected) => {
      await using stage = await Stage.create();
      const localnet = async () =>
        (await stage.host.text(["sysctl", "-n", "net.ipv4.conf.br0.route_localnet"])).trim();
      await stage.host.text(["ip", "link", "add", "br0", "type", "bridge"]);
      await stage.host.text(["sysctl", "-qw", `net.ipv4.conf.br0.route_localnet=${found}`]);
      await stage.attach(POD, [WEB, DNS]);
      // one whose store is lost, one of another store, and two of which GC hears
      const { config } = await stage.attach(OTHER, [{ ...WEB, hostPort: 8081 }], {
        dataDir: `${stage.host.directory}/other`,
      });
      for (const [index, name] of ["gone-1", "gone-2"].entries()) {
        const web = { ...WEB, hostPort: 8082 + index, containerPort: 81 + index };
        const again = stage.portmap([web], { name, prevResult: config.prevResult });
        await succeed(stage.host, "ADD", again, { containerId: name, netns: "pod2" });
      }
      expect(await localnet()).toBe("1");
      const gc = (name: string) =>
        succeed(stage.host, "GC", stage.portmap([], { name, "cni.dev/valid-attachments": [] }));
      await gc("gone-1");
      await stage.host.text(["rm", "-r", stage.dataDir]);
      await gc("gone-2");
      expect(await localnet()).toBe("1");
      await succeed(stage.host, "DEL", stage.portmap([]), POD);
      expect(await localnet()).toBe("1");
      await succeed(stage.host, "CHECK", config, OTHER);
      await succeed(stage.host, "DEL", config, OTHER);
      expect(await localnet()).toBe(expected);
      expect(await stage.elements()).toEqual([]);
    },
    60_000,
  );

  test("letting the loopback out lets nobody in: a pod can't reach what listens on it (CVE-2020-8558)", async () => {
    await using stage = await Stage.create();
    await stage.attach(POD, [WEB]);
    expect((await stage.host.text(["sysctl", "-n", "net.ipv4.conf.br0.route_localnet"])).trim()).toBe("1");
    await stage.serve(undefined, "host", 9999);
    await stage.host.text([
      "sh",
      "-ec",
      `ip netns exec pod1 sysctl -qw net.ipv4.conf.all.route_localnet=1
       ip -n pod1 route del local 127.0.0.0/8 dev lo table local
       ip -n pod1 route del local 127.0.0.1 dev lo table local
       ip -n pod1 route add 127.0.0.1 via 10.88.0.1 src 10.88.0.2`,
    ]);
    // an answer finds no way back in any case, but one datagram may be all that harm needs
    const heard = async () => {
      await stage.ask("pod1", "udp", "127.0.0.1", 9999);
      const file = Bun.file(`${stage.host.directory}/host.heard`);
      return (await file.exists()) ? (await file.text()).trim() : "nothing";
    };
    expect(await heard()).toBe("nothing");
    // and it is the guard that keeps it out
    await stage.host.text(["nft", "flush", "chain", "inet", "warren", "portmap-loopback-guard"]);
    expect(await heard()).toBe("10.88.0.2");
  }, 60_000);

  test("a UDP flow that goes on is aimed at the new pod, or at the host when there is none", async () => {
    await using stage = await Stage.create();
    await stage.attach(POD, [DNS]);
    await stage.attach(OTHER, []);
    await stage.serve("pod1", "old", 53);
    await stage.serve("pod2", "new", 53);
    const ask = () => stage.ask("outside", "udp", "192.0.2.1", 5353, 40_000);
    const ask6 = () => stage.ask("outside", "udp", "2001:db8::1", 5353, 40_001);
    expect([await ask(), await ask6()]).toEqual(["old saw 192.0.2.2", "old saw 2001:db8::2"]);
    await stage.detach(POD);
    // the flow is not kept by the pod that is gone
    const onHost = await stage.serve(undefined, "host", 5353);
    expect([await ask(), await ask6()]).toEqual(["host saw 192.0.2.2", "host saw 2001:db8::2"]);
    // and not by the host either; what goes through it to another machine's port of that number is left alone
    await stage.serve("outside", "far", 5353);
    expect(await stage.ask("pod2", "udp", "192.0.2.2", 5353, 40_002)).toBe("far saw 192.0.2.1");
    const tracked = async () =>
      Number(await stage.host.text(["sysctl", "-n", "net.netfilter.nf_conntrack_count"]));
    const before = await tracked();
    const { document: prevResult } = await succeed(stage.host, "ADD", stage.bridge({ name: "third" }), {
      containerId: "pod-3",
      netns: "pod1",
    });
    const third = { ...stage.portmap([DNS], { name: "third" }), prevResult };
    await succeed(stage.host, "ADD", third, { containerId: "pod-3", netns: "pod1" });
    expect(await tracked()).toBe(before - 2);
    expect([await ask(), await ask6()]).toEqual(["old saw 192.0.2.2", "old saw 2001:db8::2"]);
    onHost.kill();
  }, 60_000);
});

/** A result as a net plugin leaves it; no namespace has to be there for it. */
function resultOf(address: string, address6?: string): Config {
  return {
    cniVersion: "1.1.0",
    interfaces: [{ name: "br0" }, { name: "veth0" }, { name: "eth0", sandbox: "/run/netns/pod1" }],
    ips: [
      { interface: 2, address, gateway: "10.88.0.1" },
      ...(address6 === undefined ? [] : [{ interface: 2, address: address6 }]),
    ],
  };
}

/** An ADD of port maps alone. */
async function map(
  stage: Stage,
  containerId: string,
  portMappings: readonly PortMapping[],
  more: Config = {},
): Promise<Answer> {
  const number = Number(containerId.slice(1)) + 1;
  const prevResult = resultOf(`10.88.0.${number}/16`, `fd00:88::${number}/64`);
  return call(
    stage.host,
    "ADD",
    { ...stage.portmap(portMappings, more), prevResult },
    { containerId, netns: "pod1" },
  );
}

async function mapped(...parameters: Parameters<typeof map>): Promise<Answer> {
  const answer = await map(...parameters);
  if (answer.exitCode !== 0) throw new Error(answer.stdout);
  return answer;
}

function unmap(stage: Stage, containerId: string, more: Config = {}): Promise<Answer> {
  return succeed(stage.host, "DEL", stage.portmap(undefined, more), { containerId, netns: "" });
}

describe("ADD", () => {
  test("makes elements and shared chains once, however many come first", async () => {
    await using stage = await Stage.create();
    const ids = Array.from({ length: 16 }, (_, index) => `c${index + 1}`);
    await Promise.all(
      ids.map((id, index) =>
        mapped(stage, id, [
          { ...WEB, hostPort: 8000 + index },
          { ...DNS, hostPort: 9000 + index },
        ]),
      ),
    );
    const rules = await ruleset(stage.host);
    for (const chain of ["portmap-masquerade-10.88.0.0/16", "portmap-masquerade-fd00_88__/64"])
      expect(rules.split(`chain ${chain} {`)).toHaveLength(2);
    expect(rules.split("fib daddr type local jump portmap")).toHaveLength(3);
    expect(rules.split("ip saddr 10.88.0.0/16 masquerade")).toHaveLength(2);
    // two ports, two families, where it leads and whose sources are hidden
    expect(await stage.elements()).toHaveLength(16 * 8);
    expect(rules).toContain(`tcp . 8003 comment "warren lab c4 eth0" : 10.88.0.5 . 80`);
    await Promise.all(ids.map((id) => unmap(stage, id)));
    expect(await stage.elements()).toEqual([]);
    expect(await ruleset(stage.host)).not.toContain("10.88.0.0/16");
  }, 60_000);

  test.each(["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])(
    "of version %s hands the result on as it came",
    async (cniVersion) => {
      await using stage = await Stage.create();
      const prevResult =
        cniVersion.startsWith("0.1") || cniVersion.startsWith("0.2")
          ? { cniVersion, ip4: { ip: "10.88.0.2/16", gateway: "10.88.0.1" }, dns: {} }
          : cniVersion.startsWith("0.")
            ? {
                cniVersion,
                interfaces: [{ name: "eth0", sandbox: "/run/netns/pod1" }],
                ips: [{ version: "4", interface: 0, address: "10.88.0.2/16", gateway: "10.88.0.1" }],
                routes: [{ dst: "0.0.0.0/0" }],
                dns: { nameservers: ["192.0.2.53"] },
              }
            : { ...resultOf("10.88.0.2/16"), cniVersion, dns: { search: ["a.example"] } };
      const config = { ...stage.portmap([WEB]), cniVersion, prevResult };
      const { document } = await succeed(stage.host, "ADD", config, POD);
      expect(document).toEqual(prevResult);
      expect(await stage.elements()).toHaveLength(2);
      await succeed(stage.host, "DEL", { ...config, runtimeConfig: undefined }, POD);
      expect(await stage.elements()).toEqual([]);
    },
  );

  test("without port mappings touches neither kernel nor store", async () => {
    await using stage = await Stage.create();
    await mapped(stage, "c1", []);
    expect(await ruleset(stage.host)).toBe("");
    expect((await stage.host.run(["ls", stage.dataDir])).exitCode).not.toBe(0);
  });

  test("takes sctp, protocols in capitals, a protocol left out, and the same mapping twice", async () => {
    await using stage = await Stage.create();
    await mapped(stage, "c1", [
      { hostPort: 7000, containerPort: 70, protocol: "SCTP" },
      { hostPort: 7001, containerPort: 71 },
      { hostPort: 7001, containerPort: 71, protocol: "TCP" },
    ]);
    const rules = await ruleset(stage.host);
    expect(rules).toContain("sctp . 7000");
    expect(rules).toContain("tcp . 7001");
    expect(await stage.elements()).toHaveLength(8);
  });

  test("of a port that is held is refused, and the holder is named; a free one of the same call is not taken", async () => {
    await using stage = await Stage.create();
    await mapped(stage, "c1", [WEB]);
    const before = await ruleset(stage.host);
    const refused = await map(stage, "c2", [{ ...WEB, hostPort: 8081 }, WEB]);
    expect(refused.document).toMatchObject({
      code: 100,
      msg: "host port 0.0.0.0:8080/tcp is not available: it is held by container c1, interface eth0 of network lab",
    });
    expect(await ruleset(stage.host)).toBe(before);
    // another protocol, and one address of the host, are not the same port
    await mapped(stage, "c2", [
      { ...WEB, protocol: "udp" },
      { ...WEB, hostIP: "192.0.2.9" },
    ]);
    // another network has the same host
    const other = await map(stage, "c3", [{ ...WEB, hostIP: "192.0.2.9" }], { name: "net2" });
    expect(other.document.msg).toContain("192.0.2.9:8080/tcp is not available: it is held by container c2");
    await unmap(stage, "c1");
    await mapped(stage, "c3", [WEB], { name: "net2" });
  });

  test("of a container's two networks lead to the first, then to the other, and CHECK and GC understand it", async () => {
    await using stage = await Stage.create();
    const second = { ...POD, ifname: "eth1" };
    const ranges = [[{ subnet: "10.77.0.0/16" }]];
    const ipam = { type: "warren-ipam", dataDir: stage.dataDir, ranges, routes: [{ dst: "192.0.2.0/24" }] };
    const bridge = { name: "storage", bridge: "br1", isDefaultGateway: false, isGateway: true, ipam };
    const names = { name: "storage" };
    const first = await stage.attach(POD, [WEB, DNS]);
    const other = await stage.attach(second, [WEB, DNS], names, bridge);
    await succeed(stage.host, "CHECK", first.config, POD);
    await succeed(stage.host, "CHECK", other.config, second);
    const leads = async () => {
      const lines = (await ruleset(stage.host)).split("\n").filter((line) => line.includes(". 8080 "));
      return lines.join().match(/: (10\.\d+)\./)?.[1];
    };
    expect(await leads()).toBe("10.88");
    await stage.serve("pod1", "web", 80);
    expect(await stage.ask("outside", "tcp", "192.0.2.1", 8080)).toBe("web saw 192.0.2.2");
    // nobody else gets a port that an interface of the container waits for
    const refused = await map(stage, "c2", [WEB], { name: "third" });
    expect(refused.document.code).toBe(100);
    await stage.detach(POD);
    expect(await leads()).toBe("10.77");
    await succeed(stage.host, "CHECK", other.config, second);
    expect(await stage.ask("outside", "tcp", "192.0.2.1", 8080)).toBe("web saw 192.0.2.2");
    expect(await stage.ask(undefined, "tcp", "127.0.0.1", 8080)).toBe("web saw 10.77.0.1");
    expect((await map(stage, "c2", [WEB], { name: "third" })).document.code).toBe(100);
    // the first network comes back and waits; then all containers are gone but for the runtime's list
    await stage.attach(POD, [WEB]);
    expect(await leads()).toBe("10.77");
    const none = { "cni.dev/valid-attachments": [] };
    await succeed(stage.host, "GC", { ...stage.portmap(undefined, names), ...none });
    expect(await leads()).toBe("10.88");
    await succeed(stage.host, "GC", { ...stage.portmap(undefined), ...none });
    expect(await stage.elements()).toEqual([]);
  }, 60_000);

  test("of a container that comes back in a new namespace are taken from the one that is gone", async () => {
    await using stage = await Stage.create();
    const second = { ...POD, ifname: "eth1" };
    await stage.attach(second, [WEB], { name: "storage" }, { name: "storage", bridge: "br1", ipMasq: false });
    await stage.host.text(["ip", "netns", "del", "pod1"]);
    await stage.host.addNetns("pod1");
    await stage.host.text(["ip", "-n", "pod1", "link", "set", "lo", "up"]);
    await stage.attach(
      POD,
      [WEB],
      {},
      { ipam: { ...(stage.bridge().ipam as Config), ranges: [[{ subnet: "10.66.0.0/16" }]] }, bridge: "br2" },
    );
    await stage.serve("pod1", "web", 80);
    expect(await stage.ask("outside", "tcp", "192.0.2.1", 8080)).toBe("web saw 192.0.2.2");
  }, 60_000);

  test("of a port that another store's attachment holds is refused by what the kernel knows", async () => {
    await using stage = await Stage.create();
    await mapped(stage, "c1", [WEB], { dataDir: `${stage.host.directory}/elsewhere` });
    const before = await ruleset(stage.host);
    const refused = await map(stage, "c2", [{ ...WEB, hostPort: 8081 }, WEB]);
    expect(refused.document).toMatchObject({
      code: 100,
      msg: "host port 0.0.0.0:8080/tcp is not available: it is held by container c1, interface eth0 of network lab",
    });
    expect(await ruleset(stage.host)).toBe(before);
    await unmap(stage, "c2");
    expect(await ruleset(stage.host)).toBe(before);
  });

  test("of one port by many at once succeeds for one", async () => {
    await using stage = await Stage.create();
    const answers = await Promise.all(
      ["c1", "c2", "c3", "c4", "c5", "c6"].map((id) => map(stage, id, [WEB])),
    );
    expect(answers.filter(({ exitCode }) => exitCode === 0)).toHaveLength(1);
    expect(answers.filter(({ document }) => document.code === 100)).toHaveLength(5);
    expect(await stage.elements()).toHaveLength(4);
  });

  test("takes a port whose holder went with an earlier boot", async () => {
    await using stage = await Stage.create();
    await mapped(stage, "c1", [WEB]);
    // a boot: the kernel forgets, the store does not
    await stage.host.text(["nft", "flush", "ruleset"]);
    using database = new Database(`${stage.dataDir}/warren.db`, { readwrite: true, create: false });
    database.run("update attachments set boot_id = 'earlier'");
    await mapped(stage, "c2", [WEB]);
    // and the DEL of the one that is gone, when it comes, takes nothing from the new one
    await unmap(stage, "c1");
    expect(await stage.elements()).toHaveLength(4);
    expect((await map(stage, "c3", [WEB])).document.msg).toContain("container c2");
  });

  test("again without a DEL between replaces what was there", async () => {
    await using stage = await Stage.create();
    await mapped(stage, "c1", [WEB, DNS]);
    await mapped(stage, "c1", [{ ...WEB, containerPort: 81 }]);
    expect(await ruleset(stage.host)).toContain("10.88.0.2 . 81");
    expect(await stage.elements()).toHaveLength(4);
    await unmap(stage, "c1");
    expect(await stage.elements()).toEqual([]);
  });

  test("two interfaces of one container keep their ports apart", async () => {
    await using stage = await Stage.create();
    const config = (port: number, ifname: string) => ({
      ...stage.portmap([{ ...WEB, hostPort: port }]),
      prevResult: {
        cniVersion: "1.1.0",
        interfaces: [{ name: ifname, sandbox: "/x" }],
        ips: [{ interface: 0, address: `10.88.0.${port - 8000}/16` }],
      },
    });
    await succeed(stage.host, "ADD", config(8001, "eth0"), POD);
    await succeed(stage.host, "ADD", config(8002, "net1"), { ...POD, ifname: "net1" });
    await stage.host.text([WARREN, "show", "pod-1", "--data-dir", stage.dataDir]);
    await succeed(stage.host, "DEL", stage.portmap(undefined), POD);
    const left = await stage.elements();
    expect(left).toHaveLength(2);
    for (const element of left) expect(element).toContain("net1");
    await succeed(stage.host, "CHECK", config(8002, "net1"), { ...POD, ifname: "net1" });
  });

  test("says once that iptables is answered by nf_tables", async () => {
    await using stage = await Stage.create();
    const { stderr } = await mapped(stage, "c1", [WEB], {
      backend: "iptables",
      markMasqBit: 13,
      conditionsV4: [""],
    });
    expect(stderr).toBe(
      'warren-portmap: backend "iptables" is answered by nf_tables elements of the same effect in table inet warren\n',
    );
    expect((await mapped(stage, "c2", [DNS], { backend: "nftables" })).stderr).toBe("");
  });

  test("says which mapping of a family that the pod has no address in goes nowhere", async () => {
    await using stage = await Stage.create();
    const config = {
      ...stage.portmap([{ ...WEB, hostIP: "2001:db8::1" }, DNS]),
      prevResult: resultOf("10.88.0.2/16"),
    };
    const { stderr } = await succeed(stage.host, "ADD", config, POD);
    expect(stderr).toBe("warren-portmap: the pod has no IPv6 address: hostPort 8080 is not mapped there\n");
    expect(await stage.elements()).toHaveLength(2);
  });
});

describe("DEL", () => {
  test("needs nothing but the attachment's names, and may come again", async () => {
    await using stage = await Stage.create();
    await stage.attach(POD, [WEB, DNS]);
    await stage.host.text(["ip", "netns", "del", "pod1"]);
    // the rest of the config has gone bad
    const bad = { snat: "perhaps", runtimeConfig: { portMappings: "none" }, conditionsV4: 7 };
    await succeed(stage.host, "DEL", stage.portmap(undefined, bad), { ...POD, netns: "" });
    expect(await stage.elements()).toEqual([]);
    await succeed(stage.host, "DEL", stage.portmap(undefined, bad), { ...POD, netns: "/gone" });
  });

  test("succeeds when the kernel has forgotten all, and when nothing was ever made", async () => {
    await using stage = await Stage.create();
    await unmap(stage, "c9");
    expect(await ruleset(stage.host)).toBe("");
    await mapped(stage, "c1", [WEB]);
    await stage.host.text(["nft", "flush", "ruleset"]);
    await unmap(stage, "c1");
    await mapped(stage, "c2", [WEB]);
    expect(await stage.elements()).toHaveLength(4);
  });

  test("finds its elements by their tags when the store was lost", async () => {
    await using stage = await Stage.create();
    await mapped(stage, "c1", [WEB, DNS]);
    await mapped(stage, "c2", [{ ...WEB, hostPort: 8081 }]);
    await stage.host.text(["rm", "-r", stage.dataDir]);
    await unmap(stage, "c1");
    const left = await stage.elements();
    expect(left).toHaveLength(4);
    for (const element of left) expect(element).toContain("warren lab c2 eth0");
  });

  test("clears up after an ADD that was killed anywhere", async () => {
    await using stage = await Stage.create();
    const config = { ...stage.portmap([WEB, DNS]), prevResult: resultOf("10.88.0.2/16", "fd00:88::2/64") };
    await succeed(stage.host, "STATUS", stage.portmap(undefined));
    for (let afterMs = 0; afterMs < 30; afterMs += 2) {
      const add = stage.host.start([`${PLUGIN_FOLDER}/warren-portmap`], {
        env: variables("ADD", POD),
        stdin: JSON.stringify(config),
      });
      await Bun.sleep(afterMs);
      add.kill("SIGKILL");
      await add.exited;
      await succeed(stage.host, "DEL", stage.portmap(undefined), { ...POD, netns: "" });
      expect(await stage.elements()).toEqual([]);
    }
    await succeed(stage.host, "ADD", config, POD);
    await succeed(stage.host, "CHECK", config, POD);
    expect(await stage.elements()).toHaveLength(8);
  }, 60_000);

  test("leaves a chain that somebody else's rule needs", async () => {
    await using stage = await Stage.create();
    await mapped(stage, "c1", [WEB]);
    // somebody's own rule leads to the chain of the subnet; the elements go all the same
    await stage.host.text([
      "nft",
      "add chain inet warren mine; add rule inet warren mine jump portmap-masquerade-10.88.0.0/16",
    ]);
    await unmap(stage, "c1");
    expect(await stage.elements()).toEqual([]);
    expect(await ruleset(stage.host)).toContain("chain portmap-masquerade-10.88.0.0/16");
  });
});

describe("CHECK", () => {
  test("passes what is as it was made, and a pod without port mappings", async () => {
    await using stage = await Stage.create();
    const { config } = await stage.attach(POD, [WEB, DNS, { ...WEB, hostPort: 8081, hostIP: "192.0.2.9" }]);
    await succeed(stage.host, "CHECK", config, POD);
    // a runtime that does not repeat the port mappings: the store knows them
    await succeed(stage.host, "CHECK", { ...config, runtimeConfig: undefined }, POD);
    const other = await stage.attach(OTHER, []);
    await succeed(stage.host, "CHECK", other.config, OTHER);
  });

  const NFT = (command: string) => ["nft", command];
  const SABOTAGE: readonly (readonly [what: string, command: readonly string[], says: string])[] = [
    ["everything is gone", NFT("flush ruleset"), "port map 0.0.0.0:8080/tcp to 10.88.0.2:80 is gone"],
    [
      "an element is gone",
      NFT("delete element inet warren portmap-ipv6 { tcp . 8080 }"),
      "port map [::]:8080/tcp to [fd00:88::2]:80 is gone",
    ],
    [
      "a port leads elsewhere",
      NFT(
        "delete element inet warren portmap-ipv4 { tcp . 8080 }; add element inet warren portmap-ipv4 { tcp . 8080 : 10.88.0.2 . 81 }",
      ),
      "port map 0.0.0.0:8080/tcp to 10.88.0.2:80 leads elsewhere",
    ],
    [
      "sources are not translated",
      NFT("delete element inet warren portmap-ipv4-masquerade { 10.88.0.2 . tcp . 80 }"),
      "lost its source translation",
    ],
    ["a chain lost its rules", NFT("flush chain inet warren portmap-output"), "chain portmap-output"],
    [
      "the subnet's chain lost its rules",
      NFT("flush chain inet warren portmap-masquerade-10.88.0.0/16"),
      "10.88.0.0/16",
    ],
    [
      "a chain got another rule",
      NFT("add rule inet warren portmap-prerouting accept"),
      "chain portmap-prerouting",
    ],
    [
      "a chain is gone",
      NFT("flush chain inet warren portmap-prerouting; delete chain inet warren portmap-prerouting"),
      "chain portmap-prerouting of table inet warren is gone",
    ],
    ["the guard is gone", NFT("flush chain inet warren portmap-loopback-guard"), "portmap-loopback-guard"],
    ["the loopback is kept in", ["sysctl", "-qw", "net.ipv4.conf.br0.route_localnet=0"], "route_localnet"],
    ["the store is gone", ["rm", "-r", "STORE"], "is not written down"],
  ];
  test.each(SABOTAGE)("says so when %s", async (_, command, says) => {
    await using stage = await Stage.create();
    const { config } = await stage.attach(POD, [WEB]);
    await stage.host.text(command.map((word) => (word === "STORE" ? stage.dataDir : word)));
    const { document } = await call(stage.host, "CHECK", config, POD);
    expect(document).toMatchObject({ code: 103, msg: expect.stringContaining(says) });
  });

  test("says so when other ports are asked for than were mapped", async () => {
    await using stage = await Stage.create();
    const { config } = await stage.attach(POD, [WEB]);
    const other = { ...config, runtimeConfig: { portMappings: [WEB, DNS] } };
    const { document } = await call(stage.host, "CHECK", other, POD);
    expect(document).toMatchObject({
      code: 103,
      msg: "port map 0.0.0.0:5353/udp to 10.88.0.2:53 is not written down",
    });
    expect(
      (await call(stage.host, "CHECK", { ...config, prevResult: undefined }, POD)).document,
    ).toMatchObject({
      code: 7,
      msg: "Required prevResult missing",
    });
  });
});

describe("STATUS", () => {
  test("is ready before and after the first port map, and leaves no trace", async () => {
    await using stage = await Stage.create();
    await succeed(stage.host, "STATUS", stage.portmap(undefined));
    expect(await ruleset(stage.host)).toBe("");
    await mapped(stage, "c1", [WEB]);
    const before = await ruleset(stage.host);
    await succeed(stage.host, "STATUS", stage.portmap(undefined));
    expect(await ruleset(stage.host)).toBe(before);
  });

  test("fails with 50 where the store can't be made", async () => {
    await using stage = await Stage.create();
    const { document } = await call(
      stage.host,
      "STATUS",
      stage.portmap(undefined, { dataDir: "/nowhere/store" }),
    );
    expect(document).toMatchObject({ code: 50 });
  });
});

describe("GC", () => {
  const valid = (...ids: readonly string[]): Config => ({
    "cni.dev/valid-attachments": ids.map((containerID) => ({ containerID, ifname: "eth0" })),
  });

  test("removes the port maps of what is not valid, and in the end the chains", async () => {
    await using stage = await Stage.create();
    await mapped(stage, "c1", [WEB]);
    await mapped(stage, "c2", [DNS]);
    await mapped(stage, "c3", [{ ...WEB, hostPort: 8083 }], { name: "net2" });
    const { stderr } = await succeed(stage.host, "GC", stage.portmap(undefined, valid("c2")));
    expect(stderr).toBe(
      "warren-portmap: removed the port maps of container c1, interface eth0 of network lab\n",
    );
    const left = await stage.elements();
    expect(left).toHaveLength(8);
    for (const element of left) expect(element).not.toContain("c1");
    await succeed(stage.host, "GC", stage.portmap(undefined, valid()));
    // another network's are its own
    expect(await stage.elements()).toHaveLength(4);
    await succeed(stage.host, "GC", stage.portmap(undefined, { name: "net2", ...valid() }));
    expect(await ruleset(stage.host)).toBe("");
    // and the next one finds its place again
    await mapped(stage, "c1", [WEB]);
    expect(await stage.elements()).toHaveLength(4);
  });

  test("finds what a lost store left behind by its tags", async () => {
    await using stage = await Stage.create();
    await mapped(stage, "c1", [WEB]);
    await mapped(stage, "c2", [DNS]);
    await stage.host.text(["rm", "-r", stage.dataDir]);
    await mapped(stage, "c4", [{ ...WEB, hostPort: 8084 }]);
    await succeed(stage.host, "GC", stage.portmap(undefined, valid("c2")));
    const left = await stage.elements();
    // c4 is written down but not valid
    expect(left).toHaveLength(4);
    for (const element of left) expect(element).toContain("c2");
    await stage.host.text(["rm", "-r", stage.dataDir]);
    await succeed(stage.host, "GC", stage.portmap(undefined, valid()));
    expect(await stage.elements()).toEqual([]);
  });

  test("without a list collects nothing and says so", async () => {
    await using stage = await Stage.create();
    await mapped(stage, "c1", [WEB]);
    const { stderr } = await succeed(stage.host, "GC", stage.portmap(undefined));
    expect(stderr).toBe(
      "warren-portmap: no list of valid attachments came for network lab: nothing is collected\n",
    );
    expect(await stage.elements()).toHaveLength(4);
  });
});

describe("bad input is refused before anything is touched", () => {
  const port = (more: PortMapping) => ({ runtimeConfig: { portMappings: [{ ...WEB, ...more }] } });
  const CASES: readonly (readonly [name: string, config: Config, code: number, message: string])[] = [
    ["no prevResult", { prevResult: undefined }, 7, "must be called as chained plugin"],
    ["a prevResult that is none", { prevResult: { ips: [{ address: "10.88.0.2" }] } }, 6, "10.88.0.2"],
    ["a prevResult without addresses", { prevResult: { cniVersion: "1.1.0", ips: [] } }, 7, '"eth0"'],
    [
      "an address of the host's only",
      { prevResult: { ...resultOf("10.88.0.2/16"), ips: [{ interface: 0, address: "10.88.0.1/16" }] } },
      7,
      "no address of interface",
    ],
    ["host port 0", port({ hostPort: 0 }), 7, "Invalid host port number: 0"],
    ["no host port", port({ hostPort: undefined }), 7, "Invalid host port number: 0"],
    ["a negative host port", port({ hostPort: -1 }), 7, "Invalid host port number: -1"],
    ["host port 65536", port({ hostPort: 65_536 }), 7, "Invalid host port number: 65536"],
    ["half a host port", port({ hostPort: 80.5 }), 7, "Invalid host port number: 80.5"],
    [
      "a host port in words",
      port({ hostPort: "http" }),
      7,
      '"runtimeConfig.portMappings[0].hostPort" is "http"',
    ],
    ["container port 0", port({ containerPort: 0 }), 7, "Invalid container port number: 0"],
    ["container port 70000", port({ containerPort: 70_000 }), 7, "Invalid container port number: 70000"],
    ["an unknown protocol", port({ protocol: "icmp" }), 7, '"icmp"'],
    ["a protocol with a blank", port({ protocol: "tcp " }), 7, '"tcp "'],
    ["a host address that is none", port({ hostIP: "192.0.2" }), 7, '"192.0.2"'],
    ["a host address with a prefix", port({ hostIP: "192.0.2.1/24" }), 7, '"192.0.2.1/24"'],
    ["::1", port({ hostIP: "::1" }), 7, '"::1"'],
    ["the loopback without snat", { snat: false, ...port({ hostIP: "127.0.0.1" }) }, 7, '"127.0.0.1"'],
    [
      "one port to two places",
      { runtimeConfig: { portMappings: [WEB, { ...WEB, containerPort: 81 }] } },
      7,
      "0.0.0.0:8080/tcp is asked for twice: for container ports 80 and 81",
    ],
    ["port mappings that are no list", { runtimeConfig: { portMappings: {} } }, 7, "portMappings"],
    ["a port mapping that is no object", { runtimeConfig: { portMappings: ["80:80"] } }, 7, '"80:80"'],
    ["an unknown backend", { backend: "ebpf" }, 7, 'unrecognized backend "ebpf"'],
    ["a mark bit too high", { markMasqBit: 32 }, 7, "MasqMarkBit must be between 0 and 31"],
    ["a mark bit too low", { markMasqBit: -1 }, 7, "MasqMarkBit must be between 0 and 31"],
    [
      "a mark bit and a chain",
      { markMasqBit: 3, externalSetMarkChain: "KUBE-MARK-MASQ" },
      7,
      "Cannot specify externalSetMarkChain and markMasqBit",
    ],
    ["a chain of iptables", { externalSetMarkChain: "KUBE-MARK-MASQ" }, 2, '"KUBE-MARK-MASQ"'],
    ["conditions of iptables", { conditionsV4: ["!", "-d", "192.0.2.0/24"] }, 2, "conditionsV4"],
    ["conditions of nft", { conditionsV6: ["ip6", "daddr", "::/0"] }, 2, "conditionsV6"],
    ["snat in words", { snat: "yes" }, 7, '"snat" is "yes"'],
    ["a relative dataDir", { dataDir: "store" }, 7, '"dataDir" is "store"'],
  ];
  test.each(CASES)("%s", async (_, more, code, message) => {
    await using stage = await Stage.create();
    const config = { ...stage.portmap([WEB]), prevResult: resultOf("10.88.0.2/16"), ...more };
    const { document, exitCode } = await call(stage.host, "ADD", config, POD);
    expect(exitCode).toBe(1);
    expect(document.code).toBe(code);
    expect(`${document.msg} ${document.details ?? ""}`).toContain(message);
    expect(await ruleset(stage.host)).toBe("");
    expect((await stage.host.run(["ls", stage.dataDir])).exitCode).not.toBe(0);
  });
});

describe("beside the reference plugin", () => {
  for (const [backend, filtered] of [
    ["nftables", 0],
    ["nftables", 1],
    ["iptables", 0],
    ["iptables", 1],
  ] as const) {
    testWith(tools.referencePlugins, tools.program(backend === "nftables" ? "nft" : "iptables"))(
      `of backend ${backend}, bridged packets ${filtered === 0 ? "not " : ""}filtered: the same config lets the same packets through, but for what docs/portmap.md lists`,
      async () => {
        const answersOf = async (path: string | undefined, bridgeType: string, type: string) => {
          await using stage = await Stage.create();
          await stage.filterBridged(filtered);
          const more = { backend, type, dataDir: undefined };
          for (const [pod, ports] of [
            [POD, [WEB, DNS]],
            [OTHER, []],
          ] as const) {
            const bridge = stage.bridge({ hairpinMode: true, type: bridgeType, ipMasq: false });
            const ipam = {
              ...(bridge.ipam as Config),
              type: path === undefined ? "warren-ipam" : "host-local",
            };
            const { document: prevResult } = await succeed(stage.host, "ADD", { ...bridge, ipam }, pod, path);
            await succeed(stage.host, "ADD", { ...stage.portmap(ports, more), prevResult }, pod, path);
          }
          await stage.serve("pod1", "pod", 80);
          await stage.serve("pod1", "pod", 53);
          const answers: Record<string, string> = {};
          for (const [from, address] of WAYS) {
            for (const [transport, port] of [
              ["tcp", 8080],
              ["udp", 5353],
            ] as const) {
              const way = `${from ?? "host"} ${address} ${transport}`;
              answers[way] = await stage.ask(from, transport, address, port);
            }
          }
          const localnet = await stage.host.text(["sysctl", "-n", "net.ipv4.conf.br0.route_localnet"]);
          return { ...answers, localnet: localnet.trim() };
        };
        const folder = tools.referencePlugins.path ?? "";
        const [ours, theirs] = await Promise.all([
          answersOf(undefined, "warren-bridge", "warren-portmap"),
          answersOf(folder, "bridge", "portmap"),
        ]);
        // the reference's nf_tables rules forget the neighbours, which then hear nothing, or are seen as they are
        const neighbour = (way: string) => backend === "nftables" && way.startsWith("pod2 ");
        const expected = Object.entries(ours).map(([way, answer]) => {
          if (!neighbour(way)) return [way, answer];
          return [
            way,
            filtered === 0 ? "no answer" : `pod saw ${way.includes(":") ? "fd00:88::3" : "10.88.0.3"}`,
          ];
        });
        expect(theirs).toEqual(Object.fromEntries(expected));
      },
      120_000,
    );
  }
});
