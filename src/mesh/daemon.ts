// The mesh on this node as it is kept: made, told of the other nodes as they come and go, repaired, and left running when the
// daemon ends. What it can't do now it tells once and tries again; only what it could not even begin with ends it.
import { CniError, describeError } from "../cni/error.ts";
import { formatAddress } from "../ip/address.ts";
import { formatPrefix, type Prefix } from "../ip/prefix.ts";
import { NodeDirectory } from "./directory.ts";
import { Follower, type Telling } from "./follower.ts";
import { type IncompleteNode, incompleteText } from "./node.ts";
import { type BroughtUp, bringUp, type Membership, type NodeNetwork, syncPeers } from "./node-network.ts";
import { namesOf } from "./plan.ts";
import type { Presence, Registry } from "./registry.ts";
import { presenceOf, rememberedPlace, rememberedText } from "./store-membership.ts";

/** How often everything is looked at and repaired, and the network tried out. */
const REPAIR_MS = 30_000;

/** How soon it is tried again after a failure. */
const RETRY_MS = 2_000;

/** Who hears of what the daemon does. */
export interface Observer extends Telling {
  /** Something was made or repaired, or peers were told; nothing of it may have been needed. */
  brought(result: Pick<BroughtUp, "peers"> & Partial<BroughtUp>): void;
  /** The network is there and tried out, and the others know of this node. */
  ready(): void;
  /** The daemon is alive. */
  alive(): void;
}

/** A wait that somebody can end. */
class Alarm {
  #ring: (() => void) | undefined;
  #isRung = false;

  ring(): void {
    this.#isRung = true;
    this.#ring?.();
  }

  /** Waits until it rings, also if it did since the last wait, or until then. */
  async until(timeMs: number): Promise<void> {
    if (!this.#isRung) {
      await new Promise<void>((resolve) => {
        // a node that slept, or whose clock was set, looks all the same
        const timer = setTimeout(resolve, Math.min(Math.max(0, timeMs - Date.now()), REPAIR_MS));
        this.#ring = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#ring = undefined;
    this.#isRung = false;
  }
}

/** The daemon of a node. */
export class Daemon {
  readonly #alarm = new Alarm();
  /** What is wrong at the moment, by what it is about; it was told. */
  readonly #troubles = new Map<string, string>();
  #isStopped = false;
  /** The network was there once: from then on nothing ends the daemon. */
  #isUp = false;
  #isReady = false;
  #repairAtMs = 0;
  #follower: Follower | undefined;
  #blocks: readonly Prefix[] = [];
  /** What the mesh is made by as long as the store has never answered; `null` where nothing can be. */
  #remembered: Membership | null | undefined;
  #presence: Presence | undefined;
  #announced = { words: "", atMs: Number.NEGATIVE_INFINITY };
  #correctedAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly network: NodeNetwork,
    private readonly observer: Observer,
  ) {}

  /** Looks at everything now, and not only when its time has come. */
  lookNow(): void {
    this.#repairAtMs = 0;
    this.#follower?.lookNow();
    this.#alarm.ring();
  }

  /** Lets `keep` and `follow` end as soon as they have done what they are about. */
  stop(): void {
    this.#isStopped = true;
    this.#alarm.ring();
  }

  /** Keeps a node whose nodes are all in its configuration. Rejects as `bringUp` does if it can't begin. */
  async keep(membership: Membership): Promise<void> {
    await this.#live(
      () => this.#repair(membership),
      () => this.#repairAtMs,
    );
  }

  /**
   * Keeps a node whose nodes are in a store, which may be away at any time. Rejects if it can't begin, as `Registry.join` and
   * `bringUp` do, but never because the store is away.
   */
  async follow(registry: Registry): Promise<void> {
    using follower = new Follower(registry, this.observer, () => this.#alarm.ring());
    this.#follower = follower;
    await this.#live(
      () => this.#turn(follower),
      () => {
        if (follower.directory.own !== undefined) return Math.min(follower.dueAtMs, this.#repairAtMs);
        // a node that somebody has removed joins again at once
        return follower.isCutOff ? follower.dueAtMs : 0;
      },
    );
  }

  async #live(turn: () => Promise<void>, dueAtMs: () => number): Promise<void> {
    while (!this.#isStopped) {
      this.observer.alive();
      let earliestMs = 0;
      try {
        await turn();
      } catch (error) {
        if (!this.#isUp) throw error;
        this.#tell("turn", describeError(error));
        earliestMs = Date.now() + RETRY_MS;
        this.#repairAtMs = Math.min(this.#repairAtMs, earliestMs);
      }
      await this.#alarm.until(Math.max(earliestMs, dueAtMs()));
    }
  }

  async #turn(follower: Follower): Promise<void> {
    const { directory } = follower;
    if (directory.own === undefined) await this.#join(follower);
    const isOther = Date.now() >= follower.dueAtMs && (await follower.follow());
    if (this.#blocks.length === 0) {
      await this.#keepRemembered(follower.registry);
      return;
    }
    // as long as nothing was ever read, the peers that are there stay
    if (directory.own === undefined) return;
    const membership = { blocks: this.#blocks, source: directory, origin: follower.registry.origin };
    if (Date.now() >= this.#repairAtMs) await this.#repair(membership);
    else if (isOther) this.#take(await syncPeers(this.network, membership));
    await this.#announce(follower);
    this.#tellLacking(directory.lacking());
  }

  /** Makes and repairs the mesh as this node remembers it; without that, it waits for the store with what is there. */
  async #keepRemembered(registry: Registry): Promise<void> {
    if (Date.now() < this.#repairAtMs) return;
    this.#remembered ??= this.#recall(registry) ?? null;
    if (this.#remembered === null) return;
    await this.#repair(this.#remembered);
  }

  #recall(registry: Registry): Membership | undefined {
    try {
      const place = rememberedPlace(namesOf(this.network.settings), registry);
      if (place !== undefined) this.observer.warn(rememberedText(place));
      return place;
    } catch (error) {
      if (!(error instanceof CniError)) throw error;
      this.observer.warn(`${error.message}; ${error.details}`);
      return undefined;
    }
  }

  async #join(follower: Follower): Promise<void> {
    const blocks = await follower.attempt(() => follower.registry.join());
    if (blocks === undefined) return;
    const had = this.#blocks.length > 0 ? this.#blocks : (this.#remembered?.blocks ?? []);
    const [before, now] = [had, blocks].map((some) => some.map(formatPrefix).join(" "));
    if (before !== now && before !== "") {
      this.observer.warn(
        `this node was taken out of the mesh, and has other blocks now: ${now}, no more ${before}; pods that run keep addresses that are another node's`,
      );
    } else if (this.#blocks.length > 0) {
      this.observer.warn("this node was taken out of the mesh, and has joined it again");
    } else if (before !== "") {
      this.observer.note(`the store has the blocks that this node remembered: ${now}`);
    }
    this.#blocks = blocks;
    this.#repairAtMs = 0;
    this.#announced = { words: "", atMs: Number.NEGATIVE_INFINITY };
    follower.expectNews();
  }

  async #repair(membership: Membership): Promise<void> {
    this.#repairAtMs = Date.now() + REPAIR_MS;
    const result = await bringUp(this.network, membership);
    this.#isUp = true;
    this.#settle("turn");
    this.#take(result);
    this.#presence = await presenceOf(result.plan);
    if (membership.source instanceof NodeDirectory) return;
    this.#tellLacking(result.incomplete);
    this.#beReady();
  }

  #take(result: Pick<BroughtUp, "peers"> & Partial<BroughtUp>): void {
    this.observer.brought(result);
    const unfit = new Map(result.peers.unfit.map(({ name, reason }) => [name, reason]));
    this.#tellNodes("unfit", unfit, (name, reason) => `node ${name} is left out: ${reason}`);
  }

