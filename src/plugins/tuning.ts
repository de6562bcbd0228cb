// The plugin `tuning`: changes an interface that a plugin before it in the chain made, and settings of the container's
// namespace (sysctl). What was there before is written into the store first, and DEL and GC put it back if the
// namespace still exists.
import * as v from "valibot";
import { type Addition, type AdditionCall, defineChained, requirePrevious } from "../attachment/addition.ts";
import { collectOneByOne } from "../attachment/chained-collection.ts";
import { interfaceIn } from "../attachment/container-interface.ts";
import { entryOf } from "../attachment/reservation.ts";
import { dataDirOf, requestedHardwareAddress, storeEntries } from "../attachment/settings.ts";
import {
  endTuning,
  recordSpellings,
  restoreInterface,
  restoreSysctls,
  tunedObject,
  tunedSetting,
  withEarlierValues,
} from "../attachment/tuned-settings.ts";
import { nothingWritten, writtenAttachment } from "../attachment/written.ts";
import type { CniArguments } from "../cni/arguments.ts";
import { CniError, ErrorCode, Failures, stateDiffers } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import type { Interface, Result } from "../cni/result.ts";
import { forgetAttachment, type KernelObject, listObjects, recordAttachment } from "../ledger/attachments.ts";
import { describeOwner, holderOf } from "../ledger/owner.ts";
import { connectInside } from "../net/connection.ts";
import {
  attributeDifferences,
  attributeNames,
  currentAttributes,
  type LinkAttributes,
  setAttributes,
} from "../net/link-attributes.ts";
import { inNetns, type Netns, netnsIdentity, openNetns } from "../net/netns.ts";
import { rehearse } from "../net/rehearsal.ts";
import {
  isAllowed,
  isOfInterface,
  isSameValue,
  readAllowlist,
  readTunable,
  rehearsedPath,
  TunableError,
  TunableKeyError,
  tunablePath,
  writeTunable,
} from "../net/tunable.ts";
import { findLink, type Link } from "../net/veth.ts";
import { proveWritable } from "../store/heartbeat.ts";
import { openStore, storeExists } from "../store/sqlite.ts";

const PLUGIN = "tuning";
const LARGEST_SIGNED_32_BITS = 0x7fff_ffff;

const size = v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(LARGEST_SIGNED_32_BITS)));
// a list would pass as a record with numbers for keys
const sysctls = v.pipe(
  v.unknown(),
  v.check((table) => !Array.isArray(table), "an object"),
  v.record(v.string(), v.nullable(v.string())),
);
const keys = {
  sysctl: v.nullish(sysctls),
  mac: v.nullish(v.string()),
  promisc: v.nullish(v.boolean()),
  mtu: size,
  txQLen: size,
  allmulti: v.nullish(v.boolean()),
};

const config = v.object({
  ...keys,
  ...storeEntries,
  runtimeConfig: v.nullish(v.object({ mac: v.nullish(v.string()) })),
  args: v.nullish(v.object({ cni: v.nullish(v.object(keys)) })),
});
const cleanup = v.object(storeEntries);

type Config = v.InferOutput<typeof config>;

/** A setting of the namespace that is to be. */
interface Tunable {
  /** As the config has it. */
  readonly key: string;
  /** Below /proc/sys/net. */
  readonly path: string;
  readonly value: string;
  readonly ofInterface: boolean;
}

/** What the config amounts to, worked out before the store or the kernel is touched. */
interface Plan {
  readonly tunables: readonly Tunable[];
  readonly attributes: LinkAttributes;
  readonly dataDir: string;
}

/** Returns the plan of a config; throws CniError 7 naming the value. */
function planOf(config: Config, args: CniArguments, ifname: string): Plan {
  const own = config.args?.cni ?? {};
  const mtu = own.mtu ?? config.mtu ?? 0;
  return {
    tunables: tunablesOf(config, ifname),
    attributes: {
      mac: hardwareAddressOf(config, args.MAC),
      // it is turned on, but never off: somebody else may want it
      promisc: (own.promisc ?? config.promisc ?? false) ? true : undefined,
      mtu: mtu === 0 ? undefined : mtu,
      allmulti: own.allmulti ?? config.allmulti ?? undefined,
      txQLen: own.txQLen ?? config.txQLen ?? undefined,
    },
    dataDir: dataDirOf(config),
  };
}

