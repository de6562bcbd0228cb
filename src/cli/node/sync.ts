// `warren node sync`: tells the tunnel of the other nodes as they are now, once.
import { syncPeers } from "../../mesh/node-network.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { explained, membershipOf, meshFlags, openMesh, peerLines, warnOf } from "./mesh-command.ts";

export const command = operatorCommand({
  name: "sync",
  description: "Bring the peers of the mesh in line with the known nodes, once",
  args: meshFlags,
  async run({ args }) {
    const mesh = openMesh(args.config);
    const { peers, incomplete } = await explained(async () =>
      syncPeers(mesh, await membershipOf(mesh.settings)),
    );
    warnOf(peers, incomplete);
    if (args.json === true) writeStdout(`${JSON.stringify({ peers, incomplete }, null, 4)}\n`);
    else writeStdout(`${peerLines(peers).join("\n") || "there are no other nodes"}\n`);
    return 0;
  },
});
