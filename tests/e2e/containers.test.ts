// Real container runtimes on our network: podman by its CNI backend, and containerd by `ctr run --cni`. They call the
// plugins by their own rules, with their own cache, arguments and namespaces, which no test of ours would invent.
// Everything happens on a throwaway host; the only image is made here of busybox.
import { expect } from "bun:test";
import { ContainerHost, GREETING, IMAGE } from "../support/container-root.ts";
import {
  Containerd,
  LOOK,
  Podman,
  parseInside,
  SERVE,
  SLEEP,
  testWithContainerd,
  testWithPodman,
} from "../support/engines.ts";
import { linkNames, ruleset } from "../support/plugins.ts";
import { WARREN } from "../support/sandbox.ts";

const TIMEOUT_MS = 60_000;

/** Both runtimes are too old for 1.1.0 and ignore `cniVersions`; `warren gc` reads there that it may collect. */
const NETWORK = {
  cniVersion: "1.0.0",
  cniVersions: ["1.0.0", "1.1.0"],
  name: "containers",
  plugins: [
    {
      type: "warren-bridge",
      bridge: "warren0",
      isDefaultGateway: true,
      ipMasq: true,
      capabilities: { ips: true, mac: true },
      ipam: {
        type: "warren-ipam",
        ranges: [[{ subnet: "10.44.0.0/24" }], [{ subnet: "fd00:44::/64" }]],
      },
    },
  ],
};
const GATEWAYS = ["10.44.0.1", "fd00:44::1"];

/** A lease as `warren leases` shows it. */
interface Lease {
  readonly network: string;
  readonly address: string;
  readonly container: string;
  readonly ifname: string;
  /** podman gives the container's name as the pod's. */
  readonly pod: string;
  readonly state: string;
}

async function leasesOn(host: ContainerHost): Promise<Lease[]> {
  const leases: Lease[] = JSON.parse(await host.text([WARREN, "leases", "--json"]));
  return leases;
}

/** Returns the addresses that `warren leases` shows for a container on our network. */
async function leasedTo(container: string, host: ContainerHost): Promise<string[]> {
  const ours = (await leasesOn(host)).filter((lease) => lease.container === container);
  const distinct = [...new Set(ours.map(({ network, ifname, state }) => `${network} ${ifname} ${state}`))];
  if (ours.length > 0) expect(distinct).toEqual(["containers eth0 alive"]);
  return ours.map(({ address }) => address);
}

/** Checks that no attachment is left, and that a GC finds nothing either. The bridge stays, as with every CNI plugin. */
async function expectNothingLeft(host: ContainerHost): Promise<void> {
  const findings = async () => ({
    leases: await leasesOn(host),
    links: await linkNames(host.sandbox),
    rules: await ruleset(host.sandbox),
    cache: await host.text(["ls", "/var/lib/cni/results"]),
  });
  const nothing = { leases: [], links: ["warren0"], rules: "", cache: "" };
  expect(await findings()).toEqual(nothing);
  expect((await host.run([WARREN, "gc", "containers"])).exitCode).toBe(0);
  expect(await findings()).toEqual(nothing);
}

/** Returns what a container gets from the web server of another one. */
function fetchFrom(address: string): string[] {
  const bare = address.split("/")[0] ?? "";
  return ["/bin/busybox", "wget", "-q", "-O", "-", `http://${bare.includes(":") ? `[${bare}]` : bare}/hello`];
}

testWithPodman(
  "containers start on our network under podman's CNI backend, reach the gateway and each other, and leave nothing",
  async () => {
    await using host = await ContainerHost.create([NETWORK]);
    const podman = await Podman.create(host);
    const first = await podman.start("first", [], SERVE);
    const second = await podman.start("second");

    const firstLeases = await leasedTo(first, host);
    const secondLeases = await leasedTo(second, host);
    expect(new Set((await leasesOn(host)).map(({ pod }) => pod))).toEqual(new Set(["first", "second"]));
    expect(new Set([...firstLeases, ...secondLeases]).size).toBe(4);
    expect(await podman.look("first")).toMatchObject({ addresses: firstLeases, gateways: GATEWAYS });
    expect(await podman.look("second")).toMatchObject({ addresses: secondLeases, gateways: GATEWAYS });
    const inspected = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}}{{end}}";
    expect((await podman.text("inspect", "--format", inspected, "first")).trim().split(" ")).toEqual(
      firstLeases.map((address) => address.replace(/\/.*/, "")),
    );

    for (const gateway of GATEWAYS) {
      await podman.text("exec", "second", "/bin/busybox", "ping", "-c", "1", "-W", "5", gateway);
    }
    for (const address of firstLeases) {
      expect(await podman.text("exec", "second", ...fetchFrom(address))).toBe(GREETING);
    }
    expect(await ruleset(host.sandbox)).toContain("ip saddr 10.44.0.0/24");

    await podman.text("rm", "--force", "--time", "0", "first");
    expect(await leasedTo(first, host)).toEqual([]);
    expect(await leasedTo(second, host)).toEqual(secondLeases);
    expect(await linkNames(host.sandbox)).toHaveLength(2);
    await podman.text("rm", "--force", "--time", "0", "second");
    await expectNothingLeft(host);
  },
  TIMEOUT_MS,
);

