// `warren node down`: takes all of this node's part of the mesh away, also what an interrupted call left.
import { log } from "../../log.ts";
import { lockDaemon } from "../../mesh/daemon-lock.ts";
import { takeDown } from "../../mesh/node-network.ts";
import { namesOf } from "../../mesh/plan.ts";
import type { Registry } from "../../mesh/registry.ts";
import { StoreError } from "../../store/store.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { meshFlags, openMesh, registryOf } from "./mesh-command.ts";

export const command = operatorCommand({
  name: "down",
  description: "Take this node's part of the mesh away; its pods lose their network",
  args: meshFlags,
  async run({ args }) {
    const { settings } = openMesh(args.config);
    // a daemon would make it all again
    using _ = lockDaemon(namesOf(settings));
    const registry = registryOf(settings);
    // first, so that nobody sends anything here any more; but without the store the rest goes all the same
    const problem = registry === undefined ? undefined : await leave(registry);
    const { removed, notes } = await takeDown(settings);
    for (const note of [...notes, ...(problem ?? [])]) log.warn(note);
    if (args.json === true) writeStdout(`${JSON.stringify({ removed, notes }, null, 4)}\n`);
    else if (removed.length === 0) writeStdout("nothing of the mesh was here\n");
    else writeStdout(removed.map((what) => `removed ${what}\n`).join(""));
    return problem === undefined ? 0 : 1;
  },
});

/** Takes this node out of the mesh; returns what has to be told if the store is away. */
async function leave(registry: Registry): Promise<string[] | undefined> {
  try {
    await registry.leave();
    return undefined;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return [
      `${error.message}; ${error.cure}`,
      `node ${registry.node} is in the mesh still: warren node down again, or warren node remove ${registry.node} elsewhere`,
    ];
  }
}
