// The plugin dhcp with its daemon, and busybox's DHCP server on the wire that the node's card leads to: what pods get, what
// the server thinks of it, and what is left of it.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { DhcpSite, network, udhcpd } from "../support/dhcp.ts";
import { until } from "../support/engines.ts";
import { type Config, call, linkNames, PLUGIN_FOLDER, succeed } from "../support/plugins.ts";
import { testWith, WARREN } from "../support/sandbox.ts";
import { globalAddressesOf, routesOf, seenLink } from "../support/witness.ts";

const POD = { containerId: "pod-1", netns: "pod1" };
const OTHER = { containerId: "pod-2", netns: "pod2" };
const withServer = testWith(udhcpd);
const withReference = testWith(udhcpd, tools.referencePlugins, tools.referencePlugin("dhcp"));

const valid = (...ids: string[]): Config => ({
  "cni.dev/valid-attachments": ids.map((containerID) => ({ containerID, ifname: "eth0" })),
});

/** Returns the address that an ADD answered with, without its prefix length. */
const addressIn = ({ document }: { readonly document: { ips: { address: string }[] } }): string =>
  document.ips[0]?.address.split("/")[0] ?? "";

/** Expects the server to think so of its addresses, in any order. */
async function serverHas(
  site: DhcpSite,
  held: readonly string[],
  released: readonly string[],
): Promise<void> {
  const view = { held: held.toSorted(), released: released.toSorted() };
  const isSo = (seen: object) => Bun.deepEquals(seen, view);
  expect(await site.serverHas(isSo)).toEqual(view);
}

/** Says something to whoever listens at a socket, and returns the answer without what only shows that it lives. */
async function answerAt(socket: string, words: string): Promise<string> {
  const answer = Promise.withResolvers<string>();
  let heard = "";
  const peer = await Bun.connect({
    unix: socket,
    socket: {
      data: (_, piece) => {
        heard += piece.toString();
      },
      close: () => answer.resolve(heard.trim()),
    },
  });
  peer.write(words);
  return answer.promise;
}

withServer("whoever starts the daemon, and how, nobody but root asks it", async () => {
  await using site = await DhcpSite.create();
  await site.keep([], ["sh", "-c", 'umask 0; exec "$0" dhcp "$@"', WARREN]);
  const modeOf = async (path: string) => (await site.host.text(["stat", "-c", "%A %F", path])).trim();
  expect(await modeOf(site.socket)).toBe("srwx------ socket");
});

