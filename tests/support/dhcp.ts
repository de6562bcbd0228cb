// A node whose network card leads to a wire with a DHCP server on it, busybox's udhcpd, and the daemon that keeps the leases
// of the node's pods.
import { join } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { until } from "./engines.ts";
import type { Config } from "./plugins.ts";
import { Sandbox, WARREN } from "./sandbox.ts";

export const udhcpd = tools.program("busybox");

/** What the server thinks of its addresses, each with the host name that it was told; sorted. */
export interface ServerView {
  readonly held: readonly string[];
  readonly released: readonly string[];
}

/** Has ip do several things, on the host or in a namespace of it. */
export async function batch(host: Sandbox, lines: readonly string[], netns?: string): Promise<void> {
  const where = netns === undefined ? [] : ["-n", netns];
  await host.text(["ip", ...where, "-batch", "-"], { stdin: `${lines.join("\n")}\n` });
}

/** The node. Make one with `await using site = await DhcpSite.create()`. */
export class DhcpSite implements AsyncDisposable {
  #server: ReturnType<Sandbox["start"]> | undefined;
  #daemon: ReturnType<Sandbox["start"]> | undefined;
  readonly #others: ReturnType<Sandbox["start"]>[] = [];
  #daemonLog: Promise<string> = Promise.resolve("");
  #said = "";

  private constructor(
    readonly host: Sandbox,
    private readonly isOwn: boolean,
  ) {}

  /** Makes a node with the pods pod1 and pod2, without a server and without a daemon. */
  static async create(): Promise<DhcpSite> {
    return DhcpSite.on(await Sandbox.create(), true);
  }

  /** Makes one of a host, which stays where it is not the node's own. */
  static async on(host: Sandbox, isOwn = false): Promise<DhcpSite> {
    // no shell: that of the virtual machine has an ip of its own
    await batch(host, [
      ...["pod1", "pod2", "wire"].map((name) => `netns add ${name}`),
      "link add card0 up type veth peer name far0 netns wire",
    ]);
    await batch(host, ["addr add 10.67.0.1/24 dev far0", "link set far0 up", "link set lo up"], "wire");
    return new DhcpSite(host, isOwn);
  }

  /** Where the daemon listens. */
  get socket(): string {
    return "/run/cni/dhcp.sock";
  }

  /** Starts the server; `lines` are of udhcpd.conf. */
  async serve(lines: readonly string[] = []): Promise<void> {
    const file = join(this.host.directory, "udhcpd.conf");
    await Bun.write(
      file,
      [
        ...["start 10.67.0.10", "end 10.67.0.20", "interface far0", "min_lease 1", "offer_time 10"],
        ...[`lease_file ${this.leaseFile}`, `pidfile ${this.host.directory}/udhcpd.pid`],
        ...["option subnet 255.255.255.0", "option router 10.67.0.1", "option dns 10.67.0.53"],
        ...["option domain lab.example", ...lines, ""],
      ].join("\n"),
    );
    await Bun.write(this.leaseFile, "");
    const command = [udhcpd.path ?? "busybox", "udhcpd", "-f", "-a", "1", file];
    this.#server = this.host.start(["ip", "netns", "exec", "wire", ...command]);
    await until("udhcpd listens", async () =>
      (
        await this.host.text(["ip", "netns", "exec", "wire", "cat", "/proc/net/udp", "/proc/net/packet"])
      ).includes(":0043"),
    );
  }

  /** Ends the server. */
  async silence(): Promise<void> {
    this.#server?.kill();
    await this.#server?.exited;
    this.#server = undefined;
  }

  private get leaseFile(): string {
    return join(this.host.directory, "udhcpd.leases");
  }

  /**
   * Returns whose addresses the server has given, and which ones were given back, as soon as that is as expected, or as it is in
   * the end: it hears of what is released when it comes to it.
   */
  async serverHas(isSo: (view: ServerView) => boolean): Promise<ServerView> {
    const end = Date.now() + 20_000;
    for (;;) {
      const leases = await this.#serverLeases();
      const addresses = (isExpired: boolean) =>
        leases
          .filter((lease) => lease.isExpired === isExpired)
          .map(({ address, name }) => (name === "" ? address : `${address} ${name}`))
          .sort();
      const view = { held: addresses(false), released: addresses(true) };
      if (isSo(view) || Date.now() > end) return view;
      await Bun.sleep(50);
    }
  }

