// What tells one mesh on a node from another, and from what it was called before: whose pieces are whose when one of them goes.
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { MeshStage } from "../support/mesh.ts";
import { PLUGIN_FOLDER } from "../support/plugins.ts";
import { WARREN } from "../support/sandbox.ts";

test("S3-W02 forwarding stays for another network's pod, and goes with the last mesh, whichever had turned it on", async () => {
  await using stage = await MeshStage.create(1);
  const node = stage.node(1);
  await node.configure();
  const forwarding = () => node.text(["cat", "/proc/sys/net/ipv4/ip_forward"]);
  const second = join(node.folder, "second.json");
  const more = {
    ...{ network: "second", bridge: "warren1", netns: "wgx", nodeCIDRs: ["10.9.1.0/24"] },
    ...{ clusterCIDRs: ["10.9.0.0/16"], vni: 2, port: 4790 },
    conflist: join(node.folder, "net.d", "20-second.conflist"),
  };
  await Bun.write(second, JSON.stringify({ ...node.config, ...more }));
  const onSecond = (verb: string) => node.run([WARREN, "node", verb, "--config", second]);
  await node.node("up");
  expect(await onSecond("up")).toMatchObject({ exitCode: 0 });
  // the other one's pieces are no pods of this one, and it needs what this one has turned on
  const first = await node.warren("down");
  expect([first.stdout.includes("forwarding"), first.stderr]).toEqual([false, ""]);
  expect(await forwarding()).toBe("1\n");
  const last = await onSecond("down");
  expect([last.stdout.includes("removed forwarding of IPv4\n"), last.stderr]).toEqual([true, ""]);
  expect(await forwarding()).toBe("0\n");

  // a pod that no bridge leads to lives by it as well
  await node.node("up");
  await stage.sandbox.addNetns("lone");
  const ptp = { cniVersion: "1.1.0", name: "lone", type: "warren-ptp" };
  const ipam = { type: "warren-ipam", ranges: [[{ subnet: "10.8.0.0/24" }]] };
  const env = { CNI_COMMAND: "ADD", CNI_CONTAINERID: "lone", CNI_IFNAME: "eth0" };
  const added = await node.run(
    [`${PLUGIN_FOLDER}/warren-ptp`],
    { ...env, CNI_NETNS: "/run/netns/lone" },
    JSON.stringify({ ...ptp, ipam }),
  );
  expect(added).toMatchObject({ exitCode: 0 });
  expect(await node.node("down")).not.toContain("removed forwarding of IPv4");
  expect(await forwarding()).toBe("1\n");
}, 30_000);

test("a mesh that is renamed while it is there is refused with the cure, and down removes what was made under the old names", async () => {
  await using stage = await MeshStage.create(1);
  const node = stage.node(1);
  const seen = () =>
    node.text(["sh", "-ec", `ip -j link; nft list ruleset; ls /run/netns; ls -R ${node.folder}/state`]);
  await node.text(["mkdir", "-p", `${node.folder}/state`]);
  const before = await seen();
  const names = "network mesh, bridge warren0, namespace wg1";
  for (const [more, said] of [
    [{ network: "other" }, "network other, bridge warren0, namespace wg1"],
    [{ bridge: "br7" }, "network mesh, bridge br7, namespace wg1"],
    [{ netns: "tun" }, "network mesh, bridge warren0, namespace tun"],
    [{ network: "other", bridge: "br7", netns: "tun" }, "network other, bridge br7, namespace tun"],
  ] as const) {
    await node.configure();
    await node.node("up");
    const made = await seen();
    await node.configure(more);
    const refused = `the mesh of ${node.configFile} is on this node under other names: ${names}; the configuration says ${said}; take down what is there, and bring it up under its new names then: warren node down`;
    for (const verb of ["up", "run"]) {
      const { exitCode, stderr } = await node.warren(verb);
      expect([exitCode, stderr]).toEqual([1, expect.stringContaining(refused)]);
    }
    expect(await seen()).toBe(made);
    expect(await node.node("down")).toContain("removed bridge warren0");
    expect(await seen()).toBe(before);
    expect(existsSync(node.conflist)).toBe(false);
    await node.node("up");
    expect(await node.node("down")).toContain(`removed bridge ${"bridge" in more ? more.bridge : "warren0"}`);
    expect(await seen()).toBe(before);
  }
  // where only the list is elsewhere it is moved
  await node.configure();
  await node.node("up");
  const elsewhere = join(node.folder, "net.d", "20-mesh.conflist");
  await node.configure({ conflist: elsewhere });
  expect(await node.node("up")).toEqual([`wrote conflist ${elsewhere}`]);
  expect([existsSync(node.conflist), existsSync(elsewhere)]).toEqual([false, true]);
  await node.configure();
  expect(await node.node("down")).toContain(`removed conflist ${elsewhere}`);
  expect(existsSync(elsewhere)).toBe(false);
}, 60_000);