describe("verbs", () => {
  withServer("ADD has what the server gives, CHECK compares it, and DEL gives it back", async () => {
    await using site = await DhcpSite.create();
    const { host } = site;
    await site.serve([
      "option search lab.example deep.lab.example",
      "option staticroutes 0.0.0.0/0 10.67.0.1, 192.0.2.0/24 10.67.0.3",
      "option mtu 1400",
    ]);
    await site.keep();
    const request = ["rfc3442-classless-static-routes", "26"].map((option) => ({ option }));
    const provide = [{ option: "host-name", fromArg: "K8S_POD_NAME" }];
    const net = network({}, { request, provide, priority: 7 });
    const args = "IgnoreUnknown=1;K8S_POD_NAME=web-0;K8S_POD_NAMESPACE=shop";
    await succeed(host, "STATUS", net);
    const added = await succeed(host, "ADD", net, { ...POD, args });
    const address = addressIn(added);
    expect(added.document).toEqual({
      cniVersion: "1.1.0",
      interfaces: [{ name: "eth0", mac: expect.any(String), mtu: 1400, sandbox: "/run/netns/pod1" }],
      ips: [{ interface: 0, address: `${address}/24`, gateway: "10.67.0.1" }],
      routes: [
        { dst: "0.0.0.0/0", gw: "10.67.0.1", priority: 7 },
        { dst: "192.0.2.0/24", gw: "10.67.0.3", priority: 7 },
      ],
      dns: {
        nameservers: ["10.67.0.53"],
        domain: "lab.example",
        search: ["lab.example", "deep.lab.example"],
      },
    });
    const link = await seenLink(host, "eth0", "pod1");
    expect(link).toMatchObject({ mtu: 1400, operstate: "UP", address: added.document.interfaces[0].mac });
    expect(globalAddressesOf(link)).toEqual([`${address}/24`]);
    expect(await routesOf(host, 4, "pod1")).toContain("default via 10.67.0.1 dev eth0 metric 7");
    await site.reaches("pod1", "10.67.0.1");
    await serverHas(site, [`${address} web-0`], []);
    expect(await site.leases()).toMatchObject([
      { network: "lab", address: `${address}/24`, server: "10.67.0.1", pod: "shop/web-0", state: "leased" },
    ]);

    expect(await host.text([WARREN, "leases"])).toContain(`${address}/24`);
    expect(await host.text([WARREN, "show", "pod-1"])).toContain(`addresses:   ${address}/24`);

    // another ADD of what is there is refused by the plugin above, and takes nothing away
    expect((await call(host, "ADD", net, POD)).document.code).toBe(102);
    await succeed(host, "CHECK", { ...net, prevResult: added.document }, POD);
    const wrong = structuredClone(added.document);
    wrong.ips[0].address = "10.67.0.99/24";
    await host.text(["ip", "-n", "pod1", "addr", "add", "10.67.0.99/24", "dev", "eth0"]);
    const differs = await call(host, "CHECK", { ...net, prevResult: wrong }, POD);
    expect(differs.document).toMatchObject({
      code: 103,
      msg: `container pod-1, interface eth0 of network lab holds the address ${address}/24, and its result has 10.67.0.99/24`,
    });

    await succeed(host, "DEL", net, POD);
    await succeed(host, "DEL", net, POD);
    expect(await seenLink(host, "eth0", "pod1")).toBeUndefined();
    await serverHas(site, [], [`${address} web-0`]);
    expect(await site.leases()).toEqual([]);
    const gone = await call(
      host,
      "CHECK",
      { ...network(), type: "warren-dhcp", prevResult: added.document },
      POD,
    );
    expect(gone.document).toMatchObject({
      code: 103,
      msg: expect.stringContaining("no address is leased by DHCP"),
    });
  });

  withServer("GC gives back what is not valid, with the daemon and without it", async () => {
    await using site = await DhcpSite.create();
    const { host } = site;
    await site.serve();
    await site.keep();
    const [one, other] = [
      await succeed(host, "ADD", network(), POD),
      await succeed(host, "ADD", network(), OTHER),
    ];
    // of another network, and nobody's business
    const elsewhere = await succeed(host, "ADD", network({ name: "elsewhere" }), { ...POD, ifname: "eth1" });
    const kept = await call(host, "GC", network(), undefined);
    expect(kept.stderr).toContain("no list of valid attachments came for network lab");
    await succeed(host, "GC", { ...network(), ...valid("pod-2") });
    const [a, b, c] = [one, other, elsewhere].map(addressIn) as [string, string, string];
    await serverHas(site, [b, c], [a]);
    expect(await seenLink(host, "eth0", "pod1")).toBeUndefined();
    expect((await site.leases()).map(({ network: name, container }) => `${name} ${container}`)).toEqual([
      "elsewhere pod-1",
      "lab pod-2",
    ]);

    await site.end("SIGKILL");
    const alone = await succeed(host, "GC", { ...network(), ...valid() });
    expect(alone.stderr).toContain("no DHCP daemon listens at /run/cni/dhcp.sock: ECONNREFUSED");
    await serverHas(site, [c], [a, b]);
    await succeed(host, "DEL", network({ name: "elsewhere" }), { ...POD, ifname: "eth1" });
    await serverHas(site, [], [a, b, c]);
    expect(await site.leases()).toEqual([]);
    // the next daemon finds the socket of the one that was killed, and nothing to do
    await site.keep();
    expect(await site.end()).not.toContain("took its lease up");
  });

  withServer("nothing is there of an ADD without a daemon, or without a server", async () => {
    await using site = await DhcpSite.create();
    const { host } = site;
    const cure = { details: expect.stringContaining('start it with "warren dhcp daemon"') };
    const message = "no DHCP daemon listens at /run/cni/dhcp.sock: ENOENT";
    expect((await call(host, "STATUS", network())).document).toMatchObject({
      code: 50,
      msg: message,
      ...cure,
    });
    expect((await call(host, "ADD", network(), POD)).document).toMatchObject({
      code: 11,
      msg: message,
      ...cure,
    });
    await site.keep(["-resendtimeout", "300ms", "-timeout=1s", "--broadcast=true"]);
    const silent = await call(host, "ADD", network(), POD);
    expect(silent.document).toMatchObject({
      code: 11,
      msg: expect.stringContaining("no server offered an address"),
    });
    expect([await linkNames(host), await seenLink(host, "eth0", "pod1")]).toEqual([["card0"], undefined]);
    expect(await site.leases()).toEqual([]);
  });

  withServer(
    "an interface that reaches nobody, and one that is not there, are told apart from a silent server",
    async () => {
      await using site = await DhcpSite.create();
      const { host } = site;
      await site.keep();
      const ipam = { type: "warren-dhcp" };
      for (const verb of ["ADD", "STATUS"]) {
        for (const type of ["warren-ptp", "warren-dummy"]) {
          const { document } = await call(
            host,
            verb,
            { ...network({ type }), ipam },
            verb === "ADD" ? POD : undefined,
          );
          expect(document).toMatchObject({ code: 7, msg: expect.stringContaining("its ipam asks a server") });
        }
      }
      const direct = await call(host, "ADD", network({ type: "warren-dhcp" }), POD);
      expect(direct.document).toMatchObject({ code: 7, msg: "interface eth0 is not in /run/netns/pod1" });
      const wrong = await call(host, "STATUS", network({}, { request: [{ option: "none" }] }));
      expect(wrong.document).toMatchObject({
        code: 7,
        msg: expect.stringContaining("ipam.request[0].option"),
      });
      expect(
        (await call(host, "ADD", { ...network({ type: "warren-dhcp" }), ipam: undefined }, POD)).document,
      ).toMatchObject({
        code: 7,
        msg: "IPAM config missing 'ipam' key",
      });
    },
  );
});

