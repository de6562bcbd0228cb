// The labs on PostgreSQL: that of STATUS and GC, which is the same to look at as on a file, and that of the mesh with
// its daemons; with a server that the lab starts by itself and that is gone when it ends, however it ends.
import { expect } from "bun:test";
import { chmodSync, copyFileSync, existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { postgres, programs } from "../support/postgres.ts";
import { isRoot, type Outcome, Sandbox, testWith, WARREN } from "../support/sandbox.ts";

const TIMEOUT_MS = 120_000;
const ORDINARY_USER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/** Why an ordinary user can't have a namespace here, if so. */
function userNamespaceProblem(): { readonly reason?: string } {
  if (!isRoot) return {};
  const { exitCode, stderr } = Bun.spawnSync([...ORDINARY_USER, "unshare", "-U", "-r", "true"]);
  return exitCode === 0 ? {} : { reason: `ordinary users get no namespaces here: ${stderr}`.trim() };
}

async function play(host: Sandbox, ...args: string[]): Promise<Outcome> {
  return host.run([WARREN, "lab", "status-gc", ...args], { env: withServer() });
}

function withServer(): Record<string, string> {
  return { PATH: `${programs()}:${process.env.PATH ?? ""}` };
}

/** Everything of a host that a lab could leave something in. */
async function traces(host: Sandbox): Promise<string> {
  const looks = 'ip -br link; ip netns; sort /proc/self/mounts; ls -AR /run /var/lib "$0"';
  return host.text(["sh", "-c", looks, host.directory]);
}

/** A story without what is never the same twice: times, hardware addresses, and how long an echo took. */
function plain(story: string): string {
  return story
    .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, "TIME")
    .replaceAll(/(?:[0-9a-f]{2}:){5}[0-9a-f]{2}/g, "MAC")
    .replaceAll(/ after .*/g, " after SOME TIME");
}

/** The lines that tell which store it is: what its config has, why it is away, and what brings it back. */
function withoutStore(story: string): string[] {
  const prose = story
    .replace(/^ +"store": \{[\s\S]*?^ {12}\}\n/m, "")
    .replace('"dataDir": "/run/lab/disk/warren",', '"dataDir": "/run/lab/disk/warren"')
    .replace(/^ {4}\$ (?:mkdir|postgres) .*$/m, "COMMAND")
    .replace(/is not ready: .*/, "is not ready: CAUSE")
    // paragraphs are folded anew around the words that differ
    .replaceAll(/\s+/g, " ");
  return prose
    .replace(/the directory "dataDir"|the PostgreSQL database of "store"/, "PLACE")
    .replace(/The store is (?:meant to be on a disk|a database).*?(?= No pod could get)/, "ABSENCE")
    .replace(/(?:The disk appears|The server is started).*?(?= STATUS now makes)/, "APPEARANCE")
    .split(/(?<=\.) /);
}

testWith(postgres, tools.program("ip"))(
  "S0-29 the lab has the same visible text on a file and on PostgreSQL, as its server starts and ends with it",
  async () => {
    await using host = await Sandbox.create();
    const before = await traces(host);
    const shared = await play(host, "--store", "postgres");
    expect([shared.stderr, shared.exitCode]).toEqual(["", 0]);
    expect(await traces(host)).toBe(before);
    const onFile = await play(host, "--store", "sqlite");
    expect([onFile.stderr, onFile.exitCode]).toEqual(["", 0]);
    const [file, database] = [plain(onFile.stdout), plain(shared.stdout)];
    const fromThirdStep = (story: string) => story.slice(story.indexOf("\n 3. "));
    expect(fromThirdStep(file)).toContain("192.168.200.123/24");
    expect(fromThirdStep(database)).toBe(fromThirdStep(file));
    expect(withoutStore(database)).toEqual(withoutStore(file));
    // the two that are the store's own
    expect(database).toMatch(
      /Error: network ipam-status is not ready: the PostgreSQL database postgres at \/run\/lab\/postgres, .* can't be reached: the connection was refused or lost: /,
    );
    expect(database).toContain(
      "    $ postgres -D /run/lab/postgres/data &\n\n    $ warren status ipam-status\n",
    );
  },
  TIMEOUT_MS,
);

testWith(postgres, userNamespaceProblem(), tools.program("ip"))(
  "S0-29 an ordinary user plays it on PostgreSQL, too",
  async () => {
    await using host = await Sandbox.create();
    const warren = join(host.directory, "warren");
    copyFileSync(WARREN, warren);
    for (const path of [host.directory, warren]) chmodSync(path, 0o755);
    const before = await traces(host);
    const played = await host.run([...ORDINARY_USER, warren, "lab", "status-gc", "--store", "postgres"], {
      env: withServer(),
    });
    expect([played.stderr, played.exitCode]).toEqual(["", 0]);
    expect(played.stdout).toContain("nothing is left, and the sandbox itself ends with this lab");
    expect(await traces(host)).toBe(before);
  },
  TIMEOUT_MS,
);

/** Returns the numbers of a process's children, and of theirs. */
function descendants(parent: number): number[] {
  const children = readdirSync("/proc").filter((pid) => parentOf(pid) === parent);
  return children.map(Number).flatMap((child) => [child, ...descendants(child)]);
}

