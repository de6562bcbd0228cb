// What a server gave with an address, read from its DHCPACK: mask, routes, name servers, and how long all of it holds. And
// the result that this is to a runtime. What a server says wrong is left out rather than believed by half.
import type { Dns, Result, Route } from "../cni/result.ts";
import { type Address, addressFromBytes, formatAddress, sameAddress } from "../ip/address.ts";
import {
  contains,
  firstAddress,
  formatPrefix,
  hostPrefix,
  lastAddress,
  networkOf,
  type Prefix,
} from "../ip/prefix.ts";
import { addressOption, type DhcpMessage, NO_ADDRESS } from "./message.ts";
import { OptionCode } from "./option.ts";

/** How long an address holds where the server does not say it, as the reference plugin has it. */
const DEFAULT_LEASE_SECONDS = 3600;
/** Says that a lease never ends (RFC 2131, section 3.3). */
const FOR_EVER_SECONDS = 0xffff_ffff;
/** RT_SCOPE_LINK, linux/rtnetlink.h: the destination is on the link. */
const LINK_SCOPE = 253;
/** No link has less (RFC 791), and what is below is an error of the server. */
const SMALLEST_MTU = 576;

/** A way that the server tells of; without a router the destination is on the link. */
export interface TermRoute {
  readonly destination: Prefix;
  readonly router: Address | undefined;
}

/** What a lease consists of. */
export interface LeaseTerms {
  readonly address: Prefix;
  readonly server: Address;
  readonly routers: readonly Address[];
  readonly routes: readonly TermRoute[];
  readonly nameServers: readonly Address[];
  readonly domain: string | undefined;
  readonly search: readonly string[];
  readonly mtu: number | undefined;
  /** From the DHCPREQUEST on; Infinity for ever. Renewing begins before rebinding does, and that before the end. */
  readonly renewSeconds: number;
  readonly rebindSeconds: number;
  readonly leaseSeconds: number;
}

/** Returns the terms in a DHCPACK, or in words what they lack to be a lease. */
export function termsOf(ack: DhcpMessage): LeaseTerms | string {
  const { options, yourAddress } = ack;
  const server = addressOption(ack, OptionCode.serverIdentifier);
  if (server === undefined) return "the server does not say who it is (option 54)";
  if (yourAddress.value === NO_ADDRESS.value) return "the server gave no address";
  if (!isHost(yourAddress)) {
    return `the server gave the address ${formatAddress(yourAddress)}, which no machine can have`;
  }
  const mask = addressOption(ack, OptionCode.subnetMask);
  if (mask === undefined) return "the server gave no subnet mask (option 1)";
  const length = prefixLength(mask);
  if (length === undefined) return `the server gave the subnet mask ${formatAddress(mask)}, which is none`;
  const address: Prefix = { address: yourAddress, length };
  if (!isHostOf(address)) {
    return `the server gave the address ${formatPrefix(address)}, which is that of all of its network`;
  }
  // the kernel refuses a route by oneself
  const isRouter = (router: Address) => isHost(router) && !sameAddress(router, yourAddress);
  const routers = addressList(options.get(OptionCode.routers)).filter(isRouter);
  const routes = routesIn(options, routers[0]);
  return {
    address,
    server,
    routers,
    routes: reachable(
      address,
      routes.filter(({ router }) => router === undefined || isRouter(router)),
    ),
    nameServers: addressList(options.get(OptionCode.nameServers)).filter(isAsked),
    domain: nameIn(options.get(OptionCode.domainName)),
    search: domainNames(options.get(OptionCode.domainSearch)),
    mtu: mtuIn(options.get(OptionCode.interfaceMtu)),
    ...timesIn(options),
  };
}

/**
 * Returns the routes in an order in which the kernel takes them, which is to know first how a router is reached: those on the
 * link, then a way to each router that is in no network of the link, as with an address of a whole /32, and then the others.
 */
function reachable(own: Prefix, routes: readonly TermRoute[]): TermRoute[] {
  const direct = routes.filter(({ router }) => router === undefined);
  const near = [own, ...direct.map(({ destination }) => destination)];
  const indirect = routes.filter(({ router }) => router !== undefined);
  for (const { router } of indirect) {
    if (router === undefined || near.some((network) => contains(network, router))) continue;
    near.push(hostPrefix(router));
    direct.push({ destination: hostPrefix(router), router: undefined });
  }
  return [...direct, ...indirect];
}

