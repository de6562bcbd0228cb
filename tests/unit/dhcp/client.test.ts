// The client's machine: a server that is played by hand, and a clock that is set by hand.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type ClientState, DhcpClient, type Step } from "../../../src/dhcp/client.ts";
import { type DhcpMessage, MessageType, messageTypeOf, NO_ADDRESS } from "../../../src/dhcp/message.ts";
import { OptionCode } from "../../../src/dhcp/option.ts";
import { type Address, addressBytes, formatAddress } from "../../../src/ip/address.ts";

const OWN = Uint8Array.from([2, 0, 0, 0, 0, 10]);
const ADDRESS: Address = { family: 4, value: 0x0a00_0007n };
const OTHER: Address = { family: 4, value: 0x0a00_0008n };
const SERVER: Address = { family: 4, value: 0x0a00_0001n };
const RIVAL: Address = { family: 4, value: 0x0a00_0002n };
const PATIENCE = { answerMs: 10_000, longestPauseMs: 62_000, totalMs: 208_000 };

function machine(): DhcpClient {
  let drawn = 0;
  // another number each time, and pauses in the middle of their range
  const chance = () => 0.5 + drawn++ / 2 ** 20;
  return new DhcpClient({ hardwareAddress: OWN, options: new Map(), broadcast: false }, PATIENCE, chance);
}

interface Reply {
  readonly address?: Address;
  readonly server?: Address;
  readonly leaseSeconds?: number;
  readonly mask?: readonly number[];
  readonly words?: string;
}

function reply(type: number, state: ClientState, said: Reply = {}): DhcpMessage {
  const {
    address = ADDRESS,
    server = SERVER,
    leaseSeconds = 80,
    mask = [255, 255, 255, 0],
    words = "",
  } = said;
  const lease = new Uint8Array(4);
  new DataView(lease.buffer).setUint32(0, leaseSeconds);
  return {
    ...{ operation: 2, seconds: 0, broadcast: false, hardwareAddress: OWN },
    transactionId: "transactionId" in state ? state.transactionId : 0,
    ...{ clientAddress: NO_ADDRESS, nextServer: NO_ADDRESS, relay: NO_ADDRESS },
    yourAddress: type === MessageType.refuse ? NO_ADDRESS : address,
    options: new Map<number, Uint8Array>([
      [OptionCode.messageType, Uint8Array.from([type])],
      [OptionCode.serverIdentifier, addressBytes(server)],
      [OptionCode.subnetMask, Uint8Array.from(mask)],
      [OptionCode.leaseTime, lease],
      ...(words === "" ? [] : [[OptionCode.message, new TextEncoder().encode(words)] as const]),
    ]),
  };
}

const offer = (state: ClientState, said?: Reply) => reply(MessageType.offer, state, said);
const ack = (state: ClientState, said?: Reply) => reply(MessageType.acknowledge, state, said);
const nak = (state: ClientState, said?: Reply) => reply(MessageType.refuse, state, said);

/** What a step sends, in words. */
function sent({ send }: Step): string {
  if (send === undefined) return "nothing";
  const names = ["", "DISCOVER", "", "REQUEST", "", "", "", "RELEASE"];
  const to = send.to === undefined ? "all" : formatAddress(send.to);
  return `${names[messageTypeOf(send.message) ?? 0]} to ${to} from ${formatAddress(send.source)}`;
}

/** Asks the machine again and again until that time, and returns when it said what. */
function until(client: DhcpClient, begin: ClientState, endMs: number) {
  const said: string[] = [];
  let state = begin;
  for (let dueMs = client.dueAtMs(state); dueMs <= endMs; dueMs = client.dueAtMs(state)) {
    const step = client.tick(state, dueMs);
    state = step.state;
    said.push(`${Math.round(dueMs / 100) / 10} ${step.send === undefined ? state.kind : sent(step)}`);
  }
  return { state, said };
}

function bound(client: DhcpClient, said: Reply = {}, nowMs = 0): ClientState {
  const begun = client.begin(nowMs);
  const asked = client.hear(begun.state, offer(begun.state, said), nowMs);
  return client.hear(asked.state, ack(asked.state, said), nowMs).state;
}

