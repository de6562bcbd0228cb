// `warren node up`: makes this node's part of the mesh, or repairs what is missing or wrong of it, and nothing else.
import { bringUp } from "../../mesh/node-network.ts";
import { joinMesh, presenceOf } from "../../mesh/store-membership.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import {
  explained,
  membershipOf,
  mendedLine,
  meshFlags,
  openMesh,
  peerLines,
  registryOf,
  warnOf,
} from "./mesh-command.ts";

export const command = operatorCommand({
  name: "up",
  description: "Make this node's part of the mesh, or repair it",
  args: meshFlags,
  async run({ args }) {
    const mesh = openMesh(args.config);
    const registry = registryOf(mesh.settings);
    const result = await explained(async () => {
      if (registry === undefined) return bringUp(mesh, await membershipOf(mesh.settings));
      const brought = await bringUp(mesh, await joinMesh(registry));
      await registry.announce(await presenceOf(brought.plan));
      return brought;
    });
    const { mended, peers, incomplete, published, plan } = result;
    warnOf(peers, incomplete);
    if (args.json === true) {
      writeStdout(`${JSON.stringify({ mended, peers, incomplete, conflist: published }, null, 4)}\n`);
      return 0;
    }
    const lines = [
      ...mended.map(mendedLine),
      ...peerLines(peers),
      ...(published ? [`wrote conflist ${plan.conflist}`] : []),
    ];
    const done = mended.length === 0 && !published;
    writeStdout(
      [...lines, ...(done ? ["everything of this node is there"] : [])].map((line) => `${line}\n`).join(""),
    );
    return 0;
  },
});
