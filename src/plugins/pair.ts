// The plugin `pair`: wires pods to each other. A pod whose labels ask for it gets a private link to another pod, beside
// the network that it has anyway; a pod without such labels is handed on to another plugin. Both pods of a link may come
// in any order and at any time: what is known of them is in the store, and the second one makes both ends.
import * as v from "valibot";
import { beginEntry, confirmReservation, entryOf, isLivingEntry } from "../attachment/reservation.ts";
import { dataDirOf, storeEntries } from "../attachment/settings.ts";
import { nothingWritten, writtenAttachment } from "../attachment/written.ts";
import { type CniArguments, parseArguments } from "../cni/arguments.ts";
import { CniError, describeError, ErrorCode, Failures, stateDiffers } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { containerLabels, labelArgs } from "../cni/labels.ts";
import { type AddCall, type AttachmentCall, type Call, definePlugin } from "../cni/plugin.ts";
import { podAnnotationEntries } from "../cni/pod-annotations.ts";
import { EMPTY_RESULT, type Result } from "../cni/result.ts";
import { UndoList } from "../cni/undo.ts";
import type { JsonObject } from "../conflist/json.ts";
import {
  type AddedNetwork,
  type DelegatedNetwork,
  delegatedList,
  resultOf,
} from "../delegation/delegated-network.ts";
import {
  addDelegates,
  checkDelegates,
  checkDelegatesStatus,
  collectDelegates,
  deleteDelegates,
  deleteFormerDelegates,
  writtenDelegates,
} from "../delegation/delegation.ts";
import {
  type AttachmentRow,
  type Entry,
  findAttachment,
  forgetAttachment,
  forgetUnlessReplaced,
  recordAttachment,
} from "../ledger/attachments.ts";
import { describeOwner, holderOf, netnsIsGone } from "../ledger/owner.ts";
import { connectHost, connectInside } from "../net/connection.ts";
import { probeLinkDriver } from "../net/link-driver.ts";
import { openNetns } from "../net/netns.ts";
import { findAnnouncement } from "../pairing/announcements.ts";
import { examineLink, linksAt } from "../pairing/inspection.ts";
import { isEligible, isLabelName, type Labels, readLabels } from "../pairing/labels.ts";
import {
  describePod,
  namespaceOf,
  type PlannedRoute,
  type PodKey,
  type PodPlan,
  plannedRoute,
  podPlan,
} from "../pairing/link-plan.ts";
import { everythingPaired, PAIR_PLUGIN, podOfOwner } from "../pairing/links.ts";
import {
  completeLinks,
  endPod,
  endStrays,
  endUnwritten,
  joinPod,
  refuseTakenNames,
} from "../pairing/membership.ts";
import { INEFFECTIVE_KEYS, nodeEntries, nodeSettings, underlayOf } from "../pairing/node-settings.ts";
import { withLinks } from "../pairing/report.ts";
import { proveWritable } from "../store/heartbeat.ts";
import { inExistingStore, openStore } from "../store/sqlite.ts";

const delegated = v.nullish(v.looseObject({}));

const config = v.object({
  ...nodeEntries,
  delegate: delegated,
  boot_network: delegated,
  routes: v.nullish(v.record(v.string(), v.nullish(v.array(v.object({ dst: v.string(), gw: v.string() }))))),
  ...Object.fromEntries(INEFFECTIVE_KEYS.map((key) => [key, v.optional(v.unknown())])),
  args: labelArgs,
  capabilities: v.optional(v.unknown()),
  runtimeConfig: v.nullish(v.looseObject(podAnnotationEntries)),
});

type Config = v.InferOutput<typeof config>;

/** DEL and GC read the networks for plugins of which nothing is written, and pass over what can't be read. */
const cleanup = v.object({
  ...storeEntries,
  delegate: v.fallback(delegated, null),
  boot_network: v.fallback(delegated, null),
});

type Around = Pick<Call<unknown>, "network" | "cniVersion">;
type DelegateKey = "delegate" | "boot_network";

