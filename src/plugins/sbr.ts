// The plugin `sbr` (source-based routing): what a container sends from an address of an interface leaves by that
// interface, by a rule and a table for each address, so that answers go back the way that questions came. It stands behind
// the plugin that made the interface. Rules, tables and routes as they were are written down first.
import * as v from "valibot";
import { type Addition, type AdditionCall, defineChained, requirePrevious } from "../attachment/addition.ts";
import { collectEntries, endEntry, takeBackEach } from "../attachment/chained-collection.ts";
import { addressesIn, interfaceIn } from "../attachment/container-interface.ts";
import { detailOf } from "../attachment/object-detail.ts";
import { beginEntry, entryOf } from "../attachment/reservation.ts";
import { dataDirOf, storeEntries } from "../attachment/settings.ts";
import { openRecorded } from "../attachment/tuned-settings.ts";
import { nothingWritten, writtenAttachment } from "../attachment/written.ts";
import { CniError, ErrorCode, stateDiffers } from "../cni/error.ts";
import type { Result } from "../cni/result.ts";
import { type Address, type Family, formatAddress, parseAddress } from "../ip/address.ts";
import { formatPrefix, parsePrefix } from "../ip/prefix.ts";
import { type Entry, type KernelObject, listObjectsOfKind, recordAttachment } from "../ledger/attachments.ts";
import { holderOf } from "../ledger/owner.ts";
import { connectInside } from "../net/connection.ts";
import type { InterfaceAddress } from "../net/interface.ts";
import { sameLink } from "../net/link-attributes.ts";
import { type Netns, netnsIdentity, openNetns } from "../net/netns.ts";
import {
  copiedRoutes,
  endSourceRouting,
  freeTables,
  mainRoutesOf,
  probeRules,
  type SourceRouting,
  setSourceRouting,
  sourceRoutingDifference,
  spelledRoutes,
  usedTables,
} from "../net/source-routing.ts";
import { proveWritable } from "../store/heartbeat.ts";
import type { Transaction } from "../store/store.ts";

const PLUGIN = "sbr";
const KIND = "source routing";
const LARGEST_TABLE = 0xffff_ffff;

const config = v.object({
  table: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(LARGEST_TABLE))),
  gateways: v.nullish(v.array(v.string())),
  addSourceHints: v.nullish(v.boolean()),
  ...storeEntries,
});
const cleanup = v.object(storeEntries);

type Config = v.InferOutput<typeof config>;

/** What the config amounts to, worked out before the store or the kernel is touched. */
export interface Plan {
  /** A table that somebody else fills; undefined for tables of the plugin's own. */
  readonly table: number | undefined;
  /** By family; they count before those of the result. */
  readonly gateways: ReadonlyMap<Family, Address>;
  readonly hints: boolean;
  readonly dataDir: string;
}

/** Returns the plan of a config; throws CniError 7 naming the value that is wrong. */
export function planOf(config: Config): Plan {
  const gateways = new Map<Family, Address>();
  for (const text of config.gateways ?? []) {
    const gateway = parseAddress(text);
    const refuse = (message: string): never => {
      throw new CniError(ErrorCode.invalidConfig, message, "expected one address of each family at most");
    };
    if (gateway === undefined) return refuse(`invalid static gateway IP address: ${text}`);
    const other = gateways.get(gateway.family);
    if (other !== undefined) {
      refuse(
        `gateways list contains multiple IPv${gateway.family} addresses: ${formatAddress(other)} and ${text}`,
      );
    }
    gateways.set(gateway.family, gateway);
  }
  return {
    table: config.table ?? undefined,
    gateways,
    hints: config.addSourceHints === true,
    dataDir: dataDirOf(config),
  };
}

/** Returns the addresses of the interface in a result; one that says nothing of its interface is of this one. */
function addressesOf({ ips, interfaces }: Result, ifname: string): InterfaceAddress[] {
  const own = ips.filter(
    ({ interface: index }) => index === undefined || (interfaces[index]?.name ?? ifname) === ifname,
  );
  if (own.length > 0) return addressesIn(own);
  throw new CniError(
    ErrorCode.invalidConfig,
    `No IP addresses supplied on interface: ${ifname}`,
    "the plugin before this one in the chain has to give it some",
  );
}

const detailSchema = v.object({
  index: v.number(),
  sources: v.array(v.object({ address: v.string(), gateway: v.optional(v.string()), table: v.number() })),
  ownTables: v.boolean(),
  hints: v.boolean(),
  routes: v.array(v.string()),
});

/** The interface and its namespace are in the name: neither spells with spaces. */
function routingObject(ifname: string, namespace: string, routing: SourceRouting): KernelObject {
  const { index, ownTables, hints } = routing;
  const sources = routing.sources.map(({ prefix, gateway, table }) => ({
    address: formatPrefix(prefix),
    gateway: gateway === undefined ? undefined : formatAddress(gateway),
    table,
  }));
  const detail = { index, sources, ownTables, hints, routes: spelledRoutes(routing.routes) };
  return { kind: KIND, name: `${ifname} ${namespace}`, detail: JSON.stringify(detail) };
}

interface WrittenRouting extends SourceRouting {
  readonly ifname: string;
  readonly namespace: string;
}

/** Returns the routing that is written down; undefined where none is. Throws CniError 105 for one that is damaged. */
function routingIn(objects: readonly KernelObject[]): WrittenRouting | undefined {
  const object = objects.find(({ kind }) => kind === KIND);
  if (object === undefined) return undefined;
  const [ifname = "", namespace = ""] = object.name.split(" ");
  const { sources, routes, ...detail } = detailOf(detailSchema, object);
  return {
    ...{ ifname, namespace, ...detail },
    sources: sources.flatMap(({ address, gateway, table }) => {
      const prefix = parsePrefix(address);
      const by = gateway === undefined ? undefined : parseAddress(gateway);
      return prefix === undefined ? [] : [{ prefix, gateway: by, table }];
    }),
    routes: copiedRoutes(routes),
  };
}

