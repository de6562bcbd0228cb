// `warren node down`: takes all of this node's part of the mesh away, also what an interrupted call left.
import { log } from "../../log.ts";
import { takeDown } from "../../mesh/node-network.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { meshFlags, openMesh } from "./mesh-command.ts";

export const command = operatorCommand({
  name: "down",
  description: "Take this node's part of the mesh away; its pods lose their network",
  args: meshFlags,
  async run({ args }) {
    const { removed, notes } = await takeDown(openMesh(args.config).settings);
    for (const note of notes) log.warn(note);
    if (args.json === true) writeStdout(`${JSON.stringify({ removed, notes }, null, 4)}\n`);
    else if (removed.length === 0) writeStdout("nothing of the mesh was here\n");
    else writeStdout(removed.map((what) => `removed ${what}\n`).join(""));
    return 0;
  },
});