/** The config, over it CNI_ARGS, over it the capability, over all `args`, whose empty text means none at all. */
function hardwareAddressOf(config: Config, macArgument: string | undefined): string | undefined {
  const sources = [config.runtimeConfig?.mac, macArgument, config.mac];
  const text = config.args?.cni?.mac ?? sources.find((source) => (source ?? "") !== "") ?? "";
  // the rules for addresses are those of every plugin
  return requestedHardwareAddress({ mac: text }, undefined);
}

function tunablesOf(config: Config, ifname: string): Tunable[] {
  const byPath = new Map<string, Tunable>();
  for (const table of [config.sysctl ?? {}, config.args?.cni?.sysctl ?? {}]) {
    const named = new Map<string, string>();
    for (const [key, value] of Object.entries(table)) {
      const path = pathOf(key, ifname);
      const other = named.get(path);
      if (other !== undefined) {
        throw new CniError(
          ErrorCode.invalidConfig,
          "duplicated sysctl keys are not allowed",
          `${shown(other)} and ${shown(key)} are the same setting: remove one`,
        );
      }
      named.set(path, key);
      if (value !== null) byPath.set(path, { key, path, value, ofInterface: isOfInterface(key) });
    }
  }
  return [...byPath.values()];
}

function pathOf(key: string, ifname: string): string {
  try {
    return tunablePath(key, ifname);
  } catch (error) {
    if (!(error instanceof TunableKeyError)) throw error;
    throw new CniError(
      ErrorCode.invalidConfig,
      error.message,
      `${shown(key)} is no setting of the network: expected a key such as net.ipv4.conf.IFNAME.arp_filter`,
      { cause: error },
    );
  }
}

/** Refuses keys that the host's administrator did not allow. */
function checkAllowed(tunables: readonly Tunable[]): void {
  const allowlist = tunables.length === 0 ? undefined : readAllowlist();
  if (allowlist === undefined) return;
  for (const { key } of tunables) {
    if (isAllowedBy(allowlist, key)) continue;
    throw new CniError(
      ErrorCode.invalidConfig,
      `Sysctl ${key} is not allowed. Only the following sysctls are allowed: [${allowlist.join(" ")}]`,
      "remove the key, or have it added to /etc/cni/tuning/allowlist.conf",
    );
  }
}

function isAllowedBy(allowlist: readonly string[], key: string): boolean {
  try {
    return isAllowed(key, allowlist);
  } catch (error) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `a line of /etc/cni/tuning/allowlist.conf is no regular expression: ${String(error)}`,
      "correct the file",
      { cause: error },
    );
  }
}

/** Stands for an interface that this same call makes: it takes all its settings with it, so nothing is put back. */
const NOT_YET_MADE = "not yet made";
const NOT_YET_MADE_INDEX = 0;

/** Returns what to write down: everything that will be changed, and what it is now. */
function objectsOf(
  { tunables, attributes }: Plan,
  netns: Netns,
  ifname: string,
  link: Link | typeof NOT_YET_MADE | undefined,
): KernelObject[] {
  const namespace = netnsIdentity(netns);
  const objects: KernelObject[] = inNetns(netns, () =>
    tunables.map(({ key, path, value, ofInterface }) => {
      // what is not there may come with the interface, whether the key says IFNAME or names it; `make` will see
      const found =
        link === NOT_YET_MADE ? lookAt(path).value : explainedTunable(key, value, () => readTunable(path));
      const before = found ?? null;
      const index = ofInterface && typeof link === "object" ? link.index : 0;
      return tunedObject({ kind: "sysctl", what: path, namespace, index, before, after: value });
    }),
  );
  if (link !== undefined && attributeNames(attributes).length > 0) {
    const now =
      link === NOT_YET_MADE
        ? { index: NOT_YET_MADE_INDEX, before: {} }
        : { index: link.index, before: currentAttributes(link, attributes) };
    objects.push(tunedObject({ kind: "attributes", what: ifname, namespace, ...now, after: attributes }));
  }
  return objects;
}

/** Runs `work` on a setting; the kernel's refusals become errors that name key and value. */
function explainedTunable<T>(key: string, value: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof TunableError)) throw error;
    switch (error.problem) {
      case "missing":
        throw new CniError(
          ErrorCode.unsupportedField,
          `the kernel has no sysctl ${shown(key)}`,
          `${error.message}: remove the key, or load the module that brings it`,
          { cause: error },
        );
      case "a directory":
        throw new CniError(
          ErrorCode.invalidConfig,
          `sysctl ${shown(key)} is a group of settings`,
          "expected a single one",
        );
      case "refused":
        throw new CniError(
          ErrorCode.invalidConfig,
          `the kernel refuses the value ${shown(value)} of sysctl ${shown(key)}`,
          String(error.cause),
          { cause: error },
        );
      default:
        throw new CniError(
          ErrorCode.kernelRefused,
          `sysctl ${shown(key)} can't be written in this namespace`,
          String(error.cause),
          { cause: error },
        );
    }
  }
}

