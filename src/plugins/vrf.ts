// The plugin `vrf`: gives interfaces of a container a routing table for themselves, by making them ports of a VRF. It stands
// behind the plugin that made the interface. Several attachments of a container can share a VRF; the last one to go takes
// it along. What the kernel forgets of an interface on its way in is written down first, and put back on both ways.
import * as v from "valibot";
import { type Addition, type AdditionCall, defineChained, requirePrevious } from "../attachment/addition.ts";
import { collectOneByOne } from "../attachment/chained-collection.ts";
import { interfaceIn } from "../attachment/container-interface.ts";
import { detailOf } from "../attachment/object-detail.ts";
import { beginEntry, entryOf } from "../attachment/reservation.ts";
import { dataDirOf, storeEntries } from "../attachment/settings.ts";
import { openRecorded } from "../attachment/tuned-settings.ts";
import { nothingWritten, writtenAttachment } from "../attachment/written.ts";
import { CniError, ErrorCode, stateDiffers } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { interfaceNameProblem } from "../cni/names.ts";
import type { Result } from "../cni/result.ts";
import {
  claimantsOf,
  type Entry,
  findAttachment,
  forgetUnlessReplaced,
  type KernelObject,
  listObjects,
  listObjectsOfKind,
  recordAttachment,
  recordObjects,
} from "../ledger/attachments.ts";
import { holderOf } from "../ledger/owner.ts";
import { type Connection, connectHost, connectInside } from "../net/connection.ts";
import { sameLink } from "../net/link-attributes.ts";
import { probeLinkDriver } from "../net/link-driver.ts";
import { netnsIdentity, openNetns } from "../net/netns.ts";
import { copiedRoutes, spelledRoutes } from "../net/source-routing.ts";
import { findLink, type Link } from "../net/veth.ts";
import {
  createVrf,
  freeVrfTable,
  joinVrf,
  leaveVrf,
  missingInVrf,
  type PortState,
  portStateOf,
  prefixesOf,
  removeEmptyVrf,
  spelledPrefixes,
  usedVrfTables,
  vrfTableOf,
} from "../net/vrf.ts";
import { proveWritable } from "../store/heartbeat.ts";
import { openStore, storeExists } from "../store/sqlite.ts";
import type { Store, Transaction } from "../store/store.ts";

const PLUGIN = "vrf";
const LARGEST_TABLE = 0xffff_ffff;

const config = v.object({
  vrfname: v.nullish(v.string()),
  table: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(LARGEST_TABLE))),
  ...storeEntries,
});
const cleanup = v.object(storeEntries);

type Config = v.InferOutput<typeof config>;

/** What the config amounts to, worked out before the store or the kernel is touched. */
export interface Plan {
  readonly name: string;
  /** Undefined for that of the VRF that is there, or else the first that is free. */
  readonly table: number | undefined;
  readonly dataDir: string;
}

/** Returns the plan of a config; throws CniError 7 naming the value that is wrong. */
export function planOf(config: Config): Plan {
  const name = config.vrfname ?? "";
  const problem = interfaceNameProblem(name);
  if (problem !== undefined) {
    // clients know this message
    const message = "configuration is expected to have a valid vrf name";
    throw new CniError(ErrorCode.invalidConfig, message, `"vrfname" is ${shown(name)}: ${problem.message}`);
  }
  return {
    name,
    table: config.table === 0 ? undefined : (config.table ?? undefined),
    dataDir: dataDirOf(config),
  };
}

/** What an attachment has of a VRF, as it is written down. */
interface Membership {
  readonly vrf: string;
  readonly table: number;
  readonly ifname: string;
  readonly index: number;
  /** The namespace of both (netnsIdentity). */
  readonly namespace: string;
  readonly state: PortState;
}

const portDetail = v.object({
  vrf: v.string(),
  table: v.number(),
  index: v.number(),
  addresses: v.array(v.string()),
  routes: v.array(v.string()),
});
const vrfDetail = v.object({ made: v.boolean() });

/** Names have their namespace behind a space; neither spells with spaces. */
function portObject({ vrf, table, ifname, index, namespace, state }: Membership): KernelObject {
  const addresses = spelledPrefixes(state.addresses);
  const detail = { vrf, table, index, addresses, routes: spelledRoutes(state.routes) };
  return { kind: "vrf port", name: `${ifname} ${namespace}`, detail: JSON.stringify(detail) };
}

function vrfObject({ vrf, namespace }: Pick<Membership, "vrf" | "namespace">, made: boolean): KernelObject {
  return { kind: "vrf", name: `${vrf} ${namespace}`, detail: JSON.stringify({ made }) };
}

