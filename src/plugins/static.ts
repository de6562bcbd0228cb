// The plugin `static`: reads the configs of the reference plugin of that name, which say themselves which addresses
// an attachment gets. Unlike the reference it remembers who has them, so that two containers of a network never
// have the same one.
import * as v from "valibot";
import { dataDirOf } from "../attachment/settings.ts";
import type { CniArguments } from "../cni/arguments.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import { definePlugin } from "../cni/plugin.ts";
import { type Dns, dnsOf, dnsSchema, type Result, routeSchema } from "../cni/result.ts";
import { anything, optionalPath, optionalText } from "../cni/value.ts";
import { formatAddress } from "../ip/address.ts";
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
import type { Assignment } from "../ipam/pool.ts";
import {
  checkOnePerFamily,
  fixedAddress,
  gatewayAddress,
  normalRoutes,
  reaches,
  requestEntries,
  requireIpam,
} from "../ipam/request.ts";

const config = v.object({
  ...requestEntries,
  ipam: v.nullish(
    v.object({
      addresses: v.nullish(v.array(v.object({ address: optionalText, gateway: optionalText }))),
      routes: v.nullish(v.array(routeSchema)),
      dns: v.nullish(dnsSchema),
      dataDir: optionalPath,
      store: anything,
    }),
  ),
});

const cleanup = v.object({
  // where the store is must be said right; all else may have gone bad since the ADD
  dataDir: optionalPath,
  store: anything,
  ipam: v.nullish(v.object({ dataDir: optionalPath, store: anything })),
});

type Config = v.InferOutput<typeof config>;

/** Returns the plan of a config; throws CniError 7 with the reference plugin's words. */
function planOf(config: Config, args: CniArguments, cniVersion: string): AddressPlan {
  const ipam = requireIpam(config.ipam);
  const fixed = addressesOf(config, args);
  checkOnePerFamily([], fixed, cniVersion);
  checkDistinct(fixed);
  return {
    sets: [],
    fixed,
    requested: [],
    order: "round-robin",
    routes: normalRoutes(ipam.routes),
    dns: withoutEmptyLists(dnsOf(ipam.dns)),
  };
}

/** Addresses of the runtime replace those of `args`, and both replace the config's with those of CNI_ARGS. */
function addressesOf(config: Config, args: CniArguments): Assignment[] {
  const ofArguments = argumentAddresses(args);
  const fromRuntime = config.runtimeConfig?.ips ?? [];
  const fromArgs = config.args?.cni?.ips ?? [];
  const replacing = fromRuntime.length > 0 ? fromRuntime : fromArgs;
  if (replacing.length > 0) return replacing.map((text) => fixedAddress(text, "ips"));
  const own = (config.ipam?.addresses ?? []).map(({ address, gateway }) => {
    const assignment = fixedAddress(address ?? "", "address");
    return (gateway ?? "") === "" ? assignment : { ...assignment, gateway: gatewayAddress(gateway ?? "") };
  });
  return [...own, ...ofArguments];
}

/** IP and GATEWAY are lists; a gateway is that of every address of CNI_ARGS that reaches it, the last one wins. */
function argumentAddresses({ IP = "", GATEWAY = "" }: CniArguments): Assignment[] {
  const addresses = listIn(IP).map((text) => fixedAddress(text, "ip"));
  const gateways = listIn(GATEWAY).map((text) => gatewayAddress(text));
  return addresses.map((address) => ({
    ...address,
    gateway: gateways.findLast((gateway) => reaches(address, gateway)),
  }));
}

function listIn(text: string): string[] {
  return text === "" ? [] : text.split(",").map((one) => one.trim());
}

/** The kernel would refuse the second one, after everything else has been made. */
function checkDistinct(fixed: readonly Assignment[]): void {
  const seen = new Set<string>();
  for (const { address } of fixed) {
    const text = formatAddress(address);
    if (seen.has(text)) {
      throw new CniError(ErrorCode.invalidConfig, `address ${text} is given twice`, "remove one of the two");
    }
    seen.add(text);
  }
}

function withoutEmptyLists(dns: Dns): Dns {
  return Object.fromEntries(Object.entries(dns).filter(([, value]) => value.length > 0));
}

function placeOf(config: v.InferOutput<typeof cleanup>): Place {
  return { plugin: "static", dataDir: dataDirOf(config), shared: sharedOf(config), cooldownMs: 0 };
}

export const fixedAddresses = definePlugin({
  name: "static",
  about: "Warren static: the addresses that the config names, remembered in the node's store",
  givesAddresses: true,
  config,
  cleanup,

  add: (call): Promise<Result> =>
    giveAddresses(call, placeOf(call.config), planOf(call.config, call.args, call.cniVersion)),

  del: (call) => takeAddressesBack(call, placeOf(call.config)),

  async check(call): Promise<void> {
    if (call.previous === undefined)
      throw new CniError(ErrorCode.invalidConfig, "Required prevResult missing");
    // an ADD without any address is a success, of which nothing is held
    const { fixed } = planOf(call.config, {}, call.cniVersion);
    if (fixed.length === 0 && call.previous.ips.length === 0) return;
    await checkAddresses(call, placeOf(call.config), []);
  },

  async status(call): Promise<void> {
    planOf({ ...call.config, runtimeConfig: null, args: null }, {}, call.cniVersion);
    await checkReady(call, placeOf(call.config), []);
  },

  gc: (call) => collectAddresses(call, placeOf(call.config)),
});