  /** Tells the others where this node is, unless they know it. */
  async #announce(follower: Follower): Promise<void> {
    const presence = this.#presence;
    const { own } = follower.directory;
    if (presence === undefined || own === undefined) return;
    const words = wordsOf(presence);
    if (wordsOf(own) === words) {
      this.#beReady();
      return;
    }
    if (this.#announced.words === words) {
      // it was read before it was said
      if (own.heardAtMs <= this.#announced.atMs) return;
      this.#tell(
        "name",
        `somebody else says of node ${own.name} that it is at ${wordsOf(own)}: two nodes of one name are one to the store, give them a nodeName each`,
      );
      // two that correct each other don't do so all the time
      if (Date.now() < this.#correctedAtMs + REPAIR_MS) return;
      this.#correctedAtMs = Date.now();
    }
    const isKnown = await follower.attempt(() => follower.registry.announce(presence));
    if (isKnown === undefined) return;
    this.#announced = { words, atMs: Date.now() };
    follower.expectNews();
  }

  #beReady(): void {
    if (!this.#isReady) this.observer.ready();
    this.#isReady = true;
  }

  #tellLacking(nodes: readonly IncompleteNode[]): void {
    const lacking = new Map(nodes.map((node) => [node.name, node]));
    this.#tellNodes("lacking", lacking, (_, node) => incompleteText(node));
  }

  /** Tells each trouble with a node once, as long as it lasts. */
  #tellNodes<T>(kind: string, nodes: ReadonlyMap<string, T>, text: (name: string, what: T) => string): void {
    for (const [name, what] of nodes) this.#tell(`${kind} ${name}`, text(name, what));
    for (const key of [...this.#troubles.keys()]) {
      if (key.startsWith(`${kind} `) && !nodes.has(key.slice(kind.length + 1))) this.#troubles.delete(key);
    }
  }

  #tell(about: string, text: string): void {
    if (this.#troubles.get(about) !== text) this.observer.warn(text);
    this.#troubles.set(about, text);
  }

  #settle(about: string): void {
    if (this.#troubles.delete(about)) this.observer.note("everything of this node is there again");
  }
}

/** Returns what others are told of a node, in words. */
function wordsOf({ address, port, publicKey, hardwareAddress }: Presence): string {
  const at = address === undefined ? "no address" : formatAddress(address);
  return [`${at} port ${port}`, publicKey, hardwareAddress].filter((one) => one !== undefined).join(" ");
}
