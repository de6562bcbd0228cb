// The daemon of a mesh over wireguard, with its nodes in a PostgreSQL server of the machine's own: what the kernel is told when
// a node comes, when the daemon is killed, and when the machine comes up while the server is away.

import { MeshStage } from "../support/mesh.ts";
import { eventually, MeshWithStore, RunningDaemon } from "../support/mesh-daemons.ts";
import { answers, type Case, ip, same } from "./case.ts";
import { stateOf, wg } from "./mesh.ts";

/** In an emulated machine nothing is quick. */
const PATIENT = { connectTimeoutSeconds: 60, statementTimeoutSeconds: 60 };

export const MESH_DAEMON_CASES: readonly Case[] = [
  {
    name: "S3-W03 S3-W06 S3-W12 daemons of two nodes shake hands by wireguard as the store introduces them, a kill -9 or an absent store touches no session, and a new key is followed",
    needsDatabase: true,
    async run(host) {
      const stage = await MeshStage.on(host, 2);
      const before = await stateOf(stage.node(1));
      await using mesh = await MeshWithStore.on(stage, { backend: "wireguard" }, PATIENT);
      const [one, two] = [mesh.node(1), mesh.node(2)];
      const first = await mesh.start(1);
      const second = await mesh.start(2);
      await first.tells("added peer node2");
      await one.attach("pod1");
      same(await two.attach("pod2"), ["10.244.1.3/24"]);
      same(await answers(host, "10.244.1.3", "pod1"), true, "pod2 to pod1");
      const session = await wg(one, "latest-handshakes");
      same(Number(session[0]?.split("\t")[1]) > 0, true, "a handshake");

      // a node that the others are told of, and that goes: nothing is said of the one that was there
      const key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
      await mesh.sql(
        `INSERT INTO warren.nodes SELECT network, 'node3', agreement, '\\xc0000203', port, '${key}', NULL, backend, joined_at_ms, seen_at_ms, NULL, NULL, 0 FROM warren.nodes WHERE node = 'node1'; INSERT INTO warren.node_blocks VALUES ('mesh', '\\x0af40200', 24, 'node3')`,
      );
      await first.tells("added peer node3");
      same((await wg(one, "allowed-ips")).includes(`${key}\t10.244.2.0/24`), true, "the new peer");
      await mesh.sql(
        "DELETE FROM warren.node_blocks WHERE node = 'node3'; DELETE FROM warren.nodes WHERE node = 'node3'",
      );
      first.lookNow();
      await first.tells("removed peer");
      same(await wg(one, "latest-handshakes"), session, "the session beside one that came and went");

      await first.end("SIGKILL");
      const again = await mesh.start(1);
      same(
        [...again.linesOf("added"), ...again.linesOf("changed"), ...again.linesOf("made")],
        [],
        "told anew",
      );
      same(await wg(one, "latest-handshakes"), session, "the session after kill -9");

      // a new key, which the other one follows
      const told = second.lines.length;
      const keyFile = `${one.folder}/state/mesh.key`;
      const former = await one.text(["cat", keyFile]);
      const [rotated = ""] = await one.node("rotate");
      same([rotated.replace("public key ", "")], await wg(one, "public-key"), "the key of the tunnel");
      same((await one.text(["cat", keyFile])) === former, false, "the old key in the file");
      same(await one.text(["stat", "-c", "%a", keyFile]), "600\n");
      await second.tells("added peer node1", told);
      await eventually("an answer", () => answers(host, "10.244.1.3", "pod1"), Boolean);
      same(again.linesOf("warning"), [], "warnings about its own key");
      same(await again.end(), 0);

      // a reboot without the server: what the node remembers is enough to be known to the other one
      await mesh.server.end("SIGKILL");
      await ip(host, ["link del vethwg1", "link del warren0"], "node1");
      await host.text(["ip", "netns", "del", "wg1"]);
      const alone = new RunningDaemon(one);
      await alone.tells("the mesh is up on this node");
      same(alone.linesOf("warning: the mesh is as this node remembers it").length, 1, "said so");
      await one.attach("pod3");
      await eventually("an answer", () => answers(host, "10.244.1.3", "pod3"), Boolean);
      await mesh.server.run();
      await alone.tells("the store has the blocks that this node remembered: 10.244.0.0/24");
      same([await alone.end(), await second.end()], [0, 0]);
      for (const name of ["pod1", "pod3"]) {
        await ip(host, ["link del eth0"], name);
        await host.text(["ip", "netns", "del", name]);
      }
      await one.node("down");
      same(await stateOf(one), before, "what is left");
    },
  },
];
