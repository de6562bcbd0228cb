// A PostgreSQL server of a lab's own, for the time that the lab plays: in its namespaces, on a unix socket, by a user without
// rights, in a folder in memory. The server is a child that the kernel ends when the lab is gone, however that came.
import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { CniError, ErrorCode } from "../../cni/error.ts";
import { StepError } from "./stage.ts";

/** Who runs the server, which refuses to be run by root: nobody. */
export const SERVER_USER = 65_534;

/** The user of the database, to whom all belongs. */
export const DATABASE_USER = "warren";

/** Where packages put the server's programs that are not in PATH: Debian and its kin, Fedora's own, PostgreSQL's for Fedora. */
const PROGRAM_FOLDERS = "/usr/{lib/postgresql/*,lib/postgresql,pgsql-*}/bin/initdb";

/** A cluster in memory that nobody needs after a crash. */
const SETTINGS = [
  ...["listen_addresses = ''", "fsync = off", "jit = off", "shared_buffers = 16MB", "max_connections = 50"],
  // nothing in the machine's /dev/shm
  "dynamic_shared_memory_type = mmap",
];

const START_TIMEOUT_MS = 60_000;

/** Returns the folder of initdb and postgres. Throws CniError 5 with the package to install if there is none. */
export function serverPrograms(searchPath = process.env.PATH ?? ""): string {
  const inPath = Bun.which("initdb", { PATH: searchPath });
  const versions = [...new Bun.Glob(PROGRAM_FOLDERS.slice(1)).scanSync({ cwd: "/", absolute: true })];
  const newest = versions.toSorted((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
  const initdb = inPath ?? newest;
  if (initdb !== undefined) return dirname(realpathSync(initdb));
  throw new CniError(
    ErrorCode.ioFailure,
    "the programs of the PostgreSQL server, initdb and postgres, are not on this machine",
    "install the package postgresql (Debian, Ubuntu) or postgresql-server (Fedora), or play the lab without --store",
  );
}

/** Returns the command line that makes a cluster, whose user has the password in a file. */
export function initdbCommand(programs: string, data: string, passwordFile: string): string[] {
  return [
    ...[join(programs, "initdb"), "--pgdata", data, "--username", DATABASE_USER, "--auth=scram-sha-256"],
    ...[`--pwfile=${passwordFile}`, "--no-sync", "--locale=C", "--encoding=UTF8"],
  ];
}

/**
 * Returns the words in front of a command line that make it run as nobody and end with the process that starts it. Root of a
 * user namespace can't become anybody else, but it can be called nobody in another one.
 */
export function asServerUser(): string[] {
  const dying = ["setpriv", "--pdeathsig=QUIT"];
  if (!isOnlyRoot()) {
    return [...dying, `--reuid=${SERVER_USER}`, `--regid=${SERVER_USER}`, "--clear-groups", "--"];
  }
  return [
    "unshare",
    "--user",
    `--map-user=${SERVER_USER}`,
    `--map-group=${SERVER_USER}`,
    "--",
    ...dying,
    "--",
  ];
}

/** True in a user namespace with nobody in it but root (user_namespaces(7)). */
function isOnlyRoot(): boolean {
  const ranges = readFileSync("/proc/self/uid_map", "utf8").trim().split("\n");
  return ranges.every((range) => {
    const [first = 0, , count = 0] = range.trim().split(/\s+/).map(Number);
    return SERVER_USER < first || SERVER_USER >= first + count;
  });
}

/** The server. `make` comes first, then `start`. */
export class LabServer implements AsyncDisposable {
  #process: Bun.Subprocess<"ignore", "ignore", "pipe"> | undefined;

  constructor(
    /** Where its socket is, and in it its files. */
    readonly folder: string,
    readonly passwordFile: string,
  ) {}

  /** The cluster's folder. */
  get data(): string {
    return join(this.folder, "data");
  }

  /** Makes the cluster; nothing runs yet. Throws CniError 5. */
  async make(): Promise<void> {
    const programs = serverPrograms();
    mkdirSync(this.folder, { recursive: true });
    // whatever the umask: nobody has to get there
    for (const folder of [dirname(this.folder), this.folder]) chmodSync(folder, 0o755);
    const forServer = join(this.folder, "password");
    const password = crypto.randomUUID();
    for (const file of [this.passwordFile, forServer]) writeFileSync(file, `${password}\n`, { mode: 0o600 });
    if (!isOnlyRoot()) for (const path of [this.folder, forServer]) chownSync(path, SERVER_USER, SERVER_USER);
    const making = spawned([...asServerUser(), ...initdbCommand(programs, this.data, forServer)]);
    const said = await new Response(making.stderr).text();
    if ((await making.exited) !== 0) {
      throw new CniError(ErrorCode.ioFailure, `initdb made no PostgreSQL cluster: ${said.trim()}`);
    }
    const settings = [...SETTINGS, `unix_socket_directories = '${this.folder}'`];
    appendFileSync(join(this.data, "postgresql.conf"), `${settings.join("\n")}\n`);
  }

  /** Starts the server and waits until it takes connections. Throws StepError. */
  async start(): Promise<void> {
    // an inter-process namespace of its own keeps its shared memory off the machine
    const running = spawned([
      ...["unshare", "--ipc", "--", ...asServerUser()],
      ...[join(serverPrograms(), "postgres"), "-D", this.data],
    ]);
    this.#process = running;
    const said = new Response(running.stderr).text();
    const giveUpAtMs = Date.now() + START_TIMEOUT_MS;
    while (!this.#isReady()) {
      if (running.exitCode !== null || running.signalCode !== null) {
        throw new StepError(`PostgreSQL did not start: ${(await said).trim()}`);
      }
      if (Date.now() > giveUpAtMs) throw new StepError("PostgreSQL did not get ready");
      await Bun.sleep(20);
    }
  }

  /** The server writes into its lock file how far it is, in the eighth line, which is where pg_ctl reads it, too. */
  #isReady(): boolean {
    try {
      const lines = readFileSync(join(this.data, "postmaster.pid"), "utf8").split("\n");
      return lines[7]?.trim() === "ready";
    } catch {
      return false;
    }
  }

  /** Ends the server, if it runs, and waits for that. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#process?.kill("SIGQUIT");
    await this.#process?.exited;
    this.#process = undefined;
  }
}

function spawned(command: string[]): Bun.Subprocess<"ignore", "ignore", "pipe"> {
  // PG... of whoever plays the lab says nothing here
  const env = { PATH: process.env.PATH ?? "", LC_ALL: "C" };
  return Bun.spawn(command, { env, cwd: "/", stdin: "ignore", stdout: "ignore", stderr: "pipe" });
}
