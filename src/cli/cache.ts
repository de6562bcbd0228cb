// `warren cache [CONTAINER]`: what runtimes remember of attachments, as every user of libcni keeps it: who is attached to
// what with which addresses, and whether the container's namespace is still there.
import { describeError } from "../cni/error.ts";
import { log } from "../log.ts";
import { netnsInode } from "../net/netns.ts";
import { AttachmentCache, type CachedAttachment, DEFAULT_CACHE_FOLDER } from "../runtime/cache.ts";
import { writeStdout } from "../sys/stdio.ts";
import { operatorCommand } from "./command.ts";
import { reportedAddresses } from "./reported-addresses.ts";
import { matchingContainer } from "./show.ts";
import { printTable } from "./terminal/table.ts";

export const command = operatorCommand({
  name: "cache",
  description: "List the attachments that runtimes remember, or show those of a container in full",
  args: {
    container: {
      type: "positional",
      required: false,
      description: "The container's id, its beginning, or NETNS",
    },
    "cache-dir": {
      type: "string",
      valueHint: "DIR",
      default: DEFAULT_CACHE_FOLDER,
      description: "Where the runtime remembers attachments",
    },
    json: { type: "boolean", description: "Answer with JSON" },
  },
  run({ args }) {
    const all = new AttachmentCache(args["cache-dir"]).list(undefined, (problem) => log.warn(problem));
    if (args.container !== undefined) {
      const known = new Set(all.map(({ containerId }) => containerId));
      const container = matchingContainer(args.container, known);
      const whole = all.filter(({ containerId }) => containerId === container).map(inFull);
      writeStdout(`${JSON.stringify(whole, null, 4)}\n`);
      return 0;
    }
    const rows = all.map(inShort);
    if (args.json === true) writeStdout(`${JSON.stringify(rows, null, 4)}\n`);
    else if (rows.length === 0) writeStdout("nothing is remembered\n");
    else printTable(rows);
    return 0;
  },
});

function inShort(attachment: CachedAttachment) {
  const { network, containerId, ifname, netns } = attachment;
  return {
    network,
    container: containerId,
    ifname,
    addresses: addressesOf(attachment),
    netns,
    state: netns === "" ? "no netns" : netnsInode(netns) === undefined ? "netns gone" : "alive",
  };
}

function addressesOf(attachment: CachedAttachment): string {
  try {
    return reportedAddresses(attachment).join(" ");
  } catch (error) {
    return describeError(error);
  }
}

function inFull(attachment: CachedAttachment): object {
  const { args, capabilityArgs, result, config } = attachment;
  return {
    ...inShort(attachment),
    args: args.map((pair) => pair.join("=")).join(";"),
    capabilityArgs,
    result,
    config: configIn(config),
  };
}

function configIn(bytes: Uint8Array): unknown {
  const text = new TextDecoder().decode(bytes);
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
