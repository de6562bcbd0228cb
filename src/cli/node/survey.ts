// The node at a glance: its networks with what is attached to them and whether they are ready, its pools, its stores,
// its kernel, its versions. Everything is read; nothing but a network's own STATUS, which commits a heartbeat, writes.
import manifest from "../../../package.json" with { type: "json" };
import { describeError } from "../../cni/error.ts";
import { SUPPORTED_VERSIONS, versionAllows } from "../../cni/version.ts";
import type { NetworkList } from "../../conflist/network-list.ts";
import { delegateNamed } from "../../delegation/delegated-network.ts";
import { firstAddress, formatPrefix, lastAddress } from "../../ip/prefix.ts";
import { assignmentOf } from "../../ipam/leases.ts";
import { describeRange, poolName, type Range, type RangeSet, rangeOf } from "../../ipam/pool.ts";
import { type Holding, type PoolUsage, usageOf } from "../../ipam/pool-usage.ts";
import type { Event } from "../../ledger/events.ts";
import { checkStatus, type Runtime } from "../../runtime/chain.ts";
import { type ConfFile, chooseByName, readConfFolder } from "../../runtime/conf-folder.ts";
import { DEFAULT_DATA_DIR } from "../../store/sqlite.ts";
import { delegatedLists } from "../delegated-lists.ts";
import { isOurPlugin } from "../install/installation.ts";
import { dataDirsOf } from "../known-attachments.ts";
import { ipamTypeIn, rangeSetsOf } from "../pools.ts";
import { runtimeOf, type Settings } from "../settings.ts";
import { type KernelFeature, kernelRelease, surveyForwarding, surveyKernel } from "./kernel.ts";
import { type KnownLease, type NodeStore, surveyStores } from "./stores.ts";

/** A network: in a config, in a store, or in both. */
export interface NodeNetwork {
  readonly name: string;
  /** The path of its config; undefined if only a store knows it. */
  readonly file: string | undefined;
  readonly cniVersion: string;
  readonly plugins: readonly string[];
  /** Undefined for a network that can't be asked: its version has no STATUS, or it has no config. */
  readonly ready: boolean | undefined;
  /** Why it is not ready, or was not asked. */
  readonly problem: string;
  /** Interfaces of containers, and how many of them belong to containers that are gone; undefined if nobody can tell. */
  readonly attachments: number | undefined;
  readonly stale: number | undefined;
}

/** A pool of a network. */
export interface NodePool extends PoolUsage {
  readonly network: string;
  /** The ranges, as `10.88.0.2-10.88.0.254`; empty for addresses that no pool of the config has. */
  readonly pool: string;
  /** The same for people: whole subnets by their prefixes. */
  readonly ranges: string;
}

/** Everything. */
export interface NodeSurvey {
  readonly version: string;
  readonly cniVersions: readonly string[];
  readonly kernel: string;
  readonly features: readonly KernelFeature[];
  readonly forwarding: { readonly ipv4: boolean | undefined; readonly ipv6: boolean | undefined };
  readonly confFolder: string;
  readonly brokenFiles: readonly { readonly file: string; readonly problem: string }[];
  readonly networks: readonly NodeNetwork[];
  readonly pools: readonly NodePool[];
  readonly stores: readonly NodeStore[];
  /** The last calls that failed, the latest first. */
  readonly lastErrors: readonly Event[];
}

/** How many calls that failed are shown. */
const SHOWN_ERRORS = 5;

/** The node's networks and stores without asking plugins or the kernel. */
export interface NodeInventory {
  readonly lists: readonly { readonly file: ConfFile; readonly list: NetworkList }[];
  readonly brokenFiles: NodeSurvey["brokenFiles"];
  /** Where stores are, or will be. */
  readonly dataDirs: readonly string[];
  readonly stores: readonly NodeStore[];
}

