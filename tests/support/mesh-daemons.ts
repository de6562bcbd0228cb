// Nodes of a mesh that have their store on a test's server, each with its daemon: nodes that are namespaces on one wire.
import { type MeshConfig, type MeshNodeStage, MeshStage } from "./mesh.ts";
import { PostgresServer } from "./postgres.ts";
import { WARREN } from "./sandbox.ts";
import type { Json } from "./world.ts";

/** Longer than anything may take on a machine that is busy, or emulated; nothing is measured by it. */
const PATIENCE_MS = 100_000;

/** Waits until that is so. Throws Error with what was seen last. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T>,
  isSo: (seen: T) => boolean,
): Promise<T> {
  const endMs = Date.now() + PATIENCE_MS;
  for (;;) {
    const seen = await look();
    if (isSo(seen)) return seen;
    if (Date.now() > endMs) throw new Error(`waited in vain for ${what}: ${JSON.stringify(seen)}`);
    await Bun.sleep(25);
  }
}

/** Those that no test has ended yet, by the folder of their sandbox. */
const running = new Map<RunningDaemon, string>();

/** A daemon that runs. */
export class RunningDaemon {
  readonly #process: Bun.Subprocess<Blob, "pipe", "pipe">;
  readonly #told: Promise<void>;
  #text = "";

  constructor(node: MeshNodeStage, env: Readonly<Record<string, string>> = {}) {
    this.#process = node.sandbox.start(
      [
        ...["nsenter", `--net=/run/netns/${node.name}`, "--"],
        ...[WARREN, "node", "run", "--config", node.configFile],
      ],
      { env },
    );
    running.set(this, node.sandbox.directory);
    const { stderr } = this.#process;
    this.#told = (async () => {
      for await (const chunk of stderr) this.#text += new TextDecoder().decode(chunk);
    })();
  }

  /** The lines that it has told so far. */
  get lines(): readonly string[] {
    return this.#text.split("\n").filter((line) => line !== "");
  }

  /** Those that begin so. */
  linesOf(start: string): readonly string[] {
    return this.lines.filter((line) => line.startsWith(start));
  }

  /** Waits until it has told a line that has the words, after so many lines. */
  async tells(words: string, after = 0): Promise<void> {
    await eventually(
      words,
      async () => this.lines.slice(after),
      (lines) => lines.some((line) => line.includes(words)),
    );
  }

  /** Has it look at everything now. */
  lookNow(): void {
    this.#process.kill("SIGUSR2");
  }

  /** Ends it and returns the exit code; undefined for one that was killed. */
  async end(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<number | null> {
    this.#process.kill(signal);
    await this.exited();
    return this.#process.exitCode;
  }

  /** Waits until it ends by itself. */
  async exited(): Promise<number> {
    const code = await this.#process.exited;
    running.delete(this);
    await this.#told;
    return code;
  }
}

/** Nodes on a wire, and a server. */
export class MeshWithStore implements AsyncDisposable {
  private constructor(
    readonly stage: MeshStage,
    readonly server: PostgresServer,
    /** What every configuration says beside what it needs, and how each node reaches the server. */
    private readonly more: MeshConfig,
    private readonly database: Json,
  ) {}

  static async create(count: number): Promise<MeshWithStore> {
    return MeshWithStore.on(await MeshStage.create(count));
  }

  /** The same with nodes that are there already. */
  static async on(stage: MeshStage, more: MeshConfig = {}, database: Json = {}): Promise<MeshWithStore> {
    const mesh = new MeshWithStore(stage, await PostgresServer.start(stage.sandbox), more, database);
    for (const node of stage.nodes) await mesh.configure(node);
    return mesh;
  }

  node(number: number): MeshNodeStage {
    return this.stage.node(number);
  }

  /** Writes the configuration of a node that is in the store. */
  async configure(node: MeshNodeStage, more: MeshConfig = {}): Promise<void> {
    // by the socket, because the server is on no wire of theirs
    const store = this.server.config({ host: this.server.folder, nodeName: node.name, ...this.database });
    const { nodeCIDRs: _, ...config } = node.config;
    await Bun.write(node.configFile, JSON.stringify({ ...config, store, ...this.more, ...more }));
  }

  /** Starts the daemon of a node, and waits until that is up. */
  async start(number: number): Promise<RunningDaemon> {
    const daemon = new RunningDaemon(this.node(number));
    await daemon.tells("the mesh is up on this node");
    return daemon;
  }

  /** Returns what `warren node list` says of the nodes: name, blocks and state. */
  async list(number = 1): Promise<string[]> {
    const outcome = await this.node(number).warren("list", "--json");
    if (outcome.exitCode !== 0) throw new Error(outcome.stderr);
    const nodes: readonly { name: string; nodeCIDRs: readonly string[]; state: string }[] = JSON.parse(
      outcome.stdout,
    );
    return nodes.map(({ name, nodeCIDRs, state }) => `${name} ${nodeCIDRs.join(" ")} ${state}`);
  }

  /** Returns what the tunnel of a node leads to: routes, neighbours and forwarding entries of its peers, sorted. */
  async peers(number: number): Promise<string[]> {
    const inside = ["-n", `wg${number}`];
    const text = await this.node(number).text([
      "sh",
      "-c",
      `ip ${inside.join(" ")} route show dev vxlan0; ip ${inside.join(" ")} neigh show dev vxlan0 nud permanent; bridge ${inside.join(" ")} fdb show dev vxlan0`,
    ]);
    return text
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "")
      .sort();
  }

  /** Returns everything that is in a node's namespaces, in the words of `ip` and `nft`, without addresses that chance gave. */
  async state(number: number): Promise<string> {
    const node = this.node(number);
    const script = ["", `-n wg${number} `].flatMap((where) => [
      `ip ${where}-o link | sed 's/^[0-9]*: //; s/@[^:]*//; s/ether [0-9a-f:]*//'`,
      `ip ${where}-o addr show scope global | sed 's/^[0-9]*: //'`,
      `ip ${where}route`,
    ]);
    return node.text(["sh", "-c", [...script, "nft list ruleset", `cat ${node.conflist}`].join("\n")]);
  }

  /** Runs statements on the server. */
  sql(text: string): Promise<unknown[][]> {
    return this.server.query(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // of a test that failed: they would outlive it
    const left = [...running].filter(([, directory]) => directory === this.stage.sandbox.directory);
    for (const [daemon] of left) await daemon.end("SIGKILL");
    await this.server[Symbol.asyncDispose]();
    await this.stage[Symbol.asyncDispose]();
  }
}
