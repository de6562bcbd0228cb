// What many nodes cost a server: one, ten, a hundred, a thousand nodes of a mesh, simulated in this process with Warren's own
// code, each with connections of its own to a real PostgreSQL, and a hundred leases of one shared pool for each.
// `bun bench/scaling.ts [COUNT ...]` prints a table; it needs root, and leaves nothing behind.
import { readdirSync, readFileSync } from "node:fs";
import { formatTable } from "../src/cli/terminal/table.ts";
import { parseAddress } from "../src/ip/address.ts";
import { parsePrefix } from "../src/ip/prefix.ts";
import { lease } from "../src/ipam/leases.ts";
import { parseRangeSets } from "../src/ipam/pool.ts";
import { sharedStore } from "../src/ipam/shared-store.ts";
import { holderOf } from "../src/ledger/owner.ts";
import { Follower } from "../src/mesh/follower.ts";
import { Registry } from "../src/mesh/registry.ts";
import { SharedStoreError } from "../src/store/store.ts";
import { Database } from "./database.ts";

const LEASES_EACH = 100;
const COUNTS = [1, 10, 100, 1000];

interface Node {
  readonly name: string;
  readonly registry: Registry;
  readonly shared: ReturnType<typeof sharedStore>;
}

/** Rows of the table that was measured for one number of nodes. */
type Figures = Record<string, string>;

function nodesOf(database: Database, schema: string, count: number): Node[] {
  const cluster = parsePrefix("10.0.0.0/12");
  if (cluster === undefined) throw new Error("unreachable: it is a subnet");
  return Array.from({ length: count }, (_, index) => {
    const name = `node${index}`;
    // on a busy machine a thousand log-ins at once take their time
    const settings = { ...database.settings, schema, nodeName: name, connectTimeoutSeconds: 60 };
    const shared = sharedStore({ postgres: { ...settings, statementTimeoutSeconds: 30 } }, "/nowhere");
    const registry = new Registry(shared, {
      ...{ network: "mesh", clusterCIDRs: [cluster], nodeMasks: { 4: 24, 6: 64 } },
      ...{ backend: "vxlan", vni: 1, port: 4789, graceSeconds: 3600 },
    });
    return { name, shared, registry };
  });
}

let retries = 0;

/** Does it until it is done, as the daemon and a runtime do; only what passes is tried again. */
async function insist<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof SharedStoreError) || !error.isPassing) throw error;
      retries++;
      await Bun.sleep(500 + Math.random() * 1000);
    }
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAtMs = performance.now();
  await work();
  return performance.now() - startedAtMs;
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 0)} s`;
const milliseconds = (ms: number) => `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

async function medianOf(times: number, work: (index: number) => Promise<unknown>): Promise<number> {
  const samples: number[] = [];
  for (let index = 0; index < times; index++) samples.push(await timed(() => work(index)));
  return median(samples);
}

/** The processes of the server that serve a connection, and the memory that is theirs alone. */
function sessions(): { readonly count: number; readonly megabytes: number } {
  let count = 0;
  let kilobytes = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (!readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("postgres: bench ")) continue;
      kilobytes += Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
      count++;
    } catch {
      // it has ended meanwhile
    }
  }
  return { count, megabytes: kilobytes / 1024 };
}

/** Every node follows the store, as its daemon does; one says that it has moved: until the last of the others has read that. */
async function measureFollowing(nodes: readonly Node[], figures: Figures): Promise<void> {
  const quiet = { note: () => undefined, warn: (line: string) => console.error(line) };
  const known = new Map<string, number>();
  const following = nodes.map(({ name, registry }) => {
    let timer: Timer | undefined;
    const follower: Follower = new Follower(registry, quiet, () => turn(0));
    const turn = (afterMs: number) => {
      clearTimeout(timer);
      timer = setTimeout(async () => {
        await follower.follow();
        const moved = follower.directory.known().nodes.find((node) => node.name === "node0");
        if (moved !== undefined) known.set(name, moved.endpoint.port);
        turn(Math.max(0, Math.min(follower.dueAtMs - Date.now(), 1000)));
      }, afterMs);
    };
    return { follower, turn, stop: () => clearTimeout(timer) };
  });
  const others = nodes.length - 1;
  figures["all listen"] = seconds(
    await timed(async () => {
      // not more at once than a server takes of them
      for (let at = 0; at < following.length; at += 50) {
        const group = following.slice(at, at + 50);
        await Promise.all(group.map(({ follower }) => insist(() => follower.follow())));
      }
    }),
  );
  for (const { turn } of following) turn(0);
  await Bun.sleep(8_000);
  const { count, megabytes } = sessions();
  figures["connections at rest"] = `${count}`;
  figures["memory of the server for each"] = `${(megabytes / Math.max(1, count)).toFixed(1)} MB`;
  const [first] = nodes;
  if (others > 0 && first !== undefined) {
    const samples: number[] = [];
    for (let port = 5000; port < 5003; port++) {
      const startedAtMs = performance.now();
      const presence = {
        address: parseAddress("172.16.0.1"),
        publicKey: undefined,
        hardwareAddress: undefined,
      };
      await insist(() => first.registry.announce({ ...presence, port }));
      while ([...known.values()].filter((one) => one === port).length < others) await Bun.sleep(5);
      samples.push(performance.now() - startedAtMs);
    }
    figures["a change, until all others have read it"] = seconds(median(samples));
  }
  for (const { follower, stop } of following) {
    stop();
    follower[Symbol.dispose]();
  }
}

