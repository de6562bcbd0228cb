// A wireguard device: an interface whose packets go to its peers encrypted, in UDP packets of the namespace that it was
// made in, wherever it is itself. Peers are told only what is new to them: whoever is not mentioned keeps its session.
import { type Address, addressBytes, addressFromBytes, type Family, sameAddress } from "../ip/address.ts";
import { formatPrefix, networkOf, type Prefix } from "../ip/prefix.ts";
import { getFamilyNumber } from "../netlink/generic.ts";
import { createLink, type Link, setLink } from "../netlink/link.ts";
import { isNetlinkError } from "../netlink/message.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import {
  type AllowedIp,
  dumpWireguard,
  joinedParts,
  type SocketAddress,
  setWireguard,
  WIREGUARD_FAMILY,
  type WireguardPeerSettings,
  type WireguardPeerState,
} from "../netlink/wireguard.ts";
import { bornInside } from "./birth.ts";
import type { Connection } from "./connection.ts";
import { MissingFeatureError, needing } from "./feature.ts";
import { inNetns, type Netns } from "./netns.ts";
import { formatPublicKey, type PrivateKey, publicKeyBytes } from "./wireguard-key.ts";

/** Returns how many bytes of a packet go with the encryption: the MTU inside is so much smaller than that outside. */
export function wireguardOverhead(family: Family): 60 | 80 {
  return family === 4 ? 60 : 80;
}

/** Where a peer's packets go to. */
export interface Endpoint {
  readonly address: Address;
  readonly port: number;
}

/** A peer as it is to be. */
export interface WireguardPeer {
  /** 44 characters of base64, by which a peer is known. */
  readonly publicKey: string;
  /** Undefined where only the peer knows from where it speaks. */
  readonly endpoint: Endpoint | undefined;
  /** What is sent to it, and what it may send from. No two peers of a device can have one. */
  readonly allowedPrefixes: readonly Prefix[];
  /** How often it is told that we are there; 0 is never. */
  readonly keepaliveSeconds: number;
}

/** A peer as it is. */
export interface PresentPeer extends WireguardPeer {
  /** When the last session began, on the clock of the day; undefined if there was none. */
  readonly lastHandshakeMs: number | undefined;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** A device as it is. */
export interface WireguardDevice {
  /** Undefined as long as it has no private key. */
  readonly publicKey: string | undefined;
  /** 0 as long as it has none and was never up. */
  readonly listenPort: number;
  readonly peers: readonly PresentPeer[];
}

/** What a device has of its own. */
export interface WireguardIdentity {
  readonly privateKey: PrivateKey;
  /** The one that belongs to it. */
  readonly publicKey: string;
  readonly listenPort: number;
}

/** The UDP port is somebody else's. */
export class PortTakenError extends Error {
  override readonly name = "PortTakenError";

  constructor(
    readonly port: number,
    options?: { readonly cause?: unknown },
  ) {
    super(`UDP port ${port} of the host is taken by somebody else`, options);
  }
}

/** A wireguard device that is to be. */
export interface WireguardLinkSettings {
  readonly name: string;
  readonly mtu: number;
  /** Says whose it is. */
  readonly alias: string;
}

/**
 * Makes the device inside the namespace, still down, and returns its link. Its packets are the host's: they leave by the
 * host's routes and come in by the host's port, because the namespace that asks is the one that the device speaks in.
 * Throws MissingFeatureError, or NetlinkError, EEXIST where there is an interface of that name.
 */
export function createWireguard(
  host: Connection,
  netns: Netns,
  inside: Connection,
  { name, mtu, alias }: WireguardLinkSettings,
): Link {
  const made = bornInside(inside, name, (born) => {
    needing(probeWireguard, () =>
      host.execute([createLink(born, { kind: "wireguard" }, { mtu, netNamespaceFd: netns.fd })]),
    );
  });
  inside.execute([setLink(made.index, { alias })]);
  return made;
}

/** Brings the device up, which takes its port; throws PortTakenError or NetlinkError. */
export function startWireguard(inside: Connection, index: number, port: number): void {
  try {
    inside.execute([setLink(index, { up: true })]);
  } catch (error) {
    throw isNetlinkError(error, "EADDRINUSE") ? new PortTakenError(port, { cause: error }) : error;
  }
}

/** Throws MissingFeatureError if the kernel has no wireguard. Nothing is made. */
export function probeWireguard(): void {
  WireguardControl.open().close();
}

/** A conversation about the wireguard devices of one namespace, closed by `using`. */
export class WireguardControl implements Disposable {
  private constructor(
    private readonly socket: NetlinkSocket,
    private readonly family: number,
  ) {}

