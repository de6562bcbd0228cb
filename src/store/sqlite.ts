// The store as one SQLite file: opened without a word to the schema when it is in place, made whole before it gets
// its name when it isn't, and left without the checkpoint that a normal close would pay for.
import { Database, SQLiteError } from "bun:sqlite";
import type { Statement } from "../../db/statement.ts";
import {
  fileSystemType,
  lockExclusively,
  makeDirectory,
  parentOf,
  removeFile,
  renameFile,
} from "../sys/directory.ts";
import { type FileStatus, OpenFlag, openFile, statFile, statName } from "../sys/files.ts";
import { SystemError } from "../sys/libc.ts";
import { beginPhase, endPhase } from "../sys/phases.ts";
import { precedence } from "../sys/process.ts";
import { LOCK_TIMEOUT_MS, storeErrorOf } from "./diagnosis.ts";
import { migrate, refuseNewer, SCHEMA_VERSION, schemaVersion } from "./migrations.ts";
import { bindings, rowOf } from "./row.ts";
import { type Store, StoreError, type Transaction } from "./store.ts";

/** Where the store is unless `dataDir` says otherwise. */
export const DEFAULT_DATA_DIR = "/var/lib/cni/warren";

const FILE_NAME = "warren.db";

/**
 * How long the write-ahead log may grow before leaving checkpoints it. Whoever leaves by `exitNow` saves the
 * checkpoint's fsyncs, but nobody else ever shortens the log then, and a long one slows every opening.
 */
const LOG_LIMIT_PAGES = 64;

const ELOOP = 40;

/** File systems on which the shared memory of a write-ahead log does not work (linux/magic.h). */
const NETWORK_FILE_SYSTEMS: Readonly<Record<number, string>> = {
  26985: "NFS",
  20859: "SMB",
  4283649346: "CIFS",
  4266872130: "SMB2",
  16914839: "9P",
  12805120: "Ceph",
  1397113167: "AFS",
  1937076805: "Coda",
};

/** Returns the name of a file system that a store can't be on, or undefined if `type` is none of those. */
export function networkFileSystem(type: number): string | undefined {
  return NETWORK_FILE_SYSTEMS[type];
}

const stores = new Map<string, SqliteStore>();

/** Returns the path of the store in a data directory. */
export function storePath(dataDir: string): string {
  return `${dataDir}/${FILE_NAME}`;
}

/**
 * Returns the store in `dataDir`, opened once a process, and created if it isn't there: the directory itself is
 * made (0700), its parent must exist. Throws StoreError.
 */
export function openStore(dataDir: string = DEFAULT_DATA_DIR): Store {
  const known = stores.get(dataDir);
  if (known !== undefined) return known;
  const store = new SqliteStore(dataDir);
  stores.set(dataDir, store);
  return store;
}

/** True if there is a store in `dataDir`; opens and creates nothing. */
export function storeExists(dataDir: string): boolean {
  return !isNothing(statName(storePath(dataDir)));
}

/**
 * Runs `work` in one transaction of the store in `dataDir`, or without any where there is none: looking and removing
 * are no reason to make one. Throws StoreError.
 */
export async function inExistingStore<T>(
  dataDir: string,
  work: (transaction: Transaction | undefined) => Promise<T>,
  access: "write" | "read" = "write",
): Promise<T> {
  if (!storeExists(dataDir)) return work(undefined);
  const store = openStore(dataDir);
  return access === "read" ? store.read(work) : store.transaction(work);
}

/** Returns the store in `dataDir` if this process has it open, else any other that it has open. */
export function openedStore(dataDir: string): Store | undefined {
  return stores.get(dataDir) ?? stores.values().next().value;
}

/** Prepares to leave the process: databases whose log has grown are closed, which shortens it. */
export function leaveStores(): void {
  for (const store of stores.values()) store.leave();
}

class SqliteStore implements Store {
  readonly location: string;
  readonly #database: Database;
  readonly #file: string;
  #open: Transaction | undefined;

  constructor(dataDir: string) {
    this.location = storePath(dataDir);
    beginPhase(`open the store ${this.location}`);
    this.#database = openDatabase(dataDir, this.location);
    endPhase();
    this.#file = identityOf(this.location);
  }

