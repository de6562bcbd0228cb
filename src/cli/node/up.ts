// `warren node up`: makes this node's part of the mesh, or repairs what is missing or wrong of it, and nothing else.
import { bringUp } from "../../mesh/node-network.ts";
import type { Finding } from "../../mesh/topology.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { explained, membershipOf, meshFlags, openMesh, peerLines, warnOf } from "./mesh-command.ts";

function mendedLine({ piece, problem }: Finding): string {
  if (problem === "is missing") return `made ${piece}`;
  return `repaired ${piece}, which ${problem.replace(/^is\b/, "was").replace(/^has\b/, "had")}`;
}

export const command = operatorCommand({
  name: "up",
  description: "Make this node's part of the mesh, or repair it",
  args: meshFlags,
  async run({ args }) {
    const mesh = openMesh(args.config);
    const result = await explained(async () => bringUp(mesh, await membershipOf(mesh.settings)));
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
