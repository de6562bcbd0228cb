// What the configs of net plugins say in the same words, and which of several sources counts: the store's place, the
// IPAM plugin, the DNS settings, and the hardware address that somebody asks for.
import * as v from "valibot";
import { CniError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { type Dns, dnsOf } from "../cni/result.ts";
import { optionalPath, optionalText, optionalTexts } from "../cni/value.ts";
import { formatHardwareAddress, isAssignable, parseHardwareAddress } from "../ip/hardware-address.ts";
import { DEFAULT_DATA_DIR } from "../store/sqlite.ts";

type Said<T> = T | null | undefined;

/** The schema of the key that says where the store is. */
export const storeEntries = { dataDir: optionalPath };

/** The schema of the keys that say where things are. */
export const placeEntries = {
  ipam: v.nullish(v.object({ type: optionalText, dataDir: optionalPath })),
  ...storeEntries,
};

/** The largest MTU that a veth takes (drivers/net/veth.c). */
const LARGEST_MTU = 65_535;

/** The schema of the MTU of a pair; 0 is the kernel's own. */
export const pairMtu = v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(LARGEST_MTU)));

/** The keys that say where things are, and all that DEL and GC read. */
export interface PlaceKeys {
  readonly ipam?: Said<{ readonly type?: Said<string>; readonly dataDir?: Said<string> }>;
  readonly dataDir?: Said<string>;
}

/** Returns the type of the IPAM plugin; undefined for a network without addresses. */
export function ipamTypeOf({ ipam }: PlaceKeys): string | undefined {
  return (ipam?.type ?? "") === "" ? undefined : (ipam?.type ?? undefined);
}

/** Returns the directory of the store: the network's own, that of its IPAM plugin, or the default. */
export function dataDirOf({ ipam, dataDir }: PlaceKeys): string {
  return dataDir ?? ipam?.dataDir ?? DEFAULT_DATA_DIR;
}

/** Returns the DNS settings that replace those of the IPAM plugin; an empty list counts as said, as in the reference. */
export function dnsOverride(dns: Parameters<typeof dnsOf>[0]): Dns | undefined {
  const said = Object.values(dns ?? {}).some((value) => (value ?? "") !== "");
  return said ? dnsOf(dns) : undefined;
}

/** What the config of a net plugin says of its network, whatever interfaces it makes. */
export interface NetworkPlan {
  /** Undefined for a network without addresses. */
  readonly ipamType: string | undefined;
  /** The directory of the store. */
  readonly dataDir: string;
  /** Replaces what the IPAM plugin says. */
  readonly dns: Dns | undefined;
}

/** Returns what a config says of its network. */
export function networkPlanOf(
  config: PlaceKeys & { readonly dns?: Parameters<typeof dnsOf>[0] },
): NetworkPlan {
  return { ipamType: ipamTypeOf(config), dataDir: dataDirOf(config), dns: dnsOverride(config.dns) };
}

/** The schema of what a runtime asks for by the capability `dns` (CONVENTIONS.md). */
export const runtimeDns = v.nullish(v.object({ servers: optionalTexts, searches: optionalTexts }));

/** What it amounts to in a config. */
export interface RuntimeDnsKeys {
  readonly runtimeConfig?: Said<{
    readonly dns?: Said<{ readonly servers?: Said<string[]>; readonly searches?: Said<string[]> }>;
  }>;
}

/**
 * Returns the DNS settings with the servers and search domains that the runtime asks for in place of its own. An empty
 * list asks for nothing, as in the reference (pkg/hns).
 */
export function withRuntimeDns(dns: Dns, { runtimeConfig }: RuntimeDnsKeys): Dns {
  const said = (list: Said<string[]>) => (list?.length === 0 ? undefined : list);
  const { servers, searches } = runtimeConfig?.dns ?? {};
  return { ...dns, ...dnsOf({ nameservers: said(servers), search: said(searches) }) };
}

/** The sources of a hardware address beside CNI_ARGS. */
export interface HardwareAddressKeys {
  readonly mac?: Said<string>;
  readonly runtimeConfig?: Said<{ readonly mac?: Said<string> }>;
  readonly args?: Said<{ readonly cni?: Said<{ readonly mac?: Said<string> }> }>;
}

/**
 * Returns the hardware address that is asked for: by the capability `mac`, else `args.cni.mac`, else `MAC` in
 * CNI_ARGS, else the key `mac`. Undefined if nobody asks. Throws CniError 7 for one that no interface may have.
 */
export function requestedHardwareAddress(
  config: HardwareAddressKeys,
  macArgument: string | undefined,
): string | undefined {
  const sources = [config.runtimeConfig?.mac, config.args?.cni?.mac, macArgument, config.mac];
  const text = sources.find((source) => (source ?? "") !== "") ?? undefined;
  if (text === undefined) return undefined;
  const bytes = parseHardwareAddress(text);
  if (bytes !== undefined && isAssignable(bytes)) return formatHardwareAddress(bytes);
  throw new CniError(
    ErrorCode.invalidConfig,
    `mac ${shown(text)} can't be given to an interface`,
    "expected six bytes, not all zero and no group address, such as 0a:58:0a:01:00:02",
  );
}