  async transaction<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    // IMMEDIATE: whoever will write waits at the start, where waiting is covered by the time-out
    return this.#run("BEGIN IMMEDIATE", work);
  }

  async read<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.#run("BEGIN DEFERRED", work);
  }

  async execute<Parameters extends object>(
    statement: Statement<Parameters, never>,
    parameters: Parameters,
    patienceMs: number,
  ): Promise<void> {
    if (this.#open !== undefined) return this.#open.run(statement, parameters);
    beginPhase(statement.sql);
    try {
      this.#database.run(`PRAGMA busy_timeout=${Math.floor(patienceMs)}`);
      this.#database.query(statement.sql).run(...bindings(statement, parameters));
    } catch (error) {
      throw storeErrorOf(error, this.location);
    } finally {
      this.#database.run(`PRAGMA busy_timeout=${LOCK_TIMEOUT_MS}`);
      endPhase();
    }
  }

  async #run<T>(
    begin: "BEGIN IMMEDIATE" | "BEGIN DEFERRED",
    work: (transaction: Transaction) => Promise<T>,
  ): Promise<T> {
    if (this.#open !== undefined) return work(this.#open);
    try {
      beginPhase(begin);
      this.#database.run(begin);
      // another version of the executable may have been here since the store was opened
      refuseNewer(schemaVersion(this.#database), this.location);
      endPhase();
      // all others wait for it, so of hundreds that start at once it is not to be one among many
      using _ = begin === "BEGIN IMMEDIATE" ? precedence() : undefined;
      const files = this.#filesInUse();
      this.#open = new SqliteTransaction(this.#database, this.location);
      const result = await work(this.#open);
      beginPhase("COMMIT");
      this.#database.run("COMMIT");
      endPhase();
      if (this.#filesInUse() !== files) throw removed(this.location);
      return result;
    } catch (error) {
      this.#rollBack();
      // what the work itself met outside of the store (a socket, a namespace) is not the store's fault
      throw error instanceof SQLiteError ? storeErrorOf(error, this.location) : error;
    } finally {
      this.#open = undefined;
    }
  }

  /**
   * Returns which files the names of the store lead to. What SQLite has open may have been removed or replaced: it
   * would read and commit there, and nobody else would ever see it.
   */
  #filesInUse(): string {
    const file = identityOf(this.location);
    if (file !== this.#file) throw removed(this.location);
    return `${file} ${identityOf(`${this.location}-wal`)}`;
  }

  #rollBack(): void {
    try {
      if (this.#database.inTransaction) this.#database.run("ROLLBACK");
    } catch {
      // SQLite has rolled back by itself (disk full, I/O error); the first error is the one to tell
    }
  }

  leave(): void {
    beginPhase("look at the length of the write-ahead log");
    try {
      const [row] = this.#database.query("PRAGMA wal_checkpoint(NOOP)").values();
      const pages = row?.[1];
      if (typeof pages === "number" && pages > LOG_LIMIT_PAGES) {
        beginPhase("shorten the write-ahead log");
        this.#database.close();
      }
    } catch {
      // a store that broke meanwhile has told its error already
    }
    endPhase();
  }
}

class SqliteTransaction implements Transaction {
  readonly isShared = false;

  constructor(
    private readonly database: Database,
    readonly location: string,
  ) {}

  async all<Parameters extends object, Row>(statement: Statement<Parameters, Row>, parameters: Parameters) {
    beginPhase(statement.sql);
    const rows = this.database.query(statement.sql).values(...bindings(statement, parameters));
    endPhase();
    return rows.map((row) => rowOf(statement, row));
  }

  async first<Parameters extends object, Row>(statement: Statement<Parameters, Row>, parameters: Parameters) {
    beginPhase(statement.sql);
    const [row] = this.database.query(statement.sql).values(...bindings(statement, parameters));
    endPhase();
    return row === undefined ? undefined : rowOf(statement, row);
  }

  async run<Parameters extends object>(statement: Statement<Parameters, never>, parameters: Parameters) {
    beginPhase(statement.sql);
    this.database.query(statement.sql).run(...bindings(statement, parameters));
    endPhase();
  }
}

function identityOf(path: string): string {
  const status = statFile(path);
  return status === undefined ? "absent" : `${status.device} ${status.inode}`;
}

function removed(location: string): StoreError {
  return new StoreError(
    location,
    "removed",
    `the store ${location} was removed or replaced while it was in use`,
    "try again; leases that the removed store had are lost",
  );
}

function openDatabase(dataDir: string, location: string): Database {
  let database: Database | undefined;
  try {
    // the short way, taken by every call but the first: the file is there and its schema is ours
    if (isAbsent(location)) createStore(dataDir, location);
    refuseWithoutLog(location);
    database = new Database(location, { readwrite: true, create: false });
    // busy_timeout first: even the next pragma can meet a lock
    database.run(`PRAGMA busy_timeout=${LOCK_TIMEOUT_MS}; PRAGMA synchronous=NORMAL`);
    if (schemaVersion(database) !== SCHEMA_VERSION) migrate(database, location);
    return database;
  } catch (error) {
    const told = storeErrorOf(error, location);
    database?.close();
    throw told;
  }
}

/** How often a log that is missing is looked for, and the pause in between. */
const LOG_TRIES = 5;
const LOG_PAUSE_MS = 2;

/**
 * Throws StoreError for a store whose log was removed: SQLite makes the log before its index and removes it after that,
 * so that an index alone is what somebody else left. What was only in the log, the youngest leases, is lost then.
 */
function refuseWithoutLog(location: string): void {
  for (let tries = 0; tries < LOG_TRIES; tries++) {
    // others open and close it meanwhile: what is seen once may be two moments
    if (statFile(`${location}-wal`) !== undefined || statFile(`${location}-shm`) === undefined) return;
    Bun.sleepSync(LOG_PAUSE_MS);
  }
  throw new StoreError(
    location,
    "removed",
    `the write-ahead log ${location}-wal was removed, and the last leases with it`,
    `put it back; or end what uses the store, remove ${location}-shm, and run warren gc with what lives`,
  );
}

/** An empty file is one that somebody has touched: no store is ever without its schema. */
function isNothing(status: FileStatus | undefined): boolean {
  return status === undefined || (status.kind === "file" && status.bytes === 0n);
}

/**
 * True if a store has to be made. Throws ELOOP where the name is a symbolic link: opened through it the store would be
 * somebody else's file, and a rename would silently replace it.
 */
function isAbsent(location: string): boolean {
  const status = statName(location);
  if (status?.kind === "link") throw new SystemError(`open ${location}`, ELOOP);
  return isNothing(status);
}

/**
 * Makes a store that is whole when it gets its name, one process at a time. Set up under its own name it would be met
 * half made, and there busy_timeout does not hold: setting the journal mode reads before it writes, and SQLite waits
 * for no lock on that way up, since two that wait for each other would never end. It returned SQLITE_BUSY at once when
 * another caller, cleaning up after one that was killed, held the lock for a moment.
 */
function createStore(dataDir: string, location: string): void {
  makeDataDirectory(dataDir, location);
  using lock = openFile(`${location}.lock`, OpenFlag.readWrite | OpenFlag.create | OpenFlag.noFollow, 0o600);
  lockExclusively(lock.fd, `${location}.lock`);
  // another first caller was faster
  if (!isAbsent(location)) return;
  const unfinished = `${location}.new`;
  try {
    removeDatabase(unfinished);
    buildStore(unfinished, location);
    // a log that outlived its store would be played into the new one
    removeDatabase(location);
    renameFile(unfinished, location);
  } catch (error) {
    removeDatabase(unfinished);
    throw error;
  }
}

function buildStore(path: string, location: string): void {
  // the mode is ours to set: SQLite gives the file's to its log
  openFile(path, OpenFlag.readWrite | OpenFlag.create | OpenFlag.exclusive, 0o600).close();
  const database = new Database(path, { readwrite: true, create: false });
  try {
    database.run("PRAGMA journal_mode=WAL");
    migrate(database, location);
    // throws if it can't: the log has to be in the file, and the file on the disk, before it gets its name
    database.close(true);
  } catch (error) {
    const told = storeErrorOf(error, location, path);
    database.close();
    throw told;
  }
}

/** Removes a database with its log and its journal; missing ones are success. */
function removeDatabase(path: string): void {
  for (const suffix of ["-wal", "-shm", "-journal", ""]) removeFile(`${path}${suffix}`);
}

/** Makes the directory, for its owner alone; where it is to be has to be there. */
function makeDataDirectory(dataDir: string, location: string): void {
  const parent = parentOf(dataDir);
  // /var/lib/cni is where every CNI tool keeps its state; any other parent that is missing may be a disk that
  // is not mounted, or a slip of the pen, and is not made
  if (dataDir === DEFAULT_DATA_DIR && statFile(parent) === undefined) makeDirectory(parent, 0o755);
  const status = statFile(parent);
  if (status === undefined) {
    throw new StoreError(
      location,
      "parent missing",
      `the directory ${parent}, which the store ${location} is to be in, does not exist`,
      "create or mount it, or correct dataDir",
    );
  }
  if (status.kind !== "directory") {
    throw new StoreError(location, "not a directory", `${parent} is not a directory`, "correct dataDir");
  }
  const network = networkFileSystem(fileSystemType(parent));
  if (network !== undefined) {
    throw new StoreError(
      location,
      "network file system",
      `${parent} is on a network file system (${network}), where SQLite's write-ahead log does not work`,
      "set dataDir to a local directory",
    );
  }
  makeDirectory(dataDir, 0o700);
}
