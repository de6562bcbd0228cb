// A whole chain in one process: a plugin that makes interfaces takes the configs of chained plugins as objects inside
// its own, and the capabilities that are meant for them. What they claim is written down in the one transaction that
// reserves the attachment, each under its own name, so that every other verb is theirs as it stands.
import * as v from "valibot";
import { CniError, describeError, ErrorCode, Failures } from "../cni/error.ts";
import { parseInput, shown } from "../cni/input.ts";
import { withKnownKeys } from "../cni/keys.ts";
import type { AddCall, AttachmentCall, Call, DelCall, Plugin } from "../cni/plugin.ts";
import { POD_ANNOTATIONS } from "../cni/pod-annotations.ts";
import type { Result } from "../cni/result.ts";
import { anything, optionalText } from "../cni/value.ts";
import { listObjects, pluginsOfNetwork, pluginsOfOwner } from "../ledger/attachments.ts";
import { describeOwner } from "../ledger/owner.ts";
import { openStore, storeExists } from "../store/sqlite.ts";
import type { Transaction } from "../store/store.ts";
import type { Addition, ChainedPlugin, Site } from "./addition.ts";
import { dataDirOf, type PlaceKeys, runtimeDns } from "./settings.ts";

const chainedConfig = v.nullish(v.looseObject({}));

/** The schema of the keys that hold the configs of chained plugins; each plugin checks its own. */
export const chainedEntries = {
  portmap: chainedConfig,
  bandwidth: chainedConfig,
  firewall: chainedConfig,
  tuning: chainedConfig,
  netem: chainedConfig,
  mesh: chainedConfig,
  capabilities: anything,
};

/** The schema of what runtimes hand to an interface plugin by its capabilities. */
export const runtimeConfig = v.nullish(
  v.object({
    mac: optionalText,
    dns: runtimeDns,
    portMappings: anything,
    bandwidth: anything,
    [POD_ANNOTATIONS]: anything,
  }),
);

/** The same for DEL and GC, which no mistake in a config may hold up. */
export const chainedCleanupEntries = {
  portmap: anything,
  bandwidth: anything,
  firewall: anything,
  tuning: anything,
  netem: anything,
  mesh: anything,
  capabilities: anything,
  runtimeConfig: anything,
};

/** What a chain in one process reads of the config of the plugin that it belongs to. */
export type FusedKeys = PlaceKeys & { readonly [Key in keyof typeof chainedCleanupEntries]?: unknown };

/** The additions that one attachment is to get, in the order of the chain. */
export class Additions {
  readonly #additions: readonly Addition[];

  constructor(additions: readonly Addition[]) {
    this.#additions = additions;
  }

  /** Writes all of them down; throws CniError for what can't be had. */
  async claim(store: Transaction, site: Site): Promise<void> {
    for (const addition of this.#additions) {
      addition.survey(site);
      await addition.claim(store);
    }
  }

