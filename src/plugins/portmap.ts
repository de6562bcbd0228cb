// The plugin `portmap`: makes ports of the host lead to ports of a pod. It is called behind the plugin that gave the
// pod its addresses. A port map is a few elements of nf_tables maps; each is written down first, so that two pods
// can't want the same port, and DEL and GC need nothing but the names of the attachment.
import * as v from "valibot";
import { type Addition, type AdditionCall, defineChained } from "../attachment/addition.ts";
import { claimantName, ownerFromAlias } from "../attachment/identity.ts";
import {
  claimPorts,
  findOrphan,
  objectsFor,
  PORTMAP_PLUGIN,
  type PortClaims,
  portClaimsIn,
  tagOf,
  takeBack,
  taken,
} from "../attachment/port-entry.ts";
import { portMapping, type RequestedPort, requestedPort } from "../attachment/requested-port.ts";
import { entryOf } from "../attachment/reservation.ts";
import { dataDirOf, storeEntries } from "../attachment/settings.ts";
import { CniError, describeError, ErrorCode, stateDiffers } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import type { AttachmentKey } from "../cni/network-config.ts";
import type { Result } from "../cni/result.ts";
import type { Address, Family } from "../ip/address.ts";
import { networkOf, type Prefix, parsePrefix } from "../ip/prefix.ts";
import {
  type Entry,
  findAttachment,
  listAttachments,
  listObjects,
  listStaleEntries,
  recordAttachment,
  writtenAbout,
} from "../ledger/attachments.ts";
import { describeOwner, holderOf, type Owner } from "../ledger/owner.ts";
import { connectHost } from "../net/connection.ts";
import { forgetFlows } from "../net/connection-tracking.ts";
import { MissingFeatureError } from "../net/feature.ts";
import {
  isLoopbackLetOut,
  letLoopbackOut,
  linkTowards,
  listLoopbackClaims,
  withdrawLoopbackClaims,
} from "../net/port-map/loopback.ts";
import { describePortMap, type PortMap, portMapDetail, portMapName } from "../net/port-map/port-map.ts";
import {
  addPortMaps,
  listElements,
  openPortMapTable,
  type PortMapTable,
  PortTakenError,
  portMapDefect,
  rehearsePortMaps,
  removeElements,
  removeUnusedParts,
} from "../net/port-map/table.ts";
import { proveWritable } from "../store/heartbeat.ts";
import { inExistingStore, openStore, storeExists } from "../store/sqlite.ts";
import type { Transaction } from "../store/store.ts";

const config = v.object({
  backend: v.nullish(v.string()),
  snat: v.nullish(v.boolean()),
  masqAll: v.nullish(v.boolean()),
  markMasqBit: v.nullish(v.number()),
  externalSetMarkChain: v.nullish(v.string()),
  conditionsV4: v.nullish(v.array(v.string())),
  conditionsV6: v.nullish(v.array(v.string())),
  ...storeEntries,
  runtimeConfig: v.nullish(v.object({ portMappings: v.nullish(v.array(portMapping)) })),
});

const cleanup = v.object(storeEntries);

type Config = v.InferOutput<typeof config>;

/** What the config amounts to, worked out before the store or the kernel is touched. */
interface Plan {
  readonly ports: readonly RequestedPort[];
  /** Whose connections get an address of the host: of nobody, of everybody, or of the pod's subnet and the loopback. */
  readonly source: "none" | "all" | "subnet";
  readonly dataDir: string;
  /** What the operator should know about keys that are answered in another way. */
  readonly remarks: readonly string[];
}

/** Returns the plan of a config; throws CniError 7 (or 2 for what is not offered) naming the value. */
function planOf(config: Config): Plan {
  const backend = config.backend ?? "";
  if (backend !== "" && backend !== "iptables" && backend !== "nftables") {
    throw new CniError(
      ErrorCode.invalidConfig,
      `unrecognized backend ${shown(backend)}`,
      'expected "nftables", or "iptables", which is answered by nf_tables',
    );
  }
  refuseUnsupported(config);
  const snat = config.snat !== false;
  const mappings = config.runtimeConfig?.portMappings ?? [];
  return {
    ports: mappings.map((mapping, index) => requestedPort(mapping, index, snat)),
    source: !snat ? "none" : config.masqAll === true ? "all" : "subnet",
    dataDir: dataDirOf(config),
    remarks: [
      ...(backend === "iptables"
        ? ['backend "iptables" is answered by nf_tables elements of the same effect in table inet warren']
        : []),
      ...(!snat && config.masqAll === true ? ["masqAll has no effect with snat false"] : []),
    ],
  };
}

