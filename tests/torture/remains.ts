// Everything that a plugin could leave on a host, in one value that can be compared: interfaces, addresses, routes and
// queues of the host and of a pod, nf_tables, settings, and what is in the store. What the documentation says stays (a
// bridge, empty tables, forwarding) is left out.
import { Database } from "bun:sqlite";
import { existsSync, readdirSync, statSync } from "node:fs";
import { tools } from "../../scripts/tools.ts";
import type { Sandbox } from "../support/sandbox.ts";

/** What is there; two of them are compared as they are. */
export interface Remains {
  readonly links: readonly string[];
  readonly routes: readonly string[];
  readonly queues: readonly string[];
  /** Of nf_tables all but the frames that stay: chains, rules and elements. */
  readonly rules: readonly string[];
  /** Settings of the pods, and the lines of lease files. */
  readonly settings: readonly string[];
  /** Rows by table, each as JSON. */
  readonly rows: Readonly<Record<string, readonly string[]>>;
  /** Files of the store that have no business there, or another mode than they should have. */
  readonly files: readonly string[];
}

/** Settings of the pod that the scenes change, or that a plugin might. */
const SETTINGS = "net/core/somaxconn net/ipv4/ip_forward net/ipv4/ip_local_port_range";

/** Where the reference's host-local has its leases, as its successor keeps them for the day of switching back. */
export const LEASE_FILES = "/var/lib/cni/networks";

const SEPARATOR = "@@@@";

/** Returns the path of a program: by its name alone busybox, which is the shell of a virtual machine, runs its own. */
function program(name: string): string {
  return tools.program(name).path ?? name;
}

/** One shell for all of it: the plugins' own calls are not much longer than starting a program. */
function script(pods: readonly string[]): string {
  const at = (name: string, pod: string) => `${program(name)}${pod === "" ? "" : ` -netns ${pod}`}`;
  const parts = ["", ...pods].map((pod) =>
    [
      `${at("ip", pod)} -json -details addr 2>/dev/null`,
      ["-4", "-6"]
        .map(
          (family) => `printf 'route show\\nrule show\\n' | ${at("ip", pod)} ${family} -batch - 2>/dev/null`,
        )
        .join("; "),
      `${at("tc", pod)} qdisc show 2>/dev/null`,
    ].join(`; echo ${SEPARATOR}; `),
  );
  const settings = pods.map(
    (pod) =>
      `[ -e /run/netns/${pod} ] && nsenter --net=/run/netns/${pod} sh -c 'cd /proc/sys; for one in ${SETTINGS}; do echo $one $(cat $one); done'`,
  );
  const files = `cd ${LEASE_FILES} 2>/dev/null && grep -r . . | grep -v last_reserved_ip | sort`;
  return [...parts, `${program("nft")} -j list ruleset`, [...settings, files, "true"].join("\n")].join(
    `\necho ${SEPARATOR}\n`,
  );
}

interface SeenLink {
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly txqlen?: number;
  readonly flags: readonly string[];
  readonly ifalias?: string;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly addr_info: readonly {
    readonly scope: string;
    readonly local: string;
    readonly prefixlen: number;
  }[];
}

function linksOf(text: string): SeenLink[] {
  return text.trim() === "" ? [] : (JSON.parse(text) as SeenLink[]);
}

function isBridge({ linkinfo }: SeenLink): boolean {
  return linkinfo?.info_kind === "bridge";
}

function linksIn(text: string, pod: string): string[] {
  return linksOf(text)
    .filter((link) => !isBridge(link))
    .map((link) => {
      const addresses = link.addr_info
        .filter(({ scope }) => scope === "global")
        .map(({ local, prefixlen }) => `${local}/${prefixlen}`);
      const flags = link.flags.filter((flag) => ["UP", "PROMISC", "ALLMULTI"].includes(flag));
      return [
        pod,
        link.ifname,
        link.linkinfo?.info_kind ?? "",
        link.address,
        `mtu ${link.mtu} txqlen ${link.txqlen ?? ""}`,
        link.ifalias ?? "",
        ...flags.sort(),
        ...addresses.sort(),
      ].join(" ");
    });
}

/** What the kernel makes by itself, and keeps: such as the rule for VRFs, which comes with the first of a namespace. */
const OF_THE_KERNEL = /^fe80::|^multicast|qdisc noqueue |lookup \[l3mdev-table\]/;

/**
 * The lines of `ip route` and `tc qdisc` that nobody but a plugin brings, without numbers that count up, and without the word
 * for a carrier that is not there, which comes when the kernel gets to it.
 */
function linesIn(text: string, pod: string, bridges: readonly string[]): string[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "" && !OF_THE_KERNEL.test(line))
    .filter((line) => !bridges.some((name) => line.includes(` dev ${name} `)))
    .map(
      (line) =>
        `${pod} ${line
          .trim()
          .replace(/qdisc (\w+) \w+:/, "qdisc $1")
          .replace(/ linkdown\b/, "")}`,
    );
}