/** True if the plan needs an interface; settings of the whole namespace don't. */
function needsInterface({ tunables, attributes }: Plan): boolean {
  return attributeNames(attributes).length > 0 || tunables.some(({ ofInterface }) => ofInterface);
}

/** Sets what is to be, in the thread's namespace, and returns by its path what the kernel spells otherwise. */
function setTunables(tunables: readonly Tunable[]): ReadonlyMap<string, string> {
  const respelled = new Map<string, string>();
  for (const { key, path, value } of tunables) {
    const found = explainedTunable(key, value, () => {
      writeTunable(path, value);
      return readTunable(path);
    });
    if (found !== undefined && found !== value) respelled.set(path, found);
  }
  return respelled;
}

function updated(previous: Result, ifname: string, attributes: LinkAttributes): Result {
  const { mac, mtu } = attributes;
  const change = (one: Interface): Interface =>
    one.name === ifname && (one.sandbox ?? "") !== ""
      ? { ...one, ...(mac === undefined ? {} : { mac }), ...(mtu === undefined ? {} : { mtu }) }
      : one;
  return { ...previous, interfaces: previous.interfaces.map(change) };
}

function changesFor(call: AdditionCall<Config>, plan: Plan): Addition {
  const { network, attachment } = call;
  const { ifname } = attachment;
  const { dataDir } = plan;
  const entry = entryOf(call, PLUGIN);
  const holder = holderOf(network, attachment, call.args);
  let link: Link | typeof NOT_YET_MADE | undefined;
  let earlier: readonly KernelObject[] = [];
  // what to put back if this call fails: what it found, which an ADD before it may have made
  let found: readonly KernelObject[] = [];
  return {
    dataDir,

    survey({ planned }): void {
      using netns = openNetns(attachment.netns);
      using inside = connectInside(netns);
      if (planned !== undefined) link = NOT_YET_MADE;
      else if (needsInterface(plan)) link = interfaceIn(inside, netns, ifname);
    },

    async claim(store): Promise<void> {
      using netns = openNetns(attachment.netns);
      // looked at inside the transaction, so that no DEL puts anything back after that
      found = objectsOf(plan, netns, ifname, link);
      const namespace = netnsIdentity(netns);
      const own = await listObjects(store, entry);
      earlier = own.filter((object) => tunedSetting(object)?.namespace === namespace);
      // what is known of a namespace that is gone says nothing about this one
      if (earlier.length === 0) await forgetAttachment(store, entry);
      await recordAttachment(store, holder, PLUGIN, await withEarlierValues(store, found));
    },

    async make(result): Promise<Result> {
      using netns = openNetns(attachment.netns);
      using inside = connectInside(netns);
      const respelled = inNetns(netns, () => setTunables(plan.tunables));
      if (respelled.size > 0) {
        await openStore(dataDir).transaction((store) => recordSpellings(store, entry, respelled));
      }
      if (attributeNames(plan.attributes).length > 0) {
        setAttributes(inside, interfaceIn(inside, netns, ifname).index, plan.attributes);
      }
      return updated(result, ifname, plan.attributes);
    },

    async release(): Promise<void> {
      const failures = new Failures();
      await failures.collect(async () => {
        using netns = openNetns(attachment.netns);
        await restoreInterface(netns, ifname, found, failures);
        await restoreSysctls(netns, ifname, found, failures);
      });
      await failures.collect(() =>
        openStore(dataDir).transaction(async (store) => {
          await forgetAttachment(store, entry);
          // what an ADD before this one wrote down is still so
          if (earlier.length > 0) await recordAttachment(store, holder, PLUGIN, earlier);
        }),
      );
      failures.rethrow(`the tuning of ${describeOwner(entry)}`);
    },
  };
}

