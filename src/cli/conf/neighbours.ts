// What networks of one folder do to each other: two of one name, subnets that overlap, a bridge that two of them use.
// Each of them may be right by itself, and only together they are wrong.

import { type JsonObject, memberOf } from "../../conflist/json.ts";
import { type JsonPath, parseJsonText } from "../../conflist/json-text.ts";
import { formatPrefix, overlap, type Prefix } from "../../ip/prefix.ts";
import type { RangeSet } from "../../ipam/pool.ts";
import { readConfText } from "../../runtime/conf-file.ts";
import type { ConfFile } from "../../runtime/conf-folder.ts";
import { rangeSetsOf } from "../pools.ts";
import { type Finding, findingAt, type Severity } from "./finding.ts";
import { OVERLAY_NAME } from "./overlay.ts";

/** The bridge of a plugin that names none. */
const DEFAULT_BRIDGE = "cni0";

/** A plugin that gives containers of a network an interface. */
interface Segment {
  readonly file: ConfFile;
  readonly network: string;
  readonly at: JsonPath;
  /** The bridge that containers are tied to; undefined for plugins that need none. */
  readonly bridge: string | undefined;
  readonly isBridgeNamed: boolean;
  readonly sets: readonly RangeSet[];
}

/** Returns what the files' networks do to each other. */
export function examineNeighbours(files: readonly ConfFile[]): Finding[] {
  const segments = files.flatMap(segmentsOf);
  const findings = repeatedNames(files);
  for (const [index, later] of segments.entries()) {
    for (const earlier of segments.slice(0, index)) {
      // what one network does to itself, its own plugins refuse
      if (earlier.network === later.network) continue;
      findings.push(...compare(earlier, later));
    }
  }
  return findings;
}

function repeatedNames(files: readonly ConfFile[]): Finding[] {
  const findings: Finding[] = [];
  const firsts = new Map<string, ConfFile>();
  // the order in which a name is looked up
  const lists = files.filter(({ form }) => form === "list");
  const singles = files.filter(({ form }) => form === "single");
  for (const file of [...lists, ...singles]) {
    const name = file.network?.name ?? "";
    if (name === "") continue;
    const first = firsts.get(name);
    if (first === undefined) firsts.set(name, file);
    else if (first.name === OVERLAY_NAME) {
      const message = `${first.name}, which warren conf watch makes of it, is taken in its place`;
      findings.push(
        found(file, ["name"], "note", message, "both count where containerd takes several files"),
      );
    } else {
      findings.push(
        found(
          file,
          ["name"],
          "error",
          `network ${JSON.stringify(name)} is in ${first.name} already, which is found first; both share one cache and one set of leases`,
          "give one of them another name, or remove it",
        ),
      );
    }
  }
  return findings;
}

function compare(earlier: Segment, later: Segment): Finding[] {
  const findings: Finding[] = [];
  const sameBridge = earlier.bridge !== undefined && earlier.bridge === later.bridge;
  const clash = firstClash(earlier, later);
  if (clash !== undefined && (!sameBridge || clash.sameAddresses)) {
    findings.push(
      found(
        later.file,
        [...later.at, "ipam"],
        "error",
        sameBridge
          ? `${clash.subnets} gives out addresses that network ${earlier.network} (${earlier.file.name}) gives out too, on the same bridge`
          : `${clash.subnets} overlaps with network ${earlier.network} (${earlier.file.name}): the host has two ways to one address`,
        "choose another subnet",
      ),
    );
  }
  if (sameBridge) {
    const unnamed = [earlier, later].filter(({ isBridgeNamed }) => !isBridgeNamed);
    const why =
      unnamed.length === 0
        ? ""
        : `, the default, because ${unnamed.map(({ file }) => file.name).join(" and ")} names none,`;
    findings.push(
      found(
        later.file,
        [...later.at, later.isBridgeNamed ? "bridge" : "type"],
        "warning",
        `bridge ${later.bridge}${why} is network ${earlier.network}'s too (${earlier.file.name}): their containers reach each other`,
        "give each network a bridge of its own, if that is not meant",
      ),
    );
  }
  return findings;
}

/** Returns the first two subnets that overlap, and whether the ranges within them do. */
function firstClash(
  earlier: Segment,
  later: Segment,
): { readonly subnets: string; readonly sameAddresses: boolean } | undefined {
  const ranges = (segment: Segment) => segment.sets.flatMap((set) => set.ranges);
  const pairs = ranges(later).flatMap((one) => ranges(earlier).map((other) => ({ one, other })));
  const clashes = pairs.filter(({ one, other }) => overlap(one.subnet, other.subnet));
  const same = clashes.find(
    ({ one, other }) => one.first.value <= other.last.value && other.first.value <= one.last.value,
  );
  const clash = same ?? clashes[0];
  if (clash === undefined) return undefined;
  return { subnets: nameOf(clash.one.subnet, clash.other.subnet), sameAddresses: same !== undefined };
}

function nameOf(one: Prefix, other: Prefix): string {
  const [left, right] = [formatPrefix(one), formatPrefix(other)];
  return left === right ? left : `${left} (there ${right})`;
}

function segmentsOf(file: ConfFile): Segment[] {
  const { network } = file;
  if (network === undefined) return [];
  const inlined = network.plugins.length - network.dropIns.length;
  return network.plugins.slice(0, inlined).flatMap(({ type, document }, index): Segment[] => {
    const named = memberOf(document, "bridge");
    const isBridgeNamed = typeof named === "string" && named !== "";
    const usesBridge = /^(?:warren-)?bridge$/.test(type);
    const sets = poolsOf(document);
    if (!usesBridge && sets.length === 0) return [];
    return [
      {
        file,
        network: network.name,
        at: file.form === "single" ? [] : ["plugins", index],
        bridge: usesBridge ? (isBridgeNamed ? named : DEFAULT_BRIDGE) : undefined,
        isBridgeNamed,
        sets,
      },
    ];
  });
}

/** Returns the pools of a plugin; none where they are wrong, which the examination of the plugin tells. */
function poolsOf(document: JsonObject): readonly RangeSet[] {
  try {
    return rangeSetsOf(document);
  } catch {
    return [];
  }
}

function found(file: ConfFile, path: JsonPath, severity: Severity, message: string, cure: string): Finding {
  const text = readConfText(file.path);
  return findingAt({ path: file.path, text, root: parseJsonText(text) }, path, severity, message, cure);
}
