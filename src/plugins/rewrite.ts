// The plugin `rewrite`: stands behind the plugin that makes the interface and reports other addresses than that one
// gave, while packets go on by the real ones. It touches neither interface nor route, only what the runtime is told.
import * as v from "valibot";
import { collectEntries } from "../attachment/chained-collection.ts";
import { entryOf } from "../attachment/reservation.ts";
import { requireWritten } from "../attachment/written.ts";
import { CniError, ErrorCode, stateDiffers } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { type AddCall, type CheckCall, definePlugin } from "../cni/plugin.ts";
import type { AttachedAddress, Result } from "../cni/result.ts";
import { optionalPath } from "../cni/value.ts";
import { parseAddress } from "../ip/address.ts";
import { formatPrefix, networkOf, parsePrefix } from "../ip/prefix.ts";
import {
  checkReady,
  collectAddresses,
  giveAddresses,
  type Place,
  takeAddressesBack,
} from "../ipam/allocation.ts";
import { parseRangeSets, poolSchema, type RangeSet } from "../ipam/pool.ts";
import { checkOnePerFamily, noRanges } from "../ipam/request.ts";
import { forgetAttachment, kernelObject, recordAttachment } from "../ledger/attachments.ts";
import { holderOf } from "../ledger/owner.ts";
import { connectInside } from "../net/connection.ts";
import { missingAddresses } from "../net/interface.ts";
import { openNetns } from "../net/netns.ts";
import { findLink } from "../net/veth.ts";
import { proveWritable } from "../store/heartbeat.ts";
import { DEFAULT_DATA_DIR, openStore, storeExists } from "../store/sqlite.ts";

const PLUGIN = "rewrite";

/** What is reported unless the config says otherwise. */
const DEFAULT_ADDRESS = { address: "1.2.3.4/24", gateway: "1.2.3.1" } as const;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const addressSchema = v.object({ address: v.string(), gateway: v.nullish(v.string()) });

const config = v.object({
  addresses: v.nullish(
    v.pipe(
      v.array(addressSchema),
      v.check((list) => list.length > 0, "at least one address"),
    ),
  ),
  pool: v.nullish(
    v.strictObject({
      ...poolSchema.entries,
      order: v.nullish(v.picklist(["round-robin", "lowest"])),
      cooldownSeconds: v.nullish(count),
    }),
  ),
  mode: v.nullish(v.picklist(["replace", "append", "annotate-only"])),
  compatNetworkAddress: v.nullish(v.boolean()),
  checkReal: v.nullish(v.boolean()),
  dataDir: optionalPath,
});
const cleanup = v.object({
  // where the store is must be said right; all else may have gone bad since the ADD
  dataDir: optionalPath,
  pool: v.fallback(v.nullish(v.object({ cooldownSeconds: v.fallback(v.nullish(count), 0) })), undefined),
});

type Config = v.InferOutput<typeof config>;

/** What the config amounts to. */
interface Plan {
  readonly mode: "replace" | "append" | "annotate-only";
  /** The addresses that every attachment reports; none where a pool gives each its own. */
  readonly fixed: readonly Reported[];
  readonly sets: readonly RangeSet[];
  readonly order: "round-robin" | "lowest";
  /** True if the address is told with the bits of the host cut off. */
  readonly networkOnly: boolean;
  /** True if something is written down. */
  readonly writes: boolean;
}

/** An address as a result has it, without an interface. */
type Reported = Omit<AttachedAddress, "interface">;

/** Returns the plan of a config; throws CniError 7 naming the value. */
function planOf(config: Config): Plan {
  const pool = config.pool ?? undefined;
  if (pool !== undefined && (config.addresses ?? undefined) !== undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      'both "addresses" and "pool" are given',
      "every attachment reports the same addresses, or each its own: remove one of the two",
    );
  }
  const sets = pool === undefined ? [] : parseRangeSets(pool);
  if (pool !== undefined && sets.length === 0) throw noRanges('pool needs "subnet" or "ranges"');
  const mode = config.mode ?? "replace";
  return {
    mode,
    fixed: pool === undefined ? (config.addresses ?? [DEFAULT_ADDRESS]).map(reportedOf) : [],
    sets,
    order: pool?.order ?? "round-robin",
    networkOnly: config.compatNetworkAddress ?? false,
    writes: pool !== undefined || mode === "annotate-only" || config.checkReal === true,
  };
}

