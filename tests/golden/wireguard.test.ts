// Messages about wireguard devices: what wg of wireguard-tools 1.0.20210914 sent to Linux 6.1 and what that answered, also
// where it takes several messages. The keys are made up, 32 bytes in steps of seven.
import { describe, expect, test } from "bun:test";
import { Reader, Writer } from "../../src/netlink/buffer.ts";
import { familyMessage, getFamilyNumber } from "../../src/netlink/generic.ts";
import { HEADER_BYTES, writeMessage } from "../../src/netlink/message.ts";
import { NetlinkSocket } from "../../src/netlink/socket.ts";
import {
  dumpWireguard,
  joinedParts,
  type SocketAddress,
  setWireguard,
  type WireguardPeerSettings,
  type WireguardPeerState,
  wireguardMessage,
} from "../../src/netlink/wireguard.ts";
import { done, fakeKernel } from "../support/fake-kernel.ts";
import { asFirstAnswer, recordedMessages } from "../support/recorded.ts";
import { golden, goldenRequest, message } from "./message.ts";

const FAMILY_ASKED = message(
  "24 00 00 00  10 00  05 00  df 57 0b 6b  00 00 00 00", // length 36, GENL_ID_CTRL, flags 0x5
  "03 01 00 00", // genlmsghdr: CTRL_CMD_GETFAMILY, version 1
  "0e 00 02 00  77 69 72 65 67 75 61 72 64 00 00 00", // CTRL_ATTR_FAMILY_NAME, wireguard
);

const FAMILY_TOLD = message(
  "70 00 00 00  10 00  00 00  df 57 0b 6b  77 00 00 00", // length 112, GENL_ID_CTRL
  "01 02 00 00", // genlmsghdr: CTRL_CMD_NEWFAMILY, version 2
  "0e 00 02 00  77 69 72 65 67 75 61 72 64 00 00 00", // CTRL_ATTR_FAMILY_NAME, wireguard
  "06 00 01 00  20 00 00 00", // CTRL_ATTR_FAMILY_ID, 32
  "08 00 03 00  01 00 00 00", // CTRL_ATTR_VERSION
  "08 00 04 00  00 00 00 00", // CTRL_ATTR_HDRSIZE
  "08 00 05 00  08 00 00 00", // CTRL_ATTR_MAXATTR
  "2c 00 06 00", // CTRL_ATTR_OPS, 44 bytes
  "14 00 01 00  08 00 01 00 00 00 00 00  08 00 02 00 1c 00 00 00", //   WG_CMD_GET_DEVICE
  "14 00 02 00  08 00 01 00 01 00 00 00  08 00 02 00 1a 00 00 00", //   WG_CMD_SET_DEVICE
);

const SETCONF = message(
  "60 01 00 00  20 00  05 00  df 57 0b 6b  00 00 00 00", // length 352, family 32, flags 0x5
  "01 01 00 00", // genlmsghdr: WG_CMD_SET_DEVICE
  "08 00 02 00  77 67 30 00", // WGDEVICE_A_IFNAME, wg0
  "24 00 03 00  01 08 0f 16 1d 24 2b 32 39 40 47 4e 55 5c 63 6a 71 78 7f 86 8d 94 9b a2 a9 b0 b7 be c5 cc d3 da", // WGDEVICE_A_PRIVATE_KEY
  "06 00 06 00  e0 6e 00 00", // WGDEVICE_A_LISTEN_PORT, 28384
  "08 00 07 00  00 00 00 00", // WGDEVICE_A_FWMARK
  "08 00 05 00  01 00 00 00", // WGDEVICE_A_FLAGS, replace peers
  "08 01 08 80", // WGDEVICE_A_PEERS, 264 bytes NLA_F_NESTED
  "94 00 00 80", //   a peer, 148 bytes NLA_F_NESTED
  "24 00 01 00  02 09 10 17 1e 25 2c 33 3a 41 48 4f 56 5d 64 6b 72 79 80 87 8e 95 9c a3 aa b1 b8 bf c6 cd d4 db", //     WGPEER_A_PUBLIC_KEY
  "14 00 04 00  02 00 6e e0 c0 00 02 02 00 00 00 00 00 00 00 00", //     WGPEER_A_ENDPOINT, 192.0.2.2:28384
  "06 00 05 00  19 00 00 00", //     WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, 25 s
  "08 00 03 00  02 00 00 00", //     WGPEER_A_FLAGS, replace allowed IPs
  "48 00 09 80", //     WGPEER_A_ALLOWEDIPS, 72 bytes NLA_F_NESTED
  "1c 00 00 80  06 00 01 00  02 00 00 00  08 00 02 00  0a f4 02 00  05 00 03 00  18 00 00 00", //       10.244.2.0/24
  "28 00 00 80  06 00 01 00  0a 00 00 00  14 00 02 00  fd 00 02 44 00 02 00 00 00 00 00 00 00 00 00 00  05 00 03 00  40 00 00 00", //       fd00:244:2::/64
  "70 00 00 80", //   a peer, 112 bytes NLA_F_NESTED
  "24 00 01 00  03 0a 11 18 1f 26 2d 34 3b 42 49 50 57 5e 65 6c 73 7a 81 88 8f 96 9d a4 ab b2 b9 c0 c7 ce d5 dc", //     WGPEER_A_PUBLIC_KEY
  "20 00 04 00  0a 00 6e e1 00 00 00 00 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 03 00 00 00 00", //     WGPEER_A_ENDPOINT, [2001:db8::3]:28385
  "08 00 03 00  02 00 00 00", //     WGPEER_A_FLAGS, replace allowed IPs
  "20 00 09 80", //     WGPEER_A_ALLOWEDIPS, 32 bytes NLA_F_NESTED
  "1c 00 00 80  06 00 01 00  02 00 00 00  08 00 02 00  0a f4 03 00  05 00 03 00  18 00 00 00", //       10.244.3.0/24
);

