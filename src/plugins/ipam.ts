// The plugin `ipam`: gives addresses to attachments out of the ranges of its config, or the fixed ones that the
// config names, and remembers who has which in the node's store. It touches no namespace and no interface.
import * as v from "valibot";
import type { CniArguments } from "../cni/arguments.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { definePlugin } from "../cni/plugin.ts";
import { dnsOf, dnsSchema, type Result, routeSchema, routesOf } from "../cni/result.ts";
import { compareVersions } from "../cni/version.ts";
import { type Address, type Family, formatAddress, parseAddress } from "../ip/address.ts";
import { contains, formatPrefix, networkOf, parsePrefix } from "../ip/prefix.ts";
import {
  assignmentOf,
  countLeases,
  describeHolder,
  exhaustedSets,
  type LeaseRow,
  lease,
  leasesOf,
  listStaleLeases,
  release,
} from "../ipam/leases.ts";
import {
  type Assignment,
  assignedPrefix,
  describeRangeSet,
  parseRangeSets,
  poolSchema,
  type RangeSet,
  rangeSchema,
} from "../ipam/pool.ts";
import { readResolverConfig } from "../ipam/resolver-config.ts";
import { holderOf } from "../ledger/owner.ts";
import { beat } from "../store/heartbeat.ts";
import { DEFAULT_DATA_DIR, openStore, storeExists } from "../store/sqlite.ts";

const absolutePath = v.pipe(
  v.string(),
  v.check((path) => path.startsWith("/") && !path.includes("\0"), "an absolute path"),
);
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

const ipamSchema = v.strictObject({
  type: v.string(),
  ...poolSchema.entries,
  addresses: v.nullish(v.array(v.strictObject({ address: v.string(), gateway: v.nullish(v.string()) }))),
  routes: v.nullish(v.array(routeSchema)),
  dns: v.nullish(dnsSchema),
  resolvConf: v.nullish(v.string()),
  dataDir: v.nullish(absolutePath),
  order: v.nullish(v.picklist(["round-robin", "lowest"])),
  cooldownSeconds: v.nullish(count),
});

const config = v.object({
  ipam: v.nullish(ipamSchema),
  runtimeConfig: v.nullish(
    v.object({
      ips: v.nullish(v.array(v.string())),
      ipRanges: v.nullish(v.array(v.array(rangeSchema))),
    }),
  ),
  args: v.nullish(v.object({ cni: v.nullish(v.object({ ips: v.nullish(v.array(v.string())) })) })),
});

const cleanup = v.object({
  // where the store is must be said right; all else may have gone bad since the ADD
  ipam: v.nullish(
    v.object({ dataDir: v.nullish(absolutePath), cooldownSeconds: v.fallback(v.nullish(count), 0) }),
  ),
});

type Config = v.InferOutput<typeof config>;
type IpamConfig = v.InferOutput<typeof ipamSchema>;

/** What the config amounts to, worked out before the store is touched. */
interface Plan {
  readonly ipam: IpamConfig;
  readonly sets: readonly RangeSet[];
  readonly requested: readonly Address[];
  readonly fixed: readonly Assignment[];
}

/** Returns the plan of a config; throws CniError 7 naming the value that is wrong. */
function planOf(config: Config, args: CniArguments, cniVersion: string): Plan {
  const { ipam } = config;
  if (ipam === null || ipam === undefined) {
    // clients compare this message whole
    throw new CniError(ErrorCode.invalidConfig, "IPAM config missing 'ipam' key");
  }
  const ranges = [...(config.runtimeConfig?.ipRanges ?? []), ...(ipam.ranges ?? [])];
  const sets = parseRangeSets({ ...ipam, ranges });
  const asked = requestedTexts(config, args);
  const fixedTexts = ipam.addresses ?? [];
  if (sets.length === 0 && fixedTexts.length === 0 && asked.length === 0) {
    throw new CniError(
      ErrorCode.invalidConfig,
      "no IP ranges specified",
      'ipam needs "subnet", "ranges" or "addresses"',
    );
  }
  // without a pool a requested address replaces the config's own and has to bring its prefix length
  const fixed =
    sets.length > 0 || asked.length === 0
      ? fixedTexts.map((one) => fixedAddress(one.address, one.gateway ?? "", "address"))
      : asked.map((text) => fixedAddress(text, args.GATEWAY ?? "", "ips"));
  checkOnePerFamily(sets, fixed, cniVersion);
  return { ipam, sets, fixed, requested: sets.length === 0 ? [] : asked.map(requestedAddress) };
}

/** The first source that names an address is the only one that counts: runtimeConfig, args, CNI_ARGS. */
function requestedTexts(config: Config, args: CniArguments): readonly string[] {
  const fromRuntime = config.runtimeConfig?.ips ?? [];
  if (fromRuntime.length > 0) return fromRuntime;
  const fromArgs = config.args?.cni?.ips ?? [];
  if (fromArgs.length > 0) return fromArgs;
  return (args.IP ?? "").split(",").filter((text) => text !== "");
}

/** A prefix length in a request is let pass and ignored, as in host-local: the pool has its own. */
function requestedAddress(text: string): Address {
  const slash = text.indexOf("/");
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined || (slash >= 0 && parsePrefix(text) === undefined)) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `requested ip ${shown(text)} is not an IP address`,
      "expected an address of the pool, such as 10.1.0.7 or 10.1.0.7/16",
    );
  }
  return address;
}

