// `warren announce NETWORK POD`: says of a pod what its labels would, before its container exists, or because it is on
// another node. What can be linked with that is linked at once.
import { readFileSync } from "node:fs";
import * as v from "valibot";
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import { parseInput, shown } from "../cni/input.ts";
import { loadNetwork, type NetworkList } from "../conflist/network-list.ts";
import { log } from "../log.ts";
import {
  type Announcement,
  announcedPlan,
  findAnnouncement,
  forgetAnnouncement,
  listAnnouncements,
  recordAnnouncement,
} from "../pairing/announcements.ts";
import { isLabelName, KEYS, type LabelKey, PREFIXES, readLabels } from "../pairing/labels.ts";
import { describePod, namespaceOf, type PodKey, podPlan } from "../pairing/link-plan.ts";
import { askForLink, unaskForLink } from "../pairing/links.ts";
import { completeLinks } from "../pairing/membership.ts";
import { type NodeSettings, nodeEntries, nodeSettings } from "../pairing/node-settings.ts";
import { openStore } from "../store/sqlite.ts";
import type { Transaction } from "../store/store.ts";
import { writeStdout } from "../sys/stdio.ts";
import { operatorCommand, UsageError } from "./command.ts";
import { networkArgument, networkFlags, settingsOf } from "./settings.ts";
import { plainText } from "./terminal/output.ts";
import { printTable } from "./terminal/table.ts";

const [PREFIX] = PREFIXES;

/** The plugin by the names under which configs call it. */
const TYPES = ["warren-pair", "pair", "ratchet"];

const nodeConfig = v.object(nodeEntries);

/** What a flag says, by the label that it stands for. */
const FLAGS = {
  "pair-name": { key: "pair_name", valueHint: "POD", description: "The pod at the other end" },
  "local-ip": { key: "local_ip", valueHint: "ADDRESS[,...]", description: "The pod's addresses on the link" },
  "local-ifname": { key: "local_ifname", valueHint: "NAME", description: "The link's name in the pod" },
  "pair-ip": { key: "pair_ip", valueHint: "ADDRESS[,...]", description: "The other pod's addresses" },
  "pair-ifname": { key: "pair_ifname", valueHint: "NAME", description: "The link's name in the other pod" },
  "parent-address": {
    key: "parent_address",
    valueHint: "ADDRESS",
    description: "Where the pod's node is, if it is another one than this",
  },
  vni: { key: "vni", valueHint: "N", description: "The number of the vxlan between two nodes" },
  mtu: { key: "mtu", valueHint: "BYTES", description: "The MTU of the link" },
  mirror: {
    key: "mirror",
    valueHint: "mirror:WAY:IF",
    description: "Copy the pod's traffic onto the link: ingress, egress or both of an interface",
  },
  routes: { key: "routes", valueHint: "'DST via GW'", description: "Routes of the pod by the link" },
} as const satisfies Readonly<
  Record<string, { readonly key: LabelKey; readonly valueHint: string; readonly description: string }>
>;

type FlagName = keyof typeof FLAGS;

const flagDefinitions = Object.fromEntries(
  Object.entries(FLAGS).map(([name, { valueHint, description }]) => [
    name,
    { type: "string" as const, valueHint, description },
  ]),
) as Readonly<Record<FlagName, { type: "string"; valueHint: string; description: string }>>;

/**
 * Returns the labels in a file: a line each, `NAME=VALUE`, with names of labels, or without their prefix and in capitals as
 * variables have them. Throws CniError 5 or 7.
 */
function labelsInFile(path: string): [string, string][] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new CniError(ErrorCode.ioFailure, `${path} can't be read: ${describeError(error)}`, "", {
      cause: error,
    });
  }
  return text.split("\n").flatMap((line, index) => {
    if (line.trim() === "" || line.trim().startsWith("#")) return [];
    const equals = line.indexOf("=");
    const name = line.slice(0, Math.max(equals, 0)).trim();
    const bare = KEYS.find((key) => key === name.toLowerCase());
    if (bare !== undefined) return [[`${PREFIX}.${bare}`, line.slice(equals + 1).trimEnd()]];
    if (isLabelName(name)) return [[name, line.slice(equals + 1).trimEnd()]];
    throw new CniError(
      ErrorCode.invalidConfig,
      `${path}: line ${index + 1} is ${shown(line)}`,
      `expected a label such as ${PREFIX}.pair_name=POD, or a key of these: ${KEYS.join(", ")}`,
    );
  });
}

/** Returns the config of the plugin in a network; throws CniError 7 if the network has none. */
function pairConfig(list: NetworkList): NodeSettings {
  const plugin = list.plugins.find(({ type }) => TYPES.includes(type));
  if (plugin === undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `network ${shown(list.name)} has no plugin warren-pair`,
      `it has ${list.plugins.map(({ type }) => type).join(", ")}`,
    );
  }
  const what = `network config ${JSON.stringify(list.name)}`;
  return nodeSettings(parseInput(nodeConfig, plugin.document, ErrorCode.invalidConfig, what));
}

