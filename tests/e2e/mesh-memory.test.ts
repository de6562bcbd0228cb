// What a node remembers of its mesh: after a reboot while the store is away it has its network all the same, never by what was
// learned under other settings, and what the store says when it is back counts.
import { expect } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type MeshNodeStage, reaches } from "../support/mesh.ts";
import { eventually, MeshWithStore, RunningDaemon } from "../support/mesh-daemons.ts";
import { PASSWORD, postgres } from "../support/postgres.ts";
import { testWith } from "../support/sandbox.ts";

/** Takes from a node what a reboot does: everything but its files. */
async function reboot(node: MeshNodeStage): Promise<void> {
  const lines = [
    `ip netns del wg${node.number}`,
    `while ip link show vethwg${node.number} 2>/dev/null >&2; do sleep 0.02; done`,
    "ip link del warren0; nft flush ruleset; sysctl -qw net.ipv4.ip_forward=0",
  ];
  await node.text(["sh", "-ec", lines.join("\n")]);
}

function memoryFile(node: MeshNodeStage): string {
  return join(node.folder, "state", "remembered-mesh-mesh.json");
}

testWith(postgres)(
  "S3-W12 a node that boots while the store is away has its network by what it remembers, and says so until the store answers",
  async () => {
    await using mesh = await MeshWithStore.create(3);
    const [one, two] = [mesh.node(1), mesh.node(2)];
    const [first, second] = [await mesh.start(1), await mesh.start(2)];
    await first.tells("added peer node2");
    expect(await two.attach("pod2")).toEqual(["10.244.1.3/24"]);
    const state = await mesh.state(1);
    const peers = await mesh.peers(1);
    // nothing of it is for others, nor for those who look at what others may not see
    const memory = readFileSync(memoryFile(one), "utf8");
    expect(memory).toContain('"10.244.1.0/24"');
    expect(memory).not.toContain(PASSWORD);
    expect(await one.text(["stat", "-c", "%a", memoryFile(one)])).toBe("600\n");
    await first.end("SIGKILL");
    await mesh.server.end("SIGKILL");

    await reboot(one);
    const again = new RunningDaemon(one);
    await again.tells("the mesh is up on this node");
    expect(again.linesOf("warning")).toEqual([
      expect.stringContaining("can't be reached"),
      expect.stringMatching(
        /^warning: the mesh is as this node remembers it since \S+Z, with 10\.244\.0\.0\/24, until the store answers$/,
      ),
    ]);
    expect(await mesh.state(1)).toBe(state);
    expect(await mesh.peers(1)).toEqual(peers);
    expect(await one.attach("pod1")).toEqual(["10.244.0.3/24"]);
    expect(await reaches(mesh.stage.sandbox, "pod1", "10.244.1.3")).toMatchObject({ passed: true });
    // it goes on to be repaired
    await one.text(["ip", "route", "del", "10.244.0.0/16"]);
    again.lookNow();
    await again.tells("made route to 10.244.0.0/16", again.lines.length - 1);
    const shown = await one.warren("show");
    expect([shown.exitCode, shown.stdout]).toEqual([
      1,
      expect.stringMatching(/^remembered since \S+Z, without the store$/m),
    ]);
    expect(shown.stdout).toMatch(/^node2 .* known$/m);
    expect(JSON.parse((await one.warren("show", "--json")).stdout)).toMatchObject({
      complete: true,
      remembered: expect.stringMatching(/Z$/),
    });

    await mesh.server.run();
    await again.tells("the store has the blocks that this node remembered: 10.244.0.0/24");
    await eventually(
      "the store's word",
      () => one.warren("show"),
      ({ exitCode, stdout }) => exitCode === 0 && !stdout.includes("remembered"),
    );
    expect(await mesh.peers(1)).toEqual(peers);
    const third = await mesh.start(3);
    await again.tells("added peer node3");
    for (const daemon of [again, second, third]) expect(await daemon.end()).toBe(0);

    // the same without a daemon, and with peers that have come since
    await mesh.server.end("SIGKILL");
    await reboot(one);
    const up = await one.warren("up", "--json");
    expect([up.exitCode, JSON.parse(up.stdout)]).toMatchObject([
      0,
      { peers: { added: ["node2", "node3"] }, remembered: expect.stringMatching(/Z$/) },
    ]);
    expect(up.stderr).toContain("the mesh is as this node remembers it since");
    expect((await one.warren("sync")).exitCode).toBe(1);
    // what has left is not remembered
    expect((await one.warren("down")).exitCode).toBe(1);
    expect(existsSync(memoryFile(one))).toBe(false);
    expect((await one.warren("up")).exitCode).toBe(1);
  },
  120_000,
);

