// A PostgreSQL server for a test: in a sandbox, on its loopback and on a socket in its folder, from a cluster that is made
// once and copied. It ends with the sandbox, and with this process however that ends.
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { CACHE_FOLDER, tools } from "../../scripts/tools.ts";
import {
  asServerUser,
  initdbCommand,
  SERVER_USER as NOBODY,
  DATABASE_USER as USER,
} from "../../src/cli/lab/database-server.ts";
import { isRoot, type Sandbox } from "./sandbox.ts";
import type { Json } from "./world.ts";

/** A password with everything in it that an address of a database would trip over. */
export const PASSWORD = "p@ss:w/o?r#d%20'\"\\ $x&ü";
const PORT = 5432;

const CACHE = join(CACHE_FOLDER, "warren-tools");

const server = tools.program("postgres");

/** What tests with a server need. */
export const postgres: { readonly reason?: string | undefined } = isRoot
  ? server
  : { reason: "only root can start PostgreSQL as somebody else inside a namespace" };

/** Returns the folder of the server's programs. */
export function programs(): string {
  if (server.path === undefined) throw new Error(server.reason);
  return dirname(realpathSync(server.path));
}

async function asNobody(command: readonly string[]): Promise<void> {
  const child = Bun.spawn([...asServerUser(), ...command], { stdout: "ignore", stderr: "pipe", cwd: "/" });
  if ((await child.exited) !== 0) throw new Error(await new Response(child.stderr).text());
}

/** Returns the folder of a cluster to copy, made once. */
export async function clusterTemplate(): Promise<string> {
  const made = join(CACHE, "postgres-cluster");
  if (existsSync(made)) return made;
  // in a place that nobody may enter
  const folder = `/tmp/warren-cluster-${process.pid}`;
  mkdirSync(folder, { mode: 0o755 });
  try {
    chownSync(folder, NOBODY, NOBODY);
    writeFileSync(join(folder, "password"), PASSWORD, { mode: 0o644 });
    const data = join(folder, "data");
    await asNobody(initdbCommand(programs(), data, join(folder, "password")));
    mkdirSync(CACHE, { recursive: true });
    cpSync(data, `${made}.${process.pid}`, { recursive: true });
    if (!existsSync(made)) renameSync(`${made}.${process.pid}`, made);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    rmSync(`${made}.${process.pid}`, { recursive: true, force: true });
  }
  return made;
}

/** A server. Start one with `await using server = await PostgresServer.start(sandbox)`. */
export class PostgresServer implements AsyncDisposable {
  #process: Bun.Subprocess<Blob, "pipe", "pipe"> | undefined;

  private constructor(
    private readonly sandbox: Sandbox,
    /** Where its socket and its files are. */
    readonly folder: string,
  ) {}

  /** Starts a server in the sandbox; more settings are given as PostgreSQL spells them. */
  static async start(sandbox: Sandbox, settings: readonly string[] = []): Promise<PostgresServer> {
    const started = new PostgresServer(sandbox, join(sandbox.directory, "postgres"));
    // the socket is for everybody; the sandbox's own folder is root's
    await sandbox.text(["chmod", "755", sandbox.directory]);
    mkdirSync(started.folder, { mode: 0o755 });
    cpSync(await clusterTemplate(), started.data, { recursive: true });
    await sandbox.text(["chown", "-R", `${NOBODY}:${NOBODY}`, started.folder]);
    await sandbox.text(["chmod", "700", started.data]);
    writeFileSync(started.passwordFile, `${PASSWORD}\n`, { mode: 0o600 });
    await started.run(settings);
    return started;
  }

  /** The cluster's folder. */
  get data(): string {
    return join(this.folder, "data");
  }

  /** The file with the password, as a config names it. */
  get passwordFile(): string {
    return join(this.sandbox.directory, "password");
  }

  /** Starts the server again on the same cluster. */
  async run(settings: readonly string[] = []): Promise<void> {
    const options = [
      ...["listen_addresses=127.0.0.1", `unix_socket_directories=${this.folder}`, "fsync=off", "jit=off"],
      ...["shared_buffers=16MB", "max_connections=300", ...settings],
    ];
    const command = [
      ...asServerUser(),
      ...[join(programs(), "postgres"), "-D", this.data, ...options.flatMap((one) => ["-c", one])],
    ];
    // of one that was killed it may have a log to read first
    const giveUpAtMs = Date.now() + 100_000;
    for (;;) {
      // it does not start as long as processes of one that was killed are still ending; an init would try again, too
      const hasEnded = (this.#process?.exitCode ?? this.#process?.signalCode ?? null) !== null;
      if (this.#process === undefined || hasEnded) this.#process = this.sandbox.start(command, { cwd: "/" });
      try {
        await this.query("SELECT 1");
        return;
      } catch (error) {
        if (Date.now() > giveUpAtMs) throw error;
        await Bun.sleep(25);
      }
    }
  }

  /** Sends the server a signal and waits until it has ended. */
  async end(signal: "SIGKILL" | "SIGQUIT" | "SIGINT" = "SIGQUIT"): Promise<void> {
    this.#process?.kill(signal);
    await this.#process?.exited;
    this.#process = undefined;
  }

  /** Stops the server in the middle of whatever it does: it takes connections, and answers none. */
  pause(): void {
    this.#process?.kill("SIGSTOP");
  }

  resume(): void {
    this.#process?.kill("SIGCONT");
  }

  /** Returns a client of the owner's with one connection, which the caller closes. */
  client(database = "postgres"): Bun.SQL {
    return new Bun.SQL({
      adapter: "postgres",
      path: `${this.folder}/.s.PGSQL.${PORT}`,
      username: USER,
      password: PASSWORD,
      database,
      max: 1,
    });
  }

  /** Runs statements as the owner and returns the rows of the last one as lists. */
  async query(sql: string, database = "postgres"): Promise<unknown[][]> {
    const client = this.client(database);
    try {
      const rows = await client.unsafe(sql).values();
      return [...rows].map((row: unknown[]) => [...row]);
    } finally {
      await client.close();
    }
  }

  /** The key `store` of a config that has its leases here, by the sandbox's loopback. */
  config(others: Json = {}): { readonly postgres: Json } {
    return {
      postgres: {
        host: "127.0.0.1",
        user: USER,
        database: "postgres",
        passwordFile: this.passwordFile,
        tls: { mode: "disable" },
        nodeName: "node1",
        ...others,
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.resume();
    await this.end();
  }
}