/** Returns what the node's config says, or only where the store is, for a network that has no config here. */
function settingsFor(
  network: string,
  flags: Readonly<Record<string, unknown>>,
): { readonly settings: NodeSettings; readonly isComplete: boolean } {
  const dataDir = flags["data-dir"];
  if (typeof dataDir === "string") return { settings: nodeSettings({ dataDir }), isComplete: false };
  const { confFolder } = settingsOf(flags, process.env);
  return { settings: pairConfig(loadNetwork(confFolder, network)), isComplete: true };
}

async function announce(
  network: string,
  pod: PodKey,
  labels: Announcement["labels"],
  settings: NodeSettings,
) {
  const plan = podPlan(readLabels([Object.entries(labels)]), pod);
  const node = { parentAddress: "", vnis: settings.vnis };
  await openStore(settings.dataDir).transaction(async (store) => {
    await forget(store, network, pod);
    for (const link of plan.links) {
      await askForLink(store, network, pod.podNamespace, link, node, { announced: 1 });
    }
    await recordAnnouncement(store, { network, ...pod, labels, announcedAtMs: Date.now() });
  });
}

async function withdraw(network: string, pod: PodKey, { dataDir }: NodeSettings): Promise<void> {
  await openStore(dataDir).transaction(async (store) => {
    if ((await findAnnouncement(store, network, pod)) === undefined) {
      throw new CniError(
        ErrorCode.unknownContainer,
        `pod ${describePod(pod)} is not announced on network ${network}`,
        `see: warren announce ${network}`,
      );
    }
    await forget(store, network, pod);
  });
}

async function forget(store: Transaction, network: string, pod: PodKey): Promise<void> {
  const plan = await announcedPlan(store, network, pod);
  await forgetAnnouncement(store, network, pod);
  for (const link of plan?.links ?? []) await unaskForLink(store, network, pod, link);
}

async function list(network: string, { dataDir }: NodeSettings, isJson: boolean): Promise<void> {
  const announced = (await openStore(dataDir).read(listAnnouncements)).filter(
    (one) => one.network === network,
  );
  const rows = announced.map(({ podNamespace, podName, labels, announcedAtMs }) => ({
    ...{ namespace: podNamespace, pod: podName, labels, since: new Date(announcedAtMs).toISOString() },
  }));
  if (isJson) writeStdout(`${JSON.stringify(rows, null, 4)}\n`);
  else if (rows.length === 0) writeStdout("no pods are announced\n");
  else {
    printTable(
      rows.map(({ labels, ...row }) => ({
        ...row,
        pod: plainText(row.pod),
        since: row.since.replace(/T|\.\d+Z/g, " ").trimEnd(),
        labels: Object.entries(labels)
          .map(([name, value]) => `${name}=${plainText(value)}`)
          .join(" "),
      })),
    );
  }
}

export const command = operatorCommand({
  name: "announce",
  description: "Say of a pod what its labels would, before it comes or because it is on another node",
  args: {
    ...networkArgument,
    pod: {
      type: "positional",
      required: false,
      description: "The pod's name; without it, list what is announced",
    },
    namespace: {
      type: "string",
      valueHint: "NAME",
      description: "The pod's Kubernetes namespace; else default",
    },
    primary: { type: "boolean", description: "The pod is the primary of its link" },
    ...flagDefinitions,
    file: {
      type: "string",
      valueHint: "FILE",
      description: "Take labels from a file, a line each: NAME=VALUE",
    },
    remove: { type: "boolean", description: "Take back what was announced of the pod" },
    "data-dir": {
      type: "string",
      valueHint: "DIR",
      description: "Where the store is; without it, where the network's config says",
    },
    "cni-conf-dir": networkFlags["cni-conf-dir"],
    json: { type: "boolean", description: "List with JSON" },
  },
  async run({ args }) {
    const { network } = args;
    const fromFile = new Map(args.file === undefined ? [] : labelsInFile(args.file));
    const named = readLabels([fromFile]).sets.get(0)?.get("pod_name");
    const podName = args.pod ?? named;
    if (named !== undefined && podName !== named) {
      throw new UsageError(
        `${shown(podName)} is not the pod that ${args.file} is about, which is ${shown(named)}`,
      );
    }
    const said = Object.entries(FLAGS).flatMap(([name, { key }]): [string, string][] => {
      const value = args[name as FlagName];
      return typeof value === "string" ? [[`${PREFIX}.${key}`, value]] : [];
    });
    if (args.primary === true) said.push([`${PREFIX}.primary`, "true"]);
    const { settings, isComplete } = settingsFor(network, args);
    if (podName === undefined) {
      if (said.length > 0 || args.remove === true || args.file !== undefined)
        throw new UsageError("name the pod");
      await list(network, settings, args.json === true);
      return 0;
    }
    const pod = { podNamespace: namespaceOf(args.namespace), podName };
    if (args.remove === true) {
      await withdraw(network, pod, settings);
      return 0;
    }
    const labels = { [PREFIX]: "true", ...Object.fromEntries(fromFile), ...Object.fromEntries(said) };
    await announce(network, pod, labels, settings);
    if (!isComplete) return 0;
    const { made, failed } = await completeLinks(network, settings);
    for (const { link } of made)
      log.info(`made the link of ${shown(link.primaryName)} and ${shown(link.pairName)}`);
    for (const { link, reason } of failed) {
      log.info(`link of ${shown(link.primaryName)} and ${shown(link.pairName)}: ${reason}`);
    }
    return failed.length === 0 ? 0 : 1;
  },
});