/** Keys of the reference plugin that would be promised and not kept. */
function refuseUnsupported(config: Config): void {
  const bit = config.markMasqBit ?? undefined;
  const external = config.externalSetMarkChain ?? undefined;
  if (bit !== undefined && external !== undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      "Cannot specify externalSetMarkChain and markMasqBit",
      "remove both: Warren marks no packets",
    );
  }
  if (bit !== undefined && !(Number.isInteger(bit) && bit >= 0 && bit <= 31)) {
    throw new CniError(
      ErrorCode.invalidConfig,
      "MasqMarkBit must be between 0 and 31",
      `"markMasqBit" is ${shown(bit)}; Warren marks no packets, so the key can go`,
    );
  }
  if (external !== undefined) {
    throw new CniError(
      ErrorCode.unsupportedField,
      `portmap: "externalSetMarkChain" is not supported: ${shown(external)} would be a chain of iptables`,
      "remove the key: connections are masqueraded without a mark",
    );
  }
  for (const key of ["conditionsV4", "conditionsV6"] as const) {
    const conditions = (config[key] ?? []).filter((token) => token !== "");
    if (conditions.length === 0) continue;
    throw new CniError(
      ErrorCode.unsupportedField,
      `portmap: "${key}" is not supported: ${shown(conditions)} would need the parser of iptables or nft`,
      "remove the key; hostIP of a port mapping limits it to one address of the host",
    );
  }
}

/** Returns the first address of each family that the interface in the container has, with its prefix length. */
function podAddresses({ ips, interfaces }: Result, ifname: string): Map<Family, Prefix> {
  const found = new Map<Family, Prefix>();
  for (const { address, interface: index } of ips) {
    const one = index === undefined ? undefined : interfaces[index];
    // an address that does not say where it is, or names what is not there, is taken for the container's
    if (one !== undefined && (one.name !== ifname || (one.sandbox ?? "") === "")) continue;
    const prefix = parsePrefix(address);
    if (prefix !== undefined && !found.has(prefix.address.family)) found.set(prefix.address.family, prefix);
  }
  return found;
}

/** Returns the port maps of an attachment by their names. Throws CniError 7 for a pod without an address. */
function portMapsOf(
  plan: Plan,
  previous: Result,
  ifname: string,
  note: (text: string) => void,
): Map<string, PortMap> {
  const addresses = podAddresses(previous, ifname);
  if (addresses.size === 0) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `prevResult has no address of interface ${shown(ifname)} that ports could lead to`,
      "give the network an IPAM plugin, or ask for no port mappings",
    );
  }
  const maps = new Map<string, PortMap>();
  for (const { families, transport, hostAddress, hostPort, targetPort } of plan.ports) {
    for (const family of families) {
      const prefix = addresses.get(family);
      if (prefix === undefined) {
        // an address of the host was asked for, and there is nothing in its family to lead to
        if (families.length === 1)
          note(
            `warren-portmap: the pod has no IPv${family} address: hostPort ${hostPort} is not mapped there`,
          );
        continue;
      }
      const source = plan.source === "subnet" ? networkOf(prefix) : plan.source;
      const target = prefix.address;
      const map: PortMap = { transport, hostAddress, hostPort, target, targetPort, source };
      const name = portMapName(map);
      const other = maps.get(name);
      if (other !== undefined && other.targetPort !== targetPort) {
        throw new CniError(
          ErrorCode.invalidConfig,
          `host port ${name} is asked for twice: for container ports ${other.targetPort} and ${targetPort}`,
          "a port of the host can lead to one place only",
        );
      }
      maps.set(name, map);
    }
  }
  return maps;
}

/** Returns what is of a network's attachments that are neither valid nor written down: a store was lost. */
async function straysAmong<Thing extends { readonly owner: Owner }>(
  store: Transaction | undefined,
  tagged: readonly Thing[],
  valid: readonly AttachmentKey[],
): Promise<Thing[]> {
  const known = tagged.length === 0 || store === undefined ? [] : await listAttachments(store);
  const isAlive = (owner: Owner) =>
    [...known.filter(({ network }) => network === owner.network), ...valid].some(
      ({ containerId, ifname }) => containerId === owner.containerId && ifname === owner.ifname,
    );
  return tagged.filter(({ owner }) => !isAlive(owner));
}