function fixedAddress(text: string, gatewayText: string, key: "address" | "ips"): Assignment {
  const prefix = parsePrefix(text);
  if (prefix === undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      key === "address"
        ? `the 'address' field is expected to be in CIDR notation, got: '${text}'`
        : `an entry in the 'ips' field is NOT in CIDR notation, got: '${text}'`,
    );
  }
  const network = networkOf(prefix);
  if (gatewayText === "") return { address: prefix.address, prefixLength: prefix.length, gateway: undefined };
  const gateway = parseAddress(gatewayText);
  if (gateway === undefined || !contains(network, gateway)) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `invalid gateway address: ${gatewayText}`,
      `expected an address in ${formatPrefix(network)}`,
    );
  }
  return { address: prefix.address, prefixLength: prefix.length, gateway };
}

/** Results below 0.3.0 have room for one address of each family. */
function checkOnePerFamily(
  sets: readonly RangeSet[],
  fixed: readonly Assignment[],
  cniVersion: string,
): void {
  if (compareVersions(cniVersion, "0.3.0") >= 0) return;
  const families: Family[] = [
    ...sets.map(({ family }) => family),
    ...fixed.map(({ address }) => address.family),
  ];
  if (new Set(families).size === families.length) return;
  // clients compare this message whole
  throw new CniError(
    ErrorCode.invalidConfig,
    `CNI version ${cniVersion} does not support more than 1 address per family`,
  );
}

function cooldownMs(
  ipam: { readonly cooldownSeconds?: number | null | undefined } | null | undefined,
): number {
  return (ipam?.cooldownSeconds ?? 0) * 1000;
}

function describeLease(row: LeaseRow): string {
  return `${formatAddress(assignmentOf(row).address)} of ${describeHolder(row)}`;
}

export const ipam = definePlugin({
  name: "ipam",
  about: "Warren ipam: addresses out of ranges or fixed ones, remembered in the node's store",
  config,
  cleanup,

  async add({ network, cniVersion, config, attachment, args }): Promise<Result> {
    const plan = planOf(config, args, cniVersion);
    const dns =
      (plan.ipam.resolvConf ?? "") === ""
        ? dnsOf(plan.ipam.dns)
        : readResolverConfig(plan.ipam.resolvConf ?? "");
    const assignments = await openStore(dataDirOf(plan.ipam)).transaction((store) =>
      lease(store, holderOf(network, attachment, args), {
        sets: plan.sets,
        requested: plan.requested,
        fixed: plan.fixed,
        order: plan.ipam.order ?? "round-robin",
        cooldownMs: cooldownMs(plan.ipam),
      }),
    );
    return {
      interfaces: [],
      ips: assignments.map((assignment) => ({
        address: formatPrefix(assignedPrefix(assignment)),
        ...(assignment.gateway === undefined ? {} : { gateway: formatAddress(assignment.gateway) }),
      })),
      routes: routesOf(plan.ipam.routes),
      dns,
    };
  },

  async del({ network, config, attachment }): Promise<void> {
    const dataDir = dataDirOf(config.ipam);
    // a store that was never made holds nothing, and DEL is no reason to make one
    if (!storeExists(dataDir)) return;
    await openStore(dataDir).transaction(async (store) => {
      for (const row of await leasesOf(store, { network, ...attachment })) {
        await release(store, row, cooldownMs(config.ipam));
      }
    });
  },

  async check({ network, config, attachment, previous }): Promise<void> {
    const held = await openStore(dataDirOf(config.ipam)).transaction((store) =>
      leasesOf(store, { network, ...attachment }),
    );
    const who = `container ${attachment.containerId}, interface ${attachment.ifname} of network ${network}`;
    if (held.length === 0) {
      throw new CniError(
        ErrorCode.stateDiffers,
        `no address is leased to ${who}`,
        "DEL it, and ADD it again",
      );
    }
    if (previous === undefined) return;
    const reported = new Set(previous.ips.map(({ address }) => address));
    for (const row of held) {
      const address = formatPrefix(assignedPrefix(assignmentOf(row)));
      if (reported.has(address)) continue;
      throw new CniError(
        ErrorCode.stateDiffers,
        `${who} holds the address ${address}, which its result does not have`,
        `the result has ${[...reported].join(", ") || "none"}; DEL it, and ADD it again`,
      );
    }
  },

  async status({ network, config, cniVersion }): Promise<void> {
    const { sets, ipam } = planOf({ ...config, runtimeConfig: null, args: null }, {}, cniVersion);
    const exhausted = await openStore(dataDirOf(ipam)).transaction(async (store) => {
      await beat(store);
      return { sets: await exhaustedSets(store, network, sets), held: await countLeases(store, network) };
    });
    const [first] = exhausted.sets;
    if (first === undefined) return;
    throw new CniError(
      ErrorCode.notReady,
      `no free addresses in ${first.ranges.map(({ subnet }) => formatPrefix(subnet)).join(", ")}`,
      `network ${network} holds ${exhausted.held} addresses; the set is ${describeRangeSet(first)}: run "warren gc", or widen the range`,
    );
  },

  async gc({ network, config, valid, note }): Promise<void> {
    if (valid === undefined) {
      note(`warren-ipam: no list of valid attachments came for network ${network}: nothing is collected`);
      return;
    }
    const dataDir = dataDirOf(config.ipam);
    if (!storeExists(dataDir)) return;
    const stale = await openStore(dataDir).transaction(async (store) => {
      const rows = await listStaleLeases(store, network, valid);
      for (const row of rows) await release(store, row, cooldownMs(config.ipam));
      return rows;
    });
    for (const row of stale) note(`warren-ipam: network ${network}: released ${describeLease(row)}`);
    if (stale.length > 0) note(`warren-ipam: network ${network}: ${stale.length} leases released`);
  },
});

function dataDirOf(ipam: { readonly dataDir?: string | null | undefined } | null | undefined): string {
  return ipam?.dataDir ?? DEFAULT_DATA_DIR;
}
