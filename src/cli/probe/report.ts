// What a probe found, for a person: a table with the course of each measurement in a line, and how times are spread.

import { terminalColumns } from "../terminal/output.ts";
import { binned, histogramLines, sparkline } from "../terminal/plot.ts";
import { formatTable } from "../terminal/table.ts";
import type { Findings, Spread } from "./findings.ts";

const DIRECTIONS = ["there", "back"] as const;
const BINS = 10;
/** Times that differ by less are not told apart in a histogram. */
const NARROWEST_BIN_MS = 0.01;
/** Fewer times are not spread in any way. */
const FEWEST_TIMES = 8;
/** In a pipe; a lab indents what it shows. */
const PLAIN_COLUMNS = 72;
/** From this width on there is room for a long course. */
const ROOMY_COLUMNS = 100;

interface Row {
  readonly measured: string;
  readonly way: string;
  readonly result: string;
  readonly course: string;
}

/** Returns the line that tells what is measured, before that takes its time. */
export function headingText({ from, to }: Pick<Findings, "from" | "to">): string {
  const end = (name: string, address: string | undefined) =>
    address === undefined || address === name ? name : `${name} (${address})`;
  return `from ${end(from.name, from.address)} to ${end(to.name, to.address)}\n\n`;
}

/** Returns the findings as a table and histograms, for a terminal that wide; undefined for a pipe. */
export function reportText(findings: Findings, columns = terminalColumns()): string {
  const cells = (columns ?? PLAIN_COLUMNS) < ROOMY_COLUMNS ? 24 : 40;
  const rows = [
    ...latencyRows(findings, cells),
    ...mtuRows(findings),
    ...throughputRows(findings, cells),
    ...stallRows(findings, cells),
    ...problemRows(findings),
  ];
  const { latency, stall } = findings;
  const roundTrips = (latency?.roundTripsMs ?? []).filter((timeMs) => timeMs !== null);
  return [
    formatTable(rows, columns),
    histogram("Round trips", roundTrips, columns),
    histogram("Rounds of write, write, read", stall?.roundsMs ?? [], columns),
  ]
    .filter((part) => part !== "")
    .join("\n");
}

function histogram(title: string, timesMs: readonly number[], columns = PLAIN_COLUMNS): string {
  if (timesMs.length < FEWEST_TIMES) return "";
  const lines = histogramLines(binned(timesMs, BINS, NARROWEST_BIN_MS), "ms", columns - 2);
  return [`${title}:`, ...lines.map((line) => `  ${line}`)].map((line) => `${line}\n`).join("");
}

/** Returns a time with as many digits as it deserves. */
function formatMs(timeMs: number): string {
  return timeMs.toFixed(timeMs < 1 ? 3 : timeMs < 100 ? 2 : 1);
}

function spreadText({ medianMs, leastMs, mostMs }: Spread): string {
  return `${formatMs(medianMs)} ms (${formatMs(leastMs)} to ${formatMs(mostMs)})`;
}

const RATE_UNITS = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"];

/** Returns a rate with three digits: `9.31 Gbit/s`. */
function formatRate(bitsPerSecond: number): string {
  const thousands = Math.floor(Math.log10(Math.max(1, bitsPerSecond)) / 3);
  const unit = Math.min(RATE_UNITS.length - 1, thousands);
  const value = bitsPerSecond / 1000 ** unit;
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(unit === 0 ? 0 : digits)} ${RATE_UNITS[unit]}`;
}

function latencyRows({ latency }: Findings, cells: number): Row[] {
  if (latency === undefined) return [];
  const { spread, sent, answered, duplicates, overtaken, roundTripsMs } = latency;
  const others = [
    duplicates === 0 ? "" : `${duplicates} came twice`,
    overtaken === 0 ? "" : `${overtaken} were overtaken`,
  ].filter((text) => text !== "");
  const loss = [`${sent - answered} of ${sent} (${latency.lossPercent} %)`, ...others].join(", ");
  const rows: Row[] = [{ measured: "loss", way: "both", result: loss, course: "" }];
  if (spread === undefined) return rows;
  const course = sparkline(
    roundTripsMs.map((timeMs) => timeMs ?? undefined),
    cells,
  );
  return [{ measured: "round trip", way: "both", result: spreadText(spread), course }, ...rows];
}

function mtuRows({ mtu }: Findings): Row[] {
  return DIRECTIONS.flatMap((way) => {
    const bytes = mtu?.[way];
    return bytes === undefined ? [] : [{ measured: "MTU", way, result: `${bytes} bytes`, course: "" }];
  });
}

function throughputRows({ tcp, udp }: Findings, cells: number): Row[] {
  const tcpRows = DIRECTIONS.flatMap((way) => {
    const found = tcp?.[way];
    if (found === undefined) return [];
    const { bitsPerSecond, course } = found;
    return [{ measured: "TCP", way, result: formatRate(bitsPerSecond), course: sparkline(course, cells) }];
  });
  const udpRows = DIRECTIONS.flatMap((way) => {
    const found = udp?.[way];
    if (found === undefined) return [];
    const { bitsPerSecond, course, lossPercent, overtaken } = found;
    const order = overtaken === 0 ? "" : `, ${overtaken} were overtaken`;
    const result = `${formatRate(bitsPerSecond)}, ${lossPercent} % lost${order}`;
    return [{ measured: "UDP", way, result, course: sparkline(course, cells) }];
  });
  return [...tcpRows, ...udpRows];
}

function stallRows({ stall }: Findings, cells: number): Row[] {
  if (stall?.spread === undefined) return [];
  const { stalled, roundsMs, spread } = stall;
  const result = `${stalled} of ${roundsMs.length} rounds`;
  return [
    { measured: "stalls", way: "there", result, course: "" },
    { measured: "round", way: "there", result: spreadText(spread), course: sparkline(roundsMs, cells) },
  ];
}

function problemRows({ problems }: Findings): Row[] {
  return problems.map(({ measurement, direction, problem }) => ({
    measured: measurement === "latency" ? "round trip" : MEASURED[measurement],
    way: measurement === "latency" ? "both" : direction,
    result: problem,
    course: "",
  }));
}

const MEASURED = { mtu: "MTU", tcp: "TCP", udp: "UDP", stall: "stalls" } as const;
