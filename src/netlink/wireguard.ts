// Wireguard devices as generic netlink speaks of them (linux/wireguard.h). A device with many peers fits no message: what
// is set is cut where the tool wg cuts it, and what is read comes in parts that are put together here.
import { type Codec, CodecError, sameBytes, type ValueOf, Writer } from "./buffer.ts";
import {
  attributes,
  be16,
  be32,
  bytes,
  exactBytes,
  headed,
  list,
  nested,
  padding,
  struct,
  text,
  u8,
  u16,
  u32,
  u64,
} from "./codec.ts";
import { genericHeader } from "./generic.ts";
import { HEADER_BYTES, type Request } from "./message.ts";

/** The name by which the controller knows the family. */
export const WIREGUARD_FAMILY = "wireguard"; // WG_GENL_NAME

const VERSION = 1; // WG_GENL_VERSION
const GET_DEVICE = 0; // WG_CMD_GET_DEVICE
const SET_DEVICE = 1; // WG_CMD_SET_DEVICE

const REPLACE_PEERS = 1; // WGDEVICE_F_REPLACE_PEERS
// WGPEER_F_*
const REMOVE_ME = 1;
const REPLACE_ALLOWED_IPS = 2;
const UPDATE_ONLY = 4;

const AF_INET = 2;
const AF_INET6 = 10;

/** A key of Curve25519, public or secret: what is wrong with one is told without its bytes. */
const key = exactBytes(32);

/** struct sockaddr_in, linux/in.h */
const ipv4SocketAddress = struct({ family: u16, port: be16, address: exactBytes(4), padding: padding(8) });
/** struct sockaddr_in6, linux/in6.h */
const ipv6SocketAddress = struct({
  family: u16,
  port: be16,
  flow: be32,
  address: exactBytes(16),
  scope: u32,
});

/** Where a peer's packets go to. */
export interface SocketAddress {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
}

const socketAddress: Codec<SocketAddress> = {
  encode(writer, { address, port }) {
    if (address.length === 4) ipv4SocketAddress.encode(writer, { family: AF_INET, port, address });
    else ipv6SocketAddress.encode(writer, { family: AF_INET6, port, flow: 0, address, scope: 0 });
  },
  decode(reader) {
    const family = reader.left < 2 ? 0 : reader.view.getUint16(reader.offset, true);
    if (family !== AF_INET && family !== AF_INET6) throw new CodecError("family", `${family} is neither IP`);
    const { address, port } = (family === AF_INET ? ipv4SocketAddress : ipv6SocketAddress).decode(reader);
    return { address, port };
  },
};

const allowedIp = attributes({
  family: [1, u16], // WGALLOWEDIP_A_FAMILY
  address: [2, bytes], // WGALLOWEDIP_A_IPADDR
  prefixLength: [3, u8], // WGALLOWEDIP_A_CIDR_MASK
});

const peer = attributes({
  publicKey: [1, key], // WGPEER_A_PUBLIC_KEY
  presharedKey: [2, key], // WGPEER_A_PRESHARED_KEY
  flags: [3, u32], // WGPEER_A_FLAGS
  endpoint: [4, socketAddress], // WGPEER_A_ENDPOINT
  keepaliveSeconds: [5, u16], // WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL
  lastHandshake: [6, struct({ seconds: u64, nanoseconds: u64 })], // WGPEER_A_LAST_HANDSHAKE_TIME
  receivedBytes: [7, u64], // WGPEER_A_RX_BYTES
  sentBytes: [8, u64], // WGPEER_A_TX_BYTES
  allowedIps: [9, nested(list(nested(allowedIp), 0))], // WGPEER_A_ALLOWEDIPS
  protocolVersion: [10, u32], // WGPEER_A_PROTOCOL_VERSION
});

const device = attributes({
  index: [1, u32], // WGDEVICE_A_IFINDEX
  name: [2, text], // WGDEVICE_A_IFNAME
  privateKey: [3, key], // WGDEVICE_A_PRIVATE_KEY
  publicKey: [4, key], // WGDEVICE_A_PUBLIC_KEY
  flags: [5, u32], // WGDEVICE_A_FLAGS
  listenPort: [6, u16], // WGDEVICE_A_LISTEN_PORT
  mark: [7, u32], // WGDEVICE_A_FWMARK
  peers: [8, nested(list(nested(peer), 0))], // WGDEVICE_A_PEERS
});

/** The body of a message about a device. */
export const wireguardMessage = headed(genericHeader, device);

type AllowedIpAttributes = ValueOf<typeof allowedIp>;
type PeerAttributes = ValueOf<typeof peer>;
type DeviceAttributes = ValueOf<typeof device>;

/** A range of addresses that a peer may send from and is sent to. */
export interface AllowedIp {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly prefixLength: number;
}