/** A flow that can't be forgotten ends by itself half a minute after its last packet, so it holds up nothing. */
function forgetUdpFlows(
  maps: Iterable<PortMap>,
  which: Parameters<typeof forgetFlows>[1],
  note: (text: string) => void,
): void {
  try {
    forgetFlows(
      [...maps].filter(({ transport }) => transport === "udp"),
      which,
    );
  } catch (error) {
    note(`warren-portmap: UDP flows that began before may go on as they were: ${describeError(error)}`);
  }
}

/** The IPv4 addresses of pods that 127.0.0.1 is to reach. */
function reachedFromLoopback(maps: Iterable<PortMap>): Address[] {
  const reached = [...maps].filter(({ source, target }) => source !== "none" && target.family === 4);
  return [...new Map(reached.map(({ target }) => [target.value, target])).values()];
}

/** Returns the host's port maps in the kernel, or undefined where it can have none. */
function openTableIfAny(): PortMapTable | undefined {
  try {
    return openPortMapTable();
  } catch (error) {
    if (error instanceof MissingFeatureError) return undefined;
    throw error;
  }
}

function portMapsFor(call: AdditionCall<Config>, plan: Plan): Addition {
  const { network, attachment, args, note } = call;
  const entry = entryOf(call, PORTMAP_PLUGIN);
  let maps: PortMap[] = [];
  let claims: PortClaims = { held: [], waiting: [] };
  return {
    dataDir: plan.dataDir,

    survey({ result }): void {
      maps = [...portMapsOf(plan, result, attachment.ifname, note).values()];
      for (const remark of plan.remarks) note(`warren-portmap: ${remark}`);
    },

    async claim(store): Promise<void> {
      const holder = holderOf(network, attachment, args);
      claims = await claimPorts(store, openPortMapTable, entry, maps, note);
      if ((await findAttachment(store, entry)) !== undefined) {
        // what an earlier ADD of the same attachment left behind
        const table = openPortMapTable();
        await takeBack(store, table, [await writtenAbout(store, entry)], note, claims.held);
      }
      await recordAttachment(store, holder, PORTMAP_PLUGIN, objectsFor(claims));
    },

    async make(result): Promise<Result> {
      const table = openPortMapTable();
      try {
        addPortMaps(table, claims.held, tagOf(entry));
      } catch (error) {
        if (!(error instanceof PortTakenError)) throw error;
        const owner = ownerFromAlias(error.owner);
        throw taken(error.map, owner === undefined ? "an element of unknown origin" : describeOwner(owner));
      }
      using host = connectHost();
      const owner = { claimant: claimantName(entry), tag: tagOf(entry) };
      // before the lock: the kernel answers when nobody changes links any more, and all others would wait with us
      const ways = reachedFromLoopback(maps).flatMap((pod) => linkTowards(host, pod) ?? []);
      if (ways.length > 0) {
        // the lock keeps a DEL from putting back meanwhile what is found here
        await openStore(plan.dataDir).transaction(async () => {
          for (const link of new Set(ways)) letLoopbackOut(table, link, owner);
        });
      }
      forgetUdpFlows(claims.held, "to others", note);
      return result;
    },

    async release(): Promise<void> {
      const table = openTableIfAny();
      await openStore(plan.dataDir).transaction(async (store) =>
        takeBack(store, table, [await writtenAbout(store, entry)], note),
      );
    },
  };
}

/** Returns what is written down for an attachment, with the first port that waits for a holder who is not there. */
async function writtenClaims(
  dataDir: string,
  entry: Entry,
): Promise<PortClaims & { readonly orphan: PortMap | undefined }> {
  return inExistingStore(
    dataDir,
    async (store) => {
      if (store === undefined) return { held: [], waiting: [], orphan: undefined };
      const claims = portClaimsIn(await listObjects(store, entry));
      return { ...claims, orphan: await findOrphan(store, entry, claims.waiting) };
    },
    "read",
  );
}

