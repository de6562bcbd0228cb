// The plugin `delegates`: attaches a container to several networks. Each delegate is a network of its own, run as a runtime
// would run it; one of them, the master, has the interface that the runtime asks for, and its result is the answer. It
// takes multus's configs, and needs no API server: what pods ask for comes with the call, and networks are files.
import * as v from "valibot";
import {
  checkDefaultGateways,
  setDefaultGateway,
  takeDefaultGatewaysBack,
} from "../attachment/default-gateway.ts";
import { beginEntry, confirmReservation, entryOf, isLivingEntry } from "../attachment/reservation.ts";
import { storeEntries } from "../attachment/settings.ts";
import { requireWritten, writtenAttachment } from "../attachment/written.ts";
import { knownArguments } from "../cni/arguments.ts";
import { CniError, describeError, ErrorCode, Failures } from "../cni/error.ts";
import { parseInput } from "../cni/input.ts";
import { type AddCall, type AttachmentCall, type Call, definePlugin } from "../cni/plugin.ts";
import { encodeResult, type Result } from "../cni/result.ts";
import { UndoList } from "../cni/undo.ts";
import { resultVersion } from "../conflist/verbs.ts";
import { type AddedNetwork, resultOf } from "../delegation/delegated-network.ts";
import {
  configuredRequests,
  delegatesEntries,
  requestsFor,
  requireReadiness,
} from "../delegation/delegates-config.ts";
import {
  addDelegates,
  checkDelegates,
  checkDelegatesStatus,
  collectDelegates,
  deleteDelegates,
  deleteFormerDelegates,
  writeDelegate,
  writtenDelegates,
} from "../delegation/delegation.ts";
import { type AssignedRequest, assignInterfaces, networkFor } from "../delegation/network-request.ts";
import { addressOf } from "../delegation/network-selection.ts";
import { type Address, formatAddress, sameAddress } from "../ip/address.ts";
import {
  type Entry,
  forgetAttachment,
  forgetUnlessReplaced,
  recordAttachment,
} from "../ledger/attachments.ts";
import { describeOwner, holderOf, netnsIsGone } from "../ledger/owner.ts";
import { connectInside } from "../net/connection.ts";
import { openNetns } from "../net/netns.ts";
import { findLink } from "../net/veth.ts";
import { proveWritable } from "../store/heartbeat.ts";
import { DEFAULT_DATA_DIR, inExistingStore, openStore } from "../store/sqlite.ts";

const PLUGIN = "delegates";

const config = v.object({ ...storeEntries, ...delegatesEntries });

/** DEL and GC go by the store; what else they may want of the config, they read as far as it can be read. */
const cleanup = v.looseObject(storeEntries);

type Config = v.InferOutput<typeof config>;
type Cleanup = v.InferOutput<typeof cleanup>;

function dataDirOf({ dataDir }: Cleanup): string {
  return dataDir ?? DEFAULT_DATA_DIR;
}

function foldersOf({ binDir }: Pick<Config, "binDir">): string[] {
  return (binDir ?? "") === "" ? [] : [binDir ?? ""];
}

/** What one attachment is to get, worked out before anything is touched. */
interface Plan {
  readonly requests: readonly AssignedRequest[];
  /** The default routes that are asked for, and the interfaces that they are to lead over. */
  readonly gateways: readonly { readonly ifname: string; readonly gateway: Address }[];
}

/** Returns the plan of a call; throws CniError 7 and 2 for what can't be done. */
function planOf(call: AttachmentCall<Config>): Plan {
  const podNamespace = knownArguments(call.argumentText).K8S_POD_NAMESPACE;
  const requests = assignInterfaces(
    requestsFor(call, podNamespace, call.argumentText),
    call.attachment.ifname,
    call.config.firstInterfaceNumber ?? undefined,
  );
  const gateways = requests.flatMap(({ ifname, wishes, what }) =>
    wishes.defaultGateways.map((gateway) => ({ ifname, gateway, what })),
  );
  for (const family of [4, 6]) {
    const [first, second] = gateways.filter(({ gateway }) => gateway.family === family);
    if (first === undefined || second === undefined) continue;
    throw new CniError(
      ErrorCode.invalidConfig,
      `${second.what} asks for the default route of IPv${family}, and so does ${first.what}`,
      'a container has one: leave "default-route" to one of them',
    );
  }
  return { requests, gateways };
}