/** What a peer is told to be. What is left out stays as it is. */
export interface WireguardPeerSettings {
  /** 32 bytes; a peer is known by them. */
  readonly publicKey: Uint8Array;
  /** It goes. */
  readonly remove?: boolean | undefined;
  /** Only if it is there. */
  readonly updateOnly?: boolean | undefined;
  /** 32 bytes. */
  readonly presharedKey?: Uint8Array | undefined;
  readonly endpoint?: SocketAddress | undefined;
  /** 0 turns it off. */
  readonly keepaliveSeconds?: number | undefined;
  /** It loses the ranges that it has. */
  readonly replaceAllowedIps?: boolean | undefined;
  /** Ranges that it gets; whichever peer has one already loses it. */
  readonly allowedIps?: readonly AllowedIp[] | undefined;
}

/** What a device is told to be. What is left out stays as it is. */
export interface WireguardSettings {
  /** 32 bytes. Every session ends with it, also where it is the one that the device has. */
  readonly privateKey?: Uint8Array | undefined;
  readonly listenPort?: number | undefined;
  /** SO_MARK of its packets. */
  readonly mark?: number | undefined;
  /** It loses the peers that it has. */
  readonly replacePeers?: boolean | undefined;
  readonly peers?: readonly WireguardPeerSettings[] | undefined;
}

/** How long a message of wg gets: a page. */
const MESSAGE_LIMIT_BYTES = 4096;
const ATTRIBUTE_HEADER_BYTES = 4;

/**
 * Changes the device `name` of the socket's namespace; `family` is the number of WIREGUARD_FAMILY. There are several
 * requests where the peers don't fit one, to be sent in their order. A peer may go on in the next one, then without
 * the flag that takes what it has.
 */
export function setWireguard(family: number, name: string, settings: WireguardSettings): Request<never>[] {
  const { privateKey, listenPort, mark, replacePeers, peers = [] } = settings;
  const own = { name, privateKey, listenPort, mark, flags: replacePeers ? REPLACE_PEERS : undefined };
  return cutUp(own, { name }, peers).map((message) => ({
    operation: `set wireguard device ${name}`,
    type: family,
    flags: 0,
    encode: (writer) =>
      wireguardMessage.encode(writer, {
        header: { command: SET_DEVICE, version: VERSION },
        attributes: message,
      }),
  }));
}

const scratch = new Writer();
function lengthOf<T>(codec: Codec<T>, value: T): number {
  scratch.reset();
  codec.encode(scratch, value);
  return scratch.offset;
}

/** Returns the messages that say it all: `first` heads the first of them, `next` each of the others. */
function cutUp(
  first: DeviceAttributes,
  next: DeviceAttributes,
  settings: readonly WireguardPeerSettings[],
): DeviceAttributes[] {
  const messages: DeviceAttributes[] = [];
  let head = first;
  let peers: PeerAttributes[] = [];
  let length = 0;
  const begin = () => {
    peers = [];
    length = HEADER_BYTES + lengthOf(genericHeader, { command: SET_DEVICE, version: VERSION });
    length += lengthOf(device, head) + ATTRIBUTE_HEADER_BYTES;
  };
  const end = () => {
    messages.push(peers.length === 0 ? head : { ...head, peers });
    head = next;
    begin();
  };
  begin();
  for (const one of settings) {
    let part = peerHead(one);
    let left = (one.allowedIps ?? []).map(allowedIpAttributes);
    for (;;) {
      const partLength = ATTRIBUTE_HEADER_BYTES + lengthOf(peer, part);
      if (length + partLength > MESSAGE_LIMIT_BYTES && peers.length > 0) {
        end();
        continue;
      }
      length += partLength;
      if (left.length === 0) {
        peers.push(part);
        break;
      }
      const fitting = howManyFit(left, MESSAGE_LIMIT_BYTES - length - ATTRIBUTE_HEADER_BYTES);
      const now = left.slice(0, fitting.count);
      left = left.slice(fitting.count);
      length += ATTRIBUTE_HEADER_BYTES + fitting.bytes;
      peers.push({ ...part, allowedIps: now });
      if (left.length === 0) break;
      part = { publicKey: one.publicKey, flags: flagsOf({ updateOnly: one.updateOnly }) };
      end();
    }
  }
  if (peers.length > 0 || messages.length === 0) end();
  return messages;
}

function peerHead(settings: WireguardPeerSettings): PeerAttributes {
  const { publicKey, presharedKey, endpoint, keepaliveSeconds } = settings;
  return { publicKey, presharedKey, endpoint, keepaliveSeconds, flags: flagsOf(settings) };
}

