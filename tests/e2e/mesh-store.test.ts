// `warren node up`, show, sync, list, remove and down where the nodes are in a real PostgreSQL, without a daemon: each call by
// itself, as an operator makes it.
import { expect } from "bun:test";
import { reaches } from "../support/mesh.ts";
import { MeshWithStore } from "../support/mesh-daemons.ts";
import { PASSWORD, postgres } from "../support/postgres.ts";
import { testWith } from "../support/sandbox.ts";

testWith(postgres)(
  "S3-I01 up takes a block of the store and tells the others of the node, down gives it back, list shows both",
  async () => {
    await using mesh = await MeshWithStore.create(2);
    const [one, two] = [mesh.node(1), mesh.node(2)];
    const early = await one.warren("show");
    expect([early.exitCode, early.stderr]).toEqual([
      1,
      expect.stringContaining("has none of Warren's tables yet"),
    ]);
    expect(await one.node("up")).toContain("made masquerade of 10.244.0.0/24");
    expect((await two.warren("sync")).stderr).toContain("make it one: warren node up");
    expect(await two.node("up")).toContain("added peer node1");
    expect(await one.node("sync")).toEqual(["added peer node2"]);
    expect(await one.node("up")).toEqual(["left 1 peer as it was", "everything of this node is there"]);
    expect(await one.attach("pod1")).toEqual(["10.244.0.3/24"]);
    expect(await two.attach("pod2")).toEqual(["10.244.1.3/24"]);
    expect(await reaches(mesh.stage.sandbox, "pod1", "10.244.1.3")).toMatchObject({ passed: true });
    expect((await one.node("show")).join("\n")).toMatch(/node2 +192\.0\.2\.2:4789 +10\.244\.1\.0\/24 +known/);

    const [head, ...rows] = await one.node("list");
    expect(head).toMatch(/^NODE +CIDRS +ENDPOINT +BACKEND +SEEN +STATE$/);
    expect(rows[0]).toMatch(
      /^node1 +10\.244\.0\.0\/24 +192\.0\.2\.1:4789 +vxlan +\d+s ago +there, this node$/,
    );
    expect(rows[1]).toMatch(/^node2 +10\.244\.1\.0\/24 +192\.0\.2\.2:4789 +vxlan +\d+s ago +there$/);

    expect(await two.node("down")).toContain("removed bridge warren0");
    expect((await one.node("list"))[2]).toMatch(
      /^node2 +10\.244\.1\.0\/24 +vxlan .* left, block reserved for 59m$/,
    );
    expect(JSON.parse((await one.warren("list", "--json")).stdout)[1]).toMatchObject({
      ...{
        name: "node2",
        self: false,
        nodeCIDRs: ["10.244.1.0/24"],
        address: null,
        port: null,
        state: "left",
      },
      left: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    expect((await one.node("sync"))[0]).toStartWith("removed peer");

    const rotated = await one.warren("rotate");
    expect([rotated.exitCode, rotated.stderr]).toEqual([
      1,
      'Error: the nodes of the mesh mesh have no keys: its backend is vxlan; only "backend": "wireguard" has them\n',
    ]);

    // without the store a node is taken down all the same, and it is said what is left to do
    await mesh.server.end("SIGKILL");
    const list = await one.warren("list");
    expect([list.exitCode, list.stdout]).toEqual([1, ""]);
    expect(list.stderr).toContain("can't be reached");
    expect((await one.warren("sync")).exitCode).toBe(1);
    expect(await mesh.peers(1)).toEqual([]);
    expect((await one.text(["ip", "link"])).includes("warren0")).toBe(true);
    const down = await one.warren("down");
    expect([down.exitCode, down.stdout]).toEqual([1, expect.stringContaining("removed bridge warren0")]);
    expect(down.stderr).toContain("node node1 is in the mesh still: warren node down again");
    await mesh.server.run();
    const again = await one.warren("down");
    expect([again.exitCode, again.stdout]).toEqual([0, "nothing of the mesh was here\n"]);
    expect(await mesh.list()).toEqual(["node1 10.244.0.0/24 left", "node2 10.244.1.0/24 left"]);
    for (const { stdout, stderr } of [early, list, down, again])
      expect(stdout + stderr).not.toContain(PASSWORD);
  },
  120_000,
);