/** Chains, sets and maps that the first portmap and the first source check of a boot make, for all that follow. */
const FRAME =
  /^(portmap|portmap-(prerouting|output|masquerade-all|postrouting|loopback-guard|not-on-loopback|loopback-out)|portmap-ipv[46](-address|-masquerade)?|source-check|checked-ports|allowed-sources)$/;

interface SeenRule {
  readonly chain?: { readonly name: string };
  readonly rule?: { readonly chain: string };
  readonly set?: { readonly name: string; readonly elem?: readonly unknown[] };
  readonly map?: { readonly name: string; readonly elem?: readonly unknown[] };
}

function rulesIn(text: string): string[] {
  const { nftables } = JSON.parse(text) as { readonly nftables: readonly SeenRule[] };
  return nftables.flatMap((one) => {
    const set = one.set ?? one.map;
    if (set !== undefined) {
      const elements = (set.elem ?? []).map((element) => `${set.name}: ${JSON.stringify(element)}`);
      return FRAME.test(set.name) ? elements : [`set ${set.name}`, ...elements];
    }
    const chain = one.chain?.name ?? one.rule?.chain;
    return chain === undefined || FRAME.test(chain) ? [] : [JSON.stringify(one).replace(/"handle":\d+/g, "")];
  });
}

/** Tables whose rows stand for something; cursors and runs only remember what was given last. */
const TABLES: Readonly<Record<string, string>> = {
  leases: "SELECT * FROM leases WHERE released_at_ms IS NULL",
  attachments: "SELECT * FROM attachments",
  objects: "SELECT * FROM objects",
  pairPods: "SELECT * FROM pair_pods",
  pairLinks: "SELECT * FROM pair_links",
  pairEnds: "SELECT * FROM pair_ends",
};

function rowsIn(dataDir: string): Record<string, string[]> {
  const empty = Object.fromEntries(Object.keys(TABLES).map((table): [string, string[]] => [table, []]));
  // an empty file is what a kill between its creation and the schema leaves
  if (!existsSync(`${dataDir}/warren.db`) || statSync(`${dataDir}/warren.db`).size === 0) return empty;
  using database = new Database(`${dataDir}/warren.db`);
  if (database.query("PRAGMA user_version").values()[0]?.[0] === 0) return empty;
  const sound = JSON.stringify(database.query("PRAGMA integrity_check").values());
  if (sound !== '[["ok"]]') throw new Error(`the store is not sound: ${sound}`);
  return Object.fromEntries(
    Object.entries(TABLES).map(([table, query]) => [
      table,
      database
        .query(query)
        .all()
        .map((row) => JSON.stringify(row))
        .sort(),
    ]),
  );
}

/** What a store consists of, with SQLite's own files beside it, and the mode that each must have. */
const STORE_FILE = /^warren\.db(-wal|-shm|-journal|\.lock)?$/;

/** A store that is being made; what a kill left of it goes when the next one is made. */
const UNFINISHED = /^warren\.db\.new(-wal|-shm|-journal)?$/;

function strangeFiles(dataDir: string): string[] {
  if (!existsSync(dataDir)) return [];
  const mode = (path: string) => (statSync(path).mode & 0o7777).toString(8);
  const strange = mode(dataDir) === "700" ? [] : [`${dataDir} has mode ${mode(dataDir)}`];
  for (const name of readdirSync(dataDir)) {
    const known = STORE_FILE.test(name) || (UNFINISHED.test(name) && !existsSync(`${dataDir}/warren.db`));
    if (!known) strange.push(name);
    else if (mode(`${dataDir}/${name}`) !== "600")
      strange.push(`${name} has mode ${mode(`${dataDir}/${name}`)}`);
  }
  return strange;
}

/** Returns what is on the host of the sandbox, in these pods and in the store. */
export async function remains(sandbox: Sandbox, dataDir: string, pods: readonly string[]): Promise<Remains> {
  // what a dying namespace takes along is gone a moment later
  const text = await sandbox.text(["sh", "-c", script(pods)]);
  const sections = text.split(`${SEPARATOR}\n`);
  const links: string[] = [];
  const routes: string[] = [];
  const queues: string[] = [];
  for (const [index, pod] of ["", ...pods].entries()) {
    const [seen = "", routed = "", queued = ""] = sections.slice(index * 3, index * 3 + 3);
    links.push(...linksIn(seen, pod));
    const bridges = linksOf(seen)
      .filter(isBridge)
      .map(({ ifname }) => ifname);
    routes.push(...linesIn(routed, pod, bridges));
    queues.push(...linesIn(queued, pod, bridges));
  }
  const [rules = "", settings = ""] = sections.slice(-2);
  return {
    links: links.sort(),
    routes: routes.sort(),
    queues: queues.sort(),
    rules: rulesIn(rules).sort(),
    settings: settings.trim().split("\n"),
    rows: rowsIn(dataDir),
    files: strangeFiles(dataDir),
  };
}