/** Returns what is configured and what is written down. Throws CniError 5 if the folder can't be read. */
export async function takeInventory(settings: Settings, dataDirs: readonly string[]): Promise<NodeInventory> {
  const folder = readConfFolder(settings.confFolder);
  const lists: { file: ConfFile; list: NetworkList }[] = [];
  const brokenFiles: { file: string; problem: string }[] = [];
  const stores = new Set(dataDirs);
  for (const file of folder.files) {
    if (file.problem !== undefined) {
      brokenFiles.push({ file: file.path, problem: describeError(file.problem) });
      continue;
    }
    // the files behind it of the same name are never used
    if (file.network === undefined || chooseByName(folder, file.network.name)?.path !== file.path) continue;
    lists.push({ file, list: file.network });
    try {
      for (const dataDir of dataDirsOf(file.network)) stores.add(dataDir);
    } catch (error) {
      brokenFiles.push({ file: file.path, problem: describeError(error) });
    }
  }
  // what a plugin hands containers on to are networks of the node as well, unless they are there already
  for (const { file, list } of lists) {
    for (const delegated of delegatedLists(list)) {
      if (lists.every((one) => one.list.name !== delegated.name)) lists.push({ file, list: delegated });
      for (const dataDir of dataDirsOf(delegated)) stores.add(dataDir);
    }
  }
  return { lists, brokenFiles, dataDirs: [...stores], stores: await surveyStores(stores) };
}

/** Whether a network is ready, and if not, why. */
type Readiness = Pick<NodeNetwork, "ready" | "problem">;

const NOT_ASKED: Readiness = { ready: undefined, problem: "" };

/** Returns everything; `asking` is told which network is asked next. Throws CniError 5 if the folder of configs can't be read. */
export async function surveyNode(
  settings: Settings,
  dataDir: string = DEFAULT_DATA_DIR,
  asking: (network: string) => void = () => undefined,
): Promise<NodeSurvey> {
  const inventory = await takeInventory(settings, [dataDir]);
  const runtime: Runtime = runtimeOf(settings);
  const answers = new Map<string, Readiness>();
  for (const { list } of inventory.lists) {
    asking(list.name);
    answers.set(list.name, await readiness(runtime, list));
  }
  return describeNode(settings, inventory, surveyKernel(), answers);
}

/** Returns the inventory with what was found out about the kernel and, where they were asked, the networks. */
export function describeNode(
  settings: Settings,
  { lists, brokenFiles, stores }: NodeInventory,
  features: readonly KernelFeature[],
  answers: ReadonlyMap<string, Readiness>,
): NodeSurvey {
  const networks = lists.map(({ file, list }): NodeNetwork => {
    const { name, cniVersion } = list;
    const plugins = list.plugins.map(({ type }) => type);
    const asked = answers.get(name) ?? NOT_ASKED;
    const attached = isReadable(list, stores) ? attachedTo(name, stores) : UNKNOWN;
    return { name, file: file.path, cniVersion, plugins, ...asked, ...attached };
  });
  const known = new Set(networks.map(({ name }) => name));
  const written = stores.flatMap(({ entries, leases }) =>
    [...entries, ...leases].map(({ network }) => network),
  );
  for (const name of new Set(written)) {
    if (known.has(name)) continue;
    const by = delegatorOf(name, stores);
    const problem =
      by === undefined
        ? "no config has it: DEL and GC can't be called"
        : `containers are handed on to it by ${by}`;
    const nothing = { file: undefined, cniVersion: "", plugins: [], ready: undefined };
    networks.push({ name, ...nothing, problem, ...attachedTo(name, stores) });
  }
  const leases = stores.flatMap((store) => [...store.leases, ...store.elsewhere]);
  return {
    version: manifest.version,
    cniVersions: SUPPORTED_VERSIONS,
    kernel: kernelRelease(),
    features,
    forwarding: surveyForwarding(),
    confFolder: settings.confFolder,
    brokenFiles,
    networks,
    pools: networks.flatMap(({ name }) => {
      const list = lists.find((one) => one.list.name === name)?.list;
      // a pool of which nobody knows what is taken would pass for an empty one
      if (list !== undefined && !isReadable(list, stores)) return [];
      return poolsOf(name, list, leases, settings.pluginPath);
    }),
    stores,
    lastErrors: stores
      .flatMap(({ events }) => events.filter(({ code }) => code !== 0))
      .sort((left, right) => right.atMs - left.atMs)
      .slice(0, SHOWN_ERRORS),
  };
}

