// Many attachments come and go at once, as a runtime with many pods would have it: ADD, CHECK, DEL, GC and STATUS by
// hundreds of processes at the same time, some of them killed, some pods dead without a DEL. What each call answered is
// compared with what must be true, and the store and the kernel with it while all goes on. Run as a program inside a
// sandbox: it reads the `Load` from standard input and prints a `Report`.
import { Database } from "bun:sqlite";
import type { Config } from "../support/plugins.ts";
import type { Printed } from "../support/printed.ts";

/** What to do, and for how long. */
export interface Load {
  readonly plugin: string;
  readonly networks: readonly { readonly config: Config; readonly mayBeFull: boolean }[];
  readonly dataDir: string;
  readonly attachments: number;
  /** How many calls run at the same time. */
  readonly width: number;
  readonly durationMs: number;
}

/** What came of it. */
export interface Report {
  /** Calls by verb, and of them those that were killed, and those that found no free address. */
  readonly calls: Readonly<Record<string, number>>;
  readonly killed: number;
  readonly refused: number;
  /** Calls that were told to try again later, because the store was not to be had in time. */
  readonly postponed: number;
  /** How often the store and the kernel were compared with the answers while all went on. */
  readonly looks: number;
  readonly problems: readonly string[];
}

interface Attached {
  readonly address: string;
  readonly hostLink: string;
}

/** One place for an attachment: a namespace in which one container after another lives. */
interface Place {
  readonly number: number;
  readonly netns: string;
  readonly network: number;
  /** The number of the container that lives there, and of changes, so that a look can tell what stayed. */
  generation: number;
  changes: number;
  attached: Attached | undefined;
  busy: boolean;
}