/** The network with a whole chain inside its one plugin. */
const FUSED = {
  ...NETWORK,
  plugins: NETWORK.plugins.map((plugin) => ({
    ...plugin,
    capabilities: { ...plugin.capabilities, portMappings: true },
    firewall: { ingressPolicy: "same-bridge" },
    tuning: { sysctl: { "net.core.somaxconn": "777" } },
  })),
};
testWithPodman(
  "podman publishes a port by a plugin that has the whole chain inside, and all of it goes with the container",
  async () => {
    await using host = await ContainerHost.create([FUSED]);
    const podman = await Podman.create(host);
    const id = await podman.start("first", ["--publish", "8080:80"], SERVE);
    for (const address of ["127.0.0.1", ...GATEWAYS]) {
      const name = address.includes(":") ? `[${address}]` : address;
      const fetched = `busybox wget -q -O - http://${name}:8080/hello`;
      // the server is started with the container, and takes its time on a busy machine
      expect(
        await host.text(["sh", "-c", `for try in 1 2 3 4 5 6 7 8; do ${fetched} && break; sleep 0.5; done`]),
      ).toBe(GREETING);
    }
    expect(await podman.text("exec", "first", "/bin/busybox", "cat", "/proc/sys/net/core/somaxconn")).toBe(
      "777\n",
    );
    const { attachments }: { attachments: { plugin: string }[] } = JSON.parse(
      await host.text([WARREN, "show", id, "--json"]),
    );
    expect(attachments.map(({ plugin }) => plugin).sort()).toEqual([
      "bridge",
      "firewall",
      "portmap",
      "tuning",
    ]);
    await podman.text("rm", "--force", "--time", "0", "first");
    const rules = await ruleset(host.sandbox);
    expect(rules).not.toContain("10.44.0");
    expect(rules).not.toContain("8080");
    // the maps of ports stay empty until a GC
    expect((await host.run([WARREN, "gc", "containers"])).exitCode).toBe(0);
    await expectNothingLeft(host);
  },
  TIMEOUT_MS,
);

/** podman asks by CNI_ARGS, and by the capabilities too where the config has them. */
const WAYS = [
  ["capabilities and CNI_ARGS", NETWORK],
  ["CNI_ARGS alone", { ...NETWORK, plugins: NETWORK.plugins.map((one) => ({ ...one, capabilities: {} })) }],
] as const;
for (const [way, network] of WAYS) {
  testWithPodman(
    `podman's --ip, --ip6 and --mac-address are honoured by ${way}, and a taken address is refused with nothing left`,
    async () => {
      await using host = await ContainerHost.create([network]);
      const podman = await Podman.create(host);
      const wanted = ["--ip", "10.44.0.77", "--ip6", "fd00:44::77", "--mac-address", "02:11:22:33:44:55"];
      const first = await podman.start("first", wanted);
      const addresses = ["10.44.0.77/24", "fd00:44::77/64"];
      expect(await leasedTo(first, host)).toEqual(addresses);
      expect(await podman.look("first")).toEqual({
        hardwareAddress: "02:11:22:33:44:55",
        addresses,
        gateways: GATEWAYS,
      });

      const links = await linkNames(host.sandbox);
      const taken = ["--name", "second", "--network", "containers", "--ip", "10.44.0.77"];
      const refused = await podman.run("run", "--detach", ...taken, IMAGE, ...SLEEP);
      expect(refused.exitCode).not.toBe(0);
      expect(refused.stderr).toContain("10.44.0.77");
      expect(refused.stderr).toContain(`container ${first} of pod first, interface eth0`);
      expect(await leasesOn(host)).toHaveLength(2);
      expect(await linkNames(host.sandbox)).toEqual(links);

      await podman.text("rm", "--force", "--time", "0", "first", "second");
      await expectNothingLeft(host);
    },
    TIMEOUT_MS,
  );
}