async function readiness(runtime: Runtime, list: NetworkList): Promise<Readiness> {
  if (!versionAllows(list.cniVersion === "" ? "0.1.0" : list.cniVersion, "STATUS")) {
    return { ready: undefined, problem: `cniVersion ${list.cniVersion} has no STATUS` };
  }
  try {
    await checkStatus(runtime, list);
    return { ready: true, problem: "" };
  } catch (error) {
    return { ready: false, problem: describeError(error) };
  }
}

const UNKNOWN = { attachments: undefined, stale: undefined } as const;

/** True if every store of the network's that is there can be read. */
function isReadable(list: NetworkList, stores: readonly NodeStore[]): boolean {
  try {
    const dataDirs = dataDirsOf(list);
    return stores.every(({ dataDir, problem }) => problem === "" || !dataDirs.includes(dataDir));
  } catch {
    // it does not even say right where its store is, which is told with the broken files
    return false;
  }
}

/** Returns the network that has handed containers on to the one called `name`; undefined where none has. */
function delegatorOf(name: string, stores: readonly NodeStore[]): string | undefined {
  const entries = stores.flatMap((store) => store.entries);
  return entries.find(({ objects }) =>
    objects.some((object) => object.kind === "delegate" && delegateNamed(object.name).network === name),
  )?.network;
}

function attachedTo(
  network: string,
  stores: readonly NodeStore[],
): Pick<NodeNetwork, "attachments" | "stale"> {
  const all = new Map<string, boolean>();
  for (const { entries, leases } of stores) {
    const rows = [
      ...entries,
      ...leases
        .filter(({ state }) => state !== "resting")
        .map((row) => ({ ...row, stale: row.state === "stale" })),
    ];
    for (const row of rows) {
      if (row.network !== network) continue;
      all.set(JSON.stringify([row.containerId, row.ifname]), row.stale);
    }
  }
  return { attachments: all.size, stale: [...all.values()].filter((stale) => stale).length };
}

function poolsOf(
  network: string,
  list: NetworkList | undefined,
  leases: readonly KnownLease[],
  pluginPath: readonly string[],
): NodePool[] {
  const holdings = holdingsOf(network, leases);
  const sets = list === undefined ? [] : ownSets(list, pluginPath);
  const pools = sets.map(
    (set): NodePool => ({
      network,
      pool: poolName(set),
      ranges: rangesText(set),
      ...usageOf(set, holdings),
    }),
  );
  const outside = holdings.filter(({ address }) => sets.every((set) => rangeOf(set, address) === undefined));
  if (outside.length === 0) return pools;
  const count = (state: KnownLease["state"]) =>
    BigInt(outside.filter((holding) => holding.state === state).length);
  const counts = { used: count("used"), stale: count("stale"), resting: count("resting") };
  return [
    ...pools,
    { network, pool: "", ranges: "", size: BigInt(outside.length), ...counts, reserved: 0n, free: 0n },
  ];
}

/** Returns what a network's leases hold. */
export function holdingsOf(network: string, leases: readonly KnownLease[]): Holding[] {
  const own = leases.filter((lease) => lease.network === network);
  return own.map((lease) => ({ address: assignmentOf(lease).address, state: lease.state }));
}

/** Returns the ranges of a set as a person reads them. */
export function rangesText(set: RangeSet): string {
  return set.ranges.map(rangeText).join(",");
}

/** A range that leaves out nothing but the ends of its subnet is the subnet. */
function rangeText(range: Range): string {
  const { subnet, first, last } = range;
  const isWhole =
    first.value <= firstAddress(subnet).value + 1n && last.value >= lastAddress(subnet).value - 1n;
  return isWhole ? formatPrefix(subnet) : describeRange(range);
}

/** Returns the pools that plugins of ours give out: what others have given, they alone know. */
export function ownSets(list: NetworkList, pluginPath: readonly string[]): RangeSet[] {
  const inside = delegatedLists(list).filter(({ name }) => name === list.name);
  return [list, ...inside]
    .flatMap(({ plugins }) => plugins)
    .flatMap(({ document }) => {
      const type = ipamTypeIn(document);
      if (type === undefined || !isOurPlugin(type, pluginPath)) return [];
      try {
        return [...rangeSetsOf(document)];
      } catch {
        // STATUS says what is wrong with them
        return [];
      }
    });
}