/** Throws CniError 106 for an address that was asked for, and that the network's plugins have not given. */
function requireWishes({ wishes, list, what }: AssignedRequest, added: AddedNetwork, path: string): void {
  const given = resultOf(added).ips.flatMap(({ address }) => addressOf(address) ?? []);
  const lacking = wishes.ips.find((text) => {
    const wanted = addressOf(text);
    return wanted !== undefined && !given.some((one) => sameAddress(one, wanted));
  });
  const { hardwareAddress } = wishes;
  // not every version's results tell hardware addresses
  const differs = hardwareAddress !== undefined && hardwareAddressOf(added.ifname, path) !== hardwareAddress;
  if (lacking === undefined && !differs) return;
  throw new CniError(
    ErrorCode.delegateFailed,
    `${what}: network ${JSON.stringify(list.name)} did not give the address ${lacking ?? hardwareAddress}`,
    `declare the capability "${lacking === undefined ? "mac" : "ips"}" for the plugin of the network that gives it`,
  );
}

function hardwareAddressOf(ifname: string, path: string): string | undefined {
  using netns = openNetns(path);
  using inside = connectInside(netns);
  return findLink(inside, ifname)?.address;
}

/** Returns what the network answered, with the default routes that it has after others were set. */
function withDefaultRoutes(added: AddedNetwork, gateways: Plan["gateways"]): AddedNetwork {
  if (gateways.length === 0) return added;
  const result = resultOf(added);
  const defaultOf = ({ family }: Address) => (family === 4 ? "0.0.0.0/0" : "::/0");
  const moved = gateways.map(({ gateway }): string => defaultOf(gateway));
  const routes = [
    ...result.routes.filter(({ dst, table }) => table !== undefined || !moved.includes(dst)),
    ...gateways
      .filter(({ ifname }) => ifname === added.ifname)
      .map(({ gateway }) => ({ dst: defaultOf(gateway), gw: formatAddress(gateway) })),
  ];
  return { ...added, result: encodeResult({ ...result, routes }, resultVersion(added.list)) };
}

/**
 * Writes the attachment down. What an earlier boot, or a namespace that is gone, left of it is DELed first. Throws CniError
 * 102 if the attachment is alive.
 */
async function begin(call: AddCall<Config>, { entry, dataDir }: Place): Promise<void> {
  const store = openStore(dataDir);
  if (!(await store.read((reader) => isLivingEntry(reader, entry)))) {
    await deleteFormerDelegates(call, { entry, dataDir });
  }
  await store.transaction(async (transaction) => {
    await beginEntry(transaction, entry);
    const holder = holderOf(call.network, call.attachment, knownArguments(call.argumentText));
    await recordAttachment(transaction, holder, PLUGIN, []);
  });
}

/** Where an attachment is written down. */
interface Place {
  readonly entry: Entry;
  readonly dataDir: string;
}

function placeOf(call: AttachmentCall<Cleanup>): Place {
  return { entry: entryOf(call, PLUGIN), dataDir: dataDirOf(call.config) };
}

async function forget({ entry, dataDir }: Place): Promise<void> {
  await inExistingStore(dataDir, async (store) => {
    if (store !== undefined) await forgetAttachment(store, entry);
  });
}

/** Adds the networks, sets the default routes, and returns the networks as they are then. */
async function addAll(
  call: AddCall<Config>,
  { requests, gateways }: Plan,
  place: Place,
  undo: UndoList,
): Promise<AddedNetwork[]> {
  const shared = {
    argumentText: call.argumentText,
    runtimeConfig: call.config.runtimeConfig ?? {},
    folders: foldersOf(call.config),
  };
  const networks = requests.map((request) => networkFor(request, shared));
  const added = await addDelegates(call, place, networks, undo);
  for (const [index, request] of requests.entries()) {
    const one = added[index];
    if (one !== undefined) requireWishes(request, one, call.attachment.netns);
  }
  if (gateways.length === 0) return added;
  using netns = openNetns(call.attachment.netns);
  const ifnames = added.map(({ ifname }) => ifname);
  for (const wanted of gateways) {
    await setDefaultGateway(netns, place, { ...wanted, ifnames }, (takeBack) => {
      undo.push("the default route", () => {
        using again = openNetns(call.attachment.netns);
        takeBack(again);
      });
    });
  }
  const told = added.map((one) => withDefaultRoutes(one, gateways));
  for (const one of told) await writeDelegate(place.entry, place.dataDir, one);
  return told;
}

/** Returns the networks that the config would give the attachment; none where it can't be read any more. */
function networksByConfig(call: AttachmentCall<Cleanup>): AddedNetwork[] {
  try {
    const what = `network config ${JSON.stringify(call.network)}`;
    const full = { ...call, config: parseInput(config, call.config, ErrorCode.invalidConfig, what) };
    const shared = { argumentText: call.argumentText, runtimeConfig: {}, folders: foldersOf(full.config) };
    return planOf(full).requests.map((request, position) => ({
      ...networkFor(request, shared),
      position,
      result: undefined,
    }));
  } catch {
    return [];
  }
}