export const tuning = defineChained({
  name: PLUGIN,
  about: "Warren tuning: changes a container's interface and its sysctls",
  config,
  cleanup,
  uniqueKeys: ["sysctl", "args.cni.sysctl"],

  additionOf(call): Addition | undefined {
    const plan = planOf(call.config, call.args, call.attachment.ifname);
    checkAllowed(plan.tunables);
    const isNothing = plan.tunables.length === 0 && attributeNames(plan.attributes).length === 0;
    return isNothing ? undefined : changesFor(call, plan);
  },

  async del({ network, config, attachment }): Promise<void> {
    const entry = entryOf({ network, attachment }, PLUGIN);
    const dataDir = dataDirOf(config);
    if (!storeExists(dataDir)) return;
    await endTuning(openStore(dataDir), entry, attachment.netns);
  },

  async check(call): Promise<void> {
    const { attachment } = call;
    const { ifname } = attachment;
    const plan = planOf(call.config, {}, ifname);
    requirePrevious(call.previous);
    const entry = entryOf(call, PLUGIN);
    const { row, objects } = await writtenAttachment(call, PLUGIN, plan.dataDir);
    const wanted = wantedOf(plan, objects);
    if (wanted.tunables.size === 0 && attributeNames(wanted.attributes).length === 0) return;
    if (row === undefined) throw nothingWritten(entry);
    using netns = openNetns(attachment.netns);
    const present = inNetns(netns, () => [...wanted.tunables.keys()].map(lookAt));
    for (const [index, [path, { value, spelled }]] of [...wanted.tunables].entries()) {
      const found = present[index];
      if (found?.isThere !== true) throw stateDiffers(`sysctl net/${path} is gone`);
      if (found.value === undefined) continue;
      if (spelled === undefined ? isSameValue(found.value, value) : found.value === spelled) continue;
      throw stateDiffers(`sysctl net/${path} is ${shown(found.value)}, not ${shown(spelled ?? value)}`);
    }
    if (attributeNames(wanted.attributes).length === 0) return;
    using inside = connectInside(netns);
    const link = findLink(inside, ifname);
    if (link === undefined) throw stateDiffers(`interface ${ifname} is gone from ${attachment.netns}`);
    const [difference] = attributeDifferences(link, wanted.attributes);
    if (difference === undefined) return;
    const { attribute, found } = difference;
    throw stateDiffers(`${attribute} of interface ${ifname} is ${found}, not ${difference.wanted}`);
  },

  async status({ config }): Promise<void> {
    const plan = planOf(config, {}, "IFNAME");
    checkAllowed(plan.tunables);
    await proveWritable(plan.dataDir);
    if (plan.tunables.length === 0) return;
    const missing = rehearse(() => plan.tunables.find(({ key }) => !lookAt(rehearsedPath(key)).isThere));
    if (missing === undefined) return;
    throw new CniError(
      ErrorCode.notReady,
      `the kernel has no sysctl ${shown(missing.key)} in a container's namespace`,
      "remove the key, or load the module that brings it",
    );
  },

  gc: (call) =>
    collectOneByOne(call, { plugin: PLUGIN, dataDir: dataDirOf(call.config) }, (store, row) =>
      endTuning(store, row, ""),
    ),
});

/** A value as somebody wrote it, and as the kernel spelled it after ADD, which is not known of a later one. */
interface WantedValue {
  readonly value: string;
  readonly spelled: string | undefined;
}

/** Everything that ADD set, and over it what the config says now: CHECK gets no CNI_ARGS. */
function wantedOf(
  plan: Plan,
  objects: readonly KernelObject[],
): { readonly tunables: ReadonlyMap<string, WantedValue>; readonly attributes: LinkAttributes } {
  const tunables = new Map<string, WantedValue>();
  let attributes: LinkAttributes = {};
  for (const object of objects) {
    const setting = tunedSetting(object);
    if (setting?.kind === "sysctl") {
      tunables.set(setting.what, { value: setting.after, spelled: setting.shown ?? setting.after });
    } else if (setting !== undefined) attributes = setting.after;
  }
  for (const { path, value } of plan.tunables) {
    if (tunables.get(path)?.value !== value) tunables.set(path, { value, spelled: undefined });
  }
  for (const name of attributeNames(plan.attributes)) {
    attributes = { ...attributes, [name]: plan.attributes[name] };
  }
  return { tunables, attributes };
}

/** A setting in the thread's namespace: whether it is there, and its value unless it can only be written. */
function lookAt(path: string): { readonly isThere: boolean; readonly value?: string | undefined } {
  try {
    return { isThere: true, value: readTunable(path) };
  } catch (error) {
    if (error instanceof TunableError) return { isThere: false };
    throw error;
  }
}
