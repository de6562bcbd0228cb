// A bridge of the host: made if it is missing, and given the gateway addresses of the pods behind it. Several
// first callers may meet here; whoever comes second finds what the first one made.
import { type Address, addressBytes, addressFromBytes } from "../ip/address.ts";
import { formatHardwareAddress } from "../ip/hardware-address.ts";
import { formatPrefix, overlap, type Prefix } from "../ip/prefix.ts";
import { addAddress, deleteAddress, dumpAddresses, type LinkAddress } from "../netlink/address.ts";
import { createLink, getLink, type Link, setLink } from "../netlink/link.ts";
import { ignoring } from "../netlink/message.ts";
import type { Connection } from "./connection.ts";
import { needing } from "./feature.ts";
import { probeLinkDriver } from "./link-driver.ts";
import { preferSetting } from "./sysctl.ts";

/** What a bridge is to be like. */
export interface BridgeSettings {
  readonly name: string;
  /** For a bridge that has to be made; an existing one keeps its own. */
  readonly mtu: number | undefined;
  /** Turned on, but never off: somebody else may want it. */
  readonly promiscuous: boolean;
  /** For a bridge that has to be made: whether its ports are told apart by VLANs. */
  readonly vlanFiltering: boolean;
}

/** An interface of that name is there and is no bridge. */
export class NotABridgeError extends Error {
  override readonly name = "NotABridgeError";

  constructor(readonly link: Link) {
    super(`${JSON.stringify(link.name)} already exists but is not a bridge`);
  }
}

/** Another address stands on the bridge where the gateway should. */
export class GatewayConflictError extends Error {
  override readonly name = "GatewayConflictError";

  constructor(
    readonly bridge: string,
    readonly wanted: Prefix,
    readonly present: Prefix,
  ) {
    super(`${JSON.stringify(bridge)} already has an IP address different from ${formatPrefix(wanted)}`);
  }
}

/** Returns the bridge, or undefined if there is none; throws NotABridgeError or NetlinkError. */
export function findBridge(host: Connection, name: string): Link | undefined {
  const link = host.get(getLink(name));
  if (link !== undefined && link.kind !== "bridge") throw new NotABridgeError(link);
  return link;
}

/** Returns the bridge, made if it was missing, and up. Throws NotABridgeError, MissingFeatureError or NetlinkError. */
export function ensureBridge(host: Connection, settings: BridgeSettings): Link {
  const found = findBridge(host, settings.name) ?? createBridge(host, settings);
  if (found.up && (found.promiscuous || !settings.promiscuous)) return found;
  host.execute([setLink(found.index, { up: true, ...(settings.promiscuous ? { promiscuous: true } : {}) })]);
  return findBridge(host, settings.name) ?? found;
}

function createBridge(host: Connection, settings: BridgeSettings): Link {
  const birth = createLink(
    settings.name,
    settings.vlanFiltering ? { kind: "bridge", data: { vlanFiltering: 1 } } : { kind: "bridge" },
    {
      // an address of its own, for otherwise the bridge takes that of a port, and changes it when pods go
      address: formatHardwareAddress(randomHardwareAddress()),
      mtu: settings.mtu,
      ...(settings.promiscuous ? { promiscuous: true } : {}),
    },
  );
  const [made] = needing(
    () => probeLinkDriver(host, "bridge"),
    // somebody else may make it at this moment; then theirs is taken
    () => host.execute([ignoring(birth, "EEXIST")]),
  );
  // a router on the pods' side must not give the host a default route
  preferSetting(`ipv6/conf/${settings.name}/accept_ra`, 0);
  // it is down until now: a link-local address that is still asked about could not answer the first pods
  preferSetting(`ipv6/conf/${settings.name}/accept_dad`, 0);
  host.execute([setLink(settings.name, { up: true })]);
  const link = findBridge(host, settings.name) ?? made?.replies[0];
  if (link === undefined) throw new Error(`bridge ${settings.name} was made and is gone`);
  return link;
}

/** Returns six random bytes that an interface may carry: locally administered, no group address. */
function randomHardwareAddress(): Uint8Array {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return bytes;
}

/** Returns the addresses of an interface in CIDR notation's two halves. */
export function addressesOf(host: Connection, index: number): Prefix[] {
  return host.dump(dumpAddresses({ index })).map(prefixOf);
}

function prefixOf(address: LinkAddress): Prefix {
  return { address: addressFromBytes(address.address), length: address.prefixLength };
}

/**
 * Gives the bridge a gateway address. Another IPv4 address on it, or an IPv6 one whose subnet overlaps, is a conflict,
 * unless it is one that `isOurs` knows: it is replaced if `force` says so, and GatewayConflictError otherwise.
 */
export function ensureGateway(
  host: Connection,
  bridge: Link,
  gateway: Prefix,
  options: { readonly force: boolean; readonly isOurs: (prefix: Prefix) => boolean },
): void {
  const { family } = gateway.address;
  const present = host
    .dump(dumpAddresses({ index: bridge.index }))
    .map((address) => ({ address, prefix: prefixOf(address) }))
    .filter(({ prefix }) => prefix.address.family === family);
  if (present.some(({ prefix }) => samePrefix(prefix, gateway))) return;
  for (const { address, prefix } of present) {
    if (family === 6 ? !overlap(prefix, gateway) : options.isOurs(prefix) && !overlap(prefix, gateway))
      continue;
    if (!options.force) throw new GatewayConflictError(bridge.name, gateway, prefix);
    host.execute([
      ignoring(
        deleteAddress({
          index: bridge.index,
          address: address.address,
          prefixLength: address.prefixLength,
        }),
        "EADDRNOTAVAIL",
      ),
    ]);
  }
  host.execute([
    ignoring(
      addAddress({
        index: bridge.index,
        address: addressBytes(gateway.address),
        prefixLength: gateway.length,
        broadcast: family === 4 ? broadcastOf(gateway) : undefined,
        // the first pod should not wait until IPv6 has made sure that nobody else is the gateway
        skipDuplicateDetection: family === 6,
      }),
      "EEXIST",
    ),
  ]);
}

function samePrefix(left: Prefix, right: Prefix): boolean {
  return left.address.value === right.address.value && left.length === right.length;
}

/** Returns the broadcast address of an IPv4 subnet; undefined where it has none (RFC 3021). */
export function broadcastOf(prefix: Prefix): Uint8Array | undefined {
  if (prefix.address.family !== 4 || prefix.length > 30) return undefined;
  const hostBits = BigInt(32 - prefix.length);
  const last: Address = { family: 4, value: prefix.address.value | ((1n << hostBits) - 1n) };
  return addressBytes(last);
}