/** Returns the network that stands under a key; none where none does. Throws CniError 7 naming the key. */
function networksIn(
  config: Pick<Config, DelegateKey> & Partial<Pick<Config, "runtimeConfig">>,
  key: DelegateKey,
  around: Around,
  where: Pick<DelegatedNetwork, "ifname" | "args">,
): DelegatedNetwork[] {
  const document = config[key];
  if (document === null || document === undefined) return [];
  const what = `network config ${JSON.stringify(around.network)}, key ${JSON.stringify(key)}`;
  const list = delegatedList(document as JsonObject, around, what);
  const capabilityArgs = (config.runtimeConfig ?? {}) as JsonObject;
  return [{ list, ...where, capabilityArgs, folders: [] }];
}

/** Returns CNI_ARGS without labels, which are for this plugin alone. */
function argumentsFor(text: string): string {
  return text
    .split(";")
    .filter((pair) => !isLabelName(pair.split("=", 1)[0] ?? ""))
    .join(";");
}

/** What a call says of its pod before any label is believed. */
interface Introduction {
  readonly labels: Labels;
  /** What Kubernetes says, or the name under which the container was announced. */
  readonly known: Partial<PodKey>;
}

/** Returns the labels of a container: those that came with the call, then those of an announcement. */
async function introductionOf(
  { network, attachment, argumentText, config }: AddCall<Config>,
  args: CniArguments,
): Promise<Introduction> {
  const came = [...containerLabels(config, argumentText)];
  const podNamespace = namespaceOf(args.K8S_POD_NAMESPACE);
  const said = readLabels([came]).sets.get(0)?.get("pod_name");
  // a container that nobody gave a name is announced by its id
  const podName = said ?? args.K8S_POD_NAME ?? attachment.containerId;
  const announced = await inExistingStore(
    dataDirOf(config),
    async (store) => store && findAnnouncement(store, network, { podNamespace, podName }),
    "read",
  );
  const later = announced === undefined ? [] : [Object.entries(announced.labels)];
  const name = announced?.podName ?? args.K8S_POD_NAME;
  return {
    labels: readLabels([came, ...later]),
    known: { podNamespace, ...(name === undefined ? {} : { podName: name }) },
  };
}

function nameIn({ containerId }: AddCall<Config>["attachment"], { known }: Introduction): string {
  const { podNamespace = "", podName } = known;
  return podName === undefined
    ? `container ${containerId}`
    : `container ${containerId}, pod ${describePod({ podNamespace, podName })},`;
}

/** Returns the pod's plan, with the routes that the config has for it. Throws CniError 7. */
function planOf({ config, network }: AddCall<Config>, { labels, known }: Introduction): PodPlan {
  const plan = podPlan(labels, known);
  const routes = (config.routes?.[plan.podName] ?? []).map(({ dst, gw }): PlannedRoute => {
    const route = plannedRoute(dst, gw);
    if (route !== undefined) return route;
    throw new CniError(
      ErrorCode.invalidConfig,
      `network config ${JSON.stringify(network)}: "routes" of ${shown(plan.podName)} has ${shown({ dst, gw })}`,
      "expected a destination in CIDR notation and a gateway of the same family",
    );
  });
  return { ...plan, routes: [...plan.routes, ...routes] };
}

function noteIneffective({ config, note }: AddCall<Config>): void {
  const keys = INEFFECTIVE_KEYS.filter((key) => Reflect.get(config, key) !== undefined);
  if (keys.length > 0) note(`warren-pair: ${keys.join(", ")} have no effect: links are kept in the store`);
}

/** Takes away what the same attachment left in an earlier boot, or in a namespace that is gone: it may have been another pod. */
async function endFormer(call: AddCall<Config>, entry: Entry, dataDir: string): Promise<void> {
  const isGone = await openStore(dataDir).read(async (store) => {
    const isKnown = (await findAttachment(store, entry)) ?? (await podOfOwner(store, entry));
    return isKnown !== undefined && !(await isLivingEntry(store, entry));
  });
  if (!isGone) return;
  await deleteFormerDelegates(call, { entry, dataDir });
  await endPod(entry, dataDir, "end");
}

function refuseBoth({ config, previous }: AddCall<Config>): void {
  const key = config.delegate ? "delegate" : config.boot_network ? "boot_network" : undefined;
  if (previous === undefined || key === undefined) return;
  throw new CniError(
    ErrorCode.invalidConfig,
    `pair: "${key}" stands in the config of a plugin that is behind another one in its chain`,
    `remove "${key}", because the pod has its network already, or put this plugin first`,
  );
}