interface Ended {
  readonly exitCode: number | null;
  readonly killed: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

const PROBLEM_LIMIT = 20;
const LOOK_EVERY_MS = 250;

/** A GC's list names containers that are only about to come: a runtime knows its pods before it adds them. */
const GENERATIONS_AHEAD = 20;

const load: Load = await Bun.stdin.json();
const problems: string[] = [];
const calls: Record<string, number> = {};
const held = new Map<string, string>();
let killed = 0;
let refused = 0;
let postponed = 0;
let looks = 0;

const places: Place[] = Array.from({ length: load.attachments }, (_, number) => ({
  number,
  netns: `place${number}`,
  network: number % load.networks.length,
  generation: 0,
  changes: 0,
  attached: undefined,
  busy: false,
}));

function idOf(place: Place, generation = place.generation): string {
  return `${place.netns}-${generation}`;
}

/** A port that the container before, which may be dead and still written down, does not have. */
function hostPortOf({ number, generation }: Place): number {
  return 10_000 + number + 500 * (generation % 100);
}

function isChance(share: number): boolean {
  return Math.random() < share;
}

async function run(command: readonly string[], killAfterMs?: number, stdin = "", env = {}): Promise<Ended> {
  const child = Bun.spawn([...command], {
    env: { ...process.env, ...env },
    stdin: new Blob([stdin]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const timer = killAfterMs === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), killAfterMs);
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  await child.exited;
  clearTimeout(timer);
  return { exitCode: child.exitCode, killed: child.signalCode === "SIGKILL", stdout, stderr };
}

async function call(
  verb: string,
  network: number,
  place?: Place,
  more: Config = {},
  killAfterMs?: number,
): Promise<Ended> {
  calls[verb] = (calls[verb] ?? 0) + 1;
  const portMappings = place === undefined ? [] : [{ hostPort: hostPortOf(place), containerPort: 80 }];
  const config = { ...load.networks[network]?.config, runtimeConfig: { portMappings }, ...more };
  const attachment =
    place === undefined
      ? {}
      : { CNI_CONTAINERID: idOf(place), CNI_NETNS: `/run/netns/${place.netns}`, CNI_IFNAME: "eth0" };
  const path = load.plugin.slice(0, load.plugin.lastIndexOf("/"));
  const env = { CNI_COMMAND: verb, CNI_PATH: path, ...attachment };
  const ended = await run([load.plugin], killAfterMs, JSON.stringify(config), env);
  if (ended.killed) killed++;
  return ended;
}

function blame(what: string, ended: Ended): void {
  problems.push(`${what}: exit ${ended.exitCode}: ${ended.stdout}${ended.stderr}`);
}

/** True where a full pool is the reason, and may be. */
function isFull({ network }: Pick<Place, "network">, { stdout }: Ended): boolean {
  return (
    load.networks[network]?.mayBeFull === true && /no free addresses|no IP addresses available/.test(stdout)
  );
}

function addressKey(place: Place, address: string): string {
  return `${place.network} ${address}`;
}

/** From here on somebody else may get the address. */
function letGo(place: Place): void {
  if (place.attached !== undefined) held.delete(addressKey(place, place.attached.address));
  place.attached = undefined;
}

/** True where the call is to be made again later, which a runtime does; a hundred others may want the store, too. */
function isPostponed({ stdout }: Ended): boolean {
  if (!/was locked for more than \d+ ms/.test(stdout)) return false;
  postponed++;
  return true;
}

async function add(place: Place): Promise<void> {
  const ended = await call("ADD", place.network, place, {}, isChance(0.05) ? Math.random() * 60 : undefined);
  if (ended.killed) return del(place);
  if (ended.exitCode !== 0) {
    if (isFull(place, ended)) refused++;
    else if (!isPostponed(ended)) blame(`ADD of ${idOf(place)}`, ended);
    // as the specification wants it after any ADD that failed
    return del(place);
  }
  const { ips, interfaces } = JSON.parse(ended.stdout);
  const address: string = ips[0].address;
  const other = held.get(addressKey(place, address));
  if (other !== undefined) problems.push(`${address} was given to ${idOf(place)}, and ${other} has it`);
  held.set(addressKey(place, address), idOf(place));
  place.attached = { address, hostLink: interfaces[1].name };
}

async function del(place: Place): Promise<void> {
  letGo(place);
  const killAfterMs = isChance(0.05) ? Math.random() * 60 : undefined;
  let ended = await call("DEL", place.network, place, {}, killAfterMs);
  while (ended.killed || (ended.exitCode !== 0 && isPostponed(ended))) {
    ended = await call("DEL", place.network, place);
  }
  if (ended.exitCode !== 0) blame(`DEL of ${idOf(place)}`, ended);
  place.generation++;
}

/** The container is gone with its namespace, and nobody says so: GC has to find out. */
async function die(place: Place): Promise<void> {
  letGo(place);
  place.generation++;
  await run(["ip", "netns", "del", place.netns]);
  await run(["ip", "netns", "add", place.netns]);
}

async function check(place: Place): Promise<void> {
  const ended = await call("CHECK", place.network, place, {
    prevResult: place.attached === undefined ? {} : resultOf(place),
  });
  if (ended.exitCode !== 0 && !isPostponed(ended)) blame(`CHECK of ${idOf(place)}`, ended);
}

function resultOf(place: Place): Config {
  return {
    cniVersion: "1.1.0",
    interfaces: [{ name: "eth0", sandbox: `/run/netns/${place.netns}` }],
    ips: [{ interface: 0, address: place.attached?.address }],
  };
}

function valid(network: number): Config {
  const list = places
    .filter((place) => place.network === network)
    .flatMap((place) =>
      Array.from({ length: GENERATIONS_AHEAD }, (_, ahead) => ({
        containerID: idOf(place, place.generation + ahead),
        ifname: "eth0",
      })),
    );
  return { "cni.dev/valid-attachments": list };
}

async function collect(network: number): Promise<void> {
  const ended = await call("GC", network, undefined, valid(network));
  if (ended.exitCode !== 0 && !isPostponed(ended)) blame("GC", ended);
}

async function status(network: number): Promise<void> {
  const ended = await call("STATUS", network);
  if (ended.exitCode !== 0 && !isFull({ network }, ended) && !isPostponed(ended)) blame("STATUS", ended);
}

async function work(endsAtMs: number): Promise<void> {
  while (Date.now() < endsAtMs && problems.length < PROBLEM_LIMIT) {
    const network = Math.floor(Math.random() * load.networks.length);
    const dice = Math.random();
    if (dice < 0.03) await collect(network);
    else if (dice < 0.06) await status(network);
    else {
      const idle = places.filter(({ busy }) => !busy);
      const place = idle[Math.floor(Math.random() * idle.length)];
      if (place === undefined) {
        await Bun.sleep(5);
        continue;
      }
      place.busy = true;
      place.changes++;
      if (place.attached === undefined) await add(place);
      else if (isChance(0.5)) await check(place);
      else if (isChance(0.15)) await die(place);
      else await del(place);
      place.changes++;
      place.busy = false;
    }
  }
}

interface Row {
  readonly network: string;
  readonly container_id: string;
  readonly address: string;
}

const LEASES =
  "SELECT network, container_id, hex(address) AS address FROM leases WHERE released_at_ms IS NULL AND family = 4";
const LONELY =
  "SELECT network, container_id, ifname FROM leases WHERE released_at_ms IS NULL " +
  "EXCEPT SELECT network, container_id, ifname FROM attachments";

/** Compares what nobody changes meanwhile with the store and the kernel. */
async function look(database: Database): Promise<void> {
  const before = new Map(
    places
      .filter(({ busy, attached }) => !busy && attached !== undefined)
      .map((place) => [place, place.changes]),
  );
  const lonely = database.query(LONELY).values();
  if (lonely.length > 0) problems.push(`leases without an attachment: ${JSON.stringify(lonely)}`);
  const leased = new Set(
    (database.query(LEASES).all() as Row[]).map(
      ({ network, container_id, address }) => `${network} ${container_id} ${dotted(address)}`,
    ),
  );
  const links = new Set((await run(["ls", "/sys/class/net"])).stdout.trim().split("\n"));
  for (const [place, changes] of before) {
    const { attached } = place;
    if (place.changes !== changes || place.busy || attached === undefined) continue;
    const network = String(load.networks[place.network]?.config.name);
    const [address = ""] = attached.address.split("/");
    if (!leased.has(`${network} ${idOf(place)} ${address}`))
      problems.push(`${idOf(place)} lost its lease of ${address}`);
    if (!links.has(attached.hostLink)) problems.push(`${idOf(place)} lost its link ${attached.hostLink}`);
  }
  looks++;
}

function dotted(hex: string): string {
  return (hex.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16)).join(".");
}

async function lookUntil(endsAtMs: number): Promise<void> {
  while (Date.now() < endsAtMs && problems.length < PROBLEM_LIMIT) {
    await Bun.sleep(LOOK_EVERY_MS);
    if (!(await Bun.file(`${load.dataDir}/warren.db`).exists())) continue;
    using database = new Database(`${load.dataDir}/warren.db`, { readwrite: true, create: false });
    database.run("PRAGMA busy_timeout=10000");
    await look(database);
  }
}

/** Returns the lines that only one of the two has. */
function difference(what: string, expected: Iterable<string>, found: Iterable<string>): string[] {
  const [left, right] = [new Set(expected), new Set(found)];
  return [
    ...[...left].filter((one) => !right.has(one)).map((one) => `${what}: ${one} is missing`),
    ...[...right].filter((one) => !left.has(one)).map((one) => `${what}: ${one} is too much`),
  ];
}

function namesOf(database: Database, kind: string): string[] {
  return (database.query("SELECT name FROM objects WHERE kind = ?").values(kind) as string[][]).map(
    ([name]) => name ?? "",
  );
}

/** All is quiet: after a GC the answers, the store, the links and nf_tables say the same. */
async function compareAll(): Promise<void> {
  for (const network of load.networks.keys()) await collect(network);
  using database = new Database(`${load.dataDir}/warren.db`, { readwrite: true, create: false });
  await look(database);
  const living = places.filter(({ attached }) => attached !== undefined);
  const links = (await run(["ls", "/sys/class/net"])).stdout.trim().split("\n");
  const rules = JSON.parse((await run(["nft", "-j", "list", "ruleset"])).stdout).nftables;
  const chains: string[] = rules.flatMap((one: { chain?: { name: string } }) => one.chain?.name ?? []);
  const elementsOf = (name: string): Printed[] =>
    rules.flatMap((one: Printed) =>
      (one.set ?? one.map)?.name === name ? ((one.set ?? one.map).elem ?? []) : [],
    );
  const ports = elementsOf("portmap-ipv4").map(([key]) =>
    String(key.elem?.val?.concat?.[1] ?? key.concat?.[1]),
  );
  const pods = elementsOf("pods-ipv4").map((one) => String(one.elem?.val ?? one));
  const rows = (database.query("SELECT DISTINCT container_id FROM attachments").values() as string[][]).map(
    ([id]) => id ?? "",
  );
  problems.push(
    ...difference(
      "attachments",
      living.map((place) => idOf(place)),
      rows,
    ),
    ...difference(
      "links",
      living.map(({ attached }) => attached?.hostLink ?? ""),
      links.filter((name) => name.startsWith("veth")),
    ),
    ...difference(
      "links and the store",
      namesOf(database, "link"),
      links.filter((name) => name.startsWith("veth")),
    ),
    ...difference(
      "ports",
      namesOf(database, "port map").map((name) => /:(\d+)\//.exec(name)?.[1] ?? name),
      ports,
    ),
    ...difference(
      "firewall",
      namesOf(database, "firewall element")
        .filter((name) => name.startsWith("pods-ipv4 "))
        .map((name) => name.slice("pods-ipv4 ".length)),
      pods,
    ),
    ...difference(
      "masquerade",
      namesOf(database, "masquerade"),
      chains.filter((name) => name.startsWith("masquerade-")),
    ),
  );
  const sound = JSON.stringify(database.query("PRAGMA integrity_check").values());
  if (sound !== '[["ok"]]') problems.push(`the store is not sound: ${sound}`);
}

/** And when everything has gone, nothing is left. */
async function clearAll(): Promise<void> {
  for (const network of load.networks.keys()) {
    const ended = await call("GC", network, undefined, { "cni.dev/valid-attachments": [] });
    if (ended.exitCode !== 0) blame("last GC", ended);
  }
  using database = new Database(`${load.dataDir}/warren.db`, { readwrite: true, create: false });
  for (const table of ["leases WHERE released_at_ms IS NULL", "attachments", "objects"]) {
    const [count] = database.query(`SELECT count(*) FROM ${table}`).values()[0] ?? [];
    if (count !== 0) problems.push(`${count} rows are left in ${table}`);
  }
  const links = (await run(["ls", "/sys/class/net"])).stdout.trim().split("\n");
  problems.push(...links.filter((name) => /^(veth|bwp)/.test(name)).map((name) => `link ${name} is left`));
}

for (const { netns } of places) await run(["ip", "netns", "add", netns]);
const endsAtMs = Date.now() + load.durationMs;
await Promise.all([lookUntil(endsAtMs), ...Array.from({ length: load.width }, () => work(endsAtMs))]);
await compareAll();
await clearAll();
const report: Report = { calls, killed, refused, postponed, looks, problems };
await Bun.write(Bun.stdout, JSON.stringify(report));
