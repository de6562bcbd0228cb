// The container's interface as a result tells of it: which addresses the IPAM plugin gave it, how ADD writes it down,
// and whether what is there now is still the same, which is what every CHECK begins with.
import { CniError, ErrorCode, stateDiffers } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import type { AttachedAddress, Interface, Result, Route } from "../cni/result.ts";
import { formatAddress, parseAddress } from "../ip/address.ts";
import { formatPrefix, networkOf, type Prefix, parsePrefix } from "../ip/prefix.ts";
import { netnsIsGone } from "../ledger/owner.ts";
import type { Connection } from "../net/connection.ts";
import {
  bringUp,
  configureInterface,
  type InterfaceAddress,
  type InterfaceRoute,
  missingAddresses,
  missingRoutes,
  routeFrom,
} from "../net/interface.ts";
import { type Netns, NetnsError, openNetns } from "../net/netns.ts";
import { findLink, type Link } from "../net/veth.ts";

/** Returns the addresses of a result; throws CniError 6 for one that is none. */
export function addressesIn(ips: readonly AttachedAddress[]): InterfaceAddress[] {
  return ips.map(({ address, gateway }) => {
    const prefix = parsePrefix(address);
    if (prefix === undefined) {
      throw new CniError(ErrorCode.decodingFailure, `the IPAM plugin gave the address ${shown(address)}`);
    }
    return { prefix, gateway: gateway === undefined ? undefined : parseAddress(gateway) };
  });
}

/** Returns the addresses as a result spells them, all of the interface with this number. */
export function spelledAddresses(addresses: readonly InterfaceAddress[], index: number): AttachedAddress[] {
  return addresses.map(({ prefix, gateway }) => ({
    interface: index,
    address: formatPrefix(prefix),
    ...(gateway === undefined ? {} : { gateway: formatAddress(gateway) }),
  }));
}

/** Returns the subnets of addresses, each once. */
export function subnetsOf(addresses: readonly Pick<InterfaceAddress, "prefix">[]): Prefix[] {
  const distinct = new Map(
    addresses.map(({ prefix }) => [formatPrefix(networkOf(prefix)), networkOf(prefix)]),
  );
  return [...distinct.values()];
}

/** Throws CniError 102 if the container has an interface of that name. */
export function refuseTakenName(inside: Connection, ifname: string, netns: string): void {
  const taken = findLink(inside, ifname);
  if (taken === undefined) return;
  throw new CniError(
    ErrorCode.nameTaken,
    `container interface ${shown(ifname)} already exists in ${netns}`,
    `it is a ${taken.kind || "physical"} interface; DEL the attachment first, or choose another CNI_IFNAME`,
  );
}

/** Returns the container's interface; throws CniError 7 if it is not there. */
export function interfaceIn(inside: Connection, netns: Netns, ifname: string): Link {
  const link = findLink(inside, ifname);
  if (link !== undefined) return link;
  throw new CniError(
    ErrorCode.invalidConfig,
    `container interface ${shown(ifname)} is not in ${netns.path}`,
    "the plugin before this one in the chain has to make it",
  );
}

/** Brings the container's interface up, with its addresses and routes where it has any. */
export function bringUpWith(
  inside: Connection,
  netns: Netns,
  { name, index }: Link,
  addresses: readonly InterfaceAddress[],
  routes: readonly Route[],
): void {
  if (addresses.length === 0) bringUp(inside, index);
  else {
    configureInterface(inside, netns, {
      ...{ name, index, addresses, detectDuplicates: false },
      routes: routes.map((route) => routeFrom(route, addresses)),
    });
  }
}

/** The container's interface and its addresses, as the result of the ADD has them. */
export interface ReportedInterface {
  readonly one: Interface;
  readonly addresses: readonly InterfaceAddress[];
}

/** Returns what the result says of the container's interface; throws CniError 7 if it says nothing. */
export function reportedInterface(previous: Result | undefined, ifname: string): ReportedInterface {
  // clients compare this message whole
  if (previous === undefined) throw new CniError(ErrorCode.invalidConfig, "Required prevResult missing");
  const index = previous.interfaces.findIndex(
    ({ name, sandbox }) => name === ifname && (sandbox ?? "") !== "",
  );
  const one = previous.interfaces[index];
  if (one === undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `prevResult has no interface ${shown(ifname)} with a sandbox`,
      "expected the result of this attachment's ADD",
    );
  }
  return { one, addresses: addressesIn(previous.ips.filter((ip) => ip.interface === index)) };
}

/** What CHECK expects of the container's interface beside its addresses. */
export interface ExpectedInterface {
  /** Undefined where any will do. */
  readonly kind: string | undefined;
  readonly reported: ReportedInterface;
  readonly routes: readonly InterfaceRoute[];
  /** Undefined where any will do: neither result nor config says one, or a plugin behind may have changed it. */
  readonly mtu: number | undefined;
  /** False for an interface that the config leaves down. */
  readonly up?: boolean | undefined;
}

/**
 * Returns the container's interface if it is what ADD made: kind, hardware address, MTU, up, addresses and routes.
 * Throws CniError 103 naming the first difference.
 */
export function verifyInterface(inside: Connection, netns: string, expected: ExpectedInterface): Link {
  const { one, addresses } = expected.reported;
  const link = findLink(inside, one.name);
  if (link === undefined) throw stateDiffers(`interface ${one.name} is gone from ${netns}`);
  if (expected.kind !== undefined && link.kind !== expected.kind) {
    throw stateDiffers(
      `interface ${link.name} is a ${link.kind || "physical interface"}, not a ${expected.kind}`,
    );
  }
  const address = one.mac ?? "";
  if (address !== "" && address.toLowerCase() !== link.address) {
    throw stateDiffers(`interface ${link.name} has the address ${link.address}, its result says ${address}`);
  }
  if (expected.mtu !== undefined && link.mtu !== expected.mtu) {
    throw stateDiffers(`interface ${link.name} has the MTU ${link.mtu}, not ${expected.mtu}`);
  }
  if (expected.up !== false && !link.up) throw stateDiffers(`interface ${link.name} is down`);
  const wanted = addresses.map(({ prefix }) => prefix);
  const [lacking] = missingAddresses(inside, link.index, wanted);
  if (lacking !== undefined) {
    throw stateDiffers(`interface ${link.name} lacks the address ${formatPrefix(lacking)}`);
  }
  const [route] = missingRoutes(inside, link.index, expected.routes);
  if (route !== undefined) {
    throw stateDiffers(`interface ${link.name} lacks the route to ${formatPrefix(route.destination)}`);
  }
  return link;
}

/** Where an attachment was made, as far as it is written down. */
export interface RecordedContainer {
  readonly netns: string;
  readonly netnsInode: string | null;
}

/** Returns the container's namespace; undefined if it is gone, or something else stands in its place. */
export function openContainer(container: RecordedContainer): Netns | undefined {
  if (container.netns === "" || netnsIsGone(container)) return undefined;
  try {
    return openNetns(container.netns);
  } catch (error) {
    if (error instanceof NetnsError) return undefined;
    throw error;
  }
}