describe("the daemon", () => {
  withServer("renews a lease, and goes on with it after SIGTERM and SIGKILL", async () => {
    await using site = await DhcpSite.create();
    const { host } = site;
    // renewed every second
    await site.serve(["option lease 600", "option 0x3a 00000001"]);
    await site.keep();
    const added = await succeed(host, "ADD", network(), POD);
    const checked = { ...network(), prevResult: added.document };
    const expiry = async () => Date.parse((await site.leases())[0]?.expires ?? "");
    const renewed = async (since: number) =>
      until("it is renewed", async () => (await expiry()) > since + 500);
    await renewed(await expiry());
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      await site.end(signal);
      const before = await expiry();
      await site.keep();
      await renewed(before);
      await succeed(host, "CHECK", checked, POD);
    }
    await serverHas(site, [addressIn(added)], []);
    expect((await seenLink(host, "eth0", "pod1"))?.flags).toContain("UP");
    expect(await site.end()).toContain("took its lease up again");
  });

  withServer("takes the interface down when the lease ends, and tells why ever after", async () => {
    await using site = await DhcpSite.create();
    const { host } = site;
    await site.serve(["option lease 3"]);
    await site.keep();
    const { document } = await succeed(host, "ADD", network(), POD);
    const checked = { ...network({ type: "warren-dhcp" }), prevResult: document };
    await site.silence();
    await until("it is lost", async () => (await site.leases())[0]?.state === "the lease expired");
    expect((await seenLink(host, "eth0", "pod1"))?.flags).not.toContain("UP");
    const lost = await call(host, "CHECK", checked, POD);
    expect(lost.document).toMatchObject({ code: 103, msg: expect.stringContaining("the lease expired") });
    // also to the next daemon
    expect(await site.end()).toContain(
      "warning: container pod-1, interface eth0 of network lab: the lease expired",
    );
    await site.keep();
    expect((await call(host, "CHECK", checked, POD)).document).toEqual(lost.document);
    await succeed(host, "DEL", network(), POD);
    expect(await site.leases()).toEqual([]);
    // it may be somebody else's by then
    expect(await site.end()).not.toContain("released");
  });

  withServer(
    "gives an address back when its container vanishes, also if that was while there was no daemon",
    async () => {
      await using site = await DhcpSite.create();
      const { host } = site;
      await site.serve();
      await site.keep();
      const gone = addressIn(await succeed(host, "ADD", network(), POD));
      const later = addressIn(await succeed(host, "ADD", network(), OTHER));
      await host.text(["ip", "netns", "del", "pod1"]);
      await until("the lease is given back", async () => (await site.leases()).length === 1);
      await serverHas(site, [later], [gone]);
      await site.end("SIGKILL");
      await host.text(["ip", "netns", "del", "pod2"]);
      // the server is reached by the host as well
      await host.text(["ip", "addr", "add", "10.67.0.2/24", "dev", "card0"]);
      await site.keep();
      await until("the lease is given back", async () => (await site.leases()).length === 0);
      await serverHas(site, [], [later, gone]);
      expect(await site.end()).toContain("from the host, for its container is gone");
    },
  );

  withServer("gives back what a server may have confirmed to a daemon that was killed over it", async () => {
    await using site = await DhcpSite.create();
    const { host } = site;
    await site.serve();
    await site.keep();
    const added = await succeed(host, "ADD", network(), POD);
    await site.end("SIGKILL");
    // as between the question and its answer
    await site.sql("UPDATE dhcp_leases SET acknowledgement = NULL, expires_at_uptime_ms = NULL");
    await site.keep();
    await until("the lease is given back", async () => (await site.leases()).length === 0);
    await serverHas(site, [], [addressIn(added)]);
    await succeed(host, "DEL", network(), POD);
  });

  withServer("ends an ADD that nobody waits for, and an ADD ends with the daemon", async () => {
    await using site = await DhcpSite.create();
    const { host } = site;
    await site.keep();
    const adding = (target: typeof POD) =>
      host.start([`${PLUGIN_FOLDER}/warren-macvlan`], {
        env: {
          ...{ CNI_COMMAND: "ADD", CNI_PATH: PLUGIN_FOLDER, CNI_CONTAINERID: target.containerId },
          ...{ CNI_NETNS: `/run/netns/${target.netns}`, CNI_IFNAME: "eth0" },
        },
        stdin: JSON.stringify(network()),
      });
    const isUp = async ({ netns }: typeof POD) =>
      (await seenLink(host, "eth0", netns))?.flags.includes("UP") === true;
    const killed = adding(POD);
    await until("it asks", () => isUp(POD));
    killed.kill("SIGKILL");
    await killed.exited;
    await succeed(host, "DEL", network(), POD);
    const waiting = adding(OTHER);
    await until("it asks", () => isUp(OTHER));
    await site.end("SIGKILL");
    expect(JSON.parse(await new Response(waiting.stdout).text())).toMatchObject({
      code: 11,
      msg: expect.stringContaining("hung up without an answer"),
    });
    expect(await seenLink(host, "eth0", "pod2")).toBeUndefined();
    expect(await site.leases()).toEqual([]);
  });

  withServer(
    "is started by its socket, as the reference plugin is called, and is one at a time",
    async () => {
      await using site = await DhcpSite.create();
      const { host } = site;
      await site.serve();
      await host.text(["ln", "-s", WARREN, join(host.directory, "dhcp")]);
      const pidfile = join(host.directory, "pid");
      const activate = `use Socket; use Fcntl; $^F = 3; mkdir "/run/cni"; socket(my $s, PF_UNIX, SOCK_STREAM, 0);
      bind($s, sockaddr_un($ARGV[0])); listen($s, 9); POSIX::dup2(fileno($s), 3) if fileno($s) != 3;
      $ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDS} = 1; exec $ARGV[1], "daemon", "-pidfile", $ARGV[2];`;
      await site.keep(
        [],
        ["perl", "-MPOSIX", "-e", activate, site.socket, join(host.directory, "dhcp"), pidfile],
      );
      await succeed(host, "ADD", network(), POD);
      expect(Number(await Bun.file(pidfile).text())).toBe(await site.daemonPid());
      const second = await host.run([WARREN, "dhcp", "daemon", "-socketpath", "/run/cni/second.sock"]);
      expect(second).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("at /run/cni/dhcp.sock") });
      await succeed(host, "DEL", network(), POD);
      expect(await site.end()).toContain("listens at the socket that it was given");
      // the socket is whose who opened it, the file is the daemon's
      expect((await host.run(["test", "-S", site.socket])).exitCode).toBe(0);
      expect(await Bun.file(pidfile).exists()).toBe(false);
    },
  );

  withServer("answers words that are none, and the plugin knows such answers", async () => {
    await using site = await DhcpSite.create();
    const { host } = site;
    const socket = join(host.directory, "dhcp.sock");
    await site.keep(["-socketpath", socket]);
    for (const line of [
      "nonsense",
      "{}",
      '{"verb":"add"}',
      '{"verb":"check","network":1}',
      "x".repeat(100_000),
    ]) {
      const answer = await answerAt(socket, `${line}\n`);
      expect(JSON.parse(answer).error).toMatchObject({
        code: 6,
        message: expect.stringContaining("the question"),
      });
    }
    expect(await answerAt(socket, "CONNECT /_goRPC_ HTTP/1.0\n\n")).toStartWith("HTTP/1.0 426 ");
    await succeed(host, "STATUS", network({}, { daemonSocketPath: socket }));

    const fake = join(host.directory, "fake.sock");
    for (const [words, message] of [
      ["hello\n", 'listens no daemon of Warren: it said "hello"'],
      ['{"from":"somebody"}\n', "listens no daemon of Warren"],
      ["", "hung up without an answer"],
    ] as const) {
      using _ = Bun.listen({ unix: fake, socket: { data: (peer) => void peer.end(words) } });
      const status = await call(host, "STATUS", network({}, { daemonSocketPath: fake }));
      expect(status.document).toMatchObject({ code: 50, msg: expect.stringContaining(message) });
    }
  });

  test.each([
    [["-timeout", "soon"], '--timeout "soon": expected a time'],
    [["-pidfile", "here"], '--pidfile "here": expected an absolute path'],
    [["-socketpth", "x"], "unknown flag --socketpth; did you mean --socketpath?"],
  ])("refuses %j", async (flags, message) => {
    const child = Bun.spawn([WARREN, "dhcp", "daemon", ...flags], { stderr: "pipe" });
    expect([await child.exited, await new Response(child.stderr).text()]).toEqual([
      2,
      expect.stringContaining(message),
    ]);
  });
});