function reportedOf({ address, gateway }: v.InferOutput<typeof addressSchema>): Reported {
  const prefix = parsePrefix(address);
  if (prefix === undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `the address ${shown(address)} is not in CIDR notation`,
      "expected one such as 1.2.3.4/24 or fd00::4/64",
    );
  }
  const text = formatPrefix(prefix);
  if ((gateway ?? "") === "") return { address: text };
  if (parseAddress(gateway ?? "")?.family !== prefix.address.family) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `the gateway ${shown(gateway)} of ${text} is no address of its family`,
      `expected an IPv${prefix.address.family} address`,
    );
  }
  return { address: text, gateway: gateway ?? "" };
}

/** Returns the address with the bits of the host cut off, as the original plugin reports it by mistake. */
function cut({ address, ...others }: Reported): Reported {
  const prefix = parsePrefix(address);
  return { ...others, address: prefix === undefined ? address : formatPrefix(networkOf(prefix)) };
}

/**
 * The number of the container's interface in a result: the one of CNI_IFNAME, else the first in a container. Undefined
 * where the result has none: a number that leads nowhere makes runtimes refuse the whole result.
 */
function interfaceIndex({ interfaces }: Result, ifname: string): number | undefined {
  const inside = interfaces.flatMap(({ name, sandbox }, index) =>
    (sandbox ?? "") === "" ? [] : [{ name, index }],
  );
  return (inside.find(({ name }) => name === ifname) ?? inside[0])?.index;
}

function requirePrevious(previous: Result | undefined): Result {
  if (previous !== undefined) return previous;
  throw new CniError(
    ErrorCode.invalidConfig,
    "must be used as a chained plugin",
    "there is no prevResult: put this plugin behind the one that makes the interface",
  );
}

/** The oldest results have room for one address of each family. */
function checkRoom(plan: Plan, previous: Result, cniVersion: string): void {
  const addresses = [...(plan.mode === "append" ? previous.ips : []), ...plan.fixed];
  const fixed = addresses.flatMap(({ address }) => {
    const prefix = parsePrefix(address);
    return prefix === undefined
      ? []
      : [{ address: prefix.address, prefixLength: prefix.length, gateway: undefined }];
  });
  checkOnePerFamily(plan.sets, fixed, cniVersion);
}

/**
 * Leases of reported addresses stand under a name that no network can have: the real addresses of the same attachment
 * are leased under the network's own.
 */
function reportedNetwork(network: string): string {
  return `${network}/reported`;
}

function placeOf(config: v.InferOutput<typeof cleanup>): Place {
  const cooldownMs = (config.pool?.cooldownSeconds ?? 0) * 1000;
  return { plugin: PLUGIN, dataDir: config.dataDir ?? DEFAULT_DATA_DIR, cooldownMs };
}

/** Leases the reported addresses where they are a pool's, writes down what DEL and CHECK need, and returns them. */
async function reserve(call: AddCall<Config>, plan: Plan, previous: Result): Promise<readonly Reported[]> {
  const { network, config, attachment, args } = call;
  const place = placeOf(config);
  if (!plan.writes) return plan.fixed;
  return openStore(place.dataDir).transaction(async (store) => {
    const { sets, order } = plan;
    const request = { sets, order, fixed: [], requested: [], routes: [], dns: {} };
    const leased =
      sets.length === 0
        ? plan.fixed
        : (await giveAddresses({ ...call, network: reportedNetwork(network) }, place, request)).ips;
    const told = plan.networkOnly ? leased.map(cut) : leased;
    // an ADD that comes again may have another config
    await forgetAttachment(store, entryOf(call, PLUGIN));
    await recordAttachment(store, holderOf(network, attachment, args), PLUGIN, [
      ...told.map(({ address }) => kernelObject("reported address", address)),
      ...realAddresses(previous, attachment.ifname).map((text) => kernelObject("real address", text)),
    ]);
    return leased;
  });
}