const SYNCCONF = message(
  "7c 01 00 00  20 00  05 00  e2 57 0b 6b  00 00 00 00", // length 380, family 32, flags 0x5
  "01 01 00 00", // genlmsghdr: WG_CMD_SET_DEVICE
  "08 00 02 00  77 67 30 00", // WGDEVICE_A_IFNAME, wg0
  "24 00 03 00  01 08 0f 16 1d 24 2b 32 39 40 47 4e 55 5c 63 6a 71 78 7f 86 8d 94 9b a2 a9 b0 b7 be c5 cc d3 da", // WGDEVICE_A_PRIVATE_KEY
  "06 00 06 00  e0 6e 00 00", // WGDEVICE_A_LISTEN_PORT, 28384
  "08 00 07 00  00 00 00 00", // WGDEVICE_A_FWMARK
  "2c 01 08 80", // WGDEVICE_A_PEERS, 300 bytes NLA_F_NESTED
  "30 00 00 80", //   a peer, 48 bytes NLA_F_NESTED
  "24 00 01 00  03 0a 11 18 1f 26 2d 34 3b 42 49 50 57 5e 65 6c 73 7a 81 88 8f 96 9d a4 ab b2 b9 c0 c7 ce d5 dc", //     WGPEER_A_PUBLIC_KEY
  "08 00 03 00  01 00 00 00", //     WGPEER_A_FLAGS, remove
  "94 00 00 80", //   a peer, 148 bytes NLA_F_NESTED
  "24 00 01 00  02 09 10 17 1e 25 2c 33 3a 41 48 4f 56 5d 64 6b 72 79 80 87 8e 95 9c a3 aa b1 b8 bf c6 cd d4 db", //     WGPEER_A_PUBLIC_KEY
  "14 00 04 00  02 00 6e e0 c0 00 02 02 00 00 00 00 00 00 00 00", //     WGPEER_A_ENDPOINT, 192.0.2.2:28384
  "06 00 05 00  19 00 00 00", //     WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, 25 s
  "08 00 03 00  02 00 00 00", //     WGPEER_A_FLAGS, replace allowed IPs
  "48 00 09 80", //     WGPEER_A_ALLOWEDIPS, 72 bytes NLA_F_NESTED
  "1c 00 00 80  06 00 01 00  02 00 00 00  08 00 02 00  0a f4 02 00  05 00 03 00  18 00 00 00", //       10.244.2.0/24
  "28 00 00 80  06 00 01 00  0a 00 00 00  14 00 02 00  fd 00 02 44 00 02 00 00 00 00 00 00 00 00 00 00  05 00 03 00  40 00 00 00", //       fd00:244:2::/64
  "64 00 00 80", //   a peer, 100 bytes NLA_F_NESTED
  "24 00 01 00  04 0b 12 19 20 27 2e 35 3c 43 4a 51 58 5f 66 6d 74 7b 82 89 90 97 9e a5 ac b3 ba c1 c8 cf d6 dd", //     WGPEER_A_PUBLIC_KEY
  "14 00 04 00  02 00 6e e0 c0 00 02 04 00 00 00 00 00 00 00 00", //     WGPEER_A_ENDPOINT, 192.0.2.4:28384
  "08 00 03 00  02 00 00 00", //     WGPEER_A_FLAGS, replace allowed IPs
  "20 00 09 80", //     WGPEER_A_ALLOWEDIPS, 32 bytes NLA_F_NESTED
  "1c 00 00 80  06 00 01 00  02 00 00 00  08 00 02 00  0a f4 04 00  05 00 03 00  18 00 00 00", //       10.244.4.0/24
);