export const portmap = defineChained({
  name: PORTMAP_PLUGIN,
  about: "Warren portmap: makes ports of the host lead to ports of a container",
  config,
  cleanup,

  capability: "portMappings",

  additionOf(call): Addition | undefined {
    const plan = planOf(call.config);
    return plan.ports.length === 0 ? undefined : portMapsFor(call, plan);
  },

  async del(call): Promise<void> {
    const dataDir = dataDirOf(call.config);
    const entry = entryOf(call, PORTMAP_PLUGIN);
    const table = openTableIfAny();
    const maps = storeExists(dataDir)
      ? await openStore(dataDir).transaction(async (store) =>
          takeBack(store, table, [await writtenAbout(store, entry)], call.note),
        )
      : [];
    const tag = tagOf(entry);
    if (table !== undefined && maps.length === 0 && tag !== "") {
      // a store that was lost knows nothing, but the elements say whose they are
      removeElements(
        table,
        listElements(table).filter(({ element }) => element.comment === tag),
      );
      withdrawLoopbackClaims(table, ({ claimant }) => claimant === claimantName(entry));
    }
    forgetUdpFlows(maps, "to target", call.note);
  },

  async check(call): Promise<void> {
    const { attachment, note } = call;
    const plan = planOf(call.config);
    if (call.previous === undefined)
      throw new CniError(ErrorCode.invalidConfig, "Required prevResult missing");
    const wanted =
      plan.ports.length === 0 ? [] : portMapsOf(plan, call.previous, attachment.ifname, note).values();
    const entry = entryOf(call, PORTMAP_PLUGIN);
    const { held, waiting, orphan } = await writtenClaims(plan.dataDir, entry);
    const maps = [...held, ...waiting];
    const written = new Set(maps.map((map) => `${portMapName(map)} ${portMapDetail(map)}`));
    for (const map of wanted) {
      if (!written.has(`${portMapName(map)} ${portMapDetail(map)}`))
        throw stateDiffers(`port map ${describePortMap(map)} is not written down`);
    }
    if (orphan !== undefined)
      throw stateDiffers(`port map ${describePortMap(orphan)} waits for a port that nobody has`);
    if (maps.length === 0) return;
    const table = openPortMapTable();
    const defect = portMapDefect(table, held, tagOf(entry));
    if (defect !== undefined) throw stateDiffers(defect);
    using host = connectHost();
    if (!reachedFromLoopback(maps).every((pod) => isLoopbackLetOut(host, pod))) {
      throw stateDiffers(
        "route_localnet is off on the interface towards the pod: 127.0.0.1 does not reach it",
      );
    }
  },

  async status({ config }): Promise<void> {
    const plan = planOf(config);
    await proveWritable(plan.dataDir);
    const table = openPortMapTable();
    rehearsePortMaps(table);
  },

  async gc({ network, config, valid, note }): Promise<void> {
    const dataDir = dataDirOf(config);
    const table = openTableIfAny();
    // elements first, then the store: an ADD writes before it makes its elements, so one without an entry is nobody's
    const tagged = (table === undefined ? [] : listElements(table)).flatMap((one) => {
      const owner = ownerFromAlias(one.element.comment ?? "");
      return owner?.network === network ? [{ owner, one }] : [];
    });
    const claims = (table === undefined ? [] : listLoopbackClaims(table)).flatMap(({ claimant, tag }) => {
      const owner = ownerFromAlias(tag);
      return owner?.network === network ? [{ owner, claimant }] : [];
    });
    const collect = async (store: Transaction | undefined) => {
      const stale = store === undefined ? [] : await listStaleEntries(store, network, PORTMAP_PLUGIN, valid);
      const maps = store === undefined ? [] : await takeBack(store, table, stale, note);
      const strays = await straysAmong(store, tagged, valid);
      const strayClaims = new Set((await straysAmong(store, claims, valid)).map(({ claimant }) => claimant));
      if (table !== undefined) withdrawLoopbackClaims(table, ({ claimant }) => strayClaims.has(claimant));
      return { stale, maps, strays };
    };
    const { stale, maps, strays } = storeExists(dataDir)
      ? await openStore(dataDir).transaction(collect)
      : await collect(undefined);
    if (table !== undefined) {
      removeElements(
        table,
        strays.map(({ one }) => one),
      );
      removeUnusedParts(table);
    }
    forgetUdpFlows(maps, "to target", note);
    const gone = new Set(
      [...stale.map(({ row }) => row), ...strays.map(({ owner }) => owner)].map(describeOwner),
    );
    for (const owner of gone) note(`warren-portmap: removed the port maps of ${owner}`);
  },
});