  async #serverLeases() {
    await this.host.text(["rm", "-f", this.leaseFile]);
    await this.host.text(["sh", "-c", `kill -USR1 $(cat ${this.host.directory}/udhcpd.pid)`]);
    let size = 0;
    await until("the server has written its leases", async () => {
      const before = size;
      size = (await Bun.file(this.leaseFile).exists()) ? Bun.file(this.leaseFile).size : 0;
      return size > 0 && size === before;
    });
    const text = await this.host.text([udhcpd.path ?? "busybox", "dumpleases", "-f", this.leaseFile]);
    const [header = "", ...lines] = text.split("\n").filter((line) => line !== "");
    const column = (line: string, title: string, next?: string) =>
      line.slice(header.indexOf(title), next === undefined ? undefined : header.indexOf(next)).trim();
    return lines.map((line) => ({
      address: column(line, "IP Address", "Host Name"),
      name: column(line, "Host Name", "Expires in"),
      isExpired: column(line, "Expires in") === "expired",
    }));
  }

  /** Starts the daemon and waits until it listens. */
  async keep(flags: readonly string[] = [], program: readonly string[] = [WARREN, "dhcp"]): Promise<void> {
    const daemon = this.host.start([...program, "daemon", ...flags]);
    this.#daemon = daemon;
    this.#said = "";
    this.#daemonLog = (async () => {
      const decoder = new TextDecoder();
      for await (const piece of daemon.stderr) this.#said += decoder.decode(piece, { stream: true });
      return this.#said;
    })();
    await until("the daemon listens", async () => {
      if (daemon.exitCode !== null) throw new Error(`the daemon ended: ${await this.#daemonLog}`);
      return this.#said.includes("the DHCP daemon listens");
    });
  }

  /** Waits until the daemon has said something. */
  async hears(words: RegExp): Promise<void> {
    await until(`the daemon says ${words}`, async () => words.test(this.#said));
  }

  /** Starts another daemon, which ends with the node, and waits until its socket is there. */
  async start(command: readonly string[], socket: string): Promise<void> {
    this.#others.push(this.host.start(command));
    await until(
      "another daemon listens",
      async () => (await this.host.run(["test", "-S", socket])).exitCode === 0,
    );
  }

  /** Waits until a pod reaches an address on the wire: under load a kernel may leave a single echo without an answer. */
  async reaches(pod: string, address: string): Promise<void> {
    const command = [udhcpd.path ?? "busybox", "ping", "-c1", "-W2", address];
    await until(
      `${pod} reaches ${address}`,
      async () => (await this.host.inNetns(pod, command)).exitCode === 0,
    );
  }

  /** Returns the leases as the store has them. */
  async leases(): Promise<Record<string, string>[]> {
    const { exitCode, stdout } = await this.host.run([WARREN, "dhcp", "leases", "--json"]);
    return exitCode === 0 ? JSON.parse(stdout) : [];
  }

  /** Changes the store as no command does. */
  async sql(statement: string): Promise<void> {
    const script = `new (require("bun:sqlite").Database)("/var/lib/cni/warren/warren.db").run(${JSON.stringify(statement)})`;
    await this.host.text([process.execPath, "-e", script]);
  }

  /** Ends a daemon that runs under another program, if it still runs. */
  async terminate(): Promise<void> {
    await this.host.run(["sh", "-c", "kill $(cut -d' ' -f2 /var/lib/cni/warren/dhcp.lock | tr -d ,)"]);
    await this.#daemon?.exited;
    this.#daemon = undefined;
  }

  /** The process of the daemon. */
  async daemonPid(): Promise<number> {
    return Number(
      (await this.host.text(["sh", "-c", `cut -d' ' -f2 /var/lib/cni/warren/dhcp.lock | tr -d ,`])).trim(),
    );
  }

  /** Ends the daemon by a signal, and returns what it said. */
  async end(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<string> {
    this.#daemon?.kill(signal);
    await this.#daemon?.exited;
    this.#daemon = undefined;
    return this.#daemonLog;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    await this.silence();
    for (const other of this.#others) other.kill();
    await Promise.all(this.#others.map((other) => other.exited));
    if (this.isOwn) await this.host[Symbol.asyncDispose]();
  }
}

/** A macvlan on the card with addresses by DHCP. */
export function network(more: Config = {}, ipam: Config = {}): Config {
  return {
    ...{ cniVersion: "1.1.0", name: "lab", type: "warren-macvlan", master: "card0" },
    ...more,
    ipam: { type: "warren-dhcp", ...ipam },
  };
}