  /**
   * Opens one about the devices of a namespace, this process's own by default. Throws MissingFeatureError where the
   * kernel has no wireguard and no module of it, SystemError or NetlinkError.
   */
  static open(netns?: Netns): WireguardControl {
    const socket =
      netns === undefined
        ? NetlinkSocket.open("generic")
        : inNetns(netns, () => NetlinkSocket.open("generic"));
    try {
      return WireguardControl.over(socket);
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  /** The same over a socket that is open; throws MissingFeatureError or NetlinkError. */
  static over(socket: NetlinkSocket): WireguardControl {
    const family = socket.get(getFamilyNumber(WIREGUARD_FAMILY));
    if (family !== undefined) return new WireguardControl(socket, family);
    throw new MissingFeatureError("wireguard", "load the module wireguard, or use the backend vxlan");
  }

  /**
   * Returns the device with all its peers; undefined if there is no interface of that name. Throws NetlinkError,
   * EOPNOTSUPP for one of another kind.
   */
  read(name: string): WireguardDevice | undefined {
    try {
      const { publicKey, listenPort, peers } = joinedParts(
        this.socket.dump(dumpWireguard(this.family, name)),
      );
      return {
        publicKey: publicKey === undefined ? undefined : formatPublicKey(publicKey),
        listenPort,
        peers: peers.map(presentPeer),
      };
    } catch (error) {
      if (isNetlinkError(error, "ENODEV")) return undefined;
      throw error;
    }
  }

  /**
   * Gives the device its key and its port where `present` has others, and returns which it gave: a key is never given
   * twice, because every session ends with it. Throws PortTakenError or NetlinkError.
   */
  setIdentity(
    name: string,
    present: WireguardDevice,
    { privateKey, publicKey, listenPort }: WireguardIdentity,
  ): ("key" | "port")[] {
    const hasKey = present.publicKey === publicKey;
    const hasPort = present.listenPort === listenPort;
    if (hasKey && hasPort) return [];
    try {
      this.socket.execute(
        setWireguard(this.family, name, {
          privateKey: hasKey ? undefined : privateKey.reveal(),
          listenPort: hasPort ? undefined : listenPort,
        }),
      );
    } catch (error) {
      throw isNetlinkError(error, "EADDRINUSE") ? new PortTakenError(listenPort, { cause: error }) : error;
    }
    return [...(hasKey ? [] : (["key"] as const)), ...(hasPort ? [] : (["port"] as const))];
  }

  /** Makes the changes, and says nothing to the kernel where there are none. Throws NetlinkError. */
  changePeers(name: string, { removed, changed, added }: PeerChanges): void {
    const peers: WireguardPeerSettings[] = [
      // first, so that a key's successor can have its prefixes
      ...removed.map((publicKey) => ({ publicKey: publicKeyBytes(publicKey), remove: true })),
      ...changed.map(changedPeer),
      ...added.map(addedPeer),
    ];
    if (peers.length > 0) this.socket.execute(setWireguard(this.family, name, { peers }));
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Ends it. */
  close(): void {
    this.socket.close();
  }
}

/** What differs of one peer: what is undefined stays as it is. */
export interface PeerChange {
  readonly publicKey: string;
  readonly endpoint: Endpoint | undefined;
  readonly keepaliveSeconds: number | undefined;
  /** Prefixes that it gets. */
  readonly gained: readonly Prefix[];
  /** All that it is to have, where it has one that it may not have any more. */
  readonly replaced: readonly Prefix[] | undefined;
}

/** What makes the peers of a device those that are wanted. */
export interface PeerChanges {
  readonly added: readonly WireguardPeer[];
  readonly changed: readonly PeerChange[];
  /** Public keys. */
  readonly removed: readonly string[];
  /** Public keys of those that are as they should be, and hear nothing. */
  readonly kept: readonly string[];
}

/**
 * Returns only what differs. Where no endpoint is wanted, because the peer speaks first, it is what the kernel has learned. Of
 * several wanted peers with one key the first counts. One with the device's own key is for the caller to leave out: the
 * kernel takes it and forgets it.
 */
export function peerChanges(present: WireguardDevice, wanted: readonly WireguardPeer[]): PeerChanges {
  const presentByKey = new Map(present.peers.map((peer) => [peer.publicKey, peer]));
  const added: WireguardPeer[] = [];
  const changed: PeerChange[] = [];
  const kept: string[] = [];
  const seen = new Set<string>();
  for (const peer of wanted) {
    if (seen.has(peer.publicKey)) continue;
    seen.add(peer.publicKey);
    const now = presentByKey.get(peer.publicKey);
    presentByKey.delete(peer.publicKey);
    const change = now === undefined ? undefined : peerChange(now, peer);
    if (now === undefined) added.push(peer);
    else if (change === undefined) kept.push(peer.publicKey);
    else changed.push(change);
  }
  return { added, changed, removed: [...presentByKey.keys()], kept };
}

function peerChange(now: WireguardPeer, wanted: WireguardPeer): PeerChange | undefined {
  const has = new Set(now.allowedPrefixes.map(spelledNetwork));
  const mayHave = new Set(wanted.allowedPrefixes.map(spelledNetwork));
  const gained = wanted.allowedPrefixes.filter((prefix) => !has.has(spelledNetwork(prefix)));
  const loses = [...has].some((spelled) => !mayHave.has(spelled));
  const endpoint = isAt(now.endpoint, wanted.endpoint) ? undefined : wanted.endpoint;
  const keepaliveSeconds =
    now.keepaliveSeconds === wanted.keepaliveSeconds ? undefined : wanted.keepaliveSeconds;
  if (!loses && gained.length === 0 && endpoint === undefined && keepaliveSeconds === undefined) {
    return undefined;
  }
  return {
    publicKey: wanted.publicKey,
    endpoint,
    keepaliveSeconds,
    gained,
    replaced: loses ? wanted.allowedPrefixes : undefined,
  };
}

/** True if nothing differs but where the peer's packets go: then the kernel may have learned better from the peer itself. */
export function differsInEndpointOnly(change: PeerChange): boolean {
  const { keepaliveSeconds, gained, replaced } = change;
  return keepaliveSeconds === undefined && gained.length === 0 && replaced === undefined;
}

function spelledNetwork(prefix: Prefix): string {
  return formatPrefix(networkOf(prefix));
}

function isAt(now: Endpoint | undefined, wanted: Endpoint | undefined): boolean {
  if (now === undefined || wanted === undefined) return wanted === undefined;
  return now.port === wanted.port && sameAddress(now.address, wanted.address);
}

function changedPeer({
  publicKey,
  endpoint,
  keepaliveSeconds,
  gained,
  replaced,
}: PeerChange): WireguardPeerSettings {
  return {
    publicKey: publicKeyBytes(publicKey),
    // half a peer would be no use if somebody has removed it meanwhile
    updateOnly: true,
    endpoint: endpoint && socketAddress(endpoint),
    keepaliveSeconds,
    replaceAllowedIps: replaced !== undefined,
    allowedIps: (replaced ?? gained).map(allowedIp),
  };
}

function addedPeer({
  publicKey,
  endpoint,
  keepaliveSeconds,
  allowedPrefixes,
}: WireguardPeer): WireguardPeerSettings {
  return {
    publicKey: publicKeyBytes(publicKey),
    endpoint: endpoint && socketAddress(endpoint),
    keepaliveSeconds,
    replaceAllowedIps: true,
    allowedIps: allowedPrefixes.map(allowedIp),
  };
}

function socketAddress({ address, port }: Endpoint): SocketAddress {
  return { address: addressBytes(address), port };
}

function allowedIp(prefix: Prefix): AllowedIp {
  return { address: addressBytes(networkOf(prefix).address), prefixLength: prefix.length };
}

function presentPeer(peer: WireguardPeerState): PresentPeer {
  const { publicKey, endpoint, keepaliveSeconds, lastHandshakeMs, receivedBytes, sentBytes } = peer;
  return {
    publicKey: formatPublicKey(publicKey),
    endpoint: endpoint && { address: addressFromBytes(endpoint.address), port: endpoint.port },
    keepaliveSeconds,
    allowedPrefixes: peer.allowedIps.map(({ address, prefixLength }) => ({
      address: addressFromBytes(address),
      length: prefixLength,
    })),
    lastHandshakeMs: lastHandshakeMs === 0 ? undefined : lastHandshakeMs,
    receivedBytes: Number(receivedBytes),
    sentBytes: Number(sentBytes),
  };
}
