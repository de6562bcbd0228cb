// The daemon that keeps the leases of a node's containers: it answers the plugin, renews what it holds, and gives back what
// nobody needs any more. After a restart it goes on with what the store says.
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import type { Result } from "../cni/result.ts";
import { describeOwner, netnsIsGone, type Owner } from "../ledger/owner.ts";
import { type Netns, NetnsError, openNetns } from "../net/netns.ts";
import { StoreError } from "../store/store.ts";
import { statFile } from "../sys/files.ts";
import { currentBootId } from "../sys/process.ts";
import { InterfaceError } from "./channel.ts";
import { type KeeperSurroundings, type LeaseHolder, LeaseKeeper, NoLeaseError } from "./keeper.ts";
import type { DhcpLeaseRow } from "./lease-table.ts";
import { decodeOptions } from "./option.ts";
import type { Answer, Question } from "./protocol.ts";
import { giveBack } from "./release.ts";
import { resultOf } from "./terms.ts";

/** How often it is looked whether the containers are still there. */
const LOOK_MS = 3_000;

/** What the daemon answers; the rest of the answer is the socket's. */
export type DaemonAnswer = Omit<Answer, "from" | "result" | "error"> & { readonly result?: Result };

/** What a daemon needs. */
export interface DaemonSurroundings extends KeeperSurroundings {
  /** In front of every path of a namespace, where the host's files are somewhere else for the daemon. */
  readonly hostPrefix: string;
  /** Commits a write to the store. Throws StoreError. */
  prove(): Promise<void>;
}

/** The daemon. */
export class DhcpDaemon {
  readonly #keepers = new Map<string, LeaseKeeper>();
  /** What is being done about an attachment: the next call about it waits. */
  readonly #turns = new Map<string, Promise<unknown>>();
  #looking: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly around: DaemonSurroundings) {}

  /** Takes up what was held before, and keeps looking after the containers. Throws StoreError. */
  async begin(): Promise<void> {
    for (const row of await this.around.table.all()) {
      await this.#inTurn(row, () => this.#takeUp(row));
    }
    this.#looking = setInterval(() => void this.#look(), LOOK_MS);
  }

