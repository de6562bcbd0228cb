// The plugin `firewall`: lets a pod's packets through the host's forwarding, and keeps out of its bridge what its
// ingress policy says. It is called behind the plugin that made the interface. Everything is nf_tables, and every pod
// is a few elements of sets, which are written down first, so that DEL and GC need nothing but the names.
import * as v from "valibot";
import {
  type Addition,
  type AdditionCall,
  defineChained,
  type HostInterface,
  type Site,
} from "../attachment/addition.ts";
import {
  claimantOf,
  elementsOf,
  FIREWALL_PLUGIN,
  forget,
  objectsFor,
  removeOrphans,
  removeUnused,
  sourcesOf,
} from "../attachment/firewall-entry.ts";
import { ownerFromAlias } from "../attachment/identity.ts";
import { entryOf, isLivingEntry } from "../attachment/reservation.ts";
import { dataDirOf, storeEntries } from "../attachment/settings.ts";
import { nothingWritten, writtenAttachment } from "../attachment/written.ts";
import { CniError, ErrorCode, stateDiffers } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { interfaceNameProblem } from "../cni/names.ts";
import type { Result } from "../cni/result.ts";
import type { Address } from "../ip/address.ts";
import { parsePrefix } from "../ip/prefix.ts";
import { findAttachment, listStaleEntries, recordAttachment, writtenAbout } from "../ledger/attachments.ts";
import { describeOwner, holderOf, type Owner } from "../ledger/owner.ts";
import { connectHost } from "../net/connection.ts";
import { MissingFeatureError } from "../net/feature.ts";
import {
  AdminChainError,
  ensureFirewall,
  listFirewall,
  missingFromFirewall,
  type OtherForwardChain,
  otherForwardChains,
  probeFirewall,
} from "../net/firewall/firewall.ts";
import {
  addZoneSources,
  firewalldRuns,
  missingZoneSource,
  type ZoneSource,
  zoneSource,
} from "../net/firewall/firewalld.ts";
import { adminChainProblem, type FirewallElement, nameOfElement, podElement } from "../net/firewall/parts.ts";
import { BusError } from "../net/firewall/system-bus.ts";
import { findLink } from "../net/veth.ts";
import { proveWritable } from "../store/heartbeat.ts";
import { inExistingStore, openStore } from "../store/sqlite.ts";

const DEFAULT_ADMIN_CHAIN = "admin";
const DEFAULT_ZONE = "trusted";
const POLICIES = ["open", "same-bridge", "isolated"] as const;
type IngressPolicy = (typeof POLICIES)[number];

const config = v.object({
  backend: v.nullish(v.picklist(["", "nftables", "iptables", "firewalld"])),
  iptablesAdminChainName: v.nullish(v.string()),
  firewalldZone: v.nullish(v.string()),
  ingressPolicy: v.nullish(v.string()),
  ...storeEntries,
});

const cleanup = v.object(storeEntries);

type Config = v.InferOutput<typeof config>;

/** What the config amounts to. */
interface Plan {
  readonly policy: IngressPolicy;
  readonly adminChain: string;
  readonly dataDir: string;
  readonly backend: Config["backend"];
  /** The zone of firewalld that pods belong into. */
  readonly zone: string;
  /** Whether pods are put into it where firewalld runs: unless another backend is asked for, as in the reference. */
  readonly setsZone: boolean;
}

