// `warren reveal CONTAINER`: what the runtime was told of a container's addresses, beside what its interfaces have. The
// one comes out of the runtime's cache, the other out of the container itself, so it shows every difference, whoever
// made it: warren-rewrite, another plugin, or somebody with `ip address`.

import { describeError } from "../cni/error.ts";
import { formatPrefix } from "../ip/prefix.ts";
import { listAttachments, listObjects } from "../ledger/attachments.ts";
import { log } from "../log.ts";
import { addressesOf } from "../net/bridge.ts";
import { connectInside } from "../net/connection.ts";
import { openNetns } from "../net/netns.ts";
import { findLink } from "../net/veth.ts";
import { AttachmentCache, type CachedAttachment, DEFAULT_CACHE_FOLDER } from "../runtime/cache.ts";
import { openStore, storeExists } from "../store/sqlite.ts";
import { writeStdout } from "../sys/stdio.ts";
import { operatorCommand } from "./command.ts";
import { storeFlags } from "./leases.ts";
import { reportedAddresses } from "./reported-addresses.ts";
import { matchingContainer } from "./show.ts";
import { printTable } from "./terminal/table.ts";

/** One address, as it was told and as it is. */
interface RevealedAddress {
  readonly network: string;
  readonly container: string;
  readonly ifname: string;
  /** What the result of the ADD says; empty for a real address that it does not have. */
  readonly reported: string;
  /** What the interface has; empty for a reported address that it lacks. */
  readonly real: string;
  /** An address that was only written down, not told (mode annotate-only). */
  readonly noted: string;
  readonly verdict: "same" | "differs" | "only reported" | "only real" | "netns gone" | "interface gone";
}

export const command = operatorCommand({
  name: "reveal",
  description: "Show the addresses that were reported for a container beside those that it has",
  args: {
    container: {
      type: "positional",
      required: true,
      description: "The container's id, its beginning, or NETNS",
    },
    "cache-dir": {
      type: "string",
      valueHint: "DIR",
      default: DEFAULT_CACHE_FOLDER,
      description: "Where the runtime remembers attachments",
    },
    ...storeFlags,
    json: { type: "boolean", description: "Answer with JSON" },
  },
  async run({ args }) {
    const all = new AttachmentCache(args["cache-dir"]).list(undefined, (problem) => log.warn(problem));
    const known = new Set(all.map(({ containerId }) => containerId));
    const container = matchingContainer(args.container, known);
    const rows: RevealedAddress[] = [];
    for (const attachment of all.filter(({ containerId }) => containerId === container)) {
      rows.push(...compared(attachment, await notedAddresses(args["data-dir"], attachment)));
    }
    if (args.json === true) writeStdout(`${JSON.stringify(rows, null, 4)}\n`);
    else printTable(rows);
    return 0;
  },
});

/** Returns the addresses that warren-rewrite wrote down without reporting them. */
async function notedAddresses(
  dataDir: string,
  { network, containerId, ifname }: CachedAttachment,
): Promise<string[]> {
  if (!storeExists(dataDir)) return [];
  return openStore(dataDir).read(async (store) => {
    const objects = [];
    for (const row of await listAttachments(store)) {
      if (row.network !== network || row.containerId !== containerId || row.ifname !== ifname) continue;
      objects.push(...(await listObjects(store, row)));
    }
    return objects.filter(({ kind }) => kind === "reported address").map(({ name }) => name);
  });
}

function compared(attachment: CachedAttachment, noted: readonly string[]): RevealedAddress[] {
  const { network, containerId, ifname } = attachment;
  const reported = reportedAddresses(attachment);
  const base = { network, container: containerId, ifname };
  const real = realAddresses(attachment);
  const untold = noted.filter((address) => !reported.includes(address)).join(" ");
  if (typeof real === "string") {
    return reported.map((address) => ({
      ...base,
      reported: address,
      real: "",
      noted: untold,
      verdict: real,
    }));
  }
  const same = reported.filter((address) => real.includes(address));
  const told = reported.filter((address) => !same.includes(address));
  // the kernel gives every interface a link-local address, of which no result tells
  const others = real.filter((address) => !same.includes(address) && !address.startsWith("fe80:"));
  const rows: RevealedAddress[] = same.map((address) => ({
    ...{ ...base, reported: address, real: address, noted: untold, verdict: "same" },
  }));
  for (const family of [4, 6]) {
    const isOfFamily = (address: string) => address.includes(":") === (family === 6);
    const [left, right] = [told.filter(isOfFamily), others.filter(isOfFamily)];
    for (let at = 0; at < Math.max(left.length, right.length); at++) {
      const [one = "", other = ""] = [left[at], right[at]];
      const verdict = other === "" ? "only reported" : one === "" ? "only real" : "differs";
      rows.push({ ...base, reported: one, real: other, noted: untold, verdict });
    }
  }
  return rows;
}

/** Returns the addresses of the container's interface, or why there are none to see. */
function realAddresses({
  netns: path,
  ifname,
}: CachedAttachment): string[] | "netns gone" | "interface gone" {
  try {
    using netns = openNetns(path);
    using inside = connectInside(netns);
    const link = findLink(inside, ifname);
    return link === undefined ? "interface gone" : addressesOf(inside, link.index).map(formatPrefix);
  } catch (error) {
    log.warn(describeError(error));
    return "netns gone";
  }
}