describe("other plugins", () => {
  withServer("a bridge has its addresses from a server behind one of its ports", async () => {
    await using site = await DhcpSite.create();
    const { host } = site;
    await site.serve();
    // as in a container that has the host's files below a folder
    await site.keep(["-hostprefix", "/proc/self/root"]);
    await host.text(["sh", "-ec", "ip link add br0 up type bridge; ip link set card0 master br0"]);
    const net = network({ type: "warren-bridge", bridge: "br0", ipMasq: true, macspoofchk: true });
    const added = await succeed(host, "ADD", net, POD);
    expect(added.document.ips).toEqual([
      { interface: 2, address: `${addressIn(added)}/24`, gateway: "10.67.0.1" },
    ]);
    await site.reaches("pod1", "10.67.0.1");
    await succeed(host, "CHECK", { ...net, prevResult: added.document }, POD);
    await succeed(host, "GC", { ...net, ...valid() });
    await serverHas(site, [], [addressIn(added)]);
    expect((await linkNames(host)).filter((name) => name.startsWith("veth"))).toEqual([]);
    expect(await host.text(["nft", "list", "ruleset"])).not.toMatch(/masquerade|veth/);
  });

  withServer("a device of the host", async () => {
    await using site = await DhcpSite.create();
    const { host } = site;
    await site.serve();
    await site.keep();
    const net = network({ type: "warren-host-device", device: "card0" });
    const added = await succeed(host, "ADD", net, POD);
    expect(globalAddressesOf(await seenLink(host, "eth0", "pod1"))).toEqual([added.document.ips[0].address]);
    await succeed(host, "CHECK", { ...net, prevResult: added.document }, POD);
    await succeed(host, "DEL", net, POD);
    expect(await linkNames(host)).toEqual(["card0"]);
    await serverHas(site, [], [addressIn(added)]);
  });

  withServer(
    "another copy of the executable, as where links were copied as files, is asked as late",
    async () => {
      await using site = await DhcpSite.create();
      const { host } = site;
      await site.serve();
      await site.keep();
      await host.text(["cp", "-L", WARREN, join(host.directory, "warren-dhcp")]);
      const path = `${host.directory}:${PLUGIN_FOLDER}`;
      const added = await succeed(host, "ADD", network(), POD, path);
      expect(globalAddressesOf(await seenLink(host, "eth0", "pod1"))).toEqual([
        added.document.ips[0].address,
      ]);
      await succeed(host, "GC", { ...network(), ...valid() }, undefined, path);
      await serverHas(site, [], [addressIn(added)]);
    },
  );

  withReference("the result is the reference's, and both daemons stand side by side", async () => {
    await using site = await DhcpSite.create();
    const { host } = site;
    const folder = tools.referencePlugins.path ?? "";
    await site.serve(["option staticroutes 10.0.0.0/8 0.0.0.0, 192.0.2.0/24 10.67.0.3"]);
    await site.keep();
    const socket = "/run/reference.sock";
    await site.start([join(folder, "dhcp"), "daemon", "-socketpath", socket], socket);
    const keys = {
      request: [{ option: "121" }],
      provide: [{ option: "host-name", value: "web" }],
      priority: 5,
    };
    const theirs = network({ type: "macvlan" }, { type: "dhcp", daemonSocketPath: socket, ...keys });
    const there = await succeed(host, "ADD", theirs, OTHER, folder);
    const here = await succeed(host, "ADD", network({}, keys), POD);
    const same = (document: { ips: { address: string }[]; routes: unknown }) => ({
      ips: document.ips.map((ip) => ({ ...ip, address: "" })),
      routes: document.routes,
    });
    expect(same(here.document)).toEqual(same(there.document));
    expect(await routesOf(host, 4, "pod1")).toEqual(
      (await routesOf(host, 4, "pod2")).map((line) => line.replace(addressIn(there), addressIn(here))),
    );
    await succeed(host, "CHECK", { ...network({}, keys), prevResult: here.document }, POD);

    // the reference's plugin under one of ours has its interface in time, too
    await succeed(host, "DEL", theirs, OTHER, folder);
    const mixed = network({}, { type: "dhcp", daemonSocketPath: socket });
    const path = `${PLUGIN_FOLDER}:${folder}`;
    const added = await succeed(host, "ADD", mixed, OTHER, path);
    expect(globalAddressesOf(await seenLink(host, "eth0", "pod2"))).toEqual([added.document.ips[0].address]);
    await succeed(host, "DEL", mixed, OTHER, path);
    await serverHas(site, [`${addressIn(here)} web`], [addressIn(added), `${addressIn(there)} web`]);

    // and each says what it met where the other one's daemon is
    const crossed = await call(host, "STATUS", network({}, { daemonSocketPath: socket }));
    expect(crossed.document).toMatchObject({
      code: 50,
      msg: expect.stringContaining("at /run/reference.sock listens no daemon of Warren"),
      details: expect.stringContaining("systemctl disable --now cni-dhcp.socket"),
    });
    const other = await call(host, "ADD", network({ type: "macvlan" }, { type: "dhcp" }), OTHER, folder);
    expect(other.document.msg).toContain("this is the DHCP daemon of Warren: its plugin is warren-dhcp");
  });
});