describe("getting an address", () => {
  test("takes the first offer, and holds what is confirmed from when it asked", () => {
    const client = machine();
    const begun = client.begin(1000);
    expect(sent(begun)).toBe("DISCOVER to all from 0.0.0.0");
    const asked = client.hear(begun.state, offer(begun.state), 1500);
    expect(sent(asked)).toBe("REQUEST to all from 0.0.0.0");
    // another server's offer comes too late
    expect(client.hear(asked.state, offer(asked.state, { server: RIVAL }), 1600)).toEqual({
      state: asked.state,
    });
    const { state } = client.hear(asked.state, ack(asked.state), 1900);
    expect(state).toMatchObject({
      kind: "bound",
      held: { renewAtMs: 41_500, rebindAtMs: 71_500, expiresAtMs: 81_500 },
    });
  });

  test("asks again where answers are lost: a few times quickly, then slower, and gives up in the end", () => {
    const client = machine();
    const { state, said } = until(client, client.begin(0).state, 1e9);
    const pauses = said.map((line) => line.replace(" DISCOVER to all from 0.0.0.0", ""));
    // no pause is longer than the answer is waited for
    expect(pauses.slice(0, 8)).toEqual(["2", "4", "6", "8", "12", "20", "30", "40"]);
    expect(said.at(-1)).toBe("208 ended");
    expect(state).toMatchObject({ kind: "ended", held: undefined });
  });

  test("looks for somebody else where an offer is not confirmed", () => {
    const client = machine();
    const begun = client.begin(0);
    const asked = client.hear(begun.state, offer(begun.state), 0);
    const { said } = until(client, asked.state, 12_100);
    expect(said).toEqual([
      ...["2", "4", "6", "8"].map((at) => `${at} REQUEST to all from 0.0.0.0`),
      "10 DISCOVER to all from 0.0.0.0",
      "12 DISCOVER to all from 0.0.0.0",
    ]);
  });

  test("begins anew after a DHCPNAK, and not at once", () => {
    const client = machine();
    const begun = client.begin(0);
    const asked = client.hear(begun.state, offer(begun.state), 0);
    // one of another server is none of ours
    expect(client.hear(asked.state, nak(asked.state, { server: RIVAL }), 5).state).toBe(asked.state);
    const refused = client.hear(asked.state, nak(asked.state), 10);
    expect([refused.state.kind, sent(refused)]).toEqual(["selecting", "nothing"]);
    expect(until(client, refused.state, 2100).said).toEqual(["2 DISCOVER to all from 0.0.0.0"]);
  });

  test.each([0n, 0x7f00_0001n, 0xe000_0001n, 0xf000_0001n, 0xffff_ffffn])(
    "waits for a better offer than the address %p",
    (value) => {
      const client = machine();
      const begun = client.begin(0);
      expect(client.hear(begun.state, offer(begun.state, { address: { family: 4, value } }), 5)).toEqual({
        state: begun.state,
      });
      expect(client.hear(begun.state, offer(begun.state, { server: RIVAL }), 6).state.kind).toBe(
        "requesting",
      );
    },
  );

  test("gives back another address than the one that it asked for", () => {
    const client = machine();
    const begun = client.begin(0);
    const asked = client.hear(begun.state, offer(begun.state), 0);
    const step = client.hear(asked.state, ack(asked.state, { address: OTHER }), 10);
    expect([step.state.kind, sent(step)]).toEqual(["ended", "RELEASE to 10.0.0.1 from 10.0.0.8"]);
  });

  test.each([
    ["another transaction", (one: DhcpMessage) => ({ ...one, transactionId: one.transactionId ^ 1 })],
    [
      "another client",
      (one: DhcpMessage) => ({ ...one, hardwareAddress: Uint8Array.from([2, 0, 0, 0, 0, 11]) }),
    ],
    ["another client's question", (one: DhcpMessage) => ({ ...one, operation: 1 })],
    ["nobody in particular", (one: DhcpMessage) => ({ ...one, options: new Map() })],
  ])("takes no answer of %s", (_, change) => {
    const client = machine();
    const begun = client.begin(0);
    expect(client.hear(begun.state, change(offer(begun.state)), 5)).toEqual({ state: begun.state });
  });
});