  /** Makes all of them, and returns the result as it is then. */
  async make(result: Result): Promise<Result> {
    let latest = result;
    for (const addition of this.#additions) latest = await addition.make(latest);
    return latest;
  }

  /** Takes all of them back, the last one first, each even if another one fails. */
  async release(): Promise<void> {
    const failures = new Failures();
    for (const addition of this.#additions.toReversed()) await failures.collect(() => addition.release());
    failures.rethrow("what chained plugins added");
  }
}

/** What chained plugins made on the pair of an attachment, for the DEL of the plugin that the pair is of. */
export interface PairedParts {
  /** Links of the host: in one group with the pair they are gone when it is, for the kernel waits once for a group. */
  readonly links: readonly string[];
  /** Ends what is left when the pair is gone. Whatever fails is told by the DEL of the chain. */
  end(): Promise<void>;
}

/** A plugin that makes interfaces, to which others can add. */
export interface InterfacePlugin<Config, Cleanup> extends Omit<Plugin<Config, Cleanup>, "add" | "del"> {
  add(call: AddCall<Config>, additions: Additions): Promise<Result>;
  /** A plugin that makes no pairs need not look at `parts`. */
  del(call: DelCall<Cleanup>, parts: PairedParts): Promise<void>;
}

/** Returns the plugin as it is; it ties the types of the schemas to those of the verbs. */
export function defineInterfacePlugin<Config extends FusedKeys, Cleanup extends FusedKeys>(
  plugin: InterfacePlugin<Config, Cleanup>,
): InterfacePlugin<Config, Cleanup> {
  return plugin;
}

interface ChainedKeys {
  readonly dataDir?: string | null | undefined;
}

/** A chained plugin that is loaded only when it is asked for, and what tells whether it is. */
export interface ChainedPiece
  extends Pick<
    ChainedPlugin<ChainedKeys, ChainedKeys>,
    "name" | "capability" | "uniqueKeys" | "statusOnly" | "isOnPair"
  > {
  load(): Promise<ChainedPlugin<ChainedKeys, ChainedKeys>>;
}

/** Returns the plugin with the chained ones that its config may ask for, in the order of the chain. */
export function fused<Config extends FusedKeys, Cleanup extends FusedKeys>(
  plugin: InterfacePlugin<Config, Cleanup>,
  chain: readonly ChainedPiece[],
): Plugin<Config, Cleanup> {
  const acting = chain.filter(({ statusOnly }) => statusOnly !== true);
  const onPair = acting.filter(({ isOnPair }) => isOnPair === true).map(({ name }) => name);
  const askedBy = (call: Call<FusedKeys>, pieces: readonly ChainedPiece[] = acting) =>
    loaded(pieces.filter((one) => isAskedFor(one, call.config)));
  const concerned = (recorded: ReadonlySet<string>, call: Call<FusedKeys>) =>
    loaded(acting.filter((one) => recorded.has(one.name) || isAskedFor(one, call.config)));
  return {
    ...plugin,
    uniqueKeys: [
      ...(plugin.uniqueKeys ?? []),
      ...chain.flatMap(({ name, uniqueKeys = [] }) => uniqueKeys.map((place) => `${name}.${place}`)),
    ],

    async add(call) {
      const additions = (await askedBy(call)).flatMap(
        (chained) => chained.additionOf({ ...call, config: configOf(chained, call) }) ?? [],
      );
      return plugin.add(call, new Additions(additions));
    },

    async del(call) {
      const { plugins, links } = await recordedParts(call, onPair);
      const failures = new Failures();
      const end = async (chained: ChainedPlugin<ChainedKeys, ChainedKeys>) =>
        failures.collect(() => chained.del({ ...call, config: cleanupOf(call) }));
      const parts = (await concerned(plugins, call)).toReversed();
      const paired = parts.filter(({ name }) => onPair.includes(name));
      for (const chained of parts) if (!paired.includes(chained)) await end(chained);
      const endPaired = async () => {
        for (const chained of paired.splice(0)) await end(chained);
      };
      await failures.collect(() => plugin.del(call, { links, end: endPaired }));
      // of an interface that is no pair
      await endPaired();
      failures.rethrow(`DEL of ${describeOwner({ network: call.network, ...call.attachment })}`);
    },

    async check(call) {
      await plugin.check(call);
      for (const chained of await askedBy(call))
        await chained.check({ ...call, config: configOf(chained, call) });
    },

    async status(call) {
      await plugin.status?.(call);
      for (const chained of await askedBy(call, chain)) {
        await chained.status?.({ ...call, config: configOf(chained, call) });
      }
    },

    async gc(call) {
      const failures = new Failures();
      await failures.collect(() => plugin.gc?.(call));
      const recorded = await networkPlugins(call);
      for (const chained of await concerned(recorded, call)) {
        await failures.collect(() => chained.gc?.({ ...call, config: cleanupOf(call) }));
      }
      failures.rethrow(`GC of network ${call.network}`);
    },
  };
}

function loaded(pieces: readonly ChainedPiece[]): Promise<ChainedPlugin<ChainedKeys, ChainedKeys>[]> {
  return Promise.all(pieces.map(({ load }) => load()));
}

/** True if the config has the plugin's object, or its capability: declared, or used by the runtime. */
function isAskedFor({ name, capability }: ChainedPiece, config: FusedKeys): boolean {
  if ((valueAt(config, name) ?? null) !== null) return true;
  if (capability === undefined) return false;
  return (
    valueAt(config.capabilities, capability) === true ||
    // DEL and GC take the config as it came: its keys may be spelled as Go's JSON lets them
    (valueAt(withKnownKeys(runtimeConfig, config.runtimeConfig), capability) ?? null) !== null
  );
}

function valueAt(object: unknown, key: string): unknown {
  return typeof object === "object" && object !== null ? Reflect.get(object, key) : undefined;
}

/** Returns the config of a chained plugin; throws CniError 7 naming what is wrong in it. */
function configOf<Config extends ChainedKeys>(
  chained: ChainedPlugin<Config, ChainedKeys>,
  { network, config }: Call<FusedKeys>,
): Config {
  const { name } = chained;
  const own: unknown = valueAt(config, name);
  // all that the runtime asks for, and each takes what it knows: a `mac` asked for counts before that of tuning
  const document = { ...(typeof own === "object" ? own : {}), runtimeConfig: config.runtimeConfig };
  const what = `network config ${JSON.stringify(network)}, key ${JSON.stringify(name)}`;
  const parsed = parseInput(chained.config, document, ErrorCode.invalidConfig, what);
  const dataDir = dataDirOf(config);
  if ((parsed.dataDir ?? dataDir) !== dataDir) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `${what}: "dataDir" is ${shown(parsed.dataDir)}`,
      `one process writes to one store, and that is in ${dataDir}: remove the key, or chain the plugin`,
    );
  }
  return { ...parsed, dataDir };
}

