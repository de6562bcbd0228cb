// `warren pod create NAME --net NET ...`: makes a pod that stays until it is removed, and says what it got.
import { CniError, ErrorCode } from "../../cni/error.ts";
import { shown } from "../../cni/input.ts";
import { withLabels } from "../../conflist/labels.ts";
import { loadNetwork } from "../../conflist/network-list.ts";
import { netnsInode, netnsPath } from "../../net/netns.ts";
import { type ArgumentPairs, checkAttachment } from "../../runtime/attachment.ts";
import { type PodPlan, PodRecords } from "../../runtime/pod-record.ts";
import { currentBootId } from "../../sys/process.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { givenFlags, operatorCommand, UsageError } from "../command.ts";
import { exitCodeOf, Interruption } from "../interruption.ts";
import {
  containerIdOf,
  networkFlags,
  parametersOf,
  runtimeOf,
  type Settings,
  settingsOf,
} from "../settings.ts";
import { printTable } from "../terminal/table.ts";
import { checkPodName, rememberedAttachments, shownPod } from "./known.ts";
import { makePod } from "./life.ts";
import { resolverConfigOf } from "./resolver-config.ts";
import { capabilityArgsFor, type PodWish, podWishOf } from "./wish.ts";

const flags = {
  net: {
    type: "string",
    valueHint: "NET[:KEY=VALUE,...]",
    description: "A network, as eth0, the next one as eth1, ...; with ifname=, ip= and mac= for it alone",
  },
  label: {
    type: "string",
    alias: "l",
    valueHint: "KEY=VALUE",
    description: "A label; plugins get it in args.cni.labels; may be repeated",
  },
  annotation: {
    type: "string",
    valueHint: "KEY=VALUE",
    description: "An annotation; plugins get it as Kubernetes' runtimes pass it; may be repeated",
  },
  port: {
    type: "string",
    alias: "p",
    valueHint: "[IP:]HOSTPORT:PORT[/PROTOCOL]",
    description: "A port of the host that leads to the pod by its first network; may be repeated",
  },
  bandwidth: {
    type: "string",
    valueHint: "ingress=RATE,egress=RATE",
    description: "What the pod may receive and send by its first network, in bits a second: 10M",
  },
  impair: {
    type: "string",
    valueHint: "'WORD=VALUE ...'",
    description: "What is to go wrong with its traffic by its first network, in the words of warren impair",
  },
  ip: {
    type: "string",
    valueHint: "ADDRESS",
    description: "An address to have on the first network; may be repeated",
  },
  mac: { type: "string", valueHint: "ADDRESS", description: "The hardware address on the first network" },
  hostname: { type: "string", valueHint: "NAME", description: "The hostname in the pod: else its name" },
  namespace: {
    type: "string",
    valueHint: "NAME",
    default: "default",
    description: "The namespace of Kubernetes that plugins are told",
  },
  ...networkFlags,
} as const;

const HOSTNAME = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?$/;

export const command = operatorCommand({
  name: "create",
  description: "Make a pod on any number of networks: create POD --net NET ...",
  args: { pod: { type: "positional", required: true, description: "The pod's name" }, ...flags },
  async run({ args, rawArgs }) {
    const name = args.pod;
    checkPodName(name);
    checkPodName(args.namespace);
    const hostname = args.hostname ?? name;
    if (!HOSTNAME.test(hostname)) {
      throw new UsageError(`${shown(hostname)} is no hostname: letters, digits, . _ -, 64 at most`);
    }
    const settings = settingsOf(args, process.env);
    const plan = planOf(name, hostname, args.namespace, podWishOf(givenFlags(rawArgs, flags)), settings);
    const records = new PodRecords(settings.cacheFolder);
    refuseForeignNetns(records, name, plan.netns);

    await using stack = new AsyncDisposableStack();
    const interruption = stack.use(new Interruption());
    // a plugin that died of the signal by which this command is ended would pass for one that failed
    const runtime = runtimeOf(settings, { apart: true });
    const record = stack.use(records.begin(name, plan));
    const { results, undo } = await makePod(runtime, record, interruption);
    stack.use(undo);
    if (interruption.signal !== undefined) return exitCodeOf(interruption.signal);
    const resolverConfig = resolverConfigOf(results);
    if (resolverConfig !== undefined) record.writeResolverConfig(resolverConfig);
    if (record.progress !== undefined) record.note({ ...record.progress, isComplete: true });
    undo.move();

    const made = records.find(name);
    if (made === undefined) throw new Error(`pod ${name} was made and is gone`);
    const pod = shownPod({ ...made, isLocked: false }, rememberedAttachments(runtime.cache));
    if (settings.json) writeStdout(`${JSON.stringify(pod, null, 4)}\n`);
    else if (pod.networks.length === 0) writeStdout(`${name} has no network\n`);
    else {
      printTable(
        pod.networks.map(({ network, ifname, addresses }) => ({
          ...{ pod: name, network, ifname, addresses: addresses.join(" ") },
        })),
      );
    }
    return 0;
  },
});

function planOf(
  name: string,
  hostname: string,
  namespace: string,
  wish: PodWish,
  settings: Settings,
): PodPlan {
  const { args, capabilityArgs } = parametersOf(process.env);
  const containerId = containerIdOf(name);
  const netns = netnsPath(name);
  const attachments = wish.networks.map((one) => {
    const list = loadNetwork(settings.confFolder, one.network);
    const attachment = {
      ...{ containerId, netns, ifname: one.ifname },
      args: withPodNames(args, { namespace, name, containerId }),
      capabilityArgs: capabilityArgsFor(list, one, wish.annotations, capabilityArgs),
    };
    checkAttachment(attachment);
    return { list: withLabels(list, wish.labels), attachment };
  });
  const { labels, annotations } = wish;
  return {
    ...{ kind: "pod", containerId, netns, hostname, labels, annotations, attachments },
    ...{ createdAtMs: Date.now(), bootId: currentBootId() },
  };
}

/** Returns the pairs with those by which Kubernetes' runtimes name a pod (containerd, go-cni), unless they are there. */
function withPodNames(
  pairs: ArgumentPairs,
  pod: { readonly namespace: string; readonly name: string; readonly containerId: string },
): ArgumentPairs {
  const named = [
    ["IgnoreUnknown", "1"],
    ["K8S_POD_NAMESPACE", pod.namespace],
    ["K8S_POD_NAME", pod.name],
    ["K8S_POD_INFRA_CONTAINER_ID", pod.containerId],
  ] as const;
  return [...named.filter(([key]) => !pairs.some(([given]) => given === key)), ...pairs];
}

/** A namespace of that name that is no pod's would be taken for the pod's if we were killed a moment later. */
function refuseForeignNetns(records: PodRecords, name: string, netns: string): void {
  if (netnsInode(netns) === undefined || records.find(name) !== undefined) return;
  throw new CniError(
    ErrorCode.nameTaken,
    `there is a network namespace ${netns} already, and it is no pod's`,
    "choose another name, or attach that namespace by warren add",
  );
}