  /** Ends, and leaves all leases as they are: the next daemon goes on with them. */
  async stop(): Promise<void> {
    clearInterval(this.#looking);
    // an ADD whose runtime is hung up on gives back what it got
    await Promise.allSettled(this.#turns.values());
    await Promise.all([...this.#keepers.values()].map((keeper) => keeper.stop()));
  }

  /** Answers a question; `isWanted` says whether somebody still waits for the answer. Throws what `explained` makes of it. */
  async answer(question: Question, isWanted: () => boolean): Promise<DaemonAnswer> {
    switch (question.verb) {
      case "add":
        return this.#inTurn(question, () => this.#add(question, isWanted));
      case "del":
        return this.#inTurn(question, () => this.#release(question));
      case "check":
        return this.#inTurn(question, async () => this.#tell(question));
      case "gc":
        return this.#collect(question);
      case "status":
        await this.around.prove();
        return {};
    }
  }

  async #add(question: Question & { verb: "add" }, isWanted: () => boolean): Promise<DaemonAnswer> {
    const key = keyOf(question);
    const known = this.#keepers.get(key);
    const isSame = known?.holder.netns === question.netns && !this.#isGone(known.holder);
    if (known?.lost === undefined && isSame) return this.#tell(question);
    if (known !== undefined) await this.#release(question);
    const netns = openNetns(this.#pathOf(question));
    const options = new Map<number, Uint8Array>();
    decodeOptions(Uint8Array.fromHex(question.options), options);
    const { network, containerId, ifname, podNamespace, podName } = question;
    const holder: LeaseHolder = {
      ...{ network, containerId, ifname, podNamespace, podName, netns: question.netns },
      netnsInode: netns.inode.toString(),
      bootId: currentBootId(),
      createdAtMs: Date.now(),
    };
    const keeper = await LeaseKeeper.acquire(holder, netns, options, this.around, isWanted);
    this.#keepers.set(key, keeper);
    return this.#tell(question);
  }

  #tell(owner: Owner): DaemonAnswer {
    const keeper = this.#keepers.get(keyOf(owner));
    if (keeper?.held === undefined) return {};
    const { lost } = keeper;
    return { result: resultOf(keeper.held.terms, undefined), ...(lost === undefined ? {} : { lost }) };
  }

  async #release(owner: Owner): Promise<DaemonAnswer> {
    const keeper = this.#keepers.get(keyOf(owner));
    if (keeper === undefined) {
      // one that nobody keeps is one whose release failed at the store
      const row = await this.around.table.find(owner);
      if (row !== undefined) await this.#giveBack(row);
      return row === undefined ? {} : { released: [ownerOf(owner)] };
    }
    await keeper.release();
    this.#keepers.delete(keyOf(owner));
    return { released: [ownerOf(owner)] };
  }

  async #collect({ network, valid }: Question & { verb: "gc" }): Promise<DaemonAnswer> {
    const isValid = new Set(valid.map(({ containerId, ifname }) => `${containerId}/${ifname}`));
    const rows = await this.around.table.all();
    const stale = rows.filter(
      (row) => row.network === network && !isValid.has(`${row.containerId}/${row.ifname}`),
    );
    const released: Owner[] = [];
    for (const row of stale) {
      const answer = await this.#inTurn(row, () => this.#release(row));
      released.push(...(answer.released ?? []));
    }
    return { released };
  }

  async #takeUp(row: DhcpLeaseRow): Promise<void> {
    if (row.bootId !== currentBootId() || this.#isGone(row)) return this.#giveBack(row);
    let netns: Netns | undefined;
    try {
      netns = openNetns(this.#pathOf(row));
      const keeper = LeaseKeeper.resume(row, netns, this.around);
      if (keeper !== undefined) {
        this.#keepers.set(keyOf(row), keeper);
        this.around.note(`${describeOwner(row)}: took its lease up again`);
        return;
      }
      // its ADD has not come to its end, and nobody was told the address
      await this.#giveBack(row, netns);
    } catch (error) {
      this.around.warn(`${describeOwner(row)}: ${describeError(error)}`);
    }
    netns?.[Symbol.dispose]();
  }

  async #giveBack(row: DhcpLeaseRow, netns?: Netns): Promise<void> {
    const isThere = netns === undefined && row.bootId === currentBootId() && !this.#isGone(row);
    const container = netns ?? (isThere ? this.#pathOf(row) : "");
    if (row.lost === "") this.around.note(`${describeOwner(row)}: ${giveBack(row, container)}`);
    await this.around.table.remove(row);
  }

  /** Gives back what belongs to containers that are gone. */
  async #look(): Promise<void> {
    for (const keeper of [...this.#keepers.values()]) {
      try {
        if (!this.#isGone(keeper.holder)) continue;
        await this.#inTurn(keeper.holder, async () => {
          if (this.#keepers.get(keyOf(keeper.holder)) !== keeper) return;
          this.around.note(`${describeOwner(keeper.holder)}: its namespace ${keeper.holder.netns} is gone`);
          await this.#release(keeper.holder);
        });
      } catch (error) {
        // also a path that can't be looked at just now, such as that of a process which is about to end
        this.around.warn(`${describeOwner(keeper.holder)}: ${describeError(error)}`);
      }
    }
  }

  #isGone({ netns, netnsInode }: LeaseHolder): boolean {
    const path = this.#pathOf({ netns });
    return path === "" || statFile(path) === undefined || netnsIsGone({ netns: path, netnsInode });
  }

  #pathOf({ netns }: Pick<DhcpLeaseRow, "netns">): string {
    return `${this.around.hostPrefix}${netns}`;
  }

  async #inTurn<T>(owner: Owner, work: () => Promise<T>): Promise<T> {
    const key = keyOf(owner);
    const before = this.#turns.get(key) ?? Promise.resolve();
    const result = before.then(work, work);
    this.#turns.set(key, result);
    try {
      return await result;
    } finally {
      if (this.#turns.get(key) === result) this.#turns.delete(key);
    }
  }
}

function keyOf({ network, containerId, ifname }: Owner): string {
  return JSON.stringify([network, containerId, ifname]);
}

function ownerOf({ network, containerId, ifname }: Owner): Owner {
  return { network, containerId, ifname };
}

/** Returns an error as the plugin is to answer with it. */
export function explained(error: unknown): CniError {
  if (error instanceof CniError) return error;
  const message = describeError(error);
  const as = (code: number, details: string) => new CniError(code, message, details, { cause: error });
  if (error instanceof NoLeaseError) {
    return new CniError(
      ErrorCode.tryAgainLater,
      `no address by DHCP: ${message}`,
      "see whether the server is there, has addresses left, and is reached by the container's interface",
      { cause: error },
    );
  }
  if (error instanceof InterfaceError) {
    return as(
      ErrorCode.invalidConfig,
      "dhcp is the ipam of a plugin that makes the interface first: bridge, macvlan, ipvlan, vlan or host-device",
    );
  }
  if (error instanceof NetnsError) {
    return as(ErrorCode.invalidNetns, "as the daemon sees it: where it runs in a container, see -hostprefix");
  }
  if (error instanceof StoreError) {
    const code = error.isPassing ? ErrorCode.tryAgainLater : ErrorCode.storeUnusable;
    return as(code, `${error.problem}: ${error.cure}`);
  }
  return as(ErrorCode.kernelRefused, "");
}
