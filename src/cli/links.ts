// `warren links`: which pods are to be wired to each other, and whether they are: waiting, up, or broken and how.
import { type Announcement, listAnnouncements } from "../pairing/announcements.ts";
import { examineLink, linksAt } from "../pairing/inspection.ts";
import { type EverythingPaired, everythingPaired, type PairLinkRow } from "../pairing/links.ts";
import { writeStdout } from "../sys/stdio.ts";
import { operatorCommand } from "./command.ts";
import { existingStore, storeFlags } from "./leases.ts";
import { plainText } from "./terminal/output.ts";
import { printTable } from "./terminal/table.ts";

/** A link, or a pod that belongs to none yet, as it is shown. */
interface ShownLink {
  readonly network: string;
  readonly namespace: string;
  readonly primary: string;
  readonly primaryInterface: string;
  readonly pair: string;
  readonly pairInterface: string;
  readonly state: "waiting" | "up" | "broken";
  /** `veth` or `vxlan`; empty while it waits. */
  readonly kind: string;
  readonly vni: number | null;
  /** What it waits for, or what is wrong. */
  readonly reason: string;
}

function shownLink(everything: EverythingPaired, link: PairLinkRow): ShownLink {
  const { state, reason, kind } = examineLink(everything, link);
  return {
    network: link.network,
    namespace: link.podNamespace,
    primary: link.primaryName,
    primaryInterface: link.primaryIfname,
    pair: link.pairName,
    pairInterface: link.pairIfname,
    ...{ state, kind, vni: link.vni, reason },
  };
}

/** Pods that ask for a link, without anybody having said to whom: pairs whose primary is still to come. */
function lonelyPods(everything: EverythingPaired, announced: readonly Announcement[]): ShownLink[] {
  const pods = new Map(
    [...everything.pods, ...announced].map((pod) => [
      JSON.stringify([pod.network, pod.podNamespace, pod.podName]),
      pod,
    ]),
  );
  return [...pods.values()]
    .filter((pod) => linksAt(everything, pod).length === 0)
    .map(({ network, podNamespace, podName }) => ({
      ...{
        network,
        namespace: podNamespace,
        primary: "",
        primaryInterface: "",
        pair: podName,
        pairInterface: "",
      },
      ...{ state: "waiting", kind: "", vni: null, reason: "waits for a primary that names it" },
    }));
}

function inTable(link: ShownLink): object {
  const end = (pod: string, name: string) =>
    pod === "" ? "" : `${plainText(pod)}${name === "" ? "" : ` ${name}`}`;
  return {
    network: link.network,
    namespace: plainText(link.namespace),
    primary: end(link.primary, link.primaryInterface),
    pair: end(link.pair, link.pairInterface),
    state: link.state,
    kind: link.kind,
    vni: link.vni ?? "",
    reason: link.reason,
  };
}

export const command = operatorCommand({
  name: "links",
  description: "List the private links between pods, and whether they are up",
  args: {
    network: { type: "positional", required: false, description: "Only links of this network" },
    ...storeFlags,
    json: { type: "boolean", description: "Answer with JSON" },
  },
  async run({ args }) {
    const { everything, announced } = await existingStore(args["data-dir"]).read(async (store) => ({
      everything: await everythingPaired(store),
      announced: await listAnnouncements(store),
    }));
    const shown = [
      ...everything.links.map((link) => shownLink(everything, link)),
      ...lonelyPods(everything, announced),
    ].filter(({ network }) => args.network === undefined || network === args.network);
    if (args.json === true) writeStdout(`${JSON.stringify(shown, null, 4)}\n`);
    else if (shown.length === 0) writeStdout("no links\n");
    else printTable(shown.map(inTable));
    return 0;
  },
});
