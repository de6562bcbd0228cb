// What a pod's labels amount to: who it is, and which links it asks for, each with both ends. Pure: everything that can be
// refused without the store or the kernel is refused here, by code 7 with the label's name.
import { CniError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { checkInterfaceName } from "../cni/names.ts";
import { type Address, bitsOf, formatAddress, parseAddress, sameAddress } from "../ip/address.ts";
import { contains, formatPrefix, networkOf, type Prefix, parsePrefix } from "../ip/prefix.ts";
import { type Mirror, parseMirror } from "../net/mirror.ts";
import { LARGEST_VNI } from "../net/vxlan.ts";
import { type LabelKey, type Labels, PREFIXES, truthOf } from "./labels.ts";

/** A pod as links name it. Names of different Kubernetes namespaces are different pods. */
export interface PodKey {
  /** What namespaceOf returns: the namespace that Kubernetes says; empty for `default`. */
  readonly podNamespace: string;
  readonly podName: string;
}

/** Returns the namespace of a pod by what is said of it; `default` is that of pods of which nobody says one, as for kubectl. */
export function namespaceOf(said: string | undefined): string {
  return said === undefined || said === "default" ? "" : said;
}

/** Returns the pod as messages name it. */
export function describePod({ podNamespace, podName }: PodKey): string {
  return podNamespace === "" ? shown(podName) : `${shown(podName)} of namespace ${shown(podNamespace)}`;
}

/** One end of a link as it is asked for. */
export interface EndPlan {
  readonly podName: string;
  readonly ifname: string;
  /** Host bits kept; none for an end without addresses. */
  readonly addresses: readonly Prefix[];
  /** What of the pod's traffic is copied onto the link. */
  readonly mirror: Mirror | undefined;
  /** Where the pod's node is, if somebody said so. */
  readonly parentAddress: Address | undefined;
}

/** A link between two pods of one namespace. */
export interface LinkPlan {
  readonly primary: EndPlan;
  readonly pair: EndPlan;
  /** The number of the vxlan if somebody said it. */
  readonly vni: number | undefined;
  readonly mtu: number | undefined;
}

/** A route that goes by a link. */
export interface PlannedRoute {
  readonly destination: Prefix;
  readonly gateway: Address;
}

/** What a pod's labels amount to. */
export interface PodPlan extends PodKey {
  readonly links: readonly LinkPlan[];
  readonly routes: readonly PlannedRoute[];
  /** Where the pod's node is, if a label says so. */
  readonly parentAddress: Address | undefined;
}

/** The smallest that IPv4 allows (RFC 791), and IPv6 (RFC 8200): the kernel takes no address of it on a smaller link. */
const SMALLEST_MTU = 68;
const SMALLEST_MTU_OF_IPV6 = 1280;
const LARGEST_MTU = 65_535;

/** The original's prefix length for addresses that say none; of IPv6 subnets it is the usual one. */
const DEFAULT_LENGTH = { 4: 24, 6: 64 } as const;

type LabelSet = ReadonlyMap<LabelKey, string>;

function refuse(name: string, value: string | undefined, expected: string): never {
  throw new CniError(
    ErrorCode.invalidConfig,
    value === undefined ? `label ${name} is missing` : `label ${name} is ${shown(value)}`,
    `expected ${expected}`,
  );
}

function nameOf(number: number, key: LabelKey): string {
  return number === 0 ? `${PREFIXES[0]}.${key}` : `${PREFIXES[0]}.${number}.${key}`;
}

/**
 * Returns what the labels of a pod amount to. `fallback` is what Kubernetes says of the pod, for labels that don't say a
 * name. Throws CniError 7 naming the label, its value and what would be right.
 */
export function podPlan(labels: Labels, fallback: Partial<PodKey>): PodPlan {
  const own: LabelSet = labels.sets.get(0) ?? new Map();
  const podName = own.get("pod_name") ?? fallback.podName ?? "";
  if (podName === "") {
    refuse(nameOf(0, "pod_name"), own.get("pod_name"), "the pod's name, here or as K8S_POD_NAME in CNI_ARGS");
  }
  const links = [...labels.sets]
    .sort(([left], [right]) => left - right)
    .flatMap(([number, set]) => linkIn(podName, number, set));
  refuseSharedNames(podName, links);
  return {
    podNamespace: fallback.podNamespace ?? "",
    podName,
    links,
    routes: routesIn(labels),
    parentAddress: addressIn(0, "parent_address", own),
  };
}

/** Returns the link that a set of labels asks for; none where it asks for none. */
function linkIn(podName: string, number: number, set: LabelSet): LinkPlan[] {
  const primary = set.get("primary");
  const isPrimary = primary !== undefined && truthOf(nameOf(number, "primary"), primary);
  const saysLink = LINK_KEYS.some((key) => set.has(key));
  // the pair's side needs no more than a name: the primary's labels say the rest
  if (!isPrimary && !saysLink) return [];
  const required = (key: LabelKey) => {
    const value = set.get(key);
    if (value === undefined || value === "") refuse(nameOf(number, key), value, REQUIRED[key] ?? "a value");
    return value;
  };
  const pairName = required("pair_name");
  if (pairName === podName) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `pod ${shown(podName)} is to be paired with itself: ${nameOf(number, "pair_name")} is ${shown(pairName)}`,
      "a link has two pods: name another one",
    );
  }
  const local: EndPlan = {
    podName,
    ifname: ifnameIn(number, "local_ifname", required("local_ifname")),
    addresses: prefixesIn(number, "local_ip", set),
    mirror: mirrorIn(number, set),
    parentAddress: undefined,
  };
  const remote: EndPlan = {
    podName: pairName,
    ifname: ifnameIn(number, "pair_ifname", required("pair_ifname")),
    addresses: prefixesIn(number, "pair_ip", set),
    mirror: undefined,
    parentAddress: addressIn(number, "pair_parent_address", set),
  };
  if (local.mirror?.of === local.ifname) {
    refuse(nameOf(number, "mirror"), set.get("mirror"), "another interface than that of the link itself");
  }
  refuseSubnets(number, local, remote);
  const hasIpv6 = [...local.addresses, ...remote.addresses].some(({ address }) => address.family === 6);
  return [
    {
      ...(isPrimary ? { primary: local, pair: remote } : { primary: remote, pair: local }),
      vni: numberIn(number, "vni", set, 1, LARGEST_VNI),
      mtu: numberIn(number, "mtu", set, hasIpv6 ? SMALLEST_MTU_OF_IPV6 : SMALLEST_MTU, LARGEST_MTU),
    },
  ];
}