/** Returns what is written down; undefined if nothing is. Throws CniError 105 for what is damaged. */
function membershipIn(objects: readonly KernelObject[]): Membership | undefined {
  const object = objects.find(({ kind }) => kind === "vrf port");
  if (object === undefined) return undefined;
  const [ifname = "", namespace = ""] = object.name.split(" ");
  const { addresses, routes, ...detail } = detailOf(portDetail, object);
  return {
    ...{ ifname, namespace, ...detail },
    state: { addresses: prefixesOf(addresses), routes: copiedRoutes(routes) },
  };
}

/** Returns the VRF, if it is there; throws CniError 102 for another interface of its name, or another table. */
function findVrf(inside: Connection, { name, table }: Plan): Link | undefined {
  const link = findLink(inside, name);
  if (link === undefined) return undefined;
  const own = vrfTableOf(link);
  const refuse = (message: string, cure: string): never => {
    throw new CniError(ErrorCode.nameTaken, message, cure);
  };
  if (own === undefined)
    refuse(
      `interface ${shown(name)} is a ${link.kind || "physical"} interface, and no VRF`,
      "choose another vrfname",
    );
  if (table !== undefined && own !== table) {
    refuse(`VRF ${name} already exist with different routing table ${own}`, "leave table out, or correct it");
  }
  return link;
}

/** True if a claim of the store says that the VRF was made by one of ours, so that the last of ours removes it. */
async function isOurs(store: Transaction, object: KernelObject): Promise<boolean> {
  for (const claimant of await claimantsOf(store, object)) {
    const written = await listObjects(store, claimant);
    const claim = written.find(({ kind, name }) => kind === object.kind && name === object.name);
    if (claim !== undefined && detailOf(vrfDetail, claim).made) return true;
  }
  return false;
}

/** The tables that VRFs of the container have, also those that are yet to be made. */
async function claimedTables(store: Transaction, namespace: string): Promise<Set<number>> {
  const written = await listObjectsOfKind(store, "vrf port");
  const own = written.filter(({ name }) => name.endsWith(` ${namespace}`));
  return new Set(own.map((object) => detailOf(portDetail, { ...object, kind: "vrf port" }).table));
}

/** What there is before anything is claimed. */
interface Found {
  readonly index: number;
  readonly state: PortState;
  readonly isThere: boolean;
  /** That of the VRF, or of the config; undefined where one that is not among `tables` is to be chosen. */
  readonly table: number | undefined;
  readonly tables: ReadonlySet<number>;
}

function membershipFor(call: AdditionCall<Config>, plan: Plan): Addition {
  const { network, attachment } = call;
  const { ifname } = attachment;
  const { name, dataDir } = plan;
  const entry = entryOf(call, PLUGIN);
  let found: Found | undefined;
  let membership: Membership | undefined;
  let isMade = false;
  return {
    dataDir,

    survey(): void {
      using netns = openNetns(attachment.netns);
      using inside = connectInside(netns);
      const { master, index } = interfaceIn(inside, netns, ifname);
      const present = findVrf(inside, plan);
      const table = present === undefined ? plan.table : vrfTableOf(present);
      found = {
        ...{ index, table, isThere: present !== undefined, state: portStateOf(inside, index) },
        tables: table === undefined ? usedVrfTables(inside) : new Set(),
      };
      if (master === 0) return;
      throw new CniError(
        ErrorCode.nameTaken,
        `interface ${ifname} has already a master set`,
        "a port of a bridge or of another VRF can't become one of this VRF",
      );
    },

    async claim(store): Promise<void> {
      if (found === undefined) throw new Error("nothing was looked at before the claim");
      using netns = openNetns(attachment.netns);
      await beginEntry(store, entry);
      const namespace = netnsIdentity(netns);
      const { index, state, isThere } = found;
      isMade = !isThere || (await isOurs(store, vrfObject({ vrf: name, namespace }, false)));
      // what others of this node have yet to make is in the store
      const table = found.table ?? freeVrfTable(found.tables.union(await claimedTables(store, namespace)));
      membership = { vrf: name, table, ifname, index, namespace, state };
      const objects = [portObject(membership), vrfObject(membership, isMade)];
      await recordAttachment(store, holderOf(network, attachment, call.args), PLUGIN, objects);
    },

    async make(result): Promise<Result> {
      if (membership === undefined) return result;
      using netns = openNetns(attachment.netns);
      using inside = connectInside(netns);
      const { index, table, state } = membership;
      const present = findVrf(inside, plan);
      if (present === undefined && !isMade) {
        // it was there, and went with its last interface: this one is ours
        const own = vrfObject(membership, true);
        await openStore(dataDir).transaction((store) => recordObjects(store, entry, [own]));
      }
      if (present !== undefined && vrfTableOf(present) !== table) {
        throw new CniError(
          ErrorCode.tryAgainLater,
          `VRF ${name} was made meanwhile, with the table ${vrfTableOf(present)}`,
          "another network of the container has the same vrfname: one after the other they share it",
        );
      }
      joinVrf(inside, index, present ?? createVrf(inside, name, table), table, state);
      return result;
    },

    release: () => endMembership(openStore(dataDir), entry, attachment.netns),
  };
}