const REMOVE = message(
  "50 00 00 00  20 00  05 00  e2 57 0b 6b  00 00 00 00", // length 80, family 32, flags 0x5
  "01 01 00 00", // genlmsghdr: WG_CMD_SET_DEVICE
  "08 00 02 00  77 67 30 00", // WGDEVICE_A_IFNAME, wg0
  "34 00 08 80", // WGDEVICE_A_PEERS, 52 bytes NLA_F_NESTED
  "30 00 00 80", //   a peer, 48 bytes NLA_F_NESTED
  "24 00 01 00  04 0b 12 19 20 27 2e 35 3c 43 4a 51 58 5f 66 6d 74 7b 82 89 90 97 9e a5 ac b3 ba c1 c8 cf d6 dd", //     WGPEER_A_PUBLIC_KEY
  "08 00 03 00  01 00 00 00", //     WGPEER_A_FLAGS, remove
);

const ASKED = message(
  "1c 00 00 00  20 00  05 03  e0 57 0b 6b  00 00 00 00", // length 28, family 32, flags 0x305
  "00 01 00 00", // genlmsghdr: WG_CMD_GET_DEVICE
  "08 00 02 00  77 67 30 00", // WGDEVICE_A_IFNAME, wg0
);

const DUMPED = message(
  "2c 02 00 00  20 00  02 00  e0 57 0b 6b  7d 00 00 00", // length 556, family 32, flags 0x2
  "00 01 00 00", // genlmsghdr: WG_CMD_GET_DEVICE
  "06 00 06 00  e0 6e 00 00", // WGDEVICE_A_LISTEN_PORT, 28384
  "08 00 07 00  00 00 00 00", // WGDEVICE_A_FWMARK
  "08 00 01 00  02 00 00 00", // WGDEVICE_A_IFINDEX, 2
  "08 00 02 00  77 67 30 00", // WGDEVICE_A_IFNAME, wg0
  "24 00 03 00  00 08 0f 16 1d 24 2b 32 39 40 47 4e 55 5c 63 6a 71 78 7f 86 8d 94 9b a2 a9 b0 b7 be c5 cc d3 5a", // WGDEVICE_A_PRIVATE_KEY
  "24 00 04 00  c8 fe ca 81 be 19 6c df 2c ad ea bf 13 c4 90 3d 76 32 dc e4 95 5a a6 8b 6e 5d 9a de f5 4e 26 16", // WGDEVICE_A_PUBLIC_KEY
  "b0 01 08 80", // WGDEVICE_A_PEERS, 432 bytes NLA_F_NESTED
  "e4 00 00 80", //   a peer, 228 bytes NLA_F_NESTED
  "24 00 01 00  02 09 10 17 1e 25 2c 33 3a 41 48 4f 56 5d 64 6b 72 79 80 87 8e 95 9c a3 aa b1 b8 bf c6 cd d4 db", //     WGPEER_A_PUBLIC_KEY
  "24 00 02 00  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", //     WGPEER_A_PRESHARED_KEY
  "14 00 06 00  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", //     WGPEER_A_LAST_HANDSHAKE_TIME
  "06 00 05 00  19 00 00 00", //     WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, 25 s
  "0c 00 08 00  00 00 00 00 00 00 00 00", //     WGPEER_A_TX_BYTES
  "0c 00 07 00  00 00 00 00 00 00 00 00", //     WGPEER_A_RX_BYTES
  "08 00 0a 00  01 00 00 00", //     WGPEER_A_PROTOCOL_VERSION
  "14 00 04 00  02 00 6e e0 c0 00 02 02 00 00 00 00 00 00 00 00", //     WGPEER_A_ENDPOINT, 192.0.2.2:28384
  "48 00 09 80", //     WGPEER_A_ALLOWEDIPS, 72 bytes NLA_F_NESTED
  "1c 00 00 80  05 00 03 00  18 00 00 00  06 00 01 00  02 00 00 00  08 00 02 00  0a f4 02 00", //       10.244.2.0/24
  "28 00 00 80  05 00 03 00  40 00 00 00  06 00 01 00  0a 00 00 00  14 00 02 00  fd 00 02 44 00 02 00 00 00 00 00 00 00 00 00 00", //       fd00:244:2::/64
  "c8 00 00 80", //   a peer, 200 bytes NLA_F_NESTED
  "24 00 01 00  03 0a 11 18 1f 26 2d 34 3b 42 49 50 57 5e 65 6c 73 7a 81 88 8f 96 9d a4 ab b2 b9 c0 c7 ce d5 dc", //     WGPEER_A_PUBLIC_KEY
  "24 00 02 00  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", //     WGPEER_A_PRESHARED_KEY
  "14 00 06 00  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", //     WGPEER_A_LAST_HANDSHAKE_TIME
  "06 00 05 00  00 00 00 00", //     WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, 0 s
  "0c 00 08 00  00 00 00 00 00 00 00 00", //     WGPEER_A_TX_BYTES
  "0c 00 07 00  00 00 00 00 00 00 00 00", //     WGPEER_A_RX_BYTES
  "08 00 0a 00  01 00 00 00", //     WGPEER_A_PROTOCOL_VERSION
  "20 00 04 00  0a 00 6e e1 00 00 00 00 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 03 00 00 00 00", //     WGPEER_A_ENDPOINT, [2001:db8::3]:28385
  "20 00 09 80", //     WGPEER_A_ALLOWEDIPS, 32 bytes NLA_F_NESTED
  "1c 00 00 80  05 00 03 00  18 00 00 00  06 00 01 00  02 00 00 00  08 00 02 00  0a f4 03 00", //       10.244.3.0/24
);

