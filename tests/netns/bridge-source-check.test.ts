// macspoofchk of bridge: frames that carry another hardware address than the pod's own are dropped, and nothing of
// the check stays. VLANs of bridge are refused truthfully on a kernel that can't filter them; what they do is shown in
// the virtual machine.
import { expect, test } from "bun:test";
import { type Config, call, leases, linkNames, succeed } from "../support/plugins.ts";
import { Sandbox, WARREN } from "../support/sandbox.ts";

const POD = { containerId: "pod-1", netns: "pod1" };
const OTHER = { containerId: "pod-2", netns: "pod2" };

const host = () => Sandbox.withPods("pod1", "pod2");

function network(sandbox: Sandbox, more: Config = {}): Config {
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-bridge",
    bridge: "br0",
    isGateway: true,
    ...more,
    ipam: { type: "warren-ipam", dataDir: `${sandbox.directory}/store`, subnet: "10.88.0.0/16" },
  };
}

async function answers(sandbox: Sandbox, address: string, from: string): Promise<boolean> {
  return (await sandbox.run([WARREN, "lab", "ping", address, "--from", from])).exitCode === 0;
}

async function elements(sandbox: Sandbox): Promise<number> {
  const { stdout } = await sandbox.run(["nft", "-j", "list", "table", "bridge", "warren"]);
  if (stdout === "") return 0;
  const sets: { set?: { elem?: unknown[] } }[] = JSON.parse(stdout).nftables;
  return sets.reduce((count, { set }) => count + (set?.elem?.length ?? 0), 0);
}

test("macspoofchk drops frames with another source address, and only those", async () => {
  await using sandbox = await host();
  const config = network(sandbox, { macspoofchk: true });
  const added = await succeed(sandbox, "ADD", config, POD);
  await succeed(sandbox, "ADD", config, OTHER);
  expect(await elements(sandbox)).toBe(4);
  expect(await sandbox.text(["nft", "list", "table", "bridge", "warren"])).toContain(
    "iifname @checked-ports iifname . ether saddr != @allowed-sources drop",
  );
  expect(await answers(sandbox, "10.88.0.3", "pod1")).toBe(true);
  await succeed(sandbox, "CHECK", { ...config, prevResult: added.document }, POD);

  await sandbox.text(["ip", "-netns", "pod1", "link", "set", "eth0", "address", "02:00:00:00:00:66"]);
  expect(await answers(sandbox, "10.88.0.3", "pod1")).toBe(false);
  const own: string = added.document.interfaces[2].mac;
  await sandbox.text(["ip", "-netns", "pod1", "link", "set", "eth0", "address", own]);
  expect(await answers(sandbox, "10.88.0.3", "pod1")).toBe(true);

  await sandbox.text(["nft", "flush", "chain", "bridge", "warren", "source-check"]);
  const broken = await call(sandbox, "CHECK", { ...config, prevResult: added.document }, POD);
  expect(broken.document?.code).toBe(103);
  expect(broken.document?.msg).toContain("are not checked");

  await succeed(sandbox, "DEL", config, { ...POD, netns: "" });
  expect(await elements(sandbox)).toBe(2);
  await succeed(sandbox, "GC", { ...config, "cni.dev/valid-attachments": [] });
  expect(await elements(sandbox)).toBe(0);
});

test("vlan on a kernel without VLAN filtering: STATUS is 50 and names it, ADD is refused and leaves nothing", async () => {
  await using sandbox = await host();
  // a kernel that has it proves the other half in the virtual machine
  await sandbox.run(["ip", "link", "add", "probe", "type", "bridge", "vlan_filtering", "1"]);
  const probed = await sandbox.run(["ip", "-json", "-details", "link", "show", "dev", "probe"]);
  await sandbox.run(["ip", "link", "del", "probe"]);
  const lacking = !probed.stdout.includes('"vlan_filtering":1');
  const config = network(sandbox, { vlan: 100 });
  const status = await call(sandbox, "STATUS", config);
  const added = await call(sandbox, "ADD", config, POD);
  if (!lacking) {
    expect([status.exitCode, added.exitCode]).toEqual([0, 0]);
    return;
  }
  expect(status.document).toMatchObject({ code: 50, msg: "the kernel has no VLAN filtering of bridges" });
  expect(added.document).toMatchObject({ code: 2, msg: "the kernel has no VLAN filtering of bridges" });
  expect(await linkNames(sandbox)).toEqual([]);
  expect(await leases(sandbox, `${sandbox.directory}/store`)).toEqual([]);
});

test.each([
  [{ vlan: 4095 }, "invalid VLAN ID 4095 (must be between 0 and 4094)"],
  [{ vlan: -1 }, "invalid VLAN ID -1 (must be between 0 and 4094)"],
  [{ vlan: 1.5 }, "invalid VLAN ID 1.5 (must be between 0 and 4094)"],
  [{ vlanTrunk: [{ minID: 0, maxID: 5 }] }, "incorrect trunk minID parameter"],
  [{ vlanTrunk: [{ minID: 1, maxID: 4095 }] }, "incorrect trunk maxID parameter"],
  [{ vlanTrunk: [{ minID: 9, maxID: 5 }] }, "minID is greater than maxID in trunk parameter"],
  [{ vlanTrunk: [{ minID: 9 }] }, "minID and maxID should be configured simultaneously, maxID is missing"],
  [{ vlanTrunk: [{ maxID: 9 }] }, "minID and maxID should be configured simultaneously, minID is missing"],
  [{ vlanTrunk: [{ id: 4095 }] }, "incorrect trunk id parameter"],
  [{ vlan: 100, bridge: "a-long-bridge1" }, "would be called a-long-bridge1.100"],
])("%j is refused: %s", async (more, message) => {
  await using sandbox = await host();
  const answer = await call(sandbox, "ADD", network(sandbox, more), POD);
  expect(answer.document?.code).toBe(7);
  expect(answer.document?.msg).toContain(message);
  expect(await linkNames(sandbox)).toEqual([]);
});