/**
 * Takes the interface out of the VRF, forgets the entry, and removes the VRF if it was made for this and there is nobody left
 * in it. Throws if that fails; the entry then stays for the next DEL or GC.
 */
async function endMembership(store: Store, entry: Entry, path: string): Promise<void> {
  const { row, objects } = await store.read(async (transaction) => ({
    row: await findAttachment(transaction, entry),
    objects: await listObjects(transaction, entry),
  }));
  if (row === undefined) return;
  const membership = membershipIn(objects);
  // a namespace that is gone took everything with it
  using netns = membership === undefined ? undefined : openRecorded(membership.namespace, path, row.netns);
  using inside = netns === undefined ? undefined : connectInside(netns);
  if (membership !== undefined && inside !== undefined) {
    const { vrf: name, ifname, index, state } = membership;
    const vrf = findLink(inside, name);
    const link = sameLink(inside, ifname, index);
    // killed before it joined, or half way through, it may be out already, and lack what it had even so
    if (link !== undefined && (link.master === 0 || link.master === vrf?.index))
      leaveVrf(inside, index, state);
  }
  await store.transaction(async (transaction) => {
    const unclaimed = await forgetUnlessReplaced(transaction, row);
    const shared = unclaimed.find(({ kind }) => kind === "vrf");
    if (membership === undefined || inside === undefined || shared === undefined) return;
    // inside the transaction, so that nobody joins between the last claim and the removal
    if (detailOf(vrfDetail, shared).made) removeEmptyVrf(inside, membership.vrf);
  });
}

export const vrf = defineChained({
  name: PLUGIN,
  about: "Warren vrf: gives interfaces of a container a routing table for themselves",
  config,
  cleanup,

  additionOf(call): Addition {
    return membershipFor(call, planOf(call.config));
  },

  async del({ network, config, attachment }): Promise<void> {
    const dataDir = dataDirOf(config);
    if (!storeExists(dataDir)) return;
    const entry = entryOf({ network, attachment }, PLUGIN);
    await endMembership(openStore(dataDir), entry, attachment.netns);
  },

  async check(call): Promise<void> {
    const { attachment } = call;
    const plan = planOf(call.config);
    requirePrevious(call.previous);
    const entry = entryOf(call, PLUGIN);
    const { objects } = await writtenAttachment(call, PLUGIN, plan.dataDir);
    const membership = membershipIn(objects);
    if (membership === undefined) throw nothingWritten(entry);
    const { ifname, index, table, state } = membership;
    using netns = openNetns(attachment.netns);
    using inside = connectInside(netns);
    const link = sameLink(inside, ifname, index);
    if (link === undefined) throw stateDiffers(`interface ${ifname} is gone from ${attachment.netns}`);
    const own = findLink(inside, plan.name);
    if (own === undefined) throw stateDiffers(`VRF ${plan.name} is gone`);
    if (!own.up) throw stateDiffers(`VRF ${plan.name} is down`);
    const found = vrfTableOf(own);
    if (found !== table) throw stateDiffers(`VRF ${plan.name} has the table ${found}, not ${table}`);
    if (link.master !== own.index) throw stateDiffers(`interface ${ifname} is no port of VRF ${plan.name}`);
    const lacking = missingInVrf(inside, index, table, state);
    if (lacking !== undefined) throw stateDiffers(`interface ${ifname} lacks ${lacking}`);
  },

  async status({ config }): Promise<void> {
    const { dataDir } = planOf(config);
    await proveWritable(dataDir);
    using host = connectHost();
    probeLinkDriver(host, "vrf");
  },

  gc: (call) =>
    collectOneByOne(call, { plugin: PLUGIN, dataDir: dataDirOf(call.config) }, (store, row) =>
      endMembership(store, row, ""),
    ),
});