function flagsOf({
  remove,
  updateOnly,
  replaceAllowedIps,
}: Pick<WireguardPeerSettings, "remove" | "updateOnly" | "replaceAllowedIps">): number | undefined {
  const flags =
    (remove ? REMOVE_ME : 0) | (replaceAllowedIps ? REPLACE_ALLOWED_IPS : 0) | (updateOnly ? UPDATE_ONLY : 0);
  return flags === 0 ? undefined : flags;
}

function allowedIpAttributes({ address, prefixLength }: AllowedIp): AllowedIpAttributes {
  return { family: address.length === 4 ? AF_INET : AF_INET6, address, prefixLength };
}

/** Returns how many of the ranges find room, and how much of it they take. */
function howManyFit(allowedIps: readonly AllowedIpAttributes[], room: number) {
  let count = 0;
  let used = 0;
  for (const one of allowedIps) {
    const length = ATTRIBUTE_HEADER_BYTES + lengthOf(allowedIp, one);
    if (used + length > room) break;
    used += length;
    count++;
  }
  return { count, bytes: used };
}

/** A peer as the kernel describes it. Its preshared key is never kept. */
export interface WireguardPeerState {
  readonly publicKey: Uint8Array;
  readonly endpoint: SocketAddress | undefined;
  /** 0 where it is off. */
  readonly keepaliveSeconds: number;
  /** When the last session began, on the clock of the day; 0 if none ever has. */
  readonly lastHandshakeMs: number;
  readonly receivedBytes: bigint;
  readonly sentBytes: bigint;
  readonly allowedIps: readonly AllowedIp[];
}

/** A device as the kernel describes it. Its private key is never kept. */
export interface WireguardState {
  readonly index: number;
  readonly name: string;
  /** Undefined as long as it has no private key. */
  readonly publicKey: Uint8Array | undefined;
  /** 0 where the kernel is to choose one when the device comes up. */
  readonly listenPort: number;
  readonly peers: readonly WireguardPeerState[];
}

/**
 * Asks for the device `name` of the socket's namespace, in parts that `joinedParts` puts together. ENODEV where there is
 * none, EOPNOTSUPP where it is no wireguard.
 */
export function dumpWireguard(family: number, name: string): Request<WireguardPart> {
  return {
    operation: `read wireguard device ${name}`,
    type: family,
    flags: 0,
    encode(writer) {
      wireguardMessage.encode(writer, {
        header: { command: GET_DEVICE, version: VERSION },
        attributes: { name },
      });
    },
    decode(reader) {
      reader.keepUnknown = false;
      const { privateKey: _, peers = [], ...rest } = wireguardMessage.decode(reader).attributes;
      return { ...rest, peers: peers.map(readPeer) };
    },
  };
}

/** What one message says of a device: what only the first one says is undefined in the others. */
export interface WireguardPart {
  readonly index?: number | undefined;
  readonly name?: string | undefined;
  readonly publicKey?: Uint8Array | undefined;
  readonly listenPort?: number | undefined;
  readonly peers: readonly WireguardPeerState[];
}

function readPeer(values: PeerAttributes): WireguardPeerState {
  const { publicKey, endpoint, keepaliveSeconds = 0, lastHandshake, allowedIps = [] } = values;
  if (publicKey === undefined) throw new CodecError("peers", "a peer without a public key");
  const { seconds, nanoseconds } = lastHandshake ?? { seconds: 0n, nanoseconds: 0n };
  return {
    publicKey,
    endpoint,
    keepaliveSeconds,
    lastHandshakeMs: Number(seconds) * 1000 + Number(nanoseconds / 1_000_000n),
    receivedBytes: values.receivedBytes ?? 0n,
    sentBytes: values.sentBytes ?? 0n,
    allowedIps: allowedIps.map(readAllowedIp),
  };
}

function readAllowedIp({ address, prefixLength = 0 }: AllowedIpAttributes): AllowedIp {
  const length = address?.length ?? 0;
  if (address === undefined || (length !== 4 && length !== 16) || prefixLength > length * 8) {
    throw new CodecError("peers.allowedIps", `a prefix of ${prefixLength} bits on ${length} bytes`);
  }
  return { address, prefixLength };
}

/** Puts the parts of a device together: a peer whose ranges didn't fit one goes on as the first of the next. */
export function joinedParts(parts: readonly WireguardPart[]): WireguardState {
  const peers: WireguardPeerState[] = [];
  for (const part of parts) {
    for (const one of part.peers) {
      const last = peers.at(-1);
      if (last === undefined || !sameBytes(last.publicKey, one.publicKey)) peers.push(one);
      else peers[peers.length - 1] = { ...last, allowedIps: [...last.allowedIps, ...one.allowedIps] };
    }
  }
  const [first] = parts;
  return {
    index: first?.index ?? 0,
    name: first?.name ?? "",
    publicKey: first?.publicKey,
    listenPort: first?.listenPort ?? 0,
    peers,
  };
}