/**
 * True for an address that a machine can have (RFC 1122, section 3.2.1.3): not of this network, a loopback, or of
 * classes D and E.
 */
export function isHost({ value }: Address): boolean {
  const first = Number(value >> 24n);
  return first > 0 && first !== 127 && first < 224;
}

/** A name server may be on the machine itself. */
function isAsked(server: Address): boolean {
  return isHost(server) || server.value >> 24n === 127n;
}

/** The first and the last address of a network are those of all in it, except where it has no others (RFC 3021). */
function isHostOf(prefix: Prefix): boolean {
  const { address, length } = prefix;
  return (
    length > 30 || !(sameAddress(address, firstAddress(prefix)) || sameAddress(address, lastAddress(prefix)))
  );
}

function prefixLength({ value }: Address): number | undefined {
  const mask = Number(value);
  const length = 32 - Math.clz32(~mask >>> 0) === 0 ? 32 : Math.clz32(~mask >>> 0);
  const expected = length === 0 ? 0 : (0xffff_ffff << (32 - length)) >>> 0;
  return mask === expected ? length : undefined;
}

function addressList(bytes: Uint8Array | undefined): Address[] {
  if (bytes === undefined || bytes.length % 4 !== 0) return [];
  return Array.from({ length: bytes.length / 4 }, (_, index) =>
    addressFromBytes(bytes.subarray(index * 4, index * 4 + 4)),
  );
}

/** Classless routes stand for the router and the classful ones, which are then not looked at (RFC 3442). */
function routesIn(options: DhcpMessage["options"], router: Address | undefined): TermRoute[] {
  const classless = classlessRoutes(options.get(OptionCode.classlessRoutes));
  if (classless.length > 0) return classless;
  const everywhere: Prefix = { address: NO_ADDRESS, length: 0 };
  return [
    ...classfulRoutes(options.get(OptionCode.staticRoutes)),
    ...(router === undefined ? [] : [{ destination: everywhere, router }]),
  ];
}

/** Each is the length of a prefix, as many bytes of it as that needs, and a router. */
function classlessRoutes(bytes: Uint8Array | undefined): TermRoute[] {
  const routes: TermRoute[] = [];
  for (let at = 0; bytes !== undefined && at < bytes.length; ) {
    const length = bytes[at++] ?? 0;
    const significant = Math.ceil(length / 8);
    // one that is wrong makes all of them doubtful
    if (length > 32 || at + significant + 4 > bytes.length) return [];
    const address = new Uint8Array(4);
    address.set(bytes.subarray(at, at + significant));
    at += significant;
    const router = addressFromBytes(bytes.subarray(at, at + 4));
    at += 4;
    routes.push({
      destination: networkOf({ address: addressFromBytes(address), length }),
      router: router.value === NO_ADDRESS.value ? undefined : router,
    });
  }
  return routes;
}

/** Each is a network of class A, B or C, and a router (RFC 2132, section 5.8). */
function classfulRoutes(bytes: Uint8Array | undefined): TermRoute[] {
  const addresses = addressList(bytes);
  const routes: TermRoute[] = [];
  for (let at = 0; at + 1 < addresses.length; at += 2) {
    const [network, router] = [addresses[at], addresses[at + 1]];
    if (network === undefined || router === undefined) break;
    const first = Number(network.value >> 24n);
    const length = first < 128 ? 8 : first < 192 ? 16 : first < 224 ? 24 : undefined;
    // not a network of any class, or the default route, which option 33 must not be used for
    if (length === undefined || network.value === NO_ADDRESS.value) continue;
    routes.push({ destination: networkOf({ address: network, length }), router });
  }
  return routes;
}

/** As in the names of machines, and with the underscore that some have; whoever writes it into a file can do so unseen. */
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i;
const LONGEST_NAME_BYTES = 255;

function nameIn(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined || bytes.length > LONGEST_NAME_BYTES) return undefined;
  // some servers end it with a NUL
  const text = new TextDecoder().decode(bytes).replace(/\0+$/, "");
  const labels = text.replace(/\.$/, "").split(".");
  return labels.every((label) => LABEL.test(label)) ? text : undefined;
}