testWith(postgres)(
  "S3-W12 what a node remembers is not used under other settings, nor if nobody can read it, and gives way to the store",
  async () => {
    await using mesh = await MeshWithStore.create(2);
    const one = mesh.node(1);
    await (await mesh.start(1)).end();
    const memory = readFileSync(memoryFile(one), "utf8");
    await mesh.server.end("SIGKILL");
    await reboot(one);
    const store = mesh.server.config({ host: mesh.server.folder, nodeName: "node1" });
    const others: readonly [more: object, was: string][] = [
      [
        { clusterCIDRs: ["10.244.0.0/15"] },
        "10.244.0.0/16 in blocks of /24, carried by vxlan 1, no more 10.244.",
      ],
      [{ nodeMasks: { ipv4: 25 } }, "no more 10.244.0.0/16 in blocks of /25"],
      [
        { backend: "wireguard" },
        "carried by vxlan 1, no more 10.244.0.0/16 in blocks of /24, carried by wireguard",
      ],
      [{ vni: 7 }, "no more 10.244.0.0/16 in blocks of /24, carried by vxlan 7"],
      [
        { store: { postgres: { ...store.postgres, schema: "other" } } },
        "no more PostgreSQL database postgres at",
      ],
      [{ store: { postgres: { ...store.postgres, nodeName: "node9" } } }, "it was for node1, no more node9"],
    ];
    for (const [more, was] of others) {
      await mesh.configure(one, { ...more });
      const { exitCode, stderr } = await one.warren("up");
      expect([exitCode, stderr]).toEqual([1, expect.stringContaining(was)]);
      expect(stderr).toContain("is not used, because the configuration has changed since");
      expect(stderr).toContain("can't be reached");
    }
    expect((await one.run(["ip", "link", "show", "warren0"])).exitCode).toBe(1);
    expect(readFileSync(memoryFile(one), "utf8")).toBe(memory);
    await mesh.configure(one);
    writeFileSync(memoryFile(one), memory.replace("10.244.0.0/24", "10.244.0.0/240"));
    const broken = new RunningDaemon(one);
    await broken.tells("remembered-mesh-mesh.json: learned.blocks.0; remove it");
    expect(await broken.end()).toBe(0);

    // another node has the block by now: the store decides, and it is said aloud
    writeFileSync(memoryFile(one), memory);
    const daemon = new RunningDaemon(one);
    await daemon.tells("the mesh is up on this node");
    await mesh.server.run();
    // before the daemon asks again
    await daemon.tells("is there again");
    expect(await daemon.end()).toBe(0);
    await mesh.sql("DELETE FROM warren.nodes");
    await mesh.start(2).then((other) => other.end());
    expect(await mesh.list(2)).toEqual(["node2 10.244.0.0/24 there"]);
    await mesh.server.end("SIGKILL");
    await reboot(one);
    const late = new RunningDaemon(one);
    await late.tells("with 10.244.0.0/24, until the store answers");
    await mesh.server.run();
    await late.tells(
      "this node was taken out of the mesh, and has other blocks now: 10.244.1.0/24, no more 10.244.0.0/24; pods that run keep addresses that are another node's",
    );
    await late.tells("added peer node2");
    expect(await mesh.list(2)).toEqual(["node1 10.244.1.0/24 there", "node2 10.244.0.0/24 there"]);
    expect(readFileSync(one.conflist, "utf8")).toContain('"10.244.1.0/24"');
    expect(readFileSync(memoryFile(one), "utf8")).toContain('"blocks":["10.244.1.0/24"]');
    expect(await late.end()).toBe(0);
  },
  120_000,
);
