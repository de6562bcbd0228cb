// The client of RFC 2131 as a machine without a clock, a socket or chance of its own: it is told the time and what was
// heard, and says what to send and when it wants to be asked again. Figure 5 of the RFC, without its INIT state, which
// nothing waits in.
import { type Address, addressBytes, sameAddress } from "../ip/address.ts";
import {
  addressOption,
  type DhcpMessage,
  MessageType,
  messageTypeOf,
  NO_ADDRESS,
  Operation,
} from "./message.ts";
import { OptionCode, type Options } from "./option.ts";
import { isHost, type LeaseTerms, termsOf } from "./terms.ts";

/** Who asks, and what it tells servers of itself. */
export interface ClientIdentity {
  readonly hardwareAddress: Uint8Array;
  /** Options that go with every message but a release: those of the config, and which ones are asked for. */
  readonly options: Options;
  /** Ask servers to answer by broadcast. */
  readonly broadcast: boolean;
}

/** How long and how often is tried. */
export interface Patience {
  /** For the answer to one message, before another one is sent. */
  readonly answerMs: number;
  /** The longest pause between two messages. */
  readonly longestPauseMs: number;
  /** For all of an ADD. */
  readonly totalMs: number;
}

/** A lease that is held. Times are of the clock that runs since the boot, as all times here are. */
export interface HeldLease {
  readonly terms: LeaseTerms;
  /** Infinity for what never ends. */
  readonly renewAtMs: number;
  readonly rebindAtMs: number;
  readonly expiresAtMs: number;
}

/** Where a message goes: to everybody, or to the server of the lease. */
export interface Outgoing {
  readonly message: DhcpMessage;
  readonly source: Address;
  /** Undefined for a broadcast. */
  readonly to: Address | undefined;
}

/** A message that waits for its answer. */
interface Asking {
  readonly transactionId: number;
  /** When the first one of its kind was sent, and when the last one. */
  readonly sinceMs: number;
  readonly sentAtMs: number;
  /** How many were sent. */
  readonly sent: number;
  readonly nextAtMs: number;
}

/** What the client is about. */
export type ClientState =
  /** It asks who has an address for it. */
  | ({ readonly kind: "selecting"; readonly wanted: Address | undefined; readonly untilMs: number } & Asking)
  /** It takes one that was offered. */
  | ({
      readonly kind: "requesting";
      readonly address: Address;
      readonly server: Address;
      readonly untilMs: number;
    } & Asking)
  /** It asks after a restart whether what it has is still its own. */
  | ({ readonly kind: "rebooting"; readonly held: HeldLease } & Asking)
  | { readonly kind: "bound"; readonly held: HeldLease }
  | ({ readonly kind: "renewing" | "rebinding"; readonly held: HeldLease } & Asking)
  /** It got no address, or has it no more. */
  | { readonly kind: "ended"; readonly reason: string; readonly held: HeldLease | undefined };

/** What a step leads to. */
export interface Step {
  readonly state: ClientState;
  readonly send?: Outgoing;
}

/** Chance: `number` is at least 0 and below 1. */
export type Chance = () => number;

const FAST_MESSAGES = 4;
const FAST_PAUSE_MS = 2_000;
const FIRST_SLOW_PAUSE_MS = 4_000;
const SPREAD_MS = 1_000;
/** After a restart the lease holds anyway: so many questions without an answer are enough (RFC 2131, section 3.2). */
const REBOOT_MESSAGES = 3;

/** A client of one interface. */
export class DhcpClient {
  constructor(
    private readonly identity: ClientIdentity,
    private readonly patience: Patience,
    private readonly chance: Chance,
  ) {}

  /** Begins to look for an address, for `wanted` if somebody has it for us. */
  begin(nowMs: number, wanted?: Address): Step {
    const asking = this.#first(nowMs);
    const untilMs = nowMs + this.patience.totalMs;
    return this.#discover({ kind: "selecting", wanted, untilMs, ...asking }, nowMs);
  }