/** Returns the plan of a config; throws CniError 7 naming the value. */
function planOf(config: Config): Plan {
  const wanted = config.ingressPolicy ?? "";
  const policy = wanted === "" ? "open" : POLICIES.find((one) => one === wanted);
  if (policy === undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `unknown ingress policy: ${shown(wanted)}`,
      `"ingressPolicy" is one of ${POLICIES.join(", ")}`,
    );
  }
  const named = config.iptablesAdminChainName ?? "";
  const problem = named === "" ? undefined : adminChainProblem(named);
  if (problem !== undefined) {
    throw new CniError(ErrorCode.invalidConfig, `"iptablesAdminChainName" is ${shown(named)}`, problem);
  }
  const zone = config.firewalldZone ?? "";
  if (!isZoneName(zone)) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `"firewalldZone" is ${shown(zone)}`,
      "expected the name of a zone: letters, digits, - and _",
    );
  }
  return {
    policy,
    adminChain: named === "" ? DEFAULT_ADMIN_CHAIN : named,
    dataDir: dataDirOf(config),
    zone: zone === "" ? DEFAULT_ZONE : zone,
    backend: config.backend,
    setsZone: (config.backend ?? "") === "" || config.backend === "firewalld",
  };
}

/** True for what firewalld calls a zone by, and for nothing. */
function isZoneName(name: string): boolean {
  for (const character of name) {
    const isLetter = character.toLowerCase() >= "a" && character.toLowerCase() <= "z";
    if (!isLetter && !(character >= "0" && character <= "9") && character !== "-" && character !== "_")
      return false;
  }
  return true;
}

function podAddresses(previous: Result): Address[] {
  return previous.ips.map(({ address }) => {
    const prefix = parsePrefix(address);
    if (prefix === undefined) {
      throw new CniError(ErrorCode.decodingFailure, `prevResult has the address ${shown(address)}`);
    }
    return prefix.address;
  });
}

/** Returns the interfaces of the host that a result names, as they are; throws CniError 7 for one that is not there. */
function presentInterfaces(previous: Result, policy: IngressPolicy): HostInterface[] {
  using host = connectHost();
  return previous.interfaces.flatMap(({ name, sandbox }): HostInterface[] => {
    if ((sandbox ?? "") !== "") return [];
    const link = interfaceNameProblem(name) === undefined ? findLink(host, name) : undefined;
    if (link === undefined) {
      throw new CniError(
        ErrorCode.invalidConfig,
        `prevResult has the interface ${shown(name)}, and the host has none of that name`,
        `ingressPolicy ${policy} is kept where packets go to the pod by an interface of the host`,
      );
    }
    // the detour of a plugin that shapes traffic: no packet goes to the pod by it
    if (link.kind === "ifb") return [];
    if (link.port !== undefined) return [{ name, role: "port" }];
    return [{ name, role: link.kind === "veth" ? "pair" : "gateway" }];
  });
}

/** What the policy needs: the interfaces of the host behind which the pod is, and its port where that is a bridge. */
function policyElements({ result, planned }: Site, policy: IngressPolicy): FirewallElement[] {
  if (policy === "open") return [];
  const elements: FirewallElement[] = [];
  for (const { name, role } of planned ?? presentInterfaces(result, policy)) {
    if (role === "port") {
      if (policy === "isolated") elements.push({ set: "isolated-ports", value: name });
      continue;
    }
    // a bridge, the interface of one of its VLANs, or the end of a pair that stands alone
    elements.push({ set: "guarded", value: name });
    elements.push({ set: policy, value: name });
  }
  if (elements.some(({ set }) => set === "guarded")) return elements;
  throw new CniError(
    ErrorCode.invalidConfig,
    `ingressPolicy ${shown(policy)} needs a bridge, and prevResult has no interface of the host`,
    'chain the plugin behind one that makes a bridge or a pair, or set "ingressPolicy" to "open"',
  );
}

function asCniError(error: unknown): unknown {
  if (error instanceof AdminChainError) {
    return new CniError(
      ErrorCode.nameTaken,
      error.message,
      'choose another "iptablesAdminChainName", or make it a chain without a hook',
      { cause: error },
    );
  }
  if (error instanceof BusError) {
    const isZone = error.message.startsWith("INVALID_ZONE");
    return new CniError(
      isZone ? ErrorCode.invalidConfig : ErrorCode.ioFailure,
      `firewalld: ${error.message}`,
      isZone ? 'make the zone, or choose another "firewalldZone"' : error.errorName,
      { cause: error },
    );
  }
  return error;
}