/** The labels that only a link has: without its other labels they would be passed over, whatever they say. */
const LINK_KEYS = [
  ...(["pair_name", "pair_ip", "pair_ifname", "local_ip", "local_ifname"] as const),
  ...(["mirror", "mtu", "vni", "pair_parent_address"] as const),
];

const REQUIRED: Readonly<Partial<Record<LabelKey, string>>> = {
  pair_name: "the name of the pod at the other end",
  local_ifname: "the name that the link has in this pod",
  pair_ifname: "the name that the link has in the other pod",
};

function ifnameIn(number: number, key: LabelKey, value: string): string {
  try {
    checkInterfaceName(value);
  } catch {
    refuse(nameOf(number, key), value, "the name of an interface: at most 15 characters, no space, / or :");
  }
  if (value === "lo") refuse(nameOf(number, key), value, "another name: every pod has a lo");
  return value;
}

function prefixesIn(number: number, key: LabelKey, set: LabelSet): Prefix[] {
  const text = set.get(key) ?? "";
  if (text === "") return [];
  return text.split(",").map((one) => {
    const spelled = one.trim();
    const bare = parseAddress(spelled);
    const prefix =
      bare === undefined ? parsePrefix(spelled) : { address: bare, length: DEFAULT_LENGTH[bare.family] };
    if (prefix === undefined) {
      return refuse(nameOf(number, key), text, "an address such as 192.168.2.100/24, or several with commas");
    }
    return prefix;
  });
}