  /** Goes on with a lease that was held before a restart. */
  resume(held: HeldLease, nowMs: number): Step {
    if (nowMs >= held.expiresAtMs) return { state: expired(held) };
    return this.#ask({ kind: "rebooting", held, ...this.#first(nowMs) }, nowMs);
  }

  /** Returns when the client wants to be asked; Infinity for never. */
  dueAtMs(state: ClientState): number {
    switch (state.kind) {
      case "ended":
        return Number.POSITIVE_INFINITY;
      case "bound":
        return state.held.renewAtMs;
      case "selecting":
        return Math.min(state.nextAtMs, state.untilMs);
      case "requesting":
        return Math.min(state.nextAtMs, state.sinceMs + this.patience.answerMs, state.untilMs);
      case "rebooting":
      case "rebinding":
        return Math.min(state.nextAtMs, state.held.expiresAtMs);
      case "renewing":
        return Math.min(state.nextAtMs, state.held.rebindAtMs);
    }
  }

  /** Its time has come. */
  tick(state: ClientState, nowMs: number): Step {
    if (nowMs < this.dueAtMs(state)) return { state };
    switch (state.kind) {
      case "ended":
        return { state };
      case "selecting":
        if (nowMs >= state.untilMs) return { state: ended("no server offered an address", state) };
        return this.#discover(this.#again(state, nowMs), nowMs);
      case "requesting":
        if (nowMs >= state.untilMs) return { state: ended("the server did not confirm its offer", state) };
        // an offer may be forgotten by its server: after a while somebody is looked for anew
        if (nowMs >= state.sinceMs + this.patience.answerMs) {
          const { untilMs, address: wanted } = state;
          return this.#discover({ kind: "selecting", wanted, untilMs, ...this.#first(nowMs) }, nowMs);
        }
        return this.#request(this.#again(state, nowMs), nowMs);
      case "bound":
        return this.#hold(state.held, nowMs);
      case "renewing":
      case "rebinding":
        return this.#keepAsking(state, nowMs);
      case "rebooting":
        if (nowMs >= state.held.expiresAtMs) return { state: expired(state.held) };
        if (state.sent >= REBOOT_MESSAGES) return this.#hold(state.held, nowMs);
        return this.#ask(this.#again(state, nowMs), nowMs);
    }
  }