describe("keeping an address", () => {
  test("asks its server at half the time, everybody at seven eighths, and ends with the lease", () => {
    const client = machine();
    const { state, said } = until(client, bound(client), 1e9);
    expect(said).toEqual([
      ...["40", "42", "44", "46", "48", "52", "60", "70"].map(
        (at) => `${at} REQUEST to ${at === "70" ? "all" : "10.0.0.1"} from 10.0.0.7`,
      ),
      ...["72", "74", "76", "78"].map((at) => `${at} REQUEST to all from 10.0.0.7`),
      "80 ended",
    ]);
    expect(state).toMatchObject({ kind: "ended", reason: "the lease expired" });
  });

  test("asks a server that is away ever more slowly, once a minute in the end", () => {
    const client = machine();
    const { said } = until(client, bound(client, { leaseSeconds: 3600 }), 2_400_000);
    const times = said.map((line) => Number(line.split(" ")[0]));
    expect(times.map((at, index) => at - (times[index - 1] ?? 0)).slice(6, 12)).toEqual([
      8, 16, 32, 62, 62, 62,
    ]);
  });

  test.each([
    ["without a mask", { mask: [255, 0, 255, 0] }],
    ["of an address that no machine can have", { address: { family: 4, value: 0x7f00_0001n } }],
  ] as const)("is not lost by a confirmation %s: that is none", (_, said) => {
    const client = machine();
    const renewing = client.tick(bound(client), 40_000);
    expect(client.hear(renewing.state, ack(renewing.state, said), 40_100)).toEqual({ state: renewing.state });
  });

  test("is renewed by its server, from when it asked last", () => {
    const client = machine();
    const renewing = client.tick(bound(client), 40_000);
    expect(renewing.state.kind).toBe("renewing");
    expect(renewing.send?.message.clientAddress).toEqual(ADDRESS);
    const again = client.tick(renewing.state, 42_010);
    const { state } = client.hear(again.state, ack(again.state, { leaseSeconds: 160 }), 42_500);
    expect(state).toMatchObject({ kind: "bound", held: { renewAtMs: 122_010, expiresAtMs: 202_010 } });
  });

  test("is rebound by whichever server answers", () => {
    const client = machine();
    const rebinding = client.tick(client.tick(bound(client), 40_000).state, 70_000);
    expect(rebinding.state.kind).toBe("rebinding");
    const { state } = client.hear(rebinding.state, ack(rebinding.state, { server: RIVAL }), 70_100);
    expect(state).toMatchObject({ kind: "bound", held: { terms: { server: RIVAL } } });
  });

  test.each([
    [
      "a DHCPNAK",
      (state: ClientState) => nak(state, { words: "moved\n away" }),
      "refused the address: moved away",
    ],
    ["another address", (state: ClientState) => ack(state, { address: OTHER }), "confirmed another address"],
    [
      "another prefix",
      (state: ClientState) => ack(state, { mask: [255, 255, 0, 0] }),
      "another prefix length, 16",
    ],
  ])("loses it by %s", (_, message, reason) => {
    const client = machine();
    const renewing = client.tick(bound(client), 40_000);
    const { state } = client.hear(renewing.state, message(renewing.state), 40_100);
    expect(state).toMatchObject({ kind: "ended", held: { terms: { address: { address: ADDRESS } } } });
    expect(state.kind === "ended" ? state.reason : "").toContain(reason);
  });

  test("never ends what is for ever", () => {
    const client = machine();
    expect(client.dueAtMs(bound(client, { leaseSeconds: 0xffff_ffff }))).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("after a restart", () => {
  const held = () => {
    const state = bound(machine());
    if (state.kind !== "bound") throw new Error(state.kind);
    return state.held;
  };

  test("asks everybody whether the address is still its own, and goes on where nobody says no", () => {
    const client = machine();
    const resumed = client.resume(held(), 20_000);
    expect(sent(resumed)).toBe("REQUEST to all from 0.0.0.0");
    expect(resumed.send?.message.options.get(OptionCode.requestedAddress)).toEqual(addressBytes(ADDRESS));
    expect(until(client, resumed.state, 41_000).said).toEqual([
      "22 REQUEST to all from 0.0.0.0",
      "24 REQUEST to all from 0.0.0.0",
      "26 bound",
      "40 REQUEST to 10.0.0.1 from 10.0.0.7",
    ]);
  });

  test("has it for longer where a server says yes, and no more where one says no", () => {
    const client = machine();
    const resumed = client.resume(held(), 20_000);
    expect(client.hear(resumed.state, ack(resumed.state), 20_100).state).toMatchObject({
      kind: "bound",
      held: { expiresAtMs: 100_000 },
    });
    expect(client.hear(resumed.state, nak(resumed.state), 20_100).state).toMatchObject({ kind: "ended" });
  });

  test("goes on where it has to be by then: looking for any server, or at the end", () => {
    const client = machine();
    expect(until(client, client.resume(held(), 68_000).state, 80_000).said.slice(-2)).toEqual([
      expect.stringContaining("REQUEST to all from 10.0.0.7"),
      "80 ended",
    ]);
    expect(client.resume(held(), 80_000).state).toMatchObject({ kind: "ended", reason: "the lease expired" });
  });
});

test("whatever comes when, a lease is never held beyond its end, and the machine always has a next time", () => {
  const event = fc.record({
    afterMs: fc.integer({ min: 0, max: 30_000 }),
    what: fc.constantFrom("tick", "offer", "ack", "nak", "other"),
    leaseSeconds: fc.integer({ min: 1, max: 100 }),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const client = machine();
      let nowMs = 0;
      let { state } = client.begin(nowMs);
      for (const { afterMs, what, leaseSeconds } of events) {
        // the clock of whoever drives the machine stops where it wants to be asked
        const dueMs = client.dueAtMs(state);
        nowMs = Math.max(nowMs, Math.min(nowMs + afterMs, dueMs));
        const said = { leaseSeconds };
        if (what === "offer") ({ state } = client.hear(state, offer(state, said), nowMs));
        else if (what === "ack") ({ state } = client.hear(state, ack(state, said), nowMs));
        else if (what === "nak") ({ state } = client.hear(state, nak(state), nowMs));
        else if (what === "other") ({ state } = client.hear(state, ack(state, { address: OTHER }), nowMs));
        ({ state } = client.tick(state, nowMs));
        if (state.kind === "ended") return;
        expect(client.dueAtMs(state)).toBeGreaterThan(nowMs);
        if ("held" in state) expect(state.held.expiresAtMs).toBeGreaterThan(nowMs);
      }
    }),
  );
});
