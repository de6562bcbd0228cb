// The store that many nodes share, in PostgreSQL. It has the leases; what a node made for itself stays in its own file, where
// it is found without the network. Loaded only where a config asks for it.
import { sharedStatements } from "../../db/shared-queries.ts" with { type: "macro" };
import type { SqlValue, Statement } from "../../db/statement.ts";
import { beginPhase, endPhase } from "../sys/phases.ts";
import { LOCK_TIMEOUT_MS } from "./diagnosis.ts";
import { answeredWithin, type DatabasePlace, dropClient, openClient } from "./postgres-client.ts";
import { locationOf, sharedStoreErrorOf } from "./postgres-diagnosis.ts";
import { type Listener, type Listening, listenTo } from "./postgres-listening.ts";
import { migrateShared, refuseNewerSchema, SHARED_SCHEMA_VERSION } from "./postgres-migrations.ts";
import { lockQuery } from "./postgres-queue.ts";
import { bindings, rowOf } from "./row.ts";
import { SharedStoreError, type Store, type Transaction } from "./store.ts";

/** PostgreSQL's statements by SQLite's text; what is not among them belongs to the node's own store. */
const SHARED = new Map(Object.entries(sharedStatements()));

/** What it takes to use a database. */
export interface PostgresSettings extends DatabasePlace {
  /** A plain identifier: lower-case letters, digits and underscores. */
  readonly schema: string;
  /** How long one statement may take. */
  readonly statementTimeoutMs: number;
  /** Whose rows this process writes and may remove: letters, digits, dots, hyphens, underscores. */
  readonly node: string;
}

/** A transaction that its node leaves hanging holds up all others: after this time the server gives it up. */
const IDLE_TIMEOUT_MS = 5_000;

/** How long a process that lives on keeps a connection that it does not use: a thousand of them would be many. */
const IDLE_SECONDS = 2;

/** The server says by itself that a lock was waited for too long; it is given this much more to say so. */
const LOCK_MARGIN_MS = 1_000;

type Rows = readonly (readonly unknown[])[];

/** The shared store; `node` opens the node's own. */
export class PostgresStore implements Store {
  readonly location: string;
  #client: Bun.SQL | undefined;
  #open: PostgresTransaction | undefined;

  constructor(
    private readonly settings: PostgresSettings,
    private readonly node: () => Store,
  ) {
    this.location = locationOf(settings);
  }

  /** The schema that has the tables. */
  get schema(): string {
    return this.settings.schema;
  }

  /** As every store's; whoever can wait for longer than that says for how long other writers may keep it waiting. */
  async transaction<T>(
    work: (transaction: Transaction) => Promise<T>,
    patienceMs = LOCK_TIMEOUT_MS,
  ): Promise<T> {
    return this.#run("write", work, patienceMs);
  }

  async read<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.#run("read", work, LOCK_TIMEOUT_MS);
  }

  async execute<Parameters extends object>(
    statement: Statement<Parameters, never>,
    parameters: Parameters,
    patienceMs: number,
  ): Promise<void> {
    if (!SHARED.has(statement.sql)) return this.node().execute(statement, parameters, patienceMs);
    return this.transaction((transaction) => transaction.run(statement, parameters));
  }

  /**
   * Tells `listener` what is notified on the channels, on a connection beside that of the transactions. Rejects with
   * SharedStoreError if that can't begin.
   */
  async listen(channels: readonly string[], listener: Listener): Promise<Listening> {
    return listenTo(this.settings, this.location, channels, listener);
  }

  async #run<T>(
    access: "read" | "write",
    work: (transaction: Transaction) => Promise<T>,
    patienceMs: number,
  ): Promise<T> {
    if (this.#open !== undefined) return this.#open.join(work);
    const connection = await this.#connect();
    try {
      await this.#begin(connection, access, patienceMs);
      const { schema } = this.settings;
      const transaction = new PostgresTransaction(connection, access, this.node, schema, patienceMs);
      this.#open = transaction;
      const result = await work(transaction);
      await transaction.joined();
      await connection.send("COMMIT");
      return result;
    } catch (error) {
      await connection.rollBack();
      throw error;
    } finally {
      this.#open = undefined;
      connection.release();
      if (connection.isLost) this.#drop();
    }
  }

  async #begin(connection: Connection, access: "read" | "write", patienceMs: number): Promise<void> {
    const begin = beginning(this.settings, access, patienceMs);
    let version = 0;
    try {
      version = Number((await connection.send(begin))[0]?.[0] ?? 0);
    } catch (error) {
      // no schema is what the first node finds; reading is no reason to make one
      if (!isProblem(error, "table missing")) throw error;
      if (access === "read") throw nothingYet(this.location, error);
    }
    refuseNewerSchema(version, this.location);
    if (version === SHARED_SCHEMA_VERSION) return;
    await connection.rollBack();
    // of nodes that all start at once the first one makes the tables, and the others wait for it
    const send = (sql: string) => connection.send(sql, undefined, patienceMs + LOCK_MARGIN_MS);
    await migrateShared(send, this.settings.schema, this.location);
    await connection.send(begin);
  }

  async #connect(): Promise<Connection> {
    const { connectTimeoutMs } = this.settings;
    this.#client ??= openClient(this.settings, { idleTimeout: IDLE_SECONDS });
    beginPhase(`connect to the ${this.location}`);
    try {
      const reserved = await answeredWithin(this.#client.reserve(), connectTimeoutMs, {
        location: this.location,
        what: "connecting",
      });
      endPhase();
      return new Connection(reserved, this.location, this.settings.statementTimeoutMs);
    } catch (error) {
      this.#drop();
      throw sharedStoreErrorOf(error, this.location);
    }
  }

  /** Lets a client go that may have a connection which nobody answers on; the next transaction makes another. */
  #drop(): void {
    dropClient(this.#client);
    this.#client = undefined;
  }

  /** Lets the connection go; the next transaction makes another. */
  close(): void {
    this.#drop();
  }
}

