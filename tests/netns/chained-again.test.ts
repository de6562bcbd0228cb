// A second ADD of a chained plugin, and a first one that fails at an unlucky step: what a living container has stays,
// and nothing that nobody knows of is left.
import { expect, test } from "bun:test";
import {
  type Config,
  call,
  linkNames,
  PLUGIN_FOLDER,
  ruleset,
  succeed,
  variables,
} from "../support/plugins.ts";
import { Sandbox } from "../support/sandbox.ts";

const POD = { containerId: "pod-1", netns: "pod1" };

async function attached(): Promise<{
  readonly sandbox: Sandbox;
  chained(type: string, more: Config): Config;
}> {
  const sandbox = await Sandbox.create();
  await sandbox.addNetns("pod1");
  const dataDir = `${sandbox.directory}/store`;
  const bridge = {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-bridge",
    bridge: "br0",
    isGateway: true,
    ipam: { type: "warren-ipam", dataDir, subnet: "10.88.0.0/16" },
  };
  const { document } = await succeed(sandbox, "ADD", bridge, POD);
  return {
    sandbox,
    chained: (type, more) => ({
      cniVersion: "1.1.0",
      name: "lab",
      type,
      dataDir,
      prevResult: document,
      ...more,
    }),
  };
}

test("a second ADD of bandwidth with other limits is refused, one with the same is done, and the limits stay", async () => {
  const { sandbox, chained } = await attached();
  await using _ = sandbox;
  const config = chained("warren-bandwidth", { egressRate: 8_000_000, egressBurst: 800_000 });
  const first = await succeed(sandbox, "ADD", config, POD);
  const shapers = () => sandbox.text(["tc", "qdisc", "show"]);
  const before = await shapers();
  for (const more of [
    { egressRate: 16_000_000 },
    { ingressRate: 8_000_000, ingressBurst: 800_000 },
    { ...{ ingressRate: 8_000_000, ingressBurst: 800_000 }, egressRate: 0, egressBurst: 0 },
  ]) {
    const again = await call(sandbox, "ADD", { ...config, ...more }, POD);
    expect(again.document).toMatchObject({
      code: 102,
      msg: expect.stringContaining(
        "container pod-1, interface eth0 of network lab has limits already, and not the same: ",
      ),
      details: expect.stringContaining("take it from one of the two"),
    });
  }
  const same = await succeed(sandbox, "ADD", { ...config, prevResult: first.document }, POD);
  expect(same.document).toEqual(first.document);
  expect(await shapers()).toBe(before);
  await succeed(sandbox, "CHECK", { ...config, prevResult: first.document }, POD);
  await succeed(sandbox, "DEL", config, POD);
  expect(await sandbox.text(["tc", "qdisc", "show"])).not.toContain("tbf");
});

test("a second ADD of tuning that fails puts back what it found, not what was there before the first", async () => {
  const { sandbox, chained } = await attached();
  await using _ = sandbox;
  const config = chained("warren-tuning", { mtu: 1400 });
  const first = await succeed(sandbox, "ADD", config, POD);
  const failing = chained("warren-tuning", { mtu: 1300, sysctl: { "net.core.somaxconn": "many" } });
  expect((await call(sandbox, "ADD", failing, POD)).exitCode).toBe(1);
  await succeed(sandbox, "CHECK", { ...config, prevResult: first.document }, POD);
  expect(await sandbox.text(["ip", "-netns", "pod1", "link", "show", "eth0"])).toContain("mtu 1400");
  await succeed(sandbox, "DEL", config, POD);
  expect(await sandbox.text(["ip", "-netns", "pod1", "link", "show", "eth0"])).toContain("mtu 1500");
});

test("a second ADD of firewall that fails leaves the policy of the living pod", async () => {
  const { sandbox, chained } = await attached();
  await using _ = sandbox;
  const config = chained("warren-firewall", { ingressPolicy: "isolated" });
  await succeed(sandbox, "ADD", config, POD);
  await sandbox.text(["nft", "add chain inet warren taken { type filter hook input priority 0; }"]);
  const failing = { ...config, iptablesAdminChainName: "taken" };
  expect((await call(sandbox, "ADD", failing, POD)).exitCode).toBe(1);
  await succeed(sandbox, "CHECK", config, POD);
});

test("an ADD into another namespace takes back what the one that is gone had", async () => {
  const { sandbox, chained } = await attached();
  await using _ = sandbox;
  const shaping = { egressRate: 8_000_000, egressBurst: 800_000 };
  const first = await succeed(sandbox, "ADD", chained("warren-bandwidth", shaping), POD);
  await succeed(sandbox, "ADD", chained("warren-firewall", { ingressPolicy: "isolated" }), POD);
  const [device] = first.document.interfaces.slice(-1);
  const [address] = first.document.ips;
  expect(await ruleset(sandbox)).toContain("guarded");

  // a container that ended, with a runtime that lost it: there was no DEL, and its name is used again
  await sandbox.text(["ip", "netns", "del", "pod1"]);
  await sandbox.addNetns("pod1");
  await sandbox.text(["ip", "link", "add", "host0", "type", "veth", "peer", "eth0", "netns", "pod1"]);
  const prevResult = {
    ...first.document,
    interfaces: [{ name: "eth0", mac: "", sandbox: "/run/netns/pod1" }],
    ips: [{ interface: 0, address: "10.88.0.77/16" }],
  };
  const received = { ingressRate: 8_000_000, ingressBurst: 800_000 };
  const bandwidth = { ...chained("warren-bandwidth", received), prevResult };
  const firewall = { ...chained("warren-firewall", {}), prevResult };
  await succeed(sandbox, "ADD", bandwidth, POD);
  await succeed(sandbox, "ADD", firewall, POD);
  expect(await linkNames(sandbox)).not.toContain(device.name);
  const rules = await ruleset(sandbox);
  expect(rules).toContain("10.88.0.77");
  expect(rules).not.toContain(address.address.split("/")[0]);
  expect(rules).not.toContain("br0");
  await succeed(sandbox, "CHECK", firewall, POD);
});

test("a macvlan that can't be looked at after its birth is gone again", async () => {
  await using sandbox = await Sandbox.create();
  await sandbox.addNetns("pod1");
  await sandbox.text(["ip", "link", "add", "uplink", "type", "veth", "peer", "name", "far"]);
  await sandbox.text(["ip", "link", "set", "uplink", "up"]);
  const config = {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-macvlan",
    master: "uplink",
    dataDir: `${sandbox.directory}/store`,
  };
  const strace = Bun.which("strace");
  // without strace the failure can't be made; a plain ADD and DEL then show the same end
  const command = [
    ...(strace === null ? [] : [strace, "-f", "-o", "/dev/null", "-e", "inject=sendto:error=ENOBUFS:when=5"]),
    `${PLUGIN_FOLDER}/warren-macvlan`,
  ];
  await sandbox.run(command, { env: variables("ADD", POD), stdin: JSON.stringify(config) });
  if (strace === null) await succeed(sandbox, "DEL", config, POD);
  expect((await sandbox.inNetns("pod1", ["ip", "link", "show", "eth0"])).exitCode).not.toBe(0);
  await succeed(sandbox, "ADD", config, POD);
});
