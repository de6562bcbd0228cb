// `warren node up`: makes this node's part of the mesh, or repairs what is missing or wrong of it, and nothing else.
import { bringUp } from "../../mesh/node-network.ts";
import { joinMesh, presenceOf } from "../../mesh/store-membership.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import {
  explained,
  knownMembershipOf,
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
    const { rememberedSince, ...result } = await explained(async () => {
      const membership = await knownMembershipOf(mesh.settings, joinMesh);
      const brought = await bringUp(mesh, membership);
      const { rememberedSince } = membership;
      // what others know of this node they know still
      if (rememberedSince === undefined)
        await registryOf(mesh.settings)?.announce(await presenceOf(brought.plan));
      return { ...brought, rememberedSince };
    });
    const { mended, peers, incomplete, published, plan } = result;
    warnOf(peers, incomplete);
    if (args.json === true) {
      const remembered = rememberedSince ?? null;
      const document = { mended, peers, incomplete, conflist: published, remembered };
      writeStdout(`${JSON.stringify(document, null, 4)}\n`);
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