  /** A message came. One that is no answer to what was asked changes nothing. */
  hear(state: ClientState, message: DhcpMessage, nowMs: number): Step {
    if (!("transactionId" in state) || !this.#isAnswer(state, message)) return { state };
    const type = messageTypeOf(message);
    if (state.kind === "selecting") {
      return type === MessageType.offer ? this.#take(state, message, nowMs) : { state };
    }
    if (state.kind === "requesting") {
      const server = addressOption(message, OptionCode.serverIdentifier);
      if (server === undefined || !sameAddress(server, state.server)) return { state };
    }
    if (type === MessageType.refuse) return this.#refused(state, message, nowMs);
    if (type !== MessageType.acknowledge) return { state };
    return this.#acknowledged(state, message);
  }

  /** Returns the message that gives an address back. */
  release(address: Address, server: Address): Outgoing {
    const message = this.#message(MessageType.release, {
      transactionId: this.#transactionId(),
      seconds: 0,
      clientAddress: address,
      more: [[OptionCode.serverIdentifier, addressBytes(server)]],
      isRelease: true,
    });
    return { message, source: address, to: server };
  }

  #acknowledged(
    state: Extract<ClientState, Asking> & { kind: Exclude<ClientState["kind"], "selecting"> },
    message: DhcpMessage,
  ): Step {
    const terms = termsOf(message);
    if (typeof terms === "string") {
      // what is held holds on: it is asked for again until an answer is one
      return { state: state.kind === "requesting" ? ended(terms, state) : state };
    }
    const asked = state.kind === "requesting" ? state.address : state.held.terms.address.address;
    const given = terms.address.address;
    if (!sameAddress(given, asked)) {
      const send = this.release(given, terms.server);
      return {
        state: ended("the server confirmed another address than the one that was asked for", state),
        send,
      };
    }
    if (state.kind !== "requesting" && terms.address.length !== state.held.terms.address.length) {
      return {
        state: ended(`the server gave the address another prefix length, ${terms.address.length}`, state),
      };
    }
    // it runs from when it was asked for, so that it never ends later here than at the server
    const at = (seconds: number) => state.sentAtMs + seconds * 1000;
    const held: HeldLease = {
      terms,
      renewAtMs: at(terms.renewSeconds),
      rebindAtMs: at(terms.rebindSeconds),
      expiresAtMs: at(terms.leaseSeconds),
    };
    return { state: { kind: "bound", held } };
  }

  #take(state: ClientState & { kind: "selecting" }, offer: DhcpMessage, nowMs: number): Step {
    const server = addressOption(offer, OptionCode.serverIdentifier);
    const address = offer.yourAddress;
    // another server may offer one that can be used
    if (server === undefined || !isHost(address)) return { state };
    const { untilMs, transactionId } = state;
    return this.#request(
      { kind: "requesting", address, server, untilMs, ...this.#first(nowMs), transactionId },
      nowMs,
    );
  }

  #refused(
    state: Extract<ClientState, Asking> & { kind: Exclude<ClientState["kind"], "selecting"> },
    message: DhcpMessage,
    nowMs: number,
  ): Step {
    const words = refusalOf(message);
    if (state.kind !== "requesting") return { state: ended(words, state) };
    // somebody else was faster: another look, but not at once, so that two don't chase each other
    const asking = { ...this.#first(nowMs), sent: 0, nextAtMs: nowMs + this.#spread(FAST_PAUSE_MS) };
    return { state: { kind: "selecting", wanted: undefined, untilMs: state.untilMs, ...asking } };
  }

  /** Returns what is to be done about a lease at this time. */
  #hold(held: HeldLease, nowMs: number): Step {
    if (nowMs >= held.expiresAtMs) return { state: expired(held) };
    if (nowMs < held.renewAtMs) return { state: { kind: "bound", held } };
    const kind = nowMs < held.rebindAtMs ? "renewing" : "rebinding";
    return this.#ask({ kind, held, ...this.#first(nowMs) }, nowMs);
  }

  #keepAsking(state: ClientState & { kind: "renewing" | "rebinding" }, nowMs: number): Step {
    const { held } = state;
    if (nowMs >= held.expiresAtMs) return { state: expired(held) };
    if (state.kind === "renewing" && nowMs >= held.rebindAtMs) return this.#hold(held, nowMs);
    return this.#ask(this.#again(state, nowMs), nowMs);
  }

  #discover(state: ClientState & { kind: "selecting" }, nowMs: number): Step {
    const { wanted } = state;
    const message = this.#message(MessageType.discover, {
      ...this.#words(state, nowMs),
      more: wanted === undefined ? [] : [[OptionCode.requestedAddress, addressBytes(wanted)]],
    });
    return { state, send: { message, source: NO_ADDRESS, to: undefined } };
  }

  #request(state: ClientState & { kind: "requesting" }, nowMs: number): Step {
    const message = this.#message(MessageType.request, {
      ...this.#words(state, nowMs),
      more: [
        [OptionCode.requestedAddress, addressBytes(state.address)],
        [OptionCode.serverIdentifier, addressBytes(state.server)],
      ],
    });
    return { state, send: { message, source: NO_ADDRESS, to: undefined } };
  }

  /** Asks for what is held: the server itself while renewing, everybody after that or after a restart. */
  #ask(state: ClientState & { kind: "renewing" | "rebinding" | "rebooting" }, nowMs: number): Step {
    const { terms } = state.held;
    const { address } = terms.address;
    if (state.kind === "rebooting") {
      const message = this.#message(MessageType.request, {
        ...this.#words(state, nowMs),
        more: [[OptionCode.requestedAddress, addressBytes(address)]],
      });
      return { state, send: { message, source: NO_ADDRESS, to: undefined } };
    }
    const message = this.#message(MessageType.request, {
      ...this.#words(state, nowMs),
      clientAddress: address,
    });
    const to = state.kind === "renewing" ? terms.server : undefined;
    return { state, send: { message, source: address, to } };
  }

  #words({ transactionId, sinceMs }: Asking, nowMs: number) {
    return { transactionId, seconds: Math.floor((nowMs - sinceMs) / 1000) };
  }

  #message(
    type: number,
    {
      transactionId,
      seconds,
      clientAddress = NO_ADDRESS,
      more = [],
      isRelease = false,
    }: {
      readonly transactionId: number;
      readonly seconds: number;
      readonly clientAddress?: Address;
      readonly more?: readonly (readonly [code: number, value: Uint8Array])[];
      readonly isRelease?: boolean;
    },
  ): DhcpMessage {
    const { hardwareAddress, options, broadcast } = this.identity;
    const own = [...options].filter(([code]) => !isRelease || code === OptionCode.clientIdentifier);
    return {
      operation: Operation.request,
      transactionId,
      seconds,
      // who has its address can be reached by it
      broadcast: broadcast && clientAddress.value === NO_ADDRESS.value,
      clientAddress,
      yourAddress: NO_ADDRESS,
      nextServer: NO_ADDRESS,
      relay: NO_ADDRESS,
      hardwareAddress,
      options: new Map([...own, ...more, [OptionCode.messageType, new Uint8Array([type])]]),
    };
  }

  #isAnswer(state: Asking, message: DhcpMessage): boolean {
    return (
      message.operation === Operation.reply &&
      message.transactionId === state.transactionId &&
      message.hardwareAddress.length === this.identity.hardwareAddress.length &&
      message.hardwareAddress.every((byte, index) => byte === this.identity.hardwareAddress[index])
    );
  }

  #transactionId(): number {
    return Math.floor(this.chance() * 0x1_0000_0000);
  }

  #first(nowMs: number): Asking {
    return {
      transactionId: this.#transactionId(),
      sinceMs: nowMs,
      sentAtMs: nowMs,
      sent: 1,
      nextAtMs: nowMs + this.#pauseMs(1, this.patience.answerMs),
    };
  }

  #again<State extends Asking>(state: State, nowMs: number): State {
    const sent = state.sent + 1;
    const { answerMs, longestPauseMs } = this.patience;
    // nobody waits for a renewal, and servers that are away are away for hundreds of clients
    const longestMs = "held" in state ? longestPauseMs : Math.min(answerMs, longestPauseMs);
    return { ...state, sent, sentAtMs: nowMs, nextAtMs: nowMs + this.#pauseMs(sent, longestMs) };
  }

  /** A few messages come quickly, because one that was lost is the rule; then each pause is twice the one before it. */
  #pauseMs(sent: number, longestMs: number): number {
    const slow = FIRST_SLOW_PAUSE_MS * 2 ** Math.max(0, sent - FAST_MESSAGES - 1);
    const pause = sent <= FAST_MESSAGES ? FAST_PAUSE_MS : Math.min(slow, longestMs);
    return Math.min(this.#spread(pause), longestMs);
  }

  /** Many clients that began at once don't go on at once. */
  #spread(pauseMs: number): number {
    return pauseMs + SPREAD_MS * (2 * this.chance() - 1);
  }
}

function refusalOf(message: DhcpMessage): string {
  const said = message.options.get(OptionCode.message);
  const words =
    said === undefined
      ? ""
      : new TextDecoder()
          .decode(said)
          .replace(/[^\x20-\x7e]/g, "")
          .trim();
  return words === "" ? "the server refused the address" : `the server refused the address: ${words}`;
}

function expired(held: HeldLease): ClientState {
  return { kind: "ended", reason: "the lease expired", held };
}

function ended(reason: string, state: ClientState): ClientState {
  return { kind: "ended", reason, held: "held" in state ? state.held : undefined };
}