function parentOf(pid: string): number | undefined {
  try {
    // behind the name, which may have anything in it: the state, and the parent (proc(5))
    return Number(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ")[1]);
  } catch {
    return undefined;
  }
}

function isServer(pid: number): boolean {
  return commandOf(pid).includes("postgres");
}

/** Returns the words of a process; none if it has ended. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}

/** What the lab of the mesh tells in this order. */
const MESH_STORY = [
  "$ postgres -D /run/lab/postgres/data &",
  "$ warren enter node1 -- warren node run --config /run/lab/node1/mesh.json &",
  "made masquerade of 10.244.0.0/24",
  "the mesh is up on this node",
  "made masquerade of 10.244.1.0/24",
  "What the daemon of node1 says meanwhile:\n    added peer node2\n",
  "10.244.1.3 answered pod1",
  "UDP          192.0.2.1   192.0.2.2",
  "What the daemon of node2 says meanwhile:\n    added peer node3\n",
  "10.244.2.3 answered pod1",
  "$ kill %node3",
  "10.244.2.3 answered pod1",
  "removed peer at 192.0.2.3 port ",
  "10.244.2.3 does not answer",
  "left, block reserved for 59m",
  "$ kill -QUIT %postgres",
  "can't be reached",
  "10.244.1.3 answered pod1",
  "$ kill -9 %node1",
  "warning: the mesh is as this node remembers it since ",
  "made namespace wg1",
  "10.244.1.3 answered pod1",
  "remembered since ",
  "the store has the blocks that this node remembered: 10.244.0.0/24",
  "removed forwarding of IPv4",
  "nothing is left, and the sandbox itself ends with this lab",
];

testWith(postgres, tools.program("ip"))(
  "S3-W06 the lab of the mesh with a store: daemons hear of nodes that come and go, and one boots without the store",
  async () => {
    await using host = await Sandbox.create();
    const before = await traces(host);
    const played = await host.run([WARREN, "lab", "mesh", "--store", "postgres"], { env: withServer() });
    expect([played.stderr, played.exitCode]).toEqual(["", 0]);
    let at = 0;
    for (const words of MESH_STORY) {
      const found = played.stdout.indexOf(words, at);
      expect([words, found >= 0]).toEqual([words, true]);
      at = found + words.length;
    }
    expect(await traces(host)).toBe(before);
    const unknown = await host.run([WARREN, "lab", "mesh", "--store", "sqlite"]);
    expect([unknown.exitCode, unknown.stderr]).toEqual([
      2,
      expect.stringContaining('unknown store "sqlite"; known is postgres'),
    ]);
  },
  TIMEOUT_MS,
);

testWith(postgres, tools.program("ip"))(
  "the lab of the mesh with a store killed in the middle leaves neither daemon nor server",
  async () => {
    await using host = await Sandbox.create();
    const before = await traces(host);
    const lab = host.start([WARREN, "lab", "mesh", "--store", "postgres"], { env: withServer() });
    const decoder = new TextDecoder();
    let told = "";
    const left = new Set<number>();
    const isLeft = (pid: number) => isServer(pid) || commandOf(pid).includes("warren node run");
    for await (const part of lab.stdout) {
      told += decoder.decode(part, { stream: true });
      if (!told.includes(" 4. Across the wire") || left.size > 0) continue;
      for (const pid of descendants(lab.pid).filter(isLeft)) left.add(pid);
      lab.kill("SIGKILL");
    }
    expect(await lab.exited).toBe(137);
    // two daemons, and the server's own processes
    expect(left.size).toBeGreaterThan(4);
    while ([...left].some(isLeft)) await Bun.sleep(10);
    expect(await traces(host)).toBe(before);
  },
  TIMEOUT_MS,
);

for (const [signal, exitCode] of [
  ["SIGTERM", 143],
  ["SIGKILL", 137],
] as const) {
  testWith(postgres, tools.program("ip"))(
    `the lab on PostgreSQL ended by ${signal} in the middle leaves no server`,
    async () => {
      await using host = await Sandbox.create();
      const before = await traces(host);
      const lab = host.start([WARREN, "lab", "status-gc", "--store", "postgres"], { env: withServer() });
      const decoder = new TextDecoder();
      let told = "";
      let servers: number[] = [];
      for await (const part of lab.stdout) {
        told += decoder.decode(part, { stream: true });
        if (!told.includes(" 3. ADD") || servers.length > 0) continue;
        servers = descendants(lab.pid).filter(isServer);
        // what it shares it shares with nobody else on the machine
        for (const server of servers) {
          expect(readFileSync(`/proc/${server}/maps`, "utf8")).not.toContain("/dev/shm");
          expect(readlinkSync(`/proc/${server}/ns/ipc`)).not.toBe(readlinkSync("/proc/self/ns/ipc"));
        }
        lab.kill(signal);
      }
      expect(await lab.exited).toBe(exitCode);
      // the server's own processes, of which the first has started the others
      expect(servers.length).toBeGreaterThan(3);
      while (servers.some(isServer)) await Bun.sleep(10);
      expect(await traces(host)).toBe(before);
    },
    TIMEOUT_MS,
  );
}

testWith(isRoot ? {} : { reason: "not root" })(
  "where there is no server, the lab names the package, and a store that it does not know is a wrong command line",
  async () => {
    await using host = await Sandbox.create();
    for (const folder of ["/usr/lib/postgresql"].filter((one) => existsSync(one))) {
      await host.text(["mount", "-t", "tmpfs", "none", folder]);
    }
    const without = await host.run([
      "env",
      `PATH=${host.directory}`,
      WARREN,
      "lab",
      "status-gc",
      "--store",
      "postgres",
    ]);
    expect([without.exitCode, without.stdout]).toEqual([1, ""]);
    expect(without.stderr).toBe(
      "Error: the programs of the PostgreSQL server, initdb and postgres, are not on this machine; install the package postgresql (Debian, Ubuntu) or postgresql-server (Fedora), or play the lab without --store\n",
    );
    const unknown = await host.run([WARREN, "lab", "status-gc", "--store", "mysql"]);
    expect([
      unknown.exitCode,
      unknown.stderr.includes('unknown store "mysql"; known are sqlite, postgres'),
    ]).toEqual([2, true]);
  },
);
