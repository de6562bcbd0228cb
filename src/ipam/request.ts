// Addresses that a config or a runtime asks for by name, read from their texts. Pure, and shared by every plugin
// that gives out addresses; clients compare several of the messages whole, so those carry no details.
import * as v from "valibot";
import { CniError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { type Route, type routeSchema, routesOf } from "../cni/result.ts";
import { anything, optionalPath, optionalTexts } from "../cni/value.ts";
import { compareVersions } from "../cni/version.ts";
import { type Address, type Family, formatAddress, parseAddress } from "../ip/address.ts";
import { contains, formatPrefix, parsePrefix } from "../ip/prefix.ts";
import { type Assignment, type RangeSet, rangeSchema } from "./pool.ts";

/** The keys, beside `ipam`, in which runtimes ask for addresses and ranges, and the one that says where the store is. */
export const requestEntries = {
  runtimeConfig: v.nullish(
    v.object({ ips: optionalTexts, ipRanges: v.nullish(v.array(v.array(rangeSchema))) }),
  ),
  args: v.nullish(v.object({ cni: v.nullish(v.object({ ips: optionalTexts })) })),
  capabilities: v.nullish(v.record(v.string(), v.unknown())),
  dataDir: optionalPath,
  // looked at only where it is there (shared-store.ts)
  store: anything,
};

const requestSchema = v.object(requestEntries);

/** What a config says in those keys. */
export type RequestKeys = v.InferOutput<typeof requestSchema>;

/** True if the runtime brings one of these on ADD: then a config without ranges lacks nothing on STATUS. */
export function runtimeBrings({ capabilities }: RequestKeys, ...names: ("ips" | "ipRanges")[]): boolean {
  return names.some((name) => capabilities?.[name] === true);
}

/** Returns the `ipam` of a config; throws CniError 7 where there is none. */
export function requireIpam<Ipam>(ipam: Ipam | null | undefined): Ipam {
  if (ipam !== null && ipam !== undefined) return ipam;
  // clients compare this message whole
  throw new CniError(ErrorCode.invalidConfig, "IPAM config missing 'ipam' key");
}

/** Returns what a config without ranges is told, with the keys that would do as the cure. */
export function noRanges(cure: string): CniError {
  return new CniError(ErrorCode.invalidConfig, "no IP ranges specified", cure);
}

/** A prefix length in a request is let pass and ignored, as in host-local: the pool has its own. */
export function requestedAddress(text: string): Address {
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

/** Where a fixed address stands: in the config, in CNI_ARGS, or in `args` or the runtime's config. */
export type FixedAddressKey = "address" | "ip" | "ips";

const NOT_A_PREFIX: Readonly<Record<FixedAddressKey, string>> = {
  address: "the 'address' field is expected to be in CIDR notation",
  ip: "the 'ip' field is expected to be in CIDR notation",
  ips: "an entry in the 'ips' field is NOT in CIDR notation",
};

/** Returns the address in `text`, which has to bring its prefix length; throws CniError 7. */
export function fixedAddress(text: string, key: FixedAddressKey): Assignment {
  const prefix = parsePrefix(text);
  if (prefix === undefined)
    throw new CniError(ErrorCode.invalidConfig, `${NOT_A_PREFIX[key]}, got: '${text}'`);
  return { address: prefix.address, prefixLength: prefix.length, gateway: undefined };
}

/** Returns what a config with a wrong gateway is told. */
export function invalidGateway(text: string, expected: string): CniError {
  return new CniError(ErrorCode.invalidConfig, `invalid gateway address: ${text}`, expected);
}

/** Returns the gateway in `text`; throws CniError 7 with `expected` as the cure. */
export function gatewayAddress(text: string, expected = "expected an IP address"): Address {
  const gateway = parseAddress(text);
  if (gateway === undefined) throw invalidGateway(text, expected);
  return gateway;
}

/** True if the gateway can be reached on the link of a fixed address. */
export function reaches({ address, prefixLength }: Assignment, gateway: Address): boolean {
  return contains({ address, length: prefixLength }, gateway);
}

/** Results below 0.3.0 have room for one address of each family; throws CniError 7 for more. */
export function checkOnePerFamily(
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

/** Returns routes as the reference library prints them: addresses in their one spelling, and no numbers that are 0. */
export function normalRoutes(
  routes: readonly v.InferOutput<typeof routeSchema>[] | null | undefined,
): Route[] {
  return routesOf(routes).map(({ dst, gw, mtu, advmss, priority, ...others }) => {
    const prefix = parsePrefix(dst);
    const gateway = gw === undefined ? undefined : parseAddress(gw);
    return {
      dst: prefix === undefined ? dst : formatPrefix(prefix),
      ...(gateway === undefined ? {} : { gw: formatAddress(gateway) }),
      ...nonZero({ mtu, advmss, priority }),
      ...others,
    };
  });
}

function nonZero(numbers: Readonly<Record<string, number | undefined>>): Partial<Route> {
  return Object.fromEntries(Object.entries(numbers).filter(([, value]) => (value ?? 0) !== 0));
}