async function measureLeases(nodes: readonly Node[], figures: Figures): Promise<void> {
  const sets = parseRangeSets({ ranges: [[{ subnet: "10.128.0.0/9" }]] });
  const request = { sets, requested: [], fixed: [], order: "round-robin", cooldownMs: 0 } as const;
  const give = (node: Node, pods: readonly string[]) =>
    insist(() =>
      node.shared.store.transaction(async (transaction) => {
        for (const containerId of pods) {
          const holder = holderOf(
            "pool",
            { containerId, ifname: "eth0", netns: `/run/netns/${containerId}` },
            {},
          );
          await lease(transaction, holder, request);
        }
      }),
    );
  const pods = Array.from({ length: LEASES_EACH }, (_, index) => `pod${index}`);
  const filled = await timed(async () => {
    for (const node of nodes) {
      await give(node, pods);
      node.shared.store.close();
    }
  });
  figures[`${LEASES_EACH} leases for each, a node after the other`] = seconds(filled);
  const last = nodes.at(-1);
  if (last === undefined) return;
  figures["an ADD's transaction then"] = milliseconds(
    await medianOf(50, (index) => give(last, [`late${index}`])),
  );
}

async function measure(database: Database, count: number): Promise<Figures> {
  const figures: Figures = { nodes: `${count}` };
  retries = 0;
  const nodes = nodesOf(database, `scale${count}`, count);
  const close = () => {
    for (const { shared } of nodes) shared.store.close();
  };
  const joinAll = () => Promise.all(nodes.map(({ registry }) => insist(() => registry.join())));
  figures["all join at once"] = seconds(await timed(joinAll));
  figures["... of which had to try again"] = `${retries}`;
  close();
  const [first] = nodes;
  if (first === undefined) return figures;
  await first.registry.list();
  figures["one joins again"] = milliseconds(await medianOf(20, () => first.registry.join()));
  figures["a heartbeat"] = milliseconds(await medianOf(20, () => first.registry.beat()));
  figures["a list of all"] = milliseconds(await medianOf(20, () => first.registry.list()));
  for (let at = 0; at < nodes.length; at += 50) {
    await Promise.all(
      nodes.slice(at, at + 50).map(({ registry }, index) => {
        const presence = { publicKey: undefined, hardwareAddress: undefined, port: 4789 };
        const address = parseAddress(`172.16.${(at + index) >> 8}.${(at + index) & 255}`);
        return insist(() => registry.announce({ ...presence, address }));
      }),
    );
  }
  close();
  await measureFollowing(nodes, figures);
  close();
  await measureLeases(nodes, figures);
  close();
  return figures;
}

if (process.argv.includes("--inside")) {
  const given = process.argv
    .slice(2)
    .map(Number)
    .filter((count) => Number.isInteger(count) && count > 0);
  const counts = given.length === 0 ? COUNTS : given;
  await using database = await Database.start(Math.max(...counts) * 2 + 100);
  for (const count of counts) {
    const figures = await measure(database, count);
    console.log(`${formatTable(Object.entries(figures).map(([what, value]) => ({ what, value })))}`);
  }
} else {
  const inside = 'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$0" "$@" --inside';
  const program = [process.execPath, import.meta.path, ...process.argv.slice(2)];
  const { exitCode } = Bun.spawnSync(
    ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", inside, ...program],
    { stdout: "inherit", stderr: "inherit", stdin: "ignore" },
  );
  process.exitCode = exitCode;
}
