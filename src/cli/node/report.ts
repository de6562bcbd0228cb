// The node at a glance as text: tables, a bar for each pool, and what is wrong in words.
import { shownEvent } from "../events.ts";
import { paragraph, type Style, styled, terminalColumns } from "../terminal/output.ts";
import { formatTable } from "../terminal/table.ts";
import type { NodePool, NodeSurvey } from "./survey.ts";

const BAR_CELLS = 20;
/** On a terminal with less room than that the bar is half as long. */
const ROOMY_COLUMNS = 100;

/** Characters that any font has where the locale is not of Unicode. */
const SHAPES = {
  unicode: { used: "█", stale: "▓", resting: "▒", reserved: "░", free: "·" },
  ascii: { used: "#", stale: "!", resting: "~", reserved: "-", free: "." },
} as const;

const STYLES: Readonly<Record<keyof (typeof SHAPES)["ascii"], Style>> = {
  used: "green",
  stale: "red",
  resting: "yellow",
  reserved: "blue",
  free: "dim",
};

const STATES = ["used", "stale", "resting", "reserved", "free"] as const;

/** Returns the survey for a person. */
export function reportText(survey: NodeSurvey): string {
  return [
    versions(survey),
    networks(survey),
    pools(survey),
    lastErrors(survey),
    stores(survey),
    kernel(survey),
  ]
    .filter((part) => part !== "")
    .join("\n");
}

/** Returns true if something is wrong that keeps a container from being attached. */
export function isTroubled({ networks, stores, brokenFiles }: NodeSurvey): boolean {
  return (
    brokenFiles.length > 0 ||
    networks.some(({ ready }) => ready === false) ||
    stores.some(({ problem }) => problem !== "")
  );
}

function versions({ version, cniVersions, kernel }: NodeSurvey): string {
  const words = `Warren ${version}, CNI ${cniVersions[0]} to ${cniVersions.at(-1)}, Linux ${kernel}`;
  return `${styled("bold", words)}\n`;
}

function networks({ networks, brokenFiles, confFolder }: NodeSurvey): string {
  const broken = brokenFiles.map(({ problem }) => paragraph(`${styled("red", "broken:")} ${problem}`));
  if (networks.length === 0) return `No networks in ${confFolder}.\n${broken.join("")}`;
  const rows = networks.map(({ name, cniVersion, plugins, attachments, stale, ready }) => ({
    network: name,
    version: cniVersion,
    plugins: plugins.join(" "),
    attached: attachments ?? "unknown",
    stale: (stale ?? 0) === 0 ? "" : stale,
    state: ready === undefined ? "not asked" : ready ? "ready" : "NOT READY",
  }));
  const problems = networks
    .filter(({ problem }) => problem !== "")
    .map(({ name, ready, problem }) =>
      paragraph(`${styled(ready === false ? "red" : "yellow", `${name}:`)} ${problem}`),
    );
  return formatTable(rows, terminalColumns()) + problems.join("") + broken.join("");
}

function pools({ pools }: NodeSurvey): string {
  if (pools.length === 0) return "";
  const cells = (terminalColumns() ?? ROOMY_COLUMNS) < ROOMY_COLUMNS ? BAR_CELLS / 2 : BAR_CELLS;
  const rows = pools.map((pool) => ({
    network: pool.network,
    pool: pool.ranges === "" ? "in no pool of the config" : pool.ranges,
    ...Object.fromEntries(STATES.map((state) => [state, shortNumber(pool[state])])),
    bar: barOf(pool, cells),
  }));
  const shapes = shapesHere();
  const legend = STATES.map((state) => `${styled(STYLES[state], shapes[state])} ${state}`).join("  ");
  return `${formatTable(rows, terminalColumns())}${legend}\n`;
}

function shapesHere(): (typeof SHAPES)["unicode" | "ascii"] {
  const { LC_ALL, LC_CTYPE, LANG } = process.env;
  const locale = [LC_ALL, LC_CTYPE, LANG].find((value) => (value ?? "") !== "") ?? "";
  return /utf-?8/i.test(locale) ? SHAPES.unicode : SHAPES.ascii;
}

/** A share that is not nothing is seen, however small it is. */
function barOf(pool: NodePool, length: number): string {
  const shapes = shapesHere();
  const cells = new Map<(typeof STATES)[number], number>();
  for (const state of STATES) {
    if (state === "free" || pool[state] === 0n) continue;
    cells.set(state, Math.max(1, Math.round((Number(pool[state]) / Number(pool.size)) * length)));
  }
  const taken = () => [...cells.values()].reduce((sum, count) => sum + count, 0);
  const least = pool.free > 0n ? 1 : 0;
  while (taken() > length - least) {
    const [largest] = [...cells].sort(([, left], [, right]) => right - left);
    if (largest === undefined || largest[1] <= 1) break;
    cells.set(largest[0], largest[1] - 1);
  }
  cells.set("free", Math.max(0, length - taken()));
  return STATES.map((state) => styled(STYLES[state], shapes[state].repeat(cells.get(state) ?? 0))).join("");
}

/** Up to six digits as they are, and then so many that the size is seen: 18,446,744,073,709,551,614 is 1.8e19. */
export function shortNumber(value: bigint): string {
  return value < 1_000_000n ? value.toString() : Number(value).toExponential(1).replace("e+", "e");
}

function lastErrors({ lastErrors }: NodeSurvey): string {
  if (lastErrors.length === 0) return "";
  const lines = lastErrors.map((event) => {
    const { time, verb, plugin, network, container, ifname, outcome } = shownEvent(event);
    const who = container === "" ? "" : ` ${container} ${ifname}`;
    return paragraph(`${time.replace(/T|\.\d+Z/g, " ")}${verb} ${plugin} ${network}${who}: ${outcome}`);
  });
  return `${styled("bold", "Last errors")} (warren events --failed)\n${lines.join("")}`;
}

function stores({ stores }: NodeSurvey): string {
  if (stores.length === 0) return "No store yet: nothing was ever attached.\n";
  return stores
    .map(({ path, bytes, logBytes, problem }) =>
      problem === ""
        ? `Store ${path}: ${kibibytes(bytes)}, log ${kibibytes(logBytes)}\n`
        : paragraph(`Store ${path}: ${styled("red", problem)}`),
    )
    .join("");
}

function kibibytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024)} KiB`;
}

function kernel({ features, forwarding }: NodeSurvey): string {
  const rows = features.map(({ feature, neededBy, present }) => ({
    kernel: feature,
    "needed by": neededBy,
    there: present === undefined ? "unknown" : present ? "yes" : "NO",
  }));
  const problems = features
    .filter(({ problem }) => problem !== "")
    .map(({ feature, present, problem }) =>
      paragraph(`${styled(present === false ? "red" : "yellow", `${feature}:`)} ${problem}`),
    );
  const word = (on: boolean | undefined) => (on === undefined ? "not there" : on ? "on" : "off");
  const forwards = `Forwarding: IPv4 ${word(forwarding.ipv4)}, IPv6 ${word(forwarding.ipv6)}\n`;
  return formatTable(rows, terminalColumns()) + problems.join("") + forwards;
}