function cleanupOf({ config }: Call<FusedKeys>): ChainedKeys {
  return { dataDir: dataDirOf(config) };
}

/** The plugins that wrote down something, and the links among what some of them did. */
interface RecordedParts {
  readonly plugins: ReadonlySet<string>;
  readonly links: readonly string[];
}

/**
 * Returns what is written down about the attachment, with the links of the plugins named `onPair`; nothing of a store
 * that can't be read.
 */
async function recordedParts(
  call: AttachmentCall<FusedKeys>,
  onPair: readonly string[],
): Promise<RecordedParts> {
  const { containerId, ifname } = call.attachment;
  const owner = { network: call.network, containerId, ifname };
  const found = await inReadable(call, async (store) => {
    const plugins = new Set(await pluginsOfOwner(store, owner));
    const links: string[] = [];
    for (const plugin of onPair) {
      if (!plugins.has(plugin)) continue;
      const objects = await listObjects(store, { ...owner, plugin });
      links.push(...objects.filter(({ kind }) => kind === "link").map(({ name }) => name));
    }
    return { plugins, links };
  });
  return found ?? { plugins: new Set(), links: [] };
}

async function networkPlugins(call: Call<FusedKeys>): Promise<ReadonlySet<string>> {
  return new Set(await inReadable(call, (store) => pluginsOfNetwork(store, call.network)));
}

async function inReadable<T>(
  { config, note }: Call<FusedKeys>,
  work: (store: Transaction) => Promise<T>,
): Promise<T | undefined> {
  const dataDir = dataDirOf(config);
  if (!storeExists(dataDir)) return undefined;
  try {
    return await openStore(dataDir).read(work);
  } catch (error) {
    // the plugin itself meets the same error, and tells it when it has done what can be done without the store
    note(`warren: what chained plugins added can't be read: ${describeError(error)}`);
    return undefined;
  }
}