function elementsFor(call: AdditionCall<Config>, plan: Plan): Addition {
  const { attachment, network, note } = call;
  const { dataDir } = plan;
  const entry = entryOf(call, FIREWALL_PLUGIN);
  const inZones = plan.setsZone && runsFirewalld();
  let elements: FirewallElement[] = [];
  let sources: ZoneSource[] = [];
  let isAgain = false;
  return {
    dataDir,

    survey(site): void {
      const addresses = podAddresses(site.result);
      elements = [...addresses.map(podElement), ...policyElements(site, plan.policy)];
      sources = inZones ? addresses.map((address) => zoneSource(plan.zone, address)) : [];
    },

    async claim(store): Promise<void> {
      isAgain = await isLivingEntry(store, entry);
      // a namespace that is gone took no element along
      if (!isAgain && (await findAttachment(store, entry)) !== undefined)
        await forget(store, [await writtenAbout(store, entry)]);
      const holder = holderOf(network, attachment, call.args);
      await recordAttachment(store, holder, FIREWALL_PLUGIN, objectsFor(elements, sources));
    },

    async make(result): Promise<Result> {
      try {
        // what is written down is committed now; the lock lets one after the other make rules that are not there yet
        await openStore(dataDir).transaction(async () =>
          ensureFirewall(plan.adminChain, elements, claimantOf(entry)),
        );
        addZoneSources(sources);
      } catch (error) {
        throw asCniError(error);
      }
      for (const text of remarksOf(plan, inZones)) note(`warren-firewall: ${text}`);
      return result;
    },

    async release(): Promise<void> {
      // an ADD that only repairs takes nothing away from a living pod when it fails
      if (isAgain) return;
      await openStore(dataDir).transaction(async (store) =>
        forget(store, [await writtenAbout(store, entry)]),
      );
    },
  };
}