/** One connection, on which every statement is answered in time or is the last one. */
class Connection {
  /** True once an answer did not come: what the server did is not known. */
  isLost = false;

  constructor(
    private readonly reserved: Bun.ReservedSQL,
    readonly location: string,
    private readonly timeoutMs: number,
  ) {}

  /** Runs statements and returns the rows of the last one that has any. Rejects with SharedStoreError. */
  async send(sql: string, parameters?: readonly SqlValue[], timeoutMs = this.timeoutMs): Promise<Rows> {
    beginPhase(sql);
    const query =
      parameters === undefined
        ? this.reserved.unsafe(sql).simple()
        : this.reserved.unsafe(sql, [...parameters]);
    try {
      const answer = await answeredWithin(query.values(), timeoutMs, {
        location: this.location,
        what: "a statement",
      });
      endPhase();
      return lastRows(answer);
    } catch (error) {
      const told = sharedStoreErrorOf(error, this.location);
      if (isProblem(told, "unreachable") || isProblem(told, "timed out")) this.isLost = true;
      throw told;
    }
  }

  async rollBack(): Promise<void> {
    if (this.isLost) return;
    try {
      await this.send("ROLLBACK");
    } catch {
      // the first error is the one to tell; the server rolls back what nobody ends
      this.isLost = true;
    }
  }

  release(): void {
    this.reserved.release().catch(() => undefined);
  }
}

class PostgresTransaction implements Transaction {
  readonly isShared = true;
  readonly location: string;
  readonly #locked = new Set<string>();
  readonly #joined = new Set<Promise<unknown>>();

  constructor(
    private readonly connection: Connection,
    private readonly access: "read" | "write",
    private readonly node: () => Store,
    private readonly schema: string,
    private readonly patienceMs: number,
  ) {
    this.location = connection.location;
  }

  async all<Parameters extends object, Row>(statement: Statement<Parameters, Row>, parameters: Parameters) {
    const shared = SHARED.get(statement.sql);
    if (shared === undefined) return this.node().transaction((own) => own.all(statement, parameters));
    const rows = await this.#send(shared, parameters);
    return rows.map((row) => rowOf(statement, row.map(plain)));
  }

  async first<Parameters extends object, Row>(statement: Statement<Parameters, Row>, parameters: Parameters) {
    const [row] = await this.all(statement, parameters);
    return row;
  }

  async run<Parameters extends object>(statement: Statement<Parameters, never>, parameters: Parameters) {
    await this.all(statement, parameters);
  }

  /** Does the work of another transaction of this process in this one. */
  async join<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    const joined = work(this);
    this.#joined.add(joined);
    return joined;
  }

  /** Waits until the works that joined have ended, however they did. */
  async joined(): Promise<void> {
    await Promise.allSettled(this.#joined);
  }

  async #send(statement: Statement<object, unknown>, parameters: object): Promise<Rows> {
    if (this.access === "write" && "network" in parameters) await this.#lock(String(parameters.network));
    const values = bindings(statement, parameters);
    return this.connection.send(statement.sql, values);
  }

  /**
   * Keeps other writers of the network out until the transaction ends: choosing an address reads what others must not
   * change meanwhile, as BEGIN IMMEDIATE keeps them out of a file.
   */
  async #lock(network: string): Promise<void> {
    if (this.#locked.has(network)) return;
    // those who wait stand in a queue at the server: to give up early and ask again would be to stand at its end
    await this.connection.send(
      lockQuery("$1"),
      [`${this.schema}/${network}`],
      this.patienceMs + LOCK_MARGIN_MS,
    );
    this.#locked.add(network);
  }
}

/** Returns how a transaction begins: in the schema, for the node, within the limits. It answers the schema's version. */
function beginning(settings: PostgresSettings, access: "read" | "write", patienceMs: number): string {
  const { schema, node } = settings;
  const mode = access === "read" ? " ISOLATION LEVEL REPEATABLE READ READ ONLY" : "";
  return [
    `BEGIN${mode}`,
    `SET LOCAL search_path TO "${schema}"`,
    `SET LOCAL warren.node TO '${node}'`,
    // for what nobody waits for any more; a lock is waited for no longer than that of a file, unless somebody can
    `SET LOCAL statement_timeout TO ${patienceMs + LOCK_MARGIN_MS}`,
    `SET LOCAL lock_timeout TO ${patienceMs}`,
    `SET LOCAL idle_in_transaction_session_timeout TO ${IDLE_TIMEOUT_MS}`,
    "SELECT version FROM schema_version",
  ].join("; ");
}

/** Several statements in one message answer with a list of lists of rows. */
function lastRows(answer: unknown): Rows {
  if (!Array.isArray(answer)) return [];
  const last: unknown = answer.findLast((one) => Array.isArray(one) && one.length > 0);
  if (!Array.isArray(last)) return [];
  return Array.isArray(last[0]) ? last : answer;
}

/** Whole numbers of 64 bits are times and counts here, which a double holds exactly. */
function plain(value: unknown): unknown {
  return typeof value === "bigint" ? Number(value) : value;
}

function nothingYet(location: string, cause: unknown): SharedStoreError {
  return new SharedStoreError(
    location,
    "table missing",
    `the ${location} has none of Warren's tables yet`,
    "the first node that writes makes them: by an ADD, or warren node up",
    { cause },
  );
}

function isProblem(error: unknown, problem: SharedStoreError["problem"]): boolean {
  return error instanceof SharedStoreError && error.problem === problem;
}