/** Takes rules and tables away and puts the routes back, where the container lives. */
function restore(objects: readonly KernelObject[], ...paths: readonly string[]): void {
  const routing = routingIn(objects);
  // a namespace that is gone took all of it along
  using netns = routing === undefined ? undefined : openRecorded(routing.namespace, ...paths);
  if (routing === undefined || netns === undefined) return;
  using inside = connectInside(netns);
  // another interface may have the name by now
  endSourceRouting(inside, routing, sameLink(inside, routing.ifname, routing.index) !== undefined);
}

/** Restores what an entry knows of and forgets it; throws if that fails, and the entry stays for the next DEL or GC. */
async function endRouting(dataDir: string, entry: Entry, path: string): Promise<void> {
  await endEntry(dataDir, entry, ({ row, objects }) => restore(objects, path, row.netns));
}

/** The tables that other attachments of the container have, also those that they have yet to make. */
async function claimedTables(store: Transaction, namespace: string): Promise<Set<number>> {
  const objects = await listObjectsOfKind(store, KIND);
  const written = objects.filter(({ name }) => name.endsWith(` ${namespace}`));
  return new Set(
    written.flatMap((object) =>
      detailOf(detailSchema, { ...object, kind: KIND }).sources.map(({ table }) => table),
    ),
  );
}

/** What there is before anything is claimed: the interface's number and routes, and the tables that are in use. */
interface Found {
  readonly index: number;
  readonly routes: SourceRouting["routes"];
  readonly tables: ReadonlySet<number>;
}

function routingFor(call: AdditionCall<Config>, plan: Plan): Addition {
  const { network, attachment } = call;
  const { ifname } = attachment;
  const { dataDir, gateways, hints } = plan;
  const entry = entryOf(call, PLUGIN);
  let addresses: readonly InterfaceAddress[] = [];
  let found: Found = { index: 0, routes: [], tables: new Set() };
  let routing: SourceRouting | undefined;

  /** What others of this node do meanwhile is in the store: they write down their tables before they make them. */
  async function chosenRouting(store: Transaction, netns: Netns): Promise<SourceRouting> {
    const { index, routes } = found;
    if (plan.table !== undefined) {
      const { table } = plan;
      const sources = addresses.map(({ prefix }) => ({ prefix, gateway: undefined, table }));
      return { index, sources, ownTables: false, routes: [], hints: false };
    }
    const taken = await claimedTables(store, netnsIdentity(netns));
    const tables = freeTables(addresses.length, taken.union(found.tables));
    const sources = addresses.flatMap(({ prefix, gateway }, position) => {
      const table = tables[position];
      const by = gateways.get(prefix.address.family) ?? gateway;
      return table === undefined ? [] : [{ prefix, gateway: by, table }];
    });
    return { index, sources, ownTables: true, routes, hints };
  }

  return {
    dataDir,

    survey({ result }): void {
      addresses = addressesOf(result, ifname);
      using netns = openNetns(attachment.netns);
      using inside = connectInside(netns);
      const { index } = interfaceIn(inside, netns, ifname);
      found = { index, routes: mainRoutesOf(inside, index), tables: usedTables(inside) };
    },

    async claim(store): Promise<void> {
      using netns = openNetns(attachment.netns);
      await beginEntry(store, entry);
      routing = await chosenRouting(store, netns);
      await recordAttachment(store, holderOf(network, attachment, call.args), PLUGIN, [
        routingObject(ifname, netnsIdentity(netns), routing),
      ]);
    },

    make(result): Promise<Result> {
      using netns = openNetns(attachment.netns);
      using inside = connectInside(netns);
      if (routing !== undefined) setSourceRouting(inside, routing);
      return Promise.resolve(result);
    },

    release: () => endRouting(dataDir, entry, attachment.netns),
  };
}

export const sbr = defineChained({
  name: PLUGIN,
  about: "Warren sbr: lets what a container sends leave by the interface whose address it has",
  config,
  cleanup,

  additionOf(call): Addition {
    return routingFor(call, planOf(call.config));
  },

  async del({ network, config, attachment }): Promise<void> {
    await endRouting(dataDirOf(config), entryOf({ network, attachment }, PLUGIN), attachment.netns);
  },

  async check(call): Promise<void> {
    const { attachment } = call;
    const { dataDir } = planOf(call.config);
    requirePrevious(call.previous);
    const entry = entryOf(call, PLUGIN);
    const { objects } = await writtenAttachment(call, PLUGIN, dataDir);
    const routing = routingIn(objects);
    if (routing === undefined) throw nothingWritten(entry);
    using netns = openNetns(attachment.netns);
    using inside = connectInside(netns);
    if (sameLink(inside, routing.ifname, routing.index) === undefined) {
      throw stateDiffers(`interface ${attachment.ifname} is gone from ${attachment.netns}`);
    }
    const difference = sourceRoutingDifference(inside, routing);
    if (difference !== undefined) throw stateDiffers(`${difference} (interface ${attachment.ifname})`);
  },

  async status({ config }): Promise<void> {
    const { dataDir } = planOf(config);
    await proveWritable(dataDir);
    probeRules();
  },

  gc: (call) =>
    collectEntries(call, {
      plugin: PLUGIN,
      dataDir: dataDirOf(call.config),
      takeBack: (entries) => takeBackEach(entries, ({ objects, row }) => restore(objects, row.netns)),
    }),
});