export const pair = definePlugin({
  name: PAIR_PLUGIN,
  about: "Warren pair: wires pods to each other by their labels, and hands others on",
  config,
  cleanup,
  keepsDigits: true,
  // labels may stand in CNI_ARGS, and what else is there is read below
  readsArguments: false,

  async add(call): Promise<Result> {
    const { network, attachment, config, note } = call;
    const settings = nodeSettings(config);
    const { dataDir } = settings;
    const others = argumentsFor(call.argumentText);
    const args = parseArguments(others);
    noteIneffective(call);
    refuseBoth(call);
    const introduction = await introductionOf(call, args);
    const where = { ifname: attachment.ifname, args: others };
    const plan = isEligible(introduction.labels) ? planOf(call, introduction) : undefined;
    const networks = networksIn(config, plan === undefined ? "delegate" : "boot_network", call, where);
    if (plan === undefined && networks.length === 0) {
      if (call.previous !== undefined) return call.previous;
      throw new CniError(
        ErrorCode.invalidConfig,
        `${nameIn(attachment, introduction)} has no label warren.pair and is not announced, and there is no "delegate" to hand it on to`,
        "label the pod, announce it under this name, or add a delegate to the network's config",
      );
    }

    const entry = entryOf(call, PAIR_PLUGIN);
    const holder = holderOf(network, attachment, args);
    const store = openStore(dataDir);
    using netns = openNetns(attachment.netns);
    const forget = () => store.transaction((transaction) => forgetAttachment(transaction, entry));
    await endFormer(call, entry, dataDir);
    await store.transaction(async (transaction) => {
      await beginEntry(transaction, entry);
      await recordAttachment(transaction, holder, PAIR_PLUGIN, []);
    });
    const undo = new UndoList();
    try {
      const [added] = await addDelegates(call, { entry, dataDir }, networks, undo);
      const base = added === undefined ? (call.previous ?? EMPTY_RESULT) : resultOf(added);
      if (plan === undefined) return base;

      using inside = connectInside(netns);
      refuseTakenNames({ netns, inside }, entry, plan);
      const joined = await joinPod(plan, holder, settings, (end) => undo.push("the links", end));
      await confirmReservation(entry, dataDir, attachment.netns);
      for (const { link, reason } of joined.waiting) {
        note(
          `warren-pair: link of ${shown(link.primaryName)} and ${shown(link.pairName)} is pending: ${reason}`,
        );
      }
      return withLinks(base, joined, { plan, owner: entry, netns: attachment.netns, inside });
    } catch (error) {
      if (await undo.run(note)) await forget();
      else note(`warren-pair: ${describeOwner(entry)} stays written down for DEL and GC`);
      throw error;
    }
  },

  async del(call): Promise<void> {
    const entry = entryOf(call, PAIR_PLUGIN);
    const { attachment, note } = call;
    const dataDir = dataDirOf(call.config);
    const failures = new Failures();
    let row: AttachmentRow | undefined;
    await failures.collect(async () => {
      row = (await writtenAttachment(call, PAIR_PLUGIN, dataDir)).row;
    });
    await failures.collect(() => endPod(entry, dataDir, "end"));
    await failures.collect(() => endUnwritten(entry, attachment.netns));
    const known = row;
    if (known === undefined) {
      // of an ADD before the store was lost; that nothing of it is there is no failure
      const networks = networksByConfig(call);
      await deleteDelegates(call, attachment, networks).catch((error: unknown) => note(describeError(error)));
      failures.rethrow(`DEL of ${describeOwner(entry)}`);
      return;
    }
    await failures.collect(async () => {
      const written = await writtenDelegates(entry, dataDir, (error) => failures.keep(error));
      const recorded = netnsIsGone(known) ? "" : known.netns;
      const netns = attachment.netns === "" ? recorded : attachment.netns;
      await deleteDelegates(call, { ...attachment, netns }, written);
    });
    // what can't be removed stays written down, so that the next DEL or GC tries again
    failures.rethrow(`DEL of ${describeOwner(entry)}`);
    await inExistingStore(dataDir, async (store) => {
      if (store !== undefined) await forgetUnlessReplaced(store, known);
    });
  },

  async check(call): Promise<void> {
    const { config, attachment } = call;
    const entry = entryOf(call, PAIR_PLUGIN);
    const { dataDir } = nodeSettings(config);
    const { row } = await writtenAttachment(call, PAIR_PLUGIN, dataDir);
    if (row === undefined) {
      // of a pod that is no business of ours nothing is written, if another plugin made its network
      if (call.previous !== undefined && config.delegate === undefined && !isLabelled(call)) return;
      throw nothingWritten(entry);
    }
    const everything = await openStore(dataDir).read(everythingPaired);
    const pod = await openStore(dataDir).read((store) => podOfOwner(store, entry));
    if (pod !== undefined) {
      for (const link of linksAt(everything, pod)) {
        const side = link.primaryName === pod.podName ? "primary" : "pair";
        const { state, reason } = examineLink(everything, link, side);
        if (state === "broken") throw stateDiffers(reason);
      }
    } else if (isLabelled(call)) {
      throw stateDiffers(`another container is the pod that ${describeOwner(entry)} was`);
    }
    const written = await writtenDelegates(entry, dataDir, (error) => {
      throw error;
    });
    await checkDelegates(call, attachment, written);
  },

  async status(call): Promise<void> {
    const { config, network, note } = call;
    const settings = nodeSettings(config);
    await proveWritable(settings.dataDir);
    const where = { ifname: "eth0", args: "" };
    await checkDelegatesStatus(call, [
      ...networksIn(config, "delegate", call, where),
      ...networksIn(config, "boot_network", call, where),
    ]);
    using host = connectHost();
    probeLinkDriver(host, "veth");
    const { interfaceName, address } = settings.wish;
    if (interfaceName !== undefined || address !== undefined) {
      underlayOf(host, settings, ErrorCode.notReady);
      probeLinkDriver(host, "vxlan");
    }
    // runtimes ask every few seconds, which is when a pod that waits gets to know of one that came on another node
    const { made, failed } = await completeLinks(network, settings);
    for (const { link } of made) {
      note(`warren-pair: made the link of ${shown(link.primaryName)} and ${shown(link.pairName)}`);
    }
    for (const { link, reason } of failed) {
      note(`warren-pair: link of ${shown(link.primaryName)} and ${shown(link.pairName)}: ${reason}`);
    }
  },

  async gc(call): Promise<void> {
    const { network, config } = call;
    const dataDir = dataDirOf(config);
    const failures = new Failures();
    const where = { ifname: "eth0", args: "" };
    const networks: DelegatedNetwork[] = [];
    for (const key of ["delegate", "boot_network"] as const) {
      await failures.collect(() => {
        networks.push(...networksIn(config, key, call, where));
      });
    }
    await failures.collect(() =>
      collectDelegates(call, {
        ...{ plugin: PAIR_PLUGIN, dataDir, networks },
        release: ({ containerId, ifname }) => endPod({ network, containerId, ifname }, dataDir, "end"),
      }),
    );
    await failures.collect(() => endStrays(network, dataDir));
    failures.rethrow(`GC of network ${network}`);
  },
});

/** True if labels that came with a call say that its pod has links. */
function isLabelled({ config, argumentText }: Pick<AddCall<Config>, "config" | "argumentText">): boolean {
  return isEligible(readLabels([containerLabels(config, argumentText)]));
}

/** Returns the networks that the config would give the attachment; none where it can't be read any more. */
function networksByConfig(call: AttachmentCall<Pick<Config, DelegateKey>>): AddedNetwork[] {
  const where = { ifname: call.attachment.ifname, args: argumentsFor(call.argumentText) };
  const distinct = new Map<string, DelegatedNetwork>();
  for (const key of ["delegate", "boot_network"] as const) {
    try {
      // most pods have the same network, with links and without them
      const text = JSON.stringify(call.config[key] ?? {});
      for (const network of networksIn(call.config, key, call, where)) distinct.set(text, network);
    } catch {
      // what the config says can't be done, and so never was
    }
  }
  return [...distinct.values()].map((network, position) => ({ ...network, position, result: undefined }));
}