export const delegates = definePlugin({
  name: PLUGIN,
  about: "Warren delegates: attaches a container to several networks",
  config,
  cleanup,
  // they are for the delegates, each of which knows its own
  readsArguments: false,
  keepsDigits: true,

  async add(call): Promise<Result> {
    if (call.previous !== undefined) {
      throw new CniError(
        ErrorCode.invalidConfig,
        "there is a prevResult",
        "put this plugin first: its delegates make the interfaces, and others can stand behind it",
      );
    }
    const plan = planOf(call);
    requireReadiness(call.config, ErrorCode.tryAgainLater);
    openNetns(call.attachment.netns)[Symbol.dispose]();
    const place = placeOf(call);
    const undo = new UndoList();
    await begin(call, place);
    try {
      const added = await addAll(call, plan, place, undo);
      await confirmReservation(place.entry, place.dataDir, call.attachment.netns);
      const master = added.find((_, index) => plan.requests[index]?.isMaster === true);
      if (master === undefined) throw new Error("a plan has a master");
      return resultOf(master);
    } catch (error) {
      if (await undo.run(call.note)) await forget(place);
      else call.note(`warren-${PLUGIN}: ${describeOwner(place.entry)} stays written down for DEL and GC`);
      throw error;
    }
  },

  async del(call): Promise<void> {
    const place = placeOf(call);
    const { attachment, note } = call;
    const failures = new Failures();
    const { row, objects } = await writtenAttachment(call, PLUGIN, place.dataDir);
    if (row === undefined) {
      // of an ADD before this plugin was there, or before the store was lost, what has this network's name is this
      // network's own; that nothing of it is there is no failure
      const own = networksByConfig(call).filter(({ list }) => list.name === call.network);
      await deleteDelegates(call, attachment, own).catch((error: unknown) => note(describeError(error)));
      return;
    }
    await failures.collect(() => takeDefaultGatewaysBack(row, objects));
    const written = await writtenDelegates(place.entry, place.dataDir, (error) => failures.keep(error));
    const recorded = netnsIsGone(row) ? "" : row.netns;
    const netns = attachment.netns === "" ? recorded : attachment.netns;
    await failures.collect(() => deleteDelegates(call, { ...attachment, netns }, written));
    if (!failures.any) {
      await failures.collect(() =>
        inExistingStore(place.dataDir, async (store) => {
          if (store !== undefined) await forgetUnlessReplaced(store, row);
        }),
      );
    }
    failures.rethrow(`DEL of ${describeOwner(place.entry)}`);
  },

  async check(call): Promise<void> {
    const { entry, dataDir } = placeOf(call);
    const objects = await requireWritten(call, PLUGIN, dataDir);
    const written = await writtenDelegates(entry, dataDir, (error) => {
      throw error;
    });
    await checkDelegates(call, call.attachment, written);
    using netns = openNetns(call.attachment.netns);
    using inside = connectInside(netns);
    checkDefaultGateways(inside, objects);
  },

  async status(call): Promise<void> {
    const requests = configuredRequests(call, undefined);
    requireReadiness(call.config, ErrorCode.notReady);
    await proveWritable(dataDirOf(call.config));
    const folders = foldersOf(call.config);
    await checkDelegatesStatus(
      call,
      requests.map(({ list }) => ({ list, folders })),
    );
  },

  async gc(call): Promise<void> {
    await collectDelegates(call, {
      plugin: PLUGIN,
      dataDir: dataDirOf(call.config),
      networks: ownNetworks(call),
      release: takeDefaultGatewaysBack,
    });
  },
});

/** A network that is named may have attachments of others, which are not in this network's list. */
function ownNetworks(
  call: Call<Cleanup>,
): { readonly list: AddedNetwork["list"]; readonly folders: string[] }[] {
  try {
    const what = `network config ${JSON.stringify(call.network)}`;
    const full = { ...call, config: parseInput(config, call.config, ErrorCode.invalidConfig, what) };
    const folders = foldersOf(full.config);
    return configuredRequests(full, undefined)
      .filter(({ isInline, list }) => isInline || list.name === call.network)
      .map(({ list }) => ({ list, folders }));
  } catch (error) {
    call.note(`warren-${PLUGIN}: no GC for the plugins of other networks: ${describeError(error)}`);
    return [];
  }
}
