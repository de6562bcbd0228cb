// The plugin `ipam`: gives addresses to attachments out of the ranges of its config, or the fixed ones that the
// config names, and remembers who has which in the node's store. It touches no namespace and no interface.
import * as v from "valibot";
import { dataDirOf } from "../attachment/settings.ts";
import type { CniArguments } from "../cni/arguments.ts";
import { definePlugin } from "../cni/plugin.ts";
import { dnsOf, dnsSchema, type Result, routeSchema, routesOf } from "../cni/result.ts";
import { anything, optionalCount, optionalPath, optionalText } from "../cni/value.ts";
import { formatPrefix, networkOf } from "../ip/prefix.ts";
import {
  type AddressPlan,
  checkAddresses,
  checkReady,
  collectAddresses,
  giveAddresses,
  type Place,
  sharedOf,
  takeAddressesBack,
} from "../ipam/allocation.ts";
import { type Assignment, assignedPrefix, parseRangeSets, poolSchema, type RangeSet } from "../ipam/pool.ts";
import {
  checkOnePerFamily,
  fixedAddress,
  gatewayAddress,
  invalidGateway,
  noRanges,
  reaches,
  requestEntries,
  requestedAddress,
  requireIpam,
  runtimeBrings,
} from "../ipam/request.ts";
import { readResolverConfig } from "../ipam/resolver-config.ts";

const ipamSchema = v.strictObject({
  type: v.string(),
  ...poolSchema.entries,
  addresses: v.nullish(v.array(v.strictObject({ address: v.string(), gateway: optionalText }))),
  routes: v.nullish(v.array(routeSchema)),
  dns: v.nullish(dnsSchema),
  resolvConf: optionalText,
  dataDir: optionalPath,
  store: anything,
  order: v.nullish(v.picklist(["round-robin", "lowest"])),
  cooldownSeconds: optionalCount,
});

const config = v.object({ ...requestEntries, ipam: v.nullish(ipamSchema) });

const cleanup = v.object({
  // where the store is must be said right; all else may have gone bad since the ADD
  dataDir: optionalPath,
  store: anything,
  ipam: v.nullish(
    v.object({
      dataDir: optionalPath,
      store: anything,
      cooldownSeconds: v.fallback(optionalCount, 0),
    }),
  ),
});

type Config = v.InferOutput<typeof config>;

/** Returns the plan of a config; throws CniError 7 naming the value that is wrong. */
function planOf(config: Config, args: CniArguments, cniVersion: string): Omit<AddressPlan, "dns"> {
  const ipam = requireIpam(config.ipam);
  const sets = setsOf(config);
  const asked = requestedTexts(config, args);
  const fixedTexts = ipam.addresses ?? [];
  if (sets.length === 0 && fixedTexts.length === 0 && asked.length === 0) {
    throw noRanges('ipam needs "subnet", "ranges" or "addresses"');
  }
  // without a pool a requested address replaces the config's own and has to bring its prefix length
  const fixed =
    sets.length > 0 || asked.length === 0
      ? fixedTexts.map((one) => withGateway(fixedAddress(one.address, "address"), one.gateway ?? ""))
      : asked.map((text) => withGateway(fixedAddress(text, "ips"), args.GATEWAY ?? ""));
  checkOnePerFamily(sets, fixed, cniVersion);
  return {
    sets,
    fixed,
    requested: sets.length === 0 ? [] : asked.map(requestedAddress),
    order: ipam.order ?? "round-robin",
    routes: routesOf(ipam.routes),
  };
}

function setsOf(config: Config): RangeSet[] {
  const ranges = [...(config.runtimeConfig?.ipRanges ?? []), ...(config.ipam?.ranges ?? [])];
  return parseRangeSets({ ...config.ipam, ranges });
}

/** The first source that names an address is the only one that counts: runtimeConfig, args, CNI_ARGS. */
function requestedTexts(config: Config, args: CniArguments): readonly string[] {
  const fromRuntime = config.runtimeConfig?.ips ?? [];
  if (fromRuntime.length > 0) return fromRuntime;
  const fromArgs = config.args?.cni?.ips ?? [];
  if (fromArgs.length > 0) return fromArgs;
  return (args.IP ?? "").split(",").filter((text) => text !== "");
}

function withGateway(assignment: Assignment, text: string): Assignment {
  if (text === "") return assignment;
  const network = formatPrefix(networkOf(assignedPrefix(assignment)));
  const gateway = gatewayAddress(text, `expected an address in ${network}`);
  if (!reaches(assignment, gateway)) throw invalidGateway(text, `expected an address in ${network}`);
  return { ...assignment, gateway };
}

function placeOf(config: v.InferOutput<typeof cleanup>): Place {
  const cooldownMs = (config.ipam?.cooldownSeconds ?? 0) * 1000;
  return { plugin: "ipam", dataDir: dataDirOf(config), shared: sharedOf(config), cooldownMs };
}

export const ipam = definePlugin({
  name: "ipam",
  about: "Warren ipam: addresses out of ranges or fixed ones, remembered in the node's store",
  givesAddresses: true,
  config,
  cleanup,

  async add(call): Promise<Result> {
    const { config, args, cniVersion } = call;
    const plan = planOf(config, args, cniVersion);
    const file = config.ipam?.resolvConf ?? "";
    const dns = file === "" ? dnsOf(config.ipam?.dns) : readResolverConfig(file);
    return giveAddresses(call, placeOf(config), { ...plan, dns });
  },

  del: (call) => takeAddressesBack(call, placeOf(call.config)),

  check: (call) => checkAddresses(call, placeOf(call.config), []),

  async status(call): Promise<void> {
    const config = { ...call.config, runtimeConfig: null, args: null };
    const bare = setsOf(config).length === 0 && runtimeBrings(config, "ips", "ipRanges");
    const sets = bare ? [] : planOf(config, {}, call.cniVersion).sets;
    await checkReady(call, placeOf(config), sets);
  },

  gc: (call) => collectAddresses(call, placeOf(call.config)),
});
