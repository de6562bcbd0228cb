// One lease from the first question to its end: the client's machine with a clock, a way to the server and the store. What a
// server may have confirmed is in the store before it is asked, so that no end of this process loses it.
import { describeError } from "../cni/error.ts";
import { addressBytes, formatAddress } from "../ip/address.ts";
import { formatPrefix } from "../ip/prefix.ts";
import { describeOwner, type Owner } from "../ledger/owner.ts";
import type { Netns } from "../net/netns.ts";
import { uptimeMs } from "../sys/clock.ts";
import { Channel, closeInterface, type HeardMessage, limitMtu } from "./channel.ts";
import { type ClientState, DhcpClient, type HeldLease, type Patience, type Step } from "./client.ts";
import { type DhcpLeaseRow, heldIn, type LeaseTable } from "./lease-table.ts";
import { encodeOptions, OptionCode, type Options } from "./option.ts";
import { giveBack, optionsOf } from "./release.ts";

/** What all leases of a daemon share. */
export interface KeeperSurroundings {
  readonly table: LeaseTable;
  readonly patience: Patience;
  readonly broadcast: boolean;
  note(text: string): void;
  warn(text: string): void;
}

/** The container and what it tells servers of itself. */
export interface LeaseHolder
  extends Owner,
    Pick<DhcpLeaseRow, "podNamespace" | "podName" | "netns" | "netnsInode" | "bootId" | "createdAtMs"> {}

/** The shortest and the longest pause between two looks whether an answer has come. */
const FIRST_LOOK_MS = 2;
const LAST_LOOK_MS = 1_000;
/** The clock of the boot goes on while the machine sleeps, and a timer does not. */
const LONGEST_SLEEP_MS = 60_000;
const ANYBODY = new Uint8Array(6).fill(0xff);

/**
 * Returns how long after the last look the next one comes. Most servers answer at once; whoever waits for one that takes its
 * time waits a tenth longer, and hundreds of clients of one that is away cost next to nothing.
 */
export function pauseBetweenLooksMs(sinceAskedMs: number): number {
  return Math.min(Math.max(FIRST_LOOK_MS, sinceAskedMs / 10), LAST_LOOK_MS);
}

/** An address that can't be had. */
export class NoLeaseError extends Error {
  override readonly name = "NoLeaseError";
}

/** Keeps one lease. */
export class LeaseKeeper {
  #state: ClientState;
  #channel: Channel | undefined;
  #client: DhcpClient | undefined;
  #server: Uint8Array = ANYBODY;
  #row: DhcpLeaseRow | undefined;
  #isStopped = false;
  #wake: (() => void) | undefined;
  #trouble = "";
  #askedAtMs = 0;
  #life: Promise<void> = Promise.resolve();

  private constructor(
    readonly holder: LeaseHolder,
    private readonly netns: Netns,
    private readonly options: Options,
    private readonly around: KeeperSurroundings,
    state: ClientState,
  ) {
    this.#state = state;
  }

