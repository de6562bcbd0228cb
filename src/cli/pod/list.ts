// `warren pod list`: the pods, what they are attached to, and whether they are still there. A `warren run` that is at work
// is one of them.
import { log } from "../../log.ts";
import { AttachmentCache, DEFAULT_CACHE_FOLDER } from "../../runtime/cache.ts";
import { PodRecords } from "../../runtime/pod-record.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { printTable } from "../terminal/table.ts";
import { ageSince, rememberedAttachments, type ShownPod, shownPod } from "./known.ts";

export const command = operatorCommand({
  name: "list",
  description: "List pods with their networks and addresses, and whether they are alive",
  args: {
    "cache-dir": {
      type: "string",
      valueHint: "DIR",
      default: DEFAULT_CACHE_FOLDER,
      description: "Where pods are written down",
    },
    json: { type: "boolean", description: "Answer with JSON, which has labels and annotations too" },
  },
  run({ args }) {
    const pods = new PodRecords(args["cache-dir"]).list((problem) => log.warn(problem));
    const cached = rememberedAttachments(new AttachmentCache(args["cache-dir"]));
    const rows = pods.map((pod) => shownPod(pod, cached));
    if (args.json === true) writeStdout(`${JSON.stringify(rows, null, 4)}\n`);
    else if (rows.length === 0) writeStdout("no pods\n");
    else printTable(rows.flatMap(linesOf));
    return 0;
  },
});

/** A line for each network; what concerns the pod stands in the first one. */
function linesOf(pod: ShownPod): object[] {
  const { name, state, created } = pod;
  const first = { name, state, age: ageSince(Date.parse(created)) };
  const networks = pod.networks.map(({ network, ifname, addresses, attached }) => ({
    network,
    ifname,
    addresses: attached ? addresses.join(" ") : "(not attached)",
  }));
  return [{ ...first, ...networks[0] }, ...networks.slice(1).map((one) => ({ name: "", ...one }))];
}
