// Keeps up with the store: listens for changes, reads what is new, says that this node is alive, and makes sure that it would
// hear of changes at all. While the store is away what was read last stays, and it is asked again after ever longer pauses.
import { describeError } from "../cni/error.ts";
import type { Listening } from "../store/postgres-listening.ts";
import { SharedStoreError } from "../store/store.ts";
import { NodeDirectory } from "./directory.ts";
import type { Registry } from "./registry.ts";

/** How often the store is told that this node is alive: for each it takes a connection of a moment. */
const BEAT_MS = 30_000;

/** How long what was sent to itself may take to come back. */
const DEAF_MS = 10_000;

/** How often everything is read, whatever was told: somebody may have deleted rows by hand. */
const WHOLE_MS = 300_000;

/** Of a thousand nodes that are told the same not all ask at once, and several changes are read as one. */
const SETTLE_MS = 50;
const SPREAD_MS = 250;

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

/** What is told to people. */
export interface Telling {
  note(line: string): void;
  warn(line: string): void;
}

/** A node that keeps up with the others. `woken` is called when `follow` should be, before `dueAtMs`. */
export class Follower implements Disposable {
  readonly directory: NodeDirectory;
  #watching: Listening | undefined;
  /** Everything was read since it listens. */
  #isWhole = false;
  /** The last beat came back; what comes in between is not waited for. */
  #isHeard = true;
  #newsAtMs = Number.POSITIVE_INFINITY;
  #wholeAtMs = 0;
  #beatAtMs = 0;
  #deafAtMs = Number.POSITIVE_INFINITY;
  #pauseMs = 0;
  #retryAtMs = 0;
  /** The problems that were told since the store went away. */
  readonly #troubles = new Set<string>();
  #isDeaf = false;

  constructor(
    readonly registry: Registry,
    private readonly telling: Telling,
    private readonly woken: () => void,
  ) {
    this.directory = new NodeDirectory(registry);
  }

  /** True while the store can't be used. */
  get isCutOff(): boolean {
    return this.#troubles.size > 0;
  }

  /** When `follow` is to be called at the latest. */
  get dueAtMs(): number {
    if (this.isCutOff) return this.#retryAtMs;
    if (this.#watching === undefined) return 0;
    const deafAtMs = this.#isHeard ? Number.POSITIVE_INFINITY : this.#deafAtMs;
    return Math.min(this.#newsAtMs, this.#beatAtMs, this.#wholeAtMs, deafAtMs);
  }

  /** Has everything be read and asked for anew, as soon as `follow` is called. */
  lookNow(): void {
    this.#wholeAtMs = 0;
    this.#beatAtMs = 0;
  }

  /** Says that something has changed, of which it may not be told. */
  expectNews(): void {
    this.#newsAtMs = 0;
  }

  /** Does what is due, and returns whether the nodes are others than before. A store that is away is told once, and no error. */
  async follow(): Promise<boolean> {
    return (await this.attempt(() => this.#follow())) ?? false;
  }

  /**
   * Does something in the store; undefined if that is away, which is told once. Does nothing before its pause is over.
   * Rejects with any other error.
   */
  async attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (this.isCutOff && Date.now() < this.#retryAtMs) return undefined;
    try {
      const result = await work();
      if (this.isCutOff) this.telling.note(`the ${this.registry.location} is there again`);
      this.#troubles.clear();
      this.#pauseMs = 0;
      return result;
    } catch (error) {
      if (!(error instanceof SharedStoreError)) throw error;
      this.#cutOff(error);
      return undefined;
    }
  }

  #cutOff(error: SharedStoreError): void {
    this.#unwatch();
    this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, FIRST_PAUSE_MS), LONGEST_PAUSE_MS);
    this.#retryAtMs = Date.now() + this.#pauseMs * (0.75 + Math.random() / 2);
    if (!this.#troubles.has(error.problem)) {
      this.telling.warn(`${describeError(error)}; ${error.cure}; the known nodes stay as they are meanwhile`);
    }
    this.#troubles.add(error.problem);
  }

  async #follow(): Promise<boolean> {
    if (this.#watching !== undefined && !this.#isHeard && Date.now() >= this.#deafAtMs) this.#tellDeaf();
    if (this.#watching === undefined) await this.#watch();
    const isOther = await this.#read();
    if (Date.now() >= this.#beatAtMs) {
      if (this.#isHeard) this.#deafAtMs = Date.now() + DEAF_MS;
      this.#isHeard = false;
      this.#beatAtMs = Date.now() + BEAT_MS;
      await this.registry.beat();
    }
    return isOther;
  }

  /** What does not come back may be lost in a network that forgets silent connections, or in a pooler. */
  #tellDeaf(): void {
    this.#unwatch();
    if (this.#isDeaf) return;
    this.#isDeaf = true;
    this.telling.warn(
      `the ${this.registry.location} tells this node of no changes: they are looked for about every ${BEAT_MS / 1000} s; a pooler in between has to be in session mode`,
    );
  }

  async #watch(): Promise<void> {
    this.#isWhole = false;
    this.#isHeard = true;
    this.#watching = await this.registry.watch({
      changed: () => {
        this.#newsAtMs = Math.min(this.#newsAtMs, Date.now() + SETTLE_MS + Math.random() * SPREAD_MS);
        this.woken();
      },
      heard: () => {
        this.#isHeard = true;
        this.#isDeaf = false;
      },
      lost: (error) => {
        this.#cutOff(error);
        this.woken();
      },
    });
  }

  async #read(): Promise<boolean> {
    // what comes while it is read is news again
    const hasNews = Date.now() >= this.#newsAtMs;
    if (hasNews) this.#newsAtMs = Number.POSITIVE_INFINITY;
    if (!this.#isWhole || Date.now() >= this.#wholeAtMs) {
      const isOther = await this.directory.readAll();
      this.#isWhole = true;
      this.#wholeAtMs = Date.now() + WHOLE_MS;
      return isOther;
    }
    return hasNews && (await this.directory.readChanges());
  }

  #unwatch(): void {
    this.#watching?.close();
    this.#watching = undefined;
  }

  [Symbol.dispose](): void {
    this.#unwatch();
  }
}
