// The result of an ADD in the three shapes that the specification has had (0.1/0.2, 0.3/0.4, 1.x), and the
// conversions between them. Inside Warren a result always has the newest shape.
import * as v from "valibot";
import { parseAddress } from "../ip/address.ts";
import { parsePrefix } from "../ip/prefix.ts";
import { CniError, ErrorCode } from "./error.ts";
import { parseInput } from "./input.ts";
import { optionalCount, optionalText, optionalTexts } from "./value.ts";
import { compareVersions } from "./version.ts";

const address = v.pipe(
  v.string(),
  v.check((text) => parseAddress(text) !== undefined, "an IP address, such as 10.1.0.1"),
);
const prefix = v.pipe(
  v.string(),
  v.check((text) => parsePrefix(text) !== undefined, "an address in CIDR notation, such as 10.1.0.2/16"),
);

/** A route as results and IPAM configs spell it (SPEC.md, "ADD Success"). */
export const routeSchema = v.object({
  dst: prefix,
  gw: v.nullish(v.union([address, v.literal("")])),
  mtu: optionalCount,
  advmss: optionalCount,
  priority: optionalCount,
  table: optionalCount,
  scope: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255))),
});

/** DNS settings as results and configs spell them. */
export const dnsSchema = v.object({
  nameservers: optionalTexts,
  domain: optionalText,
  search: optionalTexts,
  options: optionalTexts,
});

// What follows is made when a previous result is read, which the ADD of a first plugin has not got.
const interfaceSchema = () =>
  v.object({
    name: v.string(),
    mac: optionalText,
    mtu: optionalCount,
    sandbox: optionalText,
    socketPath: optionalText,
    pciID: optionalText,
  });

const addressSchema = () =>
  v.object({
    interface: optionalCount,
    address: prefix,
    gateway: v.nullish(v.union([address, v.literal("")])),
  });

const currentSchema = () =>
  v.object({
    interfaces: v.nullish(v.array(interfaceSchema())),
    ips: v.nullish(v.array(addressSchema())),
    routes: v.nullish(v.array(routeSchema)),
    dns: v.nullish(dnsSchema),
  });

const oldestFamilySchema = () =>
  v.object({
    ip: prefix,
    gateway: v.nullish(v.union([address, v.literal("")])),
    routes: v.nullish(v.array(routeSchema)),
  });

const oldestSchema = () =>
  v.object({
    ip4: v.nullish(oldestFamilySchema()),
    ip6: v.nullish(oldestFamilySchema()),
    dns: v.nullish(dnsSchema),
  });

/** A route of a result. `dst` is in CIDR notation; without `gw` the destination is on the link. */
export interface Route {
  readonly dst: string;
  readonly gw?: string;
  readonly mtu?: number;
  readonly advmss?: number;
  readonly priority?: number;
  readonly table?: number;
  readonly scope?: number;
}

/** Name servers and search list for the container. */
export interface Dns {
  readonly nameservers?: readonly string[];
  readonly domain?: string;
  readonly search?: readonly string[];
  readonly options?: readonly string[];
}

/** An interface that the ADD made or used; `sandbox` is the container's netns path and absent on the host. */
export interface Interface {
  readonly name: string;
  readonly mac?: string;
  readonly mtu?: number;
  readonly sandbox?: string;
  readonly socketPath?: string;
  readonly pciID?: string;
}

/** An address of the attachment in CIDR notation; `interface` indexes `interfaces`. */
export interface AttachedAddress {
  readonly interface?: number;
  readonly address: string;
  readonly gateway?: string;
}

/** The result of an ADD, in the shape of CNI 1.1.0. */
export interface Result {
  readonly interfaces: readonly Interface[];
  readonly ips: readonly AttachedAddress[];
  readonly routes: readonly Route[];
  readonly dns: Dns;
}

/** A result without anything in it: what a first plugin that adds nothing answers with. */
export const EMPTY_RESULT: Result = { interfaces: [], ips: [], routes: [], dns: {} };

/** True if one of the DNS settings says something. */
export function hasDns(dns: Dns): boolean {
  return (
    (dns.nameservers?.length ?? 0) > 0 ||
    (dns.domain ?? "") !== "" ||
    (dns.search?.length ?? 0) > 0 ||
    (dns.options?.length ?? 0) > 0
  );
}

const documents = new WeakMap<Result, () => object>();

/**
 * Returns `result` and remembers the document that says it: a result that nobody changes is printed as it came, with
 * the keys that no version knows and the order that they had. `document` is called only when that happens.
 */
export function asItCame(result: Result, document: () => object): Result {
  documents.set(result, document);
  return result;
}

