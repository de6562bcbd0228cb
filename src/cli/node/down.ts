// `warren node down`: takes all of this node's part of the mesh away, also what an interrupted call left.
import { log } from "../../log.ts";
import { lockDaemon } from "../../mesh/daemon-lock.ts";
import { recallAll } from "../../mesh/memory.ts";
import { type NodeNetwork, namesOnNode, takeDown } from "../../mesh/node-network.ts";
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
    const mesh = openMesh(args.config);
    // also what has other names in the configuration by now
    const all = namesOnNode(mesh);
    // a daemon would make it all again
    using locks = new DisposableStack();
    for (const network of new Set(all.map(({ network }) => network))) {
      locks.use(lockDaemon(namesOf({ ...mesh.settings, network })));
    }
    // first, so that nobody sends anything here any more; but without the store the rest goes all the same
    const problems = await leaveAll(mesh);
    const lowered = [];
    // what was, first: its list may stand in the place of the new one
    for (const names of all.toReversed()) lowered.push(await takeDown(names));
    const removed = lowered.flatMap((one) => one.removed);
    const notes = [...new Set(lowered.flatMap((one) => one.notes))];
    for (const note of [...notes, ...problems]) log.warn(note);
    if (args.json === true) writeStdout(`${JSON.stringify({ removed, notes }, null, 4)}\n`);
    else if (removed.length === 0) writeStdout("nothing of the mesh was here\n");
    else writeStdout(removed.map((what) => `removed ${what}\n`).join(""));
    return problems.length === 0 ? 0 : 1;
  },
});

/**
 * Takes this node out of every mesh that it is in by this configuration; returns what has to be told of those that it
 * is in still.
 */
async function leaveAll({ settings, configFile }: NodeNetwork): Promise<string[]> {
  const registry = registryOf(settings);
  const problems = await leave(registry);
  for (const { names, learned } of recallAll(namesOf(settings), configFile)) {
    if (learned === undefined) continue;
    const { store, node } = learned.origin;
    if (store !== registry?.location || node !== registry.node) {
      problems.push(
        `the configuration has changed since this node joined: where it says the ${store}, warren node remove ${node}`,
      );
    } else if (names.network !== settings.network) {
      problems.push(...(await leave(registryOf({ ...settings, network: names.network }))));
    }
  }
  return problems;
}

async function leave(registry: Registry | undefined): Promise<string[]> {
  try {
    await registry?.leave();
    return [];
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return [
      `${error.message}; ${error.cure}`,
      `node ${registry?.node} is in the mesh still: warren node down again, or warren node remove ${registry?.node} elsewhere`,
    ];
  }
}
