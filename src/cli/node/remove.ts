// `warren node remove`: takes a node out of the mesh that can't do so itself any more. The others drop it as a peer, and its
// block is given to others after the time of grace.
import { CniError, ErrorCode } from "../../cni/error.ts";
import { shown } from "../../cni/input.ts";
import { formatPrefix } from "../../ip/prefix.ts";
import { openRegistry } from "../../mesh/registry.ts";
import { readMeshSettings } from "../../mesh/settings.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { ageSince } from "../pod/known.ts";
import { SILENT_AFTER_MS } from "./list.ts";
import { explained, meshFlags } from "./mesh-command.ts";

export const command = operatorCommand({
  name: "remove",
  description: "Take a node out of the mesh that is gone for good",
  args: {
    node: { type: "positional", description: "Its name, as warren node list has it" },
    ...meshFlags,
    force: { type: "boolean", description: "Also one that was heard of a moment ago" },
  },
  async run({ args }) {
    const settings = readMeshSettings(args.config);
    const registry = openRegistry(settings);
    const nodes = (await explained(() => registry.list())).filter(({ leftAtMs }) => leftAtMs === undefined);
    const node = nodes.find(({ name }) => name === args.node);
    if (node === undefined) {
      const names = nodes.map(({ name }) => name).join(", ");
      throw new CniError(
        ErrorCode.unknownContainer,
        `there is no node ${shown(args.node)} in the mesh ${settings.network}`,
        names === "" ? "there is none at all" : `there are ${names}`,
      );
    }
    if (node.readAtMs - node.seenAtMs <= SILENT_AFTER_MS && args.force !== true) {
      throw new CniError(
        ErrorCode.invalidConfig,
        `node ${node.name} was heard of ${ageSince(node.seenAtMs, node.readAtMs)} ago`,
        "on that node itself: warren node down; or say --force, and it comes back as soon as its daemon sees that",
      );
    }
    await explained(() => registry.leave(node.name));
    const blocks = node.blocks.map(formatPrefix);
    if (args.json === true)
      writeStdout(`${JSON.stringify({ removed: node.name, nodeCIDRs: blocks }, null, 4)}\n`);
    else {
      const reserved = settings.graceSeconds === 0 ? "free" : `reserved for ${settings.graceSeconds} s`;
      writeStdout(
        `removed node ${node.name}: ${blocks.join(" ")} ${blocks.length === 1 ? "is" : "are"} ${reserved}\n`,
      );
    }
    return 0;
  },
});
