// The plugin `quickack`: lets the container's connections acknowledge every packet at once, by an attribute of its
// routes, where a pod's annotation or the config asks for it. It stands behind the plugin that made interface and
// routes. Which routes it changed is written down first, so that DEL and GC change those back and no others.
import * as v from "valibot";
import { type Addition, type AdditionCall, defineChained, requirePrevious } from "../attachment/addition.ts";
import { collectEntries, endEntry, takeBackEach } from "../attachment/chained-collection.ts";
import { interfaceIn } from "../attachment/container-interface.ts";
import { detailOf } from "../attachment/object-detail.ts";
import { beginEntry, entryOf } from "../attachment/reservation.ts";
import { dataDirOf, storeEntries } from "../attachment/settings.ts";
import { openRecorded } from "../attachment/tuned-settings.ts";
import { nothingWritten, writtenAttachment } from "../attachment/written.ts";
import { CniError, ErrorCode, stateDiffers } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { podAnnotationEntries, podAnnotations } from "../cni/pod-annotations.ts";
import type { Result } from "../cni/result.ts";
import { type Entry, type KernelObject, recordAttachment } from "../ledger/attachments.ts";
import { holderOf } from "../ledger/owner.ts";
import { connectInside } from "../net/connection.ts";
import { sameLink } from "../net/link-attributes.ts";
import { type Netns, netnsIdentity, openNetns } from "../net/netns.ts";
import {
  canAcknowledgeQuickly,
  type LeadingRoute,
  leadingRoutes,
  type RouteChoice,
  setQuick,
} from "../net/quick-acknowledgement.ts";
import { proveWritable } from "../store/heartbeat.ts";

const PLUGIN = "quickack";
const ANNOTATION = "enable-quickack";
const YES: ReadonlySet<string> = new Set(["1", "t", "true", "y", "yes"]);
const NO: ReadonlySet<string> = new Set(["", "0", "f", "false", "n", "no"]);

const config = v.object({
  enabled: v.nullish(v.boolean()),
  routes: v.nullish(v.picklist(["default", "all"])),
  ...storeEntries,
  runtimeConfig: v.nullish(v.object(podAnnotationEntries)),
});
const cleanup = v.object(storeEntries);

type Config = v.InferOutput<typeof config>;

/** What the config and the pod's annotation amount to. */
interface Plan {
  readonly enabled: boolean;
  readonly routes: RouteChoice;
  readonly dataDir: string;
  /** An annotation that means neither yes nor no. */
  readonly unknown: string | undefined;
}

/** Returns the plan of a config: the pod's annotation before the network's own key. */
function planOf(config: Config): Plan {
  const annotation = podAnnotations(config.runtimeConfig).get(ANNOTATION);
  const word = annotation?.toLowerCase();
  const isKnown = word === undefined || YES.has(word) || NO.has(word);
  return {
    enabled: word === undefined ? (config.enabled ?? false) : YES.has(word),
    routes: config.routes ?? "all",
    dataDir: dataDirOf(config),
    unknown: isKnown ? undefined : annotation,
  };
}

const detailSchema = v.object({
  index: v.number(),
  routes: v.array(v.object({ identity: v.string(), text: v.string(), advertised: v.boolean() })),
});

/** The routes that were changed, as they are written down. */
type ChangedRoutes = v.InferOutput<typeof detailSchema>;

/** The interface and its namespace are in the name: neither spells with spaces. */
function routesObject(ifname: string, namespace: string, changed: ChangedRoutes): KernelObject {
  return { kind: "quick routes", name: `${ifname} ${namespace}`, detail: JSON.stringify(changed) };
}

/** Lets the routes wait again that an entry knows of, where the container lives and the interface is the same. */
function restoreRoutes(netns: Netns, object: KernelObject): void {
  const [ifname = ""] = object.name.split(" ");
  const { index, routes } = detailOf(detailSchema, object);
  using inside = connectInside(netns);
  // another interface may have the name by now
  if (sameLink(inside, ifname, index) === undefined) return;
  setQuick(inside, index, new Set(routes.map(({ identity }) => identity)), false);
}

function restore(objects: readonly KernelObject[], ...paths: readonly string[]): void {
  for (const object of objects) {
    if (object.kind !== "quick routes") continue;
    const [, namespace = ""] = object.name.split(" ");
    // a namespace that is gone took its routes with it
    using netns = openRecorded(namespace, ...paths);
    if (netns !== undefined) restoreRoutes(netns, object);
  }
}

