// A PostgreSQL server for a scenario, with nothing turned off that makes it safe, on the loopback of the bench's namespaces.
// It ends with the scenario.
import { chownSync, mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { tools } from "../scripts/tools.ts";
import { assertSuccess } from "./command.ts";

const NOBODY = 65_534;
const AS_NOBODY = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
const USER = "bench";

/** A server that runs. */
export class Database implements AsyncDisposable {
  readonly #server: Bun.Subprocess;

  private constructor(
    server: Bun.Subprocess,
    /** The settings of the key `store.postgres`, but for the node's name. */
    readonly settings: Readonly<Record<string, unknown>>,
  ) {
    this.#server = server;
  }

  /** Starts a server in memory for so many connections; throws if there is none to start, or if it does not come up. */
  static async start(connections = 300): Promise<Database> {
    const program = tools.program("postgres");
    if (program.path === undefined) throw new Error(program.reason);
    const programs = dirname(realpathSync(program.path));
    // where nobody may enter: the stage's own folder is root's
    const folder = `/run/bench-database-${process.pid}`;
    mkdirSync(folder, { mode: 0o755 });
    chownSync(folder, NOBODY, NOBODY);
    const passwordFile = join(folder, "password");
    writeFileSync(passwordFile, "bench", { mode: 0o644 });
    const data = join(folder, "data");
    assertSuccess([
      ...[...AS_NOBODY, join(programs, "initdb"), "--pgdata", data, "--username", USER],
      ...["--auth=scram-sha-256", `--pwfile=${passwordFile}`, "--locale=C", "--encoding=UTF8"],
    ]);
    const options = [
      "listen_addresses=127.0.0.1",
      `unix_socket_directories=${folder}`,
      `max_connections=${connections}`,
    ];
    const server = Bun.spawn(
      [
        ...[...AS_NOBODY, "--pdeathsig=QUIT", join(programs, "postgres"), "-D", data],
        ...options.flatMap((one) => ["-c", one]),
      ],
      { cwd: "/", stdin: "ignore", stdout: "ignore", stderr: "ignore" },
    );
    const settings = { host: "127.0.0.1", user: USER, database: "postgres", passwordFile };
    await ready(join(folder, ".s.PGSQL.5432"));
    return new Database(server, { ...settings, tls: { mode: "disable" } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.kill("SIGQUIT");
    await this.#server.exited;
    // its folder is in memory that goes with the bench's namespaces
  }
}

async function ready(path: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    const client = new Bun.SQL({
      ...{ adapter: "postgres", path, username: USER, password: "bench", database: "postgres", max: 1 },
    });
    try {
      await client.unsafe("SELECT 1");
      return;
    } catch (error) {
      if (tries === 400) throw error;
      await Bun.sleep(25);
    } finally {
      await client.close();
    }
  }
}
