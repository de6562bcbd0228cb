// A world for plugins under test: a directory with a store of its own, and calls that go through the real runner
// with environment, standard streams and delegates handed in. Nothing outside the directory is touched.
import { Database } from "bun:sqlite";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Plugin } from "../../src/cni/plugin.ts";
import { runPlugin, type World } from "../../src/cni/runner.ts";
import { ipam } from "../../src/plugins/ipam.ts";
import { openStore } from "../../src/store/sqlite.ts";
import type { Store } from "../../src/store/store.ts";
import { type LookedInto, SHARED, sharedConfig, sharedDatabase, sharedStoreOf } from "./engine.ts";

/** A JSON object, as configs and answers are. */
export type Json = Readonly<Record<string, unknown>>;

/** What a call came to. */
export interface Answer {
  readonly exitCode: 0 | 1;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a call differs from an ordinary one. */
export interface CallOptions {
  readonly plugin?: Plugin;
  /** Variables beside those of `attachment`; undefined takes one away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The network namespace that the plugin is in. */
  readonly ownNetns?: string;
}

/** A temporary directory, deleted at the end: `using directory = new TemporaryDirectory()`. */
export class TemporaryDirectory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "warren-unit-"));

  /** Where the store is. */
  get dataDir(): string {
    return join(this.path, "store");
  }

  /** The store that has the leases. */
  get store(): Store {
    return SHARED === undefined ? openStore(this.dataDir) : sharedStoreOf(this.dataDir);
  }

  /** Opens what has the leases behind the store's back, to look and to tamper. */
  leaseDatabase(): LookedInto {
    if (SHARED !== undefined) return sharedDatabase(this.dataDir);
    const database = this.database();
    return {
      query: <Row>(sql: string) => database.query<Row, []>(sql),
      run: (sql) => database.run(sql),
      [Symbol.dispose]: () => database.close(),
    };
  }

  /** Opens the store's file behind its back, to look and to tamper. */
  database(): Database {
    return new Database(join(this.dataDir, "warren.db"), { readwrite: true, create: false });
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A node with the plugin `ipam` on a store of its own, and any delegates that a test adds. */
export class TestHost extends TemporaryDirectory {
  /** Plugins by the path under which they are found, to be called in this process. */
  readonly delegates = new Map<string, Plugin>();

  /** The config of a network; `ipam` is completed by the place of the store. */
  config(ipamKeys: Json = { subnet: "10.1.0.0/24" }, others: Json = {}): Json {
    return {
      cniVersion: "1.1.0",
      name: "lab",
      type: "ipam",
      ipam: {
        type: "ipam",
        dataDir: this.dataDir,
        ...(SHARED === undefined ? {} : { store: sharedConfig(this.dataDir) }),
        ...ipamKeys,
      },
      ...others,
    };
  }

  /** Calls the plugin; `input` is the config, or standard input as it comes. */
  async call(verb: string, input: Json | string | Uint8Array, options: CallOptions = {}): Promise<Answer> {
    const output = { stdout: "", stderr: "" };
    const text = typeof input === "string" || input instanceof Uint8Array ? input : JSON.stringify(input);
    const world: World = {
      variables: {
        CNI_COMMAND: verb,
        CNI_CONTAINERID: "pod1",
        CNI_NETNS: "/nowhere/pod1",
        CNI_IFNAME: "eth0",
        CNI_PATH: this.path,
        ...options.env,
      },
      readStdin: () => (typeof text === "string" ? new TextEncoder().encode(text) : text),
      writeStdout: (more) => {
        output.stdout += more;
      },
      writeStderr: (more) => {
        output.stderr += more;
      },
      isOwnNetns: (path) => path === options.ownNetns,
      ownPlugin: async (file) => this.delegates.get(file),
      explain: () => undefined,
    };
    return { exitCode: await runPlugin(options.plugin ?? ipam, world), ...output };
  }

  /** Calls ADD, which must succeed, and returns its result. */
  async add(input: Json, env: CallOptions["env"] = {}): Promise<Json> {
    const { exitCode, stdout } = await this.call("ADD", input, { env });
    if (exitCode !== 0) throw new Error(stdout);
    return JSON.parse(stdout);
  }

  /** Returns the leases as `[network, container, ifname, address in hex]`, in the store's order. */
  leases(): unknown[][] {
    using database = this.leaseDatabase();
    return database
      .query("SELECT network, container_id, ifname, hex(address) FROM leases ORDER BY network, address")
      .values();
  }
}
