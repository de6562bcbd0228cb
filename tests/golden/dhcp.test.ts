// DHCP messages as busybox's udhcpc and udhcpd 1.35 sent them to each other over a pair, recorded with a packet socket, one
// row a field; and what Warren's client says, byte by byte.
import { expect, test } from "bun:test";
import { DhcpClient } from "../../src/dhcp/client.ts";
import {
  decodeMessage,
  encodeMessage,
  MessageType,
  messageTypeOf,
  NO_ADDRESS,
} from "../../src/dhcp/message.ts";
import { OptionCode } from "../../src/dhcp/option.ts";
import { decodePacket, encodePacket } from "../../src/dhcp/packet.ts";
import { resultOf, termsOf } from "../../src/dhcp/terms.ts";
import { type Address, parseAddress } from "../../src/ip/address.ts";

const bytesOf = (...rows: string[]) => Uint8Array.fromHex(rows.join("").replaceAll(" ", ""));
const zeros = (count: number) => "00".repeat(count);

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
}

const ACK_OPTIONS = bytesOf(
  "35 01 05", // message type: DHCPACK
  "36 04 0a430001", // server identifier 10.67.0.1
  "33 04 00000078", // lease time 120 s
  "01 04 ffffff00", // subnet mask
  "03 04 0a430001", // router
  "06 08 0a430035 0a430036", // name servers
  "0f 0b 6c61622e6578616d706c65", // domain lab.example
  "1a 02 0578", // MTU 1400
  "77 1f 036c6162 076578616d706c65 00 0464656570 036c6162 076578616d706c65 00", // search list
  "79 0e 08 0a 0a430002 18 c00002 0a430003", // 10.0.0.0/8 by 10.67.0.2, 192.0.2.0/24 by 10.67.0.3
  "ff",
);

const ACK = bytesOf(
  "02 01 06 00", // BOOTREPLY, Ethernet, 6 bytes of address, no hop
  "cd9e5f7d", // transaction
  "0000 0000", // seconds, flags
  "00000000 0a43000b 00000000 00000000", // ciaddr, yiaddr 10.67.0.11, siaddr, giaddr
  "02000000000a",
  zeros(10),
  zeros(64 + 128), // server name, file
  "63825363",
  ACK_OPTIONS.toHex(),
);

const ACK_PACKET = bytesOf(
  "45 00 0174 0000 0000 40 11 6f36", // IPv4, 372 bytes, UDP, checksum
  "0a430001 ffffffff",
  "0043 0044 0160 83fb", // from 67 to 68, 352 bytes, checksum
  ACK.toHex(),
);

/** What udhcpc says when it looks for a server. */
const DISCOVER_PACKET = bytesOf(
  "45 00 0148 0000 0000 40 11 79a6 00000000 ffffffff",
  "0044 0043 0134 3070",
  "01 01 06 00 cd9e5f7d 0000 0000",
  zeros(16),
  "02000000000a",
  zeros(10 + 64 + 128),
  "63825363 350101 39020240 370a0103060c0f1a1c2a7779 3c0c756468637020312e33352e30 3d070102000000000a ff",
  zeros(17),
);

test("a server's packet is read as it was meant", () => {
  const packet = decodePacket(ACK_PACKET);
  expect(packet?.source).toEqual(address("10.67.0.1"));
  expect(packet?.payload.toHex()).toBe(ACK.toHex());
  const message = decodeMessage(ACK);
  expect(message).toMatchObject({
    operation: 2,
    transactionId: 0xcd9e5f7d,
    broadcast: false,
    yourAddress: address("10.67.0.11"),
  });
  if (message === undefined) throw new Error("not read");
  expect(messageTypeOf(message)).toBe(MessageType.acknowledge);
  // our own order of options is another one, and says the same
  expect(decodeMessage(encodeMessage(message))).toEqual(message);
  const terms = termsOf(message);
  if (typeof terms === "string") throw new Error(terms);
  expect(terms).toMatchObject({ mtu: 1400, leaseSeconds: 120, renewSeconds: 60, rebindSeconds: 105 });
  expect(resultOf(terms, 7)).toEqual({
    interfaces: [],
    ips: [{ address: "10.67.0.11/24", gateway: "10.67.0.1" }],
    routes: [
      { dst: "10.0.0.0/8", gw: "10.67.0.2", priority: 7 },
      { dst: "192.0.2.0/24", gw: "10.67.0.3", priority: 7 },
    ],
    dns: {
      nameservers: ["10.67.0.53", "10.67.0.54"],
      domain: "lab.example",
      search: ["lab.example", "deep.lab.example"],
    },
  });
});

test("a client's packet is built as udhcpc builds it", () => {
  const payload = DISCOVER_PACKET.subarray(28);
  const built = encodePacket({ source: NO_ADDRESS, destination: address("255.255.255.255"), payload });
  // ours is marked as network control, which the checksum of the header shows
  const marked = Uint8Array.from(DISCOVER_PACKET);
  marked.set([0x10], 1);
  marked.set([0x79, 0x96], 10);
  expect(built.toHex()).toBe(marked.toHex());
});

const IDENTITY = {
  hardwareAddress: bytesOf("02000000000a"),
  options: new Map([
    [OptionCode.clientIdentifier, bytesOf("00 702f6e2f65")],
    [OptionCode.parameterRequestList, bytesOf("03 01")],
  ]),
  broadcast: true,
};
const PATIENCE = { answerMs: 10_000, longestPauseMs: 62_000, totalMs: 208_000 };
const client = new DhcpClient(IDENTITY, PATIENCE, () => 0.5);

/** The fixed part of a message of this client, up to the cookie. */
const fixed = (flags: string, ciaddr: string) =>
  `01 01 06 00 80000000 0000 ${flags} ${ciaddr} ${zeros(12)} 02000000000a ${zeros(10 + 64 + 128)} 63825363`;

function padded(...rows: string[]): string {
  return bytesOf(...rows)
    .toHex()
    .padEnd(600, "0");
}

test("DHCPDISCOVER, DHCPREQUEST and DHCPRELEASE are what RFC 2131 has in table 5", () => {
  const begun = client.begin(0);
  if (begun.send === undefined) throw new Error("nothing is sent");
  expect(encodeMessage(begun.send.message).toHex()).toBe(
    padded(fixed("8000", "00000000"), "35 01 01", "37 02 03 01", "3d 06 00702f6e2f65", "ff"),
  );
  const offer = decodeMessage(ACK);
  if (offer === undefined) throw new Error("not read");
  const options = new Map(offer.options).set(OptionCode.messageType, new Uint8Array([MessageType.offer]));
  const taken = client.hear(begun.state, { ...offer, transactionId: 0x8000_0000, options }, 10);
  if (taken.send === undefined) throw new Error("nothing is sent");
  expect(encodeMessage(taken.send.message).toHex()).toBe(
    padded(
      fixed("8000", "00000000"),
      "35 01 03", // DHCPREQUEST
      "32 04 0a43000b", // requested address
      "36 04 0a430001", // server identifier
      "37 02 03 01",
      "3d 06 00702f6e2f65",
      "ff",
    ),
  );
  const released = client.release(address("10.67.0.11"), address("10.67.0.1"));
  expect(encodeMessage(released.message).toHex()).toBe(
    padded(fixed("0000", "0a43000b"), "35 01 07", "36 04 0a430001", "3d 06 00702f6e2f65", "ff"),
  );
});