/** Returns the document that a result came as, if it is one of `version`. */
function originalOf(result: Result, version: string): object | undefined {
  const document = documents.get(result)?.();
  return document !== undefined && "cniVersion" in document && document.cniVersion === version
    ? document
    : undefined;
}

type Sparse<T> = { readonly [K in keyof T]: T[K] | null | undefined };

/** Returns the object without the keys that are null, undefined, or an empty string; Go's `omitempty`. */
function compact<T extends object>(object: Sparse<T>): T {
  const kept: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(object)) {
    if (value !== null && value !== undefined && value !== "") kept[key] = value;
  }
  return kept as T;
}

/** Returns the routes of a config or result without empty keys. */
export function routesOf(routes: readonly v.InferOutput<typeof routeSchema>[] | null | undefined): Route[] {
  return (routes ?? []).map((route) => compact<Route>(route));
}

/** Returns the DNS settings of a config or result without empty keys. */
export function dnsOf(dns: v.InferOutput<typeof dnsSchema> | null | undefined): Dns {
  return compact<Dns>(dns ?? {});
}

/**
 * Returns the result in the newest shape. `version` is the version that `document` claims or inherits.
 * Throws CniError 6 if it doesn't have the shape of that version.
 */
export function decodeResult(document: unknown, version: string, what: string): Result {
  if (compareVersions(version, "0.3.0") < 0) {
    const old = parseInput(oldestSchema(), document, ErrorCode.decodingFailure, what);
    const families = [old.ip4, old.ip6].filter((family) => family !== null && family !== undefined);
    return {
      interfaces: [],
      ips: families.map((family) =>
        compact<AttachedAddress>({ address: family.ip, gateway: family.gateway }),
      ),
      routes: families.flatMap((family) => routesOf(family.routes)),
      dns: dnsOf(old.dns),
    };
  }
  const current = parseInput(currentSchema(), document, ErrorCode.decodingFailure, what);
  return {
    interfaces: (current.interfaces ?? []).map((one) => compact<Interface>(one)),
    ips: (current.ips ?? []).map((one) => compact<AttachedAddress>(one)),
    routes: routesOf(current.routes),
    dns: dnsOf(current.dns),
  };
}

/**
 * Returns the document of the result for a config of `version`: the one that it came as, else one with the keys and
 * their order as the reference library writes them. Throws CniError 1 where that version has no way to say it.
 */
export function encodeResult(result: Result, version: string): object {
  const original = originalOf(result, version);
  if (original !== undefined) return original;
  if (compareVersions(version, "0.3.0") < 0) return encodeOldest(result, version);
  const dns = compact<Dns>(result.dns);
  if (compareVersions(version, "1.0.0") < 0) {
    return {
      cniVersion: version,
      ...(result.interfaces.length === 0
        ? {}
        : { interfaces: result.interfaces.map(({ name, mac, sandbox }) => compact({ name, mac, sandbox })) }),
      ...(result.ips.length === 0
        ? {}
        : {
            ips: result.ips.map((one) => ({ version: one.address.includes(":") ? "6" : "4", ...one })),
          }),
      ...(result.routes.length === 0 ? {} : { routes: result.routes }),
      dns,
    };
  }
  return {
    cniVersion: version,
    ...(hasDns(dns) ? { dns } : {}),
    ...(result.interfaces.length === 0 ? {} : { interfaces: result.interfaces }),
    ...(result.ips.length === 0 ? {} : { ips: result.ips }),
    ...(result.routes.length === 0 ? {} : { routes: result.routes }),
  };
}

/** Versions 0.1.0 and 0.2.0 know one address of each family and no interfaces. */
function encodeOldest(result: Result, version: string): object {
  const isVersion6 = (text: string): boolean => text.includes(":");
  const family = (six: boolean): object | undefined => {
    const first = result.ips.find((one) => isVersion6(one.address) === six);
    if (first === undefined) return undefined;
    const routes = result.routes
      .filter((route) => isVersion6(route.dst) === six)
      .map((route) => compact<Route>({ dst: route.dst, gw: route.gw }));
    return compact<object>({
      ip: first.address,
      gateway: first.gateway,
      routes: routes.length === 0 ? undefined : routes,
    });
  };
  const ip4 = family(false);
  const ip6 = family(true);
  if (ip4 === undefined && ip6 === undefined) {
    // clients compare this message whole, so it carries no details
    throw new CniError(ErrorCode.incompatibleVersion, "cannot convert: no valid IP addresses");
  }
  return { cniVersion: version, ...compact<object>({ ip4, ip6 }), dns: compact<Dns>(result.dns) };
}