/** Puts back what an entry knows of and forgets it; throws if that fails, and the entry stays for the next DEL or GC. */
async function endQuickness(dataDir: string, entry: Entry, path: string): Promise<void> {
  await endEntry(dataDir, entry, ({ row, objects }) => restore(objects, path, row.netns));
}

function quicknessFor(call: AdditionCall<Config>, { routes, dataDir }: Plan): Addition {
  const { network, attachment, note } = call;
  const { ifname } = attachment;
  const entry = entryOf(call, PLUGIN);
  let index = 0;
  let found: readonly LeadingRoute[] = [];
  return {
    dataDir,

    survey(): void {
      using netns = openNetns(attachment.netns);
      using inside = connectInside(netns);
      ({ index } = interfaceIn(inside, netns, ifname));
      found = leadingRoutes(inside, index, routes).filter(({ quick }) => !quick);
      if (found.length === 0) {
        const which = routes === "default" ? "default route" : "route";
        note(`warren-quickack: no ${which} leads out of ${ifname} that has to be changed`);
      }
    },

    async claim(store): Promise<void> {
      using netns = openNetns(attachment.netns);
      await beginEntry(store, entry);
      const changed = found.map(({ identity, text, advertised }) => ({ identity, text, advertised }));
      await recordAttachment(store, holderOf(network, attachment, call.args), PLUGIN, [
        routesObject(ifname, netnsIdentity(netns), { index, routes: changed }),
      ]);
    },

    make(result): Promise<Result> {
      using netns = openNetns(attachment.netns);
      using inside = connectInside(netns);
      setQuick(inside, index, new Set(found.map(({ identity }) => identity)), true);
      return Promise.resolve(result);
    },

    release: () => endQuickness(dataDir, entry, attachment.netns),
  };
}

export const quickack = defineChained({
  name: PLUGIN,
  about: "Warren quickack: lets a container's connections acknowledge every packet at once",
  config,
  cleanup,

  additionOf(call): Addition | undefined {
    const plan = planOf(call.config);
    if (plan.unknown !== undefined) {
      call.note(
        `warren-quickack: annotation ${ANNOTATION} is ${shown(plan.unknown)}, expected yes or no: nothing is changed`,
      );
    }
    return plan.enabled ? quicknessFor(call, plan) : undefined;
  },

  async del({ network, config, attachment }): Promise<void> {
    await endQuickness(dataDirOf(config), entryOf({ network, attachment }, PLUGIN), attachment.netns);
  },

  async check(call): Promise<void> {
    const { attachment } = call;
    const plan = planOf(call.config);
    requirePrevious(call.previous);
    const entry = entryOf(call, PLUGIN);
    const { objects } = await writtenAttachment(call, PLUGIN, plan.dataDir);
    const object = objects.find(({ kind }) => kind === "quick routes");
    if (object === undefined) {
      if (!plan.enabled) return;
      throw nothingWritten(entry);
    }
    using netns = openNetns(attachment.netns);
    using inside = connectInside(netns);
    const { index, routes } = detailOf(detailSchema, object);
    if (sameLink(inside, attachment.ifname, index) === undefined) {
      throw stateDiffers(`interface ${attachment.ifname} is gone from ${attachment.netns}`);
    }
    const present = new Map(leadingRoutes(inside, index, "all").map((route) => [route.identity, route]));
    for (const { identity, text, advertised } of routes) {
      const route = present.get(identity);
      // what a router advertised it may take back
      if (route === undefined && advertised) continue;
      if (route === undefined) throw stateDiffers(`the route ${text} is gone from ${attachment.ifname}`);
      if (!route.quick) throw stateDiffers(`the route ${text} of ${attachment.ifname} has no quickack`);
    }
  },

  async status({ config }): Promise<void> {
    await proveWritable(dataDirOf(config));
    if (canAcknowledgeQuickly()) return;
    throw new CniError(
      ErrorCode.notReady,
      "the kernel has no attribute quickack for routes",
      "take warren-quickack out of the chain",
    );
  },

  gc: (call) =>
    collectEntries(call, {
      plugin: PLUGIN,
      dataDir: dataDirOf(call.config),
      takeBack: (entries) => takeBackEach(entries, ({ objects, row }) => restore(objects, row.netns)),
    }),
});