/** Both ends have to see each other as neighbours, subnet by subnet. */
function refuseSubnets(number: number, local: EndPlan, remote: EndPlan): void {
  const spelled = ({ addresses }: EndPlan) => addresses.map(formatPrefix).join(", ") || "nothing";
  const fail = (problem: string): never => {
    throw new CniError(
      ErrorCode.invalidConfig,
      `${nameOf(number, "local_ip")} is ${spelled(local)}, ${nameOf(number, "pair_ip")} is ${spelled(remote)}: ${problem}`,
      "give both ends addresses of one subnet with one prefix length, or none to either",
    );
  };
  const [locals, remotes] = [neighbourly(local.addresses), neighbourly(remote.addresses)];
  if (locals.length !== remotes.length) fail("one end has more addresses than the other");
  for (const [index, address] of locals.entries()) {
    const other = remotes[index];
    if (other === undefined) continue;
    if (address.length !== other.length || !contains(networkOf(address), other.address)) {
      fail(`${formatPrefix(address)} and ${formatPrefix(other)} are not in one subnet`);
    }
    if (sameAddress(address.address, other.address)) fail("both ends have the same address");
    for (const one of [address, other]) {
      if (!isHost(one)) fail(`${formatPrefix(one)} is the address of a whole subnet`);
    }
  }
}

/** Beside an address of the link's subnet a pod may have others of its own there: such as a router's, of full length. */
function neighbourly(addresses: readonly Prefix[]): readonly Prefix[] {
  const shared = addresses.filter(({ address, length }) => length < bitsOf(address.family));
  return shared.length === 0 ? addresses : shared;
}

function isHost(prefix: Prefix): boolean {
  const hostBits = bitsOf(prefix.address.family) - prefix.length;
  if (hostBits < 2) return true;
  const host = prefix.address.value & ((1n << BigInt(hostBits)) - 1n);
  return host !== 0n && (prefix.address.family === 6 || host !== (1n << BigInt(hostBits)) - 1n);
}

function mirrorIn(number: number, set: LabelSet): Mirror | undefined {
  const text = set.get("mirror") ?? "";
  if (text === "") return undefined;
  return (
    parseMirror(text) ??
    refuse(nameOf(number, "mirror"), text, "mirror:ingress:IF, mirror:egress:IF or mirror:both:IF")
  );
}

function addressIn(number: number, key: LabelKey, set: LabelSet): Address | undefined {
  const text = set.get(key) ?? "";
  if (text === "") return undefined;
  return parseAddress(text) ?? refuse(nameOf(number, key), text, "an IP address, such as 10.0.0.2");
}

function numberIn(
  number: number,
  key: LabelKey,
  set: LabelSet,
  lowest: number,
  highest: number,
): number | undefined {
  const text = set.get(key) ?? "";
  if (text === "") return undefined;
  const value = /^[1-9]\d{0,8}$/.test(text) ? Number(text) : 0;
  if (value < lowest || value > highest)
    refuse(nameOf(number, key), text, `a whole number from ${lowest} to ${highest}`);
  return value;
}

/** Reads `DESTINATION via GATEWAY`, several with commas, out of every set. */
function routesIn({ sets }: Labels): PlannedRoute[] {
  return [...sets].flatMap(([number, set]) => {
    const text = set.get("routes") ?? "";
    if (text === "") return [];
    return text.split(",").map((one) => {
      const [, destination = "", gateway = ""] = /^\s*(\S+)\s+via\s+(\S+)\s*$/.exec(one) ?? [];
      return (
        plannedRoute(destination, gateway) ??
        refuse(nameOf(number, "routes"), text, "DESTINATION/LENGTH via GATEWAY, several with commas")
      );
    });
  });
}

/** Returns the route, or undefined for what is none: both are of one family, and the gateway is an address. */
export function plannedRoute(destination: string, gateway: string): PlannedRoute | undefined {
  const prefix = parsePrefix(destination);
  const address = parseAddress(gateway);
  if (prefix === undefined || address === undefined || prefix.address.family !== address.family)
    return undefined;
  return { destination: networkOf(prefix), gateway: address };
}

/** Returns the route as labels spell it. */
export function formatRoute({ destination, gateway }: PlannedRoute): string {
  return `${formatPrefix(destination)} via ${formatAddress(gateway)}`;
}

function refuseSharedNames(podName: string, links: readonly LinkPlan[]): void {
  const seen = new Map<string, EndPlan>();
  for (const { primary, pair } of links) {
    const [own, other] = primary.podName === podName ? [primary, pair] : [pair, primary];
    const before = seen.get(own.ifname);
    if (before !== undefined) {
      throw new CniError(
        ErrorCode.invalidConfig,
        `pod ${shown(podName)} is to have two links called ${own.ifname}: to ${shown(before.podName)} and to ${shown(other.podName)}`,
        "give each link of a pod a local_ifname of its own",
      );
    }
    seen.set(own.ifname, other);
  }
}