  /**
   * Gets an address for a container. `isWanted` is asked all the while: where it says no, what was got is given back. Throws
   * NoLeaseError, InterfaceError, NetlinkError, SystemError, StoreError; nothing is left then.
   */
  static async acquire(
    holder: LeaseHolder,
    netns: Netns,
    options: Options,
    around: KeeperSurroundings,
    isWanted: () => boolean,
  ): Promise<LeaseKeeper> {
    const begun: ClientState = { kind: "ended", reason: "not begun", held: undefined };
    const keeper = new LeaseKeeper(holder, netns, options, around, begun);
    try {
      const channel = keeper.#open();
      await keeper.#apply(keeper.#clientOf(channel).begin(uptimeMs()));
      while (keeper.#isAsking && isWanted()) {
        await keeper.#turn();
        if (keeper.#isAsking) await keeper.#sleep();
      }
      if (keeper.#state.kind === "ended") throw new NoLeaseError(keeper.#state.reason);
      if (!isWanted()) throw new NoLeaseError("nobody waits for the address any more");
      keeper.#settle();
    } catch (error) {
      await keeper.release();
      throw error;
    }
    keeper.#live();
    return keeper;
  }

  /** Goes on with a lease that is written down, `undefined` for one that no server has confirmed. */
  static resume(row: DhcpLeaseRow, netns: Netns, around: KeeperSurroundings): LeaseKeeper | undefined {
    const held = heldIn(row);
    if (held === undefined) return undefined;
    const state: ClientState =
      row.lost === "" ? { kind: "bound", held } : { kind: "ended", reason: row.lost, held };
    const keeper = new LeaseKeeper(row, netns, optionsOf(row), around, state);
    keeper.#row = row;
    keeper.#server = row.serverHardwareAddress;
    if (row.lost === "") keeper.#live(held);
    return keeper;
  }

  /** The lease, also one that was lost. */
  get held(): HeldLease | undefined {
    return "held" in this.#state ? this.#state.held : undefined;
  }

  /** Why the container has the address no more; undefined as long as it has it. */
  get lost(): string | undefined {
    return this.#state.kind === "ended" ? this.#state.reason : undefined;
  }

  /** What the client is about at the moment, in one word. */
  get state(): ClientState["kind"] {
    return this.#state.kind;
  }

  /** Ends the keeping, and leaves the lease as it is. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#wake?.();
    await this.#life;
    this.#close();
    this.netns[Symbol.dispose]();
  }

  /** Ends the keeping, gives the address back if there is one, and forgets it. Throws StoreError. */
  async release(): Promise<void> {
    this.#isStopped = true;
    this.#wake?.();
    await this.#life;
    this.#close();
    try {
      const row = this.#row;
      if (row === undefined) return;
      // one that was lost may be somebody else's by now
      if (this.lost === undefined || this.held === undefined) {
        this.around.note(`${describeOwner(this.holder)}: ${giveBack(row, this.netns)}`);
      }
      await this.around.table.remove(row);
      this.#row = undefined;
    } finally {
      this.netns[Symbol.dispose]();
    }
  }

  get #isAsking(): boolean {
    return "transactionId" in this.#state;
  }

  #live(resumed?: HeldLease): void {
    this.#life = (async () => {
      if (resumed !== undefined) await this.#attempt(() => this.#reboot(resumed));
      while (!this.#isStopped && this.#state.kind !== "ended") {
        await this.#turn();
        await this.#sleep();
      }
      this.#close();
    })();
  }

  async #reboot(held: HeldLease): Promise<void> {
    await this.#apply(this.#clientOf(this.#open()).resume(held, uptimeMs()));
  }

  /** Hears what has come, and does what its time has come for. */
  async #turn(): Promise<void> {
    if (this.#isAsking) {
      await this.#attempt(async () => {
        const client = this.#clientOf(this.#open());
        for (const heard of this.#channel?.take() ?? []) {
          await this.#apply(client.hear(this.#state, heard.message, uptimeMs()), heard);
        }
      });
    } else {
      this.#close();
    }
    await this.#attempt(() => this.#tick());
  }

  async #tick(): Promise<void> {
    const nowMs = uptimeMs();
    const client = this.#client ?? this.#unconnectedClient();
    const step = client.tick(this.#state, nowMs);
    if (step.state !== this.#state) await this.#apply(step);
  }

  async #apply(step: Step, heard?: HeardMessage): Promise<void> {
    const { state, send } = step;
    const before = this.#state;
    if (state === before && send === undefined) return;
    if (heard !== undefined && (state.kind === "requesting" || state.kind === "bound")) {
      this.#server = heard.hardwareAddress.slice();
    }
    if (state.kind === "requesting" && before.kind === "selecting") {
      // from here on a server may hold the address for us, whatever becomes of this process
      this.#row = this.#rowFor(addressBytes(state.address), addressBytes(state.server));
      await this.around.table.put(this.#row);
    }
    if (state.kind === "bound" && heard !== undefined) await this.#confirm(state.held, heard, before);
    this.#state = state;
    if (send !== undefined) {
      this.#askedAtMs = uptimeMs();
      await this.#attempt(async () => this.#open().send(send, this.#server));
    }
    if (state.kind === "renewing" || state.kind === "rebinding") {
      if (before.kind !== state.kind) this.#tell(`${state.kind} ${formatPrefix(state.held.terms.address)}`);
    }
    if (state.kind === "ended" && state.held !== undefined && before.kind !== "ended") {
      await this.#lose(state.reason, state.held);
    }
  }

  async #confirm(held: HeldLease, heard: HeardMessage, before: ClientState): Promise<void> {
    const { terms } = held;
    const server = addressBytes(terms.server);
    const { payload: acknowledgement, hardwareAddress: serverHardwareAddress } = heard;
    const write = () =>
      this.around.table.update(this.holder, held, { acknowledgement, serverHardwareAddress, server });
    // nobody was told a new lease yet, but one that is renewed is the container's whatever the store can take
    await (before.kind === "requesting" ? write() : this.#attempt(write));
    if (this.#row !== undefined) this.#row = { ...this.#row, server, serverHardwareAddress };
    const until = Number.isFinite(terms.leaseSeconds) ? `for ${terms.leaseSeconds} s` : "for ever";
    const verb = before.kind === "requesting" ? "leased" : "renewed";
    this.#tell(`${verb} ${formatPrefix(terms.address)} from ${formatAddress(terms.server)} ${until}`);
    this.#trouble = "";
  }

  /** What the server says of the interface itself, if it was asked. */
  #settle(): void {
    const mtu = this.held?.terms.mtu;
    const isAsked = this.options.get(OptionCode.parameterRequestList)?.includes(OptionCode.interfaceMtu);
    if (mtu !== undefined && isAsked === true) limitMtu(this.netns, this.holder.ifname, mtu);
  }

  async #lose(reason: string, held: HeldLease): Promise<void> {
    const { ifname } = this.holder;
    this.around.warn(
      `${describeOwner(this.holder)}: ${reason}; ${formatPrefix(held.terms.address)} is its own no more: taking the interface down`,
    );
    await this.#attempt(async () => closeInterface(this.netns, ifname));
    await this.around.table.lose(this.holder, reason);
  }

  /** What fails now is tried again: a message that can't be sent is one that was lost. */
  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const words = describeError(error);
      if (words !== this.#trouble) this.around.warn(`${describeOwner(this.holder)}: ${words}`);
      this.#trouble = words;
      this.#close();
      // an ADD ends with it
      if (this.#state.kind === "requesting" || this.#state.kind === "selecting") throw error;
    }
  }

  async #sleep(): Promise<void> {
    if (this.#isStopped || this.#state.kind === "ended") return;
    const nowMs = uptimeMs();
    const untilDueMs = (this.#client ?? this.#unconnectedClient()).dueAtMs(this.#state) - nowMs;
    const isLooking = this.#isAsking && this.#channel !== undefined;
    const limitMs = isLooking ? pauseBetweenLooksMs(nowMs - this.#askedAtMs) : LONGEST_SLEEP_MS;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.max(1, Math.min(untilDueMs, limitMs)));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }

  #open(): Channel {
    this.#channel ??= Channel.open(this.netns, this.holder.ifname);
    return this.#channel;
  }

  #close(): void {
    this.#channel?.[Symbol.dispose]();
    this.#channel = undefined;
  }

  #clientOf(channel: Channel): DhcpClient {
    this.#client ??= this.#newClient(channel.hardwareAddress, channel.needsBroadcast);
    return this.#client;
  }

  /** One that only knows the time. */
  #unconnectedClient(): DhcpClient {
    return this.#newClient(this.#row?.hardwareAddress ?? ANYBODY, false);
  }

  #newClient(hardwareAddress: Uint8Array, needsBroadcast: boolean): DhcpClient {
    const broadcast = this.around.broadcast || needsBroadcast;
    return new DhcpClient(
      { hardwareAddress, options: this.options, broadcast },
      this.around.patience,
      Math.random,
    );
  }

  #rowFor(address: Uint8Array, server: Uint8Array): DhcpLeaseRow {
    const { network, containerId, ifname, podNamespace, podName } = this.holder;
    const { netns, netnsInode, bootId, createdAtMs } = this.holder;
    return {
      ...{ network, containerId, ifname, podNamespace, podName, netns, netnsInode, bootId, createdAtMs },
      hardwareAddress: this.#channel?.hardwareAddress ?? ANYBODY,
      serverHardwareAddress: this.#server,
      options: encodeOptions(this.options),
      ...{ address, server },
      acknowledgement: null,
      ...{ renewAtUptimeMs: null, rebindAtUptimeMs: null, expiresAtUptimeMs: null },
      lost: "",
    };
  }

  #tell(text: string): void {
    this.around.note(`${describeOwner(this.holder)}: ${text}`);
  }
}