/** The addresses of the container's interface as the plugin before gave them; all, where the result has no interfaces. */
function realAddresses(previous: Result, ifname: string): string[] {
  const index = interfaceIndex(previous, ifname);
  return previous.ips
    .filter((ip) => ip.interface === undefined || index === undefined || ip.interface === index)
    .map(({ address }) => address);
}

/** Throws CniError 103 unless the container's interface has the addresses that it had when it was added. */
function checkReal({ attachment }: CheckCall<Config>, real: readonly string[]): void {
  const { ifname } = attachment;
  using netns = openNetns(attachment.netns);
  using inside = connectInside(netns);
  const link = findLink(inside, ifname);
  if (link === undefined) throw stateDiffers(`interface ${ifname} is gone from ${attachment.netns}`);
  const [lacking] = missingAddresses(
    inside,
    link.index,
    real.flatMap((text) => parsePrefix(text) ?? []),
  );
  if (lacking !== undefined)
    throw stateDiffers(`interface ${ifname} lacks the address ${formatPrefix(lacking)}`);
}

export const rewrite = definePlugin({
  name: PLUGIN,
  about: "Warren rewrite: reports other addresses than the container has",
  config,
  cleanup,

  async add(call): Promise<Result> {
    const plan = planOf(call.config);
    const previous = requirePrevious(call.previous);
    checkRoom(plan, previous, call.cniVersion);
    const addresses = await reserve(call, plan, previous);
    if (plan.mode === "annotate-only") return previous;
    const index = interfaceIndex(previous, call.attachment.ifname);
    const reported = (plan.networkOnly ? addresses.map(cut) : addresses).map((one) => ({
      ...(index === undefined ? {} : { interface: index }),
      ...one,
    }));
    return { ...previous, ips: plan.mode === "append" ? [...previous.ips, ...reported] : reported };
  },

  async del(call): Promise<void> {
    const place = placeOf(call.config);
    if (!storeExists(place.dataDir)) return;
    const { network } = call;
    await openStore(place.dataDir).transaction(async (store) => {
      await takeAddressesBack({ ...call, network: reportedNetwork(network) }, place);
      await forgetAttachment(store, entryOf(call, PLUGIN));
    });
  },

  async check(call): Promise<void> {
    const plan = planOf(call.config);
    const previous = requirePrevious(call.previous);
    const written = plan.writes ? await writtenAbout(call) : undefined;
    const wanted =
      written?.reported ??
      (plan.networkOnly ? plan.fixed.map(cut) : plan.fixed).map(({ address }) => address);
    if (plan.mode !== "annotate-only") {
      const present = previous.ips.map(({ address }) => address);
      const lacking = wanted.find((address) => !present.includes(address));
      if (lacking !== undefined) {
        throw stateDiffers(
          `the result has ${present.join(", ") || "no address"}, and not ${lacking}, which is reported`,
        );
      }
    }
    if (call.config.checkReal === true) checkReal(call, written?.real ?? []);
  },

  async status(call): Promise<void> {
    const { sets, writes } = planOf(call.config);
    const place = placeOf(call.config);
    if (sets.length > 0) await checkReady({ ...call, network: reportedNetwork(call.network) }, place, sets);
    else if (writes) await proveWritable(place.dataDir);
  },

  async gc(call): Promise<void> {
    const place = placeOf(call.config);
    if (!storeExists(place.dataDir)) return;
    await collectEntries(call, {
      plugin: PLUGIN,
      dataDir: place.dataDir,
      // nothing of it is in the kernel
      takeBack: () => [],
      also: () => collectAddresses({ ...call, network: reportedNetwork(call.network) }, place),
    });
  },
});

/** Returns what ADD wrote down; throws CniError 103 if that is nothing. */
async function writtenAbout(
  call: CheckCall<Config>,
): Promise<{ readonly reported: readonly string[]; readonly real: readonly string[] }> {
  const objects = await requireWritten(call, PLUGIN, placeOf(call.config).dataDir);
  const namesOf = (wanted: string) => objects.filter(({ kind }) => kind === wanted).map(({ name }) => name);
  return { reported: namesOf("reported address"), real: namesOf("real address") };
}
