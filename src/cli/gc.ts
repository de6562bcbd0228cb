// `warren gc NET [NETNS[:IFNAME] ...]`: removes every attachment of the network that is not named. Nobody named
// means that nobody stays.
import type { AttachmentKey } from "../cni/network-config.ts";
import { log } from "../log.ts";
import { checkAttachment } from "../runtime/attachment.ts";
import { collectGarbage, requireVerb } from "../runtime/chain.ts";
import { writeStdout } from "../sys/stdio.ts";
import { operatorCommand, UsageError } from "./command.ts";
import { previewCollection } from "./gc-preview.ts";
import { containerIdOf, networkArgument, networkFlags, openNetwork } from "./settings.ts";
import { printTable } from "./table.ts";

/** Returns the attachment that `NETNS[:IFNAME]` names; the id is made of NETNS, the interface is eth0 if unnamed. */
export function parseEntry(entry: string): AttachmentKey {
  const colon = entry.lastIndexOf(":");
  const [netns, ifname] = colon < 0 ? [entry, "eth0"] : [entry.slice(0, colon), entry.slice(colon + 1)];
  if (netns === "" || ifname === "") {
    throw new UsageError(`${JSON.stringify(entry)} is no attachment; expected NETNS or NETNS:IFNAME`);
  }
  const key = { containerId: containerIdOf(netns), ifname };
  checkAttachment(key);
  return key;
}

export const command = operatorCommand({
  name: "gc",
  description: "Remove every attachment of a network but those named",
  variadic: true,
  args: {
    ...networkArgument,
    keep: {
      type: "positional",
      required: false,
      description: "The attachments to keep, NETNS[:IFNAME] ...; the interface is eth0 if not named",
    },
    ...networkFlags,
    "dry-run": { type: "boolean", description: "Only say what would be removed" },
  },
  async run({ args }) {
    const valid = args._.slice(1).map(parseEntry);
    const { runtime, list, settings } = openNetwork(args.network, args);
    requireVerb(list, "GC");
    if (args["dry-run"] === true) {
      const doomed = await previewCollection(runtime, list, valid);
      if (settings.json) writeStdout(`${JSON.stringify(doomed, null, 4)}\n`);
      else if (doomed.length === 0) writeStdout("nothing would be removed\n");
      else printTable(doomed);
      return 0;
    }
    const removed = await collectGarbage(runtime, list, valid);
    if (list.disableGC) log.info(`network ${list.name} has disableGC set: nothing was collected`);
    const answer = { network: list.name, removed };
    if (settings.json) writeStdout(`${JSON.stringify(answer, null, 4)}\n`);
    return 0;
  },
});
