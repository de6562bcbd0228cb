// `warren gc NET [NETNS[:IFNAME] ...]`: removes every attachment of the network that is not named. Nobody named
// means that nobody stays.
import { CniError, ErrorCode } from "../cni/error.ts";
import type { AttachmentKey } from "../cni/network-config.ts";
import type { NetworkList } from "../conflist/network-list.ts";
import { log } from "../log.ts";
import { netnsInode } from "../net/netns.ts";
import { checkAttachment } from "../runtime/attachment.ts";
import { collectGarbage, type Runtime, requireVerb } from "../runtime/chain.ts";
import { PodRecords } from "../runtime/pod-record.ts";
import { writeStdout } from "../sys/stdio.ts";
import { collectAbandonedRuns } from "./abandoned-runs.ts";
import { operatorCommand, UsageError } from "./command.ts";
import { type KnownAttachment, knownAttachments, previewCollection } from "./known-attachments.ts";
import { findNetns, namesProcess } from "./netns-argument.ts";
import { containerIdOf, networkArgument, networkFlags, openNetwork } from "./settings.ts";
import { Progress } from "./terminal/progress.ts";
import { printTable } from "./terminal/table.ts";

/** An attachment as the command line names it. */
interface Entry {
  readonly text: string;
  /** A namespace, or the id of a container. */
  readonly name: string;
  readonly ifname: string;
}

/** Returns the entry that `NETNS[:IFNAME]` or `ID[:IFNAME]` spells; the interface is eth0 if unnamed. */
function parseEntry(text: string): Entry {
  // the colon of pid:NUMBER and podman:NAME parts no interface off
  const start = namesProcess(text) ? text.indexOf(":") + 1 : 0;
  const colon = text.indexOf(":", start) < 0 ? -1 : text.lastIndexOf(":");
  const [name, ifname] = colon < 0 ? [text, "eth0"] : [text.slice(0, colon), text.slice(colon + 1)];
  if (name === "" || ifname === "") {
    throw new UsageError(`${JSON.stringify(text)} is no attachment; expected NETNS or NETNS:IFNAME`);
  }
  checkAttachment({ containerId: containerIdOf(name), ifname });
  return { text, name, ifname };
}

/**
 * Returns the attachments that an entry means: the one whose id is made of the name, as `add` makes it, and those
 * of other runtimes that are known by that namespace or container id. Throws CniError 3 for one that means nobody
 * known, because a slip of the pen would take a living container off the network.
 */
function attachmentsOf(entry: Entry, known: readonly KnownAttachment[]): AttachmentKey[] {
  const own = { containerId: containerIdOf(entry.name), ifname: entry.ifname };
  const netns = pathOf(entry.name);
  const inode = netnsInode(netns);
  // one namespace may have several paths, and a path outlives its namespace
  const isThere = (path: string) =>
    (netns !== "" && path === netns) || (inode !== undefined && netnsInode(path) === inode);
  const meant = known.filter(
    (one) =>
      one.ifname === entry.ifname &&
      (one.containerId === own.containerId || one.containerId === entry.name || isThere(one.netns)),
  );
  if (meant.length === 0) {
    throw new CniError(
      ErrorCode.unknownContainer,
      `${entry.text} is no known attachment of this network; nothing was removed`,
      "name only attachments that are there: see warren leases",
    );
  }
  return [own, ...meant.map(({ containerId, ifname }) => ({ containerId, ifname }))];
}

/** Returns the path of the namespace; empty for a process or container that is gone, which still has its id. */
function pathOf(name: string): string {
  try {
    return findNetns(name).path;
  } catch (error) {
    if (error instanceof CniError) return "";
    throw error;
  }
}

/** Returns each attachment once. */
function distinct(keys: readonly AttachmentKey[]): AttachmentKey[] {
  return [...new Map(keys.map((key) => [JSON.stringify([key.containerId, key.ifname]), key])).values()];
}

/** A DEL takes a moment, and thousands of them minutes. */
async function collectWithProgress(
  runtime: Runtime,
  list: NetworkList,
  valid: readonly AttachmentKey[],
): Promise<AttachmentKey[]> {
  using progress = new Progress();
  progress.show(`collecting the garbage of ${list.name}`);
  const note = (line: string) => {
    progress.clear();
    runtime.note(line);
  };
  const tell = (done: number, all: number) =>
    progress.show(`removing attachments from ${list.name}: ${done} of ${all} done`);
  return await collectGarbage({ ...runtime, note, progress: tell }, list, valid);
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
      description:
        "The attachments to keep, NETNS[:IFNAME] or ID[:IFNAME] ...; the interface is eth0 if not named",
    },
    ...networkFlags,
    "dry-run": { type: "boolean", description: "Only say what would be removed" },
  },
  async run({ args }) {
    const entries = args._.slice(1).map(parseEntry);
    const { runtime, list, settings } = openNetwork(args.network, args);
    requireVerb(list, "GC");
    const known = await knownAttachments(runtime, list);
    const valid = distinct(entries.flatMap((entry) => attachmentsOf(entry, known)));
    if (args["dry-run"] === true) {
      const doomed = await previewCollection(runtime, list, valid);
      if (settings.json) writeStdout(`${JSON.stringify(doomed, null, 4)}\n`);
      else if (doomed.length === 0) writeStdout("nothing would be removed\n");
      else printTable(doomed);
      return 0;
    }
    await collectAbandonedRuns(runtime, new PodRecords(settings.cacheFolder));
    const removed = await collectWithProgress(runtime, list, valid);
    if (list.disableGC) log.info(`network ${list.name} has disableGC set: nothing was collected`);
    const answer = { network: list.name, removed };
    if (settings.json) writeStdout(`${JSON.stringify(answer, null, 4)}\n`);
    return 0;
  },
});
