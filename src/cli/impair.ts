// `warren impair`: makes the network of a container that runs as bad as one likes, for a while or until it is taken back,
// and shows what is so now. What is there is asked of the kernel; what the network's own configs want is in the store, and
// comes back when an impairment ends.
import { CniError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { listAttachments, listObjects } from "../ledger/attachments.ts";
import { netnsIsGone } from "../ledger/owner.ts";
import { log } from "../log.ts";
import { type Connection, connectInside } from "../net/connection.ts";
import { MissingFeatureError, needing } from "../net/feature.ts";
import {
  type Impairment,
  ImpairmentError,
  isHarmless,
  parseDelay,
  parseImpairments,
  WORDS,
  wordsOf,
} from "../net/impairment/impairment.ts";
import {
  endImpairment,
  type InstalledImpairment,
  impair,
  installedImpairments,
  needsOf,
  probeImpairment,
} from "../net/impairment/netem.ts";
import { isOwnNetns, NetnsError, openNetns } from "../net/netns.ts";
import { DisciplineTakenError } from "../net/shaping.ts";
import { findLink, type Link } from "../net/veth.ts";
import { openStore, storeExists } from "../store/sqlite.ts";
import { writeStdout } from "../sys/stdio.ts";
import { operatorCommand, UsageError } from "./command.ts";
import { exitCodeOf, Interruption } from "./interruption.ts";
import { storeFlags } from "./leases.ts";
import { findNetns, NETNS_FORMS } from "./netns-argument.ts";
import { containerIdOf } from "./settings.ts";
import { printTable } from "./terminal/table.ts";

const NANOSECONDS_A_MILLISECOND = 1_000_000;
/** How often a command that waits looks whether it was asked to end. */
const LOOK_MS = 50;

/** An interface of a container, and what its network's own config wants to go wrong with it. */
interface Place {
  readonly container: string;
  readonly ifname: string;
  readonly netns: string;
  /** The rules that ADD wrote down; empty for none. */
  readonly base: string;
}

export const command = operatorCommand({
  name: "impair",
  description: "Make a container's network slow, lossy or worse, and show what is so",
  args: {
    container: {
      type: "positional",
      required: false,
      description: `The container's id, or its namespace: ${NETNS_FORMS}`,
    },
    rules: {
      type: "positional",
      required: false,
      description: `What goes wrong: NAME=VALUE ..., such as delay=${WORDS.delay} loss=${WORDS.loss}`,
    },
    ifname: { type: "string", valueHint: "NAME", default: "eth0", description: "The container's interface" },
    for: {
      type: "string",
      valueHint: "TIME",
      description: "Wait so long, such as 30s, and take it back; Ctrl-C ends the wait",
    },
    clear: { type: "boolean", description: "Take back what was impaired" },
    list: { type: "boolean", description: "Show what is impaired" },
    ...storeFlags,
    json: { type: "boolean", description: "Answer with JSON" },
  },
  variadic: true,
  async run({ args }) {
    const words = args._.slice(1);
    const dataDir = args["data-dir"];
    const isListing = args.list === true || (args.container === undefined && args.clear !== true);
    if (isListing) {
      if (words.length > 0 || args.clear === true || args.for !== undefined)
        throw new UsageError("--list takes a container at most");
      const places = await placesOf(dataDir);
      list(
        args.container === undefined ? places : await named(args.container, undefined, dataDir),
        args.json,
      );
      return 0;
    }
    if (args.container === undefined) throw new UsageError("--clear needs a container");
    const rules = rulesOf(words);
    if (args.clear === true && (words.length > 0 || args.for !== undefined))
      throw new UsageError("--clear takes a container alone");
    if (args.clear !== true && words.length === 0) {
      throw new UsageError(
        `say what is to go wrong, such as delay=${WORDS.delay}, or --clear; known are ${Object.keys(WORDS).join(", ")}`,
      );
    }
    const waitMs = args.for === undefined ? undefined : durationOf(args.for);
    const [place] = await named(args.container, args.ifname, dataDir);
    if (place === undefined) throw new Error("a name without a place");
    if (args.clear === true) {
      change(place, parseImpairments(place.base));
      report(place, args.json);
      return 0;
    }
    if (waitMs === undefined) {
      change(place, rules);
      report(place, args.json);
      return 0;
    }
    return impairFor(place, rules, waitMs, args.json === true);
  },
});

/** Impairs, waits until the time is over or a signal comes, and puts back what the network wants. */
async function impairFor(
  place: Place,
  rules: readonly Impairment[],
  waitMs: number,
  json: boolean,
): Promise<number> {
  // from before the change on, so that no signal comes between it and its end
  using interruption = new Interruption();
  change(place, rules);
  report(place, json);
  const endsAtMs = performance.now() + waitMs;
  while (interruption.signal === undefined && performance.now() < endsAtMs) {
    await Bun.sleep(Math.min(LOOK_MS, Math.max(0, endsAtMs - performance.now())));
  }
  try {
    change(place, parseImpairments(place.base));
    log.info(`${place.container} ${place.ifname}: taken back`);
  } catch (error) {
    // a container that ended meanwhile took it with it
    if (!(error instanceof NetnsError && error.problem === "missing")) throw error;
  }
  return interruption.signal === undefined ? 0 : exitCodeOf(interruption.signal);
}

function rulesOf(words: readonly string[]): Impairment[] {
  try {
    return parseImpairments(words.join(" ")).filter((rule) => !isHarmless(rule));
  } catch (error) {
    if (error instanceof ImpairmentError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}

function durationOf(text: string): number {
  const nanoseconds = parseDelay(text);
  if (nanoseconds !== undefined && nanoseconds > 0) return nanoseconds / NANOSECONDS_A_MILLISECOND;
  throw new UsageError(`--for ${shown(text)}: expected a time of at most an hour, such as 30s`);
}

/** Returns the interfaces of all containers of the store that are there. */
async function placesOf(dataDir: string): Promise<Place[]> {
  if (!storeExists(dataDir)) return [];
  return openStore(dataDir).read(async (store) => {
    const places = new Map<string, Place>();
    for (const row of await listAttachments(store)) {
      if (row.netns === "" || netnsIsGone(row)) continue;
      const key = `${row.netns} ${row.ifname}`;
      const base = (await listObjects(store, row)).find(({ kind }) => kind === "impairment")?.detail;
      places.set(key, {
        container: row.containerId,
        ifname: row.ifname,
        netns: row.netns,
        base: base ?? places.get(key)?.base ?? "",
      });
    }
    return [...places.values()];
  });
}

/** Returns the interfaces that an argument means, or the one of that name: of a container of the store, or a namespace. */
async function named(argument: string, ifname: string | undefined, dataDir: string): Promise<Place[]> {
  const all = await placesOf(dataDir);
  const isMeant = (one: Place) => ifname === undefined || one.ifname === ifname;
  const ids = [argument, containerIdOf(argument)];
  const known = all.filter((one) => ids.includes(one.container) && isMeant(one));
  if (known.length > 0) return known;
  const { path } = findNetns(argument);
  using netns = openNetns(path);
  if (isOwnNetns(netns)) {
    throw new CniError(
      ErrorCode.invalidNetns,
      `${shown(argument)} is the namespace of the host itself`,
      "name a container: its id, or the namespace that it has",
    );
  }
  const there = all.filter((one) => one.netns === path && isMeant(one));
  if (there.length > 0) return there;
  return [{ container: argument, ifname: ifname ?? "eth0", netns: path, base: "" }];
}

function interfaceOf(inside: Connection, { ifname, container }: Place): Link {
  const link = findLink(inside, ifname);
  if (link !== undefined) return link;
  throw new CniError(
    ErrorCode.invalidEnvironment,
    `container ${container} has no interface ${shown(ifname)}`,
    "name another one with --ifname",
  );
}

/** Makes the traffic of the interface obey the rules, and no others. */
function change(place: Place, rules: readonly Impairment[]): void {
  using netns = openNetns(place.netns);
  using inside = connectInside(netns);
  const link = interfaceOf(inside, place);
  try {
    if (rules.length === 0) endImpairment(inside, link);
    else
      needing(
        () => probeImpairment(needsOf(rules)),
        () => impair(inside, link, rules),
      );
  } catch (error) {
    if (error instanceof DisciplineTakenError) {
      throw new CniError(
        ErrorCode.nameTaken,
        error.message,
        `remove it first: tc qdisc del dev ${link.name} root, in the container`,
        { cause: error },
      );
    }
    // not half of it, but what the network wants: what was before was taken away to make room
    endImpairment(inside, link);
    const base = parseImpairments(place.base);
    if (base.length > 0) impair(inside, link, base);
    if (!(error instanceof MissingFeatureError)) throw error;
    throw new CniError(
      ErrorCode.unsupportedField,
      error.message,
      "load its modules, or boot a kernel that has it",
      {
        cause: error,
      },
    );
  }
}

/** A row of the table. */
interface ShownImpairment {
  readonly container: string;
  readonly ifname: string;
  readonly direction: string;
  readonly peer: string;
  readonly rules: string;
}

function installedAt(place: Place): ShownImpairment[] {
  using netns = openNetns(place.netns);
  using inside = connectInside(netns);
  const link = findLink(inside, place.ifname);
  const found: readonly InstalledImpairment[] = link === undefined ? [] : installedImpairments(inside, link);
  return found.map(({ way, peer, settings }) => ({
    container: place.container,
    ifname: place.ifname,
    direction: way,
    peer: peer ?? "",
    rules: wordsOf(settings).join(" "),
  }));
}

function report(place: Place, json: boolean | undefined): void {
  list([place], json, `${place.container} ${place.ifname}: nothing is impaired\n`);
}

function list(
  places: readonly Place[],
  json: boolean | undefined,
  none = "no container is impaired\n",
): void {
  const rows = places.flatMap(installedAt);
  if (json === true) writeStdout(`${JSON.stringify(rows, null, 4)}\n`);
  else if (rows.length === 0) writeStdout(none);
  else printTable(rows);
}