export const firewall = defineChained({
  name: FIREWALL_PLUGIN,
  about: "Warren firewall: lets pods through, and keeps out what their ingress policy says",
  config,
  cleanup,
  readsArguments: false,

  additionOf(call): Addition {
    return elementsFor(call, planOf(call.config));
  },

  async del(call): Promise<void> {
    const { config, network, attachment } = call;
    const entry = entryOf(call, FIREWALL_PLUGIN);
    const dataDir = dataDirOf(config);
    const isOwn = (owner: Owner) =>
      owner.network === network &&
      owner.containerId === attachment.containerId &&
      owner.ifname === attachment.ifname;
    await inExistingStore(dataDir, async (store) => {
      if (store !== undefined && (await findAttachment(store, entry)) !== undefined)
        return forget(store, [await writtenAbout(store, entry)]);
      await removeOrphans(store, isOwn);
      await removeUnused(store);
    });
  },

  async check(call): Promise<void> {
    const previous = call.previous;
    if (previous === undefined) throw new CniError(ErrorCode.invalidConfig, "Required prevResult missing");
    const plan = planOf(call.config);
    const entry = entryOf(call, FIREWALL_PLUGIN);
    const { objects } = await writtenAttachment(call, FIREWALL_PLUGIN, plan.dataDir);
    if (objects.length === 0) throw nothingWritten(entry);
    const site = { result: previous, planned: undefined };
    const wanted = [...podAddresses(previous).map(podElement), ...policyElements(site, plan.policy)];
    const recorded = new Set(elementsOf(objects).map(nameOfElement));
    const unrecorded = wanted.find((element) => !recorded.has(nameOfElement(element)));
    if (unrecorded !== undefined) {
      throw stateDiffers(
        `${unrecorded.value} was not put into set ${unrecorded.set} when the attachment was made`,
      );
    }
    const missing = missingFromFirewall(plan.adminChain, elementsOf(objects), claimantOf(entry));
    if (missing !== undefined) throw stateDiffers(missing);
    try {
      const absent = missingZoneSource(sourcesOf(objects));
      if (absent !== undefined)
        throw stateDiffers(`${absent.source} is not in firewalld's zone ${absent.zone}`);
    } catch (error) {
      throw asCniError(error);
    }
  },

  async status({ network, config, note }): Promise<void> {
    const plan = planOf(config);
    await proveWritable(plan.dataDir);
    try {
      probeFirewall(plan.policy === "isolated");
    } catch (error) {
      if (!(error instanceof MissingFeatureError)) throw error;
      throw new CniError(ErrorCode.notReady, error.message, error.cure, { cause: error });
    }
    const dropping = otherForwardChains().find((other) => dropsPodsOf(network, other));
    if (dropping !== undefined) {
      throw new CniError(
        ErrorCode.limitedConnectivity,
        `chain ${dropping.name} drops every packet that the host forwards`,
        "an accept of Warren's can't overrule the drop of another chain: set its policy to accept, or let the pods' subnets pass in it",
      );
    }
    for (const text of remarksOf(plan, plan.setsZone && runningFirewalld())) note(`warren-firewall: ${text}`);
  },

  async gc({ network, config, valid, note }): Promise<void> {
    const gone: Owner[] = [];
    await inExistingStore(dataDirOf(config), async (store) => {
      if (store !== undefined) {
        const stale = await listStaleEntries(store, network, FIREWALL_PLUGIN, valid);
        await forget(store, stale);
        gone.push(...stale.map(({ row }) => row));
      }
      const isDoomed = (owner: Owner) =>
        owner.network === network &&
        !valid.some((one) => one.containerId === owner.containerId && one.ifname === owner.ifname);
      gone.push(...(await removeOrphans(store, isDoomed)));
      await removeUnused(store);
    });
    for (const owner of gone) note(`warren-firewall: removed ${describeOwner(owner)}`);
  },
});

/** True if a chain certainly drops what pods of the network send: all of it, or all of a family that they have. */
function dropsPodsOf(network: string, { effect, pods }: OtherForwardChain): boolean {
  if (effect !== "drops all") return false;
  if (pods.length === 2) return true;
  return listFirewall().some(
    ({ set, tag }) => pods.includes(set) && ownerFromAlias(tag)?.network === network,
  );
}

/** True if firewalld runs; throws CniError 5 where the bus can't say. */
function runsFirewalld(): boolean {
  try {
    return firewalldRuns();
  } catch (error) {
    throw asCniError(error);
  }
}

/** True if firewalld runs; throws CniError 50 where the bus can't say. */
function runningFirewalld(): boolean {
  try {
    return firewalldRuns();
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    throw new CniError(ErrorCode.notReady, `the system's D-Bus: ${error.message}`, error.errorName, {
      cause: error,
    });
  }
}

/** What the operator should know: how a backend is answered, and which other chains have a say. */
function remarksOf({ backend, zone }: Plan, inZones: boolean): string[] {
  const remarks: string[] = [];
  if (backend === "iptables" || backend === "firewalld") {
    const more = inZones
      ? `, and by zone ${zone} of firewalld`
      : backend === "firewalld"
        ? "; firewalld does not run"
        : "";
    remarks.push(`backend "${backend}" is answered by nf_tables rules in table inet warren${more}`);
  }
  for (const { name, effect } of otherForwardChains()) {
    if (effect !== "firewalld") {
      remarks.push(
        `the policy of chain ${name} is drop: what no rule there accepts is dropped, whatever Warren accepts`,
      );
    } else if (!inZones) {
      remarks.push(
        `chain ${name} of firewalld refuses what belongs to no zone: firewall-cmd --permanent --zone=${zone} --add-source=SUBNET for the pods' subnets`,
      );
    }
  }
  return remarks;
}