/** Domain names as DNS packs them, with pointers to what stands further in front (RFC 3397, RFC 1035). */
function domainNames(bytes: Uint8Array | undefined): string[] {
  const names: string[] = [];
  for (let at = 0; bytes !== undefined && at < bytes.length; ) {
    const name = domainNameAt(bytes, at);
    if (name === undefined) return [];
    if (name.text !== "") names.push(name.text);
    at = name.next;
  }
  return names;
}

function domainNameAt(bytes: Uint8Array, start: number): { text: string; next: number } | undefined {
  const labels: string[] = [];
  let next: number | undefined;
  let length = 0;
  for (let at = start; ; ) {
    const count = bytes[at];
    if (count === undefined) return undefined;
    if (count === 0) return { text: labels.join("."), next: next ?? at + 1 };
    if (count >= 0xc0) {
      const target = ((count & 0x3f) << 8) | (bytes[at + 1] ?? 0);
      next ??= at + 2;
      // only to the front, so that it ends
      if (at + 1 >= bytes.length || target >= at) return undefined;
      at = target;
    } else {
      const label = new TextDecoder().decode(bytes.subarray(at + 1, at + 1 + count));
      length += count + 1;
      if (at + 1 + count > bytes.length || length > LONGEST_NAME_BYTES || !LABEL.test(label))
        return undefined;
      labels.push(label);
      at += 1 + count;
    }
  }
}

function mtuIn(bytes: Uint8Array | undefined): number | undefined {
  if (bytes?.length !== 2) return undefined;
  const mtu = ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);
  return mtu >= SMALLEST_MTU ? mtu : undefined;
}

/** Times that don't follow each other are replaced by those of RFC 2131, section 4.4.5: a half, and seven eighths. */
function timesIn(
  options: DhcpMessage["options"],
): Pick<LeaseTerms, "renewSeconds" | "rebindSeconds" | "leaseSeconds"> {
  const said = secondsIn(options.get(OptionCode.leaseTime)) ?? DEFAULT_LEASE_SECONDS;
  if (said === FOR_EVER_SECONDS) {
    const never = Number.POSITIVE_INFINITY;
    return { renewSeconds: never, rebindSeconds: never, leaseSeconds: never };
  }
  const leaseSeconds = Math.max(1, said);
  const renewSeconds = secondsIn(options.get(OptionCode.renewalTime)) ?? leaseSeconds / 2;
  const rebindSeconds = secondsIn(options.get(OptionCode.rebindingTime)) ?? (leaseSeconds * 7) / 8;
  if (renewSeconds > 0 && renewSeconds <= rebindSeconds && rebindSeconds <= leaseSeconds) {
    return { renewSeconds, rebindSeconds, leaseSeconds };
  }
  return { renewSeconds: leaseSeconds / 2, rebindSeconds: (leaseSeconds * 7) / 8, leaseSeconds };
}

function secondsIn(bytes: Uint8Array | undefined): number | undefined {
  if (bytes?.length !== 4) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
}

/** Returns the result of an ADD that got these terms; `priority` is the metric of its routes. */
export function resultOf(terms: LeaseTerms, priority: number | undefined): Result {
  const [gateway] = terms.routers;
  return {
    interfaces: [],
    ips: [
      {
        address: formatPrefix(terms.address),
        ...(gateway === undefined ? {} : { gateway: formatAddress(gateway) }),
      },
    ],
    routes: terms.routes.map((route) => spelledRoute(route, priority)),
    dns: dnsOf(terms),
  };
}

/** A destination on the link has the router 0.0.0.0, as the reference plugin writes it. */
function spelledRoute({ destination, router }: TermRoute, priority: number | undefined): Route {
  return {
    dst: formatPrefix(destination),
    gw: formatAddress(router ?? NO_ADDRESS),
    ...(priority === undefined ? {} : { priority }),
    ...(router === undefined ? { scope: LINK_SCOPE } : {}),
  };
}

function dnsOf({ nameServers, domain, search }: LeaseTerms): Dns {
  return {
    ...(nameServers.length === 0 ? {} : { nameservers: nameServers.map(formatAddress) }),
    ...(domain === undefined ? {} : { domain }),
    ...(search.length === 0 ? {} : { search }),
  };
}