const FAMILY = 0x20;

function key(first: number): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, index) => first + index * 7);
}

/** The key as the kernel has it: clamped. */
function clamped(first: number): Uint8Array {
  const bytes = key(first);
  bytes[0] = (bytes[0] ?? 0) & 0xf8;
  bytes[31] = ((bytes[31] ?? 0) & 0x7f) | 0x40;
  return bytes;
}

const ipv4 = (...octets: number[]) => Uint8Array.from(octets);
function ipv6(text: string): Uint8Array {
  const [head = "", tail = ""] = text.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":").map((group) => Number(`0x${group}`)));
  const [left, right] = [groups(head), groups(tail)];
  const all = [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

/** A range as an attribute set; the kernel writes the length first. */
function range(address: Uint8Array, prefixLength: number) {
  return { family: address.length === 4 ? 2 : 10, address, prefixLength };
}

const B = { address: ipv4(192, 0, 2, 2), port: 28384 };
const C = { address: ipv6("2001:db8::3"), port: 28385 };
const D = { address: ipv4(192, 0, 2, 4), port: 28384 };
const RANGES_B = [
  { address: ipv4(10, 244, 2, 0), prefixLength: 24 },
  { address: ipv6("fd00:244:2::"), prefixLength: 64 },
];
const RANGES_C = [{ address: ipv4(10, 244, 3, 0), prefixLength: 24 }];
const RANGES_D = [{ address: ipv4(10, 244, 4, 0), prefixLength: 24 }];

const SET = { command: 1, version: 1 };
const PEER_B: WireguardPeerSettings = {
  publicKey: key(2),
  endpoint: B,
  keepaliveSeconds: 25,
  replaceAllowedIps: true,
  allowedIps: RANGES_B,
};
const PEER_C: WireguardPeerSettings = {
  publicKey: key(3),
  endpoint: C,
  replaceAllowedIps: true,
  allowedIps: RANGES_C,
};
const PEER_D: WireguardPeerSettings = {
  publicKey: key(4),
  endpoint: D,
  replaceAllowedIps: true,
  allowedIps: RANGES_D,
};
const OWN = { privateKey: key(1), listenPort: 28384, mark: 0 };

/** The one request that tells all of it. */
function only(settings: Parameters<typeof setWireguard>[2]) {
  const [request, ...more] = setWireguard(FAMILY, "wg0", settings);
  if (request === undefined || more.length > 0) throw new Error(`${more.length + 1} requests`);
  return request;
}

describe("S3-W04 the family of wireguard", () => {
  golden("asked for", FAMILY_ASKED, familyMessage, {
    header: { command: 3, version: 1 },
    attributes: { name: "wireguard" },
  });
  goldenRequest("asked for", FAMILY_ASKED, getFamilyNumber("wireguard"));

  test("its number is read", () => {
    const request = getFamilyNumber("wireguard");
    expect(request.decode?.(new Reader(FAMILY_TOLD, HEADER_BYTES), 0x10)).toBe(FAMILY);
  });
});

describe("S3-W04 a device is set as wg sets it", () => {
  golden("setconf", SETCONF, wireguardMessage, {
    header: SET,
    attributes: {
      name: "wg0",
      ...OWN,
      flags: 1,
      peers: [
        {
          publicKey: key(2),
          endpoint: B,
          keepaliveSeconds: 25,
          flags: 2,
          allowedIps: RANGES_B.map(({ address, prefixLength }) => range(address, prefixLength)),
        },
        {
          publicKey: key(3),
          endpoint: C,
          flags: 2,
          allowedIps: RANGES_C.map(({ address, prefixLength }) => range(address, prefixLength)),
        },
      ],
    },
  });
  goldenRequest("setconf", SETCONF, only({ ...OWN, replacePeers: true, peers: [PEER_B, PEER_C] }));
  goldenRequest(
    "syncconf that drops one peer, keeps one and adds one",
    SYNCCONF,
    only({ ...OWN, peers: [{ publicKey: key(3), remove: true }, PEER_B, PEER_D] }),
  );
  golden("a peer that goes", REMOVE, wireguardMessage, {
    header: SET,
    attributes: { name: "wg0", peers: [{ publicKey: key(4), flags: 1 }] },
  });
  goldenRequest("a peer that goes", REMOVE, only({ peers: [{ publicKey: key(4), remove: true }] }));
  goldenRequest("a device that is read", ASKED, dumpWireguard(FAMILY, "wg0"));

  test("what is only to be updated stays so in every message that it takes", () => {
    const allowedIps = manyRanges(400);
    const flags = setWireguard(FAMILY, "wg0", {
      peers: [{ publicKey: key(2), updateOnly: true, allowedIps }],
    })
      .map((request) => wireguardMessage.decode(bodyOf(request)).attributes.peers)
      .map((peers) => peers?.map((peer) => peer.flags));
    expect(flags).toEqual([[4], [4], [4]]);
  });
});

const READ_B: WireguardPeerState = {
  publicKey: key(2),
  endpoint: B,
  keepaliveSeconds: 25,
  lastHandshakeMs: 0,
  receivedBytes: 0n,
  sentBytes: 0n,
  allowedIps: RANGES_B,
};

/** What the kernel says of a peer that never was spoken to. */
function told(
  publicKey: Uint8Array,
  endpoint: SocketAddress,
  keepaliveSeconds: number,
  ranges: typeof RANGES_B,
) {
  return {
    publicKey,
    presharedKey: new Uint8Array(32),
    lastHandshake: { seconds: 0n, nanoseconds: 0n },
    keepaliveSeconds,
    sentBytes: 0n,
    receivedBytes: 0n,
    protocolVersion: 1,
    endpoint,
    allowedIps: ranges.map(({ address, prefixLength }) => ({
      prefixLength,
      family: address.length === 4 ? 2 : 10,
      address,
    })),
  };
}

describe("S3-W04 a device is read", () => {
  golden("a device with two peers", DUMPED, wireguardMessage, {
    header: { command: 0, version: 1 },
    attributes: {
      listenPort: 28384,
      mark: 0,
      index: 2,
      name: "wg0",
      privateKey: clamped(1),
      publicKey: publicKey(),
      peers: [told(key(2), B, 25, RANGES_B), told(key(3), C, 0, RANGES_C)],
    },
  });

  test("without its private key and those that are shared with a peer", () => {
    const part = dumpWireguard(FAMILY, "wg0").decode?.(new Reader(DUMPED, HEADER_BYTES), FAMILY);
    if (part === undefined) throw new Error("not read");
    expect(joinedParts([part])).toEqual({
      index: 2,
      name: "wg0",
      publicKey: publicKey(),
      listenPort: 28384,
      peers: [
        READ_B,
        { ...READ_B, publicKey: key(3), endpoint: C, keepaliveSeconds: 0, allowedIps: RANGES_C },
      ],
    });
    expect(Bun.inspect(part)).not.toMatch(/privateKey|presharedKey/);
  });
});

function publicKey(): Uint8Array {
  const text = "c8feca81be196cdf2cadeabf13c4903d7632dce4955aa68b6e5d9adef54e2616";
  return Uint8Array.fromHex(text);
}

function manyRanges(count: number) {
  return Array.from({ length: count }, (_, index) => ({
    address: ipv4(10, 20 + (index >> 8), index & 0xff, 0),
    prefixLength: 24,
  }));
}

function bodyOf(request: ReturnType<typeof only>): Reader {
  const writer = new Writer();
  request.encode(writer);
  return new Reader(writer.written().slice());
}

const MANY: readonly WireguardPeerSettings[] = Array.from({ length: 45 }, (_, index) => ({
  publicKey: key(100 + index),
  endpoint: { address: ipv4(192, 0, 2, index + 1), port: 28384 },
  replaceAllowedIps: true,
  allowedIps:
    index === 20
      ? manyRanges(150)
      : [
          { address: ipv4(10, 244, index, 0), prefixLength: 24 },
          // the test's own numbers are decimal digits in the address
          { address: ipv6(`fd00:244:${index}::`), prefixLength: 64 },
        ],
}));

describe("S3-W04 many peers take several messages", () => {
  const sent = recordedMessages("wireguard-many-set.txt");
  const requests = setWireguard(FAMILY, "wg0", { ...OWN, replacePeers: true, peers: MANY });

  test("as many as wg sends", () => {
    expect(requests).toHaveLength(sent.length);
  });
  for (const [index, bytes] of sent.entries()) {
    const request = requests[index];
    if (request !== undefined) goldenRequest(`message ${index + 1} of wg setconf`, bytes, request);
  }

  const answered = recordedMessages("wireguard-many-read.txt");
  test.each([...sent, ...answered])("message %# is the same when it is read and written again", (bytes) => {
    const body = wireguardMessage.decode(new Reader(bytes, HEADER_BYTES));
    const writer = new Writer();
    wireguardMessage.encode(writer, body);
    expect(Buffer.from(writer.written()).toString("hex")).toBe(
      Buffer.from(bytes.subarray(HEADER_BYTES)).toString("hex"),
    );
  });

  test("and four answers are one device, in which the peer that was cut is whole", () => {
    const kernel = fakeKernel(() => [...answered.map(asFirstAnswer), done(1)]);
    using socket = new NetlinkSocket(kernel);
    const { peers, publicKey: own, listenPort } = joinedParts(socket.dump(dumpWireguard(FAMILY, "wg0")));
    expect([own, listenPort]).toEqual([publicKey(), 28384]);
    expect(peers.map((peer) => ({ ...peer, allowedIps: [...peer.allowedIps].sort(byAddress) }))).toEqual(
      MANY.map(({ publicKey, endpoint, allowedIps }) => ({
        ...READ_B,
        publicKey,
        endpoint,
        keepaliveSeconds: 0,
        allowedIps: [...(allowedIps ?? [])].sort(byAddress),
      })),
    );
  });

  test("a thousand peers fit messages of a page each, and every one of them is in them once", () => {
    const peers = Array.from({ length: 1000 }, (_, index) => ({
      ...PEER_B,
      publicKey: Uint8Array.from({ length: 32 }, (_, byte) => (byte < 2 ? index >> (byte * 8) : 9)),
    }));
    const all = setWireguard(FAMILY, "wg0", { peers });
    const writer = new Writer();
    const lengths = all.map((request) => {
      writer.reset();
      writeMessage(writer, request, 0, 0);
      return writer.offset;
    });
    expect(Math.max(...lengths)).toBeLessThanOrEqual(4096);
    const keys = all.flatMap((request) => wireguardMessage.decode(bodyOf(request)).attributes.peers ?? []);
    expect(keys.map((peer) => peer.publicKey)).toEqual(peers.map((peer) => peer.publicKey));
  });
});

type Range = { readonly address: Uint8Array };
function byAddress(left: Range, right: Range): number {
  return left.address.length - right.address.length || Buffer.compare(left.address, right.address);
}
