// The plugin `host-local`: reads the configs of the reference plugin of that name and answers as it does, but leases
// out of the node's store. A host's conflists run unchanged, and pods that the reference plugin attached keep their
// addresses: where its files are, they are read, and kept up to date for the day of switching back.
import * as v from "valibot";
import { dataDirOf } from "../attachment/settings.ts";
import type { CniArguments } from "../cni/arguments.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import { definePlugin } from "../cni/plugin.ts";
import { type Result, routeSchema } from "../cni/result.ts";
import { anything, optionalPath, optionalText } from "../cni/value.ts";
import { type Address, bitsOf, formatAddress, parseAddress } from "../ip/address.ts";
import { contains, formatPrefix, parsePrefix } from "../ip/prefix.ts";
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
import { DEFAULT_FILES_DIR } from "../ipam/lease-files.ts";
import { parseRangeSets, type RangeSet, rangeSchema } from "../ipam/pool.ts";
import {
  checkOnePerFamily,
  noRanges,
  normalRoutes,
  requestEntries,
  requestedAddress,
  requireIpam,
  runtimeBrings,
} from "../ipam/request.ts";
import { readResolverConfig } from "../ipam/resolver-config.ts";

const config = v.object({
  ...requestEntries,
  ipam: v.nullish(
    v.object({
      ...rangeSchema.entries,
      ranges: v.nullish(v.array(v.array(rangeSchema))),
      routes: v.nullish(v.array(routeSchema)),
      resolvConf: optionalText,
      dataDir: optionalPath,
      store: anything,
    }),
  ),
});

const cleanup = v.object({
  // where things are must be said right; all else may have gone bad since the ADD
  dataDir: optionalPath,
  store: anything,
  ipam: v.nullish(v.object({ dataDir: optionalPath, store: anything })),
});

type Config = v.InferOutput<typeof config>;

/** Returns the plan of a config; throws CniError 7 with the reference plugin's words. */
function planOf(config: Config, args: CniArguments, cniVersion: string): Omit<AddressPlan, "dns"> {
  const ipam = requireIpam(config.ipam);
  const sets = setsOf(config);
  if (sets.length === 0) throw noRanges('ipam needs "subnet" or "ranges"');
  checkOnePerFamily(sets, [], cniVersion);
  return {
    sets,
    fixed: [],
    requested: requestedAddresses(config, args),
    order: "round-robin",
    routes: normalRoutes(ipam.routes),
  };
}

/** Ranges of the runtime come first, then the config's single range, then its list. */
function setsOf(config: Config): RangeSet[] {
  const { subnet, rangeStart, rangeEnd, gateway, ranges } = config.ipam ?? {};
  // without a subnet the other keys of a single range say nothing
  const single = (subnet ?? "") === "" ? [] : [[{ subnet, rangeStart, rangeEnd, gateway }]];
  const lists = [...(config.runtimeConfig?.ipRanges ?? []), ...single, ...(ranges ?? [])];
  for (const [index, list] of lists.entries()) for (const range of list) refuseUnusual(range, index);
  return parseRangeSets({ ranges: lists });
}

/**
 * `ipam` can use subnets of one and two addresses, and gateways outside of them; who asks for host-local gets what
 * host-local says (plugins 1.10, allocator/range.go).
 */
function refuseUnusual(range: v.InferOutput<typeof rangeSchema>, index: number): void {
  const prefix = parsePrefix(range.subnet ?? "");
  // what is no prefix is refused in other words
  if (prefix === undefined) return;
  const refuse = (what: string, cure: string) => {
    const other = `${cure}, or use the plugin "warren-ipam", which can`;
    throw new CniError(ErrorCode.invalidConfig, `invalid range set ${index}: ${what}`, other);
  };
  if (prefix.length > bitsOf(prefix.address.family) - 2) {
    refuse(`Network ${formatPrefix(prefix)} too small to allocate from`, "widen the subnet");
  }
  const gateway = parseAddress(range.gateway ?? "");
  if (gateway !== undefined && !contains(prefix, gateway)) {
    refuse(
      `gateway ${formatAddress(gateway)} not in network ${formatPrefix(prefix)}`,
      "choose a gateway in the subnet",
    );
  }
}

/** Every source counts, and an address that several of them name counts once. */
function requestedAddresses(config: Config, args: CniArguments): Address[] {
  const texts = [args.IP ?? "", ...(config.args?.cni?.ips ?? []), ...(config.runtimeConfig?.ips ?? [])];
  const addresses = texts.filter((text) => text !== "").map(requestedAddress);
  return [...new Map(addresses.map((address) => [formatAddress(address), address])).values()];
}

function placeOf(config: v.InferOutput<typeof cleanup>): Place {
  if (sharedOf(config) !== undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      "host-local keeps its addresses on the node, and can't share a store",
      'give the network the ipam type "warren-ipam", or take the key "store" away',
    );
  }
  return {
    plugin: "host-local",
    dataDir: dataDirOf(config),
    filesDir: config.ipam?.dataDir ?? DEFAULT_FILES_DIR,
    cooldownMs: 0,
  };
}

export const hostLocal = definePlugin({
  name: "host-local",
  about: "Warren host-local: the reference plugin's configs on the node's store",
  givesAddresses: true,
  config,
  cleanup,

  async add(call): Promise<Result> {
    const { config, args, cniVersion } = call;
    const plan = planOf(config, args, cniVersion);
    const file = config.ipam?.resolvConf ?? "";
    const dns = file === "" ? {} : readResolverConfig(file);
    return giveAddresses(call, placeOf(config), { ...plan, dns });
  },

  del: (call) => takeAddressesBack(call, placeOf(call.config)),

  // ranges of the runtime don't come with CHECK and STATUS
  check: (call) => checkAddresses(call, placeOf(call.config), setsOf(call.config)),

  async status(call): Promise<void> {
    const { config, cniVersion } = call;
    const bare = setsOf(config).length === 0 && runtimeBrings(config, "ipRanges");
    const sets = bare ? [] : planOf({ ...config, args: null }, {}, cniVersion).sets;
    await checkReady(call, placeOf(config), sets);
  },

  gc: (call) => collectAddresses(call, placeOf(call.config)),
});
