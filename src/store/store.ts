// What the rest of Warren knows of a store: transactions of prepared queries. The interface is asynchronous, so
// that a database on the network can stand behind it as well as a file.
import type { Statement } from "../../db/statement.ts";

/** Queries inside a transaction. */
export interface Transaction {
  /** Where the store is: a path, or the words for a database. */
  readonly location: string;
  /** True if other nodes have it too: then leases and addresses are in it, and all else in this node's file. */
  readonly isShared: boolean;
  /** Returns all rows. */
  all<Parameters extends object, Row>(
    statement: Statement<Parameters, Row>,
    parameters: Parameters,
  ): Promise<Row[]>;
  /** Returns the first row, or undefined if there is none. */
  first<Parameters extends object, Row>(
    statement: Statement<Parameters, Row>,
    parameters: Parameters,
  ): Promise<Row | undefined>;
  /** Runs a statement that returns no rows. */
  run<Parameters extends object>(
    statement: Statement<Parameters, never>,
    parameters: Parameters,
  ): Promise<void>;
}

/** A store that is open. */
export interface Store {
  /** Where it is, for messages: a path, or the words for a database. */
  readonly location: string;
  /**
   * Runs `work` in one write transaction and returns what it returns; if it throws, nothing was written. Inside
   * the work of another transaction of the same store it joins that one. Throws StoreError.
   */
  transaction<T>(work: (transaction: Transaction) => Promise<T>): Promise<T>;
  /**
   * Runs `work`, which only reads, on one state of the store and returns what it returns; it waits for no writer.
   * Inside a transaction of the same store it reads what that has written. Throws StoreError.
   */
  read<T>(work: (transaction: Transaction) => Promise<T>): Promise<T>;
  /**
   * Runs one statement, which is a transaction by itself, or part of the one that is open. It waits for other writers no
   * longer than `patienceMs`. Throws StoreError.
   */
  execute<Parameters extends object>(
    statement: Statement<Parameters, never>,
    parameters: Parameters,
    patienceMs: number,
  ): Promise<void>;
}

/** What is wrong with a store; each needs another cure. */
export type StoreProblem =
  | "parent missing"
  | "not a directory"
  | "not a file"
  | "read-only"
  | "permission denied"
  | "disk full"
  | "corrupt"
  | "removed"
  | "newer schema"
  | "locked"
  | "out of descriptors"
  | "network file system"
  | "unusable"
  | "unreachable"
  | "timed out"
  | "too many connections"
  | "authentication failed"
  | "not encrypted"
  | "certificate refused"
  | "database missing"
  | "table missing"
  | "read-only replica"
  | "password missing";

/** What passes by itself: whoever tries again later may find the store in order. */
const PASSING: ReadonlySet<StoreProblem> = new Set([
  "locked",
  "unreachable",
  "timed out",
  "too many connections",
  "read-only replica",
]);

/** A store that can't be used: which one, what is wrong, what would help. */
export class StoreError extends Error {
  override readonly name = "StoreError";

  constructor(
    readonly location: string,
    readonly problem: StoreProblem,
    message: string,
    /** What the operator can do about it. */
    readonly cure: string,
    options?: { readonly cause?: unknown },
  ) {
    super(message, options);
  }

  /** True if it is worth trying again later. */
  get isPassing(): boolean {
    return PASSING.has(this.problem);
  }
}

/** A shared store that can't be used: the node's own may be in order. */
export class SharedStoreError extends StoreError {}
