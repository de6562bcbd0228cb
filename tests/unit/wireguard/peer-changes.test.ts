// What a device is told when its peers are to be others: only what differs, so that every other session goes on.
import { describe, expect, test } from "bun:test";
import { parseAddress } from "../../../src/ip/address.ts";
import { parsePrefix } from "../../../src/ip/prefix.ts";
import {
  differsInEndpointOnly,
  type PeerChanges,
  peerChanges,
  type WireguardDevice,
  type WireguardPeer,
} from "../../../src/net/wireguard.ts";
import { formatPublicKey } from "../../../src/net/wireguard-key.ts";

const OWN = keyOf(1);
const [A, B, C] = [keyOf(2), keyOf(3), keyOf(4)] as const;

function keyOf(byte: number): string {
  return formatPublicKey(new Uint8Array(32).fill(byte));
}

function prefix(text: string) {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
}

function endpoint(text: string, port = 28384) {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(text);
  return { address, port };
}

function peer(publicKey: string, more: Partial<WireguardPeer> = {}): WireguardPeer {
  return {
    publicKey,
    endpoint: endpoint("192.0.2.1"),
    allowedPrefixes: [prefix("10.244.1.0/24")],
    keepaliveSeconds: 0,
    ...more,
  };
}

function device(...peers: WireguardPeer[]): WireguardDevice {
  const counted = { lastHandshakeMs: 1, receivedBytes: 2, sentBytes: 3 };
  return { publicKey: OWN, listenPort: 28384, peers: peers.map((one) => ({ ...one, ...counted })) };
}

const NOTHING: PeerChanges = { added: [], changed: [], removed: [], kept: [] };
const SAME = { endpoint: undefined, keepaliveSeconds: undefined, gained: [], replaced: undefined };

describe("S3-W06 changes of peers", () => {
  test("nobody hears anything where all is as it should be, whatever the order and the host bits", () => {
    const both = [prefix("10.244.1.0/24"), prefix("fd00:244:1::/64")];
    const present = device(peer(A, { allowedPrefixes: both }), peer(B));
    const spelled = [prefix("fd00:244:1::7/64"), prefix("10.244.1.9/24")];
    expect(peerChanges(present, [peer(B), peer(A, { allowedPrefixes: spelled })])).toEqual({
      ...NOTHING,
      kept: [B, A],
    });
  });

  test("a new one is added whole, one that is not wanted goes, the others are kept", () => {
    const added = peer(C, { endpoint: endpoint("2001:db8::3") });
    expect(peerChanges(device(peer(A), peer(B)), [peer(B), added])).toEqual({
      ...NOTHING,
      added: [added],
      removed: [A],
      kept: [B],
    });
  });

  test.each<readonly [string, Partial<WireguardPeer>, object]>([
    ["moved", { endpoint: endpoint("192.0.2.9") }, { endpoint: endpoint("192.0.2.9") }],
    ["moved to another port", { endpoint: endpoint("192.0.2.1", 9) }, { endpoint: endpoint("192.0.2.1", 9) }],
    ["is to be told that we are there", { keepaliveSeconds: 25 }, { keepaliveSeconds: 25 }],
    [
      "gets a block more, without losing the one it has for a moment",
      { allowedPrefixes: [prefix("10.244.1.0/24"), prefix("fd00::/64")] },
      { gained: [prefix("fd00::/64")] },
    ],
    [
      "gets another block",
      { allowedPrefixes: [prefix("10.244.2.0/24")] },
      { gained: [prefix("10.244.2.0/24")], replaced: [prefix("10.244.2.0/24")] },
    ],
    ["loses its block", { allowedPrefixes: [] }, { replaced: [] }],
  ])("one that %s hears just that", (_, wanted, change) => {
    expect(peerChanges(device(peer(A), peer(B)), [peer(A, wanted), peer(B)])).toEqual({
      ...NOTHING,
      changed: [{ publicKey: A, ...SAME, ...change }],
      kept: [B],
    });
  });

  test("an endpoint that the kernel has learned stays where none is wanted", () => {
    expect(peerChanges(device(peer(A)), [peer(A, { endpoint: undefined })]).kept).toEqual([A]);
  });

  test("of two wanted with one key the first counts, so that they don't take turns", () => {
    const second = peer(A, { endpoint: endpoint("192.0.2.9") });
    expect(peerChanges(device(peer(A)), [peer(A), second])).toEqual({ ...NOTHING, kept: [A] });
    expect(peerChanges(device(), [peer(A), second])).toEqual({ ...NOTHING, added: [peer(A)] });
  });

  test("a peer that was heard from elsewhere differs in its endpoint only, one with another block does not", () => {
    const wanted = [
      peer(A, { endpoint: endpoint("192.0.2.9") }),
      peer(B, { endpoint: endpoint("192.0.2.9"), allowedPrefixes: [prefix("10.244.7.0/24")] }),
      peer(C, { keepaliveSeconds: 25 }),
    ];
    const { changed } = peerChanges(device(peer(A), peer(B), peer(C)), wanted);
    expect(changed.map(differsInEndpointOnly)).toEqual([true, false, false]);
  });
});