testWithPodman(
  "a podman container that is stopped and started again is attached again; Warren checks it from podman's cache",
  async () => {
    await using host = await ContainerHost.create([NETWORK]);
    const podman = await Podman.create(host);
    const id = await podman.start("one");
    const check = async () => {
      const path = (
        await podman.text("inspect", "--format", "{{.NetworkSettings.SandboxKey}}", "one")
      ).trim();
      return host.run([WARREN, "check", "containers", path, "--container-id", id]);
    };
    expect(await check()).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    await podman.text("stop", "--time", "0", "one");
    await expectNothingLeft(host);
    await podman.text("start", "one");
    expect(await podman.look("one")).toMatchObject({ addresses: await leasedTo(id, host) });
    expect(await check()).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    await podman.text("rm", "--force", "--time", "0", "one");
    await expectNothingLeft(host);
  },
  TIMEOUT_MS,
);

/** containerd, and ctr as its client. */
/** With `loopback` behind the bridge, by the name that runtimes call it. */
const CHAIN = { ...NETWORK, plugins: [...NETWORK.plugins, { type: "loopback" }] };

testWithContainerd(
  "containers start on our network under containerd's ctr run --cni, reach the gateway and each other, and leave nothing",
  async () => {
    await using host = await ContainerHost.create([CHAIN]);
    const containerd = await Containerd.create(host);
    const server = await containerd.start("server", SERVE);
    const serverLeases = await leasedTo("default-server", host);
    expect(serverLeases).toHaveLength(2);
    const client = await containerd.start("client", SLEEP);
    const clientLeases = await leasedTo("default-client", host);
    expect(new Set([...serverLeases, ...clientLeases]).size).toBe(4);

    const inClient = (id: string, ...command: string[]) =>
      containerd.text("task", "exec", "--exec-id", id, "client", ...command);
    const seen = await inClient("look", "/bin/sh", "-c", LOOK);
    expect(parseInside(seen)).toMatchObject({ addresses: clientLeases, gateways: GATEWAYS });
    for (const [index, gateway] of GATEWAYS.entries()) {
      await inClient(`ping-${index}`, "/bin/busybox", "ping", "-c", "1", "-W", "5", gateway);
    }
    for (const [index, address] of serverLeases.entries()) {
      expect(await inClient(`fetch-${index}`, ...fetchFrom(address))).toBe(GREETING);
    }

    await containerd.text("task", "kill", "--signal", "KILL", "client");
    await client.exited;
    expect(await leasedTo("default-client", host)).toEqual([]);
    expect(await leasedTo("default-server", host)).toEqual(serverLeases);
    await containerd.text("task", "kill", "--signal", "KILL", "server");
    await server.exited;
    await expectNothingLeft(host);
  },
  TIMEOUT_MS,
);

testWithContainerd(
  "containers that ctr starts at once get distinct addresses; without a DEL these are shown as leaked, and freed by one GC",
  async () => {
    await using host = await ContainerHost.create([CHAIN]);
    const containerd = await Containerd.create(host);
    const names = ["a", "b", "c", "d", "e", "f"];
    await Promise.all(names.map((name) => containerd.startDetached(name, SLEEP)));
    const perContainer = await Promise.all(names.map((name) => leasedTo(`default-${name}`, host)));
    const addresses = perContainer.flat();
    expect([addresses.length, new Set(addresses).size]).toEqual([12, 12]);
    expect(await linkNames(host.sandbox)).toHaveLength(names.length + 1);

    for (const name of names) await containerd.remove(name);
    const leaked: Lease[] = JSON.parse(await host.text([WARREN, "leases", "--leaked", "--json"]));
    expect(leaked.map(({ address, state }) => `${address} ${state}`).sort()).toEqual(
      addresses.map((address) => `${address} netns gone`).sort(),
    );
    await host.text([WARREN, "gc", "containers"]);
    await expectNothingLeft(host);
  },
  TIMEOUT_MS,
);
